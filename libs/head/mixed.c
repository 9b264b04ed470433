/* Series that have histograms, and perhaps float samples too: which of two values of one time counts. */
#include "head/head_internal.h"

enum { FLOATS_CAPACITY_MIN = 2, FLOATS_PER_CHUNK = HEAD_CHUNK_SAMPLES_MAX };

/* ---- stamps and values ---- */

static int compare_stamps(const struct head_stamp *a, const struct head_stamp *b)
{
    if (a->hlc != b->hlc) {
        return a->hlc < b->hlc ? -1 : 1;
    }
    return a->origin < b->origin ? -1 : a->origin > b->origin;
}

static void encode_alone(const struct mrd_histogram *histogram, mrd_time_ms start_ms,
                         struct mrd_buf *out)
{
    const struct mrd_histogram_entry entry = {.start_ms = start_ms, .histogram = histogram};
    struct mrd_histogram_open open = {0};
    uint64_t *counters = calloc(2 * mrd_histogram_counter_count(histogram), sizeof(*counters));
    mrd_assert(counters != NULL);
    const enum mrd_status status =
        mrd_histogram_open_append(&open, MRD_BYTES_NONE, counters, &entry, out, NULL);
    mrd_assert(status == MRD_OK || out->size == 0); /* what can not be stored is less than all */
    free(counters);
}

/* The order of what is written and what the scratch has, were the stamps equal; 0: they are the same. */
static int compare_histograms(const struct head_histogram_write *write,
                              const struct head_histogram_scratch *scratch, size_t index)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf left = {0};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf right = {0};
    encode_alone(write->histogram, write->start_ms, &left);
    encode_alone(&scratch->items[index], scratch->start_times_ms[index], &right);
    return mrd_bytes_compare(mrd_buf_view(&left), mrd_buf_view(&right));
}

/* ---- floats in the place of histograms ---- */

static struct head_late *floats_find(const struct mrd_head *head, const struct head_histograms *own,
                                     mrd_time_ms time_ms)
{
    if (own->floats == 0) {
        return NULL;
    }
    struct head_late_block *block = head_at(head, own->floats);
    const uint32_t at = head_late_position(block, time_ms);
    return at < block->count && block->items[at].time_ms == time_ms ? &block->items[at] : NULL;
}

static void floats_add(struct mrd_head *head, struct head_histograms *own,
                       const struct head_write *write)
{
    const bool started = write->start_ms != 0;
    struct head_late_block *block = own->floats == 0 ? NULL : head_at(head, own->floats);
    const bool full = block == NULL || block->count == block->capacity;
    if (full || (started && !block->started)) {
        const uint32_t capacity = block == NULL ? FLOATS_CAPACITY_MIN
                                  : full        ? block->capacity * 2
                                                : block->capacity;
        block =
            head_late_block_move(head, MRD_HEAD_MEMORY_HISTOGRAMS, &own->floats, capacity, started);
    }
    const struct head_late item = {write->time_ms, mrd_double_bits(write->value), write->hlc,
                                   write->origin, LATE_SAMPLE};
    head_late_block_insert(block, &item, write->start_ms);
    own->last_ms = MRD_MAX(own->last_ms, write->time_ms);
    head->sample_count++;
}

static void floats_free(struct mrd_head *head, struct head_histograms *own)
{
    const struct head_late_block *block = head_at(head, own->floats);
    head_free(head, MRD_HEAD_MEMORY_HISTOGRAMS, own->floats, head_late_block_bytes(block));
    own->floats = 0;
}

static void floats_remove(struct mrd_head *head, struct head_histograms *own,
                          const struct head_late *item)
{
    struct head_late_block *block = head_at(head, own->floats);
    head_late_block_remove(block, (size_t)(item - block->items));
    head->sample_count--;
    if (block->count == 0) {
        floats_free(head, own);
    }
}

/* ---- float samples ---- */

static void float_against_float(struct mrd_head *head, struct head_histograms *own,
                                struct head_late *item, const struct head_write *write,
                                struct mrd_head_append_result *result)
{
    const struct head_late_block *block = head_at(head, own->floats);
    const mrd_time_ms start_ms = head_late_start(block, (size_t)(item - block->items));
    const struct mrd_head_verdict a = {write->hlc, write->origin, write->value, write->start_ms};
    const struct mrd_head_verdict b = {item->hlc, item->origin, mrd_double_from_bits(item->bits),
                                       start_ms};
    const bool same = item->bits == mrd_double_bits(write->value) && start_ms == write->start_ms;
    const bool later = mrd_head_is_later(&a, &b);
    if (later) {
        floats_remove(head, own, item);
        floats_add(head, own, write);
    }
    result->duplicates += same ? 1 : 0;
    result->overrides += !same && later ? 1 : 0;
    result->outdated += !same && !later ? 1 : 0;
}

