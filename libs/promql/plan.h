/* plan.h: a checked expression, made ready to run.
 *
 * The planner turns the syntax tree into nodes that say where in time they are evaluated (a
 * subquery's inside has a grid of its own, what does not change from step to step has a grid of one
 * step), resolves functions to their implementations, and lists the selectors with the time ranges
 * they need, so that all of them are opened before anything is computed.
 *
 * Owner: everything lives in the query's arena.
 */
#ifndef MRD_PROMQL_PLAN_H
#define MRD_PROMQL_PLAN_H

#include "promql/ast.h"
#include "promql/column.h"
#include "promql/engine.h"
#include "promql/function_table.h"

enum pql_type { PQL_SCALAR, PQL_STRING, PQL_VECTOR, PQL_RANGE };

enum pql_node_kind {
    PQL_NUMBER,    /* number */
    PQL_TEXT,      /* text */
    PQL_SELECT,    /* selector: newest sample per step */
    PQL_WINDOW,    /* selector: all samples of a range per step */
    PQL_SUBQUERY,  /* args[0] on a grid of its own, time */
    PQL_CALL,      /* function, args */
    PQL_AGGREGATE, /* aggregation, args: vector, then the parameter */
    PQL_BINARY,    /* op, args: left, right */
    PQL_NEGATE,    /* args[0] */
    PQL_PLUS, /* args[0], a vector: functions do not see a selector behind it, annotations point at it */
};

/* When a selector or subquery looks, relative to the step: end = (at_set ? at : step) - offset. */
struct pql_timing {
    bool at_set;
    mrd_time_ms at_ms;
    mrd_time_ms offset_ms;
    mrd_time_ms range_ms; /* 0: instant selector */
    enum mrd_edge edge; /* anchored and smoothed see samples around the range, as far as lookback */
};

static inline mrd_time_ms pql_timing_end_ms(const struct pql_timing *timing, mrd_time_ms step_ms)
{
    return (timing->at_set ? timing->at_ms : step_ms) - timing->offset_ms;
}

struct pql_selector {
    struct mrd_select select;
    struct pql_timing timing;
    bool one_name;              /* all its series have the same metric name */
    bool stats_only;            /* of its histograms only count, sum and resets matter */
    bool late;                  /* its operator opens it, once it knows what to look for */
    struct mrd_source_set *set; /* open from the start of the execution until its end */
    const struct pql_node
        *fragment;    /* the aggregation that is pushed down if this selector's source takes it */
    bool pushed;      /* it did: the set yields states, not series */
    uint32_t segment; /* of the series that was read last */
    struct pql_coarse *coarse; /* rows answer (exec_coarse.h), not samples alone */
    struct pql_selector *next;
};

struct pql_grouping {
    struct mrd_names names;
    bool without;
};

struct pql_matching {
    enum mrd_cardinality cardinality;
    bool on; /* names are those to match on; else those to ignore */
    struct mrd_names names;
    struct mrd_names include; /* of group_left(...), group_right(...) */
    bool fill_left_set;       /* a value stands in for a missing partner */
    bool fill_right_set;
    double fill_left;
    double fill_right;
};

struct pql_node {
    enum pql_node_kind kind;
    enum pql_type type;
    size_t position;        /* byte in the query where the expression starts */
    size_t order;           /* of evaluation in Prometheus: arguments first, left to right */
    struct pql_steps steps; /* where it is evaluated */
    bool spread;            /* evaluated once; the parent sees that value at each of its steps */
    bool ranged; /* over some time, which may hold a single step; else at a point in time */
    struct pql_node **args;
    size_t arg_count;

    double number;
    struct mrd_bytes text;
    struct pql_selector *selector;
    struct pql_timing timing; /* of a subquery */
    const struct pql_function *function;
    enum mrd_aggregation aggregation;
    struct pql_grouping grouping;
    struct pql_selector
        *pushable; /* an aggregation over one series-local expression: its only selector */
    enum mrd_binary_op op;
    bool return_bool;
    struct pql_matching matching;
};

/* The place of what `node` has to say about `about` (itself or an argument). */
static inline struct mrd_annotation_place pql_place(const struct pql_node *node,
                                                    const struct pql_node *about)
{
    return (struct mrd_annotation_place){about->position, node->order};
}

struct pql_plan {
    struct pql_node *root;
    struct pql_steps steps;         /* of the whole query */
    struct pql_selector *selectors; /* all of them */
};

/* Translates the checked and preprocessed tree (start() and end() resolved) into nodes without times.
 * MRD_E_UNSUPPORTED for what this engine does not evaluate yet, MRD_E_LIMIT from the arena. */
MRD_MUST_CHECK enum mrd_status pql_plan_translate(const struct mrd_expr *expr,
                                                  struct mrd_arena *arena, struct pql_node **out,
                                                  struct mrd_error *err);

/* Finds the aggregations that may be pushed down. After scheduling. */
void pql_plan_find_pushable(struct pql_plan *plan);

/* Gives every node its grid and every selector its time range and hints. */
MRD_MUST_CHECK enum mrd_status pql_plan_schedule(const struct mrd_promql_options *options,
                                                 const struct mrd_promql_request *request,
                                                 struct pql_node *root, struct pql_plan *out,
                                                 struct mrd_error *err);

#endif
