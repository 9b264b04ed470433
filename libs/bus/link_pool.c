#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/threads.h"
#include "bus/connection_internal.h"
#include "bus/link_internal.h"

enum {
    CONNECT_MS = 1000, /* with the handshake */
    BACKOFF_MS = 1000, /* after a failure; doubles */
    BACKOFF_MS_MAX = 30000,
    IDLE_MS = 300000, /* then a link is closed, and a peer forgotten */
    LOOK_MS = 1000,
};
static const int64_t MS = 1000000;

/* One process that takes links: one that is restarted has another secret and is another peer. */
struct mrd_link_peer {
    struct mrd_link link;
    struct mrd_link_peer *next;
    struct mrd_link_conn *idle; /* the one used last first */
    uint32_t conns;             /* idle or taken */
    uint32_t wanted;            /* to be made */
    bool connecting;            /* the thread is at it */
    bool told;                  /* that it cannot be reached */
    uint32_t failures;          /* in a row */
    int64_t not_before_ns;      /* no attempt */
    int64_t used_ns;
};

struct mrd_link_pool {
    struct mrd_link_pool_options options;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t work;
    bool stopping;
    struct mrd_link_peer *first;
};

static int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

static void count(struct mrd_counter *counter)
{
    if (counter != NULL) {
        mrd_counter_add(counter, 1);
    }
}

/* ---- one link ---- */

static void conn_close(struct mrd_link_conn *conn)
{
    close(conn->fd);
    mrd_link_reader_fini(&conn->reader);
    free(conn);
}

static void conns_close(struct mrd_link_conn *list)
{
    while (list != NULL) {
        struct mrd_link_conn *conn = list;
        list = conn->next;
        conn_close(conn);
    }
}

/* The other side has not closed it, and has nothing to say: nobody has asked. */
static bool conn_is_quiet(const struct mrd_link_conn *conn)
{
    char byte;
    return recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static enum mrd_status connect_to(const struct addrinfo *address, int64_t deadline_ns, int *out_fd,
                                  struct mrd_error *err)
{
    const int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                          address->ai_protocol);
    if (fd < 0) {
        return mrd_fail_errno(err, MRD_E_UNAVAILABLE, "socket");
    }
    int error = connect(fd, address->ai_addr, address->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
        const int64_t left_ms = MRD_MAX((deadline_ns - now_ns()) / MS, (int64_t)1);
        socklen_t size = sizeof(error);
        if (poll(&poll_fd, 1, (int)left_ms) <= 0) {
            error = ETIMEDOUT;
        } else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
            error = errno;
        }
    }
    if (error != 0) {
        close(fd);
        errno = error;
        return mrd_fail_errno(err, MRD_E_UNAVAILABLE, "connect");
    }
    *out_fd = fd;
    return MRD_OK;
}

static enum mrd_status handshake(int fd, const struct mrd_link *to, int64_t deadline_ns,
                                 struct mrd_error *err)
{
    struct mrd_link_nonces nonces;
    uint8_t hello[MRD_LINK_HELLO_BYTES];
    uint8_t challenge[MRD_LINK_CHALLENGE_BYTES];
    uint8_t proof[MRD_LINK_PROOF_BYTES];
    mrd_link_nonce_make(nonces.client);
    mrd_link_hello_put(hello, nonces.client);
    MRD_TRY(mrd_link_write_exact(fd, hello, sizeof(hello), deadline_ns, err));
    MRD_TRY(mrd_link_read_exact(fd, challenge, sizeof(challenge), deadline_ns, err));
    if (!mrd_link_hello_get(challenge, nonces.server)) {
        return mrd_fail(err, MRD_E_UNAVAILABLE, "no answer in this version of the protocol");
    }
    if (!mrd_link_proof_check(to->secret, MRD_LINK_SERVER, &nonces,
                              challenge + MRD_LINK_HELLO_BYTES)) {
        return mrd_fail(err, MRD_E_DENIED, "who answers does not know the ingester's secret");
    }
    mrd_link_proof_make(to->secret, MRD_LINK_CLIENT, &nonces, proof);
    return mrd_link_write_exact(fd, proof, sizeof(proof), deadline_ns, err);
}

static void socket_set(int fd)
{
    const struct timeval read_timeout = {.tv_usec = MRD_LINK_TICK_MS * 1000};
    const struct timeval write_timeout = {.tv_sec = MRD_LINK_WRITE_MS / 1000};
    mrd_link_socket_set(fd);
    mrd_assert(fcntl(fd, F_SETFL, 0) == 0);
    mrd_assert(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &read_timeout, sizeof(read_timeout)) == 0);
    mrd_assert(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &write_timeout, sizeof(write_timeout)) == 0);
}

