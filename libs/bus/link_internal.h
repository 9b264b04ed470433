/* link_internal.h: sockets of links, for both ends, and a client's pool of them.
 *
 *   link_socket.c  addresses, options, exact reads and writes
 *   link.c         the listener
 *   link_pool.c    a client's links
 *   rpc_links.c    a server's links, and rpc_link.c one of them
 */
#ifndef MRD_BUS_LINK_INTERNAL_H
#define MRD_BUS_LINK_INTERNAL_H

#include "bus/link_frame.h"

/* ---- sockets ---- */

enum { MRD_LINK_HOST_MAX = 256, MRD_LINK_PORT_MAX = 8 };

/* "host:port" or "[host]:port". */
MRD_MUST_CHECK bool mrd_link_address_split(const char *address, char host[MRD_LINK_HOST_MAX],
                                           char port[MRD_LINK_PORT_MAX]);

/* Sends at once, and finds out within half a minute that the other machine is gone. */
void mrd_link_socket_set(int fd);

/* All of it, or MRD_E_UNAVAILABLE: closed, broken, or late. The socket may block or not. */
MRD_MUST_CHECK enum mrd_status mrd_link_read_exact(int fd, void *out, size_t size,
                                                   int64_t deadline_ns, struct mrd_error *err);
MRD_MUST_CHECK enum mrd_status mrd_link_write_exact(int fd, const void *bytes, size_t size,
                                                    int64_t deadline_ns, struct mrd_error *err);

/* Moves the pieces forward by `size` bytes that were sent; returns how many are left. */
size_t mrd_link_iov_advance(struct iovec *pieces, size_t count, size_t size);

/* ---- the listener ---- */

struct mrd_link_listener {
    int fd;
    struct mrd_link link;
    struct mrd_link_listener_options options; /* without its texts */
};

/* ---- a client's pool ----
 *
 * Links to a peer are made in the background: a caller gets one that is idle, or none and asks over NATS this time. A peer that
 * cannot be reached is left alone for a while.
 * Threads: any; a link that was taken belongs to the thread that took it. */

struct mrd_link_pool;
struct mrd_link_peer;

struct mrd_link_conn {
    int fd; /* blocks; a read no longer than MRD_LINK_TICK_MS, a write than MRD_LINK_WRITE_MS */
    struct mrd_link_peer *peer;
    struct mrd_link_conn *next;
    int64_t idle_since_ns;
    struct mrd_link_reader reader;
};

enum {
    MRD_LINK_TICK_MS = 20,
    MRD_LINK_WRITE_MS = 1000,
    MRD_LINK_PEER_CONNS_MAX = 32,
};

struct mrd_link_pool_options {
    void (*on_change)(void *context, const char *address, const struct mrd_error *why);
    void *context;
    struct mrd_counter *opened;
    struct mrd_counter *failed;
};

MRD_MUST_CHECK enum mrd_status mrd_link_pool_create(const struct mrd_link_pool_options *options,
                                                    struct mrd_link_pool **out_pool,
                                                    struct mrd_error *err);
/* No link may be taken. */
void mrd_link_pool_destroy(struct mrd_link_pool **pool);

/* An idle link, or NULL: then one more is being made, unless there are too many or that has just failed. */
struct mrd_link_conn *mrd_link_pool_take(struct mrd_link_pool *pool, const struct mrd_link *to);

/* Back, with nothing under way on it. */
void mrd_link_pool_give(struct mrd_link_pool *pool, struct mrd_link_conn *conn);

/* Closes it. peer_failed: the peer has broken or lost it, so its idle ones are not trusted either. */
void mrd_link_pool_drop(struct mrd_link_pool *pool, struct mrd_link_conn *conn, bool peer_failed);

#endif
