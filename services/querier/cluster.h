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

/* Who is to be asked for a partition. */
struct qry_replica_choice {
    uint32_t partition;
    uint64_t
        sequence_first_max; /* rather those whose heads hold the log wholly from here or before; UINT64_MAX: anybody */
    uint64_t salt;  /* spreads queries */
    size_t attempt; /* from 0 */
};

/* The ingesters that serve the partition so, or all that serve it if none says that it does: how many, and which of them (an index
 * into the snapshot) to ask. What a record says runs ahead of what a head forgets, so it may still do: the ingester itself decides
 * (struct mrd_query_partition). *out_member is untouched if there is none. */
size_t qry_cluster_replica(const struct mrd_members_snapshot *snapshot,
                           const struct qry_replica_choice *choice, size_t *out_member);

/* What every ingester that serves the partition now holds of a log: all from `first` to `last`. */
struct qry_held {
    uint64_t first; /* UINT64_MAX: that is not known, or nobody serves it */
    uint64_t last;
    uint64_t
        another; /* tag (model/log_identity.h) of the log that one of them has read, if that is another; 0: none has */
};

/* Of `log`; not known: of whatever log they have read. Sequences of another log say nothing of this one. Whoever leaves blocks out because of it
 * gives `first` along as sequence_first_max, and the log's tag, which the ingester checks. */
void qry_cluster_held(const struct mrd_members_snapshot *snapshot, uint32_t partition,
                      struct mrd_log_identity log, struct qry_held *out);

#endif
