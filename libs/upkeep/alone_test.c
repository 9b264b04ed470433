/* Rollups whose samples have left by retention, and requests to erase what they have rows of: the rows go, others stay, bit for bit. */
#include "base/testing_rounds.h"
#include "rollup/codec.h"
#include "upkeep/expire.h"
#include "upkeep/testing_internal.h"

static struct region region;

static mrd_time_ms kept_ms(void *context, struct mrd_bytes tenant, mrd_time_ms resolution_ms)
{
    (void)context;
    (void)tenant;
    return resolution_ms == 0 ? REGION_DAY_MS : 0;
}

static void expire_samples(void)
{
    struct mrd_error err = {0};
    struct mrd_upkeep_expired expired;
    const struct mrd_upkeep_expire_options options = {.catalog = region.catalog,
                                                      .tables = &region.tables,
                                                      .now_ms = region.now_ms,
                                                      .kept_ms = kept_ms};
    region_must(mrd_upkeep_expire(&options, &expired, &err), &err);
    region_must(expired.publish_error.status, &expired.publish_error);
}

/* ---- rows ---- */

struct row {
    uint64_t tenant;
    uint64_t series;
    mrd_time_ms resolution_ms;
    mrd_time_ms end_ms;
    struct mrd_id128 content;
    mrd_time_ms period_last_ms; /* of its block, where that is asked for; else 0 */
};

static int compare_rows(const void *a, const void *b) { return memcmp(a, b, sizeof(struct row)); }

static size_t digit(struct mrd_bytes text) { return (size_t)(text.data[text.size - 1] - '0'); }

static void add_rows(const struct mrd_block_entry *rollup, const struct mrd_block_series *series,
                     struct mrd_buf *out)
{
    for (size_t i = 0; i < series->rows->count; i++) {
        mrd_auto(mrd_buf_fini)
        struct mrd_buf bytes = {0};
        struct mrd_rollup_row row;
        mrd_rollup_columns_row(series->rows, i, &row);
        mrd_rollup_encode(&row, 1, rollup->resolution_ms, &bytes);
        const struct row one = {digit(series->tenant),
                                digit(series->labels.items[1].value),
                                rollup->resolution_ms,
                                row.end_ms,
                                mrd_hash128(mrd_buf_view(&bytes), 0),
                                mrd_upkeep_period_of(rollup).last_ms};
        mrd_buf_append(out, &one, sizeof(one));
    }
}

static void add_block(const struct mrd_block_entry *rollup, struct mrd_buf *out)
{
    struct mrd_error err = {0};
    struct mrd_block *block = NULL;
    struct mrd_block_cursor *cursor = NULL;
    const struct mrd_block_series *series = NULL;
    const struct mrd_block_open_options open = {0};
    region_must(mrd_block_open(region.files, rollup, &open, &block, &err), &err);
    region_must(
        mrd_block_scan(block, &(struct mrd_block_cursor_options){.pieces = true}, &cursor, &err),
        &err);
    region_must(mrd_block_cursor_next(cursor, &series, &err), &err);
    while (series != NULL) {
        add_rows(rollup, series, out);
        region_must(mrd_block_cursor_next(cursor, &series, &err), &err);
    }
    mrd_block_cursor_close(&cursor);
    mrd_block_close(&block);
}

static void sort_rows(struct mrd_buf *rows)
{
    qsort(rows->data, rows->size / sizeof(struct row), sizeof(struct row), compare_rows);
}

static struct mrd_buf find_rows_with_periods(void)
{
    struct mrd_buf rows = {0};
    struct mrd_catalog *catalog = region_open_catalog(&region, region.files);
    struct mrd_catalog_state *state = mrd_catalog_pin(catalog);
    for (size_t i = 0; i < mrd_catalog_block_count(state); i++) {
        if (mrd_catalog_block(state, i)->resolution_ms > 0) {
            add_block(mrd_catalog_block(state, i), &rows);
        }
    }
    mrd_catalog_unpin(&state);
    mrd_catalog_close(&catalog);
    return rows;
}

