/* starts.h: since when the samples of a chunk count (their start times) as bytes.
 *
 * Start times follow few patterns, so they are stored as runs of consecutive samples: none known, all the same (a
 * counter between two resets), as far from each sample's own time, or as far from the time of the sample before (delta
 * temporality). A run grows as long as one pattern still fits all of it, so a chunk in which nothing special
 * happens takes some bytes, however many samples it has. The layout stands in docs/formats/chunk.md.
 *
 * A start time of 0 means that it is not known.
 *
 * Threads: plain values, no shared state.
 */
#ifndef MRD_CODEC_STARTS_H
#define MRD_CODEC_STARTS_H

#include "base/bytes.h"
#include "base/clock.h"

enum { MRD_STARTS_RUN_SIZE_MAX = 13, MRD_STARTS_SAMPLE_SIZE_MAX = 11 };

/* Bytes that the start times of `count` samples take at most. */
static inline size_t mrd_starts_size_max(size_t count)
{
    return count * MRD_STARTS_SAMPLE_SIZE_MAX;
}

/* State of a section that grows: its last run; the bytes of those before live elsewhere. Zero-initialise to begin. */
struct mrd_starts_open {
    mrd_time_ms last_start_ms; /* of the last sample */
    mrd_time_ms start_ms;      /* of the run's first sample, with what follows */
    int64_t distance_ms;       /* from the start to the sample's time */
    int64_t gap_ms;            /* from the time of the sample before to the start */
    uint16_t length;           /* of the run */
    uint16_t count;            /* of all samples */
    uint8_t patterns;          /* that still fit the run */
    bool any;                  /* a start time was known */
};

/* Adds a sample; previous_ms is the time of the one before (looked at only if there is one). Writes the run that has
 * ended by it, if one has, to `out` and returns its size: append it to the bytes so far. */
size_t mrd_starts_add(struct mrd_starts_open *open, mrd_time_ms time_ms, mrd_time_ms previous_ms,
                      mrd_time_ms start_ms, uint8_t out[MRD_STARTS_RUN_SIZE_MAX]);

/* `count` samples without a start time, at the beginning. */
void mrd_starts_skip(struct mrd_starts_open *open, size_t count);

/* Writes the run that still grows: the section's end as of now. Nothing changes; at least one sample was added. */
size_t mrd_starts_finish(const struct mrd_starts_open *open, uint8_t out[MRD_STARTS_RUN_SIZE_MAX]);

/* A whole section at once; `out` has room for mrd_starts_size_max(count). A pure function of the input. */
size_t mrd_starts_encode(const mrd_time_ms *times_ms, const mrd_time_ms *start_times_ms,
                         size_t count, uint8_t *out);

/* False if bytes, which may come from anywhere, are not the start times of exactly `count` samples. */
MRD_MUST_CHECK bool mrd_starts_decode(struct mrd_bytes bytes, const mrd_time_ms *times_ms,
                                      size_t count, mrd_time_ms *start_times_ms);

#endif
