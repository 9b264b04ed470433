#include "http/server.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/threads.h"
#include "http/http_internal.h"

/* ---- configuration ---- */

enum {
    HTTP_THREADS_MAX = 64,
    HTTP_CONNECTIONS_MAX = 1 << 20,
    HTTP_BACKLOG = 1024,
    HTTP_STACK_BYTES = 256 << 10 /* of a connection's thread; handlers have stacks of their own */
};

static unsigned threads_default(void)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores >= 2 ? 2 : 1;
}

static void config_fill(struct mrd_http_config *config)
{
    const mrd_time_ms second = 1000;
    config->threads = config->threads != 0 ? config->threads : threads_default();
    config->threads = MRD_MIN(config->threads, (unsigned)HTTP_THREADS_MAX);
    config->connections_max = config->connections_max != 0 ? config->connections_max : 4096;
    config->connections_max = MRD_MIN(config->connections_max, (unsigned)HTTP_CONNECTIONS_MAX);
    config->body_size_max = config->body_size_max != 0 ? config->body_size_max : 1 << 20;
    config->bodies_size_max = config->bodies_size_max != 0 ? config->bodies_size_max : 256 << 20;
    config->deadline_ms = config->deadline_ms != 0 ? config->deadline_ms : 60 * second;
    config->head_ms_max = config->head_ms_max != 0 ? config->head_ms_max : 10 * second;
    config->body_ms_max = config->body_ms_max != 0 ? config->body_ms_max : 60 * second;
    config->reply_ms_max = config->reply_ms_max != 0 ? config->reply_ms_max : 300 * second;
    config->stall_ms_max = config->stall_ms_max != 0 ? config->stall_ms_max : 30 * second;
    config->idle_ms_max = config->idle_ms_max != 0 ? config->idle_ms_max : 75 * second;
}

/* "host:port", ":port" or "[host]:port" into two strings of the caller. */
static bool listen_split(const char *listen, char *host, size_t host_size, char *port,
                         size_t port_size)
{
    const char *colon = strrchr(listen, ':');
    if (colon == NULL || colon[1] == 0 || strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
        strlen(colon + 1) >= port_size || atol(colon + 1) > 65535) {
        return false;
    }
    const char *first = listen;
    size_t size = (size_t)(colon - listen);
    if (size >= 2 && first[0] == '[' && first[size - 1] == ']') {
        first++;
        size -= 2;
    } else if (memchr(first, ':', size) != NULL) {
        return false; /* an IPv6 address needs its brackets */
    }
    if (size >= host_size) {
        return false;
    }
    (void)snprintf(host, host_size, "%.*s", (int)size, first);
    (void)snprintf(port, port_size, "%s", colon + 1);
    return true;
}

/* ---- metrics ---- */

static const char *const phase_names[HTTP_PHASE_COUNT] = {
    [HTTP_PHASE_NEW] = "new",   [HTTP_PHASE_IDLE] = "idle",       [HTTP_PHASE_HEAD] = "head",
    [HTTP_PHASE_BODY] = "body", [HTTP_PHASE_HANDLER] = "handler", [HTTP_PHASE_REPLY] = "reply",
};

static double read_bodies_size(void *context)
{
    const struct mrd_http_server *server = context;
    return (double)atomic_load_explicit(&server->bodies_size, memory_order_relaxed);
}

