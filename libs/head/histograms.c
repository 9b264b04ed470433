/* Histograms of one series as a chain of chunks: appending to the newest, rewriting any other. Which of two
 * values of one time counts is for mixed.c to know. */
#include "head/head_internal.h"

#define ARENA_BYTES ((size_t)1 << 30) /* of one chunk taken apart; it is bounded by its bytes */

/* ---- stamps ---- */

static void stamp_put(struct mrd_buf *out, struct head_histogram_chunk *chunk,
                      const struct head_stamp *stamp)
{
    mrd_buf_append_zigzag(out, (int64_t)(stamp->hlc - chunk->last_hlc));
    mrd_buf_append_zigzag(out, (int64_t)stamp->origin - (int64_t)chunk->last_origin);
    chunk->last_hlc = stamp->hlc;
    chunk->last_origin = stamp->origin;
    chunk->hlc = MRD_MAX(chunk->hlc, stamp->hlc);
}

static void stamps_decode(struct mrd_bytes bytes, size_t count, struct head_stamp *out)
{
    struct mrd_reader reader = mrd_reader_of(bytes);
    struct head_stamp stamp = {0};
    for (size_t i = 0; i < count; i++) {
        stamp.hlc += (uint64_t)mrd_read_zigzag(&reader);
        stamp.origin += (uint32_t)mrd_read_zigzag(&reader);
        out[i] = stamp;
    }
    mrd_assert(!reader.failed && mrd_reader_left(&reader) == 0);
}

/* ---- scratch ---- */

static struct head_histogram_scratch *scratch_of(struct mrd_head *head)
{
    if (head->histogram_scratch == NULL) {
        head->histogram_scratch = calloc(1, sizeof(*head->histogram_scratch));
        mrd_assert(head->histogram_scratch != NULL);
        head->histogram_scratch->arena = mrd_arena_create("histograms of a head", ARENA_BYTES);
        head->arrays_bytes += sizeof(*head->histogram_scratch);
    }
    return head->histogram_scratch;
}

void head_histogram_scratch_free(struct mrd_head *head)
{
    struct head_histogram_scratch *scratch = head->histogram_scratch;
    if (scratch != NULL) {
        mrd_arena_destroy(&scratch->arena);
        mrd_buf_fini(&scratch->entry);
        mrd_buf_fini(&scratch->bytes);
        mrd_buf_fini(&scratch->stamps);
        free(scratch->counters);
        free(scratch);
        head->histogram_scratch = NULL;
    }
}

/* ---- the record ---- */

struct head_histograms *head_histograms_acquire(struct mrd_head *head, uint32_t ordinal)
{
    struct head_histograms *own = head_histograms(head, ordinal);
    if (own == NULL) {
        const mrd_pool_handle handle = head_alloc(head, MRD_HEAD_MEMORY_HISTOGRAMS, sizeof(*own));
        own = head_at(head, handle);
        *own = (struct head_histograms){.last_ms = INT64_MIN};
        *head_histograms_link(head, ordinal) = handle;
        head_hot(head, ordinal)->open.owner_flags |= HOT_HISTOGRAMS;
    }
    return own;
}

static void counters_free(struct mrd_head *head, struct head_histograms *own)
{
    if (own->counters != 0) {
        head_free(head, MRD_HEAD_MEMORY_HISTOGRAMS, own->counters,
                  own->counters_capacity * sizeof(uint64_t));
    }
    own->counters = 0;
    own->counters_capacity = 0;
}

void head_histograms_release(struct mrd_head *head, uint32_t ordinal)
{
    struct head_histograms *own = head_histograms(head, ordinal);
    mrd_assert(own->chunks == 0 && own->floats == 0);
    counters_free(head, own);
    mrd_pool_handle *link = head_histograms_link(head, ordinal);
    head_free(head, MRD_HEAD_MEMORY_HISTOGRAMS, *link, sizeof(*own));
    *link = 0;
    head_hot(head, ordinal)->open.owner_flags &= (uint8_t)~HOT_HISTOGRAMS;
}

