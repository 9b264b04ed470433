/* Merging from the catalog to the catalog: what was written is there in the end, each sample once, whatever comes between. */
#include "upkeep/testing_internal.h"

#include "base/hash.h"
#include "base/testing_rounds.h"

static struct region region;

/* Levels of the catalog's blocks: counts[level]. */
static void count_levels(size_t counts[3])
{
    struct mrd_catalog *catalog = region_open_catalog(&region, region.files);
    struct mrd_catalog_state *state = mrd_catalog_pin(catalog);
    memset(counts, 0, 3 * sizeof(counts[0]));
    for (size_t i = 0; i < mrd_catalog_block_count(state); i++) {
        const struct mrd_block_entry *entry = mrd_catalog_block(state, i);
        counts[entry->level] += entry->resolution_ms == 0;
        if (entry->resolution_ms != 0) { /* none stays behind */
            (void)region_check_rollup(state, entry);
        }
    }
    mrd_catalog_unpin(&state);
    mrd_catalog_close(&catalog);
}

static void expect_levels(size_t days, size_t months)
{
    size_t counts[3];
    count_levels(counts);
    assert_int_equal(counts[0], 0);
    assert_int_equal(counts[1], days);
    assert_int_equal(counts[2], months);
}

/* Blocks that overlap, out of order, with the same values twice: days, then, when the month is over, the month; late samples
 * open it again. */
static void what_was_written_is_there_once(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= testing_rounds(4); seed++) {
        struct region_found found;
        region_open(&region, seed);
        const mrd_time_ms first_ms = region.now_ms - 2 * 3600 * 1000;
        for (size_t i = 0; i < 3; i++) {
            (void)region_write(&region, 40, first_ms + (mrd_time_ms)testing_below(3));
        }
        region_settle(&region); /* January's days are over, but for the delay: so they wait */
        expect_levels(4 * REGION_TENANTS, 0);
        region_expect_model(&region, true);
        region_find_tables(&region, &found);
        region_same(&region, &found);

        region.now_ms += 2 * REGION_DAY_MS;
        region_settle(&region);
        expect_levels(2 * REGION_TENANTS, REGION_TENANTS);
        region_expect_model(&region, true);

        const struct region_found before = found;
        (void)region_write(&region, 30, region.now_ms - 2 * 3600 * 1000); /* late */
        region_settle(&region);
        expect_levels(4 * REGION_TENANTS, REGION_TENANTS);
        region_expect_model(&region, false);
        region_find_tables(&region, &found); /* the late ones of January are not there yet */
        assert_true(found.rows >= before.rows);

        region.now_ms += 2 * REGION_DAY_MS;
        region_settle(&region);
        expect_levels(2 * REGION_TENANTS, REGION_TENANTS);
        region_expect_model(&region, true);
        region_find_tables(&region, &found);
        region_same(&region, &found);
        region_close(&region);
    }
}

static void without_tables_blocks_are_merged_all_the_same(void **state)
{
    (void)state;
    region_open(&region, 77);
    region.tables.root = NULL;
    (void)region_write(&region, 40, region.now_ms - 2 * 3600 * 1000);
    (void)region_write(&region, 40, region.now_ms - 2 * 3600 * 1000);
    region_settle(&region);
    expect_levels(4 * REGION_TENANTS, 0);
    region_expect_model(&region, true);
    region_close(&region);
}

/* ---- several at once ---- */

