/* Rollup rows against the engine over the samples that they were made of: many random series, every function. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "promql/engine.h"

#include "base/testing_rounds.h"
#include "promqltest/memory_source.h"
#include "rollup/builder.h"
#include "rollup/codec.h"
#include "rollup/cover.h"

enum {
    ROUNDS = 2000,
    POINTS_MAX = 400,
    ROWS_MAX = 4096,
    QUESTIONS = 6,
    LEVELS = 3,
    STRETCH_MAX = 4
};

static const mrd_time_ms resolutions_ms[LEVELS] = {60000, 600000, 3600000};
static const mrd_time_ms base_ms = 1700000000000 / 3600000 * 3600000;

/* ---- chance ---- */

static uint64_t chance_state;

static uint64_t chance(void)
{
    chance_state ^= chance_state << 13;
    chance_state ^= chance_state >> 7;
    chance_state ^= chance_state << 17;
    return chance_state * 0x2545f4914f6cdd1dULL >> 16;
}
static uint64_t below(uint64_t bound) { return chance() % bound; }
static bool one_in(uint64_t count) { return below(count) == 0; }

/* ---- a random series ---- */

enum kind { COUNTER_WHOLE, COUNTER_REAL, GAUGE, ODD, HISTOGRAM, HISTOGRAM_GAUGE, MIXED, KINDS };

struct shape {
    enum kind kind;
    mrd_time_ms interval_ms;
    mrd_time_ms jitter_ms;
    bool starts;
    bool uneven;   /* histograms of several schemas */
    double resets; /* in a thousand */
};

struct series {
    struct shape shape;
    struct mrd_memory_source *source;
    struct mrd_source_set *set;
    struct mrd_source_series all; /* what the source yields: it knows the hints */
    mrd_time_ms start_ms;         /* of the counter at hand */
    double value;
    double counts[4];
    double sum;
};

static const struct mrd_label label_items[] = {
    {{.data = (const uint8_t *)"__name__", .size = 8},
     {.data = (const uint8_t *)"m_total", .size = 7}}
};
static const struct mrd_labels labels = {label_items, 1};

static double odd_value(void)
{
    static const double odd[] = {0.0,       -0.0,   1e308,   -1e308, INFINITY,
                                 -INFINITY, 5e-324, 1.0 / 3, 2.5,    1e-300};
    return one_in(6) ? mrd_double_from_bits(0x7ff8000000000001ULL + below(5))
                     : odd[below(MRD_ARRAY_LEN(odd))];
}

static double next_value(struct series *series, bool *out_reset)
{
    const bool reset = (double)below(1000) < series->shape.resets;
    *out_reset = reset;
    switch (series->shape.kind) {
    case COUNTER_WHOLE:
        series->value = reset ? (double)below(3) : series->value + (double)below(1000);
        return series->value;
    case GAUGE:
        return (double)below(100000) / 1000 - 40;
    case ODD:
        return odd_value();
    case COUNTER_REAL:
    case HISTOGRAM:
    case HISTOGRAM_GAUGE:
    case MIXED:
    case KINDS:
        break;
    }
    series->value = reset ? (double)below(3000) / 1000 : series->value + (double)below(99999) / 977;
    return series->value;
}

/* A counter grows in every bucket or begins anew; a gauge is anything. */
static void put_histogram(struct series *series, mrd_time_ms time_ms, bool reset)
{
    static const int32_t indexes[] = {-1, 0, 1, 5};
    const bool gauge = series->shape.kind == HISTOGRAM_GAUGE;
    struct mrd_float_histogram histogram = {
        .reset = gauge ? MRD_HISTOGRAM_GAUGE : MRD_HISTOGRAM_RESET_UNKNOWN,
        .schema = series->shape.uneven && one_in(20) ? 1 : 2,
        .zero_threshold = 0.001,
        .positive = {indexes, series->counts, 4},
    };
    for (size_t i = 0; i < 4; i++) {
        series->counts[i] =
            reset || gauge ? (double)below(20) : series->counts[i] + (double)below(4);
        histogram.count += series->counts[i];
    }
    series->sum = reset ? 0.25 : series->sum + (double)below(1000) / 8;
    histogram.sum = series->sum;
    if (one_in(40)) {
        histogram = (struct mrd_float_histogram){.sum = mrd_stale_nan()};
    }
    assert_true(mrd_memory_source_put_histogram(series->source, labels, time_ms, &histogram));
}

