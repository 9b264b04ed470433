/* Selectors: name{matchers}; and lists of label names. */
#include <stdlib.h>

#include "base/quote.h"
#include "promql/parser_internal.h"

/* ---- regexes on the heap ---- */

struct mrd_ast_regexes {
    struct mrd_matcher *matcher;
    struct mrd_ast_regexes *next;
};

void mrd_ast_fini(struct mrd_ast *ast)
{
    for (struct mrd_ast_regexes *at = ast->regexes; at != NULL; at = at->next) {
        mrd_regex_destroy(&at->matcher->regex);
    }
    ast->regexes = NULL;
}

bool pql_note_regexes(struct pql_parser *parser, struct mrd_matcher *matchers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (matchers[i].regex == NULL) {
            continue;
        }
        struct mrd_ast_regexes *noted = pql_parser_alloc(parser, sizeof(*noted));
        if (noted == NULL) {
            for (; i < count; i++) {
                mrd_regex_destroy(&matchers[i].regex);
            }
            return false;
        }
        *noted = (struct mrd_ast_regexes){&matchers[i], parser->ast->regexes};
        parser->ast->regexes = noted;
    }
    return true;
}

/* ---- matchers ---- */

static bool match_type(enum pql_token_type token, enum mrd_match_type *out)
{
    switch ((int)token) {
    case PQL_T_ASSIGN:
        *out = MRD_MATCH_EQ;
        return true;
    case PQL_T_NE:
        *out = MRD_MATCH_NE;
        return true;
    case PQL_T_RE:
        *out = MRD_MATCH_RE;
        return true;
    case PQL_T_NRE:
        *out = MRD_MATCH_NRE;
        return true;
    default:
        return false;
    }
}

static bool add_matcher(struct pql_parser *parser, struct pql_items *list, uint32_t start,
                        enum mrd_match_type type, struct mrd_bytes name, struct mrd_bytes value)
{
    struct mrd_matcher *matcher = pql_items_add(parser, list, sizeof(*matcher));
    if (matcher == NULL) {
        return false;
    }
    struct mrd_error reason;
    const enum mrd_status status = mrd_matcher_init(matcher, type, name, value, &reason);
    if (status == MRD_OK) {
        return true;
    }
    *matcher = (struct mrd_matcher){0};
    return pql_fail_at(parser, start, "%s", reason.text);
}

/* name op "value", or "metric name" alone. */
static bool parse_matcher(struct pql_parser *parser, struct pql_items *list)
{
    static const char context[] = "label matching";
    const uint32_t start = parser->token.start;
    const bool quoted = pql_at(parser, PQL_T_STRING);
    struct mrd_bytes name = parser->token.text;
    struct mrd_bytes value;
    enum mrd_match_type type;
    if (quoted) {
        if (!pql_parse_string(parser, &name)) {
            return false;
        }
    } else if (!pql_accept(parser, PQL_T_IDENTIFIER)) {
        return pql_unexpected(parser, context, "identifier or \"}\"");
    }
    if (!match_type(parser->token.type, &type)) {
        return quoted ? add_matcher(parser, list, start, MRD_MATCH_EQ, MRD_BYTES(MRD_METRIC_NAME),
                                    name)
                      : pql_unexpected(parser, context, "label matching operator");
    }
    if (!pql_advance(parser)) {
        return false;
    }
    if (!pql_at(parser, PQL_T_STRING)) {
        return pql_unexpected(parser, context, "string");
    }
    return pql_parse_string(parser, &value) && add_matcher(parser, list, start, type, name, value);
}

/* At '{'. */
static bool parse_matchers(struct pql_parser *parser, struct pql_items *list)
{
    if (!pql_advance(parser)) {
        return false;
    }
    if (pql_accept(parser, PQL_T_RIGHT_BRACE)) {
        return true;
    }
    for (;;) {
        if (!parse_matcher(parser, list)) {
            return false;
        }
        if (pql_accept(parser, PQL_T_RIGHT_BRACE)) {
            return true;
        }
        if (!pql_accept(parser, PQL_T_COMMA)) {
            return pql_unexpected(parser, "label matching", "\",\" or \"}\"");
        }
        if (pql_accept(parser, PQL_T_RIGHT_BRACE)) {
            return true;
        }
    }
}

