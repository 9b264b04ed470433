#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "bus/rpc_client_internal.h"

#include "base/threads.h"

/* One subscription <inbox>.*.d carries the replies of all calls; the token after the inbox names the call's slot
 * and a generation. Whoever takes a message from it checks its number and moves it to the call's queue; the fan-out's
 * own thread takes it from there. A queue holds no more than the window's chunks, since the
 * server has credit for no more (a server that sends more fails the call).
 *
 * Who takes messages: one of the threads that wait for a reply (the reader), for all of them, so that a reply wakes the thread
 * that waits for it and no other one in between. A reader that has what it wants hands over to another that waits. When
 * nobody waits, the idle thread looks several times a second: for signs of life, and for what is to be canceled. That nobody listens to a request comes on <inbox>.*, by a thread of the library.
 */

enum { IDLE_LOOK_MS = 100, BOTH_MS = 2, SUBJECT_MAX = MRD_RPC_SUBJECT_MAX };
static const int64_t MS = 1000000;

static int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

static void item_free(struct mrd_rpc_item *item)
{
    if (item != NULL) {
        natsMsg_Destroy(item->msg);
        free(item->bytes);
        free(item);
    }
}

/* ---- calls (lock held) ---- */

static uint32_t slot_take(struct mrd_rpc_client *client, struct mrd_rpc_asked *call)
{
    if (client->free_head == MRD_RPC_SLOT_NONE) {
        const uint32_t count = client->slot_count == 0 ? 64 : client->slot_count * 2;
        client->slots = reallocarray(client->slots, count, sizeof(*client->slots));
        mrd_assert(client->slots != NULL);
        for (uint32_t i = count; i-- > client->slot_count;) {
            client->slots[i] = (struct mrd_rpc_slot){.next_free = client->free_head};
            client->free_head = i;
        }
        client->slot_count = count;
    }
    const uint32_t index = client->free_head;
    client->free_head = client->slots[index].next_free;
    client->slots[index].call = call;
    return index;
}

void mrd_rpc_asked_stop(struct mrd_rpc_asked *call)
{
    if (!call->running) {
        return;
    }
    call->running = false;
    struct mrd_rpc_client *client = call->fan->client;
    if (call->slot == MRD_RPC_SLOT_NONE) {
        return;
    }
    struct mrd_rpc_slot *slot = &client->slots[call->slot];
    slot->call = NULL;
    slot->generation++;
    slot->next_free = client->free_head;
    client->free_head = call->slot;
}

static void call_push(struct mrd_rpc_asked *call, struct mrd_rpc_item *item)
{
    *call->last = item;
    call->last = &item->next;
}

void mrd_rpc_asked_fail(struct mrd_rpc_asked *call, enum mrd_status status, const char *format, ...)
{
    if (!call->running) {
        return;
    }
    struct mrd_rpc_item *item = calloc(1, sizeof(*item));
    mrd_assert(item != NULL);
    va_list args;
    va_start(args, format);
    vsnprintf(item->text, sizeof(item->text), format, args);
    va_end(args);
    item->frame = (struct mrd_rpc_frame){
        .kind = MRD_RPC_FRAME_ERROR, .status = status, .payload = mrd_bytes_of(item->text)};
    mrd_rpc_asked_stop(call);
    call_push(call, item);
    pthread_cond_signal(
        &call->fan->waiter->arrived); /* if it is the reader, it looks within a tick */
}

static struct mrd_rpc_item *call_pop(struct mrd_rpc_asked *call)
{
    struct mrd_rpc_item *item = call->first;
    if (item != NULL) {
        call->first = item->next;
        if (call->first == NULL) {
            call->last = &call->first;
        }
        call->queued -= item->frame.kind == MRD_RPC_FRAME_DATA ? 1 : 0;
    }
    return item;
}

/* ---- replies (lock held) ---- */

