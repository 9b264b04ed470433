/* Functions of one value at a time: mathematics, dates, clamping, and vectors made of scalars. */
#include "promql/exec.h"

#include <math.h>

struct map_op {
    struct pql_op op;
    const struct pql_node *node;
    struct pql_op *input;
    void (*apply)(const struct map_op *op, const struct pql_series *series);
    const double *low; /* scalar arguments, one per step; what they mean is up to apply */
    const double *high;
    struct mrd_arena *negated; /* histograms of the series at hand */
    struct pql_label_scratch scratch;
};

/* -v turns histograms around too, every other function is for floats only. */
static enum mrd_status map_histograms(struct map_op *op, struct pql_series *series,
                                      struct mrd_error *err)
{
    pql_histogram *histograms = series->histograms;
    if (op->node->kind != PQL_NEGATE) {
        series->histograms = NULL;
        return MRD_OK;
    }
    MRD_TRY(pql_scratch_reset(op->op.exec, &op->negated, err));
    for (size_t i = 0; i < op->op.steps; i++) {
        struct mrd_float_histogram *copy = NULL;
        if (histograms[i] != NULL) {
            MRD_TRY(mrd_float_histogram_copy(histograms[i], op->negated, &copy, err));
            mrd_float_histogram_multiply(copy, -1);
            histograms[i] = copy;
        }
    }
    return MRD_OK;
}

static enum mrd_status map_next(struct pql_op *base, struct pql_series *out, bool *out_more,
                                struct mrd_error *err)
{
    struct map_op *op = (struct map_op *)base;
    MRD_TRY(pql_next(op->input, out, out_more, err));
    if (!*out_more) {
        return MRD_OK;
    }
    op->apply(op, out);
    if (out->histograms != NULL) {
        MRD_TRY(map_histograms(op, out, err));
    }
    return pql_series_drop_name(base->exec, &op->scratch, out, err);
}

/* ---- what is applied ---- */

static void apply_function(const struct map_op *op, const struct pql_series *series)
{
    double *column = series->values;
    double (*const map)(double) = op->node->function->map;
    for (size_t i = 0; i < op->op.steps; i++) {
        if (!pql_is_none(column[i])) {
            column[i] = map(column[i]);
        }
    }
}

static void apply_negate(const struct map_op *op, const struct pql_series *series)
{
    double *column = series->values;
    for (size_t i = 0; i < op->op.steps; i++) {
        if (!pql_is_none(column[i])) {
            column[i] = -column[i];
        }
    }
}

static void apply_round(const struct map_op *op, const struct pql_series *series)
{
    double *column = series->values;
    for (size_t i = 0; i < op->op.steps; i++) {
        if (!pql_is_none(column[i])) {
            const double inverse = 1.0 / (op->low == NULL ? 1.0 : op->low[i]);
            column[i] = floor(column[i] * inverse + 0.5) / inverse;
        }
    }
}

/* Go's math.Max and math.Min: NaN wins, and +0 is greater than -0. */
static double go_max(double a, double b)
{
    if (isnan(a) || isnan(b)) {
        return isinf(a) && a > 0 ? a : isinf(b) && b > 0 ? b : NAN;
    }
    if (a == 0 && b == 0) {
        return signbit(a) ? b : a;
    }
    return a > b ? a : b;
}
static double go_min(double a, double b)
{
    if (isnan(a) || isnan(b)) {
        return isinf(a) && a < 0 ? a : isinf(b) && b < 0 ? b : NAN;
    }
    if (a == 0 && b == 0) {
        return signbit(a) ? a : b;
    }
    return a < b ? a : b;
}

static void apply_clamp(const struct map_op *op, const struct pql_series *series)
{
    double *column = series->values;
    for (size_t i = 0; i < op->op.steps; i++) {
        if (pql_is_none(column[i])) {
            continue;
        }
        if (op->low != NULL && op->high != NULL && op->high[i] < op->low[i]) {
            column[i] = pql_none();
            continue;
        }
        if (op->high != NULL) {
            column[i] = go_min(op->high[i], column[i]);
        }
        if (op->low != NULL) {
            column[i] = go_max(op->low[i], column[i]);
        }
    }
}

static void apply_step_time(const struct map_op *op, const struct pql_series *series)
{
    double *column = series->values;
    for (size_t i = 0; i < op->op.steps; i++) {
        if (pql_series_has(series, i)) {
            column[i] = (double)pql_step_ms(&op->node->steps, i) / 1000;
        }
    }
}

