/* The role "erase" against a real log and a store that fails: a receipt comes when nothing is left, and not before. */
#include "compactor/erasing.h"

#include "base/testing_rounds.h"
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "bus/log_admin.h"
#include "bus/log_writer.h"
#include "bus/nats_fixture.h"
#include "upkeep/sweep.h"
#include "upkeep/testing_internal.h"

enum { MINUTE_MS = 60 * 1000, GRACE_MS = MINUTE_MS, WAIT_MS = 60000, MESSAGES = 10 };

static struct nats_fixture nats;
static struct mrd_bus *bus;
static struct mrd_leases *leases;
static struct region region;
static struct mrd_metrics *metrics;
static _Atomic bool stopping;
static size_t sweeps;
static mrd_time_ms grace_ms = GRACE_MS;

/* ---- the log ---- */

static void on_ack(void *context, const struct mrd_log_ack *ack)
{
    assert_int_equal(ack->status, MRD_OK);
    atomic_fetch_add((_Atomic size_t *)context, 1);
}

static int begin_log(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    nats_fixture_start(&nats);
    bus = nats_fixture_connect(&nats);
    const struct mrd_log_config config = {
        .region = "eu", .partition_count = 1, .replicas = 1, .bytes_max = 64 << 20};
    region_must(mrd_log_ensure(bus, &config, WAIT_MS, &err), &err);
    const struct mrd_leases_options holder = {.holder = "c-1"};
    region_must(mrd_leases_create(bus, &holder, &leases, &err), &err);
    metrics = mrd_metrics_create();
    return 0;
}

static int end_log(void **state)
{
    (void)state;
    mrd_leases_destroy(&leases);
    mrd_bus_close(&bus);
    nats_fixture_stop(&nats);
    mrd_metrics_destroy(&metrics);
    return 0;
}

static void publish(size_t count)
{
    struct mrd_error err = {0};
    struct mrd_log_writer *writer = NULL;
    static _Atomic size_t acknowledged;
    const size_t before = atomic_load(&acknowledged);
    const struct mrd_log_writer_options options = {.partition_count = 1};
    region_must(mrd_log_writer_create(bus, &options, &writer, &err), &err);
    for (size_t i = 0; i < count; i++) {
        char id[MRD_LOG_ID_MAX];
        (void)snprintf(id, sizeof(id), "w-%zu", before + i);
        const struct mrd_log_batch batch = {
            .residency_class = "eu",
            .id = id,
            .payload = MRD_BYTES("anything"),
            .deadline_ns = mrd_clock_monotonic_ns(mrd_clock_system()) + (int64_t)WAIT_MS * 1000000,
            .done = on_ack,
            .context = &acknowledged,
        };
        region_must(mrd_log_writer_publish(writer, &batch, &err), &err);
    }
    while (atomic_load(&acknowledged) < before + count) {
        usleep(200);
    }
    mrd_log_writer_destroy(&writer);
}

static struct mrd_log_state log_state(void)
{
    struct mrd_error err = {0};
    struct mrd_log_state log;
    region_must(mrd_log_state_read(bus, 0, WAIT_MS, &log, &err), &err);
    return log;
}

static void trim(uint64_t sequence)
{
    struct mrd_error err = {0};
    region_must(mrd_log_trim(bus, 0, log_state().identity, sequence, 0, WAIT_MS, &err), &err);
}

/* ---- the region ---- */

static int64_t monotonic(void *context)
{
    return ((const struct region *)context)->now_ms * 1000000;
}

static struct mrd_catalog *open_catalog(struct mrd_objstore *store)
{
    struct mrd_error err = {0};
    struct mrd_catalog *catalog = NULL;
    const struct mrd_catalog_options options = {
        .store = store, .clock = &region.clock, .writer = "test", .grace_ms = grace_ms};
    region_must(mrd_catalog_open(&options, NULL, &catalog, &err), &err);
    return catalog;
}

