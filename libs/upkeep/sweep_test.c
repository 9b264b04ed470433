/* What nobody needs goes, and nothing else. */
#include "upkeep/sweep.h"
#include "upkeep/testing_internal.h"

enum { HOUR_MS = 3600 * 1000 };

static struct region region;

/* Objects have the times of the machine's clock, so the region's begins there. */
static void begin(uint64_t seed)
{
    region_open(&region, seed);
    region.now_ms = mrd_clock_now_ms(mrd_clock_system());
    region.tenants = 2;
}

static struct mrd_upkeep_swept sweep(struct mrd_objstore *store, enum mrd_status want)
{
    struct mrd_error err = {0};
    struct mrd_upkeep_swept swept;
    struct mrd_upkeep_tables tables = region.tables;
    tables.store = store;
    const struct mrd_upkeep_sweep_options options = {
        .catalog = {.store = store, .clock = &region.clock, .writer = "sweep"},
        .blocks_prefix = "blocks/",
        .region = "eu",
        .tables = &tables
    };
    const enum mrd_status status = mrd_upkeep_sweep(&options, &swept, &err);
    if (status != want) {
        fail_msg("status %s: %s", mrd_status_name(status), err.text);
    }
    return swept;
}

static bool count_one(void *context, const struct mrd_objstore_entry *entry)
{
    (void)entry;
    (*(size_t *)context)++;
    return true;
}

static size_t count(const char *prefix)
{
    size_t found = 0;
    struct mrd_error err = {0};
    region_must(mrd_objstore_list(region.files, prefix, "", count_one, &found, NULL, &err), &err);
    return found;
}

static void put_rubbish(void)
{
    static const char *const keys[] = {
        "blocks/nobodys.parquet",
        "eu/nobody/samples/data/20240101/x.parquet",
        "eu/nobody/samples/metadata/00001-x.metadata.json",
        "eu/(dot)tenant-0/samples/data/20240101/x.parquet",
        "eu/(dot)tenant-0/samples/metadata/x-m0.avro",
        "eu/tenant-1/samples/data/20240101/x.mbx",
        "eu/stray",
    };
    struct mrd_error err = {0};
    for (size_t i = 0; i < MRD_ARRAY_LEN(keys); i++) {
        region_must(mrd_objstore_put(region.files, keys[i], MRD_BYTES("x"), NULL, &err), &err);
    }
}

/* Two versions of the tables: days, then months. */
static void make_history(void)
{
    (void)region_write(&region, 40, region.now_ms - 2 * HOUR_MS);
    (void)region_write(&region, 40, region.now_ms - 2 * HOUR_MS);
    region_settle(&region);
    region.now_ms += 2 * REGION_DAY_MS;
    region_settle(&region);
}

static void expect_whole(void)
{
    struct region_found found;
    region_expect_model(&region, true);
    region_find_tables(&region, &found);
    region_same(&region, &found);
}

static void what_a_snapshot_has_stays_until_it_is_forgotten(void **state)
{
    (void)state;
    begin(1);
    region.tables.keep_ms = 10 * REGION_DAY_MS;
    make_history();
    const size_t all = count("eu/");
    put_rubbish();
    region.now_ms += 30 * HOUR_MS;
    struct mrd_upkeep_swept swept = sweep(region.files, MRD_OK);
    assert_int_equal(swept.table_files, 6);
    assert_int_equal(swept.catalog.abandoned, 1);
    assert_int_equal(swept.catalog.gone, 2); /* level 0: no table has it */
    assert_int_equal(swept.snapshots + swept.tables_failed, 0);
    assert_int_equal(count("eu/"), all);
    assert_int_equal(count("blocks/"), 0);
    expect_whole();

    region.now_ms += 11 * REGION_DAY_MS;
    const uint64_t before = region_commits(&region);
    swept = sweep(region.files, MRD_OK);
    assert_int_equal(region_commits(&region), before + 1); /* all of them in one */
    assert_int_equal(swept.snapshots, region.tenants * (2 + MRD_ARRAY_LEN(region_resolutions_ms)));
    assert_int_equal(swept.catalog.gone, 0); /* who reads by the version before may go on */
    swept = sweep(region.files, MRD_OK);
    assert_int_equal(swept.snapshots, 0);
    assert_true(swept.catalog.gone > 0);
    assert_true(count("eu/") < all);
    expect_whole();
    const size_t rest = count("eu/");
    swept = sweep(region.files, MRD_OK); /* nothing is left to do */
    assert_int_equal(swept.table_files + swept.catalog.gone + swept.catalog.abandoned, 0);
    assert_int_equal(count("eu/"), rest);
    region_close(&region);
}

