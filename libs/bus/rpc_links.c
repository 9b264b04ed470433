/* Direct connections of an rpc server.
 *
 * Each has a thread, which waits for a request, runs it itself if it is the request's turn, and writes the answer: no
 * other thread wakes up. If others are to go first, the request is queued like any, a worker answers it, and the
 * connection's thread goes on reading. One request at a time is under way on a connection.
 *
 * While a connection's thread runs a handler, nobody waits for what its client says: a handler that waits for credit
 * reads by itself, and the watch looks every 50 ms for cancellation and for clients that have gone.
 *
 * The watch is one thread: it accepts connections, makes and joins their threads (one that has worked for long has
 * stepped into the background for good, base/threads.h, and is replaced), sends signs of life, and is the only one
 * that touches the list. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bus/rpc_server_internal.h"

enum {
    WATCH_MS = 50,
    IDLE_MS = 1000, /* without connections */
    HANDSHAKE_MS = 2000,
    HANDSHAKES_MAX = 32, /* connections that have not proved themselves */
    ALIVE_MS = 500,
    ALIVE_FIRST_MS = 100,
    ALIVE_BYTES = MRD_LINK_SIZE_BYTES + MRD_RPC_FRAME_BYTES,
};
static const int64_t MS = 1000000;

enum link_state {
    LINK_NEW,   /* its thread has not proved the client yet */
    LINK_OPEN,  /* its thread reads, or runs a handler */
    LINK_LEFT,  /* its thread has left it, another one is to go on */
    LINK_ENDED, /* its thread ends, and it is to be freed */
};

struct mrd_rpc_link {
    struct mrd_rpc_links *links;
    struct mrd_rpc_link *next; /* the watch's */
    int fd;                    /* blocks; closed by the watch */
    pthread_t thread;
    _Atomic enum link_state
        state; /* stored with release by its thread, loaded with acquire by the watch */
    pthread_mutex_t read_lock; /* whose turn it is to read; others are taken inside it */
    struct mrd_link_reader reader;
    pthread_mutex_t write_lock; /* whose turn it is to write; others are taken inside it */
    uint8_t rest[ALIVE_BYTES];  /* of a sign of life that was cut off */
    size_t rest_size;
    bool broken; /* a frame was cut off: nothing can follow */
    pthread_cond_t left;
    /* guarded by the server's lock */
    struct mrd_rpc_call
        *call;      /* takes credit and cancellation; NULL: none, or its end is being sent */
    uint32_t calls; /* that may still use the link */
};

struct mrd_rpc_links {
    struct mrd_rpc_server *server;
    struct mrd_link_listener *listener;
    int wake_fd;
    pthread_t watch;
    _Atomic bool
        refusing; /* relaxed: read under the server's lock, or by the watch after it was woken */
    _Atomic bool stopping; /* the same */
    struct mrd_rpc_link *first;
    uint32_t count;
};

static int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

static void watch_wake(struct mrd_rpc_links *links)
{
    const uint64_t one = 1;
    (void)!write(links->wake_fd, &one, sizeof(one)); /* fails only if it is awake already */
}

/* ---- writing ---- */

/* Sends what can be sent at once; *left: so much of the pieces is not. False: the connection is broken. */
static bool send_some(struct mrd_rpc_link *link, struct iovec *pieces, size_t count, size_t *left)
{
    const struct msghdr message = {.msg_iov = pieces, .msg_iovlen = count};
    const ssize_t sent = sendmsg(link->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        return false;
    }
    *left = mrd_link_iov_advance(pieces, count, (size_t)MRD_MAX(sent, (ssize_t)0));
    return true;
}

static enum mrd_status send_rest(struct mrd_rpc_call *call, struct iovec *pieces, size_t count,
                                 struct mrd_error *err)
{
    for (size_t left = 1; left > 0;) {
        MRD_TRY(mrd_rpc_call_check(call, err));
        struct pollfd poll_fd = {.fd = call->link->fd, .events = POLLOUT};
        (void)poll(&poll_fd, 1, WATCH_MS);
        if (!send_some(call->link, pieces, count, &left)) {
            return mrd_fail_errno(err, MRD_E_CANCELED, "the client has gone");
        }
    }
    return MRD_OK;
}

