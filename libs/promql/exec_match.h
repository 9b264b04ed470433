/* exec_match.h: which series of one vector meet which of another, by on(...) or ignoring(...).
 *
 * Both sides are collected. Groups are numbered from the label sets that must agree; each group lists
 * its series of the "one" side. Where a step has two of them, the evaluation is wrong from that step
 * on, whether or not a series of the other side meets them.
 */
#ifndef MRD_PROMQL_EXEC_MATCH_H
#define MRD_PROMQL_EXEC_MATCH_H

#include "promql/exec.h"

struct pql_match {
    struct pql_series_list many;
    struct pql_series_list one;
    uint32_t *many_group;
    uint32_t *one_group;
    /* The series of each group as lists: first by group, next by series; UINT32_MAX at the end. */
    uint32_t *many_first;
    uint32_t *many_next;
    uint32_t *one_first;
    uint32_t *one_next;
    size_t group_count;
    struct pql_label_table table;

    struct pql_series **fill_one; /* by group, made when first asked for */
    struct pql_series **fill_many;

    size_t steps;
    size_t error_step; /* first step with two "one" series in a group; steps if there is none */
    uint32_t error_one[2];
};

MRD_MUST_CHECK enum mrd_status pql_match_make(struct pql_exec *exec, const struct pql_node *node,
                                              struct pql_op *many, struct pql_op *one,
                                              struct pql_match *out, struct mrd_error *err);

/* What stands in for the missing partners of a group, if the query gives a value for them: a series
 * with that value at each step where no series of the group is there. NULL in *out if it gives none. */
MRD_MUST_CHECK enum mrd_status pql_match_fill_one(struct pql_match *match,
                                                  const struct pql_node *node, uint32_t group,
                                                  const struct pql_series **out,
                                                  struct mrd_error *err);
MRD_MUST_CHECK enum mrd_status pql_match_fill_many(struct pql_match *match,
                                                   const struct pql_node *node, uint32_t group,
                                                   const struct pql_series **out,
                                                   struct mrd_error *err);

/* "found duplicate series for the match group ..." */
enum mrd_status pql_match_fail(struct pql_match *match, const struct pql_node *node,
                               struct mrd_error *err);

/* The labels that must agree. The metric name takes part only if on() names it. */
MRD_MUST_CHECK enum mrd_status pql_match_key(struct pql_exec *exec,
                                             struct pql_label_scratch *scratch,
                                             const struct pql_matching *matching,
                                             struct mrd_labels labels, struct mrd_labels *out,
                                             struct mrd_error *err);

/* and, or, unless (exec_set.c). */
MRD_MUST_CHECK enum mrd_status pql_build_set(struct pql_exec *exec, const struct pql_node *node,
                                             struct pql_op **out, struct mrd_error *err);

#endif
