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

struct http_target_options {
    const char *push_url;  /* of remote write */
    const char *query_url; /* what stands before /api/v1 */
    const char *tenants;   /* how the tenants' names begin; new for each run */
    /* What the queriers are set to. Evaluations that want it otherwise are skipped. */
    bool delayed_name_removal;
    bool type_and_unit_labels;
};

/* The options are kept. */
struct script_target *http_target_create(const struct http_target_options *options);
void http_target_destroy(struct script_target **target);

#endif
