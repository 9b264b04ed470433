#include "bus/request_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/threads.h"
#include "bus/subscription_internal.h"

enum { LOOK_MS = 20, SUBJECT_MAX = MRD_BUS_INBOX_MAX + 48 };
static const int64_t MS = 1000000;

/* Requests that were sent together and are waited for. */
struct batch {
    uint64_t number; /* names them in subjects of replies */
    struct mrd_request *requests;
    size_t count;
    size_t left;
    pthread_cond_t arrived; /* the last reply */
    struct batch *next;
};

struct mrd_requests {
    struct mrd_bus *bus;
    pthread_mutex_t lock; /* guards what follows; and the batches' replies while they are listed */
    struct mrd_bus_subscription *replies; /* on <inbox>.*; NULL: there was no request yet */
    char inbox[MRD_BUS_INBOX_MAX];
    uint64_t number_next;
    struct batch *batches;
};

static int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

/* ---- replies ---- */

static struct batch *batch_find(const struct mrd_requests *self, uint64_t number)
{
    struct batch *batch = self->batches;
    while (batch != NULL && batch->number != number) {
        batch = batch->next;
    }
    return batch;
}

/* By a thread of the library. A request that was sent twice is answered by the first reply. */
static void on_reply(natsConnection *nats, natsSubscription *subscription, natsMsg *msg,
                     void *closure)
{
    (void)nats;
    (void)subscription;
    struct mrd_requests *self = closure;
    uint64_t number = 0;
    size_t index = 0;
    pthread_mutex_lock(&self->lock);
    const char *subject = natsMsg_GetSubject(msg);
    const size_t inbox_size = strlen(self->inbox);
    struct batch *batch = NULL;
    if (strlen(subject) > inbox_size &&
        sscanf(subject + inbox_size, ".%" SCNx64 "-%zx", &number, &index) == 2) {
        batch = batch_find(self, number);
    }
    if (batch != NULL && index < batch->count && batch->requests[index].reply == NULL) {
        batch->requests[index].reply = MRD_MOVE(msg);
        if (--batch->left == 0) {
            pthread_cond_signal(&batch->arrived);
        }
    }
    pthread_mutex_unlock(&self->lock);
    natsMsg_Destroy(msg);
}

/* ---- asking ---- */

/* The lock is held: others wait until there is a subscription. */
static enum mrd_status subscribe(struct mrd_requests *self, struct mrd_error *err)
{
    if (self->replies != NULL) {
        return MRD_OK;
    }
    char subject[SUBJECT_MAX];
    MRD_TRY(mrd_bus_inbox(self->inbox, err));
    (void)snprintf(subject, sizeof(subject), "%s.*", self->inbox);
    return mrd_bus_subscribe(self->bus, subject, on_reply, self, &self->replies, err);
}

static enum mrd_status batch_add(struct mrd_requests *self, struct batch *batch,
                                 struct mrd_error *err)
{
    pthread_mutex_lock(&self->lock);
    const enum mrd_status status = subscribe(self, err);
    if (status == MRD_OK) {
        batch->number = self->number_next++;
        batch->next = self->batches;
        self->batches = batch;
    }
    pthread_mutex_unlock(&self->lock);
    return status;
}

static void batch_remove(struct mrd_requests *self, struct batch *batch)
{
    pthread_mutex_lock(&self->lock);
    struct batch **at = &self->batches;
    while (*at != batch) {
        at = &(*at)->next;
    }
    *at = batch->next;
    pthread_mutex_unlock(&self->lock);
}

static bool is_answered(struct mrd_requests *self, const struct mrd_request *request)
{
    pthread_mutex_lock(&self->lock);
    const bool answered = request->reply != NULL;
    pthread_mutex_unlock(&self->lock);
    return answered;
}

