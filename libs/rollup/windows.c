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

/* As reach() of evaluate.c. */
static inline double reach(double to_edge, double average)
{
    return to_edge >= average * 1.1 ? average / 2 : to_edge;
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

/* The same operations in the same order as float_change and mrd_rollup_stretch have them. */
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
        const double first = firsts[i];
        const double difference = lasts[i] - first;
        const double to_start = seconds(first_ms[i] - (ends_ms[i] - resolution_ms));
        const double sampled = seconds(last_ms[i] - first_ms[i]);
        const double to_end = seconds(ends_ms[i] - last_ms[i]);
        const double average = sampled / (double)(int32_t)(counts[i] - 1);
        const double stretched = reach(to_start, average);
        const double zero = sampled * (first / difference);
        const bool bounded = counter && difference > 0 && first >= 0 && zero < stretched;
        const double before = bounded ? zero : stretched;
        const double factor = (sampled + before + reach(to_end, average)) / sampled;
        out[i] = counts[i] < 2 ? none : difference * (factor / range_s);
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
        function == MRD_ROLLUP_RATE
            ? (double)(resolution_ms / 1000) + (double)(resolution_ms % 1000 * 1000000) / 1e9
            : 1; /* divides without a trace */
    change(rows, resolution_ms, function != MRD_ROLLUP_DELTA, range_s, count, out);
}
