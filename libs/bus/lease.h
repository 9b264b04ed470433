/* lease.h: who does a piece of work, without a coordinator.
 *
 * A lease is a key in the KV bucket MRD_LEASES. Its holder writes the key anew three times per ttl; whoever else wants
 * the work looks at the key's revision, and may take it over (by compare-and-set on that revision) when it has stayed
 * the same for one ttl *by the looker's own monotonic clock*. The holder counts the ttl from before its last write was
 * sent, the looker from after it has seen it, so as long as clocks run at nearly the same speed two never
 * hold the same lease, whatever the clocks show. A holder that stood still for longer finds out at its next mrd_lease_held.
 *
 * A holder may still be asleep between that look and what it does next. So a lease saves double work; what is done
 * under it must be safe without it (idempotent work, a conditional commit), or carry the token: later holders of a key have
 * greater tokens, as long as the bucket lives. (If the NATS servers lose their storage, everybody loses the leases and tokens begin again.)
 *
 * Threads: any; leases of one struct mrd_leases share one thread that renews them.
 */
#ifndef MRD_BUS_LEASE_H
#define MRD_BUS_LEASE_H

#include "bus/connection.h"

enum {
    MRD_LEASE_TTL_MS = 10000,
    MRD_LEASE_KEY_MAX = 128,
    MRD_LEASE_SEEN_MAX = 4096, /* others' leases that are watched for standing still */
};

struct mrd_leases;
struct mrd_lease;

struct mrd_leases_options {
    const char *holder;            /* for people who look: one token, such as the instance */
    int64_t ttl_ms;                /* 0: MRD_LEASE_TTL_MS; the same in all processes */
    uint32_t replicas;             /* of the bucket, if this process creates it; 0: 1 */
    const struct mrd_clock *clock; /* NULL: the system's */
};

/* Does not wait for NATS. MRD_E_INVALID: the holder is not a token. */
MRD_MUST_CHECK enum mrd_status mrd_leases_create(struct mrd_bus *bus,
                                                 const struct mrd_leases_options *options,
                                                 struct mrd_leases **out_leases,
                                                 struct mrd_error *err);
/* No lease may be held. */
void mrd_leases_destroy(struct mrd_leases **leases);

/* Tries to become the holder of `key` (letters, digits and -_/=. ); never waits for another holder: *out_lease is
 * NULL then, ask again every quarter of a ttl or so. MRD_E_UNAVAILABLE: NATS does not answer; MRD_E_INVALID: the key. */
MRD_MUST_CHECK enum mrd_status mrd_lease_try(struct mrd_leases *leases, const char *key,
                                             struct mrd_lease **out_lease, struct mrd_error *err);

/* True while nobody else can hold it. Once false, false for ever. Cost: the clock. */
bool mrd_lease_held(const struct mrd_lease *lease);

/* Greater than those of all earlier holders of the key. */
uint64_t mrd_lease_token(const struct mrd_lease *lease);

/* Gives it up, so that others need not wait for the ttl, and frees. May wait for NATS. */
void mrd_lease_release(struct mrd_lease **lease);

#endif