/* Write turn held. The client does not read as fast: others may work meanwhile. */
static enum mrd_status send_slowly(struct mrd_rpc_call *call, struct iovec *pieces, size_t count,
                                   struct mrd_error *err)
{
    MRD_TRY(mrd_rpc_call_pause(call, err));
    const enum mrd_status status = send_rest(call, pieces, count, err);
    mrd_rpc_call_resume(call);
    return status;
}

/* Write turn held. */
static enum mrd_status send_frame(struct mrd_rpc_call *call, const uint8_t *head, size_t head_size,
                                  struct mrd_bytes first, struct mrd_bytes second,
                                  struct mrd_error *err)
{
    struct mrd_rpc_link *link = call->link;
    if (link->broken) {
        return mrd_fail(err, MRD_E_CANCELED, "the client has gone");
    }
    struct iovec pieces[] = {
        {link->rest,                        link->rest_size},
        {(uint8_t *)(uintptr_t)head,        head_size      },
        {(uint8_t *)(uintptr_t)first.data,  first.size     },
        {(uint8_t *)(uintptr_t)second.data, second.size    },
    };
    size_t left;
    if (!send_some(link, pieces, MRD_ARRAY_LEN(pieces), &left)) {
        link->broken = true;
        return mrd_fail_errno(err, MRD_E_CANCELED, "the client has gone");
    }
    if (left > 0) {
        const enum mrd_status status = send_slowly(call, pieces, MRD_ARRAY_LEN(pieces), err);
        if (status != MRD_OK) {
            link->broken = true; /* in the middle of a frame */
            (void)shutdown(link->fd, SHUT_RDWR);
            return status;
        }
    }
    link->rest_size = 0;
    return MRD_OK;
}

static void head_put(uint8_t out[ALIVE_BYTES], enum mrd_rpc_frame_kind kind, enum mrd_status status,
                     uint32_t number, size_t payload_size)
{
    const uint32_t size = (uint32_t)(MRD_RPC_FRAME_BYTES + payload_size);
    memcpy(out, &size, sizeof(size));
    mrd_rpc_frame_put(out + MRD_LINK_SIZE_BYTES, kind, status, number);
}

enum mrd_status mrd_rpc_link_send(struct mrd_rpc_call *call, enum mrd_rpc_frame_kind kind,
                                  enum mrd_status status, struct mrd_bytes first,
                                  struct mrd_bytes second, struct mrd_error *err)
{
    struct mrd_rpc_link *link = call->link;
    const size_t size = first.size + second.size;
    if (size > MRD_LINK_ANSWER_MAX - MRD_RPC_FRAME_BYTES) {
        return mrd_fail(err, MRD_E_INVALID, "reply chunk of %zu bytes", size);
    }
    uint8_t head[ALIVE_BYTES];
    head_put(head, kind, status, call->number, size);
    if (kind != MRD_RPC_FRAME_DATA) { /* the client may ask the next thing as soon as it has this */
        pthread_mutex_lock(&call->server->lock);
        link->call = NULL;
        pthread_mutex_unlock(&call->server->lock);
    }
    pthread_mutex_lock(&link->write_lock);
    const enum mrd_status sent = send_frame(call, head, sizeof(head), first, second, err);
    pthread_mutex_unlock(&link->write_lock);
    return sent;
}

/* A refusal, which is no call's. */
static bool refuse(struct mrd_rpc_link *link, enum mrd_status status, const char *text)
{
    struct mrd_rpc_server *server = link->links->server;
    uint8_t head[ALIVE_BYTES];
    const size_t size = strlen(text);
    head_put(head, MRD_RPC_FRAME_ERROR, status, 0, size);
    pthread_mutex_lock(&server->lock);
    server->stats.refused++;
    pthread_mutex_unlock(&server->lock);
    const int64_t deadline_ns = now_ns() + HANDSHAKE_MS * MS;
    pthread_mutex_lock(&link->write_lock);
    struct mrd_error ignored;
    const bool sent =
        !link->broken && link->rest_size == 0 &&
        mrd_link_write_exact(link->fd, head, sizeof(head), deadline_ns, &ignored) == MRD_OK &&
        mrd_link_write_exact(link->fd, text, size, deadline_ns, &ignored) == MRD_OK;
    pthread_mutex_unlock(&link->write_lock);
    return sent;
}

/* ---- reading (read turn held) ---- */

