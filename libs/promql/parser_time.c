/* What says when: [range:step], offset, @, and the arithmetic inside them. */
#include <math.h>

#include "promql/parser_internal.h"

static const char bracket_context[] = "subquery or range selector";
static const char bracket_expected[] = "number, duration, step(), or range()";

/* Where an error inside a duration expression happened, for its text. */
struct place {
    const char *context;
    const char *expected;
};

/* ---- nodes ---- */

static struct mrd_duration_expr *new_duration(struct pql_parser *parser,
                                              enum mrd_duration_kind kind, uint32_t start)
{
    struct mrd_duration_expr *expr = pql_parser_alloc(parser, sizeof(*expr));
    if (expr != NULL) {
        expr->kind = kind;
        expr->depth = 1;
        expr->position = (struct mrd_position){start, parser->last_end};
    }
    return expr;
}

static struct mrd_duration_expr *join(struct pql_parser *parser, enum mrd_duration_kind kind,
                                      uint32_t start, struct mrd_duration_expr *left,
                                      struct mrd_duration_expr *right)
{
    struct mrd_duration_expr *expr = new_duration(parser, kind, start);
    if (expr == NULL) {
        return NULL;
    }
    expr->left = left;
    expr->right = right;
    /* As Prometheus has it: without the parentheses, and of min_of and max_of the arguments only. */
    expr->position = right == NULL
                         ? (struct mrd_position){start, left->position.end}
                         : (struct mrd_position){left->position.start, right->position.end};
    expr->depth = 1 + MRD_MAX(left->depth, right == NULL ? 0 : right->depth);
    if (expr->depth > MRD_QUERY_DEPTH_MAX) {
        (void)pql_fail_at(parser, start, "duration is nested deeper than %d levels",
                          MRD_QUERY_DEPTH_MAX);
        return NULL;
    }
    return expr;
}

static bool allowed(struct pql_parser *parser, const struct mrd_duration_expr *expr)
{
    return !parser->features->no_duration_expressions ||
           pql_fail_at(parser, expr->position.start,
                       "experimental duration expression is not enabled");
}

static bool in_range(double seconds)
{
    return seconds <= 0x1p63 / 1e9 && seconds >= -0x1p63 / 1e9; /* false for NaN */
}

/* ---- grammar ---- */

static struct mrd_duration_expr *parse_duration(struct pql_parser *parser, int level,
                                                const struct place *place);

static bool expect(struct pql_parser *parser, enum pql_token_type type, const struct place *place)
{
    return pql_accept(parser, type) || pql_unexpected(parser, place->context, place->expected);
}

static struct mrd_duration_expr *parse_literal(struct pql_parser *parser)
{
    const uint32_t start = parser->token.start;
    double seconds;
    bool is_duration;
    if (!pql_parse_number(parser, &seconds, &is_duration)) {
        return NULL;
    }
    if (!in_range(seconds)) {
        (void)pql_fail_at(parser, start, "duration out of range");
        return NULL;
    }
    struct mrd_duration_expr *expr = new_duration(parser, MRD_DURATION_NUMBER, start);
    if (expr != NULL) {
        expr->number = seconds;
        expr->is_duration = is_duration;
    }
    return expr;
}

/* step(), range(), min_of(a, b), max_of(a, b). */
static struct mrd_duration_expr *parse_word(struct pql_parser *parser, const struct place *place)
{
    const enum pql_token_type type = parser->token.type;
    const uint32_t start = parser->token.start;
    struct mrd_duration_expr *left = NULL;
    struct mrd_duration_expr *right = NULL;
    struct mrd_duration_expr *expr;
    if (!pql_advance(parser) || !expect(parser, PQL_T_LEFT_PAREN, place)) {
        return NULL;
    }
    if (type == PQL_T_STEP || type == PQL_T_RANGE) {
        if (!expect(parser, PQL_T_RIGHT_PAREN, place)) {
            return NULL;
        }
        expr = new_duration(parser, type == PQL_T_STEP ? MRD_DURATION_STEP : MRD_DURATION_RANGE,
                            start);
    } else {
        left = parse_duration(parser, 1, place);
        if (left == NULL || !expect(parser, PQL_T_COMMA, place)) {
            return NULL;
        }
        right = parse_duration(parser, 1, place);
        if (right == NULL || !expect(parser, PQL_T_RIGHT_PAREN, place)) {
            return NULL;
        }
        expr = join(parser, type == PQL_T_MIN_OF ? MRD_DURATION_MIN_OF : MRD_DURATION_MAX_OF, start,
                    left, right);
    }
    return expr != NULL && allowed(parser, expr) ? expr : NULL;
}

