#include "distributor/series_cache.h"

#include <stdlib.h>

enum { CAPACITY_MIN = 1024 };

static struct dst_series *slots_create(size_t capacity)
{
    struct dst_series *slots = calloc(capacity, sizeof(*slots));
    mrd_assert(slots != NULL);
    return slots;
}

void dst_series_cache_init(struct dst_series_cache *cache, size_t bytes_max)
{
    *cache = (struct dst_series_cache){.capacity = CAPACITY_MIN, .bytes_max = bytes_max};
    cache->slots = slots_create(cache->capacity);
}

void dst_series_cache_fini(struct dst_series_cache *cache)
{
    free(cache->slots);
    *cache = (struct dst_series_cache){0};
}

/* The free slot for a key that is not in the table. */
static struct dst_series *free_slot(struct dst_series *slots, size_t capacity, struct mrd_id128 key)
{
    size_t at = key.low & (capacity - 1);
    while (slots[at].key.low != 0 || slots[at].key.high != 0) {
        at = (at + 1) & (capacity - 1);
    }
    return &slots[at];
}

static bool is_live(const struct dst_series *slot, uint32_t epoch)
{
    return (slot->key.low != 0 || slot->key.high != 0) && epoch - slot->epoch <= 1;
}

/* Moves what was used in this label epoch or the last into a new table of that capacity. */
static void rebuild(struct dst_series_cache *cache, size_t capacity, uint32_t epoch)
{
    struct dst_series *slots = slots_create(capacity);
    size_t count = 0;
    for (size_t i = 0; i < cache->capacity; i++) {
        if (is_live(&cache->slots[i], epoch)) {
            *free_slot(slots, capacity, cache->slots[i].key) = cache->slots[i];
            count++;
        }
    }
    free(cache->slots);
    cache->slots = slots;
    cache->capacity = capacity;
    cache->count = count;
}

static void make_room(struct dst_series_cache *cache, uint32_t epoch)
{
    size_t live = 0;
    for (size_t i = 0; i < cache->capacity; i++) {
        live += is_live(&cache->slots[i], epoch);
    }
    if (live * 2 < cache->capacity) {
        rebuild(cache, cache->capacity, epoch);
    } else if (cache->capacity * 2 * sizeof(*cache->slots) <= cache->bytes_max) {
        rebuild(cache, cache->capacity * 2, epoch);
    } else {
        memset(cache->slots, 0, cache->capacity * sizeof(*cache->slots));
        cache->count = 0;
        cache->cleared++;
    }
}

struct dst_series *dst_series_cache_insert(struct dst_series_cache *cache, struct mrd_id128 key,
                                           uint32_t epoch)
{
    if ((cache->count + 1) * 4 > cache->capacity * 3) {
        make_room(cache, epoch);
    }
    struct dst_series *slot = free_slot(cache->slots, cache->capacity, key);
    *slot = (struct dst_series){.key = key, .epoch = epoch};
    cache->count++;
    return slot;
}
