/* rate, increase, delta, irate and idelta of native histograms. Source: Prometheus 3.14, promql/functions.go
 * (extrapolatedRate, histogramRate, instantValue). */
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

/* ---- resets ---- */

/* Whether the counter was reset before the i-th histogram of the window; `before` stands for the one before it. */
static enum mrd_status was_reset(struct pql_histogram_windows *windows,
                                 const struct pql_histogram_step *step, size_t i,
                                 pql_histogram before, bool *out, struct mrd_error *err)
{
    if (mrd_span_restarts(pql_step_span(step, i - 1), pql_step_span(step, i))) {
        *out = true;
        return MRD_OK;
    }
    return mrd_float_histogram_was_reset(step->items[i], before, windows->work, out, err);
}

static void count_overlap(struct pql_histogram_windows *windows,
                          const struct pql_histogram_step *step)
{
    for (size_t i = 1; step->start_times_ms != NULL && i < step->count; i++) {
        if (mrd_span_overlaps(pql_step_span(step, i - 1), pql_step_span(step, i))) {
            windows->overlaps++;
            return;
        }
    }
}

/* ---- rate, increase, delta ---- */

/* The histogram before the first one counts as empty if the counter was reset between them. */
static enum mrd_status rate_base(struct pql_histogram_windows *windows,
                                 const struct pql_histogram_step *step,
                                 struct mrd_float_histogram *empty, pql_histogram *out,
                                 struct mrd_error *err)
{
    const pql_histogram second = step->items[1];
    bool reset = false;
    *out = step->items[0];
    if (!windows->counter) {
        return MRD_OK;
    }
    MRD_TRY(was_reset(windows, step, 1, step->items[0], &reset, err));
    if (reset) {
        *empty = (struct mrd_float_histogram){.schema = second->schema,
                                              .custom_values = second->custom_values,
                                              .custom_value_count = second->custom_value_count};
        *out = empty;
    }
    return MRD_OK;
}

/* Adds back what resets have taken away. *out_ok is false if the histograms do not fit together. */
static enum mrd_status add_resets(struct pql_histogram_windows *windows,
                                  const struct pql_histogram_step *step, pql_histogram before,
                                  struct mrd_float_histogram *total, bool *out_ok,
                                  struct mrd_error *err)
{
    *out_ok = true;
    count_overlap(windows, step);
    for (size_t i = 1; i < step->count; i++) {
        struct mrd_float_histogram_outcome outcome = {0};
        bool reset = false;
        MRD_TRY(pql_work(windows->exec, PQL_HISTOGRAM_UNITS, err));
        MRD_TRY(was_reset(windows, step, i, before, &reset, err));
        if (reset) {
            MRD_TRY(mrd_float_histogram_add(total, before, windows->work, &outcome, err));
        }
        if (outcome.incompatible) {
            note(windows, PQL_NOTE_MIXED_SCHEMAS);
            *out_ok = false;
            return MRD_OK;
        }
        if (outcome.reconciled) {
            note(windows, PQL_NOTE_RECONCILED_ADD);
        }
        before = step->items[i];
    }
    return MRD_OK;
}

/* The coarsest schema of all, or false if exponential and custom bounds are mixed. Notes gauges. */
static bool rate_schema(struct pql_histogram_windows *windows,
                        const struct pql_histogram_step *step, pql_histogram base, int32_t *out)
{
    const pql_histogram last = step->items[step->count - 1];
    const bool custom = mrd_float_histogram_is_custom(base);
    bool fits = mrd_float_histogram_is_custom(last) == custom;
    *out = MRD_MIN(last->schema, base->schema);
    for (size_t i = 1; fits && windows->counter && i + 1 < step->count; i++) {
        if (step->items[i]->reset == MRD_HISTOGRAM_GAUGE) {
            note(windows, PQL_NOTE_NOT_COUNTER);
        }
        *out = MRD_MIN(*out, step->items[i]->schema);
        fits = mrd_float_histogram_is_custom(step->items[i]) == custom;
    }
    if (!fits) {
        note(windows, PQL_NOTE_MIXED_SCHEMAS);
    }
    return fits;
}

