/* anchored and smoothed ranges of native histograms. Source: Prometheus 3.14, promql/functions.go
 * (extendedHistogramRate). */
#include "promql/exec_window_histogram_internal.h"

static void note(const struct pql_histogram_windows *windows, enum pql_histogram_note what)
{
    pql_note_histogram(windows->exec, what, windows->place, windows->name);
}

static enum mrd_status no_value(struct pql_histogram_outcome *out)
{
    *out = (struct pql_histogram_outcome){pql_none(), NULL};
    return MRD_OK;
}

/* The first of the times that is not before time_ms, `count` if all are. */
static size_t find_from(const mrd_time_ms *times_ms, size_t count, mrd_time_ms time_ms)
{
    size_t low = 0;
    while (low < count) {
        const size_t middle = low + (count - low) / 2;
        if (times_ms[middle] < time_ms) {
            low = middle + 1;
        } else {
            count = middle;
        }
    }
    return low;
}

/* ---- arithmetic that tells what does not fit; *out_ok is false then ---- */

static enum mrd_status add(struct pql_histogram_windows *windows, struct mrd_float_histogram *to,
                           pql_histogram other, bool *out_ok, struct mrd_error *err)
{
    struct mrd_float_histogram_outcome outcome = {0};
    MRD_TRY(mrd_float_histogram_add(to, other, windows->work, &outcome, err));
    if (outcome.reconciled) {
        note(windows, PQL_NOTE_RECONCILED_ADD);
    }
    if (outcome.incompatible) {
        note(windows, PQL_NOTE_MIXED_SCHEMAS);
    }
    *out_ok = !outcome.incompatible;
    return MRD_OK;
}

static enum mrd_status subtract(struct pql_histogram_windows *windows,
                                struct mrd_float_histogram *from, pql_histogram other, bool *out_ok,
                                struct mrd_error *err)
{
    struct mrd_float_histogram_outcome outcome = {0};
    MRD_TRY(mrd_float_histogram_subtract(from, other, windows->work, &outcome, err));
    if (outcome.reconciled) {
        note(windows, PQL_NOTE_RECONCILED_SUB);
    }
    if (outcome.incompatible) {
        note(windows, PQL_NOTE_MIXED_SCHEMAS);
    }
    *out_ok = !outcome.incompatible;
    return MRD_OK;
}

/* On the line from histogram `at` to the next. A counter that was reset in between started from nothing. */
static enum mrd_status between(struct pql_histogram_windows *windows,
                               const struct pql_histogram_step *step, size_t at,
                               mrd_time_ms time_ms, bool counter, struct mrd_float_histogram **out,
                               bool *out_ok, struct mrd_error *err)
{
    const pql_histogram first = step->items[at];
    const pql_histogram second = step->items[at + 1];
    const mrd_time_ms first_ms = step->times_ms[at];
    const mrd_time_ms second_ms = step->times_ms[at + 1];
    const double fraction = (double)(time_ms - first_ms) / (double)(second_ms - first_ms);
    bool reset = false;
    *out_ok = true;
    MRD_TRY(
        mrd_float_histogram_copy(time_ms == first_ms ? first : second, windows->work, out, err));
    if (time_ms == first_ms || time_ms == second_ms) {
        return MRD_OK;
    }
    if (counter) {
        MRD_TRY(mrd_float_histogram_was_reset(second, first, windows->work, &reset, err));
    }
    if (!reset) {
        MRD_TRY(subtract(windows, *out, first, out_ok, err));
    }
    mrd_float_histogram_multiply(*out, fraction);
    return reset || !*out_ok ? MRD_OK : add(windows, *out, first, out_ok, err);
}

/* ---- rate, increase, delta ---- */

/* Histograms at the edges, and which of the window's they come from. */
struct edges {
    size_t first;
    size_t last;
    struct mrd_float_histogram *left;
    struct mrd_float_histogram *right;
};

/* Whether all histograms fit together. Notes gauges. */
static bool check_range(struct pql_histogram_windows *windows,
                        const struct pql_histogram_step *step, const struct edges *edges)
{
    const bool custom = mrd_float_histogram_is_custom(step->items[edges->first]);
    for (size_t i = edges->first; i <= edges->last; i++) {
        if (mrd_float_histogram_is_custom(step->items[i]) != custom) {
            note(windows, PQL_NOTE_MIXED_SCHEMAS);
            return false;
        }
        if (windows->counter && step->items[i]->reset == MRD_HISTOGRAM_GAUGE) {
            note(windows, PQL_NOTE_NOT_COUNTER);
        }
    }
    return true;
}

