/* Samples that do not come at the end of their series: out of order, or another value for a time
 * that is stored. They stand beside the chunks in a small sorted array; when that is full, those that
 * override nothing are merged into the chunks. */
#include "head/head_internal.h"

enum { LATE_CAPACITY_MIN = 2 };

void head_late_free(struct mrd_head *head, uint32_t ordinal)
{
    struct head_series *series = head_series(head, ordinal);
    if (series->late == 0) {
        return;
    }
    const struct head_late_block *block = head_at(head, series->late);
    for (uint32_t i = 0; i < block->count; i++) {
        head->sample_count -= block->items[i].kind == LATE_SAMPLE ? 1 : 0;
    }
    head->mark_count -= block->marks;
    head_free(head, MRD_HEAD_MEMORY_OVERLAY, series->late, head_late_block_bytes(block));
    series->late = 0;
    head_hot(head, ordinal)->open.owner_flags &= (uint8_t)~HOT_LATE;
}

/* The first time of a series' chunks: a walk to their end, so it is remembered in the late block. */
static mrd_time_ms oldest_stored(const struct mrd_head *head, uint32_t ordinal)
{
    const struct head_hot *hot = head_hot(head, ordinal);
    mrd_time_ms oldest_ms = hot->open.last_time_ms;
    if (hot->open.count > 0) {
        oldest_ms = head_tail_first_ms(head, hot);
    }
    for (mrd_pool_handle at = hot->chunks; at != 0;) {
        const struct head_chunk *chunk = head_at(head, at);
        at = chunk->next;
        if (at == 0) {
            oldest_ms = MRD_MIN(oldest_ms, head_chunk_first_ms(chunk));
        }
    }
    return oldest_ms;
}

/* A block with room for one more, and start times if `started`; the caller has made sure that it is not full for good. */
static struct head_late_block *late_reserve(struct mrd_head *head, uint32_t ordinal, bool started)
{
    struct head_series *series = head_series(head, ordinal);
    struct head_late_block *block = series->late == 0 ? NULL : head_at(head, series->late);
    const bool full = block == NULL || block->count == block->capacity;
    if (!full && (block->started || !started)) {
        return block;
    }
    const uint32_t have = block == NULL ? 0 : block->capacity;
    const uint32_t limit = /* only with marks does it pass HEAD_LATE_MAX */
        have < HEAD_LATE_MAX ? HEAD_LATE_MAX : HEAD_LATE_MAX + HEAD_LATE_CONTESTED_MAX;
    const uint32_t more = MRD_MIN(MRD_MAX(have * 2, (uint32_t)LATE_CAPACITY_MIN), limit);
    mrd_assert(!full || more > have);
    const mrd_time_ms oldest_ms = block == NULL ? oldest_stored(head, ordinal) : block->oldest_ms;
    block = head_late_block_move(head, MRD_HEAD_MEMORY_OVERLAY, &series->late, full ? more : have,
                                 started);
    block->oldest_ms = oldest_ms;
    head_hot(head, ordinal)->open.owner_flags |= HOT_LATE;
    return block;
}

void head_late_assign(struct mrd_head *head, uint32_t ordinal, const struct head_late *item,
                      const struct head_late *to, mrd_time_ms start_ms)
{
    struct head_late_block *block = head_at(head, head_series(head, ordinal)->late);
    const size_t at = (size_t)(item - block->items);
    if (start_ms != 0 && !block->started) {
        block = head_late_block_move(head, MRD_HEAD_MEMORY_OVERLAY,
                                     &head_series(head, ordinal)->late, block->capacity, true);
    }
    block->items[at] = *to;
    if (block->started) {
        head_late_starts(block)[at] = start_ms;
    }
}

/* ---- what the chunks have ---- */

static struct head_stored find_in(struct mrd_head *head, uint8_t encoding, struct mrd_bytes bytes,
                                  size_t count, mrd_time_ms time_ms, mrd_hlc *hlc)
{
    struct head_columns *columns = &head->decoded;
    head_columns_clear(columns);
    head_columns_decode(head, columns, encoding, bytes, count);
    for (size_t i = 0; i < count; i++) {
        if (columns->times_ms[i] == time_ms) {
            return (struct head_stored){true, mrd_double_bits(columns->values[i]),
                                        head_columns_start(columns, i), hlc};
        }
    }
    return (struct head_stored){0};
}

