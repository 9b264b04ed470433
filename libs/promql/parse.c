/* The grammar of expressions. Source: Prometheus 3.14, promql/parser/generated_parser.y. */
#include "promql/parse.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/quote.h"
#include "promql/parser_internal.h"

/* ---- errors ---- */

bool pql_fail_at(struct pql_parser *parser, size_t offset, const char *format, ...)
{
    if (parser->status != MRD_OK) {
        return false; /* the first error stays */
    }
    parser->status = MRD_E_INVALID;
    char text[384];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    const struct mrd_bytes query = parser->lexer.query;
    size_t line = 1;
    size_t column = 1;
    for (size_t i = 0; i < offset && i < query.size; i++) {
        column = query.data[i] == '\n' ? 1 : column + 1;
        line += query.data[i] == '\n';
    }
    if (query.size == 0) {
        (void)mrd_fail(parser->err, MRD_E_INVALID, "unknown position: parse error: %s", text);
    } else {
        (void)mrd_fail(parser->err, MRD_E_INVALID, "%zu:%zu: parse error: %s", line, column, text);
    }
    return false;
}

bool pql_unexpected(struct pql_parser *parser, const char *context, const char *expected)
{
    if (parser->token.type == PQL_T_ERROR) { /* told only now, so that earlier errors come first */
        return pql_fail_at(parser, parser->token.start, "%s", parser->lexer.error);
    }
    struct mrd_buf token = {0};
    pql_token_describe(&parser->token, &token);
    (void)pql_fail_at(parser, parser->token.start, "unexpected %.*s%s%s%s%s",
                      (int)MRD_MIN(token.size, (size_t)160), (const char *)token.data,
                      context == NULL ? "" : " in ", context == NULL ? "" : context,
                      expected == NULL ? "" : ", expected ", expected == NULL ? "" : expected);
    mrd_buf_fini(&token);
    return false;
}

bool pql_unexpected_here(struct pql_parser *parser)
{
    return pql_unexpected(parser, parser->aggregations > 0 ? "aggregation" : NULL, NULL);
}

bool pql_fail_memory(struct pql_parser *parser)
{
    if (parser->status == MRD_OK) {
        parser->status = mrd_arena_fail(parser->arena, parser->err);
    }
    return false;
}

static bool fail_depth(struct pql_parser *parser, size_t offset)
{
    return pql_fail_at(parser, offset, "expression is nested deeper than %d levels",
                       MRD_QUERY_DEPTH_MAX);
}

bool pql_enter(struct pql_parser *parser)
{
    if (parser->depth >= MRD_QUERY_DEPTH_MAX) {
        return fail_depth(parser, parser->token.start);
    }
    parser->depth++;
    return true;
}

/* ---- tokens and memory ---- */

bool pql_advance(struct pql_parser *parser)
{
    if (parser->status != MRD_OK) {
        return false;
    }
    parser->last_end = parser->token.start + (uint32_t)parser->token.text.size;
    parser->token = pql_lexer_next(&parser->lexer);
    return true;
}

bool pql_accept(struct pql_parser *parser, enum pql_token_type type)
{
    return pql_at(parser, type) && pql_advance(parser);
}

void *pql_parser_alloc(struct pql_parser *parser, size_t size_bytes)
{
    void *memory = mrd_arena_alloc(parser->arena, MRD_MAX(size_bytes, (size_t)1));
    if (memory == NULL) {
        (void)pql_fail_memory(parser);
    }
    return memory;
}

void *pql_items_add(struct pql_parser *parser, struct pql_items *list, size_t item_size_bytes)
{
    if (list->count == list->capacity) {
        const size_t capacity = MRD_MAX(list->capacity * 2, (size_t)4);
        void *grown = pql_parser_alloc(parser, capacity * item_size_bytes);
        if (grown == NULL) {
            return NULL;
        }
        if (list->count > 0) {
            memcpy(grown, list->items, list->count * item_size_bytes);
        }
        list->items = grown;
        list->capacity = capacity;
    }
    return (char *)list->items + item_size_bytes * list->count++;
}