static enum mrd_status link_open(const struct mrd_link *to, int *out_fd, struct mrd_error *err)
{
    char host[MRD_LINK_HOST_MAX];
    char port[MRD_LINK_PORT_MAX];
    if (!mrd_link_address_split(to->address, host, port)) {
        return mrd_fail(err, MRD_E_UNAVAILABLE, "not an address");
    }
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *addresses = NULL;
    const int failed = getaddrinfo(host, port, &hints, &addresses);
    if (failed != 0) {
        return mrd_fail(err, MRD_E_UNAVAILABLE, "%s", gai_strerror(failed));
    }
    const int64_t deadline_ns = now_ns() + CONNECT_MS * MS;
    int fd = -1;
    enum mrd_status status = connect_to(addresses, deadline_ns, &fd, err);
    freeaddrinfo(addresses);
    MRD_TRY(status);
    status = handshake(fd, to, deadline_ns, err);
    if (status != MRD_OK) {
        close(fd);
        return status;
    }
    socket_set(fd);
    *out_fd = fd;
    return MRD_OK;
}

/* ---- peers (lock held) ---- */

static struct mrd_link_peer *peer_of(struct mrd_link_pool *pool, const struct mrd_link *to)
{
    struct mrd_link_peer **at = &pool->first;
    while (*at != NULL && memcmp(&(*at)->link, to, sizeof(*to)) != 0) {
        at = &(*at)->next;
    }
    if (*at == NULL) {
        *at = calloc(1, sizeof(**at));
        mrd_assert(*at != NULL);
        (*at)->link = *to;
    }
    return *at;
}

static void peer_push(struct mrd_link_peer *peer, struct mrd_link_conn *conn)
{
    conn->idle_since_ns = now_ns();
    conn->next = peer->idle;
    peer->idle = conn;
}

/* Takes the links that have not been used for long off the list; they are the last ones. */
static struct mrd_link_conn *peer_old(struct mrd_link_peer *peer, int64_t before_ns)
{
    struct mrd_link_conn **at = &peer->idle;
    while (*at != NULL && (*at)->idle_since_ns >= before_ns) {
        at = &(*at)->next;
    }
    struct mrd_link_conn *list = MRD_MOVE(*at);
    for (const struct mrd_link_conn *conn = list; conn != NULL; conn = conn->next) {
        peer->conns--;
    }
    return list;
}

static struct mrd_link_conn *peers_tidy(struct mrd_link_pool *pool)
{
    const int64_t before_ns = now_ns() - IDLE_MS * MS;
    struct mrd_link_conn *all = NULL;
    struct mrd_link_conn **last = &all;
    for (struct mrd_link_peer **at = &pool->first; *at != NULL;) {
        struct mrd_link_peer *peer = *at;
        *last = peer_old(peer, before_ns);
        while (*last != NULL) {
            last = &(*last)->next;
        }
        if (peer->conns == 0 && peer->used_ns < before_ns) {
            *at = peer->next;
            free(peer);
        } else {
            at = &peer->next;
        }
    }
    return all;
}

static bool peer_is_due(const struct mrd_link_peer *peer, int64_t now)
{
    return peer->wanted > 0 && peer->conns < MRD_LINK_PEER_CONNS_MAX && now >= peer->not_before_ns;
}

/* ---- making links (the pool's thread) ---- */

/* Lock held. True if who looks after the service is to hear of it. */
static bool attempt_note(struct mrd_link_pool *pool, struct mrd_link_peer *peer, bool opened)
{
    const bool change = peer->told == opened; /* down and up in turns, up not at first */
    peer->told = !opened;
    peer->connecting = false;
    if (opened) {
        peer->failures = 0;
        peer->conns++;
        peer->wanted -= MRD_MIN(peer->wanted, 1U);
        count(pool->options.opened);
        return change;
    }
    const uint32_t doublings = MRD_MIN(peer->failures, 10U);
    const int64_t backoff_ms = MRD_MIN((int64_t)BACKOFF_MS << doublings, (int64_t)BACKOFF_MS_MAX);
    peer->failures++;
    peer->not_before_ns = now_ns() + backoff_ms * MS;
    peer->wanted = 0;
    count(pool->options.failed);
    return change;
}

/* Lock held, given up meanwhile. */
static void attempt(struct mrd_link_pool *pool, struct mrd_link_peer *peer)
{
    const struct mrd_link to = peer->link;
    struct mrd_error err = {0};
    int fd = -1;
    peer->connecting = true;
    pthread_mutex_unlock(&pool->lock);
    const bool opened = link_open(&to, &fd, &err) == MRD_OK;
    struct mrd_link_conn *conn = NULL;
    if (opened) {
        conn = calloc(1, sizeof(*conn));
        mrd_assert(conn != NULL);
        *conn = (struct mrd_link_conn){.fd = fd, .peer = peer};
        conn->reader.frame_max = MRD_LINK_ANSWER_MAX;
    }
    pthread_mutex_lock(&pool->lock);
    const bool tell = attempt_note(pool, peer, opened);
    if (opened) {
        peer_push(peer, conn);
    }
    if (tell && pool->options.on_change != NULL) {
        pthread_mutex_unlock(&pool->lock);
        pool->options.on_change(pool->options.context, to.address, opened ? NULL : &err);
        pthread_mutex_lock(&pool->lock);
    }
}

