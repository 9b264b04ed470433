/* Checks of a complete tree, in the order in which Prometheus makes them: only the first error is
 * told. Source: promql/parser/parse.go, checkAST. */
#include "base/quote.h"
#include "promql/parser_internal.h"

static bool check_type(struct pql_parser *parser, struct mrd_expr *expr, enum mrd_value_type want,
                       const char *context)
{
    return pql_check(parser, expr) &&
           (expr->type == want ||
            pql_fail_at(parser, expr->position.start, "expected type %s in %s, got %s",
                        mrd_value_type_text(want), context, mrd_value_type_text(expr->type)));
}

/* ---- aggregations, calls ---- */

static bool check_aggregate(struct pql_parser *parser, struct mrd_expr *expr)
{
    const struct mrd_aggregate *aggregate = &expr->aggregate;
    if (!check_type(parser, aggregate->expr, MRD_VALUE_VECTOR, "aggregation expression")) {
        return false;
    }
    const enum mrd_value_type want =
        aggregate->op == MRD_AGG_COUNT_VALUES ? MRD_VALUE_STRING : MRD_VALUE_SCALAR;
    return aggregate->param == NULL ||
           check_type(parser, aggregate->param, want, "aggregation parameter");
}

static bool check_arg_count(struct pql_parser *parser, const struct mrd_expr *expr)
{
    const struct mrd_function *function = expr->call.function;
    const int count = (int)expr->call.arg_count;
    const char *how = NULL;
    int bound = function->arg_count_min;
    if (function->arg_count_min == function->arg_count_max) {
        how = count != bound ? "" : NULL;
    } else if (count < bound) {
        how = "at least ";
    } else if (function->arg_count_max >= 0 && count > function->arg_count_max) {
        how = "at most ";
        bound = function->arg_count_max;
    }
    return how == NULL || pql_fail_at(parser, expr->position.start,
                                      "expected %s%d argument(s) in call to \"%s\", got %d", how,
                                      bound, function->name, count);
}

/* The second argument of info() lists labels in braces; it may match everything. */
static bool check_info(struct pql_parser *parser, const struct mrd_expr *expr)
{
    const struct mrd_expr *selector = expr->call.args[1];
    if (selector->type != MRD_VALUE_VECTOR) {
        return pql_fail_at(parser, expr->position.start,
                           "expected type instant vector in call to function \"info\", got %s",
                           mrd_value_type_text(selector->type));
    }
    if (selector->kind != MRD_EXPR_SELECTOR) {
        return pql_fail_at(parser, selector->position.start, "expected label selectors only");
    }
    return selector->selector.name.size == 0 ||
           pql_fail_at(parser, selector->position.start,
                       "expected label selectors only, got vector selector instead");
}

static bool check_call(struct pql_parser *parser, struct mrd_expr *expr)
{
    const struct mrd_function *function = expr->call.function;
    const bool info = function->id == MRD_FN_INFO;
    if (!check_arg_count(parser, expr) ||
        (info && expr->call.arg_count > 1 && !check_info(parser, expr))) {
        return false;
    }
    for (size_t i = 0; i < expr->call.arg_count; i++) {
        struct mrd_expr *arg = expr->call.args[i];
        const size_t last = (size_t)function->arg_type_count - 1;
        const enum mrd_value_type want = function->arg_types[MRD_MIN(i, last)];
        if (!(info && i == 1) && !pql_check(parser, arg)) {
            return false;
        }
        if (arg->type != want) {
            return pql_fail_at(
                parser, arg->position.start, "expected type %s in call to function \"%s\", got %s",
                mrd_value_type_text(want), function->name, mrd_value_type_text(arg->type));
        }
    }
    return !info || pql_set_info_matchers(parser, &expr->call);
}

/* ---- binary operators ---- */

/* Where the operator stands: behind the left side and blanks. */
static size_t operator_start(const struct pql_parser *parser, const struct mrd_binary *binary)
{
    const struct mrd_bytes query = parser->lexer.query;
    size_t at = binary->left->position.end;
    while (at < query.size && strchr(" \t\n\r", query.data[at]) != NULL) {
        at++;
    }
    return at;
}

static bool check_labels_once(struct pql_parser *parser, const struct mrd_binary *binary)
{
    const struct mrd_matching *matching = binary->matching;
    for (size_t i = 0; matching->on && i < matching->labels.count; i++) {
        for (size_t j = 0; j < matching->include.count; j++) {
            const struct mrd_bytes label = matching->labels.items[i];
            if (mrd_bytes_equal(label, matching->include.items[j])) {
                return pql_fail_at(parser, operator_start(parser, binary),
                                   "label \"%.*s\" must not occur in ON and GROUP clause at once",
                                   (int)MRD_MIN(label.size, (size_t)128), (const char *)label.data);
            }
        }
    }
    return true;
}

static bool is_operand(const struct mrd_expr *expr)
{
    return expr->type == MRD_VALUE_SCALAR || expr->type == MRD_VALUE_VECTOR;
}

/* Modifiers where at least one side is no vector; then there is no matching at all. */
static bool check_scalar_side(struct pql_parser *parser, struct mrd_expr *expr)
{
    struct mrd_binary *binary = &expr->binary;
    const struct mrd_matching *matching = binary->matching;
    const uint32_t start = expr->position.start;
    if (matching->labels.count > 0) {
        return pql_fail_at(parser, start, "vector matching only allowed between instant vectors");
    }
    if (matching->fill_left_set || matching->fill_right_set) {
        return pql_fail_at(parser, start,
                           "filling in missing series only allowed between instant vectors");
    }
    binary->matching = NULL;
    return !mrd_op_is_set(binary->op) ||
           pql_fail_at(parser, start, "set operator \"%s\" not allowed in binary scalar expression",
                       mrd_binary_op_text(binary->op));
}