/* The difference of the last and the first histogram, resets added; NULL if there is none. */
static enum mrd_status rate_difference(struct pql_histogram_windows *windows,
                                       const struct pql_histogram_step *step,
                                       struct mrd_float_histogram **out, struct mrd_error *err)
{
    const pql_histogram first = step->items[0];
    const pql_histogram last = step->items[step->count - 1];
    const bool any_gauge =
        first->reset == MRD_HISTOGRAM_GAUGE || last->reset == MRD_HISTOGRAM_GAUGE;
    struct mrd_float_histogram empty;
    struct mrd_float_histogram *total = NULL;
    struct mrd_float_histogram_outcome outcome;
    pql_histogram base = NULL;
    int32_t schema = 0;
    bool ok = true;
    *out = NULL;
    if (windows->counter && any_gauge) {
        note(windows, PQL_NOTE_NOT_COUNTER);
    }
    MRD_TRY(rate_base(windows, step, &empty, &base, err));
    if (!rate_schema(windows, step, base, &schema)) {
        return MRD_OK;
    }
    MRD_TRY(mrd_float_histogram_copy(last, windows->work, &total, err));
    MRD_TRY(mrd_float_histogram_reduce(total, schema, windows->work, err));
    MRD_TRY(mrd_float_histogram_subtract(total, base, windows->work, &outcome, err));
    if (outcome.incompatible) {
        note(windows, PQL_NOTE_MIXED_SCHEMAS);
        return MRD_OK;
    }
    if (outcome.reconciled) {
        note(windows, PQL_NOTE_RECONCILED_SUB);
    }
    if (windows->counter) {
        MRD_TRY(add_resets(windows, step, base, total, &ok, err));
    } else if (first->reset != MRD_HISTOGRAM_GAUGE || last->reset != MRD_HISTOGRAM_GAUGE) {
        note(windows, PQL_NOTE_NOT_GAUGE);
    }
    total->reset = MRD_HISTOGRAM_GAUGE;
    MRD_TRY(mrd_float_histogram_compact(total, windows->work, err));
    *out = ok ? total : NULL;
    return MRD_OK;
}

/* By how much the difference is stretched to the whole range: as with floats, and a counter does not begin
 * before its count was zero. */
static double rate_factor(const struct pql_histogram_windows *windows,
                          const struct pql_histogram_step *step,
                          const struct mrd_float_histogram *difference)
{
    const double sampled = (double)(step->times_ms[step->count - 1] - step->times_ms[0]) / 1000;
    const double average = sampled / (double)(step->count - 1);
    const double threshold = average * 1.1;
    double to_start = (double)(step->times_ms[0] - step->start_ms) / 1000;
    double to_end = (double)(step->end_ms - step->times_ms[step->count - 1]) / 1000;
    if (to_start >= threshold) {
        to_start = average / 2;
    }
    if (windows->counter && difference->count > 0 && step->items[0]->count >= 0) {
        const double to_zero = sampled * (step->items[0]->count / difference->count);
        to_start = to_zero < to_start ? to_zero : to_start;
    }
    if (to_end >= threshold) {
        to_end = average / 2;
    }
    double factor = sampled != 0 ? (sampled + to_start + to_end) / sampled : 1;
    if (windows->per_second) {
        factor /= (double)(step->end_ms - step->start_ms) / 1000;
    }
    return factor;
}

/* Whether the window's first histogram began to count inside it. */
static bool starts_inside(const struct pql_histogram_step *step)
{
    const struct mrd_span first = pql_step_span(step, 0);
    return first.start_ms != 0 && first.start_ms > step->start_ms && first.start_ms < first.time_ms;
}

/* As rate_factor, where what was counted began with nothing at the first one's start time. */
static double factor_from_zero(const struct pql_histogram_windows *windows,
                               const struct pql_histogram_step *step)
{
    const mrd_time_ms last_ms = step->times_ms[step->count - 1];
    const double sampled = (double)(last_ms - step->times_ms[0]) / 1000;
    const double average = step->count == 1 ? 0 : sampled / (double)(step->count - 1);
    const double counted = (double)(last_ms - step->start_times_ms[0]) / 1000;
    double to_end = (double)(step->end_ms - last_ms) / 1000;
    if (to_end >= average * 1.1) {
        to_end = average / 2;
    }
    const double factor = (counted + to_end) / counted;
    return windows->per_second ? factor / ((double)(step->end_ms - step->start_ms) / 1000) : factor;
}

/* Adds the first histogram to the difference to it. Leaves none if they do not fit. */
static enum mrd_status add_first(struct pql_histogram_windows *windows,
                                 const struct pql_histogram_step *step,
                                 struct mrd_float_histogram **total, struct mrd_error *err)
{
    struct mrd_float_histogram_outcome outcome = {0};
    if (*total == NULL) {
        return mrd_float_histogram_copy(step->items[0], windows->work, total, err);
    }
    MRD_TRY(mrd_float_histogram_add(*total, step->items[0], windows->work, &outcome, err));
    if (outcome.reconciled) {
        note(windows, PQL_NOTE_RECONCILED_ADD);
    }
    if (outcome.incompatible) {
        note(windows, PQL_NOTE_MIXED_SCHEMAS);
        *total = NULL;
    }
    return MRD_OK;
}

