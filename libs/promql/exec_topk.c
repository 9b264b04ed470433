/* topk, bottomk, limitk: each step keeps k members of each group. Memory is groups x steps x k. */
#include "promql/exec_fold.h"
#include "promql/state_codec.h"
#include "promql/topk_heap.h"

#include <math.h>

struct group {
    struct pql_topk_heap *now;   /* of the segment at hand, one per step */
    struct pql_topk_heap *total; /* of those before */
    bool in_now;
    bool in_total;
};

struct topk_op {
    struct pql_fold_op fold; /* first */
    double *k;
    struct mrd_error wrong; /* what is the matter with k: said once the input was read */
    bool keeps_nothing;
    struct pql_label_table table;
    struct group *groups; /* by number in the table */
    size_t group_capacity;
    struct pql_series_list kept; /* series that entered some heap; columns come at the end */
    struct pql_label_scratch scratch;
    struct mrd_arena *readings; /* what is read of states */
};

static struct pql_exec *exec_of(const struct topk_op *op) { return op->fold.list.op.exec; }
static size_t steps_of(const struct topk_op *op) { return op->fold.list.op.steps; }

/* ---- one series ---- */

static enum mrd_status keep_series(struct topk_op *op, struct mrd_labels labels, bool drop_name,
                                   struct mrd_error *err)
{
    struct pql_series copy = {.drop_name = drop_name};
    MRD_TRY(pql_labels_copy(exec_of(op), labels, &copy.labels, err));
    return pql_series_list_add(exec_of(op), &op->kept, copy, err);
}

/* Keeps a series' value at one step, which is wanted; *kept is its index in op->kept from then on. */
static enum mrd_status topk_keep(struct topk_op *op, struct pql_topk_heap *heap, size_t k,
                                 const struct pql_series *series, size_t step, uint32_t *kept,
                                 struct mrd_error *err)
{
    struct pql_exec *exec = exec_of(op);
    const enum mrd_aggregation kind = op->fold.node->aggregation;
    struct mrd_float_histogram *histogram = NULL;
    if (*kept == UINT32_MAX) {
        *kept = (uint32_t)op->kept.count;
        MRD_TRY(keep_series(op, series->labels, series->drop_name, err));
    }
    if (series->histograms != NULL && series->histograms[step] != NULL) {
        MRD_TRY(mrd_float_histogram_clone(series->histograms[step], exec->arena, &histogram, err));
    }
    const struct pql_topk_member member = {series->values[step], histogram, *kept};
    return pql_topk_put(exec, kind, heap, k, &member, err);
}

static enum mrd_status heaps_create(struct topk_op *op, struct pql_topk_heap **out,
                                    struct mrd_error *err)
{
    MRD_TRY(PQL_NEW(exec_of(op), steps_of(op), out, err));
    memset(*out, 0, steps_of(op) * sizeof(**out));
    return MRD_OK;
}

/* The group of these labels, with empty heaps if the segment has none of it yet. */
static enum mrd_status find_group(struct topk_op *op, struct mrd_labels key, struct group **out,
                                  struct mrd_error *err)
{
    uint32_t index = 0;
    bool is_new = false;
    MRD_TRY(pql_label_table_add(&op->table, key, &index, &is_new, err));
    if (is_new) {
        MRD_TRY(pql_grow(exec_of(op), (void **)&op->groups, index, &op->group_capacity,
                         sizeof(*op->groups), err));
        op->groups[index] = (struct group){0};
    }
    struct group *group = &op->groups[index];
    if (group->now == NULL) {
        MRD_TRY(heaps_create(op, &group->now, err));
    }
    group->in_now = true;
    *out = group;
    return MRD_OK;
}

/* Histograms have no order: topk and bottomk leave them out, and say so where they would keep any. */
static void topk_drop_histograms(const struct topk_op *op, struct pql_series *series)
{
    const bool topk = op->fold.node->aggregation == MRD_AGG_TOPK;
    if (op->fold.node->aggregation == MRD_AGG_LIMITK || series->histograms == NULL) {
        return;
    }
    for (size_t i = 0; i < steps_of(op); i++) {
        if (series->histograms[i] != NULL && op->k[i] >= 1) {
            pql_note_histogram(exec_of(op), PQL_NOTE_IGNORED_AGGREGATE,
                               pql_place(op->fold.node, op->fold.node),
                               mrd_bytes_of(topk ? "topk" : "bottomk"));
            break;
        }
    }
    series->histograms = NULL;
}