static struct mrd_rpc_asked *call_of_subject(struct mrd_rpc_client *client, const char *subject)
{
    const size_t inbox_size = strlen(client->inbox);
    uint32_t slot = 0;
    uint32_t generation = 0;
    if (strlen(subject) <= inbox_size ||
        sscanf(subject + inbox_size, ".%" SCNx32 "-%" SCNx32, &slot, &generation) != 2 ||
        slot >= client->slot_count || client->slots[slot].generation != generation) {
        return NULL;
    }
    return client->slots[slot].call;
}

/* The first frame that tells where control goes is as good as all others. */
static void control_take(struct mrd_rpc_asked *call, const natsMsg *msg)
{
    const char *control = natsMsg_GetReply(msg);
    if (control == NULL || call->control[0] != '\0') {
        return;
    }
    if ((size_t)snprintf(call->control, sizeof(call->control), "%s", control) >=
        sizeof(call->control)) {
        call->control[0] = '\0';
    }
}

/* Moves a numbered frame into the queue, with what it points into. Its fan-out's thread is to be woken. */
static void frame_take(struct mrd_rpc_asked *call, const struct mrd_rpc_frame *frame, natsMsg **msg,
                       uint8_t **bytes)
{
    if (frame->number != call->number_next) {
        mrd_rpc_asked_fail(call, MRD_E_UNAVAILABLE,
                           "%s: chunk %" PRIu32 " came where %" PRIu32
                           " was due: a part of the answer is lost",
                           call->subject, frame->number, call->number_next);
        return;
    }
    call->number_next++;
    if (frame->kind == MRD_RPC_FRAME_DATA) {
        call->queued++;
        if (call->queued > call->fan->options.window + 1) {
            mrd_rpc_asked_fail(call, MRD_E_UNAVAILABLE, "%s: sends beyond its credit",
                               call->subject);
            return;
        }
        if (call->conn == NULL && call->control[0] == '\0') {
            mrd_rpc_asked_fail(call, MRD_E_UNAVAILABLE, "%s: sends without a control subject",
                               call->subject);
            return;
        }
    } else {
        call->whole = true;
        mrd_rpc_asked_stop(call);
    }
    struct mrd_rpc_item *item = calloc(1, sizeof(*item));
    mrd_assert(item != NULL);
    item->frame = *frame;
    item->msg = msg == NULL ? NULL : MRD_MOVE(*msg);
    item->bytes = bytes == NULL ? NULL : MRD_MOVE(*bytes);
    call_push(call, item);
}

void mrd_rpc_asked_hear(struct mrd_rpc_asked *call, struct mrd_bytes data, natsMsg **msg,
                        uint8_t **bytes)
{
    struct mrd_rpc_frame frame;
    call->heard_ns = now_ns();
    if (data.size > 0 && data.data[0] != MRD_RPC_VERSION) {
        mrd_rpc_asked_fail(call, MRD_E_UNAVAILABLE,
                           "%s: replies in version %u of the protocol, this is %d", call->subject,
                           data.data[0], MRD_RPC_VERSION);
    } else if (!mrd_rpc_frame_get(data, &frame) || frame.kind == MRD_RPC_FRAME_CREDIT ||
               frame.kind == MRD_RPC_FRAME_CANCEL) {
        mrd_rpc_asked_fail(call, MRD_E_UNAVAILABLE, "%s: unreadable reply", call->subject);
    } else if (frame.kind != MRD_RPC_FRAME_ALIVE) {
        frame_take(call, &frame, msg, bytes);
    }
}

static void reply_take(struct mrd_rpc_asked *call, natsMsg **msg)
{
    const struct mrd_bytes data = {(const uint8_t *)natsMsg_GetData(*msg),
                                   (size_t)natsMsg_GetDataLength(*msg)};
    control_take(call, *msg);
    mrd_rpc_asked_hear(call, data, msg, NULL);
}

static void control_send(struct mrd_rpc_client *client, const char *control,
                         enum mrd_rpc_frame_kind kind, uint32_t number)
{
    uint8_t frame[MRD_RPC_FRAME_BYTES];
    mrd_rpc_frame_put(frame, kind, MRD_OK, number);
    (void)natsConnection_Publish(mrd_bus_nats(client->bus), control, frame, sizeof(frame));
}

