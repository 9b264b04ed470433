#include "ingester/erasures.h"

#include <stdlib.h>

/* Rows of a batch in columns (wire/batch.h). */
struct rows {
    const struct mrd_batch_tenant_run *tenant_runs;
    const uint32_t *ordinals;
    const uint32_t *counts; /* NULL: one each */
    size_t row_count;
    const mrd_time_ms *times_ms;
    size_t item_count;
};

/* What stays of them: indexes of items, and the rows that keep some. */
struct kept {
    const uint32_t *ordinals;
    const uint32_t *counts;
    size_t row_count;
    const size_t *items;
    size_t item_count;
};

struct ing_erasures {
    struct mrd_erasures *list;
    struct mrd_buf labels;
    struct mrd_buf ordinals; /* of the rows kept, uint32_t; and so on */
    struct mrd_buf counts;
    struct mrd_buf indexes;    /* size_t */
    struct mrd_buf columns[3]; /* of what was kept */
};

struct ing_erasures *ing_erasures_create(void)
{
    struct ing_erasures *erasures = calloc(1, sizeof(*erasures));
    mrd_assert(erasures != NULL);
    erasures->list = mrd_erasures_create();
    return erasures;
}

void ing_erasures_destroy(struct ing_erasures **erasures)
{
    if (*erasures == NULL) {
        return;
    }
    struct ing_erasures *self = MRD_MOVE(*erasures);
    mrd_erasures_destroy(&self->list);
    mrd_buf_fini(&self->labels);
    mrd_buf_fini(&self->ordinals);
    mrd_buf_fini(&self->counts);
    mrd_buf_fini(&self->indexes);
    for (size_t i = 0; i < MRD_ARRAY_LEN(self->columns); i++) {
        mrd_buf_fini(&self->columns[i]);
    }
    free(self);
}

struct mrd_erasures *ing_erasures_list(struct ing_erasures *erasures) { return erasures->list; }

bool ing_erasures_have(struct ing_erasures *erasures, mrd_hlc hlc, struct mrd_bytes tenant,
                       struct mrd_bytes labels, mrd_time_ms time_ms)
{
    bool erased = false;
    return mrd_erasures_concern(erasures->list, hlc) &&
           mrd_erasures_mark(erasures->list, hlc, tenant, labels, &time_ms, 1, &erased) > 0;
}

static void keep_row(struct ing_erasures *erasures, uint32_t ordinal, size_t first,
                     const bool *erased, size_t count)
{
    uint32_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (!erased[i]) {
            const size_t index = first + i;
            mrd_buf_append(&erasures->indexes, &index, sizeof(index));
            kept++;
        }
    }
    if (kept > 0) {
        mrd_buf_append(&erasures->ordinals, &ordinal, sizeof(ordinal));
        mrd_buf_append(&erasures->counts, &kept, sizeof(kept));
    }
}

/* Says of each item whether it is erased, row by row; returns how many are. */
static size_t mark_rows(struct ing_erasures *erasures, const struct mrd_head *head, mrd_hlc hlc,
                        const struct mrd_bytes *tenants, const struct rows *rows, bool *erased)
{
    size_t set = 0;
    size_t at = 0;
    size_t run = 0;
    size_t left = rows->row_count == 0 ? 0 : rows->tenant_runs[0].row_count;
    for (size_t row = 0; row < rows->row_count; row++) {
        while (left == 0) {
            left = rows->tenant_runs[++run].row_count;
        }
        left--;
        const size_t count = rows->counts == NULL ? 1 : rows->counts[row];
        mrd_buf_clear(&erasures->labels);
        if (rows->ordinals[row] != MRD_HEAD_ORDINAL_NONE &&
            mrd_head_series_labels(head, rows->ordinals[row], &erasures->labels)) {
            set += mrd_erasures_mark(erasures->list, hlc, tenants[rows->tenant_runs[run].tenant],
                                     mrd_buf_view(&erasures->labels), rows->times_ms + at, count,
                                     erased + at);
        }
        keep_row(erasures, rows->ordinals[row], at, erased + at, count);
        at += count;
    }
    return set;
}

