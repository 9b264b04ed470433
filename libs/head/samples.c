/* Appending in order, and sealing what has grown. */
#include "head/head_internal.h"

enum {
    PREFETCH_SERIES = 24, /* rows ahead: the record */
    PREFETCH_TAIL = 10,   /* rows ahead: the end of its tail, once the record is there */
    TAIL_WORDS_MIN = 2,
};

/* ---- buckets ---- */

mrd_time_ms head_bucket_of(const struct mrd_head *head, mrd_time_ms time_ms)
{
    const mrd_time_ms rest = time_ms % head->bucket_ms;
    return time_ms - (rest < 0 ? rest + head->bucket_ms : rest);
}

/* ---- columns ---- */

void head_columns_reserve(struct mrd_head *head, struct head_columns *columns, size_t capacity)
{
    (void)head;
    if (capacity == 0) {
        free(columns->times_ms);
        free(columns->values);
        free(columns->start_times_ms);
        *columns = (struct head_columns){0};
    } else if (columns->capacity < capacity) {
        columns->times_ms = realloc(columns->times_ms, capacity * sizeof(*columns->times_ms));
        columns->values = realloc(columns->values, capacity * sizeof(*columns->values));
        columns->start_times_ms =
            realloc(columns->start_times_ms, capacity * sizeof(*columns->start_times_ms));
        mrd_assert(columns->times_ms != NULL && columns->values != NULL &&
                   columns->start_times_ms != NULL);
        columns->capacity = capacity;
    }
}

/* From now on start times are kept; none was known so far. */
static void columns_start(struct head_columns *columns)
{
    if (!columns->started) {
        memset(columns->start_times_ms, 0, columns->count * sizeof(*columns->start_times_ms));
        columns->started = true;
    }
}

void head_columns_add(struct mrd_head *head, struct head_columns *columns, mrd_time_ms time_ms,
                      uint64_t bits, mrd_time_ms start_ms)
{
    if (columns->count == columns->capacity) {
        head_columns_reserve(head, columns, columns->capacity * 2 + 64);
    }
    if (start_ms != 0) {
        columns_start(columns);
    }
    if (columns->started) {
        columns->start_times_ms[columns->count] = start_ms;
    }
    columns->times_ms[columns->count] = time_ms;
    columns->values[columns->count] = mrd_double_from_bits(bits);
    columns->count++;
}

/* Appends the samples of a chunk of ours; that it decodes is our own promise. */
void head_columns_decode(struct mrd_head *head, struct head_columns *columns, uint8_t encoding,
                         struct mrd_bytes bytes, size_t count)
{
    head_columns_reserve(head, columns, columns->count + count);
    const enum mrd_status status =
        mrd_chunk_decode(encoding, bytes, count, columns->times_ms + columns->count,
                         columns->values + columns->count, NULL);
    mrd_assert(status == MRD_OK);
    if (mrd_chunk_has_starts(encoding)) {
        columns_start(columns);
    }
    if (columns->started) {
        const enum mrd_status starts =
            mrd_chunk_decode_starts(encoding, bytes, count, columns->times_ms + columns->count,
                                    columns->start_times_ms + columns->count, NULL);
        mrd_assert(starts == MRD_OK);
    }
    columns->count += count;
}

/* ---- sealed chunks ---- */

static size_t chunk_block_size(size_t size) { return offsetof(struct head_chunk, bytes) + size; }

mrd_time_ms head_chunk_first_ms(const struct head_chunk *chunk)
{
    struct mrd_reader reader = mrd_reader_of((struct mrd_bytes){chunk->bytes, chunk->size});
    if (mrd_unlikely(mrd_chunk_has_starts(chunk->encoding))) {
        (void)mrd_read_bytes(&reader, mrd_read_varint(&reader));
    }
    if ((chunk->encoding & ~MRD_CHUNK_STARTED) == MRD_CHUNK_RAW) {
        return (mrd_time_ms)mrd_read_u64(&reader);
    }
    return mrd_read_zigzag(&reader);
}

