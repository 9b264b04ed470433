/* erasures.h: asking for erasures, and seeing to it that no query shows what is erased.
 *
 * A request goes into the log of every partition (model/erasure.h): that is what makes it durable, and what every reader of the log
 * applies at the same place, a replay included. Where there are blocks it is committed to their catalog after that, and must still stand
 * before what is built: else it is made anew. Then all queriers are told where it stands. From then on
 * each takes answers only of ingesters that have applied the log up to there, and reads blocks by a state of the catalog that has it, so nothing
 * that is erased shows in any query that begins later, whichever querier, ingester or replica answers it. Distributors are told
 * its stamp, so what they take in later is stamped later, and lives. Only then is the request answered.
 *
 * A querier that starts finds where the last erasures stand in the log itself, after it has begun to listen, and reads the catalog after
 * that. One that the others may have dropped meanwhile, since it stood still or was cut off, is told nothing: before it reads blocks again it
 * reads the catalog.
 *
 * Owner:   main; outlives all queries, destroyed before the cluster's bus is closed.
 * Threads: create, learn, destroy: main. The others: any.
 */
#ifndef QRY_ERASURES_H
#define QRY_ERASURES_H

#include "model/erasure.h"
#include "querier/blocks.h"
#include "querier/cluster.h"

struct qry_erasures;

struct qry_erasures_options {
    struct mrd_bus *bus;
    uint32_t partition_count;
    const char *region;
    const char *instance; /* this querier's, under which it is told */
    bool enabled;         /* requests may be made here (querier.admin_api) */
    mrd_time_ms wait_ms;  /* for log and catalog, and then for all confirmations */
    bool has_blocks;      /* object storage is configured */
    struct mrd_metrics *metrics;
};

/* Begins to listen: before this querier enters itself among the members. */
MRD_MUST_CHECK enum mrd_status qry_erasures_create(const struct qry_erasures_options *options,
                                                   struct qry_erasures **out_erasures,
                                                   struct mrd_error *err);
void qry_erasures_destroy(struct qry_erasures **erasures);

/* Finds where the last erasures stand: after this querier is among the members, before it answers queries. */
MRD_MUST_CHECK enum mrd_status qry_erasures_learn(struct qry_erasures *erasures,
                                                  struct mrd_error *err);

/* The blocks to go by, where there are any; NULL: not any more. Until they are set, no notice is confirmed. */
void qry_erasures_set_blocks(struct qry_erasures *erasures, struct qry_blocks *blocks);

/* Whether all that others have answered 204 to is known here. A query asks after it has pinned its state of the catalog. */
bool qry_erasures_in_touch(struct qry_erasures *erasures, struct mrd_members *members);

/* Reads the catalog anew, and from it where erasures stand in the log: a state that is pinned after this has all erasures of before the call. Waits. */
MRD_MUST_CHECK enum mrd_status qry_erasures_catch_up(struct qry_erasures *erasures,
                                                     struct mrd_members *members,
                                                     struct qry_blocks *blocks,
                                                     const struct mrd_query_control *control,
                                                     struct mrd_error *err);

bool qry_erasures_enabled(const struct qry_erasures *erasures);
mrd_time_ms qry_erasures_wait_ms(const struct qry_erasures *erasures);

/* What ingesters must have applied of each partition's log: *sequences (NULL: nothing) raised to where erasures stand. Leaves it alone if
 * there were none; else from the arena. */
MRD_MUST_CHECK enum mrd_status qry_erasures_floor(const struct qry_erasures *erasures,
                                                  struct mrd_arena *arena,
                                                  const uint64_t **sequences,
                                                  struct mrd_error *err);

/* Erases; id and stamp are given here, *out_id (may be NULL) is the id. MRD_OK: no query that begins from now on shows what it has. MRD_E_UNAVAILABLE, MRD_E_LIMIT: the
 * log has not taken it everywhere, or the catalog has not. MRD_E_TIMEOUT: both have it, but not everybody has confirmed. MRD_E_UNSUPPORTED: object
 * storage is not as it must be configured; nothing was done. It may be asked for again after any failure. */
MRD_MUST_CHECK enum mrd_status qry_erasures_request(struct qry_erasures *erasures,
                                                    struct mrd_members *members,
                                                    const struct mrd_erasure *erasure,
                                                    struct mrd_id128 *out_id,
                                                    struct mrd_error *err);

#endif
