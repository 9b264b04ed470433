/* bit_reader_internal.h: bits as Prometheus' chunks have them, the other way of bit_writer_internal.h: the most
 * significant of each number first.
 *
 * Past the end a reader sets `failed` and yields zeros, so a decoder checks once per sample.
 */
#ifndef MRD_CODEC_BIT_READER_INTERNAL_H
#define MRD_CODEC_BIT_READER_INTERNAL_H

#include "base/bytes.h"

struct mrd_msb_reader {
    const uint8_t *data;
    size_t size; /* bytes */
    size_t at;   /* bits */
    bool failed;
};

static inline struct mrd_msb_reader mrd_msb_reader_of(struct mrd_bytes bytes)
{
    return (struct mrd_msb_reader){bytes.data, bytes.size, 0, false};
}

static inline size_t mrd_msb_left(const struct mrd_msb_reader *reader)
{
    return reader->size * 8 - reader->at;
}

static inline uint64_t mrd_msb_fail(struct mrd_msb_reader *reader)
{
    reader->failed = true;
    reader->at = reader->size * 8;
    return 0;
}

/* The next 57 bits at least, at the top; zeros behind the end. */
static inline uint64_t mrd_msb_peek(const struct mrd_msb_reader *reader)
{
    const size_t byte = reader->at >> 3;
    uint64_t word = 0;
    if (mrd_likely(byte + 8 <= reader->size)) {
        memcpy(&word, reader->data + byte, 8);
    } else if (byte < reader->size) {
        memcpy(&word, reader->data + byte, reader->size - byte);
    }
    return __builtin_bswap64(word) << (reader->at & 7);
}

/* `width` is 1 to 56. */
static inline uint64_t mrd_msb_read_56(struct mrd_msb_reader *reader, unsigned width)
{
    const uint64_t value = mrd_msb_peek(reader) >> (64 - width);
    if (mrd_unlikely(width > mrd_msb_left(reader))) {
        return mrd_msb_fail(reader);
    }
    reader->at += width;
    return value;
}

/* The next `width` (0 to 64) bits. */
static inline uint64_t mrd_msb_read(struct mrd_msb_reader *reader, unsigned width)
{
    if (width == 0) {
        return 0;
    }
    if (width <= 56) {
        return mrd_msb_read_56(reader, width);
    }
    const uint64_t high = mrd_msb_read_56(reader, width - 32);
    return high << 32 | mrd_msb_read_56(reader, 32);
}

static inline bool mrd_msb_bit(struct mrd_msb_reader *reader)
{
    return mrd_msb_read_56(reader, 1) != 0;
}

/* How many ones come before the next zero, `max` at most; the zero is taken too. */
static inline unsigned mrd_msb_ones(struct mrd_msb_reader *reader, unsigned max)
{
    unsigned count = 0;
    while (count < max && mrd_msb_bit(reader)) {
        count++;
    }
    return count;
}

/* A number whose range mrd_bits_fit describes. `width` is 1 to 64. */
static inline int64_t mrd_msb_read_signed(struct mrd_msb_reader *reader, unsigned width)
{
    const uint64_t value = mrd_msb_read(reader, width);
    if (width == 64 || value <= (uint64_t)1 << (width - 1)) {
        return (int64_t)value;
    }
    return (int64_t)(value - ((uint64_t)1 << width));
}

/* The varint of protobuf and Go, wherever in a byte it begins. */
static inline uint64_t mrd_msb_read_varint(struct mrd_msb_reader *reader)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const uint64_t byte = mrd_msb_read_56(reader, 8);
        if (shift == 63 && byte > 1) {
            break;
        }
        value |= (byte & 0x7f) << shift;
        if (byte < 0x80) {
            return value;
        }
    }
    return mrd_msb_fail(reader);
}

static inline int64_t mrd_msb_read_zigzag(struct mrd_msb_reader *reader)
{
    return mrd_zigzag_decode(mrd_msb_read_varint(reader));
}

/* Where the bits of a double's changes lie: what struct mrd_xor_window is to the writer. */
struct mrd_xor_place {
    uint8_t leading;
    uint8_t trailing;
};

/* The bits of a change that lies where the one before lay. */
static inline uint64_t mrd_msb_read_placed(struct mrd_msb_reader *reader,
                                           const struct mrd_xor_place *place)
{
    return mrd_msb_read(reader, 64U - place->leading - place->trailing) << place->trailing;
}

/* 5 bits of leading zeros, 6 of length, and the bits. */
static inline uint64_t mrd_msb_read_placing(struct mrd_msb_reader *reader,
                                            struct mrd_xor_place *place)
{
    const unsigned leading = (unsigned)mrd_msb_read_56(reader, 5);
    const unsigned length = (unsigned)mrd_msb_read_56(reader, 6);
    const unsigned width = length == 0 ? 64 : length;
    if (leading + width > 64) {
        return mrd_msb_fail(reader);
    }
    *place = (struct mrd_xor_place){(uint8_t)leading, (uint8_t)(64 - leading - width)};
    return mrd_msb_read_placed(reader, place);
}

/* What mrd_bits_put_xor wrote. */
static inline uint64_t mrd_msb_read_xor(struct mrd_msb_reader *reader, struct mrd_xor_place *place)
{
    if (!mrd_msb_bit(reader)) {
        return 0;
    }
    return mrd_msb_bit(reader) ? mrd_msb_read_placing(reader, place)
                               : mrd_msb_read_placed(reader, place);
}

#endif
