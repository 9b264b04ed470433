#include "parquet/bitpack.h"

void mrd_pq_pack(const uint64_t *values, size_t count, unsigned width, uint8_t *out)
{
    uint64_t word = 0;
    unsigned used = 0;
    if (width == 0) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        word |= values[i] << used;
        used += width;
        if (used >= 64) {
            memcpy(out, &word, 8);
            out += 8;
            used -= 64;
            word = used == 0 ? 0 : values[i] >> (width - used);
        }
    }
    memcpy(out, &word, (used + 7) / 8);
}

static inline uint64_t mask_of(unsigned width)
{
    return width == 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1;
}

/* Value i by itself, wherever its bits end. */
static uint64_t unpack_one(struct mrd_bytes in, unsigned width, size_t i)
{
    const size_t bit = i * width;
    const size_t at = bit / 8;
    uint64_t low = 0;
    memcpy(&low, in.data + at, MRD_MIN((size_t)8, in.size - at));
    const unsigned shift = bit % 8;
    uint64_t value = low >> shift;
    if (shift + width > 64) {
        value |= (uint64_t)in.data[at + 8] << (64 - shift);
    }
    return value & mask_of(width);
}

/* How many of the first values lie in eight bytes that may all be read. */
static size_t count_of_whole_loads(struct mrd_bytes in, unsigned width, size_t count)
{
    if (width > 57 || in.size < 8) {
        return 0;
    }
    return MRD_MIN(count, (8 * (in.size - 8) + 7) / width + 1);
}

MRD_SIMD_CLONES static void unpack64_whole(const uint8_t *in, unsigned width, uint64_t *out,
                                           size_t count)
{
    const uint64_t mask = mask_of(width);
    for (size_t i = 0; i < count; i++) {
        const size_t bit = i * width;
        uint64_t word;
        memcpy(&word, in + bit / 8, 8);
        out[i] = (word >> (bit % 8)) & mask;
    }
}

MRD_SIMD_CLONES static void unpack32_whole(const uint8_t *in, unsigned width, uint32_t *out,
                                           size_t count)
{
    const uint64_t mask = mask_of(width);
    for (size_t i = 0; i < count; i++) {
        const size_t bit = i * width;
        uint64_t word;
        memcpy(&word, in + bit / 8, 8);
        out[i] = (uint32_t)((word >> (bit % 8)) & mask);
    }
}

void mrd_pq_unpack64(struct mrd_bytes in, unsigned width, uint64_t *out, size_t count)
{
    if (width == 0) {
        memset(out, 0, count * sizeof(out[0]));
        return;
    }
    const size_t whole = count_of_whole_loads(in, width, count);
    unpack64_whole(in.data, width, out, whole);
    for (size_t i = whole; i < count; i++) {
        out[i] = unpack_one(in, width, i);
    }
}

void mrd_pq_unpack32(struct mrd_bytes in, unsigned width, uint32_t *out, size_t count)
{
    if (width == 0) {
        memset(out, 0, count * sizeof(out[0]));
        return;
    }
    const size_t whole = count_of_whole_loads(in, width, count);
    unpack32_whole(in.data, width, out, whole);
    for (size_t i = whole; i < count; i++) {
        out[i] = (uint32_t)unpack_one(in, width, i);
    }
}
