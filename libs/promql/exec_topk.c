/* topk, bottomk, limitk: each step keeps k members of each group. The heaps are Go's container/heap
 * step for step, so that ties fall as they do in Prometheus. Memory is groups x steps x k. */
#include "promql/exec.h"

#include <math.h>
#include <stdlib.h>

struct member {
    double value;
    pql_histogram histogram; /* limitk only: its own, or NULL */
    uint32_t series;         /* in op->kept */
};

struct heap {
    struct member *items;
    size_t count;
    size_t capacity;
};

struct topk_op {
    struct pql_list_op list;
    const struct pql_node *node;
    struct pql_op *input;
    double *k;
    bool keeps_nothing;
    struct pql_label_table table;
    struct heap **groups; /* by number in the table: a heap per step */
    size_t group_capacity;
    struct pql_series_list kept; /* series that entered some heap; columns come at the end */
    struct pql_label_scratch scratch;
};

/* The member that goes first when a better one comes: NaN, then the smallest (largest for bottomk). */
static bool before(const struct topk_op *op, double a, double b)
{
    if (isnan(a)) {
        return true;
    }
    return op->node->aggregation == MRD_AGG_TOPK ? a < b : a > b;
}

static void swap_members(struct heap *heap, size_t a, size_t b)
{
    const struct member kept = heap->items[a];
    heap->items[a] = heap->items[b];
    heap->items[b] = kept;
}

static void heap_up(const struct topk_op *op, struct heap *heap, size_t at)
{
    while (at > 0) {
        const size_t parent = (at - 1) / 2;
        if (!before(op, heap->items[at].value, heap->items[parent].value)) {
            return;
        }
        swap_members(heap, at, parent);
        at = parent;
    }
}

static void heap_down(const struct topk_op *op, struct heap *heap)
{
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= heap->count) {
            return;
        }
        if (child + 1 < heap->count &&
            before(op, heap->items[child + 1].value, heap->items[child].value)) {
            child++;
        }
        if (!before(op, heap->items[child].value, heap->items[at].value)) {
            return;
        }
        swap_members(heap, at, child);
        at = child;
    }
}

/* True if `value` should replace the root of a full heap. */
static bool beats_root(const struct topk_op *op, const struct heap *heap, double value)
{
    const double root = heap->items[0].value;
    if (op->node->aggregation == MRD_AGG_LIMITK) {
        return false;
    }
    const bool better = op->node->aggregation == MRD_AGG_TOPK ? root < value : root > value;
    return better || (isnan(root) && !isnan(value));
}

/* ---- reading the input ---- */

/* Offers a series' value at one step; *kept is its index in op->kept once it is there. */
static enum mrd_status topk_offer(struct topk_op *op, struct heap *heap, size_t k,
                                  const struct pql_series *series, size_t step, uint32_t *kept,
                                  struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    const double value = series->values[step];
    struct mrd_float_histogram *histogram = NULL;
    const bool full = heap->count >= k;
    if (full && !beats_root(op, heap, value)) {
        return MRD_OK;
    }
    if (*kept == UINT32_MAX) {
        struct pql_series copy = {.drop_name = series->drop_name};
        MRD_TRY(pql_labels_copy(exec, series->labels, &copy.labels, err));
        *kept = (uint32_t)op->kept.count;
        MRD_TRY(pql_series_list_add(exec, &op->kept, copy, err));
    }
    if (full) {
        heap->items[0] = (struct member){value, NULL, *kept};
        heap_down(op, heap);
        return MRD_OK;
    }
    if (series->histograms != NULL && series->histograms[step] != NULL) {
        MRD_TRY(mrd_float_histogram_clone(series->histograms[step], exec->arena, &histogram, err));
    }
    MRD_TRY(pql_hold(exec, 1, err));
    MRD_TRY(pql_grow(exec, (void **)&heap->items, heap->count, &heap->capacity,
                     sizeof(*heap->items), err));
    heap->items[heap->count++] = (struct member){value, histogram, *kept};
    if (op->node->aggregation != MRD_AGG_LIMITK) {
        heap_up(op, heap, heap->count - 1);
    }
    return MRD_OK;
}

