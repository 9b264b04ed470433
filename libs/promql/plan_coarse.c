/* Which selectors rows of windows answer, and for which parts of their time (coarse.h). */
#include "promql/exec_coarse.h"

enum {
    /* Ranges that do not end between windows leave windows at both of their ends to the samples, so only few of them are worth it. */
    UNALIGNED_STEPS_MAX = 3,
    /* How many samples a row has to stand for to be cheaper to read, taken to come so often. */
    SAMPLE_INTERVAL_MS = 15000,
    ROW_COST = 4,
};

/* A selector as it is used. */
struct use {
    struct pql_selector *selector;
    enum mrd_rollup_function function;
    const struct pql_steps *steps;
    mrd_time_ms end0_ms;
    mrd_time_ms end_step_ms; /* 0: all ranges are the same */
    mrd_time_ms range_ms;    /* the lookback of instant selectors */
    bool instant;
};

static bool is_aligned(const struct use *use, mrd_time_ms resolution_ms)
{
    return use->end0_ms % resolution_ms == 0 && use->end_step_ms % resolution_ms == 0 &&
           (use->instant || use->range_ms % resolution_ms == 0);
}

static size_t range_count(const struct use *use)
{
    return use->end_step_ms == 0 ? 1 : use->steps->count;
}

/* Leaves the windows to the samples in which ranges begin or end. */
static void cut_unaligned(const struct use *use, mrd_time_ms resolution_ms,
                          struct mrd_coarse_spans *spans)
{
    for (size_t i = 0; i < range_count(use); i++) {
        const mrd_time_ms end_ms = use->end0_ms + (mrd_time_ms)i * use->end_step_ms;
        const mrd_time_ms edges_ms[] = {end_ms - use->range_ms, end_ms};
        for (size_t k = 0; k < MRD_ARRAY_LEN(edges_ms); k++) {
            if (edges_ms[k] % resolution_ms != 0) {
                mrd_coarse_spans_cut(spans, edges_ms[k] - 1, edges_ms[k], resolution_ms);
            }
        }
    }
}

static double cost_of(const struct pql_exec *exec, mrd_time_ms hull_ms, mrd_time_ms coarse_ms,
                      mrd_time_ms resolution_ms)
{
    const mrd_time_ms told_ms = exec->source->coarse->sample_interval_ms;
    const mrd_time_ms interval_ms = told_ms > 0 ? told_ms : SAMPLE_INTERVAL_MS;
    return (double)(hull_ms - coarse_ms) / (double)interval_ms +
           ROW_COST * (double)coarse_ms / (double)resolution_ms;
}

/* The spans of a resolution; none if it does not suit. */
static enum mrd_status find_spans(struct pql_exec *exec, const struct use *use,
                                  mrd_time_ms resolution_ms, struct mrd_coarse_spans *out,
                                  struct mrd_error *err)
{
    const struct mrd_coarse *coarse = exec->source->coarse;
    const struct mrd_query_scope scope = {exec->arena, exec->annotations, exec->control};
    const bool aligned = is_aligned(use, resolution_ms);
    out->count = 0;
    if (!aligned && (use->instant || range_count(use) > UNALIGNED_STEPS_MAX)) {
        return MRD_OK;
    }
    struct mrd_select asked = use->selector->select;
    if (use->instant) { /* a row knows when its newest sample is: it may begin before the lookback */
        asked.min_ms = MRD_MIN(asked.min_ms, use->end0_ms - resolution_ms + 1);
    }
    MRD_TRY(coarse->spans(coarse->context, &asked, resolution_ms, &scope, out, err));
    if (!aligned) {
        cut_unaligned(use, resolution_ms, out);
    }
    return MRD_OK;
}

/* Lists the spans of both kinds, in order. */
static void list_parts(const struct mrd_select *select, const struct mrd_coarse_spans *spans,
                       struct pql_coarse *out)
{
    mrd_time_ms at_ms = select->min_ms - 1;
    for (size_t i = 0; i < spans->count; i++) {
        const struct mrd_coarse_span span = spans->items[i];
        if (span.begin_ms > at_ms) {
            out->parts[out->part_count++] = (struct pql_coarse_part){
                .span = {at_ms, span.begin_ms}
            };
        }
        out->parts[out->part_count++] = (struct pql_coarse_part){.span = span, .coarse = true};
        at_ms = span.end_ms;
    }
    if (select->max_ms > at_ms) {
        out->parts[out->part_count++] = (struct pql_coarse_part){
            .span = {at_ms, select->max_ms}
        };
    }
}

