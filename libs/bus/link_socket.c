#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "bus/link_internal.h"

static int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

bool mrd_link_address_split(const char *address, char host[MRD_LINK_HOST_MAX],
                            char port[MRD_LINK_PORT_MAX])
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon == address || colon[1] == '\0' ||
        strlen(colon + 1) >= MRD_LINK_PORT_MAX ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1) || atol(colon + 1) > 65535) {
        return false;
    }
    const char *first = address;
    size_t size = (size_t)(colon - address);
    if (first[0] == '[' && colon[-1] == ']') {
        first++;
        size -= 2;
    } else if (memchr(first, ':', size) != NULL) {
        return false;
    }
    if (size == 0 || size >= MRD_LINK_HOST_MAX) {
        return false;
    }
    snprintf(host, MRD_LINK_HOST_MAX, "%.*s", (int)size, first);
    snprintf(port, MRD_LINK_PORT_MAX, "%s", colon + 1);
    return true;
}

void mrd_link_socket_set(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY,      1    },
        {SOL_SOCKET,  SO_KEEPALIVE,     1    },
        {IPPROTO_TCP, TCP_KEEPIDLE,     10   }, /* s */
        {IPPROTO_TCP, TCP_KEEPINTVL,    5    },
        {IPPROTO_TCP, TCP_KEEPCNT,      3    },
        {IPPROTO_TCP, TCP_USER_TIMEOUT, 25000}, /* ms */
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(options); i++) { /* all of them only make things better */
        (void)setsockopt(fd, options[i].level, options[i].name, &options[i].value,
                         sizeof(options[i].value));
    }
}

/* Waits for `events`. */
static enum mrd_status await(int fd, short events, int64_t deadline_ns, struct mrd_error *err)
{
    for (;;) {
        const int64_t left_ms = (deadline_ns - now_ns()) / 1000000;
        if (left_ms <= 0) {
            return mrd_fail(err, MRD_E_UNAVAILABLE, "no handshake in time");
        }
        struct pollfd poll_fd = {.fd = fd, .events = events};
        const int ready = poll(&poll_fd, 1, (int)left_ms);
        if (ready > 0) {
            return MRD_OK;
        }
        if (ready < 0 && errno != EINTR) {
            return mrd_fail_errno(err, MRD_E_UNAVAILABLE, "poll");
        }
    }
}

static bool is_transient(void) { return errno == EAGAIN || errno == EINTR; }

enum mrd_status mrd_link_read_exact(int fd, void *out, size_t size, int64_t deadline_ns,
                                    struct mrd_error *err)
{
    uint8_t *to = out;
    while (size > 0) {
        MRD_TRY(await(fd, POLLIN, deadline_ns, err));
        const ssize_t got = recv(fd, to, size, MSG_DONTWAIT);
        if (got == 0) {
            return mrd_fail(err, MRD_E_UNAVAILABLE, "closed by the other side");
        }
        if (got < 0 && !is_transient()) {
            return mrd_fail_errno(err, MRD_E_UNAVAILABLE, "read");
        }
        to += MRD_MAX(got, (ssize_t)0);
        size -= (size_t)MRD_MAX(got, (ssize_t)0);
    }
    return MRD_OK;
}

enum mrd_status mrd_link_write_exact(int fd, const void *bytes, size_t size, int64_t deadline_ns,
                                     struct mrd_error *err)
{
    const uint8_t *from = bytes;
    while (size > 0) {
        MRD_TRY(await(fd, POLLOUT, deadline_ns, err));
        const ssize_t sent = send(fd, from, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && !is_transient()) {
            return mrd_fail_errno(err, MRD_E_UNAVAILABLE, "write");
        }
        from += MRD_MAX(sent, (ssize_t)0);
        size -= (size_t)MRD_MAX(sent, (ssize_t)0);
    }
    return MRD_OK;
}

size_t mrd_link_iov_advance(struct iovec *pieces, size_t count, size_t size)
{
    size_t left = 0;
    for (size_t i = 0; i < count; i++) {
        const size_t taken = MRD_MIN(size, pieces[i].iov_len);
        if (taken > 0) {
            pieces[i].iov_base = (uint8_t *)pieces[i].iov_base + taken;
        }
        pieces[i].iov_len -= taken;
        size -= taken;
        left += pieces[i].iov_len;
    }
    return left;
}
