/* series_cache.h: what one shard remembers of a series as its sender writes it.
 *
 * The key is the 128-bit XXH3 of the raw label bytes, seeded with the tenant: equal bytes of one
 * tenant are the same series, so labels are parsed only when the key is new or its announcement is due.
 * Two spellings of one label set (another order) are two entries, which is harmless: the partition
 * follows from the series id, and a reader resolves both references to the same series.
 *
 * Owner:   a shard.
 * Threads: the shard's.
 * Memory:  32 bytes a slot, up to bytes_max. Entries that no request has named in the last whole label
 *          epoch are dropped when the table would grow; if that is not enough at bytes_max, all are.
 */
#ifndef DST_SERIES_CACHE_H
#define DST_SERIES_CACHE_H

#include "base/hash.h"

struct dst_series {
    struct mrd_id128 key; /* {0, 0}: a free slot */
    uint32_t epoch;       /* label epoch of the reference, low bits; also when it was last used */
    uint32_t reference;   /* in (shard, epoch, partition) */
    uint32_t serial;      /* of the batch that announced it first in this epoch */
    uint32_t partition;
};
_Static_assert(sizeof(struct dst_series) == 32, "two to a cache line");

struct dst_series_cache {
    struct dst_series *slots;
    size_t capacity; /* a power of two */
    size_t count;
    size_t bytes_max;
    uint64_t cleared; /* times that everything was dropped */
};

void dst_series_cache_init(struct dst_series_cache *cache, size_t bytes_max);
void dst_series_cache_fini(struct dst_series_cache *cache);

/* Asks the processor for the slot that a coming look-up needs. */
static inline void dst_series_cache_prefetch(const struct dst_series_cache *cache,
                                             struct mrd_id128 key)
{
    __builtin_prefetch(&cache->slots[key.low & (cache->capacity - 1)]);
}

/* The entry, or NULL. Valid until the next insert. */
static inline struct dst_series *dst_series_cache_find(const struct dst_series_cache *cache,
                                                       struct mrd_id128 key)
{
    const size_t mask = cache->capacity - 1;
    for (size_t at = key.low & mask;; at = (at + 1) & mask) {
        struct dst_series *slot = &cache->slots[at];
        if (mrd_likely(mrd_id128_equal(slot->key, key))) {
            return slot;
        }
        if (slot->key.low == 0 && slot->key.high == 0) {
            return NULL;
        }
    }
}

/* Adds a key that is not there; `epoch` is the present one. Never NULL; entries may have moved. */
struct dst_series *dst_series_cache_insert(struct dst_series_cache *cache, struct mrd_id128 key,
                                           uint32_t epoch);

/* The key of raw label bytes: never that of a free slot. */
static inline struct mrd_id128 dst_series_key(struct mrd_bytes labels, uint64_t tenant_seed)
{
    struct mrd_id128 key = mrd_hash128(labels, tenant_seed);
    key.high |= (uint64_t)(key.low == 0 && key.high == 0);
    return key;
}

#endif
