/* series_cache.h: what one shard remembers of a series as its sender writes it.
 *
 * The key is the 128-bit XXH3 of the raw label bytes, seeded with the tenant: equal bytes of one
 * tenant are the same series, so labels are parsed only when the key is new or its announcement is due.
 * Two spellings of one label set (another order) are two entries, which is harmless: the partition
 * follows from the series id, and a reader resolves both references to the same series.
 *
 * Entries lie in the order in which they were first seen, and a sender names its series in the same
 * order every time. So the entry after the one found last is tried first: it is nearly always the
 * right one, and memory is read in a straight line. Only where that fails is the hash index
 * asked, which costs two reads at random places (of 150 ns each beyond the processor's caches).
 *
 * Owner:   a shard.
 * Threads: the shard's.
 * Memory:  32 bytes an entry and 4 a place of the index, up to bytes_max. Entries that no request has
 *          named in the last whole label epoch are dropped when the table would grow; if that is not
 *          enough at bytes_max, all are.
 */
#ifndef DST_SERIES_CACHE_H
#define DST_SERIES_CACHE_H

#include "base/hash.h"

struct dst_series {
    struct mrd_id128 key;
    uint32_t epoch;     /* label epoch of the reference, low bits; also when it was last used */
    uint32_t reference; /* in (shard, epoch, partition) */
    uint32_t serial;    /* of the batch that announced it first in this epoch */
    uint32_t partition;
};
_Static_assert(sizeof(struct dst_series) == 32, "two to a cache line");

struct dst_series_cache {
    struct dst_series *entries; /* in the order of their first use */
    uint32_t *index;            /* by key: number of the entry + 1; 0: free */
    size_t capacity;            /* of the index, a power of two; three quarters are used at most */
    size_t count;               /* of entries */
    size_t next;                /* the entry that is probably asked for next */
    size_t ahead;               /* prefetches since the last find */
    size_t bytes_max;
    uint64_t cleared; /* times that everything was dropped */
};

void dst_series_cache_init(struct dst_series_cache *cache, size_t bytes_max);
void dst_series_cache_fini(struct dst_series_cache *cache);

static inline bool dst_series_cache_is_at(const struct dst_series_cache *cache, size_t place,
                                          struct mrd_id128 key)
{
    return place < cache->count && mrd_id128_equal(cache->entries[place].key, key);
}

/* Asks the processor for what a coming look-up needs. Look-ups follow in the same order. */
static inline void dst_series_cache_prefetch(struct dst_series_cache *cache, struct mrd_id128 key)
{
    if (mrd_unlikely(!dst_series_cache_is_at(cache, cache->next + cache->ahead++, key))) {
        __builtin_prefetch(&cache->index[key.low & (cache->capacity - 1)]);
    }
}

/* The entry by way of the index, or NULL. */
struct dst_series *dst_series_cache_search(struct dst_series_cache *cache, struct mrd_id128 key);

/* The entry, or NULL. Valid until the next insert. */
static inline struct dst_series *dst_series_cache_find(struct dst_series_cache *cache,
                                                       struct mrd_id128 key)
{
    cache->ahead = 0;
    if (mrd_likely(dst_series_cache_is_at(cache, cache->next, key))) {
        return &cache->entries[cache->next++];
    }
    return dst_series_cache_search(cache, key);
}

/* Adds a key that is not there; `epoch` is the present one. Never NULL; entries may have moved. */
struct dst_series *dst_series_cache_insert(struct dst_series_cache *cache, struct mrd_id128 key,
                                           uint32_t epoch);

/* The key of raw label bytes. */
static inline struct mrd_id128 dst_series_key(struct mrd_bytes labels, uint64_t tenant_seed)
{
    return mrd_hash128(labels, tenant_seed);
}

#endif
