/* What is out of retention goes, by its kind and tenant, and nothing else. */
#include "upkeep/expire.h"
#include "upkeep/testing_internal.h"

static struct region region;

/* Days that samples and rollups are kept. */
struct kept {
    int samples;
    int hours;
    int days;
};

/* Tenant 1 keeps everything. */
static mrd_time_ms kept_ms(void *context, struct mrd_bytes tenant, mrd_time_ms resolution_ms)
{
    const struct kept *kept = context;
    const int days = resolution_ms == 0                  ? kept->samples
                     : resolution_ms == MRD_ROLLUP_1H_MS ? kept->hours
                                                         : kept->days;
    return mrd_bytes_equal(tenant, MRD_BYTES("tenant-1")) ? 0 : days * REGION_DAY_MS;
}

static struct mrd_upkeep_expired expire(struct kept kept)
{
    struct mrd_error err = {0};
    struct mrd_upkeep_expired expired;
    struct mrd_upkeep_tables tables = region.tables;
    tables.store = region.store;
    const struct mrd_upkeep_expire_options options = {.catalog = region.catalog,
                                                      .tables = &tables,
                                                      .now_ms = region.now_ms,
                                                      .kept_ms = kept_ms,
                                                      .context = &kept};
    region_must(mrd_upkeep_expire(&options, &expired, &err), &err);
    region_must(expired.publish_error.status, &expired.publish_error);
    return expired;
}

struct tally {
    size_t of[3]; /* samples, hours, days */
};

/* The blocks of tenants 0 and 2 that end before or at `last_ms`, or after it. */
static struct tally count(bool after, mrd_time_ms last_ms)
{
    struct tally tally = {{0}};
    struct mrd_catalog_state *state = mrd_catalog_pin(region.catalog);
    for (size_t i = 0; i < mrd_catalog_block_count(state); i++) {
        const struct mrd_block_entry *block = mrd_catalog_block(state, i);
        const size_t kind = block->resolution_ms == 0                  ? 0
                            : block->resolution_ms == MRD_ROLLUP_1H_MS ? 1
                                                                       : 2;
        if (!mrd_bytes_equal(mrd_upkeep_tenant_of(block), MRD_BYTES("tenant-1"))) {
            tally.of[kind] += after == (block->counts.max_ms > last_ms);
        }
    }
    mrd_catalog_unpin(&state);
    return tally;
}

/* Four days, of which two are January's: merged into days. */
static void make_days(void)
{
    region_open(&region, 1);
    (void)region_write(&region, 100, region.now_ms);
    region.now_ms += 2 * 3600 * 1000;
    region_settle(&region);
}

static struct mrd_merge_range period_of(unsigned level, mrd_time_ms resolution_ms,
                                        mrd_time_ms min_ms, mrd_time_ms max_ms)
{
    const struct mrd_block_entry block = {
        .level = level,
        .resolution_ms = resolution_ms,
        .counts = {.min_ms = min_ms, .max_ms = max_ms},
    };
    return mrd_upkeep_period_of(&block);
}

/* Of a day and of a month; a moment is the end of a window of rows, or a sample's time. */
static void a_window_that_ends_at_midnight_goes_with_the_period_that_it_is_of(void **state)
{
    (void)state;
    const mrd_time_ms day_ms = REGION_BASE_MS + REGION_DAY_MS;
    const mrd_time_ms month_ms = mrd_merge_period_of(MRD_MERGE_MONTH, day_ms).last_ms + 1;
    static const mrd_time_ms resolutions_ms[] = {MRD_ROLLUP_5M_MS, MRD_ROLLUP_1D_MS};
    assert_int_equal(period_of(1, 0, day_ms, day_ms).first_ms, day_ms);
    assert_int_equal(period_of(2, 0, month_ms, month_ms).first_ms, month_ms);
    for (size_t i = 0; i < MRD_ARRAY_LEN(resolutions_ms); i++) {
        const mrd_time_ms resolution_ms = resolutions_ms[i];
        const mrd_time_ms next_ms = day_ms + REGION_DAY_MS;
        /* All of a day's, or its last window alone. */
        assert_int_equal(period_of(1, resolution_ms, day_ms, next_ms).first_ms, day_ms);
        assert_int_equal(period_of(1, resolution_ms, next_ms, next_ms).first_ms, day_ms);
        assert_int_equal(period_of(1, resolution_ms, day_ms, day_ms + resolution_ms).first_ms,
                         day_ms);
        /* What a sample at midnight has left of a day or month: nothing is younger than the period. */
        assert_int_equal(period_of(1, resolution_ms, day_ms, day_ms).last_ms + 1, day_ms);
        assert_int_equal(period_of(2, resolution_ms, month_ms, month_ms).last_ms + 1, month_ms);
    }
}