/* All that the tenant has is to be erased: it is deleted. */
static void erase_tenant(void)
{
    struct mrd_error err = {0};
    struct mrd_matcher matcher;
    struct mrd_catalog_request names;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    char tenant[24];
    const uint64_t sequence = region.blocks + 1;
    region_name(0, tenant);
    region_must(
        mrd_matcher_init(&matcher, MRD_MATCH_RE, MRD_BYTES("__name__"), MRD_BYTES(".*"), &err),
        &err);
    const struct mrd_erasure_selector selector = {&matcher, 1};
    const struct mrd_erasure erasure = {
        .id = {7, 7},
        .tenant = mrd_bytes_of(tenant),
        .hlc = mrd_hlc_make(region.now_ms, 0),
        .time_min_ms = MRD_ERASURE_TIME_MIN_MS,
        .time_max_ms = MRD_ERASURE_TIME_MAX_MS,
        .selectors = &selector,
        .selector_count = 1
    };
    region_must(mrd_erasure_encode(&erasure, &bytes, &err), &err);
    mrd_matcher_fini(&matcher);
    region_must(
        mrd_catalog_request_put(region.files, erasure.id, mrd_buf_view(&bytes), NULL, &names, &err),
        &err);
    const struct mrd_catalog_erasure_change change = {.id = erasure.id,
                                                      .tenant = erasure.tenant,
                                                      .hlc = erasure.hlc,
                                                      .time_min_ms = erasure.time_min_ms,
                                                      .time_max_ms = erasure.time_max_ms,
                                                      .request_key = mrd_bytes_of(names.key),
                                                      .request_digest = mrd_bytes_of(names.digest),
                                                      .sequences = &sequence,
                                                      .partition_count = 1};
    const struct mrd_catalog_change commit = {.erasures = &change, .erasure_count = 1};
    region_must(mrd_catalog_commit(region.catalog, &commit, NULL, &err), &err);
    region.requests[region.request_count++] = (struct region_request){.number = (unsigned)sequence};
    memset(region.model[0], 0, sizeof(region.model[0]));
}

/* One tenant with a file of a day or two and all that belongs to it; some of it is erased, or the tenant is deleted; `owing`: to be. Objects have the
 * times of the machine's clock. */
static void begin(bool tenant, bool owing)
{
    region_open(&region, 5);
    region.now_ms = mrd_clock_now_ms(mrd_clock_system());
    region.clock.monotonic_ns = monotonic;
    region.tables.keep_ms = GRACE_MS;
    region.tenants = 1;
    region.times = 20;
    (void)region_write(&region, 60, region.now_ms - 2 * 3600 * 1000);
    region_settle(&region);
    if (tenant) {
        erase_tenant();
    } else {
        region_erase(&region, (struct region_request){.series = 1, .first = 1, .last = 14}, 0);
    }
    if (!owing) {
        region_settle(&region);
    }
    mrd_catalog_close(&region.catalog);
    region.catalog = open_catalog(region.store);
}

static void build_past(void)
{
    struct mrd_error err = {0};
    const struct mrd_catalog_built_change built = {.to = region.requests[0].number};
    const struct mrd_catalog_change change = {.built = &built, .built_count = 1};
    region_must(mrd_catalog_commit(region.catalog, &change, NULL, &err), &err);
}

static enum mrd_status sweep(void *context, const struct mrd_upkeep_unnamed *unnamed,
                             const struct cmp_environment *environment, struct mrd_error *err)
{
    struct mrd_upkeep_swept swept;
    struct mrd_upkeep_tables tables = region.tables;
    (void)context;
    sweeps++;
    tables.store = environment->store;
    const struct mrd_upkeep_sweep_options options = {
        .catalog = {.store = environment->store,
                    .clock = environment->clock,
                    .grace_ms = environment->grace_ms,
                    .writer = "sweep"},
        .blocks_prefix = "blocks/",
        .region = "eu",
        .tables = &tables,
        .unnamed = unnamed
    };
    return mrd_upkeep_sweep(&options, &swept, err);
}

static bool is_bad(void *context, struct mrd_bytes id)
{
    (void)context;
    (void)id;
    return true; /* of those that owe */
}

static struct cmp_erasing *create(void)
{
    const struct cmp_erasing_options options = {
        .sweep = sweep, .is_bad = is_bad, .region = "eu", .metrics = metrics};
    return cmp_erasing_create(&options);
}

static enum mrd_status round_of(struct cmp_erasing *erasing, struct mrd_error *err)
{
    const struct cmp_environment environment = {.store = region.store,
                                                .catalog = region.catalog,
                                                .leases = leases,
                                                .bus = bus,
                                                .metrics = metrics,
                                                .clock = &region.clock,
                                                .grace_ms = grace_ms,
                                                .control = {.canceled = &stopping},
                                                .stopping = &stopping};
    const struct cmp_role role = cmp_erasing_role(erasing);
    return role.round(role.context, &environment, err);
}

static bool is_done(void)
{
    struct mrd_catalog_state *state = mrd_catalog_pin(region.catalog);
    const bool done =
        mrd_catalog_erasure_count(state) == 0 && mrd_catalog_receipt_count(state) == 1;
    mrd_catalog_unpin(&state);
    return done;
}