static void put_start(struct series *series, mrd_time_ms time_ms, mrd_time_ms before_ms, bool reset)
{
    mrd_time_ms start_ms = series->start_ms;
    if (reset) {
        series->start_ms = time_ms - (mrd_time_ms)below((uint64_t)(time_ms - before_ms));
        start_ms = series->start_ms;
    }
    if (one_in(30)) {
        start_ms = one_in(2) ? 0 : before_ms - (mrd_time_ms)below(100000) + 20000;
    }
    assert_true(mrd_memory_source_start(series->source, labels, time_ms, start_ms));
}

static void put_point(struct series *series, mrd_time_ms time_ms, mrd_time_ms before_ms)
{
    const enum kind kind = series->shape.kind;
    const bool histogram =
        kind == HISTOGRAM || kind == HISTOGRAM_GAUGE || (kind == MIXED && below(20) < 10);
    bool reset = false;
    const double value = next_value(series, &reset);
    if (histogram) {
        put_histogram(series, time_ms, reset);
    } else {
        const struct mrd_sample sample = {time_ms, one_in(40) ? mrd_stale_nan() : value};
        mrd_memory_source_put(series->source, labels, sample);
    }
    if (series->shape.starts) {
        put_start(series, time_ms, before_ms, reset);
    }
}

static struct shape random_shape(void)
{
    static const mrd_time_ms intervals_ms[] = {1000, 15000, 30000, 60000, 300000, 600000, 7777};
    static const double resets[] = {0, 0, 5, 30, 300};
    return (struct shape){
        .kind = (enum kind)below(KINDS),
        .interval_ms = intervals_ms[below(MRD_ARRAY_LEN(intervals_ms))],
        .jitter_ms = one_in(2) ? 0 : 1 + (mrd_time_ms)below(5000),
        .starts = one_in(3),
        .uneven = one_in(4),
        .resets = resets[below(MRD_ARRAY_LEN(resets))],
    };
}

static void fill(struct series *series)
{
    const size_t points = 1 + below(POINTS_MAX);
    mrd_time_ms time_ms = base_ms + (mrd_time_ms)below(7200000);
    time_ms = one_in(2) ? time_ms / 60000 * 60000 : time_ms;
    mrd_time_ms before_ms = time_ms - series->shape.interval_ms;
    series->start_ms = before_ms;
    for (size_t i = 0; i < points; i++) {
        put_point(series, time_ms, before_ms);
        before_ms = time_ms;
        time_ms += series->shape.interval_ms;
        time_ms += series->shape.jitter_ms == 0
                       ? 0
                       : (mrd_time_ms)below((uint64_t)series->shape.jitter_ms);
        if (one_in(30)) {
            time_ms += (mrd_time_ms)below(60) * 60000;
        }
    }
}

static void read_all(struct series *series, struct mrd_arena *arena,
                     struct mrd_annotations *annotations, const struct mrd_matcher *matcher)
{
    const struct mrd_source *source = mrd_memory_source_get(series->source);
    const struct mrd_query_scope scope = {.arena = arena, .annotations = annotations};
    const struct mrd_select select = {
        .matchers = matcher, .matcher_count = 1, .min_ms = INT64_MIN / 2, .max_ms = INT64_MAX / 2};
    bool more = false;
    assert_int_equal(source->open(source->context, &select, &scope, &series->set, NULL), MRD_OK);
    assert_int_equal(source->next(series->set, &series->all, &more, NULL), MRD_OK);
    assert_true(more);
}

/* ---- its rows ---- */