static void days_go_when_all_of_them_is_old(void **state)
{
    (void)state;
    make_days();
    /* It is 2 o'clock of the sixth day: four days and an hour ago the second day had just begun. */
    struct mrd_upkeep_expired expired = expire((struct kept){4, 4, 4});
    const mrd_time_ms first_end_ms = REGION_BASE_MS + REGION_DAY_MS;
    assert_int_equal(expired.blocks, 2); /* of two tenants */
    assert_int_equal(expired.rollups, 4);
    assert_true(expired.samples > 0 && expired.bytes > 0);
    struct tally left = count(true, first_end_ms);
    assert_int_equal(left.of[0], 6);
    left = count(false, first_end_ms);
    assert_int_equal(left.of[0] + left.of[1] + left.of[2], 0);
    assert_int_equal(region_table_files(&region, MRD_BYTES("tenant-2"), "samples"), 3);
    assert_int_equal(region_table_files(&region, MRD_BYTES("tenant-2"), "samples_1h"), 3);
    assert_int_equal(region_table_files(&region, MRD_BYTES("tenant-1"), "samples"), 4);
    expired = expire((struct kept){4, 4, 4});
    assert_int_equal(expired.blocks + expired.rollups, 0);
    region_close(&region);
}

static void rollups_outlive_what_they_stand_for(void **state)
{
    (void)state;
    make_days();
    const struct mrd_upkeep_expired expired = expire((struct kept){1, 4, 0});
    assert_int_equal(expired.blocks, 2 * 4);
    assert_int_equal(expired.rollups, 2);
    assert_int_equal(region_table_files(&region, MRD_BYTES("tenant-2"), "samples"), 0);
    assert_int_equal(region_table_files(&region, MRD_BYTES("tenant-2"), "samples_1h"), 3);
    assert_int_equal(region_table_files(&region, MRD_BYTES("tenant-2"), "samples_1d"), 4);
    /* A merge of another day does not take them away. */
    (void)region_write(&region, 50, region.now_ms);
    region.now_ms += 2 * 3600 * 1000;
    region_settle(&region);
    assert_true(region_table_files(&region, MRD_BYTES("tenant-2"), "samples_1h") >= 3);
    region_close(&region);
}

static void samples_that_come_when_their_day_has_gone_leave_no_rows(void **state)
{
    (void)state;
    make_days();
    (void)expire((struct kept){1, 0, 0});
    const struct tally before = count(true, INT64_MIN);
    assert_int_equal(before.of[0], 0);
    (void)region_write(&region, 50, region.now_ms);
    region.now_ms += 2 * 3600 * 1000;
    region_settle(&region);
    assert_int_equal(count(true, INT64_MIN).of[1], 2 * before.of[1]);
    (void)expire((struct kept){1, 0, 0});
    const struct tally after = count(true, INT64_MIN);
    assert_int_equal(after.of[0], 0);
    assert_int_equal(after.of[1], before.of[1]);
    region_close(&region);
}

static void months_go_as_a_whole(void **state)
{
    (void)state;
    make_days();
    region.now_ms += 40 * REGION_DAY_MS;
    region_settle(&region);
    /* January's end is 43 days ago, February's 14. */
    assert_int_equal(expire((struct kept){44, 44, 44}).blocks, 0);
    assert_int_equal(expire((struct kept){42, 42, 42}).blocks, 2);
    struct tally left = count(true, INT64_MIN);
    assert_int_equal(left.of[0], 2);
    assert_int_equal(expire((struct kept){13, 0, 0}).blocks, 2);
    left = count(true, INT64_MIN);
    assert_int_equal(left.of[0], 0);
    assert_int_equal(left.of[1], 2);
    region_close(&region);
}