/* *out_ok is false if there is nothing to measure. */
static enum mrd_status find_edges(struct pql_histogram_windows *windows,
                                  const struct pql_histogram_step *step, struct edges *out,
                                  bool *out_ok, struct mrd_error *err)
{
    const bool smoothed = windows->edge == MRD_EDGE_SMOOTHED;
    const mrd_time_ms *times_ms = step->times_ms;
    const size_t newest = step->count - 1;
    const size_t after = find_from(times_ms, newest, step->start_ms + 1);
    out->first = after - (after > 0);
    out->last = smoothed ? find_from(times_ms, newest, step->end_ms) : newest;
    *out_ok = times_ms[out->last] > step->start_ms &&
              !(smoothed && times_ms[out->first] > step->end_ms) && check_range(windows, step, out);
    if (!*out_ok) {
        return MRD_OK;
    }
    if (smoothed && times_ms[out->first] < step->start_ms) {
        MRD_TRY(between(windows, step, out->first, step->start_ms, windows->counter, &out->left,
                        out_ok, err));
    } else {
        MRD_TRY(mrd_float_histogram_copy(step->items[out->first], windows->work, &out->left, err));
    }
    if (!*out_ok) {
        return MRD_OK;
    }
    if (smoothed && out->last > 0 && times_ms[out->last] > step->end_ms) {
        return between(windows, step, out->last - 1, step->end_ms, windows->counter, &out->right,
                       out_ok, err);
    }
    return mrd_float_histogram_copy(step->items[out->last], windows->work, &out->right, err);
}

/* Adds `before` to what resets have taken away if there was one before `now`. */
static enum mrd_status note_reset(struct pql_histogram_windows *windows, pql_histogram now,
                                  pql_histogram before, struct mrd_float_histogram **lost,
                                  bool *out_ok, struct mrd_error *err)
{
    bool reset = false;
    MRD_TRY(mrd_float_histogram_was_reset(now, before, windows->work, &reset, err));
    if (!reset) {
        return MRD_OK;
    }
    if (*lost == NULL) {
        return mrd_float_histogram_copy(before, windows->work, lost, err);
    }
    return add(windows, *lost, before, out_ok, err);
}

/* What resets between the edges have taken away; NULL if there was none. The last histogram is left out:
 * the right edge is made of it and has its hint. */
static enum mrd_status find_lost(struct pql_histogram_windows *windows,
                                 const struct pql_histogram_step *step, const struct edges *edges,
                                 struct mrd_float_histogram **out, bool *out_ok,
                                 struct mrd_error *err)
{
    pql_histogram before = edges->left;
    size_t at = edges->first + 1;
    bool spanned = false;
    *out = NULL;
    *out_ok = true;
    if (windows->edge == MRD_EDGE_SMOOTHED && step->times_ms[edges->first] < step->start_ms) {
        MRD_TRY(mrd_float_histogram_was_reset(step->items[at], step->items[edges->first],
                                              windows->work, &spanned, err));
    }
    if (spanned) { /* the left edge lies on the line across this reset */
        before = step->items[at++];
    }
    if (at > edges->last) {
        return MRD_OK;
    }
    for (; at < edges->last && *out_ok; at++) {
        MRD_TRY(pql_work(windows->exec, PQL_HISTOGRAM_UNITS, err));
        MRD_TRY(note_reset(windows, step->items[at], before, out, out_ok, err));
        before = step->items[at];
    }
    return *out_ok ? note_reset(windows, edges->right, before, out, out_ok, err) : MRD_OK;
}

static enum mrd_status step_rate(struct pql_histogram_windows *windows,
                                 const struct pql_histogram_step *step,
                                 struct pql_histogram_outcome *out, struct mrd_error *err)
{
    struct edges edges;
    struct mrd_float_histogram *lost = NULL;
    struct mrd_float_histogram *total = NULL;
    bool ok = false;
    no_value(out);
    if (pql_step_float_count(step) > 0) {
        note(windows, PQL_NOTE_MIXED_RANGE);
        return MRD_OK;
    }
    MRD_TRY(find_edges(windows, step, &edges, &ok, err));
    if (!ok) {
        return MRD_OK;
    }
    if (!windows->counter &&
        (edges.left->reset != MRD_HISTOGRAM_GAUGE || edges.right->reset != MRD_HISTOGRAM_GAUGE)) {
        note(windows, PQL_NOTE_NOT_GAUGE);
    }
    MRD_TRY(mrd_float_histogram_copy(edges.right, windows->work, &total, err));
    MRD_TRY(subtract(windows, total, edges.left, &ok, err));
    if (ok && windows->counter) {
        MRD_TRY(find_lost(windows, step, &edges, &lost, &ok, err));
    }
    if (ok && lost != NULL) {
        MRD_TRY(add(windows, total, lost, &ok, err));
    }
    if (!ok) {
        return MRD_OK;
    }
    if (windows->per_second) {
        mrd_float_histogram_divide(total, (double)(step->end_ms - step->start_ms) / 1000);
    }
    total->reset = MRD_HISTOGRAM_GAUGE;
    out->histogram = total;
    return mrd_float_histogram_compact(total, windows->work, err);
}

