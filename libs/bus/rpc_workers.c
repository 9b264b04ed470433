#include <stdlib.h>

#include "base/threads.h"
#include "bus/rpc_server_internal.h"

static const int64_t MS = 1000000;

static int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

/* ---- places (lock held) ---- */

static struct mrd_rpc_call *call_of(struct mrd_fair_waiter *waiter)
{
    return MRD_CONTAINER_OF(waiter, struct mrd_rpc_call, waiter);
}

static enum mrd_rpc_lane_kind lane_of(const struct mrd_fair_waiter *waiter)
{
    return ((const struct mrd_rpc_call *)((const char *)waiter -
                                          offsetof(struct mrd_rpc_call, waiter)))
        ->lane;
}

static pthread_cond_t *changed_of(const struct mrd_rpc_call *call)
{
    return &call->server->slots[call->slot].changed;
}

static void wakes_add(struct mrd_rpc_wakes *wakes, const struct mrd_rpc_call *call)
{
    if (wakes->count < MRD_ARRAY_LEN(wakes->slots)) {
        wakes->slots[wakes->count++] = call->slot;
    } else {
        pthread_cond_signal(changed_of(call));
    }
}

/* Hands out the places that are free, and adds to *wakes who is to hear of it. False: a new call and a place are there and no
 * thread, and none can be made. */
static bool places_offer(struct mrd_rpc_server *server, struct mrd_rpc_wakes *wakes)
{
    bool threads = true;
    for (const struct mrd_fair_waiter *next;
         (next = mrd_fair_next(&server->flows, !threads)) != NULL;) {
        const bool fresh = !next->begun;
        const enum mrd_rpc_lane_kind kind = lane_of(next);
        struct mrd_rpc_lane *lane = &server->lanes[kind];
        if (fresh && lane->ready_count == lane->looking && !mrd_rpc_thread_add(server, kind)) {
            threads = false;
            continue;
        }
        struct mrd_rpc_call *call = call_of(mrd_fair_take(&server->flows, !threads));
        if (fresh) {
            *lane->ready_last = call;
            lane->ready_last = &call->next;
            lane->ready_count++;
            wakes->work[kind]++;
        } else {
            call->placed = true;
            wakes_add(wakes, call);
        }
    }
    return threads || mrd_fair_next(&server->flows, false) == NULL;
}

void mrd_rpc_workers_wake(struct mrd_rpc_server *server, const struct mrd_rpc_wakes *wakes)
{
    for (size_t lane = 0; lane < MRD_RPC_LANES; lane++) {
        for (unsigned i = 0; i < wakes->work[lane]; i++) {
            pthread_cond_signal(&server->lanes[lane].work);
        }
    }
    for (uint32_t i = 0; i < wakes->count; i++) {
        pthread_cond_signal(&server->slots[wakes->slots[i]].changed);
    }
}

/* Lock held, given up meanwhile. */
static void wake(struct mrd_rpc_server *server, const struct mrd_rpc_wakes *wakes)
{
    if (wakes->work[MRD_RPC_LANE_USUAL] + wakes->work[MRD_RPC_LANE_LOW] + wakes->count > 0) {
        pthread_mutex_unlock(&server->lock);
        mrd_rpc_workers_wake(server, wakes);
        pthread_mutex_lock(&server->lock);
    }
}

/* The lock is given up meanwhile, in this one and the next. */
static void place_take(struct mrd_rpc_call *call)
{
    struct mrd_rpc_server *server = call->server;
    struct mrd_rpc_wakes wakes = {0};
    call->placed = false;
    mrd_fair_wait(&server->flows, &call->waiter);
    (void)places_offer(server, &wakes);
    wake(server, &wakes);
    while (!call->placed) {
        pthread_cond_wait(changed_of(call), &server->lock);
    }
    call->placed_ns = now_ns();
}

