/* api.h: the Prometheus HTTP API, under / and /prometheus.
 *
 * Each endpoint reads its parameters, evaluates on a pool thread, and answers in Prometheus' JSON with
 * its codes: 400 bad_data, 422 execution, 429 too many at once, 499 canceled, 503 timeout or
 * unavailable, 500 internal. docs/api.md lists all endpoints and where they differ from Prometheus'.
 * The tenant is X-Scope-OrgID, `anonymous` without it. X-Read-Consistency: strong answers only when
 * everything acknowledged before the query is in the answer. What is under way can be looked at and ended (active_views.h), and
 * what took long is logged (slow_log.h).
 *
 * Owner:   main; outlives the HTTP server's requests.
 * Threads: created and destroyed by main; handlers run on HTTP and pool threads.
 */
#ifndef QRY_API_H
#define QRY_API_H

#include "promql/engine.h"
#include "querier/blocks.h"
#include "querier/cluster.h"
#include "querier/erasures.h"
#include "querier/query_pool.h"
#include "service/service.h"
#include "tenancy/retention_rules.h"
#include "tenancy/settings.h"

enum { QRY_READ_FRAME_BYTES = 1 << 20 }; /* of a streamed remote read, Prometheus' default */

struct qry_api_options {
    const struct qry_cluster *cluster;
    struct qry_erasures *erasures;
    struct qry_blocks *blocks; /* NULL: there is no object storage, heads have all */
    struct qry_pool *pool;
    struct mrd_metrics *metrics;
    struct mrd_tenancy_settings *limits; /* struct qry_limits */
    struct mrd_retention_keeper *rules;  /* NULL: there are none */
    bool push_down;                      /* at first */
    const char *version;
    const char *instance;

    /* For status: */
    struct mrd_service *service; /* whose configuration is shown */
    mrd_time_ms started_ms;
    mrd_time_ms retention_ms; /* of the log, where there are no blocks */
    unsigned concurrency;

    struct qry_active *active; /* the API's own */
};

struct qry_api;

struct qry_api *qry_api_create(const struct qry_api_options *options);

/* Whether queries that begin from now on send plan fragments to ingesters. Any thread. */
void qry_api_set_push_down(struct qry_api *api, bool push_down);

/* Adds all routes; before the server starts. */
void qry_api_mount(struct qry_api *api, struct mrd_http_server *server);

void qry_api_destroy(struct qry_api **api);

#endif
