/* block_index.h: the blocks of one state of the catalog as queries look for them: those of a tenant, the latest first, without a look at
 * the others. A catalog has many blocks, and most queries need none of them: that must cost them nothing worth naming.
 *
 * Owner:   whoever made it; entries are lent and outlive it.
 * Threads: immutable; any.
 * Memory:  some 50 bytes a block.
 */
#ifndef MRD_BLOCKREAD_BLOCK_INDEX_H
#define MRD_BLOCKREAD_BLOCK_INDEX_H

#include "block/entry.h"

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

/* entry_at(entries, i) for i below count. Never NULL. Cost: sorting. */
struct mrd_block_index *
mrd_block_index_create(const struct mrd_block_entry *(*entry_at)(const void *entries, size_t index),
                       const void *entries, size_t count);
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

/* The tenant's rollups of all resolutions, sorted in the same way. */
struct mrd_block_list mrd_block_index_rollups(const struct mrd_block_index *index,
                                              struct mrd_bytes tenant);

#endif