struct rows {
    struct mrd_rollup_row items[LEVELS][ROWS_MAX];
    size_t counts[LEVELS];
    struct mrd_arena *arena;
};

static enum mrd_status keep_row(void *context, size_t level, const struct mrd_rollup_row *row,
                                struct mrd_error *err)
{
    struct rows *rows = context;
    (void)err;
    assert_true(rows->counts[level] < ROWS_MAX);
    assert_int_equal(row->end_ms % resolutions_ms[level], 0);
    assert_false(mrd_rollup_row_is_empty(row));
    struct mrd_rollup_row *kept = &rows->items[level][rows->counts[level]++];
    assert_true(kept == rows->items[level] || kept[-1].end_ms <= row->end_ms);
    *kept = *row;
    assert_int_equal(mrd_rollup_histograms_clone(&kept->histograms, rows->arena, NULL), MRD_OK);
    return MRD_OK;
}

/* A cut of the columns: those in (begin, end]. */
static void cut(const struct mrd_source_series *all, mrd_time_ms begin_ms, mrd_time_ms end_ms,
                struct mrd_samples *samples, struct mrd_histograms *histograms)
{
    size_t from = 0;
    size_t to = 0;
    *samples = all->samples;
    *histograms = all->histograms;
    while (to < all->samples.count && all->samples.times_ms[to] <= end_ms) {
        from += all->samples.times_ms[to++] <= begin_ms;
    }
    if (from > 0) {
        samples->times_ms += from;
        samples->values += from;
        samples->start_times_ms =
            samples->start_times_ms == NULL ? NULL : samples->start_times_ms + from;
    }
    samples->count = to - from;
    from = to = 0;
    while (to < all->histograms.count && all->histograms.times_ms[to] <= end_ms) {
        from += all->histograms.times_ms[to++] <= begin_ms;
    }
    if (from > 0) {
        histograms->times_ms += from;
        histograms->items += from;
        histograms->start_times_ms =
            histograms->start_times_ms == NULL ? NULL : histograms->start_times_ms + from;
    }
    histograms->count = to - from;
}

/* Feeds the series in pieces; `split_days` ends the series now and then, as a day does, so that a window has two rows. */
static void build(const struct series *series, struct rows *rows, bool split_days)
{
    const struct mrd_rollup_builder_options options = {.resolutions_ms = resolutions_ms,
                                                       .resolution_count = LEVELS,
                                                       .emit = keep_row,
                                                       .context = rows};
    struct mrd_rollup_builder *builder = mrd_rollup_builder_create(&options);
    mrd_time_ms at_ms = INT64_MIN / 4;
    mrd_time_ms next_ms = base_ms;
    const mrd_time_ms last_ms = base_ms + (mrd_time_ms)100 * 24 * 3600000;
    memset(rows->counts, 0, sizeof(rows->counts));
    while (at_ms < last_ms) {
        struct mrd_samples samples;
        struct mrd_histograms histograms;
        cut(&series->all, at_ms, next_ms, &samples, &histograms);
        assert_int_equal(mrd_rollup_builder_add(builder, &samples, &histograms, NULL), MRD_OK);
        if (split_days && one_in(3)) {
            assert_int_equal(mrd_rollup_builder_end(builder, NULL), MRD_OK);
        }
        at_ms = next_ms;
        next_ms += 1 + (mrd_time_ms)below(3 * 3600000);
        next_ms = next_ms > base_ms + (mrd_time_ms)10 * 24 * 3600000 ? last_ms : next_ms;
    }
    assert_int_equal(mrd_rollup_builder_end(builder, NULL), MRD_OK);
    mrd_rollup_builder_destroy(&builder);
}

