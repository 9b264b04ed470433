/* Taking samples away on request. What a chunk keeps of them is written again, so that nothing of the erased ones stays in it. */
#include "head/head_internal.h"

struct erase {
    struct mrd_head *head;
    uint32_t ordinal;
    mrd_time_ms min_ms;
    mrd_time_ms max_ms;
};

static bool has(const struct erase *erase, mrd_time_ms time_ms)
{
    return time_ms >= erase->min_ms && time_ms <= erase->max_ms;
}

/* The series was named then, and its ordinal must live as long as the tables that know it (sweep.c). */
static void touch(const struct erase *erase, mrd_hlc hlc)
{
    struct head_series *series = head_series(erase->head, erase->ordinal);
    series->touched_s = MRD_MAX(series->touched_s, (uint32_t)(mrd_hlc_time_ms(hlc) / 1000));
}

/* ---- floats ---- */

/* A tail that is only partly in the range is sealed, and dealt with as a chunk. */
static void erase_tail(const struct erase *erase)
{
    struct mrd_head *head = erase->head;
    const struct head_hot *hot = head_hot(head, erase->ordinal);
    if (hot->open.count == 0) {
        return;
    }
    const mrd_time_ms first_ms = head_tail_first_ms(head, hot);
    if (first_ms > erase->max_ms || hot->open.last_time_ms < erase->min_ms) {
        return;
    }
    touch(erase, hot->hlc);
    if (has(erase, first_ms) && has(erase, hot->open.last_time_ms)) {
        head_tail_free(head, erase->ordinal);
    } else {
        head_tail_seal(head, erase->ordinal);
    }
}

/* Puts the chunk at `link` back without the samples of the range; it has others. */
static void rewrite_chunk(const struct erase *erase, mrd_pool_handle *link)
{
    struct mrd_head *head = erase->head;
    const mrd_pool_handle handle = *link;
    const struct head_chunk *chunk = head_at(head, handle);
    const mrd_hlc hlc = chunk->hlc;
    const mrd_pool_handle next = chunk->next;
    struct head_columns *old = &head->decoded;
    head_columns_clear(old);
    head_columns_decode(head, old, chunk->encoding, (struct mrd_bytes){chunk->bytes, chunk->size},
                        chunk->count);
    struct head_columns *kept = &head->merged;
    head_columns_clear(kept);
    for (size_t i = 0; i < old->count; i++) {
        if (!has(erase, old->times_ms[i])) {
            head_columns_add(head, kept, old->times_ms[i], mrd_double_bits(old->values[i]),
                             head_columns_start(old, i));
        }
    }
    touch(erase, hlc);
    head_chunk_free(head, handle);
    mrd_assert(kept->count > 0);
    *link = head_chunk_make(head, kept, 0, kept->count, hlc, next);
}

static void erase_chunks(const struct erase *erase)
{
    struct mrd_head *head = erase->head;
    mrd_pool_handle *link = &head_hot(head, erase->ordinal)->chunks;
    while (*link != 0) {
        const mrd_pool_handle handle = *link;
        struct head_chunk *chunk = head_at(head, handle);
        const mrd_time_ms first_ms = head_chunk_first_ms(chunk);
        const mrd_time_ms last_ms = first_ms + (mrd_time_ms)chunk->span_ms;
        if (last_ms < erase->min_ms) {
            return; /* all others are older */
        }
        if (first_ms > erase->max_ms) {
            link = &chunk->next;
        } else if (has(erase, first_ms) && has(erase, last_ms)) {
            touch(erase, chunk->hlc);
            *link = chunk->next;
            head_chunk_free(head, handle);
        } else {
            rewrite_chunk(erase, link);
            chunk = head_at(head, *link);
            link = &chunk->next;
        }
    }
}

/* Their chunks' samples at these times are gone, so overrides and marks go with them. */
static void erase_late(const struct erase *erase)
{
    struct mrd_head *head = erase->head;
    const struct head_series *series = head_series(head, erase->ordinal);
    if (series->late == 0) {
        return;
    }
    struct head_late_block *block = head_at(head, series->late);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < block->count; i++) {
        const struct head_late *item = &block->items[i];
        if (!has(erase, item->time_ms)) {
            head_late_block_keep(block, kept++, i);
        } else if (head_late_is_mark(item)) {
            head_late_mark_gone(head, block);
        } else {
            touch(erase, item->hlc);
            head->sample_count -= item->kind == LATE_SAMPLE ? 1 : 0;
        }
    }
    block->count = kept;
    if (kept == 0) {
        head_late_free(head, erase->ordinal);
    }
}

/* ---- histograms ---- */

static void erase_histogram_chunks(const struct erase *erase)
{
    struct mrd_head *head = erase->head;
    struct head_histograms *own = head_histograms(head, erase->ordinal);
    for (mrd_pool_handle *link = &own->chunks; *link != 0;) {
        struct head_histogram_chunk *chunk = head_at(head, *link);
        if (chunk->last_ms < erase->min_ms || chunk->first_ms > erase->max_ms) {
            link = &chunk->next;
            continue;
        }
        touch(erase, chunk->hlc);
        if (has(erase, chunk->first_ms) && has(erase, chunk->last_ms)) {
            head_histogram_chunk_free(head, own, link);
            continue;
        }
        const mrd_pool_handle older = chunk->next;
        head_histogram_cut(head, own, link, erase->min_ms, erase->max_ms);
        while (*link != older) { /* behind what was put back: one chunk, or two */
            link = &((struct head_histogram_chunk *)head_at(head, *link))->next;
        }
    }
}

static void erase_histograms(const struct erase *erase)
{
    struct mrd_head *head = erase->head;
    if ((head_hot(head, erase->ordinal)->open.owner_flags & HOT_HISTOGRAMS) == 0) {
        return;
    }
    erase_histogram_chunks(erase);
    const mrd_hlc hlc = head_mixed_erase_floats(head, erase->ordinal, erase->min_ms, erase->max_ms);
    touch(erase, hlc);
    const struct head_histograms *own = head_histograms(head, erase->ordinal);
    if (own->chunks == 0 && own->floats == 0) {
        head_histograms_release(head, erase->ordinal);
    }
}

void mrd_head_erase(struct mrd_head *head, const struct mrd_head_query *query,
                    struct mrd_head_erased *out)
{
    struct head_numbers found = {0};
    struct mrd_head_query whole = *query;
    whole.beside = false;
    mrd_assert(head_match(head, &whole, &found, NULL) == MRD_OK);
    const uint64_t before = head->sample_count;
    for (size_t i = 0; i < found.count; i++) {
        const uint64_t samples = head->sample_count;
        const struct erase erase = {.head = head,
                                    .ordinal = found.items[i],
                                    .min_ms = query->time_min_ms,
                                    .max_ms = query->time_max_ms};
        erase_tail(&erase);
        erase_chunks(&erase);
        erase_late(&erase);
        erase_histograms(&erase);
        out->series += head->sample_count < samples ? 1 : 0;
        if (head_is_empty(head, erase.ordinal)) {
            head->hollow++;
            head->hollow_seen++;
        }
        mrd_assert(head_pause(&query->pause, i, HEAD_PAUSE_SERIES, NULL) == MRD_OK);
    }
    out->samples += before - head->sample_count;
    head_numbers_fini(&found);
}