struct mrd_chunk head_columns_encode(struct mrd_head *head, const struct head_columns *columns,
                                     size_t from, size_t to)
{
    uint8_t encoding;
    const size_t size =
        mrd_chunk_encode_started(columns->times_ms + from, columns->values + from,
                                 columns->started ? columns->start_times_ms + from : NULL,
                                 to - from, head->encoded, &encoding);
    return (struct mrd_chunk){
        {head->encoded, size},
        (uint32_t)(to - from), encoding
    };
}

mrd_pool_handle head_chunk_make(struct mrd_head *head, const struct head_columns *columns,
                                size_t from, size_t to, mrd_hlc hlc, mrd_pool_handle next)
{
    const struct mrd_chunk encoded = head_columns_encode(head, columns, from, to);
    const size_t size = encoded.bytes.size;
    const mrd_pool_handle handle = head_alloc(head, MRD_HEAD_MEMORY_SEALED, chunk_block_size(size));
    struct head_chunk *chunk = head_at(head, handle);
    chunk->hlc = hlc;
    chunk->next = next;
    chunk->span_ms = (uint32_t)(columns->times_ms[to - 1] - columns->times_ms[from]);
    chunk->count = (uint16_t)(to - from);
    chunk->size = (uint16_t)size;
    chunk->encoding = encoded.encoding;
    memcpy(chunk->bytes, encoded.bytes.data, size);
    head->sample_count += to - from;
    return handle;
}

void head_chunk_free(struct mrd_head *head, mrd_pool_handle handle)
{
    const struct head_chunk *chunk = head_at(head, handle);
    head->sample_count -= chunk->count;
    head_free(head, MRD_HEAD_MEMORY_SEALED, handle, chunk_block_size(chunk->size));
}

/* ---- the tail: the chunk that grows ---- */

mrd_time_ms head_tail_first_ms(const struct mrd_head *head, const struct head_hot *hot)
{
    const uint64_t *words = head_at(head, hot->tail);
    if ((words[0] & 1) == 0) {
        return (mrd_time_ms)(words[0] >> 1 & 0xffffffffffffULL);
    }
    return (mrd_time_ms)(words[0] >> 1 | words[1] << 63);
}

size_t head_tail_bytes(const struct head_hot *hot) { return mrd_chunk_open_size(&hot->open); }

void head_tail_free(struct mrd_head *head, uint32_t ordinal)
{
    struct head_hot *hot = head_hot(head, ordinal);
    head_starts_free(head, ordinal);
    if (hot->tail != 0) {
        head_free(head, MRD_HEAD_MEMORY_OPEN, hot->tail, (size_t)hot->open.owner_words * 8);
    }
    head->sample_count -= hot->open.count;
    hot->tail = 0;
    hot->open.owner_words = 0;
    mrd_chunk_open_reset(&hot->open);
}

/* Turns the tail into a sealed chunk, together with its older neighbour if both fit into one. */
void head_tail_seal(struct mrd_head *head, uint32_t ordinal)
{
    struct head_hot *hot = head_hot(head, ordinal);
    if (hot->open.count == 0) {
        return;
    }
    struct head_columns *columns = &head->merged;
    head_columns_clear(columns);
    mrd_hlc hlc = hot->hlc;
    mrd_pool_handle next = hot->chunks;
    if (next != 0) {
        const struct head_chunk *chunk = head_at(head, next);
        if (chunk->count + hot->open.count <= HEAD_CHUNK_SAMPLES_MAX &&
            head_chunk_first_ms(chunk) >= hot->bucket_end_ms - head->bucket_ms) {
            head_columns_decode(head, columns, chunk->encoding,
                                (struct mrd_bytes){chunk->bytes, chunk->size}, chunk->count);
            hlc = MRD_MAX(hlc, chunk->hlc);
            const mrd_pool_handle merged = next;
            next = chunk->next;
            head_chunk_free(head, merged);
        }
    }
    const struct mrd_chunk tail = head_tail_chunk(head, ordinal);
    head_columns_decode(head, columns, tail.encoding, tail.bytes, tail.count);
    head_tail_free(head, ordinal);
    hot->chunks = head_chunk_make(head, columns, 0, columns->count, hlc, next);
}

