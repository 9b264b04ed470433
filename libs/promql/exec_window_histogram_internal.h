/* exec_window_histogram_internal.h: what range functions over native histograms share: a window of one step
 * and what becomes of it.
 */
#ifndef MRD_PROMQL_EXEC_WINDOW_HISTOGRAM_INTERNAL_H
#define MRD_PROMQL_EXEC_WINDOW_HISTOGRAM_INTERNAL_H

#include "promql/exec_window_histogram.h"
#include "promql/window_edges.h"

/* One step's window. */
struct pql_histogram_step {
    const struct pql_windows *floats;
    size_t float_from;
    size_t float_to;
    const mrd_time_ms *times_ms; /* histograms of the window */
    const pql_histogram *items;
    const mrd_time_ms *start_times_ms; /* of them; NULL: unknown, or not to be heeded */
    size_t count;
    mrd_time_ms start_ms; /* exclusive */
    mrd_time_ms end_ms;
};

/* What a function makes of a window: nothing, a float or a histogram. It is entered with what the floats
 * alone have given. */
struct pql_histogram_outcome {
    double value;
    struct mrd_float_histogram *histogram; /* in the step's arena */
};

typedef enum mrd_status pql_histogram_step_function(struct pql_histogram_windows *windows,
                                                    const struct pql_histogram_step *step,
                                                    struct pql_histogram_outcome *out,
                                                    struct mrd_error *err);

struct pql_histogram_windows {
    struct pql_exec *exec;
    struct mrd_annotation_place place;
    struct mrd_bytes name; /* of the metric at hand */
    enum mrd_edge edge;
    pql_histogram_step_function *apply;
    bool counter;
    bool per_second;
    bool heeds_starts;
    size_t overlaps; /* windows of the present series in which start times overlap */
    size_t steps;
    struct pql_windows slide; /* over the times of the histograms */
    pql_histogram *column;
    struct mrd_arena *results; /* of the series at hand */
    struct mrd_arena *work;    /* of the step at hand */
};

static inline size_t pql_step_float_count(const struct pql_histogram_step *step)
{
    return step->float_to - step->float_from;
}

static inline struct mrd_span pql_step_span(const struct pql_histogram_step *step, size_t i)
{
    return (struct mrd_span){step->times_ms[i],
                             step->start_times_ms == NULL ? 0 : step->start_times_ms[i]};
}

pql_histogram_step_function
    pql_step_rate; /* rate, increase, delta (exec_window_histogram_rate.c) */
pql_histogram_step_function pql_step_instant; /* irate, idelta */

/* changes and resets over the floats and histograms of the window in their order. */
MRD_MUST_CHECK enum mrd_status pql_step_count_events(struct pql_histogram_windows *windows,
                                                     const struct pql_histogram_step *step,
                                                     bool resets, struct pql_histogram_outcome *out,
                                                     struct mrd_error *err);

/* What evaluates the function on an anchored or smoothed range, which pql_edge_function allows
 * (exec_window_histogram_edges.c). */
pql_histogram_step_function *pql_edge_step_function(const struct pql_function *function);

#endif