static enum mrd_status place_give(struct mrd_rpc_call *call, struct mrd_error *err)
{
    struct mrd_rpc_server *server = call->server;
    struct mrd_rpc_wakes wakes = {0};
    mrd_fair_give(&server->flows, call->waiter.flow);
    const bool offered = places_offer(server, &wakes);
    wake(server, &wakes);
    if (offered) {
        return MRD_OK;
    }
    place_take(call);
    return mrd_fail(err, MRD_E_UNAVAILABLE, "no thread can be made while %u wait",
                    server->thread_count);
}

/* ---- what handlers see ---- */

const char *mrd_rpc_call_subject(const struct mrd_rpc_call *call)
{
    return call->link == NULL ? natsMsg_GetSubject(call->msg) : call->server->options.subject;
}

struct mrd_bytes mrd_rpc_call_request(const struct mrd_rpc_call *call) { return call->request; }

int64_t mrd_rpc_call_deadline_ns(const struct mrd_rpc_call *call) { return call->deadline_ns; }

const _Atomic bool *mrd_rpc_call_stop_flag(const struct mrd_rpc_call *call) { return &call->stop; }

bool mrd_rpc_call_ended(const struct mrd_rpc_call *call)
{
    return atomic_load_explicit(&call->end, memory_order_relaxed) != MRD_RPC_RUNNING ||
           now_ns() >= call->deadline_ns;
}

enum mrd_status mrd_rpc_call_check(const struct mrd_rpc_call *call, struct mrd_error *err)
{
    const enum mrd_rpc_call_end end = atomic_load_explicit(&call->end, memory_order_relaxed);
    if (end == MRD_RPC_CANCELED) {
        return mrd_fail(err, MRD_E_CANCELED, "canceled by the client");
    }
    if (end == MRD_RPC_LOST) {
        return mrd_fail(err, MRD_E_UNAVAILABLE, "%sthis process stops",
                        call->link == NULL ? "the connection to NATS was lost, or " : "");
    }
    if (now_ns() >= call->deadline_ns) {
        return mrd_fail(err, MRD_E_TIMEOUT, "the request's deadline has passed");
    }
    return MRD_OK;
}

/* Lock held, given up meanwhile. */
static void credit_listen(struct mrd_rpc_call *call)
{
    pthread_mutex_unlock(&call->server->lock);
    mrd_rpc_link_listen(call);
    pthread_mutex_lock(&call->server->lock);
}

/* Lock held. Waits without a place. */
static enum mrd_status credit_wait(struct mrd_rpc_call *call, struct mrd_error *err)
{
    struct mrd_rpc_server *server = call->server;
    const struct timespec until = mrd_cond_time(call->deadline_ns);
    MRD_TRY(place_give(call, err));
    enum mrd_status status;
    while ((status = mrd_rpc_call_check(call, err)) == MRD_OK && call->credit == 0) {
        if (call->own_thread) {
            credit_listen(call);
        } else {
            pthread_cond_timedwait(changed_of(call), &server->lock, &until);
        }
    }
    place_take(call);
    return status;
}

static enum mrd_status credit_take(struct mrd_rpc_call *call, struct mrd_error *err)
{
    struct mrd_rpc_server *server = call->server;
    pthread_mutex_lock(&server->lock);
    enum mrd_status status = mrd_rpc_call_check(call, err);
    if (status == MRD_OK && call->credit == 0) {
        status = credit_wait(call, err);
    }
    if (status == MRD_OK) {
        call->credit--;
    }
    pthread_mutex_unlock(&server->lock);
    return status;
}

enum mrd_status mrd_rpc_call_pause(struct mrd_rpc_call *call, struct mrd_error *err)
{
    pthread_mutex_lock(&call->server->lock);
    const enum mrd_status status = place_give(call, err);
    pthread_mutex_unlock(&call->server->lock);
    return status;
}

void mrd_rpc_call_resume(struct mrd_rpc_call *call)
{
    pthread_mutex_lock(&call->server->lock);
    place_take(call);
    pthread_mutex_unlock(&call->server->lock);
}

