#include "promql/window_edges.h"

#include <math.h>

void pql_windows_slide_edges(struct pql_windows *windows, mrd_time_ms lookback_ms)
{
    const mrd_time_ms ahead_ms = windows->edge == MRD_EDGE_SMOOTHED ? lookback_ms : 0;
    struct pql_windows wider = *windows; /* shares from and to */
    wider.end0_ms += ahead_ms;
    wider.range_ms += lookback_ms + ahead_ms;
    pql_windows_slide(&wider);
}

/* ---- values at the edges ---- */

/* On the line from sample `at` to the next. A counter that went down in between started from 0. */
static double between(struct mrd_samples samples, size_t at, mrd_time_ms time_ms, bool counter)
{
    const double second = samples.values[at + 1];
    const double first = counter && second < samples.values[at] ? 0 : samples.values[at];
    return first + (second - first) * (double)(time_ms - samples.times_ms[at]) /
                       (double)(samples.times_ms[at + 1] - samples.times_ms[at]);
}

/* The first of samples [0, count) that is not before the time, `count` if all are. */
static size_t find_from(struct mrd_samples samples, size_t count, mrd_time_ms time_ms)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (samples.times_ms[middle] < time_ms) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The value on the line between the samples before and after; without one after, the one before. */
static double value_at(struct mrd_samples samples, mrd_time_ms time_ms)
{
    const size_t at = find_from(samples, samples.count, time_ms);
    if (at < samples.count && samples.times_ms[at] == time_ms) {
        return samples.values[at];
    }
    if (at == 0) {
        return pql_none();
    }
    return at < samples.count ? between(samples, at - 1, time_ms, false) : samples.values[at - 1];
}

static struct mrd_samples window_samples(const struct pql_windows *windows, size_t step)
{
    const uint32_t from = windows->from[step];
    return (struct mrd_samples){.times_ms = windows->times_ms + from,
                                .values = windows->values + from,
                                .count = windows->to[step] - from};
}

static void smoothed_value(const struct pql_windows *windows, double *out)
{
    mrd_time_ms end_ms = windows->end0_ms;
    for (size_t i = 0; i < windows->steps; i++, end_ms += windows->end_step_ms) {
        out[i] = value_at(window_samples(windows, i), end_ms);
    }
}

/* What a range sees: values at its edges and the samples [first, end) strictly inside. */
struct extent {
    double left;
    double right;
    size_t first;
    size_t end;
};

/* False if no sample is after the begin, or if a smoothed counter or gauge starts after the end and
 * `inside_only` is set. */
static bool extent_find(struct mrd_samples samples, mrd_time_ms begin_ms, mrd_time_ms end_ms,
                        bool smoothed, bool counter, bool inside_only, struct extent *out)
{
    if (samples.count == 0) {
        return false;
    }
    const mrd_time_ms *times_ms = samples.times_ms;
    size_t last = samples.count - 1;
    size_t first = find_from(samples, last, begin_ms + 1);
    first -= first > 0;
    if (smoothed) {
        last = find_from(samples, last, end_ms);
    }
    if (times_ms[last] <= begin_ms || (inside_only && smoothed && times_ms[first] > end_ms)) {
        return false;
    }
    out->left = smoothed && times_ms[first] < begin_ms ? between(samples, first, begin_ms, counter)
                                                       : samples.values[first];
    out->right = smoothed && last > 0 && times_ms[last] > end_ms
                     ? between(samples, last - 1, end_ms, counter)
                     : samples.values[last];
    out->first = first + (times_ms[first] <= begin_ms);
    out->end = MRD_MAX(last + (times_ms[last] < end_ms), out->first);
    return true;
}

size_t pql_edge_extend(struct mrd_samples samples, mrd_time_ms begin_ms, mrd_time_ms end_ms,
                       bool smoothed, mrd_time_ms *out_times_ms, double *out_values)
{
    struct extent extent;
    size_t count = 0;
    if (!extent_find(samples, begin_ms, end_ms, smoothed, false, false, &extent)) {
        return 0;
    }
    out_times_ms[count] = begin_ms;
    out_values[count++] = extent.left;
    for (size_t i = extent.first; i < extent.end; i++) {
        out_times_ms[count] = samples.times_ms[i];
        out_values[count++] = samples.values[i];
    }
    out_times_ms[count] = end_ms;
    out_values[count++] = extent.right;
    return count;
}

