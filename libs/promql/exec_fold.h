/* exec_fold.h: aggregations whose state can be folded apart and merged: sum, topk and the like.
 *
 * Where the planner finds that an aggregation may be pushed down (plan_fragment.c), its input is folded
 * segment by segment (source.h): the state of each is merged into the total when the next one begins. A
 * source that takes fragments sends the states of its segments instead (fragment.h); they were folded by
 * the same code and are merged by the same code in the same order, so the answer is the same to the last
 * bit. All other aggregations see one segment.
 */
#ifndef MRD_PROMQL_EXEC_FOLD_H
#define MRD_PROMQL_EXEC_FOLD_H

#include "promql/exec.h"

struct pql_fold_op;

/* What each aggregation brings. */
struct pql_fold_kind {
    /* Before anything is read. */
    void (*begin)(struct pql_fold_op *op);

    /* A series of the input into the state of the segment at hand. */
    enum mrd_status (*take)(struct pql_fold_op *op, struct pql_series *series,
                            struct mrd_error *err);

    /* The state of the segment at hand into the total; it is empty then. */
    enum mrd_status (*merge)(struct pql_fold_op *op, struct mrd_error *err);

    /* The total becomes op->list. */
    enum mrd_status (*emit)(struct pql_fold_op *op, struct mrd_error *err);

    /* The state of the segment at hand as bytes, and back into an empty one. The bytes may be anybody's
     * (MRD_E_CORRUPT). `out->failed` tells of its limit. */
    enum mrd_status (*write)(const struct pql_fold_op *op, struct mrd_buf *out,
                             struct mrd_error *err);
    enum mrd_status (*read)(struct pql_fold_op *op, struct mrd_reader *in, struct mrd_error *err);
};

struct pql_fold_op {
    struct pql_list_op list; /* first */
    const struct pql_fold_kind *kind;
    const struct pql_node *node;
    struct pql_op *input;
};

void pql_fold_init(struct pql_fold_op *op, struct pql_exec *exec, const struct pql_node *node,
                   const struct pql_fold_kind *kind);

/* Reads the input to its end as one segment, without merging. */
MRD_MUST_CHECK enum mrd_status pql_fold_segment(struct pql_fold_op *op, struct mrd_error *err);

/* The operator of an aggregation that may be pushed down (node->pushable). */
MRD_MUST_CHECK enum mrd_status pql_build_fold(struct pql_exec *exec, const struct pql_node *node,
                                              struct pql_fold_op **out, struct mrd_error *err);

#endif
