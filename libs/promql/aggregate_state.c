#include "promql/aggregate_state.h"

#include "promql/kahan.h"

struct pql_group_parts pql_group_parts_of(enum mrd_aggregation aggregation)
{
    const bool variance = aggregation == MRD_AGG_STDDEV || aggregation == MRD_AGG_STDVAR;
    const bool avg = aggregation == MRD_AGG_AVG;
    return (struct pql_group_parts){
        .second = aggregation == MRD_AGG_SUM || avg || variance,
        .counts = avg || variance,
        .incremental = avg,
    };
}

enum mrd_status pql_group_state_create(struct pql_exec *exec, enum mrd_aggregation aggregation,
                                       size_t steps, struct pql_group_state *out,
                                       struct mrd_error *err)
{
    const struct pql_group_parts parts = pql_group_parts_of(aggregation);
    struct pql_group_state state = {0};
    MRD_TRY(PQL_NEW(exec, steps, &state.values, err));
    if (parts.second) {
        MRD_TRY(PQL_NEW(exec, steps, &state.second, err));
    }
    if (parts.counts) {
        MRD_TRY(PQL_NEW(exec, steps, &state.counts, err));
    }
    if (parts.incremental) {
        MRD_TRY(PQL_NEW(exec, steps, &state.incremental, err));
    }
    pql_column_clear(state.values, steps);
    *out = state;
    return MRD_OK;
}

/* ---- one series into its group, a loop for each kind ---- */

/* mrd_kahan_add of each, without branches: several are done at a time. */
MRD_SIMD_CLONES static void add_all(const double *restrict in, size_t steps, double *restrict sums,
                                    double *restrict rests)
{
    for (size_t i = 0; i < steps; i++) {
        const double before = sums[i];
        const double value = in[i];
        const double sum = before + value;
        const double of_sum = (before - sum) + value;
        const double of_value = (value - sum) + before;
        const double rest = rests[i] + (fabs(before) >= fabs(value) ? of_sum : of_value);
        const double kept = isinf(sum) ? 0 : rest;
        const bool first = pql_is_none(before);
        const bool none = pql_is_none(value);
        sums[i] = none ? before : first ? value : sum;
        rests[i] = none ? rests[i] : first ? 0 : kept;
    }
}

static void fold_sum(struct pql_group_state *state, const double *in, size_t steps)
{
    add_all(in, steps, state->values, state->second);
}

static void fold_avg(struct pql_group_state *state, const double *in, size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        if (pql_is_none(in[i])) {
            continue;
        }
        struct mrd_mean mean = {0};
        if (!pql_is_none(state->values[i])) {
            mean.total = (struct mrd_kahan){state->values[i], state->second[i]};
            mean.count = state->counts[i];
            mean.incremental = state->incremental[i];
        }
        mrd_mean_add(&mean, in[i]);
        state->values[i] = mean.total.sum;
        state->second[i] = mean.total.compensation;
        state->counts[i] = mean.count;
        state->incremental[i] = mean.incremental;
    }
}

static void fold_count(struct pql_group_state *state, const double *in, size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        if (!pql_is_none(in[i])) {
            state->values[i] = pql_is_none(state->values[i]) ? 1 : state->values[i] + 1;
        }
    }
}

static void fold_group(struct pql_group_state *state, const double *in, size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        if (!pql_is_none(in[i])) {
            state->values[i] = 1;
        }
    }
}

/* isnan covers "no member yet" too. */
static void fold_min(struct pql_group_state *state, const double *in, size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        if (!pql_is_none(in[i]) && (state->values[i] > in[i] || isnan(state->values[i]))) {
            state->values[i] = in[i];
        }
    }
}
static void fold_max(struct pql_group_state *state, const double *in, size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        if (!pql_is_none(in[i]) && (state->values[i] < in[i] || isnan(state->values[i]))) {
            state->values[i] = in[i];
        }
    }
}

/* Welford: `values` is the sum of squares, `second` the mean. */
static void fold_variance(struct pql_group_state *state, const double *in, size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        if (pql_is_none(in[i])) {
            continue;
        }
        if (pql_is_none(state->values[i])) {
            state->values[i] = isfinite(in[i]) ? 0 : NAN;
            state->second[i] = in[i];
            state->counts[i] = 1;
            continue;
        }
        state->counts[i]++;
        const double delta = in[i] - state->second[i];
        state->second[i] += delta / state->counts[i];
        state->values[i] += delta * (in[i] - state->second[i]);
    }
}