/* A server has begun what nobody waits for any more. */
static void reply_of_nobody(struct mrd_rpc_client *client, const natsMsg *msg)
{
    if (natsMsg_GetReply(msg) != NULL) {
        control_send(client, natsMsg_GetReply(msg), MRD_RPC_FRAME_CANCEL, 0);
    }
}

/* ---- reading (lock held, given up while a message is waited for) ---- */

/* Takes a message to its call; the lock is free when this returns. */
static void message_take(struct mrd_rpc_client *client, natsMsg *msg)
{
    pthread_mutex_lock(&client->lock);
    struct mrd_rpc_asked *call = call_of_subject(client, natsMsg_GetSubject(msg));
    struct mrd_rpc_waiter *waiter = NULL;
    if (call != NULL) {
        reply_take(call, &msg);
        waiter = call->fan->waiter;
    }
    const bool wake = waiter != NULL && waiter->asleep;
    pthread_mutex_unlock(&client->lock);
    if (wake) {
        pthread_cond_signal(
            &waiter->arrived); /* not before: it would wake up to wait for the lock */
    }
    if (call == NULL) {
        reply_of_nobody(client, msg);
    }
    natsMsg_Destroy(msg);
}

/* Reads for all: the next message, if one comes within wait_ms. */
static void read_for_all(struct mrd_rpc_client *client, int64_t wait_ms)
{
    mrd_assert(!client->reading);
    client->reading = true;
    pthread_mutex_unlock(&client->lock);
    natsMsg *msg = NULL;
    const natsStatus status =
        natsSubscription_NextMsg(&msg, client->replies, MRD_MAX(wait_ms, (int64_t)1));
    if (status == NATS_OK) {
        message_take(client, msg);
    } else if (status != NATS_TIMEOUT) { /* the connection has been closed */
        const struct timespec pause = {.tv_nsec = MS};
        (void)nanosleep(&pause, NULL);
    }
    pthread_mutex_lock(&client->lock);
    client->reading = false;
}

/* Who stops reading lets another one that waits do it. */
static void reading_pass(const struct mrd_rpc_client *client)
{
    if (!client->reading && client->sleeping != NULL) {
        pthread_cond_signal(&client->sleeping->arrived);
    }
}

static void sleep_while_another_reads(struct mrd_rpc_client *client, struct mrd_rpc_waiter *waiter,
                                      int64_t until_ns)
{
    const struct timespec until = mrd_cond_time(until_ns);
    waiter->next = client->sleeping;
    waiter->asleep = true;
    client->sleeping = waiter;
    pthread_cond_timedwait(&waiter->arrived, &client->lock, &until);
    struct mrd_rpc_waiter **at = &client->sleeping;
    while (*at != waiter) {
        at = &(*at)->next;
    }
    *at = waiter->next;
    waiter->asleep = false;
}

static void *idle_run(void *context)
{
    struct mrd_rpc_client *client = context;
    pthread_mutex_lock(&client->lock);
    while (!client->stopping) {
        uint64_t queued = 0;
        const struct timespec until = mrd_cond_time(now_ns() + IDLE_LOOK_MS * MS);
        pthread_cond_timedwait(&client->stop, &client->lock, &until);
        while (!client->reading &&
               natsSubscription_QueuedMsgs(client->replies, &queued) == NATS_OK && queued > 0) {
            read_for_all(client, 1);
        }
        reading_pass(client);
    }
    pthread_mutex_unlock(&client->lock);
    nats_ReleaseThreadMemory();
    return NULL;
}