struct mrd_expr *pql_new_expr(struct pql_parser *parser, enum mrd_expr_kind kind,
                              enum mrd_value_type type, uint32_t start)
{
    struct mrd_expr *expr = pql_parser_alloc(parser, sizeof(*expr));
    if (expr == NULL) {
        return NULL;
    }
    expr->kind = kind;
    expr->type = type;
    expr->depth = 1;
    expr->position = (struct mrd_position){start, parser->last_end};
    return expr;
}

/* Notes that `child` stands right under `parent`; false if the tree gets too deep. */
static bool adopt(struct pql_parser *parser, struct mrd_expr *parent, const struct mrd_expr *child)
{
    parent->depth = MRD_MAX(parent->depth, child->depth + 1);
    return parent->depth <= MRD_QUERY_DEPTH_MAX || fail_depth(parser, parent->position.start);
}

/* ---- literals ---- */

static struct mrd_expr *parse_number(struct pql_parser *parser)
{
    const uint32_t start = parser->token.start;
    double value;
    bool is_duration;
    if (!pql_parse_number(parser, &value, &is_duration)) {
        return NULL;
    }
    struct mrd_expr *expr = pql_new_expr(parser, MRD_EXPR_NUMBER, MRD_VALUE_SCALAR, start);
    if (expr != NULL) {
        expr->number.value = value;
        expr->number.is_duration = is_duration;
    }
    return expr;
}

static struct mrd_expr *parse_string(struct pql_parser *parser)
{
    const uint32_t start = parser->token.start;
    struct mrd_bytes text;
    if (!pql_parse_string(parser, &text)) {
        return NULL;
    }
    struct mrd_expr *expr = pql_new_expr(parser, MRD_EXPR_STRING, MRD_VALUE_STRING, start);
    if (expr != NULL) {
        expr->string = text;
    }
    return expr;
}

static struct mrd_expr *parse_paren(struct pql_parser *parser)
{
    const uint32_t start = parser->token.start;
    if (!pql_advance(parser)) {
        return NULL;
    }
    struct mrd_expr *inner = pql_parse_expr(parser);
    if (inner == NULL) {
        return NULL;
    }
    if (!pql_accept(parser, PQL_T_RIGHT_PAREN)) {
        (void)pql_unexpected_here(parser);
        return NULL;
    }
    struct mrd_expr *expr = pql_new_expr(parser, MRD_EXPR_PAREN, inner->type, start);
    if (expr == NULL || !adopt(parser, expr, inner)) {
        return NULL;
    }
    expr->paren = inner;
    return expr;
}

/* ---- calls ---- */

/* Tokens that an expression may start with; what cannot be read counts, for its own error. */
static bool starts_expr(enum pql_token_type type)
{
    switch ((int)type) {
    case PQL_T_ERROR:
    case PQL_T_NUMBER:
    case PQL_T_DURATION:
    case PQL_T_STRING:
    case PQL_T_LEFT_PAREN:
    case PQL_T_LEFT_BRACE:
    case PQL_T_ADD:
    case PQL_T_SUB:
        return true;
    default:
        return pql_is_metric_name(type);
    }
}

/* (expr, expr, ...), at '('. */
static bool parse_args(struct pql_parser *parser, struct pql_items *list)
{
    if (!pql_accept(parser, PQL_T_LEFT_PAREN)) {
        return pql_unexpected_here(parser);
    }
    if (pql_accept(parser, PQL_T_RIGHT_PAREN)) {
        return true;
    }
    for (;;) {
        struct mrd_expr *arg = pql_parse_expr(parser);
        struct mrd_expr **item = arg == NULL ? NULL : pql_items_add(parser, list, sizeof(*item));
        if (item == NULL) {
            return false;
        }
        *item = arg;
        if (pql_accept(parser, PQL_T_RIGHT_PAREN)) {
            return true;
        }
        const uint32_t comma = parser->token.start;
        if (!pql_accept(parser, PQL_T_COMMA)) {
            return pql_unexpected_here(parser);
        }
        if (!starts_expr(parser->token.type)) {
            return pql_fail_at(parser, comma, "trailing commas not allowed in function call args");
        }
    }
}

