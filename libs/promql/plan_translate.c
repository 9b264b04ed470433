/* From the syntax tree to nodes: parentheses and most plus signs vanish, functions find their code, and
 * what this engine does not evaluate yet is refused. */
#include "promql/plan.h"

struct translation {
    struct mrd_arena *arena;
    size_t order; /* of the node that is complete next */
};

static enum mrd_status translate(struct translation *to, const struct mrd_expr *expr,
                                 struct pql_node **out, struct mrd_error *err);

static enum mrd_status node_create(struct translation *to, enum pql_node_kind kind,
                                   const struct mrd_expr *expr, size_t arg_count,
                                   struct pql_node **out, struct mrd_error *err)
{
    static const enum pql_type types[] = {
        [MRD_VALUE_SCALAR] = PQL_SCALAR,
        [MRD_VALUE_STRING] = PQL_STRING,
        [MRD_VALUE_VECTOR] = PQL_VECTOR,
        [MRD_VALUE_MATRIX] = PQL_RANGE,
    };
    struct pql_node *node = mrd_arena_alloc(to->arena, sizeof(*node));
    struct pql_node **args =
        mrd_arena_alloc(to->arena, (arg_count + 1) * sizeof(struct pql_node *));
    if (node == NULL || args == NULL) {
        return mrd_arena_fail(to->arena, err);
    }
    mrd_assert(expr->type > MRD_VALUE_NONE && expr->type <= MRD_VALUE_MATRIX);
    node->kind = kind;
    node->type = types[expr->type];
    node->position = expr->position.start;
    node->args = args;
    node->arg_count = arg_count;
    *out = node;
    return MRD_OK;
}

/* ---- leaves ---- */

static struct pql_timing timing_of(const struct mrd_timing *timing, mrd_time_ms range_ms)
{
    mrd_assert(timing->at == MRD_AT_NONE || timing->at == MRD_AT_TIME);
    mrd_assert(timing->offset.expr == NULL);
    return (struct pql_timing){
        .at_set = timing->at == MRD_AT_TIME,
        .at_ms = timing->at_ms,
        .offset_ms = timing->offset.ms,
        .range_ms = range_ms,
    };
}

static bool selects_one_name(const struct mrd_selector *selector)
{
    for (size_t i = 0; i < selector->matcher_count; i++) {
        const struct mrd_matcher *matcher = &selector->matchers[i];
        if (matcher->type == MRD_MATCH_EQ && matcher->value.size > 0 &&
            mrd_bytes_equal(matcher->name, MRD_BYTES(MRD_METRIC_NAME))) {
            return true;
        }
    }
    return false;
}

/* `expr` is the whole (a selector or a range of it), `source` the selector. */
static enum mrd_status translate_selector(struct translation *to, const struct mrd_expr *expr,
                                          const struct mrd_selector *source, mrd_time_ms range_ms,
                                          struct pql_node **out, struct mrd_error *err)
{
    const bool range = expr->kind == MRD_EXPR_MATRIX;
    MRD_TRY(node_create(to, range ? PQL_WINDOW : PQL_SELECT, expr, 0, out, err));
    struct pql_selector *selector = mrd_arena_alloc(to->arena, sizeof(*selector));
    if (selector == NULL) {
        return mrd_arena_fail(to->arena, err);
    }
    selector->select.matchers = source->matchers;
    selector->select.matcher_count = source->matcher_count;
    selector->timing = timing_of(&source->timing, range_ms);
    selector->timing.edge = source->edge;
    selector->one_name = selects_one_name(source);
    (*out)->selector = selector;
    return MRD_OK;
}

static enum mrd_status translate_subquery(struct translation *to, const struct mrd_expr *expr,
                                          struct pql_node **out, struct mrd_error *err)
{
    const struct mrd_subquery *subquery = &expr->subquery;
    MRD_TRY(node_create(to, PQL_SUBQUERY, expr, 1, out, err));
    (*out)->timing = timing_of(&subquery->timing, subquery->range.ms);
    (*out)->steps.step_ms = subquery->step.ms;
    (*out)->position = 0; /* as Prometheus' annotations about subqueries have it */
    return translate(to, subquery->expr, &(*out)->args[0], err);
}

