/* erasures.h: asking for erasures, and seeing to it that no query shows what is erased.
 *
 * A request goes into the log of every partition (model/erasure.h): that is what makes it durable, and what every reader of the log
 * applies at the same place, a replay included. Then all queriers are told where it stands. From then on
 * each takes answers only of ingesters that have applied the log up to there, so nothing that is erased shows in
 * any query that begins later, whichever querier, ingester or replica answers it. Distributors are told
 * its stamp, so what they take in later is stamped later, and lives. Only then is the request answered.
 *
 * A querier that starts finds where the last erasures stand in the log itself, after it has begun to listen.
 *
 * Owner:   main; outlives all queries, destroyed before the cluster's bus is closed.
 * Threads: create, learn, destroy: main. The others: any.
 */
#ifndef QRY_ERASURES_H
#define QRY_ERASURES_H

#include "model/erasure.h"
#include "querier/cluster.h"

struct qry_erasures;

struct qry_erasures_options {
    struct mrd_bus *bus;
    uint32_t partition_count;
    const char *region;
    const char *instance; /* this querier's, under which it is told */
    bool enabled;         /* requests may be made here (querier.admin_api) */
    mrd_time_ms wait_ms;  /* for the log, and then for all confirmations */
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

bool qry_erasures_enabled(const struct qry_erasures *erasures);

/* What ingesters must have applied of each partition's log: *sequences (NULL: nothing) raised to where erasures stand. Leaves it alone if
 * there were none; else from the arena. */
MRD_MUST_CHECK enum mrd_status qry_erasures_floor(const struct qry_erasures *erasures,
                                                  struct mrd_arena *arena,
                                                  const uint64_t **sequences,
                                                  struct mrd_error *err);

/* Erases; id and stamp are given here. MRD_OK: no query that begins from now on shows what it has. MRD_E_UNAVAILABLE, MRD_E_LIMIT: the
 * log has not taken it everywhere. MRD_E_TIMEOUT: it is in the log, but not everybody has confirmed. It may be asked for again
 * after any failure. */
MRD_MUST_CHECK enum mrd_status qry_erasures_request(struct qry_erasures *erasures,
                                                    struct mrd_members *members,
                                                    const struct mrd_erasure *erasure,
                                                    struct mrd_error *err);

#endif
