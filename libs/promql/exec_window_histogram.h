/* exec_window_histogram.h: range functions where a series has native histograms.
 *
 * The float function of a call has filled its column as if there were floats only. What histograms
 * change about that is done here, step by step: a window may hold floats, histograms or both.
 */
#ifndef MRD_PROMQL_EXEC_WINDOW_HISTOGRAM_H
#define MRD_PROMQL_EXEC_WINDOW_HISTOGRAM_H

#include "promql/exec.h"

struct pql_histogram_windows;

/* `place` is that of the call's first argument. */
MRD_MUST_CHECK enum mrd_status
pql_histogram_windows_create(struct pql_exec *exec, const struct pql_function *function,
                             enum mrd_edge edge, struct mrd_annotation_place place, size_t steps,
                             struct pql_histogram_windows **out, struct mrd_error *err);

/* `floats` are the windows of the series' floats, `column` what the function made of them. */
MRD_MUST_CHECK enum mrd_status pql_histogram_windows_apply(struct pql_histogram_windows *windows,
                                                           const struct pql_windows *floats,
                                                           const struct pql_range_series *series,
                                                           double *column, struct mrd_error *err);

/* The histograms of the last series, valid until the next one. */
pql_histogram *pql_histogram_windows_column(struct pql_histogram_windows *windows);

#endif
