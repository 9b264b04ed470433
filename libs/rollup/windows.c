#include "rollup/windows.h"

#include "model/sample.h"
#include "rollup/evaluate_internal.h"

/* Whether what is lost in any row can be added to its change, as float_change of evaluate.c looks at it. */
static bool losses_are_safe(const struct mrd_rollup_columns *columns)
{
    const int64_t *resets = columns->items[MRD_ROW_RESETS];
    for (size_t i = 0; resets != NULL && i < columns->count; i++) {
        struct mrd_rollup_row row;
        if (resets[i] < 2) {
            continue;
        }
        mrd_rollup_columns_row(columns, i, &row);
        if (!mrd_rollup_sum_is_safe(row.floats.min, row.floats.max, (uint64_t)resets[i] + 2)) {
            return false;
        }
    }
    return true;
}

bool mrd_rollup_windows_can(const struct mrd_rollup_question *question,
                            const struct mrd_rollup_columns *columns, mrd_time_ms resolution_ms)
{
    const bool change = question->function == MRD_ROLLUP_RATE ||
                        question->function == MRD_ROLLUP_INCREASE ||
                        question->function == MRD_ROLLUP_DELTA;
    return change && resolution_ms < INT32_MAX && columns->states == NULL &&
           columns->items[MRD_ROW_FIRST_ST] == NULL && columns->items[MRD_ROW_COUNT] != NULL &&
           columns->items[MRD_ROW_FIRST] != NULL && columns->items[MRD_ROW_LAST] != NULL &&
           columns->items[MRD_ROW_FIRST_TS] != NULL && columns->items[MRD_ROW_LAST_TS] != NULL &&
           (columns->items[MRD_ROW_RESETS] == NULL) == (columns->items[MRD_ROW_LOST] == NULL) &&
           (question->function == MRD_ROLLUP_DELTA || losses_are_safe(columns));
}

/* Milliseconds within a window, as seconds: they fit 32 bits, which convert faster. */
static inline double seconds(mrd_time_ms distance_ms)
{
    return (double)(int32_t)distance_ms / 1000;
}

struct rows {
    const mrd_time_ms *ends_ms;
    const int64_t *counts;
    const double *firsts;
    const double *lasts;
    const mrd_time_ms *first_ms;
    const mrd_time_ms *last_ms;
    const int64_t *resets; /* NULL: there are none, or they do not matter */
    const double *lost;
};

static inline __attribute__((always_inline)) void change_all(struct rows rows, bool resets,
                                                             mrd_time_ms resolution_ms,
                                                             bool counter, double range_s,
                                                             size_t count, double *out)
{
    const double none = mrd_stale_nan();
    const mrd_time_ms *restrict ends_ms = rows.ends_ms;
    const int64_t *restrict counts = rows.counts;
    const double *restrict firsts = rows.firsts;
    const double *restrict lasts = rows.lasts;
    const mrd_time_ms *restrict first_ms = rows.first_ms;
    const mrd_time_ms *restrict last_ms = rows.last_ms;
    const int64_t *restrict reset_counts = rows.resets;
    const double *restrict lost = rows.lost;
    for (size_t i = 0; i < count; i++) {
        const double seen = lasts[i] - firsts[i];
        const struct mrd_rollup_change of = {
            .difference = resets && reset_counts[i] > 0 ? seen + lost[i] : seen,
            .first = firsts[i],
            .to_start = seconds(first_ms[i] - (ends_ms[i] - resolution_ms)),
            .sampled = seconds(last_ms[i] - first_ms[i]),
            .to_end = seconds(ends_ms[i] - last_ms[i]),
            .steps = (double)(int32_t)(counts[i] - 1)};
        const double value = mrd_rollup_change_of(&of, counter, range_s);
        out[i] = counts[i] < 2 ? none : value;
    }
}

MRD_SIMD_CLONES static void change(struct rows rows, mrd_time_ms resolution_ms, bool counter,
                                   double range_s, size_t count, double *out)
{
    change_all(rows, false, resolution_ms, counter, range_s, count, out);
}

MRD_SIMD_CLONES static void change_with_resets(struct rows rows, mrd_time_ms resolution_ms,
                                               bool counter, double range_s, size_t count,
                                               double *out)
{
    change_all(rows, true, resolution_ms, counter, range_s, count, out);
}