/* All rows of all rollups, sorted. */
static struct mrd_buf find_rows(void)
{
    struct mrd_buf rows = find_rows_with_periods();
    struct row *items = (void *)rows.data;
    for (size_t i = 0; i < rows.size / sizeof(*items); i++) {
        items[i].period_last_ms = 0;
    }
    sort_rows(&rows);
    return rows;
}

static bool is_erased(const struct row *row)
{
    bool erased = false;
    for (size_t i = 0; i < region.request_count; i++) {
        const struct region_request *request = &region.requests[i];
        erased |= request->tenant == row->tenant && request->series == row->series &&
                  region_time(request->last) > row->end_ms - row->resolution_ms &&
                  region_time(request->first) <= row->end_ms;
    }
    return erased;
}

/* What is there is what was there before, but what was to go. Returns how many rows have gone. */
static size_t expect_rows(const struct mrd_buf *before)
{
    const struct row *rows = (const void *)before->data;
    const size_t count = before->size / sizeof(*rows);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf want = {0};
    for (size_t i = 0; i < count; i++) {
        if (!is_erased(&rows[i])) {
            mrd_buf_append(&want, &rows[i], sizeof(rows[i]));
        }
    }
    mrd_auto(mrd_buf_fini)
    struct mrd_buf got = find_rows();
    assert_int_equal(got.size / sizeof(*rows), want.size / sizeof(*rows));
    assert_true(mrd_bytes_equal(mrd_buf_view(&got), mrd_buf_view(&want)));
    return count - want.size / sizeof(*rows);
}

/* Tables have all rollups, and nothing else. */
static void expect_tables(void)
{
    struct mrd_error err = {0};
    region_must(mrd_catalog_refresh(region.catalog, NULL, &err), &err);
    struct mrd_catalog_state *state = mrd_catalog_pin(region.catalog);
    size_t files = 0;
    for (size_t t = 0; t < region.tenants; t++) {
        char name[24];
        region_name(t, name);
        for (size_t k = 0; k < MRD_ARRAY_LEN(region_resolutions_ms); k++) {
            files += region_table_files(&region, mrd_bytes_of(name),
                                        mrd_upkeep_table_name(region_resolutions_ms[k]));
        }
        assert_int_equal(region_table_files(&region, mrd_bytes_of(name), MRD_UPKEEP_SAMPLES), 0);
        assert_int_equal(region_table_files(&region, mrd_bytes_of(name), MRD_UPKEEP_SERIES), 0);
    }
    for (size_t i = 0; i < mrd_catalog_block_count(state); i++) {
        const struct mrd_block_entry *block = mrd_catalog_block(state, i);
        assert_true(block->resolution_ms > 0);
        assert_int_equal(
            mrd_block_verify(region.files, block, &(struct mrd_block_verify_options){0}, &err),
            MRD_OK);
        for (size_t k = 0; k < block->origin.parent_count; k++) {
            assert_null(mrd_catalog_find(state, block->origin.parents[k]));
        }
        assert_true(block->origin.parent_count > 0); /* of which readers see that all have gone */
    }
    assert_int_equal(files, mrd_catalog_block_count(state));
    mrd_catalog_unpin(&state);
}

/* ---- what is there ---- */

/* Rollups of a tenant's first `times`, without samples: of days, or with `months` of months. */
static void make_rollups_of(uint64_t seed, size_t tenants, size_t times, bool months)
{
    region_open(&region, seed);
    region.tenants = tenants;
    region.times = times;
    (void)region_write(&region, 60, region.now_ms - 2 * 3600 * 1000);
    (void)region_write(&region, 60, region.now_ms - 2 * 3600 * 1000);
    region_settle(&region);
    region.now_ms += months ? 60 * REGION_DAY_MS : 0;
    region_settle(&region);
    expire_samples();
}

/* Of four days, or of two months. */
static void make_rollups(uint64_t seed, size_t tenants, bool months)
{
    make_rollups_of(seed, tenants, REGION_TIMES, months);
}

static struct region_request any_request(void)
{
    const size_t first = testing_below(REGION_TIMES);
    return (struct region_request){.tenant = testing_below(region.tenants),
                                   .series = testing_below(REGION_SERIES),
                                   .first = first,
                                   .last = first + testing_below(REGION_TIMES - first)};
}

