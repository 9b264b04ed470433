/* active_views.h: what is going on, over HTTP, and ending a query. docs/api.md has the form.
 *
 *   /api/v1/status/active_queries                 the asking tenant's
 *   /api/v1/status/active_queries/ID[/cancel]     DELETE, or POST with /cancel: ends one of them
 *   /active-queries[/ID[/cancel]]                 the same for operators: all tenants', texts masked
 *
 * Answered on the HTTP thread, so also while the pool is busy and a tenant has all the queries that it may have. Each querier shows
 * its own.
 *
 * Owner:   the API.
 * Threads: handlers run on HTTP threads.
 */
#ifndef QRY_ACTIVE_VIEWS_H
#define QRY_ACTIVE_VIEWS_H

#include "querier/active.h"

struct qry_active_views;

struct qry_active_views *qry_active_views_create(struct qry_active *active, const char *instance,
                                                 struct mrd_metrics *metrics);
void qry_active_views_mount(struct qry_active_views *views, struct mrd_http_server *server);
void qry_active_views_destroy(struct qry_active_views **views);

#endif
