/* Direct connections of an rpc server.
 *
 * Each has a thread, which waits for a request, runs it itself if it is the request's turn, and writes the answer: no
 * other thread wakes up. If others are to go first, the request is queued like any, a worker answers it, and the
 * connection's thread goes on reading. One request at a time is under way on a connection.
 *
 * While a connection's thread runs a handler, nobody waits for what its client says: a handler that waits for credit
 * reads by itself, and the watch looks every 20 ms for cancellation and for clients that have gone.
 *
 * The watch is one thread: it accepts connections, makes and joins their threads (one that works for long has
 * stepped into the background for good, base/threads.h: another one has the connection from then on, while it ends its
 * call), sends signs of life, and is the only one that touches the lists. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bus/rpc_links_internal.h"

enum {
    IDLE_MS = 1000,      /* without connections */
    HANDSHAKES_MAX = 32, /* connections that have not proved themselves */
};
static const int64_t MS = 1000000;

void mrd_rpc_links_wake(struct mrd_rpc_links *links)
{
    const uint64_t one = 1;
    (void)!write(links->wake_fd, &one, sizeof(one)); /* fails only if it is awake already */
}

void mrd_rpc_links_count_refused(struct mrd_rpc_links *links)
{
    if (links->listener->options.refused != NULL) {
        mrd_counter_add(links->listener->options.refused, 1);
    }
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
        count += mrd_rpc_link_state(link) == MRD_RPC_LINK_NEW ? 1 : 0;
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
    if (pthread_create(&link->thread, NULL, mrd_rpc_link_run, link) != 0) {
        mrd_rpc_links_count_refused(links);
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
                const struct timespec pause = {.tv_nsec = MRD_RPC_WATCH_MS * MS};
                (void)nanosleep(&pause, NULL);
            }
            return;
        }
        if (links->count >= links->listener->options.connections_max ||
            unproved_count(links) >= HANDSHAKES_MAX) {
            mrd_rpc_links_count_refused(links);
            close(fd);
        } else {
            link_add(links, fd);
        }
    }
}

static void left_add(struct mrd_rpc_links *links, pthread_t thread)
{
    struct mrd_rpc_left *left = calloc(1, sizeof(*left));
    mrd_assert(left != NULL);
    *left = (struct mrd_rpc_left){.thread = thread, .next = links->left};
    links->left = left;
}

/* Joins those that have ended; or all. They may be without a core for long. */
static void left_join(struct mrd_rpc_links *links, bool all)
{
    for (struct mrd_rpc_left **at = &links->left; *at != NULL;) {
        struct mrd_rpc_left *left = *at;
        const int running =
            all ? pthread_join(left->thread, NULL) : pthread_tryjoin_np(left->thread, NULL);
        if (running != 0) {
            at = &left->next;
            continue;
        }
        *at = left->next;
        free(left);
    }
}

/* The thread that has left runs on. Where there is no other one, the link waits for one. */
static void link_take_over(struct mrd_rpc_link *link)
{
    const pthread_t thread = link->thread;
    mrd_rpc_link_state_set(link, MRD_RPC_LINK_OPEN);
    if (pthread_create(&link->thread, NULL, mrd_rpc_link_run, link) == 0) {
        left_add(link->links, thread);
    } else {
        link->thread = thread;
        mrd_rpc_link_state_set(link, MRD_RPC_LINK_LEFT);
    }
}

/* False: the link is gone. */
static bool link_tend(struct mrd_rpc_link *link)
{
    const enum mrd_rpc_link_state state = mrd_rpc_link_state(link);
    if (state == MRD_RPC_LINK_LEFT) {
        link_take_over(link);
    }
    if (state != MRD_RPC_LINK_ENDED) {
        return true;
    }
    pthread_join(link->thread, NULL);
    link_free(link);
    return false;
}

static void links_tend(struct mrd_rpc_links *links)
{
    left_join(links, false);
    for (struct mrd_rpc_link **at = &links->first; *at != NULL;) {
        struct mrd_rpc_link *next = (*at)->next;
        if (link_tend(*at)) {
            at = &(*at)->next;
        } else {
            *at = next;
        }
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
    (void)poll(fds, 2, links->count > 0 ? MRD_RPC_WATCH_MS : IDLE_MS);
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
            mrd_rpc_link_look(link);
        }
    }
    for (struct mrd_rpc_link *link = links->first; link != NULL; link = link->next) {
        (void)shutdown(link->fd, SHUT_RDWR);
    }
    left_join(links, true); /* while their links exist */
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
    mrd_rpc_links_wake(links);
}

void mrd_rpc_links_stop(struct mrd_rpc_links **links)
{
    if (*links == NULL) {
        return;
    }
    struct mrd_rpc_links *self = MRD_MOVE(*links);
    atomic_store_explicit(&self->stopping, true, memory_order_relaxed);
    mrd_rpc_links_wake(self);
    pthread_join(self->watch, NULL);
    links_free(self);
}
