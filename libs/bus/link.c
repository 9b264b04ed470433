#include "bus/link.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bus/connection_internal.h"
#include "bus/link_internal.h"

enum { CONNECTIONS_MAX = 256, BACKLOG = 64, CONNECTED_WAIT_MS = 10000 };

/* The address of our end of the connection to NATS. */
static enum mrd_status auto_host(struct mrd_bus *bus, char host[MRD_LINK_HOST_MAX],
                                 struct mrd_error *err)
{
    char *ip = NULL;
    int port = 0;
    MRD_TRY(mrd_bus_wait_connected(bus, CONNECTED_WAIT_MS, err)); /* it may just be reconnecting */
    const natsStatus status = natsConnection_GetLocalIPAndPort(mrd_bus_nats(bus), &ip, &port);
    if (status != NATS_OK) {
        return mrd_bus_fail(err, status, 0, "the address from which NATS is reached");
    }
    snprintf(host, MRD_LINK_HOST_MAX, "%s", ip);
    free(ip);
    return MRD_OK;
}

static enum mrd_status bind_to(const char *host, const char *port, int *out_fd,
                               struct mrd_error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *addresses = NULL;
    const int failed = getaddrinfo(host, port, &hints, &addresses);
    if (failed != 0) {
        return mrd_fail(err, MRD_E_INVALID, "rpc.listen: %s: %s", host, gai_strerror(failed));
    }
    const int fd = socket(addresses->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                          addresses->ai_protocol);
    const int on = 1;
    const bool bound = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
                       bind(fd, addresses->ai_addr, addresses->ai_addrlen) == 0 &&
                       listen(fd, BACKLOG) == 0;
    freeaddrinfo(addresses);
    if (!bound) {
        (void)mrd_fail_errno(err, MRD_E_UNAVAILABLE, "rpc.listen: cannot listen on %s:%s", host,
                             port);
        if (fd >= 0) {
            close(fd);
        }
        return MRD_E_UNAVAILABLE;
    }
    *out_fd = fd;
    return MRD_OK;
}

/* Where the socket is bound; *out_any: to all addresses of the machine. */
static void bound_at(int fd, char host[MRD_LINK_HOST_MAX], unsigned *out_port, bool *out_any)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof(address);
    mrd_assert(getsockname(fd, (struct sockaddr *)&address, &size) == 0);
    char port[MRD_LINK_PORT_MAX] = "0";
    mrd_assert(getnameinfo((struct sockaddr *)&address, size, host, MRD_LINK_HOST_MAX, port,
                           sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) == 0);
    *out_port = (unsigned)atoi(port);
    *out_any = strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

static enum mrd_status address_put(const char *host, unsigned port, struct mrd_link *out,
                                   struct mrd_error *err)
{
    const bool v6 = strchr(host, ':') != NULL;
    const int size =
        snprintf(out->address, sizeof(out->address), v6 ? "[%s]:%u" : "%s:%u", host, port);
    return size > 0 && (size_t)size < sizeof(out->address)
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID,
                          "rpc.advertise: %s: an address of at most %d bytes is needed", host,
                          MRD_LINK_ADDRESS_MAX - 1);
}

static enum mrd_status address_tell(struct mrd_bus *bus, struct mrd_link_listener *listener,
                                    const char *advertise, struct mrd_error *err)
{
    char host[MRD_LINK_HOST_MAX];
    unsigned port;
    bool any;
    bound_at(listener->fd, host, &port, &any);
    if (advertise != NULL && advertise[0] != '\0') {
        char told_port[MRD_LINK_PORT_MAX];
        if (!mrd_link_address_split(advertise, host, told_port)) {
            return mrd_fail(err, MRD_E_INVALID, "rpc.advertise: \"%s\" is not host:port",
                            advertise);
        }
        port = atoi(told_port) == 0 ? port : (unsigned)atoi(told_port);
    } else if (any) {
        MRD_TRY(auto_host(bus, host, err));
    }
    return address_put(host, port, &listener->link, err);
}

enum mrd_status mrd_link_listen(struct mrd_bus *bus,
                                const struct mrd_link_listener_options *options,
                                struct mrd_link_listener **out_listener, struct mrd_error *err)
{
    char host[MRD_LINK_HOST_MAX];
    char port[MRD_LINK_PORT_MAX];
    if (!mrd_link_address_split(options->listen, host, port)) {
        return mrd_fail(err, MRD_E_INVALID, "rpc.listen: \"%s\" is not host:port", options->listen);
    }
    if (strcmp(host, "auto") == 0) {
        MRD_TRY(auto_host(bus, host, err));
    }
    mrd_auto(mrd_link_listener_destroy)
    struct mrd_link_listener *listener = calloc(1, sizeof(*listener));
    mrd_assert(listener != NULL);
    listener->options = *options;
    listener->options.listen = NULL;
    listener->options.advertise = NULL;
    if (options->connections_max == 0) {
        listener->options.connections_max = CONNECTIONS_MAX;
    }
    listener->fd = -1;
    mrd_assert(getrandom(listener->link.secret, MRD_LINK_SECRET_BYTES, 0) == MRD_LINK_SECRET_BYTES);
    MRD_TRY(bind_to(host, port, &listener->fd, err));
    MRD_TRY(address_tell(bus, listener, options->advertise, err));
    *out_listener = MRD_MOVE(listener);
    return MRD_OK;
}

const struct mrd_link *mrd_link_listener_address(const struct mrd_link_listener *listener)
{
    return &listener->link;
}

void mrd_link_listener_destroy(struct mrd_link_listener **listener)
{
    if (*listener == NULL) {
        return;
    }
    if ((*listener)->fd >= 0) {
        close((*listener)->fd);
    }
    explicit_bzero((*listener)->link.secret, MRD_LINK_SECRET_BYTES);
    free(*listener);
    *listener = NULL;
}