enum mrd_status pql_step_rate(struct pql_histogram_windows *windows,
                              const struct pql_histogram_step *step,
                              struct pql_histogram_outcome *out, struct mrd_error *err)
{
    const bool from_zero = starts_inside(step);
    if (pql_step_float_count(step) > 0) {
        note(windows, PQL_NOTE_MIXED_RANGE);
        return no_value(out);
    }
    no_value(out);
    if (step->count >= 2) {
        MRD_TRY(rate_difference(windows, step, &out->histogram, err));
    }
    if (step->count >= 2 ? out->histogram == NULL : !from_zero) {
        return MRD_OK;
    }
    if (from_zero) {
        MRD_TRY(add_first(windows, step, &out->histogram, err));
    }
    if (out->histogram != NULL) {
        mrd_float_histogram_multiply(out->histogram,
                                     from_zero ? factor_from_zero(windows, step)
                                               : rate_factor(windows, step, out->histogram));
    }
    return MRD_OK;
}

/* ---- irate, idelta ---- */

static enum mrd_status last_difference(struct pql_histogram_windows *windows,
                                       const struct pql_histogram_step *step,
                                       struct mrd_float_histogram **out, struct mrd_error *err)
{
    const pql_histogram last = step->items[step->count - 1];
    const pql_histogram before = step->items[step->count - 2];
    struct mrd_float_histogram *made = NULL;
    const bool all_gauges =
        before->reset == MRD_HISTOGRAM_GAUGE && last->reset == MRD_HISTOGRAM_GAUGE;
    const bool any_gauge =
        before->reset == MRD_HISTOGRAM_GAUGE || last->reset == MRD_HISTOGRAM_GAUGE;
    bool reset = false;
    if (windows->counter && any_gauge) {
        note(windows, PQL_NOTE_NOT_COUNTER);
    } else if (!windows->counter && !all_gauges) {
        note(windows, PQL_NOTE_NOT_GAUGE);
    }
    MRD_TRY(mrd_float_histogram_copy(last, windows->work, &made, err));
    if (windows->counter) {
        MRD_TRY(was_reset(windows, step, step->count - 1, before, &reset, err));
    }
    if (!reset) {
        struct mrd_float_histogram_outcome outcome;
        MRD_TRY(mrd_float_histogram_subtract(made, before, windows->work, &outcome, err));
        if (outcome.incompatible) {
            note(windows, PQL_NOTE_MIXED_SCHEMAS);
            return MRD_OK;
        }
        if (outcome.reconciled) {
            note(windows, PQL_NOTE_RECONCILED_SUB);
        }
    }
    made->reset = MRD_HISTOGRAM_GAUGE;
    *out = made;
    return mrd_float_histogram_compact(made, windows->work, err);
}

enum mrd_status pql_step_instant(struct pql_histogram_windows *windows,
                                 const struct pql_histogram_step *step,
                                 struct pql_histogram_outcome *out, struct mrd_error *err)
{
    const size_t floats = pql_step_float_count(step);
    const mrd_time_ms *float_times_ms =
        floats == 0 ? NULL : step->floats->times_ms + step->float_from;
    size_t newer_floats = 0; /* floats after the newest histogram; two are enough to know */
    size_t newer = 0;        /* histograms after the newest float */
    while (newer_floats < floats && newer_floats < 2 &&
           float_times_ms[floats - 1 - newer_floats] > step->times_ms[step->count - 1]) {
        newer_floats++;
    }
    while (newer < step->count && newer < 2 &&
           (floats == 0 || step->times_ms[step->count - 1 - newer] > float_times_ms[floats - 1])) {
        newer++;
    }
    if (floats + step->count < 2) {
        return no_value(out);
    }
    if (newer_floats == 2) {
        return MRD_OK; /* the last two are floats */
    }
    no_value(out);
    if (newer < 2) {
        note(windows, PQL_NOTE_MIXED_RANGE);
        return MRD_OK;
    }
    const size_t last = step->count - 1;
    MRD_TRY(last_difference(windows, step, &out->histogram, err));
    if (out->histogram != NULL && windows->per_second) {
        const mrd_time_ms interval_ms = step->times_ms[last] - step->times_ms[last - 1];
        mrd_float_histogram_divide(out->histogram, (double)interval_ms / 1000);
    }
    return MRD_OK;
}
