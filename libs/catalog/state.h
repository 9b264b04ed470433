/* state.h: what the catalog says at one commit: the blocks there are, how far each partition's log is built into them, where
 * the tables' metadata lies, and which blocks have gone and still have files.
 *
 * A state never changes. A reader that holds one sees the same blocks until it lets go, whatever is committed
 * meanwhile; files of blocks that leave stay for the grace of mrd_catalog_sweep, so a query finds them as long as it
 * takes less than that.
 *
 * Owner:   reference-counted; whoever got one by mrd_catalog_pin unpins it. Views into it live as long.
 * Threads: any, all at once.
 * Memory:  blocks, tables and gone blocks are shared by all states that have them; a state of its own is some pointers.
 */
#ifndef MRD_CATALOG_STATE_H
#define MRD_CATALOG_STATE_H

#include "block/entry.h"

struct mrd_catalog_state;

struct mrd_catalog_state *mrd_catalog_state_hold(struct mrd_catalog_state *state);
/* Sets *state to NULL, which it may be. */
void mrd_catalog_unpin(struct mrd_catalog_state **state);

/* The number of the commit; 0: nothing was ever committed. */
uint64_t mrd_catalog_number(const struct mrd_catalog_state *state);

/* Blocks by id, in the order of their bytes. */
size_t mrd_catalog_block_count(const struct mrd_catalog_state *state);
const struct mrd_block_entry *mrd_catalog_block(const struct mrd_catalog_state *state,
                                                size_t index);
/* NULL if there is none of that id. */
const struct mrd_block_entry *mrd_catalog_find(const struct mrd_catalog_state *state,
                                               struct mrd_bytes id);

/* The last sequence of the partition's log that is in blocks; 0: none. */
uint64_t mrd_catalog_built(const struct mrd_catalog_state *state, uint32_t partition);

/* Partitions of which something is built, in rising order. */
struct mrd_catalog_built {
    uint32_t partition;
    uint64_t sequence;
};
const struct mrd_catalog_built *mrd_catalog_builts(const struct mrd_catalog_state *state,
                                                   size_t *out_count);

/* Key of the table's current metadata; empty if there is no such table. */
struct mrd_bytes mrd_catalog_table(const struct mrd_catalog_state *state, struct mrd_bytes tenant,
                                   struct mrd_bytes name);

/* Tables by tenant, then name. */
struct mrd_catalog_table {
    struct mrd_bytes tenant;
    struct mrd_bytes name;
    struct mrd_bytes metadata_key;
};
size_t mrd_catalog_table_count(const struct mrd_catalog_state *state);
const struct mrd_catalog_table *mrd_catalog_table_at(const struct mrd_catalog_state *state,
                                                     size_t index);

/* Blocks that have left and whose files are not swept yet, by id. */
struct mrd_catalog_gone {
    struct mrd_bytes id;
    struct mrd_bytes data_key;
    struct mrd_bytes sidecar_key;
    mrd_time_ms since_ms; /* of the commit that removed it, its writer's clock */
};
size_t mrd_catalog_gone_count(const struct mrd_catalog_state *state);
const struct mrd_catalog_gone *mrd_catalog_gone_at(const struct mrd_catalog_state *state,
                                                   size_t index);

/* Bytes of what it points to, shared or not. */
size_t mrd_catalog_memory(const struct mrd_catalog_state *state);

#endif