static void what_owes_an_erasure_waits(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    static const uint64_t sequence = 1000;
    make_days();
    const struct mrd_catalog_erasure_change erasure = {
        .id = {1, 1},
        .tenant = MRD_BYTES("tenant-2"),
        .hlc = 1,
        .time_min_ms = INT64_MIN,
        .time_max_ms = INT64_MAX,
        .request_key = MRD_BYTES("erasures/x"),
        .request_digest =
            MRD_BYTES("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
        .sequences = &sequence,
        .partition_count = 1,
    };
    const struct mrd_catalog_change change = {.erasures = &erasure, .erasure_count = 1};
    region_must(mrd_catalog_commit(region.catalog, &change, NULL, &err), &err);
    assert_int_equal(expire((struct kept){1, 1, 1}).blocks, 4); /* the other tenant's */
    region_close(&region);
}

/* One of several files of a day owes, and is to be written anew with the rollups that stand for all of them: rows of the others' series would be lost
 * if these went before. */
static void the_files_of_a_day_wait_for_one_that_owes(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    region_open(&region, 9);
    region.shard_bytes = 1; /* a file for each series */
    (void)region_write(&region, 100, region.now_ms);
    region.now_ms += 2 * 3600 * 1000;
    region_settle(&region);
    assert_int_equal(count(true, INT64_MIN).of[0], 2 * 4 * REGION_SERIES);
    region_erase(&region, (struct region_request){.tenant = 2, .series = 1, .first = 2, .last = 5},
                 0);
    struct mrd_catalog_settled settled[REGION_SERIES];
    size_t settled_count = 0;
    region_must(mrd_catalog_refresh(region.catalog, NULL, &err), &err);
    struct mrd_catalog_state *pinned = mrd_catalog_pin(region.catalog);
    const struct mrd_catalog_erasure *erasure = mrd_catalog_erasure_at(pinned, 0);
    for (size_t i = 0; i < erasure->owed_count; i++) {
        const struct mrd_bytes id = mrd_catalog_erasure_owed(erasure, i);
        if (mrd_catalog_find(pinned, id)->resolution_ms == 0 && settled_count + 1 < REGION_SERIES) {
            settled[settled_count++] =
                (struct mrd_catalog_settled){.erasure = erasure->id, .block = id};
        }
    }
    assert_int_equal(settled_count, REGION_SERIES - 1); /* as if they had nothing of it */
    const struct mrd_catalog_change change = {.settled = settled, .settled_count = settled_count};
    region_must(mrd_catalog_commit(region.catalog, &change, NULL, &err), &err);
    mrd_catalog_unpin(&pinned);
    assert_int_equal(expire((struct kept){1, 0, 0}).blocks, (4 + 3) * REGION_SERIES);
    assert_int_equal(count(true, INT64_MIN).of[0], REGION_SERIES);
    region_close(&region);
}

/* Every call to the store fails in turn; the next round does the rest. */
static void an_expiry_that_is_broken_off_is_done_by_the_next(void **state)
{
    (void)state;
    bool happened = true;
    for (uint64_t nth = 1; happened; nth++) {
        struct mrd_error err = {0};
        struct kept kept = {4, 4, 4};
        struct mrd_upkeep_expired expired;
        make_days();
        struct mrd_upkeep_tables tables = region.tables;
        tables.store = region.store;
        const struct mrd_upkeep_expire_options options = {.catalog = region.catalog,
                                                          .tables = &tables,
                                                          .now_ms = region.now_ms,
                                                          .kept_ms = kept_ms,
                                                          .context = &kept};
        mrd_fault_store_arm(region.store, &(struct mrd_fault){.nth = nth});
        const enum mrd_status status = mrd_upkeep_expire(&options, &expired, &err);
        happened = mrd_fault_store_disarm(region.store);
        assert_true(status == MRD_OK || (happened && err.text[0] != '\0'));
        (void)expire(kept);
        assert_int_equal(count(true, INT64_MIN).of[0], 6);
        assert_int_equal(region_table_files(&region, MRD_BYTES("tenant-2"), "samples"), 3);
        region_close(&region);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_that_ends_at_midnight_goes_with_the_period_that_it_is_of),
        cmocka_unit_test(days_go_when_all_of_them_is_old),
        cmocka_unit_test(rollups_outlive_what_they_stand_for),
        cmocka_unit_test(samples_that_come_when_their_day_has_gone_leave_no_rows),
        cmocka_unit_test(months_go_as_a_whole),
        cmocka_unit_test(what_owes_an_erasure_waits),
        cmocka_unit_test(the_files_of_a_day_wait_for_one_that_owes),
        cmocka_unit_test(an_expiry_that_is_broken_off_is_done_by_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