static enum mrd_status send_unanswered(struct mrd_requests *self, const struct batch *batch,
                                       struct mrd_error *err)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct mrd_request *request = &batch->requests[i];
        char reply[SUBJECT_MAX];
        if (is_answered(self, request)) {
            continue;
        }
        (void)snprintf(reply, sizeof(reply), "%s.%" PRIx64 "-%zx", self->inbox, batch->number, i);
        const natsStatus status =
            natsConnection_PublishRequest(mrd_bus_nats(self->bus), request->subject, reply,
                                          request->body.data, (int)request->body.size);
        /* A connection that breaks at this moment is made again. */
        if (status != NATS_OK && mrd_bus_status_of(status) != MRD_E_UNAVAILABLE) {
            return mrd_bus_fail(err, status, 0, "%s", request->subject);
        }
    }
    return MRD_OK;
}

/* Until all have come, or it is time to look. */
static size_t wait_some(struct mrd_requests *self, struct batch *batch, int64_t until_ns)
{
    const struct timespec until = mrd_cond_time(until_ns);
    pthread_mutex_lock(&self->lock);
    if (batch->left > 0) {
        pthread_cond_timedwait(&batch->arrived, &self->lock, &until);
    }
    const size_t left = batch->left;
    pthread_mutex_unlock(&self->lock);
    return left;
}

static enum mrd_status wait_all(struct mrd_requests *self, struct batch *batch, int64_t timeout_ms,
                                const struct mrd_look *look, struct mrd_error *err)
{
    const int64_t end_ns = now_ns() + timeout_ms * MS;
    uint64_t sent_over = 0; /* a connection's number */
    size_t left = batch->count;
    while (left > 0) {
        const int64_t time_ns = now_ns();
        const uint64_t generation = mrd_bus_generation(self->bus);
        MRD_TRY(mrd_look(look, err));
        if (time_ns >= end_ns) {
            return mrd_fail(err, MRD_E_UNAVAILABLE,
                            "NATS has not answered %zu of %zu requests in %" PRId64 " ms%s", left,
                            batch->count, timeout_ms,
                            mrd_bus_connected(self->bus) ? "" : ": not connected");
        }
        if (generation != sent_over && mrd_bus_connected(self->bus)) {
            MRD_TRY(send_unanswered(self, batch, err));
            sent_over = generation;
        }
        left = wait_some(self, batch, MRD_MIN(end_ns, time_ns + LOOK_MS * MS));
    }
    return MRD_OK;
}

static enum mrd_status check_replies(const struct batch *batch, struct mrd_error *err)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (natsMsg_IsNoResponders(batch->requests[i].reply)) {
            return mrd_fail(err, MRD_E_UNAVAILABLE, "%s: nobody listens there",
                            batch->requests[i].subject);
        }
    }
    return MRD_OK;
}

enum mrd_status mrd_bus_request(struct mrd_bus *bus, struct mrd_request *requests, size_t count,
                                int64_t timeout_ms, const struct mrd_look *look,
                                struct mrd_error *err)
{
    struct mrd_requests *self = mrd_bus_requests(bus);
    struct batch batch = {.requests = requests, .count = count, .left = count};
    for (size_t i = 0; i < count; i++) {
        requests[i].reply = NULL;
    }
    mrd_cond_init(&batch.arrived);
    enum mrd_status status = batch_add(self, &batch, err);
    if (status == MRD_OK) {
        status = wait_all(self, &batch, timeout_ms, look, err);
        batch_remove(self, &batch);
    }
    pthread_cond_destroy(&batch.arrived);
    return status == MRD_OK ? check_replies(&batch, err) : status;
}

/* ---- life ---- */

struct mrd_requests *mrd_requests_create(struct mrd_bus *bus)
{
    struct mrd_requests *self = calloc(1, sizeof(*self));
    mrd_assert(self != NULL);
    self->bus = bus;
    self->number_next = 1;
    pthread_mutex_init(&self->lock, NULL);
    return self;
}

void mrd_requests_destroy(struct mrd_requests **requests)
{
    if (*requests == NULL) {
        return;
    }
    struct mrd_requests *self = MRD_MOVE(*requests);
    mrd_assert(self->batches == NULL);
    mrd_bus_unsubscribe(&self->replies);
    pthread_mutex_destroy(&self->lock);
    free(self);
}