static bool function_enabled(const struct pql_parser *parser, const struct mrd_function *function)
{
    return !function->experimental || parser->features->experimental_functions;
}

static struct mrd_expr *parse_call(struct pql_parser *parser)
{
    const struct pql_token name = parser->token;
    struct pql_items args = {0};
    if (!pql_advance(parser) || !parse_args(parser, &args)) {
        return NULL;
    }
    const struct mrd_function *function = mrd_function_find(name.text);
    if (function == NULL || !function_enabled(parser, function)) {
        (void)pql_fail_at(parser, name.start,
                          function == NULL ? "unknown function with name \"%.*s\""
                                           : "function \"%.*s\" is not enabled",
                          (int)MRD_MIN(name.text.size, (size_t)128), (const char *)name.text.data);
        return NULL;
    }
    struct mrd_expr *expr = pql_new_expr(parser, MRD_EXPR_CALL, function->result, name.start);
    if (expr == NULL) {
        return NULL;
    }
    expr->call =
        (struct mrd_call){.function = function, .args = args.items, .arg_count = args.count};
    for (size_t i = 0; i < args.count; i++) {
        if (!adopt(parser, expr, expr->call.args[i])) {
            return NULL;
        }
    }
    return expr;
}

/* ---- aggregations ---- */

/* by (...) or without (...), if it is there and there was none before. */
static bool parse_aggregate_modifier(struct pql_parser *parser, struct mrd_aggregate *out,
                                     bool *seen)
{
    if (*seen || (!pql_at(parser, PQL_T_BY) && !pql_at(parser, PQL_T_WITHOUT))) {
        return parser->status == MRD_OK;
    }
    *seen = true;
    out->without = pql_at(parser, PQL_T_WITHOUT);
    return pql_advance(parser) && pql_parse_grouping(parser, &out->grouping);
}

static enum mrd_aggregation aggregation_of(enum pql_token_type type)
{
    static const enum mrd_aggregation table[] = {
        [PQL_T_SUM - PQL_T_SUM] = MRD_AGG_SUM,
        [PQL_T_AVG - PQL_T_SUM] = MRD_AGG_AVG,
        [PQL_T_COUNT - PQL_T_SUM] = MRD_AGG_COUNT,
        [PQL_T_MIN - PQL_T_SUM] = MRD_AGG_MIN,
        [PQL_T_MAX - PQL_T_SUM] = MRD_AGG_MAX,
        [PQL_T_GROUP - PQL_T_SUM] = MRD_AGG_GROUP,
        [PQL_T_STDDEV - PQL_T_SUM] = MRD_AGG_STDDEV,
        [PQL_T_STDVAR - PQL_T_SUM] = MRD_AGG_STDVAR,
        [PQL_T_TOPK - PQL_T_SUM] = MRD_AGG_TOPK,
        [PQL_T_BOTTOMK - PQL_T_SUM] = MRD_AGG_BOTTOMK,
        [PQL_T_COUNT_VALUES - PQL_T_SUM] = MRD_AGG_COUNT_VALUES,
        [PQL_T_QUANTILE - PQL_T_SUM] = MRD_AGG_QUANTILE,
        [PQL_T_LIMITK - PQL_T_SUM] = MRD_AGG_LIMITK,
        [PQL_T_LIMIT_RATIO - PQL_T_SUM] = MRD_AGG_LIMIT_RATIO,
    };
    return table[type - PQL_T_SUM];
}

