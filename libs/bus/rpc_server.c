#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "bus/connection_internal.h"
#include "bus/rpc.h"
#include "bus/rpc_frame.h"
#include "bus/subscription_internal.h"

/* The request subscription only queues; worker threads run handlers; a control subscription
 * <inbox>.* takes credit and cancellations; a pulse thread sends signs of life. A call lives in a
 * slot from its arrival to the end of its handler.
 */

enum {
    WORKERS = 4,
    QUEUE_MAX = 256,
    PULSE_MS = 500,
    CREDIT_MAX = 1 << 20,
    BUDGET_MS_MAX = 3600 * 1000,
};
static const int64_t MS = 1000000;

enum call_end { RUNNING, CANCELED, LOST };

struct mrd_rpc_call {
    struct mrd_rpc_server *server;
    uint32_t slot;
    natsMsg *msg; /* the request */
    struct mrd_bytes request;
    int64_t deadline_ns;
    struct mrd_rpc_call *next; /* in the queue */
    /* of the worker */
    uint32_t number;
    struct mrd_buf frame;
    struct mrd_buf trailer;
    /* guarded by the server's lock */
    uint32_t credit;
    pthread_cond_t changed;
    _Atomic enum call_end end; /* written under the lock, read anywhere (relaxed) */
};

struct slot {
    struct mrd_rpc_call *call;
    uint32_t generation;
};

struct mrd_rpc_server {
    struct mrd_bus *bus;
    struct mrd_rpc_server_options options;
    char inbox[MRD_BUS_INBOX_MAX];
    struct mrd_bus_subscription *requests;
    struct mrd_bus_subscription *controls;
    struct mrd_bus_listener listener;
    pthread_t *threads; /* the workers, then the pulse */

    pthread_mutex_t lock; /* guards what follows and the calls' credit */
    pthread_cond_t work;  /* queue not empty, or stopping */
    pthread_cond_t pulse; /* stopping */
    pthread_cond_t idle;  /* nothing queued or running */
    bool stopping;
    struct mrd_rpc_call *first;
    struct mrd_rpc_call **last;
    struct slot *slots;
    uint32_t slot_count;
    struct mrd_rpc_server_stats stats;
};

static int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

/* ---- what handlers see ---- */

const char *mrd_rpc_call_subject(const struct mrd_rpc_call *call)
{
    return natsMsg_GetSubject(call->msg);
}

struct mrd_bytes mrd_rpc_call_request(const struct mrd_rpc_call *call) { return call->request; }

int64_t mrd_rpc_call_deadline_ns(const struct mrd_rpc_call *call) { return call->deadline_ns; }

bool mrd_rpc_call_ended(const struct mrd_rpc_call *call)
{
    return atomic_load_explicit(&call->end, memory_order_relaxed) != RUNNING ||
           now_ns() >= call->deadline_ns;
}

enum mrd_status mrd_rpc_call_check(const struct mrd_rpc_call *call, struct mrd_error *err)
{
    const enum call_end end = atomic_load_explicit(&call->end, memory_order_relaxed);
    if (end == CANCELED) {
        return mrd_fail(err, MRD_E_CANCELED, "canceled by the client");
    }
    if (end == LOST) {
        return mrd_fail(err, MRD_E_UNAVAILABLE,
                        "the connection to NATS was lost, or this process stops");
    }
    if (now_ns() >= call->deadline_ns) {
        return mrd_fail(err, MRD_E_TIMEOUT, "the request's deadline has passed");
    }
    return MRD_OK;
}

static enum mrd_status credit_take(struct mrd_rpc_call *call, struct mrd_error *err)
{
    struct mrd_rpc_server *server = call->server;
    const struct timespec until = mrd_bus_timespec(call->deadline_ns);
    enum mrd_status status = MRD_OK;
    pthread_mutex_lock(&server->lock);
    while ((status = mrd_rpc_call_check(call, err)) == MRD_OK && call->credit == 0) {
        pthread_cond_timedwait(&call->changed, &server->lock, &until);
    }
    if (status == MRD_OK) {
        call->credit--;
    }
    pthread_mutex_unlock(&server->lock);
    return status;
}

