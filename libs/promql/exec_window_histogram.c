#include <math.h>

#include "promql/exec_window_histogram_internal.h"
#include "promql/histogram_total.h"

static void note(const struct pql_histogram_windows *windows, enum pql_histogram_note what)
{
    pql_note_histogram(windows->exec, what, windows->place, windows->name);
}

static enum mrd_status no_value(struct pql_histogram_outcome *out)
{
    *out = (struct pql_histogram_outcome){pql_none(), NULL};
    return MRD_OK;
}

/* ---- sum_over_time, avg_over_time ---- */

/* Notes contradicting hints and bounds that had to be reconciled, once for a window. */
static void note_sum(struct pql_histogram_windows *windows, const struct pql_histogram_step *step,
                     bool reconciled)
{
    bool resets = false;
    bool no_resets = false;
    for (size_t i = 0; i < step->count; i++) {
        resets |= step->items[i]->reset == MRD_HISTOGRAM_RESET;
        no_resets |= step->items[i]->reset == MRD_HISTOGRAM_NO_RESET;
    }
    if (resets && no_resets) {
        note(windows, PQL_NOTE_COLLISION_AGG);
    }
    if (reconciled) {
        note(windows, PQL_NOTE_RECONCILED_AGG);
    }
}

static enum mrd_status step_total(struct pql_histogram_windows *windows,
                                  const struct pql_histogram_step *step, bool mean,
                                  struct pql_histogram_outcome *out, struct mrd_error *err)
{
    struct pql_histogram_total total = {.arena = windows->work, .mean = mean};
    if (pql_step_float_count(step) > 0) {
        note(windows, PQL_NOTE_MIXED_RANGE);
        return no_value(out);
    }
    no_value(out);
    for (size_t i = 0; i < step->count && !total.incompatible; i++) {
        MRD_TRY(pql_work(windows->exec, PQL_HISTOGRAM_UNITS, err));
        MRD_TRY(pql_histogram_total_add(&total, step->items[i], err));
    }
    if (total.incompatible) {
        note(windows, PQL_NOTE_MIXED_SCHEMAS);
        return MRD_OK;
    }
    note_sum(windows, step, total.reconciled);
    return pql_histogram_total_finish(&total, &out->histogram, err);
}

static enum mrd_status step_sum(struct pql_histogram_windows *windows,
                                const struct pql_histogram_step *step,
                                struct pql_histogram_outcome *out, struct mrd_error *err)
{
    return step_total(windows, step, false, out, err);
}
static enum mrd_status step_avg(struct pql_histogram_windows *windows,
                                const struct pql_histogram_step *step,
                                struct pql_histogram_outcome *out, struct mrd_error *err)
{
    return step_total(windows, step, true, out, err);
}

/* ---- what counts and times say ---- */

static enum mrd_status step_count(struct pql_histogram_windows *windows,
                                  const struct pql_histogram_step *step,
                                  struct pql_histogram_outcome *out, struct mrd_error *err)
{
    (void)windows;
    (void)err;
    out->value = (double)(pql_step_float_count(step) + step->count);
    return MRD_OK;
}

static enum mrd_status step_present(struct pql_histogram_windows *windows,
                                    const struct pql_histogram_step *step,
                                    struct pql_histogram_outcome *out, struct mrd_error *err)
{
    (void)windows;
    (void)step;
    (void)err;
    out->value = 1;
    return MRD_OK;
}

static bool histogram_is_first(const struct pql_histogram_step *step)
{
    return pql_step_float_count(step) == 0 ||
           step->times_ms[0] < step->floats->times_ms[step->float_from];
}
static bool histogram_is_last(const struct pql_histogram_step *step)
{
    return pql_step_float_count(step) == 0 ||
           step->times_ms[step->count - 1] > step->floats->times_ms[step->float_to - 1];
}

static enum mrd_status keep_histogram(struct pql_histogram_windows *windows, pql_histogram kept,
                                      struct pql_histogram_outcome *out, struct mrd_error *err)
{
    no_value(out);
    return mrd_float_histogram_copy(kept, windows->work, &out->histogram, err);
}

static enum mrd_status step_first(struct pql_histogram_windows *windows,
                                  const struct pql_histogram_step *step,
                                  struct pql_histogram_outcome *out, struct mrd_error *err)
{
    return histogram_is_first(step) ? keep_histogram(windows, step->items[0], out, err) : MRD_OK;
}
static enum mrd_status step_last(struct pql_histogram_windows *windows,
                                 const struct pql_histogram_step *step,
                                 struct pql_histogram_outcome *out, struct mrd_error *err)
{
    return histogram_is_last(step) ? keep_histogram(windows, step->items[step->count - 1], out, err)
                                   : MRD_OK;
}