void head_mixed_write(struct mrd_head *head, uint32_t ordinal, const struct head_write *write,
                      struct mrd_head_append_result *result)
{
    struct head_histograms *own = head_histograms(head, ordinal);
    struct head_late *item = floats_find(head, own, write->time_ms);
    if (item != NULL) {
        float_against_float(head, own, item, write, result);
        return;
    }
    mrd_pool_handle *link;
    size_t index = 0;
    if (write->time_ms > own->last_ms ||
        !head_histogram_find(head, own, write->time_ms, &link, &index)) {
        head_sample_write(head, ordinal, write, result);
        return;
    }
    const struct head_stamp stamp = {write->hlc, write->origin};
    if (compare_stamps(&stamp, &head->histogram_scratch->stamp_items[index]) <= 0) {
        result->outdated++;
        return;
    }
    head_histogram_remove(head, own, link, index);
    floats_add(head, own, write);
    result->overrides++;
}

/* ---- histograms ---- */

static void histogram_against_histogram(struct mrd_head *head, struct head_histograms *own,
                                        mrd_pool_handle *link, size_t index,
                                        const struct head_histogram_write *write,
                                        struct mrd_head_append_result *result)
{
    const struct head_histogram_scratch *scratch = head->histogram_scratch;
    const int values = compare_histograms(write, scratch, index);
    const int stamps = compare_stamps(&write->stamp, &scratch->stamp_items[index]);
    const bool later = stamps > 0 || (stamps == 0 && values > 0);
    if (later && !head_histogram_replace(head, own, link, index, write)) {
        result->refused++;
        return;
    }
    result->duplicates += values == 0 ? 1 : 0;
    result->overrides += values != 0 && later ? 1 : 0;
    result->outdated += values != 0 && !later ? 1 : 0;
}

/* Puts a histogram where there is none; `hides` says that there is a float sample. */
static void histogram_put(struct mrd_head *head, struct head_histograms *own,
                          const struct head_histogram_write *write, bool hides, uint64_t *counter,
                          struct mrd_head_append_result *result)
{
    *(head_histogram_insert(head, own, write, hides) ? counter : &result->refused) += 1;
}

static void histogram_against_floats(struct mrd_head *head, uint32_t ordinal,
                                     const struct head_histogram_write *write,
                                     struct mrd_head_append_result *result)
{
    struct head_histograms *own = head_histograms(head, ordinal);
    struct head_late *item = floats_find(head, own, write->time_ms);
    const struct head_stored stored = head_stored_find(head, ordinal, write->time_ms);
    if (item != NULL) {
        const struct head_stamp stamp = {item->hlc, item->origin};
        if (compare_stamps(&write->stamp, &stamp) < 0) {
            result->outdated++;
        } else if (head_histogram_insert(head, own, write, stored.found)) {
            floats_remove(head, own, item);
            result->overrides++;
        } else {
            result->refused++;
        }
    } else if (!stored.found) {
        histogram_put(head, own, write, false, &result->out_of_order, result);
    } else if (write->stamp.hlc >= *stored.hlc) {
        histogram_put(head, own, write, true, &result->overrides, result);
    } else {
        result->outdated++;
    }
}

static void write_histogram(struct mrd_head *head, uint32_t ordinal,
                            const struct head_histogram_write *write,
                            struct mrd_head_append_result *result)
{
    if (write->time_ms > MRD_HEAD_TIME_MAX || write->time_ms < -MRD_HEAD_TIME_MAX) {
        result->refused++;
        return;
    }
    struct head_histograms *own = head_histograms_acquire(head, ordinal);
    if (write->time_ms > own->last_ms &&
        write->time_ms > head_hot(head, ordinal)->open.last_time_ms) {
        *(head_histogram_append(head, own, write) ? &result->appended : &result->refused) += 1;
        return;
    }
    struct head_series *series = head_series(head, ordinal);
    const uint32_t touched_s = (uint32_t)(mrd_hlc_time_ms(write->stamp.hlc) / 1000);
    series->touched_s = MRD_MAX(series->touched_s, touched_s);
    mrd_pool_handle *link;
    size_t index = 0;
    if (head_histogram_find(head, own, write->time_ms, &link, &index)) {
        histogram_against_histogram(head, own, link, index, write, result);
    } else {
        histogram_against_floats(head, ordinal, write, result);
    }
}