/* Sorts the arguments into expression and parameter. */
static bool finish_aggregate(struct pql_parser *parser, struct mrd_expr *expr,
                             const struct pql_items *args)
{
    struct mrd_aggregate *aggregate = &expr->aggregate;
    struct mrd_expr **items = args->items;
    const size_t wanted = mrd_aggregation_has_param(aggregate->op) ? 2 : 1;
    const uint32_t start = expr->position.start;
    if (args->count == 0) {
        return pql_fail_at(parser, start, "no arguments for aggregate expression provided");
    }
    if (mrd_aggregation_experimental(aggregate->op) && !parser->features->experimental_functions) {
        return pql_fail_at(parser, start,
                           "%s() is experimental and must be enabled with "
                           "--enable-feature=promql-experimental-functions",
                           mrd_aggregation_text(aggregate->op));
    }
    if (args->count != wanted) {
        return pql_fail_at(parser, start,
                           "wrong number of arguments for aggregate expression provided, "
                           "expected %zu, got %zu",
                           wanted, args->count);
    }
    aggregate->param = wanted == 2 ? items[0] : NULL;
    aggregate->expr = items[wanted - 1];
    return adopt(parser, expr, items[0]) && adopt(parser, expr, items[wanted - 1]);
}

/* The operator is the current token. */
static struct mrd_expr *parse_aggregate(struct pql_parser *parser, const struct pql_token *op)
{
    struct mrd_aggregate aggregate = {.op = aggregation_of(op->type)};
    struct pql_items args = {0};
    bool seen = false;
    parser->aggregations++; /* errors up to the ')' belong to the aggregation */
    if (!parse_aggregate_modifier(parser, &aggregate, &seen) || !parse_args(parser, &args)) {
        return NULL;
    }
    parser->aggregations--;
    if (!parse_aggregate_modifier(parser, &aggregate, &seen)) {
        return NULL;
    }
    struct mrd_expr *expr = pql_new_expr(parser, MRD_EXPR_AGGREGATE, MRD_VALUE_VECTOR, op->start);
    if (expr == NULL) {
        return NULL;
    }
    expr->aggregate = aggregate;
    return finish_aggregate(parser, expr, &args) ? expr : NULL;
}

/* ---- primaries ---- */

/* Tokens that may follow a metric name, so that "sum" may be one. */
static bool may_follow_name(enum pql_token_type type)
{
    switch ((int)type) {
    case PQL_T_EOF:
    case PQL_T_LEFT_BRACE:
    case PQL_T_LEFT_BRACKET:
    case PQL_T_RIGHT_PAREN:
    case PQL_T_COMMA:
    case PQL_T_OFFSET:
    case PQL_T_ANCHORED:
    case PQL_T_SMOOTHED:
        return true;
    case PQL_T_RE:
    case PQL_T_NRE:
        return false;
    default:
        return pql_token_is_operator(type);
    }
}

/* A name that was read ahead of is put back: the lexer's state is all that moved. */
static struct mrd_expr *parse_word(struct pql_parser *parser)
{
    const struct pql_parser before = *parser;
    const struct pql_token word = parser->token;
    if (!pql_advance(parser)) {
        return NULL;
    }
    const enum pql_token_type next = parser->token.type;
    if (pql_token_is_aggregation(word.type) && !may_follow_name(next)) {
        if (next == PQL_T_LEFT_PAREN || next == PQL_T_BY || next == PQL_T_WITHOUT) {
            return parse_aggregate(parser, &word);
        }
        (void)pql_unexpected_here(parser);
        return NULL;
    }
    *parser = before;
    const bool function =
        word.type == PQL_T_IDENTIFIER || (word.type >= PQL_T_START && word.type <= PQL_T_MIN_OF);
    if (next == PQL_T_LEFT_PAREN && function) {
        return parse_call(parser);
    }
    return pql_parse_selector(parser);
}