/* All rows become bytes and rows again. */
static void store(struct rows *rows)
{
    for (size_t level = 0; level < LEVELS; level++) {
        mrd_auto(mrd_buf_fini)
        struct mrd_buf bytes = {0};
        mrd_auto(mrd_buf_fini)
        struct mrd_buf again = {0};
        const struct mrd_rollup_row *decoded = NULL;
        size_t count = 0;
        mrd_rollup_encode(rows->items[level], rows->counts[level], resolutions_ms[level], &bytes);
        assert_int_equal(mrd_rollup_decode(mrd_buf_view(&bytes), resolutions_ms[level], rows->arena,
                                           &decoded, &count, NULL),
                         MRD_OK);
        assert_int_equal(count, rows->counts[level]);
        mrd_rollup_encode(decoded, count, resolutions_ms[level], &again);
        assert_true(mrd_bytes_equal(mrd_buf_view(&bytes), mrd_buf_view(&again)));
        memcpy(rows->items[level], decoded, count * sizeof(*decoded));
    }
}

static void join_rows(const struct rows *rows, size_t level, mrd_time_ms begin_ms,
                      mrd_time_ms end_ms, struct mrd_arena *arena, struct mrd_rollup_row *into)
{
    for (size_t i = 0; i < rows->counts[level]; i++) {
        const struct mrd_rollup_row *row = &rows->items[level][i];
        if (row->end_ms > begin_ms && row->end_ms <= end_ms) {
            assert_int_equal(mrd_rollup_join(into, row, arena, NULL), MRD_OK);
        }
    }
}

/* ---- questions ---- */

static const char *const range_functions[] = {
    "rate",
    "increase",
    "delta",
    "changes",
    "resets",
    "sum_over_time",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "count_over_time",
    "first_over_time",
    "last_over_time",
    "present_over_time",
    "ts_of_first_over_time",
    "ts_of_last_over_time",
};

struct question {
    char text[128];
    struct mrd_rollup_use use;
    size_t steps;
    mrd_time_ms lookback_ms;
    bool use_starts;
};

static struct question random_question(const struct rows *rows)
{
    const size_t level = below(LEVELS);
    const mrd_time_ms unit_ms = resolutions_ms[level];
    const size_t which = below(MRD_ARRAY_LEN(range_functions) + 2);
    const mrd_time_ms span_ms =
        rows->counts[0] == 0 ? 1 : rows->items[0][rows->counts[0] - 1].end_ms - base_ms;
    struct question question = {.use_starts = one_in(2), .steps = 1 + below(12)};
    struct mrd_rollup_use *use = &question.use;
    use->end_ms = (base_ms + (mrd_time_ms)below((uint64_t)span_ms + 1)) / unit_ms * unit_ms;
    use->step_ms = question.steps == 1 ? 0 : (mrd_time_ms)(1 + below(5)) * unit_ms;
    use->range_ms = (mrd_time_ms)(1 + below(one_in(4) ? 40 : 4)) * unit_ms;
    question.lookback_ms = 1000 + (mrd_time_ms)below(2 * (uint64_t)unit_ms);
    if (which >= MRD_ARRAY_LEN(range_functions)) {
        const bool times = which > MRD_ARRAY_LEN(range_functions);
        use->function = times ? MRD_BYTES("timestamp") : MRD_BYTES("");
        use->range_ms = question.lookback_ms;
        (void)snprintf(question.text, sizeof(question.text),
                       times ? "timestamp(m_total)" : "m_total");
        return question;
    }
    use->function = mrd_bytes_of(range_functions[which]);
    (void)snprintf(question.text, sizeof(question.text), "%s(m_total[%lldms])",
                   range_functions[which], (long long)use->range_ms);
    return question;
}

static void ask(const struct series *series, const struct question *question,
                struct mrd_arena *arena, struct mrd_promql_result *out)
{
    const struct mrd_promql_options options = {.lookback_ms = question->lookback_ms,
                                               .use_start_timestamps = question->use_starts,
                                               .features = {.experimental_functions = true}};
    const mrd_time_ms step_ms = question->use.step_ms == 0 ? 1 : question->use.step_ms;
    const struct mrd_promql_request request = {
        .text = mrd_bytes_of(question->text),
        .start_ms = question->use.end_ms,
        .end_ms = question->use.end_ms + (mrd_time_ms)(question->steps - 1) * step_ms,
        .step_ms = step_ms,
    };
    struct mrd_error err = {0};
    if (mrd_promql_query(&options, &request, mrd_memory_source_get(series->source), NULL, arena,
                         out, &err) != MRD_OK) {
        fail_msg("%s: %s", question->text, err.text);
    }
    assert_true(out->series_count <= 1);
}