static bool is_live(const struct mrd_head *head, uint32_t ordinal)
{
    if (ordinal == MRD_HEAD_ORDINAL_NONE) {
        return false;
    }
    mrd_assert(ordinal < head->series_end);
    return (head_hot(head, ordinal)->open.owner_flags & HOT_LIVE) != 0;
}

void mrd_head_append_histograms(struct mrd_head *head, const struct mrd_head_histogram_batch *batch,
                                struct mrd_head_append_result *result)
{
    struct head_histogram_write write = {
        .start_ms = 0, .stamp = {batch->hlc, batch->origin}
    };
    size_t at = 0;
    for (size_t row = 0; row < batch->row_count; row++) {
        const size_t count = batch->counts == NULL ? 1 : batch->counts[row];
        mrd_assert(count <= batch->item_count - at);
        const bool live = is_live(head, batch->ordinals[row]);
        result->rows_dead += live ? 0 : 1;
        for (size_t end = at + count; at < end; at++) {
            write.time_ms = batch->times_ms[at];
            write.start_ms = batch->start_times_ms == NULL ? 0 : batch->start_times_ms[at];
            write.histogram = &batch->items[at];
            if (live) {
                write_histogram(head, batch->ordinals[row], &write, result);
            }
        }
    }
    mrd_assert(at == batch->item_count);
}

/* ---- reading ---- */

bool head_mixed_overlaps(const struct mrd_head *head, uint32_t ordinal, mrd_time_ms time_min_ms,
                         mrd_time_ms time_max_ms)
{
    const struct head_histograms *own = head_histograms(head, ordinal);
    if (own == NULL) {
        return false;
    }
    for (mrd_pool_handle at = own->chunks; at != 0;) {
        const struct head_histogram_chunk *chunk = head_at(head, at);
        if (chunk->first_ms <= time_max_ms && chunk->last_ms >= time_min_ms) {
            return true;
        }
        at = chunk->next;
    }
    if (own->floats == 0) {
        return false;
    }
    const struct head_late_block *block = head_at(head, own->floats);
    const uint32_t from = head_late_position(block, time_min_ms);
    return from < block->count && block->items[from].time_ms <= time_max_ms;
}

/* Histogram chunks of the range, and the one before them if it is wanted, oldest first: the list is the other way round. */
static size_t append_chunks(struct mrd_head *head, const struct head_histograms *own,
                            const struct mrd_head_cursor *cursor, struct mrd_head_selection *out)
{
    struct head_numbers found = {0};
    const mrd_time_ms before_ms =
        mrd_time_earlier(cursor->time_min_ms, cursor->histograms_before_ms);
    for (mrd_pool_handle at = own->chunks; at != 0;) {
        const struct head_histogram_chunk *chunk = head_at(head, at);
        if (chunk->first_ms <= cursor->time_max_ms && chunk->last_ms >= before_ms) {
            head_numbers_add(&found, at);
        }
        if (chunk->first_ms < cursor->time_min_ms) {
            break; /* it has the one before, or is too old itself */
        }
        at = chunk->next;
    }
    for (size_t i = found.count; out != NULL && i-- > 0;) {
        const struct head_histogram_chunk *chunk = head_at(head, found.items[i]);
        const struct mrd_chunk view = {head_bytes_view(head, &chunk->bytes), chunk->count,
                                       MRD_CHUNK_HISTOGRAMS};
        head_selection_add(out, &view, chunk->weight);
    }
    const size_t count = found.count;
    head_numbers_fini(&found);
    return count;
}

static void append_float_chunk(struct mrd_head *head, const struct head_late_block *block,
                               size_t from, size_t count, struct mrd_head_selection *out)
{
    struct head_columns *columns = &head->merged;
    head_columns_clear(columns);
    for (size_t i = from; i < from + count; i++) {
        head_columns_add(head, columns, block->items[i].time_ms, block->items[i].bits,
                         head_late_start(block, i));
    }
    const struct mrd_chunk chunk = head_columns_encode(head, columns, 0, count);
    head_selection_add(out, &chunk, count);
}