static struct mrd_expr *parse_primary(struct pql_parser *parser)
{
    const enum pql_token_type type = parser->token.type;
    switch ((int)type) {
    case PQL_T_NUMBER:
    case PQL_T_DURATION:
        return parse_number(parser);
    case PQL_T_STRING:
        return parse_string(parser);
    case PQL_T_LEFT_PAREN:
        return parse_paren(parser);
    case PQL_T_LEFT_BRACE:
        return pql_parse_selector(parser);
    default:
        if (pql_is_metric_name(type)) {
            return parse_word(parser);
        }
        (void)pql_unexpected_here(parser);
        return NULL;
    }
}

static bool set_edge(struct pql_parser *parser, struct mrd_expr *left, enum mrd_edge edge)
{
    const char *name = edge == MRD_EDGE_ANCHORED ? "anchored" : "smoothed";
    const uint32_t start = left->position.start;
    struct mrd_expr *selector = left->kind == MRD_EXPR_MATRIX ? left->matrix.selector : left;
    if (!parser->features->extended_range_selectors) {
        return pql_fail_at(parser, start, "%s modifier is experimental and not enabled", name);
    }
    if (left->kind == MRD_EXPR_SUBQUERY) {
        return pql_fail_at(parser, start, "%s modifier is not supported for subqueries", name);
    }
    if (selector->kind != MRD_EXPR_SELECTOR) { /* Prometheus' words for what is no selector */
        return pql_fail_at(parser, start, "%s modifier not implemented", name);
    }
    if (selector->selector.edge != MRD_EDGE_NONE && selector->selector.edge != edge) {
        return pql_fail_at(parser, start,
                           "anchored and smoothed modifiers cannot be used together");
    }
    selector->selector.edge = edge;
    return true;
}

/* What binds tightest: brackets, offset, @, anchored, smoothed. */
static struct mrd_expr *parse_postfix(struct pql_parser *parser, struct mrd_expr *expr)
{
    while (expr != NULL && parser->status == MRD_OK) {
        bool done;
        if (pql_at(parser, PQL_T_LEFT_BRACKET)) {
            struct mrd_expr *outer = pql_parse_brackets(parser, expr);
            done = outer != NULL && adopt(parser, outer, expr);
            expr = outer;
        } else if (pql_at(parser, PQL_T_OFFSET)) {
            done = pql_parse_offset(parser, expr);
        } else if (pql_at(parser, PQL_T_AT)) {
            done = pql_parse_at(parser, expr);
        } else if (pql_at(parser, PQL_T_ANCHORED) || pql_at(parser, PQL_T_SMOOTHED)) {
            const bool anchored = pql_at(parser, PQL_T_ANCHORED);
            done = pql_advance(parser) &&
                   set_edge(parser, expr, anchored ? MRD_EDGE_ANCHORED : MRD_EDGE_SMOOTHED);
        } else {
            return expr;
        }
        if (!done) {
            return NULL;
        }
        expr->position.end = parser->last_end;
    }
    return parser->status == MRD_OK ? expr : NULL;
}

/* ---- operators ---- */

enum { LEVEL_OR = 1, LEVEL_AND, LEVEL_COMPARE, LEVEL_ADD, LEVEL_MUL, LEVEL_POW };