static inline uint32_t tail_samples_max(uint32_t ordinal)
{
    return HEAD_TAIL_SAMPLES_MIN + (ordinal * 2654435761U >> 16) % HEAD_TAIL_SAMPLES_SPREAD;
}

static size_t bigger_tail(size_t words)
{
    return words == 0 ? TAIL_WORDS_MIN : words + MRD_MAX(words / 4, (size_t)2);
}

/* Replaces the tail's block by a bigger one. False if it should be sealed instead. */
static bool tail_grow(struct mrd_head *head, struct head_hot *hot)
{
    const size_t old_size = (size_t)hot->open.owner_words * 8;
    size_t size = mrd_pool_rounded(bigger_tail(hot->open.owner_words) * 8);
    if (size > (size_t)HEAD_TAIL_WORDS_MAX * 8) {
        return false;
    }
    const mrd_pool_handle bigger = head_alloc(head, MRD_HEAD_MEMORY_OPEN, size);
    if (hot->tail != 0) {
        memcpy(head_at(head, bigger), head_at(head, hot->tail),
               ((size_t)hot->open.size_bits + 63) / 64 * 8);
        head_free(head, MRD_HEAD_MEMORY_OPEN, hot->tail, old_size);
    }
    hot->tail = bigger;
    hot->open.owner_words = (uint16_t)(size / 8);
    return true;
}

/* Appends to the tail whatever it takes: a new bucket, a seal, a bigger block. */
static void tail_append_slowly(struct mrd_head *head, uint32_t ordinal, mrd_time_ms time_ms,
                               double value, mrd_hlc hlc)
{
    struct head_hot *hot = head_hot(head, ordinal);
    if (time_ms >= hot->bucket_end_ms || hot->open.count >= tail_samples_max(ordinal)) {
        head_tail_seal(head, ordinal);
    }
    for (;;) {
        if (hot->open.count == 0) {
            const mrd_time_ms end_ms = head_bucket_of(head, time_ms) + head->bucket_ms;
            hot->bucket_end_ms = MRD_MIN(end_ms, MRD_HEAD_TIME_MAX + 1);
            hot->hlc = hlc;
        }
        if (hot->open.owner_words > 0 &&
            mrd_chunk_open_append(&hot->open, head_at(head, hot->tail), hot->open.owner_words,
                                  time_ms, value)) {
            break;
        }
        if (!tail_grow(head, hot)) {
            head_tail_seal(head, ordinal);
        }
    }
    hot->hlc = MRD_MAX(hot->hlc, hlc);
    head->sample_count++;
}

/* ---- batches ---- */

/* Of a series without start times, a sample without one. */
static inline void append_sample(struct mrd_head *head, uint32_t ordinal,
                                 const struct head_write *write,
                                 struct mrd_head_append_result *result)
{
    struct head_hot *hot = head_hot(head, ordinal);
    const mrd_time_ms time_ms = write->time_ms;
    if (mrd_likely(time_ms > hot->open.last_time_ms)) {
        if (mrd_likely(time_ms < hot->bucket_end_ms && hot->open.count > 0 &&
                       hot->open.count < tail_samples_max(ordinal)) &&
            mrd_chunk_open_append(&hot->open, head_at(head, hot->tail), hot->open.owner_words,
                                  time_ms, write->value)) {
            hot->hlc = MRD_MAX(hot->hlc, write->hlc);
            head->sample_count++;
        } else if (time_ms <= MRD_HEAD_TIME_MAX && time_ms >= -MRD_HEAD_TIME_MAX) {
            tail_append_slowly(head, ordinal, time_ms, write->value, write->hlc);
        } else {
            result->refused++;
            return;
        }
        result->appended++;
        return;
    }
    if (time_ms == hot->open.last_time_ms && (hot->open.owner_flags & HOT_LATE) == 0 &&
        mrd_double_bits(write->value) == hot->open.last_bits && hot->open.count > 0) {
        hot->hlc = MRD_MAX(hot->hlc, write->hlc);
        result->duplicates++;
        return;
    }
    if (time_ms < -MRD_HEAD_TIME_MAX) {
        result->refused++;
        return;
    }
    head_late_write(head, ordinal, write, result);
}