void pql_group_fold(enum mrd_aggregation aggregation, struct pql_group_state *state,
                    const double *in, size_t steps)
{
    switch ((int)aggregation) {
    case MRD_AGG_SUM:
        fold_sum(state, in, steps);
        break;
    case MRD_AGG_AVG:
        fold_avg(state, in, steps);
        break;
    case MRD_AGG_COUNT:
        fold_count(state, in, steps);
        break;
    case MRD_AGG_GROUP:
        fold_group(state, in, steps);
        break;
    case MRD_AGG_MIN:
        fold_min(state, in, steps);
        break;
    case MRD_AGG_MAX:
        fold_max(state, in, steps);
        break;
    case MRD_AGG_STDDEV:
    case MRD_AGG_STDVAR:
        fold_variance(state, in, steps);
        break;
    default:
        mrd_assert(false);
    }
}

/* ---- one state into another: what came later into what came before ---- */

static bool has_both(struct pql_group_state *into, const struct pql_group_state *from, size_t i)
{
    if (pql_is_none(from->values[i])) {
        return false;
    }
    if (!pql_is_none(into->values[i])) {
        return true;
    }
    into->values[i] = from->values[i];
    if (from->second != NULL) {
        into->second[i] = from->second[i];
    }
    if (from->counts != NULL) {
        into->counts[i] = from->counts[i];
    }
    if (from->incremental != NULL) {
        into->incremental[i] = from->incremental[i];
    }
    return false;
}

static struct mrd_kahan total_at(const struct pql_group_state *state, size_t i)
{
    return (struct mrd_kahan){state->values[i], state->second[i]};
}

static void merge_sum(struct pql_group_state *into, const struct pql_group_state *from,
                      size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        if (has_both(into, from, i)) {
            const struct mrd_kahan total = mrd_kahan_join(total_at(into, i), total_at(from, i));
            into->values[i] = total.sum;
            into->second[i] = total.compensation;
        }
    }
}

static struct mrd_mean mean_at(const struct pql_group_state *state, size_t i)
{
    return (struct mrd_mean){total_at(state, i), state->counts[i], state->incremental[i]};
}

static void merge_avg(struct pql_group_state *into, const struct pql_group_state *from,
                      size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        if (has_both(into, from, i)) {
            struct mrd_mean mean = mean_at(into, i);
            const struct mrd_mean later = mean_at(from, i);
            mrd_mean_join(&mean, &later);
            into->values[i] = mean.total.sum;
            into->second[i] = mean.total.compensation;
            into->counts[i] = mean.count;
            into->incremental[i] = mean.incremental;
        }
    }
}

static void merge_count(struct pql_group_state *into, const struct pql_group_state *from,
                        size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        if (has_both(into, from, i)) {
            into->values[i] += from->values[i];
        }
    }
}

/* Chan, Golub and LeVeque: moments of a union from the moments of its parts. */
static void merge_variance(struct pql_group_state *into, const struct pql_group_state *from,
                           size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        if (has_both(into, from, i)) {
            const double count = into->counts[i] + from->counts[i];
            const double delta = from->second[i] - into->second[i];
            const double share = from->counts[i] / count;
            into->values[i] += from->values[i] + delta * delta * (into->counts[i] * share);
            into->second[i] += delta * share;
            into->counts[i] = count;
        }
    }
}

void pql_group_merge(enum mrd_aggregation aggregation, struct pql_group_state *into,
                     const struct pql_group_state *from, size_t steps)
{
    switch ((int)aggregation) {
    case MRD_AGG_SUM:
        merge_sum(into, from, steps);
        break;
    case MRD_AGG_AVG:
        merge_avg(into, from, steps);
        break;
    case MRD_AGG_COUNT:
        merge_count(into, from, steps);
        break;
    case MRD_AGG_STDDEV:
    case MRD_AGG_STDVAR:
        merge_variance(into, from, steps);
        break;
    default: /* min, max, group: the result of a part is a value like any other */
        pql_group_fold(aggregation, into, from->values, steps);
        break;
    }
}

/* ---- from state to result ---- */

static double finish_value(enum mrd_aggregation aggregation, const struct pql_group_state *state,
                           size_t i)
{
    const double value = state->values[i];
    switch ((int)aggregation) {
    case MRD_AGG_SUM:
        return value + state->second[i];
    case MRD_AGG_AVG: {
        const struct mrd_mean mean = {
            {value, state->second[i]},
            state->counts[i], state->incremental[i]
        };
        return mrd_mean_value(&mean);
    }
    case MRD_AGG_STDVAR:
        return value / state->counts[i];
    case MRD_AGG_STDDEV:
        return sqrt(value / state->counts[i]);
    default:
        return value;
    }
}

void pql_group_finish(enum mrd_aggregation aggregation, struct pql_group_state *state, size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        if (!pql_is_none(state->values[i])) {
            state->values[i] = finish_value(aggregation, state, i);
        }
    }
}
