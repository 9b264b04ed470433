/* Memory, lists and merging: what all operators stand on. */
#include "promql/exec.h"

enum mrd_status pql_alloc(struct pql_exec *exec, size_t count, size_t item_size, void **out,
                          struct mrd_error *err)
{
    MRD_TRY(pql_work(exec, 1 + count * item_size / 1024, err));
    void *items = mrd_arena_alloc_array(exec->arena, count, item_size);
    if (items == NULL) {
        return mrd_arena_fail(exec->arena, err);
    }
    *out = items;
    return MRD_OK;
}

static enum mrd_status look(void *context, struct mrd_error *err)
{
    struct pql_exec *exec = context;
    const enum mrd_status status = mrd_query_check(exec->control, err);
    if (status != MRD_OK) {
        exec->unlooked = PQL_WORK_MAX; /* who cannot return it is found out by the next pql_work */
    }
    return status;
}

struct mrd_look pql_look(struct pql_exec *exec) { return (struct mrd_look){look, exec}; }

enum mrd_status pql_sort(struct pql_exec *exec, void *items, size_t count, size_t item_size,
                         mrd_order *order, void *context, struct mrd_error *err)
{
    const struct mrd_look control = pql_look(exec);
    return mrd_sort(items, count, item_size, order, context, &control, err);
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

static void scratch_destroy(void *subject)
{
    struct mrd_arena *arena = subject;
    mrd_arena_destroy(&arena);
}

enum mrd_status pql_scratch_reset(struct pql_exec *exec, struct mrd_arena **scratch,
                                  struct mrd_error *err)
{
    if (*scratch != NULL) {
        mrd_arena_reset(*scratch);
        return MRD_OK;
    }
    struct mrd_arena *made = mrd_arena_create_within(exec->arena);
    const enum mrd_status status = pql_defer(exec, scratch_destroy, made, err);
    if (status != MRD_OK) {
        mrd_arena_destroy(&made);
        return status;
    }
    *scratch = made;
    return MRD_OK;
}

enum mrd_status pql_histograms_create(struct pql_exec *exec, size_t steps, pql_histogram **out,
                                      struct mrd_error *err)
{
    MRD_TRY(PQL_NEW(exec, steps, out, err));
    memset((void *)*out, 0, steps * sizeof(**out));
    return MRD_OK;
}

enum mrd_status pql_histogram_to_stats(struct mrd_float_histogram *histogram, pql_histogram before,
                                       struct mrd_arena *arena, struct mrd_error *err)
{
    enum mrd_histogram_reset known = histogram->reset;
    if (known == MRD_HISTOGRAM_RESET_UNKNOWN && before != NULL) {
        bool reset = false;
        MRD_TRY(mrd_float_histogram_was_reset(histogram, before, arena, &reset, err));
        known = reset ? MRD_HISTOGRAM_RESET : MRD_HISTOGRAM_NO_RESET;
    }
    *histogram = (struct mrd_float_histogram){.reset = known,
                                              .schema = histogram->schema,
                                              .count = histogram->count,
                                              .sum = histogram->sum};
    return MRD_OK;
}

enum mrd_status pql_histogram_load(const struct mrd_source_series *from, size_t i,
                                   struct mrd_arena *arena, struct mrd_float_histogram **out,
                                   struct mrd_error *err)
{
    MRD_TRY(mrd_float_histogram_from(&from->histograms.items[i], arena, out, err));
    if (i == 0 && !from->follows && (*out)->reset != MRD_HISTOGRAM_GAUGE) {
        (*out)->reset = MRD_HISTOGRAM_RESET_UNKNOWN;
    }
    return MRD_OK;
}

enum mrd_status pql_histograms_load(struct pql_exec *exec, const struct mrd_source_series *series,
                                    bool stats_only, struct mrd_arena *arena,
                                    struct pql_histogram_samples *out, struct mrd_error *err)
{
    const struct mrd_histograms *from = &series->histograms;
    struct mrd_float_histogram before = {0}; /* the one before, whole */
    const bool started = from->start_times_ms != NULL;
    mrd_time_ms *times_ms = mrd_arena_alloc_array(arena, from->count, sizeof(*times_ms));
    mrd_time_ms *start_times_ms =
        started ? mrd_arena_alloc_array(arena, from->count, sizeof(*start_times_ms)) : NULL;
    pql_histogram *items = mrd_arena_alloc_array(arena, from->count, sizeof(*items));
    *out = (struct pql_histogram_samples){times_ms, items, 0, start_times_ms};
    if (times_ms == NULL || items == NULL || (start_times_ms != NULL) != started) {
        return mrd_arena_fail(arena, err);
    }
    for (size_t i = 0; i < from->count; i++) {
        struct mrd_float_histogram *made = NULL;
        MRD_TRY(pql_work(exec, PQL_HISTOGRAM_UNITS, err));
        if (!mrd_histogram_is_stale(&from->items[i])) {
            MRD_TRY(pql_histogram_load(series, i, arena, &made, err));
            if (stats_only) {
                const struct mrd_float_histogram whole = *made;
                const bool first = out->count == 0;
                MRD_TRY(pql_histogram_to_stats(made, first ? NULL : &before, arena, err));
                before = whole;
            }
            times_ms[out->count] = from->times_ms[i];
            if (started) {
                start_times_ms[out->count] = from->start_times_ms[i];
            }
            items[out->count++] = made;
        }
    }
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
        return mrd_fail(
            err, MRD_E_LIMIT,
            "query processing would load too many samples into memory in query "
            "execution (more than the %zu of querier.samples_max: ask for less, or raise it)",
            limit);
    }
    return MRD_OK;
}

