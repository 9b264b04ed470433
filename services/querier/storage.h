/* storage.h: object storage as the querier is configured for it: the store, its blocks, its tables. All of it is optional: where
 * objstore.* names no store, there are no blocks, and heads have all.
 *
 * The querier only reads, unless series are deleted through it (erasures.h): credentials that can get and list are enough, and a bucket is not tried
 * out by writing to it.
 *
 * Owner:   main; opened before queries, closed after them.
 * Threads: main's.
 */
#ifndef QRY_STORAGE_H
#define QRY_STORAGE_H

#include "node/node.h"
#include "objstore/settings.h"
#include "querier/blocks.h"
#include "querier/tables.h"

/* querier.block_*; objstore.* stands beside it. */
extern const struct mrd_config_table qry_storage_keys;

struct qry_storage {
    struct mrd_objstore *store;
    struct qry_blocks *blocks; /* NULL: there is no object storage */
    struct qry_tables tables;
    struct mrd_arena *arena;
    struct mrd_service_condition *known; /* of /ready: the catalog was read */
    struct mrd_members *members;         /* lent */
    mrd_time_ms stale_ms_max;
    struct mrd_gauge *stale;     /* how old a state may grow, in seconds */
    struct mrd_gauge *conflicts; /* of compactors whose grace is not longer than that */
};

/* `members` outlives it. *out is zero before, and closed in any case. Does not wait for object storage: until the catalog was read, /ready says so. */
MRD_MUST_CHECK enum mrd_status qry_storage_open(struct mrd_node *node, struct mrd_members *members,
                                                struct qry_storage *out, struct mrd_error *err);
void qry_storage_close(struct qry_storage *storage);

#endif
