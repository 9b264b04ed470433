/* chunk.h: samples of one series as bytes, in memory and between services.
 *
 * A chunk is (encoding, count, bytes): times strictly ascending (milliseconds) and the doubles of the
 * same count, bit for bit: -0, NaN payloads, staleness markers and subnormals come back as they were.
 * Bytes are the same on every machine. The layout stands in docs/formats/chunk.md.
 *
 * Two families:
 *  - the open encoding grows sample by sample (struct mrd_chunk_open holds the writer's state, the
 *    bytes live elsewhere). About 2 to 3 bytes a sample on integers and short decimals.
 *  - sealed encodings are made from whole columns by mrd_chunk_encode, which takes the smallest of
 *    what it knows: decimal-scaled integers (or the doubles' own bits) as frame of reference, delta
 *    or delta of delta, bit-packed in miniblocks of 64; times regular, regular with a residual, or
 *    deltas; or all of it raw.
 *
 * Where samples have start times (codec/starts.h) these stand before the bytes of either family, and the encoding
 * says so; without any a chunk has not a byte of them.
 *
 * mrd_chunk_decode takes bytes from anywhere: it never reads outside them nor writes more than
 * `count` items, and refuses what is not well formed.
 *
 * Threads: plain values, no shared state.
 */
#ifndef MRD_CODEC_CHUNK_H
#define MRD_CODEC_CHUNK_H

#include "base/bytes.h"
#include "codec/starts.h"
#include "model/sample.h"

enum {
    MRD_CHUNK_SAMPLES_MAX = 4096, /* of one chunk; what claims more is refused */
};

/* Values of the encoding byte that have a name; sealed ones are MRD_CHUNK_SEALED plus flags. */
enum mrd_chunk_encoding {
    MRD_CHUNK_RAW = 0,        /* count times of 8 bytes, then count values of 8 bytes */
    MRD_CHUNK_OPEN = 1,       /* bit stream, see struct mrd_chunk_open */
    MRD_CHUNK_HISTOGRAMS = 2, /* no samples but histograms: codec/histogram.h */
    MRD_CHUNK_SEALED = 16,    /* +(time kind << 2) + value kind */
    MRD_CHUNK_STARTED = 64,   /* flag on one of samples: start times come first */
};

/* A borrowed chunk. */
struct mrd_chunk {
    struct mrd_bytes bytes;
    uint32_t count;
    uint8_t encoding;
};

/* Decodes all samples into times_ms[0..count) and values[0..count), which the caller owns; start times, where the chunk has
 * some, are left to mrd_chunk_decode_starts.
 * MRD_E_CORRUPT if the bytes are not a chunk of exactly that count (1 to MRD_CHUNK_SAMPLES_MAX) with
 * strictly ascending times; the arrays' content is undefined then. Cost: 1 to 3 ns a sample sealed,
 * about 5 open. */
MRD_MUST_CHECK enum mrd_status mrd_chunk_decode(uint8_t encoding, struct mrd_bytes bytes,
                                                size_t count, mrd_time_ms *times_ms, double *values,
                                                struct mrd_error *err);

static inline bool mrd_chunk_has_starts(uint8_t encoding)
{
    return (encoding & MRD_CHUNK_STARTED) != 0;
}

/* The start times of a chunk whose times were decoded; 0: unknown, as all are of a chunk without any.
 * MRD_E_CORRUPT if they are not those of exactly that many samples. */
MRD_MUST_CHECK enum mrd_status mrd_chunk_decode_starts(uint8_t encoding, struct mrd_bytes bytes,
                                                       size_t count, const mrd_time_ms *times_ms,
                                                       mrd_time_ms *start_times_ms,
                                                       struct mrd_error *err);

/* A chunk in its parts. */
struct mrd_chunk_parts {
    struct mrd_bytes starts;  /* empty if there are none */
    struct mrd_bytes samples; /* a chunk without start times, of this encoding */
    uint8_t encoding;
};

/* False if the bytes are too short for what they say. */
MRD_MUST_CHECK bool mrd_chunk_split(uint8_t encoding, struct mrd_bytes bytes,
                                    struct mrd_chunk_parts *out);

/* Bytes that mrd_chunk_encode may write at most for `count` samples. */
static inline size_t mrd_chunk_size_max(size_t count) { return count * 16; }

/* Encodes count samples (1 to MRD_CHUNK_SAMPLES_MAX, times strictly ascending) at `out`, which has
 * room for mrd_chunk_size_max(count) bytes, and returns the size. Never fails: whatever does not
 * compress is stored raw. The result is a pure function of the input. */
size_t mrd_chunk_encode(const mrd_time_ms *times_ms, const double *values, size_t count,
                        uint8_t *out, uint8_t *out_encoding);

/* The same with start times, NULL or all 0 for none; `out` has room for mrd_chunk_size_max_started(count). */
static inline size_t mrd_chunk_size_max_started(size_t count)
{
    return mrd_chunk_size_max(count) + mrd_starts_size_max(count) + MRD_VARINT_SIZE_MAX;
}
size_t mrd_chunk_encode_started(const mrd_time_ms *times_ms, const double *values,
                                const mrd_time_ms *start_times_ms, size_t count, uint8_t *out,
                                uint8_t *out_encoding);

/* ---- the open encoding ---- */

/* State of a growing chunk. Zero-initialise; mrd_chunk_open_reset starts the next chunk of the same
 * series and keeps what was learnt about its values. The bytes are 64-bit words of the caller. */
struct mrd_chunk_open {
    int64_t last_time_ms;
    uint64_t last_bits;  /* of the last value */
    int64_t last_scaled; /* last value that was an integer of 10^-mode */
    int32_t last_delta_ms;
    uint16_t size_bits;
    uint16_t count;
    uint8_t mode;        /* decimal digits, or raw */
    uint8_t misses;      /* values in a row that did not fit the mode */
    uint8_t owner_flags; /* for the owner: no function here looks at these two */
    uint16_t owner_words;
};

enum { MRD_CHUNK_OPEN_BITS_MAX = 160 /* one sample's */, MRD_CHUNK_OPEN_SIZE_MAX = 8184 };

/* Appends a sample with a time greater than the last one. False, and nothing has changed, if
 * capacity_words or MRD_CHUNK_OPEN_SIZE_MAX does not hold it, or the chunk has
 * MRD_CHUNK_SAMPLES_MAX samples: grow and repeat, or seal. A word not yet in use need not be
 * initialised. Cost: about 10 ns and the two cache lines. */
MRD_MUST_CHECK bool mrd_chunk_open_append(struct mrd_chunk_open *open, uint64_t *words,
                                          size_t capacity_words, mrd_time_ms time_ms, double value);

static inline size_t mrd_chunk_open_size(const struct mrd_chunk_open *open)
{
    return ((size_t)open->size_bits + 7) / 8;
}

void mrd_chunk_open_reset(struct mrd_chunk_open *open);

#endif
