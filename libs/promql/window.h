/* window.h: the samples of one series as one window per step, and the range functions over them.
 *
 * The window of step i ends at end0_ms + i * end_step_ms (end_step_ms is 0 under `@`) and reaches
 * back range_ms: (end - range, end], left-open. Each range function is one loop over all steps of a
 * series on decoded columns, without a call per sample. The order of floating-point operations is
 * Prometheus' (promql/functions.go), so results agree bit for bit.
 */
#ifndef MRD_PROMQL_WINDOW_H
#define MRD_PROMQL_WINDOW_H

#include "base/sort.h"
#include "model/span.h"
#include "promql/ast.h"
#include "promql/column.h"

struct pql_windows {
    /* The series, without staleness markers. */
    const mrd_time_ms *times_ms;
    const double *values;
    size_t count;
    /* Since when each sample counts, 0: unknown; NULL: none is known, or the function is not to heed it. */
    const mrd_time_ms *start_times_ms;

    size_t steps;
    uint32_t *from; /* step i sees samples [from[i], to[i]) */
    uint32_t *to;
    mrd_time_ms range_ms;
    mrd_time_ms end0_ms;
    mrd_time_ms end_step_ms;
    mrd_time_ms eval0_ms; /* evaluation times, for predict_linear */
    mrd_time_ms eval_step_ms;

    const double *args[2]; /* scalar arguments, one value per step */
    enum mrd_edge edge;    /* with another than NONE: pql_windows_slide_edges */
    double *scratch;       /* `count` doubles for functions that sort */
    uint32_t *marks;       /* `count` positions for functions that list counter resets */
    struct mrd_look look; /* of long windows; once it has ended one, what is written is of no use */
};

/* How far a loop over samples that is at `at` may go: to `end`, or in a long one as far as the next look; not at all once that has
 * ended it. */
enum { PQL_WINDOW_PART = 64 * 1024 };
static inline size_t pql_window_until(const struct mrd_look *look, size_t at, size_t end)
{
    if (end - at <= PQL_WINDOW_PART) {
        return end;
    }
    return mrd_look(look, NULL) == MRD_OK ? at + PQL_WINDOW_PART : at;
}

/* Goes through [from, to) as `for (i = from; i < to; i++)` does, with looks: for each part of it the body has a loop from i
 * to `until`. */
#define PQL_WINDOW_PARTS(look, i, until, from, to)                                                 \
    for (size_t i = (from), until;                                                                 \
         i < (size_t)(to) && (until = pql_window_until((look), i, (to))) > i;)

/* The number of times that are not after `bound_ms`, from `at` on: ascending, and mostly the next few are not. */
static inline size_t pql_times_seek(const mrd_time_ms *times_ms, size_t count, size_t at,
                                    mrd_time_ms bound_ms)
{
    const size_t near = count - at <= 16 ? count : at + 16;
    while (at < near && times_ms[at] <= bound_ms) {
        at++;
    }
    if (at < near || at == count) {
        return at;
    }
    size_t end =
        at; /* those before `at` are not after the bound; then that at `end` is, if there is one */
    for (size_t step = 16; end < count && times_ms[end] <= bound_ms; step *= 2) {
        at = end + 1;
        end = step < count - at ? at + step : count;
    }
    while (at < end) {
        const size_t middle = at + (end - at) / 2;
        if (times_ms[middle] <= bound_ms) {
            at = middle + 1;
        } else {
            end = middle;
        }
    }
    return at;
}

/* Fills from and to for the series in times_ms. Cost: one pass over the steps, each with a search if it goes far. */
void pql_windows_slide(struct pql_windows *windows);

/* In how many windows with a value in `out` a sample overlaps with the one before. Uses the marks. */
size_t pql_count_overlaps(const struct pql_windows *windows, const double *out);

/* Writes one value (or none) per step. */
typedef void pql_window_function(const struct pql_windows *windows, double *out);

pql_window_function pql_rate, pql_increase, pql_delta, pql_irate, pql_idelta;
pql_window_function pql_changes, pql_resets, pql_deriv, pql_predict_linear;
pql_window_function pql_avg_over_time, pql_min_over_time, pql_max_over_time, pql_sum_over_time;
pql_window_function pql_count_over_time, pql_stddev_over_time, pql_stdvar_over_time;
pql_window_function pql_last_over_time, pql_first_over_time, pql_present_over_time;
pql_window_function pql_quantile_over_time, pql_mad_over_time, pql_double_exponential_smoothing;
pql_window_function pql_ts_of_first_over_time, pql_ts_of_last_over_time;
pql_window_function pql_ts_of_min_over_time, pql_ts_of_max_over_time;

#endif