/* ---- answers ---- */

/* How far apart answers may be that were added up in another order: by two units in the last place of the result, and by what
 * compensation cannot see. */
static bool is_near(double a, double b, double magnitude, double count)
{
    if (mrd_double_bits(a) == mrd_double_bits(b) || (isnan(a) && isnan(b))) {
        return true;
    }
    const double epsilon = 0x1p-52;
    return fabs(a - b) <= 2 * epsilon * fabs(b) + 2 * count * epsilon * epsilon * magnitude;
}

struct tally {
    size_t compared;
    size_t exact;
    size_t near;
    size_t raw;
    size_t histograms;
    size_t nothing;
};

static void check_float(const struct question *question, enum kind kind, double got, double want,
                        const struct mrd_rollup_row *row)
{
    const enum mrd_rollup_function function = mrd_rollup_function_find(question->use.function);
    const struct mrd_rollup_floats *floats = &row->floats;
    const double count = (double)floats->count;
    const double magnitude = count * fmax(fabs(floats->min), fabs(floats->max));
    if (mrd_double_bits(got) == mrd_double_bits(want)) {
        return;
    }
    if (function == MRD_ROLLUP_SUM && kind != COUNTER_WHOLE) {
        assert_true(is_near(got, want, magnitude, count));
        return;
    }
    if (function == MRD_ROLLUP_AVG && kind != COUNTER_WHOLE) {
        assert_true(is_near(got, want, magnitude / count, count));
        return;
    }
    if (isnan(got) && isnan(want) &&
        (function == MRD_ROLLUP_RATE || function == MRD_ROLLUP_INCREASE ||
         function == MRD_ROLLUP_DELTA || function == MRD_ROLLUP_SUM ||
         function == MRD_ROLLUP_AVG)) {
        return; /* arithmetic made it: its bits mean nothing */
    }
    if ((function == MRD_ROLLUP_RATE || function == MRD_ROLLUP_INCREASE) && kind != COUNTER_WHOLE &&
        floats->resets[MRD_ROLLUP_BY_START] > 1) {
        const double resets = (double)floats->resets[MRD_ROLLUP_BY_START];
        const double terms = (resets + 2) * fmax(fabs(floats->min), fabs(floats->max));
        const double seconds =
            function == MRD_ROLLUP_RATE ? (double)question->use.range_ms / 1000 : 1;
        assert_true(fabs(got - want) <= STRETCH_MAX * (resets + 2) * 0x1p-52 * terms / seconds);
        return;
    }
    fail_msg("%s at %lld: rows say %a, samples %a", question->text, (long long)row->end_ms, got,
             want);
}

static void check_histogram(const struct question *question, const struct mrd_float_histogram *got,
                            const struct mrd_float_histogram *want)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf a = {0};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf b = {0};
    if (mrd_float_histogram_equal(got, want)) {
        return;
    }
    mrd_float_histogram_format(got, &a);
    mrd_float_histogram_format(want, &b);
    fail_msg("%s: rows say %.*s, samples %.*s", question->text, (int)a.size, (const char *)a.data,
             (int)b.size, (const char *)b.data);
}