/* NATS says that nobody listens to a request. The thread that waits may be the reader: it hears of it by a message of ours. */
static void on_nobody(natsConnection *nats, natsSubscription *subscription, natsMsg *msg,
                      void *closure)
{
    (void)subscription;
    struct mrd_rpc_client *client = closure;
    pthread_mutex_lock(&client->lock);
    struct mrd_rpc_asked *call = call_of_subject(client, natsMsg_GetSubject(msg));
    if (call != NULL) {
        mrd_rpc_asked_fail(call, MRD_E_UNAVAILABLE, "%s: nobody listens there", call->subject);
    }
    const bool kick = call != NULL && client->reading;
    pthread_mutex_unlock(&client->lock);
    if (kick) {
        char subject[MRD_RPC_SUBJECT_MAX];
        snprintf(subject, sizeof(subject), "%s.kick" MRD_RPC_ANSWER_SUFFIX, client->inbox);
        (void)natsConnection_Publish(nats, subject, NULL, 0);
    }
    natsMsg_Destroy(msg);
}

static void on_bus_event(void *context, enum mrd_bus_event event, const char *text)
{
    (void)text;
    struct mrd_rpc_client *client = context;
    if (event != MRD_BUS_DISCONNECTED) {
        return;
    }
    pthread_mutex_lock(&client->lock);
    for (uint32_t i = 0; i < client->slot_count; i++) {
        struct mrd_rpc_asked *call = client->slots[i].call;
        if (call != NULL) {
            mrd_rpc_asked_fail(call, MRD_E_UNAVAILABLE, "%s: the connection to NATS was lost",
                               call->subject);
        }
    }
    pthread_mutex_unlock(&client->lock);
}

/* ---- the client ---- */

static enum mrd_status replies_subscribe(struct mrd_rpc_client *client, struct mrd_error *err)
{
    char subject[MRD_RPC_SUBJECT_MAX];
    MRD_TRY(mrd_bus_inbox(client->inbox, err));
    snprintf(subject, sizeof(subject), "%s.*", client->inbox);
    MRD_TRY(mrd_bus_subscribe(client->bus, subject, on_nobody, client, &client->nobody, err));
    snprintf(subject, sizeof(subject), "%s.*" MRD_RPC_ANSWER_SUFFIX, client->inbox);
    natsStatus status =
        natsConnection_SubscribeSync(&client->replies, mrd_bus_nats(client->bus), subject);
    if (status == NATS_OK) {
        /* The library's own limits drop silently; ours are the windows. */
        status = natsSubscription_SetPendingLimits(client->replies, -1, -1);
    }
    return status == NATS_OK ? MRD_OK : mrd_bus_fail(err, status, 0, "subscribe %s", subject);
}

static void client_free(struct mrd_rpc_client *client)
{
    mrd_bus_unsubscribe(&client->nobody);
    mrd_bus_retire(client->bus, &client->replies);
    while (client->free_waiters != NULL) {
        struct mrd_rpc_waiter *waiter = client->free_waiters;
        client->free_waiters = waiter->next;
        pthread_cond_destroy(&waiter->arrived);
        free(waiter);
    }
    pthread_cond_destroy(&client->stop);
    pthread_mutex_destroy(&client->lock);
    free(client->slots);
    free(client);
}

enum mrd_status mrd_rpc_client_create(struct mrd_bus *bus, struct mrd_rpc_client **out_client,
                                      struct mrd_error *err)
{
    struct mrd_rpc_client *client = calloc(1, sizeof(*client));
    mrd_assert(client != NULL);
    client->bus = bus;
    client->free_head = MRD_RPC_SLOT_NONE;
    pthread_mutex_init(&client->lock, NULL);
    mrd_cond_init(&client->stop);
    enum mrd_status status = replies_subscribe(client, err);
    if (status == MRD_OK && pthread_create(&client->idle_thread, NULL, idle_run, client) != 0) {
        status = mrd_fail(err, MRD_E_UNAVAILABLE, "no thread for replies");
    }
    if (status != MRD_OK) {
        client_free(client);
        return status;
    }
    client->listener = (struct mrd_bus_listener){.on_event = on_bus_event, .context = client};
    mrd_bus_listen(bus, &client->listener);
    *out_client = client;
    return MRD_OK;
}

