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

/* Fields that can each be read with one or two whole loads inside `in_size` bytes. */
static size_t count_loadable(size_t in_size, size_t count, unsigned width)
{
    if (in_size < 9) {
        return 0;
    }
    const size_t loadable = ((in_size - 9) * 8) / width + 1; /* start byte <= in_size - 9 */
    return MRD_MIN(loadable, count);
}

static inline uint64_t load_field(const uint8_t *in, size_t bit, unsigned width)
{
    uint64_t word;
    memcpy(&word, in + (bit >> 3), 8);
    const unsigned shift = bit & 7;
    word >>= shift;
    if (width > 57 && shift > 0) {
        word |= (uint64_t)in[(bit >> 3) + 8] << (64 - shift);
    }
    return word;
}

static void unpack_narrow(const uint8_t *in, size_t count, unsigned width, uint64_t *out)
{
    const uint64_t mask = mrd_bits_mask(width);
    size_t bit = 0;
    for (size_t i = 0; i < count; i++, bit += width) {
        uint64_t word;
        memcpy(&word, in + (bit >> 3), 8);
        out[i] = (word >> (bit & 7)) & mask;
    }
}

static void unpack_wide(const uint8_t *in, size_t count, unsigned width, uint64_t *out)
{
    const uint64_t mask = mrd_bits_mask(width);
    for (size_t i = 0; i < count; i++) {
        out[i] = load_field(in, i * width, width) & mask;
    }
}

void mrd_bits_unpack(const uint8_t *in, size_t in_size, size_t count, unsigned width, uint64_t *out)
{
    if (width == 0) {
        memset(out, 0, count * sizeof(*out));
        return;
    }
    const size_t direct = count_loadable(in_size, count, width);
    if (width <= 57) {
        unpack_narrow(in, direct, width, out);
    } else {
        unpack_wide(in, direct, width, out);
    }
    /* The last few fields end within nine bytes of the end: read them from a padded copy. */
    for (size_t i = direct; i < count; i++) {
        const size_t first = i * width / 8;
        const size_t last = (i * width + width - 1) / 8;
        uint8_t padded[9] = {0};
        memcpy(padded, in + first, last - first + 1);
        out[i] = load_field(padded, i * width - first * 8, width) & mrd_bits_mask(width);
    }
}
