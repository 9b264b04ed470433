/* The querier's state of the catalog, with the requests that its blocks owe. */
#include "querier/blocks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "objstore/fault_store.h"
#include "objstore/folder_fixture.h"

static char folder[FOLDER_FIXTURE_PATH_MAX];
static struct mrd_objstore *files;
static struct mrd_objstore *faults; /* what the querier reads through */
static struct mrd_catalog *catalog; /* a compactor's */
static struct mrd_metrics *metrics;
static struct qry_blocks *blocks;
static _Atomic int changes;

static _Atomic int64_t ahead_ms; /* of the machine's monotonic clock */

static int64_t shifted_ns(void *context)
{
    (void)context;
    return mrd_clock_monotonic_ns(mrd_clock_system()) + atomic_load(&ahead_ms) * 1000000;
}
static const struct mrd_clock shifted = {.monotonic_ns = shifted_ns};

static void must(enum mrd_status status, const struct mrd_error *err)
{
    if (status != MRD_OK) {
        fail_msg("status %s: %s", mrd_status_name(status), err->text);
    }
}

static void on_change(void *context, bool known, const struct mrd_error *why)
{
    (void)context;
    (void)known;
    (void)why;
    atomic_fetch_add(&changes, 1);
}

static void commit(const struct mrd_catalog_change *change)
{
    struct mrd_error err = {0};
    must(mrd_catalog_commit(catalog, change, NULL, &err), &err);
}

static struct mrd_block_entry entry_of(const char *id)
{
    const struct mrd_block_counts counts = {
        .series = 1, .samples = 1, .min_ms = 1000, .max_ms = 2000};
    static struct mrd_block_tenant tenant;
    tenant = (struct mrd_block_tenant){.name = MRD_BYTES("t"), .counts = counts};
    return (struct mrd_block_entry){
        .id = mrd_bytes_of(id),
        .level = 1,
        .data = {.key = mrd_bytes_of(id), .size = 100},
        .sidecar = {.key = MRD_BYTES("sidecar"),                       .size = 100},
        .origin = {.residency_class = MRD_BYTES("eu")},
        .counts = counts,
        .tenant_count = 1,
        .tenants = &tenant,
    };
}

static int begin(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    files = folder_fixture_open(folder, NULL);
    faults = mrd_fault_store_create(files);
    metrics = mrd_metrics_create();
    must(mrd_catalog_open(&(struct mrd_catalog_options){.store = files}, NULL, &catalog, &err),
         &err);
    const struct mrd_block_entry entry = entry_of("one");
    commit(&(struct mrd_catalog_change){.add = &entry, .add_count = 1});
    const struct qry_blocks_options options = {.store = faults,
                                               .writer = "querier-1",
                                               .cache_memory_bytes_max = 1 << 20,
                                               .reads = 2,
                                               .refresh_ms = 3600000,
                                               .stale_ms_max = 1800000,
                                               .partition_count = 2,
                                               .clock = &shifted,
                                               .metrics = metrics,
                                               .on_change = on_change};
    atomic_store(&changes, 0);
    atomic_store(&ahead_ms, 0);
    must(qry_blocks_create(&options, &blocks, &err), &err);
    while (atomic_load(&changes) == 0) {
        usleep(1000);
    }
    return 0;
}

static int end(void **state)
{
    (void)state;
    qry_blocks_destroy(&blocks);
    mrd_catalog_close(&catalog);
    mrd_metrics_destroy(&metrics);
    mrd_objstore_close(&faults);
    mrd_objstore_close(&files);
    folder_fixture_remove(folder);
    return 0;
}

/* ---- requests ---- */

struct made {
    struct mrd_catalog_request object;
    struct mrd_buf encoded;
    struct mrd_catalog_erasure_change change;
};

static const uint64_t sequences[2] = {10, 20};

/* A request, and its object. */
static void make(struct made *made, uint64_t number)
{
    struct mrd_error err = {0};
    struct mrd_matcher matcher;
    must(mrd_matcher_init(&matcher, MRD_MATCH_EQ, MRD_BYTES("user"), MRD_BYTES("alice"), &err),
         &err);
    const struct mrd_erasure_selector selector = {&matcher, 1};
    const struct mrd_erasure erasure = {
        .id = {number, 1},
        .tenant = MRD_BYTES("t"),
        .hlc = number,
        .time_max_ms = 5000,
        .selectors = &selector,
        .selector_count = 1
    };
    *made = (struct made){.encoded = {0}};
    must(mrd_erasure_encode(&erasure, &made->encoded, &err), &err);
    must(mrd_catalog_request_put(files, erasure.id, mrd_buf_view(&made->encoded), NULL,
                                 &made->object, &err),
         &err);
    made->change = (struct mrd_catalog_erasure_change){
        .id = erasure.id,
        .tenant = erasure.tenant,
        .hlc = erasure.hlc,
        .time_max_ms = erasure.time_max_ms,
        .request_key = mrd_bytes_of(made->object.key),
        .request_digest = mrd_bytes_of(made->object.digest),
        .sequences = sequences,
        .partition_count = 2,
    };
    mrd_matcher_fini(&matcher);
}

