#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "bus/rpc_links_internal.h"

enum {
    HANDSHAKE_MS = 2000,
    ALIVE_MS = 500,
    ALIVE_FIRST_MS = 100,
};
static const int64_t MS = 1000000;

static int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

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
        (void)poll(&poll_fd, 1, MRD_RPC_WATCH_MS);
        if (!send_some(call->link, pieces, count, &left)) {
            return mrd_fail_errno(err, MRD_E_CANCELED, "the client has gone");
        }
    }
    return MRD_OK;
}

/* The client does not read as fast: others may work meanwhile. */
static enum mrd_status send_slowly(struct mrd_rpc_call *call, struct iovec *pieces, size_t count,
                                   struct mrd_error *err)
{
    MRD_TRY(mrd_rpc_call_pause(call, err));
    const enum mrd_status status = send_rest(call, pieces, count, err);
    mrd_rpc_call_resume(call);
    return status;
}

/* What was cut off of a sign of life goes before the frame. Nobody else writes meanwhile. */
static enum mrd_status send_frame(struct mrd_rpc_call *call, struct mrd_bytes rest,
                                  struct mrd_bytes head, struct mrd_bytes first,
                                  struct mrd_bytes second, struct mrd_error *err)
{
    struct mrd_rpc_link *link = call->link;
    struct iovec pieces[] = {
        {(uint8_t *)(uintptr_t)rest.data,   rest.size  },
        {(uint8_t *)(uintptr_t)head.data,   head.size  },
        {(uint8_t *)(uintptr_t)first.data,  first.size },
        {(uint8_t *)(uintptr_t)second.data, second.size},
    };
    size_t left;
    if (!send_some(link, pieces, MRD_ARRAY_LEN(pieces), &left)) {
        return mrd_fail_errno(err, MRD_E_CANCELED, "the client has gone");
    }
    return left == 0 ? MRD_OK : send_slowly(call, pieces, MRD_ARRAY_LEN(pieces), err);
}

/* Nothing can follow: a frame was cut off. */
static void link_break(struct mrd_rpc_link *link)
{
    atomic_store_explicit(&link->broken, true, memory_order_relaxed);
    (void)shutdown(link->fd, SHUT_RDWR);
}

static bool link_broken(const struct mrd_rpc_link *link)
{
    return atomic_load_explicit(&link->broken, memory_order_relaxed);
}

static enum mrd_status send_between(struct mrd_rpc_call *call, struct mrd_bytes head,
                                    struct mrd_bytes first, struct mrd_bytes second,
                                    struct mrd_error *err)
{
    struct mrd_rpc_link *link = call->link;
    enum mrd_status status;
    pthread_mutex_lock(&link->write_lock);
    if (link_broken(link)) {
        status = mrd_fail(err, MRD_E_CANCELED, "the client has gone");
    } else {
        const struct mrd_bytes rest = {link->rest, link->rest_size};
        status = send_frame(call, rest, head, first, second, err);
        link->rest_size = 0;
    }
    if (status != MRD_OK) {
        link_break(link);
    }
    pthread_mutex_unlock(&link->write_lock);
    return status;
}

/* The last frame of a call is sent without the turn to write: the client may ask the next thing as soon as it has this one,
 * and what answers that is not to wait for this thread, which may be one of the background that has lost its core to whom it
 * has woken. Nobody else writes until the client has the frame: signs of life are for calls that run. */
static enum mrd_status send_last(struct mrd_rpc_call *call, struct mrd_bytes head,
                                 struct mrd_bytes first, struct mrd_bytes second,
                                 struct mrd_error *err)
{
    struct mrd_rpc_link *link = call->link;
    pthread_mutex_lock(&call->server->lock);
    link->call = NULL;
    pthread_mutex_unlock(&call->server->lock);
    uint8_t kept[MRD_RPC_ALIVE_BYTES];
    pthread_mutex_lock(&link->write_lock); /* behind a sign of life */
    const struct mrd_bytes rest = {kept, link->rest_size};
    memcpy(kept, link->rest, link->rest_size);
    link->rest_size = 0;
    pthread_mutex_unlock(&link->write_lock);
    if (link_broken(link)) {
        return mrd_fail(err, MRD_E_CANCELED, "the client has gone");
    }
    const enum mrd_status status = send_frame(call, rest, head, first, second, err);
    if (status != MRD_OK) {
        link_break(link);
    }
    return status;
}

static void head_put(uint8_t out[MRD_RPC_ALIVE_BYTES], enum mrd_rpc_frame_kind kind,
                     enum mrd_status status, uint32_t number, size_t payload_size)
{
    const uint32_t size = (uint32_t)(MRD_RPC_FRAME_BYTES + payload_size);
    memcpy(out, &size, sizeof(size));
    mrd_rpc_frame_put(out + MRD_LINK_SIZE_BYTES, kind, status, number);
}

