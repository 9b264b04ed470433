#include "blockread/series_copy.h"

#include "rollup/columns.h"

/* NULL stays NULL, and so does nothing at all; *ok is untouched on success. */
static const void *copy(struct mrd_arena *arena, const void *from, size_t count, size_t item_size,
                        bool *ok)
{
    if (from == NULL || count == 0) {
        return NULL;
    }
    void *items = mrd_arena_alloc_array(arena, count, item_size);
    if (items == NULL) {
        *ok = false;
        return NULL;
    }
    return memcpy(items, from, count * item_size);
}

static struct mrd_labels copy_labels(struct mrd_labels from, struct mrd_arena *arena, bool *ok)
{
    struct mrd_label *items = mrd_arena_alloc_array(arena, from.count + 1, sizeof(*items));
    if (items == NULL) {
        *ok = false;
        return from;
    }
    for (size_t i = 0; i < from.count; i++) {
        items[i].name = mrd_arena_copy(arena, from.items[i].name);
        items[i].value = mrd_arena_copy(arena, from.items[i].value);
        *ok &= items[i].name.data != NULL && items[i].value.data != NULL;
    }
    return (struct mrd_labels){items, from.count};
}

static void copy_side(struct mrd_histogram_side *side, struct mrd_arena *arena, bool *ok)
{
    side->spans = copy(arena, side->spans, side->span_count, sizeof(*side->spans), ok);
    side->buckets = copy(arena, side->buckets, side->bucket_count, sizeof(*side->buckets), ok);
}

static struct mrd_histograms copy_histograms(const struct mrd_histograms *from,
                                             struct mrd_arena *arena, bool *ok)
{
    if (from->count == 0) {
        return (struct mrd_histograms){0};
    }
    struct mrd_histogram *items = mrd_arena_alloc_array(arena, from->count, sizeof(*items));
    if (items == NULL) {
        *ok = false;
        return *from;
    }
    for (size_t i = 0; i < from->count; i++) {
        items[i] = from->items[i];
        copy_side(&items[i].positive, arena, ok);
        copy_side(&items[i].negative, arena, ok);
        items[i].custom_values = copy(arena, from->items[i].custom_values,
                                      from->items[i].custom_value_count, sizeof(double), ok);
    }
    return (struct mrd_histograms){
        copy(arena, from->times_ms, from->count, sizeof(*from->times_ms), ok), items, from->count,
        copy(arena, from->start_times_ms, from->count, sizeof(*from->start_times_ms), ok)};
}

static struct mrd_rollup_row *copy_row(const struct mrd_rollup_row *from, struct mrd_arena *arena,
                                       bool *ok)
{
    struct mrd_rollup_row *row = mrd_arena_alloc(arena, sizeof(*row));
    if (row != NULL) {
        *row = *from;
        *ok &= mrd_rollup_histograms_clone(&row->histograms, arena, NULL) == MRD_OK;
    }
    *ok &= row != NULL;
    return row;
}

static const struct mrd_rollup_columns *copy_rows(const struct mrd_rollup_columns *from,
                                                  struct mrd_arena *arena, bool *ok)
{
    struct mrd_rollup_columns *columns = mrd_arena_alloc(arena, sizeof(*columns));
    if (columns == NULL) {
        *ok = false;
        return NULL;
    }
    columns->count = from->count;
    columns->ends_ms = copy(arena, from->ends_ms, from->count, sizeof(*from->ends_ms), ok);
    for (unsigned i = 0; i < MRD_ROW_COLUMNS; i++) {
        columns->items[i] = copy(arena, from->items[i], from->count, sizeof(int64_t), ok);
    }
    if (from->states == NULL) {
        return columns;
    }
    const struct mrd_rollup_row **states =
        mrd_arena_alloc_array(arena, from->count, sizeof(*states));
    *ok &= states != NULL;
    for (size_t i = 0; *ok && i < from->count; i++) {
        states[i] = from->states[i] == NULL ? NULL : copy_row(from->states[i], arena, ok);
    }
    columns->states = states;
    return columns;
}

enum mrd_status mrd_series_copy(const struct mrd_block_series *from, struct mrd_arena *arena,
                                struct mrd_block_series *out, struct mrd_error *err)
{
    const struct mrd_samples *samples = &from->samples;
    bool ok = true;
    *out = (struct mrd_block_series){.id = from->id};
    out->labels = copy_labels(from->labels, arena, &ok);
    out->samples = (struct mrd_samples){
        copy(arena, samples->times_ms, samples->count, sizeof(*samples->times_ms), &ok),
        copy(arena, samples->values, samples->count, sizeof(*samples->values), &ok), samples->count,
        copy(arena, samples->start_times_ms, samples->count, sizeof(*samples->start_times_ms),
             &ok)};
    out->histograms = copy_histograms(&from->histograms, arena, &ok);
    if (from->rows != NULL) {
        out->rows = copy_rows(from->rows, arena, &ok);
    }
    return ok ? MRD_OK : mrd_arena_fail(arena, err);
}
