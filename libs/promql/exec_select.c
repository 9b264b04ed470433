/* Instant selectors: for each step the newest sample within the lookback. */
#include "promql/exec_coarse.h"
#include "promql/window.h"

struct select_op {
    struct pql_op op;
    struct pql_selector *selector;
    struct pql_steps grid;
    enum select_what { YIELD_VALUES, YIELD_TIMES, YIELD_STARTS } what; /* of the samples */
    double *column;
    pql_histogram *histograms; /* made when the first series has any */
    struct mrd_arena *converted;
    struct pql_label_scratch scratch;
};

/* In seconds; the start time is 0 where it is unknown. */
static double time_of(const struct select_op *op, const mrd_time_ms *times_ms,
                      const mrd_time_ms *start_times_ms, size_t at)
{
    if (op->what == YIELD_TIMES) {
        return (double)times_ms[at] / 1000;
    }
    return start_times_ms == NULL ? 0 : (double)start_times_ms[at] / 1000;
}

/* Fills `out` in one pass over the steps. Returns whether any step has a value. */
static bool select_fill(const struct select_op *op, struct mrd_samples samples, double *out)
{
    const struct pql_timing *timing = &op->selector->timing;
    const mrd_time_ms lookback_ms = op->op.exec->options->lookback_ms;
    bool any = false;
    size_t seen = 0; /* samples not after the step */
    for (size_t i = 0; i < op->op.steps; i++) {
        const mrd_time_ms end_ms = pql_timing_end_ms(timing, pql_step_ms(&op->grid, i));
        seen = pql_times_seek(samples.times_ms, samples.count, seen, end_ms);
        if (seen == 0 || samples.times_ms[seen - 1] <= end_ms - lookback_ms ||
            mrd_is_stale(samples.values[seen - 1])) {
            out[i] = pql_none();
            continue;
        }
        out[i] = op->what == YIELD_VALUES
                     ? samples.values[seen - 1]
                     : time_of(op, samples.times_ms, samples.start_times_ms, seen - 1);
        any = true;
    }
    return any;
}

/* ---- native histograms: rare, so apart from the loop over floats ---- */

/* The newest histogram not after end_ms that is newer than what `seen` floats hold; NULL if there is none. */
static const struct mrd_histogram *newest_histogram(const struct mrd_source_series *series,
                                                    size_t seen_histograms, size_t seen,
                                                    mrd_time_ms *out_ms)
{
    if (seen_histograms == 0) {
        return NULL;
    }
    *out_ms = series->histograms.times_ms[seen_histograms - 1];
    const bool newer = seen == 0 || series->samples.times_ms[seen - 1] < *out_ms;
    return newer ? &series->histograms.items[seen_histograms - 1] : NULL;
}

/* The i-th histogram of a series in the engine's form. */
static enum mrd_status select_convert(const struct select_op *op,
                                      const struct mrd_source_series *series, size_t i,
                                      struct mrd_float_histogram **out, struct mrd_error *err)
{
    struct mrd_float_histogram *before = NULL;
    size_t at = i;
    MRD_TRY(pql_histogram_load(series, i, op->converted, out, err));
    if (!op->selector->stats_only) {
        return MRD_OK;
    }
    while (at > 0 && before == NULL) {
        at--;
        if (!mrd_histogram_is_stale(&series->histograms.items[at])) {
            MRD_TRY(pql_histogram_load(series, at, op->converted, &before, err));
        }
    }
    return pql_histogram_to_stats(*out, before, op->converted, err);
}

/* Corrects what select_fill has written of the floats alone. Sets *any if any step has a value. */
static enum mrd_status select_fill_histograms(struct select_op *op,
                                              const struct mrd_source_series *series, bool *any,
                                              struct mrd_error *err)
{
    struct pql_exec *exec = op->op.exec;
    const struct mrd_histogram *last = NULL;
    struct mrd_float_histogram *made = NULL;
    size_t seen = 0;
    size_t seen_histograms = 0;
    if (op->histograms == NULL) {
        MRD_TRY(pql_histograms_create(exec, op->op.steps, &op->histograms, err));
    }
    MRD_TRY(pql_scratch_reset(exec, &op->converted, err));
    for (size_t i = 0; i < op->op.steps; i++) {
        const mrd_time_ms end_ms =
            pql_timing_end_ms(&op->selector->timing, pql_step_ms(&op->grid, i));
        mrd_time_ms time_ms = 0;
        seen = pql_times_seek(series->samples.times_ms, series->samples.count, seen, end_ms);
        seen_histograms = pql_times_seek(series->histograms.times_ms, series->histograms.count,
                                         seen_histograms, end_ms);
        const struct mrd_histogram *newest =
            newest_histogram(series, seen_histograms, seen, &time_ms);
        op->histograms[i] = NULL;
        if (newest == NULL) {
            continue;
        }
        op->column[i] = pql_none();
        if (time_ms <= end_ms - exec->options->lookback_ms || mrd_histogram_is_stale(newest)) {
            continue;
        }
        if (op->what != YIELD_VALUES) {
            op->column[i] =
                time_of(op, series->histograms.times_ms, series->histograms.start_times_ms,
                        (size_t)(newest - series->histograms.items));
            continue;
        }
        if (newest != last) {
            MRD_TRY(select_convert(op, series, (size_t)(newest - series->histograms.items), &made,
                                   err));
            last = newest;
        }
        op->histograms[i] = made;
    }
    const struct pql_series filled = {.values = op->column, .histograms = op->histograms};
    *any = !pql_series_empty(&filled, op->op.steps);
    return MRD_OK;
}

