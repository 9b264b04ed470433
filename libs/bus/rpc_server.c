#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "bus/rpc_server_internal.h"

#include "base/threads.h"

/* The request subscription only queues; worker threads run handlers; a control subscription
 * <inbox>.* takes credit and cancellations; a pulse thread sends signs of life.
 */

enum {
    WORKERS = 4,
    QUEUE_MAX = 256,
    PULSE_MS = 500, /* between signs of life of one call */
    PULSE_LOOK_MS =
        100, /* until the first, which tells a client that has heard nothing how to cancel */
    CREDIT_MAX = 1 << 20,
    BUDGET_MS_MAX = 3600 * 1000,
};
static const int64_t MS = 1000000;

static int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

/* ---- calls ---- */

/* Lock held. Slots are few and mostly free: a scan. */
static bool slot_take(struct mrd_rpc_server *server, struct mrd_rpc_call *call)
{
    for (uint32_t i = 0; i < server->slot_count; i++) {
        if (server->slots[i].call == NULL) {
            server->slots[i].call = call;
            call->slot = i;
            snprintf(call->control, sizeof(call->control), "%s.%" PRIx32 "-%" PRIx32, server->inbox,
                     i, server->slots[i].generation);
            return true;
        }
    }
    return false;
}

/* ---- requests ---- */

/* Where the answer to a request goes; cut off, and never heard, if it is longer than ours are. */
static const char *answer_subject(const natsMsg *msg, char out[MRD_RPC_SUBJECT_MAX])
{
    snprintf(out, MRD_RPC_SUBJECT_MAX, "%s" MRD_RPC_ANSWER_SUFFIX, natsMsg_GetReply(msg));
    return out;
}

static void refuse(struct mrd_rpc_server *server, const natsMsg *msg, enum mrd_status status,
                   const char *text)
{
    char subject[MRD_RPC_SUBJECT_MAX];
    uint8_t frame[MRD_RPC_FRAME_BYTES + 128];
    mrd_rpc_frame_put(frame, MRD_RPC_FRAME_ERROR, status, 0);
    const size_t size = MRD_MIN(strlen(text), (size_t)128);
    memcpy(frame + MRD_RPC_FRAME_BYTES, text, size);
    pthread_mutex_lock(&server->lock);
    server->stats.refused++;
    pthread_mutex_unlock(&server->lock);
    (void)natsConnection_Publish(mrd_bus_nats(server->bus), answer_subject(msg, subject), frame,
                                 (int)(MRD_RPC_FRAME_BYTES + size));
}

struct mrd_rpc_call *mrd_rpc_call_create(struct mrd_rpc_server *server,
                                         const struct mrd_rpc_request *request)
{
    struct mrd_rpc_call *call = calloc(1, sizeof(*call));
    mrd_assert(call != NULL);
    call->server = server;
    call->request = request->payload;
    call->credit = MRD_MIN(request->window, (uint32_t)CREDIT_MAX);
    call->deadline_ns =
        now_ns() + (int64_t)MRD_MIN(request->budget_ms, (uint64_t)BUDGET_MS_MAX) * MS;
    return call;
}

/* Without flows all calls are of one, which may have everything. */
static struct mrd_fair_share share_of(const struct mrd_rpc_server *server,
                                      const struct mrd_rpc_flow *flow)
{
    const struct mrd_rpc_server_options *options = &server->options;
    if (options->flow == NULL) {
        return (struct mrd_fair_share){options->workers, server->slot_count};
    }
    const uint32_t most = MRD_MAX(options->workers, 2U) - 1;
    const bool bounded = flow->workers > 0 && flow->workers <= options->workers;
    const uint32_t places = bounded ? flow->workers : most;
    const uint32_t half = MRD_MAX(options->queue_max / 2, 1U);
    const uint32_t waiting =
        flow->queue_max == 0 ? half : MRD_MIN(flow->queue_max, options->queue_max);
    return (struct mrd_fair_share){places, places + waiting};
}

const char *mrd_rpc_call_admit(struct mrd_rpc_server *server, struct mrd_rpc_call *call,
                               const struct mrd_rpc_flow *of)
{
    server->stats.requests++;
    if (server->stopping) {
        return "shutting down";
    }
    const struct mrd_fair_share share = share_of(server, of);
    struct mrd_fair_flow *flow = mrd_fair_join(&server->flows, of->key, &share);
    if (flow == NULL) {
        return server->options.flow_full;
    }
    call->waiter.flow = flow;
    if (!slot_take(server, call)) {
        mrd_fair_leave(&server->flows, flow);
        return server->options.full;
    }
    call->urgent = of->urgent;
    if (!of->urgent) {
        mrd_usage_add(&server->usage, of->key, 0, now_ns());
        call->lane = of->patient || mrd_usage_is_heavy(&server->usage, of->key, now_ns())
                         ? MRD_RPC_LANE_LOW
                         : MRD_RPC_LANE_USUAL;
    }
    return NULL;
}

