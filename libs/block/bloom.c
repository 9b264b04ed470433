#include "block/bloom.h"

#include "base/hash.h"

uint64_t mrd_block_bloom_tenant(struct mrd_bytes tenant)
{
    return mrd_hash64(tenant, 0x6d62782d74656e61ULL);
}

uint64_t mrd_block_bloom_pair(uint64_t seed, struct mrd_bytes name, struct mrd_bytes value)
{
    return mrd_hash64(value, mrd_hash64(name, seed));
}

size_t mrd_block_bloom_size(uint64_t key_count, size_t size_max)
{
    const size_t most = MRD_MIN(size_max, (size_t)MRD_BLOCK_BLOOM_SIZE_MAX);
    const uint64_t lines_max = most / MRD_BLOCK_BLOOM_LINE;
    const uint64_t line_bits = MRD_BLOCK_BLOOM_LINE * 8;
    if (key_count > lines_max * line_bits / MRD_BLOCK_BLOOM_KEY_BITS_MIN) {
        return 0;
    }
    const uint64_t wanted = (key_count * MRD_BLOCK_BLOOM_KEY_BITS + line_bits - 1) / line_bits;
    return (size_t)MRD_MIN(wanted, lines_max) * MRD_BLOCK_BLOOM_LINE;
}

/* Upper half of the key: the line; lower half: 6 times 9 bits, spread anew as 32 bits do not have so many. */
static size_t line_of(uint64_t key, size_t size)
{
    const uint64_t lines = size / MRD_BLOCK_BLOOM_LINE;
    return (size_t)(((key >> 32) * lines) >> 32) * MRD_BLOCK_BLOOM_LINE;
}

static uint64_t bits_of(uint64_t key) { return (key & UINT32_MAX) * 0x9e3779b97f4a7c15ULL; }

void mrd_block_bloom_add(uint8_t *bits, size_t size, uint64_t key)
{
    if (size == 0) {
        return;
    }
    uint8_t *line = bits + line_of(key, size);
    uint64_t spread = bits_of(key);
    for (unsigned i = 0; i < MRD_BLOCK_BLOOM_HASHES; i++, spread >>= 9) {
        line[spread % 512 / 8] |= (uint8_t)(1U << (spread % 8));
    }
}

bool mrd_block_bloom_has(const struct mrd_block_bloom *bloom, uint64_t key)
{
    if (bloom->bits.size < MRD_BLOCK_BLOOM_LINE) {
        return true;
    }
    const uint8_t *line = bloom->bits.data + line_of(key, bloom->bits.size);
    uint64_t spread = bits_of(key);
    for (unsigned i = 0; i < MRD_BLOCK_BLOOM_HASHES; i++, spread >>= 9) {
        if ((line[spread % 512 / 8] >> (spread % 8) & 1) == 0) {
            return false;
        }
    }
    return true;
}
