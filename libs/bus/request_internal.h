/* request_internal.h: requests over NATS whose wait can be ended, which nats.c's own cannot: a query whose client has gone does not
 * wait for a server that is slow or away. Many at once take as long as one.
 *
 * One subscription of the connection, made with the first request, gets all replies; a thread of the library hands them to those who
 * wait. What was under way when the connection broke is sent again over the next one, so requests must bear that.
 *
 * Owner:   the connection.
 * Threads: any.
 * Limits:  a reply that nobody waits for any more is dropped.
 */
#ifndef MRD_BUS_REQUEST_INTERNAL_H
#define MRD_BUS_REQUEST_INTERNAL_H

#include "base/look.h"
#include "bus/connection_internal.h"

struct mrd_requests;

struct mrd_requests *mrd_requests_create(struct mrd_bus *bus);
/* Nobody may wait any more; the connection is still open. */
void mrd_requests_destroy(struct mrd_requests **requests);

struct mrd_request {
    const char *subject; /* the caller's, until the return */
    struct mrd_bytes body;
    natsMsg *reply; /* NULL before; the caller destroys it, after failures as well */
};

/* Sends all and waits for all replies. Looks every 20 ms, and ends with what `look` (NULL: none) says. MRD_E_UNAVAILABLE: not all
 * have come within timeout_ms, or nobody listens. */
MRD_MUST_CHECK enum mrd_status mrd_bus_request(struct mrd_bus *bus, struct mrd_request *requests,
                                               size_t count, int64_t timeout_ms,
                                               const struct mrd_look *look, struct mrd_error *err);

#endif