/* Room for the counters of a histogram; what they were stays. */
static uint64_t *counters_reserve(struct mrd_head *head, struct head_histograms *own,
                                  size_t counter_count)
{
    const size_t needed = 2 * counter_count;
    if (needed > own->counters_capacity) {
        const size_t size = mrd_pool_rounded(needed * sizeof(uint64_t));
        const mrd_pool_handle bigger = head_alloc(head, MRD_HEAD_MEMORY_HISTOGRAMS, size);
        if (own->counters != 0) {
            memcpy(head_at(head, bigger), head_at(head, own->counters),
                   own->counters_capacity * sizeof(uint64_t));
        }
        counters_free(head, own);
        own->counters = bigger;
        own->counters_capacity = (uint32_t)(size / sizeof(uint64_t));
    }
    return head_at(head, own->counters);
}

/* ---- chunks ---- */

static mrd_pool_handle chunk_create(struct mrd_head *head, mrd_time_ms first_ms,
                                    mrd_pool_handle next)
{
    const mrd_pool_handle handle =
        head_alloc(head, MRD_HEAD_MEMORY_HISTOGRAMS, sizeof(struct head_histogram_chunk));
    struct head_histogram_chunk *chunk = head_at(head, handle);
    *chunk = (struct head_histogram_chunk){.first_ms = first_ms, .next = next};
    return handle;
}

void head_histogram_chunk_free(struct mrd_head *head, struct head_histograms *own,
                               mrd_pool_handle *link)
{
    const mrd_pool_handle handle = *link;
    struct head_histogram_chunk *chunk = head_at(head, handle);
    if (link == &own->chunks) {
        own->open = (struct mrd_histogram_open){0};
    }
    *link = chunk->next;
    head->sample_count -= chunk->count;
    head->histogram_count -= chunk->count;
    head_bytes_free(head, MRD_HEAD_MEMORY_HISTOGRAMS, &chunk->bytes);
    head_bytes_free(head, MRD_HEAD_MEMORY_HISTOGRAMS, &chunk->stamps);
    head_free(head, MRD_HEAD_MEMORY_HISTOGRAMS, handle, sizeof(*chunk));
}

/* Adds an encoded entry to a chunk. */
static void chunk_add(struct mrd_head *head, struct head_histogram_chunk *chunk,
                      struct mrd_bytes entry, const struct head_histogram_write *write)
{
    struct head_histogram_scratch *scratch = scratch_of(head);
    head_bytes_append(head, MRD_HEAD_MEMORY_HISTOGRAMS, &chunk->bytes, entry);
    mrd_buf_clear(&scratch->stamps);
    stamp_put(&scratch->stamps, chunk, &write->stamp);
    head_bytes_append(head, MRD_HEAD_MEMORY_HISTOGRAMS, &chunk->stamps,
                      mrd_buf_view(&scratch->stamps));
    chunk->last_ms = write->time_ms;
    chunk->weight += (uint32_t)mrd_histogram_weight(write->histogram);
    chunk->count++;
    head->sample_count++;
    head->histogram_count++;
}

static bool newest_has_room(const struct mrd_head *head, const struct head_histograms *own,
                            mrd_time_ms time_ms)
{
    if (own->chunks == 0 || own->open.count == 0) {
        return false;
    }
    const struct head_histogram_chunk *chunk = head_at(head, own->chunks);
    return chunk->count < HEAD_HISTOGRAM_CHUNK_MAX &&
           head_bucket_of(head, chunk->first_ms) == head_bucket_of(head, time_ms);
}

/* Whether an entry may be added to a chunk that has some. */
static bool has_room(const struct head_histogram_chunk *chunk, size_t entry_size)
{
    return chunk->bytes.size + entry_size <= HEAD_HISTOGRAM_CHUNK_BYTES;
}

/* The newest chunk grows no more. */
static void close_newest(struct mrd_head *head, struct head_histograms *own)
{
    struct head_histogram_chunk *newest = own->chunks == 0 ? NULL : head_at(head, own->chunks);
    if (newest != NULL) {
        head_bytes_trim(head, MRD_HEAD_MEMORY_HISTOGRAMS, &newest->bytes);
        head_bytes_trim(head, MRD_HEAD_MEMORY_HISTOGRAMS, &newest->stamps);
    }
}

