/* lexer.h: a query's text as tokens. The parser's own tool, one token at a time.
 *
 * The same character means different things inside braces, brackets and outside, and the lexer keeps
 * track of where it is, so it must not run further ahead of the parser than one token.
 */
#ifndef MRD_PROMQL_LEXER_H
#define MRD_PROMQL_LEXER_H

#include <stdbool.h>

#include "base/bytes.h"

/* X(id, text): keywords, in any case. The order groups them for pql_token_* below. */
#define PQL_KEYWORDS(X)                                                                            \
    X(ATAN2, "atan2")                                                                              \
    X(AND, "and")                                                                                  \
    X(OR, "or")                                                                                    \
    X(UNLESS, "unless")                                                                            \
    X(SUM, "sum")                                                                                  \
    X(AVG, "avg")                                                                                  \
    X(COUNT, "count")                                                                              \
    X(MIN, "min")                                                                                  \
    X(MAX, "max")                                                                                  \
    X(GROUP, "group")                                                                              \
    X(STDDEV, "stddev")                                                                            \
    X(STDVAR, "stdvar")                                                                            \
    X(TOPK, "topk")                                                                                \
    X(BOTTOMK, "bottomk")                                                                          \
    X(COUNT_VALUES, "count_values")                                                                \
    X(QUANTILE, "quantile")                                                                        \
    X(LIMITK, "limitk")                                                                            \
    X(LIMIT_RATIO, "limit_ratio")                                                                  \
    X(BOOL, "bool")                                                                                \
    X(BY, "by")                                                                                    \
    X(GROUP_LEFT, "group_left")                                                                    \
    X(GROUP_RIGHT, "group_right")                                                                  \
    X(FILL, "fill")                                                                                \
    X(FILL_LEFT, "fill_left")                                                                      \
    X(FILL_RIGHT, "fill_right")                                                                    \
    X(IGNORING, "ignoring")                                                                        \
    X(OFFSET, "offset")                                                                            \
    X(SMOOTHED, "smoothed")                                                                        \
    X(ANCHORED, "anchored")                                                                        \
    X(ON, "on")                                                                                    \
    X(WITHOUT, "without")                                                                          \
    X(START, "start")                                                                              \
    X(END, "end")                                                                                  \
    X(STEP, "step")                                                                                \
    X(RANGE, "range")                                                                              \
    X(MAX_OF, "max_of")                                                                            \
    X(MIN_OF, "min_of")

enum pql_token_type {
    PQL_T_EOF,
    PQL_T_ERROR,      /* the lexer's error text is set */
    PQL_T_IDENTIFIER, /* without ':' */
    PQL_T_METRIC,     /* an identifier with ':' */
    PQL_T_STRING,     /* with its quotes */
    PQL_T_NUMBER,
    PQL_T_DURATION,
    PQL_T_LEFT_PAREN,
    PQL_T_RIGHT_PAREN,
    PQL_T_LEFT_BRACE,
    PQL_T_RIGHT_BRACE,
    PQL_T_LEFT_BRACKET,
    PQL_T_RIGHT_BRACKET,
    PQL_T_COMMA,
    PQL_T_COLON,
    PQL_T_ASSIGN, /* = */
    PQL_T_ADD,
    PQL_T_SUB,
    PQL_T_MUL,
    PQL_T_DIV,
    PQL_T_MOD,
    PQL_T_POW,
    PQL_T_EQ, /* == */
    PQL_T_NE,
    PQL_T_GT,
    PQL_T_LT,
    PQL_T_GE,
    PQL_T_LE,
    PQL_T_TRIM_UPPER, /* </ */
    PQL_T_TRIM_LOWER, /* >/ */
    PQL_T_RE,         /* =~ */
    PQL_T_NRE,
    PQL_T_AT,
#define PQL_KEYWORD_ID(id, text) PQL_T_##id,
    PQL_KEYWORDS(PQL_KEYWORD_ID)
#undef PQL_KEYWORD_ID
        PQL_T_TYPE_COUNT
};

static inline bool pql_token_is_operator(enum pql_token_type type)
{
    return type >= PQL_T_ADD && type <= PQL_T_UNLESS;
}
static inline bool pql_token_is_aggregation(enum pql_token_type type)
{
    return type >= PQL_T_SUM && type <= PQL_T_LIMIT_RATIO;
}
static inline bool pql_token_is_modifier(enum pql_token_type type)
{
    return type >= PQL_T_BOOL && type <= PQL_T_WITHOUT;
}

struct pql_token {
    enum pql_token_type type;
    uint32_t start;
    struct mrd_bytes text; /* into the query */
};

enum { PQL_LEXER_ERROR_MAX = 160 };

struct pql_lexer {
    struct mrd_bytes query;
    uint32_t at;
    uint32_t start; /* of the token being read; where an error is reported */
    int paren_depth;
    bool in_braces;
    bool in_brackets;
    bool in_duration; /* right after '[': only durations and their operators */
    bool got_colon;   /* since '[' */
    bool got_duration;
    char error[PQL_LEXER_ERROR_MAX];
};

void pql_lexer_init(struct pql_lexer *lexer, struct mrd_bytes query);

/* After PQL_T_EOF or PQL_T_ERROR it must not be called again. */
struct pql_token pql_lexer_next(struct pql_lexer *lexer);

/* Appends how an error text names the token: identifier "foo", <op:+>, end of input, ... */
void pql_token_describe(const struct pql_token *token, struct mrd_buf *out);

#endif
