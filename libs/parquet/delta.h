/* delta.h: DELTA_BINARY_PACKED and what builds on it: lengths of byte arrays, and byte arrays that
 * share prefixes with the one before (Encodings.md of parquet-format).
 *
 * Written in blocks of 128 values with 4 miniblocks, as most writers do; any block is read. Differences
 * wrap around in the width of the type.
 *
 * Threads: pure functions.
 */
#ifndef MRD_PARQUET_DELTA_H
#define MRD_PARQUET_DELTA_H

#include "base/bytes.h"

/* How wide the differences of a miniblock are. */
enum mrd_pq_delta_widths {
    MRD_PQ_DELTA_BITS, /* as they need: the least bytes */
    MRD_PQ_DELTA_BYTES /* whole bytes: what is compressed after that gets smaller by a third where a few differences recur, and is
                        * faster to unpack */
};

/* Appends the encoded values; `out->failed` tells of its limit. */
void mrd_pq_delta_encode64(const int64_t *values, size_t count, enum mrd_pq_delta_widths widths,
                           struct mrd_buf *out);
void mrd_pq_delta_encode32(const int32_t *values, size_t count, enum mrd_pq_delta_widths widths,
                           struct mrd_buf *out);

/* Decodes exactly `count` values and leaves `in` behind them. False if there are more or fewer, or if
 * the bytes are wrong. */
MRD_MUST_CHECK bool mrd_pq_delta_decode64(struct mrd_reader *in, int64_t *out, size_t count);
MRD_MUST_CHECK bool mrd_pq_delta_decode32(struct mrd_reader *in, int32_t *out, size_t count);

#endif