static enum mrd_status frame_send(struct mrd_rpc_call *call, enum mrd_rpc_frame_kind kind,
                                  enum mrd_status status, struct mrd_bytes payload,
                                  struct mrd_error *err)
{
    uint8_t head[MRD_RPC_FRAME_BYTES];
    mrd_rpc_frame_put(head, kind, status, call->number);
    mrd_buf_clear(&call->frame);
    mrd_buf_append(&call->frame, head, sizeof(head));
    mrd_buf_append_bytes(&call->frame, payload);
    const natsStatus sent =
        natsConnection_Publish(mrd_bus_nats(call->server->bus), natsMsg_GetReply(call->msg),
                               call->frame.data, (int)call->frame.size);
    if (sent != NATS_OK) {
        return mrd_bus_fail(err, sent, 0, "reply to %s", mrd_rpc_call_subject(call));
    }
    call->number++;
    return MRD_OK;
}

enum mrd_status mrd_rpc_call_send(struct mrd_rpc_call *call, struct mrd_bytes chunk,
                                  struct mrd_error *err)
{
    if (chunk.size == 0) {
        return MRD_OK;
    }
    if (chunk.size > INT32_MAX / 2) {
        return mrd_fail(err, MRD_E_INVALID, "reply chunk of %zu bytes", chunk.size);
    }
    MRD_TRY(credit_take(call, err));
    MRD_TRY(frame_send(call, MRD_RPC_FRAME_DATA, MRD_OK, chunk, err));
    pthread_mutex_lock(&call->server->lock);
    call->server->stats.chunks++;
    call->server->stats.bytes += chunk.size;
    pthread_mutex_unlock(&call->server->lock);
    return MRD_OK;
}

void mrd_rpc_call_trailer(struct mrd_rpc_call *call, struct mrd_bytes trailer)
{
    mrd_assert(trailer.size <= MRD_RPC_TRAILER_MAX);
    mrd_buf_clear(&call->trailer);
    mrd_buf_append_bytes(&call->trailer, trailer);
}

/* ---- calls ---- */

static void call_free(struct mrd_rpc_call *call)
{
    natsMsg_Destroy(call->msg);
    mrd_buf_fini(&call->frame);
    mrd_buf_fini(&call->trailer);
    pthread_cond_destroy(&call->changed);
    free(call);
}

/* Lock held. Slots are few and mostly free: a scan. */
static bool slot_take(struct mrd_rpc_server *server, struct mrd_rpc_call *call)
{
    for (uint32_t i = 0; i < server->slot_count; i++) {
        if (server->slots[i].call == NULL) {
            server->slots[i].call = call;
            call->slot = i;
            return true;
        }
    }
    return false;
}

static void slot_release(struct mrd_rpc_server *server, const struct mrd_rpc_call *call)
{
    server->slots[call->slot].call = NULL;
    server->slots[call->slot].generation++;
}

/* Lock held. */
static void call_end(struct mrd_rpc_call *call, enum call_end end)
{
    if (atomic_load_explicit(&call->end, memory_order_relaxed) == RUNNING) {
        atomic_store_explicit(&call->end, end, memory_order_relaxed);
        pthread_cond_signal(&call->changed);
    }
}

static void finish(struct mrd_rpc_call *call, enum mrd_status status, const struct mrd_error *err)
{
    /* Nobody waits for more; if this message is lost, the client hears of it by silence. */
    if (status == MRD_OK) {
        (void)frame_send(call, MRD_RPC_FRAME_END, MRD_OK, mrd_buf_view(&call->trailer), NULL);
    } else {
        const char *text = err->text[0] == '\0' ? mrd_status_name(status) : err->text;
        (void)frame_send(call, MRD_RPC_FRAME_ERROR, status, mrd_bytes_of(text), NULL);
    }
}

static void count_end(struct mrd_rpc_server *server, enum mrd_status status)
{
    if (status == MRD_E_CANCELED) {
        server->stats.canceled++;
    } else if (status == MRD_E_TIMEOUT) {
        server->stats.timeouts++;
    } else if (status != MRD_OK) {
        server->stats.failed++;
    }
}

static void call_run(struct mrd_rpc_server *server, struct mrd_rpc_call *call)
{
    struct mrd_error err = {0};
    enum mrd_status status = mrd_rpc_call_check(call, &err);
    if (status == MRD_OK) {
        status = server->options.handle(server->options.context, call, &err);
    }
    finish(call, status, &err);
    pthread_mutex_lock(&server->lock);
    count_end(server, status);
    slot_release(server, call);
    server->stats.running--;
    if (server->stats.running + server->stats.queued == 0) {
        pthread_cond_broadcast(&server->idle);
    }
    pthread_mutex_unlock(&server->lock);
    call_free(call);
}