/* Two have planned the same; the second finds that it has lost, and has changed nothing. */
static void the_second_of_two_loses(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    region_open(&region, 5);
    (void)region_write(&region, 40, region.now_ms - 2 * 3600 * 1000);
    (void)region_write(&region, 40, region.now_ms - 2 * 3600 * 1000);
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("plan", REGION_CHECK_BYTES);
    struct mrd_catalog_state *planned = mrd_catalog_pin(region.catalog);
    struct mrd_upkeep_index index;
    const struct mrd_upkeep_plan_options plan = region_plan(&region);
    const struct mrd_upkeep_unit *units;
    size_t count;
    mrd_upkeep_index_init(&index, planned);
    region_must(mrd_upkeep_plan(planned, &index, &plan, arena, &units, &count, &err), &err);
    assert_int_equal(count, 1);
    region_settle(&region); /* the first */
    const struct mrd_upkeep_merge_options options = {.store = region.store,
                                                     .catalog = region.catalog,
                                                     .clock = &region.clock,
                                                     .region = "eu",
                                                     .holder = "second",
                                                     .tables = &region.tables,
                                                     .memory_bytes_max = REGION_MERGE_BYTES};
    struct mrd_upkeep_merged merged;
    region_must(mrd_upkeep_merge(&options, planned, &index, &units[0], &merged, &err), &err);
    assert_true(merged.lost && !merged.committed);
    assert_int_equal(merged.quarantined, 0);
    region_expect_model(&region, true);
    mrd_upkeep_index_fini(&index);
    mrd_catalog_unpin(&planned);
    region_close(&region);
}

/* A merge of other blocks into the same days, planned before the first was committed: nothing that it removes has gone, but
 * what it writes may have samples that the first has written too. */
static void a_merge_of_other_blocks_into_the_same_days_loses_too(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    region_open(&region, 6);
    const struct mrd_block_entry *other =
        region_write(&region, 40, region.now_ms - 2 * 3600 * 1000);
    struct mrd_catalog_state *planned = mrd_catalog_pin(region.catalog);
    struct mrd_upkeep_index index;
    mrd_upkeep_index_init(&index, planned);
    const struct mrd_upkeep_unit unit = {.kind = MRD_UPKEEP_DAYS,
                                         .residency_class = MRD_BYTES("eu"),
                                         .blocks = &other,
                                         .block_count = 1};
    const struct mrd_block_entry *first =
        region_write(&region, 40, region.now_ms - 2 * 3600 * 1000);
    const struct mrd_upkeep_unit first_unit = {.kind = MRD_UPKEEP_DAYS,
                                               .residency_class = MRD_BYTES("eu"),
                                               .blocks = &first,
                                               .block_count = 1};
    const struct mrd_upkeep_merge_options options = {.store = region.store,
                                                     .catalog = region.catalog,
                                                     .clock = &region.clock,
                                                     .region = "eu",
                                                     .holder = "test",
                                                     .tables = &region.tables,
                                                     .memory_bytes_max = REGION_MERGE_BYTES};
    struct mrd_upkeep_merged merged;
    region_must(mrd_upkeep_merge(&options, planned, &index, &first_unit, &merged, &err), &err);
    assert_true(merged.committed);
    region_must(mrd_upkeep_merge(&options, planned, &index, &unit, &merged, &err), &err);
    assert_true(merged.lost && !merged.committed);
    mrd_upkeep_index_fini(&index);
    mrd_catalog_unpin(&planned);
    region_settle(&region);
    expect_levels(4 * REGION_TENANTS, 0);
    region_expect_model(&region, true);
    region_close(&region);
}

static void mergers_at_once_lose_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 20; seed < 20 + testing_rounds(3); seed++) {
        struct region_racer racers[3] = {
            {.region = &region}, {.region = &region}, {.region = &region}};
        struct region_found found;
        region_open(&region, seed);
        region.now_ms += 3 * REGION_DAY_MS; /* months are due at once */
        for (size_t i = 0; i < 3; i++) {
            (void)region_write(&region, 40, region.now_ms - 2 * REGION_DAY_MS);
        }
        for (size_t i = 0; i < MRD_ARRAY_LEN(racers); i++) {
            assert_int_equal(pthread_create(&racers[i].thread, NULL, region_race, &racers[i]), 0);
        }
        for (size_t i = 0; i < MRD_ARRAY_LEN(racers); i++) {
            assert_int_equal(pthread_join(racers[i].thread, NULL), 0);
            region_must(racers[i].status, &racers[i].err);
        }
        region_settle(&region);
        expect_levels(2 * REGION_TENANTS, REGION_TENANTS);
        region_expect_model(&region, true);
        region_find_tables(&region, &found);
        region_same(&region, &found);
        region_close(&region);
    }
}