void mrd_rpc_call_yield(struct mrd_rpc_call *call)
{
    struct mrd_rpc_server *server = call->server;
    const int64_t now = now_ns();
    mrd_thread_work_look(&call->work, now);
    if (call->own_thread && mrd_thread_in_background()) {
        mrd_rpc_link_hand_over(
            call); /* now: short calls are not to wait for a thread without a core */
    }
    if (atomic_load_explicit(&server->flows.waiting, memory_order_relaxed) == 0 ||
        now - call->looked_ns < MRD_FAIR_LOOK_US * (int64_t)1000) {
        return;
    }
    call->looked_ns = now;
    pthread_mutex_lock(&server->lock);
    if (mrd_fair_crowds(&server->flows, call->waiter.flow, (now - call->placed_ns) / MS)) {
        server->stats.yields++;
        mrd_fair_give(&server->flows, call->waiter.flow);
        place_take(call);
    }
    pthread_mutex_unlock(&server->lock);
}

static enum mrd_status frame_send(struct mrd_rpc_call *call, enum mrd_rpc_frame_kind kind,
                                  enum mrd_status status, struct mrd_bytes first,
                                  struct mrd_bytes second, struct mrd_error *err)
{
    if (call->link != NULL) {
        MRD_TRY(mrd_rpc_link_send(call, kind, status, first, second, err));
        call->number++;
        return MRD_OK;
    }
    uint8_t head[MRD_RPC_FRAME_BYTES];
    mrd_rpc_frame_put(head, kind, status, call->number);
    mrd_buf_clear(&call->frame);
    mrd_buf_append(&call->frame, head, sizeof(head));
    mrd_buf_append_bytes(&call->frame, first);
    mrd_buf_append_bytes(&call->frame, second);
    natsConnection *nats = mrd_bus_nats(call->server->bus);
    const char *subject = call->answer;
    const natsStatus sent =
        kind == MRD_RPC_FRAME_DATA
            ? natsConnection_PublishRequest(nats, subject, call->control, call->frame.data,
                                            (int)call->frame.size)
            : natsConnection_Publish(nats, subject, call->frame.data, (int)call->frame.size);
    if (sent != NATS_OK) {
        return mrd_bus_fail(err, sent, 0, "reply to %s", mrd_rpc_call_subject(call));
    }
    call->number++;
    return MRD_OK;
}

static void count_chunk(struct mrd_rpc_server *server, size_t size)
{
    pthread_mutex_lock(&server->lock);
    server->stats.chunks++;
    server->stats.bytes += size;
    pthread_mutex_unlock(&server->lock);
}

enum mrd_status mrd_rpc_call_send_joined(struct mrd_rpc_call *call, struct mrd_bytes first,
                                         struct mrd_bytes second, struct mrd_error *err)
{
    const size_t size = first.size + second.size;
    if (size == 0) {
        return MRD_OK;
    }
    if (size > INT32_MAX / 2) {
        return mrd_fail(err, MRD_E_INVALID, "reply chunk of %zu bytes", size);
    }
    MRD_TRY(credit_take(call, err));
    MRD_TRY(frame_send(call, MRD_RPC_FRAME_DATA, MRD_OK, first, second, err));
    count_chunk(call->server, size);
    return MRD_OK;
}

enum mrd_status mrd_rpc_call_send(struct mrd_rpc_call *call, struct mrd_bytes chunk,
                                  struct mrd_error *err)
{
    return mrd_rpc_call_send_joined(call, chunk, MRD_BYTES_NONE, err);
}

void mrd_rpc_call_last_take(struct mrd_rpc_call *call, struct mrd_buf *bytes)
{
    mrd_buf_fini(&call->last);
    call->last = *bytes;
    *bytes = (struct mrd_buf){0};
}

/* ---- running calls ---- */