/* ---- calls and operators ---- */

/* The @ and offset of the first selector in `expr`, those of subqueries around it included up to the
 * first @. False if there is no selector. */
static bool first_timing(const struct mrd_expr *expr, struct pql_timing *out)
{
    switch (expr->kind) {
    case MRD_EXPR_NUMBER:
    case MRD_EXPR_STRING:
        return false;
    case MRD_EXPR_SELECTOR:
        *out = timing_of(&expr->selector.timing, 0);
        return true;
    case MRD_EXPR_MATRIX:
        return first_timing(expr->matrix.selector, out);
    case MRD_EXPR_SUBQUERY:
        if (!first_timing(expr->subquery.expr, out)) {
            return false;
        }
        if (!out->at_set) {
            const struct pql_timing outer = timing_of(&expr->subquery.timing, 0);
            out->at_set = outer.at_set;
            out->at_ms = outer.at_ms;
            out->offset_ms += outer.offset_ms;
        }
        return true;
    case MRD_EXPR_CALL:
        for (size_t i = 0; i < expr->call.arg_count; i++) {
            if (first_timing(expr->call.args[i], out)) {
                return true;
            }
        }
        return false;
    case MRD_EXPR_AGGREGATE:
        return first_timing(expr->aggregate.expr, out) ||
               (expr->aggregate.param != NULL && first_timing(expr->aggregate.param, out));
    case MRD_EXPR_BINARY:
        return first_timing(expr->binary.left, out) || first_timing(expr->binary.right, out);
    case MRD_EXPR_UNARY:
        return first_timing(expr->unary.expr, out);
    case MRD_EXPR_PAREN:
        return first_timing(expr->paren, out);
    }
    mrd_assert(false);
}

/* info(v, {...}): the second argument selects the info series, as of the time at which v looks. */
static enum mrd_status translate_info(struct translation *to, const struct mrd_expr *expr,
                                      struct pql_node **out, struct mrd_error *err)
{
    const struct mrd_call *call = &expr->call;
    MRD_TRY(node_create(to, PQL_CALL, expr, 2, out, err));
    MRD_TRY(translate(to, call->args[0], &(*out)->args[0], err));
    MRD_TRY(node_create(to, PQL_SELECT, expr, 0, &(*out)->args[1], err));
    struct pql_selector *selector = mrd_arena_alloc(to->arena, sizeof(*selector));
    if (selector == NULL) {
        return mrd_arena_fail(to->arena, err);
    }
    (void)first_timing(call->args[0], &selector->timing);
    selector->select.matchers = call->info_matchers;
    selector->select.matcher_count = call->info_matcher_count;
    selector->late = true;
    (*out)->args[1]->selector = selector;
    (*out)->args[1]->order = ++to->order;
    return MRD_OK;
}

static enum mrd_status translate_call(struct translation *to, const struct mrd_expr *expr,
                                      struct pql_node **out, struct mrd_error *err)
{
    const struct mrd_call *call = &expr->call;
    const char *name = call->function->name;
    const struct pql_function *function = pql_function_find(name, strlen(name));
    if (function == NULL) {
        return mrd_fail(err, MRD_E_UNSUPPORTED, "function \"%s\" is not supported", name);
    }
    if (function->kind == PQL_CALL_INFO) {
        MRD_TRY(translate_info(to, expr, out, err));
        (*out)->function = function;
        return MRD_OK;
    }
    MRD_TRY(node_create(to, PQL_CALL, expr, call->arg_count, out, err));
    (*out)->function = function;
    for (size_t i = 0; i < call->arg_count; i++) {
        MRD_TRY(translate(to, call->args[i], &(*out)->args[i], err));
    }
    return MRD_OK;
}