static void rows_go_and_others_stay(void **state)
{
    (void)state;
    size_t gone = 0;
    for (uint64_t seed = 1; seed <= testing_rounds(4); seed++) {
        make_rollups(seed, REGION_TENANTS, seed % 2 == 0);
        mrd_auto(mrd_buf_fini)
        struct mrd_buf before = find_rows();
        for (size_t i = 0; i < 3; i++) {
            region_erase(&region, any_request(), 0);
            if (i != 1) {
                region_settle(&region);
                assert_int_equal(region_owed(&region), 0);
            }
        }
        gone += expect_rows(&before);
        expect_tables();
        region_close(&region);
    }
    assert_true(gone > 100 / testing_share());
}

/* The figures of the request: it can end in a receipt when the files that have left are deleted. */
static void what_was_done_is_told(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    make_rollups(9, 1, false);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf before = find_rows();
    region_erase(&region, (struct region_request){.series = 1, .last = REGION_TIMES - 1}, 0);
    assert_int_equal(region_owed(&region), 4 * MRD_ARRAY_LEN(region_resolutions_ms));
    region_settle(&region);
    const size_t gone = expect_rows(&before);
    region_must(mrd_catalog_refresh(region.catalog, NULL, &err), &err);
    struct mrd_catalog_state *pinned = mrd_catalog_pin(region.catalog);
    const struct mrd_catalog_erasure *erasure = mrd_catalog_erasure_at(pinned, 0);
    assert_true(gone > 0);
    assert_int_equal(erasure->samples, gone);
    assert_int_equal(erasure->blocks, 4 * MRD_ARRAY_LEN(region_resolutions_ms));
    assert_int_equal(erasure->owed_count, 0);
    assert_true(erasure->leaving_count >= erasure->blocks);
    mrd_catalog_unpin(&pinned);
    region_close(&region);
}

/* Of series that there are not, and of a time that only touches a window's edge: nothing is written anew. */
static void what_has_nothing_stays_as_it_is(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    make_rollups(5, 1, false);
    struct mrd_catalog_state *pinned = mrd_catalog_pin(region.catalog);
    region_erase(&region, (struct region_request){.series = REGION_SERIES, .last = 40}, 0);
    region_settle(&region);
    assert_int_equal(region_owed(&region), 0);
    region_must(mrd_catalog_refresh(region.catalog, NULL, &err), &err);
    struct mrd_catalog_state *after = mrd_catalog_pin(region.catalog);
    assert_int_equal(mrd_catalog_block_count(after), mrd_catalog_block_count(pinned));
    for (size_t i = 0; i < mrd_catalog_block_count(pinned); i++) {
        assert_non_null(mrd_catalog_find(after, mrd_catalog_block(pinned, i)->id));
    }
    mrd_catalog_unpin(&after);
    mrd_catalog_unpin(&pinned);
    region_close(&region);
}

/* ---- rules of retention ---- */

/* Of series 1, up to the end of a day. */
struct rule {
    struct mrd_matcher matcher;
    struct mrd_erasure_selector selector;
    struct mrd_erasure erasures[2]; /* of rows of hours, and of days */
    struct mrd_upkeep_retain retain;
};

static const struct mrd_erasure *rules_of(void *context, struct mrd_bytes tenant,
                                          mrd_time_ms resolution_ms, size_t *out_count)
{
    struct rule *rule = context;
    (void)tenant;
    *out_count = resolution_ms == 0 ? 0 : 1;
    return &rule->erasures[resolution_ms == MRD_ROLLUP_1H_MS ? 0 : 1];
}

static void rule_open(struct rule *rule)
{
    *rule = (struct rule){
        .retain = {.rules = rules_of, .context = rule, .known = mrd_upkeep_retained_create(0)}
    };
    assert_int_equal(mrd_matcher_init(&rule->matcher, MRD_MATCH_RE, MRD_BYTES("instance"),
                                      MRD_BYTES(".*-1"), NULL),
                     MRD_OK);
    rule->selector = (struct mrd_erasure_selector){&rule->matcher, 1};
    for (size_t i = 0; i < 2; i++) {
        rule->erasures[i] = (struct mrd_erasure){
            .id = {1, 2},
            .time_min_ms = INT64_MIN,
            .time_max_ms = REGION_BASE_MS - 1,
            .selectors = &rule->selector,
            .selector_count = 1
        };
    }
    region.retain = &rule->retain;
}