void mrd_rpc_call_free(struct mrd_rpc_call *call)
{
    natsMsg_Destroy(call->msg);
    free(call->frame_of_request);
    mrd_buf_fini(&call->frame);
    mrd_buf_fini(&call->last);
    free(call);
}

void mrd_rpc_call_end_now(struct mrd_rpc_call *call, enum mrd_rpc_call_end end)
{
    if (atomic_load_explicit(&call->end, memory_order_relaxed) == MRD_RPC_RUNNING) {
        atomic_store_explicit(&call->end, end, memory_order_relaxed);
        atomic_store_explicit(&call->stop, true, memory_order_relaxed);
        pthread_cond_signal(changed_of(call));
    }
}

static enum mrd_status finish(struct mrd_rpc_call *call, enum mrd_status status,
                              struct mrd_error *err)
{
    if (status == MRD_OK) {
        status = frame_send(call, MRD_RPC_FRAME_END, MRD_OK, mrd_buf_view(&call->last),
                            MRD_BYTES_NONE, err);
    }
    if (status != MRD_OK) {
        /* Nobody waits for more; if this message is lost, the client hears of it by silence. */
        const char *text = err->text[0] == '\0' ? mrd_status_name(status) : err->text;
        (void)frame_send(call, MRD_RPC_FRAME_ERROR, status, mrd_bytes_of(text), MRD_BYTES_NONE,
                         NULL);
    }
    return status;
}

/* Lock held. */
static void count_end(struct mrd_rpc_server *server, const struct mrd_rpc_call *call,
                      enum mrd_status status)
{
    if (status == MRD_OK) {
        server->stats.chunks += call->last.size > 0 ? 1 : 0;
        server->stats.bytes += call->last.size;
    } else if (status == MRD_E_CANCELED) {
        server->stats.canceled++;
    } else if (status == MRD_E_TIMEOUT) {
        server->stats.timeouts++;
    } else {
        server->stats.failed++;
    }
}

/* A thread of the lane takes other calls after one. */
static bool goes_on(enum mrd_rpc_lane_kind lane)
{
    return lane == MRD_RPC_LANE_LOW || !mrd_thread_in_background();
}

/* Lock held. The call's slot, place and share of its flow are free from now on. */
static void call_leave(struct mrd_rpc_server *server, struct mrd_rpc_call *call,
                       struct mrd_rpc_wakes *wakes)
{
    server->slots[call->slot].call = NULL;
    server->slots[call->slot].generation++;
    server->stats.running--;
    if (call->link != NULL) {
        mrd_rpc_link_leave(call);
    }
    if (server->stats.running + server->stats.queued == 0) {
        pthread_cond_broadcast(&server->idle);
    }
    const bool looks = goes_on(call->lane) && !call->own_thread; /* for another call */
    server->lanes[call->lane].looking += looks ? 1 : 0;
    mrd_fair_give(&server->flows, call->waiter.flow);
    mrd_fair_leave(&server->flows, call->waiter.flow);
    (void)places_offer(server, wakes);
    unsigned *work = &wakes->work[call->lane];
    *work -= looks && *work > 0 ? 1 : 0; /* one is for this thread */
}

void mrd_rpc_call_run(struct mrd_rpc_server *server, struct mrd_rpc_call *call)
{
    struct mrd_error err = {0};
    struct mrd_rpc_wakes wakes = {0};
    call->placed_ns = now_ns();
    call->work = (struct mrd_thread_work){.since_ns = call->placed_ns};
    const int64_t cpu_before_ns = call->urgent ? 0 : mrd_thread_cpu_ns();
    enum mrd_status status = mrd_rpc_call_check(call, &err);
    if (status == MRD_OK) {
        status = server->options.handle(server->options.context, call, &err);
    }
    mrd_thread_work_end(&call->work);
    status = finish(call, status, &err);
    const int64_t used_ns = call->urgent ? 0 : mrd_thread_cpu_ns() - cpu_before_ns;
    pthread_mutex_lock(&server->lock);
    count_end(server, call, status);
    if (!call->urgent) {
        mrd_usage_add(&server->usage, call->waiter.flow->key, used_ns, now_ns());
    }
    call_leave(server, call, &wakes);
    pthread_mutex_unlock(&server->lock);
    mrd_rpc_workers_wake(server, &wakes);
    mrd_rpc_call_free(call);
}

