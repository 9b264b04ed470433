/* bloom.h: a Bloom filter of the tenants and label pairs of a block, so that a query for one device does not
 * open blocks that do not have it.
 *
 * One cache line (64 bytes) per key, 6 bits in it (Putze, Sanders, Singler: "Cache-, Hash- and Space-Efficient Bloom Filters",
 * 2007). With 10 bits a key about one foreign key in 60 passes.
 *
 * Owner:   bits are borrowed. Threads: asking is const.
 */
#ifndef MRD_BLOCK_BLOOM_H
#define MRD_BLOCK_BLOOM_H

#include <stdbool.h>

#include "base/bytes.h"

enum {
    MRD_BLOCK_BLOOM_LINE = 64,
    MRD_BLOCK_BLOOM_HASHES = 6,
    MRD_BLOCK_BLOOM_KEY_BITS = 10,
    MRD_BLOCK_BLOOM_KEY_BITS_MIN = 4, /* below, it would pass nearly everything: there is none */
    MRD_BLOCK_BLOOM_SIZE_MAX = 1 << 20,
};

struct mrd_block_bloom {
    struct mrd_bytes bits; /* a multiple of MRD_BLOCK_BLOOM_LINE; empty: every key may be in it */
};

uint64_t mrd_block_bloom_tenant(struct mrd_bytes tenant);
/* `seed` is mrd_block_bloom_tenant's. */
uint64_t mrd_block_bloom_pair(uint64_t seed, struct mrd_bytes name, struct mrd_bytes value);

/* Bytes for that many keys: at most size_max, 0 if that is too few. */
size_t mrd_block_bloom_size(uint64_t key_count, size_t size_max);
void mrd_block_bloom_add(uint8_t *bits, size_t size, uint64_t key);
bool mrd_block_bloom_has(const struct mrd_block_bloom *bloom, uint64_t key);

#endif