static void expect_owed(const char *block, size_t count, uint64_t *out_number)
{
    struct mrd_error err = {0};
    struct qry_blocks_pin pin = {0};
    must(qry_blocks_pin(blocks, &pin, &err), &err);
    assert_int_equal(mrd_block_index_owed(pin.index, mrd_bytes_of(block)).count, count);
    *out_number = mrd_catalog_number(pin.state);
    qry_blocks_unpin(&pin);
}

static void a_state_is_in_force_with_what_its_blocks_owe(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    struct made first;
    struct made second;
    uint64_t before;
    uint64_t now;
    const struct mrd_query_control control = {.clock = NULL};
    expect_owed("one", 0, &before);

    make(&first, 1);
    must(qry_blocks_commit(
             blocks, &(struct mrd_catalog_change){.erasures = &first.change, .erasure_count = 1},
             &control, &now, &err),
         &err);
    assert_true(now > before);
    expect_owed("one", 1, &before);
    assert_int_equal(before, now);
    must(qry_blocks_reach(blocks, now, &err), &err);
    assert_int_equal(qry_blocks_reach(blocks, now + 1, &err), MRD_E_UNAVAILABLE);

    /* A request that cannot be read: the state before stays, and no later one is said to be reached. */
    make(&second, 2);
    must(mrd_objstore_delete(files, second.object.key, NULL, &err), &err);
    commit(&(struct mrd_catalog_change){.erasures = &second.change, .erasure_count = 1});
    assert_int_equal(qry_blocks_refresh(blocks, NULL, &err), MRD_E_UNAVAILABLE);
    assert_non_null(strstr(err.text, second.object.key));
    expect_owed("one", 1, &now);
    assert_int_equal(now, before);
    assert_int_equal(qry_blocks_reach(blocks, before + 1, &err), MRD_E_UNAVAILABLE);
    must(mrd_objstore_put(files, second.object.key, mrd_buf_view(&second.encoded), NULL, &err),
         &err);
    must(qry_blocks_refresh(blocks, NULL, &err), &err);
    expect_owed("one", 2, &now);
    assert_int_equal(now, before + 1);

    /* Settled: the requests may go. */
    const struct mrd_bytes gone = MRD_BYTES("one");
    const struct mrd_block_entry entry = entry_of("two");
    const struct mrd_catalog_settled settled[] = {
        {first.change.id,  gone, 1},
        {second.change.id, gone, 1},
    };
    commit(&(struct mrd_catalog_change){.add = &entry,
                                        .add_count = 1,
                                        .remove = &gone,
                                        .remove_count = 1,
                                        .settled = settled,
                                        .settled_count = 2});
    must(mrd_objstore_delete(files, first.object.key, NULL, &err), &err);
    must(mrd_objstore_delete(files, second.object.key, NULL, &err), &err);
    must(qry_blocks_refresh(blocks, NULL, &err), &err);
    expect_owed("one", 0, &now);
    expect_owed("two", 0, &now);
    mrd_buf_fini(&first.encoded);
    mrd_buf_fini(&second.encoded);
}

static void a_commit_that_cannot_be_is_not(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    struct made made;
    uint64_t before;
    uint64_t now;
    const struct mrd_query_control control = {.clock = NULL};
    const struct mrd_catalog_built_change built = {.partition = 1, .to = 20};
    commit(&(struct mrd_catalog_change){.built = &built, .built_count = 1});
    make(&made, 3);
    const struct mrd_catalog_change change = {.erasures = &made.change, .erasure_count = 1};
    assert_int_equal(qry_blocks_commit(blocks, &change, &control, &now, &err), MRD_E_CONFLICT);
    must(qry_blocks_refresh(blocks, NULL, &err), &err);
    expect_owed("one", 0, &before);
    mrd_buf_fini(&made.encoded);
}

static bool is_stale(void)
{
    struct mrd_error err = {0};
    struct qry_blocks_pin pin = {0};
    must(qry_blocks_pin(blocks, &pin, &err), &err);
    const bool stale = pin.stale;
    qry_blocks_unpin(&pin);
    return stale;
}

static void a_state_is_given_up_before_the_grace_that_it_says_is_over(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    const mrd_time_ms minute_ms = 60 * 1000;
    atomic_store(&ahead_ms, 29 * minute_ms);
    assert_false(is_stale()); /* as configured: half an hour */
    commit(&(struct mrd_catalog_change){.grace_ms = 10 * minute_ms});
    assert_false(is_stale()); /* which a state of before goes on with */
    must(qry_blocks_refresh(blocks, NULL, &err), &err);
    atomic_fetch_add(&ahead_ms, 9 * minute_ms);
    assert_false(is_stale());
    atomic_fetch_add(&ahead_ms, minute_ms - 1000);
    assert_true(is_stale());
    commit(&(struct mrd_catalog_change){.grace_ms = 60 * minute_ms});
    must(qry_blocks_refresh(blocks, NULL, &err), &err);
    atomic_fetch_add(&ahead_ms, 29 * minute_ms);
    assert_false(is_stale());
    atomic_fetch_add(&ahead_ms, 2 * minute_ms);
    assert_true(is_stale());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_state_is_in_force_with_what_its_blocks_owe, begin, end),
        cmocka_unit_test_setup_teardown(a_commit_that_cannot_be_is_not, begin, end),
        cmocka_unit_test_setup_teardown(a_state_is_given_up_before_the_grace_that_it_says_is_over,
                                        begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
