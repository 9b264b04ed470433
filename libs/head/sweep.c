/* Forgetting: chunks that blocks cover, and series that have nothing left. */
#include "head/head_internal.h"

static bool is_covered(mrd_hlc hlc, const struct mrd_head_sweep *sweep)
{
    return hlc <= sweep->covered_hlc;
}

/* A tail that goes leaves its receipt time behind. */
static void drop_tail(struct mrd_head *head, uint32_t ordinal, const struct mrd_head_sweep *sweep,
                      mrd_time_ms before_ms)
{
    struct head_hot *hot = head_hot(head, ordinal);
    if (hot->open.count == 0 || hot->bucket_end_ms > before_ms || !is_covered(hot->hlc, sweep)) {
        return;
    }
    struct head_series *series = head_series(head, ordinal);
    const uint32_t touched_s = (uint32_t)(mrd_hlc_time_ms(hot->hlc) / 1000);
    series->touched_s = MRD_MAX(series->touched_s, touched_s);
    head_tail_free(head, ordinal);
}

static void drop_chunks(struct mrd_head *head, uint32_t ordinal, const struct mrd_head_sweep *sweep,
                        mrd_time_ms before_ms)
{
    struct head_series *series = head_series(head, ordinal);
    mrd_pool_handle *link = &head_hot(head, ordinal)->chunks;
    while (*link != 0) {
        struct head_chunk *chunk = head_at(head, *link);
        if (head_chunk_first_ms(chunk) >= before_ms || !is_covered(chunk->hlc, sweep)) {
            link = &chunk->next;
            continue;
        }
        const uint32_t touched_s = (uint32_t)(mrd_hlc_time_ms(chunk->hlc) / 1000);
        series->touched_s = MRD_MAX(series->touched_s, touched_s);
        const mrd_pool_handle dropped = *link;
        *link = chunk->next;
        head_chunk_free(head, dropped);
    }
}

/* True if a chunk or the tail spans the time: what it has there must stay overridden. */
static bool is_spanned(const struct mrd_head *head, uint32_t ordinal, mrd_time_ms time_ms)
{
    const struct head_hot *hot = head_hot(head, ordinal);
    if (hot->open.count > 0 && time_ms <= hot->open.last_time_ms &&
        time_ms >= head_tail_first_ms(head, hot)) {
        return true;
    }
    for (mrd_pool_handle at = hot->chunks; at != 0;) {
        const struct head_chunk *chunk = head_at(head, at);
        const mrd_time_ms first = head_chunk_first_ms(chunk);
        if (first <= time_ms) {
            return time_ms <= first + (mrd_time_ms)chunk->span_ms;
        }
        at = chunk->next;
    }
    return false;
}

static void drop_late(struct mrd_head *head, uint32_t ordinal, const struct mrd_head_sweep *sweep,
                      mrd_time_ms before_ms)
{
    const struct head_series *series = head_series(head, ordinal);
    if (series->late == 0) {
        return;
    }
    struct head_late_block *block = head_at(head, series->late);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < block->count; i++) {
        struct head_late *item = &block->items[i];
        const bool spanned = is_spanned(head, ordinal, item->time_ms);
        if (head_late_is_mark(item)) {
            if (spanned) {
                head_late_block_keep(block, kept++, i);
            } else {
                head_late_mark_gone(head, block); /* what it marked is gone */
            }
            continue;
        }
        if (item->kind == LATE_OVERRIDE && !spanned) {
            item->kind = LATE_SAMPLE; /* what it overrode is gone: it is the sample now */
            head->sample_count++;
        }
        if (item->time_ms < before_ms && is_covered(item->hlc, sweep) && !spanned) {
            head->sample_count--;
        } else {
            head_late_block_keep(block, kept++, i);
        }
    }
    block->count = kept;
    if (kept == 0) {
        head_late_free(head, ordinal);
    }
}

static bool is_idle(const struct mrd_head *head, uint32_t ordinal,
                    const struct mrd_head_sweep *sweep)
{
    return head_series(head, ordinal)->touched_s < mrd_hlc_time_ms(sweep->idle_before_hlc) / 1000;
}

static void series_remove(struct mrd_head *head, uint32_t ordinal)
{
    struct head_hot *hot = head_hot(head, ordinal);
    struct head_series *series = head_series(head, ordinal);
    head_tail_free(head, ordinal);
    hot->open.owner_flags = 0;
    head_series_forget(head, ordinal);
    series->state = SERIES_DEAD;
    head_numbers_add(&head->dead, ordinal);
    head_numbers_add(&head->died, ordinal);
    head->memory_bytes[MRD_HEAD_MEMORY_SERIES] -= sizeof(*hot) + sizeof(*series);
    head->series_count--;
    head->series_removed++;
}