/* A number in parentheses becomes a unary plus, so that the parentheses are printed again. */
static struct mrd_duration_expr *parse_paren(struct pql_parser *parser, const struct place *place)
{
    const uint32_t start = parser->token.start;
    struct mrd_duration_expr *inner = pql_advance(parser) ? parse_duration(parser, 1, place) : NULL;
    if (inner == NULL || !expect(parser, PQL_T_RIGHT_PAREN, place) || !allowed(parser, inner)) {
        return NULL;
    }
    if (inner->kind == MRD_DURATION_NUMBER) {
        inner = join(parser, MRD_DURATION_PLUS, start, inner, NULL);
    }
    if (inner != NULL) {
        inner->wrapped = true;
    }
    return inner;
}

static struct mrd_duration_expr *apply_sign(struct pql_parser *parser, uint32_t start, bool minus,
                                            struct mrd_duration_expr *inner)
{
    if (inner == NULL) {
        return NULL;
    }
    if (inner->kind == MRD_DURATION_NUMBER) {
        inner->number = minus ? -inner->number : inner->number;
        inner->position.start = start;
        return inner;
    }
    return minus ? join(parser, MRD_DURATION_NEGATE, start, inner, NULL) : inner;
}

static bool is_sign(const struct pql_parser *parser)
{
    return pql_at(parser, PQL_T_ADD) || pql_at(parser, PQL_T_SUB);
}
static bool is_literal(const struct pql_parser *parser)
{
    return pql_at(parser, PQL_T_NUMBER) || pql_at(parser, PQL_T_DURATION);
}
static bool is_word(const struct pql_parser *parser)
{
    return pql_at(parser, PQL_T_STEP) || pql_at(parser, PQL_T_RANGE) ||
           pql_at(parser, PQL_T_MIN_OF) || pql_at(parser, PQL_T_MAX_OF);
}

enum { LEVEL_ADD = 1, LEVEL_MUL, LEVEL_POW };

static struct mrd_duration_expr *parse_operand(struct pql_parser *parser, const struct place *place)
{
    if (is_sign(parser)) {
        const uint32_t start = parser->token.start;
        const bool minus = pql_at(parser, PQL_T_SUB);
        (void)pql_advance(parser);
        return apply_sign(parser, start, minus, parse_duration(parser, LEVEL_POW, place));
    }
    if (is_literal(parser)) {
        return parse_literal(parser);
    }
    if (is_word(parser)) {
        return parse_word(parser, place);
    }
    if (pql_at(parser, PQL_T_LEFT_PAREN)) {
        return parse_paren(parser, place);
    }
    (void)pql_unexpected(parser, place->context, place->expected);
    return NULL;
}

static bool duration_operator(enum pql_token_type type, enum mrd_duration_kind *out, int *out_level)
{
    switch ((int)type) {
    case PQL_T_ADD:
        *out = MRD_DURATION_ADD;
        *out_level = LEVEL_ADD;
        return true;
    case PQL_T_SUB:
        *out = MRD_DURATION_SUB;
        *out_level = LEVEL_ADD;
        return true;
    case PQL_T_MUL:
        *out = MRD_DURATION_MUL;
        *out_level = LEVEL_MUL;
        return true;
    case PQL_T_DIV:
        *out = MRD_DURATION_DIV;
        *out_level = LEVEL_MUL;
        return true;
    case PQL_T_MOD:
        *out = MRD_DURATION_MOD;
        *out_level = LEVEL_MUL;
        return true;
    case PQL_T_POW:
        *out = MRD_DURATION_POW;
        *out_level = LEVEL_POW;
        return true;
    default:
        return false;
    }
}

static bool check_divisor(struct pql_parser *parser, enum mrd_duration_kind kind,
                          const struct mrd_duration_expr *divisor, uint32_t at)
{
    if (divisor->kind != MRD_DURATION_NUMBER || divisor->number != 0) {
        return true;
    }
    if (kind == MRD_DURATION_DIV) {
        return pql_fail_at(parser, at, "division by zero");
    }
    return kind != MRD_DURATION_MOD || pql_fail_at(parser, at, "modulo by zero");
}

/* left <operator> right <operator> ..., operators of at least `level`. */
static struct mrd_duration_expr *parse_operators(struct pql_parser *parser,
                                                 struct mrd_duration_expr *left, int level,
                                                 const struct place *place)
{
    enum mrd_duration_kind kind;
    int found;
    while (left != NULL && parser->status == MRD_OK &&
           duration_operator(parser->token.type, &kind, &found) && found >= level) {
        const uint32_t at = parser->token.start;
        (void)pql_advance(parser);
        struct mrd_duration_expr *right =
            parse_duration(parser, found == LEVEL_POW ? LEVEL_POW : found + 1, place);
        if (right == NULL || !allowed(parser, left) || !check_divisor(parser, kind, right, at)) {
            return NULL;
        }
        left = join(parser, kind, left->position.start, left, right);
    }
    return parser->status == MRD_OK ? left : NULL;
}

