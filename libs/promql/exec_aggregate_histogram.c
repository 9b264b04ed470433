#include "promql/exec_aggregate_histogram.h"

#include "promql/histogram_total.h"

struct state {
    struct pql_histogram_total total;
    bool seen;         /* any histogram */
    bool float_before; /* incompatible: whether there was a float until then */
    bool reset;        /* hints of those that were added */
    bool no_reset;
};

struct pql_group_histograms {
    struct state *states; /* one per step */
};

static void note(struct pql_exec *exec, const struct pql_node *node, enum pql_histogram_note what,
                 struct mrd_bytes about)
{
    pql_note_histogram(exec, what, pql_place(node, node->args[0]), about);
}

static enum mrd_status add_one(struct pql_exec *exec, const struct pql_node *node,
                               struct state *state, pql_histogram histogram, bool has_float,
                               struct mrd_bytes name, struct mrd_error *err)
{
    if (state->total.incompatible) {
        return MRD_OK;
    }
    const bool first = !state->seen;
    state->seen = true;
    if (state->total.value == NULL && (!first || has_float)) {
        return MRD_OK; /* floats came first: the group has no result anyway */
    }
    state->reset |= histogram->reset == MRD_HISTOGRAM_RESET;
    state->no_reset |= histogram->reset == MRD_HISTOGRAM_NO_RESET;
    state->total.arena = exec->arena;
    state->total.mean = node->aggregation == MRD_AGG_AVG;
    state->total.reconciled = false;
    MRD_TRY(pql_histogram_total_add(&state->total, histogram, err));
    if (state->total.incompatible) {
        state->float_before = has_float;
        note(exec, node, PQL_NOTE_MIXED_SCHEMAS, name);
    }
    if (state->total.reconciled) {
        note(exec, node, PQL_NOTE_RECONCILED_AGG, MRD_BYTES_NONE);
    }
    return MRD_OK;
}

enum mrd_status pql_group_add_histograms(struct pql_exec *exec, const struct pql_node *node,
                                         const struct pql_series *series, const double *values,
                                         struct pql_group_histograms **group, size_t steps,
                                         struct mrd_error *err)
{
    const struct mrd_bytes name = pql_metric_name(series->labels);
    if (*group == NULL) {
        MRD_TRY(PQL_NEW(exec, 1, group, err));
        MRD_TRY(pql_hold(exec, steps, err));
        MRD_TRY(PQL_NEW(exec, steps, &(*group)->states, err));
        memset((*group)->states, 0, steps * sizeof(*(*group)->states));
    }
    for (size_t i = 0; i < steps; i++) {
        if (series->histograms[i] != NULL) {
            MRD_TRY(add_one(exec, node, &(*group)->states[i], series->histograms[i],
                            !pql_is_none(values[i]), name, err));
        }
    }
    return MRD_OK;
}

/* What the group has at one step: *value and *out, or nothing. */
static enum mrd_status finish_one(struct pql_exec *exec, const struct pql_node *node,
                                  struct state *state, double *value, pql_histogram *out,
                                  struct mrd_error *err)
{
    struct mrd_float_histogram *result = NULL;
    const bool has_float = state->total.incompatible ? state->float_before : !pql_is_none(*value);
    if (!state->seen) {
        return MRD_OK;
    }
    *value = pql_none();
    if (has_float) {
        note(exec, node, PQL_NOTE_MIXED_AGGREGATE, MRD_BYTES_NONE);
        return MRD_OK;
    }
    if (state->total.incompatible) {
        return MRD_OK;
    }
    MRD_TRY(pql_histogram_total_finish(&state->total, &result, err));
    MRD_TRY(mrd_float_histogram_compact(result, exec->arena, err));
    if (state->reset && state->no_reset) {
        note(exec, node, PQL_NOTE_COLLISION_AGG, MRD_BYTES_NONE);
    }
    *out = result;
    return MRD_OK;
}

enum mrd_status pql_group_finish_histograms(struct pql_exec *exec, const struct pql_node *node,
                                            struct pql_group_histograms *group, double *values,
                                            size_t steps, pql_histogram **out,
                                            struct mrd_error *err)
{
    pql_histogram *column = NULL;
    MRD_TRY(pql_histograms_create(exec, steps, &column, err));
    for (size_t i = 0; i < steps; i++) {
        MRD_TRY(finish_one(exec, node, &group->states[i], &values[i], &column[i], err));
    }
    *out = column;
    return MRD_OK;
}
