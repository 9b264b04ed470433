/* What is due when. */
#include "upkeep/testing_internal.h"

enum { HOUR_MS = 3600 * 1000 };

static struct region region;
static struct mrd_arena *arena;

static int begin(void **state)
{
    (void)state;
    region_open(&region, 1);
    arena = mrd_arena_create("units", REGION_CHECK_BYTES);
    return 0;
}

static int end(void **state)
{
    (void)state;
    region_close(&region);
    mrd_arena_destroy(&arena);
    return 0;
}

/* ---- blocks that only the catalog knows ---- */

struct fact {
    unsigned level;
    const char *class;
    const char *tenant; /* of level 1 and above */
    mrd_time_ms first_ms;
    mrd_time_ms last_ms;
    uint64_t samples;
    uint64_t tenants;
    mrd_time_ms received_ms;
};

static const char *add(const struct fact *fact)
{
    static unsigned number;
    struct mrd_error err = {0};
    const char *id = mrd_arena_printf(arena, "b%u", ++number);
    const struct mrd_block_counts counts = {.series = fact->tenants,
                                            .samples = fact->samples,
                                            .min_ms = fact->first_ms,
                                            .max_ms = fact->last_ms};
    const struct mrd_block_tenant tenant = {
        mrd_bytes_of(fact->tenant == NULL ? "one" : fact->tenant), counts};
    const struct mrd_block_entry entry = {
        .id = mrd_bytes_of(id),
        .level = fact->level,
        .data = {mrd_bytes_of(mrd_arena_printf(arena,          "blocks/%s.parquet", id)), 10, 0 },
        .sidecar = {mrd_bytes_of(mrd_arena_printf(arena,          "blocks/%s.mbx",     id)), 10, 0 },
        .origin = {.residency_class = mrd_bytes_of(fact->class),
                 .hlc_min = mrd_hlc_make(fact->received_ms,                         0),
                 .hlc_fence = mrd_hlc_make(fact->received_ms + 1,                             0)},
        .counts = counts,
        .tenant_count = fact->tenants,
        .tenants = fact->tenants == 1 ? &tenant : NULL,
    };
    const struct mrd_catalog_change change = {.add = &entry, .add_count = 1};
    region_must(mrd_catalog_commit(region.catalog, &change, NULL, &err), &err);
    return id;
}

static size_t plan(const struct mrd_upkeep_plan_options *options,
                   const struct mrd_upkeep_unit **out_units)
{
    struct mrd_error err = {0};
    struct mrd_catalog_state *state = mrd_catalog_pin(region.catalog);
    struct mrd_upkeep_index index;
    size_t count;
    mrd_upkeep_index_init(&index, state);
    region_must(mrd_upkeep_plan(state, &index, options, arena, out_units, &count, &err), &err);
    mrd_upkeep_index_fini(&index);
    mrd_catalog_unpin(&state); /* the catalog has it still */
    return count;
}

static struct mrd_upkeep_plan_options options_at(mrd_time_ms now_ms)
{
    return (struct mrd_upkeep_plan_options){.now_ms = now_ms,
                                            .age_ms_max = HOUR_MS,
                                            .tenant_rows_min = 1000,
                                            .month_delay_ms = REGION_DAY_MS};
}

#define DAY0 REGION_BASE_MS

static void small_tenants_wait_for_age(void **state)
{
    (void)state;
    const struct mrd_upkeep_unit *units;
    const struct fact fact = {.class = "eu",
                              .first_ms = DAY0,
                              .last_ms = DAY0 + 1000,
                              .samples = 100000,
                              .tenants = 2000,
                              .received_ms = DAY0};
    (void)add(&fact);
    struct mrd_upkeep_plan_options options = options_at(DAY0 + HOUR_MS - 1);
    assert_int_equal(plan(&options, &units), 0);
    options.now_ms = DAY0 + HOUR_MS;
    assert_int_equal(plan(&options, &units), 1);
    assert_int_equal(units[0].kind, MRD_UPKEEP_DAYS);
    assert_int_equal(units[0].block_count, 1);
    assert_int_equal(units[0].samples, 100000);
}

