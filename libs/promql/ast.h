/* ast.h: the syntax tree of a PromQL query, full grammar of Prometheus 3.14.
 *
 * One struct per node, told apart by `kind`; every node knows its bytes in the query (for "line:col" in
 * errors and annotations) and the type of its value. parse.h makes and checks trees, preprocess.h
 * turns what depends on the query's start, end and step into plain milliseconds, print.h writes them.
 *
 * Owner:   nodes, names and texts live in the arena given to mrd_promql_parse. Compiled regexes are on
 *          the heap: mrd_ast_fini frees them.
 * Threads: a tree is plain data; after preprocessing nothing changes it.
 */
#ifndef MRD_PROMQL_AST_H
#define MRD_PROMQL_AST_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/clock.h"
#include "model/matcher.h"
#include "promql/functions.h"

enum mrd_expr_kind {
    MRD_EXPR_NUMBER,
    MRD_EXPR_STRING,
    MRD_EXPR_SELECTOR, /* name{a="b"} with offset and @ */
    MRD_EXPR_MATRIX,   /* selector[range]; offset and @ stand in the selector */
    MRD_EXPR_SUBQUERY, /* (expr)[range:step] with offset and @ of its own */
    MRD_EXPR_CALL,
    MRD_EXPR_AGGREGATE,
    MRD_EXPR_BINARY,
    MRD_EXPR_UNARY, /* + or - */
    MRD_EXPR_PAREN,
};

/* Bytes [start, end) of the query. */
struct mrd_position {
    uint32_t start;
    uint32_t end;
};

/* ---- time ---- */

enum mrd_duration_kind {
    MRD_DURATION_NUMBER, /* number, in seconds */
    MRD_DURATION_STEP,   /* step() of the query; 0 if it is instant */
    MRD_DURATION_RANGE,  /* range(): end - start of the query */
    MRD_DURATION_MIN_OF, /* min_of(left, right) */
    MRD_DURATION_MAX_OF,
    MRD_DURATION_ADD,
    MRD_DURATION_SUB,
    MRD_DURATION_MUL,
    MRD_DURATION_DIV,
    MRD_DURATION_MOD,
    MRD_DURATION_POW,
    MRD_DURATION_NEGATE, /* left */
    MRD_DURATION_PLUS,   /* left; kept for printing */
};

/* Arithmetic inside [range], [range:step] and offset. */
struct mrd_duration_expr {
    enum mrd_duration_kind kind;
    bool wrapped;     /* stands in parentheses */
    bool is_duration; /* NUMBER: written with units ("5m"), else as a plain number */
    double number;
    const struct mrd_duration_expr *left;
    const struct mrd_duration_expr *right;
    uint32_t depth; /* levels from here down, at most MRD_QUERY_DEPTH_MAX */
    struct mrd_position position;
};

/* A range, step or offset: `ms` holds if expr is NULL, and after preprocessing always. */
struct mrd_duration {
    mrd_time_ms ms;
    const struct mrd_duration_expr *expr; /* what is to be computed first, or NULL */
};

enum mrd_at_kind {
    MRD_AT_NONE,
    MRD_AT_TIME, /* at_ms; preprocessing turns START and END into this */
    MRD_AT_START,
    MRD_AT_END,
};

/* When a selector or subquery looks: (at or the step's time) - offset. */
struct mrd_timing {
    enum mrd_at_kind at;
    enum mrd_at_kind at_written; /* as in the query, for printing; preprocessing leaves it */
    mrd_time_ms at_ms;
    struct mrd_duration offset; /* negative: into the future */
};

/* Experimental modifiers of range (and instant) selectors. */
enum mrd_edge { MRD_EDGE_NONE, MRD_EDGE_ANCHORED, MRD_EDGE_SMOOTHED };

/* ---- operators ---- */

