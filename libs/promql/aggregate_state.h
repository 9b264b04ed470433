/* aggregate_state.h: what an aggregation that folds values as they come knows of one group: a column for each
 * part. sum, avg, count, min, max, group, stddev, stdvar.
 *
 * Parts of one group may be folded apart (in other processes too) and merged in the order of the parts;
 * the numbers depend on where the parts were cut and on their order, on nothing else.
 */
#ifndef MRD_PROMQL_AGGREGATE_STATE_H
#define MRD_PROMQL_AGGREGATE_STATE_H

#include "promql/exec.h"

struct pql_group_histograms;

struct pql_group_state {
    double *values; /* none: no member at this step yet; the others say nothing there then */
    double *second; /* compensation of the sum, or the mean of Welford's method */
    double *counts;
    bool *incremental; /* avg: the sum would have overflowed, so it is a mean */
    struct pql_group_histograms *histograms; /* sum, avg: NULL as long as there was none */
};

/* Which columns an aggregation has beside the values. */
struct pql_group_parts {
    bool second;
    bool counts;
    bool incremental;
};
struct pql_group_parts pql_group_parts_of(enum mrd_aggregation aggregation);

MRD_MUST_CHECK enum mrd_status pql_group_state_create(struct pql_exec *exec,
                                                      enum mrd_aggregation aggregation,
                                                      size_t steps, struct pql_group_state *out,
                                                      struct mrd_error *err);

/* One series into its group. */
void pql_group_fold(enum mrd_aggregation aggregation, struct pql_group_state *state,
                    const double *in, size_t steps);

/* What came later (`from`) into what came before. Histograms are not touched. */
void pql_group_merge(enum mrd_aggregation aggregation, struct pql_group_state *into,
                     const struct pql_group_state *from, size_t steps);

/* Values become the results. */
void pql_group_finish(enum mrd_aggregation aggregation, struct pql_group_state *state,
                      size_t steps);

#endif
