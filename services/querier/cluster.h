/* cluster.h: what the querier knows of its region: connection, members, partitions.
 *
 * Owner:   main; outlives all queries.
 * Threads: immutable after main has filled it; what it points to is thread-safe.
 */
#ifndef QRY_CLUSTER_H
#define QRY_CLUSTER_H

#include "base/metrics.h"
#include "bus/members.h"
#include "bus/rpc.h"

struct qry_cluster {
    struct mrd_bus *bus;
    struct mrd_rpc_client *rpc;
    struct mrd_members *members;
    uint32_t partition_count;
    uint32_t rpc_window;             /* chunks of one question under way; 0: MRD_RPC_WINDOW */
    mrd_time_ms unavailable_wait_ms; /* how long a partition may have no serving ingester */
    struct mrd_counter *retries;     /* partitions asked for again, of another replica */
    struct mrd_counter *partial; /* partitions left out of answers that were asked to be partial */
    struct mrd_counter *selects_plain;     /* series were asked for */
    struct mrd_counter *selects_pushed;    /* states of a plan fragment were */
    struct mrd_counter *fragments_refused; /* and somebody could not give them */
};

/* The ingesters that serve `partition`: how many, and which of them (an index into the snapshot) to ask at the attempt-th try
 * from 0, in an order that spreads queries by `salt`. *out_member is untouched if there is none. */
size_t qry_cluster_replica(const struct mrd_members_snapshot *snapshot, uint32_t partition,
                           uint64_t salt, size_t attempt, size_t *out_member);

#endif
