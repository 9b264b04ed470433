/* push.h: the HTTP face of remote write: checks a request's head and hands it to a shard.
 *
 * POST /api/v1/push and /api/v1/write: Content-Type application/x-protobuf with proto=prometheus.WriteRequest, with no proto,
 * or none at all is remote write 1.0; with proto=io.prometheus.write.v2.Request it is 2.0. Content-Encoding snappy
 * (none means the same). Anything else is 415, so that a sender can fall back. The header
 * X-Prometheus-Remote-Write-Version decides nothing. Source: the Remote-Write 1.0 and 2.0 specifications.
 *
 * Owner:   main; outlives the HTTP server's requests.
 * Threads: handlers run on HTTP threads.
 */
#ifndef DST_PUSH_H
#define DST_PUSH_H

#include "distributor/intake.h"
#include "http/server.h"
#include "tenancy/settings.h"

struct dst_push {
    struct dst_intake **intakes;
    size_t intake_count;
    struct mrd_tenancy_settings *limits; /* struct dst_limits */
    int64_t bytes_in_flight_max;
    _Atomic int64_t bytes_in_flight; /* bodies taken and not answered */
    mrd_time_ms ack_timeout_ms;      /* from request to acknowledgement, then 503 */
    struct mrd_counter *refused_busy;
    struct mrd_counter *refused_head;
};

/* Adds the routes; before the server starts. */
void dst_push_mount(struct dst_push *push, struct mrd_http_server *server);

#endif