static void rule_close(struct rule *rule)
{
    region.retain = NULL;
    mrd_matcher_fini(&rule->matcher);
    mrd_upkeep_retained_destroy(&rule->retain.known);
}

/* What is there is what was there before, but rows of series 1 in rollups of a day or month that has passed what the rule says of their resolution. Returns
 * how many have gone. */
static size_t expect_retained(const struct rule *rule, const struct mrd_buf *before)
{
    const struct row *rows = (const void *)before->data;
    const size_t count = before->size / sizeof(*rows);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf want = {0};
    for (size_t i = 0; i < count; i++) {
        struct row row = rows[i];
        const size_t kind = row.resolution_ms == MRD_ROLLUP_1H_MS ? 0 : 1;
        if (row.series != 1 || row.period_last_ms > rule->erasures[kind].time_max_ms) {
            row.period_last_ms = 0;
            mrd_buf_append(&want, &row, sizeof(row));
        }
    }
    sort_rows(&want);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf got = find_rows();
    assert_true(mrd_bytes_equal(mrd_buf_view(&got), mrd_buf_view(&want)));
    expect_tables();
    return count - want.size / sizeof(*rows);
}

static void what_a_rule_has_let_go_leaves_when_the_day_or_month_has_passed(void **state)
{
    (void)state;
    for (size_t months = 0; months < 2; months++) {
        struct rule rule;
        /* The region's days are the last two of January and the first two of February. */
        const mrd_time_ms end_ms = REGION_BASE_MS + 2 * REGION_DAY_MS;
        make_rollups(51 + months, REGION_TENANTS, months == 1);
        mrd_auto(mrd_buf_fini)
        struct mrd_buf before = find_rows_with_periods();
        rule_open(&rule);
        region_settle(&region);
        assert_int_equal(expect_retained(&rule, &before), 0);
        rule.erasures[0].time_max_ms = end_ms + REGION_DAY_MS - 1; /* February is not over */
        region_settle(&region);
        const size_t hours = expect_retained(&rule, &before);
        assert_true(hours > 0);
        rule.erasures[1].time_max_ms = end_ms - 1;
        region_settle(&region);
        assert_true(expect_retained(&rule, &before) > hours);
        const uint64_t number = region_commits(&region);
        region_settle(&region); /* nothing is written anew twice */
        assert_int_equal(region_commits(&region), number);
        rule_close(&rule);
        region_close(&region);
    }
}

/* A request meets it: each row goes once, and the request is settled. */
static void a_rule_and_a_request_take_rows_together(void **state)
{
    (void)state;
    struct rule rule;
    make_rollups(61, 1, false);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf before = find_rows_with_periods();
    rule_open(&rule);
    rule.erasures[0].time_max_ms = rule.erasures[1].time_max_ms =
        REGION_BASE_MS + 4 * REGION_DAY_MS - 1;
    region_erase(&region, (struct region_request){.series = 1, .last = 20}, 0);
    region_settle(&region);
    assert_int_equal(region_owed(&region), 0);
    assert_true(expect_retained(&rule, &before) > 0);
    rule_close(&rule);
    region_close(&region);
}

/* ---- while others are at it ---- */

/* Does the only unit that is due by a state and the requests of that moment. */
static struct mrd_upkeep_merged merge_planned(struct mrd_catalog_state *planned,
                                              const struct mrd_catalog_requests *requests)
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
    assert_int_equal(units[0].kind, MRD_UPKEEP_ERASE);
    const struct mrd_upkeep_merge_options options = {.store = region.store,
                                                     .catalog = region.catalog,
                                                     .clock = &region.clock,
                                                     .region = "eu",
                                                     .holder = "test",
                                                     .tables = &region.tables,
                                                     .requests = requests,
                                                     .memory_bytes_max = REGION_MERGE_BYTES};
    region_must(mrd_upkeep_merge(&options, planned, &index, &units[0], &merged, &err), &err);
    mrd_upkeep_index_fini(&index);
    return merged;
}

