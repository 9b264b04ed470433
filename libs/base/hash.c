#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t mrd_hash64(struct mrd_bytes bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes.data, bytes.size, seed);
}

struct mrd_id128 mrd_hash128(struct mrd_bytes bytes, uint64_t seed)
{
    const XXH128_hash_t hash = XXH3_128bits_withSeed(bytes.data, bytes.size, seed);
    return (struct mrd_id128){hash.low64, hash.high64};
}

enum { CRC_POLYNOMIAL_COUNT = 8 };
static uint32_t crc_table[CRC_POLYNOMIAL_COUNT][256];

__attribute__((constructor)) static void crc_table_fill(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78U : 0);
        }
        crc_table[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++) {
        for (int k = 1; k < CRC_POLYNOMIAL_COUNT; k++) {
            const uint32_t previous = crc_table[k - 1][i];
            crc_table[k][i] = (previous >> 8) ^ crc_table[0][previous & 0xff];
        }
    }
}

/* Slicing-by-8 (Kounavis and Berry, 2005). */
static uint32_t crc_software(uint32_t crc, const uint8_t *p, size_t size)
{
    for (; size >= 8; p += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        word ^= crc;
        crc = 0;
        for (int k = 0; k < 8; k++) {
            crc ^= crc_table[7 - k][(word >> (8 * k)) & 0xff];
        }
    }
    for (; size > 0; p++, size--) {
        crc = (crc >> 8) ^ crc_table[0][(crc ^ *p) & 0xff];
    }
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_hardware(uint32_t crc, const uint8_t *p,
                                                               size_t size)
{
    uint64_t wide = crc;
    for (; size >= 8; p += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    for (; size > 0; p++, size--) {
        crc = __builtin_ia32_crc32qi(crc, *p);
    }
    return crc;
}
#endif

uint32_t mrd_crc32c(uint32_t crc, struct mrd_bytes bytes)
{
    crc = ~crc;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) {
        return ~crc_hardware(crc, bytes.data, bytes.size);
    }
#endif
    return ~crc_software(crc, bytes.data, bytes.size);
}
