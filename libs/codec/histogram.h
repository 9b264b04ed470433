/* histogram.h: consecutive native histograms of one series as bytes, in memory and between services.
 *
 * A chunk of encoding MRD_CHUNK_HISTOGRAMS is a sequence of entries, times strictly ascending. Each entry says
 * what changed since the one before: the time as delta of delta, the sum as changed bits, every count as
 * difference or as difference of the difference, whichever takes fewer bits for this histogram. The layout (kind,
 * schema, zero threshold, spans, custom bounds) stands in an entry only where it changes; counts start from 0
 * there. A histogram that is the same as the one before takes 2 bytes, one whose buckets did not change half a byte
 * for four buckets. Everything comes back bit for bit, but that a staleness marker has no fields. A start time (0:
 * unknown) takes no byte where it is that of the histogram before or the time of that. The layout
 * stands in docs/formats/chunk.md.
 *
 * Threads: plain values, no shared state.
 */
#ifndef MRD_CODEC_HISTOGRAM_H
#define MRD_CODEC_HISTOGRAM_H

#include "base/arena.h"
#include "codec/chunk.h"
#include "model/histogram.h"

/* State of a chunk that grows; the bytes and the counters live elsewhere. Zero-initialise to begin a chunk. */
struct mrd_histogram_open {
    mrd_time_ms last_time_ms;
    int64_t last_delta_ms;
    uint64_t last_sum_bits;
    mrd_time_ms last_start_ms; /* the last that was known */
    uint32_t layout_offset;    /* of the layout in force, in the chunk's bytes */
    uint32_t layout_size;      /* 0: none yet */
    uint32_t counter_count;    /* of the last histogram that was no staleness marker */
    uint32_t count;
};

/* Numbers that counts are coded from: the count, the zero count and all buckets. */
static inline size_t mrd_histogram_counter_count(const struct mrd_histogram *histogram)
{
    return 2 + histogram->positive.bucket_count + histogram->negative.bucket_count;
}

/* A histogram on its way into a chunk. */
struct mrd_histogram_entry {
    mrd_time_ms time_ms;
    mrd_time_ms start_ms; /* since when it counts; 0: unknown */
    const struct mrd_histogram *histogram;
};

/* Appends the entry of a histogram to *entry. `written` are the chunk's bytes so far, which *entry is not part of: the
 * caller adds what was appended behind them. `counters` is the caller's memory for the open chunk, kept from
 * call to call, with room for 2 * mrd_histogram_counter_count(of->histogram).
 * of->time_ms is greater than the last one (asserts). MRD_E_INVALID, and nothing has changed, if it is no histogram that
 * decoding would take: mrd_histogram_check's rules for spans and bounds, and a schema that can be stored.
 * Cost: about 10 ns a bucket. */
MRD_MUST_CHECK enum mrd_status
mrd_histogram_open_append(struct mrd_histogram_open *open, struct mrd_bytes written,
                          uint64_t *counters, const struct mrd_histogram_entry *of,
                          struct mrd_buf *entry, struct mrd_error *err);

struct mrd_histogram_arrays {
    mrd_time_ms *times_ms;
    mrd_time_ms *start_times_ms; /* 0: unknown */
    struct mrd_histogram *items;
    bool any_start; /* set if a start time is known; else left as it was */
};

/* Decodes all of a chunk into the arrays of out, of `count` items each and the caller's; what the items point to
 * comes from the arena. MRD_E_CORRUPT if the bytes are not a chunk of exactly that count (1 to
 * MRD_CHUNK_SAMPLES_MAX), MRD_E_LIMIT from the arena. Memory is bounded by 64 times the bytes. */
MRD_MUST_CHECK enum mrd_status mrd_histogram_chunk_decode(struct mrd_bytes bytes, size_t count,
                                                          struct mrd_arena *arena,
                                                          struct mrd_histogram_arrays *out,
                                                          struct mrd_error *err);

/* What a histogram counts as against limits on samples: one per 16 bytes of it, as Prometheus counts. */
static inline size_t mrd_histogram_weight(const struct mrd_histogram *histogram)
{
    const size_t bytes =
        sizeof(mrd_time_ms) + 40 +
        8 * (mrd_histogram_counter_count(histogram) + histogram->positive.span_count +
             histogram->negative.span_count + histogram->custom_value_count);
    return bytes / 16;
}

#endif
