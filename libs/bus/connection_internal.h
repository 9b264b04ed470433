/* connection_internal.h: what the other parts of bus need of a connection, nats.c included. */
#ifndef MRD_BUS_CONNECTION_INTERNAL_H
#define MRD_BUS_CONNECTION_INTERNAL_H

#include <nats/nats.h>
#include <pthread.h>

#include "bus/connection.h"
#include "bus/retired_internal.h"

natsConnection *mrd_bus_nats(struct mrd_bus *bus);

struct mrd_retired *mrd_bus_retired(struct mrd_bus *bus);
struct mrd_requests *mrd_bus_requests(struct mrd_bus *bus);

/* The status that a caller can act on: away or slow is MRD_E_UNAVAILABLE, and so on. */
enum mrd_status mrd_bus_status_of(natsStatus status);

/* Fills err with the text, nats.c's words and, if not 0, JetStream's error code. */
enum mrd_status mrd_bus_fail(struct mrd_error *err, natsStatus status, int js_code,
                             const char *format, ...) MRD_PRINTF(4, 5);

/* A URL list without users and passwords, for texts; the caller frees it. */
char *mrd_bus_urls_shown(const char *urls);

/* A JetStream context whose calls wait so long; the caller destroys it. */
MRD_MUST_CHECK enum mrd_status mrd_bus_jetstream(struct mrd_bus *bus, int64_t timeout_ms,
                                                 jsCtx **out, struct mrd_error *err);

/* One subject token: letters, digits, '-' and '_'. */
bool mrd_bus_token_valid(const char *text, size_t size_max);

#endif