static void a_request_overtakes_another_that_leaves_its_rows(void **state)
{
    (void)state;
    for (size_t matches = 0; matches < 2; matches++) {
        struct mrd_error err = {0};
        struct mrd_catalog_requests *requests = NULL;
        make_rollups(11, 1, true);
        mrd_auto(mrd_buf_fini)
        struct mrd_buf before = find_rows();
        /* Of times that are in one of the two months. */
        region_erase(&region, (struct region_request){.series = 1, .first = 40, .last = 50}, 0);
        region_must(mrd_catalog_refresh(region.catalog, NULL, &err), &err);
        struct mrd_catalog_state *planned = mrd_catalog_pin(region.catalog);
        region_must(mrd_catalog_requests_load(region.files, planned, NULL, NULL, &requests, &err),
                    &err);
        region_erase(&region,
                     (struct region_request){
                         .series = matches == 1 ? 2 : REGION_SERIES, .first = 40, .last = 50},
                     0);
        const struct mrd_upkeep_merged merged = merge_planned(planned, requests);
        assert_int_equal(merged.overtaken, matches == 1);
        assert_int_equal(merged.lost, matches == 1);
        assert_int_equal(merged.committed, matches == 0);
        mrd_catalog_requests_destroy(&requests);
        mrd_catalog_unpin(&planned);
        region_settle(&region);
        assert_int_equal(region_owed(&region), 0);
        assert_true(expect_rows(&before) > 0);
        expect_tables();
        region_close(&region);
    }
}

static void those_who_erase_at_once_lose_nothing(void **state)
{
    (void)state;
    struct region_racer racers[3] = {{.region = &region}, {.region = &region}, {.region = &region}};
    make_rollups(21, REGION_TENANTS, false);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf before = find_rows();
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
    assert_int_equal(region_owed(&region), 0);
    assert_true(expect_rows(&before) > 0);
    expect_tables();
    region_close(&region);
}

/* ---- what cannot be read ---- */

static void a_bad_rollup_goes_on_owing_and_holds_up_no_other(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    make_rollups(31, 1, true);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf before = find_rows();
    struct mrd_catalog_state *pinned = mrd_catalog_pin(region.catalog);
    const struct mrd_block_entry *bad = mrd_catalog_block(pinned, 0);
    region_flip(&region, bad->data.key, bad->data.size);
    region_erase(&region, (struct region_request){.series = 2, .last = REGION_TIMES - 1}, 0);
    region_settle(&region);
    assert_int_equal(region_owed(&region), 1);
    region_flip(&region, bad->data.key, bad->data.size);
    region_must(mrd_upkeep_quarantine_release(region.files, NULL, bad->id, &err), &err);
    mrd_catalog_unpin(&pinned);
    region_settle(&region);
    assert_int_equal(region_owed(&region), 0);
    assert_true(expect_rows(&before) > 0);
    expect_tables();
    region_close(&region);
}

/* ---- dying ---- */

/* Returns false once the n-th call never came. */
static bool fail_at(uint64_t nth, bool crash)
{
    struct mrd_error err = {0};
    size_t done = 0;
    make_rollups_of(41, 1, 14, false); /* one day */
    mrd_auto(mrd_buf_fini)
    struct mrd_buf before = find_rows();
    region_erase(&region, (struct region_request){.series = 1, .first = 1, .last = 10}, 0);
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
    assert_int_equal(region_owed(&region), 0);
    assert_true(expect_rows(&before) > 0);
    expect_tables();
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
        cmocka_unit_test(rows_go_and_others_stay),
        cmocka_unit_test(what_was_done_is_told),
        cmocka_unit_test(what_has_nothing_stays_as_it_is),
        cmocka_unit_test(what_a_rule_has_let_go_leaves_when_the_day_or_month_has_passed),
        cmocka_unit_test(a_rule_and_a_request_take_rows_together),
        cmocka_unit_test(a_request_overtakes_another_that_leaves_its_rows),
        cmocka_unit_test(those_who_erase_at_once_lose_nothing),
        cmocka_unit_test(a_bad_rollup_goes_on_owing_and_holds_up_no_other),
        cmocka_unit_test(who_erases_may_die_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