static enum mrd_status choose(struct pql_exec *exec, const struct use *use, struct mrd_error *err)
{
    const struct mrd_coarse *coarse = exec->source->coarse;
    const struct mrd_select *select = &use->selector->select;
    const mrd_time_ms hull_ms = select->max_ms - (select->min_ms - 1);
    double least =
        cost_of(exec, hull_ms, 0, 1) / 2; /* half of that of samples, or it is not worth it */
    mrd_time_ms chosen_ms = 0;
    struct mrd_coarse_spans best = {.count = 0};
    for (size_t i = coarse->resolution_count; i > 0; i--) {
        const mrd_time_ms resolution_ms = coarse->resolutions_ms[i - 1];
        struct mrd_coarse_spans spans;
        if (resolution_ms > exec->options->resolution_ms_max ||
            (resolution_ms > hull_ms && !use->instant) ||
            cost_of(exec, hull_ms, hull_ms, resolution_ms) >= least) {
            continue;
        }
        MRD_TRY(find_spans(exec, use, resolution_ms, &spans, err));
        const double cost = cost_of(
            exec, hull_ms, MRD_MIN(mrd_coarse_spans_length(&spans), hull_ms), resolution_ms);
        if (spans.count > 0 && cost < least) {
            least = cost;
            best = spans;
            chosen_ms = resolution_ms;
        }
    }
    if (chosen_ms == 0) {
        return MRD_OK;
    }
    MRD_TRY(PQL_NEW(exec, 1, &use->selector->coarse, err));
    *use->selector->coarse =
        (struct pql_coarse){.resolution_ms = chosen_ms, .function = use->function};
    if (use->range_ms < use->end_step_ms) {
        use->selector->coarse->grid =
            (struct mrd_rollup_grid){use->end0_ms, use->end_step_ms, use->range_ms};
    }
    list_parts(select, &best, use->selector->coarse);
    use->selector->fragment = NULL; /* the aggregation above it is made here */
    return MRD_OK;
}

static enum mrd_status consider(struct pql_exec *exec, struct pql_selector *selector,
                                const char *function, const struct pql_steps *steps,
                                struct mrd_error *err)
{
    struct use use = {.selector = selector,
                      .function = mrd_rollup_function_find(mrd_bytes_of(function)),
                      .steps = steps,
                      .end0_ms = pql_timing_end_ms(&selector->timing, steps->start_ms),
                      .end_step_ms =
                          selector->timing.at_set || steps->count < 2 ? 0 : steps->step_ms};
    use.instant = use.function == MRD_ROLLUP_INSTANT || use.function == MRD_ROLLUP_TIMESTAMP;
    use.range_ms = use.instant ? exec->options->lookback_ms : selector->timing.range_ms;
    const bool can = use.function != MRD_ROLLUP_NO_FUNCTION && steps->count > 0 &&
                     use.range_ms > 0 && selector->timing.edge == MRD_EDGE_NONE && !selector->late;
    return can ? choose(exec, &use, err) : MRD_OK;
}

static enum mrd_status visit(struct pql_exec *exec, const struct pql_node *node,
                             struct mrd_error *err);

static enum mrd_status visit_call(struct pql_exec *exec, const struct pql_node *node,
                                  struct mrd_error *err)
{
    const struct pql_function *function = node->function;
    for (size_t i = 0; i < node->arg_count; i++) {
        struct pql_node *arg = node->args[i];
        if (function->kind == PQL_CALL_WINDOW && i == function->range_arg &&
            arg->kind == PQL_WINDOW) {
            MRD_TRY(consider(exec, arg->selector, function->name, &node->steps, err));
        } else if (function->kind == PQL_CALL_TIMESTAMP && arg->kind == PQL_SELECT) {
            MRD_TRY(consider(exec, arg->selector, function->name, &node->steps, err));
        } else if (function->kind == PQL_CALL_START_TIMESTAMP && arg->kind == PQL_SELECT) {
            continue; /* rows do not know the newest sample's in the form it is asked for */
        } else {
            MRD_TRY(visit(exec, arg, err));
        }
    }
    return MRD_OK;
}

static enum mrd_status visit(struct pql_exec *exec, const struct pql_node *node,
                             struct mrd_error *err)
{
    if (node->kind == PQL_SELECT) {
        return consider(exec, node->selector, "", &node->steps, err);
    }
    if (node->kind == PQL_CALL) {
        return visit_call(exec, node, err);
    }
    for (size_t i = 0; i < node->arg_count; i++) {
        MRD_TRY(visit(exec, node->args[i], err));
    }
    return MRD_OK;
}

enum mrd_status pql_plan_coarse(struct pql_exec *exec, const struct pql_plan *plan,
                                struct mrd_error *err)
{
    if (exec->source->coarse == NULL || exec->options->resolution_ms_max <= 0 ||
        exec->without_coarse) {
        return MRD_OK;
    }
    return visit(exec, plan->root, err);
}