static struct head_stored find_stored(struct mrd_head *head, uint32_t ordinal, mrd_time_ms time_ms)
{
    struct head_hot *hot = head_hot(head, ordinal);
    if (hot->open.count > 0) {
        if (time_ms == hot->open.last_time_ms) {
            return (struct head_stored){true, hot->open.last_bits, head_starts_last(head, ordinal),
                                        &hot->hlc};
        }
        if (time_ms >= head_tail_first_ms(head, hot)) {
            const struct mrd_chunk tail = head_tail_chunk(head, ordinal);
            return find_in(head, tail.encoding, tail.bytes, tail.count, time_ms, &hot->hlc);
        }
    }
    if (head_series(head, ordinal)->late != 0) {
        const struct head_late_block *block = head_at(head, head_series(head, ordinal)->late);
        if (time_ms < block->oldest_ms) {
            return (struct head_stored){0};
        }
    }
    for (mrd_pool_handle at = hot->chunks; at != 0;) {
        struct head_chunk *chunk = head_at(head, at);
        const mrd_time_ms first = head_chunk_first_ms(chunk);
        if (first <= time_ms) {
            if (time_ms > first + (mrd_time_ms)chunk->span_ms) {
                break;
            }
            return find_in(head, chunk->encoding, (struct mrd_bytes){chunk->bytes, chunk->size},
                           chunk->count, time_ms, &chunk->hlc);
        }
        at = chunk->next;
    }
    return (struct head_stored){0};
}

/* ---- merging into chunks ---- */

/* The late samples of one series on their way into its chunks. */
struct merge {
    struct mrd_head *head;
    const struct head_late *items; /* those to merge, ascending */
    const mrd_time_ms *start_times_ms;
    size_t count;
    size_t at;
};

/* Cuts columns into chunks of even size in front of `next`; returns the newest. */
static mrd_pool_handle make_chunks(struct mrd_head *head, const struct head_columns *columns,
                                   mrd_hlc hlc, mrd_pool_handle next)
{
    const size_t pieces = (columns->count + HEAD_CHUNK_SAMPLES_MAX - 1) / HEAD_CHUNK_SAMPLES_MAX;
    for (size_t i = 0; i < pieces; i++) {
        next = head_chunk_make(head, columns, columns->count * i / pieces,
                               columns->count * (i + 1) / pieces, hlc, next);
    }
    return next;
}

/* Late samples below `end_ms` in a bucket that has no chunk before them become chunks themselves. */
static mrd_pool_handle merge_alone(struct merge *merge, mrd_time_ms end_ms, mrd_pool_handle next)
{
    struct mrd_head *head = merge->head;
    while (merge->at < merge->count && merge->items[merge->at].time_ms < end_ms) {
        const mrd_time_ms bucket = head_bucket_of(head, merge->items[merge->at].time_ms);
        const mrd_time_ms stop = MRD_MIN(end_ms, bucket + head->bucket_ms);
        struct head_columns *columns = &head->merged;
        head_columns_clear(columns);
        mrd_hlc hlc = 0;
        for (; merge->at < merge->count && merge->items[merge->at].time_ms < stop; merge->at++) {
            const struct head_late *item = &merge->items[merge->at];
            head_columns_add(head, columns, item->time_ms, item->bits,
                             merge->start_times_ms[merge->at]);
            hlc = MRD_MAX(hlc, item->hlc);
        }
        next = make_chunks(head, columns, hlc, next);
    }
    return next;
}

/* Merges the late samples below `end_ms` into the chunk `handle`, which stands before them; it is
 * linked to `next`. Equal times: the late one wins. */