static enum mrd_status topk_find_group(struct topk_op *op, struct mrd_labels labels,
                                       struct heap **out, struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    struct mrd_labels key;
    uint32_t index = 0;
    bool is_new = false;
    MRD_TRY(pql_labels_group(exec, &op->scratch, labels, &op->node->grouping, &key, err));
    MRD_TRY(pql_label_table_add(&op->table, key, &index, &is_new, err));
    if (is_new) {
        const size_t steps = op->list.op.steps;
        MRD_TRY(pql_grow(exec, (void **)&op->groups, index, &op->group_capacity,
                         sizeof(*op->groups), err));
        MRD_TRY(PQL_NEW(exec, steps, &op->groups[index], err));
        memset(op->groups[index], 0, steps * sizeof(**op->groups));
    }
    *out = op->groups[index];
    return MRD_OK;
}

/* Histograms have no order: topk and bottomk leave them out, and say so where they would keep any. */
static void topk_drop_histograms(const struct topk_op *op, struct pql_series *series)
{
    const bool topk = op->node->aggregation == MRD_AGG_TOPK;
    if (op->node->aggregation == MRD_AGG_LIMITK || series->histograms == NULL) {
        return;
    }
    for (size_t i = 0; i < op->list.op.steps; i++) {
        if (series->histograms[i] != NULL && op->k[i] >= 1) {
            pql_note_histogram(op->list.op.exec, PQL_NOTE_IGNORED_AGGREGATE,
                               pql_place(op->node, op->node),
                               mrd_bytes_of(topk ? "topk" : "bottomk"));
            break;
        }
    }
    series->histograms = NULL;
}

static enum mrd_status topk_read(struct topk_op *op, struct mrd_error *err)
{
    for (;;) {
        struct pql_series series;
        struct heap *heaps = NULL;
        uint32_t kept = UINT32_MAX;
        bool more = false;
        MRD_TRY(pql_next(op->input, &series, &more, err));
        if (!more) {
            return MRD_OK;
        }
        if (op->keeps_nothing) {
            continue;
        }
        MRD_TRY(topk_find_group(op, series.labels, &heaps, err));
        topk_drop_histograms(op, &series);
        for (size_t i = 0; i < op->list.op.steps; i++) {
            if (op->k[i] >= 1 && pql_series_has(&series, i)) {
                MRD_TRY(topk_offer(op, &heaps[i], (size_t)op->k[i], &series, i, &kept, err));
            }
        }
    }
}

/* ---- the result ---- */

static int order_members(const void *a, const void *b, void *context)
{
    const struct topk_op *op = context;
    const struct member *x = a;
    const struct member *y = b;
    if (before(op, x->value, y->value) != before(op, y->value, x->value)) {
        return before(op, x->value, y->value) ? 1 : -1;
    }
    return 0;
}

/* Best first. glibc's qsort is a merge sort, so ties stay in heap order. */
static void sort_heap(struct topk_op *op, struct heap *heap)
{
    if (op->node->aggregation != MRD_AGG_LIMITK && heap->count > 1) {
        qsort_r(heap->items, heap->count, sizeof(*heap->items), order_members, op);
    }
}

static enum mrd_status topk_put(struct pql_exec *exec, struct pql_series *series, size_t step,
                                size_t steps, const struct member *member, struct mrd_error *err)
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
    struct pql_exec *exec = op->list.op.exec;
    for (size_t g = 0; g < op->table.count; g++) {
        struct heap *heap = &op->groups[g][0];
        sort_heap(op, heap);
        for (size_t m = 0; m < heap->count; m++) {
            struct pql_series series = op->kept.items[heap->items[m].series];
            MRD_TRY(PQL_NEW(exec, 1, &series.values, err));
            MRD_TRY(topk_put(exec, &series, 0, 1, &heap->items[m], err));
            MRD_TRY(pql_series_list_add(exec, &op->list.list, series, err));
        }
    }
    return MRD_OK;
}

