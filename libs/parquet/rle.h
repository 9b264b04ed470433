/* rle.h: Parquet's hybrid of runs and bit-packed groups: levels (one byte each here) and dictionary
 * indices (four bytes each).
 *
 * Threads: pure functions.
 */
#ifndef MRD_PARQUET_RLE_H
#define MRD_PARQUET_RLE_H

#include "base/bytes.h"

/* Appends the encoded values, each below 2^width, without any length before them. */
void mrd_pq_rle_encode8(const uint8_t *values, size_t count, unsigned width, struct mrd_buf *out);
void mrd_pq_rle_encode32(const uint32_t *values, size_t count, unsigned width, struct mrd_buf *out);

/* Decodes exactly `count` values (width up to 8, 32). False if the bytes end before or are wrong. What
 * follows in `in` stays there. */
MRD_MUST_CHECK bool mrd_pq_rle_decode8(struct mrd_reader *in, unsigned width, uint8_t *out,
                                       size_t count);
MRD_MUST_CHECK bool mrd_pq_rle_decode32(struct mrd_reader *in, unsigned width, uint32_t *out,
                                        size_t count);

/* True if the bytes are one run of `value` for all `count` values: what a column without nulls has. */
bool mrd_pq_rle_is_one_run(struct mrd_bytes in, unsigned width, uint32_t value, size_t count);

#endif
