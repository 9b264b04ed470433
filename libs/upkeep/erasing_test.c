/* Erasures in blocks: what owes them is written anew without it, at every level, whatever comes between. */
#include "upkeep/testing_internal.h"

#include "base/testing_rounds.h"
static struct region region;

/* Any part of a series of the region. */
static struct region_request any_request(void)
{
    const size_t first = testing_below(REGION_TIMES);
    return (struct region_request){.tenant = testing_below(REGION_TENANTS),
                                   .series = testing_below(REGION_SERIES),
                                   .first = first,
                                   .last = first + testing_below(REGION_TIMES - first)};
}

static void write_some(void) { (void)region_write(&region, 30, region.now_ms - 2 * 3600 * 1000); }

/* Everything is as the model has it, in blocks and tables, and nothing is owed. */
static void expect_erased(void)
{
    struct region_found found;
    assert_int_equal(region_owed(&region), 0);
    region_expect_model(&region, true);
    region_find_tables(&region, &found);
    region_same(&region, &found);
}

/* Requests before and after each step of the blocks' life: level 0, days, months, late samples. */
static void what_is_owed_goes_at_every_level(void **state)
{
    (void)state;
    uint64_t samples = 0;
    uint64_t blocks = 0;
    for (uint64_t seed = 1; seed <= testing_rounds(6); seed++) {
        region_open(&region, 100 + seed);
        write_some();
        write_some();
        region_erase(&region, any_request(), (unsigned)testing_below(2));
        write_some(); /* before or after it */
        region_settle(&region);
        region_erase(&region, any_request(), 1); /* of days */
        write_some();
        region_settle(&region);
        assert_int_equal(region_owed(&region), 0);
        region_expect_model(&region, true);

        region.now_ms += 2 * REGION_DAY_MS;
        region_settle(&region);
        region_erase(&region, any_request(), 0); /* of months and days */
        region_erase(&region, any_request(), 0);
        region_settle(&region);
        expect_erased();

        write_some(); /* late, and the requests have nothing of it */
        region.now_ms += 2 * REGION_DAY_MS;
        region_erase(&region, any_request(), 1);
        region_settle(&region);
        region_settle(&region);
        expect_erased();

        struct mrd_catalog_state *pinned = mrd_catalog_pin(region.catalog);
        for (size_t i = 0; i < mrd_catalog_erasure_count(pinned); i++) {
            const struct mrd_catalog_erasure *erasure = mrd_catalog_erasure_at(pinned, i);
            samples += erasure->samples;
            blocks += erasure->blocks;
            assert_true(erasure->samples >= erasure->blocks);
            assert_true((erasure->blocks > 0) == (erasure->leaving_count > 0));
        }
        mrd_catalog_unpin(&pinned);
        region_close(&region);
    }
    assert_true(samples > 500 / testing_share());
    assert_true(blocks > 50 / testing_share());
}

/* What has no series of it stays as it is. */
static void what_has_nothing_of_it_is_not_written_anew(void **state)
{
    (void)state;
    region_open(&region, 7);
    write_some();
    region_settle(&region);
    struct mrd_catalog_state *before = mrd_catalog_pin(region.catalog);
    region_erase(&region,
                 (struct region_request){.series = REGION_SERIES, .last = REGION_TIMES - 1}, 0);
    assert_int_equal(region_owed(&region), 4 + 8); /* days of a tenant, and their rollups */
    region_settle(&region);
    assert_int_equal(region_owed(&region), 0);
    struct mrd_catalog_state *after = mrd_catalog_pin(region.catalog);
    assert_int_equal(mrd_catalog_block_count(after), mrd_catalog_block_count(before));
    for (size_t i = 0; i < mrd_catalog_block_count(before); i++) {
        assert_non_null(mrd_catalog_find(after, mrd_catalog_block(before, i)->id));
    }
    const struct mrd_catalog_erasure *erasure = mrd_catalog_erasure_at(after, 0);
    assert_int_equal(erasure->blocks + erasure->samples, 0);
    assert_int_equal(erasure->leaving_count, 1); /* of level 0, gone before */
    assert_true(mrd_catalog_number(after) <=
                mrd_catalog_number(before) + 4); /* itself, two months, rollups */
    mrd_catalog_unpin(&before);
    mrd_catalog_unpin(&after);
    region_close(&region);
}

/* ---- while a merge runs ---- */

static struct mrd_upkeep_merged merge_planned(struct mrd_catalog_state *planned)
{
    struct mrd_error err = {0};
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("plan", REGION_CHECK_BYTES);
    struct mrd_upkeep_index index;
    const struct mrd_upkeep_plan_options plan = region_plan(&region);
    const struct mrd_upkeep_unit *units;
    struct mrd_upkeep_merged merged;
    size_t count;
    mrd_upkeep_index_init(&index, planned);
    region_must(mrd_upkeep_plan(planned, &index, &plan, arena, &units, &count, &err), &err);
    assert_int_equal(count, 1);
    const struct mrd_upkeep_merge_options options = {.store = region.store,
                                                     .catalog = region.catalog,
                                                     .clock = &region.clock,
                                                     .region = "eu",
                                                     .holder = "test",
                                                     .tables = &region.tables,
                                                     .memory_bytes_max = REGION_MERGE_BYTES,
                                                     .resolutions_ms = region_resolutions_ms,
                                                     .resolution_count =
                                                         MRD_ARRAY_LEN(region_resolutions_ms)};
    region_must(mrd_upkeep_merge(&options, planned, &index, &units[0], &merged, &err), &err);
    mrd_upkeep_index_fini(&index);
    return merged;
}

