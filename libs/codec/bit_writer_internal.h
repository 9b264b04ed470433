/* bit_writer_internal.h: bits as Prometheus' chunks have them: the most significant of each number first.
 *
 * What is not yet a whole byte stays in the writer; mrd_bit_writer_flush fills the last byte with zeros.
 */
#ifndef MRD_CODEC_BIT_WRITER_INTERNAL_H
#define MRD_CODEC_BIT_WRITER_INTERNAL_H

#include "base/bytes.h"

struct mrd_bit_writer {
    struct mrd_buf *out;
    uint64_t pending;      /* the low `pending_bits` bits are not written yet */
    unsigned pending_bits; /* 0 to 7 between calls */
};

static inline void mrd_bits_put_56(struct mrd_bit_writer *writer, uint64_t value, unsigned width)
{
    const uint64_t mask = ((uint64_t)1 << width) - 1;
    writer->pending = writer->pending << width | (value & mask);
    writer->pending_bits += width;
    while (writer->pending_bits >= 8) {
        writer->pending_bits -= 8;
        mrd_buf_append_u8(writer->out, (uint8_t)(writer->pending >> writer->pending_bits));
    }
}

/* The low `width` (0 to 64) bits. */
static inline void mrd_bits_put(struct mrd_bit_writer *writer, uint64_t value, unsigned width)
{
    if (width > 32) {
        mrd_bits_put_56(writer, value >> 32, width - 32);
        width = 32;
    }
    mrd_bits_put_56(writer, value, width);
}

static inline void mrd_bit_writer_flush(struct mrd_bit_writer *writer)
{
    if (writer->pending_bits > 0) {
        mrd_bits_put(writer, 0, 8 - writer->pending_bits);
    }
}

/* Whether `value` lies in the range that Prometheus gives to `width` bits: one more above than two's
 * complement has, one less below. */
static inline bool mrd_bits_fit(int64_t value, unsigned width)
{
    const int64_t half = (int64_t)1 << (width - 1);
    return value > -half && value <= half;
}

/* Where the bits lie that change from a double to the next. Zero-initialise to begin. */
struct mrd_xor_window {
    bool set;
    uint8_t leading;
    uint8_t trailing;
};

/* The xor of two doubles: 0 none | 10 + the bits of the window before | 11 + 5 bits of leading zeros (31 at most)
 * + 6 bits of length (0 is 64) + that many bits, which become the window. */
static inline void mrd_bits_put_xor(struct mrd_bit_writer *writer, uint64_t change,
                                    struct mrd_xor_window *window)
{
    if (change == 0) {
        mrd_bits_put(writer, 0, 1);
        return;
    }
    unsigned leading = (unsigned)__builtin_clzll(change);
    const unsigned trailing = (unsigned)__builtin_ctzll(change);
    leading = MRD_MIN(leading, 31U);
    if (window->set && leading >= window->leading && trailing >= window->trailing) {
        mrd_bits_put(writer, 2, 2);
        mrd_bits_put(writer, change >> window->trailing, 64U - window->leading - window->trailing);
        return;
    }
    const unsigned width = 64 - leading - trailing;
    *window = (struct mrd_xor_window){true, (uint8_t)leading, (uint8_t)trailing};
    mrd_bits_put(writer, 3, 2);
    mrd_bits_put(writer, leading, 5);
    mrd_bits_put(writer, width & 63, 6);
    mrd_bits_put(writer, change >> trailing, width);
}

#endif
