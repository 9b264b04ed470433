/* extras.h: exemplars and metadata of a tenant, gathered from all partitions.
 *
 * A series lives in one partition, so its exemplars do. Metadata of a family may come from several; the newest counts.
 *
 * Threads: the query's. Memory: the query's arena, and as much again while gathering.
 */
#ifndef QRY_EXTRAS_H
#define QRY_EXTRAS_H

#include "querier/remote_source.h"
#include "wire/query.h"

struct qry_selectors {
    const struct mrd_matcher *const *sets; /* or-ed; not none */
    const size_t *counts;
    size_t count;
};

struct qry_exemplars {
    struct qry_exemplar {
        struct mrd_labels series;
        struct mrd_exemplar exemplar;
    } * items; /* from the arena: by series, of a series by time, value, labels; none twice */
    size_t count;
};

/* Asks all partitions once per selector. May wait. */
MRD_MUST_CHECK enum mrd_status qry_exemplars_read(const struct qry_remote *remote,
                                                  const struct qry_selectors *selectors,
                                                  mrd_time_ms min_ms, mrd_time_ms max_ms,
                                                  const struct mrd_query_scope *scope,
                                                  struct qry_exemplars *out, struct mrd_error *err);

struct qry_families {
    const struct mrd_query_family *items; /* from the arena, by name, none twice */
    size_t count;
};

/* All families, or the one called `name` if that is not empty. May wait. */
MRD_MUST_CHECK enum mrd_status qry_families_read(const struct qry_remote *remote,
                                                 struct mrd_bytes name,
                                                 const struct mrd_query_scope *scope,
                                                 struct qry_families *out, struct mrd_error *err);

#endif
