/* Which selectors rows of windows answer, and for which parts of their time (coarse.h). */
#include <stdlib.h>

#include "promql/exec_coarse.h"

enum {
    /* Ranges that do not end between windows leave windows at both of their ends to the samples, so only few of them are worth it. */
    UNALIGNED_STEPS_MAX = 3,
    /* How many samples a row has to stand for to be cheaper to read, taken to come so often. */
    SAMPLE_INTERVAL_MS = 15000,
    ROW_COST = 4,
    /* Rows finer than the coarsest are kept until the series of these come by: by so much they are dearer than rows that pass. */
    KEPT_COST = 2,
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

/* Of reading a stretch of time as rows of a resolution, or as samples (0). */
static double cost_of(const struct pql_exec *exec, mrd_time_ms length_ms, mrd_time_ms resolution_ms)
{
    const mrd_time_ms told_ms = exec->source->coarse->sample_interval_ms;
    const mrd_time_ms interval_ms = told_ms > 0 ? told_ms : SAMPLE_INTERVAL_MS;
    return resolution_ms == 0 ? (double)length_ms / (double)interval_ms
                              : ROW_COST * (double)length_ms / (double)resolution_ms;
}

/* A resolution that may be used: which of its rows, found out when it is asked for first. */
struct level {
    mrd_time_ms resolution_ms;
    struct mrd_coarse_spans spans;
    bool known;
};

/* What one use is planned with. */
struct planning {
    struct pql_exec *exec;
    const struct use *use;
    struct level *levels; /* ascending */
    size_t level_count;
};

/* Parts that cover the selector's time, in order. */
struct cover {
    mrd_time_ms resolution_ms; /* the coarsest */
    struct pql_coarse_part *parts;
    size_t count;
    size_t capacity;
    double cost;
};

/* How many ranges may end within windows: of those of samples few, since each edge is then a select of its own. Of edges that finer rows
 * cover there may be as many as spans keep apart. */
static size_t unaligned_max(const struct planning *planning, size_t level)
{
    for (size_t i = 0; i < level; i++) {
        if (is_aligned(planning->use, planning->levels[i].resolution_ms)) {
            return MRD_COARSE_SPANS_MAX / 2 - 1;
        }
    }
    return UNALIGNED_STEPS_MAX;
}

/* Whether rows of a level may be asked for at all; the finer ones, once a coarser one was taken, always suit. */
static bool suits(const struct planning *planning, size_t level)
{
    const struct use *use = planning->use;
    return is_aligned(use, planning->levels[level].resolution_ms) ||
           (!use->instant && range_count(use) <= unaligned_max(planning, level));
}

static enum mrd_status find_spans(const struct planning *planning, size_t level_at,
                                  struct mrd_error *err)
{
    struct pql_exec *exec = planning->exec;
    const struct use *use = planning->use;
    struct level *level = &planning->levels[level_at];
    const struct mrd_coarse *coarse = exec->source->coarse;
    const struct mrd_query_scope scope = {exec->arena, exec->annotations, exec->control};
    struct mrd_select asked = use->selector->select;
    if (level->known) {
        return MRD_OK;
    }
    level->known = true;
    if (use->instant) { /* a row knows when its newest sample is: it may begin before the lookback */
        asked.min_ms = MRD_MIN(asked.min_ms, use->end0_ms - level->resolution_ms + 1);
    }
    MRD_TRY(
        coarse->spans(coarse->context, &asked, level->resolution_ms, &scope, &level->spans, err));
    if (!is_aligned(use, level->resolution_ms)) {
        cut_unaligned(use, level->resolution_ms, &level->spans);
    }
    return MRD_OK;
}

static enum mrd_status add_part(const struct planning *planning, struct mrd_coarse_span span,
                                mrd_time_ms resolution_ms, struct cover *out, struct mrd_error *err)
{
    MRD_TRY(pql_grow(planning->exec, (void **)&out->parts, out->count, &out->capacity,
                     sizeof(*out->parts), err));
    out->parts[out->count++] =
        (struct pql_coarse_part){.span = span, .resolution_ms = resolution_ms};
    const double cost = cost_of(planning->exec, span.end_ms - span.begin_ms, resolution_ms);
    out->cost +=
        resolution_ms == 0 || resolution_ms == out->resolution_ms ? cost : KEPT_COST * cost;
    return MRD_OK;
}

/* Where the window begins in which a time lies, or after which it comes. */
static mrd_time_ms window_begin(mrd_time_ms time_ms, mrd_time_ms resolution_ms)
{
    const mrd_time_ms end_ms = mrd_rollup_window_end(time_ms, resolution_ms);
    return end_ms == time_ms ? end_ms : end_ms - resolution_ms;
}

/* Covers a span with rows of the levels below `level_count`: the coarsest where they know all, finer ones in the gaps, samples in what is
 * left. The calls nest as deep as there are levels. */
static enum mrd_status cover_span(const struct planning *planning, struct mrd_coarse_span span,
                                  size_t level_count, struct cover *out, struct mrd_error *err)
{
    mrd_time_ms at_ms = span.begin_ms;
    if (span.begin_ms >= span.end_ms) {
        return MRD_OK;
    }
    if (level_count == 0) {
        return add_part(planning, span, 0, out, err);
    }
    struct level *level = &planning->levels[level_count - 1];
    if (span.end_ms - span.begin_ms >= level->resolution_ms || planning->use->instant) {
        MRD_TRY(find_spans(planning, level_count - 1, err));
        for (size_t i = 0; i < level->spans.count; i++) {
            const struct mrd_coarse_span rows = {
                MRD_MAX(level->spans.items[i].begin_ms, window_begin(at_ms, level->resolution_ms)),
                MRD_MIN(level->spans.items[i].end_ms, span.end_ms)};
            if (rows.begin_ms >= rows.end_ms) {
                continue;
            }
            MRD_TRY(cover_span(planning, (struct mrd_coarse_span){at_ms, rows.begin_ms},
                               level_count - 1, out, err));
            MRD_TRY(add_part(planning, rows, level->resolution_ms, out, err));
            at_ms = rows.end_ms;
        }
    }
    return cover_span(planning, (struct mrd_coarse_span){at_ms, span.end_ms}, level_count - 1, out,
                      err);
}

/* The cover whose coarsest rows are those of the level; no parts if there are none. */
static enum mrd_status cover_with(const struct planning *planning, size_t level, struct cover *out,
                                  struct mrd_error *err)
{
    const struct mrd_select *select = &planning->use->selector->select;
    struct mrd_coarse_span all = {select->min_ms - 1, select->max_ms};
    *out = (struct cover){.resolution_ms = planning->levels[level].resolution_ms};
    MRD_TRY(find_spans(planning, level, err));
    if (planning->levels[level].spans.count == 0) {
        return MRD_OK;
    }
    all.begin_ms = MRD_MIN(all.begin_ms, planning->levels[level].spans.items[0].begin_ms);
    return cover_span(planning, all, level + 1, out, err);
}

static int compare_times(const void *a, const void *b)
{
    const mrd_time_ms x = *(const mrd_time_ms *)a;
    const mrd_time_ms y = *(const mrd_time_ms *)b;
    return (x > y) - (x < y);
}

/* Lists where ranges and parts begin and end. */
static enum mrd_status list_edges(struct pql_exec *exec, const struct use *use,
                                  struct pql_coarse *coarse, struct mrd_error *err)
{
    const size_t ranges = range_count(use);
    mrd_time_ms *edges_ms = NULL;
    size_t count = 0;
    size_t kept = 0;
    MRD_TRY(PQL_NEW(exec, 2 * (ranges + coarse->part_count), &edges_ms, err));
    for (size_t i = 0; i < ranges; i++) {
        edges_ms[count++] = use->end0_ms + (mrd_time_ms)i * use->end_step_ms;
        edges_ms[count++] = use->end0_ms + (mrd_time_ms)i * use->end_step_ms - use->range_ms;
    }
    for (size_t i = 0; i < coarse->part_count; i++) {
        edges_ms[count++] = coarse->parts[i].span.begin_ms;
        edges_ms[count++] = coarse->parts[i].span.end_ms;
    }
    qsort(edges_ms, count, sizeof(*edges_ms), compare_times);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || edges_ms[kept - 1] < edges_ms[i]) {
            edges_ms[kept++] = edges_ms[i];
        }
    }
    coarse->edges = (struct mrd_rollup_edges){edges_ms, kept};
    return MRD_OK;
}

