/* link.h: direct connections between an rpc client and an rpc server, beside NATS.
 *
 * A message over NATS costs two hops and the wake-ups of nats-server's threads; a link is one TCP connection. The server
 * tells its address and a secret in its member record (bus/members.h): whoever may read that may ask it over NATS
 * as well. Both sides prove that they know the secret without sending it (HMAC-SHA256 over both sides' nonces); nothing is
 * encrypted. What goes over a link is what docs/formats/rpc.md says.
 *
 * A link is an addition: whoever has none, or cannot open one, asks over NATS. */
#ifndef MRD_BUS_LINK_H
#define MRD_BUS_LINK_H

#include "base/metrics.h"
#include "bus/connection.h"

enum { MRD_LINK_SECRET_BYTES = 32, MRD_LINK_ADDRESS_MAX = 64 };

/* Where a server takes links. */
struct mrd_link {
    char address[MRD_LINK_ADDRESS_MAX];    /* host:port or [host]:port; empty: nowhere */
    uint8_t secret[MRD_LINK_SECRET_BYTES]; /* of this process; never logged, never on a link */
};

/* ---- the server's end: a bound socket, before the server that answers on it ---- */

struct mrd_link_listener;

struct mrd_link_listener_options {
    const char *
        listen; /* host:port. Host "auto": the address from which this process reaches NATS; port 0: a
                            * free one */
    const char *
        advertise; /* host:port that others are told, port 0: the bound one; NULL or empty: the bound
                            * address, and for a wildcard that of "auto" */
    uint32_t connections_max;    /* 0: 256. Further ones are closed at once, and ask over NATS */
    struct mrd_gauge *open;      /* connections; NULL: not counted, and so the next */
    struct mrd_counter *refused; /* connections that failed to prove themselves, or were too many */
};

/* Binds and makes the secret. Waits for `bus` to be connected where an address is to be found out. */
MRD_MUST_CHECK enum mrd_status mrd_link_listen(struct mrd_bus *bus,
                                               const struct mrd_link_listener_options *options,
                                               struct mrd_link_listener **out_listener,
                                               struct mrd_error *err);
const struct mrd_link *mrd_link_listener_address(const struct mrd_link_listener *listener);
void mrd_link_listener_destroy(struct mrd_link_listener **listener);

#endif