static void counts_register(struct mrd_http_server *server)
{
    struct mrd_metrics *metrics = server->metrics;
    struct http_counts *counts = &server->counts;
    counts->connections = mrd_metrics_gauge(metrics, "meridian_http_connections",
                                            "Connections open now.", MRD_NO_LABELS);
    counts->requests = mrd_metrics_gauge(metrics, "meridian_http_requests_in_flight",
                                         "Requests begun and not yet answered.", MRD_NO_LABELS);
    counts->connections_total = mrd_metrics_counter(metrics, "meridian_http_connections_total",
                                                    "Connections taken.", MRD_NO_LABELS);
    counts->accept_failures = mrd_metrics_counter(metrics, "meridian_http_accept_failures_total",
                                                  "Times that connections had to wait because none "
                                                  "could be taken, for want of descriptors say.",
                                                  MRD_NO_LABELS);
    counts->body_bytes =
        mrd_metrics_counter(metrics, "meridian_http_request_body_bytes_total",
                            "Bytes of request bodies given to handlers.", MRD_NO_LABELS);
    counts->expired =
        mrd_metrics_counter(metrics, "meridian_http_requests_expired_total",
                            "Requests answered 503 because no answer came in time.", MRD_NO_LABELS);
    counts->canceled =
        mrd_metrics_counter(metrics, "meridian_http_requests_canceled_total",
                            "Requests whose client went away before the answer.", MRD_NO_LABELS);
    counts->late =
        mrd_metrics_counter(metrics, "meridian_http_replies_late_total",
                            "Replies dropped because the request had expired.", MRD_NO_LABELS);
    counts->refused = mrd_metrics_counter_vec(metrics, "meridian_http_requests_refused_total",
                                              "Requests refused before any handler, by reason.",
                                              "reason", MRD_NO_LABELS, 32);
    mrd_metrics_callback(metrics, MRD_METRIC_GAUGE, "meridian_http_bodies_bytes",
                         "Bytes of request bodies received and not yet taken by handlers.",
                         MRD_NO_LABELS, read_bodies_size, server);
    for (size_t i = 0; i < HTTP_PHASE_COUNT; i++) {
        counts->shut[i] =
            mrd_metrics_counter(metrics, "meridian_http_connections_shut_total",
                                "Connections shut down for being too slow, by what they were at.",
                                MRD_LABELS({"phase", phase_names[i]}));
    }
}

/* ---- life ---- */

enum mrd_status mrd_http_server_create(const struct mrd_http_config *config,
                                       struct mrd_http_server **out_server, struct mrd_error *err)
{
    char host[256];
    char port[8];
    if (!listen_split(config->listen, host, sizeof(host), port, sizeof(port))) {
        return mrd_fail(err, MRD_E_INVALID,
                        "listen address %s: write ADDRESS:PORT, such as 0.0.0.0:7201 or [::1]:7201",
                        config->listen);
    }
    struct mrd_http_server *server = calloc(1, sizeof(*server));
    mrd_assert(server != NULL);
    server->config = *config;
    config_fill(&server->config);
    server->listen = strdup(config->listen);
    mrd_assert(server->listen != NULL);
    server->config.listen = server->listen;
    server->listen_fd = -1;
    server->own_metrics = config->metrics == NULL ? mrd_metrics_create() : NULL;
    server->metrics = config->metrics != NULL ? config->metrics : server->own_metrics;
    counts_register(server);
    mrd_assert(pthread_mutex_init(&server->lock, NULL) == 0);
    mrd_cond_init(&server->wake);
    *out_server = server;
    return MRD_OK;
}

void mrd_http_route_add(struct mrd_http_server *server, const struct mrd_http_route *route)
{
    mrd_http_route_add_limited(server, route, NULL,
                               route->body_size_max == 0 ? "http.body_size_max" : NULL);
}

void mrd_http_route_add_limited(struct mrd_http_server *server, const struct mrd_http_route *route,
                                mrd_http_body_limit *body_limit, const char *limit_name)
{
    mrd_assert(server->daemon == NULL);
    mrd_assert(route->handler != NULL);
    unsigned methods = route->methods & ~(unsigned)MRD_HTTP_NO_HEAD;
    if ((methods & MRD_HTTP_GET) != 0 && methods == route->methods) {
        methods |= MRD_HTTP_HEAD;
    }
    mrd_router_add(&server->router, route->path, methods, server->route_count);
    struct http_route *kept = calloc(1, sizeof(*kept));
    mrd_assert(kept != NULL);
    kept->route = *route;
    kept->body_limit = body_limit;
    kept->limit_name = limit_name;
    kept->seconds = mrd_metrics_histogram(server->metrics, "meridian_http_request_seconds",
                                          "From the complete request to its answer, by route.",
                                          MRD_LABELS({"route", route->path}), mrd_bounds_seconds,
                                          mrd_bounds_seconds_count);
    server->routes[server->route_count++] = kept;
}

/* ---- the socket ---- */

static int socket_bind(const struct addrinfo *address)
{
    const int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    const int one = 1;
    const int zero = 0;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (address->ai_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
    }
    if (bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, HTTP_BACKLOG) != 0) {
        const int saved_errno = errno;
        close(fd);
        errno = saved_errno;
        return -1;
    }
    return fd;
}

