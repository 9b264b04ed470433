/* http_internal.h: what the files of libs/http share.
 *
 * Threads: "server thread" is the libmicrohttpd thread that runs the connection; the acceptor is our own thread
 * that takes connections, the sweeper our own that watches ages. A request is touched by the server thread until it is dispatched, and
 * by its owner (the handler) until it replies; `state` hands it back and forth:
 *
 *   READING -> RUNNING      the handler is called on the server thread
 *   RUNNING -> SUSPENDED    it returned without a reply; the connection is out of the event loop
 *   RUNNING, SUSPENDED -> ANSWERED    by the owner, from any thread; `response` is set before
 *   SUSPENDED -> EXPIRED    by the sweeper: the deadline passed, the server thread answers 503
 *   RUNNING -> EXPIRED      the same where handlers wait; the 503 goes out when the handler has returned
 *
 * Who makes the step away from SUSPENDED resumes the connection, nobody else does. Where handlers wait (waiting.c) the server
 * thread is the connection's own, and SUSPENDED is that thread's sleep; libmicrohttpd knows of none. What libmicrohttpd
 * keeps in its pool (headers, URI) is copied, since the owner may hold a request longer than it lives.
 */
#ifndef MRD_HTTP_INTERNAL_H
#define MRD_HTTP_INTERNAL_H

#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "base/fiber.h"
#include "http/router.h"
#include "http/server.h"

enum {
    HTTP_CONNECTION_MEMORY = 64 << 10,
    HTTP_REMOTE_MAX = INET6_ADDRSTRLEN,
    HTTP_SWEEP_MS = 20,          /* a client that is gone is noticed within two of these */
    HTTP_DISCARD_MAX = 16 << 20, /* of a refused body is read and thrown away, so that the client is
                                    still there when the answer comes */
    HTTP_REPLY_HEADERS_MAX = 16,
    REPLY_BLOCK_SIZE = 32 << 10, /* what a reply of unknown size is read in */
    HTTP_FIBERS_KEPT = 16,       /* stacks of handlers that are kept for the next ones */
    HTTP_CODE_MIN = 100,
    HTTP_CODE_MAX = 599
};

enum http_state { HTTP_READING, HTTP_RUNNING, HTTP_SUSPENDED, HTTP_ANSWERED, HTTP_EXPIRED };

/* Where a connection is in its cycle; each phase but HANDLER has a bound on its age. */
enum http_phase {
    HTTP_PHASE_NEW,     /* nothing read yet */
    HTTP_PHASE_IDLE,    /* between requests */
    HTTP_PHASE_HEAD,    /* the request line is there */
    HTTP_PHASE_BODY,    /* the headers are there */
    HTTP_PHASE_HANDLER, /* the body is there */
    HTTP_PHASE_REPLY,   /* the reply is queued */
    HTTP_PHASE_COUNT
};

struct http_connection {
    struct http_connection *next; /* the server's list, under its lock */
    struct http_connection *previous;
    int fd; /* open as long as the connection is in the list */
    char remote[HTTP_REMOTE_MAX];

    _Atomic int phase;              /* written by the server thread */
    _Atomic int64_t phase_since_ns; /* likewise; relaxed, the sweeper may see them a moment apart */

    struct mrd_http_request *suspended; /* or with a written reply; under the server's lock */

    /* The sweeper's own. */
    int64_t idle_since_ns;
    uint64_t idle_bytes; /* received when it was first seen idle */
    int64_t bytes_since_ns;
    bool shut;
};

struct http_header {
    struct mrd_bytes name;
    struct mrd_bytes value;
};

struct http_route {
    struct mrd_http_route route;
    mrd_http_body_limit *body_limit; /* NULL: the route's bound holds for all requests */
    const char *limit_name; /* of the bound on bodies; NULL: it has none that could be set */
    struct mrd_metrics_histogram *seconds;
    _Atomic(struct mrd_counter *) codes[HTTP_CODE_MAX - HTTP_CODE_MIN + 1];
};

struct mrd_http_request {
    struct mrd_http_server *server;
    struct http_connection *peer;
    struct MHD_Connection *connection; /* valid while not completed */
    struct http_route *route;          /* NULL: refused before one was found */
    _Atomic int state;
    _Atomic int references; /* the server thread's until completed, the owner's until it replied */
    _Atomic bool gone;      /* nobody waits for the reply */

    char remote[HTTP_REMOTE_MAX];
    char *target; /* as sent */
    struct mrd_bytes path;
    struct mrd_bytes query;
    struct mrd_bytes param;
    enum mrd_http_method method;
    struct http_header *headers;
    size_t header_count;
    char *header_text;
    uint8_t *param_storage;

    struct mrd_buf body;
    size_t body_size_max;
    size_t body_counted; /* in the server's bodies_size */
    size_t body_discarded;

    struct mrd_http_param *params;
    size_t params_count;
    uint8_t *params_storage[2];

    int64_t received_ns;
    int64_t deadline_ns;
    bool begun;  /* the first access call was made */
    bool listed; /* it is its connection's `suspended`; the server thread's */

    bool written;     /* the reply comes from a writer; set before ANSWERED */
    _Atomic bool cut; /* its client takes nothing: the sweeper shuts the connection */