static struct mrd_duration_expr *parse_duration(struct pql_parser *parser, int level,
                                                const struct place *place)
{
    if (parser->status != MRD_OK || !pql_enter(parser)) {
        return NULL;
    }
    struct mrd_duration_expr *expr =
        parse_operators(parser, parse_operand(parser, place), level, place);
    pql_leave(parser);
    return expr;
}

/* Behind `offset` operators end the duration unless it is in parentheses: "x offset -2 ^ 2" is
 * (x offset -2) ^ 2. As Prometheus' grammar happens to have it, an unsigned "(1m) + 2m" goes on. */
static struct mrd_duration_expr *parse_offset_duration(struct pql_parser *parser,
                                                       const struct place *place)
{
    if (pql_at(parser, PQL_T_LEFT_PAREN)) {
        return parse_duration(parser, LEVEL_ADD, place);
    }
    if (!is_sign(parser)) {
        return parse_operand(parser, place);
    }
    const uint32_t start = parser->token.start;
    const bool minus = pql_at(parser, PQL_T_SUB);
    (void)pql_advance(parser);
    if (is_sign(parser)) {
        struct mrd_duration_expr *inner = parse_duration(parser, LEVEL_POW, place);
        return parse_operators(parser, apply_sign(parser, start, minus, inner), LEVEL_ADD, place);
    }
    const bool paren = pql_at(parser, PQL_T_LEFT_PAREN);
    struct mrd_duration_expr *inner = parse_operand(parser, place);
    if (paren && !minus && inner != NULL) { /* "+(1m)" ends there, "(1m)" would not */
        return join(parser, MRD_DURATION_PLUS, start, inner, NULL);
    }
    return apply_sign(parser, start, minus, inner);
}

/* ---- results ---- */

/* Seconds to ms through whole nanoseconds, as Prometheus' time.Duration does. */
static mrd_time_ms literal_ms(double seconds)
{
    const double ns = round(seconds * 1e9);
    if (ns >= 0x1p63) {
        return INT64_MAX / 1000000;
    }
    return ns < -0x1p63 ? INT64_MIN / 1000000 : (int64_t)ns / 1000000;
}

static struct mrd_duration duration_of(const struct mrd_duration_expr *expr)
{
    if (expr->kind == MRD_DURATION_NUMBER) {
        return (struct mrd_duration){.ms = literal_ms(expr->number)};
    }
    return (struct mrd_duration){.expr = expr};
}

/* A range or step: literals must be positive here, what is computed is checked later. */
static bool parse_positive(struct pql_parser *parser, const struct place *place,
                           struct mrd_duration *out)
{
    const struct mrd_duration_expr *expr = parse_duration(parser, LEVEL_ADD, place);
    if (expr == NULL) {
        return false;
    }
    if (expr->kind == MRD_DURATION_NUMBER && !(expr->number > 0)) {
        return pql_fail_at(parser, expr->position.start, "duration must be greater than 0");
    }
    *out = duration_of(expr);
    return true;
}

/* ---- brackets ---- */

static struct mrd_expr *new_matrix(struct pql_parser *parser, struct mrd_expr *left,
                                   struct mrd_duration range, uint32_t bracket)
{
    const char *wrong = NULL;
    const struct mrd_timing *timing = &left->selector.timing;
    if (left->kind != MRD_EXPR_SELECTOR) {
        wrong = "ranges only allowed for vector selectors";
    } else if (timing->offset.ms != 0 || timing->offset.expr != NULL) {
        wrong = "no offset modifiers allowed before range";
    } else if (timing->at != MRD_AT_NONE) {
        wrong = "no @ modifiers allowed before range";
    }
    if (wrong != NULL) {
        (void)pql_fail_at(parser, bracket, "%s", wrong);
        return NULL;
    }
    struct mrd_expr *expr =
        pql_new_expr(parser, MRD_EXPR_MATRIX, MRD_VALUE_MATRIX, left->position.start);
    if (expr != NULL) {
        expr->matrix = (struct mrd_matrix){left, range};
    }
    return expr;
}

static struct mrd_expr *parse_subquery(struct pql_parser *parser, struct mrd_expr *left,
                                       struct mrd_duration range)
{
    static const struct place place = {"subquery selector",
                                       "number, duration, step(), range(), or \"]\""};
    struct mrd_duration step = {0};
    if (!pql_accept(parser, PQL_T_RIGHT_BRACKET)) {
        if (!parse_positive(parser, &place, &step)) {
            return NULL;
        }
        if (!pql_accept(parser, PQL_T_RIGHT_BRACKET)) {
            (void)pql_unexpected(parser, place.context, "\"]\"");
            return NULL;
        }
    }
    struct mrd_expr *expr =
        pql_new_expr(parser, MRD_EXPR_SUBQUERY, MRD_VALUE_MATRIX, left->position.start);
    if (expr != NULL) {
        expr->subquery = (struct mrd_subquery){.expr = left, .range = range, .step = step};
    }
    return expr;
}