/* ---- selectors ---- */

bool pql_is_metric_name(enum pql_token_type type)
{
    switch ((int)type) {
    case PQL_T_ATAN2:
    case PQL_T_BOOL:
    case PQL_T_ON:
    case PQL_T_IGNORING:
    case PQL_T_GROUP_LEFT:
    case PQL_T_GROUP_RIGHT:
        return false;
    default:
        return type == PQL_T_IDENTIFIER || type == PQL_T_METRIC || type >= PQL_T_ATAN2;
    }
}

static bool parse_selector_matchers(struct pql_parser *parser, struct mrd_bytes name,
                                    struct pql_items *list)
{
    if (pql_at(parser, PQL_T_LEFT_BRACE) && !parse_matchers(parser, list)) {
        return false;
    }
    return parser->status == MRD_OK &&
           (name.size == 0 ||
            add_matcher(parser, list, 0, MRD_MATCH_EQ, MRD_BYTES(MRD_METRIC_NAME), name));
}

struct mrd_expr *pql_parse_selector(struct pql_parser *parser)
{
    const uint32_t start = parser->token.start;
    struct mrd_bytes name = MRD_BYTES_NONE;
    struct pql_items list = {0};
    if (!pql_at(parser, PQL_T_LEFT_BRACE)) {
        name = parser->token.text;
        if (!pql_advance(parser)) {
            return NULL;
        }
    }
    const bool parsed = parse_selector_matchers(parser, name, &list);
    if (!pql_note_regexes(parser, list.items, list.count) || !parsed) {
        return NULL;
    }
    struct mrd_expr *expr = pql_new_expr(parser, MRD_EXPR_SELECTOR, MRD_VALUE_VECTOR, start);
    if (expr != NULL) {
        expr->selector.name = name;
        expr->selector.matchers = list.items;
        expr->selector.matcher_count = list.count;
    }
    return expr;
}

bool mrd_matchers_select(const struct mrd_matcher *matchers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!mrd_matcher_matches(&matchers[i], MRD_BYTES(""))) {
            return true;
        }
    }
    return false;
}

/* ---- (label, label, ...) ---- */

/* Keywords may be label names too, but for `without`, which Prometheus forgot. */
static bool parse_grouping_label(struct pql_parser *parser, struct mrd_bytes *out)
{
    const enum pql_token_type type = parser->token.type;
    const uint32_t start = parser->token.start;
    if (type == PQL_T_STRING) {
        if (!pql_parse_string(parser, out)) {
            return false;
        }
        return (out->size > 0 && mrd_bytes_utf8_valid(*out)) ||
               pql_fail_at(parser, start, "invalid label name for grouping: \"%.*s\"",
                           (int)MRD_MIN(out->size, (size_t)64), (const char *)out->data);
    }
    const bool word = type == PQL_T_IDENTIFIER || type == PQL_T_METRIC ||
                      (type >= PQL_T_ATAN2 && type != PQL_T_WITHOUT);
    if (!word || parser->status != MRD_OK) {
        return pql_unexpected(parser, "grouping opts", "label");
    }
    *out = parser->token.text;
    return pql_advance(parser);
}

bool pql_parse_grouping(struct pql_parser *parser, struct mrd_names *out)
{
    struct pql_items list = {0};
    if (!pql_accept(parser, PQL_T_LEFT_PAREN)) {
        return pql_unexpected(parser, "grouping opts", "\"(\"");
    }
    while (!pql_accept(parser, PQL_T_RIGHT_PAREN)) {
        struct mrd_bytes label;
        if (!parse_grouping_label(parser, &label)) {
            return false;
        }
        struct mrd_bytes *item = pql_items_add(parser, &list, sizeof(*item));
        if (item == NULL) {
            return false;
        }
        *item = label;
        if (!pql_at(parser, PQL_T_RIGHT_PAREN) && !pql_accept(parser, PQL_T_COMMA)) {
            return pql_unexpected(parser, "grouping opts", "\",\" or \")\"");
        }
    }
    *out = (struct mrd_names){list.items, list.count};
    return parser->status == MRD_OK;
}