static const char other_key[] = "eu/(dot)tenant-0/samples/metadata/other.metadata.json";

/* Another makes a version of a table; it says the same. */
static void change_a_table(void *context)
{
    struct mrd_error err = {0};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    struct mrd_catalog_state *state = mrd_catalog_pin(region.catalog);
    const struct mrd_bytes from =
        mrd_catalog_table(state, MRD_BYTES(".tenant-0"), MRD_BYTES("samples"));
    char key[256];
    (void)snprintf(key, sizeof(key), "%.*s", MRD_FMT(from));
    region_must(mrd_objstore_get(region.files, key, 1 << 20, NULL, &bytes, &err), &err);
    region_must(mrd_objstore_put(region.files, other_key, mrd_buf_view(&bytes), NULL, &err), &err);
    const struct mrd_catalog_table_change change = {MRD_BYTES(".tenant-0"), MRD_BYTES("samples"),
                                                    mrd_bytes_of(key), mrd_bytes_of(other_key)};
    *(bool *)context =
        mrd_catalog_commit(region.catalog,
                           &(struct mrd_catalog_change){.tables = &change, .table_count = 1}, NULL,
                           &err) == MRD_OK;
    mrd_catalog_unpin(&state);
}

/* Returns how many tables have forgotten snapshots; *out_changed: another was first with its version. */
static uint64_t sweep_while_a_table_changes(uint64_t nth, bool *out_changed)
{
    begin(6);
    region.tenants = 1;
    region.times = 12;
    make_history();
    (void)region_commits(&region);
    region.now_ms += 20 * REGION_DAY_MS;
    const struct mrd_fault fault = {
        .nth = nth, .when = MRD_FAULT_BEFORE, .meanwhile = change_a_table, .context = out_changed};
    struct mrd_objstore *faults = mrd_fault_store_create(region.files);
    mrd_fault_store_arm(faults, &fault);
    *out_changed = false;
    const uint64_t snapshots = sweep(faults, MRD_OK).snapshots;
    assert_true(mrd_fault_store_disarm(faults));
    if (*out_changed) {
        (void)region_commits(&region);
        struct mrd_catalog_state *state = mrd_catalog_pin(region.catalog);
        const struct mrd_bytes now =
            mrd_catalog_table(state, MRD_BYTES(".tenant-0"), MRD_BYTES("samples"));
        assert_true(snapshots == 4 || mrd_bytes_equal(now, mrd_bytes_of(other_key)));
        mrd_catalog_unpin(&state);
        expect_whole();
    }
    mrd_objstore_close(&faults);
    region_close(&region);
    return snapshots;
}

static void a_table_that_changes_meanwhile_holds_no_other_up(void **state)
{
    (void)state;
    bool changed = false;
    uint64_t nth = 1;
    while (sweep_while_a_table_changes(nth, &changed) == 2 + MRD_ARRAY_LEN(region_resolutions_ms)) {
        assert_true(changed); /* or it came too late in every run */
        nth++;
    }
    assert_int_equal(sweep_while_a_table_changes(nth, &changed),
                     1 + MRD_ARRAY_LEN(region_resolutions_ms));
}

static void nothing_young_goes(void **state)
{
    (void)state;
    begin(2);
    make_history();
    put_rubbish();
    region.now_ms -= 2 * REGION_DAY_MS;
    const size_t all = count("eu/") + count("blocks/");
    (void)sweep(region.files, MRD_OK);
    assert_int_equal(count("eu/") + count("blocks/"), all);
    expect_whole();
    region_close(&region);
}

/* Its files stay, all of them; the other tenant's are swept. Blocks of samples stay with their files of series, which have their labels. */
static void expect_unread_table_whole(const char *name)
{
    struct mrd_error err = {0};
    char key[256];
    char path[64];
    begin(3);
    make_history();
    (void)snprintf(path, sizeof(path), "eu/(dot)tenant-0/%s/", name);
    struct mrd_catalog_state *pinned = mrd_catalog_pin(region.catalog);
    (void)snprintf(key, sizeof(key), "%.*s",
                   MRD_FMT(mrd_catalog_table(pinned, MRD_BYTES(".tenant-0"), mrd_bytes_of(name))));
    mrd_catalog_unpin(&pinned);
    region_must(mrd_objstore_put(region.files, key, MRD_BYTES("{}"), NULL, &err), &err);
    put_rubbish();
    region.now_ms += 20 * REGION_DAY_MS;
    const size_t all = count(path);
    const size_t blocks = count("eu/(dot)tenant-0/samples/data/");
    for (size_t i = 0; i < 3; i++) {
        const struct mrd_upkeep_swept swept = sweep(region.files, MRD_OK);
        assert_int_equal(swept.tables_failed, 1);
        assert_non_null(strstr(swept.table_error.text, "tenant-0"));
    }
    assert_int_equal(count(path), all);
    /* A file of nobody's is in the folder of samples; it goes unless it is that table which cannot be read. */
    assert_int_equal(count("eu/(dot)tenant-0/samples/data/"),
                     strcmp(name, "series") == 0 ? blocks - 1 : blocks);
    assert_int_equal(count("eu/tenant-1/samples/data/20240101/"), 0);
    region_expect_model(&region, true);
    region_close(&region);
}

