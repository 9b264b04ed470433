#include "blockread/block_index.h"

#include <stdlib.h>

#include "base/macros.h"

struct mrd_block_index {
    struct mrd_block_brief *shared; /* of many tenants, the latest first */
    size_t shared_count;
    struct mrd_block_brief *own; /* of one tenant each: by tenant, of one the latest first */
    size_t own_count;
};

/* Rollups repeat what other blocks have, in rows of their own: they are no samples. */
static bool has_samples(const struct mrd_block_entry *entry) { return entry->resolution_ms == 0; }

/* The one tenant of a block, or NULL. */
static const struct mrd_bytes *owner_of(const struct mrd_block_entry *entry)
{
    return entry->tenants != NULL && entry->tenant_count == 1 ? &entry->tenants[0].name : NULL;
}

static int compare_latest(const void *a, const void *b)
{
    const struct mrd_block_brief *x = a;
    const struct mrd_block_brief *y = b;
    if (x->max_ms != y->max_ms) {
        return x->max_ms > y->max_ms ? -1 : 1;
    }
    return mrd_bytes_compare(x->entry->id, y->entry->id);
}

static int compare_owned(const void *a, const void *b)
{
    const struct mrd_block_brief *x = a;
    const struct mrd_block_brief *y = b;
    const int order = mrd_bytes_compare(*owner_of(x->entry), *owner_of(y->entry));
    return order != 0 ? order : compare_latest(a, b);
}

static struct mrd_block_brief brief_of(const struct mrd_block_entry *entry)
{
    return (struct mrd_block_brief){.max_ms = entry->counts.max_ms,
                                    .min_ms = entry->counts.min_ms,
                                    .sequence_first = entry->origin.first_sequence,
                                    .sequence_last = entry->origin.last_sequence,
                                    .partition = entry->origin.partition,
                                    .level = entry->level,
                                    .entry = entry};
}

struct mrd_block_index *
mrd_block_index_create(const struct mrd_block_entry *(*entry_at)(const void *entries, size_t index),
                       const void *entries, size_t count)
{
    struct mrd_block_index *index = calloc(1, sizeof(*index));
    mrd_assert(index != NULL);
    for (size_t i = 0; i < count; i++) {
        const struct mrd_block_entry *entry = entry_at(entries, i);
        size_t *list = owner_of(entry) != NULL ? &index->own_count : &index->shared_count;
        *list += has_samples(entry) ? 1 : 0;
    }
    index->own = calloc(MRD_MAX(index->own_count, (size_t)1), sizeof(*index->own));
    index->shared = calloc(MRD_MAX(index->shared_count, (size_t)1), sizeof(*index->shared));
    mrd_assert(index->own != NULL && index->shared != NULL);
    struct mrd_block_brief *own = index->own;
    struct mrd_block_brief *shared = index->shared;
    for (size_t i = 0; i < count; i++) {
        const struct mrd_block_entry *entry = entry_at(entries, i);
        if (has_samples(entry)) {
            *(owner_of(entry) != NULL ? own++ : shared++) = brief_of(entry);
        }
    }
    qsort(index->own, index->own_count, sizeof(*index->own), compare_owned);
    qsort(index->shared, index->shared_count, sizeof(*index->shared), compare_latest);
    return index;
}

void mrd_block_index_destroy(struct mrd_block_index **index)
{
    if (*index != NULL) {
        free((*index)->own);
        free((*index)->shared);
        free(*index);
        *index = NULL;
    }
}

/* The first block whose tenant comes after the one given, or is it. */
static size_t owned_from(const struct mrd_block_index *index, struct mrd_bytes tenant, bool after)
{
    size_t low = 0;
    size_t high = index->own_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = mrd_bytes_compare(*owner_of(index->own[middle].entry), tenant);
        if (order < 0 || (after && order == 0)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void mrd_block_index_lists(const struct mrd_block_index *index, struct mrd_bytes tenant,
                           struct mrd_block_list out[MRD_BLOCK_LISTS])
{
    const size_t first = owned_from(index, tenant, false);
    const size_t end = owned_from(index, tenant, true);
    out[0] = (struct mrd_block_list){index->own + first, end - first};
    out[1] = (struct mrd_block_list){index->shared, index->shared_count};
}