static bool check_set_operator(struct pql_parser *parser, const struct mrd_expr *expr)
{
    const struct mrd_matching *matching = expr->binary.matching;
    const uint32_t start = expr->position.start;
    if (matching->cardinality != MRD_MANY_TO_MANY) {
        return pql_fail_at(parser, start, "no grouping allowed for \"%s\" operation",
                           mrd_binary_op_text(expr->binary.op));
    }
    return !(matching->fill_left_set || matching->fill_right_set) ||
           pql_fail_at(parser, start, "filling in missing series not allowed for set operators");
}

static bool check_binary(struct pql_parser *parser, struct mrd_expr *expr)
{
    struct mrd_binary *binary = &expr->binary;
    static const char operands[] =
        "binary expression must contain only scalar and instant vector types";
    if (!pql_check(parser, binary->left) || !pql_check(parser, binary->right)) {
        return false;
    }
    if (binary->return_bool && !mrd_op_is_comparison(binary->op)) {
        return pql_fail_at(parser, operator_start(parser, binary),
                           "bool modifier can only be used on comparison operators");
    }
    if (mrd_op_is_comparison(binary->op) && !binary->return_bool &&
        expr->type == MRD_VALUE_SCALAR) {
        return pql_fail_at(parser, operator_start(parser, binary),
                           "comparisons between scalars must use BOOL modifier");
    }
    if (!check_labels_once(parser, binary)) {
        return false;
    }
    if (!is_operand(binary->left)) {
        return pql_fail_at(parser, binary->left->position.start, operands);
    }
    if (!is_operand(binary->right)) {
        return pql_fail_at(parser, binary->right->position.start, operands);
    }
    if (binary->left->type != MRD_VALUE_VECTOR || binary->right->type != MRD_VALUE_VECTOR) {
        return check_scalar_side(parser, expr);
    }
    return !mrd_op_is_set(binary->op) || check_set_operator(parser, expr);
}

/* ---- the rest ---- */

static bool check_unary(struct pql_parser *parser, struct mrd_expr *expr)
{
    return pql_check(parser, expr->unary.expr) &&
           (is_operand(expr->unary.expr) ||
            pql_fail_at(parser, expr->position.start,
                        "unary expression only allowed on expressions of type scalar or instant "
                        "vector, got \"%s\"",
                        mrd_value_type_text(expr->unary.expr->type)));
}

static const char *short_type_text(enum mrd_value_type type)
{
    return type == MRD_VALUE_MATRIX ? "matrix" : mrd_value_type_text(type);
}

static bool check_subquery(struct pql_parser *parser, struct mrd_expr *expr)
{
    const struct mrd_expr *inner = expr->subquery.expr;
    return pql_check(parser, expr->subquery.expr) &&
           (inner->type == MRD_VALUE_VECTOR ||
            pql_fail_at(parser, expr->position.start,
                        "subquery is only allowed on instant vector, got %s instead",
                        short_type_text(inner->type)));
}

static bool check_selector(struct pql_parser *parser, const struct mrd_expr *expr)
{
    const struct mrd_selector *selector = &expr->selector;
    const uint32_t start = expr->position.start;
    if (selector->name.size == 0) {
        return mrd_matchers_select(selector->matchers, selector->matcher_count) ||
               pql_fail_at(parser, start,
                           "vector selector must contain at least one non-empty matcher");
    }
    for (size_t i = 0; i + 1 < selector->matcher_count; i++) { /* the last one is the name */
        const struct mrd_matcher *matcher = &selector->matchers[i];
        if (mrd_bytes_equal(matcher->name, MRD_BYTES(MRD_METRIC_NAME))) {
            struct mrd_buf value = {0};
            mrd_quote_append(matcher->value, &value);
            (void)pql_fail_at(parser, start, "metric name must not be set twice: \"%.*s\" or %.*s",
                              (int)MRD_MIN(selector->name.size, (size_t)128),
                              (const char *)selector->name.data,
                              (int)MRD_MIN(value.size, (size_t)128), (const char *)value.data);
            mrd_buf_fini(&value);
            return false;
        }
    }
    return true;
}

bool pql_check(struct pql_parser *parser, struct mrd_expr *expr)
{
    switch (expr->kind) {
    case MRD_EXPR_NUMBER:
    case MRD_EXPR_STRING:
        return true;
    case MRD_EXPR_SELECTOR:
        return check_selector(parser, expr);
    case MRD_EXPR_MATRIX:
        return check_selector(parser, expr->matrix.selector);
    case MRD_EXPR_SUBQUERY:
        return check_subquery(parser, expr);
    case MRD_EXPR_CALL:
        return check_call(parser, expr);
    case MRD_EXPR_AGGREGATE:
        return check_aggregate(parser, expr);
    case MRD_EXPR_BINARY:
        return check_binary(parser, expr);
    case MRD_EXPR_UNARY:
        return check_unary(parser, expr);
    case MRD_EXPR_PAREN:
        return pql_check(parser, expr->paren);
    }
    mrd_assert(false);
    return false;
}
