/* parser_internal.h: the recursive-descent parser's state, shared by its files.
 *
 * Functions return NULL or false after a failure, and parser->status and the error tell why; the first
 * error ends the parse. Where Prometheus' grammar has several readings, its generated parser's choice
 * is kept, and the comments say which.
 */
#ifndef MRD_PROMQL_PARSER_INTERNAL_H
#define MRD_PROMQL_PARSER_INTERNAL_H

#include "promql/lexer.h"
#include "promql/parse.h"

struct pql_parser {
    struct pql_lexer lexer;
    struct pql_token token; /* the next one, not yet taken */
    uint32_t last_end;      /* where the last taken token ended */
    const struct mrd_promql_features *features;
    struct mrd_arena *arena;
    struct mrd_ast *ast;
    int aggregations; /* open ones around; syntax errors name them */
    int depth;        /* of the recursion */
    enum mrd_status status;
    struct mrd_error *err;
};

/* ---- tokens ---- */

/* Takes the current token; false after an error. What cannot be read becomes a PQL_T_ERROR token, and an
 * error once something is expected there. */
bool pql_advance(struct pql_parser *parser);
/* If the current token is of that type, takes it. */
bool pql_accept(struct pql_parser *parser, enum pql_token_type type);
static inline bool pql_at(const struct pql_parser *parser, enum pql_token_type type)
{
    return parser->status == MRD_OK && parser->token.type == type;
}

/* ---- errors: all set the status and return false ---- */

bool pql_fail_at(struct pql_parser *parser, size_t offset, const char *format, ...)
    MRD_PRINTF(3, 4);
/* "unexpected <token> in <context>, expected <expected>"; both may be NULL. */
bool pql_unexpected(struct pql_parser *parser, const char *context, const char *expected);
/* ... where an expression or its continuation should stand. */
bool pql_unexpected_here(struct pql_parser *parser);
bool pql_fail_memory(struct pql_parser *parser);

/* Bounds recursion: false if it is too deep. pql_leave undoes a successful pql_enter. */
bool pql_enter(struct pql_parser *parser);
static inline void pql_leave(struct pql_parser *parser) { parser->depth--; }

void *pql_parser_alloc(struct pql_parser *parser, size_t size_bytes);

/* ---- lists of unknown length ---- */

struct pql_items {
    void *items;
    size_t count;
    size_t capacity;
};
/* Room for one more item (zeroed) at the end, or NULL. */
void *pql_items_add(struct pql_parser *parser, struct pql_items *list, size_t item_size_bytes);

/* ---- parts of the grammar ---- */

struct mrd_expr *pql_parse_expr(struct pql_parser *parser);
bool pql_parse_grouping(struct pql_parser *parser, struct mrd_names *out);

/* A selector that starts at the current token: a name (already known to be one) or '{'. */
struct mrd_expr *pql_parse_selector(struct pql_parser *parser);
/* Hands the matchers' regexes to the tree. Matchers move while their list grows, so this is done once the
 * list is complete. */
bool pql_note_regexes(struct pql_parser *parser, struct mrd_matcher *matchers, size_t count);
/* Fills in what a checked info() selects (parser_info.c). */
bool pql_set_info_matchers(struct pql_parser *parser, struct mrd_call *call);
bool pql_is_metric_name(enum pql_token_type type);

/* [range] or [range:step] behind `left`, at '['. */
struct mrd_expr *pql_parse_brackets(struct pql_parser *parser, struct mrd_expr *left);
/* `offset ...` and `@ ...` behind `left`, at the keyword. */
bool pql_parse_offset(struct pql_parser *parser, struct mrd_expr *left);
bool pql_parse_at(struct pql_parser *parser, struct mrd_expr *left);

/* At a number or duration token, which is taken. */
bool pql_parse_number(struct pql_parser *parser, double *out, bool *out_is_duration);
/* At a string token, which is taken. */
bool pql_parse_string(struct pql_parser *parser, struct mrd_bytes *out);

struct mrd_expr *pql_new_expr(struct pql_parser *parser, enum mrd_expr_kind kind,
                              enum mrd_value_type type, uint32_t start);

/* Types and everything else that the grammar does not say. */
bool pql_check(struct pql_parser *parser, struct mrd_expr *expr);

#endif