/* ---- windows of one shape: as many samples, at the same places. What is scraped regularly has no others. ---- */

MRD_SIMD_CLONES static bool are_alike(struct rows rows, size_t count)
{
    const mrd_time_ms first_ms = rows.first_ms[0] - rows.ends_ms[0];
    const mrd_time_ms last_ms = rows.last_ms[0] - rows.ends_ms[0];
    uint64_t differences = 0;
    for (size_t i = 0; i < count; i++) {
        differences |= (uint64_t)(rows.first_ms[i] - rows.ends_ms[i] - first_ms) |
                       (uint64_t)(rows.last_ms[i] - rows.ends_ms[i] - last_ms) |
                       (uint64_t)(rows.counts[i] - rows.counts[0]);
    }
    return differences == 0 && rows.counts[0] >= 2;
}

/* The changes, each times `by`: what its shape stretches it by, unless a counter was zero so short a time before (less than `reach` seconds)
 * that this bounds it. Whether that is so of any, whose answers are wrong then. */
static inline __attribute__((always_inline)) bool stretch_all(struct rows rows, bool resets,
                                                              const struct mrd_rollup_change *shape,
                                                              double reach, double by, size_t count,
                                                              double *restrict out)
{
    const double *restrict firsts = rows.firsts;
    const double *restrict lasts = rows.lasts;
    const int64_t *restrict reset_counts = rows.resets;
    const double *restrict lost = rows.lost;
    int64_t bounded = 0;
    for (size_t i = 0; i < count; i++) {
        const double seen = lasts[i] - firsts[i];
        const double difference = resets && reset_counts[i] > 0 ? seen + lost[i] : seen;
        const double zero = shape->sampled * (firsts[i] / difference);
        bounded |= (int64_t)(difference > 0) & (int64_t)(firsts[i] >= 0) & (int64_t)(zero < reach);
        out[i] = difference * by;
    }
    return bounded != 0;
}

MRD_SIMD_CLONES static bool stretch(struct rows rows, const struct mrd_rollup_change *shape,
                                    double reach, double by, size_t count, double *out)
{
    return stretch_all(rows, false, shape, reach, by, count, out);
}

MRD_SIMD_CLONES static bool stretch_with_resets(struct rows rows,
                                                const struct mrd_rollup_change *shape, double reach,
                                                double by, size_t count, double *out)
{
    return stretch_all(rows, true, shape, reach, by, count, out);
}

/* Makes the answers of counters that began at zero so short a time before. */
static void bound(struct rows rows, const struct mrd_rollup_change *shape, double reach,
                  double range_s, size_t count, double *out)
{
    struct mrd_rollup_change of = *shape;
    for (size_t i = 0; i < count; i++) {
        const double seen = rows.lasts[i] - rows.firsts[i];
        of.first = rows.firsts[i];
        of.difference = rows.resets != NULL && rows.resets[i] > 0 ? seen + rows.lost[i] : seen;
        if (of.difference > 0 && of.first >= 0 &&
            shape->sampled * (of.first / of.difference) < reach) {
            out[i] = mrd_rollup_change_of(&of, true, range_s);
        }
    }
}

/* False if the windows differ: `out` is of no use then. */
static bool change_alike(struct rows rows, mrd_time_ms resolution_ms, bool counter, double range_s,
                         size_t count, double *out)
{
    if (!are_alike(rows, count)) {
        return false;
    }
    const struct mrd_rollup_change shape = {
        .to_start = seconds(rows.first_ms[0] - (rows.ends_ms[0] - resolution_ms)),
        .sampled = seconds(rows.last_ms[0] - rows.first_ms[0]),
        .to_end = seconds(rows.ends_ms[0] - rows.last_ms[0]),
        .steps = (double)(int32_t)(rows.counts[0] - 1)};
    /* the same operations as in mrd_rollup_change_of */
    const double average = shape.sampled / shape.steps;
    const double before = mrd_rollup_reach(shape.to_start, average);
    const double factor =
        (shape.sampled + before + mrd_rollup_reach(shape.to_end, average)) / shape.sampled;
    const double reach = counter ? before : -INFINITY; /* gauges have no zero */
    const bool any = rows.resets == NULL
                         ? stretch(rows, &shape, reach, factor / range_s, count, out)
                         : stretch_with_resets(rows, &shape, reach, factor / range_s, count, out);
    if (any) {
        bound(rows, &shape, reach, range_s, count, out);
    }
    return true;
}

