/* Memory, lists and merging: what all operators stand on. */
#include "promql/exec.h"

enum mrd_status pql_alloc(struct pql_exec *exec, size_t count, size_t item_size, void **out,
                          struct mrd_error *err)
{
    void *items = mrd_arena_alloc_array(exec->arena, count, item_size);
    if (items == NULL) {
        return mrd_arena_fail(exec->arena, err);
    }
    *out = items;
    return MRD_OK;
}

enum mrd_status pql_defer(struct pql_exec *exec, void (*run)(void *subject), void *subject,
                          struct mrd_error *err)
{
    struct pql_cleanup *cleanup = NULL;
    MRD_TRY(PQL_NEW(exec, 1, &cleanup, err));
    *cleanup = (struct pql_cleanup){run, subject, exec->cleanups};
    exec->cleanups = cleanup;
    return MRD_OK;
}

enum mrd_status pql_grow(struct pql_exec *exec, void **items, size_t count, size_t *capacity,
                         size_t item_size, struct mrd_error *err)
{
    if (count < *capacity) {
        return MRD_OK;
    }
    const size_t grown = *capacity == 0 ? 16 : *capacity * 2;
    void *moved = NULL;
    MRD_TRY(pql_alloc(exec, grown, item_size, &moved, err));
    if (count > 0) {
        memcpy(moved, *items, count * item_size);
    }
    *items = moved;
    *capacity = grown;
    return MRD_OK;
}

enum mrd_status pql_hold(struct pql_exec *exec, size_t points, struct mrd_error *err)
{
    exec->points_held += points;
    exec->stats->samples_peak = MRD_MAX(exec->stats->samples_peak, exec->points_held);
    const size_t limit = exec->options->samples_max;
    if (limit != 0 && exec->points_held > limit) {
        return mrd_fail(err, MRD_E_LIMIT,
                        "query processing would load too many samples into memory in query "
                        "execution (limit %zu)",
                        limit);
    }
    return MRD_OK;
}

/* ---- lists ---- */

enum mrd_status pql_series_list_add(struct pql_exec *exec, struct pql_series_list *list,
                                    struct pql_series series, struct mrd_error *err)
{
    MRD_TRY(pql_grow(exec, (void **)&list->items, list->count, &list->capacity,
                     sizeof(*list->items), err));
    list->items[list->count++] = series;
    return MRD_OK;
}

enum mrd_status pql_series_list_add_copy(struct pql_exec *exec, struct pql_series_list *list,
                                         const struct pql_series *series, size_t steps,
                                         struct mrd_error *err)
{
    struct pql_series copy = {.drop_name = series->drop_name};
    MRD_TRY(pql_labels_copy(exec, series->labels, &copy.labels, err));
    MRD_TRY(PQL_NEW(exec, steps, &copy.values, err));
    memcpy(copy.values, series->values, steps * sizeof(*copy.values));
    return pql_series_list_add(exec, list, copy, err);
}

enum mrd_status pql_collect(struct pql_op *op, struct pql_series_list *out, struct mrd_error *err)
{
    for (;;) {
        struct pql_series series;
        bool more = false;
        MRD_TRY(pql_next(op, &series, &more, err));
        if (!more) {
            return MRD_OK;
        }
        const size_t points = pql_column_points(series.values, op->steps);
        if (points > 0) {
            MRD_TRY(pql_hold(op->exec, points, err));
            MRD_TRY(pql_series_list_add_copy(op->exec, out, &series, op->steps, err));
        }
    }
}

static enum mrd_status list_op_next(struct pql_op *base, struct pql_series *out, bool *out_more,
                                    struct mrd_error *err)
{
    struct pql_list_op *op = (struct pql_list_op *)base;
    if (!op->filled) {
        MRD_TRY(op->fill(op, err));
        op->filled = true;
    }
    *out_more = op->at < op->list.count;
    if (*out_more) {
        *out = op->list.items[op->at++];
    }
    return MRD_OK;
}

void pql_list_op_init(struct pql_list_op *op, struct pql_exec *exec, size_t steps,
                      enum mrd_status (*fill)(struct pql_list_op *op, struct mrd_error *err))
{
    *op = (struct pql_list_op){
        .op = {.next = list_op_next, .exec = exec, .steps = steps},
        .fill = fill,
    };
}

/* ---- merging ---- */

/* The first step with a value, SIZE_MAX if there is none. */
static size_t first_point(const struct pql_series *series, size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        if (!pql_is_none(series->values[i])) {
            return i;
        }
    }
    return SIZE_MAX;
}

/* Whether the name goes is for the earlier of the two to say. */
static enum mrd_status merge_into(struct pql_series *to, const struct pql_series *from,
                                  size_t steps, bool strict, struct mrd_error *err)
{
    if (from->drop_name != to->drop_name && first_point(from, steps) < first_point(to, steps)) {
        to->drop_name = from->drop_name;
    }
    for (size_t i = 0; i < steps; i++) {
        if (pql_is_none(from->values[i])) {
            continue;
        }
        if (strict || !pql_is_none(to->values[i])) {
            return pql_fail(err, "vector cannot contain metrics with the same labelset");
        }
        to->values[i] = from->values[i];
    }
    return MRD_OK;
}

enum mrd_status pql_series_list_merge(struct pql_exec *exec, struct pql_series_list *list,
                                      size_t steps, bool strict, struct mrd_error *err)
{
    struct pql_label_table table = {.exec = exec};
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        uint32_t index = 0;
        bool is_new = false;
        MRD_TRY(pql_label_table_add(&table, list->items[i].labels, &index, &is_new, err));
        if (is_new) {
            list->items[kept++] = list->items[i];
        } else {
            MRD_TRY(merge_into(&list->items[index], &list->items[i], steps, strict, err));
        }
    }
    list->count = kept;
    return MRD_OK;
}

struct merge_op {
    struct pql_list_op list;
    struct pql_op *input;
    bool strict;
};

static enum mrd_status merge_fill(struct pql_list_op *base, struct mrd_error *err)
{
    struct merge_op *op = (struct merge_op *)base;
    MRD_TRY(pql_collect(op->input, &base->list, err));
    return pql_series_list_merge(base->op.exec, &base->list, base->op.steps, op->strict, err);
}

enum mrd_status pql_build_merge(struct pql_exec *exec, struct pql_op *input, bool strict,
                                struct pql_op **out, struct mrd_error *err)
{
    struct merge_op *op = NULL;
    MRD_TRY(PQL_NEW(exec, 1, &op, err));
    pql_list_op_init(&op->list, exec, input->steps, merge_fill);
    op->list.op.one_name = input->one_name;
    op->input = input;
    op->strict = strict;
    *out = &op->list.op;
    return MRD_OK;
}
