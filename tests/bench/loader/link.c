#include "loader/link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

void load_link_close(struct load_link *link)
{
    if (link->fd >= 0) {
        close(link->fd); /* leaves the epoll set with it */
    }
    link->fd = -1;
    link->connecting = false;
    link->busy = false;
}

enum mrd_status load_link_open(struct load_link *link, int epoll_fd, uint64_t tag,
                               const struct sockaddr *address, socklen_t address_size,
                               struct mrd_error *err)
{
    mrd_assert(link->fd < 0);
    link->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->fd < 0) {
        return mrd_fail_errno(err, MRD_E_UNAVAILABLE, "socket");
    }
    const int on = 1;
    (void)setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    link->connecting = true;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.u64 = tag};
    if ((connect(link->fd, address, address_size) != 0 && errno != EINPROGRESS) ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, link->fd, &event) != 0) {
        const enum mrd_status status = mrd_fail_errno(err, MRD_E_UNAVAILABLE, "connect");
        load_link_close(link);
        return status;
    }
    return MRD_OK;
}

void load_link_send(struct load_link *link, struct mrd_bytes body)
{
    mrd_assert(link->fd >= 0 && !link->busy);
    link->busy = true;
    link->body = body;
    link->sent = 0;
    link->answer = (struct load_answer){0};
}

static enum load_link_event lose(struct load_link *link, struct mrd_error *err, const char *what)
{
    (void)mrd_fail_errno(err, MRD_E_UNAVAILABLE, "%s", what);
    load_link_close(link);
    return LOAD_LINK_LOST;
}

static bool sent_all(const struct load_link *link)
{
    return link->sent == link->head_size + link->body.size;
}

/* False if the connection is lost, with errno. */
static bool send_some(struct load_link *link)
{
    while (!sent_all(link)) {
        const size_t head_sent = MRD_MIN(link->sent, link->head_size);
        const size_t body_sent = link->sent - head_sent;
        struct iovec parts[2] = {
            {link->head + head_sent,                           link->head_size - head_sent},
            {(void *)(uintptr_t)(link->body.data + body_sent), link->body.size - body_sent},
        };
        const struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
        const ssize_t size = sendmsg(link->fd, &message, MSG_NOSIGNAL);
        if (size < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        link->sent += (size_t)size;
    }
    return true;
}

static enum load_link_event answered(struct load_link *link)
{
    link->busy = false;
    if (!link->answer.keep_alive || !sent_all(link)) {
        load_link_close(link);
    }
    return LOAD_LINK_ANSWERED;
}

static enum load_link_event receive(struct load_link *link, struct mrd_error *err)
{
    uint8_t bytes[4096];
    for (;;) {
        const ssize_t size = recv(link->fd, bytes, sizeof(bytes), 0);
        if (size < 0 && errno == EINTR) {
            continue;
        }
        if (size < 0 && errno == EAGAIN) {
            return LOAD_LINK_WAITING;
        }
        if (size <= 0) {
            errno = size == 0 ? ECONNRESET : errno;
            return lose(link, err, "receive");
        }
        if (!link->busy || load_answer_feed(&link->answer, (struct mrd_bytes){bytes, (size_t)size},
                                            err) != MRD_OK) {
            load_link_close(link);
            return LOAD_LINK_LOST;
        }
        if (link->answer.complete) {
            return answered(link);
        }
    }
}

/* True once the connection stands; *out_event otherwise. */
static bool connected(struct load_link *link, struct mrd_error *err,
                      enum load_link_event *out_event)
{
    int error = 0;
    socklen_t size = sizeof(error);
    struct sockaddr_storage peer;
    socklen_t peer_size = sizeof(peer);
    (void)getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
        errno = error;
        *out_event = lose(link, err, "connect");
        return false;
    }
    if (getpeername(link->fd, (struct sockaddr *)&peer, &peer_size) != 0) {
        *out_event = LOAD_LINK_WAITING;
        return false;
    }
    link->connecting = false;
    return true;
}

enum load_link_event load_link_advance(struct load_link *link, struct mrd_error *err)
{
    enum load_link_event event = LOAD_LINK_WAITING;
    if (link->fd < 0 || (link->connecting && !connected(link, err, &event))) {
        return event;
    }
    if (link->busy && !send_some(link)) {
        /* The answer may have come before the peer stopped reading: 413 and the like. */
        const int send_error = errno;
        event = receive(link, err);
        errno = send_error;
        return event == LOAD_LINK_WAITING ? lose(link, err, "send") : event;
    }
    return receive(link, err);
}
