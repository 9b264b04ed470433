/* Selects with erasures, against series that never had what is erased. */
#include "block/testing_select_internal.h"

#include "base/testing_rounds.h"

enum { ERASURES_MAX = 12, MATCHERS = MRD_ARRAY_LEN(testing_matcher_cases) };

/* ---- random erasures ---- */

struct erasures {
    struct mrd_matcher all[MATCHERS];
    struct mrd_matcher matchers[ERASURES_MAX][2][2];
    struct mrd_erasure_selector selectors[ERASURES_MAX][2];
    struct mrd_erasure items[ERASURES_MAX];
    const struct mrd_erasure *pointers[ERASURES_MAX];
    size_t count;
};

static mrd_time_ms time_of(const struct testing_set *set)
{
    const struct mrd_block_series *series = &set->items[testing_below(set->count)];
    const size_t floats = series->samples.count;
    const size_t at = testing_below(floats + series->histograms.count);
    return at < floats ? series->samples.times_ms[at] : series->histograms.times_ms[at - floats];
}

static void random_range(const struct testing_set *set, struct mrd_erasure *erasure)
{
    const mrd_time_ms a = time_of(set);
    const mrd_time_ms b = time_of(set);
    erasure->time_min_ms = testing_below(6) == 0 ? INT64_MIN : MRD_MIN(a, b);
    erasure->time_max_ms = testing_below(6) == 0 ? INT64_MAX : MRD_MAX(a, b);
    switch (testing_below(4)) {
    case 0: /* one time */
        erasure->time_max_ms = erasure->time_min_ms;
        break;
    case 1: /* a few samples */
        erasure->time_min_ms = a;
        erasure->time_max_ms = a + (mrd_time_ms)testing_below(60000);
        break;
    default:
        break;
    }
}

static void random_erasures(const struct testing_set *set, struct erasures *out)
{
    out->count = testing_below(ERASURES_MAX + 1);
    for (size_t i = 0; i < out->count; i++) {
        struct mrd_erasure *erasure = &out->items[i];
        *erasure = (struct mrd_erasure){.selectors = out->selectors[i]};
        erasure->tenant = set->items[testing_below(set->count)].tenant;
        erasure->selector_count = 1 + testing_below(2);
        for (size_t k = 0; k < erasure->selector_count; k++) {
            const size_t matchers = 1 + testing_below(2);
            for (size_t m = 0; m < matchers; m++) {
                out->matchers[i][k][m] = out->all[testing_below(MATCHERS)];
            }
            out->selectors[i][k] = (struct mrd_erasure_selector){out->matchers[i][k], matchers};
        }
        random_range(set, erasure);
        if (i > 0 && testing_below(4) == 0) { /* back to back with another one */
            erasure->time_min_ms = MRD_MIN(erasure[-1].time_max_ms, INT64_MAX - 1) + 1;
            erasure->time_max_ms = MRD_MAX(erasure->time_min_ms, erasure->time_max_ms);
        }
        out->pointers[i] = erasure;
    }
}

/* ---- the model ---- */

static bool is_erased(const struct erasures *erasures, const struct mrd_block_series *series,
                      mrd_time_ms time_ms)
{
    for (size_t i = 0; i < erasures->count; i++) {
        const struct mrd_erasure *erasure = &erasures->items[i];
        if (mrd_bytes_equal(erasure->tenant, series->tenant) &&
            mrd_erasure_has_time(erasure, time_ms) &&
            mrd_erasure_selects(erasure, series->labels)) {
            return true;
        }
    }
    return false;
}

static void thin_samples(struct testing_set *set, const struct erasures *erasures,
                         const struct mrd_block_series *of, struct mrd_block_series *out)
{
    const struct mrd_samples *from = &of->samples;
    mrd_time_ms *times = testing_take(set, from->count, sizeof(*times));
    mrd_time_ms *starts = testing_take(set, from->count, sizeof(*starts));
    double *values = testing_take(set, from->count, sizeof(*values));
    mrd_hlc *hlcs = testing_take(set, from->count, sizeof(*hlcs));
    size_t count = 0;
    for (size_t i = 0; i < from->count; i++) {
        if (!is_erased(erasures, of, from->times_ms[i])) {
            times[count] = from->times_ms[i];
            starts[count] = testing_start(from->start_times_ms, i);
            values[count] = from->values[i];
            hlcs[count++] = of->sample_hlcs[i];
        }
    }
    out->samples = (struct mrd_samples){times, values, count, starts};
    out->sample_hlcs = hlcs;
}

