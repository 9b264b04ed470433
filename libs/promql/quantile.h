/* quantile.h: quantiles of sorted values as Prometheus interpolates them. */
#ifndef MRD_PROMQL_QUANTILE_H
#define MRD_PROMQL_QUANTILE_H

#include "base/sort.h"

/* Sorts ascending, NaN first; ends when the look (may be NULL) says so, as mrd_sort does. */
MRD_MUST_CHECK enum mrd_status pql_sort_doubles(double *values, size_t count,
                                                const struct mrd_look *look, struct mrd_error *err);

/* The q-quantile of values sorted by pql_sort_doubles: NaN if there are none or q is NaN, -Inf for
 * q < 0, +Inf for q > 1, else interpolated linearly between the two nearest ranks. */
double pql_quantile_sorted(double q, const double *sorted, size_t count);

#endif