/* One read. False: the client has gone. */
static bool fill(struct mrd_rpc_link *link, int flags)
{
    struct iovec pieces[2];
    struct msghdr message = {.msg_iov = pieces};
    message.msg_iovlen = (size_t)mrd_link_reader_room(&link->reader, pieces);
    const ssize_t got = recvmsg(link->fd, &message, flags);
    if (got > 0) {
        mrd_link_reader_filled(&link->reader, (size_t)got);
        return true;
    }
    return got < 0 && (errno == EAGAIN || errno == EINTR);
}

static bool control_take(struct mrd_rpc_link *link, const struct mrd_rpc_frame *frame)
{
    struct mrd_rpc_server *server = link->links->server;
    if (frame->kind != MRD_RPC_FRAME_CREDIT && frame->kind != MRD_RPC_FRAME_CANCEL) {
        return false;
    }
    pthread_mutex_lock(&server->lock);
    if (link->call != NULL && frame->kind == MRD_RPC_FRAME_CREDIT) {
        mrd_rpc_call_credit(link->call, frame->number);
    } else if (link->call != NULL) {
        mrd_rpc_call_end_now(link->call, MRD_RPC_CANCELED);
    }
    pthread_mutex_unlock(&server->lock);
    return true;
}

static void client_gone(struct mrd_rpc_link *link)
{
    struct mrd_rpc_server *server = link->links->server;
    pthread_mutex_lock(&server->lock);
    if (link->call != NULL) {
        mrd_rpc_call_end_now(link->call, MRD_RPC_CANCELED);
    }
    pthread_mutex_unlock(&server->lock);
}

static bool control_is_next(const struct mrd_rpc_link *link)
{
    const int kind = mrd_link_reader_peek(&link->reader);
    return kind == MRD_RPC_FRAME_CREDIT || kind == MRD_RPC_FRAME_CANCEL;
}

/* What a client says while its call runs on the link's own thread; a request stays for that thread. */
static void controls_take(struct mrd_rpc_link *link)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    bool good = fill(link, MSG_DONTWAIT);
    while (good && control_is_next(link) &&
           mrd_link_reader_next(&link->reader, &bytes, &size) == MRD_LINK_FRAME) {
        struct mrd_rpc_frame frame;
        good = mrd_rpc_frame_get((struct mrd_bytes){bytes, size}, &frame) &&
               control_take(link, &frame);
        free(bytes);
    }
    if (!good) {
        client_gone(link);
    }
}

void mrd_rpc_link_listen(struct mrd_rpc_call *call)
{
    struct mrd_rpc_link *link = call->link;
    pthread_mutex_lock(&link->read_lock);
    struct pollfd poll_fd = {.fd = link->fd, .events = POLLIN};
    if (control_is_next(link) || poll(&poll_fd, 1, WATCH_MS) > 0) {
        controls_take(link);
    }
    pthread_mutex_unlock(&link->read_lock);
}

/* The next frame, waiting for it. NULL: there will be none. */
static uint8_t *frame_await(struct mrd_rpc_link *link, size_t *out_size)
{
    uint8_t *bytes = NULL;
    enum mrd_link_read read;
    pthread_mutex_lock(&link->read_lock);
    while ((read = mrd_link_reader_next(&link->reader, &bytes, out_size)) == MRD_LINK_MORE &&
           fill(link, 0)) {}
    pthread_mutex_unlock(&link->read_lock);
    return read == MRD_LINK_FRAME ? bytes : NULL;
}

/* ---- requests (the link's thread) ---- */

/* NULL: the call runs, or has run. */
static const char *call_accept(struct mrd_rpc_link *link, struct mrd_rpc_call *call)
{
    struct mrd_rpc_server *server = link->links->server;
    const uint64_t flow = mrd_rpc_flow_of(server, call->request);
    unsigned wakes = 0;
    bool here = false;
    pthread_mutex_lock(&server->lock);
    const char *refusal = atomic_load_explicit(&link->links->refusing, memory_order_relaxed)
                              ? "shutting down"
                              : mrd_rpc_call_admit(server, call, flow);
    if (refusal == NULL) {
        link->call = call;
        link->calls++;
        here = mrd_rpc_workers_enter(server, call, &wakes);
    }
    pthread_mutex_unlock(&server->lock);
    mrd_rpc_workers_wake(server, wakes);
    if (here) {
        mrd_rpc_call_run(server, call);
    }
    return refusal;
}

