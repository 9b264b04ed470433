/* Start times of the samples of a tail: beside it, so that a tail without any has not a byte of them. Sealed chunks
 * have theirs inside (codec/chunk.h), late samples theirs (late_block.c). */
#include "head/head_internal.h"

static struct head_starts *starts_create(struct mrd_head *head, uint32_t ordinal)
{
    const mrd_pool_handle handle =
        head_alloc(head, MRD_HEAD_MEMORY_OPEN, sizeof(struct head_starts));
    struct head_starts *starts = head_at(head, handle);
    struct head_series *series = head_series(head, ordinal);
    struct head_hot *hot = head_hot(head, ordinal);
    *starts = (struct head_starts){.histograms = series->extra};
    mrd_starts_skip(&starts->open, (size_t)hot->open.count - 1);
    series->extra = handle;
    hot->open.owner_flags |= HOT_STARTS;
    return starts;
}

void head_starts_add(struct mrd_head *head, uint32_t ordinal, mrd_time_ms previous_ms,
                     mrd_time_ms start_ms)
{
    const struct head_hot *hot = head_hot(head, ordinal);
    struct head_starts *starts = head_starts(head, ordinal);
    uint8_t run[MRD_STARTS_RUN_SIZE_MAX];
    if (starts == NULL && start_ms == 0) {
        return;
    }
    starts = starts == NULL ? starts_create(head, ordinal) : starts;
    const size_t size =
        mrd_starts_add(&starts->open, hot->open.last_time_ms, previous_ms, start_ms, run);
    mrd_assert(starts->open.count == hot->open.count);
    if (size > 0) {
        head_bytes_append(head, MRD_HEAD_MEMORY_OPEN, &starts->bytes,
                          (struct mrd_bytes){run, size});
    }
}

void head_starts_free(struct mrd_head *head, uint32_t ordinal)
{
    struct head_starts *starts = head_starts(head, ordinal);
    struct head_series *series = head_series(head, ordinal);
    if (starts == NULL) {
        return;
    }
    const mrd_pool_handle handle = series->extra;
    series->extra = starts->histograms;
    head_hot(head, ordinal)->open.owner_flags &= (uint8_t)~HOT_STARTS;
    head_bytes_free(head, MRD_HEAD_MEMORY_OPEN, &starts->bytes);
    head_free(head, MRD_HEAD_MEMORY_OPEN, handle, sizeof(*starts));
}

struct mrd_chunk head_tail_chunk(struct mrd_head *head, uint32_t ordinal)
{
    const struct head_hot *hot = head_hot(head, ordinal);
    const struct head_starts *starts = head_starts(head, ordinal);
    const struct mrd_bytes samples = {head_at(head, hot->tail), head_tail_bytes(hot)};
    uint8_t run[MRD_STARTS_RUN_SIZE_MAX];
    if (starts == NULL) {
        return (struct mrd_chunk){samples, hot->open.count, MRD_CHUNK_OPEN};
    }
    const size_t run_size = mrd_starts_finish(&starts->open, run);
    struct mrd_buf *joined = &head->started;
    mrd_buf_clear(joined);
    mrd_buf_append_varint(joined, starts->bytes.size + run_size);
    mrd_buf_append_bytes(joined, head_bytes_view(head, &starts->bytes));
    mrd_buf_append(joined, run, run_size);
    mrd_buf_append_bytes(joined, samples);
    mrd_assert(!joined->failed);
    return (struct mrd_chunk){mrd_buf_view(joined), hot->open.count,
                              MRD_CHUNK_OPEN | MRD_CHUNK_STARTED};
}
