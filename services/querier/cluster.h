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
    mrd_time_ms unavailable_wait_ms; /* how long a partition may have no serving ingester */
    struct mrd_counter *retries;     /* calls repeated on another replica */
    struct mrd_counter *partial; /* partitions left out of answers that were asked to be partial */
};

enum { QRY_REPLICAS_MAX = 16 };
struct qry_replicas {
    char names[QRY_REPLICAS_MAX][MRD_MEMBER_TEXT_MAX];
    size_t count;
};

/* The ingesters that serve `partition` now, in an order that spreads queries by `salt`. */
void qry_cluster_replicas(const struct qry_cluster *cluster, uint32_t partition, uint64_t salt,
                          struct qry_replicas *out);

#endif