/* Takes the frame. False: the connection cannot go on. */
static bool request_take(struct mrd_rpc_link *link, uint8_t *bytes, size_t size)
{
    struct mrd_rpc_server *server = link->links->server;
    struct mrd_rpc_request request;
    pthread_mutex_lock(&server->lock);
    const bool busy = link->call != NULL;
    pthread_mutex_unlock(&server->lock);
    if (busy || !mrd_rpc_request_get((struct mrd_bytes){bytes, size}, &request)) {
        const bool other = bytes[0] != MRD_RPC_VERSION;
        free(bytes);
        return !busy && refuse(link, other ? MRD_E_UNSUPPORTED : MRD_E_INVALID,
                               other ? "request in another version of the protocol"
                                     : "request is not well formed");
    }
    struct mrd_rpc_call *call = mrd_rpc_call_create(server, &request);
    call->frame_of_request = bytes;
    call->link = link;
    call->alive_ns = now_ns() - (ALIVE_MS - ALIVE_FIRST_MS) * MS;
    const char *refusal = call_accept(link, call);
    if (refusal != NULL) {
        mrd_rpc_call_free(call);
        return refuse(link, MRD_E_UNAVAILABLE, refusal);
    }
    return true;
}

static bool frame_take(struct mrd_rpc_link *link, uint8_t *bytes, size_t size)
{
    struct mrd_rpc_frame frame;
    if (bytes[1] == MRD_RPC_FRAME_REQUEST) {
        return request_take(link, bytes, size);
    }
    const bool good =
        mrd_rpc_frame_get((struct mrd_bytes){bytes, size}, &frame) && control_take(link, &frame);
    free(bytes);
    return good;
}

void mrd_rpc_link_leave(struct mrd_rpc_call *call)
{
    struct mrd_rpc_link *link = call->link;
    if (link->call == call) {
        link->call = NULL;
    }
    link->calls--;
    if (!call->own_thread) {
        pthread_cond_signal(&link->left);
    }
}

/* ---- a link's thread ---- */

static bool client_prove(struct mrd_rpc_link *link)
{
    const uint8_t *secret = link->links->listener->link.secret;
    const int64_t deadline_ns = now_ns() + HANDSHAKE_MS * MS;
    struct mrd_link_nonces nonces;
    uint8_t hello[MRD_LINK_HELLO_BYTES];
    uint8_t challenge[MRD_LINK_CHALLENGE_BYTES];
    uint8_t proof[MRD_LINK_PROOF_BYTES];
    struct mrd_error ignored;
    if (mrd_link_read_exact(link->fd, hello, sizeof(hello), deadline_ns, &ignored) != MRD_OK ||
        !mrd_link_hello_get(hello, nonces.client)) {
        return false;
    }
    mrd_link_nonce_make(nonces.server);
    mrd_link_hello_put(challenge, nonces.server);
    mrd_link_proof_make(secret, MRD_LINK_SERVER, &nonces, challenge + MRD_LINK_HELLO_BYTES);
    return mrd_link_write_exact(link->fd, challenge, sizeof(challenge), deadline_ns, &ignored) ==
               MRD_OK &&
           mrd_link_read_exact(link->fd, proof, sizeof(proof), deadline_ns, &ignored) == MRD_OK &&
           mrd_link_proof_check(secret, MRD_LINK_CLIENT, &nonces, proof);
}

static void refused_count(struct mrd_rpc_links *links)
{
    if (links->listener->options.refused != NULL) {
        mrd_counter_add(links->listener->options.refused, 1);
    }
}

static void link_state_set(struct mrd_rpc_link *link, enum link_state state)
{
    atomic_store_explicit(&link->state, state, memory_order_release);
}

static enum link_state link_state(const struct mrd_rpc_link *link)
{
    return atomic_load_explicit(&link->state, memory_order_acquire);
}

static bool link_open(struct mrd_rpc_link *link)
{
    if (link_state(link) != LINK_NEW) {
        return true;
    }
    if (!client_prove(link)) {
        refused_count(link->links);
        return false;
    }
    link_state_set(link, LINK_OPEN);
    return true;
}