static enum mrd_status step_ts_of_first(struct pql_histogram_windows *windows,
                                        const struct pql_histogram_step *step,
                                        struct pql_histogram_outcome *out, struct mrd_error *err)
{
    (void)windows;
    (void)err;
    if (histogram_is_first(step)) {
        out->value = (double)step->times_ms[0] / 1000;
    }
    return MRD_OK;
}
static enum mrd_status step_ts_of_last(struct pql_histogram_windows *windows,
                                       const struct pql_histogram_step *step,
                                       struct pql_histogram_outcome *out, struct mrd_error *err)
{
    (void)windows;
    (void)err;
    if (histogram_is_last(step)) {
        out->value = (double)step->times_ms[step->count - 1] / 1000;
    }
    return MRD_OK;
}

/* ---- changes, resets: floats and histograms in their order ---- */

static struct mrd_span float_span(const struct pql_histogram_step *step, size_t f)
{
    const struct pql_windows *floats = step->floats;
    return (struct mrd_span){floats->times_ms[f],
                             floats->start_times_ms == NULL ? 0 : floats->start_times_ms[f]};
}

enum mrd_status pql_step_count_events(struct pql_histogram_windows *windows,
                                      const struct pql_histogram_step *step, bool resets,
                                      struct pql_histogram_outcome *out, struct mrd_error *err)
{
    size_t f = step->float_from;
    size_t h = 0;
    size_t events = 0;
    pql_histogram before = NULL;
    double before_value = 0;
    struct mrd_span before_span = {0, 0};
    for (bool first = true; f < step->float_to || h < step->count; first = false) {
        const bool is_float = h == step->count ||
                              (f < step->float_to && step->floats->times_ms[f] < step->times_ms[h]);
        const pql_histogram now = is_float ? NULL : step->items[h];
        const double value = is_float ? step->floats->values[f] : 0;
        const struct mrd_span span = is_float ? float_span(step, f) : pql_step_span(step, h);
        bool event = false;
        MRD_TRY(pql_work(windows->exec, is_float ? 1 : PQL_HISTOGRAM_UNITS, err));
        if (!first && ((now == NULL) != (before == NULL) ||
                       (resets && mrd_span_restarts(before_span, span)))) {
            event = true;
        } else if (!first && now == NULL) {
            const bool differ = value != before_value && !(isnan(value) && isnan(before_value));
            event = resets ? value < before_value : differ;
        } else if (!first && resets) {
            MRD_TRY(mrd_float_histogram_was_reset(now, before, windows->work, &event, err));
        } else if (!first) {
            event = !mrd_float_histogram_equal(now, before);
        }
        events += event;
        before = now;
        before_value = value;
        before_span = span;
        f += is_float;
        h += !is_float;
    }
    out->value = (double)events;
    return MRD_OK;
}

static enum mrd_status step_changes(struct pql_histogram_windows *windows,
                                    const struct pql_histogram_step *step,
                                    struct pql_histogram_outcome *out, struct mrd_error *err)
{
    return pql_step_count_events(windows, step, false, out, err);
}
static enum mrd_status step_resets(struct pql_histogram_windows *windows,
                                   const struct pql_histogram_step *step,
                                   struct pql_histogram_outcome *out, struct mrd_error *err)
{
    return pql_step_count_events(windows, step, true, out, err);
}

/* ---- functions of floats alone ---- */

static enum mrd_status step_ignore(struct pql_histogram_windows *windows,
                                   const struct pql_histogram_step *step,
                                   struct pql_histogram_outcome *out, struct mrd_error *err)
{
    (void)out;
    (void)err;
    if (pql_step_float_count(step) > 0) {
        note(windows, PQL_NOTE_IGNORED_RANGE);
    }
    return MRD_OK;
}

static const struct {
    pql_window_function *window;
    pql_histogram_step_function *apply;
    bool counter;
    bool per_second;
} functions[] = {
    {pql_rate,                  pql_step_rate,    true,  true },
    {pql_increase,              pql_step_rate,    true,  false},
    {pql_delta,                 pql_step_rate,    false, false},
    {pql_irate,                 pql_step_instant, true,  true },
    {pql_idelta,                pql_step_instant, false, false},
    {pql_changes,               step_changes,     false, false},
    {pql_resets,                step_resets,      false, false},
    {pql_sum_over_time,         step_sum,         false, false},
    {pql_avg_over_time,         step_avg,         false, false},
    {pql_count_over_time,       step_count,       false, false},
    {pql_present_over_time,     step_present,     false, false},
    {pql_first_over_time,       step_first,       false, false},
    {pql_last_over_time,        step_last,        false, false},
    {pql_ts_of_first_over_time, step_ts_of_first, false, false},
    {pql_ts_of_last_over_time,  step_ts_of_last,  false, false},
};