/* Encodes the next entry into the scratch; `newest` is the chunk that it goes on, NULL: it begins one. */
static enum mrd_status encode_next(struct mrd_head *head, struct head_histograms *own,
                                   const struct head_histogram_chunk *newest,
                                   const struct head_histogram_write *write,
                                   struct mrd_histogram_open *out_open)
{
    struct head_histogram_scratch *scratch = scratch_of(head);
    uint64_t *counters = counters_reserve(head, own, mrd_histogram_counter_count(write->histogram));
    *out_open = newest == NULL ? (struct mrd_histogram_open){0} : own->open;
    const struct mrd_histogram_entry entry = {write->time_ms, write->start_ms, write->histogram};
    mrd_buf_clear(&scratch->entry);
    return mrd_histogram_open_append(
        out_open, newest == NULL ? MRD_BYTES_NONE : head_bytes_view(head, &newest->bytes), counters,
        &entry, &scratch->entry, NULL);
}

bool head_histogram_append(struct mrd_head *head, struct head_histograms *own,
                           const struct head_histogram_write *write)
{
    const struct head_histogram_scratch *scratch = scratch_of(head);
    struct head_histogram_chunk *newest =
        newest_has_room(head, own, write->time_ms) ? head_at(head, own->chunks) : NULL;
    struct mrd_histogram_open open;
    if (encode_next(head, own, newest, write, &open) != MRD_OK) {
        return false;
    }
    if (newest != NULL && !has_room(newest, scratch->entry.size)) {
        newest = NULL;
        const enum mrd_status status = encode_next(head, own, NULL, write, &open);
        mrd_assert(status == MRD_OK); /* it just was */
    }
    if (newest == NULL) {
        close_newest(head, own);
        own->chunks = chunk_create(head, write->time_ms, own->chunks);
    }
    own->open = open;
    own->last_ms = MRD_MAX(own->last_ms, write->time_ms);
    chunk_add(head, head_at(head, own->chunks), mrd_buf_view(&scratch->entry), write);
    return true;
}

/* ---- taking a chunk apart and putting it together ---- */

static void chunk_decode(struct mrd_head *head, const struct head_histogram_chunk *chunk)
{
    struct head_histogram_scratch *scratch = scratch_of(head);
    mrd_arena_reset(scratch->arena);
    scratch->count = chunk->count;
    struct mrd_histogram_arrays arrays = {scratch->times_ms, scratch->start_times_ms,
                                          scratch->items, false};
    const enum mrd_status status = mrd_histogram_chunk_decode(
        head_bytes_view(head, &chunk->bytes), chunk->count, scratch->arena, &arrays, NULL);
    mrd_assert(status == MRD_OK); /* our own bytes */
    stamps_decode(head_bytes_view(head, &chunk->stamps), chunk->count, scratch->stamp_items);
}

static void scratch_counters_reserve(struct head_histogram_scratch *scratch, size_t from, size_t to)
{
    size_t needed = 0;
    for (size_t i = from; i < to; i++) {
        needed = MRD_MAX(needed, 2 * mrd_histogram_counter_count(&scratch->items[i]));
    }
    if (needed > scratch->counters_capacity) {
        scratch->counters = reallocarray(scratch->counters, needed, sizeof(uint64_t));
        mrd_assert(scratch->counters != NULL);
        scratch->counters_capacity = needed;
    }
}

/* Makes a chunk of the scratch's items from *from on, up to `to` or as many as a chunk takes, in front of
 * `next`, and moves *from behind them. */
static mrd_pool_handle chunk_make(struct mrd_head *head, size_t *from, size_t to, bool hides,
                                  mrd_pool_handle next)
{
    struct head_histogram_scratch *scratch = scratch_of(head);
    const mrd_pool_handle handle = chunk_create(head, scratch->times_ms[*from], next);
    struct head_histogram_chunk *chunk = head_at(head, handle);
    chunk->hides = hides;
    scratch_counters_reserve(scratch, *from, to);
    scratch->open = (struct mrd_histogram_open){0};
    for (; *from < to; (*from)++) {
        const struct head_histogram_write write = {
            scratch->times_ms[*from], scratch->start_times_ms[*from], &scratch->items[*from],
            scratch->stamp_items[*from]};
        const struct mrd_histogram_entry entry = {write.time_ms, write.start_ms, write.histogram};
        mrd_buf_clear(&scratch->entry);
        const enum mrd_status status =
            mrd_histogram_open_append(&scratch->open, head_bytes_view(head, &chunk->bytes),
                                      scratch->counters, &entry, &scratch->entry, NULL);
        mrd_assert(status == MRD_OK); /* it was stored before, or checked */
        if (chunk->count > 0 && !has_room(chunk, scratch->entry.size)) {
            break;
        }
        chunk_add(head, chunk, mrd_buf_view(&scratch->entry), &write);
    }
    return handle;
}

