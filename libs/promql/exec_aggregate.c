/* Aggregations that fold each value into its group's state as it comes: sum, avg, count, min, max,
 * group, stddev, stdvar. Memory is groups x steps, whatever the number of series. */
#include "promql/exec.h"
#include "promql/exec_aggregate_histogram.h"
#include "promql/kahan.h"

/* One group's state, a column for each part. `values` is the result in the end. */
struct group {
    double *values; /* none: the group has no member at this step yet */
    double *second; /* compensation of the sum, or the mean of Welford's method */
    double *counts;
    bool *incremental; /* avg, once a sum would overflow; NULL before the first such step */
    struct pql_group_histograms *histograms; /* sum, avg: NULL as long as there was none */
    bool drop_name;
};

struct aggregate_op {
    struct pql_list_op list;
    const struct pql_node *node;
    struct pql_op *input;
    struct pql_label_table table;
    struct group *groups; /* by number in the table */
    size_t capacity;
    struct pql_label_scratch scratch;
};

/* ---- one series into its group, a loop for each kind ---- */

static void fold_sum(struct group *group, const double *in, size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        if (pql_is_none(in[i])) {
            continue;
        }
        if (pql_is_none(group->values[i])) {
            group->values[i] = in[i];
            group->second[i] = 0;
            continue;
        }
        const struct mrd_kahan before = {group->values[i], group->second[i]};
        const struct mrd_kahan after = mrd_kahan_add(before, in[i]);
        group->values[i] = after.sum;
        group->second[i] = after.compensation;
    }
}

static void fold_avg(struct group *group, const double *in, size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        if (pql_is_none(in[i])) {
            continue;
        }
        struct mrd_mean mean = {0};
        if (!pql_is_none(group->values[i])) {
            mean.total = (struct mrd_kahan){group->values[i], group->second[i]};
            mean.count = group->counts[i];
            mean.incremental = group->incremental[i];
        }
        mrd_mean_add(&mean, in[i]);
        group->values[i] = mean.total.sum;
        group->second[i] = mean.total.compensation;
        group->counts[i] = mean.count;
        group->incremental[i] = mean.incremental;
    }
}

static void fold_count(struct group *group, const double *in, size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        if (!pql_is_none(in[i])) {
            group->values[i] = pql_is_none(group->values[i]) ? 1 : group->values[i] + 1;
        }
    }
}

static void fold_group(struct group *group, const double *in, size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        if (!pql_is_none(in[i])) {
            group->values[i] = 1;
        }
    }
}

/* isnan covers "no member yet" too. */
static void fold_min(struct group *group, const double *in, size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        if (!pql_is_none(in[i]) && (group->values[i] > in[i] || isnan(group->values[i]))) {
            group->values[i] = in[i];
        }
    }
}
static void fold_max(struct group *group, const double *in, size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        if (!pql_is_none(in[i]) && (group->values[i] < in[i] || isnan(group->values[i]))) {
            group->values[i] = in[i];
        }
    }
}

/* Welford: `values` is the sum of squares, `second` the mean. */
static void fold_variance(struct group *group, const double *in, size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        if (pql_is_none(in[i])) {
            continue;
        }
        if (pql_is_none(group->values[i])) {
            group->values[i] = isfinite(in[i]) ? 0 : NAN;
            group->second[i] = in[i];
            group->counts[i] = 1;
            continue;
        }
        group->counts[i]++;
        const double delta = in[i] - group->second[i];
        group->second[i] += delta / group->counts[i];
        group->values[i] += delta * (in[i] - group->second[i]);
    }
}

static void fold(enum mrd_aggregation aggregation, struct group *group, const double *in,
                 size_t steps)
{
    switch ((int)aggregation) {
    case MRD_AGG_SUM:
        fold_sum(group, in, steps);
        break;
    case MRD_AGG_AVG:
        fold_avg(group, in, steps);
        break;
    case MRD_AGG_COUNT:
        fold_count(group, in, steps);
        break;
    case MRD_AGG_GROUP:
        fold_group(group, in, steps);
        break;
    case MRD_AGG_MIN:
        fold_min(group, in, steps);
        break;
    case MRD_AGG_MAX:
        fold_max(group, in, steps);
        break;
    case MRD_AGG_STDDEV:
    case MRD_AGG_STDVAR:
        fold_variance(group, in, steps);
        break;
    default:
        mrd_assert(false);
    }
}

/* ---- from state to result ---- */

static double finish_value(enum mrd_aggregation aggregation, const struct group *group, size_t i)
{
    const double value = group->values[i];
    switch ((int)aggregation) {
    case MRD_AGG_SUM:
        return value + group->second[i];
    case MRD_AGG_AVG: {
        const struct mrd_mean mean = {
            {value, group->second[i]},
            group->counts[i], group->incremental[i]
        };
        return mrd_mean_value(&mean);
    }
    case MRD_AGG_STDVAR:
        return value / group->counts[i];
    case MRD_AGG_STDDEV:
        return sqrt(value / group->counts[i]);
    default:
        return value;
    }
}

static void finish(enum mrd_aggregation aggregation, struct group *group, size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        if (!pql_is_none(group->values[i])) {
            group->values[i] = finish_value(aggregation, group, i);
        }
    }
}