static void expect_state(struct cmp_erasing *erasing, const char *name)
{
    struct mrd_error err = {0};
    char text[64];
    mrd_auto(mrd_buf_fini)
    struct mrd_buf json = {0};
    region_must(round_of(erasing, &err), &err);
    cmp_erasing_json(erasing, &json);
    mrd_buf_append_u8(&json, 0);
    (void)snprintf(text, sizeof(text), "\"state\":\"%s\"", name);
    if (strstr((const char *)json.data, text) == NULL) {
        fail_msg("%s is not %s", (const char *)json.data, name);
    }
}

static bool count_one(void *context, const struct mrd_objstore_entry *entry)
{
    (void)entry;
    (*(size_t *)context)++;
    return true;
}

static size_t count_objects(const char *prefix)
{
    struct mrd_error err = {0};
    size_t found = 0;
    region_must(mrd_objstore_list(region.files, prefix, "", count_one, &found, NULL, &err), &err);
    return found;
}

static size_t count_gone(void)
{
    struct mrd_catalog_state *state = mrd_catalog_pin(region.catalog);
    const size_t gone = mrd_catalog_gone_count(state);
    mrd_catalog_unpin(&state);
    return gone;
}

/* Nothing of level 0 is left, nor of what was written anew, nor commits of before. */
static void expect_nothing_left(void)
{
    struct mrd_error err = {0};
    uint64_t oldest;
    struct mrd_catalog_state *state = mrd_catalog_pin(region.catalog);
    assert_int_equal(count_gone(), 0);
    assert_int_equal(count_objects("blocks/"), 0);
    assert_int_equal(count_objects("erasures/"), 0);
    region_must(mrd_catalog_oldest(region.catalog, NULL, &oldest, &err), &err);
    const struct mrd_catalog_receipt *receipt = mrd_catalog_receipt_at(state, 0);
    assert_true(receipt->blocks > 0 && receipt->samples > 0);
    assert_true(oldest > 5);
    mrd_catalog_unpin(&state);
    region_expect_model(&region, true);
}

/* ---- tests ---- */

static void each_condition_is_waited_for(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    begin(false, true);
    struct cmp_erasing *erasing = create();
    expect_state(erasing, "owing");
    region_settle(&region);
    expect_state(erasing, "building");
    build_past();
    expect_state(erasing, "waiting");
    region.now_ms += GRACE_MS - 10;
    expect_state(erasing, "waiting");
    assert_int_equal(sweeps, 0);
    region.now_ms += MINUTE_MS;
    publish(MESSAGES);
    for (size_t i = 0; i < 10 && count_gone() > 0; i++) { /* tables keep some for a while */
        expect_state(erasing, "sweeping");
        region.now_ms += MINUTE_MS;
    }
    expect_state(erasing, "log");
    const uint64_t last = log_state().sequence_last;
    assert_true(region.requests[0].number < last);
    trim(region.requests[0].number); /* the request itself is still there */
    expect_state(erasing, "log");
    trim(region.requests[0].number + 1);
    expect_state(erasing, "log_files"); /* in the same file as what follows */
    expect_state(erasing, "log_files");
    assert_false(is_done());
    trim(last + 1);
    region_must(round_of(erasing, &err), &err);
    assert_true(is_done());
    expect_nothing_left();
    cmp_erasing_destroy(&erasing);
    region_close(&region);
}

/* Rounds, minutes apart, until the receipt is there. */
static void go_on(void)
{
    struct mrd_error err = {0};
    struct cmp_erasing *erasing = create();
    for (size_t i = 0; i < 20 && !is_done(); i++) {
        region_must(round_of(erasing, &err), &err);
        region.now_ms += MINUTE_MS;
    }
    assert_true(is_done());
    cmp_erasing_destroy(&erasing);
}

/* Returns false once the n-th call never came. */
static bool fail_at(uint64_t nth, bool tenant, bool crash)
{
    struct mrd_error err = {0};
    begin(tenant, false);
    build_past();
    struct cmp_erasing *erasing = create();
    const struct mrd_fault fault = {.nth = nth, .when = MRD_FAULT_AFTER, .crash = crash};
    mrd_fault_store_arm(region.store, &fault);
    enum mrd_status status = MRD_OK;
    for (size_t i = 0; i < 20 && status == MRD_OK && !is_done(); i++) {
        status = round_of(erasing, &err);
        region.now_ms += MINUTE_MS;
    }
    const bool came = mrd_fault_store_disarm(region.store);
    if (!came) {
        region_must(status, &err);
    }
    cmp_erasing_destroy(&erasing);
    mrd_catalog_close(&region.catalog);
    region.catalog = open_catalog(region.store);
    go_on();
    expect_nothing_left();
    assert_true(!tenant || count_objects("eu/") == 0);
    region_close(&region);
    return came;
}

