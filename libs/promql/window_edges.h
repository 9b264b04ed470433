/* window_edges.h: `anchored` and `smoothed`: ranges that begin and end exactly at their edges.
 *
 * An anchored range takes the newest sample at or before its begin along, a smoothed one finds the values at
 * both edges by drawing a line between the samples around them; both look around as far as the lookback.
 * Nothing is extrapolated. Source: Prometheus 3.14, promql/functions.go (extendedRate).
 */
#ifndef MRD_PROMQL_WINDOW_EDGES_H
#define MRD_PROMQL_WINDOW_EDGES_H

#include "promql/function_table.h"

/* The name under which pql_edge_function knows what a smoothed instant selector does; no function of the
 * language has it. */
#define PQL_SMOOTHED_VALUE "smoothed value"

/* Like pql_windows_slide, but each window reaches lookback_ms further back, and if smoothed as far
 * ahead too. range_ms and end0_ms stay those of the range itself. */
void pql_windows_slide_edges(struct pql_windows *windows, mrd_time_ms lookback_ms);

/* What evaluates the function on such a range; without one, its usual code. MRD_E_INVALID with
 * Prometheus' text if the function does not go with the modifier. */
MRD_MUST_CHECK enum mrd_status pql_edge_function(const struct pql_function *function,
                                                 enum mrd_edge edge, pql_window_function **out,
                                                 struct mrd_error *err);

/* The range (begin_ms, end_ms] by itself: its samples, and one with the value at each edge. `samples`
 * are those of the wider window without staleness markers; the output has room for two more than they
 * are. Returns how many were written, 0 if there is nothing after the begin. */
size_t pql_edge_extend(struct mrd_samples samples, mrd_time_ms begin_ms, mrd_time_ms end_ms,
                       bool smoothed, mrd_time_ms *out_times_ms, double *out_values);

#endif