/* Whether some rows lie between two edges: two, on the average. */
static bool is_worth_folding(const struct use *use, const struct pql_coarse *coarse)
{
    const struct mrd_select *select = &use->selector->select;
    const mrd_time_ms hull_ms = select->max_ms - (select->min_ms - 1);
    return use->range_ms >= 2 * coarse->resolution_ms &&
           hull_ms / coarse->resolution_ms >= 2 * ((mrd_time_ms)coarse->edges.count - 1);
}

/* The length of rows that are a range each; 0: there are none. */
static mrd_time_ms row_of_ranges(const struct use *use, const struct pql_coarse *coarse)
{
    const bool apart = use->end_step_ms == 0 || use->range_ms <= use->end_step_ms;
    return apart && (coarse->fold || use->range_ms == coarse->resolution_ms) ? use->range_ms : 0;
}

/* Whether no range has more than one row. */
static bool are_windows(const struct use *use, const struct pql_coarse *coarse)
{
    const mrd_time_ms resolution_ms = coarse->resolution_ms;
    const bool aligned = use->end0_ms % resolution_ms == 0 && use->end_step_ms % resolution_ms == 0;
    return aligned &&
           (use->instant ? use->range_ms <= resolution_ms : use->range_ms == resolution_ms);
}

/* Whether a range has time both before and after this one. */
static bool is_cut(const struct use *use, mrd_time_ms at_ms)
{
    const mrd_time_ms past_ms = at_ms - use->end0_ms;
    const mrd_time_ms step_ms = use->end_step_ms;
    const mrd_time_ms last = (mrd_time_ms)range_count(use) - 1;
    const mrd_time_ms range = past_ms <= 0 || last == 0 ? 0 : (past_ms - 1) / step_ms + 1;
    const mrd_time_ms end_ms = use->end0_ms + range * step_ms;
    return range <= last && at_ms < end_ms && at_ms > end_ms - use->range_ms;
}

