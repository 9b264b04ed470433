/* absent and absent_over_time: 1 where the argument has nothing. */
#include "promql/exec.h"

struct absent_op {
    struct pql_list_op list;
    const struct pql_node *node;
    struct pql_op *input;
};

/* The labels that an absent series would have: those that the selector demands by "=". A second "="
 * for a label, or another matcher behind it, takes the label out again. */
static enum mrd_status absent_labels(struct pql_exec *exec, const struct pql_node *arg,
                                     struct mrd_labels *out, struct mrd_error *err)
{
    struct pql_label_scratch scratch = {0};
    *out = (struct mrd_labels){NULL, 0};
    if (arg->kind != PQL_SELECT && arg->kind != PQL_WINDOW) {
        return MRD_OK;
    }
    const struct mrd_select *select = &arg->selector->select;
    for (size_t i = 0; i < select->matcher_count; i++) {
        const struct mrd_matcher *matcher = &select->matchers[i];
        struct mrd_label label = {matcher->name, MRD_BYTES_NONE}; /* take it out */
        bool again = false;
        if (mrd_bytes_equal(matcher->name, MRD_BYTES(MRD_METRIC_NAME))) {
            continue;
        }
        for (size_t j = 0; j < i; j++) {
            again |= select->matchers[j].type == MRD_MATCH_EQ &&
                     mrd_bytes_equal(select->matchers[j].name, matcher->name);
        }
        if (matcher->type == MRD_MATCH_EQ && !again) {
            label.value = matcher->value;
        }
        MRD_TRY(pql_labels_set(exec, &scratch, *out, label, out, err));
    }
    return MRD_OK;
}

static enum mrd_status absent_fill(struct pql_list_op *base, struct mrd_error *err)
{
    struct absent_op *op = (struct absent_op *)base;
    struct pql_exec *exec = base->op.exec;
    struct pql_series result = {0};
    MRD_TRY(absent_labels(exec, op->node->args[0], &result.labels, err));
    MRD_TRY(PQL_NEW(exec, base->op.steps, &result.values, err));
    pql_column_fill(result.values, base->op.steps, 1);
    for (;;) {
        struct pql_series series;
        bool more = false;
        MRD_TRY(pql_next(op->input, &series, &more, err));
        if (!more) {
            return pql_series_list_add(exec, &base->list, result, err);
        }
        for (size_t i = 0; i < base->op.steps; i++) {
            if (pql_series_has(&series, i)) {
                result.values[i] = pql_none();
            }
        }
    }
}

/* absent_over_time(m) is absent(present_over_time(m)) without the check for equal label sets. */
static enum mrd_status build_presence(struct pql_exec *exec, const struct pql_node *node,
                                      struct pql_op **out, struct mrd_error *err)
{
    static const struct pql_function presence = {.name = "absent_over_time", /* for errors */
                                                 .kind = PQL_CALL_WINDOW,
                                                 .window = pql_present_over_time,
                                                 .keeps_name = true};
    struct pql_node *call = NULL;
    MRD_TRY(PQL_NEW(exec, 1, &call, err));
    *call = *node;
    call->function = &presence;
    return pql_build_window(exec, call, out, err);
}

enum mrd_status pql_build_absent(struct pql_exec *exec, const struct pql_node *node,
                                 struct pql_op **out, struct mrd_error *err)
{
    struct absent_op *op = NULL;
    const size_t steps = node->steps.count;
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    pql_list_op_init(&op->list, exec, steps, absent_fill);
    op->list.op.one_name = true;
    op->node = node;
    if (node->function->kind == PQL_CALL_ABSENT_OVER_TIME) {
        MRD_TRY(build_presence(exec, node, &op->input, err));
    } else {
        MRD_TRY(pql_build(exec, node->args[0], steps, &op->input, err));
    }
    *out = &op->list.op;
    return MRD_OK;
}
