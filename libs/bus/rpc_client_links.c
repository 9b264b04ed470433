#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "bus/rpc_client_internal.h"

static const int64_t MS = 1000000;

static int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

/* ---- sending ---- */

static bool send_all(const struct mrd_link_conn *conn, struct iovec *pieces, size_t count)
{
    for (size_t left = 1; left > 0;) {
        const struct msghdr message = {.msg_iov = pieces, .msg_iovlen = count};
        const ssize_t sent = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR) {
            return false; /* also if the peer has not read for MRD_LINK_WRITE_MS */
        }
        left = mrd_link_iov_advance(pieces, count, (size_t)MRD_MAX(sent, (ssize_t)0));
    }
    return true;
}

bool mrd_rpc_link_ask(struct mrd_rpc_asked *call, const struct mrd_link *to,
                      struct mrd_bytes request)
{
    struct mrd_rpc_fan *fan = call->fan;
    struct mrd_link_pool *pool = fan->client->pool;
    const size_t size = MRD_RPC_REQUEST_BYTES + request.size;
    struct mrd_link_conn *conn = size > MRD_LINK_REQUEST_MAX ? NULL : mrd_link_pool_take(pool, to);
    if (conn == NULL) {
        return false;
    }
    const int64_t left_ms = MRD_MAX((fan->options.deadline_ns - now_ns()) / MS, (int64_t)1);
    uint8_t head[MRD_LINK_SIZE_BYTES + MRD_RPC_REQUEST_BYTES];
    const uint32_t size_bits = (uint32_t)size;
    memcpy(head, &size_bits, sizeof(size_bits));
    mrd_rpc_request_put(head + MRD_LINK_SIZE_BYTES, fan->options.window, (uint64_t)left_ms);
    struct iovec pieces[] = {
        {head,                               sizeof(head)},
        {(uint8_t *)(uintptr_t)request.data, request.size},
    };
    if (!send_all(conn, pieces, MRD_ARRAY_LEN(pieces))) {
        mrd_link_pool_drop(pool, conn, true);
        return false;
    }
    call->conn = conn;
    fan->links_read_ns = fan->links++ == 0 ? now_ns() : fan->links_read_ns;
    return true;
}

void mrd_rpc_link_grant(struct mrd_rpc_asked *call, uint32_t credit)
{
    uint8_t frame[MRD_LINK_SIZE_BYTES + MRD_RPC_FRAME_BYTES];
    const uint32_t size = MRD_RPC_FRAME_BYTES;
    memcpy(frame, &size, sizeof(size));
    mrd_rpc_frame_put(frame + MRD_LINK_SIZE_BYTES, MRD_RPC_FRAME_CREDIT, MRD_OK, credit);
    struct iovec piece = {frame, sizeof(frame)};
    if (!send_all(call->conn, &piece, 1)) {
        (void)shutdown(call->conn->fd, SHUT_RDWR);
    }
}

void mrd_rpc_link_release(struct mrd_rpc_asked *call)
{
    if (call->conn == NULL) {
        return;
    }
    struct mrd_link_conn *conn = MRD_MOVE(call->conn);
    struct mrd_link_pool *pool = call->fan->client->pool;
    const bool quiet = mrd_link_reader_empty(&conn->reader);
    call->fan->links--;
    if (call->whole && quiet) {
        mrd_link_pool_give(pool, conn);
    } else { /* running: canceled, else it has failed */
        mrd_link_pool_drop(pool, conn, !call->running);
    }
}

/* ---- reading ---- */

/* Lock held. Takes the frames that are whole. */
static void frames_take(struct mrd_rpc_asked *call)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    enum mrd_link_read read = MRD_LINK_FRAME;
    while (call->running && read == MRD_LINK_FRAME) {
        read = mrd_link_reader_next(&call->conn->reader, &bytes, &size);
        if (read == MRD_LINK_FRAME) {
            mrd_rpc_asked_hear(call, (struct mrd_bytes){bytes, size}, NULL, &bytes);
            free(MRD_MOVE(bytes));
        } else if (read == MRD_LINK_BROKEN) {
            mrd_rpc_asked_fail(call, MRD_E_UNAVAILABLE, "%s: unreadable reply", call->subject);
        }
    }
}

/* One read of one link, and what it has brought. The lock is not held. */
static void link_read(struct mrd_rpc_asked *call, int flags)
{
    struct mrd_rpc_client *client = call->fan->client;
    struct iovec pieces[2];
    struct msghdr message = {.msg_iov = pieces};
    message.msg_iovlen = (size_t)mrd_link_reader_room(&call->conn->reader, pieces);
    const ssize_t got = recvmsg(call->conn->fd, &message, flags);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    pthread_mutex_lock(&client->lock);
    if (got > 0) {
        call->heard_ns = now_ns();
        mrd_link_reader_filled(&call->conn->reader, (size_t)got);
        frames_take(call);
    } else {
        mrd_rpc_asked_fail(call, MRD_E_UNAVAILABLE, "%s: the direct connection was lost",
                           call->subject);
    }
    pthread_mutex_unlock(&client->lock);
    if (!call->running) {
        mrd_rpc_link_release(call);
    }
}

static struct mrd_rpc_asked *only_link(const struct mrd_rpc_fan *fan)
{
    for (size_t i = fan->count; i-- > 0;) {
        if (fan->calls[i]->conn != NULL) {
            return fan->calls[i];
        }
    }
    return NULL;
}

static void many_read(struct mrd_rpc_fan *fan, int64_t wait_ms)
{
    struct pollfd *fds = calloc(fan->links, sizeof(*fds));
    struct mrd_rpc_asked **calls = calloc(fan->links, sizeof(*calls));
    mrd_assert(fds != NULL && calls != NULL);
    size_t count = 0;
    for (size_t i = 0; i < fan->count && count < fan->links; i++) {
        if (fan->calls[i]->conn != NULL) {
            calls[count] = fan->calls[i];
            fds[count++] = (struct pollfd){.fd = fan->calls[i]->conn->fd, .events = POLLIN};
        }
    }
    mrd_assert(count == fan->links);
    if (poll(fds, count, (int)wait_ms) > 0) {
        for (size_t i = 0; i < count; i++) {
            if (fds[i].revents != 0) {
                link_read(calls[i], MSG_DONTWAIT);
            }
        }
    }
    free(calls);
    free(fds);
}

void mrd_rpc_links_read(struct mrd_rpc_fan *fan, int64_t until_ns)
{
    const int64_t now = now_ns();
    const int64_t wait_ms = until_ns <= now ? 0 : (until_ns - now) / MS + 1;
    fan->links_read_ns = now;
    pthread_mutex_unlock(&fan->client->lock);
    if (fan->links == 1 && wait_ms >= MRD_LINK_TICK_MS) {
        link_read(only_link(fan), 0); /* the usual case is one system call */
    } else {
        many_read(fan, wait_ms);
    }
    pthread_mutex_lock(&fan->client->lock);
}
