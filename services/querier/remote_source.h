/* remote_source.h: the engine's source over the region's ingesters.
 *
 * Each select is one fan-out to all partitions (a series lives in exactly one of them). Series come
 * partition by partition, chunks are decoded as they arrive. When a replica fails in the middle of its
 * answer, the next one answers from the start and what was already yielded is left out by the series'
 * hash.
 *
 * A plan fragment is one fan-out likewise: each partition's states are gathered whole, and forgotten when its replica
 * changes. Where an ingester does not run it (it is older, its memory is too small, a limit is met), the partitions
 * that are left are selected and the fragment is run here, so the answer, or the error, is that of the plain plan. An error of
 * the query itself (MRD_E_INVALID) is the same either way, and final.
 *
 * Owner:   the query; the context lives as long as its source.
 * Threads: the query's thread.
 * Memory:  per fragment: one partition's states, at most what is left of the query's memory; as much again and its
 *          operators' where it is run here. Per select: one series' columns, a hash per series yielded, and the rpc windows. The histograms of one
 *          series take at most a quarter of the query's memory.
 */
#ifndef QRY_REMOTE_SOURCE_H
#define QRY_REMOTE_SOURCE_H

#include "promql/source.h"
#include "querier/cluster.h"

struct qry_remote_options {
    const struct qry_cluster *cluster;
    struct mrd_bytes tenant;
    const uint64_t *sequences_min;       /* per partition, for strong reads; NULL: as it is */
    const uint64_t *sequences_first_max; /* per partition: fanout.h; NULL: all ingesters will do */
    const uint64_t *logs;                /* per partition, whose sequences these are: fanout.h */
    const struct mrd_log_mark *marks;    /* likewise */
    uint64_t salt;                       /* spreads queries over replicas */
    bool
        in_order; /* series are merged with those of blocks: a replica that takes over yields none before those that came */
    bool push_down;     /* have ingesters aggregate what they can */
    bool partial;       /* leave out partitions nobody serves, with a warning */
    size_t samples_max; /* of one select, 0: none; 16 bytes of a histogram count as one */
    size_t series_max;  /* of one select, 0: none */
    mrd_time_ms
        floor_ms; /* nothing before it is read (querier.lookback_max); INT64_MIN: no floor */
};

/* The source's context; fill in the options. */
struct qry_remote {
    struct qry_remote_options options;
};

/* A source over `remote`, which outlives it. */
struct mrd_source qry_remote_source(struct qry_remote *remote);

/* The last sequence of every partition's log now, and the logs' tags, from the query's arena: what a strong read waits
 * for. MRD_E_UNAVAILABLE if the log cannot be asked. */
MRD_MUST_CHECK enum mrd_status qry_remote_log_end(const struct qry_cluster *cluster,
                                                  const struct mrd_query_control *control,
                                                  struct mrd_arena *arena,
                                                  const uint64_t **out_sequences,
                                                  const uint64_t **out_logs, struct mrd_error *err);

#endif
