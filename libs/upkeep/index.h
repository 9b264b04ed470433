/* index.h: the blocks of level 1 and above of a state, by tenant: those of samples, and apart from them rollups. A state has them by id.
 *
 * Owner:   whoever made it; the state is lent until fini.
 * Threads: reads from any.
 * Memory:  a pointer a block. Cost: sorting them, once.
 */
#ifndef MRD_UPKEEP_INDEX_H
#define MRD_UPKEEP_INDEX_H

#include "catalog/state.h"
#include "merge/batch.h"

struct mrd_upkeep_index {
    const struct mrd_block_entry **blocks; /* of samples, by class, tenant, level and first time */
    size_t count;
    const struct mrd_block_entry **rollups; /* likewise */
    size_t rollup_count;
};

void mrd_upkeep_index_init(struct mrd_upkeep_index *index, const struct mrd_catalog_state *state);
void mrd_upkeep_index_fini(struct mrd_upkeep_index *index);

/* The tenant of a block above level 0; empty if its entry does not say. */
struct mrd_bytes mrd_upkeep_tenant_of(const struct mrd_block_entry *block);

/* The day or month that a block of level 1 or above is of: files of one merge have the same. The last window of a rollup ends when the next
 * period begins; its first may end when its own does, with what has the time of that moment. A rollup that has nothing else counts to the period before, whose last window
 * that is: it goes, cools and is freed of what rules let go with the rows of the same window that the period before has made, and nothing in it is younger than the period. */
struct mrd_merge_range mrd_upkeep_period_of(const struct mrd_block_entry *block);

/* Those of a class, tenant and level, in the order of their first times. */
struct mrd_upkeep_span {
    const struct mrd_block_entry *const *blocks;
    size_t count;
};
struct mrd_upkeep_span mrd_upkeep_index_find(const struct mrd_upkeep_index *index,
                                             struct mrd_bytes residency_class,
                                             struct mrd_bytes tenant, unsigned level);

/* Rollups likewise, of all resolutions. */
struct mrd_upkeep_span mrd_upkeep_index_rollups(const struct mrd_upkeep_index *index,
                                                struct mrd_bytes residency_class,
                                                struct mrd_bytes tenant, unsigned level);

/* The class that comes after *residency_class (empty: the first one) among those of the index. False: there is none. */
bool mrd_upkeep_index_next_class(const struct mrd_upkeep_index *index,
                                 struct mrd_bytes *residency_class);

/* Whether all samples of a block lie in the range. */
static inline bool mrd_upkeep_is_within(const struct mrd_block_entry *block,
                                        struct mrd_merge_range range)
{
    return block->counts.min_ms >= range.first_ms && block->counts.max_ms <= range.last_ms;
}

#endif