/* How many go. *out is written, and valid until the next call, only if some do. */
static size_t filter(struct ing_erasures *erasures, const struct mrd_head *head, mrd_hlc hlc,
                     const struct mrd_bytes *tenants, const struct rows *rows, struct kept *out)
{
    if (!mrd_erasures_concern(erasures->list, hlc)) {
        return 0;
    }
    bool *erased = calloc(rows->item_count + 1, sizeof(*erased));
    mrd_assert(erased != NULL);
    mrd_buf_clear(&erasures->ordinals);
    mrd_buf_clear(&erasures->counts);
    mrd_buf_clear(&erasures->indexes);
    const size_t set = mark_rows(erasures, head, hlc, tenants, rows, erased);
    free(erased);
    mrd_assert(!erasures->ordinals.failed && !erasures->counts.failed && !erasures->indexes.failed);
    *out = (struct kept){
        .ordinals = (const uint32_t *)(const void *)erasures->ordinals.data,
        .counts = (const uint32_t *)(const void *)erasures->counts.data,
        .row_count = erasures->ordinals.size / sizeof(uint32_t),
        .items = (const size_t *)(const void *)erasures->indexes.data,
        .item_count = erasures->indexes.size / sizeof(size_t),
    };
    return set;
}

/* The kept items of a column. */
static const void *gather(struct mrd_buf *out, const struct kept *kept, const void *column,
                          size_t item_size)
{
    mrd_buf_clear(out);
    for (size_t i = 0; column != NULL && i < kept->item_count; i++) {
        mrd_buf_append(out, (const uint8_t *)column + kept->items[i] * item_size, item_size);
    }
    mrd_assert(!out->failed);
    return column == NULL ? NULL : out->data;
}

size_t ing_erasures_leave_out(struct ing_erasures *erasures, const struct mrd_head *head,
                              const struct mrd_batch *batch, struct mrd_head_batch *rows)
{
    struct kept kept;
    const struct rows all = {batch->tenant_runs, rows->ordinals, rows->sample_counts,
                             rows->row_count,    rows->times_ms, rows->sample_count};
    const size_t gone = filter(erasures, head, rows->hlc, batch->tenants, &all, &kept);
    if (gone > 0) {
        rows->ordinals = kept.ordinals;
        rows->sample_counts = kept.counts;
        rows->row_count = kept.row_count;
        rows->sample_count = kept.item_count;
        rows->times_ms =
            gather(&erasures->columns[0], &kept, rows->times_ms, sizeof(*rows->times_ms));
        rows->values = gather(&erasures->columns[1], &kept, rows->values, sizeof(*rows->values));
        rows->start_times_ms = gather(&erasures->columns[2], &kept, rows->start_times_ms,
                                      sizeof(*rows->start_times_ms));
    }
    return gone;
}

size_t ing_erasures_leave_out_histograms(struct ing_erasures *erasures, const struct mrd_head *head,
                                         const struct mrd_batch *batch,
                                         struct mrd_head_histogram_batch *rows)
{
    struct kept kept;
    const struct rows all = {batch->histograms.rows.tenant_runs,
                             rows->ordinals,
                             rows->counts,
                             rows->row_count,
                             rows->times_ms,
                             rows->item_count};
    const size_t gone = filter(erasures, head, rows->hlc, batch->tenants, &all, &kept);
    if (gone > 0) {
        rows->ordinals = kept.ordinals;
        rows->counts = kept.counts;
        rows->row_count = kept.row_count;
        rows->item_count = kept.item_count;
        rows->times_ms =
            gather(&erasures->columns[0], &kept, rows->times_ms, sizeof(*rows->times_ms));
        rows->items = gather(&erasures->columns[1], &kept, rows->items, sizeof(*rows->items));
        rows->start_times_ms = gather(&erasures->columns[2], &kept, rows->start_times_ms,
                                      sizeof(*rows->start_times_ms));
    }
    return gone;
}