static mrd_pool_handle merge_chunk(struct merge *merge, mrd_pool_handle handle, mrd_time_ms end_ms,
                                   mrd_pool_handle next)
{
    struct mrd_head *head = merge->head;
    struct head_chunk *chunk = head_at(head, handle);
    chunk->next = next;
    if (merge->at == merge->count || merge->items[merge->at].time_ms >= end_ms) {
        return handle;
    }
    struct head_columns *old = &head->decoded;
    head_columns_clear(old);
    head_columns_decode(head, old, chunk->encoding, (struct mrd_bytes){chunk->bytes, chunk->size},
                        chunk->count);
    struct head_columns *columns = &head->merged;
    head_columns_clear(columns);
    mrd_hlc hlc = chunk->hlc;
    for (size_t i = 0; i < old->count || merge->at < merge->count;) {
        const struct head_late *item =
            merge->at < merge->count && merge->items[merge->at].time_ms < end_ms
                ? &merge->items[merge->at]
                : NULL;
        if (item == NULL && i == old->count) {
            break;
        }
        if (item != NULL && (i == old->count || item->time_ms <= old->times_ms[i])) {
            i += i < old->count && item->time_ms == old->times_ms[i] ? 1 : 0;
            head_columns_add(head, columns, item->time_ms, item->bits,
                             merge->start_times_ms[merge->at]);
            hlc = MRD_MAX(hlc, item->hlc);
            merge->at++;
        } else {
            head_columns_add(head, columns, old->times_ms[i], mrd_double_bits(old->values[i]),
                             head_columns_start(old, i));
            i++;
        }
    }
    head_chunk_free(head, handle);
    return make_chunks(head, columns, hlc, next);
}

/* Rebuilds the chain of chunks, oldest first, with the late samples in it. */
static void merge_chain(struct merge *merge, uint32_t ordinal)
{
    struct mrd_head *head = merge->head;
    struct head_hot *hot = head_hot(head, ordinal);
    head->chain.count = 0;
    for (mrd_pool_handle at = hot->chunks; at != 0;) {
        head_numbers_add(&head->chain, at);
        const struct head_chunk *chunk = head_at(head, at);
        at = chunk->next;
    }
    mrd_pool_handle newest = 0;
    for (size_t i = head->chain.count; i-- > 0;) {
        const mrd_time_ms first = head_chunk_first_ms(head_at(head, head->chain.items[i]));
        newest = merge_alone(merge, first, newest);
        const mrd_time_ms following =
            i == 0 ? INT64_MAX : head_chunk_first_ms(head_at(head, head->chain.items[i - 1]));
        const mrd_time_ms bucket_end = head_bucket_of(head, first) + head->bucket_ms;
        newest = merge_chunk(merge, head->chain.items[i], MRD_MIN(following, bucket_end), newest);
    }
    hot->chunks = merge_alone(merge, INT64_MAX, newest);
}

/* Moves late samples into chunks: all of them, or those that override nothing. */
static void late_merge(struct mrd_head *head, uint32_t ordinal, bool overrides_too)
{
    struct head_series *series = head_series(head, ordinal);
    struct head_late_block *block = head_at(head, series->late);
    const struct head_hot *hot = head_hot(head, ordinal);
    if (hot->open.count > 0 &&
        block->items[block->count - 1].time_ms >= head_tail_first_ms(head, hot)) {
        head_tail_seal(head, ordinal);
    }
    struct head_late moving[HEAD_LATE_MAX];
    mrd_time_ms start_times_ms[HEAD_LATE_MAX];
    struct merge merge = {.head = head, .items = moving, .start_times_ms = start_times_ms};
    uint32_t kept = 0;
    for (uint32_t i = 0; i < block->count; i++) {
        const struct head_late *item = &block->items[i];
        if (head_late_is_mark(item) || (item->kind == LATE_OVERRIDE && !overrides_too)) {
            head_late_block_keep(block, kept++, i);
        } else {
            head->sample_count -= item->kind == LATE_SAMPLE ? 1 : 0;
            start_times_ms[merge.count] = head_late_start(block, i);
            moving[merge.count++] = *item;
        }
    }
    block->count = kept;
    if (merge.count > 0) {
        block->oldest_ms = MRD_MIN(block->oldest_ms, moving[0].time_ms);
    }
    merge_chain(&merge, ordinal);
    if (kept == 0) {
        head_late_free(head, ordinal);
    }
}

/* ---- writing ---- */

static struct mrd_head_verdict verdict_of(const struct head_write *write)
{
    return (struct mrd_head_verdict){write->hlc, write->origin, write->value, write->start_ms};
}

static bool is_later(const struct head_write *write, const struct head_late *than,
                     mrd_time_ms than_start_ms)
{
    const struct mrd_head_verdict a = verdict_of(write);
    const struct mrd_head_verdict b = {than->hlc, than->origin, mrd_double_from_bits(than->bits),
                                       than_start_ms};
    return mrd_head_is_later(&a, &b);
}

