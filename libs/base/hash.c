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
/* Each instruction waits for the one before, and three could be under way: long inputs are taken as three pieces side by side. */
enum { CRC_PIECE = 1024 };

/* What a CRC becomes behind so many zero bytes as a piece has, by each of its bytes. */
static uint32_t crc_behind_piece[4][256];

__attribute__((constructor)) static void crc_behind_piece_fill(void)
{
    uint32_t behind[32]; /* of each bit */
    for (unsigned bit = 0; bit < 32; bit++) {
        uint32_t crc = UINT32_C(1) << bit;
        for (size_t i = 0; i < (size_t)CRC_PIECE * 8; i++) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78U : 0);
        }
        behind[bit] = crc;
    }
    for (unsigned byte = 0; byte < 4; byte++) {
        for (unsigned value = 0; value < 256; value++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                crc_behind_piece[byte][value] ^=
                    (value >> bit & 1) != 0 ? behind[8 * byte + bit] : 0;
            }
        }
    }
}

static uint32_t crc_shift(uint32_t crc)
{
    return crc_behind_piece[0][crc & 0xff] ^ crc_behind_piece[1][crc >> 8 & 0xff] ^
           crc_behind_piece[2][crc >> 16 & 0xff] ^ crc_behind_piece[3][crc >> 24];
}

__attribute__((target("sse4.2"))) static uint32_t crc_three_pieces(uint32_t crc, const uint8_t *p)
{
    uint64_t crcs[3] = {crc, 0, 0};
    for (size_t i = 0; i < CRC_PIECE; i += 8) {
        for (size_t k = 0; k < 3; k++) {
            uint64_t word;
            memcpy(&word, p + k * CRC_PIECE + i, 8);
            crcs[k] = __builtin_ia32_crc32di(crcs[k], word);
        }
    }
    return crc_shift(crc_shift((uint32_t)crcs[0]) ^ (uint32_t)crcs[1]) ^ (uint32_t)crcs[2];
}

__attribute__((target("sse4.2"))) static uint32_t crc_hardware(uint32_t crc, const uint8_t *p,
                                                               size_t size)
{
    for (; size >= 3 * (size_t)CRC_PIECE; p += 3 * CRC_PIECE, size -= 3 * (size_t)CRC_PIECE) {
        crc = crc_three_pieces(crc, p);
    }
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