/* The newest chunk may grow on from where the scratch has left it. */
static void grow_on(struct mrd_head *head, struct head_histograms *own)
{
    const struct head_histogram_scratch *scratch = scratch_of(head);
    const size_t counter_count = scratch->open.counter_count;
    uint64_t *counters = counters_reserve(head, own, counter_count);
    if (counter_count > 0) {
        memcpy(counters, scratch->counters, 2 * counter_count * sizeof(*counters));
    }
    own->open = scratch->open;
}

/* Puts the scratch's items at `link` as chunks: one, or from two halves if that would be too large. */
static void put_together(struct mrd_head *head, struct head_histograms *own, mrd_pool_handle *link,
                         bool hides, bool halve)
{
    const size_t count = scratch_of(head)->count;
    const size_t half = halve || count > HEAD_HISTOGRAM_CHUNK_MAX ? (count + 1) / 2 : count;
    for (size_t from = 0; from < count;) {
        *link = chunk_make(head, &from, from < half ? half : count, hides, *link);
    }
    if (link == &own->chunks && count > 0) {
        grow_on(head, own);
    }
}

/* Puts the changed items of the chunk at `link` back. */
static void put_back(struct mrd_head *head, struct head_histograms *own, mrd_pool_handle *link,
                     bool hides)
{
    const struct head_histogram_chunk *chunk = head_at(head, *link);
    const bool hidden = hides || chunk->hides;
    const bool halve = chunk->bytes.size > HEAD_HISTOGRAM_CHUNK_BYTES / 8 * 7;
    head_histogram_chunk_free(head, own, link);
    put_together(head, own, link, hidden, halve);
}

/* ---- finding and changing ---- */

static mrd_pool_handle *link_at(struct mrd_head *head, struct head_histograms *own,
                                mrd_time_ms time_ms, mrd_pool_handle **out_newer)
{
    mrd_pool_handle *link = &own->chunks;
    *out_newer = NULL;
    while (*link != 0) {
        struct head_histogram_chunk *chunk = head_at(head, *link);
        if (chunk->first_ms <= time_ms) {
            break;
        }
        *out_newer = link;
        link = &chunk->next;
    }
    return link;
}

bool head_histogram_find(struct mrd_head *head, struct head_histograms *own, mrd_time_ms time_ms,
                         mrd_pool_handle **out_link, size_t *out_index)
{
    mrd_pool_handle *newer;
    *out_link = link_at(head, own, time_ms, &newer);
    if (**out_link == 0) {
        return false;
    }
    const struct head_histogram_chunk *chunk = head_at(head, **out_link);
    if (chunk->last_ms < time_ms) {
        return false;
    }
    chunk_decode(head, chunk);
    const struct head_histogram_scratch *scratch = scratch_of(head);
    for (size_t i = 0; i < scratch->count; i++) {
        if (scratch->times_ms[i] == time_ms) {
            *out_index = i;
            return true;
        }
    }
    return false;
}

/* Whether the codec takes it; it says so only when it encodes. */
static bool can_be_stored(struct mrd_head *head, const struct mrd_histogram *histogram)
{
    struct head_histogram_scratch *scratch = scratch_of(head);
    const size_t needed = 2 * mrd_histogram_counter_count(histogram);
    if (needed > scratch->counters_capacity) {
        scratch->counters = reallocarray(scratch->counters, needed, sizeof(uint64_t));
        mrd_assert(scratch->counters != NULL);
        scratch->counters_capacity = needed;
    }
    struct mrd_histogram_open open = {0};
    const struct mrd_histogram_entry entry = {.histogram = histogram};
    mrd_buf_clear(&scratch->entry);
    return mrd_histogram_open_append(&open, MRD_BYTES_NONE, scratch->counters, &entry,
                                     &scratch->entry, NULL) == MRD_OK;
}

bool head_histogram_replace(struct mrd_head *head, struct head_histograms *own,
                            mrd_pool_handle *link, size_t index,
                            const struct head_histogram_write *write)
{
    struct head_histogram_scratch *scratch = scratch_of(head);
    if (!can_be_stored(head, write->histogram)) {
        return false;
    }
    scratch->items[index] = *write->histogram;
    scratch->start_times_ms[index] = write->start_ms;
    scratch->stamp_items[index] = write->stamp;
    put_back(head, own, link, false);
    return true;
}