static size_t append_floats(struct mrd_head *head, const struct head_histograms *own,
                            const struct mrd_head_cursor *cursor, struct mrd_head_selection *out)
{
    if (own->floats == 0) {
        return 0;
    }
    const struct head_late_block *block = head_at(head, own->floats);
    uint32_t at = head_late_position(block, cursor->time_min_ms);
    uint32_t end = at;
    while (end < block->count && block->items[end].time_ms <= cursor->time_max_ms) {
        end++;
    }
    size_t chunks = 0;
    for (; at < end; chunks++) {
        const uint32_t count = MRD_MIN(end - at, (uint32_t)FLOATS_PER_CHUNK);
        if (out != NULL) {
            append_float_chunk(head, block, at, count, out);
        }
        at += count;
    }
    return chunks;
}

size_t head_mixed_append(struct mrd_head *head, uint32_t ordinal,
                         const struct mrd_head_cursor *cursor, struct mrd_head_selection *out)
{
    const struct head_histograms *own = head_histograms(head, ordinal);
    return own == NULL
               ? 0
               : append_chunks(head, own, cursor, out) + append_floats(head, own, cursor, out);
}

/* ---- forgetting ---- */

static void sweep_chunks(struct mrd_head *head, uint32_t ordinal,
                         const struct mrd_head_sweep *sweep, mrd_time_ms before_ms)
{
    struct head_histograms *own = head_histograms(head, ordinal);
    struct head_series *series = head_series(head, ordinal);
    for (mrd_pool_handle *link = &own->chunks; *link != 0;) {
        struct head_histogram_chunk *chunk = head_at(head, *link);
        /* What it hides must not come to light. */
        const bool needed =
            chunk->hides && head_floats_overlap(head, ordinal, chunk->first_ms, chunk->last_ms);
        if (chunk->first_ms >= before_ms || chunk->hlc > sweep->covered_hlc || needed) {
            link = &chunk->next;
            continue;
        }
        const uint32_t touched_s = (uint32_t)(mrd_hlc_time_ms(chunk->hlc) / 1000);
        series->touched_s = MRD_MAX(series->touched_s, touched_s);
        head_histogram_chunk_free(head, own, link);
    }
}

static void sweep_floats(struct mrd_head *head, uint32_t ordinal,
                         const struct mrd_head_sweep *sweep, mrd_time_ms before_ms)
{
    struct head_histograms *own = head_histograms(head, ordinal);
    if (own->floats == 0) {
        return;
    }
    struct head_late_block *block = head_at(head, own->floats);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < block->count; i++) {
        const struct head_late *item = &block->items[i];
        if (item->time_ms < before_ms && item->hlc <= sweep->covered_hlc &&
            !head_floats_overlap(head, ordinal, item->time_ms, item->time_ms)) {
            head->sample_count--;
        } else {
            head_late_block_keep(block, kept++, i);
        }
    }
    block->count = kept;
    if (kept == 0) {
        floats_free(head, own);
    }
}

mrd_hlc head_mixed_erase_floats(struct mrd_head *head, uint32_t ordinal, mrd_time_ms min_ms,
                                mrd_time_ms max_ms)
{
    struct head_histograms *own = head_histograms(head, ordinal);
    if (own->floats == 0) {
        return 0;
    }
    struct head_late_block *block = head_at(head, own->floats);
    mrd_hlc greatest = 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < block->count; i++) {
        const struct head_late *item = &block->items[i];
        if (item->time_ms < min_ms || item->time_ms > max_ms) {
            head_late_block_keep(block, kept++, i);
            continue;
        }
        greatest = MRD_MAX(greatest, item->hlc);
        head->sample_count--;
    }
    block->count = kept;
    if (kept == 0) {
        floats_free(head, own);
    }
    return greatest;
}

void head_mixed_sweep(struct mrd_head *head, uint32_t ordinal, const struct mrd_head_sweep *sweep,
                      mrd_time_ms before_ms)
{
    sweep_chunks(head, ordinal, sweep, before_ms);
    sweep_floats(head, ordinal, sweep, before_ms);
    const struct head_histograms *own = head_histograms(head, ordinal);
    if (own->chunks == 0 && own->floats == 0) {
        head_histograms_release(head, ordinal);
    }
}
