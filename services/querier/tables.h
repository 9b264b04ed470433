/* tables.h: the tables of the catalog of blocks, for the Iceberg REST catalog (iceberg/rest.h).
 *
 * Answers are of the state that was read last (blocks.h), which a commit may be ahead of by querier.block_refresh.
 *
 * Owner:   main; what it points to outlives it.
 * Threads: any.
 */
#ifndef QRY_TABLES_H
#define QRY_TABLES_H

#include "iceberg/place.h"
#include "iceberg/rest.h"
#include "querier/blocks.h"

struct qry_tables {
    struct mrd_iceberg_store place; /* fill in before */
    struct qry_blocks *blocks;
    struct mrd_objstore *store;
    struct mrd_iceberg_source functions;
    const struct mrd_iceberg_source *source; /* NULL before qry_tables_init: there are none */
};

/* The struct stays where it is. */
void qry_tables_init(struct qry_tables *tables, struct qry_blocks *blocks,
                     struct mrd_objstore *store);

#endif