enum mrd_status mrd_rpc_client_link(struct mrd_rpc_client *client,
                                    const struct mrd_rpc_link_options *options,
                                    struct mrd_error *err)
{
    mrd_assert(client->pool == NULL && client->fans == 0);
    const struct mrd_link_pool_options pool = {.on_change = options->on_change,
                                               .context = options->context,
                                               .opened = options->opened,
                                               .failed = options->failed};
    client->calls_link = options->calls_link;
    client->calls_nats = options->calls_nats;
    return mrd_link_pool_create(&pool, &client->pool, err);
}

void mrd_rpc_client_destroy(struct mrd_rpc_client **client)
{
    if (*client == NULL) {
        return;
    }
    struct mrd_rpc_client *self = MRD_MOVE(*client);
    mrd_assert(self->fans == 0);
    mrd_bus_unlisten(self->bus, &self->listener);
    pthread_mutex_lock(&self->lock);
    self->stopping = true;
    pthread_cond_signal(&self->stop);
    pthread_mutex_unlock(&self->lock);
    pthread_join(self->idle_thread, NULL);
    mrd_link_pool_destroy(&self->pool);
    client_free(self);
}

/* ---- fan-outs ---- */

/* Lock held. */
static struct mrd_rpc_waiter *waiter_take(struct mrd_rpc_client *client)
{
    struct mrd_rpc_waiter *waiter = client->free_waiters;
    if (waiter != NULL) {
        client->free_waiters = waiter->next;
        return waiter;
    }
    waiter = calloc(1, sizeof(*waiter));
    mrd_assert(waiter != NULL);
    mrd_cond_init(&waiter->arrived);
    return waiter;
}

struct mrd_rpc_fan *mrd_rpc_fan_create(struct mrd_rpc_client *client,
                                       const struct mrd_rpc_fan_options *options)
{
    struct mrd_rpc_fan *fan = calloc(1, sizeof(*fan));
    mrd_assert(fan != NULL);
    fan->client = client;
    fan->options = *options;
    fan->options.window = options->window == 0 ? MRD_RPC_WINDOW : options->window;
    fan->options.silence_ms = options->silence_ms == 0 ? MRD_RPC_SILENCE_MS : options->silence_ms;
    pthread_mutex_lock(&client->lock);
    fan->waiter = waiter_take(client);
    client->fans++;
    pthread_mutex_unlock(&client->lock);
    return fan;
}

static struct mrd_rpc_asked *call_create(struct mrd_rpc_fan *fan, const char *subject)
{
    struct mrd_rpc_asked *call = calloc(1, sizeof(*call));
    mrd_assert(call != NULL);
    call->fan = fan;
    call->slot = MRD_RPC_SLOT_NONE;
    call->running = true;
    call->last = &call->first;
    call->heard_ns = now_ns();
    snprintf(call->subject, sizeof(call->subject), "%s", subject);
    return call;
}

/* Lock held. */
static void fan_add(struct mrd_rpc_fan *fan, struct mrd_rpc_asked *call)
{
    if (fan->count == fan->capacity) {
        fan->capacity = fan->capacity == 0 ? 16 : fan->capacity * 2;
        fan->calls = reallocarray(fan->calls, fan->capacity, sizeof(struct mrd_rpc_asked *));
        mrd_assert(fan->calls != NULL);
    }
    call->index = fan->count;
    fan->calls[fan->count++] = call;
    fan->unfinished++;
}

static natsStatus request_send(struct mrd_rpc_fan *fan, const struct mrd_rpc_asked *call,
                               const char *reply, struct mrd_bytes request)
{
    const int64_t left_ms = MRD_MAX((fan->options.deadline_ns - now_ns()) / MS, (int64_t)1);
    uint8_t *message = malloc(MRD_RPC_REQUEST_BYTES + request.size);
    mrd_assert(message != NULL);
    mrd_rpc_request_put(message, fan->options.window, (uint64_t)left_ms);
    if (request.size > 0) {
        memcpy(message + MRD_RPC_REQUEST_BYTES, request.data, request.size);
    }
    const natsStatus status =
        natsConnection_PublishRequest(mrd_bus_nats(fan->client->bus), call->subject, reply, message,
                                      (int)(MRD_RPC_REQUEST_BYTES + request.size));
    free(message);
    return status;
}

