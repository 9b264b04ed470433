/* From plan nodes to operators, and scalars, which are computed on the spot. */
#include "promql/exec.h"

#include <math.h>

#include "promql/arithmetic.h"

void pql_check_quantile(struct pql_exec *exec, double q, struct mrd_annotation_place place)
{
    if (q >= 0 && q <= 1) {
        return;
    }
    mrd_annotations_addf(exec->annotations, MRD_ANNOTATION_WARNING, place,
                         "quantile value should be between 0 and 1, got %.*s",
                         MRD_FMT(pql_number_text(exec, q)));
}

/* ---- what is evaluated once and seen at every step ---- */

struct spread_op {
    struct pql_op op;
    struct pql_op *input;
    double *column;
    pql_histogram *histograms;
};

static enum mrd_status spread_next(struct pql_op *base, struct pql_series *out, bool *out_more,
                                   struct mrd_error *err)
{
    struct spread_op *op = (struct spread_op *)base;
    MRD_TRY(pql_next(op->input, out, out_more, err));
    if (!*out_more) {
        return MRD_OK;
    }
    pql_column_fill(op->column, base->steps, out->values[0]);
    out->values = op->column;
    if (out->histograms == NULL) {
        return MRD_OK;
    }
    if (op->histograms == NULL) {
        MRD_TRY(pql_histograms_create(base->exec, base->steps, &op->histograms, err));
    }
    for (size_t i = 0; i < base->steps; i++) {
        op->histograms[i] = out->histograms[0];
    }
    out->histograms = op->histograms;
    return MRD_OK;
}

static enum mrd_status build_spread(struct pql_exec *exec, struct pql_op *input, size_t steps,
                                    struct pql_op **out, struct mrd_error *err)
{
    struct spread_op *op = NULL;
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op = (struct spread_op){
        .op = {.next = spread_next, .exec = exec, .steps = steps, .one_name = input->one_name},
        .input = input,
    };
    MRD_TRY(PQL_NEW(exec, steps, &op->column, err));
    *out = &op->op;
    return MRD_OK;
}

/* ---- vectors ---- */

static pql_builder *call_builder(enum pql_call_kind kind)
{
    switch ((int)kind) {
    case PQL_CALL_WINDOW:
        return pql_build_window;
    case PQL_CALL_MAP:
    case PQL_CALL_DATE:
    case PQL_CALL_ROUND:
    case PQL_CALL_CLAMP:
    case PQL_CALL_CLAMP_MIN:
    case PQL_CALL_CLAMP_MAX:
        return pql_build_map;
    case PQL_CALL_ABSENT:
    case PQL_CALL_ABSENT_OVER_TIME:
        return pql_build_absent;
    case PQL_CALL_LABEL_REPLACE:
    case PQL_CALL_LABEL_JOIN:
        return pql_build_labels;
    case PQL_CALL_INFO:
        return pql_build_info;
    case PQL_CALL_SORT:
    case PQL_CALL_SORT_BY_LABEL:
        return pql_build_sort;
    case PQL_CALL_TIMESTAMP:
        return pql_build_timestamp;
    case PQL_CALL_START_TIMESTAMP:
        return pql_build_start_timestamp;
    case PQL_CALL_VECTOR:
        return pql_build_vector;
    case PQL_CALL_HISTOGRAM_QUANTILE:
    case PQL_CALL_HISTOGRAM_QUANTILES:
    case PQL_CALL_HISTOGRAM_FRACTION:
        return pql_build_histogram;
    case PQL_CALL_HISTOGRAM_ONLY:
        return pql_build_histogram_only;
    default:
        return NULL;
    }
}

static pql_builder *aggregation_builder(enum mrd_aggregation aggregation)
{
    switch ((int)aggregation) {
    case MRD_AGG_TOPK:
    case MRD_AGG_BOTTOMK:
    case MRD_AGG_LIMITK:
        return pql_build_topk;
    case MRD_AGG_COUNT_VALUES:
    case MRD_AGG_QUANTILE:
        return pql_build_by_value;
    case MRD_AGG_LIMIT_RATIO:
        return pql_build_limit_ratio;
    default:
        return pql_build_aggregate;
    }
}

static enum mrd_status build_plus(struct pql_exec *exec, const struct pql_node *node,
                                  struct pql_op **out, struct mrd_error *err)
{
    return pql_build(exec, node->args[0], node->steps.count, out, err);
}

static pql_builder *node_builder(const struct pql_node *node)
{
    switch ((int)node->kind) {
    case PQL_SELECT:
        return pql_build_select;
    case PQL_CALL:
        return call_builder(node->function->kind);
    case PQL_AGGREGATE:
        return aggregation_builder(node->aggregation);
    case PQL_BINARY:
        return pql_build_binary;
    case PQL_NEGATE:
        return pql_build_map;
    case PQL_PLUS:
        return build_plus;
    default:
        return NULL;
    }
}

enum mrd_status pql_build(struct pql_exec *exec, const struct pql_node *node, size_t steps,
                          struct pql_op **out, struct mrd_error *err)
{
    pql_builder *build = node_builder(node);
    mrd_assert(build != NULL && node->type == PQL_VECTOR);
    struct pql_op *op = NULL;
    MRD_TRY(build(exec, node, &op, err));
    if (node->spread && steps != node->steps.count) {
        return build_spread(exec, op, steps, out, err);
    }
    mrd_assert(op->steps == steps);
    *out = op;
    return MRD_OK;
}