void mrd_rollup_windows_change(enum mrd_rollup_function function,
                               const struct mrd_rollup_columns *columns, mrd_time_ms resolution_ms,
                               size_t from, size_t count, double *out)
{
    struct rows rows = {columns->ends_ms + from,
                        (const int64_t *)columns->items[MRD_ROW_COUNT] + from,
                        (const double *)columns->items[MRD_ROW_FIRST] + from,
                        (const double *)columns->items[MRD_ROW_LAST] + from,
                        (const mrd_time_ms *)columns->items[MRD_ROW_FIRST_TS] + from,
                        (const mrd_time_ms *)columns->items[MRD_ROW_LAST_TS] + from,
                        NULL,
                        NULL};
    const double range_s =
        function == MRD_ROLLUP_RATE ? mrd_rollup_range_seconds(resolution_ms) : 1;
    const bool counter = function != MRD_ROLLUP_DELTA;
    if (counter && columns->items[MRD_ROW_RESETS] != NULL) {
        rows.resets = (const int64_t *)columns->items[MRD_ROW_RESETS] + from;
        rows.lost = (const double *)columns->items[MRD_ROW_LOST] + from;
    }
    if (count == 0 || change_alike(rows, resolution_ms, counter, range_s, count, out)) {
        return;
    }
    if (rows.resets != NULL) {
        change_with_resets(rows, resolution_ms, counter, range_s, count, out);
    } else {
        change(rows, resolution_ms, counter, range_s, count, out);
    }
}

/* ---- of any function ---- */

MRD_SIMD_CLONES static bool fit_32_bits(const int64_t *counts, size_t count)
{
    uint64_t all = 0;
    for (size_t i = 0; i < count; i++) {
        all |= (uint64_t)counts[i];
    }
    return all <= INT32_MAX;
}

static bool sums_are_safe(const struct mrd_rollup_columns *columns, const int64_t *counts)
{
    const double *least = columns->items[MRD_ROW_MIN];
    const double *greatest = columns->items[MRD_ROW_MAX];
    bool safe = true;
    for (size_t i = 0; (least != NULL || greatest != NULL) && i < columns->count; i++) {
        safe &= counts[i] == 0 ||
                mrd_rollup_sum_is_safe(least == NULL ? 0 : least[i],
                                       greatest == NULL ? 0 : greatest[i], (uint64_t)counts[i]);
    }
    return safe;
}

static inline __attribute__((always_inline)) void
add_all(const int64_t *restrict counts, const double *restrict sums, const double *restrict errors,
        bool average, size_t count, double *restrict out)
{
    const double none = mrd_stale_nan();
    for (size_t i = 0; i < count; i++) {
        const double by = average ? (double)(int32_t)counts[i] : 1;
        const double value = sums[i] / by + (errors == NULL ? 0 : errors[i]) / by;
        out[i] = counts[i] == 0 ? none : value;
    }
}

MRD_SIMD_CLONES static void averages(const int64_t *counts, const double *sums,
                                     const double *errors, size_t count, double *out)
{
    if (errors == NULL) {
        add_all(counts, sums, NULL, true, count, out);
    } else {
        add_all(counts, sums, errors, true, count, out);
    }
}

MRD_SIMD_CLONES static void totals(const int64_t *counts, const double *sums, const double *errors,
                                   size_t count, double *out)
{
    if (errors == NULL) {
        add_all(counts, sums, NULL, false, count, out);
    } else {
        add_all(counts, sums, errors, false, count, out);
    }
}

static bool answer_sums(enum mrd_rollup_function function, const struct mrd_rollup_columns *columns,
                        const int64_t *counts, double *out)
{
    const double *sums = columns->items[MRD_ROW_SUM];
    const double *errors = columns->items[MRD_ROW_COMPENSATION];
    if (sums == NULL || !sums_are_safe(columns, counts)) {
        return false;
    }
    if (function == MRD_ROLLUP_AVG) {
        averages(counts, sums, errors, columns->count, out);
    } else {
        totals(counts, sums, errors, columns->count, out);
    }
    return true;
}