struct head_late *head_late_find(const struct mrd_head *head, uint32_t ordinal, mrd_time_ms time_ms)
{
    const struct head_series *series = head_series(head, ordinal);
    if (series->late == 0) {
        return NULL;
    }
    struct head_late_block *block = head_at(head, series->late);
    const uint32_t at = head_late_position(block, time_ms);
    return at < block->count && block->items[at].time_ms == time_ms ? &block->items[at] : NULL;
}

/* Samples and overrides, without marks. */
static uint32_t late_count(const struct mrd_head *head, uint32_t ordinal)
{
    const struct head_series *series = head_series(head, ordinal);
    if (series->late == 0) {
        return 0;
    }
    const struct head_late_block *block = head_at(head, series->late);
    return block->count - block->marks;
}

void head_late_make_room(struct mrd_head *head, uint32_t ordinal)
{
    if (late_count(head, ordinal) == HEAD_LATE_MAX) {
        late_merge(head, ordinal, false);
        if (late_count(head, ordinal) > HEAD_LATE_OVERRIDES_MAX) {
            late_merge(head, ordinal, true);
        }
    }
}

static void late_insert(struct mrd_head *head, uint32_t ordinal, const struct head_late *item,
                        mrd_time_ms start_ms)
{
    struct head_late_block *block = late_reserve(head, ordinal, start_ms != 0);
    head_late_block_insert(block, item, start_ms);
    block->marks += head_late_is_mark(item) ? 1 : 0;
    head->mark_count += head_late_is_mark(item) ? 1 : 0;
    head->sample_count += item->kind == LATE_SAMPLE ? 1 : 0;
}

void head_late_unmark(struct mrd_head *head, uint32_t ordinal, const struct head_late *mark)
{
    struct head_late_block *block = head_at(head, head_series(head, ordinal)->late);
    head_late_mark_gone(head, block);
    head_late_block_remove(block, (size_t)(mark - block->items));
    if (block->count == 0) {
        head_late_free(head, ordinal);
    }
}

static void write_insert(struct mrd_head *head, uint32_t ordinal, const struct head_write *write,
                         enum head_late_kind kind)
{
    head_late_make_room(head, ordinal);
    const struct head_late item = {write->time_ms, mrd_double_bits(write->value), write->hlc,
                                   write->origin, kind};
    late_insert(head, ordinal, &item, write->start_ms);
}

/* Against a sample with an exact stamp. The same value again may raise it. */
static void late_contest(struct mrd_head *head, uint32_t ordinal, const struct head_late *item,
                         const struct head_write *write, struct mrd_head_append_result *result)
{
    const struct head_late_block *block = head_at(head, head_series(head, ordinal)->late);
    const mrd_time_ms start_ms = head_late_start(block, (size_t)(item - block->items));
    const uint64_t bits = mrd_double_bits(write->value);
    const bool same = item->bits == bits && start_ms == write->start_ms;
    const bool later = is_later(write, item, start_ms);
    if (later) {
        const struct head_late to = {write->time_ms, bits, write->hlc, write->origin, item->kind};
        head_late_assign(head, ordinal, item, &to, write->start_ms);
    }
    result->duplicates += same ? 1 : 0;
    result->overrides += !same && later ? 1 : 0;
    result->outdated += !same && !later ? 1 : 0;
}

/* The stored sample is contested: a write that is later than all of its chunk decides, others only add
 * to the doubt. */
static void mark_write(struct mrd_head *head, uint32_t ordinal, struct head_late *mark,
                       const struct head_write *write, struct mrd_head_append_result *result)
{
    const struct head_stored stored = find_stored(head, ordinal, write->time_ms);
    mrd_assert(stored.found);
    if (write->hlc <= *stored.hlc) {
        mark->kind = mark->kind == LATE_TAKEN ? (uint32_t)LATE_DOUBTED : mark->kind;
        result->contested++;
        return;
    }
    struct head_late_block *block = head_at(head, head_series(head, ordinal)->late);
    head_late_mark_gone(head, block);
    const struct head_late to = {write->time_ms, mrd_double_bits(write->value), write->hlc,
                                 write->origin, LATE_OVERRIDE};
    head_late_assign(head, ordinal, mark, &to, write->start_ms);
    result->overrides++;
}