/* ---- bad blocks ---- */

static void load_quarantine(struct mrd_arena *arena, struct mrd_upkeep_quarantine *out)
{
    struct mrd_error err = {0};
    region_must(mrd_upkeep_quarantine_load(region.files, NULL, arena, out, &err), &err);
}

static void a_bad_block_goes_into_quarantine_and_holds_up_nothing(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    for (size_t kind = 0; kind < 3; kind++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("records", REGION_CHECK_BYTES);
        struct mrd_upkeep_quarantine quarantine;
        size_t counts[3];
        region_open(&region, 40 + kind);
        const struct mrd_block_entry *bad =
            region_write(&region, 40, region.now_ms - 2 * 3600 * 1000);
        memset(region.model, 0, sizeof(region.model)); /* of the others alone */
        (void)region_write(&region, 40, region.now_ms - 2 * 3600 * 1000);
        (void)region_write(&region, 40, region.now_ms - 2 * 3600 * 1000);
        if (kind == 0) {
            region_must(mrd_objstore_delete(region.files, "blocks/l0-1.mbx", NULL, &err), &err);
        } else if (kind == 1) {
            folder_fixture_flip(region.folder, "blocks/l0-1.mbx", (size_t)bad->sidecar.size / 2, 4);
        } else {
            region_flip(&region, bad->data.key, bad->data.size);
        }
        region_settle(&region);
        count_levels(counts);
        assert_int_equal(counts[0], 1);
        load_quarantine(arena, &quarantine);
        assert_int_equal(quarantine.count, 1);
        assert_true(mrd_upkeep_quarantine_has(&quarantine, bad->id));
        assert_string_equal(quarantine.records[0].data_key, "blocks/l0-1.parquet");
        assert_string_equal(quarantine.records[0].status, kind == 0 ? "not_found" : "corrupt");
        assert_true(strlen(quarantine.records[0].reason) > 0);
        assert_int_equal(quarantine.records[0].since_ms, region.now_ms);

        /* Let back in, it is found bad again. */
        region_must(mrd_upkeep_quarantine_release(region.files, NULL, bad->id, &err), &err);
        assert_int_equal(mrd_upkeep_quarantine_release(region.files, NULL, bad->id, &err),
                         MRD_E_NOT_FOUND);
        region_settle(&region);
        load_quarantine(arena, &quarantine);
        assert_int_equal(quarantine.count, 1);
        region_close(&region);
    }
}

/* Once the bytes are right again, its samples come in. */
static void a_repaired_block_is_merged(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    region_open(&region, 50);
    const struct mrd_block_entry *bad = region_write(&region, 40, region.now_ms - 2 * 3600 * 1000);
    (void)region_write(&region, 40, region.now_ms - 2 * 3600 * 1000);
    region_flip(&region, bad->data.key, bad->data.size);
    region_settle(&region);
    region_flip(&region, bad->data.key, bad->data.size);
    region_settle(&region); /* it stays out until somebody says so */
    size_t counts[3];
    count_levels(counts);
    assert_int_equal(counts[0], 1);
    region_must(mrd_upkeep_quarantine_release(region.files, NULL, bad->id, &err), &err);
    region_settle(&region);
    expect_levels(4 * REGION_TENANTS, 0);
    region_expect_model(&region, true);
    region_close(&region);
}

/* A file of a day that has gone bad: what comes for that day is merged beside it. */
static void a_bad_file_of_a_day_is_gone_around(void **state)
{
    (void)state;
    size_t counts[3];
    region_open(&region, 60);
    (void)region_write(&region, 40, region.now_ms - 2 * 3600 * 1000);
    region_settle(&region);
    struct mrd_catalog_state *pinned = mrd_catalog_pin(region.catalog);
    const struct mrd_block_entry *bad = mrd_catalog_block(pinned, 0);
    region_flip(&region, bad->data.key, bad->data.size);
    mrd_catalog_unpin(&pinned);
    (void)region_write(&region, 90, region.now_ms - 2 * 3600 * 1000);
    region_settle(&region);
    count_levels(counts);
    assert_int_equal(counts[0], 0);
    assert_int_equal(counts[1], 4 * REGION_TENANTS + 1);
    region_close(&region);
}