struct mrd_rpc_flow mrd_rpc_flow_of(const struct mrd_rpc_server *server, struct mrd_bytes request)
{
    const struct mrd_rpc_server_options *options = &server->options;
    struct mrd_rpc_flow flow = {0};
    if (options->flow != NULL) {
        options->flow(options->context, request, &flow);
    }
    return flow;
}

/* NULL: the call is under way; else why not. */
static const char *call_accept(struct mrd_rpc_server *server, struct mrd_rpc_call *call)
{
    const struct mrd_rpc_flow flow = mrd_rpc_flow_of(server, call->request);
    pthread_mutex_lock(&server->lock);
    const char *refusal = mrd_rpc_call_admit(server, call, &flow);
    pthread_mutex_unlock(&server->lock);
    if (refusal == NULL) {
        mrd_rpc_workers_add(server, call);
    }
    return refusal;
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
        const bool other = data.size > 0 && data.data[0] != MRD_RPC_VERSION;
        refuse(server, msg, other ? MRD_E_UNSUPPORTED : MRD_E_INVALID,
               other ? "request in another version of the protocol" : "request is not well formed");
        natsMsg_Destroy(msg);
        return;
    }
    struct mrd_rpc_call *call = mrd_rpc_call_create(server, &request);
    call->msg = msg;
    (void)answer_subject(msg, call->answer);
    const char *refusal = call_accept(server, call);
    if (refusal != NULL) {
        refuse(server, msg, MRD_E_UNAVAILABLE, refusal);
        mrd_rpc_call_free(call);
    }
}

void mrd_rpc_call_credit(struct mrd_rpc_call *call, uint32_t chunks)
{
    const uint32_t more = MRD_MIN(chunks, (uint32_t)CREDIT_MAX);
    call->credit = MRD_MIN(call->credit + more, (uint32_t)CREDIT_MAX);
    pthread_cond_signal(&call->server->slots[call->slot].changed);
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
            mrd_rpc_call_end_now(call, MRD_RPC_CANCELED);
        } else if (call != NULL && frame.kind == MRD_RPC_FRAME_CREDIT) {
            mrd_rpc_call_credit(call, frame.number);
        }
        pthread_mutex_unlock(&server->lock);
    }
    natsMsg_Destroy(msg);
}

static void all_end(struct mrd_rpc_server *server, bool nats_only)
{
    pthread_mutex_lock(&server->lock);
    for (uint32_t i = 0; i < server->slot_count; i++) {
        struct mrd_rpc_call *call = server->slots[i].call;
        if (call != NULL && !(nats_only && call->link != NULL)) {
            mrd_rpc_call_end_now(call, MRD_RPC_LOST);
        }
    }
    pthread_mutex_unlock(&server->lock);
}

/* What was sent or granted just now may be lost: no stream that runs can be trusted any more. */
static void on_bus_event(void *context, enum mrd_bus_event event, const char *text)
{
    (void)text;
    if (event == MRD_BUS_DISCONNECTED) {
        all_end(context, true);
    }
}

/* ---- signs of life ---- */

/* Lock held. True if the call in the slot is due; fills the subjects. */
static bool pulse_due(struct mrd_rpc_server *server, uint32_t index,
                      char reply[MRD_RPC_SUBJECT_MAX], char control[MRD_BUS_INBOX_MAX + 32])
{
    struct mrd_rpc_call *call = server->slots[index].call;
    const int64_t now = now_ns();
    if (call == NULL || call->link != NULL || now - call->alive_ns < PULSE_MS * MS) {
        return false;
    }
    call->alive_ns = now;
    memcpy(reply, call->answer, sizeof(call->answer));
    memcpy(control, call->control, sizeof(call->control));
    return true;
}

static void pulse_send(struct mrd_rpc_server *server)
{
    uint8_t frame[MRD_RPC_FRAME_BYTES];
    mrd_rpc_frame_put(frame, MRD_RPC_FRAME_ALIVE, MRD_OK, 0);
    for (uint32_t i = 0; i < server->slot_count; i++) {
        char reply[MRD_RPC_SUBJECT_MAX];
        char control[MRD_BUS_INBOX_MAX + 32];
        pthread_mutex_lock(&server->lock);
        const bool due = pulse_due(server, i, reply, control);
        pthread_mutex_unlock(&server->lock);
        if (due) {
            (void)natsConnection_PublishRequest(mrd_bus_nats(server->bus), reply, control, frame,
                                                sizeof(frame));
        }
    }
}