static void contest(struct mrd_head *head, uint32_t ordinal, const struct head_write *write,
                    struct mrd_head_append_result *result)
{
    const struct head_series *series = head_series(head, ordinal);
    const struct head_late_block *block = series->late == 0 ? NULL : head_at(head, series->late);
    head->contested_stats.found++;
    if ((block != NULL && block->marks == HEAD_LATE_CONTESTED_MAX) ||
        !head_contested_add(head, ordinal, write->time_ms)) {
        head->contested_stats.dropped++;
        result->outdated++;
        return;
    }
    const struct head_late mark = {.time_ms = write->time_ms, .kind = LATE_CONTESTED};
    late_insert(head, ordinal, &mark, 0);
    result->contested++;
}

/* True if the batch itself wrote this sample before: then what is stored came from it, with its stamp. */
static bool is_repeated(uint32_t ordinal, const struct head_write *write)
{
    const struct mrd_head_batch *batch = write->batch;
    size_t sample = write->sample;
    size_t row = write->row;
    const size_t first = row < HEAD_BATCH_LOOK_BACK ? 0 : row - HEAD_BATCH_LOOK_BACK;
    size_t row_start = sample; /* of the present row: its samples before this one come first */
    for (bool own = true; own || row > first; own = false) {
        if (!own) {
            row--;
            row_start -= batch->sample_counts == NULL ? 1 : batch->sample_counts[row];
        }
        if (batch->ordinals[row] != ordinal) {
            sample = row_start;
            continue;
        }
        while (sample > row_start) {
            if (batch->times_ms[--sample] == write->time_ms) {
                return true;
            }
        }
    }
    return false;
}

/* Another value for a time that a chunk has. */
static void conflict(struct mrd_head *head, uint32_t ordinal, const struct head_write *write,
                     const struct head_stored *stored, struct mrd_head_append_result *result)
{
    const bool later = write->hlc > *stored->hlc;
    const bool repeated = write->hlc == *stored->hlc && is_repeated(ordinal, write);
    const uint64_t bits = mrd_double_bits(write->value);
    const bool greater =
        bits > stored->bits || (bits == stored->bits && write->start_ms > stored->start_ms);
    if (later || (repeated && greater)) {
        write_insert(head, ordinal, write, LATE_OVERRIDE);
        result->overrides++;
    } else if (repeated) {
        result->outdated++;
    } else {
        contest(head, ordinal, write, result);
    }
}

struct head_stored head_stored_find(struct mrd_head *head, uint32_t ordinal, mrd_time_ms time_ms)
{
    struct head_late *item = head_late_find(head, ordinal, time_ms);
    if (item == NULL || head_late_is_mark(item)) {
        return find_stored(head, ordinal, time_ms);
    }
    const struct head_late_block *block = head_at(head, head_series(head, ordinal)->late);
    return (struct head_stored){true, item->bits,
                                head_late_start(block, (size_t)(item - block->items)), &item->hlc};
}

void head_late_write(struct mrd_head *head, uint32_t ordinal, const struct head_write *write,
                     struct mrd_head_append_result *result)
{
    struct head_series *series = head_series(head, ordinal);
    const uint32_t touched_s = (uint32_t)(mrd_hlc_time_ms(write->hlc) / 1000);
    series->touched_s = MRD_MAX(series->touched_s, touched_s);
    struct head_late *item = head_late_find(head, ordinal, write->time_ms);
    if (item != NULL && head_late_is_mark(item)) {
        mark_write(head, ordinal, item, write, result);
        return;
    }
    if (item != NULL) {
        late_contest(head, ordinal, item, write, result);
        return;
    }
    const struct head_stored stored = find_stored(head, ordinal, write->time_ms);
    if (!stored.found) {
        write_insert(head, ordinal, write, LATE_SAMPLE);
        result->out_of_order++;
    } else if (stored.bits == mrd_double_bits(write->value) && stored.start_ms == write->start_ms) {
        *stored.hlc = MRD_MAX(*stored.hlc, write->hlc);
        result->duplicates++;
    } else {
        conflict(head, ordinal, write, &stored, result);
    }
}