/* Whoever answers on a worker's thread is through with the link. */
static void link_end(struct mrd_rpc_link *link)
{
    struct mrd_rpc_server *server = link->links->server;
    (void)shutdown(link->fd, SHUT_RDWR);
    client_gone(link);
    pthread_mutex_lock(&server->lock);
    while (link->calls > 0) {
        pthread_cond_wait(&link->left, &server->lock);
    }
    pthread_mutex_unlock(&server->lock);
    link_state_set(link, LINK_ENDED);
}

static void *link_run(void *context)
{
    struct mrd_rpc_link *link = context;
    bool good = link_open(link);
    while (good && !mrd_thread_in_background()) {
        size_t size = 0;
        uint8_t *frame = frame_await(link, &size);
        good = frame != NULL && frame_take(link, frame, size);
    }
    if (good) {
        link_state_set(link, LINK_LEFT);
    } else {
        link_end(link);
    }
    watch_wake(link->links);
    nats_ReleaseThreadMemory();
    return NULL;
}

/* ---- the watch ---- */

static void open_gauge(struct mrd_rpc_links *links, int64_t change)
{
    links->count = (uint32_t)((int64_t)links->count + change);
    if (links->listener->options.open != NULL) {
        mrd_gauge_add(links->listener->options.open, change);
    }
}

/* Its thread does not run. */
static void link_free(struct mrd_rpc_link *link)
{
    close(link->fd);
    mrd_link_reader_fini(&link->reader);
    pthread_mutex_destroy(&link->read_lock);
    pthread_mutex_destroy(&link->write_lock);
    pthread_cond_destroy(&link->left);
    open_gauge(link->links, -1);
    free(link);
}

static uint32_t unproved_count(const struct mrd_rpc_links *links)
{
    uint32_t count = 0;
    for (const struct mrd_rpc_link *link = links->first; link != NULL; link = link->next) {
        count += link_state(link) == LINK_NEW ? 1 : 0;
    }
    return count;
}

/* Takes the socket. */
static void link_add(struct mrd_rpc_links *links, int fd)
{
    struct mrd_rpc_link *link = calloc(1, sizeof(*link));
    mrd_assert(link != NULL);
    link->links = links;
    link->fd = fd;
    link->reader.frame_max = MRD_LINK_REQUEST_MAX;
    pthread_mutex_init(&link->read_lock, NULL);
    pthread_mutex_init(&link->write_lock, NULL);
    pthread_cond_init(&link->left, NULL);
    open_gauge(links, 1);
    mrd_link_socket_set(fd);
    if (pthread_create(&link->thread, NULL, link_run, link) != 0) {
        refused_count(links);
        link_free(link);
        return;
    }
    link->next = links->first;
    links->first = link;
}

static void connections_accept(struct mrd_rpc_links *links)
{
    for (uint32_t taken = 0; taken < HANDSHAKES_MAX; taken++) {
        const int fd = accept4(links->listener->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno !=
                EAGAIN) { /* no descriptors are left, say: they will not be at once either */
                const struct timespec pause = {.tv_nsec = WATCH_MS * MS};
                (void)nanosleep(&pause, NULL);
            }
            return;
        }
        if (links->count >= links->listener->options.connections_max ||
            unproved_count(links) >= HANDSHAKES_MAX) {
            refused_count(links);
            close(fd);
        } else {
            link_add(links, fd);
        }
    }
}

/* A thread that has left its link is replaced. False: the link is gone. */
static bool link_tend(struct mrd_rpc_link *link)
{
    const enum link_state state = link_state(link);
    if (state != LINK_LEFT && state != LINK_ENDED) {
        return true;
    }
    pthread_join(link->thread, NULL);
    if (state == LINK_LEFT) {
        link_state_set(link, LINK_OPEN);
        if (pthread_create(&link->thread, NULL, link_run, link) == 0) {
            return true;
        }
    }
    link_free(link);
    return false;
}

static void links_tend(struct mrd_rpc_links *links)
{
    for (struct mrd_rpc_link **at = &links->first; *at != NULL;) {
        struct mrd_rpc_link *next = (*at)->next;
        if (link_tend(*at)) {
            at = &(*at)->next;
        } else {
            *at = next;
        }
    }
}

