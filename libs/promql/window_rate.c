/* Functions of counters and gauges over a window: how much, how fast, how often. */
#include "promql/kahan.h"
#include "promql/window.h"

/* ---- rate, increase, delta: the difference over the window, extrapolated to its edges ---- */

/* Positions of all samples that are lower than the one before. */
static size_t find_resets(const double *values, size_t count, uint32_t *out)
{
    size_t found = 0;
    for (size_t i = 1; i < count; i++) {
        if (values[i] < values[i - 1]) {
            out[found++] = (uint32_t)i;
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

struct extrapolation {
    mrd_time_ms begin_ms;
    mrd_time_ms end_ms;
    bool counter;
};

static double extrapolate_factor(const struct pql_windows *windows, uint32_t first, uint32_t last,
                                 double difference, struct extrapolation how)
{
    const mrd_time_ms first_ms = windows->times_ms[first];
    const mrd_time_ms last_ms = windows->times_ms[last];
    const double sampled = (double)(last_ms - first_ms) / 1000;
    const double average = sampled / (double)(last - first);
    double to_start = stretch((double)(first_ms - how.begin_ms) / 1000, average);
    if (how.counter && difference > 0 && windows->values[first] >= 0) {
        /* A counter cannot have been below zero: do not stretch past the point where it was zero. */
        const double to_zero = sampled * (windows->values[first] / difference);
        if (to_zero < to_start) {
            to_start = to_zero;
        }
    }
    const double to_end = stretch((double)(how.end_ms - last_ms) / 1000, average);
    return sampled == 0 ? 1 : (sampled + to_start + to_end) / sampled;
}

/* Go's time.Duration.Seconds. */
static double range_seconds(mrd_time_ms range_ms)
{
    return (double)(range_ms / 1000) + (double)(range_ms % 1000 * 1000000) / 1e9;
}

static inline void extrapolated(const struct pql_windows *windows, double *out, bool counter,
                                bool per_second)
{
    const double *values = windows->values;
    const size_t reset_count = counter ? find_resets(values, windows->count, windows->marks) : 0;
    const double seconds = range_seconds(windows->range_ms);
    size_t reset = 0;
    struct extrapolation how = {.end_ms = windows->end0_ms, .counter = counter};
    for (size_t i = 0; i < windows->steps; i++, how.end_ms += windows->end_step_ms) {
        if (windows->to[i] - windows->from[i] < 2) {
            out[i] = pql_none();
            continue;
        }
        const uint32_t first = windows->from[i];
        const uint32_t last = windows->to[i] - 1;
        double difference = values[last] - values[first];
        while (reset < reset_count && windows->marks[reset] <= first) {
            reset++;
        }
        for (size_t r = reset; r < reset_count && windows->marks[r] <= last; r++) {
            difference += values[windows->marks[r] - 1];
        }
        how.begin_ms = how.end_ms - windows->range_ms;
        double factor = extrapolate_factor(windows, first, last, difference, how);
        if (per_second) {
            factor /= seconds;
        }
        out[i] = difference * factor;
    }
}

void pql_rate(const struct pql_windows *windows, double *out)
{
    extrapolated(windows, out, true, true);
}
void pql_increase(const struct pql_windows *windows, double *out)
{
    extrapolated(windows, out, true, false);
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
        double change = rate && value < before ? value : value - before;
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

static size_t find_changes(const double *values, size_t count, uint32_t *out)
{
    size_t found = 0;
    for (size_t i = 1; i < count; i++) {
        if (values[i] != values[i - 1] && !(isnan(values[i]) && isnan(values[i - 1]))) {
            out[found++] = (uint32_t)i;
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
    count_marks(windows, find_changes(windows->values, windows->count, windows->marks), out);
}
void pql_resets(const struct pql_windows *windows, double *out)
{
    count_marks(windows, find_resets(windows->values, windows->count, windows->marks), out);
}

/* ---- deriv, predict_linear: least squares with compensated sums ---- */

struct line {
    double slope;
    double intercept;
};

static bool all_equal(const double *values, uint32_t from, uint32_t to)
{
    for (uint32_t i = from + 1; i < to; i++) {
        if (values[i] != values[from]) {
            return false;
        }
    }
    return true;
}

static struct line fit_line(const struct pql_windows *windows, uint32_t from, uint32_t to,
                            mrd_time_ms origin_ms)
{
    const double *values = windows->values;
    if (all_equal(values, from, to)) {
        const bool infinite = isinf(values[from]);
        return infinite ? (struct line){NAN, NAN} : (struct line){0, values[from]};
    }
    struct mrd_kahan x_sum = {0};
    struct mrd_kahan y_sum = {0};
    struct mrd_kahan xy_sum = {0};
    struct mrd_kahan xx_sum = {0};
    for (uint32_t i = from; i < to; i++) {
        const double x = (double)(windows->times_ms[i] - origin_ms) / 1e3;
        x_sum = mrd_kahan_add(x_sum, x);
        y_sum = mrd_kahan_add(y_sum, values[i]);
        xy_sum = mrd_kahan_add(xy_sum, x * values[i]);
        xx_sum = mrd_kahan_add(xx_sum, x * x);
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

static double smooth(const double *values, size_t count, double smoothing, double trending)
{
    double before = 0;
    double smoothed = values[0];
    double trend = values[1] - values[0];
    for (size_t i = 1; i < count; i++) {
        const double scaled = smoothing * values[i];
        if (i > 1) {
            trend = trending * (smoothed - before) + (1 - trending) * trend;
        }
        const double carried = (1 - smoothing) * (smoothed + trend);
        before = smoothed;
        smoothed = scaled + carried;
    }
    return smoothed;
}

void pql_double_exponential_smoothing(const struct pql_windows *windows, double *out)
{
    for (size_t i = 0; i < windows->steps; i++) {
        const size_t count = windows->to[i] - windows->from[i];
        out[i] = count < 2 ? pql_none()
                           : smooth(windows->values + windows->from[i], count, windows->args[0][i],
                                    windows->args[1][i]);
    }
}