/* ---- one series made of a scalar: vector(s), and dates of the evaluation time ---- */

struct vector_op {
    struct pql_op op;
    double *column;
    bool done;
};

static enum mrd_status vector_next(struct pql_op *base, struct pql_series *out, bool *out_more,
                                   struct mrd_error *err)
{
    struct vector_op *op = (struct vector_op *)base;
    (void)err;
    *out_more = !op->done;
    if (!op->done) {
        *out = (struct pql_series){.values = op->column};
        op->done = true;
    }
    return MRD_OK;
}

static enum mrd_status vector_create(struct pql_exec *exec, double *column, size_t steps,
                                     struct pql_op **out, struct mrd_error *err)
{
    struct vector_op *op = NULL;
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op = (struct vector_op){
        .op = {.next = vector_next, .exec = exec, .steps = steps, .one_name = true},
        .column = column,
    };
    *out = &op->op;
    return MRD_OK;
}

enum mrd_status pql_build_vector(struct pql_exec *exec, const struct pql_node *node,
                                 struct pql_op **out, struct mrd_error *err)
{
    double *column = NULL;
    MRD_TRY(pql_eval_scalar(exec, node->args[0], node->steps.count, &column, err));
    return vector_create(exec, column, node->steps.count, out, err);
}

static enum mrd_status build_time_vector(struct pql_exec *exec, const struct pql_node *node,
                                         struct pql_op **out, struct mrd_error *err)
{
    double *column = NULL;
    MRD_TRY(PQL_NEW(exec, node->steps.count, &column, err));
    for (size_t i = 0; i < node->steps.count; i++) {
        column[i] = (double)pql_step_ms(&node->steps, i) / 1000;
    }
    return vector_create(exec, column, node->steps.count, out, err);
}

/* ---- building ---- */

static enum mrd_status map_arg(struct map_op *op, size_t index, const double **out,
                               struct mrd_error *err)
{
    double *column = NULL;
    MRD_TRY(pql_eval_scalar(op->op.exec, op->node->args[index], op->op.steps, &column, err));
    *out = column;
    return MRD_OK;
}

static enum mrd_status map_choose(struct map_op *op, struct mrd_error *err)
{
    const struct pql_node *node = op->node;
    if (node->kind == PQL_NEGATE) {
        op->apply = apply_negate;
        return MRD_OK;
    }
    switch ((int)node->function->kind) {
    case PQL_CALL_ROUND:
        op->apply = apply_round;
        return node->arg_count > 1 ? map_arg(op, 1, &op->low, err) : MRD_OK;
    case PQL_CALL_CLAMP:
        op->apply = apply_clamp;
        MRD_TRY(map_arg(op, 1, &op->low, err));
        return map_arg(op, 2, &op->high, err);
    case PQL_CALL_CLAMP_MIN:
        op->apply = apply_clamp;
        return map_arg(op, 1, &op->low, err);
    case PQL_CALL_CLAMP_MAX:
        op->apply = apply_clamp;
        return map_arg(op, 1, &op->high, err);
    case PQL_CALL_TIMESTAMP:
        op->apply = apply_step_time;
        return MRD_OK;
    default:
        mrd_assert(node->function->map != NULL);
        op->apply = apply_function;
        return MRD_OK;
    }
}

enum mrd_status pql_build_map(struct pql_exec *exec, const struct pql_node *node,
                              struct pql_op **out, struct mrd_error *err)
{
    struct map_op *op = NULL;
    const size_t steps = node->steps.count;
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op = (struct map_op){
        .op = {.next = map_next, .exec = exec, .steps = steps},
          .node = node
    };
    if (node->arg_count == 0) {
        MRD_TRY(build_time_vector(exec, node, &op->input, err));
    } else {
        MRD_TRY(pql_build(exec, node->args[0], steps, &op->input, err));
    }
    op->op.one_name = op->input->one_name;
    MRD_TRY(map_choose(op, err));
    if (!op->op.one_name && !exec->options->delayed_name_removal) {
        MRD_TRY(pql_build_merge(exec, &op->op, false, out, err));
        (*out)->one_name = true;
        return MRD_OK;
    }
    *out = &op->op;
    return MRD_OK;
}