void head_histogram_remove(struct mrd_head *head, struct head_histograms *own,
                           mrd_pool_handle *link, size_t index)
{
    struct head_histogram_scratch *scratch = scratch_of(head);
    const size_t after = --scratch->count - index;
    memmove(&scratch->times_ms[index], &scratch->times_ms[index + 1],
            after * sizeof(scratch->times_ms[0]));
    memmove(&scratch->start_times_ms[index], &scratch->start_times_ms[index + 1],
            after * sizeof(scratch->start_times_ms[0]));
    memmove(&scratch->items[index], &scratch->items[index + 1], after * sizeof(scratch->items[0]));
    memmove(&scratch->stamp_items[index], &scratch->stamp_items[index + 1],
            after * sizeof(scratch->stamp_items[0]));
    put_back(head, own, link, false);
}

void head_histogram_cut(struct mrd_head *head, struct head_histograms *own, mrd_pool_handle *link,
                        mrd_time_ms min_ms, mrd_time_ms max_ms)
{
    struct head_histogram_scratch *scratch = scratch_of(head);
    chunk_decode(head, head_at(head, *link));
    size_t kept = 0;
    for (size_t i = 0; i < scratch->count; i++) {
        if (scratch->times_ms[i] < min_ms || scratch->times_ms[i] > max_ms) {
            scratch->times_ms[kept] = scratch->times_ms[i];
            scratch->start_times_ms[kept] = scratch->start_times_ms[i];
            scratch->items[kept] = scratch->items[i];
            scratch->stamp_items[kept++] = scratch->stamp_items[i];
        }
    }
    scratch->count = kept;
    put_back(head, own, link, false);
}

/* Makes room among the scratch's items and puts the write there. */
static void scratch_insert(struct head_histogram_scratch *scratch,
                           const struct head_histogram_write *write)
{
    size_t at = 0;
    while (at < scratch->count && scratch->times_ms[at] < write->time_ms) {
        at++;
    }
    const size_t after = scratch->count++ - at;
    memmove(&scratch->times_ms[at + 1], &scratch->times_ms[at],
            after * sizeof(scratch->times_ms[0]));
    memmove(&scratch->start_times_ms[at + 1], &scratch->start_times_ms[at],
            after * sizeof(scratch->start_times_ms[0]));
    memmove(&scratch->items[at + 1], &scratch->items[at], after * sizeof(scratch->items[0]));
    memmove(&scratch->stamp_items[at + 1], &scratch->stamp_items[at],
            after * sizeof(scratch->stamp_items[0]));
    scratch->times_ms[at] = write->time_ms;
    scratch->start_times_ms[at] = write->start_ms;
    scratch->items[at] = *write->histogram;
    scratch->stamp_items[at] = write->stamp;
}

static bool same_bucket(const struct mrd_head *head, const mrd_pool_handle *link,
                        mrd_time_ms time_ms)
{
    if (link == NULL || *link == 0) {
        return false;
    }
    const struct head_histogram_chunk *chunk = head_at(head, *link);
    return head_bucket_of(head, chunk->first_ms) == head_bucket_of(head, time_ms);
}

bool head_histogram_insert(struct mrd_head *head, struct head_histograms *own,
                           const struct head_histogram_write *write, bool hides)
{
    struct head_histogram_scratch *scratch = scratch_of(head);
    if (!can_be_stored(head, write->histogram)) {
        return false;
    }
    own->last_ms = MRD_MAX(own->last_ms, write->time_ms);
    mrd_pool_handle *newer;
    mrd_pool_handle *link = link_at(head, own, write->time_ms, &newer);
    if (!same_bucket(head, link, write->time_ms) && same_bucket(head, newer, write->time_ms)) {
        link = newer; /* it comes first in that one */
    }
    if (same_bucket(head, link, write->time_ms)) {
        chunk_decode(head, head_at(head, *link));
        scratch_insert(scratch, write);
        put_back(head, own, link, hides);
    } else {
        scratch->count = 0;
        scratch_insert(scratch, write);
        put_together(head, own, link, hides, false);
    }
    return true;
}
