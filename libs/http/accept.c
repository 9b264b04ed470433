/* The acceptor: a thread that takes connections and gives them to libmicrohttpd, which does not listen itself. So whoever stops
 * the server knows when nobody is taken any more, and waits until libmicrohttpd has told of all that it was given: of its own
 * means (0.9.75), taking the listening socket from its threads is a race that ends the process, and so is a connection that it
 * has taken and not told of when it stops (docs/decisions/0015-the-server-accepts.md). Where there is no room, or no
 * descriptor, connections wait in the listen queue. */
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/threads.h"
#include "http/http_internal.h"

enum {
    PAUSE_MS = 50,  /* after an accept that failed, for want of a descriptor most likely */
    FULL_MS = 1000, /* how often room is looked for, beside being woken */
    UNTOLD_MS_MAX = 10000
};

/* ---- counting ---- */

/* Under the lock. libmicrohttpd tells of what it was given within moments, unless it had no memory for it and closed it without
 * a word. */
static size_t connections_count(struct mrd_http_server *server)
{
    if (server->untold_count > 0 && http_now_ns() - server->untold_ns > UNTOLD_MS_MAX * 1000000LL) {
        server->untold_count = 0;
    }
    return server->connection_count + server->untold_count;
}

size_t accept_connections(struct mrd_http_server *server)
{
    pthread_mutex_lock(&server->lock);
    const size_t count = connections_count(server);
    pthread_mutex_unlock(&server->lock);
    return count;
}

/* If there is none, whoever closes a connection wakes the acceptor. */
static bool has_room(struct mrd_http_server *server)
{
    pthread_mutex_lock(&server->lock);
    const bool room = connections_count(server) < server->config.connections_max;
    server->full = !room;
    pthread_mutex_unlock(&server->lock);
    return room;
}

static void untold_add(struct mrd_http_server *server)
{
    pthread_mutex_lock(&server->lock);
    server->untold_count++;
    server->untold_ns = http_now_ns();
    pthread_mutex_unlock(&server->lock);
}

void accept_told(struct mrd_http_server *server)
{
    server->untold_count -= server->untold_count > 0 ? 1 : 0;
}

/* ---- accepting ---- */

/* It tells of the connection on a thread of its own (session_connection), maybe before this returns. What it refuses, such as
 * one connection more of an address than may be, it has closed, and does not tell of. */
static void hand_over(struct mrd_http_server *server, int fd, const struct sockaddr *address,
                      socklen_t size)
{
    untold_add(server);
    if (MHD_add_connection(server->daemon, fd, address, size) != MHD_YES) {
        pthread_mutex_lock(&server->lock);
        accept_told(server);
        pthread_mutex_unlock(&server->lock);
    }
}

enum accepted { ACCEPTED_ONE, ACCEPTED_NONE, ACCEPTED_FAILED };

static enum accepted accept_one(struct mrd_http_server *server)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);
    const int fd = accept4(server->listen_fd, (struct sockaddr *)&address, &size,
                           SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        hand_over(server, fd, (const struct sockaddr *)&address, size);
        return ACCEPTED_ONE;
    }
    if (errno == EAGAIN) {
        return ACCEPTED_NONE;
    }
    if (errno == ECONNABORTED || errno == EINTR) {
        return ACCEPTED_ONE; /* that one has gone; others may be there */
    }
    mrd_counter_add(server->counts.accept_failures, 1);
    return ACCEPTED_FAILED;
}

/* Takes all that are there; false if the next try should wait. */
static bool accept_all(struct mrd_http_server *server)
{
    enum accepted accepted = ACCEPTED_ONE;
    while (accepted == ACCEPTED_ONE && has_room(server) &&
           !atomic_load_explicit(&server->accept_stopping, memory_order_relaxed)) {
        accepted = accept_one(server);
    }
    return accepted != ACCEPTED_FAILED;
}

/* ---- the thread ---- */

static void accept_wait(struct mrd_http_server *server, bool pause)
{
    const bool room = has_room(server);
    struct pollfd fds[] = {
        {.fd = server->accept_wake_fd,                  .events = POLLIN},
        {.fd = room && !pause ? server->listen_fd : -1, .events = POLLIN},
    };
    (void)poll(fds, MRD_ARRAY_LEN(fds), pause ? PAUSE_MS : room ? -1 : FULL_MS);
    if (fds[0].revents != 0) {
        eventfd_t ignored;
        (void)eventfd_read(server->accept_wake_fd, &ignored);
    }
}

static void *accept_main(void *context)
{
    struct mrd_http_server *server = context;
    mrd_thread_name_set("http-accept");
    bool pause = false;
    while (!atomic_load_explicit(&server->accept_stopping, memory_order_relaxed)) {
        accept_wait(server, pause);
        pause = !accept_all(server);
    }
    return NULL;
}

void accept_start(struct mrd_http_server *server)
{
    server->accept_wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    mrd_assert(server->accept_wake_fd >= 0);
    mrd_assert(pthread_create(&server->acceptor, NULL, accept_main, server) == 0);
}

void accept_wake(struct mrd_http_server *server) { (void)eventfd_write(server->accept_wake_fd, 1); }

void accept_stop(struct mrd_http_server *server)
{
    atomic_store_explicit(&server->accept_stopping, true, memory_order_relaxed);
    accept_wake(server);
    mrd_assert(pthread_join(server->acceptor, NULL) == 0);
    close(server->listen_fd);
    server->listen_fd = -1;
}

void accept_fini(struct mrd_http_server *server)
{
    close(server->accept_wake_fd);
    server->accept_wake_fd = -1;
}