static void large_tenants_do_not_wait(void **state)
{
    (void)state;
    const struct mrd_upkeep_unit *units;
    struct fact fact = {.class = "eu",
                        .first_ms = DAY0,
                        .last_ms = DAY0 + 1000,
                        .samples = 999,
                        .tenants = 1,
                        .received_ms = DAY0};
    const struct mrd_upkeep_plan_options options = options_at(DAY0 + 1);
    (void)add(&fact);
    assert_int_equal(plan(&options, &units), 0);
    fact.samples = 1;
    (void)add(&fact);
    assert_int_equal(plan(&options, &units), 1);
    assert_int_equal(units[0].block_count, 2);
}

/* Not if four times as much had to be written anew. */
static void what_is_written_anew_is_bounded(void **state)
{
    (void)state;
    const struct mrd_upkeep_unit *units;
    struct fact fact = {.class = "eu",
                        .first_ms = DAY0,
                        .last_ms = DAY0 + 1000,
                        .samples = 1000,
                        .tenants = 1,
                        .received_ms = DAY0};
    const struct mrd_upkeep_plan_options options = options_at(DAY0 + 1);
    (void)add(&fact);
    fact.level = 1;
    fact.samples = 4000;
    (void)add(&fact);
    assert_int_equal(plan(&options, &units), 1);
    fact.first_ms -= REGION_DAY_MS; /* another day, another class: not written anew */
    fact.last_ms -= REGION_DAY_MS;
    (void)add(&fact);
    fact.first_ms += REGION_DAY_MS;
    fact.last_ms += REGION_DAY_MS;
    fact.class = "us";
    (void)add(&fact);
    assert_int_equal(plan(&options, &units), 1);
    fact.class = "eu";
    fact.samples = 1;
    (void)add(&fact);
    assert_int_equal(plan(&options, &units), 0);
}

static void classes_are_apart_and_batches_bounded(void **state)
{
    (void)state;
    const struct mrd_upkeep_unit *units;
    struct fact fact = {.class = "eu",
                        .first_ms = DAY0,
                        .last_ms = DAY0 + 1000,
                        .samples = 1,
                        .tenants = 1,
                        .received_ms = DAY0 + 5};
    const struct mrd_upkeep_plan_options options = options_at(DAY0 + HOUR_MS + 10);
    for (size_t i = 0; i < MRD_MERGE_BATCH_MAX + 1; i++) {
        fact.received_ms = DAY0 + 5 + (mrd_time_ms)i % 7;
        (void)add(&fact);
    }
    fact.class = "us";
    fact.received_ms = DAY0;
    const char *alone = add(&fact);
    assert_int_equal(plan(&options, &units), 2);
    assert_int_equal(units[0].block_count, 1);
    assert_true(mrd_bytes_equal(units[0].blocks[0]->id, mrd_bytes_of(alone)));
    assert_int_equal(units[1].block_count, MRD_MERGE_BATCH_MAX);
    assert_string_not_equal(units[0].lease, units[1].lease);
    for (size_t i = 1; i < units[1].block_count; i++) { /* the oldest first */
        assert_true(units[1].blocks[i - 1]->origin.hlc_min <= units[1].blocks[i]->origin.hlc_min);
    }
}

static void months_are_merged_when_they_are_over(void **state)
{
    (void)state;
    const struct mrd_upkeep_unit *units;
    const mrd_time_ms february_ms = DAY0 + 2 * REGION_DAY_MS;
    struct fact fact = {.level = 1,
                        .class = "eu",
                        .tenant = "a",
                        .first_ms = DAY0,
                        .last_ms = DAY0 + 1000,
                        .samples = 10,
                        .tenants = 1,
                        .received_ms = DAY0};
    (void)add(&fact);
    fact.first_ms = fact.last_ms = february_ms - 1;
    (void)add(&fact);
    fact.first_ms = fact.last_ms = february_ms;
    (void)add(&fact);
    fact.tenant = "b";
    fact.first_ms = fact.last_ms = DAY0;
    (void)add(&fact);
    struct mrd_upkeep_plan_options options = options_at(february_ms + REGION_DAY_MS - 1);
    assert_int_equal(plan(&options, &units), 0);
    options.now_ms++;
    assert_int_equal(plan(&options, &units), 2);
    for (size_t i = 0; i < 2; i++) {
        const bool is_a = mrd_bytes_equal(units[i].tenant, MRD_BYTES("a"));
        assert_int_equal(units[i].kind, MRD_UPKEEP_MONTH);
        assert_int_equal(units[i].block_count, is_a ? 2 : 1);
        assert_int_equal(units[i].range.last_ms, february_ms - 1);
    }

    /* Late samples wait, too, so that they are not merged one by one. */
    fact.tenant = "c";
    fact.received_ms = options.now_ms;
    (void)add(&fact);
    assert_int_equal(plan(&options, &units), 2);
    options.now_ms += REGION_DAY_MS;
    assert_int_equal(plan(&options, &units), 3);
}