static void check_step(const struct series *series, const struct question *question,
                       mrd_time_ms end_ms, const struct mrd_rollup_row *row,
                       const struct mrd_promql_result *result, bool *overlaps, bool *raw,
                       struct mrd_arena *arena, struct tally *tally)
{
    const struct mrd_rollup_question asked = {
        .function = mrd_rollup_function_find(question->use.function),
        .begin_ms = end_ms - question->use.range_ms,
        .end_ms = end_ms,
        .use_start_timestamps = question->use_starts,
    };
    struct mrd_rollup_answer answer;
    const struct mrd_promql_series *want = result->series_count == 0 ? NULL : result->series;
    size_t at = 0;
    assert_int_equal(mrd_rollup_evaluate(&asked, row, arena, &answer, NULL), MRD_OK);
    tally->compared++;
    *overlaps |= answer.overlaps;
    if (answer.outcome == MRD_ROLLUP_RAW) {
        tally->raw++;
        *raw = true;
        return;
    }
    while (want != NULL && at < want->count && want->times_ms[at] < end_ms) {
        at++;
    }
    const bool any = want != NULL && at < want->count && want->times_ms[at] == end_ms;
    if (any != (answer.outcome != MRD_ROLLUP_NOTHING)) {
        fail_msg("%s at %lld: rows say %d, samples %d", question->text, (long long)end_ms,
                 answer.outcome, any);
    }
    if (!any) {
        tally->nothing++;
        return;
    }
    const struct mrd_float_histogram *histogram =
        want->histograms == NULL ? NULL : want->histograms[at];
    assert_int_equal(histogram != NULL, answer.outcome == MRD_ROLLUP_HISTOGRAM);
    if (histogram != NULL) {
        tally->histograms++;
        check_histogram(question, answer.histogram, histogram);
        return;
    }
    const bool exact = mrd_double_bits(answer.value) == mrd_double_bits(want->values[at]);
    tally->exact += exact;
    tally->near += !exact;
    check_float(question, series->shape.kind, answer.value, want->values[at], row);
}

static void check_overlaps(const struct mrd_promql_result *result, bool overlaps, bool raw)
{
    bool said = false;
    const struct mrd_annotation *note = result->annotations.first[MRD_ANNOTATION_WARNING];
    for (; note != NULL; note = note->next) {
        said |= memmem(note->text.data, note->text.size, "overlaps", 8) != NULL;
    }
    if (!raw) {
        assert_int_equal(said, overlaps);
    }
}

/* Any range: rows where whole windows are, samples at the edges. */
static void join_cover(const struct series *series, const struct rows *rows, mrd_time_ms begin_ms,
                       mrd_time_ms end_ms, struct mrd_arena *arena, struct mrd_rollup_row *into)
{
    struct mrd_rollup_part parts[MRD_ROLLUP_PARTS_MAX(LEVELS)];
    const size_t count = mrd_rollup_cover(begin_ms, end_ms, resolutions_ms, LEVELS, parts);
    mrd_time_ms at_ms = begin_ms;
    for (size_t p = 0; p < count; p++) {
        assert_int_equal(parts[p].begin_ms, at_ms);
        assert_true(parts[p].end_ms > at_ms);
        at_ms = parts[p].end_ms;
        if (parts[p].resolution_ms != 0) {
            size_t level = 0;
            while (resolutions_ms[level] != parts[p].resolution_ms) {
                level++;
            }
            join_rows(rows, level, parts[p].begin_ms, parts[p].end_ms, arena, into);
            continue;
        }
        struct rows *edge = calloc(1, sizeof(*edge));
        struct series part = *series;
        edge->arena = arena;
        cut(&series->all, parts[p].begin_ms, parts[p].end_ms, &part.all.samples,
            &part.all.histograms);
        build(&part, edge, false);
        for (size_t i = 0; i < edge->counts[0]; i++) {
            assert_int_equal(mrd_rollup_join(into, &edge->items[0][i], arena, NULL), MRD_OK);
        }
        free(edge);
    }
    assert_int_equal(at_ms, end_ms);
}