static const struct binary_rule {
    enum pql_token_type token;
    enum mrd_binary_op op;
    int level;
} binary_rules[] = {
    {PQL_T_ADD,        MRD_OP_ADD,        LEVEL_ADD    },
    {PQL_T_SUB,        MRD_OP_SUB,        LEVEL_ADD    },
    {PQL_T_MUL,        MRD_OP_MUL,        LEVEL_MUL    },
    {PQL_T_DIV,        MRD_OP_DIV,        LEVEL_MUL    },
    {PQL_T_MOD,        MRD_OP_MOD,        LEVEL_MUL    },
    {PQL_T_ATAN2,      MRD_OP_ATAN2,      LEVEL_MUL    },
    {PQL_T_POW,        MRD_OP_POW,        LEVEL_POW    },
    {PQL_T_EQ,         MRD_OP_EQ,         LEVEL_COMPARE},
    {PQL_T_NE,         MRD_OP_NE,         LEVEL_COMPARE},
    {PQL_T_GT,         MRD_OP_GT,         LEVEL_COMPARE},
    {PQL_T_LT,         MRD_OP_LT,         LEVEL_COMPARE},
    {PQL_T_GE,         MRD_OP_GE,         LEVEL_COMPARE},
    {PQL_T_LE,         MRD_OP_LE,         LEVEL_COMPARE},
    {PQL_T_TRIM_UPPER, MRD_OP_TRIM_UPPER, LEVEL_COMPARE},
    {PQL_T_TRIM_LOWER, MRD_OP_TRIM_LOWER, LEVEL_COMPARE},
    {PQL_T_AND,        MRD_OP_AND,        LEVEL_AND    },
    {PQL_T_UNLESS,     MRD_OP_UNLESS,     LEVEL_AND    },
    {PQL_T_OR,         MRD_OP_OR,         LEVEL_OR     },
};

static const struct binary_rule *binary_rule(enum pql_token_type type)
{
    for (size_t i = 0; i < MRD_ARRAY_LEN(binary_rules); i++) {
        if (binary_rules[i].token == type) {
            return &binary_rules[i];
        }
    }
    return NULL;
}

const char *mrd_binary_op_text(enum mrd_binary_op op)
{
    static const char *const texts[MRD_OP_COUNT] = {
        [MRD_OP_ADD] = "+",       [MRD_OP_SUB] = "-",         [MRD_OP_MUL] = "*",
        [MRD_OP_DIV] = "/",       [MRD_OP_MOD] = "%",         [MRD_OP_POW] = "^",
        [MRD_OP_ATAN2] = "atan2", [MRD_OP_EQ] = "==",         [MRD_OP_NE] = "!=",
        [MRD_OP_GT] = ">",        [MRD_OP_LT] = "<",          [MRD_OP_GE] = ">=",
        [MRD_OP_LE] = "<=",       [MRD_OP_TRIM_UPPER] = "</", [MRD_OP_TRIM_LOWER] = ">/",
        [MRD_OP_AND] = "and",     [MRD_OP_OR] = "or",         [MRD_OP_UNLESS] = "unless",
    };
    return texts[op];
}

/* (number), maybe with a sign, behind fill, fill_left or fill_right. */
static bool parse_fill_value(struct pql_parser *parser, double *out)
{
    bool is_duration;
    if (!pql_advance(parser) || !pql_accept(parser, PQL_T_LEFT_PAREN)) {
        return pql_unexpected_here(parser);
    }
    const bool minus = pql_at(parser, PQL_T_SUB);
    if (minus || pql_at(parser, PQL_T_ADD)) {
        (void)pql_advance(parser);
    }
    if (!pql_at(parser, PQL_T_NUMBER) && !pql_at(parser, PQL_T_DURATION)) {
        return pql_unexpected_here(parser);
    }
    if (!pql_parse_number(parser, out, &is_duration)) {
        return false;
    }
    *out = minus ? -*out : *out;
    return pql_accept(parser, PQL_T_RIGHT_PAREN) || pql_unexpected_here(parser);
}

/* fill(x), or fill_left(x) and fill_right(x) in any order, each at most once. */
static bool parse_fill(struct pql_parser *parser, struct mrd_matching *out)
{
    if (pql_at(parser, PQL_T_FILL)) {
        out->fill_left_set = out->fill_right_set = true;
        if (!parse_fill_value(parser, &out->fill_left)) {
            return false;
        }
        out->fill_right = out->fill_left;
        return true;
    }
    for (;;) {
        if (pql_at(parser, PQL_T_FILL_LEFT) && !out->fill_left_set) {
            out->fill_left_set = true;
            if (!parse_fill_value(parser, &out->fill_left)) {
                return false;
            }
        } else if (pql_at(parser, PQL_T_FILL_RIGHT) && !out->fill_right_set) {
            out->fill_right_set = true;
            if (!parse_fill_value(parser, &out->fill_right)) {
                return false;
            }
        } else {
            return parser->status == MRD_OK;
        }
    }
}