static enum mrd_status topk_take(struct pql_fold_op *base, struct pql_series *series,
                                 struct mrd_error *err)
{
    struct topk_op *op = (struct topk_op *)base;
    const enum mrd_aggregation kind = base->node->aggregation;
    struct group *group = NULL;
    struct mrd_labels key;
    uint32_t kept = UINT32_MAX;
    if (op->keeps_nothing) {
        return MRD_OK;
    }
    MRD_TRY(pql_labels_group(exec_of(op), &op->scratch, series->labels, &base->node->grouping, &key,
                             err));
    MRD_TRY(find_group(op, key, &group, err));
    topk_drop_histograms(op, series);
    for (size_t i = 0; i < steps_of(op); i++) {
        if (op->k[i] >= 1 && pql_series_has(series, i) &&
            pql_topk_wants(kind, &group->now[i], (size_t)op->k[i], series->values[i])) {
            MRD_TRY(topk_keep(op, &group->now[i], (size_t)op->k[i], series, i, &kept, err));
        }
    }
    return MRD_OK;
}

/* ---- segments ---- */

/* The members that the segment kept run for their places among those of the segments before. */
static enum mrd_status merge_heap(struct topk_op *op, struct pql_topk_heap *total,
                                  struct pql_topk_heap *now, size_t k, struct mrd_error *err)
{
    struct pql_exec *exec = exec_of(op);
    const enum mrd_aggregation kind = op->fold.node->aggregation;
    MRD_TRY(pql_work(exec, 1 + now->count, err));
    for (size_t m = 0; m < now->count; m++) {
        if (pql_topk_wants(kind, total, k, now->items[m].value)) {
            MRD_TRY(pql_topk_put(exec, kind, total, k, &now->items[m], err));
        }
    }
    exec->points_held -= now->count;
    now->count = 0;
    return MRD_OK;
}

static enum mrd_status merge_group(struct topk_op *op, struct group *group, struct mrd_error *err)
{
    group->in_now = false;
    if (!group->in_total) {
        group->in_total = true;
        group->total = group->now;
        group->now = NULL;
        return MRD_OK;
    }
    for (size_t i = 0; i < steps_of(op); i++) {
        MRD_TRY(merge_heap(op, &group->total[i], &group->now[i], (size_t)fmax(op->k[i], 0), err));
    }
    return MRD_OK;
}

static enum mrd_status topk_merge(struct pql_fold_op *base, struct mrd_error *err)
{
    struct topk_op *op = (struct topk_op *)base;
    for (uint32_t i = 0; i < op->table.count; i++) {
        if (op->groups[i].in_now) {
            MRD_TRY(merge_group(op, &op->groups[i], err));
        }
    }
    return MRD_OK;
}

/* ---- the result ---- */

static enum mrd_status put_value(struct pql_exec *exec, struct pql_series *series, size_t step,
                                 size_t steps, const struct pql_topk_member *member,
                                 struct mrd_error *err)
{
    series->values[step] = member->value;
    if (member->histogram == NULL) {
        return MRD_OK;
    }
    if (series->histograms == NULL) {
        MRD_TRY(pql_histograms_create(exec, steps, &series->histograms, err));
    }
    series->histograms[step] = member->histogram;
    return MRD_OK;
}

/* An instant vector lists each group best first. */
static enum mrd_status topk_emit_instant(struct topk_op *op, struct mrd_error *err)
{
    struct pql_exec *exec = exec_of(op);
    for (size_t g = 0; g < op->table.count; g++) {
        struct pql_topk_heap *heap = &op->groups[g].total[0];
        MRD_TRY(pql_topk_sort(exec, op->fold.node->aggregation, heap, err));
        for (size_t m = 0; m < heap->count; m++) {
            struct pql_series series = op->kept.items[heap->items[m].series];
            MRD_TRY(PQL_NEW(exec, 1, &series.values, err));
            MRD_TRY(put_value(exec, &series, 0, 1, &heap->items[m], err));
            MRD_TRY(pql_series_list_add(exec, &op->fold.list.list, series, err));
        }
    }
    return MRD_OK;
}

static enum mrd_status topk_emit_range(struct topk_op *op, struct mrd_error *err)
{
    struct pql_exec *exec = exec_of(op);
    const size_t steps = steps_of(op);
    for (size_t g = 0; g < op->table.count; g++) {
        for (size_t i = 0; i < steps; i++) {
            const struct pql_topk_heap *heap = &op->groups[g].total[i];
            MRD_TRY(pql_work(exec, 1 + heap->count, err));
            for (size_t m = 0; m < heap->count; m++) {
                struct pql_series *series = &op->kept.items[heap->items[m].series];
                if (series->values == NULL) {
                    MRD_TRY(PQL_NEW(exec, steps, &series->values, err));
                    pql_column_clear(series->values, steps);
                }
                MRD_TRY(put_value(exec, series, i, steps, &heap->items[m], err));
            }
        }
    }
    for (size_t s = 0; s < op->kept.count; s++) {
        if (op->kept.items[s].values != NULL) {
            MRD_TRY(pql_series_list_add(exec, &op->fold.list.list, op->kept.items[s], err));
        }
    }
    return MRD_OK;
}

