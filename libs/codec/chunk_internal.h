/* chunk_internal.h: between the parts of the chunk codec. */
#ifndef MRD_CODEC_CHUNK_INTERNAL_H
#define MRD_CODEC_CHUNK_INTERNAL_H

#include "codec/chunk.h"

/* False if bytes are not an open chunk of exactly that count. Order of times is not checked. */
bool mrd_chunk_open_decode(struct mrd_bytes bytes, size_t count, mrd_time_ms *times_ms,
                           double *values);

/* Bit-packed integers in miniblocks of 64: each is zigzag varint minimum, u8 width, then
 * (value - minimum) in `width` bits. */
enum { MINIBLOCK = 64 };

/* The two low bits of a sealed encoding, and the two above. */
enum value_kind { VALUE_CONSTANT, VALUE_FRAME, VALUE_DELTA, VALUE_DELTA2 };
enum time_kind { TIME_REGULAR, TIME_RESIDUAL, TIME_DELTA, TIME_KIND_COUNT };

/* Second byte family of a value section: how integers become doubles. */
enum {
    TRANSFORM_DIGITS_MASK = 0x0f, /* decimals 0 to 14; 15: the double's own bits */
    TRANSFORM_BITS = 15,
    TRANSFORM_SHIFTED = 0x40, /* a byte follows: integers were shifted right by so many bits */
    TRANSFORM_PATCHED =
        0x80, /* exceptions follow: varint count, then varint gap and 8 bytes each */
};

bool mrd_chunk_sealed_decode(uint8_t encoding, struct mrd_bytes bytes, size_t count,
                             mrd_time_ms *times_ms, double *values);

#endif