static void empty_log(void)
{
    publish(1);
    trim(log_state().sequence_last + 1);
}

static void walk(bool tenant)
{
    empty_log();
    for (size_t crash = 0; crash < 2; crash++) {
        uint64_t nth = 1;
        while (fail_at(nth, tenant, crash == 1)) {
            nth += testing_stride();
            assert_true(nth < 1000);
        }
        assert_true(nth > 20);
    }
}

static void it_may_die_anywhere(void **state)
{
    (void)state;
    walk(false);
}
static void the_end_of_a_tenant_may_die_anywhere(void **state)
{
    (void)state;
    walk(true);
}

static size_t count_tables(void)
{
    struct mrd_catalog_state *state = mrd_catalog_pin(region.catalog);
    const size_t count = mrd_catalog_table_count(state);
    mrd_catalog_unpin(&state);
    return count;
}

static void a_tenant_goes_with_its_tables(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    empty_log();
    begin(true, true);
    struct cmp_erasing *erasing = create();
    expect_state(erasing, "owing");
    region_settle(&region);
    expect_state(erasing, "building");
    assert_true(count_tables() > 0);
    build_past();
    expect_state(erasing, "tables");
    assert_int_equal(count_tables(), 0);
    assert_true(count_objects("eu/") > 0);
    expect_state(erasing, "waiting");
    for (size_t i = 0; i < 20 && !is_done(); i++) {
        region.now_ms += MINUTE_MS;
        region_must(round_of(erasing, &err), &err);
    }
    assert_true(is_done());
    expect_nothing_left();
    assert_int_equal(count_objects("eu/"), 0);
    cmp_erasing_destroy(&erasing);
    region_close(&region);
}

static void a_tenant_that_writes_again_keeps_its_tables(void **state)
{
    (void)state;
    empty_log();
    begin(true, false);
    build_past();
    (void)region_write(&region, 60, region.now_ms - 2 * 3600 * 1000);
    region_settle(&region);
    const size_t tables = count_tables();
    assert_true(tables > 0);
    go_on();
    assert_int_equal(count_tables(), tables);
    region_expect_model(&region, true);
    struct region_found found;
    region_find_tables(&region, &found);
    region_same(&region, &found);
    region_close(&region);
}

/* ---- receipts held to the store ---- */

/* What a round says of a receipt. */
static void verify(struct cmp_erasing *erasing, struct mrd_id128 id, const char *want)
{
    struct mrd_error err = {0};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf json = {0};
    assert_true(cmp_erasing_verify(erasing, id));
    region_must(round_of(erasing, &err), &err);
    cmp_erasing_json(erasing, &json);
    mrd_buf_append_u8(&json, 0);
    const char *verified = strstr((const char *)json.data, "\"verified\":[");
    if (verified == NULL || strstr(verified, want) == NULL) {
        fail_msg("%s does not say %s", (const char *)json.data, want);
    }
}

static void a_receipt_is_held_to_the_store(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    empty_log();
    begin(false, false);
    build_past();
    struct cmp_erasing *erasing = create();
    const struct mrd_id128 id = region.requests[0].id;
    verify(erasing, id, "\"problem\":\"the request is not done yet\"");
    verify(erasing, (struct mrd_id128){1, 1}, "\"problem\":\"the catalog has no receipt");
    go_on();
    verify(erasing, id, "\"left_count\":0,\"left\":[]}");

    /* What nobody names, as old as the receipt: the region's clock is minutes ahead of the store's. */
    static const char *strays[5] = {"blocks/l0/x"};
    static const char *const below[] = {"samples/data/1/x.parquet", "series/data/1/x.parquet",
                                        "samples/metadata.json", "other/metadata/v1.metadata.json"};
    char tenant[24];
    region_name(0, tenant);
    for (size_t i = 0; i < MRD_ARRAY_LEN(below); i++) {
        mrd_auto(mrd_buf_fini)
        struct mrd_buf path = {0};
        mrd_upkeep_table_path("eu", mrd_bytes_of(tenant), below[i], &path);
        strays[i + 1] = mrd_arena_printf(region.arena, "%.*s", MRD_FMT(mrd_buf_view(&path)));
    }
    /* That of another tenant says nothing of this one. */
    region_must(
        mrd_objstore_put(region.files, "eu/a/samples/data/1/x.parquet", MRD_BYTES("x"), NULL, &err),
        &err);
    for (size_t i = 0; i < MRD_ARRAY_LEN(strays); i++) {
        char want[128];
        region_must(mrd_objstore_put(region.files, strays[i], MRD_BYTES("x"), NULL, &err), &err);
        (void)snprintf(want, sizeof(want), "\"left_count\":1,\"left\":[\"%s\"]", strays[i]);
        verify(erasing, id, want);
        region_must(mrd_objstore_delete(region.files, strays[i], NULL, &err), &err);
    }
    verify(erasing, id, "\"left_count\":0,\"left\":[]}");
    char key[64];
    (void)snprintf(key, sizeof(key), "erasures/%016" PRIx64 "%016" PRIx64, id.high, id.low);
    region_must(mrd_objstore_put(region.files, key, MRD_BYTES("x"), NULL, &err), &err);
    verify(erasing, id, "\"problem\":\"something is still there");

    for (size_t i = 0; i < CMP_ERASING_VERIFY_MAX; i++) {
        assert_true(cmp_erasing_verify(erasing, id));
    }
    assert_false(cmp_erasing_verify(erasing, id));
    cmp_erasing_destroy(&erasing);
    region_close(&region);
}

