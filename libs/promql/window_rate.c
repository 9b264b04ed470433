/* Functions of counters and gauges over a window: how much, how fast, how often. */
#include "promql/kahan.h"
#include "promql/window.h"

/* ---- rate, increase, delta: the difference over the window, extrapolated to its edges ---- */

static struct mrd_span span_at(const struct pql_windows *windows, size_t i)
{
    return (struct mrd_span){windows->times_ms[i], windows->start_times_ms[i]};
}

/* Marks all samples that are lower than the one before, or began after it. */
static size_t find_resets(const struct pql_windows *windows)
{
    const double *values = windows->values;
    uint32_t *out = windows->marks;
    size_t found = 0;
    PQL_WINDOW_PARTS(&windows->look, i, until, 1, windows->count)
    {
        for (; windows->start_times_ms == NULL && i < until; i++) {
            out[found] = (uint32_t)i; /* overwritten unless it is one */
            found += values[i] < values[i - 1];
        }
        for (; i < until; i++) {
            out[found] = (uint32_t)i;
            found += values[i] < values[i - 1] ||
                     mrd_span_restarts(span_at(windows, i - 1), span_at(windows, i));
        }
    }
    return found;
}

/* How much the ends of the sampled interval are stretched: up to the window's edge if the next sample
 * could have been just beyond it, else half an average interval. */
static double stretch(double to_edge, double average)
{
    return to_edge >= average * 1.1 ? average / 2 : to_edge;
}

/* What extrapolation depends on besides values. For a regular series it is the same at each step, so
 * what follows from it is computed once. */
struct shape {
    mrd_time_ms to_start_ms; /* from the window's begin to the first sample */
    mrd_time_ms sampled_ms;  /* from the first sample to the last */
    mrd_time_ms to_end_ms;   /* from the last sample to the window's end */
    uint32_t intervals;
};

struct extrapolation {
    struct shape shape;
    double per; /* seconds of the range for a rate, 0 for an increase */
    double sampled;
    double to_start;
    double to_end;
    double factor; /* if the counter's zero does not limit it */
};

static double extrapolation_factor(const struct extrapolation *how, double to_start)
{
    const double factor =
        how->sampled == 0 ? 1 : (how->sampled + to_start + how->to_end) / how->sampled;
    return how->per == 0 ? factor : factor / how->per;
}

static inline bool shape_equal(const struct shape *a, const struct shape *b)
{
    return a->to_start_ms == b->to_start_ms && a->sampled_ms == b->sampled_ms &&
           a->to_end_ms == b->to_end_ms && a->intervals == b->intervals;
}

static void extrapolation_set(struct extrapolation *how, const struct shape *shape)
{
    how->shape = *shape;
    how->sampled = (double)shape->sampled_ms / 1000;
    const double average = how->sampled / (double)shape->intervals;
    how->to_start = stretch((double)shape->to_start_ms / 1000, average);
    how->to_end = stretch((double)shape->to_end_ms / 1000, average);
    how->factor = extrapolation_factor(how, how->to_start);
}

/* A counter cannot have been below zero: it is not stretched past the point where it was zero. From
 * first >= 2 * difference on that point is two sampled intervals away, further than any stretch. */
static inline double counter_factor(const struct extrapolation *how, double first,
                                    double difference)
{
    if (!(difference > 0 && first >= 0) || first >= 2 * difference) {
        return how->factor;
    }
    const double to_zero = how->sampled * (first / difference);
    return to_zero < how->to_start ? extrapolation_factor(how, to_zero) : how->factor;
}

/* Go's time.Duration.Seconds. */
static double range_seconds(mrd_time_ms range_ms)
{
    return (double)(range_ms / 1000) + (double)(range_ms % 1000 * 1000000) / 1e9;
}

/* Adds the values that were lost in resets inside (first, last], in their order. *reset only moves
 * forward from step to step. */