/* ---- a smoothed instant selector ---- */

static enum mrd_status step_value(struct pql_histogram_windows *windows,
                                  const struct pql_histogram_step *step,
                                  struct pql_histogram_outcome *out, struct mrd_error *err)
{
    const size_t at = find_from(step->times_ms, step->count, step->end_ms);
    bool ok = true;
    no_value(out);
    if (pql_step_float_count(step) > 0) {
        note(windows, PQL_NOTE_MIXED_RANGE);
        return MRD_OK;
    }
    if (at < step->count && step->times_ms[at] == step->end_ms) {
        return mrd_float_histogram_copy(step->items[at], windows->work, &out->histogram, err);
    }
    if (at == 0) {
        return MRD_OK;
    }
    const pql_histogram before = step->items[at - 1];
    if (at == step->count) {
        MRD_TRY(mrd_float_histogram_copy(before, windows->work, &out->histogram, err));
        out->histogram->reset = MRD_HISTOGRAM_RESET_UNKNOWN;
        return MRD_OK;
    }
    const pql_histogram after = step->items[at];
    if (mrd_float_histogram_is_custom(before) != mrd_float_histogram_is_custom(after)) {
        note(windows, PQL_NOTE_MIXED_SCHEMAS);
        return MRD_OK;
    }
    const bool counter =
        before->reset != MRD_HISTOGRAM_GAUGE || after->reset != MRD_HISTOGRAM_GAUGE;
    MRD_TRY(between(windows, step, at - 1, step->end_ms, counter, &out->histogram, &ok, err));
    out->histogram = ok ? out->histogram : NULL;
    return MRD_OK;
}

/* ---- changes, resets ---- */

/* The window from its anchor on: the newest sample of either kind at or before the begin, if there is one,
 * and all after it. False if there is nothing after the begin. */
static bool anchor(const struct pql_histogram_windows *windows,
                   const struct pql_histogram_step *step, struct pql_histogram_step *out)
{
    const mrd_time_ms *float_times_ms = step->floats->times_ms;
    const mrd_time_ms oldest_ms = step->start_ms - windows->exec->options->lookback_ms + 1;
    const size_t oldest = find_from(float_times_ms, step->float_to, oldest_ms);
    const size_t floats = find_from(float_times_ms, step->float_to, step->start_ms + 1);
    const size_t histograms = find_from(step->times_ms, step->count, step->start_ms + 1);
    const bool float_before = floats > oldest;
    const bool histogram_before = histograms > 0;
    size_t skipped = histograms;
    *out = *step;
    out->float_from = floats;
    if (float_before &&
        !(histogram_before && step->times_ms[histograms - 1] > float_times_ms[floats - 1])) {
        out->float_from--;
    } else if (histogram_before) {
        skipped--;
    }
    out->times_ms += skipped;
    out->items += skipped;
    if (out->start_times_ms != NULL) {
        out->start_times_ms += skipped;
    }
    out->count -= skipped;
    return floats < step->float_to || histograms < step->count;
}

static enum mrd_status step_changes(struct pql_histogram_windows *windows,
                                    const struct pql_histogram_step *step,
                                    struct pql_histogram_outcome *out, struct mrd_error *err)
{
    struct pql_histogram_step anchored;
    return anchor(windows, step, &anchored)
               ? pql_step_count_events(windows, &anchored, false, out, err)
               : no_value(out);
}
static enum mrd_status step_resets(struct pql_histogram_windows *windows,
                                   const struct pql_histogram_step *step,
                                   struct pql_histogram_outcome *out, struct mrd_error *err)
{
    struct pql_histogram_step anchored;
    return anchor(windows, step, &anchored)
               ? pql_step_count_events(windows, &anchored, true, out, err)
               : no_value(out);
}

pql_histogram_step_function *pql_edge_step_function(const struct pql_function *function)
{
    if (function->window == NULL) {
        return step_value;
    }
    if (function->window == pql_changes) {
        return step_changes;
    }
    return function->window == pql_resets ? step_resets : step_rate;
}