/* ---- files that were never committed ---- */

static mrd_time_ms changed_ms(void)
{
    struct mrd_catalog_state *state = mrd_catalog_pin(region.catalog);
    const mrd_time_ms changed = mrd_catalog_erasure_at(state, 0)->changed_ms;
    mrd_catalog_unpin(&state);
    return changed;
}

/* As somebody leaves it who dies, or is overtaken. */
static void put_file(const char *key, mrd_time_ms modified_ms)
{
    struct mrd_error err = {0};
    char path[256];
    const struct timespec at = {modified_ms / 1000, modified_ms % 1000 * 1000000};
    const struct timespec times[2] = {at, at};
    region_must(mrd_objstore_put(region.files, key, MRD_BYTES("x"), NULL, &err), &err);
    (void)snprintf(path, sizeof(path), "%s/%s", region.folder, key);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void rounds_until(struct cmp_erasing *erasing, mrd_time_ms until_ms)
{
    struct mrd_error err = {0};
    for (; region.now_ms < until_ms && !is_done(); region.now_ms += 20 * 1000) {
        region_must(round_of(erasing, &err), &err);
    }
}

/* Merges that were planned before the request may have left files with what is erased, for as long as they may run. What is of others, or was written
 * when there could be none of them any more, is not waited for. */
static void what_was_never_committed_is_waited_for(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        int percent; /* of the grace, behind the last change: when it was written */
        bool waits;
    } cases[] = {
        {"eu/(dot)tenant-0/samples/data/20240101/x.parquet", 74, true },
        {"eu/(dot)tenant-0/series/data/20240101/x.parquet",  74, true },
        {"eu/(dot)tenant-0/samples_1h/metadata/x-m0.avro",   74, true },
        {"blocks/l0/eu/0/20240101/x.parquet",                74, true },
        {"eu/tenant-1/samples/data/20240101/x.parquet",      74, false},
        {"eu/(dot)tenant-0/samples/data/20240101/x.parquet", 76, false},
    };
    empty_log();
    grace_ms = 10 * MINUTE_MS;
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        begin(false, false);
        build_past();
        struct cmp_erasing *erasing = create();
        const mrd_time_ms since_ms = changed_ms();
        put_file(cases[i].key, since_ms + grace_ms / 100 * cases[i].percent);
        region.now_ms = since_ms + grace_ms + 1000;
        rounds_until(erasing, since_ms + grace_ms / 100 * 170);
        if (is_done() == cases[i].waits) {
            fail_msg("%s: done %d", cases[i].key, is_done());
        }
        assert_int_equal(count_objects(cases[i].key), 1);
        rounds_until(erasing, since_ms + 2 * grace_ms);
        assert_true(is_done());
        assert_int_equal(count_objects(cases[i].key), cases[i].waits ? 0 : 1);
        cmp_erasing_destroy(&erasing);
        region_close(&region);
    }
    grace_ms = GRACE_MS;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_condition_is_waited_for),
        cmocka_unit_test(it_may_die_anywhere),
        cmocka_unit_test(a_tenant_goes_with_its_tables),
        cmocka_unit_test(a_tenant_that_writes_again_keeps_its_tables),
        cmocka_unit_test(the_end_of_a_tenant_may_die_anywhere),
        cmocka_unit_test(a_receipt_is_held_to_the_store),
        cmocka_unit_test(what_was_never_committed_is_waited_for),
    };
    return cmocka_run_group_tests(tests, begin_log, end_log);
}