static enum mrd_status topk_emit_range(struct topk_op *op, struct mrd_error *err)
{
    struct pql_exec *exec = op->list.op.exec;
    const size_t steps = op->list.op.steps;
    for (size_t g = 0; g < op->table.count; g++) {
        for (size_t i = 0; i < steps; i++) {
            const struct heap *heap = &op->groups[g][i];
            for (size_t m = 0; m < heap->count; m++) {
                struct pql_series *series = &op->kept.items[heap->items[m].series];
                if (series->values == NULL) {
                    MRD_TRY(PQL_NEW(exec, steps, &series->values, err));
                    pql_column_clear(series->values, steps);
                }
                MRD_TRY(topk_put(exec, series, i, steps, &heap->items[m], err));
            }
        }
    }
    for (size_t s = 0; s < op->kept.count; s++) {
        if (op->kept.items[s].values != NULL) {
            MRD_TRY(pql_series_list_add(exec, &op->list.list, op->kept.items[s], err));
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
    for (size_t i = 0; i < op->list.op.steps; i++) {
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
                        MRD_FMT(pql_number_text(op->list.op.exec, least)));
    }
    if (greatest >= 0x1p63) {
        return pql_fail(err, "Scalar value %.*s overflows int64",
                        MRD_FMT(pql_number_text(op->list.op.exec, greatest)));
    }
    return MRD_OK;
}

/* The input is read even if nothing is kept of it: an error in it comes first. */
static enum mrd_status topk_fill(struct pql_list_op *base, struct mrd_error *err)
{
    struct topk_op *op = (struct topk_op *)base;
    struct mrd_error wrong;
    const enum mrd_status status = topk_check(op, &op->keeps_nothing, &wrong);
    op->keeps_nothing |= status != MRD_OK;
    MRD_TRY(topk_read(op, err));
    if (status != MRD_OK) {
        return mrd_fail(err, status, "%s", wrong.text);
    }
    if (op->keeps_nothing) {
        return MRD_OK;
    }
    return base->op.steps == 1 ? topk_emit_instant(op, err) : topk_emit_range(op, err);
}

enum mrd_status pql_build_topk(struct pql_exec *exec, const struct pql_node *node,
                               struct pql_op **out, struct mrd_error *err)
{
    struct topk_op *op = NULL;
    const size_t steps = node->steps.count;
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op = (struct topk_op){.node = node, .table = {.exec = exec}};
    pql_list_op_init(&op->list, exec, steps, topk_fill);
    MRD_TRY(pql_eval_scalar(exec, node->args[1], steps, &op->k, err));
    MRD_TRY(pql_build(exec, node->args[0], steps, &op->input, err));
    op->list.op.one_name = op->input->one_name;
    *out = &op->list.op;
    return MRD_OK;
}

/* ---- limit_ratio: a sample of the series, the same at every step ---- */

struct ratio_op {
    struct pql_op op;
    struct pql_op *input;
    double *ratio;
};

/* Keeps the series whose hash, as a fraction of all hashes, lies below the ratio; for a negative ratio
 * exactly those that 1 + ratio would not keep. */
static bool ratio_keeps(double ratio, double hash)
{
    return ratio >= 0 ? hash < ratio : hash >= 1 + ratio;
}

static enum mrd_status ratio_next(struct pql_op *base, struct pql_series *out, bool *out_more,
                                  struct mrd_error *err)
{
    struct ratio_op *op = (struct ratio_op *)base;
    do {
        MRD_TRY(pql_next(op->input, out, out_more, err));
        if (!*out_more) {
            return MRD_OK;
        }
        const double hash = (double)mrd_labels_hash(out->labels) / 0x1p64;
        for (size_t i = 0; i < base->steps; i++) {
            if (!ratio_keeps(op->ratio[i], hash)) {
                out->values[i] = pql_none();
                if (out->histograms != NULL) {
                    out->histograms[i] = NULL;
                }
            }
        }
    } while (pql_series_empty(out, base->steps));
    return MRD_OK;
}

static enum mrd_status ratio_check(struct ratio_op *op, struct mrd_annotation_place place,
                                   struct mrd_error *err)
{
    struct pql_exec *exec = op->op.exec;
    for (size_t i = 0; i < op->op.steps; i++) {
        const double ratio = op->ratio[i];
        if (isnan(ratio)) {
            return pql_fail(err, "Ratio value is NaN");
        }
        if (ratio < -1 || ratio > 1) {
            op->ratio[i] = ratio < 0 ? -1 : 1;
            mrd_annotations_addf(exec->annotations, MRD_ANNOTATION_WARNING, place,
                                 "ratio value should be between -1 and 1, got %.*s, capping to %g",
                                 MRD_FMT(pql_number_text(exec, ratio)), op->ratio[i]);
        }
    }
    return MRD_OK;
}

enum mrd_status pql_build_limit_ratio(struct pql_exec *exec, const struct pql_node *node,
                                      struct pql_op **out, struct mrd_error *err)
{
    struct ratio_op *op = NULL;
    const size_t steps = node->steps.count;
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    *op = (struct ratio_op){
        .op = {.next = ratio_next, .exec = exec, .steps = steps}
    };
    MRD_TRY(pql_eval_scalar(exec, node->args[1], steps, &op->ratio, err));
    MRD_TRY(ratio_check(op, pql_place(node, node->args[1]), err));
    MRD_TRY(pql_build(exec, node->args[0], steps, &op->input, err));
    op->op.one_name = op->input->one_name;
    *out = &op->op;
    return MRD_OK;
}