/* Prometheus' order of checks: nothing to do, NaN, then the range of an int64. */
static enum mrd_status topk_check(const struct topk_op *op, bool *out_nothing,
                                  struct mrd_error *err)
{
    double greatest = -INFINITY;
    double least = INFINITY;
    bool any_nan = false;
    for (size_t i = 0; i < steps_of(op); i++) {
        any_nan |= isnan(op->k[i]) != 0;
        greatest = fmax(greatest, op->k[i]);
        least = fmin(least, op->k[i]);
    }
    *out_nothing = false;
    if (any_nan) {
        return pql_fail(err, "Parameter value is NaN");
    }
    if (greatest < 1) {
        *out_nothing = true;
        return MRD_OK;
    }
    if (least <= -0x1p63) {
        return pql_fail(err, "Scalar value %.*s underflows int64",
                        MRD_FMT(pql_number_text(exec_of(op), least)));
    }
    if (greatest >= 0x1p63) {
        return pql_fail(err, "Scalar value %.*s overflows int64",
                        MRD_FMT(pql_number_text(exec_of(op), greatest)));
    }
    return MRD_OK;
}

static void topk_begin(struct pql_fold_op *base)
{
    struct topk_op *op = (struct topk_op *)base;
    const enum mrd_status status = topk_check(op, &op->keeps_nothing, &op->wrong);
    op->keeps_nothing |= status != MRD_OK;
    op->wrong.status = status;
}

/* The input is read even if nothing is kept of it: an error in it comes first. */
static enum mrd_status topk_emit(struct pql_fold_op *base, struct mrd_error *err)
{
    struct topk_op *op = (struct topk_op *)base;
    if (op->wrong.status != MRD_OK) {
        return mrd_fail(err, op->wrong.status, "%s", op->wrong.text);
    }
    if (op->keeps_nothing) {
        return MRD_OK;
    }
    return steps_of(op) == 1 ? topk_emit_instant(op, err) : topk_emit_range(op, err);
}

/* ---- states as bytes ---- */

/* Numbers the series that are still in some heap, in their order; UINT32_MAX: not in any. */
static enum mrd_status number_series(const struct topk_op *op, uint32_t **out_numbers,
                                     uint64_t *out_count, struct mrd_error *err)
{
    uint32_t *numbers = NULL;
    MRD_TRY(PQL_NEW(exec_of(op), op->kept.count, &numbers, err));
    memset(numbers, 0xff, op->kept.count * sizeof(*numbers));
    for (uint32_t g = 0; g < op->table.count; g++) {
        for (size_t i = 0; op->groups[g].in_now && i < steps_of(op); i++) {
            const struct pql_topk_heap *heap = &op->groups[g].now[i];
            MRD_TRY(pql_work(exec_of(op), 1 + heap->count, err));
            for (size_t m = 0; m < heap->count; m++) {
                numbers[heap->items[m].series] = 0;
            }
        }
    }
    uint32_t count = 0;
    for (size_t s = 0; s < op->kept.count; s++) {
        if (numbers[s] == 0) {
            numbers[s] = count++;
        }
    }
    *out_numbers = numbers;
    *out_count = count;
    return MRD_OK;
}

static void write_heap(const struct pql_topk_heap *heap, const uint32_t *numbers,
                       struct mrd_buf *out)
{
    mrd_buf_append_varint(out, heap->count);
    for (size_t m = 0; m < heap->count; m++) {
        mrd_buf_append_varint(out, numbers[heap->items[m].series]);
        pql_number_write(heap->items[m].value, out);
    }
}