struct mrd_expr *pql_parse_brackets(struct pql_parser *parser, struct mrd_expr *left)
{
    static const struct place place = {bracket_context, bracket_expected};
    const uint32_t bracket = parser->token.start;
    struct mrd_duration range;
    if (!pql_advance(parser) || !parse_positive(parser, &place, &range)) {
        return NULL;
    }
    if (pql_accept(parser, PQL_T_COLON)) {
        return parse_subquery(parser, left, range);
    }
    if (!pql_accept(parser, PQL_T_RIGHT_BRACKET)) {
        (void)pql_unexpected(parser, "subquery or range", "\":\" or \"]\"");
        return NULL;
    }
    return new_matrix(parser, left, range, bracket);
}

/* ---- offset and @ ---- */

static struct mrd_timing *timing_of(struct mrd_expr *expr)
{
    switch ((int)expr->kind) {
    case MRD_EXPR_SELECTOR:
        return &expr->selector.timing;
    case MRD_EXPR_MATRIX:
        return &expr->matrix.selector->selector.timing;
    case MRD_EXPR_SUBQUERY:
        return &expr->subquery.timing;
    default:
        return NULL;
    }
}

static bool fail_target(struct pql_parser *parser, const struct mrd_expr *left, const char *what)
{
    return pql_fail_at(parser, left->position.start,
                       "%s modifier must be preceded by an instant vector selector or range "
                       "vector selector or a subquery",
                       what);
}

bool pql_parse_offset(struct pql_parser *parser, struct mrd_expr *left)
{
    static const struct place place = {"offset", bracket_expected};
    const struct mrd_duration_expr *expr =
        pql_advance(parser) ? parse_offset_duration(parser, &place) : NULL;
    if (expr == NULL) {
        return false;
    }
    struct mrd_timing *timing = timing_of(left);
    if (timing == NULL) {
        return fail_target(parser, left, "offset");
    }
    if (timing->offset.ms != 0 || timing->offset.expr != NULL) {
        return pql_fail_at(parser, left->position.start, "offset may not be set multiple times");
    }
    timing->offset = duration_of(expr);
    return true;
}

/* The time of `@`, in seconds, or start() or end(). */
static bool parse_at_time(struct pql_parser *parser, enum mrd_at_kind *out_kind,
                          double *out_seconds)
{
    static const struct place place = {"@", "timestamp"};
    if (pql_at(parser, PQL_T_START) || pql_at(parser, PQL_T_END)) {
        *out_kind = pql_at(parser, PQL_T_START) ? MRD_AT_START : MRD_AT_END;
        return pql_advance(parser) && expect(parser, PQL_T_LEFT_PAREN, &place) &&
               expect(parser, PQL_T_RIGHT_PAREN, &place);
    }
    const bool minus = pql_at(parser, PQL_T_SUB);
    bool is_duration;
    if (is_sign(parser)) {
        (void)pql_advance(parser);
    }
    if (!is_literal(parser)) {
        return pql_unexpected(parser, place.context, place.expected);
    }
    *out_kind = MRD_AT_TIME;
    if (!pql_parse_number(parser, out_seconds, &is_duration)) {
        return false;
    }
    *out_seconds = minus ? -*out_seconds : *out_seconds;
    return true;
}

bool pql_parse_at(struct pql_parser *parser, struct mrd_expr *left)
{
    enum mrd_at_kind kind = MRD_AT_NONE;
    double seconds = 0;
    if (!pql_advance(parser) || !parse_at_time(parser, &kind, &seconds)) {
        return false;
    }
    const double ms = round(seconds * 1000);
    if (!isfinite(seconds)) {
        return pql_fail_at(parser, left->position.start,
                           "timestamp out of bounds for @ modifier: %s",
                           isnan(seconds) ? "NaN"
                           : seconds > 0  ? "+Inf"
                                          : "-Inf");
    }
    if (!(ms < 0x1p63 && ms > -0x1p63)) {
        return pql_fail_at(parser, left->position.start,
                           "timestamp out of bounds for @ modifier: %f", seconds);
    }
    struct mrd_timing *timing = timing_of(left);
    if (timing == NULL) {
        return fail_target(parser, left, "@");
    }
    if (timing->at != MRD_AT_NONE) {
        return pql_fail_at(parser, left->position.start,
                           "@ <timestamp> may not be set multiple times");
    }
    timing->at = timing->at_written = kind;
    timing->at_ms = (mrd_time_ms)ms;
    return true;
}