static void thin_histograms(struct testing_set *set, const struct erasures *erasures,
                            const struct mrd_block_series *of, struct mrd_block_series *out)
{
    const struct mrd_histograms *from = &of->histograms;
    mrd_time_ms *times = testing_take(set, from->count, sizeof(*times));
    mrd_time_ms *starts = testing_take(set, from->count, sizeof(*starts));
    struct mrd_histogram *items = testing_take(set, from->count, sizeof(*items));
    mrd_hlc *hlcs = testing_take(set, from->count, sizeof(*hlcs));
    size_t count = 0;
    for (size_t i = 0; i < from->count; i++) {
        if (!is_erased(erasures, of, from->times_ms[i])) {
            times[count] = from->times_ms[i];
            starts[count] = testing_start(from->start_times_ms, i);
            items[count] = from->items[i];
            hlcs[count++] = of->histogram_hlcs[i];
        }
    }
    out->histograms = (struct mrd_histograms){times, items, count, starts};
    out->histogram_hlcs = hlcs;
}

/* The series as they are without what is erased; some have nothing left. */
static struct testing_set thinned(const struct testing_set *set, const struct erasures *erasures)
{
    struct testing_set out = {.arena = mrd_arena_create("thinned", TESTING_ARENA_BYTES)};
    out.items = testing_take(&out, set->count, sizeof(out.items[0]));
    out.count = set->count;
    for (size_t i = 0; i < set->count; i++) {
        out.items[i] = set->items[i];
        thin_samples(&out, erasures, &set->items[i], &out.items[i]);
        thin_histograms(&out, erasures, &set->items[i], &out.items[i]);
    }
    return out;
}

static size_t count_in(const mrd_time_ms *times, size_t count,
                       const struct mrd_block_select *select)
{
    size_t in = 0;
    for (size_t i = 0; i < count; i++) {
        in += times[i] >= select->min_ms && times[i] <= select->max_ms;
    }
    return in;
}

/* Samples and histograms that a select has of the set. */
static uint64_t rows_of(const struct testing_set *set, const struct mrd_block_select *select)
{
    uint64_t rows = 0;
    for (size_t i = 0; i < set->count; i++) {
        const struct mrd_block_series *series = &set->items[i];
        if (testing_accepts(select, series)) {
            rows += count_in(series->samples.times_ms, series->samples.count, select) +
                    count_in(series->histograms.times_ms, series->histograms.count, select);
        }
    }
    return rows;
}

/* ---- labels ---- */

/* Whether everything between the first and the last sample in the range is erased, so that no run can have anything left. */
static bool is_wholly_erased(const struct erasures *erasures, const struct mrd_block_series *series,
                             const struct mrd_block_select *select)
{
    const struct mrd_samples *f = &series->samples;
    const struct mrd_histograms *h = &series->histograms;
    const mrd_time_ms begin_ms = MRD_MIN(f->count > 0 ? f->times_ms[0] : INT64_MAX,
                                         h->count > 0 ? h->times_ms[0] : INT64_MAX);
    const mrd_time_ms end_ms = MRD_MAX(f->count > 0 ? f->times_ms[f->count - 1] : INT64_MIN,
                                       h->count > 0 ? h->times_ms[h->count - 1] : INT64_MIN);
    const mrd_time_ms last_ms = MRD_MIN(end_ms, select->max_ms);
    for (mrd_time_ms at = MRD_MAX(begin_ms, select->min_ms); at <= last_ms;) {
        mrd_time_ms to = at;
        for (size_t i = 0; i < erasures->count; i++) {
            const struct mrd_erasure *erasure = &erasures->items[i];
            if (mrd_bytes_equal(erasure->tenant, series->tenant) &&
                mrd_erasure_has_time(erasure, at) && mrd_erasure_selects(erasure, series->labels)) {
                to = MRD_MAX(to, MRD_MIN(erasure->time_max_ms, last_ms) + 1);
            }
        }
        if (to == at) {
            return false;
        }
        at = to;
    }
    return true;
}

static bool keep_text(void *context, struct mrd_bytes text)
{
    mrd_buf_append_bytes(context, text);
    mrd_buf_append_u8(context, '\n');
    return true;
}

static int by_bytes(const void *a, const void *b)
{
    return mrd_bytes_compare(*(const struct mrd_bytes *)a, *(const struct mrd_bytes *)b);
}