void head_sample_write(struct mrd_head *head, uint32_t ordinal, const struct head_write *write,
                       struct mrd_head_append_result *result)
{
    const struct head_hot *hot = head_hot(head, ordinal);
    const mrd_time_ms previous_ms = hot->open.last_time_ms;
    const uint64_t appended = result->appended;
    if (write->time_ms == previous_ms && hot->open.count > 0 &&
        write->start_ms != head_starts_last(head, ordinal)) {
        head_late_write(head, ordinal, write, result); /* no duplicate, whatever the value */
        return;
    }
    append_sample(head, ordinal, write, result);
    if (result->appended != appended) {
        head_starts_add(head, ordinal, previous_ms, write->start_ms);
    }
}

static MRD_ALWAYS_INLINE void prefetch_rows(const struct mrd_head *head,
                                            const struct mrd_head_batch *batch, size_t row)
{
    if (row + PREFETCH_SERIES < batch->row_count) {
        const uint32_t ordinal = batch->ordinals[row + PREFETCH_SERIES];
        __builtin_prefetch(head_hot(head, ordinal)); /* of any number: it cannot fault */
    }
    if (row + PREFETCH_TAIL < batch->row_count) {
        const uint32_t ordinal = batch->ordinals[row + PREFETCH_TAIL];
        if (ordinal < head->series_end) {
            const struct head_hot *hot = head_hot(head, ordinal);
            const uint64_t *words = head_at(head, hot->tail);
            __builtin_prefetch(words + (hot->open.size_bits >> 6));
        }
    }
}

/* HOT_LIVE, and HOT_HISTOGRAMS and HOT_STARTS where they are; 0: dead or none. */
static inline unsigned row_state(const struct mrd_head *head, uint32_t ordinal)
{
    if (ordinal == MRD_HEAD_ORDINAL_NONE) {
        return 0;
    }
    mrd_assert(ordinal < head->series_end);
    return head_hot(head, ordinal)->open.owner_flags &
           (unsigned)(HOT_LIVE | HOT_HISTOGRAMS | HOT_STARTS);
}

/* Whether a start time is known of samples [first, first + count). */
static inline bool has_starts(const struct mrd_head_batch *batch, size_t first, size_t count)
{
    bool any = false;
    for (size_t i = first; batch->start_times_ms != NULL && i < first + count; i++) {
        any |= batch->start_times_ms[i] != 0;
    }
    return any;
}

enum mrd_status mrd_head_append(struct mrd_head *head, const struct mrd_head_batch *batch,
                                struct mrd_head_append_result *result, struct mrd_error *err)
{
    if (mrd_unlikely(mrd_head_over_budget(head))) {
        return mrd_fail(err, MRD_E_LIMIT,
                        "head: %zu bytes in use, more than the limit of %zu (memory_bytes_limit)",
                        head_memory_total(head), head->memory_bytes_limit);
    }
    struct head_write write = {.hlc = batch->hlc, .origin = batch->origin, .batch = batch};
    size_t at = 0;
    for (size_t row = 0; row < batch->row_count; row++) {
        prefetch_rows(head, batch, row);
        const size_t count = batch->sample_counts == NULL ? 1 : batch->sample_counts[row];
        mrd_assert(count <= batch->sample_count - at);
        const unsigned state = row_state(head, batch->ordinals[row]);
        if (mrd_unlikely(state == 0)) {
            result->rows_dead++;
            at += count;
            continue;
        }
        const bool plain = state == HOT_LIVE && !has_starts(batch, at, count);
        write.row = row;
        write.start_ms = 0;
        for (size_t end = at + count; at < end; at++) {
            write.sample = at;
            write.time_ms = batch->times_ms[at];
            write.value = batch->values[at];
            if (mrd_likely(plain)) {
                append_sample(head, batch->ordinals[row], &write, result);
                continue;
            }
            if (batch->start_times_ms != NULL) {
                write.start_ms = batch->start_times_ms[at];
            }
            if ((state & HOT_HISTOGRAMS) != 0) {
                head_mixed_write(head, batch->ordinals[row], &write, result);
            } else {
                head_sample_write(head, batch->ordinals[row], &write, result);
            }
        }
    }
    mrd_assert(at == batch->sample_count);
    return MRD_OK;
}