/* bool? (on|ignoring (...) (group_left|group_right (...)?)?)? fill... */
static bool parse_binary_modifiers(struct pql_parser *parser, struct mrd_binary *binary,
                                   struct mrd_matching *matching)
{
    binary->return_bool = pql_accept(parser, PQL_T_BOOL);
    if (pql_at(parser, PQL_T_ON) || pql_at(parser, PQL_T_IGNORING)) {
        matching->on = pql_at(parser, PQL_T_ON);
        if (!pql_advance(parser) || !pql_parse_grouping(parser, &matching->labels)) {
            return false;
        }
        if (pql_at(parser, PQL_T_GROUP_LEFT) || pql_at(parser, PQL_T_GROUP_RIGHT)) {
            matching->cardinality =
                pql_at(parser, PQL_T_GROUP_LEFT) ? MRD_MANY_TO_ONE : MRD_ONE_TO_MANY;
            (void)pql_advance(parser);
            const bool labels =
                pql_at(parser, PQL_T_LEFT_PAREN) || !starts_expr(parser->token.type);
            if (labels && !pql_parse_grouping(parser, &matching->include)) {
                return false;
            }
        }
    }
    return parser->status == MRD_OK && parse_fill(parser, matching);
}

static struct mrd_expr *parse_level(struct pql_parser *parser, int level);

/* Behind `left`, at the operator. */
static struct mrd_expr *parse_binary(struct pql_parser *parser, struct mrd_expr *left,
                                     const struct binary_rule *rule)
{
    struct mrd_matching *matching = pql_parser_alloc(parser, sizeof(*matching));
    struct mrd_expr *expr =
        pql_new_expr(parser, MRD_EXPR_BINARY, MRD_VALUE_VECTOR, left->position.start);
    if (matching == NULL || expr == NULL || !pql_advance(parser)) {
        return NULL;
    }
    expr->binary.op = rule->op;
    expr->binary.left = left;
    expr->binary.matching = matching;
    if (!parse_binary_modifiers(parser, &expr->binary, matching)) {
        return NULL;
    }
    struct mrd_expr *right =
        parse_level(parser, rule->level == LEVEL_POW ? LEVEL_POW : rule->level + 1);
    if (right == NULL || !adopt(parser, expr, left) || !adopt(parser, expr, right)) {
        return NULL;
    }
    expr->binary.right = right;
    if (mrd_op_is_set(rule->op) && matching->cardinality == MRD_ONE_TO_ONE) {
        matching->cardinality = MRD_MANY_TO_MANY;
    }
    expr->position.end = right->position.end;
    if ((matching->fill_left_set || matching->fill_right_set) &&
        !parser->features->binop_fill_modifiers) {
        (void)pql_fail_at(parser, left->position.start,
                          "binop fill modifiers are experimental and not enabled");
        return NULL;
    }
    if (left->type == MRD_VALUE_SCALAR && right->type == MRD_VALUE_SCALAR) {
        expr->type = MRD_VALUE_SCALAR;
    }
    return expr;
}

/* A sign binds like '*', so -1^2 is -(1^2), and it melts into a number right behind it. */
static struct mrd_expr *parse_unary(struct pql_parser *parser)
{
    const uint32_t start = parser->token.start;
    const bool minus = pql_at(parser, PQL_T_SUB);
    if (!minus && !pql_at(parser, PQL_T_ADD)) {
        return parse_postfix(parser, parse_primary(parser));
    }
    struct mrd_expr *inner = pql_advance(parser) ? parse_level(parser, LEVEL_POW) : NULL;
    if (inner == NULL) {
        return NULL;
    }
    if (inner->kind == MRD_EXPR_NUMBER) {
        inner->number.value = minus ? inner->number.value * -1 : inner->number.value;
        inner->position.start = start;
        return inner;
    }
    struct mrd_expr *expr = pql_new_expr(parser, MRD_EXPR_UNARY, inner->type, start);
    if (expr == NULL || !adopt(parser, expr, inner)) {
        return NULL;
    }
    expr->unary = (struct mrd_unary){minus, inner};
    return expr;
}