/* Before the end of the call, if at all: its end takes the turn to write after it has left the link. */
static void alive_send(struct mrd_rpc_link *link, const struct mrd_rpc_call *call)
{
    struct mrd_rpc_server *server = link->links->server;
    if (pthread_mutex_trylock(&link->write_lock) != 0) {
        return; /* something is being sent, which is as good */
    }
    pthread_mutex_lock(&server->lock);
    const bool runs = link->call == call;
    pthread_mutex_unlock(&server->lock);
    if (runs && !link->broken && link->rest_size == 0) {
        uint8_t head[ALIVE_BYTES];
        head_put(head, MRD_RPC_FRAME_ALIVE, MRD_OK, 0, 0);
        struct iovec piece = {head, sizeof(head)};
        size_t left = 0;
        if (send_some(link, &piece, 1, &left) && left < sizeof(head)) {
            memcpy(link->rest, head + sizeof(head) - left, left);
            link->rest_size = left;
        }
    }
    pthread_mutex_unlock(&link->write_lock);
}

static void link_watch(struct mrd_rpc_link *link)
{
    struct mrd_rpc_server *server = link->links->server;
    const int64_t now = now_ns();
    pthread_mutex_lock(&server->lock);
    struct mrd_rpc_call *call = link->call;
    const bool unread = call != NULL && call->own_thread;
    const bool due = call != NULL && now - call->alive_ns >= ALIVE_MS * MS;
    if (due) {
        call->alive_ns = now;
    }
    pthread_mutex_unlock(&server->lock);
    if (due) {
        alive_send(link, call);
    }
    if (unread && pthread_mutex_trylock(&link->read_lock) == 0) {
        controls_take(link);
        pthread_mutex_unlock(&link->read_lock);
    }
}

static void watch_wait(struct mrd_rpc_links *links)
{
    struct pollfd fds[2] = {
        {.fd = links->wake_fd,                                                                              .events = POLLIN},
        { .fd = atomic_load_explicit(&links->refusing, memory_order_relaxed) ? -1
                                                                            : links->listener->fd,
         .events = POLLIN}
    };
    (void)poll(fds, 2, links->count > 0 ? WATCH_MS : IDLE_MS);
    if (fds[0].revents != 0) {
        uint64_t count;
        (void)!read(links->wake_fd, &count, sizeof(count));
    }
    if (fds[1].revents != 0) {
        connections_accept(links);
    }
}

static void *watch_run(void *context)
{
    struct mrd_rpc_links *links = context;
    mrd_thread_name_set("links");
    while (!atomic_load_explicit(&links->stopping, memory_order_relaxed)) {
        watch_wait(links);
        links_tend(links);
        for (struct mrd_rpc_link *link = links->first; link != NULL; link = link->next) {
            link_watch(link);
        }
    }
    for (struct mrd_rpc_link *link = links->first; link != NULL; link = link->next) {
        (void)shutdown(link->fd, SHUT_RDWR);
    }
    while (links->first != NULL) {
        struct mrd_rpc_link *link = links->first;
        links->first = link->next;
        pthread_join(link->thread, NULL);
        link_free(link);
    }
    return NULL;
}

/* ---- life ---- */

static void links_free(struct mrd_rpc_links *links)
{
    close(links->wake_fd);
    mrd_link_listener_destroy(&links->listener);
    free(links);
}

enum mrd_status mrd_rpc_links_start(struct mrd_rpc_server *server,
                                    struct mrd_link_listener *listener, struct mrd_error *err)
{
    struct mrd_rpc_links *links = calloc(1, sizeof(*links));
    mrd_assert(links != NULL);
    links->server = server;
    links->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    mrd_assert(links->wake_fd >= 0);
    links->listener = listener;
    if (pthread_create(&links->watch, NULL, watch_run, links) != 0) {
        links->listener = NULL; /* the caller's still */
        links_free(links);
        return mrd_fail(err, MRD_E_UNAVAILABLE, "no thread for direct connections");
    }
    server->links = links;
    return MRD_OK;
}

void mrd_rpc_links_refuse(struct mrd_rpc_links *links)
{
    pthread_mutex_lock(&links->server->lock);
    atomic_store_explicit(&links->refusing, true, memory_order_relaxed);
    pthread_mutex_unlock(&links->server->lock);
    watch_wake(links);
}

void mrd_rpc_links_stop(struct mrd_rpc_links **links)
{
    if (*links == NULL) {
        return;
    }
    struct mrd_rpc_links *self = MRD_MOVE(*links);
    atomic_store_explicit(&self->stopping, true, memory_order_relaxed);
    watch_wake(self);
    pthread_join(self->watch, NULL);
    links_free(self);
}