/* The month of a tenant that has a bad day stays days, so that nobody takes it for whole; others' are merged. */
static void a_month_with_a_bad_day_waits(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    size_t counts[3];
    region_open(&region, 61);
    (void)region_write(&region, 40, region.now_ms - 2 * 3600 * 1000);
    region_settle(&region);
    struct mrd_catalog_state *pinned = mrd_catalog_pin(region.catalog);
    const struct mrd_block_entry *bad = NULL;
    for (size_t i = 0; bad == NULL; i++) { /* a day of January */
        const struct mrd_block_entry *entry = mrd_catalog_block(pinned, i);
        bad = entry->level == 1 && entry->resolution_ms == 0 &&
                      entry->counts.min_ms < REGION_BASE_MS + REGION_DAY_MS
                  ? entry
                  : NULL;
    }
    region_flip(&region, bad->data.key, bad->data.size);
    region.now_ms += 2 * REGION_DAY_MS;
    region_settle(&region);
    count_levels(counts);
    assert_int_equal(counts[1], 2 * REGION_TENANTS + 2);
    assert_int_equal(counts[2], REGION_TENANTS - 1);
    region_flip(&region, bad->data.key, bad->data.size);
    region_must(mrd_upkeep_quarantine_release(region.files, NULL, bad->id, &err), &err);
    mrd_catalog_unpin(&pinned);
    region_settle(&region);
    expect_levels(2 * REGION_TENANTS, REGION_TENANTS);
    region_expect_model(&region, true);
    region_close(&region);
}

/* ---- time ---- */

static int64_t looks;    /* at the clock */
static int64_t jumps_at; /* by more than half of the grace */

static int64_t jumping(void *context)
{
    (void)context;
    return mrd_clock_monotonic_ns(mrd_clock_system()) +
           (++looks > jumps_at ? (int64_t)13 * 3600 * 1000000000 : 0);
}

/* Whoever waits for the end of merges that began before some moment goes by that. */
static void a_merge_ends_after_half_of_the_grace(void **state)
{
    (void)state;
    bool ended = true;
    size_t broken_off = 0;
    for (jumps_at = 1; ended; jumps_at += 1 + jumps_at / 4) {
        struct mrd_error err = {0};
        struct region_found found;
        size_t done;
        region_open(&region, 77);
        region.tenants = 1;
        (void)region_write(&region, 60, region.now_ms - 2 * 3600 * 1000);
        (void)region_write(&region, 60, region.now_ms - 2 * 3600 * 1000);
        looks = 0;
        region.clock.monotonic_ns = jumping;
        const enum mrd_status status =
            region_round(&region, region.catalog, region.store, &done, NULL, &err);
        region.clock.monotonic_ns = region_monotonic;
        ended = looks > jumps_at;
        if (ended && status != MRD_OK) { /* once it is committed, it is */
            assert_int_equal(status, MRD_E_LIMIT);
            assert_non_null(strstr(err.text, "grace"));
            broken_off++;
        } else {
            region_must(status, &err);
        }
        region_expect_model(&region, false);
        region_settle(&region);
        region_expect_model(&region, true);
        region_find_tables(&region, &found);
        region_same(&region, &found);
        region_close(&region);
    }
    assert_true(broken_off > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_there_once),
        cmocka_unit_test(without_tables_blocks_are_merged_all_the_same),
        cmocka_unit_test(the_second_of_two_loses),
        cmocka_unit_test(a_merge_of_other_blocks_into_the_same_days_loses_too),
        cmocka_unit_test(mergers_at_once_lose_nothing),
        cmocka_unit_test(a_bad_block_goes_into_quarantine_and_holds_up_nothing),
        cmocka_unit_test(a_repaired_block_is_merged),
        cmocka_unit_test(a_bad_file_of_a_day_is_gone_around),
        cmocka_unit_test(a_month_with_a_bad_day_waits),
        cmocka_unit_test(a_merge_ends_after_half_of_the_grace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
