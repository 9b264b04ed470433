/* tiers.h: a query's source over heads and blocks: what heads hold, what blocks are for, who may answer.
 *
 * A query pins a state of the catalog and looks at the members once, when it begins. From both it follows which blocks it can do
 * without, and which ingesters hold enough to be asked.
 *
 * Owner:   the query; the struct, the arena and what the options point to live as long as the source.
 * Threads: the query's thread.
 */
#ifndef QRY_TIERS_H
#define QRY_TIERS_H

#include "blockread/block_source.h"
#include "promql/tiers.h"
#include "querier/remote_source.h"

/* A pinned state of the catalog. */
struct qry_block_view {
    const struct mrd_block_entry *entries;
    size_t entry_count;
    /* Per partition: the first sequence of the log that no block of this state has; 0: none has been built. */
    const uint64_t *sequences_next;
};

struct qry_tiers {
    struct qry_remote *remote;      /* its options are completed by qry_tiers_init */
    struct mrd_block_source blocks; /* fill in store, cache, pool, memory and metrics before */

    /* qry_tiers_init's */
    struct mrd_source head_source;
    struct mrd_source block_source;
    struct mrd_tiers tiers;
};

/* Completes the struct and gives the source. MRD_E_CONFLICT: some head begins behind the last block of this state, so the state is older
 * than the trimming of the log: pin a newer one and try again; if the newest one will not do either, batches were lost, which
 * whoever trims must have counted, and `gaps_known` goes on without them. MRD_E_LIMIT from the arena. No access to storage. */
MRD_MUST_CHECK enum mrd_status qry_tiers_init(struct qry_tiers *tiers,
                                              const struct mrd_members_snapshot *members,
                                              const struct qry_block_view *view, bool gaps_known,
                                              struct mrd_arena *arena, struct mrd_source *out,
                                              struct mrd_error *err);

#endif