static void *worker_run(void *context)
{
    struct mrd_rpc_server *server = context;
    pthread_mutex_lock(&server->lock);
    for (;;) {
        while (server->first == NULL && !server->stopping) {
            pthread_cond_wait(&server->work, &server->lock);
        }
        struct mrd_rpc_call *call = server->first;
        if (call == NULL) {
            break;
        }
        server->first = call->next;
        if (server->first == NULL) {
            server->last = &server->first;
        }
        server->stats.queued--;
        server->stats.running++;
        pthread_mutex_unlock(&server->lock);
        call_run(server, call);
        pthread_mutex_lock(&server->lock);
    }
    pthread_mutex_unlock(&server->lock);
    nats_ReleaseThreadMemory();
    return NULL;
}

/* ---- requests ---- */

static void refuse(struct mrd_rpc_server *server, const natsMsg *msg, enum mrd_status status,
                   const char *text)
{
    uint8_t frame[MRD_RPC_FRAME_BYTES + 128];
    mrd_rpc_frame_put(frame, MRD_RPC_FRAME_ERROR, status, 0);
    const size_t size = MRD_MIN(strlen(text), (size_t)128);
    memcpy(frame + MRD_RPC_FRAME_BYTES, text, size);
    pthread_mutex_lock(&server->lock);
    server->stats.refused++;
    pthread_mutex_unlock(&server->lock);
    (void)natsConnection_Publish(mrd_bus_nats(server->bus), natsMsg_GetReply(msg), frame,
                                 (int)(MRD_RPC_FRAME_BYTES + size));
}

static struct mrd_rpc_call *call_create(struct mrd_rpc_server *server, natsMsg *msg,
                                        const struct mrd_rpc_request *request)
{
    struct mrd_rpc_call *call = calloc(1, sizeof(*call));
    mrd_assert(call != NULL);
    call->server = server;
    call->msg = msg;
    call->request = request->payload;
    call->credit = MRD_MIN(request->window, (uint32_t)CREDIT_MAX);
    call->deadline_ns =
        now_ns() + (int64_t)MRD_MIN(request->budget_ms, (uint64_t)BUDGET_MS_MAX) * MS;
    mrd_bus_cond_init(&call->changed);
    return call;
}

/* Takes msg, or leaves it to the caller to refuse. The answer "accepted" goes out before a worker can
 * see the call, so it is the first message of the stream. */
static bool call_accept(struct mrd_rpc_server *server, struct mrd_rpc_call *call)
{
    pthread_mutex_lock(&server->lock);
    const bool room = !server->stopping && slot_take(server, call);
    const uint32_t generation = room ? server->slots[call->slot].generation : 0;
    server->stats.requests++;
    pthread_mutex_unlock(&server->lock);
    if (!room) {
        return false;
    }
    uint8_t frame[MRD_RPC_FRAME_BYTES];
    char control[MRD_BUS_INBOX_MAX + 32];
    snprintf(control, sizeof(control), "%s.%" PRIx32 "-%" PRIx32, server->inbox, call->slot,
             generation);
    mrd_rpc_frame_put(frame, MRD_RPC_FRAME_ACCEPT, MRD_OK, call->number++);
    (void)natsConnection_PublishRequest(mrd_bus_nats(server->bus), natsMsg_GetReply(call->msg),
                                        control, frame, sizeof(frame));
    pthread_mutex_lock(&server->lock);
    *server->last = call;
    server->last = &call->next;
    server->stats.queued++;
    pthread_cond_signal(&server->work);
    pthread_mutex_unlock(&server->lock);
    return true;
}

