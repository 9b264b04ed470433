/* Aggregations that fold each value into its group's state as it comes: sum, avg, count, min, max,
 * group, stddev, stdvar. Memory is groups x steps, whatever the number of series. */
#include "promql/exec_aggregate_histogram.h"
#include "promql/exec_fold.h"
#include "promql/state_codec.h"

struct group {
    struct pql_group_state now;   /* of the segment at hand */
    struct pql_group_state total; /* of those before */
    bool in_now;
    bool in_total;
    bool histograms_held; /* counted */
    bool drop_name;
};

struct aggregate_op {
    struct pql_fold_op fold; /* first */
    struct pql_label_table table;
    struct group *groups; /* by number in the table */
    size_t capacity;
    bool merged;                /* a segment is behind us */
    struct mrd_arena *segment;  /* histograms of the segment at hand, from the second one on */
    struct mrd_arena *readings; /* what is read of states */
    struct pql_label_scratch scratch;
};

static struct pql_exec *exec_of(const struct aggregate_op *op) { return op->fold.list.op.exec; }
static size_t steps_of(const struct aggregate_op *op) { return op->fold.list.op.steps; }

/* ---- groups ---- */

static void aggregate_begin(struct pql_fold_op *base) { (void)base; }

/* The group of these labels, with an empty state if the segment has none of it yet. */
static enum mrd_status find_group(struct aggregate_op *op, struct mrd_labels key,
                                  struct group **out, struct mrd_error *err)
{
    struct pql_exec *exec = exec_of(op);
    uint32_t index = 0;
    bool is_new = false;
    MRD_TRY(pql_label_table_add(&op->table, key, &index, &is_new, err));
    if (is_new) {
        MRD_TRY(
            pql_grow(exec, (void **)&op->groups, index, &op->capacity, sizeof(*op->groups), err));
        op->groups[index] = (struct group){0};
        MRD_TRY(pql_hold(exec, steps_of(op), err));
    }
    struct group *group = &op->groups[index];
    if (group->now.values == NULL) {
        MRD_TRY(pql_group_state_create(exec, op->fold.node->aggregation, steps_of(op), &group->now,
                                       err));
    }
    group->in_now = true;
    *out = group;
    return MRD_OK;
}

/* Room for the group's histograms in the segment at hand. */
static enum mrd_status need_histograms(struct aggregate_op *op, struct group *group,
                                       struct mrd_error *err)
{
    struct pql_exec *exec = exec_of(op);
    if (group->now.histograms != NULL) {
        return MRD_OK;
    }
    if (!group->histograms_held) {
        MRD_TRY(pql_hold(exec, steps_of(op), err));
        group->histograms_held = true;
    }
    if (op->merged && op->segment == NULL) {
        MRD_TRY(pql_scratch_reset(exec, &op->segment, err));
    }
    return pql_group_histograms_create(exec, op->merged ? op->segment : exec->arena, steps_of(op),
                                       &group->now.histograms, err);
}

/* ---- one series ---- */

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
static enum mrd_status take_histograms(struct aggregate_op *op, const struct pql_series *series,
                                       struct group *group, struct mrd_error *err)
{
    struct pql_exec *exec = exec_of(op);
    const struct pql_node *node = op->fold.node;
    const size_t steps = steps_of(op);
    if (pql_histogram_points(series, steps) == 0) {
        return MRD_OK;
    }
    switch ((int)node->aggregation) {
    case MRD_AGG_SUM:
    case MRD_AGG_AVG:
        MRD_TRY(need_histograms(op, group, err));
        return pql_group_add_histograms(exec, node, series, group->now.values,
                                        group->now.histograms, steps, err);
    case MRD_AGG_COUNT:
    case MRD_AGG_GROUP:
        count_histograms(series, steps);
        return MRD_OK;
    default:
        pql_note_histogram(exec, PQL_NOTE_IGNORED_AGGREGATE, pql_place(node, node->args[0]),
                           mrd_bytes_of(mrd_aggregation_text(node->aggregation)));
        return MRD_OK;
    }
}

static enum mrd_status aggregate_take(struct pql_fold_op *base, struct pql_series *series,
                                      struct mrd_error *err)
{
    struct aggregate_op *op = (struct aggregate_op *)base;
    const struct pql_node *node = base->node;
    struct mrd_labels key;
    struct group *group = NULL;
    MRD_TRY(
        pql_labels_group(exec_of(op), &op->scratch, series->labels, &node->grouping, &key, err));
    MRD_TRY(find_group(op, key, &group, err));
    group->drop_name |= series->drop_name;
    if (series->histograms != NULL) {
        MRD_TRY(take_histograms(op, series, group, err));
    }
    pql_group_fold(node->aggregation, &group->now, series->values, steps_of(op));
    return MRD_OK;
}

/* ---- segments ---- */

static bool can_swap(const struct group *group, const struct pql_exec *exec)
{
    return !group->in_total &&
           (group->now.histograms == NULL || group->now.histograms->arena == exec->arena);
}

