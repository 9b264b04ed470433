#include "codec/bitstream.h"

void mrd_bits_pack(const uint64_t *values, size_t count, unsigned width, uint8_t *out)
{
    if (width == 0) {
        return;
    }
    const uint64_t mask = mrd_bits_mask(width);
    uint64_t word = 0;
    unsigned used = 0; /* bits of word, below 64 */
    for (size_t i = 0; i < count; i++) {
        const uint64_t value = values[i] & mask;
        word |= value << used;
        if (used + width >= 64) {
            memcpy(out, &word, 8);
            out += 8;
            word = used == 0 ? 0 : value >> (64 - used);
            used = used + width - 64;
        } else {
            used += width;
        }
    }
    memcpy(out, &word, (used + 7) / 8);
}

/* The readers below take whole words: LOAD_SLACK bytes behind the last field must be readable. */
enum { LOAD_SLACK = 9 };

static void unpack_narrow(const uint8_t *in, size_t bit, size_t count, unsigned width,
                          uint64_t *out)
{
    const uint64_t mask = mrd_bits_mask(width);
    for (size_t i = 0; i < count; i++, bit += width) {
        uint64_t word;
        memcpy(&word, in + (bit >> 3), 8);
        out[i] = (word >> (bit & 7)) & mask;
    }
}

/* Eight fields of up to 8 bits are `width` whole bytes: one load for all of them. Returns how many
 * fields were read; the rest is left to unpack_narrow. */
static size_t unpack_bytes(const uint8_t *in, size_t count, unsigned width, uint64_t *out)
{
    const uint64_t mask = mrd_bits_mask(width);
    size_t done = 0;
    for (; done + 8 <= count; done += 8, in += width) {
        uint64_t word;
        memcpy(&word, in, 8);
        for (unsigned k = 0; k < 8; k++) {
            out[done + k] = word & mask;
            word >>= width;
        }
    }
    return done;
}

static void unpack_wide(const uint8_t *in, size_t bit, size_t count, unsigned width, uint64_t *out)
{
    const uint64_t mask = mrd_bits_mask(width);
    for (size_t i = 0; i < count; i++, bit += width) {
        uint64_t word;
        memcpy(&word, in + (bit >> 3), 8);
        const unsigned shift = bit & 7;
        word >>= shift;
        if (shift > 0) {
            word |= (uint64_t)in[(bit >> 3) + 8] << (64 - shift);
        }
        out[i] = word & mask;
    }
}

static void unpack_from(const uint8_t *in, size_t bit, size_t count, unsigned width, uint64_t *out)
{
    if (width > 57) {
        unpack_wide(in, bit, count, width, out);
        return;
    }
    const size_t done = width <= 8 && bit == 0 ? unpack_bytes(in, count, width, out) : 0;
    unpack_narrow(in, bit + done * width, count - done, width, out + done);
}

void mrd_bits_unpack(const uint8_t *in, size_t in_size, size_t count, unsigned width, uint64_t *out)
{
    if (width == 0) {
        memset(out, 0, count * sizeof(*out));
        return;
    }
    const size_t size = mrd_bits_packed_size(count, width);
    if (mrd_likely(size + LOAD_SLACK <= in_size)) {
        unpack_from(in, 0, count, width, out);
        return;
    }
    /* The last bytes go through a copy with slack behind it. */
    const size_t ahead = size > LOAD_SLACK ? (size - LOAD_SLACK) * 8 / width : 0;
    unpack_from(in, 0, ahead, width, out);
    const size_t first = ahead * width / 8;
    uint8_t padded[4 * LOAD_SLACK] = {0};
    mrd_assert(size - first <= 3 * LOAD_SLACK);
    memcpy(padded, in + first, size - first);
    unpack_from(padded, ahead * width % 8, count - ahead, width, out + ahead);
}
