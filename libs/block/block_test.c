/* Blocks written and read back, against the series that went in. */
#include "block/testing_select_internal.h"
#include "objstore/fault_store.h"

/* ---- everything ---- */

static void expect_scan(const struct mrd_block_entry *entry, const struct testing_set *set,
                        const struct mrd_block_cursor_options *options)
{
    struct mrd_error err = {0};
    struct mrd_block *block;
    struct mrd_block_cursor *cursor;
    testing_must(
        mrd_block_open(testing_store, entry, &(struct mrd_block_open_options){0}, &block, &err),
        &err);
    testing_must(mrd_block_scan(block, options, &cursor, &err), &err);
    assert_int_equal(mrd_block_cursor_series(cursor), set->count);
    size_t at = 0;
    size_t f = 0;
    size_t h = 0;
    for (;;) {
        const struct mrd_block_series *got;
        testing_must(mrd_block_cursor_next(cursor, &got, &err), &err);
        if (at < set->count &&
            (got == NULL || mrd_block_series_compare(got, &set->items[at]) != 0)) {
            assert_int_equal(f, set->items[at].samples.count);
            assert_int_equal(h, set->items[at].histograms.count);
            at++;
            f = h = 0;
        }
        if (got == NULL) {
            break;
        }
        assert_true(at < set->count);
        assert_int_equal(mrd_block_series_compare(got, &set->items[at]), 0);
        assert_true(mrd_id128_equal(got->id, set->items[at].id));
        testing_same_samples(&set->items[at], got, options->want_hlc, &f, &h);
    }
    assert_int_equal(at, set->count);
    mrd_block_cursor_close(&cursor);
    mrd_block_close(&block);
}

/* ---- selections ---- */

/* Random matchers and ranges, by all ways of reading. */
static void expect_selects(const struct mrd_block_entry *entry, const struct testing_set *set,
                           struct mrd_block_cache *cache, size_t rounds)
{
    struct mrd_error err = {0};
    struct mrd_matcher all[MRD_ARRAY_LEN(testing_matcher_cases)];
    testing_matchers(all);
    for (size_t round = 0; round < rounds; round++) {
        struct mrd_block *block;
        const struct mrd_block_open_options open = {.cache = cache,
                                                    .whole_bytes_max = round % 2 == 0 ? 0 : 64};
        testing_must(mrd_block_open(testing_store, entry, &open, &block, &err), &err);
        struct mrd_matcher some[3];
        struct mrd_block_select select = {.matchers = some, .matcher_count = testing_below(4)};
        for (size_t i = 0; i < select.matcher_count; i++) {
            some[i] = all[testing_below(MRD_ARRAY_LEN(all))];
        }
        const struct mrd_block_series *any = &set->items[testing_below(set->count)];
        select.tenant = testing_below(20) == 0 ? MRD_BYTES("nobody") : any->tenant;
        select.min_ms = INT64_MIN;
        select.max_ms = INT64_MAX;
        if (testing_below(3) > 0 && any->samples.count > 0) {
            select.min_ms = any->samples.times_ms[testing_below(any->samples.count)];
            select.max_ms = select.min_ms + (mrd_time_ms)testing_below(3600000);
        }
        if (testing_below(3) == 0) {
            select.partition_count = 1 + (uint32_t)testing_below(4);
            select.partition = (uint32_t)testing_below(select.partition_count);
        }
        const struct mrd_block_cursor_options options = {
            .window_bytes = testing_below(2) == 0 ? 1 : 0,
            .pieces = testing_below(2) == 0,
            .want_hlc = entry->keeps_hlc && testing_below(2) == 0,
        };
        if (!options.pieces && !options.want_hlc) {
            select.histograms_before_ms = (mrd_time_ms)testing_below(3600000);
        }
        testing_expect_select(block, set, &select, &options, 0);
        bool any_match = false;
        for (size_t i = 0; i < set->count; i++) {
            any_match |= testing_accepts(&select, &set->items[i]);
        }
        assert_true(!any_match || mrd_block_entry_may_match(
                                      entry, select.tenant, select.matchers, select.matcher_count,
                                      mrd_time_earlier(select.min_ms, select.histograms_before_ms),
                                      select.max_ms));
        mrd_block_close(&block);
    }
    for (size_t i = 0; i < MRD_ARRAY_LEN(all); i++) {
        mrd_matcher_fini(&all[i]);
    }
}

static void expect_counts(const struct mrd_block_entry *entry, const struct testing_set *set)
{
    uint64_t samples = 0;
    uint64_t histograms = 0;
    for (size_t i = 0; i < set->count; i++) {
        samples += set->items[i].samples.count;
        histograms += set->items[i].histograms.count;
    }
    assert_int_equal(entry->counts.series, set->count);
    assert_int_equal(entry->counts.samples, samples);
    assert_int_equal(entry->counts.histograms, histograms);
}

static void expect_entry_survives(const struct mrd_block_entry *entry)
{
    struct mrd_error err = {0};
    struct mrd_buf bytes = {0};
    struct mrd_buf again = {0};
    struct mrd_block_entry decoded;
    testing_must(mrd_block_entry_encode(entry, &bytes, &err), &err);
    testing_must(mrd_block_entry_decode(mrd_buf_view(&bytes), testing_arena, &decoded, &err), &err);
    testing_must(mrd_block_entry_encode(&decoded, &again, &err), &err);
    assert_true(mrd_bytes_equal(mrd_buf_view(&bytes), mrd_buf_view(&again)));
    mrd_buf_fini(&bytes);
    mrd_buf_fini(&again);
}

static const struct testing_shape shapes[] = {
    {.tenants = 1,     .series = 1,        .rows_max = 1     },
    {               .tenants = 1,    .series = 60,    .rows_max = 300                  },
    {    .tenants = 1, .series = 60, .rows_max = 200,     .histograms = true, .starts = true},
    {               .tenants = 1,     .series = 5,  .rows_max = 20000,     .starts = true},
    {               .tenants = 1,     .series = 4,   .rows_max = 9000, .histograms = true},
    {               .tenants = 12,   .series = 150,     .rows_max = 60, .histograms = true, .starts = true},
    { .tenants = 90,    .series = 900,      .rows_max = 8,      .starts = true},
    {.tenants = 1,     .series = 80,       .rows_max = 100,    .wild_times = true},
};

static void what_is_written_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(shapes) * 4; i++) {
        const struct testing_shape *shape = &shapes[i / 4];
        testing_state = 88172645463325252ULL + i * 7919;
        struct testing_set set = testing_set_create(shape);
        struct mrd_block_writer_options options =
            testing_options(testing_store, shape->tenants > 1 ? 0 : 1);
        options.keep_hlc = i % 2 == 0;
        options.split_values = i % 2 == 1;
        options.compact = i % 4 >= 2;
        struct mrd_block_entry entry;
        struct mrd_error err = {0};
        testing_must(testing_write(&options, &set, i % 2 == 0, &entry, &err), &err);
        expect_counts(&entry, &set);
        expect_entry_survives(&entry);
        expect_scan(&entry, &set, &(struct mrd_block_cursor_options){.want_hlc = options.keep_hlc});
        expect_scan(&entry, &set,
                    &(struct mrd_block_cursor_options){.pieces = true, .window_bytes = 1});
        expect_selects(&entry, &set, NULL, 60);
        testing_must(
            mrd_block_verify(testing_store, &entry, &(struct mrd_block_verify_options){0}, &err),
            &err);
        testing_set_fini(&set);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
    };
    return cmocka_run_group_tests(tests, testing_open, testing_close);
}