/* Lock held. The next call that has a place; NULL when the server stops and none is left. */
static struct mrd_rpc_call *call_take(struct mrd_rpc_server *server, struct mrd_rpc_lane *lane)
{
    while (lane->ready == NULL && !(server->stopping && server->flows.fresh == 0)) {
        pthread_cond_wait(&lane->work, &server->lock);
    }
    lane->looking--;
    struct mrd_rpc_call *call = lane->ready;
    if (call == NULL) {
        return NULL;
    }
    lane->ready = call->next;
    if (lane->ready == NULL) {
        lane->ready_last = &lane->ready;
    }
    lane->ready_count--;
    server->stats.queued--;
    server->stats.running++;
    return call;
}

static void all_wake(struct mrd_rpc_server *server)
{
    for (size_t i = 0; i < MRD_RPC_LANES; i++) {
        pthread_cond_broadcast(&server->lanes[i].work);
    }
}

void mrd_rpc_worker_run(struct mrd_rpc_server *server, enum mrd_rpc_lane_kind lane)
{
    struct mrd_rpc_call *call;
    pthread_mutex_lock(&server->lock);
    while (goes_on(lane) && (call = call_take(server, &server->lanes[lane])) != NULL) {
        pthread_mutex_unlock(&server->lock);
        mrd_rpc_call_run(server, call);
        pthread_mutex_lock(&server->lock);
    }
    all_wake(server); /* stopping: the others may end as well */
    pthread_mutex_unlock(&server->lock);
}

void mrd_rpc_workers_add(struct mrd_rpc_server *server, struct mrd_rpc_call *call)
{
    struct mrd_rpc_wakes wakes = {0};
    pthread_mutex_lock(&server->lock);
    server->stats.queued++;
    mrd_fair_wait(&server->flows, &call->waiter);
    (void)places_offer(server, &wakes); /* without a thread, the next one that is free takes it */
    pthread_mutex_unlock(&server->lock);
    mrd_rpc_workers_wake(server, &wakes);
}

bool mrd_rpc_workers_enter(struct mrd_rpc_server *server, struct mrd_rpc_call *call,
                           struct mrd_rpc_wakes *wakes)
{
    mrd_fair_wait(&server->flows, &call->waiter);
    call->own_thread =
        call->lane == MRD_RPC_LANE_USUAL && mrd_fair_next(&server->flows, false) == &call->waiter;
    if (call->own_thread) {
        (void)mrd_fair_take(&server->flows, false);
        server->stats.running++;
    } else {
        server->stats.queued++;
        (void)places_offer(server, wakes);
    }
    return call->own_thread;
}

bool mrd_rpc_workers_start(struct mrd_rpc_server *server)
{
    server->thread_slots = MRD_RPC_LANES * (server->slot_count + server->options.workers);
    server->threads = calloc(server->thread_slots, sizeof(*server->threads));
    mrd_assert(server->threads != NULL);
    bool started = true;
    pthread_mutex_lock(&server->lock);
    for (uint32_t i = 0; i < server->options.workers && started; i++) {
        started = mrd_rpc_thread_add(server, MRD_RPC_LANE_USUAL);
    }
    pthread_mutex_unlock(&server->lock);
    return started;
}

void mrd_rpc_workers_stop(struct mrd_rpc_server *server)
{
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    all_wake(server);
    pthread_cond_broadcast(&server->pulse);
    mrd_rpc_threads_join(server); /* while the queue empties, threads may be added */
    pthread_mutex_unlock(&server->lock);
    free(server->threads);
    server->threads = NULL;
}
