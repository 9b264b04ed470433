#include "promql/exec_aggregate_histogram.h"

static void note(struct pql_exec *exec, const struct pql_node *node, enum pql_histogram_note what,
                 struct mrd_bytes about)
{
    pql_note_histogram(exec, what, pql_place(node, node->args[0]), about);
}

static enum mrd_status add_one(struct pql_exec *exec, const struct pql_node *node,
                               struct mrd_arena *arena, struct pql_histogram_state *state,
                               pql_histogram histogram, bool has_float, struct mrd_bytes name,
                               struct mrd_error *err)
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
    state->total.arena = arena;
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

enum mrd_status pql_group_histograms_create(struct pql_exec *exec, struct mrd_arena *arena,
                                            size_t steps, struct pql_group_histograms **out,
                                            struct mrd_error *err)
{
    struct pql_group_histograms *made = NULL;
    MRD_TRY(PQL_NEW(exec, 1, &made, err));
    *made = (struct pql_group_histograms){.arena = arena};
    MRD_TRY(PQL_NEW(exec, steps, &made->states, err));
    memset(made->states, 0, steps * sizeof(*made->states));
    *out = made;
    return MRD_OK;
}

enum mrd_status pql_group_add_histograms(struct pql_exec *exec, const struct pql_node *node,
                                         const struct pql_series *series, const double *values,
                                         struct pql_group_histograms *group, size_t steps,
                                         struct mrd_error *err)
{
    const struct mrd_bytes name = pql_metric_name(series->labels);
    if (name.size > 0 && group->name.size == 0) {
        group->name = mrd_arena_copy(group->arena, name);
        if (group->name.data == NULL) {
            return mrd_arena_fail(group->arena, err);
        }
    }
    for (size_t i = 0; i < steps; i++) {
        if (series->histograms[i] != NULL) {
            MRD_TRY(add_one(exec, node, group->arena, &group->states[i], series->histograms[i],
                            !pql_is_none(values[i]), name, err));
        }
    }
    return MRD_OK;
}

/* ---- merging ---- */

/* The first histograms at this step come from another arena. */
static enum mrd_status adopt(struct pql_histogram_state *into,
                             const struct pql_histogram_state *from, struct mrd_arena *arena,
                             struct mrd_error *err)
{
    *into = *from;
    into->total.arena = arena;
    into->total.spare = NULL;
    into->total.spare_compensation = NULL;
    into->total.value = NULL;
    into->total.compensation = NULL;
    if (from->total.value == NULL || from->total.incompatible) {
        return MRD_OK;
    }
    MRD_TRY(mrd_float_histogram_clone(from->total.value, arena, &into->total.value, err));
    return from->total.compensation == NULL
               ? MRD_OK
               : mrd_float_histogram_clone(from->total.compensation, arena,
                                           &into->total.compensation, err);
}

static enum mrd_status merge_totals(struct pql_exec *exec, const struct pql_node *node,
                                    struct pql_histogram_state *into,
                                    struct pql_histogram_state *from, struct mrd_bytes name,
                                    struct mrd_error *err)
{
    into->reset |= from->reset;
    into->no_reset |= from->no_reset;
    into->total.reconciled = false;
    MRD_TRY(pql_histogram_total_merge(&into->total, &from->total, err));
    if (into->total.incompatible) {
        note(exec, node, PQL_NOTE_MIXED_SCHEMAS, name);
    }
    if (into->total.reconciled) {
        note(exec, node, PQL_NOTE_RECONCILED_AGG, MRD_BYTES_NONE);
    }
    return MRD_OK;
}

/* One step, as if the later histograms had been added one by one: the same cases as in add_one. */
static enum mrd_status merge_one(struct pql_exec *exec, const struct pql_node *node,
                                 struct pql_histogram_state *into, struct mrd_arena *arena,
                                 struct pql_histogram_state *from, bool has_float_into,
                                 bool has_float_from, struct mrd_bytes name, struct mrd_error *err)
{
    if (!from->seen || into->total.incompatible) {
        return MRD_OK;
    }
    if (!into->seen && !has_float_into) {
        return adopt(into, from, arena, err);
    }
    const bool first = !into->seen;
    into->seen = true;
    if (from->total.incompatible) {
        into->total.incompatible = true;
        into->float_before = has_float_into || from->float_before;
        return MRD_OK;
    }
    if (first || into->total.value == NULL || from->total.value == NULL) {
        return MRD_OK; /* floats came first in one of the two: the group has no result anyway */
    }
    MRD_TRY(merge_totals(exec, node, into, from, name, err));
    if (into->total.incompatible) {
        into->float_before = has_float_into || has_float_from;
    }
    return MRD_OK;
}

enum mrd_status pql_group_merge_histograms(struct pql_exec *exec, const struct pql_node *node,
                                           struct pql_group_state *into,
                                           const struct pql_group_state *from, size_t steps,
                                           struct mrd_error *err)
{
    struct pql_group_histograms *later = from->histograms;
    if (later == NULL) {
        return MRD_OK;
    }
    if (into->histograms == NULL) {
        MRD_TRY(pql_group_histograms_create(exec, exec->arena, steps, &into->histograms, err));
    }
    for (size_t i = 0; i < steps; i++) {
        MRD_TRY(merge_one(exec, node, &into->histograms->states[i], into->histograms->arena,
                          &later->states[i], !pql_is_none(into->values[i]),
                          !pql_is_none(from->values[i]), later->name, err));
    }
    memset(later->states, 0, steps * sizeof(*later->states));
    later->name = MRD_BYTES_NONE;
    return MRD_OK;
}

/* ---- the result ---- */

/* What the group has at one step: *value and *out, or nothing. */
static enum mrd_status finish_one(struct pql_exec *exec, const struct pql_node *node,
                                  struct pql_histogram_state *state, double *value,
                                  pql_histogram *out, struct mrd_error *err)
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