static enum mrd_status request_check(const struct mrd_rpc_fan *fan, const char *subject,
                                     struct mrd_bytes request, struct mrd_error *err)
{
    const int64_t payload_max = mrd_bus_payload_max(fan->client->bus);
    if (fan->count >= MRD_RPC_FAN_MAX) {
        return mrd_fail(err, MRD_E_LIMIT, "more than %d requests in one query", MRD_RPC_FAN_MAX);
    }
    if (strlen(subject) >= SUBJECT_MAX || request.size > INT32_MAX / 2 ||
        (payload_max > 0 && (int64_t)(request.size + MRD_RPC_REQUEST_BYTES) > payload_max)) {
        return mrd_fail(err, MRD_E_INVALID, "request of %zu bytes to %s is too large", request.size,
                        subject);
    }
    return MRD_OK;
}

static void ask_over_nats(struct mrd_rpc_asked *call, struct mrd_bytes request)
{
    struct mrd_rpc_client *client = call->fan->client;
    char reply[MRD_BUS_INBOX_MAX + 32];
    pthread_mutex_lock(&client->lock);
    call->slot = slot_take(client, call);
    snprintf(reply, sizeof(reply), "%s.%" PRIx32 "-%" PRIx32, client->inbox, call->slot,
             client->slots[call->slot].generation);
    pthread_mutex_unlock(&client->lock);
    const natsStatus status = mrd_bus_connected(client->bus)
                                  ? request_send(call->fan, call, reply, request)
                                  : NATS_CONNECTION_DISCONNECTED;
    if (status != NATS_OK) {
        pthread_mutex_lock(&client->lock);
        mrd_rpc_asked_fail(call, MRD_E_UNAVAILABLE, "%s: %s", call->subject,
                           natsStatus_GetText(status));
        pthread_mutex_unlock(&client->lock);
    }
}

static void count(struct mrd_counter *counter)
{
    if (counter != NULL) {
        mrd_counter_add(counter, 1);
    }
}

enum mrd_status mrd_rpc_fan_start_at(struct mrd_rpc_fan *fan, const char *subject,
                                     const struct mrd_link *link, struct mrd_bytes request,
                                     size_t *out_call, struct mrd_error *err)
{
    struct mrd_rpc_client *client = fan->client;
    MRD_TRY(request_check(fan, subject, request, err));
    struct mrd_rpc_asked *call = call_create(fan, subject);
    pthread_mutex_lock(&client->lock);
    fan_add(fan, call);
    pthread_mutex_unlock(&client->lock);
    if (client->pool != NULL && link != NULL && link->address[0] != '\0' &&
        mrd_rpc_link_ask(call, link, request)) {
        count(client->calls_link);
    } else {
        ask_over_nats(call, request);
        count(client->calls_nats);
    }
    *out_call = call->index;
    return MRD_OK;
}

enum mrd_status mrd_rpc_fan_start(struct mrd_rpc_fan *fan, const char *subject,
                                  struct mrd_bytes request, size_t *out_call, struct mrd_error *err)
{
    return mrd_rpc_fan_start_at(fan, subject, NULL, request, out_call, err);
}

/* Lock held. */
static void silence_check(struct mrd_rpc_fan *fan)
{
    const int64_t before = now_ns() - fan->options.silence_ms * MS;
    for (size_t i = 0; i < fan->count; i++) {
        struct mrd_rpc_asked *call = fan->calls[i];
        if (call->running && call->heard_ns < before) {
            mrd_rpc_asked_fail(call, MRD_E_UNAVAILABLE,
                               "%s: silent for %" PRId64 " ms, dead or frozen", call->subject,
                               fan->options.silence_ms);
            mrd_rpc_link_release(call);
        }
    }
}

