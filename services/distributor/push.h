/* push.h: the HTTP face of remote write: checks a request's head and hands it to a shard.
 *
 * POST /api/v1/push and /api/v1/write, remote write 1.0: Content-Type application/x-protobuf (none means
 * the same), Content-Encoding snappy (none means the same). Anything else is 415, so that a sender can
 * fall back. Source: the Remote-Write 1.0 specification, and 2.0 for its refusal.
 *
 * Owner:   main; outlives the HTTP server's requests.
 * Threads: handlers run on HTTP threads.
 */
#ifndef DST_PUSH_H
#define DST_PUSH_H

#include "distributor/intake.h"
#include "http/server.h"

struct dst_push {
    struct dst_intake **intakes;
    size_t intake_count;
    size_t body_size_max;
    int64_t bytes_in_flight_max;
    _Atomic int64_t bytes_in_flight; /* bodies taken and not answered */
    mrd_time_ms ack_timeout_ms;      /* from request to acknowledgement, then 503 */
    struct mrd_counter *refused_busy;
    struct mrd_counter *refused_head;
};

/* Adds the routes; before the server starts. */
void dst_push_mount(struct dst_push *push, struct mrd_http_server *server);

#endif