static enum mrd_status merge_group(struct aggregate_op *op, struct group *group,
                                   struct mrd_error *err)
{
    struct pql_exec *exec = exec_of(op);
    const struct pql_node *node = op->fold.node;
    const size_t steps = steps_of(op);
    MRD_TRY(pql_work(exec, 1 + steps / 16, err));
    group->in_now = false;
    if (can_swap(group, exec)) {
        const struct pql_group_state empty = group->total;
        group->total = group->now;
        group->now = empty;
        group->in_total = true;
        return MRD_OK;
    }
    if (!group->in_total) {
        MRD_TRY(pql_group_state_create(exec, node->aggregation, steps, &group->total, err));
        group->in_total = true;
    }
    MRD_TRY(pql_group_merge_histograms(exec, node, &group->total, &group->now, steps, err));
    pql_group_merge(node->aggregation, &group->total, &group->now, steps);
    pql_column_clear(group->now.values, steps);
    return MRD_OK;
}

static enum mrd_status aggregate_merge(struct pql_fold_op *base, struct mrd_error *err)
{
    struct aggregate_op *op = (struct aggregate_op *)base;
    for (uint32_t i = 0; i < op->table.count; i++) {
        if (op->groups[i].in_now) {
            MRD_TRY(merge_group(op, &op->groups[i], err));
            op->merged = true;
        }
    }
    if (op->segment != NULL) {
        mrd_arena_reset(op->segment);
    }
    return MRD_OK;
}

static enum mrd_status aggregate_emit(struct pql_fold_op *base, struct mrd_error *err)
{
    struct aggregate_op *op = (struct aggregate_op *)base;
    struct pql_exec *exec = exec_of(op);
    const size_t steps = steps_of(op);
    for (uint32_t i = 0; i < op->table.count; i++) {
        struct group *group = &op->groups[i];
        struct pql_group_state *total = &group->total;
        MRD_TRY(pql_work(exec, 1 + steps / 16, err));
        pql_group_finish(base->node->aggregation, total, steps);
        struct pql_series result = {
            .labels = op->table.keys[i], .values = total->values, .drop_name = group->drop_name};
        if (total->histograms != NULL) {
            MRD_TRY(pql_group_finish_histograms(exec, base->node, total->histograms, total->values,
                                                steps, &result.histograms, err));
        }
        MRD_TRY(pql_series_list_add(exec, &base->list.list, result, err));
    }
    return MRD_OK;
}

/* ---- states as bytes ---- */

static enum mrd_status aggregate_write(const struct pql_fold_op *base, struct mrd_buf *out,
                                       struct mrd_error *err)
{
    const struct aggregate_op *op = (const struct aggregate_op *)base;
    uint64_t count = 0;
    for (uint32_t i = 0; i < op->table.count; i++) {
        count += op->groups[i].in_now;
    }
    mrd_buf_append_varint(out, count);
    for (uint32_t i = 0; i < op->table.count; i++) {
        const struct group *group = &op->groups[i];
        if (group->in_now) {
            MRD_TRY(pql_work(exec_of(op), 1 + steps_of(op) / 4, err));
            pql_labels_write(op->table.keys[i], group->drop_name, out);
            pql_group_state_write(base->node->aggregation, &group->now, steps_of(op), out);
        }
    }
    return MRD_OK;
}

static enum mrd_status read_group(struct aggregate_op *op, struct mrd_reader *in,
                                  struct mrd_error *err)
{
    const struct pql_node *node = op->fold.node;
    struct mrd_labels key;
    struct group *group = NULL;
    bool drop_name = false;
    bool histograms = false;
    MRD_TRY(pql_scratch_reset(exec_of(op), &op->readings, err));
    MRD_TRY(pql_labels_read(in, op->readings, &key, &drop_name, err));
    const uint32_t known = pql_label_table_find(&op->table, key);
    if (known != UINT32_MAX && op->groups[known].in_now) {
        return pql_states_corrupt(err, "a group comes twice");
    }
    MRD_TRY(find_group(op, key, &group, err));
    group->drop_name |= drop_name;
    MRD_TRY(pql_work(exec_of(op), steps_of(op) / 4, err));
    MRD_TRY(
        pql_group_state_read(node->aggregation, in, steps_of(op), &group->now, &histograms, err));
    if (!histograms) {
        return MRD_OK;
    }
    MRD_TRY(need_histograms(op, group, err));
    return pql_group_histograms_read(node->aggregation, in, steps_of(op), &group->now, op->readings,
                                     err);
}

static enum mrd_status aggregate_read(struct pql_fold_op *base, struct mrd_reader *in,
                                      struct mrd_error *err)
{
    const uint64_t count = mrd_read_varint(in);
    for (uint64_t i = 0; i < count && !in->failed; i++) {
        MRD_TRY(read_group((struct aggregate_op *)base, in, err));
    }
    return MRD_OK;
}

/* ---- building ---- */

enum mrd_status pql_build_aggregate(struct pql_exec *exec, const struct pql_node *node,
                                    struct pql_op **out, struct mrd_error *err)
{
    static const struct pql_fold_kind kind = {.begin = aggregate_begin,
                                              .take = aggregate_take,
                                              .merge = aggregate_merge,
                                              .emit = aggregate_emit,
                                              .write = aggregate_write,
                                              .read = aggregate_read};
    struct aggregate_op *op = NULL;
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op = (struct aggregate_op){.table = {.exec = exec}};
    pql_fold_init(&op->fold, exec, node, &kind);
    op->fold.list.op.one_name =
        node->grouping.without ||
        !pql_names_contain(node->grouping.names, MRD_BYTES(MRD_METRIC_NAME));
    MRD_TRY(pql_build(exec, node->args[0], node->steps.count, &op->fold.input, err));
    *out = &op->fold.list.op;
    return MRD_OK;
}