static enum mrd_status translate_aggregate(struct translation *to, const struct mrd_expr *expr,
                                           struct pql_node **out, struct mrd_error *err)
{
    const struct mrd_aggregate *aggregate = &expr->aggregate;
    MRD_TRY(node_create(to, PQL_AGGREGATE, expr, aggregate->param == NULL ? 1 : 2, out, err));
    (*out)->aggregation = aggregate->op;
    (*out)->text = mrd_bytes_of(mrd_aggregation_text(aggregate->op)); /* for hints */
    (*out)->grouping = (struct pql_grouping){aggregate->grouping, aggregate->without};
    MRD_TRY(translate(to, aggregate->expr, &(*out)->args[0], err));
    return aggregate->param == NULL ? MRD_OK
                                    : translate(to, aggregate->param, &(*out)->args[1], err);
}

static enum mrd_status translate_binary(struct translation *to, const struct mrd_expr *expr,
                                        struct pql_node **out, struct mrd_error *err)
{
    const struct mrd_binary *binary = &expr->binary;
    const struct mrd_matching *matching = binary->matching;
    MRD_TRY(node_create(to, PQL_BINARY, expr, 2, out, err));
    (*out)->op = binary->op;
    (*out)->return_bool = binary->return_bool;
    if (matching != NULL) {
        (*out)->matching = (struct pql_matching){
            .cardinality = matching->cardinality,
            .on = matching->on,
            .names = matching->labels,
            .include = matching->include,
            .fill_left_set = matching->fill_left_set,
            .fill_right_set = matching->fill_right_set,
            .fill_left = matching->fill_left,
            .fill_right = matching->fill_right,
        };
    }
    MRD_TRY(translate(to, binary->left, &(*out)->args[0], err));
    return translate(to, binary->right, &(*out)->args[1], err);
}

static enum mrd_status translate_unary(struct translation *to, const struct mrd_expr *expr,
                                       struct pql_node **out, struct mrd_error *err)
{
    struct pql_node *inner = NULL;
    MRD_TRY(translate(to, expr->unary.expr, &inner, err));
    if (!expr->unary.minus && inner->type != PQL_VECTOR) {
        *out = inner;
        return MRD_OK;
    }
    MRD_TRY(node_create(to, expr->unary.minus ? PQL_NEGATE : PQL_PLUS, expr, 1, out, err));
    (*out)->args[0] = inner;
    return MRD_OK;
}

static enum mrd_status translate_kind(struct translation *to, const struct mrd_expr *expr,
                                      struct pql_node **out, struct mrd_error *err)
{
    switch (expr->kind) {
    case MRD_EXPR_NUMBER:
        MRD_TRY(node_create(to, PQL_NUMBER, expr, 0, out, err));
        (*out)->number = expr->number.value;
        return MRD_OK;
    case MRD_EXPR_STRING:
        MRD_TRY(node_create(to, PQL_TEXT, expr, 0, out, err));
        (*out)->text = expr->string;
        return MRD_OK;
    case MRD_EXPR_SELECTOR:
        return translate_selector(to, expr, &expr->selector, 0, out, err);
    case MRD_EXPR_MATRIX:
        return translate_selector(to, expr, &expr->matrix.selector->selector, expr->matrix.range.ms,
                                  out, err);
    case MRD_EXPR_SUBQUERY:
        return translate_subquery(to, expr, out, err);
    case MRD_EXPR_CALL:
        return translate_call(to, expr, out, err);
    case MRD_EXPR_AGGREGATE:
        return translate_aggregate(to, expr, out, err);
    case MRD_EXPR_BINARY:
        return translate_binary(to, expr, out, err);
    case MRD_EXPR_UNARY:
        return translate_unary(to, expr, out, err);
    case MRD_EXPR_PAREN:
        return translate(to, expr->paren, out, err);
    }
    mrd_assert(false);
}

/* Nodes are numbered when their arguments are complete: in the order of evaluation. */
static enum mrd_status translate(struct translation *to, const struct mrd_expr *expr,
                                 struct pql_node **out, struct mrd_error *err)
{
    MRD_TRY(translate_kind(to, expr, out, err));
    (*out)->order = ++to->order;
    return MRD_OK;
}

enum mrd_status pql_plan_translate(const struct mrd_expr *expr, struct mrd_arena *arena,
                                   struct pql_node **out, struct mrd_error *err)
{
    struct translation to = {.arena = arena};
    return translate(&to, expr, out, err);
}
