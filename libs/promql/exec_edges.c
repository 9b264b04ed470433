/* `anchored` and `smoothed` where no function is around them: a range as it is, an instant selector. */
#include "promql/exec.h"
#include "promql/window_edges.h"

/* An instant selector is read as a range of no length whose edge is looked for. */
enum mrd_status pql_build_smoothed(struct pql_exec *exec, const struct pql_node *node,
                                   struct pql_op **out, struct mrd_error *err)
{
    static const struct pql_function value_at_edge = {
        .name = PQL_SMOOTHED_VALUE, .kind = PQL_CALL_WINDOW, .keeps_name = true};
    struct pql_node *nodes = NULL;
    struct pql_node **args = NULL;
    MRD_TRY(PQL_NEW(exec, 2, &nodes, err));
    MRD_TRY(PQL_NEW(exec, 1, &args, err));
    nodes[0] = *node;
    nodes[0].kind = PQL_CALL;
    nodes[0].function = &value_at_edge;
    nodes[0].args = args;
    nodes[0].arg_count = 1;
    nodes[1] = *node;
    nodes[1].kind = PQL_WINDOW;
    nodes[1].type = PQL_RANGE;
    args[0] = &nodes[1];
    return pql_build_window(exec, &nodes[0], out, err);
}

/* The samples in (begin, end] but for staleness markers. */
static struct mrd_samples copy_between(struct mrd_samples samples, mrd_time_ms begin_ms,
                                       mrd_time_ms end_ms, mrd_time_ms *times_ms, double *values)
{
    size_t count = 0;
    for (size_t i = 0; i < samples.count; i++) {
        if (samples.times_ms[i] > begin_ms && samples.times_ms[i] <= end_ms &&
            !mrd_is_stale(samples.values[i])) {
            times_ms[count] = samples.times_ms[i];
            values[count++] = samples.values[i];
        }
    }
    return (struct mrd_samples){.times_ms = times_ms, .values = values, .count = count};
}

enum mrd_status pql_range_at_edges(const struct pql_range_op *op,
                                   const struct pql_range_series *series, mrd_time_ms step_ms,
                                   struct mrd_samples *out, struct mrd_error *err)
{
    struct pql_exec *exec = op->exec;
    const struct mrd_samples samples = series->samples;
    const mrd_time_ms end_ms = pql_timing_end_ms(&op->timing, step_ms);
    const mrd_time_ms begin_ms = end_ms - op->timing.range_ms;
    const mrd_time_ms lookback_ms = exec->options->lookback_ms;
    const bool smoothed = op->timing.edge == MRD_EDGE_SMOOTHED;
    mrd_time_ms *times_ms = NULL;
    double *values = NULL;
    if (series->histograms.count > 0) {
        return pql_fail(err, "%s modifier is not supported with histograms",
                        smoothed ? "smoothed" : "anchored");
    }
    MRD_TRY(PQL_NEW(exec, samples.count, &times_ms, err));
    MRD_TRY(PQL_NEW(exec, samples.count, &values, err));
    const struct mrd_samples wider = copy_between(
        samples, begin_ms - lookback_ms, end_ms + (smoothed ? lookback_ms : 0), times_ms, values);
    MRD_TRY(PQL_NEW(exec, wider.count + 2, &times_ms, err));
    MRD_TRY(PQL_NEW(exec, wider.count + 2, &values, err));
    const size_t count = pql_edge_extend(wider, begin_ms, end_ms, smoothed, times_ms, values);
    *out = (struct mrd_samples){.times_ms = times_ms, .values = values, .count = count};
    return MRD_OK;
}
