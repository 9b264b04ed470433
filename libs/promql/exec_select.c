/* Instant selectors: for each step the newest sample within the lookback. */
#include "promql/exec.h"

struct select_op {
    struct pql_op op;
    const struct pql_selector *selector;
    struct pql_steps grid;
    bool timestamps; /* yield the samples' times instead of their values */
    double *column;
    struct pql_label_scratch scratch;
};

/* Fills `out` in one pass over samples and steps. Returns whether any step has a value. */
static bool select_fill(const struct select_op *op, struct mrd_samples samples, double *out)
{
    const struct pql_timing *timing = &op->selector->timing;
    const mrd_time_ms lookback_ms = op->op.exec->options->lookback_ms;
    bool any = false;
    size_t seen = 0; /* samples not after the step */
    for (size_t i = 0; i < op->op.steps; i++) {
        const mrd_time_ms end_ms = pql_timing_end_ms(timing, pql_step_ms(&op->grid, i));
        while (seen < samples.count && samples.times_ms[seen] <= end_ms) {
            seen++;
        }
        if (seen == 0 || samples.times_ms[seen - 1] <= end_ms - lookback_ms ||
            mrd_is_stale(samples.values[seen - 1])) {
            out[i] = pql_none();
            continue;
        }
        out[i] =
            op->timestamps ? (double)samples.times_ms[seen - 1] / 1000 : samples.values[seen - 1];
        any = true;
    }
    return any;
}

static enum mrd_status select_next(struct pql_op *base, struct pql_series *out, bool *out_more,
                                   struct mrd_error *err)
{
    struct select_op *op = (struct select_op *)base;
    struct pql_exec *exec = base->exec;
    for (;;) {
        struct mrd_source_series series;
        MRD_TRY(mrd_query_check(exec->control, err));
        MRD_TRY(exec->source->next(op->selector->set, &series, out_more, err));
        if (!*out_more) {
            return MRD_OK;
        }
        exec->stats->series_read++;
        exec->stats->samples_read += series.samples.count;
        if (!select_fill(op, series.samples, op->column)) {
            continue;
        }
        *out = (struct pql_series){.labels = series.labels, .values = op->column};
        return op->timestamps ? pql_series_drop_name(exec, &op->scratch, out, err) : MRD_OK;
    }
}

static enum mrd_status build_select(struct pql_exec *exec, const struct pql_node *node,
                                    bool timestamps, struct pql_op **out, struct mrd_error *err)
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
        .timestamps = timestamps,
    };
    MRD_TRY(PQL_NEW(exec, op->op.steps, &op->column, err));
    *out = &op->op;
    return MRD_OK;
}

enum mrd_status pql_build_select(struct pql_exec *exec, const struct pql_node *node,
                                 struct pql_op **out, struct mrd_error *err)
{
    return node->selector->timing.edge == MRD_EDGE_SMOOTHED
               ? pql_build_smoothed(exec, node, out, err)
               : build_select(exec, node, false, out, err);
}

/* timestamp(selector): the samples' own times, of a smoothed selector too; of any other expression, the
 * evaluation time. */
enum mrd_status pql_build_timestamp(struct pql_exec *exec, const struct pql_node *node,
                                    struct pql_op **out, struct mrd_error *err)
{
    const struct pql_node *arg = node->args[0];
    struct pql_op *op = NULL;
    if (arg->kind != PQL_SELECT) {
        return pql_build_map(exec, node, out, err);
    }
    /* The selector may look once (under @) while this call has many steps. */
    const struct pql_node once = {.kind = PQL_SELECT,
                                  .type = PQL_VECTOR,
                                  .steps = node->steps,
                                  .selector = arg->selector,
                                  .position = arg->position};
    MRD_TRY(build_select(exec, &once, true, &op, err));
    if (!op->one_name && !exec->options->delayed_name_removal) {
        return pql_build_merge(exec, op, false, out, err);
    }
    *out = op;
    return MRD_OK;
}