static void check_question(const struct series *series, const struct rows *rows, bool aligned,
                           struct tally *tally)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("test", 256 << 20);
    struct question question = random_question(rows);
    struct mrd_promql_result result;
    bool overlaps = false;
    bool raw = false;
    if (!aligned) {
        question.use.end_ms += (mrd_time_ms)below(3600000);
        question.use.step_ms += question.use.step_ms == 0 ? 0 : (mrd_time_ms)below(60000);
    }
    const int level = mrd_rollup_choose(&question.use, resolutions_ms, LEVELS);
    if (aligned) {
        assert_true(level >= 0);
    }
    ask(series, &question, arena, &result);
    for (size_t i = 0; i < question.steps; i++) {
        const mrd_time_ms end_ms = question.use.end_ms + (mrd_time_ms)i * question.use.step_ms;
        struct mrd_rollup_row row = mrd_rollup_row_empty(end_ms);
        if (aligned) { /* an instant looks at all windows that its lookback reaches into */
            const mrd_time_ms begin_ms =
                mrd_rollup_window_end(end_ms - question.use.range_ms, resolutions_ms[level]) -
                ((end_ms - question.use.range_ms) % resolutions_ms[level] == 0
                     ? 0
                     : resolutions_ms[level]);
            join_rows(rows, (size_t)level, begin_ms, end_ms, arena, &row);
        } else {
            join_cover(series, rows, end_ms - question.use.range_ms, end_ms, arena, &row);
        }
        check_step(series, &question, end_ms, &row, &result, &overlaps, &raw, arena, tally);
    }
    if (question.steps == 1 || question.use.step_ms > 0) {
        check_overlaps(&result, overlaps, raw);
    }
}

static uint64_t seed_of_test(void)
{
    const char *given = getenv("MERIDIAN_TEST_SEED");
    const uint64_t seed = given == NULL ? 20240611 : strtoull(given, NULL, 10);
    print_message("MERIDIAN_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

static void check_rounds(size_t rounds, bool aligned, bool split_days)
{
    struct tally tally = {0};
    struct rows *rows = calloc(1, sizeof(*rows));
    struct mrd_matcher matcher;
    assert_int_equal(
        mrd_matcher_init(&matcher, MRD_MATCH_EQ, MRD_BYTES("__name__"), MRD_BYTES("m_total"), NULL),
        MRD_OK);
    chance_state = seed_of_test() * 2 + 1 + aligned + 2 * (uint64_t)split_days;
    for (size_t i = 0; i < rounds; i++) {
        struct mrd_arena *arena = mrd_arena_create("test", 256 << 20);
        struct mrd_annotations annotations;
        struct series series = {.shape = random_shape(),
                                .source = mrd_memory_source_create(),
                                .value = (double)below(100)};
        mrd_annotations_init(&annotations, arena, MRD_BYTES(""));
        rows->arena = arena;
        fill(&series);
        read_all(&series, arena, &annotations, &matcher);
        build(&series, rows, split_days);
        store(rows);
        for (size_t q = 0; q < QUESTIONS; q++) {
            check_question(&series, rows, aligned, &tally);
        }
        mrd_memory_source_get(series.source)->close(series.set);
        mrd_memory_source_destroy(&series.source);
        mrd_arena_destroy(&arena);
    }
    mrd_matcher_fini(&matcher);
    free(rows);
    print_message("%zu answers: %zu floats bit for bit, %zu near, %zu histograms, %zu nothing, %zu "
                  "need samples\n",
                  tally.compared, tally.exact, tally.near, tally.histograms, tally.nothing,
                  tally.raw);
    assert_true(tally.exact > tally.compared / 4);
    assert_true(tally.histograms > tally.compared / 50);
    assert_true(tally.raw < tally.compared / 8);
}

static void rows_answer_as_samples_do(void **state)
{
    (void)state;
    check_rounds(testing_rounds(ROUNDS), true, false);
}
static void parts_of_windows_join(void **state)
{
    (void)state;
    check_rounds(testing_rounds(ROUNDS / 3), true, true);
}
static void any_range_is_covered_with_samples_at_its_edges(void **state)
{
    (void)state;
    check_rounds(testing_rounds(ROUNDS / 10), false, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_answer_as_samples_do),
        cmocka_unit_test(parts_of_windows_join),
        cmocka_unit_test(any_range_is_covered_with_samples_at_its_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