/* The texts of what labels_only yields are those that are listed. */
static void expect_texts(struct mrd_block *block, const struct mrd_block_select *select,
                         struct mrd_bytes *texts, size_t count, struct mrd_bytes name)
{
    struct mrd_error err = {0};
    struct mrd_buf want = {0};
    struct mrd_buf got = {0};
    qsort(texts, count, sizeof(texts[0]), by_bytes);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || !mrd_bytes_equal(texts[i - 1], texts[i])) {
            (void)keep_text(&want, texts[i]);
        }
    }
    testing_must(name.size == 0
                     ? mrd_block_label_names(block, select, keep_text, &got, &err)
                     : mrd_block_label_values(block, select, name, keep_text, &got, &err),
                 &err);
    assert_true(mrd_bytes_equal(mrd_buf_view(&got), mrd_buf_view(&want)));
    mrd_buf_fini(&want);
    mrd_buf_fini(&got);
}

static void expect_labels(struct mrd_block *block, const struct testing_set *set,
                          const struct testing_set *left, const struct erasures *erasures,
                          const struct mrd_block_select *select)
{
    struct mrd_error err = {0};
    struct mrd_block_cursor *cursor;
    const struct mrd_block_series *got;
    struct mrd_bytes names[8192];
    struct mrd_bytes values[1024];
    size_t name_count = 0;
    size_t value_count = 0;
    const struct mrd_block_cursor_options options = {.labels_only = true};
    testing_must(mrd_block_select(block, select, &options, &cursor, &err), &err);
    testing_must(mrd_block_cursor_next(cursor, &got, &err), &err);
    for (size_t i = 0; i < set->count; i++) {
        const struct mrd_block_series *series = &set->items[i];
        if (got == NULL || mrd_block_series_compare(got, series) != 0) {
            assert_false(testing_accepts(select, &left->items[i]));
            continue;
        }
        assert_false(is_wholly_erased(erasures, series, select));
        for (size_t k = 0; k < series->labels.count; k++) {
            const struct mrd_label *label = &series->labels.items[k];
            names[name_count++] = label->name;
            if (mrd_bytes_equal(label->name, MRD_BYTES("instance"))) {
                values[value_count++] = label->value;
            }
        }
        testing_must(mrd_block_cursor_next(cursor, &got, &err), &err);
    }
    assert_null(got);
    assert_int_equal(mrd_block_cursor_stats(cursor).erased, 0);
    mrd_block_cursor_close(&cursor);
    expect_texts(block, select, names, name_count, MRD_BYTES_NONE);
    expect_texts(block, select, values, value_count, MRD_BYTES("instance"));
}

/* ---- selects ---- */

static void expect_round(struct mrd_block *block, const struct mrd_block_entry *entry,
                         const struct testing_set *set, struct erasures *erasures)
{
    random_erasures(set, erasures);
    struct testing_set left = thinned(set, erasures);
    for (size_t round = 0; round < 8; round++) {
        struct mrd_matcher some[2];
        struct mrd_block_select select = {.tenant = set->items[testing_below(set->count)].tenant,
                                          .matchers = some,
                                          .matcher_count = testing_below(3),
                                          .erasures = erasures->pointers,
                                          .erasure_count = erasures->count,
                                          .min_ms = INT64_MIN,
                                          .max_ms = INT64_MAX};
        for (size_t i = 0; i < select.matcher_count; i++) {
            some[i] = erasures->all[testing_below(MATCHERS)];
        }
        if (testing_below(3) > 0) {
            select.min_ms = time_of(set);
            select.max_ms = select.min_ms + (mrd_time_ms)testing_below(3600000);
        }
        const struct mrd_block_cursor_options options = {
            .window_bytes = testing_below(2) == 0 ? 1 : 0,
            .pieces = testing_below(2) == 0,
            .want_hlc = entry->keeps_hlc && testing_below(2) == 0,
        };
        if (!options.pieces && !options.want_hlc) {
            select.histograms_before_ms = (mrd_time_ms)testing_below(3600000);
        }
        testing_expect_select(block, &left, &select, &options,
                              rows_of(set, &select) - rows_of(&left, &select));
        select.histograms_before_ms = 0;
        expect_labels(block, set, &left, erasures, &select);
    }
    testing_set_fini(&left);
}

static const struct testing_shape shapes[] = {
    {.tenants = 1,    .series = 3,  .rows_max = 6,   .histograms = true         },
    {.tenants = 1,    .series = 60, .rows_max = 200, .histograms = true,          .starts = true},
    {.tenants = 1,               .series = 6,                .rows_max = 20000,      .starts = true},
    {.tenants = 1,               .series = 4,                .rows_max = 9000,      .histograms = true },
    {.tenants = 9,               .series = 150,                .rows_max = 60,    .histograms = true, .starts = true},
    {.tenants = 1, .series = 60,             .rows_max = 100,                 .wild_times = true                               },
};