static void sweep_series(struct mrd_head *head, uint32_t ordinal,
                         const struct mrd_head_sweep *sweep, mrd_time_ms before_ms)
{
    drop_tail(head, ordinal, sweep, before_ms);
    drop_chunks(head, ordinal, sweep, before_ms);
    drop_late(head, ordinal, sweep, before_ms);
    if ((head_hot(head, ordinal)->open.owner_flags & HOT_HISTOGRAMS) != 0) {
        head_mixed_sweep(head, ordinal, sweep, before_ms);
    }
    if (!head_is_empty(head, ordinal)) {
        return;
    }
    if (is_idle(head, ordinal, sweep)) {
        series_remove(head, ordinal);
    } else {
        head->hollow_seen += head->hollow > 0 ? 1 : 0;
    }
}

/* A purge walks all postings of the dead series' labels, so it waits until enough have died: many, or
 * a share of all, or after a number of passes whatever there is. */
static bool should_purge(const struct mrd_head *head, bool pass_done)
{
    const size_t dead = head->dead.count;
    return dead >= HEAD_PURGE_MIN || (pass_done && dead > 0 &&
                                      (dead * HEAD_PURGE_SHARE >= head->series_count ||
                                       head->passes_unpurged >= HEAD_PURGE_PASSES));
}

void mrd_head_sweep(struct mrd_head *head, const struct mrd_head_sweep *sweep,
                    struct mrd_head_sweep_result *out)
{
    const uint64_t samples = head->sample_count;
    const uint64_t removed = head->series_removed;
    const mrd_time_ms before_ms = head_bucket_of(
        head, MRD_MIN(MRD_MAX(sweep->drop_before_ms, -MRD_HEAD_TIME_MAX), MRD_HEAD_TIME_MAX));
    head->died.count = 0;
    for (size_t i = 0; i < sweep->series_max && head->sweep_at < head->series_end; i++) {
        const uint32_t ordinal = head->sweep_at++;
        if ((size_t)ordinal + 16 < head->series_end) {
            __builtin_prefetch(head_hot(head, ordinal + 8));
            __builtin_prefetch(head_at(head, head_hot(head, ordinal + 4)->chunks));
        }
        if (head_series(head, ordinal)->state == SERIES_LIVE) {
            sweep_series(head, ordinal, sweep, before_ms);
        }
    }
    const bool pass_done = head->sweep_at >= head->series_end;
    if (pass_done) {
        head->sweep_at = 0;
        head->passes_unpurged++;
        head->hollow = head->hollow_seen;
        head->hollow_seen = 0;
    }
    if (should_purge(head, pass_done)) {
        head_index_purge(head);
    }
    *out = (struct mrd_head_sweep_result){
        .samples_dropped = samples - head->sample_count,
        .series_removed = head->series_removed - removed,
        .dead = head->died.items,
        .dead_count = head->died.count,
        .pass_done = pass_done,
    };
}

/* ---- handing ordinals out again ---- */

void head_recycle_waiting(struct mrd_head *head)
{
    while (head->wait_first != MRD_HEAD_ORDINAL_NONE) {
        const uint32_t ordinal = head->wait_first;
        struct head_series *series = head_series(head, ordinal);
        /* touched_s: the number of the first cursor that was not open when it was recycled */
        if (head->cursors != NULL && (int32_t)(head->cursors->number - series->touched_s) < 0) {
            return;
        }
        head->wait_first = series->next;
        if (head->wait_first == MRD_HEAD_ORDINAL_NONE) {
            head->wait_last = MRD_HEAD_ORDINAL_NONE;
        }
        series->state = SERIES_FREE;
        series->next = head->free_first;
        head->free_first = ordinal;
    }
}

void head_recycle_ordinal(struct mrd_head *head, uint32_t ordinal)
{
    struct head_series *series = head_series(head, ordinal);
    series->touched_s = head->cursor_number;
    series->next = MRD_HEAD_ORDINAL_NONE;
    if (head->wait_last == MRD_HEAD_ORDINAL_NONE) {
        head->wait_first = ordinal;
    } else {
        head_series(head, head->wait_last)->next = ordinal;
    }
    head->wait_last = ordinal;
}

void mrd_head_recycle(struct mrd_head *head)
{
    head->dead_forgotten = head->dead.count; /* as soon as they are purged */
    for (size_t i = 0; i < head->purged.count; i++) {
        head_recycle_ordinal(head, head->purged.items[i]);
    }
    head->purged.count = 0;
    head_recycle_waiting(head);
}
