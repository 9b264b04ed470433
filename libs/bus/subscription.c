#include "bus/subscription_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/threads.h"

enum { RETIRE_MS = 250 };

/* ---- retiring ---- */

void mrd_bus_retire(struct mrd_bus *bus, natsSubscription **subscription)
{
    if (*subscription == NULL) {
        return;
    }
    natsSubscription *nats = MRD_MOVE(*subscription);
    (void)natsSubscription_Unsubscribe(nats); /* fails if the connection closed: no matter */
    struct mrd_retired *retired = mrd_bus_retired(bus);
    mrd_retired_add(retired, nats);
    struct mrd_retired_entry *list = mrd_retired_take(retired); /* all left the table by now */
    if (mrd_bus_connected(bus) &&
        natsConnection_FlushTimeout(mrd_bus_nats(bus), RETIRE_MS) == NATS_OK) {
        mrd_retired_destroy(list);
    } else {
        mrd_retired_put_back(retired, list);
    }
}

/* ---- asynchronous subscriptions ---- */

struct mrd_bus_subscription {
    struct mrd_bus *bus;
    natsSubscription *nats;
    pthread_mutex_t lock;
    pthread_cond_t ended_changed;
    bool ended; /* the library's delivery thread has; guarded by the lock */
};

static void on_subscription_end(void *closure)
{
    struct mrd_bus_subscription *self = closure;
    pthread_mutex_lock(&self->lock);
    self->ended = true;
    pthread_cond_signal(&self->ended_changed);
    pthread_mutex_unlock(&self->lock);
}

static void subscription_free(struct mrd_bus_subscription *self)
{
    pthread_cond_destroy(&self->ended_changed);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

static void await_end(struct mrd_bus_subscription *self)
{
    pthread_mutex_lock(&self->lock);
    while (!self->ended) {
        pthread_cond_wait(&self->ended_changed, &self->lock);
    }
    pthread_mutex_unlock(&self->lock);
}

enum mrd_status mrd_bus_subscribe(struct mrd_bus *bus, const char *subject,
                                  natsMsgHandler on_message, void *context,
                                  struct mrd_bus_subscription **out, struct mrd_error *err)
{
    struct mrd_bus_subscription *self = calloc(1, sizeof(*self));
    mrd_assert(self != NULL);
    self->bus = bus;
    pthread_mutex_init(&self->lock, NULL);
    mrd_cond_init(&self->ended_changed);
    natsStatus status =
        natsConnection_Subscribe(&self->nats, mrd_bus_nats(bus), subject, on_message, context);
    if (status == NATS_OK) {
        /* The library's own limits are 65536 messages and 64 MiB, dropped silently beyond. Ours are
         * the credit windows and outstanding counts. */
        status = natsSubscription_SetPendingLimits(self->nats, -1, -1);
    }
    if (status == NATS_OK) {
        status = natsSubscription_SetOnCompleteCB(self->nats, on_subscription_end, self);
    }
    if (status != NATS_OK) {
        mrd_bus_retire(bus, &self->nats);
        subscription_free(self);
        return mrd_bus_fail(err, status, 0, "subscribe %s", subject);
    }
    *out = self;
    return MRD_OK;
}

void mrd_bus_unsubscribe(struct mrd_bus_subscription **subscription)
{
    if (*subscription == NULL) {
        return;
    }
    struct mrd_bus_subscription *self = MRD_MOVE(*subscription);
    mrd_bus_retire(self->bus, &self->nats);
    await_end(self);
    subscription_free(self);
}

/* ---- inboxes ---- */

enum mrd_status mrd_bus_inbox(char out[MRD_BUS_INBOX_MAX], struct mrd_error *err)
{
    natsInbox *inbox = NULL;
    const natsStatus status = natsInbox_Create(&inbox);
    if (status != NATS_OK) {
        return mrd_bus_fail(err, status, 0, "inbox");
    }
    snprintf(out, MRD_BUS_INBOX_MAX, "%s", inbox);
    natsInbox_Destroy(inbox);
    return MRD_OK;
}
