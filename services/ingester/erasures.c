#include "ingester/erasures.h"

#include <stdlib.h>

enum {
    ERASURE_ARENA_BYTES = 4 << 20,
    LABELS_ARENA_BYTES = 4 << 20, /* of one series */
};

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

struct item {
    struct mrd_erasure erasure;
    struct mrd_arena *arena; /* of the bytes and of what was decoded of them */
};

struct ing_erasures {
    struct item items[ING_ERASURES_MAX]; /* oldest first */
    size_t count;
    mrd_hlc hlc_max;
    struct mrd_arena *arena; /* labels of one series */
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
    erasures->arena = mrd_arena_create("labels of a series", LABELS_ARENA_BYTES);
    return erasures;
}

static void item_fini(struct item *item)
{
    mrd_erasure_fini(&item->erasure);
    mrd_arena_destroy(&item->arena);
}

void ing_erasures_destroy(struct ing_erasures **erasures)
{
    if (*erasures == NULL) {
        return;
    }
    struct ing_erasures *self = MRD_MOVE(*erasures);
    for (size_t i = 0; i < self->count; i++) {
        item_fini(&self->items[i]);
    }
    mrd_arena_destroy(&self->arena);
    mrd_buf_fini(&self->labels);
    mrd_buf_fini(&self->ordinals);
    mrd_buf_fini(&self->counts);
    mrd_buf_fini(&self->indexes);
    for (size_t i = 0; i < MRD_ARRAY_LEN(self->columns); i++) {
        mrd_buf_fini(&self->columns[i]);
    }
    free(self);
}

size_t ing_erasures_memory(const struct ing_erasures *erasures)
{
    size_t bytes = sizeof(*erasures);
    for (size_t i = 0; i < erasures->count; i++) {
        bytes += mrd_arena_used(erasures->items[i].arena);
    }
    return bytes;
}

/* ---- which there are ---- */

static void drop_first(struct ing_erasures *erasures, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        item_fini(&erasures->items[i]);
    }
    erasures->count -= count;
    memmove(erasures->items, erasures->items + count, erasures->count * sizeof(erasures->items[0]));
    erasures->hlc_max = 0;
    for (size_t i = 0; i < erasures->count; i++) {
        erasures->hlc_max = MRD_MAX(erasures->hlc_max, erasures->items[i].erasure.hlc);
    }
}

static bool knows(const struct ing_erasures *erasures, struct mrd_id128 id)
{
    for (size_t i = 0; i < erasures->count; i++) {
        if (mrd_id128_equal(erasures->items[i].erasure.id, id)) {
            return true;
        }
    }
    return false;
}

static enum mrd_status item_init(struct item *item, struct mrd_bytes encoded, struct mrd_error *err)
{
    *item = (struct item){.arena = mrd_arena_create("an erasure", ERASURE_ARENA_BYTES)};
    uint8_t *bytes = mrd_arena_alloc(item->arena, encoded.size);
    enum mrd_status status = MRD_OK;
    if (bytes == NULL) {
        status = mrd_arena_fail(item->arena, err);
    } else {
        memcpy(bytes, encoded.data, encoded.size);
        status = mrd_erasure_decode((struct mrd_bytes){bytes, encoded.size}, item->arena,
                                    &item->erasure, err);
    }
    if (status != MRD_OK) {
        mrd_arena_destroy(&item->arena);
    }
    return status;
}

enum mrd_status ing_erasures_add(struct ing_erasures *erasures, struct mrd_bytes encoded,
                                 const struct mrd_erasure **out, struct mrd_error *err)
{
    struct item item;
    MRD_TRY(item_init(&item, encoded, err));
    if (knows(erasures, item.erasure.id)) {
        item_fini(&item);
        *out = NULL;
        return MRD_OK;
    }
    if (erasures->count == ING_ERASURES_MAX) {
        drop_first(erasures, 1);
    }
    erasures->items[erasures->count++] = item;
    erasures->hlc_max = MRD_MAX(erasures->hlc_max, item.erasure.hlc);
    *out = &erasures->items[erasures->count - 1].erasure;
    return MRD_OK;
}

void ing_erasures_expire(struct ing_erasures *erasures, mrd_time_ms before_ms)
{
    size_t count = 0;
    while (count < erasures->count &&
           mrd_hlc_time_ms(erasures->items[count].erasure.hlc) < before_ms) {
        count++;
    }
    if (count > 0) {
        drop_first(erasures, count);
    }
}

/* ---- what they have ---- */

bool ing_erasures_concern(const struct ing_erasures *erasures, mrd_hlc hlc)
{
    return hlc < erasures->hlc_max;
}

/* Sets erased[i] for those of the times of one series that are; returns how many are set then. */
static size_t mark(struct ing_erasures *erasures, mrd_hlc hlc, struct mrd_bytes tenant,
                   struct mrd_bytes canonical, const mrd_time_ms *times_ms, size_t count,
                   bool *erased)
{
    struct mrd_labels labels;
    mrd_arena_reset(erasures->arena);
    if (mrd_labels_decode(canonical, erasures->arena, &labels, NULL) != MRD_OK) {
        mrd_assert(false); /* a head has only canonical ones, and they are bounded */
    }
    for (size_t e = 0; e < erasures->count; e++) {
        const struct mrd_erasure *erasure = &erasures->items[e].erasure;
        if (erasure->hlc <= hlc || !mrd_bytes_equal(erasure->tenant, tenant) ||
            !mrd_erasure_selects(erasure, labels)) {
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            erased[i] |= mrd_erasure_has_time(erasure, times_ms[i]);
        }
    }
    size_t set = 0;
    for (size_t i = 0; i < count; i++) {
        set += erased[i] ? 1 : 0;
    }
    return set;
}

bool ing_erasures_have(struct ing_erasures *erasures, mrd_hlc hlc, struct mrd_bytes tenant,
                       struct mrd_bytes labels, mrd_time_ms time_ms)
{
    bool erased = false;
    return mark(erasures, hlc, tenant, labels, &time_ms, 1, &erased) > 0;
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
            set += mark(erasures, hlc, tenants[rows->tenant_runs[run].tenant],
                        mrd_buf_view(&erasures->labels), rows->times_ms + at, count, erased + at);
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
    if (!ing_erasures_concern(erasures, hlc)) {
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