MRD_SIMD_CLONES static void known(const int64_t *counts, const double *values, size_t count,
                                  double *out)
{
    const double none = mrd_stale_nan();
    for (size_t i = 0; i < count; i++) {
        out[i] = counts[i] == 0 ? none : values[i];
    }
}

static bool answer_column(const struct mrd_rollup_columns *columns, enum mrd_rollup_column which,
                          const int64_t *counts, double *out)
{
    const double *values = columns->items[which];
    if (values != NULL) {
        known(counts, values, columns->count, out);
    }
    return values != NULL;
}

MRD_SIMD_CLONES static void numbers(const int64_t *counts, bool present, size_t count, double *out)
{
    const double none = mrd_stale_nan();
    for (size_t i = 0; i < count; i++) {
        out[i] = counts[i] == 0 ? none : present ? 1 : (double)(int32_t)counts[i];
    }
}

bool mrd_rollup_windows_answer(const struct mrd_rollup_asked *asked,
                               const struct mrd_rollup_columns *columns, double *out)
{
    const int64_t *counts = columns->items[MRD_ROW_COUNT];
    const struct mrd_rollup_question question = {.function = asked->function};
    if (columns->states != NULL || counts == NULL || !fit_32_bits(counts, columns->count)) {
        return false;
    }
    switch ((int)asked->function) {
    case MRD_ROLLUP_RATE:
    case MRD_ROLLUP_INCREASE:
    case MRD_ROLLUP_DELTA:
        if (!mrd_rollup_windows_can(&question, columns, asked->window_ms)) {
            return false;
        }
        mrd_rollup_windows_change(asked->function, columns, asked->window_ms, 0, columns->count,
                                  out);
        return true;
    case MRD_ROLLUP_SUM:
    case MRD_ROLLUP_AVG:
        return answer_sums(asked->function, columns, counts, out);
    case MRD_ROLLUP_MIN:
        return answer_column(columns, MRD_ROW_MIN, counts, out);
    case MRD_ROLLUP_MAX:
        return answer_column(columns, MRD_ROW_MAX, counts, out);
    case MRD_ROLLUP_FIRST:
        return answer_column(columns, MRD_ROW_FIRST, counts, out);
    case MRD_ROLLUP_LAST:
        return answer_column(columns, MRD_ROW_LAST, counts, out);
    case MRD_ROLLUP_COUNT:
    case MRD_ROLLUP_PRESENT:
        numbers(counts, asked->function == MRD_ROLLUP_PRESENT, columns->count, out);
        return true;
    default:
        return false;
    }
}

MRD_SIMD_CLONES static bool all_apart_by(const mrd_time_ms *ends_ms, mrd_time_ms by_ms,
                                         size_t count)
{
    uint64_t differences = 0;
    for (size_t i = 1; i < count; i++) {
        differences |= (uint64_t)(ends_ms[i] - ends_ms[i - 1] - by_ms);
    }
    return differences == 0;
}

enum mrd_status mrd_rollup_windows_add(const struct mrd_rollup_asked *asked,
                                       struct mrd_arena *arena,
                                       const struct mrd_rollup_columns **columns,
                                       struct mrd_error *err)
{
    const size_t count = (*columns)->count;
    const mrd_time_ms *ends_ms = (*columns)->ends_ms;
    const mrd_time_ms by_ms = count < 2 ? 0 : ends_ms[1] - ends_ms[0];
    if (asked->window_ms == 0) {
        return MRD_OK;
    }
    struct mrd_rollup_columns *view = mrd_arena_alloc(arena, sizeof(*view));
    double *answers = mrd_arena_alloc_array(arena, count, sizeof(*answers));
    if (view == NULL || answers == NULL) {
        return mrd_arena_fail(arena, err);
    }
    if (mrd_rollup_windows_answer(asked, *columns, answers)) {
        *view = **columns;
        view->answers = answers;
        view->even_ms = all_apart_by(ends_ms, by_ms, count) ? by_ms : 0;
        *columns = view;
    }
    return MRD_OK;
}