static enum mrd_status select_next(struct pql_op *base, struct pql_series *out, bool *out_more,
                                   struct mrd_error *err)
{
    struct select_op *op = (struct select_op *)base;
    struct pql_exec *exec = base->exec;
    for (;;) {
        struct mrd_source_series series;
        MRD_TRY(pql_source_next(exec, op->selector, &series, out_more, err));
        if (!*out_more) {
            return MRD_OK;
        }
        bool any = select_fill(op, series.samples, op->column);
        if (series.histograms.count > 0) {
            MRD_TRY(select_fill_histograms(op, &series, &any, err));
        }
        if (!any) {
            continue;
        }
        *out = (struct pql_series){.labels = series.labels, .values = op->column};
        if (series.histograms.count > 0 && op->what == YIELD_VALUES) {
            out->histograms = op->histograms;
        }
        return op->what == YIELD_VALUES ? MRD_OK
                                        : pql_series_drop_name(exec, &op->scratch, out, err);
    }
}

static enum mrd_status build_select(struct pql_exec *exec, const struct pql_node *node,
                                    enum select_what what, struct pql_op **out,
                                    struct mrd_error *err)
{
    struct select_op *op = NULL;
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op = (struct select_op){
        .op = {.next = select_next,
               .exec = exec,
               .steps = node->steps.count,
               .one_name = node->selector->one_name},
        .selector = node->selector,
        .grid = node->steps,
        .what = what,
    };
    MRD_TRY(PQL_NEW(exec, op->op.steps, &op->column, err));
    *out = &op->op;
    return MRD_OK;
}

enum mrd_status pql_build_select(struct pql_exec *exec, const struct pql_node *node,
                                 struct pql_op **out, struct mrd_error *err)
{
    if (node->selector->coarse != NULL) {
        return pql_build_coarse(exec, node, node->selector, out, err);
    }
    return node->selector->timing.edge == MRD_EDGE_SMOOTHED
               ? pql_build_smoothed(exec, node, out, err)
               : build_select(exec, node, YIELD_VALUES, out, err);
}

/* Of a call on a selector. */
static enum mrd_status build_times(struct pql_exec *exec, const struct pql_node *node,
                                   enum select_what what, struct pql_op **out,
                                   struct mrd_error *err)
{
    const struct pql_node *arg = node->args[0];
    struct pql_op *op = NULL;
    /* The selector may look once (under @) while this call has many steps. */
    const struct pql_node once = {.kind = PQL_SELECT,
                                  .type = PQL_VECTOR,
                                  .steps = node->steps,
                                  .selector = arg->selector,
                                  .position = arg->position};
    if (arg->selector->coarse != NULL) {
        MRD_TRY(pql_build_coarse(exec, node, arg->selector, &op, err));
    } else {
        MRD_TRY(build_select(exec, &once, what, &op, err));
    }
    if (!op->one_name && !exec->options->delayed_name_removal) {
        return pql_build_merge(exec, op, false, out, err);
    }
    *out = op;
    return MRD_OK;
}

/* timestamp(selector): the samples' own times, of a smoothed selector too; of any other expression, the
 * evaluation time. */
enum mrd_status pql_build_timestamp(struct pql_exec *exec, const struct pql_node *node,
                                    struct pql_op **out, struct mrd_error *err)
{
    return node->args[0]->kind == PQL_SELECT ? build_times(exec, node, YIELD_TIMES, out, err)
                                             : pql_build_map(exec, node, out, err);
}

/* ---- start_timestamp ---- */

/* Evaluates its input, for what that has to say, and yields nothing. */
struct nothing_op {
    struct pql_op op;
    struct pql_op *input;
};

static enum mrd_status nothing_next(struct pql_op *base, struct pql_series *out, bool *out_more,
                                    struct mrd_error *err)
{
    const struct nothing_op *op = (const struct nothing_op *)base;
    do {
        MRD_TRY(pql_next(op->input, out, out_more, err));
    } while (*out_more);
    return MRD_OK;
}

/* start_timestamp(selector): since when the samples count. Other expressions have lost that, and without the feature
 * nobody looks at it: the answer is empty then. */
enum mrd_status pql_build_start_timestamp(struct pql_exec *exec, const struct pql_node *node,
                                          struct pql_op **out, struct mrd_error *err)
{
    struct nothing_op *op = NULL;
    const struct pql_node *arg = node->args[0];
    if (arg->kind == PQL_SELECT && exec->options->use_start_timestamps) {
        return build_times(exec, node, YIELD_STARTS, out, err);
    }
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op = (struct nothing_op){
        .op = {.next = nothing_next, .exec = exec, .steps = node->steps.count, .one_name = true}
    };
    MRD_TRY(pql_build(exec, arg, node->steps.count, &op->input, err));
    *out = &op->op;
    return MRD_OK;
}