/* The next call with something to read, `only` or any (SIZE_MAX), in turns. */
static struct mrd_rpc_asked *call_ready(struct mrd_rpc_fan *fan, size_t only)
{
    if (only != SIZE_MAX) {
        struct mrd_rpc_asked *call = fan->calls[only];
        return call->first != NULL && !call->finished ? call : NULL;
    }
    for (size_t i = 0; i < fan->count; i++) {
        struct mrd_rpc_asked *call = fan->calls[(fan->turn + i) % fan->count];
        if (call->first != NULL && !call->finished) {
            fan->turn = (call->index + 1) % fan->count;
            return call;
        }
    }
    return NULL;
}

static enum mrd_status fan_check(const struct mrd_rpc_fan *fan, size_t only, struct mrd_error *err)
{
    if (fan->unfinished == 0 || (only != SIZE_MAX && fan->calls[only]->finished)) {
        return mrd_fail(err, MRD_E_NOT_FOUND, "no request is running");
    }
    if (fan->options.canceled != NULL &&
        atomic_load_explicit(fan->options.canceled, memory_order_relaxed)) {
        return mrd_fail(err, MRD_E_CANCELED, "the query was canceled");
    }
    if (now_ns() >= fan->options.deadline_ns) {
        return mrd_fail(err, MRD_E_TIMEOUT, "the query's deadline has passed while waiting for %s",
                        only != SIZE_MAX ? fan->calls[only]->subject : "ingesters");
    }
    return MRD_OK;
}

/* Lock held, given up meanwhile: waits for a reply over NATS to whichever call. */
static void nats_wait(struct mrd_rpc_fan *fan, int64_t until_ns)
{
    if (fan->client->reading) {
        sleep_while_another_reads(fan->client, fan->waiter, until_ns);
    } else {
        read_for_all(fan->client, (until_ns - now_ns()) / MS);
    }
}

/* Lock held, given up meanwhile. Where calls go both ways, those of the other way are looked after at every tick. */
static void replies_wait(struct mrd_rpc_fan *fan, size_t only)
{
    const int64_t now = now_ns();
    const int64_t until_ns = MRD_MIN(now + MRD_LINK_TICK_MS * MS, fan->options.deadline_ns);
    const bool by_link =
        only == SIZE_MAX ? fan->links == fan->unfinished : fan->calls[only]->conn != NULL;
    if (by_link) {
        mrd_rpc_links_read(fan, until_ns);
    } else if (only == SIZE_MAX && fan->links > 0) {
        mrd_rpc_links_read(fan, now);
        nats_wait(fan, MRD_MIN(now + BOTH_MS * MS, until_ns));
    } else {
        nats_wait(fan, until_ns);
    }
}

static struct mrd_rpc_asked *fan_wait(struct mrd_rpc_fan *fan, size_t only,
                                      enum mrd_status *out_status, struct mrd_error *err)
{
    for (;;) {
        *out_status = fan_check(fan, only, err);
        if (*out_status != MRD_OK) {
            return NULL;
        }
        if (fan->links > 0 && now_ns() - fan->links_read_ns > 2 * MRD_LINK_TICK_MS * MS) {
            mrd_rpc_links_read(fan, 0); /* before they are said to be silent */
        }
        silence_check(fan);
        struct mrd_rpc_asked *call = call_ready(fan, only);
        if (call != NULL) {
            return call;
        }
        replies_wait(fan, only);
    }
}

static void event_fill(const struct mrd_rpc_asked *call, const struct mrd_rpc_item *item,
                       struct mrd_rpc_event *out)
{
    *out = (struct mrd_rpc_event){.call = call->index};
    if (item->frame.kind == MRD_RPC_FRAME_ERROR) {
        out->kind = MRD_RPC_FAILED;
        const enum mrd_status status =
            item->frame.status == MRD_OK ? MRD_E_UNAVAILABLE : item->frame.status;
        (void)mrd_fail(&out->error, status, "%.*s", MRD_FMT(item->frame.payload));
    } else {
        out->kind = item->frame.kind == MRD_RPC_FRAME_DATA ? MRD_RPC_CHUNK : MRD_RPC_END;
        out->bytes = item->frame.payload;
    }
}

