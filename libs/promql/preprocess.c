/* Source: Prometheus 3.14, promql/durations.go and engine.go PreprocessExpr. */
#include "promql/preprocess.h"

#include <math.h>

/* ---- duration expressions, in seconds ---- */

struct evaluation {
    const struct mrd_query_range *range;
    struct mrd_error *err;
};

static enum mrd_status fail(const struct evaluation *evaluation,
                            const struct mrd_duration_expr *expr, const char *text)
{
    /* Prometheus prints the bytes where the expression starts and ends, not line and column. */
    return mrd_fail(evaluation->err, MRD_E_INVALID, "%u:%u: %s", expr->position.start,
                    expr->position.end, text);
}

static enum mrd_status evaluate(const struct evaluation *evaluation,
                                const struct mrd_duration_expr *expr, double *out)
{
    double left = 0;
    double right = 0;
    if (expr->left != NULL) {
        MRD_TRY(evaluate(evaluation, expr->left, &left));
    }
    if (expr->right != NULL) {
        MRD_TRY(evaluate(evaluation, expr->right, &right));
    }
    switch (expr->kind) {
    case MRD_DURATION_NUMBER:
        *out = expr->number;
        break;
    case MRD_DURATION_STEP:
        *out = (double)evaluation->range->step_ms / 1000;
        break;
    case MRD_DURATION_RANGE:
        *out = (double)(evaluation->range->end_ms - evaluation->range->start_ms) / 1000;
        break;
    case MRD_DURATION_MIN_OF:
        *out = isnan(left) || isnan(right) ? NAN : fmin(left, right);
        break;
    case MRD_DURATION_MAX_OF:
        *out = isnan(left) || isnan(right) ? NAN : fmax(left, right);
        break;
    case MRD_DURATION_ADD:
        *out = left + right;
        break;
    case MRD_DURATION_SUB:
        *out = left - right;
        break;
    case MRD_DURATION_MUL:
        *out = left * right;
        break;
    case MRD_DURATION_DIV:
        if (right == 0) {
            return fail(evaluation, expr, "division by zero");
        }
        *out = left / right;
        break;
    case MRD_DURATION_MOD:
        if (right == 0) {
            return fail(evaluation, expr, "modulo by zero");
        }
        *out = fmod(left, right);
        break;
    case MRD_DURATION_POW:
        *out = pow(left, right);
        break;
    case MRD_DURATION_NEGATE:
        *out = -left;
        break;
    case MRD_DURATION_PLUS:
        *out = left;
        break;
    }
    return MRD_OK;
}

static enum mrd_status resolve(const struct evaluation *evaluation, struct mrd_duration *duration,
                               bool may_be_negative)
{
    const struct mrd_duration_expr *expr = duration->expr;
    double seconds;
    if (expr == NULL) {
        return MRD_OK;
    }
    MRD_TRY(evaluate(evaluation, expr, &seconds));
    if (!isfinite(seconds)) {
        return fail(evaluation, expr, "duration is NaN or infinite");
    }
    if (seconds <= 0 && !may_be_negative) {
        return fail(evaluation, expr, "duration must be greater than 0");
    }
    if (seconds > 0x1p63 / 1e9 || seconds < -0x1p63 / 1e9) {
        return fail(evaluation, expr, "duration is out of range");
    }
    duration->ms = (mrd_time_ms)(seconds * 1000);
    duration->expr = NULL;
    return MRD_OK;
}

static enum mrd_status resolve_timing(const struct evaluation *evaluation,
                                      struct mrd_timing *timing)
{
    if (timing->at == MRD_AT_START || timing->at == MRD_AT_END) {
        timing->at_ms =
            timing->at == MRD_AT_START ? evaluation->range->start_ms : evaluation->range->end_ms;
        timing->at = MRD_AT_TIME;
    }
    return resolve(evaluation, &timing->offset, true);
}

/* ---- the walk ---- */

static enum mrd_status walk(const struct evaluation *evaluation, struct mrd_expr *expr)
{
    switch (expr->kind) {
    case MRD_EXPR_NUMBER:
    case MRD_EXPR_STRING:
        return MRD_OK;
    case MRD_EXPR_SELECTOR:
        return resolve_timing(evaluation, &expr->selector.timing);
    case MRD_EXPR_MATRIX:
        MRD_TRY(resolve(evaluation, &expr->matrix.range, false));
        return walk(evaluation, expr->matrix.selector);
    case MRD_EXPR_SUBQUERY:
        MRD_TRY(resolve_timing(evaluation, &expr->subquery.timing));
        MRD_TRY(resolve(evaluation, &expr->subquery.step, false));
        MRD_TRY(resolve(evaluation, &expr->subquery.range, false));
        return walk(evaluation, expr->subquery.expr);
    case MRD_EXPR_CALL:
        for (size_t i = 0; i < expr->call.arg_count; i++) {
            MRD_TRY(walk(evaluation, expr->call.args[i]));
        }
        return MRD_OK;
    case MRD_EXPR_AGGREGATE:
        MRD_TRY(walk(evaluation, expr->aggregate.expr));
        return expr->aggregate.param == NULL ? MRD_OK : walk(evaluation, expr->aggregate.param);
    case MRD_EXPR_BINARY:
        MRD_TRY(walk(evaluation, expr->binary.left));
        return walk(evaluation, expr->binary.right);
    case MRD_EXPR_UNARY:
        return walk(evaluation, expr->unary.expr);
    case MRD_EXPR_PAREN:
        return walk(evaluation, expr->paren);
    }
    mrd_assert(false);
    return MRD_E_INVALID;
}

enum mrd_status mrd_promql_preprocess(struct mrd_ast *ast, const struct mrd_query_range *range,
                                      struct mrd_error *err)
{
    const struct evaluation evaluation = {range, err};
    return walk(&evaluation, ast->root);
}
