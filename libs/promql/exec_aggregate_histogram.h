/* exec_aggregate_histogram.h: what native histograms add to sum, avg and the aggregations that do not
 * know them. A group's floats are folded as if there were nothing else; its histograms are kept apart, step
 * by step, and in the end decide what the group has at a step.
 *
 * A group's parts may be kept apart and merged in their order, as its floats are (aggregate_state.h). */
#ifndef MRD_PROMQL_EXEC_AGGREGATE_HISTOGRAM_H
#define MRD_PROMQL_EXEC_AGGREGATE_HISTOGRAM_H

#include "promql/aggregate_state.h"
#include "promql/histogram_total.h"

/* Of one group at one step. */
struct pql_histogram_state {
    struct pql_histogram_total total;
    bool seen;         /* any histogram */
    bool float_before; /* incompatible: whether there was a float until then */
    bool reset;        /* hints of those that were added */
    bool no_reset;
};

struct pql_group_histograms {
    struct pql_histogram_state *states; /* one per step */
    struct mrd_arena *arena;            /* of what is in them */
    struct mrd_bytes
        name; /* of the first metric with histograms: for a note when parts are merged */
};

/* A group's histograms of which there is none yet, in the query's arena; what they will be is in `arena`. */
MRD_MUST_CHECK enum mrd_status pql_group_histograms_create(struct pql_exec *exec,
                                                           struct mrd_arena *arena, size_t steps,
                                                           struct pql_group_histograms **out,
                                                           struct mrd_error *err);

/* Takes in a series' histograms; call it before the series' floats are folded into `values` (none where the
 * group has seen no float). */
MRD_MUST_CHECK enum mrd_status
pql_group_add_histograms(struct pql_exec *exec, const struct pql_node *node,
                         const struct pql_series *series, const double *values,
                         struct pql_group_histograms *group, size_t steps, struct mrd_error *err);

/* What came later into what came before; call it before the floats are merged. Either may have seen none
 * (*into is made then). `from` has seen none afterwards; the caller may empty its arena. */
MRD_MUST_CHECK enum mrd_status pql_group_merge_histograms(struct pql_exec *exec,
                                                          const struct pql_node *node,
                                                          struct pql_group_state *into,
                                                          const struct pql_group_state *from,
                                                          size_t steps, struct mrd_error *err);

/* The group's histograms in a column of their own; values become none where floats and histograms met. */
MRD_MUST_CHECK enum mrd_status
pql_group_finish_histograms(struct pql_exec *exec, const struct pql_node *node,
                            struct pql_group_histograms *group, double *values, size_t steps,
                            pql_histogram **out, struct mrd_error *err);

#endif