static unsigned socket_port(int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);
    char port[8] = "0";
    if (getsockname(fd, (struct sockaddr *)&address, &size) == 0) {
        (void)getnameinfo((struct sockaddr *)&address, size, NULL, 0, port, sizeof(port),
                          NI_NUMERICSERV);
    }
    return (unsigned)atoi(port);
}

/* An empty host means all addresses: IPv6 and IPv4 on one socket, or IPv4 where there is no IPv6. */
static enum mrd_status server_bind(struct mrd_http_server *server, struct mrd_error *err)
{
    char host[256];
    char port[8];
    mrd_assert(listen_split(server->listen, host, sizeof(host), port, sizeof(port)));
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                                   .ai_socktype = SOCK_STREAM};
    struct addrinfo *addresses = NULL;
    const int failed = getaddrinfo(host[0] == 0 ? NULL : host, port, &hints, &addresses);
    if (failed != 0) {
        return mrd_fail(err, MRD_E_UNAVAILABLE, "listen on %s: %s", server->listen,
                        gai_strerror(failed));
    }
    const int first_families[] = {AF_INET6, AF_INET};
    for (size_t i = 0; i < 2 && server->listen_fd < 0; i++) {
        for (const struct addrinfo *at = addresses; at != NULL && server->listen_fd < 0;
             at = at->ai_next) {
            if (at->ai_family == first_families[i]) {
                server->listen_fd = socket_bind(at);
            }
        }
    }
    const int saved_errno = errno;
    freeaddrinfo(addresses);
    if (server->listen_fd < 0) {
        errno = saved_errno;
        return mrd_fail_errno(err, MRD_E_UNAVAILABLE, "listen on %s", server->listen);
    }
    server->port = socket_port(server->listen_fd);
    return MRD_OK;
}

/* ---- the daemon ---- */

static size_t unescape_nothing(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context, (void)connection;
    return strlen(text); /* paths and parameters are decoded from the URI as sent */
}

static void log_nothing(void *context, const char *format, va_list arguments)
{
    (void)context, (void)format, (void)arguments; /* clients' mistakes; libraries do not log */
}

/* The acceptor keeps the limit. libmicrohttpd splits its own among its threads, gives each socket to one of them by its number,
 * and counts closed connections a moment longer: it gets one that is never met. */
static unsigned daemon_connections_max(const struct mrd_http_config *config)
{
    enum { SPARE = 64 };
    return (config->connections_max + SPARE) * (config->handlers_wait ? 1 : config->threads);
}

static struct MHD_Daemon *daemon_start(struct mrd_http_server *server)
{
    const struct mrd_http_config *config = &server->config;
    /* A thread of its own for each connection spins in the last second of a timeout (0.9.75): the sweeper ends idle ones there. */
    const unsigned idle_s =
        config->handlers_wait ? 0 : (unsigned)((config->idle_ms_max + 999) / 1000);
    const struct MHD_OptionItem options[] = {
        {config->handlers_wait ? MHD_OPTION_THREAD_STACK_SIZE : MHD_OPTION_THREAD_POOL_SIZE,
         config->handlers_wait ? HTTP_STACK_BYTES : (intptr_t)config->threads,                  NULL},
        {MHD_OPTION_END,                                                                     0, NULL},
    };
    const unsigned flags = config->handlers_wait
                               ? MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_THREAD_PER_CONNECTION
                               : MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME;
    return MHD_start_daemon(
        flags | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        session_access, server, MHD_OPTION_EXTERNAL_LOGGER, log_nothing, NULL,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)HTTP_CONNECTION_MEMORY, MHD_OPTION_CONNECTION_LIMIT, daemon_connections_max(config),
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, config->connections_per_ip_max,
        MHD_OPTION_CONNECTION_TIMEOUT, idle_s, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_NOTIFY_COMPLETED, session_completed, server, MHD_OPTION_NOTIFY_CONNECTION,
        session_connection, server, MHD_OPTION_URI_LOG_CALLBACK, session_uri, server,
        MHD_OPTION_UNESCAPE_CALLBACK, unescape_nothing, NULL, MHD_OPTION_ARRAY,
        config->handlers_wait || config->threads > 1 ? options : &options[1], MHD_OPTION_END);
}