void pql_count_read(struct pql_exec *exec, uint64_t series, uint64_t samples)
{
    struct mrd_query_progress *progress = exec->control == NULL ? NULL : exec->control->progress;
    exec->stats->series_read += series;
    exec->stats->samples_read += samples;
    if (progress != NULL) {
        mrd_progress_add(&progress->series, series);
        mrd_progress_add(&progress->samples, samples);
        mrd_progress_raise(&progress->memory_bytes, mrd_arena_used(exec->arena));
    }
}

/* What is before the range has told of its first one. */
static void drop_before(const struct pql_selector *selector, struct mrd_source_series *series)
{
    struct mrd_histograms *histograms = &series->histograms;
    series->follows = false;
    while (histograms->count > 0 && histograms->times_ms[0] < selector->select.min_ms) {
        histograms->times_ms++;
        histograms->items++;
        histograms->count--;
        if (histograms->start_times_ms != NULL) {
            histograms->start_times_ms++;
        }
        series->follows = true;
    }
}

enum mrd_status pql_source_next(struct pql_exec *exec, struct pql_selector *selector,
                                struct mrd_source_series *out, bool *out_more,
                                struct mrd_error *err)
{
    *out = (struct mrd_source_series){0}; /* a source without histograms need not name them */
    MRD_TRY(mrd_query_check(exec->control, err));
    MRD_TRY(exec->source->next(selector->set, out, out_more, err));
    if (*out_more) {
        drop_before(selector, out);
        pql_count_read(exec, 1, out->samples.count + out->histograms.count);
        selector->segment = out->segment;
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

static enum mrd_status copy_histograms(struct pql_exec *exec, const struct pql_series *from,
                                       size_t steps, struct pql_series *to, struct mrd_error *err)
{
    if (pql_histogram_points(from, steps) == 0) {
        return MRD_OK;
    }
    MRD_TRY(pql_histograms_create(exec, steps, &to->histograms, err));
    for (size_t i = 0; i < steps; i++) {
        struct mrd_float_histogram *clone = NULL;
        if (from->histograms[i] == NULL) {
            continue;
        }
        if (i > 0 && from->histograms[i] == from->histograms[i - 1]) {
            to->histograms[i] = to->histograms[i - 1]; /* one sample seen at several steps */
            continue;
        }
        MRD_TRY(mrd_float_histogram_clone(from->histograms[i], exec->arena, &clone, err));
        to->histograms[i] = clone;
    }
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
    MRD_TRY(copy_histograms(exec, series, steps, &copy, err));
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
        const size_t points = pql_series_points(&series, op->steps);
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
        if (pql_series_has(series, i)) {
            return i;
        }
    }
    return SIZE_MAX;
}

/* Whether the name goes is for the earlier of the two to say. */
static enum mrd_status merge_into(struct pql_exec *exec, struct pql_series *to,
                                  const struct pql_series *from, size_t steps, bool strict,
                                  struct mrd_error *err)
{
    if (from->drop_name != to->drop_name && first_point(from, steps) < first_point(to, steps)) {
        to->drop_name = from->drop_name;
    }
    if (from->histograms != NULL && to->histograms == NULL) {
        MRD_TRY(pql_histograms_create(exec, steps, &to->histograms, err));
    }
    for (size_t i = 0; i < steps; i++) {
        if (!pql_series_has(from, i)) {
            continue;
        }
        if (strict || pql_series_has(to, i)) {
            return pql_fail(err, "vector cannot contain metrics with the same labelset");
        }
        to->values[i] = from->values[i];
        if (from->histograms != NULL) {
            to->histograms[i] = from->histograms[i];
        }
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
            MRD_TRY(pql_work(exec, steps / 16, err));
            MRD_TRY(merge_into(exec, &list->items[index], &list->items[i], steps, strict, err));
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
