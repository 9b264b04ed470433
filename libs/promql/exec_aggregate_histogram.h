/* exec_aggregate_histogram.h: what native histograms add to sum, avg and the aggregations that do not
 * know them. A group's floats are folded as if there were nothing else; its histograms are kept apart, step
 * by step, and in the end decide what the group has at a step. */
#ifndef MRD_PROMQL_EXEC_AGGREGATE_HISTOGRAM_H
#define MRD_PROMQL_EXEC_AGGREGATE_HISTOGRAM_H

#include "promql/exec.h"

struct pql_group_histograms;

/* Takes in a series' histograms; call it before the series' floats are folded into `values` (none where the
 * group has seen no float). *group is made when it is NULL. */
MRD_MUST_CHECK enum mrd_status
pql_group_add_histograms(struct pql_exec *exec, const struct pql_node *node,
                         const struct pql_series *series, const double *values,
                         struct pql_group_histograms **group, size_t steps, struct mrd_error *err);

/* The group's histograms in a column of their own; values become none where floats and histograms met. */
MRD_MUST_CHECK enum mrd_status
pql_group_finish_histograms(struct pql_exec *exec, const struct pql_node *node,
                            struct pql_group_histograms *group, double *values, size_t steps,
                            pql_histogram **out, struct mrd_error *err);

#endif
