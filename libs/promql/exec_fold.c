#include "promql/exec_fold.h"

#include "promql/fragment_internal.h"

/* `selector` says which segment a series is of; NULL: all are of one. */
static enum mrd_status read_input(struct pql_fold_op *op, const struct pql_selector *selector,
                                  struct mrd_error *err)
{
    uint32_t segment = 0;
    bool any = false;
    for (;;) {
        struct pql_series series;
        bool more = false;
        MRD_TRY(pql_next(op->input, &series, &more, err));
        if (!more) {
            return MRD_OK;
        }
        if (selector != NULL && selector->segment != segment) {
            segment = selector->segment;
            if (any) {
                MRD_TRY(op->kind->merge(op, err));
            }
        }
        any = true;
        MRD_TRY(op->kind->take(op, &series, err));
    }
}

enum mrd_status pql_fold_segment(struct pql_fold_op *op, struct mrd_error *err)
{
    op->kind->begin(op);
    return read_input(op, NULL, err);
}

/* The source has folded: its segments' states, in the order of the segments. */
static enum mrd_status read_states(struct pql_fold_op *op, struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    const struct pql_selector *selector = op->node->pushable;
    for (;;) {
        struct mrd_bytes states;
        bool more = false;
        MRD_TRY(mrd_query_check(exec->control, err));
        MRD_TRY(exec->source->next_states(selector->set, &states, &more, err));
        if (!more) {
            return MRD_OK;
        }
        MRD_TRY(pql_states_read(op, states, err));
        MRD_TRY(op->kind->merge(op, err));
    }
}

static enum mrd_status fold_fill(struct pql_list_op *base, struct mrd_error *err)
{
    struct pql_fold_op *op = (struct pql_fold_op *)base;
    const struct pql_selector *selector = op->node->pushable;
    op->kind->begin(op);
    if (selector != NULL && selector->pushed) {
        MRD_TRY(read_states(op, err));
    } else {
        MRD_TRY(read_input(op, selector, err));
        MRD_TRY(op->kind->merge(op, err));
    }
    return op->kind->emit(op, err);
}

void pql_fold_init(struct pql_fold_op *op, struct pql_exec *exec, const struct pql_node *node,
                   const struct pql_fold_kind *kind)
{
    pql_list_op_init(&op->list, exec, node->steps.count, fold_fill);
    op->kind = kind;
    op->node = node;
}

enum mrd_status pql_build_fold(struct pql_exec *exec, const struct pql_node *node,
                               struct pql_fold_op **out, struct mrd_error *err)
{
    const bool topk = node->aggregation == MRD_AGG_TOPK || node->aggregation == MRD_AGG_BOTTOMK;
    struct pql_op *op = NULL;
    mrd_assert(node->pushable != NULL);
    MRD_TRY(topk ? pql_build_topk(exec, node, &op, err)
                 : pql_build_aggregate(exec, node, &op, err));
    *out = (struct pql_fold_op *)op;
    return MRD_OK;
}