static inline double add_resets(const struct pql_windows *windows, size_t reset_count,
                                size_t *reset, uint32_t first, uint32_t last, double difference)
{
    while (*reset < reset_count && windows->marks[*reset] <= first) {
        (*reset)++;
    }
    PQL_WINDOW_PARTS(&windows->look, r, until, *reset, reset_count)
    {
        for (; r < until && windows->marks[r] <= last; r++) {
            difference += windows->values[windows->marks[r] - 1];
        }
        if (r < until) {
            break;
        }
    }
    return difference;
}

static inline void extrapolated(const struct pql_windows *windows, double *out, bool counter,
                                bool per_second)
{
    const double *values = windows->values;
    const mrd_time_ms *times_ms = windows->times_ms;
    const size_t reset_count = counter ? find_resets(windows) : 0;
    struct extrapolation how = {.per = per_second ? range_seconds(windows->range_ms) : 0};
    size_t reset = 0;
    mrd_time_ms end_ms = windows->end0_ms;
    for (size_t i = 0; i < windows->steps; i++, end_ms += windows->end_step_ms) {
        const uint32_t first = windows->from[i];
        const uint32_t last = windows->to[i] - 1;
        if (windows->to[i] - first < 2) {
            out[i] = pql_none();
            continue;
        }
        const struct shape shape = {times_ms[first] - (end_ms - windows->range_ms),
                                    times_ms[last] - times_ms[first], end_ms - times_ms[last],
                                    last - first};
        if (!shape_equal(&shape, &how.shape)) {
            extrapolation_set(&how, &shape);
        }
        double difference = values[last] - values[first];
        if (counter) {
            difference = add_resets(windows, reset_count, &reset, first, last, difference);
        }
        out[i] =
            difference * (counter ? counter_factor(&how, values[first], difference) : how.factor);
    }
}

/* How much is added to what a counter has counted from `shape->to_start_ms` on, where it was zero. */
static double factor_from_zero(const struct shape *shape, double per)
{
    const double sampled = (double)shape->sampled_ms / 1000;
    const double average = shape->intervals == 0 ? 0 : sampled / (double)shape->intervals;
    const double counted = (double)(shape->sampled_ms + shape->to_start_ms) / 1000;
    const double factor = (counted + stretch((double)shape->to_end_ms / 1000, average)) / counted;
    return per == 0 ? factor : factor / per;
}

/* Of a counter with start times. If that of the window's first sample is in the window, it was zero then: one
 * sample is enough, and nothing is guessed about the time before. */
static void extrapolated_started(const struct pql_windows *windows, double *out, bool per_second)
{
    const mrd_time_ms *times_ms = windows->times_ms;
    const size_t reset_count = find_resets(windows);
    struct extrapolation how = {.per = per_second ? range_seconds(windows->range_ms) : 0};
    size_t reset = 0;
    mrd_time_ms end_ms = windows->end0_ms;
    for (size_t i = 0; i < windows->steps; i++, end_ms += windows->end_step_ms) {
        const uint32_t first = windows->from[i];
        const uint32_t last = windows->to[i] - 1;
        out[i] = pql_none();
        if (windows->to[i] == first) {
            continue;
        }
        struct shape shape = {times_ms[first] - (end_ms - windows->range_ms),
                              times_ms[last] - times_ms[first], end_ms - times_ms[last],
                              last - first};
        const double value = windows->values[first];
        const double difference =
            add_resets(windows, reset_count, &reset, first, last, windows->values[last] - value);
        const mrd_time_ms start_ms = windows->start_times_ms[first];
        if (start_ms != 0 && start_ms > end_ms - windows->range_ms && start_ms < times_ms[first]) {
            shape.to_start_ms = times_ms[first] - start_ms;
            out[i] = (difference + value) * factor_from_zero(&shape, how.per);
        } else if (first < last) {
            if (!shape_equal(&shape, &how.shape)) {
                extrapolation_set(&how, &shape);
            }
            out[i] = difference * counter_factor(&how, value, difference);
        }
    }
}

