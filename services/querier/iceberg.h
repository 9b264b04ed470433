/* iceberg.h: the Iceberg REST catalog over HTTP, under /iceberg (iceberg/rest.h says what it answers).
 *
 * The tenant is that of the query API: X-Scope-OrgID, `anonymous` without it. Requests run in the query pool, as reading a table's
 * metadata waits for the object store, and count as the tenant's queries there.
 *
 * Owner:   main; outlives the HTTP server's requests.
 * Threads: created and destroyed by main; handlers run on HTTP and pool threads.
 */
#ifndef QRY_ICEBERG_H
#define QRY_ICEBERG_H

#include "iceberg/rest.h"
#include "querier/query_pool.h"
#include "tenancy/settings.h"

struct qry_iceberg_options {
    struct qry_pool *pool;
    struct mrd_tenancy_settings *limits; /* struct qry_limits */
    const char *region;
    const struct mrd_iceberg_source *source; /* NULL: no block storage, every answer says so */
    struct mrd_metrics *metrics;
};

struct qry_iceberg;

struct qry_iceberg *qry_iceberg_create(const struct qry_iceberg_options *options);

/* Adds the routes; before the server starts. */
void qry_iceberg_mount(struct qry_iceberg *iceberg, struct mrd_http_server *server);

void qry_iceberg_destroy(struct qry_iceberg **iceberg);

#endif
