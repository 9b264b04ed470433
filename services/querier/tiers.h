/* tiers.h: a query's source over heads and blocks: what heads hold, what blocks are for, who may answer.
 *
 * A query pins a state of the catalog and looks at the members once, when it begins. From both it follows which blocks it can do
 * without, and which ingesters hold enough to be asked.
 *
 * Sequences are compared within one log only: the catalog says of which one it has blocks, and each head which one it has read. Where these are
 * not the same, no block is left out, so both are counted, and every answer has a warning: the log was lost or restored, and what of it
 * was not in blocks may be missing (docs/decisions/0013-identity-of-a-log.md).
 *
 * Where the log was trimmed and no block has what it had, even in a state read after that was seen, every answer has a
 * warning. A state that is too old (blocks.h), or that may lack erasures which others have been told are done (erasures.h), is an error where blocks
 * are needed, and a warning where a partial answer was asked for: of an old one with what it has, of the other without blocks.
 *
 * Owner:   the query; the struct, the arena and what the options point to live as long as the source.
 * Threads: the query's thread.
 */
#ifndef QRY_TIERS_H
#define QRY_TIERS_H

#include "blockread/rollup_source.h"
#include "promql/tiers.h"
#include "querier/blocks.h"
#include "querier/erasures.h"
#include "querier/hiding.h"
#include "querier/remote_source.h"
#include "tenancy/retention.h"

enum { QRY_TIERS_WARNING_MAX = 400 };

/* Before which times nothing is read. */
struct qry_tiers_floors {
    const struct mrd_retention *retention; /* NULL: everything is kept */
    mrd_time_ms now_ms;
    mrd_time_ms lookback_ms;          /* of samples and rollups; INT64_MIN: none */
    struct mrd_retention_rules rules; /* hide some series before times of their own */
};
/* Of samples (resolution 0) or rollups. */
mrd_time_ms qry_tiers_floor(const struct qry_tiers_floors *floors, mrd_time_ms resolution_ms);

struct qry_tiers {
    struct qry_remote *remote;      /* its options are completed by qry_tiers_init */
    struct mrd_block_source blocks; /* fill in store, cache, pool, memory and figures before */
    struct qry_blocks_pin pin;      /* what it goes by; a zero one: there are no blocks */
    struct qry_erasures *erasures;  /* NULL: there are none to be missed */
    struct qry_tiers_floors floors; /* of rollups; those of samples are the remote's floor_ms */

    /* qry_tiers_init's */
    struct qry_hiding hiding;
    struct mrd_source remote_source;
    struct mrd_source head_source; /* of it, what is not hidden */
    struct mrd_source block_source;
    struct mrd_tiers tiers;
    struct mrd_rollup_source rollups;
    char warning[QRY_TIERS_WARNING_MAX]; /* of every select; empty: none */
    bool gap;                            /* that is what it warns of */

    /* qry_tiers_open's */
    struct qry_blocks *region;
    struct mrd_error unknown; /* of every select: no state can be had */
    struct mrd_error unsure;  /* of those that need blocks: the state may lack erasures */
    struct mrd_block_source_figures figures;
};

/* Completes the struct and gives the source over the pinned state. MRD_E_CONFLICT: some head
 * begins behind the last block of this state, so the state is older than the trimming of the log: pin a newer one and try
 * again; if the newest one will not do either, batches were lost, and `gaps_known` goes on without them, with a warning.
 * MRD_E_LIMIT from the arena. No access to storage. */
MRD_MUST_CHECK enum mrd_status qry_tiers_init(struct qry_tiers *tiers,
                                              const struct mrd_members_snapshot *members,
                                              bool gaps_known, struct mrd_arena *arena,
                                              struct mrd_source *out, struct mrd_error *err);

/* The same with the state and the members of now, refreshed where they do not go together. `remote` is filled in before; the rest is
 * made here. Waits for a refresh only, which MRD_E_CANCELED and MRD_E_TIMEOUT end. That no state can be had is MRD_E_UNAVAILABLE from
 * the source's selects. */
MRD_MUST_CHECK enum mrd_status qry_tiers_open(struct qry_tiers *tiers, struct qry_blocks *region,
                                              const struct mrd_query_scope *scope,
                                              struct mrd_source *out, struct mrd_error *err);

/* After the source's sets are closed; a struct that was never opened too, if it is zero. */
void qry_tiers_close(struct qry_tiers *tiers);

#endif