enum mrd_binary_op {
    MRD_OP_ADD,
    MRD_OP_SUB,
    MRD_OP_MUL,
    MRD_OP_DIV,
    MRD_OP_MOD,
    MRD_OP_POW,
    MRD_OP_ATAN2,
    MRD_OP_EQ,
    MRD_OP_NE,
    MRD_OP_GT,
    MRD_OP_LT,
    MRD_OP_GE,
    MRD_OP_LE,
    MRD_OP_TRIM_UPPER, /* </ : cuts a histogram above a bound */
    MRD_OP_TRIM_LOWER, /* >/ */
    MRD_OP_AND,
    MRD_OP_OR,
    MRD_OP_UNLESS,
    MRD_OP_COUNT
};

static inline bool mrd_op_is_comparison(enum mrd_binary_op op)
{
    return op >= MRD_OP_EQ && op <= MRD_OP_LE;
}
static inline bool mrd_op_is_set(enum mrd_binary_op op) { return op >= MRD_OP_AND; }

/* "+", "==", "unless", ... */
const char *mrd_binary_op_text(enum mrd_binary_op op);

enum mrd_cardinality {
    MRD_ONE_TO_ONE,
    MRD_MANY_TO_ONE, /* group_left */
    MRD_ONE_TO_MANY, /* group_right */
    MRD_MANY_TO_MANY /* set operators */
};

/* Label names in the order written, repetitions included. */
struct mrd_names {
    const struct mrd_bytes *items;
    size_t count;
};

/* How two vectors meet; only there if both sides are vectors (binary.matching, else NULL). */
struct mrd_matching {
    enum mrd_cardinality cardinality;
    bool on; /* labels are those to match on; else those to ignore */
    struct mrd_names labels;
    struct mrd_names include; /* of group_left(...), group_right(...) */
    bool fill_left_set;       /* experimental: the value for a missing left or right partner */
    bool fill_right_set;
    double fill_left;
    double fill_right;
};

/* ---- nodes ---- */

struct mrd_selector {
    struct mrd_bytes name; /* the metric name given without a matcher, or empty; it is in matchers
                              too, as __name__="name" */
    const struct mrd_matcher *matchers;
    size_t matcher_count;
    struct mrd_timing timing;
    enum mrd_edge edge;
};

struct mrd_subquery {
    struct mrd_expr *expr;
    struct mrd_duration range;
    struct mrd_duration step; /* 0 without expr: the engine's default */
    struct mrd_timing timing;
};

struct mrd_matrix {
    struct mrd_expr *selector; /* MRD_EXPR_SELECTOR */
    struct mrd_duration range;
};

struct mrd_call {
    const struct mrd_function *function;
    struct mrd_expr **args;
    size_t arg_count;
    const struct mrd_matcher *info_matchers; /* of info(): what selects the info series */
    size_t info_matcher_count;
};

struct mrd_aggregate {
    enum mrd_aggregation op;
    struct mrd_expr *expr;
    struct mrd_expr *param; /* NULL if the operator takes none */
    struct mrd_names grouping;
    bool without; /* else by; by with no names: one group */
};

struct mrd_binary {
    enum mrd_binary_op op;
    struct mrd_expr *left;
    struct mrd_expr *right;
    bool return_bool;
    const struct mrd_matching *matching; /* NULL unless both sides are vectors */
};

struct mrd_unary {
    bool minus; /* else plus */
    struct mrd_expr *expr;
};

struct mrd_expr {
    enum mrd_expr_kind kind;
    enum mrd_value_type type;
    uint32_t depth; /* levels of nodes from here down, at most MRD_QUERY_DEPTH_MAX */
    struct mrd_position position;
    union {
        struct {
            double value;
            bool is_duration; /* written as 5m; the value is in seconds */
        } number;
        struct mrd_bytes string; /* unescaped */
        struct mrd_selector selector;
        struct mrd_matrix matrix;
        struct mrd_subquery subquery;
        struct mrd_call call;
        struct mrd_aggregate aggregate;
        struct mrd_binary binary;
        struct mrd_unary unary;
        struct mrd_expr *paren;
    };
};

struct mrd_ast_regexes; /* list of what is on the heap */

struct mrd_ast {
    struct mrd_bytes query; /* the caller's text: outlives the tree's use */
    struct mrd_expr *root;
    struct mrd_ast_regexes *regexes;
};

/* Frees the compiled regexes; the rest goes with the arena. ast may be zeroed. */
void mrd_ast_fini(struct mrd_ast *ast);

#endif
