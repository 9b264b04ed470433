/* block_index.h: the blocks of one state of the catalog as queries look for them: those of a tenant, the latest first, without a look at
 * the others. A catalog has many blocks, and most queries need none of them: that must cost them nothing worth naming.
 *
 * It also knows which blocks owe which erasures: have samples that are to count as not there.
 *
 * Owner:   whoever made it; entries and erasures are lent and outlive it.
 * Threads: immutable; any.
 * Memory:  some 50 bytes a block.
 */
#ifndef MRD_BLOCKREAD_BLOCK_INDEX_H
#define MRD_BLOCKREAD_BLOCK_INDEX_H

#include "block/entry.h"
#include "model/erasure.h"

/* What is asked of a block first, next to each other in memory. */
struct mrd_block_brief {
    mrd_time_ms max_ms;
    mrd_time_ms min_ms;
    uint64_t sequence_first; /* level 0 */
    uint64_t sequence_last;
    uint32_t partition;
    uint32_t level;
    const struct mrd_block_entry *entry;
};

struct mrd_block_index;

/* A block that owes an erasure, of whatever tenant. */
struct mrd_block_owing {
    struct mrd_bytes block; /* id; outlives the index */
    const struct mrd_erasure *erasure;
};

/* entry_at(entries, i) for i below count. `owing` is lent for the call, in any order. Never NULL. Cost: sorting. */
struct mrd_block_index *
mrd_block_index_create(const struct mrd_block_entry *(*entry_at)(const void *entries, size_t index),
                       const void *entries, size_t count, const struct mrd_block_owing *owing,
                       size_t owing_count);
void mrd_block_index_destroy(struct mrd_block_index **index);

/* Blocks of samples that may have something of the tenant: those that are its alone, and those of many tenants. Each list is sorted by max_ms, the
 * latest first. */
enum { MRD_BLOCK_LISTS = 2 };
struct mrd_block_list {
    const struct mrd_block_brief *items;
    size_t count;
};
void mrd_block_index_lists(const struct mrd_block_index *index, struct mrd_bytes tenant,
                           struct mrd_block_list out[MRD_BLOCK_LISTS]);

/* What a block owes, as struct mrd_block_select takes it. Cost: a search among those that owe anything. */
struct mrd_block_owed {
    const struct mrd_erasure *const *erasures;
    size_t count;
};
struct mrd_block_owed mrd_block_index_owed(const struct mrd_block_index *index,
                                           struct mrd_bytes block);

/* The tenant's rollups of all resolutions, sorted in the same way. */
struct mrd_block_list mrd_block_index_rollups(const struct mrd_block_index *index,
                                              struct mrd_bytes tenant);

#endif