/* ---- groups ---- */

static enum mrd_status group_init(struct aggregate_op *op, struct group *group,
                                  struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    const size_t steps = op->list.op.steps;
    const enum mrd_aggregation aggregation = op->node->aggregation;
    const bool variance = aggregation == MRD_AGG_STDDEV || aggregation == MRD_AGG_STDVAR;
    *group = (struct group){0};
    MRD_TRY(pql_hold(exec, steps, err));
    MRD_TRY(PQL_NEW(exec, steps, &group->values, err));
    pql_column_clear(group->values, steps);
    if (aggregation == MRD_AGG_SUM || aggregation == MRD_AGG_AVG || variance) {
        MRD_TRY(PQL_NEW(exec, steps, &group->second, err));
    }
    if (aggregation == MRD_AGG_AVG || variance) {
        MRD_TRY(PQL_NEW(exec, steps, &group->counts, err));
    }
    if (aggregation == MRD_AGG_AVG) {
        MRD_TRY(PQL_NEW(exec, steps, &group->incremental, err));
    }
    return MRD_OK;
}

static enum mrd_status aggregate_find_group(struct aggregate_op *op, struct mrd_labels labels,
                                            struct group **out, struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    struct mrd_labels key;
    uint32_t index = 0;
    bool is_new = false;
    MRD_TRY(pql_labels_group(exec, &op->scratch, labels, &op->node->grouping, &key, err));
    MRD_TRY(pql_label_table_add(&op->table, key, &index, &is_new, err));
    if (is_new) {
        MRD_TRY(
            pql_grow(exec, (void **)&op->groups, index, &op->capacity, sizeof(*op->groups), err));
        MRD_TRY(group_init(op, &op->groups[index], err));
    }
    *out = &op->groups[index];
    return MRD_OK;
}

/* count and group take a histogram as any value: a 1 stands for it. */
static void count_histograms(const struct pql_series *series, size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        if (series->histograms[i] != NULL) {
            series->values[i] = 1;
        }
    }
}

/* What comes before the floats of the series are folded. */
static enum mrd_status aggregate_histograms(struct aggregate_op *op,
                                            const struct pql_series *series, struct group *group,
                                            struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    const size_t steps = op->list.op.steps;
    if (pql_histogram_points(series, steps) == 0) {
        return MRD_OK;
    }
    switch ((int)op->node->aggregation) {
    case MRD_AGG_SUM:
    case MRD_AGG_AVG:
        return pql_group_add_histograms(exec, op->node, series, group->values, &group->histograms,
                                        steps, err);
    case MRD_AGG_COUNT:
    case MRD_AGG_GROUP:
        count_histograms(series, steps);
        return MRD_OK;
    default:
        pql_note_histogram(exec, PQL_NOTE_IGNORED_AGGREGATE, pql_place(op->node, op->node->args[0]),
                           mrd_bytes_of(mrd_aggregation_text(op->node->aggregation)));
        return MRD_OK;
    }
}

static enum mrd_status aggregate_finish_group(struct aggregate_op *op, uint32_t index,
                                              struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    const size_t steps = op->list.op.steps;
    struct group *group = &op->groups[index];
    finish(op->node->aggregation, group, steps);
    struct pql_series result = {
        .labels = op->table.keys[index], .values = group->values, .drop_name = group->drop_name};
    if (group->histograms != NULL) {
        MRD_TRY(pql_group_finish_histograms(exec, op->node, group->histograms, group->values, steps,
                                            &result.histograms, err));
    }
    return pql_series_list_add(exec, &op->list.list, result, err);
}

static enum mrd_status aggregate_fill(struct pql_list_op *base, struct mrd_error *err)
{
    struct aggregate_op *op = (struct aggregate_op *)base;
    const size_t steps = base->op.steps;
    for (;;) {
        struct pql_series series;
        struct group *group = NULL;
        bool more = false;
        MRD_TRY(pql_next(op->input, &series, &more, err));
        if (!more) {
            break;
        }
        MRD_TRY(aggregate_find_group(op, series.labels, &group, err));
        group->drop_name |= series.drop_name;
        if (series.histograms != NULL) {
            MRD_TRY(aggregate_histograms(op, &series, group, err));
        }
        fold(op->node->aggregation, group, series.values, steps);
    }
    for (uint32_t i = 0; i < op->table.count; i++) {
        MRD_TRY(aggregate_finish_group(op, i, err));
    }
    return MRD_OK;
}

enum mrd_status pql_build_aggregate(struct pql_exec *exec, const struct pql_node *node,
                                    struct pql_op **out, struct mrd_error *err)
{
    struct aggregate_op *op = NULL;
    const size_t steps = node->steps.count;
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op = (struct aggregate_op){.node = node, .table = {.exec = exec}};
    pql_list_op_init(&op->list, exec, steps, aggregate_fill);
    op->list.op.one_name = node->grouping.without ||
                           !pql_names_contain(node->grouping.names, MRD_BYTES(MRD_METRIC_NAME));
    MRD_TRY(pql_build(exec, node->args[0], steps, &op->input, err));
    *out = &op->list.op;
    return MRD_OK;
}