static enum mrd_status topk_write(const struct pql_fold_op *base, struct mrd_buf *out,
                                  struct mrd_error *err)
{
    const struct topk_op *op = (const struct topk_op *)base;
    uint32_t *numbers = NULL;
    uint64_t series = 0;
    uint64_t groups = 0;
    MRD_TRY(number_series(op, &numbers, &series, err));
    mrd_buf_append_varint(out, series);
    for (size_t s = 0; s < op->kept.count; s++) {
        MRD_TRY(pql_work(exec_of(op), 1, err));
        if (numbers[s] != UINT32_MAX) {
            pql_labels_write(op->kept.items[s].labels, op->kept.items[s].drop_name, out);
        }
    }
    for (uint32_t g = 0; g < op->table.count; g++) {
        groups += op->groups[g].in_now;
    }
    mrd_buf_append_varint(out, groups);
    for (uint32_t g = 0; g < op->table.count; g++) {
        if (!op->groups[g].in_now) {
            continue;
        }
        pql_labels_write(op->table.keys[g], false, out);
        for (size_t i = 0; i < steps_of(op); i++) {
            MRD_TRY(pql_work(exec_of(op), 1 + op->groups[g].now[i].count, err));
            write_heap(&op->groups[g].now[i], numbers, out);
        }
    }
    return MRD_OK;
}

static enum mrd_status read_series(struct topk_op *op, struct mrd_reader *in, struct mrd_error *err)
{
    struct mrd_labels labels;
    bool drop_name = false;
    MRD_TRY(pql_scratch_reset(exec_of(op), &op->readings, err));
    MRD_TRY(pql_labels_read(in, op->readings, &labels, &drop_name, err));
    return keep_series(op, labels, drop_name, err);
}

/* `first` is the number here of the states' series 0. */
static enum mrd_status read_heap(struct topk_op *op, struct mrd_reader *in, double k, size_t first,
                                 struct pql_topk_heap *heap, struct mrd_error *err)
{
    const uint64_t count = mrd_read_varint(in);
    if (count > 0 && !(k >= (double)count)) {
        return pql_states_corrupt(err, "a group has more members than k");
    }
    MRD_TRY(pql_work(exec_of(op), 1 + count, err));
    for (uint64_t m = 0; m < count; m++) {
        const uint64_t series = mrd_read_varint(in);
        const double value = pql_number_read(in);
        if (in->failed || series >= op->kept.count - first || pql_is_none(value)) {
            return pql_states_corrupt(err, "a member is none of the series");
        }
        const struct pql_topk_member member = {value, NULL, (uint32_t)(first + series)};
        MRD_TRY(pql_topk_append(exec_of(op), heap, &member, err));
    }
    return MRD_OK;
}

static enum mrd_status read_group(struct topk_op *op, struct mrd_reader *in, size_t first,
                                  struct mrd_error *err)
{
    struct mrd_labels key;
    struct group *group = NULL;
    bool unused = false;
    MRD_TRY(pql_scratch_reset(exec_of(op), &op->readings, err));
    MRD_TRY(pql_labels_read(in, op->readings, &key, &unused, err));
    const uint32_t known = pql_label_table_find(&op->table, key);
    if (known != UINT32_MAX && op->groups[known].in_now) {
        return pql_states_corrupt(err, "a group comes twice");
    }
    MRD_TRY(find_group(op, key, &group, err));
    for (size_t i = 0; i < steps_of(op); i++) {
        MRD_TRY(read_heap(op, in, op->k[i], first, &group->now[i], err));
    }
    return MRD_OK;
}

static enum mrd_status topk_read(struct pql_fold_op *base, struct mrd_reader *in,
                                 struct mrd_error *err)
{
    struct topk_op *op = (struct topk_op *)base;
    const size_t first = op->kept.count;
    const uint64_t series = mrd_read_varint(in);
    for (uint64_t i = 0; i < series && !in->failed; i++) {
        MRD_TRY(read_series(op, in, err));
    }
    const uint64_t groups = mrd_read_varint(in);
    if (op->keeps_nothing && series + groups > 0) {
        return pql_states_corrupt(err, "it keeps members where k is less than 1");
    }
    for (uint64_t i = 0; i < groups && !in->failed; i++) {
        MRD_TRY(read_group(op, in, first, err));
    }
    return MRD_OK;
}

/* ---- building ---- */

enum mrd_status pql_build_topk(struct pql_exec *exec, const struct pql_node *node,
                               struct pql_op **out, struct mrd_error *err)
{
    static const struct pql_fold_kind kind = {.begin = topk_begin,
                                              .take = topk_take,
                                              .merge = topk_merge,
                                              .emit = topk_emit,
                                              .write = topk_write,
                                              .read = topk_read};
    struct topk_op *op = NULL;
    const size_t steps = node->steps.count;
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op = (struct topk_op){.table = {.exec = exec}};
    pql_fold_init(&op->fold, exec, node, &kind);
    MRD_TRY(pql_eval_scalar(exec, node->args[1], steps, &op->k, err));
    MRD_TRY(pql_build(exec, node->args[0], steps, &op->fold.input, err));
    op->fold.list.op.one_name = op->fold.input->one_name;
    *out = &op->fold.list.op;
    return MRD_OK;
}