static void a_table_that_cannot_be_read_loses_nothing(void **state)
{
    (void)state;
    expect_unread_table_whole("samples");
    expect_unread_table_whole("series");
}

static void records_about_blocks_that_are_gone_go(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    begin(4);
    const struct mrd_block_entry *there =
        region_write(&region, 40, region.now_ms - HOUR_MS / 2); /* not due */
    struct mrd_block_entry gone = *there;
    gone.id = MRD_BYTES("gone");
    struct mrd_upkeep_finding finding = {.block = there,
                                         .status = MRD_E_CORRUPT,
                                         .reason = "bytes \xff",
                                         .found_by = "test",
                                         .now_ms = region.now_ms};
    region_must(mrd_upkeep_quarantine_add(region.files, NULL, &finding, &err), &err);
    finding.block = &gone;
    region_must(mrd_upkeep_quarantine_add(region.files, NULL, &finding, &err), &err);
    region_must(mrd_upkeep_quarantine_add(region.files, NULL, &finding, &err), &err); /* again */
    assert_int_equal(count(MRD_UPKEEP_QUARANTINE_PREFIX), 2);
    region.now_ms += 2 * REGION_DAY_MS;
    const struct mrd_upkeep_swept swept = sweep(region.files, MRD_OK);
    assert_int_equal(swept.records, 1);
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("records", REGION_CHECK_BYTES);
    struct mrd_upkeep_quarantine quarantine;
    region_must(mrd_upkeep_quarantine_load(region.files, NULL, arena, &quarantine, &err), &err);
    assert_int_equal(quarantine.count, 1);
    assert_true(mrd_upkeep_quarantine_has(&quarantine, there->id));
    assert_string_equal(quarantine.records[0].reason, "bytes ?");
    region_close(&region);
}

/* Broken off at any call, here or elsewhere begun again: what is needed stays, what is not goes. */
static void a_sweep_may_die_anywhere(void **state)
{
    (void)state;
    bool came = true;
    for (uint64_t nth = 1; came; nth += nth < 12 ? 1 : 5) {
        struct mrd_error err = {0};
        begin(5);
        region.tenants = 1;
        region.times = 12;
        make_history();
        put_rubbish();
        region.now_ms += 20 * REGION_DAY_MS;
        const struct mrd_fault fault = {.nth = nth, .when = MRD_FAULT_AFTER, .crash = true};
        mrd_fault_store_arm(region.store, &fault);
        struct mrd_upkeep_swept swept;
        struct mrd_upkeep_tables tables = region.tables;
        const struct mrd_upkeep_sweep_options options = {
            .catalog = {.store = region.store, .clock = &region.clock, .writer = "sweep"},
            .blocks_prefix = "blocks/",
            .region = "eu",
            .tables = &tables
        };
        const enum mrd_status status = mrd_upkeep_sweep(&options, &swept, &err);
        came = mrd_fault_store_disarm(region.store);
        assert_true(came || status == MRD_OK);
        expect_whole();
        (void)sweep(region.files, MRD_OK);
        (void)sweep(region.files, MRD_OK);
        expect_whole();
        assert_int_equal(count("blocks/"), 0);
        assert_int_equal(count("eu/nobody/"), 0);
        region_close(&region);
        assert_true(nth < 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_snapshot_has_stays_until_it_is_forgotten),
        cmocka_unit_test(a_table_that_changes_meanwhile_holds_no_other_up),
        cmocka_unit_test(nothing_young_goes),
        cmocka_unit_test(a_table_that_cannot_be_read_loses_nothing),
        cmocka_unit_test(records_about_blocks_that_are_gone_go),
        cmocka_unit_test(a_sweep_may_die_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
