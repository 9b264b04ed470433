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
    uint32_t *one_next;  /* the next "one" series of the same group; UINT32_MAX at the end */
    uint32_t *one_first; /* per group */
    size_t group_count;
    struct pql_label_table table;

    size_t error_step; /* first step with two "one" series in a group; steps if there is none */
    uint32_t error_one[2];
};

MRD_MUST_CHECK enum mrd_status pql_match_make(struct pql_exec *exec, const struct pql_node *node,
                                              struct pql_op *many, struct pql_op *one,
                                              struct pql_match *out, struct mrd_error *err);

static inline uint32_t pql_match_first(const struct pql_match *match, uint32_t group)
{
    return match->one_first[group];
}

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
