/* blocks.h: the region's blocks as the querier has them: object storage, the catalog as it was read last, and what reading blocks
 * needs.
 *
 * A thread reads what was committed to the catalog since, every refresh_ms and when it is asked to. Object storage may be
 * away: then the last state stays in force and grows old, which stale_ms_max bounds, and the grace that the state itself says (less a part of 24):
 * files of blocks that left the catalog are deleted after it, so what an old state names is still there. Object storage may be away at the
 * start: then there is no state yet, and the thread goes on trying.
 *
 * A state is in force with the requests to erase that its blocks owe, which are read with it: if one cannot be, the state before stays.
 *
 * Owner:   main; created before queries, destroyed after them.
 * Threads: any.
 * Memory:  the catalog's states, the cache's, and per query what its block source takes (blockread/block_source.h).
 */
#ifndef QRY_BLOCKS_H
#define QRY_BLOCKS_H

#include "blockread/block_source.h"
#include "catalog/request.h"

struct qry_blocks_options {
    struct mrd_objstore *store; /* lent, outlives all */
    const char *writer;         /* this process' name, for its commits */
    const char *cache_folder;   /* NULL: none */
    size_t cache_memory_bytes_max;
    uint64_t cache_folder_bytes_max;
    unsigned reads; /* of blocks at once, each with a thread */
    mrd_time_ms refresh_ms;
    mrd_time_ms stale_ms_max;
    uint32_t partition_count;
    const struct mrd_clock *clock; /* NULL: the system's; monotonic time only */
    struct mrd_metrics *metrics;
    /* Told when reading the catalog begins to fail and when it works again (why: NULL), and the first time in any case. `known`: there
     * is a state. On the blocks' thread. */
    void (*on_change)(void *context, bool known, const struct mrd_error *why);
    /* After each reading, however it ended, with the state in force, if there is one. Likewise. May be NULL. */
    void (*on_read)(void *context, const struct mrd_catalog_state *state);
    void *context;
};

struct qry_blocks;

/* Does not wait for object storage. */
MRD_MUST_CHECK enum mrd_status qry_blocks_create(const struct qry_blocks_options *options,
                                                 struct qry_blocks **out, struct mrd_error *err);
/* Cancels a call to object storage that is under way. No query uses it any more. */
void qry_blocks_destroy(struct qry_blocks **blocks);

/* A pinned state, its blocks by tenant, and how long ago it was read. */
struct qry_blocks_view;
struct qry_blocks_pin {
    struct qry_blocks_view *view;
    const struct mrd_catalog_state *state;
    const struct mrd_block_index *index;
    mrd_time_ms age_ms;
    bool stale; /* older than qry_blocks_stale_ms */
};

/* MRD_E_UNAVAILABLE: the catalog was never read, with the reason. Does not wait. *out is to be unpinned. */
MRD_MUST_CHECK enum mrd_status qry_blocks_pin(struct qry_blocks *blocks, struct qry_blocks_pin *out,
                                              struct mrd_error *err);

void qry_blocks_unpin(struct qry_blocks_pin *pin); /* which may be zero */

/* How old a state may grow by which queries go: `stale_ms_max`, or less by what the catalog's state says. */
mrd_time_ms qry_blocks_stale_ms(const struct mrd_catalog_state *state, mrd_time_ms stale_ms_max);

/* Waits for a refresh that begins after this call, and says how it ended; many callers share one. */
MRD_MUST_CHECK enum mrd_status qry_blocks_refresh(struct qry_blocks *blocks,
                                                  const struct mrd_query_control *control,
                                                  struct mrd_error *err);

/* MRD_OK: the state in force has commit `number`, or a later one. Else MRD_E_UNAVAILABLE says which one it is; a refresh was asked for.
 * Does not wait. */
MRD_MUST_CHECK enum mrd_status qry_blocks_reach(struct qry_blocks *blocks, uint64_t number,
                                                struct mrd_error *err);

/* Commits (mrd_catalog_commit), and waits until the state in force has it; *out_number is that state's. MRD_E_UNAVAILABLE before the catalog was
 * read too: then nothing is committed. */
MRD_MUST_CHECK enum mrd_status qry_blocks_commit(struct qry_blocks *blocks,
                                                 const struct mrd_catalog_change *change,
                                                 const struct mrd_query_control *control,
                                                 uint64_t *out_number, struct mrd_error *err);

/* Where blocks are kept. */
struct mrd_objstore *qry_blocks_store(const struct qry_blocks *blocks);

/* ---- gaps: what the log has lost before it was built into blocks ---- */

/* Remembers that a state, refreshed after some head had said that it begins at `first`, ends before that: further queries need
 * not look again. */
void qry_blocks_gap_confirm(struct qry_blocks *blocks, uint32_t partition, uint64_t first);
bool qry_blocks_gap_known(const struct qry_blocks *blocks, uint32_t partition, uint64_t first);

/* The same of a log (its tag) that some head has read and that is not the one that the state has blocks of. */
void qry_blocks_log_confirm(struct qry_blocks *blocks, uint32_t partition, uint64_t tag);
bool qry_blocks_log_known(const struct qry_blocks *blocks, uint32_t partition, uint64_t tag);

/* ---- for a query ---- */

/* Fills in the options that are the same for all queries. */
void qry_blocks_source(const struct qry_blocks *blocks, struct mrd_block_source_options *out);

/* Adds what a query has come to to the metrics. */
void qry_blocks_count(const struct qry_blocks *blocks,
                      const struct mrd_block_source_figures *figures, bool gap);

#endif