enum mrd_status mrd_http_server_start(struct mrd_http_server *server, struct mrd_error *err)
{
    mrd_assert(server->daemon == NULL);
    MRD_TRY(server_bind(server, err));
    server->daemon = daemon_start(server);
    if (server->daemon == NULL) {
        close(server->listen_fd);
        server->listen_fd = -1;
        return mrd_fail(err, MRD_E_UNAVAILABLE, "listen on %s: the HTTP server did not start",
                        server->listen);
    }
    mrd_assert(pthread_create(&server->sweeper, NULL, sweep_main, server) == 0);
    server->sweeper_started = true;
    accept_start(server);
    return MRD_OK;
}

unsigned mrd_http_server_port(const struct mrd_http_server *server) { return server->port; }

/* ---- stopping ---- */

/* Waits until *count is 0; false if `until_ns` came first. Shutting down is rare, so it may poll. */
static bool wait_for_none(const _Atomic size_t *count, int64_t until_ns)
{
    const struct timespec pause = {0, 1000000};
    while (atomic_load(count) > 0) {
        if (http_now_ns() >= until_ns) {
            return false;
        }
        (void)nanosleep(&pause, NULL);
    }
    return true;
}

static void sweeper_join(struct mrd_http_server *server)
{
    if (server->sweeper_started) {
        pthread_mutex_lock(&server->lock);
        server->sweeper_stop = true;
        pthread_cond_signal(&server->wake);
        pthread_mutex_unlock(&server->lock);
        mrd_assert(pthread_join(server->sweeper, NULL) == 0);
        server->sweeper_started = false;
    }
}

/* Answers what waits with 503, and gives what is being written a moment before it is cut off. From
 * here on no request is dispatched, so none is suspended when the daemon stops: one that did not see
 * `expiring` had been counted in `open` before (both sequentially consistent). */
static void stop_waiting(struct mrd_http_server *server)
{
    enum { LAST_WRITES_MS = 1000 };
    atomic_store(&server->expiring, true);
    pthread_mutex_lock(&server->lock);
    pthread_cond_signal(&server->wake);
    pthread_mutex_unlock(&server->lock);
    if (!wait_for_none(&server->open, http_now_ns() + LAST_WRITES_MS * 1000000LL)) {
        sweep_shut_all(server);
        (void)wait_for_none(&server->open, INT64_MAX);
    }
}

/* Ends the connections that are left, none of which has a request, while libmicrohttpd still runs: of a malformed request line
 * that it reads once it is to stop, it makes an answer that it does not queue, and follows the null pointer (0.9.75). Those that
 * it has not told of yet are waited for. */
static void end_connections(struct mrd_http_server *server)
{
    enum { CLOSED_MS = 30000 };
    const struct timespec pause = {0, 1000000};
    const int64_t until_ns = http_now_ns() + CLOSED_MS * 1000000LL;
    while (accept_connections(server) > 0 && http_now_ns() < until_ns) {
        sweep_shut_all(server);
        (void)nanosleep(&pause, NULL);
    }
}

void mrd_http_server_stop(struct mrd_http_server *server, mrd_time_ms grace_ms)
{
    if (server->daemon == NULL) {
        return;
    }
    atomic_store(&server->draining, true);
    accept_stop(server);
    (void)wait_for_none(&server->open, http_now_ns() + grace_ms * 1000000);
    stop_waiting(server);
    (void)wait_for_none(&server->resumes, INT64_MAX);
    end_connections(server);
    sweeper_join(server);
    MHD_stop_daemon(server->daemon);
    server->daemon = NULL;
    accept_fini(server);
}

void mrd_http_server_destroy(struct mrd_http_server **server)
{
    struct mrd_http_server *gone = MRD_MOVE(*server);
    if (gone == NULL) {
        return;
    }
    mrd_http_server_stop(gone, 0);
    (void)wait_for_none(&gone->live, INT64_MAX);
    (void)wait_for_none(&gone->resumes, INT64_MAX);
    for (size_t i = 0; i < gone->route_count; i++) {
        free(gone->routes[i]);
    }
    waiting_fini(gone);
    mrd_metrics_forget(gone->metrics, gone);
    mrd_metrics_destroy(&gone->own_metrics);
    pthread_mutex_destroy(&gone->lock);
    pthread_cond_destroy(&gone->wake);
    free(gone->listen);
    free(gone);
}