    /* Where handlers wait. */
    struct mrd_fiber *fiber; /* the handler's, until it has returned; the server thread's */
    sem_t resumed;           /* posted by whoever makes the step away from SUSPENDED */
    _Atomic int64_t
        client_since_ns; /* the client is to take some of a written reply; 0: we are to write. Relaxed, the sweeper may
                                        see it a moment late */

    unsigned refusal_status; /* 0: none */
    char refusal[160];
    char allow[64];

    struct MHD_Response *response;
    unsigned response_status;
    struct {
        char *name;
        char *value;
    } reply_headers[HTTP_REPLY_HEADERS_MAX];
    size_t reply_header_count;
};

struct http_counts {
    struct mrd_gauge *connections;
    struct mrd_gauge *requests;
    struct mrd_counter *connections_total;
    struct mrd_counter *accept_failures;
    struct mrd_counter *body_bytes;
    struct mrd_counter *expired;
    struct mrd_counter *canceled;
    struct mrd_counter *late;
    struct mrd_counter *shut[HTTP_PHASE_COUNT];
    struct mrd_counter_vec *refused;
};

struct mrd_http_server {
    struct mrd_http_config config; /* defaults filled in; listen is a copy */
    char *listen;
    struct mrd_router router;
    struct http_route *routes[MRD_ROUTER_PATTERNS_MAX];
    size_t route_count;
    struct mrd_metrics *metrics; /* the config's or own_metrics */
    struct mrd_metrics *own_metrics;
    struct http_counts counts;

    int listen_fd;
    unsigned port;
    struct MHD_Daemon *daemon;
    pthread_t acceptor;
    int accept_wake_fd; /* an eventfd: to stop, and when there is room again */
    _Atomic bool accept_stopping;
    pthread_t sweeper;
    bool sweeper_started;

    pthread_mutex_t lock; /* guards the list, the counts and each connection's `suspended` */
    pthread_cond_t wake;  /* for the sweeper, with the lock */
    struct http_connection *connections;
    size_t connection_count; /* in the list */
    size_t untold_count;     /* given to libmicrohttpd, which has not told of them yet */
    int64_t untold_ns;       /* when the last one was given */
    bool full;               /* the acceptor waits for a connection to close */
    bool sweeper_stop;
    struct mrd_fiber *fibers[HTTP_FIBERS_KEPT]; /* that have ended; under the lock */
    size_t fiber_count;

    _Atomic bool draining;  /* replies close their connections */
    _Atomic bool expiring;  /* nothing is waited for any more */
    _Atomic size_t open;    /* requests that libmicrohttpd knows */
    _Atomic size_t resumes; /* calls under way that may resume a connection */
    _Atomic size_t live;    /* requests that exist */
    _Atomic size_t bodies_size;
};

/* session.c: libmicrohttpd's callbacks */
void *session_uri(void *server, const char *uri, struct MHD_Connection *connection);
enum MHD_Result session_access(void *server, struct MHD_Connection *connection, const char *url,
                               const char *method, const char *version, const char *upload_data,
                               size_t *upload_data_size, void **con_cls);
void session_completed(void *server, struct MHD_Connection *connection, void **con_cls,
                       enum MHD_RequestTerminationCode code);
void session_connection(void *server, struct MHD_Connection *connection, void **socket_context,
                        enum MHD_ConnectionNotificationCode code);

/* waiting.c: where handlers wait. False: there is no memory for its stack, and it was not called. */
MRD_MUST_CHECK bool waiting_run(struct mrd_http_request *request);
/* Until the handler, whose fiber this is, yields again or has returned. */
void waiting_resume(struct mrd_http_server *server, struct mrd_fiber *fiber);
void waiting_fini(struct mrd_http_server *server);

/* request.c */
void request_release(struct mrd_http_request *request);
/* Tries the step; on success from SUSPENDED the caller must resume the connection. */
bool request_step(struct mrd_http_request *request, enum http_state from, enum http_state to);
/* Lets the server thread go on with a request that was suspended; it may be freed at once. */
void request_resume(struct mrd_http_request *request);
void request_body_forget(struct mrd_http_request *request);

/* reply.c */
struct MHD_Response *reply_text_response(const char *text);
void reply_count(struct mrd_http_request *request, unsigned status);
/* Adds the reply's headers, gives the response to the server thread and the request back. */
void reply_hand_over(struct mrd_http_request *request, unsigned status,
                     struct MHD_Response *response_take);

/* accept.c */
void accept_start(struct mrd_http_server *server);
/* Nobody is taken after this; who waits in the listen queue is turned away. */
void accept_stop(struct mrd_http_server *server);
/* When libmicrohttpd's threads have gone. */
void accept_fini(struct mrd_http_server *server);
/* There is room where there was none. */
void accept_wake(struct mrd_http_server *server);
/* Under the lock: libmicrohttpd has told of a connection that it was given. */
void accept_told(struct mrd_http_server *server);
/* Those in libmicrohttpd's hands, told of or not. */
size_t accept_connections(struct mrd_http_server *server);

/* sweep.c */
void *sweep_main(void *server);
void sweep_shut_all(struct mrd_http_server *server);

static inline int64_t http_now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

static inline void http_phase_set(struct http_connection *peer, enum http_phase phase)
{
    atomic_store_explicit(&peer->phase_since_ns, http_now_ns(), memory_order_relaxed);
    atomic_store_explicit(&peer->phase, (int)phase, memory_order_relaxed);
}

#endif