static void on_request(natsConnection *nats, natsSubscription *subscription, natsMsg *msg,
                       void *closure)
{
    (void)nats;
    (void)subscription;
    struct mrd_rpc_server *server = closure;
    struct mrd_rpc_request request;
    const struct mrd_bytes data = {(const uint8_t *)natsMsg_GetData(msg),
                                   (size_t)natsMsg_GetDataLength(msg)};
    if (natsMsg_GetReply(msg) == NULL) {
        natsMsg_Destroy(msg);
        return;
    }
    if (!mrd_rpc_request_get(data, &request)) {
        refuse(server, msg, MRD_E_INVALID, "request is not well formed");
        natsMsg_Destroy(msg);
        return;
    }
    struct mrd_rpc_call *call = call_create(server, msg, &request);
    if (!call_accept(server, call)) {
        refuse(server, msg, MRD_E_UNAVAILABLE, "too many requests are waiting, or shutting down");
        call_free(call);
    }
}

static void on_control(natsConnection *nats, natsSubscription *subscription, natsMsg *msg,
                       void *closure)
{
    (void)nats;
    (void)subscription;
    struct mrd_rpc_server *server = closure;
    struct mrd_rpc_frame frame;
    const struct mrd_bytes data = {(const uint8_t *)natsMsg_GetData(msg),
                                   (size_t)natsMsg_GetDataLength(msg)};
    const char *token = strrchr(natsMsg_GetSubject(msg), '.');
    uint32_t slot = 0;
    uint32_t generation = 0;
    if (token != NULL && sscanf(token, ".%" SCNx32 "-%" SCNx32, &slot, &generation) == 2 &&
        slot < server->slot_count && mrd_rpc_frame_get(data, &frame)) {
        pthread_mutex_lock(&server->lock);
        struct mrd_rpc_call *call =
            server->slots[slot].generation == generation ? server->slots[slot].call : NULL;
        if (call != NULL && frame.kind == MRD_RPC_FRAME_CANCEL) {
            call_end(call, CANCELED);
        } else if (call != NULL && frame.kind == MRD_RPC_FRAME_CREDIT) {
            const uint32_t more = MRD_MIN(frame.number, (uint32_t)CREDIT_MAX);
            call->credit = MRD_MIN(call->credit + more, (uint32_t)CREDIT_MAX);
            pthread_cond_signal(&call->changed);
        }
        pthread_mutex_unlock(&server->lock);
    }
    natsMsg_Destroy(msg);
}

static void all_end(struct mrd_rpc_server *server, enum call_end end)
{
    pthread_mutex_lock(&server->lock);
    for (uint32_t i = 0; i < server->slot_count; i++) {
        if (server->slots[i].call != NULL) {
            call_end(server->slots[i].call, end);
        }
    }
    pthread_mutex_unlock(&server->lock);
}

/* What was sent or granted just now may be lost: no stream that runs can be trusted any more. */
static void on_bus_event(void *context, enum mrd_bus_event event, const char *text)
{
    (void)text;
    if (event == MRD_BUS_DISCONNECTED) {
        all_end(context, LOST);
    }
}

/* ---- signs of life ---- */

static void pulse_send(struct mrd_rpc_server *server)
{
    uint8_t frame[MRD_RPC_FRAME_BYTES];
    mrd_rpc_frame_put(frame, MRD_RPC_FRAME_ALIVE, MRD_OK, 0);
    for (uint32_t i = 0; i < server->slot_count; i++) {
        char reply[256];
        pthread_mutex_lock(&server->lock);
        const struct mrd_rpc_call *call = server->slots[i].call;
        snprintf(reply, sizeof(reply), "%s", call == NULL ? "" : natsMsg_GetReply(call->msg));
        pthread_mutex_unlock(&server->lock);
        if (reply[0] != '\0') {
            (void)natsConnection_Publish(mrd_bus_nats(server->bus), reply, frame, sizeof(frame));
        }
    }
}

static void *pulse_run(void *context)
{
    struct mrd_rpc_server *server = context;
    pthread_mutex_lock(&server->lock);
    while (!server->stopping) {
        const bool busy = server->stats.running + server->stats.queued > 0;
        const struct timespec until = mrd_bus_timespec(now_ns() + PULSE_MS * MS);
        pthread_cond_timedwait(&server->pulse, &server->lock, &until);
        if (busy && mrd_bus_connected(server->bus)) {
            pthread_mutex_unlock(&server->lock);
            pulse_send(server);
            pthread_mutex_lock(&server->lock);
        }
    }
    pthread_mutex_unlock(&server->lock);
    nats_ReleaseThreadMemory();
    return NULL;
}

/* ---- life ---- */