static struct mrd_link_peer *peer_due(struct mrd_link_pool *pool)
{
    const int64_t now = now_ns();
    for (struct mrd_link_peer *peer = pool->first; peer != NULL; peer = peer->next) {
        if (peer_is_due(peer, now)) {
            return peer;
        }
    }
    return NULL;
}

static void *pool_run(void *context)
{
    struct mrd_link_pool *pool = context;
    int64_t tidied_ns = now_ns();
    mrd_thread_name_set("links");
    pthread_mutex_lock(&pool->lock);
    while (!pool->stopping) {
        struct mrd_link_peer *peer = peer_due(pool);
        if (peer != NULL) {
            attempt(pool, peer);
            continue;
        }
        const struct timespec until = mrd_cond_time(now_ns() + LOOK_MS * MS);
        pthread_cond_timedwait(&pool->work, &pool->lock, &until);
        if (now_ns() - tidied_ns >= LOOK_MS * MS) {
            tidied_ns = now_ns();
            struct mrd_link_conn *old = peers_tidy(pool);
            pthread_mutex_unlock(&pool->lock);
            conns_close(old);
            pthread_mutex_lock(&pool->lock);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* ---- what callers do ---- */

enum mrd_status mrd_link_pool_create(const struct mrd_link_pool_options *options,
                                     struct mrd_link_pool **out_pool, struct mrd_error *err)
{
    struct mrd_link_pool *pool = calloc(1, sizeof(*pool));
    mrd_assert(pool != NULL);
    pool->options = *options;
    pthread_mutex_init(&pool->lock, NULL);
    mrd_cond_init(&pool->work);
    if (pthread_create(&pool->thread, NULL, pool_run, pool) != 0) {
        pthread_cond_destroy(&pool->work);
        pthread_mutex_destroy(&pool->lock);
        free(pool);
        return mrd_fail(err, MRD_E_UNAVAILABLE, "no thread for direct connections");
    }
    *out_pool = pool;
    return MRD_OK;
}

void mrd_link_pool_destroy(struct mrd_link_pool **pool)
{
    if (*pool == NULL) {
        return;
    }
    struct mrd_link_pool *self = MRD_MOVE(*pool);
    pthread_mutex_lock(&self->lock);
    self->stopping = true;
    pthread_cond_signal(&self->work);
    pthread_mutex_unlock(&self->lock);
    pthread_join(self->thread, NULL);
    while (self->first != NULL) {
        struct mrd_link_peer *peer = self->first;
        self->first = peer->next;
        conns_close(peer_old(peer, INT64_MAX));
        mrd_assert(peer->conns == 0);
        explicit_bzero(&peer->link, sizeof(peer->link));
        free(peer);
    }
    pthread_cond_destroy(&self->work);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

/* Lock held: the caller finds none that is idle. True: the thread is to make one. */
static bool want(struct mrd_link_peer *peer)
{
    if (peer->conns + peer->wanted < MRD_LINK_PEER_CONNS_MAX) {
        peer->wanted++;
    }
    return !peer->connecting && peer_is_due(peer, peer->used_ns);
}

struct mrd_link_conn *mrd_link_pool_take(struct mrd_link_pool *pool, const struct mrd_link *to)
{
    for (;;) {
        bool wake = false;
        pthread_mutex_lock(&pool->lock);
        struct mrd_link_peer *peer = peer_of(pool, to);
        peer->used_ns = now_ns();
        struct mrd_link_conn *conn = peer->idle;
        if (conn != NULL) {
            peer->idle = conn->next;
        } else {
            wake = want(peer);
        }
        pthread_mutex_unlock(&pool->lock);
        if (wake) {
            pthread_cond_signal(&pool->work);
        }
        if (conn == NULL || conn_is_quiet(conn)) {
            return conn;
        }
        mrd_link_pool_drop(pool, conn, true);
    }
}

void mrd_link_pool_give(struct mrd_link_pool *pool, struct mrd_link_conn *conn)
{
    mrd_assert(mrd_link_reader_empty(&conn->reader));
    pthread_mutex_lock(&pool->lock);
    peer_push(conn->peer, conn);
    pthread_mutex_unlock(&pool->lock);
}

void mrd_link_pool_drop(struct mrd_link_pool *pool, struct mrd_link_conn *conn, bool peer_failed)
{
    pthread_mutex_lock(&pool->lock);
    struct mrd_link_conn *others = peer_failed ? peer_old(conn->peer, INT64_MAX) : NULL;
    conn->peer->conns--;
    pthread_mutex_unlock(&pool->lock);
    conn_close(conn);
    conns_close(others);
}
