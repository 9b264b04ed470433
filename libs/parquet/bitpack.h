/* bitpack.h: integers of one bit width, packed from the least significant bit on, as all of Parquet's
 * encodings pack them. Whole columns a call; the loops are for the vectoriser.
 *
 * Threads: pure functions.
 */
#ifndef MRD_PARQUET_BITPACK_H
#define MRD_PARQUET_BITPACK_H

#include "base/bytes.h"

/* Bytes that `count` values of `width` bits take. count * width must not overflow: callers bound both. */
static inline size_t mrd_pq_packed_size(size_t count, unsigned width)
{
    return (count * width + 7) / 8;
}

/* The bits that a value needs; 0 for 0. */
static inline unsigned mrd_pq_bit_width(uint64_t value)
{
    return value == 0 ? 0 : 64 - (unsigned)__builtin_clzll(value);
}

/* Packs `count` values, each below 2^width, to mrd_pq_packed_size bytes at `out`, the last bits zero. */
void mrd_pq_pack(const uint64_t *values, size_t count, unsigned width, uint8_t *out);

/* Unpacks `count` values from `in`, which must hold mrd_pq_packed_size bytes; `in.size` says how much
 * may be read. The second is for widths up to 32. */
void mrd_pq_unpack64(struct mrd_bytes in, unsigned width, uint64_t *out, size_t count);
void mrd_pq_unpack32(struct mrd_bytes in, unsigned width, uint32_t *out, size_t count);

#endif