static void server_free(struct mrd_rpc_server *server)
{
    pthread_cond_destroy(&server->work);
    pthread_cond_destroy(&server->pulse);
    pthread_cond_destroy(&server->idle);
    pthread_mutex_destroy(&server->lock);
    free(server->threads);
    free(server->slots);
    free(server);
}

static void threads_start(struct mrd_rpc_server *server)
{
    server->threads = calloc(server->options.workers + 1, sizeof(*server->threads));
    mrd_assert(server->threads != NULL);
    for (uint32_t i = 0; i < server->options.workers; i++) {
        mrd_assert(pthread_create(&server->threads[i], NULL, worker_run, server) == 0);
    }
    mrd_assert(pthread_create(&server->threads[server->options.workers], NULL, pulse_run, server) ==
               0);
}

static void threads_stop(struct mrd_rpc_server *server)
{
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    pthread_cond_broadcast(&server->work);
    pthread_cond_broadcast(&server->pulse);
    pthread_mutex_unlock(&server->lock);
    for (uint32_t i = 0; i < server->options.workers + 1; i++) {
        pthread_join(server->threads[i], NULL);
    }
}

static struct mrd_rpc_server *server_alloc(struct mrd_bus *bus,
                                           const struct mrd_rpc_server_options *options)
{
    struct mrd_rpc_server *server = calloc(1, sizeof(*server));
    mrd_assert(server != NULL);
    server->bus = bus;
    server->options = *options;
    server->options.workers = options->workers == 0 ? WORKERS : options->workers;
    server->options.queue_max = options->queue_max == 0 ? QUEUE_MAX : options->queue_max;
    server->slot_count = server->options.workers + server->options.queue_max;
    server->slots = calloc(server->slot_count, sizeof(*server->slots));
    mrd_assert(server->slots != NULL);
    server->last = &server->first;
    pthread_mutex_init(&server->lock, NULL);
    mrd_bus_cond_init(&server->work);
    mrd_bus_cond_init(&server->pulse);
    mrd_bus_cond_init(&server->idle);
    return server;
}

enum mrd_status mrd_rpc_server_create(struct mrd_bus *bus,
                                      const struct mrd_rpc_server_options *options,
                                      struct mrd_rpc_server **out_server, struct mrd_error *err)
{
    struct mrd_rpc_server *server = server_alloc(bus, options);
    threads_start(server);
    char subject[MRD_BUS_INBOX_MAX + 2];
    enum mrd_status status = mrd_bus_inbox(server->inbox, err);
    if (status == MRD_OK) {
        snprintf(subject, sizeof(subject), "%s.*", server->inbox);
        status = mrd_bus_subscribe(bus, subject, on_control, server, &server->controls, err);
    }
    if (status == MRD_OK) {
        status =
            mrd_bus_subscribe(bus, options->subject, on_request, server, &server->requests, err);
    }
    if (status != MRD_OK) {
        mrd_bus_unsubscribe(&server->controls);
        threads_stop(server);
        server_free(server);
        return status;
    }
    server->listener = (struct mrd_bus_listener){.on_event = on_bus_event, .context = server};
    mrd_bus_listen(bus, &server->listener);
    *out_server = server;
    return MRD_OK;
}

void mrd_rpc_server_stats(struct mrd_rpc_server *server, struct mrd_rpc_server_stats *out)
{
    pthread_mutex_lock(&server->lock);
    *out = server->stats;
    pthread_mutex_unlock(&server->lock);
}

void mrd_rpc_server_destroy(struct mrd_rpc_server **server, int64_t drain_ms)
{
    if (*server == NULL) {
        return;
    }
    struct mrd_rpc_server *self = MRD_MOVE(*server);
    mrd_bus_unsubscribe(&self->requests);
    const struct timespec until = mrd_bus_timespec(now_ns() + drain_ms * MS);
    int waited = 0;
    pthread_mutex_lock(&self->lock);
    while (self->stats.running + self->stats.queued > 0 && waited == 0) {
        waited = pthread_cond_timedwait(&self->idle, &self->lock, &until);
    }
    pthread_mutex_unlock(&self->lock);
    all_end(self, LOST);
    threads_stop(self); /* workers empty the queue first; each call ends at its first check */
    mrd_bus_unlisten(self->bus, &self->listener);
    mrd_bus_unsubscribe(&self->controls);
    server_free(self);
}