/* ---- scalars ---- */

/* scalar(v): the value where v has exactly one element, else NaN. */
static enum mrd_status eval_only_element(struct pql_exec *exec, const struct pql_node *node,
                                         double *out, struct mrd_error *err)
{
    const size_t steps = node->steps.count;
    struct pql_op *op = NULL;
    uint8_t *counts = NULL;
    MRD_TRY(pql_build(exec, node->args[0], steps, &op, err));
    MRD_TRY(PQL_NEW(exec, steps, &counts, err));
    memset(counts, 0, steps);
    pql_column_fill(out, steps, NAN);
    for (;;) {
        struct pql_series series;
        bool more = false;
        MRD_TRY(pql_next(op, &series, &more, err));
        if (!more) {
            return MRD_OK;
        }
        for (size_t i = 0; i < steps; i++) {
            if (!pql_is_none(series.values[i]) && counts[i] < 2) {
                out[i] = ++counts[i] == 1 ? series.values[i] : NAN;
            }
        }
    }
}

static double seconds_of(mrd_time_ms time_ms) { return (double)time_ms / 1000; }

static enum mrd_status eval_min_max(struct pql_exec *exec, const struct pql_node *node, double *out,
                                    struct mrd_error *err)
{
    const size_t steps = node->steps.count;
    const bool least = node->function->kind == PQL_CALL_MIN_OF;
    double *left = NULL;
    double *right = NULL;
    MRD_TRY(pql_eval_scalar(exec, node->args[0], steps, &left, err));
    MRD_TRY(pql_eval_scalar(exec, node->args[1], steps, &right, err));
    for (size_t i = 0; i < steps; i++) {
        const double other = least ? fmin(left[i], right[i]) : fmax(left[i], right[i]);
        out[i] = isnan(left[i]) || isnan(right[i]) ? NAN : other;
    }
    return MRD_OK;
}

static enum mrd_status eval_call(struct pql_exec *exec, const struct pql_node *node, double *out,
                                 struct mrd_error *err)
{
    const struct mrd_promql_request *request = exec->request;
    const size_t steps = node->steps.count;
    switch ((int)node->function->kind) {
    case PQL_CALL_SCALAR:
        return eval_only_element(exec, node, out, err);
    case PQL_CALL_TIME:
        for (size_t i = 0; i < steps; i++) {
            out[i] = seconds_of(pql_step_ms(&node->steps, i));
        }
        return MRD_OK;
    case PQL_CALL_PI:
        pql_column_fill(out, steps, M_PI);
        return MRD_OK;
    case PQL_CALL_START:
        pql_column_fill(out, steps, seconds_of(request->start_ms));
        return MRD_OK;
    case PQL_CALL_END:
        pql_column_fill(out, steps, seconds_of(request->end_ms));
        return MRD_OK;
    case PQL_CALL_STEP:
        pql_column_fill(out, steps, request->instant ? 0 : seconds_of(request->step_ms));
        return MRD_OK;
    case PQL_CALL_RANGE:
        pql_column_fill(out, steps, seconds_of(request->end_ms - request->start_ms));
        return MRD_OK;
    case PQL_CALL_MIN_OF:
    case PQL_CALL_MAX_OF:
        return eval_min_max(exec, node, out, err);
    default:
        mrd_assert(false);
    }
}

static enum mrd_status eval_node(struct pql_exec *exec, const struct pql_node *node, double *out,
                                 struct mrd_error *err)
{
    const size_t steps = node->steps.count;
    double *left = NULL;
    double *right = NULL;
    switch ((int)node->kind) {
    case PQL_NUMBER:
        pql_column_fill(out, steps, node->number);
        return MRD_OK;
    case PQL_CALL:
        return eval_call(exec, node, out, err);
    case PQL_NEGATE:
        MRD_TRY(pql_eval_scalar(exec, node->args[0], steps, &left, err));
        for (size_t i = 0; i < steps; i++) {
            out[i] = -left[i];
        }
        return MRD_OK;
    case PQL_BINARY:
        if (node->op == MRD_OP_TRIM_LOWER || node->op == MRD_OP_TRIM_UPPER) {
            return pql_fail(err, "operator \"%s\" not allowed for Scalar operations",
                            mrd_binary_op_text(node->op));
        }
        MRD_TRY(pql_eval_scalar(exec, node->args[0], steps, &left, err));
        MRD_TRY(pql_eval_scalar(exec, node->args[1], steps, &right, err));
        for (size_t i = 0; i < steps; i++) {
            out[i] = pql_compute(node->op, left[i], right[i]);
        }
        return MRD_OK;
    default:
        mrd_assert(false);
    }
}

enum mrd_status pql_eval_scalar(struct pql_exec *exec, const struct pql_node *node, size_t steps,
                                double **out, struct mrd_error *err)
{
    double *column = NULL;
    mrd_assert(node->type == PQL_SCALAR);
    MRD_TRY(PQL_NEW(exec, MRD_MAX(steps, node->steps.count), &column, err));
    MRD_TRY(eval_node(exec, node, column, err));
    if (node->spread && steps != node->steps.count) {
        pql_column_fill(column, steps, column[0]);
    }
    *out = column;
    return MRD_OK;
}
