/* bitstream.h: bits in bytes, least significant bit first: arrays of equally wide fields, and a
 * bounded reader of mixed ones.
 *
 * A reader behaves like struct mrd_reader: past the end it sets `failed` and yields zeros, so a
 * decoder checks once.
 */
#ifndef MRD_CODEC_BITSTREAM_H
#define MRD_CODEC_BITSTREAM_H

#include "base/bytes.h"

static inline uint64_t mrd_bits_mask(unsigned width)
{
    return width >= 64 ? UINT64_MAX : ((uint64_t)1 << width) - 1;
}

/* Bits needed for value: 0 for 0, 64 at most. */
static inline unsigned mrd_bits_width(uint64_t value)
{
    return value == 0 ? 0 : 64 - (unsigned)__builtin_clzll(value);
}

static inline size_t mrd_bits_packed_size(size_t count, unsigned width)
{
    return (count * width + 7) / 8;
}

/* Writes the low `width` (0 to 64) bits of each value: exactly mrd_bits_packed_size bytes. */
void mrd_bits_pack(const uint64_t *values, size_t count, unsigned width, uint8_t *out);

/* Reverses it. `in` has at least mrd_bits_packed_size(count, width) bytes; in_size says how many may
 * be read in all (more lets it read whole words). width is 0 to 64. */
void mrd_bits_unpack(const uint8_t *in, size_t in_size, size_t count, unsigned width,
                     uint64_t *out);

struct mrd_bit_reader {
    const uint8_t *data;
    size_t size; /* bytes */
    size_t at;   /* bits */
    bool failed;
};

static inline struct mrd_bit_reader mrd_bit_reader_of(struct mrd_bytes bytes)
{
    return (struct mrd_bit_reader){bytes.data, bytes.size, 0, false};
}

/* The next bits, at least 57 of them valid, zeros behind the end. Moves nothing. */
static inline uint64_t mrd_bits_peek(const struct mrd_bit_reader *reader)
{
    const size_t byte = reader->at >> 3;
    uint64_t word = 0;
    if (mrd_likely(byte + 8 <= reader->size)) {
        memcpy(&word, reader->data + byte, 8);
    } else if (byte < reader->size) {
        memcpy(&word, reader->data + byte, reader->size - byte);
    }
    return word >> (reader->at & 7);
}

static inline void mrd_bits_skip(struct mrd_bit_reader *reader, unsigned width)
{
    reader->at += width;
    if (mrd_unlikely(reader->at > reader->size * 8)) {
        reader->failed = true;
        reader->at = reader->size * 8;
    }
}

/* The next `width` (0 to 64) bits. */
static inline uint64_t mrd_bits_read(struct mrd_bit_reader *reader, unsigned width)
{
    if (width <= 57) {
        const uint64_t value = mrd_bits_peek(reader) & mrd_bits_mask(width);
        mrd_bits_skip(reader, width);
        return value;
    }
    const uint64_t low = mrd_bits_peek(reader) & mrd_bits_mask(32);
    mrd_bits_skip(reader, 32);
    const uint64_t high = mrd_bits_peek(reader) & mrd_bits_mask(width - 32);
    mrd_bits_skip(reader, width - 32);
    return low | high << 32;
}

#endif