/* Operators of at least `level`. */
static struct mrd_expr *parse_level(struct pql_parser *parser, int level)
{
    if (!pql_enter(parser)) {
        return NULL;
    }
    struct mrd_expr *left = parse_unary(parser);
    while (left != NULL && parser->status == MRD_OK) {
        const struct binary_rule *rule = binary_rule(parser->token.type);
        if (rule == NULL || rule->level < level) {
            break;
        }
        left = parse_binary(parser, left, rule);
    }
    pql_leave(parser);
    return parser->status == MRD_OK ? left : NULL;
}

struct mrd_expr *pql_parse_expr(struct pql_parser *parser) { return parse_level(parser, LEVEL_OR); }

/* ---- entry points ---- */

static struct mrd_expr *parse_query(struct pql_parser *parser)
{
    parser->token = pql_lexer_next(&parser->lexer);
    if (parser->token.type == PQL_T_EOF) {
        (void)pql_fail_at(parser, 0, "no expression found in input");
        return NULL;
    }
    struct mrd_expr *expr = pql_parse_expr(parser);
    if (expr == NULL) {
        return NULL;
    }
    if (!pql_at(parser, PQL_T_EOF)) {
        (void)pql_unexpected_here(parser);
        return NULL;
    }
    return pql_check(parser, expr) ? expr : NULL;
}

static struct mrd_expr *parse_only_selector(struct pql_parser *parser)
{
    parser->token = pql_lexer_next(&parser->lexer);
    if (parser->token.type != PQL_T_LEFT_BRACE && !pql_is_metric_name(parser->token.type)) {
        (void)pql_unexpected(parser, NULL, NULL);
        return NULL;
    }
    struct mrd_expr *expr = pql_parse_selector(parser);
    if (expr != NULL && !pql_at(parser, PQL_T_EOF)) {
        (void)pql_unexpected(parser, NULL, NULL);
    }
    return expr;
}

static enum mrd_status parse_with(struct mrd_expr *(*parse)(struct pql_parser *),
                                  struct mrd_bytes query,
                                  const struct mrd_promql_features *features,
                                  struct mrd_arena *arena, struct mrd_ast *out,
                                  struct mrd_error *err)
{
    struct mrd_ast ast = {.query = query};
    struct pql_parser parser = {
        .features = features, .arena = arena, .ast = &ast, .status = MRD_OK, .err = err};
    if (query.size > MRD_QUERY_SIZE_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "query of %zu bytes: at most %d are taken", query.size,
                        MRD_QUERY_SIZE_MAX);
    }
    pql_lexer_init(&parser.lexer, query);
    ast.root = parse(&parser);
    if (parser.status != MRD_OK) {
        mrd_ast_fini(&ast);
        return parser.status;
    }
    *out = ast;
    return MRD_OK;
}

enum mrd_status mrd_promql_parse(struct mrd_bytes query, const struct mrd_promql_features *features,
                                 struct mrd_arena *arena, struct mrd_ast *out,
                                 struct mrd_error *err)
{
    return parse_with(parse_query, query, features, arena, out, err);
}

enum mrd_status mrd_promql_parse_selector(struct mrd_bytes text, struct mrd_arena *arena,
                                          struct mrd_ast *out, struct mrd_error *err)
{
    static const struct mrd_promql_features none = {0};
    return parse_with(parse_only_selector, text, &none, arena, out, err);
}
