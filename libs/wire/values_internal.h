/* values_internal.h: a column of doubles, each in as many bytes as it needs, bit for bit.
 *
 * Most values that devices report are whole numbers or have up to three decimal digits. Those are
 * stored as integers of 0 to 7 bytes, the others as they are: half the bytes of plain doubles for a few ns, which is
 * what a general compressor would reach for ten times that.
 *
 *   codes   4 bits a value, the first value in the low half of the first byte; a last half is 0
 *   bytes   little-endian, as many as the code says
 *
 *   code 0..7    whole number: zigzag, 0..7 bytes
 *   code 8       the double's 8 bytes
 *   code 9..13   thousandths (the value is the number / 1000): zigzag, 1..5 bytes
 */
#ifndef MRD_WIRE_VALUES_INTERNAL_H
#define MRD_WIRE_VALUES_INTERNAL_H

#include "base/bytes.h"

static inline size_t mrd_values_size_max(size_t count) { return count * 8 + count / 2 + 1; }

void mrd_values_write(struct mrd_buf *out, const double *values, size_t count);

/* Reads `count` values; false unless the bytes are exactly such a column. */
MRD_MUST_CHECK bool mrd_values_read(struct mrd_bytes bytes, double *values, size_t count);

#endif