static void counter_change(const struct pql_windows *windows, double *out, bool per_second)
{
    if (windows->start_times_ms != NULL) {
        extrapolated_started(windows, out, per_second);
    } else {
        extrapolated(windows, out, true, per_second);
    }
}

void pql_rate(const struct pql_windows *windows, double *out)
{
    counter_change(windows, out, true);
}
void pql_increase(const struct pql_windows *windows, double *out)
{
    counter_change(windows, out, false);
}
void pql_delta(const struct pql_windows *windows, double *out)
{
    extrapolated(windows, out, false, false);
}

/* ---- irate, idelta: the last two samples ---- */

static inline void instant_change(const struct pql_windows *windows, double *out, bool rate)
{
    for (size_t i = 0; i < windows->steps; i++) {
        if (windows->to[i] - windows->from[i] < 2) {
            out[i] = pql_none();
            continue;
        }
        const uint32_t last = windows->to[i] - 1;
        const double value = windows->values[last];
        const double before = windows->values[last - 1];
        const bool reset = value < before ||
                           (windows->start_times_ms != NULL &&
                            mrd_span_restarts(span_at(windows, last - 1), span_at(windows, last)));
        double change = rate && reset ? value : value - before;
        if (rate) {
            change /= (double)(windows->times_ms[last] - windows->times_ms[last - 1]) / 1000;
        }
        out[i] = change;
    }
}

void pql_irate(const struct pql_windows *windows, double *out)
{
    instant_change(windows, out, true);
}
void pql_idelta(const struct pql_windows *windows, double *out)
{
    instant_change(windows, out, false);
}

/* ---- changes, resets: counted per window from the positions where they happen ---- */

static size_t find_changes(const struct pql_windows *windows)
{
    const double *values = windows->values;
    size_t found = 0;
    PQL_WINDOW_PARTS(&windows->look, i, until, 1, windows->count)
    {
        for (; i < until; i++) {
            if (values[i] != values[i - 1] && !(isnan(values[i]) && isnan(values[i - 1]))) {
                windows->marks[found++] = (uint32_t)i;
            }
        }
    }
    return found;
}

/* Marks in (first, last] of each window; both ends only move forward. */
static void count_marks(const struct pql_windows *windows, size_t mark_count, double *out)
{
    size_t begin = 0;
    size_t end = 0;
    for (size_t i = 0; i < windows->steps; i++) {
        if (windows->to[i] == windows->from[i]) {
            out[i] = pql_none();
            continue;
        }
        while (begin < mark_count && windows->marks[begin] <= windows->from[i]) {
            begin++;
        }
        while (end < mark_count && windows->marks[end] < windows->to[i]) {
            end++;
        }
        out[i] = end > begin ? (double)(end - begin) : 0;
    }
}

void pql_changes(const struct pql_windows *windows, double *out)
{
    count_marks(windows, find_changes(windows), out);
}
void pql_resets(const struct pql_windows *windows, double *out)
{
    count_marks(windows, find_resets(windows), out);
}

size_t pql_count_overlaps(const struct pql_windows *windows, const double *out)
{
    size_t found = 0;
    size_t next = 0;
    size_t windows_with = 0;
    PQL_WINDOW_PARTS(&windows->look, i, until, 1, windows->count)
    {
        for (; i < until; i++) {
            if (mrd_span_overlaps(span_at(windows, i - 1), span_at(windows, i))) {
                windows->marks[found++] = (uint32_t)i;
            }
        }
    }
    for (size_t i = 0; i < windows->steps; i++) {
        while (next < found && windows->marks[next] <= windows->from[i]) {
            next++;
        }
        const bool overlap = next < found && windows->marks[next] < windows->to[i];
        windows_with += overlap && !pql_is_none(out[i]);
    }
    return windows_with;
}

