/* When each node is evaluated, and which samples each selector needs for that. */
#include "promql/plan.h"

/* More steps than this in one grid is a mistake in the query (a subquery of 100 years at 1 ms). */
enum { STEPS_MAX = 100 * 1000 * 1000 };

/* Where histograms are added up, how far before what is needed the one is looked for that tells that the first one is no reset. Prometheus
 * knows that of all but the first of a chunk, which is of two hours at most. */
enum { RESETS_BACK_MS = 60 * 60 * 1000 };

struct schedule {
    const struct mrd_promql_options *options;
    struct pql_plan *plan;
};

/* What surrounds a node, for the selector's hints. */
struct surroundings {
    struct mrd_bytes function;
    const struct pql_grouping *grouping; /* of an aggregation right above */
    bool ranged;
    bool needs_buckets; /* anything up to the root looks at buckets of histograms */
    bool asks_stats;    /* anything up to the root wants count or sum of histograms only */
    bool adds_up;       /* something up to the root adds up histograms that come from here */
};

/* ---- what does not change from step to step ---- */

static bool is_invariant(const struct pql_node *node)
{
    switch (node->kind) {
    case PQL_NUMBER:
    case PQL_TEXT:
        return true;
    case PQL_SELECT:
    case PQL_WINDOW:
        return node->selector->timing.at_set;
    case PQL_SUBQUERY:
        return node->timing.at_set;
    case PQL_CALL:
        if (node->function->time_dependent) {
            return false;
        }
        break;
    case PQL_AGGREGATE: /* its parameter has no say: Prometheus takes that of the first step then */
        return is_invariant(node->args[0]);
    case PQL_BINARY:
    case PQL_NEGATE:
    case PQL_PLUS:
        break;
    }
    for (size_t i = 0; i < node->arg_count; i++) {
        if (!is_invariant(node->args[i])) {
            return false;
        }
    }
    return true;
}

/* Worth evaluating once: an expression, not a literal (filling a column costs nothing) and not a
 * range (whose windows follow from its timing). */
static bool is_spread(const struct pql_node *node, const struct pql_steps *steps)
{
    return steps->count > 1 && node->type != PQL_RANGE && node->kind != PQL_NUMBER &&
           node->kind != PQL_TEXT && is_invariant(node);
}

/* ---- selectors ---- */

static void schedule_selector(const struct schedule *schedule, struct pql_node *node,
                              const struct surroundings *around)
{
    struct pql_selector *selector = node->selector;
    const struct pql_timing *timing = &selector->timing;
    const mrd_time_ms lookback_ms = schedule->options->lookback_ms;
    const bool window = node->kind == PQL_WINDOW;
    const bool wider = window && timing->edge != MRD_EDGE_NONE;
    const mrd_time_ms back_ms =
        (window ? timing->range_ms : lookback_ms) + (wider ? lookback_ms : 0);
    const mrd_time_ms ahead_ms = timing->edge == MRD_EDGE_SMOOTHED ? lookback_ms : 0;
    struct mrd_select *select = &selector->select;
    select->min_ms = pql_timing_end_ms(timing, node->steps.start_ms) - back_ms + 1;
    select->max_ms = pql_timing_end_ms(timing, pql_steps_last_ms(&node->steps)) + ahead_ms;
    select->hints = (struct mrd_select_hints){
        .function = around->function,
        .range_ms = timing->range_ms,
        .start_ms = node->steps.start_ms,
        .end_ms = pql_steps_last_ms(&node->steps),
        .step_ms = node->steps.count > 1 ? node->steps.step_ms : 0,
    };
    if (around->grouping != NULL) {
        select->hints.grouping = around->grouping->names.items;
        select->hints.grouping_count = around->grouping->names.count;
        select->hints.grouping_without = around->grouping->without;
    }
    selector->stats_only = around->asks_stats && !around->needs_buckets;
    select->histograms_before_ms =
        around->adds_up && timing->edge == MRD_EDGE_NONE ? (mrd_time_ms)RESETS_BACK_MS : 0;
    selector->next = schedule->plan->selectors;
    schedule->plan->selectors = selector;
}

/* ---- subqueries: whole multiples of the step, left-open like every range ---- */

static enum mrd_status subquery_grid(const struct schedule *schedule, const struct pql_node *node,
                                     const struct pql_steps *outer, struct pql_steps *out,
                                     struct mrd_error *err)
{
    const mrd_time_ms step_ms =
        node->steps.step_ms > 0 ? node->steps.step_ms : schedule->options->subquery_step_ms;
    const mrd_time_ms begin_ms =
        pql_timing_end_ms(&node->timing, outer->start_ms) - node->timing.range_ms;
    const mrd_time_ms end_ms = pql_timing_end_ms(&node->timing, pql_steps_last_ms(outer));
    mrd_time_ms start_ms = begin_ms / step_ms * step_ms;
    if (start_ms <= begin_ms) {
        start_ms += step_ms;
    }
    const mrd_time_ms count = end_ms < start_ms ? 0 : (end_ms - start_ms) / step_ms + 1;
    if (count > STEPS_MAX) {
        return mrd_fail(err, MRD_E_LIMIT, "a subquery has more than %d steps", STEPS_MAX);
    }
    *out = (struct pql_steps){start_ms, step_ms, (size_t)count};
    return MRD_OK;
}

