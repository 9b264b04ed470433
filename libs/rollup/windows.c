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
        change_with_resets(rows, resolution_ms, counter, range_s, count, out);
    } else {
        change(rows, resolution_ms, counter, range_s, count, out);
    }
}
