/* subscription_internal.h: subscriptions that can be ended while messages for them arrive.
 *
 * nats.c before 3.7 finds a message's subscription in its table, lets go of the table's lock, copies
 * the message and only then locks the subscription: one that is unsubscribed and destroyed in
 * between is freed memory. So a subscription is *retired*: it leaves the table, then a ping goes to
 * the server and back. The answer comes through the same reading thread, so once it has come nothing
 * can know the subscription any more, and it is destroyed. Without an answer (no connection, frozen server) it
 * waits on the connection's list for the next answer, or for the connection's close.
 *
 * Threads: any, but not from within a callback of the subscription. May block for RETIRE_MS.
 */
#ifndef MRD_BUS_SUBSCRIPTION_INTERNAL_H
#define MRD_BUS_SUBSCRIPTION_INTERNAL_H

#include "bus/connection_internal.h"

/* ---- asynchronous: a thread of its own calls on_message ---- */

struct mrd_bus_subscription;

MRD_MUST_CHECK enum mrd_status mrd_bus_subscribe(struct mrd_bus *bus, const char *subject,
                                                 natsMsgHandler on_message, void *context,
                                                 struct mrd_bus_subscription **out,
                                                 struct mrd_error *err);

/* No callback runs after the return. */
void mrd_bus_unsubscribe(struct mrd_bus_subscription **subscription);

/* ---- synchronous: natsSubscription_NextMsg ---- */

/* A new unique inbox subject; buffer of MRD_BUS_INBOX_MAX bytes. */
enum { MRD_BUS_INBOX_MAX = 64 };
MRD_MUST_CHECK enum mrd_status mrd_bus_inbox(char out[MRD_BUS_INBOX_MAX], struct mrd_error *err);

/* Ends any subscription of the library's. *subscription may be NULL and is NULL afterwards. */
void mrd_bus_retire(struct mrd_bus *bus, natsSubscription **subscription);

#endif
