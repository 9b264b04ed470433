/* and, or, unless. Only which groups are present at which steps is held of the deciding side; the
 * other one passes through series by series. */
#include "promql/exec_match.h"

/* For each group (the labels that must agree), whether any series has a value, step by step. */
struct presence {
    struct pql_label_table table;
    bool **groups;
    size_t capacity;
    struct pql_label_scratch scratch;
};

struct set_op {
    struct pql_op op;
    const struct pql_node *node;
    struct pql_op *left;
    struct pql_op *right;
    struct presence present; /* of the right side; `or`: of the left one */
    bool ready;              /* and, unless: the right side is read; `or`: the left one has ended */
};

static enum mrd_status presence_group(struct set_op *op, const struct pql_series *series,
                                      bool **out, struct mrd_error *err)
{
    struct pql_exec *exec = op->op.exec;
    struct presence *present = &op->present;
    struct mrd_labels key;
    uint32_t index = 0;
    bool is_new = false;
    MRD_TRY(pql_match_key(exec, &present->scratch, &op->node->matching, series->labels, &key, err));
    MRD_TRY(pql_label_table_add(&present->table, key, &index, &is_new, err));
    if (is_new) {
        MRD_TRY(pql_grow(exec, (void **)&present->groups, index, &present->capacity,
                         sizeof(*present->groups), err));
        MRD_TRY(PQL_NEW(exec, op->op.steps, &present->groups[index], err));
        memset(present->groups[index], 0, op->op.steps);
    }
    *out = present->groups[index];
    return MRD_OK;
}

static enum mrd_status presence_note(struct set_op *op, const struct pql_series *series,
                                     struct mrd_error *err)
{
    bool *group = NULL;
    MRD_TRY(pql_work(op->op.exec, op->op.steps / 16, err));
    MRD_TRY(presence_group(op, series, &group, err));
    for (size_t i = 0; i < op->op.steps; i++) {
        group[i] |= pql_series_has(series, i);
    }
    return MRD_OK;
}

/* Clears the steps at which the series' group is present (or absent). */
static enum mrd_status presence_filter(struct set_op *op, struct pql_series *series,
                                       bool keep_present, struct mrd_error *err)
{
    struct mrd_labels key;
    MRD_TRY(pql_work(op->op.exec, 1 + op->op.steps / 16, err));
    MRD_TRY(pql_match_key(op->op.exec, &op->present.scratch, &op->node->matching, series->labels,
                          &key, err));
    const uint32_t index = pql_label_table_find(&op->present.table, key);
    const bool *group = index == UINT32_MAX ? NULL : op->present.groups[index];
    for (size_t i = 0; i < op->op.steps; i++) {
        if ((group != NULL && group[i]) != keep_present) {
            series->values[i] = pql_none();
            if (series->histograms != NULL) {
                series->histograms[i] = NULL;
            }
        }
    }
    return MRD_OK;
}

static enum mrd_status read_right(struct set_op *op, struct mrd_error *err)
{
    for (;;) {
        struct pql_series series;
        bool more = false;
        MRD_TRY(pql_next(op->right, &series, &more, err));
        if (!more) {
            op->ready = true;
            return MRD_OK;
        }
        MRD_TRY(presence_note(op, &series, err));
    }
}

static enum mrd_status and_next(struct pql_op *base, struct pql_series *out, bool *out_more,
                                struct mrd_error *err)
{
    struct set_op *op = (struct set_op *)base;
    if (!op->ready) {
        MRD_TRY(read_right(op, err));
    }
    do {
        MRD_TRY(pql_next(op->left, out, out_more, err));
        if (!*out_more) {
            return MRD_OK;
        }
        MRD_TRY(presence_filter(op, out, op->node->op == MRD_OP_AND, err));
    } while (pql_series_empty(out, base->steps));
    return MRD_OK;
}

static enum mrd_status or_next(struct pql_op *base, struct pql_series *out, bool *out_more,
                               struct mrd_error *err)
{
    struct set_op *op = (struct set_op *)base;
    if (!op->ready) {
        MRD_TRY(pql_next(op->left, out, out_more, err));
        if (*out_more) {
            return presence_note(op, out, err);
        }
        op->ready = true;
    }
    do {
        MRD_TRY(pql_next(op->right, out, out_more, err));
        if (!*out_more) {
            return MRD_OK;
        }
        MRD_TRY(presence_filter(op, out, false, err));
    } while (pql_series_empty(out, base->steps));
    return MRD_OK;
}

enum mrd_status pql_build_set(struct pql_exec *exec, const struct pql_node *node,
                              struct pql_op **out, struct mrd_error *err)
{
    struct set_op *op = NULL;
    const bool is_or = node->op == MRD_OP_OR;
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op = (struct set_op){
        .op = {.next = is_or ? or_next : and_next, .exec = exec, .steps = node->steps.count},
        .node = node,
        .present = {.table = {.exec = exec}       },
    };
    MRD_TRY(pql_build(exec, node->args[0], op->op.steps, &op->left, err));
    MRD_TRY(pql_build(exec, node->args[1], op->op.steps, &op->right, err));
    op->op.one_name = !is_or && op->left->one_name;
    if (is_or && exec->options->delayed_name_removal) { /* a marked series and an unmarked one */
        return pql_build_merge(exec, &op->op, false, out, err);
    }
    *out = &op->op;
    return MRD_OK;
}
