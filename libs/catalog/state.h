/* state.h: what the catalog says at one commit: the blocks there are, how far each partition's log is built into them, where
 * the tables' metadata lies, which blocks have gone and still have files, and which erasures the blocks have still to follow.
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

#include "base/hash.h"
#include "block/entry.h"
#include "model/log_identity.h"

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

/* Partitions of which something is built, or whose log is known, in rising order. */
struct mrd_catalog_built {
    uint32_t partition;
    uint64_t sequence;
    struct mrd_log_identity log; /* that is built now; not known: of a builder that did not say */
    mrd_time_ms stored_ms;       /* when the log took the entry at `sequence`; 0: not known */
};
/* NULL if there is none. */
const struct mrd_catalog_built *mrd_catalog_built_find(const struct mrd_catalog_state *state,
                                                       uint32_t partition);
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

/* ---- erasures ---- */

/* A request to erase samples (model/erasure.h) that blocks may have samples of. `owed` are those of them that are there: readers leave out what the
 * request has of them, and they leave the catalog only in a commit that says what was done about it (mrd_catalog_settled). They are
 *   - blocks that are there when the request comes, if tenant and time allow;
 *   - blocks of level 0 that come later, built of what stands before the request in their partition's log.
 * `leaving` are blocks that are gone and whose files may have samples of it. When nothing is owed nor leaving, and the log is built past the
 * request everywhere, it can end in a receipt.
 *
 * What is asked, which has label values, lies in an object of its own (request.h): nothing of it is in the chain of commits. */
struct mrd_catalog_erasure {
    struct mrd_id128 id;
    struct mrd_bytes tenant;
    mrd_hlc hlc;
    mrd_time_ms time_min_ms; /* both included */
    mrd_time_ms time_max_ms;
    struct mrd_bytes request_key;    /* of the object */
    struct mrd_bytes request_digest; /* SHA-256 of its bytes, 64 hexadecimal digits */
    const uint64_t
        *sequences; /* where it stands in each partition's log; everything before is erased */
    uint32_t partition_count;
    mrd_time_ms since_ms; /* of the commit that brought it, its writer's clock */
    uint64_t
        changed; /* the last commit that brought it, settled a block, or built the log past it */
    mrd_time_ms changed_ms;
    uint64_t blocks;  /* that were written anew without what it has */
    uint64_t samples; /* that were left out of them; of rollups, rows */
    size_t owed_count;
    size_t leaving_count;
};

/* By id. */
size_t mrd_catalog_erasure_count(const struct mrd_catalog_state *state);
const struct mrd_catalog_erasure *mrd_catalog_erasure_at(const struct mrd_catalog_state *state,
                                                         size_t index);
/* NULL if there is none of that id that is not done. */
const struct mrd_catalog_erasure *mrd_catalog_erasure_find(const struct mrd_catalog_state *state,
                                                           struct mrd_id128 id);

/* Ids of blocks, in the order of their bytes. The erasure is one that a state has. */
struct mrd_bytes mrd_catalog_erasure_owed(const struct mrd_catalog_erasure *erasure, size_t index);
struct mrd_bytes mrd_catalog_erasure_leaving(const struct mrd_catalog_erasure *erasure,
                                             size_t index);
bool mrd_catalog_erasure_owes(const struct mrd_catalog_erasure *erasure, struct mrd_bytes block_id);

/* Whether the log is built past the request in all partitions: no further block can be owed. */
bool mrd_catalog_erasure_passed(const struct mrd_catalog_state *state,
                                const struct mrd_catalog_erasure *erasure);

/* What is left of an erasure that is done; it says nothing of what was erased but how much. */
struct mrd_catalog_receipt {
    struct mrd_id128 id;
    struct mrd_bytes tenant;
    mrd_hlc hlc;
    mrd_time_ms time_min_ms;
    mrd_time_ms time_max_ms;
    struct mrd_bytes request_digest; /* whoever has the request can show what it was */
    mrd_time_ms since_ms;
    mrd_time_ms done_ms;
    uint64_t blocks;
    uint64_t samples;
};

/* By id. */
size_t mrd_catalog_receipt_count(const struct mrd_catalog_state *state);
const struct mrd_catalog_receipt *mrd_catalog_receipt_at(const struct mrd_catalog_state *state,
                                                         size_t index);
const struct mrd_catalog_receipt *mrd_catalog_receipt_find(const struct mrd_catalog_state *state,
                                                           struct mrd_id128 id);

/* How long files stay after their block has left, as a commit has said it. Where a shorter one has taken the place of a longer one, that goes on
 * to hold until `before_until_ms`: others may still go by a state that had it. */
struct mrd_catalog_grace {
    mrd_time_ms ms;        /* 0: nobody has said */
    mrd_time_ms before_ms; /* 0: there is none */
    mrd_time_ms before_until_ms;
};
struct mrd_catalog_grace mrd_catalog_grace(const struct mrd_catalog_state *state);

/* Bytes of what it points to, shared or not. */
size_t mrd_catalog_memory(const struct mrd_catalog_state *state);

#endif