/* Whether the joined rows of a block are a range each, but where the block begins or ends within one. */
static bool are_whole(const struct use *use, const struct pql_coarse *coarse)
{
    bool cut =
        !coarse->fold || coarse->window_ms == 0 || (use->end_step_ms == 0 && use->steps->count > 1);
    for (size_t i = 0; !cut && i < coarse->part_count; i++) {
        const struct mrd_coarse_span *span = &coarse->parts[i].span;
        cut = is_cut(use, span->begin_ms) || is_cut(use, span->end_ms);
    }
    return !cut;
}

static enum mrd_status take(const struct planning *planning, const struct cover *cover,
                            struct mrd_error *err)
{
    const struct use *use = planning->use;
    struct pql_coarse *coarse = NULL;
    MRD_TRY(PQL_NEW(planning->exec, 1, &coarse, err));
    *coarse = (struct pql_coarse){.resolution_ms = cover->resolution_ms,
                                  .function = use->function,
                                  .parts = cover->parts,
                                  .part_count = cover->count};
    for (size_t i = 0; i < coarse->part_count; i++) {
        coarse->parts[i].coarse = coarse->parts[i].resolution_ms == cover->resolution_ms;
    }
    if (use->range_ms < use->end_step_ms) {
        coarse->grid = (struct mrd_rollup_grid){use->end0_ms, use->end_step_ms, use->range_ms};
    }
    if (!use->instant) {
        MRD_TRY(list_edges(planning->exec, use, coarse, err));
        coarse->fold = is_worth_folding(use, coarse);
        coarse->window_ms = row_of_ranges(use, coarse);
    }
    coarse->windows = are_windows(use, coarse);
    coarse->whole = !use->instant && are_whole(use, coarse);
    use->selector->coarse = coarse;
    use->selector->fragment = NULL; /* the aggregation above it is made here */
    return MRD_OK;
}

static enum mrd_status choose(struct planning *planning, struct mrd_error *err)
{
    struct pql_exec *exec = planning->exec;
    const struct use *use = planning->use;
    const struct mrd_select *select = &use->selector->select;
    const mrd_time_ms hull_ms = select->max_ms - (select->min_ms - 1);
    /* half of that of samples, or it is not worth it */
    struct cover best = {.cost = cost_of(exec, hull_ms, 0) / 2};
    for (size_t i = planning->level_count; i > 0; i--) {
        const mrd_time_ms resolution_ms = planning->levels[i - 1].resolution_ms;
        struct cover cover;
        if (!suits(planning, i - 1) || (resolution_ms > hull_ms && !use->instant) ||
            cost_of(exec, hull_ms, resolution_ms) >= best.cost) {
            continue;
        }
        MRD_TRY(cover_with(planning, i - 1, &cover, err));
        if (cover.count > 0 && cover.cost < best.cost) {
            best = cover;
        }
    }
    return best.count == 0 ? MRD_OK : take(planning, &best, err);
}

static enum mrd_status plan_use(struct pql_exec *exec, const struct use *use, struct mrd_error *err)
{
    const struct mrd_coarse *coarse = exec->source->coarse;
    struct planning planning = {.exec = exec, .use = use};
    MRD_TRY(PQL_NEW(exec, coarse->resolution_count + 1, &planning.levels, err));
    while (planning.level_count < coarse->resolution_count &&
           coarse->resolutions_ms[planning.level_count] <= exec->options->resolution_ms_max) {
        planning.levels[planning.level_count] = (struct level){
            .resolution_ms = coarse->resolutions_ms[planning.level_count], .known = false};
        planning.level_count++;
    }
    return choose(&planning, err);
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
    return can ? plan_use(exec, &use, err) : MRD_OK;
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
