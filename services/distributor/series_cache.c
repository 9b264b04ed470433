#include "distributor/series_cache.h"

#include <stdlib.h>

enum { CAPACITY_MIN = 1024 };

/* Entries that an index of that capacity serves. */
static size_t entries_of(size_t capacity) { return capacity / 4 * 3; }

static size_t bytes_of(size_t capacity)
{
    return capacity * sizeof(uint32_t) + entries_of(capacity) * sizeof(struct dst_series);
}

/* Gives both tables that capacity; the index is empty then. */
static void resize(struct dst_series_cache *cache, size_t capacity)
{
    free(cache->index);
    cache->index = calloc(capacity, sizeof(*cache->index));
    cache->entries = reallocarray(cache->entries, entries_of(capacity), sizeof(*cache->entries));
    mrd_assert(cache->index != NULL && cache->entries != NULL);
    cache->capacity = capacity;
}

void dst_series_cache_init(struct dst_series_cache *cache, size_t bytes_max)
{
    *cache = (struct dst_series_cache){.bytes_max = bytes_max};
    resize(cache, CAPACITY_MIN);
}

void dst_series_cache_fini(struct dst_series_cache *cache)
{
    free(cache->entries);
    free(cache->index);
    *cache = (struct dst_series_cache){0};
}

struct dst_series *dst_series_cache_search(struct dst_series_cache *cache, struct mrd_id128 key)
{
    const size_t mask = cache->capacity - 1;
    for (size_t at = key.low & mask; cache->index[at] != 0; at = (at + 1) & mask) {
        const size_t place = cache->index[at] - 1;
        if (dst_series_cache_is_at(cache, place, key)) {
            cache->next = place + 1;
            return &cache->entries[place];
        }
    }
    return NULL;
}

/* Enters entry `place`, whose key is not there. */
static void index_put(struct dst_series_cache *cache, size_t place)
{
    const size_t mask = cache->capacity - 1;
    size_t at = cache->entries[place].key.low & mask;
    while (cache->index[at] != 0) {
        at = (at + 1) & mask;
    }
    cache->index[at] = (uint32_t)place + 1;
}

/* Moves what was used in this label epoch or the last to the front, in order. */
static void drop_unused(struct dst_series_cache *cache, uint32_t epoch)
{
    size_t count = 0;
    for (size_t i = 0; i < cache->count; i++) {
        if (epoch - cache->entries[i].epoch <= 1) {
            cache->entries[count++] = cache->entries[i];
        }
    }
    cache->count = count;
}

static void make_room(struct dst_series_cache *cache, uint32_t epoch)
{
    size_t capacity = cache->capacity;
    drop_unused(cache, epoch);
    if (cache->count * 2 >= capacity) {
        if (bytes_of(capacity * 2) <= cache->bytes_max && capacity * 2 <= UINT32_MAX) {
            capacity *= 2;
        } else {
            cache->count = 0;
            cache->cleared++;
        }
    }
    resize(cache, capacity);
    for (size_t i = 0; i < cache->count; i++) {
        index_put(cache, i);
    }
    cache->next = cache->count;
}

struct dst_series *dst_series_cache_insert(struct dst_series_cache *cache, struct mrd_id128 key,
                                           uint32_t epoch)
{
    if (cache->count == entries_of(cache->capacity)) {
        make_room(cache, epoch);
    }
    struct dst_series *series = &cache->entries[cache->count];
    *series = (struct dst_series){.key = key, .epoch = epoch};
    index_put(cache, cache->count);
    cache->next = ++cache->count;
    return series;
}
