/* histogram_quantiles(v, "label", q1, q2, ...): histogram_quantile of the same vector for each quantile,
 * which the label tells apart. */
#include "base/number.h"
#include "promql/exec.h"

#include <math.h>

/* ---- a list that was read once, as the input of several operators ---- */

struct replay_op {
    struct pql_op op;
    const struct pql_series_list *list;
    size_t at;
};

/* The consumer may overwrite the column, so it gets one of its own. */
static enum mrd_status replay_next(struct pql_op *base, struct pql_series *out, bool *out_more,
                                   struct mrd_error *err)
{
    struct replay_op *op = (struct replay_op *)base;
    *out_more = op->at < op->list->count;
    if (*out_more) {
        double *column = NULL;
        *out = op->list->items[op->at++];
        MRD_TRY(PQL_NEW(base->exec, base->steps, &column, err));
        memcpy(column, out->values, base->steps * sizeof(*column));
        out->values = column;
    }
    return MRD_OK;
}

enum mrd_status pql_build_replay(struct pql_exec *exec, const struct pql_node *node,
                                 struct pql_op **out, struct mrd_error *err)
{
    struct replay_op *op = NULL;
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op = (struct replay_op){
        .op = {.next = replay_next, .exec = exec, .steps = node->steps.count},
        .list = node->replay,
    };
    *out = &op->op;
    return MRD_OK;
}

/* ---- the operator ---- */

struct quantiles_op {
    struct pql_list_op list;
    const struct pql_node *node;
    struct pql_op *vector;
    struct pql_series_list input;
    struct pql_label_scratch scratch;
};

/* As OpenMetrics writes numbers: with a point or an exponent. */
static struct mrd_bytes quantile_text(struct pql_exec *exec, double q)
{
    char text[MRD_DOUBLE_TEXT_MAX];
    const size_t size = mrd_double_format_g(q == 0 ? 0 : q, text); /* -0 is 0 */
    const bool whole =
        isfinite(q) && memchr(text, '.', size) == NULL && memchr(text, 'e', size) == NULL;
    const char *copy = mrd_arena_printf(exec->arena, "%.*s%s", (int)size, text, whole ? ".0" : "");
    return copy == NULL ? MRD_BYTES_NONE : mrd_bytes_of(copy);
}

/* The series with the label at the steps where the quantile is q[from]. */
static enum mrd_status add_labelled(struct quantiles_op *op, const struct pql_series *series,
                                    const double *q, size_t from, struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    const struct mrd_label label = {op->node->args[1]->text, quantile_text(exec, q[from])};
    struct pql_series labelled = {.drop_name = series->drop_name};
    MRD_TRY(mrd_query_check(exec->control, err));
    if (label.value.size == 0) {
        return mrd_arena_fail(exec->arena, err);
    }
    MRD_TRY(PQL_NEW(exec, op->list.op.steps, &labelled.values, err));
    for (size_t i = 0; i < op->list.op.steps; i++) {
        const bool same = mrd_double_bits(q[i]) == mrd_double_bits(q[from]);
        labelled.values[i] = same ? series->values[i] : pql_none();
    }
    const size_t points = pql_column_points(labelled.values, op->list.op.steps);
    if (points == 0) {
        return MRD_OK;
    }
    MRD_TRY(pql_hold(exec, points, err));
    MRD_TRY(pql_labels_set(exec, &op->scratch, series->labels, label, &labelled.labels, err));
    MRD_TRY(pql_labels_copy(exec, labelled.labels, &labelled.labels, err));
    return pql_series_list_add(exec, &op->list.list, labelled, err);
}

/* Mostly one value for all steps; scalar() may give others. */
static enum mrd_status add_by_quantile(struct quantiles_op *op, const struct pql_series *series,
                                       const double *q, struct mrd_error *err)
{
    for (size_t i = 0; i < op->list.op.steps; i++) {
        bool seen = false;
        for (size_t j = 0; j < i && !seen; j++) {
            seen = mrd_double_bits(q[i]) == mrd_double_bits(q[j]);
        }
        if (!seen) {
            MRD_TRY(add_labelled(op, series, q, i, err));
        }
    }
    return MRD_OK;
}

/* Stands in for an argument that has been evaluated, and has its place in annotations. */
static enum mrd_status replay_node(const struct quantiles_op *op, size_t arg, enum pql_type type,
                                   struct pql_node **out, struct mrd_error *err)
{
    const struct pql_node *original = op->node->args[arg];
    MRD_TRY(PQL_NEW(op->list.op.exec, 1, out, err));
    **out = (struct pql_node){
        .kind = PQL_REPLAY,
        .type = type,
        .position = original->position,
        .order = original->order,
        .steps = op->node->steps,
    };
    return MRD_OK;
}

/* Asks histogram_quantile for the quantile of argument `arg`, in the place of this call. */
static enum mrd_status add_quantile(struct quantiles_op *op, struct pql_node *vector, size_t arg,
                                    struct mrd_error *err)
{
    static const char name[] = "histogram_quantile";
    struct pql_exec *exec = op->list.op.exec;
    const size_t steps = op->list.op.steps;
    struct pql_node *call = NULL;
    struct pql_node *scalar = NULL;
    struct pql_op *quantile = NULL;
    double *q = NULL;
    MRD_TRY(pql_eval_scalar(exec, op->node->args[arg], steps, &q, err));
    MRD_TRY(replay_node(op, arg, PQL_SCALAR, &scalar, err));
    scalar->replay_column = q;
    MRD_TRY(PQL_NEW(exec, 1, &call, err));
    *call = *op->node;
    call->order = scalar->order; /* of annotations with the same text the last quantile's stays */
    call->function = pql_function_find(name, sizeof(name) - 1);
    call->arg_count = 2;
    MRD_TRY(PQL_NEW(exec, 2, &call->args, err));
    call->args[0] = scalar;
    call->args[1] = vector;
    MRD_TRY(pql_build_histogram(exec, call, &quantile, err));
    for (;;) {
        struct pql_series series;
        bool more = false;
        MRD_TRY(pql_next(quantile, &series, &more, err));
        if (!more) {
            return MRD_OK;
        }
        MRD_TRY(add_by_quantile(op, &series, q, err));
    }
}

static enum mrd_status quantiles_fill(struct pql_list_op *base, struct mrd_error *err)
{
    struct quantiles_op *op = (struct quantiles_op *)base;
    struct pql_exec *exec = base->op.exec;
    struct pql_node *vector = NULL;
    MRD_TRY(pql_collect(op->vector, &op->input, err));
    MRD_TRY(replay_node(op, 0, PQL_VECTOR, &vector, err));
    vector->replay = &op->input;
    for (size_t i = 2; i < op->node->arg_count; i++) {
        MRD_TRY(add_quantile(op, vector, i, err));
    }
    return pql_series_list_merge(exec, &base->list, base->op.steps, false, err);
}

enum mrd_status pql_build_quantiles(struct pql_exec *exec, const struct pql_node *node,
                                    struct pql_op **out, struct mrd_error *err)
{
    struct quantiles_op *op = NULL;
    const size_t steps = node->steps.count;
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op = (struct quantiles_op){.node = node};
    pql_list_op_init(&op->list, exec, steps, quantiles_fill);
    op->list.op.one_name = true;
    MRD_TRY(pql_build(exec, node->args[0], steps, &op->vector, err));
    *out = &op->list.op;
    return MRD_OK;
}