/* Lock held. Returns how much credit is to be granted, to *control. */
static uint32_t credit_due(struct mrd_rpc_asked *call, const char **control)
{
    call->consumed++;
    const uint32_t half = MRD_MAX(call->fan->options.window / 2, 1U);
    if (!call->running || call->consumed < half) {
        return 0;
    }
    const uint32_t credit = call->consumed;
    call->consumed = 0;
    *control = call->control; /* written once, not after the first chunk */
    return credit;
}

static enum mrd_status fan_next(struct mrd_rpc_fan *fan, size_t only, struct mrd_rpc_event *out,
                                struct mrd_error *err)
{
    struct mrd_rpc_item *done = NULL;
    const char *control = NULL;
    uint32_t credit = 0;
    enum mrd_status status = MRD_OK;
    pthread_mutex_lock(&fan->client->lock);
    struct mrd_rpc_asked *call = fan_wait(fan, only, &status, err);
    reading_pass(fan->client);
    if (call != NULL) {
        done = call->held;
        call->held = call_pop(call);
        event_fill(call, call->held, out);
        if (out->kind == MRD_RPC_CHUNK) {
            credit = credit_due(call, &control);
        } else {
            call->finished = true;
            fan->unfinished--;
        }
    }
    pthread_mutex_unlock(&fan->client->lock);
    item_free(done);
    if (credit > 0 && call->conn != NULL) {
        mrd_rpc_link_grant(call, credit);
    } else if (credit > 0) {
        control_send(fan->client, control, MRD_RPC_FRAME_CREDIT, credit);
    }
    return status;
}

enum mrd_status mrd_rpc_fan_next(struct mrd_rpc_fan *fan, struct mrd_rpc_event *out,
                                 struct mrd_error *err)
{
    return fan_next(fan, SIZE_MAX, out, err);
}

enum mrd_status mrd_rpc_fan_next_of(struct mrd_rpc_fan *fan, size_t call, struct mrd_rpc_event *out,
                                    struct mrd_error *err)
{
    mrd_assert(call < fan->count);
    return fan_next(fan, call, out, err);
}

void mrd_rpc_fan_cancel(struct mrd_rpc_fan *fan, size_t index)
{
    mrd_assert(index < fan->count);
    struct mrd_rpc_asked *call = fan->calls[index];
    pthread_mutex_lock(&fan->client->lock);
    const bool send = call->running && call->control[0] != '\0';
    mrd_rpc_link_release(call); /* before it stops: what still runs is canceled that way */
    mrd_rpc_asked_stop(call);
    if (!call->finished) {
        call->finished = true;
        fan->unfinished--;
    }
    for (struct mrd_rpc_item *item = call_pop(call); item != NULL; item = call_pop(call)) {
        item_free(item);
    }
    pthread_mutex_unlock(&fan->client->lock);
    item_free(MRD_MOVE(call->held));
    if (send) {
        control_send(fan->client, call->control, MRD_RPC_FRAME_CANCEL, 0);
    }
}

void mrd_rpc_fan_destroy(struct mrd_rpc_fan **fan)
{
    if (*fan == NULL) {
        return;
    }
    struct mrd_rpc_fan *self = MRD_MOVE(*fan);
    for (size_t i = 0; i < self->count; i++) {
        mrd_rpc_fan_cancel(self, i);
        free(self->calls[i]);
    }
    pthread_mutex_lock(&self->client->lock);
    self->client->fans--;
    self->waiter->next = self->client->free_waiters;
    self->client->free_waiters = self->waiter;
    pthread_mutex_unlock(&self->client->lock);
    free(self->calls);
    free(self);
}