/* ---- all steps ---- */

enum mrd_status pql_histogram_windows_create(struct pql_exec *exec,
                                             const struct pql_function *function,
                                             enum mrd_edge edge, struct mrd_annotation_place place,
                                             size_t steps, struct pql_histogram_windows **out,
                                             struct mrd_error *err)
{
    struct pql_histogram_windows *made = NULL;
    MRD_TRY(PQL_NEW(exec, 1, &made, err));
    *made = (struct pql_histogram_windows){.exec = exec,
                                           .place = place,
                                           .steps = steps,
                                           .edge = edge,
                                           .heeds_starts = function->heeds_starts &&
                                                           exec->options->use_start_timestamps,
                                           .apply = step_ignore};
    for (size_t i = 0; i < MRD_ARRAY_LEN(functions); i++) {
        if (functions[i].window == function->window) {
            made->apply = functions[i].apply;
            made->counter = functions[i].counter;
            made->per_second = functions[i].per_second;
        }
    }
    if (edge != MRD_EDGE_NONE) {
        made->apply = pql_edge_step_function(function);
    }
    MRD_TRY(PQL_NEW(exec, steps, &made->slide.from, err));
    MRD_TRY(PQL_NEW(exec, steps, &made->slide.to, err));
    MRD_TRY(pql_histograms_create(exec, steps, &made->column, err));
    *out = made;
    return MRD_OK;
}

pql_histogram *pql_histogram_windows_column(struct pql_histogram_windows *windows)
{
    return windows->column;
}

static enum mrd_status apply_step(struct pql_histogram_windows *windows,
                                  const struct pql_histogram_step *step, double *value,
                                  pql_histogram *histogram, struct mrd_error *err)
{
    struct pql_histogram_outcome outcome = {*value, NULL};
    struct mrd_float_histogram *kept = NULL;
    MRD_TRY(pql_scratch_reset(windows->exec, &windows->work, err));
    MRD_TRY(windows->apply(windows, step, &outcome, err));
    if (outcome.histogram != NULL) {
        MRD_TRY(mrd_float_histogram_clone(outcome.histogram, windows->results, &kept, err));
    }
    *value = kept != NULL ? pql_none() : outcome.value;
    *histogram = kept;
    return MRD_OK;
}

enum mrd_status pql_histogram_windows_apply(struct pql_histogram_windows *windows,
                                            const struct pql_windows *floats,
                                            const struct pql_range_series *series, double *column,
                                            struct mrd_error *err)
{
    struct pql_windows *slide = &windows->slide;
    const struct pql_histogram_samples *histograms = &series->histograms;
    if (histograms->count >= UINT32_MAX) {
        return mrd_fail(err, MRD_E_LIMIT, "a series of %zu histograms is too long for one query",
                        histograms->count);
    }
    *slide = (struct pql_windows){.times_ms = histograms->times_ms,
                                  .count = histograms->count,
                                  .steps = windows->steps,
                                  .from = slide->from,
                                  .to = slide->to,
                                  .range_ms = floats->range_ms,
                                  .end0_ms = floats->end0_ms,
                                  .end_step_ms = floats->end_step_ms,
                                  .edge = windows->edge};
    if (windows->edge == MRD_EDGE_NONE) {
        pql_windows_slide(slide);
    } else {
        pql_windows_slide_edges(slide, windows->exec->options->lookback_ms);
    }
    const mrd_time_ms *starts_ms = windows->heeds_starts ? histograms->start_times_ms : NULL;
    windows->name = pql_metric_name(series->labels);
    windows->overlaps = 0;
    MRD_TRY(pql_scratch_reset(windows->exec, &windows->results, err));
    for (size_t i = 0; i < windows->steps; i++) {
        const mrd_time_ms end_ms = slide->end0_ms + (mrd_time_ms)i * slide->end_step_ms;
        const struct pql_histogram_step step = {
            .floats = floats,
            .float_from = floats->from[i],
            .float_to = floats->to[i],
            .times_ms = histograms->times_ms + slide->from[i],
            .items = histograms->items + slide->from[i],
            .start_times_ms = starts_ms == NULL ? NULL : starts_ms + slide->from[i],
            .count = slide->to[i] - slide->from[i],
            .start_ms = end_ms - slide->range_ms,
            .end_ms = end_ms,
        };
        windows->column[i] = NULL;
        if (step.count > 0) {
            MRD_TRY(apply_step(windows, &step, &column[i], &windows->column[i], err));
            MRD_TRY(mrd_query_check(windows->exec->control, err));
        }
    }
    if (windows->overlaps > 0) {
        pql_note_overlaps(windows->exec, windows->overlaps, windows->place, windows->name);
    }
    return MRD_OK;
}