static void *pulse_run(void *context)
{
    struct mrd_rpc_server *server = context;
    pthread_mutex_lock(&server->lock);
    while (!server->stopping) {
        const bool busy = server->stats.running + server->stats.queued > 0;
        const struct timespec until = mrd_cond_time(now_ns() + PULSE_LOOK_MS * MS);
        pthread_cond_timedwait(&server->pulse, &server->lock, &until);
        mrd_rpc_threads_make_owed(server);
        if (busy && mrd_bus_connected(server->bus)) {
            pthread_mutex_unlock(&server->lock);
            pulse_send(server);
            pthread_mutex_lock(&server->lock);
        }
    }
    mrd_rpc_threads_make_owed(server);
    pthread_mutex_unlock(&server->lock);
    nats_ReleaseThreadMemory();
    return NULL;
}

/* ---- life ---- */

static void server_free(struct mrd_rpc_server *server)
{
    for (uint32_t i = 0; i < server->slot_count; i++) {
        pthread_cond_destroy(&server->slots[i].changed);
    }
    for (size_t i = 0; i < MRD_RPC_LANES; i++) {
        pthread_cond_destroy(&server->lanes[i].work);
    }
    pthread_cond_destroy(&server->pulse);
    pthread_cond_destroy(&server->idle);
    pthread_mutex_destroy(&server->lock);
    free(server->slots);
    free(server);
}

static enum mrd_status threads_start(struct mrd_rpc_server *server, struct mrd_error *err)
{
    if (!mrd_rpc_workers_start(server)) {
        mrd_rpc_workers_stop(server);
        return mrd_fail(err, MRD_E_UNAVAILABLE, "no threads for %u workers",
                        server->options.workers);
    }
    mrd_assert(pthread_create(&server->pulse_thread, NULL, pulse_run, server) == 0);
    return MRD_OK;
}

static void threads_stop(struct mrd_rpc_server *server)
{
    mrd_rpc_workers_stop(server);
    pthread_join(server->pulse_thread, NULL);
}

static void texts_init(struct mrd_rpc_server_options *options)
{
    if (options->full == NULL) {
        options->full = "too many requests are waiting";
    }
    if (options->flow_full == NULL) {
        options->flow_full = "too many requests of the same kind are waiting";
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
    for (uint32_t i = 0; i < server->slot_count; i++) {
        mrd_cond_init(&server->slots[i].changed);
    }
    for (size_t i = 0; i < MRD_RPC_LANES; i++) {
        server->lanes[i].ready_last = &server->lanes[i].ready;
        mrd_cond_init(&server->lanes[i].work);
    }
    server->flows.places = server->options.workers;
    texts_init(&server->options);
    pthread_mutex_init(&server->lock, NULL);
    mrd_cond_init(&server->pulse);
    mrd_cond_init(&server->idle);
    return server;
}

enum mrd_status mrd_rpc_server_create(struct mrd_bus *bus,
                                      const struct mrd_rpc_server_options *options,
                                      struct mrd_rpc_server **out_server, struct mrd_error *err)
{
    struct mrd_rpc_server *server = server_alloc(bus, options);
    char subject[MRD_BUS_INBOX_MAX + 2];
    enum mrd_status status = mrd_bus_inbox(server->inbox, err);
    if (status == MRD_OK) {
        status = threads_start(server, err);
    }
    if (status != MRD_OK) {
        server_free(server);
        return status;
    }
    snprintf(subject, sizeof(subject), "%s.*", server->inbox);
    status = mrd_bus_subscribe(bus, subject, on_control, server, &server->controls, err);
    if (status == MRD_OK) {
        status =
            mrd_bus_subscribe(bus, options->subject, on_request, server, &server->requests, err);
    }
    if (status == MRD_OK && options->listener_take != NULL) {
        status = mrd_rpc_links_start(server, options->listener_take, err);
    }
    if (status != MRD_OK) {
        mrd_bus_unsubscribe(&server->requests);
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
    out->threads = server->thread_count;
    pthread_mutex_unlock(&server->lock);
}

void mrd_rpc_server_destroy(struct mrd_rpc_server **server, int64_t drain_ms)
{
    if (*server == NULL) {
        return;
    }
    struct mrd_rpc_server *self = MRD_MOVE(*server);
    mrd_bus_unsubscribe(&self->requests);
    if (self->links != NULL) {
        mrd_rpc_links_refuse(self->links);
    }
    const struct timespec until = mrd_cond_time(now_ns() + drain_ms * MS);
    int waited = 0;
    pthread_mutex_lock(&self->lock);
    while (self->stats.running + self->stats.queued > 0 && waited == 0) {
        waited = pthread_cond_timedwait(&self->idle, &self->lock, &until);
    }
    pthread_mutex_unlock(&self->lock);
    all_end(self, false);
    mrd_rpc_links_stop(&self->links);
    threads_stop(self); /* workers empty the queue first; each call ends at its first check */
    mrd_bus_unlisten(self->bus, &self->listener);
    mrd_bus_unsubscribe(&self->controls);
    server_free(self);
}