static void an_erasure_overtakes_a_merge_that_has_its_samples(void **state)
{
    (void)state;
    for (size_t matches = 0; matches < 2; matches++) {
        region_open(&region, 11);
        write_some();
        write_some();
        struct mrd_catalog_state *planned = mrd_catalog_pin(region.catalog);
        region_erase(&region,
                     (struct region_request){.series = matches == 1 ? 1 : REGION_SERIES,
                                             .last = REGION_TIMES - 1},
                     0);
        const struct mrd_upkeep_merged merged = merge_planned(planned);
        assert_int_equal(merged.overtaken, matches == 1);
        assert_int_equal(merged.lost, matches == 1);
        assert_int_equal(merged.committed, matches == 0);
        assert_int_equal(merged.settled, matches == 0 ? 2 : 0);
        mrd_catalog_unpin(&planned);
        region_settle(&region);
        expect_erased();
        region_close(&region);
    }
}

static void those_who_erase_at_once_lose_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 20; seed < 20 + testing_rounds(3); seed++) {
        struct region_racer racers[3] = {
            {.region = &region}, {.region = &region}, {.region = &region}};
        region_open(&region, seed);
        write_some();
        write_some();
        region_settle(&region);
        /* Stamped later than the others: months keep no stamps. */
        (void)region_write(&region, 30, region.now_ms - 3600 * 1000);
        region.now_ms += 3 * REGION_DAY_MS; /* months are due at once */
        for (size_t i = 0; i < 4; i++) {
            region_erase(&region, any_request(), 0);
        }
        for (size_t i = 0; i < MRD_ARRAY_LEN(racers); i++) {
            assert_int_equal(pthread_create(&racers[i].thread, NULL, region_race, &racers[i]), 0);
        }
        for (size_t i = 0; i < MRD_ARRAY_LEN(racers); i++) {
            assert_int_equal(pthread_join(racers[i].thread, NULL), 0);
            region_must(racers[i].status, &racers[i].err);
        }
        region_settle(&region);
        expect_erased();
        region_close(&region);
    }
}

/* ---- what cannot be read ---- */

/* A bad file goes on owing until somebody has looked at it; others of the tenant are written anew. */
static void what_is_in_quarantine_goes_on_owing(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    region_open(&region, 31);
    write_some();
    region_settle(&region);
    struct mrd_catalog_state *pinned = mrd_catalog_pin(region.catalog);
    const struct mrd_block_entry *bad = NULL;
    for (size_t i = 0; bad == NULL; i++) {
        const struct mrd_block_entry *entry = mrd_catalog_block(pinned, i);
        const bool ours = mrd_bytes_equal(entry->tenants[0].name, MRD_BYTES("tenant-1"));
        bad = ours && entry->resolution_ms == 0 ? entry : NULL;
    }
    region_flip(&region, bad->data.key, bad->data.size);
    region_erase(&region,
                 (struct region_request){.tenant = 1, .series = 2, .last = REGION_TIMES - 1}, 0);
    region_settle(&region);
    assert_int_equal(region_owed(&region), 3); /* it, and the rollups that stand for it */
    region_flip(&region, bad->data.key, bad->data.size);
    region_must(mrd_upkeep_quarantine_release(region.files, NULL, bad->id, &err), &err);
    mrd_catalog_unpin(&pinned);
    region_settle(&region);
    expect_erased();
    region_close(&region);
}

/* ---- dying ---- */

/* Days of one tenant, of which one owes; returns false once the n-th call never came. */
static bool fail_at(uint64_t nth, bool crash)
{
    struct mrd_error err = {0};
    size_t done = 0;
    region_open(&region, 41);
    region.tenants = 1;
    region.times = 20;
    (void)region_write(&region, 60, region.now_ms - 2 * 3600 * 1000);
    region_settle(&region);
    region_erase(&region, (struct region_request){.series = 1, .first = 1, .last = 14}, 0);
    const struct mrd_fault fault = {.nth = nth, .when = MRD_FAULT_AFTER, .crash = crash};
    mrd_fault_store_arm(region.store, &fault);
    const enum mrd_status status =
        region_round(&region, region.catalog, region.store, &done, NULL, &err);
    const bool came = mrd_fault_store_disarm(region.store);
    if (!came) {
        region_must(status, &err);
    }
    if (crash) {
        mrd_catalog_close(&region.catalog);
        region.catalog = region_open_catalog(&region, region.store);
    }
    region_settle(&region);
    expect_erased();
    region_close(&region);
    return came;
}

static void who_erases_may_die_anywhere(void **state)
{
    (void)state;
    for (size_t crash = 0; crash < 2; crash++) {
        uint64_t nth = 1;
        while (fail_at(nth, crash == 1)) {
            nth += testing_stride();
            assert_true(nth < 1000);
        }
        assert_true(nth > 15);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_owed_goes_at_every_level),
        cmocka_unit_test(what_has_nothing_of_it_is_not_written_anew),
        cmocka_unit_test(an_erasure_overtakes_a_merge_that_has_its_samples),
        cmocka_unit_test(those_who_erase_at_once_lose_nothing),
        cmocka_unit_test(what_is_in_quarantine_goes_on_owing),
        cmocka_unit_test(who_erases_may_die_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
