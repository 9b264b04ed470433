/* cardinality.h: how many series of a tenant have which label values, over all partitions.
 *
 * Figures are those of the ingesters' heads: series that are empty and not yet removed count. A series
 * lies in one partition, so counts of series add up exactly.
 */
#ifndef QRY_CARDINALITY_H
#define QRY_CARDINALITY_H

#include "querier/remote_source.h"

struct qry_count {
    struct mrd_bytes name;
    uint64_t count;
};

struct qry_counts {
    const struct qry_count *items; /* from the arena, sorted by name, none twice */
    size_t count;
};

struct qry_cardinality {
    struct qry_counts values; /* of the label asked for: series with each */
    struct qry_counts names;  /* series with each label */
    uint64_t series;          /* of the tenant */
    /* Of the metric name only: the tenant's chunks, oldest and newest time (INT64_MAX and INT64_MIN without any). */
    uint64_t chunks;
    mrd_time_ms time_min_ms;
    mrd_time_ms time_max_ms;
};

/* One question to every partition. May wait. */
MRD_MUST_CHECK enum mrd_status qry_cardinality_read(const struct qry_remote *remote,
                                                    struct mrd_bytes label,
                                                    const struct mrd_query_scope *scope,
                                                    struct qry_cardinality *out,
                                                    struct mrd_error *err);

#endif