static void what_is_erased_is_as_if_it_were_not_there(void **state)
{
    (void)state;
    static struct erasures erasures;
    testing_matchers(erasures.all);
    const size_t rounds = testing_rounds(96); /* of each shape */
    const size_t sets = testing_rounds(8);
    for (size_t i = 0; i < MRD_ARRAY_LEN(shapes) * sets; i++) {
        const struct testing_shape *shape = &shapes[i / sets];
        testing_state = 88172645463325252ULL + i * 104729;
        struct testing_set set = testing_set_create(shape);
        struct mrd_block_writer_options options =
            testing_options(testing_store, shape->tenants > 1 ? 0 : 1);
        options.keep_hlc = i % 2 == 0;
        options.compact = i % 4 >= 2;
        struct mrd_block_entry entry;
        struct mrd_block *block;
        struct mrd_error err = {0};
        testing_must(testing_write(&options, &set, i % 2 == 0, &entry, &err), &err);
        testing_must(mrd_block_open(testing_store, &entry, &(struct mrd_block_open_options){0},
                                    &block, &err),
                     &err);
        for (size_t round = 0; round < rounds / sets; round++) {
            expect_round(block, &entry, &set, &erasures);
        }
        mrd_block_close(&block);
        testing_set_fini(&set);
    }
    for (size_t i = 0; i < MATCHERS; i++) {
        mrd_matcher_fini(&erasures.all[i]);
    }
}

/* ---- what need not be read ---- */

static void erased_runs_are_counted_and_not_read(void **state)
{
    (void)state;
    testing_state = 4711;
    const struct testing_shape shape = {.tenants = 1, .series = 5, .rows_max = 30000};
    struct testing_set set = testing_set_create(&shape);
    struct mrd_block_writer_options options = testing_options(testing_store, 1);
    struct mrd_block_entry entry;
    struct mrd_error err = {0};
    testing_must(testing_write(&options, &set, false, &entry, &err), &err);
    struct mrd_matcher matcher;
    testing_must(
        mrd_matcher_init(&matcher, MRD_MATCH_RE, MRD_BYTES("__name__"), MRD_BYTES("m.*"), &err),
        &err);
    const struct mrd_erasure_selector selector = {&matcher, 1};
    struct mrd_erasure erasure = {.tenant = set.items[0].tenant,
                                  .time_min_ms = INT64_MIN,
                                  .time_max_ms = INT64_MAX,
                                  .selectors = &selector,
                                  .selector_count = 1};
    const struct mrd_erasure *const erasures = &erasure;
    struct mrd_block_select select = {.tenant = erasure.tenant,
                                      .erasures = &erasures,
                                      .erasure_count = 1,
                                      .min_ms = INT64_MIN,
                                      .max_ms = INT64_MAX};
    struct mrd_block *block;
    testing_must(
        mrd_block_open(testing_store, &entry, &(struct mrd_block_open_options){0}, &block, &err),
        &err);
    struct mrd_block_cursor_stats stats[3];
    for (size_t round = 0; round < 3; round++) {
        struct mrd_block_cursor *cursor;
        const struct mrd_block_series *series;
        const struct mrd_block_cursor_options limited = {.series_max = round == 0 ? 1 : 0};
        testing_must(mrd_block_select(block, &select, &limited, &cursor, &err), &err);
        assert_int_equal(mrd_block_cursor_series(cursor), round == 0 ? 0 : set.count);
        do {
            testing_must(mrd_block_cursor_next(cursor, &series, &err), &err);
        } while (series != NULL);
        stats[round] = mrd_block_cursor_stats(cursor);
        mrd_block_cursor_close(&cursor);
        erasure.time_min_ms = INT64_C(1700000000000) + 200000000; /* some runs of some series */
        select.erasure_count = round == 0 ? 1 : 0;
    }
    assert_int_equal(stats[0].bytes, 0);
    assert_int_equal(stats[0].erased, entry.counts.samples);
    assert_true(stats[1].erased > 0 && stats[1].erased < entry.counts.samples);
    assert_int_equal(stats[2].erased, 0);
    assert_true(stats[1].bytes > 0 && stats[1].bytes < stats[2].bytes);
    mrd_block_close(&block);
    mrd_matcher_fini(&matcher);
    testing_set_fini(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_erased_is_as_if_it_were_not_there),
        cmocka_unit_test(erased_runs_are_counted_and_not_read),
    };
    return cmocka_run_group_tests(tests, testing_open, testing_close);
}