/* ---- the walk ---- */

static enum mrd_status schedule_node(const struct schedule *schedule, struct pql_node *node,
                                     const struct pql_steps *steps,
                                     const struct surroundings *around, struct mrd_error *err);

/* Whether buckets are looked at anywhere between a node's arguments and the root. A subquery may skip
 * samples, so resets must be found in the buckets of those it sees. */
static bool reads_buckets(const struct pql_node *node)
{
    switch ((int)node->kind) {
    case PQL_SUBQUERY:
        return true;
    case PQL_CALL:
        return node->function->kind == PQL_CALL_HISTOGRAM_QUANTILE ||
               node->function->kind == PQL_CALL_HISTOGRAM_QUANTILES ||
               node->function->kind == PQL_CALL_HISTOGRAM_FRACTION;
    case PQL_BINARY:
        return node->op == MRD_OP_TRIM_LOWER || node->op == MRD_OP_TRIM_UPPER;
    default:
        return false;
    }
}

static bool asks_stats(const struct pql_node *node)
{
    return node->kind == PQL_CALL && node->function->kind == PQL_CALL_HISTOGRAM_ONLY &&
           !node->function->reads_buckets;
}

/* Whether it warns if some of the histograms that it puts together were reset and others were not. */
static bool adds_up(const struct pql_node *node)
{
    switch ((int)node->kind) {
    case PQL_CALL:
        return node->function->adds_up;
    case PQL_AGGREGATE:
        return node->aggregation == MRD_AGG_SUM || node->aggregation == MRD_AGG_AVG;
    case PQL_BINARY:
        return node->op == MRD_OP_ADD || node->op == MRD_OP_SUB;
    default:
        return false;
    }
}

/* Whether the histograms of its arguments may be among its own, with what they tell of resets. */
static bool hands_on(const struct pql_node *node)
{
    return node->kind != PQL_CALL || node->function->kind != PQL_CALL_WINDOW ||
           node->function->keeps_name;
}

static struct surroundings hints_of_args(const struct pql_node *node,
                                         const struct surroundings *around)
{
    switch ((int)node->kind) {
    case PQL_CALL:
        return (struct surroundings){.function = mrd_bytes_of(node->function->name)};
    case PQL_AGGREGATE:
        return (struct surroundings){.function = node->text, .grouping = &node->grouping};
    case PQL_BINARY:
        return (struct surroundings){0};
    default:
        return (struct surroundings){.function = around->function};
    }
}

static struct surroundings around_args(const struct pql_node *node,
                                       const struct surroundings *around)
{
    struct surroundings inner = hints_of_args(node, around);
    inner.needs_buckets = around->needs_buckets || reads_buckets(node);
    inner.asks_stats = around->asks_stats || asks_stats(node);
    inner.adds_up = adds_up(node) || (around->adds_up && hands_on(node));
    return inner;
}

static enum mrd_status schedule_node(const struct schedule *schedule, struct pql_node *node,
                                     const struct pql_steps *steps,
                                     const struct surroundings *around, struct mrd_error *err)
{
    struct surroundings inner = around_args(node, around);
    struct pql_steps grid = *steps;
    inner.ranged = around->ranged;
    if (node->kind == PQL_SUBQUERY) {
        MRD_TRY(subquery_grid(schedule, node, steps, &grid, err));
        inner.ranged = pql_timing_end_ms(&node->timing, pql_steps_last_ms(steps)) != grid.start_ms;
    } else if (is_invariant(node)) {
        inner.ranged = false;
        if (is_spread(node, steps)) {
            node->spread = true;
            grid.count = 1;
        }
    }
    node->steps = grid;
    node->ranged = inner.ranged;
    if (node->kind == PQL_SELECT || node->kind == PQL_WINDOW) {
        schedule_selector(schedule, node, around);
    }
    for (size_t i = 0; i < node->arg_count; i++) {
        MRD_TRY(schedule_node(schedule, node->args[i], &grid, &inner, err));
    }
    return MRD_OK;
}

static struct pql_steps request_steps(const struct mrd_promql_request *request)
{
    if (request->instant) {
        return (struct pql_steps){request->start_ms, 1, 1};
    }
    const mrd_time_ms span_ms = request->end_ms - request->start_ms;
    return (struct pql_steps){request->start_ms, request->step_ms,
                              span_ms < 0 ? 0 : (size_t)(span_ms / request->step_ms) + 1};
}

enum mrd_status pql_plan_schedule(const struct mrd_promql_options *options,
                                  const struct mrd_promql_request *request, struct pql_node *root,
                                  struct pql_plan *out, struct mrd_error *err)
{
    const struct pql_steps steps = request_steps(request);
    const struct surroundings nothing = {
        .ranged = !request->instant && request->end_ms != request->start_ms,
    };
    if (steps.count > STEPS_MAX) {
        return mrd_fail(err, MRD_E_LIMIT, "the query has more than %d steps", STEPS_MAX);
    }
    *out = (struct pql_plan){.root = root, .steps = steps};
    const struct schedule schedule = {options, out};
    return schedule_node(&schedule, root, &steps, &nothing, err);
}
