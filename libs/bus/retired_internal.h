/* retired_internal.h: a connection's subscriptions that have ended but may still be looked at by the
 * library's reading thread. subscription_internal.h says why and how they go.
 *
 * Owner:   the connection.
 * Threads: any.
 */
#ifndef MRD_BUS_RETIRED_INTERNAL_H
#define MRD_BUS_RETIRED_INTERNAL_H

#include <nats/nats.h>
#include <pthread.h>

struct mrd_retired_entry;

struct mrd_retired {
    pthread_mutex_t lock;
    struct mrd_retired_entry *first; /* guarded by the lock */
};

void mrd_retired_init(struct mrd_retired *retired);

/* Destroys what is left: the reading thread must have ended. */
void mrd_retired_fini(struct mrd_retired *retired);

/* Takes the subscription. */
void mrd_retired_add(struct mrd_retired *retired, natsSubscription *subscription);

/* Takes all that are in it, to be destroyed or put back. NULL: none. */
struct mrd_retired_entry *mrd_retired_take(struct mrd_retired *retired);
void mrd_retired_put_back(struct mrd_retired *retired, struct mrd_retired_entry *list);
void mrd_retired_destroy(struct mrd_retired_entry *list);

#endif
