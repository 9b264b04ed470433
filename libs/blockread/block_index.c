#include "blockread/block_index.h"

#include <stdlib.h>

#include "base/macros.h"

enum { SHARED, OWN, ROLLUPS, KINDS };

struct mrd_block_index {
    struct mrd_bytes *owing; /* ids, sorted: a block that owes several is there as often */
    const struct mrd_erasure **owed;
    size_t owing_count;
    struct list {
        struct mrd_block_brief *items;
        size_t count;
    } lists
        [KINDS]; /* of many tenants, the latest first; of one each: by tenant, of one the latest first; likewise rollups */
};

/* The one tenant of a block, or NULL. */
static const struct mrd_bytes *owner_of(const struct mrd_block_entry *entry)
{
    return entry->tenants != NULL && entry->tenant_count == 1 ? &entry->tenants[0].name : NULL;
}

/* Rollups repeat what other blocks have, in rows of their own: they are no samples. */
static size_t kind_of(const struct mrd_block_entry *entry)
{
    if (owner_of(entry) == NULL) {
        return entry->resolution_ms == 0 ? SHARED : KINDS; /* a rollup is of one tenant */
    }
    return entry->resolution_ms == 0 ? OWN : ROLLUPS;
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

static int compare_owing(const void *a, const void *b)
{
    const struct mrd_block_owing *x = a;
    const struct mrd_block_owing *y = b;
    return mrd_bytes_compare(x->block, y->block);
}

static void take_owing(struct mrd_block_index *index, const struct mrd_block_owing *owing,
                       size_t count)
{
    if (count == 0) {
        return;
    }
    struct mrd_block_owing *sorted = calloc(count, sizeof(*sorted));
    index->owing = calloc(count, sizeof(*index->owing));
    index->owed = calloc(count, sizeof(struct mrd_erasure *));
    mrd_assert(sorted != NULL && index->owing != NULL && index->owed != NULL);
    memcpy(sorted, owing, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), compare_owing);
    for (size_t i = 0; i < count; i++) {
        index->owing[i] = sorted[i].block;
        index->owed[i] = sorted[i].erasure;
    }
    index->owing_count = count;
    free(sorted);
}

struct mrd_block_index *
mrd_block_index_create(const struct mrd_block_entry *(*entry_at)(const void *entries, size_t index),
                       const void *entries, size_t count, const struct mrd_block_owing *owing,
                       size_t owing_count)
{
    struct mrd_block_index *index = calloc(1, sizeof(*index));
    size_t counts[KINDS + 1] = {0};
    mrd_assert(index != NULL);
    take_owing(index, owing, owing_count);
    for (size_t i = 0; i < count; i++) {
        counts[kind_of(entry_at(entries, i))]++;
    }
    for (size_t kind = 0; kind < KINDS; kind++) {
        index->lists[kind].items =
            calloc(MRD_MAX(counts[kind], (size_t)1), sizeof(struct mrd_block_brief));
        mrd_assert(index->lists[kind].items != NULL);
    }
    for (size_t i = 0; i < count; i++) {
        const struct mrd_block_entry *entry = entry_at(entries, i);
        const size_t kind = kind_of(entry);
        if (kind < KINDS) {
            index->lists[kind].items[index->lists[kind].count++] = brief_of(entry);
        }
    }
    for (size_t kind = 0; kind < KINDS; kind++) {
        qsort(index->lists[kind].items, index->lists[kind].count, sizeof(struct mrd_block_brief),
              kind == SHARED ? compare_latest : compare_owned);
    }
    return index;
}

void mrd_block_index_destroy(struct mrd_block_index **index)
{
    if (*index != NULL) {
        for (size_t kind = 0; kind < KINDS; kind++) {
            free((*index)->lists[kind].items);
        }
        free((*index)->owing);
        free((*index)->owed);
        free(*index);
        *index = NULL;
    }
}

/* The first block whose tenant comes after the one given, or is it. */
static size_t owned_from(const struct list *list, struct mrd_bytes tenant, bool after)
{
    size_t low = 0;
    size_t high = list->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = mrd_bytes_compare(*owner_of(list->items[middle].entry), tenant);
        if (order < 0 || (after && order == 0)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct mrd_block_list owned_by(const struct list *list, struct mrd_bytes tenant)
{
    const size_t first = owned_from(list, tenant, false);
    return (struct mrd_block_list){list->items + first, owned_from(list, tenant, true) - first};
}

void mrd_block_index_lists(const struct mrd_block_index *index, struct mrd_bytes tenant,
                           struct mrd_block_list out[MRD_BLOCK_LISTS])
{
    out[0] = owned_by(&index->lists[OWN], tenant);
    out[1] = (struct mrd_block_list){index->lists[SHARED].items, index->lists[SHARED].count};
}

struct mrd_block_list mrd_block_index_rollups(const struct mrd_block_index *index,
                                              struct mrd_bytes tenant)
{
    return owned_by(&index->lists[ROLLUPS], tenant);
}

/* The first place whose block comes after the one given, or is it. */
static size_t owing_from(const struct mrd_block_index *index, struct mrd_bytes block, bool after)
{
    size_t low = 0;
    size_t high = index->owing_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = mrd_bytes_compare(index->owing[middle], block);
        if (order < 0 || (after && order == 0)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct mrd_block_owed mrd_block_index_owed(const struct mrd_block_index *index,
                                           struct mrd_bytes block)
{
    if (index->owing_count == 0) {
        return (struct mrd_block_owed){.count = 0};
    }
    const size_t first = owing_from(index, block, false);
    return (struct mrd_block_owed){index->owed + first, owing_from(index, block, true) - first};
}
