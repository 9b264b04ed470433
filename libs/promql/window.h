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
    struct mrd_look
        look; /* for functions that sort; once it has ended one, what they write is of no use */
};

/* Fills from and to for the series in times_ms. Cost: one pass over samples and steps. */
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
