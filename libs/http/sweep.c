/* The sweeper: a thread that watches what libmicrohttpd does not. Its timeout restarts with every byte,
 * so a client that drips one now and then would stay for ever; it does not run while a connection is
 * suspended; and a client that goes away meanwhile is noticed only afterwards. */
#include <linux/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/threads.h"
#include "http/http_internal.h"

enum { SWEEP_AGES_MS = 500, SWEEP_BATCH = 64 };

/* Wakes the server thread, which finds the connection closed; the descriptor stays its own. */
static void shut(struct mrd_http_server *server, struct http_connection *peer, int phase)
{
    if (!peer->shut) {
        peer->shut = true;
        (void)shutdown(peer->fd, SHUT_RDWR);
        mrd_counter_add(server->counts.shut[phase], 1);
    }
}

/* ---- requests: deadlines and clients that have gone ---- */

/* The client has closed at least its sending side: an HTTP client that still wants the reply does not.
 * (Go's server takes it the same way.) */
static bool client_is_gone(int fd)
{
    struct pollfd socket = {.fd = fd, .events = POLLRDHUP};
    return poll(&socket, 1, 0) > 0 && (socket.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

static bool is_expired(const struct mrd_http_request *request, int64_t now_ns)
{
    return now_ns >= request->deadline_ns ||
           atomic_load_explicit(&request->server->expiring, memory_order_relaxed);
}

/* Counts a client that has gone, once; whoever works for it learns of it by mrd_http_canceled. */
static void watch_client(struct http_connection *peer, int64_t now_ns)
{
    struct mrd_http_request *request = peer->suspended;
    if (now_ns - request->received_ns > HTTP_SWEEP_MS * 1000000LL &&
        !atomic_load_explicit(&request->gone, memory_order_relaxed) && client_is_gone(peer->fd)) {
        atomic_store_explicit(&request->gone, true, memory_order_relaxed);
        mrd_counter_add(request->server->counts.canceled, 1);
    }
}

/* Where handlers wait, one that has filled its queue stands still while the client takes of it: it looks at nothing then. */
static bool client_fails(const struct http_connection *peer, int64_t now_ns)
{
    const struct mrd_http_request *request = peer->suspended;
    const int64_t since_ns = atomic_load_explicit(&request->client_since_ns, memory_order_relaxed);
    return since_ns != 0 && (atomic_load_explicit(&request->gone, memory_order_relaxed) ||
                             now_ns - since_ns > request->server->config.stall_ms_max * 1000000);
}

/* A reply that is being written: the server thread may be out of reach, waiting for bytes. */
static void watch_written(struct http_connection *peer, int64_t now_ns)
{
    watch_client(peer, now_ns);
    if (atomic_load_explicit(&peer->suspended->cut, memory_order_relaxed) ||
        client_fails(peer, now_ns)) {
        shut(peer->suspended->server, peer, HTTP_PHASE_REPLY);
    }
}

/* Under the lock; the request lives as long as it is in `suspended`. True: the caller resumes it. */
static bool watch_request(struct http_connection *peer, int64_t now_ns)
{
    struct mrd_http_request *request = peer->suspended;
    /* Acquire: `written` was set before the step to ANSWERED. */
    const int state = atomic_load_explicit(&request->state, memory_order_acquire);
    if (state == HTTP_ANSWERED && request->written) {
        watch_written(peer, now_ns);
    }
    const bool runs = state == HTTP_RUNNING && request->server->config.handlers_wait;
    if (state != HTTP_SUSPENDED && !runs) {
        return false;
    }
    if (is_expired(request, now_ns)) {
        atomic_store_explicit(&request->gone, true, memory_order_relaxed);
        if (request_step(request, (enum http_state)state, HTTP_EXPIRED)) {
            mrd_counter_add(request->server->counts.expired, 1);
            return !runs;
        }
    } else {
        watch_client(peer, now_ns);
    }
    return false;
}

/* The requests to resume, as many as fit; libmicrohttpd is not called under our lock. */
static size_t watch_requests(struct mrd_http_server *server, int64_t now_ns,
                             struct mrd_http_request *out[SWEEP_BATCH])
{
    size_t count = 0;
    pthread_mutex_lock(&server->lock);
    for (struct http_connection *peer = server->connections; peer != NULL; peer = peer->next) {
        if (peer->suspended != NULL && count < SWEEP_BATCH && watch_request(peer, now_ns)) {
            out[count++] = peer->suspended;
        }
    }
    pthread_mutex_unlock(&server->lock);
    return count;
}

static void sweep_requests(struct mrd_http_server *server)
{
    struct mrd_http_request *resumed[SWEEP_BATCH];
    size_t count;
    do {
        count = watch_requests(server, http_now_ns(), resumed);
        for (size_t i = 0; i < count; i++) {
            request_resume(resumed[i]); /* suspended until now: only we may resume it */
        }
    } while (count == SWEEP_BATCH);
}

/* ---- connections: ages ---- */

static uint64_t bytes_received(int fd)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof(info);
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? info.tcpi_bytes_received : 0;
}

/* An idle connection has sent the beginning of a request line, which libmicrohttpd does not tell: the
 * kernel's count has grown since the connection was first seen idle. */
static bool idle_is_too_slow(struct http_connection *peer, int64_t since_ns, int64_t now_ns,
                             int64_t head_ns_max)
{
    if (peer->idle_since_ns != since_ns) {
        peer->idle_since_ns = since_ns;
        peer->idle_bytes = bytes_received(peer->fd);
        peer->bytes_since_ns = 0;
        return false;
    }
    if (peer->bytes_since_ns == 0 && bytes_received(peer->fd) != peer->idle_bytes) {
        peer->bytes_since_ns = now_ns;
    }
    return peer->bytes_since_ns != 0 && now_ns - peer->bytes_since_ns > head_ns_max;
}

static bool is_too_old(struct mrd_http_server *server, struct http_connection *peer, int phase,
                       int64_t now_ns)
{
    const struct mrd_http_config *config = &server->config;
    const int64_t since_ns = atomic_load_explicit(&peer->phase_since_ns, memory_order_relaxed);
    const int64_t age_ms = (now_ns - since_ns) / 1000000;
    switch ((enum http_phase)phase) {
    case HTTP_PHASE_NEW:
        return age_ms > (config->handlers_wait ? MRD_MIN(config->head_ms_max, config->idle_ms_max)
                                               : config->head_ms_max);
    case HTTP_PHASE_HEAD:
        return age_ms > config->head_ms_max;
    case HTTP_PHASE_IDLE:
        return age_ms >
                   config->idle_ms_max +
                       (config->handlers_wait ? 0 : config->head_ms_max) || /* see daemon_start */
               (age_ms >= SWEEP_AGES_MS &&
                idle_is_too_slow(peer, since_ns, now_ns, config->head_ms_max * 1000000));
    case HTTP_PHASE_BODY:
        return age_ms > config->body_ms_max;
    case HTTP_PHASE_REPLY:
        return age_ms > config->reply_ms_max;
    case HTTP_PHASE_HANDLER:
    case HTTP_PHASE_COUNT:
        break;
    }
    return false;
}

static void sweep_ages(struct mrd_http_server *server)
{
    const int64_t now_ns = http_now_ns();
    pthread_mutex_lock(&server->lock);
    for (struct http_connection *peer = server->connections; peer != NULL; peer = peer->next) {
        const int phase = atomic_load_explicit(&peer->phase, memory_order_relaxed);
        if (is_too_old(server, peer, phase, now_ns)) {
            shut(server, peer, phase);
        }
    }
    pthread_mutex_unlock(&server->lock);
}

void sweep_shut_all(struct mrd_http_server *server)
{
    pthread_mutex_lock(&server->lock);
    for (struct http_connection *peer = server->connections; peer != NULL; peer = peer->next) {
        if (!peer->shut) {
            peer->shut = true;
            (void)shutdown(peer->fd, SHUT_RDWR);
        }
    }
    pthread_mutex_unlock(&server->lock);
}

/* ---- the thread ---- */

/* Sleeps for a tick; false when the sweeper is to end. */
static bool sweep_wait(struct mrd_http_server *server)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += HTTP_SWEEP_MS * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_nsec -= 1000000000L;
        until.tv_sec++;
    }
    pthread_mutex_lock(&server->lock);
    if (!server->sweeper_stop) {
        (void)pthread_cond_timedwait(&server->wake, &server->lock, &until);
    }
    const bool stop = server->sweeper_stop;
    pthread_mutex_unlock(&server->lock);
    return !stop;
}

void *sweep_main(void *context)
{
    struct mrd_http_server *server = context;
    mrd_thread_name_set("http-sweep");
    int64_t ages_next_ns = 0;
    while (sweep_wait(server)) {
        sweep_requests(server);
        if (http_now_ns() >= ages_next_ns) {
            sweep_ages(server);
            ages_next_ns = http_now_ns() + SWEEP_AGES_MS * 1000000LL;
        }
    }
    return NULL;
}