static void what_is_in_quarantine_is_left_out(void **state)
{
    (void)state;
    const struct mrd_upkeep_unit *units;
    struct fact fact = {.class = "eu",
                        .first_ms = DAY0,
                        .last_ms = DAY0 + 1000,
                        .samples = 10,
                        .tenants = 1,
                        .received_ms = DAY0};
    const struct mrd_upkeep_record record = {.block = mrd_bytes_of(add(&fact))};
    const struct mrd_upkeep_quarantine quarantine = {&record, 1};
    struct mrd_upkeep_plan_options options = options_at(DAY0 + 2 * HOUR_MS);
    assert_int_equal(plan(&options, &units), 1);
    struct mrd_catalog_state *pinned = mrd_catalog_pin(region.catalog);
    assert_int_equal(mrd_upkeep_backlog(pinned, &options).oldest_ms, DAY0);
    options.quarantine = &quarantine;
    assert_int_equal(plan(&options, &units), 0);
    const struct mrd_upkeep_backlog backlog = mrd_upkeep_backlog(pinned, &options);
    assert_int_equal(backlog.blocks, 0);
    assert_int_equal(backlog.oldest_ms, options.now_ms);
    mrd_catalog_unpin(&pinned);
}

static void what_owes_an_erasure_is_due_at_once(void **state)
{
    (void)state;
    const struct mrd_upkeep_unit *units;
    struct mrd_error err = {0};
    struct fact fact = {.level = 1,
                        .class = "eu",
                        .tenant = "tenant-1",
                        .samples = 10,
                        .tenants = 1,
                        .received_ms = DAY0};
    for (size_t day = 0; day < 4; day++) { /* two of January, two of February */
        fact.first_ms = fact.last_ms = DAY0 + (mrd_time_ms)day * REGION_DAY_MS + 1;
        (void)add(&fact);
    }
    fact.level = 2;
    fact.first_ms = fact.last_ms = DAY0;
    const struct mrd_upkeep_record record = {.block = mrd_bytes_of(add(&fact))};
    const struct mrd_upkeep_quarantine quarantine = {&record, 1};
    fact.level = 0;
    (void)add(&fact);
    fact.tenant = "tenant-2"; /* owes nothing, and is of the same class */
    fact.first_ms = fact.last_ms = DAY0 + 1;
    (void)add(&fact);
    struct mrd_upkeep_plan_options options = options_at(DAY0 + 1);
    assert_int_equal(plan(&options, &units), 0);
    region_erase(&region, (struct region_request){.tenant = 1, .last = REGION_TIMES - 1}, 0);
    region_must(mrd_catalog_refresh(region.catalog, NULL, &err), &err);

    assert_int_equal(plan(&options, &units), 4);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(units[i].kind, MRD_UPKEEP_ERASE);
        assert_true(mrd_bytes_equal(units[i].tenant, MRD_BYTES("tenant-1")));
        assert_int_equal(units[i].block_count, 3 - units[i].level);
        assert_string_not_equal(units[i].lease, units[(i + 1) % 3].lease);
    }
    assert_int_equal(units[3].kind, MRD_UPKEEP_DAYS);
    assert_int_equal(units[3].block_count, 2);
    options.quarantine = &quarantine; /* of what is bad nobody knows what it has */
    assert_int_equal(plan(&options, &units), 3);
    assert_int_equal(units[0].level + units[1].level, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(small_tenants_wait_for_age, begin, end),
        cmocka_unit_test_setup_teardown(large_tenants_do_not_wait, begin, end),
        cmocka_unit_test_setup_teardown(what_is_written_anew_is_bounded, begin, end),
        cmocka_unit_test_setup_teardown(classes_are_apart_and_batches_bounded, begin, end),
        cmocka_unit_test_setup_teardown(months_are_merged_when_they_are_over, begin, end),
        cmocka_unit_test_setup_teardown(what_is_in_quarantine_is_left_out, begin, end),
        cmocka_unit_test_setup_teardown(what_owes_an_erasure_is_due_at_once, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