/* ---- deriv, predict_linear: least squares with compensated sums ---- */

struct line {
    double slope;
    double intercept;
};

static bool all_equal(const struct pql_windows *windows, uint32_t from, uint32_t to)
{
    const double *values = windows->values;
    PQL_WINDOW_PARTS(&windows->look, i, until, from + 1, to)
    {
        for (; i < until; i++) {
            if (values[i] != values[from]) {
                return false;
            }
        }
    }
    return true;
}

static struct line fit_line(const struct pql_windows *windows, uint32_t from, uint32_t to,
                            mrd_time_ms origin_ms)
{
    const double *values = windows->values;
    if (all_equal(windows, from, to)) {
        const bool infinite = isinf(values[from]);
        return infinite ? (struct line){NAN, NAN} : (struct line){0, values[from]};
    }
    struct mrd_kahan x_sum = {0};
    struct mrd_kahan y_sum = {0};
    struct mrd_kahan xy_sum = {0};
    struct mrd_kahan xx_sum = {0};
    PQL_WINDOW_PARTS(&windows->look, i, until, from, to)
    {
        for (; i < until; i++) {
            const double x = (double)(windows->times_ms[i] - origin_ms) / 1e3;
            x_sum = mrd_kahan_add(x_sum, x);
            y_sum = mrd_kahan_add(y_sum, values[i]);
            xy_sum = mrd_kahan_add(xy_sum, x * values[i]);
            xx_sum = mrd_kahan_add(xx_sum, x * x);
        }
    }
    const double n = (double)(to - from);
    const double sx = x_sum.sum + x_sum.compensation;
    const double sy = y_sum.sum + y_sum.compensation;
    const double covariance = xy_sum.sum + xy_sum.compensation - sx * sy / n;
    const double variance = xx_sum.sum + xx_sum.compensation - sx * sx / n;
    const double slope = covariance / variance;
    return (struct line){slope, sy / n - slope * sx / n};
}

void pql_deriv(const struct pql_windows *windows, double *out)
{
    for (size_t i = 0; i < windows->steps; i++) {
        const uint32_t from = windows->from[i];
        const uint32_t to = windows->to[i];
        out[i] =
            to - from < 2 ? pql_none() : fit_line(windows, from, to, windows->times_ms[from]).slope;
    }
}

void pql_predict_linear(const struct pql_windows *windows, double *out)
{
    mrd_time_ms eval_ms = windows->eval0_ms;
    for (size_t i = 0; i < windows->steps; i++, eval_ms += windows->eval_step_ms) {
        const uint32_t from = windows->from[i];
        const uint32_t to = windows->to[i];
        if (to - from < 2) {
            out[i] = pql_none();
            continue;
        }
        const struct line line = fit_line(windows, from, to, eval_ms);
        out[i] = line.slope * windows->args[0][i] + line.intercept;
    }
}

/* ---- double_exponential_smoothing ---- */

static double smooth(const struct mrd_look *look, const double *values, size_t count,
                     double smoothing, double trending)
{
    double before = 0;
    double smoothed = values[0];
    double trend = values[1] - values[0];
    PQL_WINDOW_PARTS(look, i, until, 1, count)
    {
        for (; i < until; i++) {
            const double scaled = smoothing * values[i];
            if (i > 1) {
                trend = trending * (smoothed - before) + (1 - trending) * trend;
            }
            const double carried = (1 - smoothing) * (smoothed + trend);
            before = smoothed;
            smoothed = scaled + carried;
        }
    }
    return smoothed;
}

void pql_double_exponential_smoothing(const struct pql_windows *windows, double *out)
{
    for (size_t i = 0; i < windows->steps; i++) {
        const size_t count = windows->to[i] - windows->from[i];
        out[i] = count < 2 ? pql_none()
                           : smooth(&windows->look, windows->values + windows->from[i], count,
                                    windows->args[0][i], windows->args[1][i]);
    }
}