enum mrd_status mrd_rpc_link_send(struct mrd_rpc_call *call, enum mrd_rpc_frame_kind kind,
                                  enum mrd_status status, struct mrd_bytes first,
                                  struct mrd_bytes second, struct mrd_error *err)
{
    const size_t size = first.size + second.size;
    if (size > MRD_LINK_ANSWER_MAX - MRD_RPC_FRAME_BYTES) {
        return mrd_fail(err, MRD_E_INVALID, "reply chunk of %zu bytes", size);
    }
    uint8_t bytes[MRD_RPC_ALIVE_BYTES];
    head_put(bytes, kind, status, call->number, size);
    const struct mrd_bytes head = {bytes, sizeof(bytes)};
    return kind == MRD_RPC_FRAME_DATA ? send_between(call, head, first, second, err)
                                      : send_last(call, head, first, second, err);
}

/* A refusal, which is no call's. */
static bool refuse(struct mrd_rpc_link *link, enum mrd_status status, const char *text)
{
    struct mrd_rpc_server *server = link->links->server;
    uint8_t head[MRD_RPC_ALIVE_BYTES];
    const size_t size = strlen(text);
    head_put(head, MRD_RPC_FRAME_ERROR, status, 0, size);
    pthread_mutex_lock(&server->lock);
    server->stats.refused++;
    pthread_mutex_unlock(&server->lock);
    const int64_t deadline_ns = now_ns() + HANDSHAKE_MS * MS;
    pthread_mutex_lock(&link->write_lock);
    struct mrd_error ignored;
    const bool sent =
        !link_broken(link) && link->rest_size == 0 &&
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
    if (control_is_next(link) || poll(&poll_fd, 1, MRD_RPC_WATCH_MS) > 0) {
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
    const struct mrd_rpc_flow flow = mrd_rpc_flow_of(server, call->request);
    struct mrd_rpc_wakes wakes = {0};
    bool here = false;
    pthread_mutex_lock(&server->lock);
    const char *refusal = atomic_load_explicit(&link->links->refusing, memory_order_relaxed)
                              ? "shutting down"
                              : mrd_rpc_call_admit(server, call, &flow);
    if (refusal == NULL) {
        link->call = call;
        link->calls++;
        here = mrd_rpc_workers_enter(server, call, &wakes);
    }
    pthread_mutex_unlock(&server->lock);
    mrd_rpc_workers_wake(server, &wakes);
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

void mrd_rpc_link_hand_over(struct mrd_rpc_call *call)
{
    struct mrd_rpc_server *server = call->server;
    struct mrd_rpc_link *link = call->link;
    pthread_mutex_lock(&server->lock);
    call->own_thread = false;
    pthread_mutex_unlock(&server->lock);
    mrd_rpc_link_state_set(link, MRD_RPC_LINK_LEFT);
    mrd_rpc_links_wake(link->links);
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

void mrd_rpc_link_state_set(struct mrd_rpc_link *link, enum mrd_rpc_link_state state)
{
    atomic_store_explicit(&link->state, state, memory_order_release);
}

enum mrd_rpc_link_state mrd_rpc_link_state(const struct mrd_rpc_link *link)
{
    return atomic_load_explicit(&link->state, memory_order_acquire);
}

static bool link_open(struct mrd_rpc_link *link)
{
    if (mrd_rpc_link_state(link) != MRD_RPC_LINK_NEW) {
        return true;
    }
    if (!client_prove(link)) {
        mrd_rpc_links_count_refused(link->links);
        return false;
    }
    mrd_rpc_link_state_set(link, MRD_RPC_LINK_OPEN);
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
    struct mrd_rpc_links *links = link->links;
    mrd_rpc_link_state_set(link, MRD_RPC_LINK_ENDED);
    mrd_rpc_links_wake(links);
}

void *mrd_rpc_link_run(void *context)
{
    struct mrd_rpc_link *link = context;
    bool good = link_open(link);
    while (good && !mrd_thread_in_background()) {
        size_t size = 0;
        uint8_t *frame = frame_await(link, &size);
        good = frame != NULL && frame_take(link, frame, size);
    }
    if (!mrd_thread_in_background()) { /* else it was handed over, and may be gone */
        link_end(link);
    }
    nats_ReleaseThreadMemory();
    return NULL;
}

/* ---- what the watch does with it ---- */

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
    if (runs && !link_broken(link) && link->rest_size == 0) {
        uint8_t head[MRD_RPC_ALIVE_BYTES];
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

void mrd_rpc_link_look(struct mrd_rpc_link *link)
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
