/* http_target.h: a running system as the target of a test script: remote write 2.0 in, Prometheus' query API out.
 *
 * Each clear begins a tenant of its own, so nothing needs to be deleted and scripts may run side by side. Queries are
 * strong reads: they see all that was written.
 *
 * Threads: one at a time.
 */
#ifndef MRD_PROMQL_HTTP_TARGET_H
#define MRD_PROMQL_HTTP_TARGET_H

#include "promqltest/script_target.h"

/* Queriers by what scripts may switch. */
enum http_querier {
    HTTP_PLAIN, /* with start timestamps, as scripts begin, and nothing else */
    HTTP_DELAYED,
    HTTP_TYPED,
    HTTP_WITHOUT_STARTS,
    HTTP_QUERIERS
};

struct http_target_options {
    const char *push_url; /* of remote write */
    const char *tenants;  /* how the tenants' names begin; new for each run */
    /* What stands before /api/v1 of each kind of querier. NULL: there is none, and evaluations that want it are
     * skipped. */
    const char *query_urls[HTTP_QUERIERS];
};

/* The options are kept. */
struct script_target *http_target_create(const struct http_target_options *options);
void http_target_destroy(struct script_target **target);

#endif