/* ---- rate, increase, delta ---- */

/* What a counter lost in resets between the edges. */
static double lost_in_resets(const struct mrd_look *look, struct mrd_samples samples,
                             const struct extent *extent)
{
    double lost = 0;
    double before = extent->left;
    PQL_WINDOW_PARTS(look, i, until, extent->first, extent->end)
    {
        for (; i < until; i++) {
            lost += samples.values[i] < before ? before : 0;
            before = samples.values[i];
        }
    }
    return lost + (extent->right < before ? before : 0);
}

/* Go's time.Duration.Seconds. */
static double seconds_of_range(mrd_time_ms range_ms)
{
    return (double)(range_ms / 1000) + (double)(range_ms % 1000 * 1000000) / 1e9;
}

static void difference(const struct pql_windows *windows, double *out, bool counter, double per)
{
    const bool smoothed = windows->edge == MRD_EDGE_SMOOTHED;
    mrd_time_ms end_ms = windows->end0_ms;
    for (size_t i = 0; i < windows->steps; i++, end_ms += windows->end_step_ms) {
        const struct mrd_samples samples = window_samples(windows, i);
        struct extent extent;
        if (!extent_find(samples, end_ms - windows->range_ms, end_ms, smoothed, counter, true,
                         &extent)) {
            out[i] = pql_none();
            continue;
        }
        out[i] = extent.right - extent.left;
        out[i] += counter ? lost_in_resets(&windows->look, samples, &extent) : 0;
        out[i] = per == 0 ? out[i] : out[i] / per;
    }
}

static void edge_rate(const struct pql_windows *windows, double *out)
{
    difference(windows, out, true, seconds_of_range(windows->range_ms));
}
static void edge_increase(const struct pql_windows *windows, double *out)
{
    difference(windows, out, true, 0);
}
static void edge_delta(const struct pql_windows *windows, double *out)
{
    difference(windows, out, false, 0);
}

/* ---- changes, resets ---- */

/* The usual function over windows that begin with the newest sample at or before their begin, and are
 * empty without one after it. The positions are the operator's, found anew for each series. */
static void anchor(const struct pql_windows *windows, pql_window_function *function, double *out)
{
    mrd_time_ms begin_ms = windows->end0_ms - windows->range_ms;
    for (size_t i = 0; i < windows->steps; i++, begin_ms += windows->end_step_ms) {
        const struct mrd_samples samples = window_samples(windows, i);
        const size_t after = find_from(samples, samples.count, begin_ms + 1);
        const size_t skipped = after < samples.count ? after - (after > 0) : samples.count;
        windows->from[i] += (uint32_t)skipped;
    }
    function(windows, out);
}

static void anchored_changes(const struct pql_windows *windows, double *out)
{
    anchor(windows, pql_changes, out);
}
static void anchored_resets(const struct pql_windows *windows, double *out)
{
    anchor(windows, pql_resets, out);
}

/* ---- which functions go with which modifier ---- */

static const struct {
    const char *name;
    pql_window_function *anchored;
    pql_window_function *smoothed;
} edge_functions[] = {
    {"changes",          anchored_changes, NULL          },
    {"delta",            edge_delta,       edge_delta    },
    {"increase",         edge_increase,    edge_increase },
    {"rate",             edge_rate,        edge_rate     },
    {"resets",           anchored_resets,  NULL          },
    {PQL_SMOOTHED_VALUE, NULL,             smoothed_value},
};

enum mrd_status pql_edge_function(const struct pql_function *function, enum mrd_edge edge,
                                  pql_window_function **out, struct mrd_error *err)
{
    const bool anchored = edge == MRD_EDGE_ANCHORED;
    pql_window_function *found = edge == MRD_EDGE_NONE ? function->window : NULL;
    for (size_t i = 0; found == NULL && i < MRD_ARRAY_LEN(edge_functions); i++) {
        if (strcmp(edge_functions[i].name, function->name) == 0) {
            found = anchored ? edge_functions[i].anchored : edge_functions[i].smoothed;
        }
    }
    if (found == NULL && edge != MRD_EDGE_NONE) {
        return mrd_fail(err, MRD_E_INVALID, "%s modifier can only be used with: %s - not with %s",
                        anchored ? "anchored" : "smoothed",
                        anchored ? "changes, delta, increase, rate, resets"
                                 : "delta, increase, rate",
                        function->name);
    }
    *out = found;
    return MRD_OK;
}
