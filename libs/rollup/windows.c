#include "rollup/windows.h"

#include "model/sample.h"
#include "rollup/evaluate_internal.h"

bool mrd_rollup_windows_can(const struct mrd_rollup_question *question,
                            const struct mrd_rollup_columns *columns, mrd_time_ms resolution_ms)
{
    const bool change = question->function == MRD_ROLLUP_RATE ||
                        question->function == MRD_ROLLUP_INCREASE ||
                        question->function == MRD_ROLLUP_DELTA;
    return change && resolution_ms < INT32_MAX && columns->states == NULL &&
           columns->items[MRD_ROW_RESETS] == NULL && columns->items[MRD_ROW_FIRST_ST] == NULL &&
           columns->items[MRD_ROW_COUNT] != NULL && columns->items[MRD_ROW_FIRST] != NULL &&
           columns->items[MRD_ROW_LAST] != NULL && columns->items[MRD_ROW_FIRST_TS] != NULL &&
           columns->items[MRD_ROW_LAST_TS] != NULL;
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
};

MRD_SIMD_CLONES static void change(struct rows rows, mrd_time_ms resolution_ms, bool counter,
                                   double range_s, size_t count, double *out)
{
    const double none = mrd_stale_nan();
    const mrd_time_ms *restrict ends_ms = rows.ends_ms;
    const int64_t *restrict counts = rows.counts;
    const double *restrict firsts = rows.firsts;
    const double *restrict lasts = rows.lasts;
    const mrd_time_ms *restrict first_ms = rows.first_ms;
    const mrd_time_ms *restrict last_ms = rows.last_ms;
    for (size_t i = 0; i < count; i++) {
        const struct mrd_rollup_change of = {
            .difference = lasts[i] - firsts[i],
            .first = firsts[i],
            .to_start = seconds(first_ms[i] - (ends_ms[i] - resolution_ms)),
            .sampled = seconds(last_ms[i] - first_ms[i]),
            .to_end = seconds(ends_ms[i] - last_ms[i]),
            .steps = (double)(int32_t)(counts[i] - 1)};
        const double value = mrd_rollup_change_of(&of, counter, range_s);
        out[i] = counts[i] < 2 ? none : value;
    }
}

void mrd_rollup_windows_change(enum mrd_rollup_function function,
                               const struct mrd_rollup_columns *columns, mrd_time_ms resolution_ms,
                               size_t from, size_t count, double *out)
{
    const struct rows rows = {columns->ends_ms + from,
                              (const int64_t *)columns->items[MRD_ROW_COUNT] + from,
                              (const double *)columns->items[MRD_ROW_FIRST] + from,
                              (const double *)columns->items[MRD_ROW_LAST] + from,
                              (const mrd_time_ms *)columns->items[MRD_ROW_FIRST_TS] + from,
                              (const mrd_time_ms *)columns->items[MRD_ROW_LAST_TS] + from};
    const double range_s =
        function == MRD_ROLLUP_RATE ? mrd_rollup_range_seconds(resolution_ms) : 1;
    change(rows, resolution_ms, function != MRD_ROLLUP_DELTA, range_s, count, out);
}
