/* The server thread's side of a request: libmicrohttpd's callbacks. What it would let through and must
 * not (found by trying 0.9.75) is refused here: two lengths, a length beside chunks, no Host. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/http_internal.h"

/* ---- connections ---- */

static void remote_text(struct MHD_Connection *connection, char out[HTTP_REMOTE_MAX])
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    out[0] = 0;
    if (info == NULL || info->client_addr == NULL) {
        return;
    }
    if (info->client_addr->sa_family == AF_INET) {
        struct sockaddr_in address;
        memcpy(&address, info->client_addr, sizeof(address));
        (void)inet_ntop(AF_INET, &address.sin_addr, out, HTTP_REMOTE_MAX);
    } else if (info->client_addr->sa_family == AF_INET6) {
        struct sockaddr_in6 address;
        memcpy(&address, info->client_addr, sizeof(address));
        (void)inet_ntop(AF_INET6, &address.sin6_addr, out, HTTP_REMOTE_MAX);
        if (strncmp(out, "::ffff:", 7) == 0 && strchr(out, '.') != NULL) {
            memmove(out, out + 7, strlen(out + 7) + 1); /* IPv4 through an IPv6 socket */
        }
    }
}

static void connection_opened(struct mrd_http_server *server, struct MHD_Connection *connection,
                              void **socket_context)
{
    struct http_connection *peer = calloc(1, sizeof(*peer));
    mrd_assert(peer != NULL);
    peer->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    remote_text(connection, peer->remote);
    http_phase_set(peer, HTTP_PHASE_NEW);
    pthread_mutex_lock(&server->lock);
    accept_told(server);
    peer->next = server->connections;
    if (peer->next != NULL) {
        peer->next->previous = peer;
    }
    server->connections = peer;
    server->connection_count++;
    pthread_mutex_unlock(&server->lock);
    *socket_context = peer;
    mrd_gauge_add(server->counts.connections, 1);
    mrd_counter_add(server->counts.connections_total, 1);
}

/* libmicrohttpd closes the socket after this, so the sweeper never sees a reused descriptor. */
static void connection_closed(struct mrd_http_server *server, void **socket_context)
{
    struct http_connection *peer = *socket_context;
    if (peer == NULL) {
        return;
    }
    pthread_mutex_lock(&server->lock);
    mrd_assert(peer->suspended == NULL);
    if (peer->previous != NULL) {
        peer->previous->next = peer->next;
    } else {
        server->connections = peer->next;
    }
    if (peer->next != NULL) {
        peer->next->previous = peer->previous;
    }
    server->connection_count--;
    const bool was_full = server->full;
    server->full = false;
    pthread_mutex_unlock(&server->lock);
    free(peer);
    *socket_context = NULL;
    mrd_gauge_add(server->counts.connections, -1);
    if (was_full) {
        accept_wake(server);
    }
}

void session_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                        enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        connection_opened(context, connection, socket_context);
    } else {
        connection_closed(context, socket_context);
    }
}

/* ---- the beginning of a request ---- */

void *session_uri(void *context, const char *uri, struct MHD_Connection *connection)
{
    struct mrd_http_server *server = context;
    struct mrd_http_request *request = calloc(1, sizeof(*request));
    mrd_assert(request != NULL);
    request->server = server;
    request->connection = connection;
    request->peer =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    mrd_assert(request->peer != NULL);
    memcpy(request->remote, request->peer->remote, sizeof(request->remote));
    request->target = strdup(uri != NULL ? uri : "");
    mrd_assert(request->target != NULL);
    request->path =
        (struct mrd_bytes){(const uint8_t *)request->target, strcspn(request->target, "?#")};
    const char *rest = request->target + request->path.size;
    if (*rest == '?') {
        request->query = (struct mrd_bytes){(const uint8_t *)rest + 1, strcspn(rest + 1, "#")};
    }
    atomic_init(&request->references, 1);
    mrd_assert(sem_init(&request->resumed, 0, 0) == 0);
    atomic_fetch_add(&server->open, 1); /* sequentially consistent: see stop_waiting */
    atomic_fetch_add_explicit(&server->live, 1, memory_order_relaxed);
    mrd_gauge_add(server->counts.requests, 1);
    http_phase_set(request->peer, HTTP_PHASE_HEAD);
    return request;
}

/* Remembers why the request is refused; the first reason counts. `status` is answered when the body
 * has been read (and dropped), so that the client sees it. */
static void refuse(struct mrd_http_request *request, unsigned status, const char *reason,
                   const char *text)
{
    if (request->refusal_status == 0) {
        request->refusal_status = status;
        (void)snprintf(request->refusal, sizeof(request->refusal), "%s\n", text);
        mrd_counter_add(mrd_counter_vec_at(request->server->counts.refused, mrd_bytes_of(reason)),
                        1);
    }
}

/* `at_end`: the request was read whole, so that the connection may go on. */
static enum MHD_Result refuse_now(struct mrd_http_request *request, bool at_end)
{
    struct MHD_Response *response = reply_text_response(request->refusal);
    if (!at_end || atomic_load_explicit(&request->server->draining, memory_order_relaxed)) {
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    }
    if (request->allow[0] != 0) {
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, request->allow);
    }
    http_phase_set(request->peer, HTTP_PHASE_REPLY);
    reply_count(request, request->refusal_status);
    const enum MHD_Result result =
        MHD_queue_response(request->connection, request->refusal_status, response);
    MHD_destroy_response(response);
    return result;
}

struct header_walk {
    size_t count;
    size_t text_size;
    struct mrd_http_request *request; /* in the second walk */
    char *at;
};

static enum MHD_Result header_measure(void *context, enum MHD_ValueKind kind, const char *name,
                                      size_t name_size, const char *value, size_t value_size)
{
    (void)kind, (void)name, (void)value;
    struct header_walk *walk = context;
    walk->count++;
    walk->text_size += name_size + value_size + 2;
    return MHD_YES;
}

static struct mrd_bytes header_copy(struct header_walk *walk, const char *text, size_t size)
{
    const struct mrd_bytes copy = {(const uint8_t *)walk->at, size};
    if (size > 0) {
        memcpy(walk->at, text, size);
    }
    walk->at[size] = 0;
    walk->at += size + 1;
    return copy;
}

static enum MHD_Result header_take(void *context, enum MHD_ValueKind kind, const char *name,
                                   size_t name_size, const char *value, size_t value_size)
{
    (void)kind;
    struct header_walk *walk = context;
    struct http_header *header = &walk->request->headers[walk->request->header_count++];
    header->name = header_copy(walk, name, name_size);
    header->value = header_copy(walk, value, value_size);
    return MHD_YES;
}

static void headers_copy(struct mrd_http_request *request)
{
    struct header_walk walk = {0};
    (void)MHD_get_connection_values_n(request->connection, MHD_HEADER_KIND, header_measure, &walk);
    request->headers = calloc(walk.count + 1, sizeof(*request->headers));
    request->header_text = malloc(walk.text_size + 1);
    mrd_assert(request->headers != NULL && request->header_text != NULL);
    walk.request = request;
    walk.at = request->header_text;
    (void)MHD_get_connection_values_n(request->connection, MHD_HEADER_KIND, header_take, &walk);
}

static const struct {
    const char *name;
    enum mrd_http_method method;
} method_names[] = {
    {"DELETE",  MRD_HTTP_DELETE },
    {"GET",     MRD_HTTP_GET    },
    {"HEAD",    MRD_HTTP_HEAD   },
    {"OPTIONS", MRD_HTTP_OPTIONS},
    {"POST",    MRD_HTTP_POST   },
    {"PUT",     MRD_HTTP_PUT    },
};

static unsigned method_parse(const char *name)
{
    for (size_t i = 0; i < MRD_ARRAY_LEN(method_names); i++) {
        if (strcmp(name, method_names[i].name) == 0) {
            return method_names[i].method;
        }
    }
    return 0;
}

static void allow_text(unsigned methods, char *out, size_t out_size)
{
    size_t size = 0;
    out[0] = 0;
    for (size_t i = 0; i < MRD_ARRAY_LEN(method_names); i++) {
        if ((methods & method_names[i].method) != 0) {
            size += (size_t)snprintf(out + size, out_size - size, "%s%s", size == 0 ? "" : ", ",
                                     method_names[i].name);
        }
    }
}

/* RFC 9110, 5.6.2: what a header's name may consist of. "Content-Length " is not Content-Length, but
 * a proxy in front might think so. */
static bool is_token(struct mrd_bytes text)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < text.size; i++) {
        const uint8_t c = text.data[i];
        const uint8_t letter = c | 0x20;
        if (!(c >= '0' && c <= '9') && !(letter >= 'a' && letter <= 'z') &&
            (c == 0 || strchr(others, c) == NULL)) {
            return false;
        }
    }
    return text.size > 0;
}

/* How the request's body is framed, from its headers. */
struct framing {
    size_t length_count, host_count, coding_count;
    uint64_t length;
    bool length_valid, chunked, expects, names_valid;
};

static bool length_parse(struct mrd_bytes text, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(text.data[i] - '0');
    }
    *out = value;
    return text.size > 0 && text.size <= 18; /* no overflow */
}

static bool is_named(const struct http_header *header, const char *name)
{
    return strcasecmp((const char *)header->name.data, name) == 0;
}

static struct framing framing_of(const struct mrd_http_request *request)
{
    struct framing framing = {.names_valid = true};
    for (size_t i = 0; i < request->header_count; i++) {
        const struct http_header *header = &request->headers[i];
        const char *value = (const char *)header->value.data;
        framing.names_valid = framing.names_valid && is_token(header->name);
        if (is_named(header, "Content-Length")) {
            framing.length_count++;
            framing.length_valid = length_parse(header->value, &framing.length);
        } else if (is_named(header, "Transfer-Encoding")) {
            framing.coding_count++;
            framing.chunked = strcasecmp(value, "chunked") == 0;
        } else if (is_named(header, "Host")) {
            framing.host_count++;
        } else if (is_named(header, "Expect")) {
            framing.expects = strcasecmp(value, "100-continue") == 0;
        }
    }
    return framing;
}

/* True if the request may not even be read further: nobody can be sure where it ends. */
static bool refuse_framing(struct mrd_http_request *request, const struct framing *framing,
                           const char *version)
{
    const bool http_1_1 = strcmp(version, "HTTP/1.1") == 0;
    if (!framing->names_valid) {
        refuse(request, 400, "bad_header", "malformed header name");
    } else if (framing->host_count > 1 || (http_1_1 && framing->host_count == 0)) {
        refuse(request, 400, "bad_host", "exactly one Host header is required");
    } else if (framing->length_count > 1) {
        refuse(request, 400, "bad_length", "more than one Content-Length header");
    } else if (framing->length_count > 0 && framing->coding_count > 0) {
        refuse(request, 400, "bad_length", "Content-Length beside Transfer-Encoding");
    } else if (framing->length_count == 1 && !framing->length_valid) {
        refuse(request, 400, "bad_length", "malformed Content-Length");
    } else if (framing->coding_count > 1 ||
               (framing->coding_count == 1 && !(framing->chunked && http_1_1))) {
        refuse(request, 501, "bad_coding", "the only transfer coding known is chunked");
    }
    return request->refusal_status != 0;
}

static void find_route(struct mrd_http_request *request, const char *method)
{
    struct mrd_http_server *server = request->server;
    const unsigned bit = method_parse(method);
    const struct mrd_router_match match = mrd_router_find(&server->router, request->path, bit);
    request->method = (enum mrd_http_method)bit;
    if (match.found) {
        request->route = server->routes[match.value];
        request->param = match.param;
        const size_t size_max = request->route->route.body_size_max;
        request->body_size_max = size_max != 0 ? size_max : server->config.body_size_max;
        if (request->route->body_limit != NULL) {
            const size_t limit = request->route->body_limit(request->route->route.context, request);
            request->body_size_max = MRD_MIN(request->body_size_max, limit);
        }
    } else if (match.methods != 0) {
        refuse(request, 405, "method", "Method Not Allowed");
        allow_text(match.methods, request->allow, sizeof(request->allow));
    } else {
        refuse(request, 404, "path", "404 page not found");
    }
}

static void param_decode(struct mrd_http_request *request)
{
    if (request->route == NULL || request->param.size == 0 ||
        strchr(request->route->route.path, '{') == NULL) {
        return;
    }
    request->param_storage = malloc(request->param.size + 1);
    mrd_assert(request->param_storage != NULL);
    size_t size;
    if (!mrd_percent_decode(request->param, false, request->param_storage, &size)) {
        refuse(request, 400, "bad_path", "invalid URL escape in the path");
        return;
    }
    request->param_storage[size] = 0;
    request->param = (struct mrd_bytes){request->param_storage, size};
}

static void refuse_too_large(struct mrd_http_request *request)
{
    char text[158];
    const char *name = request->route != NULL ? request->route->limit_name : NULL;
    (void)snprintf(text, sizeof(text), "the request's body is over the limit of %zu bytes%s%s%s",
                   request->body_size_max, name != NULL ? " (" : "", name != NULL ? name : "",
                   name != NULL ? "): send smaller requests" : "");
    refuse(request, 413, "body_size", text);
}

/* The first call for a request: its headers are there, its body is not. */
static enum MHD_Result begin(struct mrd_http_request *request, const char *method,
                             const char *version)
{
    request->begun = true;
    http_phase_set(request->peer, HTTP_PHASE_BODY);
    headers_copy(request);
    const struct framing framing = framing_of(request);
    if (refuse_framing(request, &framing, version)) {
        return refuse_now(request, false);
    }
    find_route(request, method);
    param_decode(request);
    if (request->refusal_status == 0 && framing.length > request->body_size_max) {
        refuse_too_large(request);
    }
    if (request->refusal_status != 0 && (framing.expects || framing.length > HTTP_DISCARD_MAX)) {
        return refuse_now(request, false);
    }
    if (request->refusal_status == 0 && framing.length > 0 &&
        mrd_buf_reserve(&request->body, (size_t)framing.length) == NULL) {
        refuse(request, 503, "memory", "out of memory for request bodies");
    }
    return MHD_YES;
}

/* ---- the body ---- */

static void body_drop(struct mrd_http_request *request)
{
    request_body_forget(request);
    mrd_buf_fini(&request->body);
}

static enum MHD_Result take_body(struct mrd_http_request *request, const char *data, size_t size)
{
    struct mrd_http_server *server = request->server;
    if (request->refusal_status == 0 && size > request->body_size_max - request->body.size) {
        refuse_too_large(request);
    }
    if (request->refusal_status == 0) {
        const size_t before =
            atomic_fetch_add_explicit(&server->bodies_size, size, memory_order_relaxed);
        request->body_counted += size;
        if (before + size > server->config.bodies_size_max) {
            refuse(request, 503, "memory", "too many request bodies at once; try again");
        }
    }
    if (request->refusal_status == 0) {
        mrd_buf_append(&request->body, data, size);
        if (!request->body.failed) {
            return MHD_YES;
        }
        refuse(request, 503, "memory", "out of memory for request bodies");
    }
    body_drop(request);
    request->body_discarded += size;
    return request->body_discarded <= HTTP_DISCARD_MAX ? MHD_YES : MHD_NO; /* MHD_NO closes */
}

/* ---- handler and reply ---- */

static enum MHD_Result queue_expired(struct mrd_http_request *request)
{
    request->refusal_status = 503;
    (void)snprintf(request->refusal, sizeof(request->refusal), "no answer in time; try again\n");
    return refuse_now(request, true);
}

static enum MHD_Result queue_answer(struct mrd_http_request *request)
{
    http_phase_set(request->peer, HTTP_PHASE_REPLY);
    if (atomic_load_explicit(&request->server->draining, memory_order_relaxed)) {
        (void)MHD_add_response_header(request->response, MHD_HTTP_HEADER_CONNECTION, "close");
    }
    reply_count(request, request->response_status);
    const enum MHD_Result result =
        MHD_queue_response(request->connection, request->response_status, request->response);
    MHD_destroy_response(request->response);
    request->response = NULL;
    return result;
}

/* Shows the request to the sweeper, or takes it from its sight, after which it may be freed. */
static void list_set(struct mrd_http_request *request, bool listed)
{
    if (request->listed != listed) {
        request->listed = listed;
        pthread_mutex_lock(&request->server->lock);
        request->peer->suspended = listed ? request : NULL;
        pthread_mutex_unlock(&request->server->lock);
    }
}

/* What came of a request whose handler has returned, or was resumed. */
static enum MHD_Result queue_outcome(struct mrd_http_request *request, enum http_state state)
{
    if (state == HTTP_EXPIRED) {
        list_set(request, false);
        return queue_expired(request);
    }
    list_set(request, request->written);
    return queue_answer(request);
}

/* Calls the handler on this thread, which is the connection's own, and sleeps until there is an answer. */
static enum MHD_Result dispatch_waiting(struct mrd_http_request *request)
{
    list_set(request, true); /* so that the handler learns when nobody waits any more */
    if (!waiting_run(request)) {
        list_set(request, false);
        atomic_fetch_sub_explicit(&request->references, 1, memory_order_relaxed);
        refuse(request, 503, "memory", "out of memory for the handler");
        return refuse_now(request, true);
    }
    if (request_step(request, HTTP_RUNNING, HTTP_SUSPENDED)) { /* another thread has it */
        while (sem_wait(&request->resumed) != 0) {}
    }
    return queue_outcome(
        request, (enum http_state)atomic_load_explicit(&request->state, memory_order_acquire));
}

static enum MHD_Result dispatch(struct mrd_http_request *request)
{
    struct mrd_http_server *server = request->server;
    http_phase_set(request->peer, HTTP_PHASE_HANDLER);
    request->received_ns = http_now_ns();
    request->deadline_ns = request->received_ns + server->config.deadline_ms * 1000000;
    mrd_counter_add(server->counts.body_bytes, request->body.size);
    atomic_fetch_add_explicit(&request->references, 1, memory_order_relaxed);
    atomic_store_explicit(&request->state, HTTP_RUNNING, memory_order_relaxed);
    if (server->config.handlers_wait) {
        return dispatch_waiting(request);
    }
    struct MHD_Connection *connection = request->connection;
    request->route->route.handler(request->route->route.context, request);
    /* Our own reference keeps it; acquire pairs with the owner's release in request_step. */
    if (atomic_load_explicit(&request->state, memory_order_acquire) == HTTP_ANSWERED) {
        list_set(request, request->written);
        return queue_answer(request);
    }
    MHD_suspend_connection(connection);
    list_set(request, true);
    if (!request_step(request, HTTP_RUNNING, HTTP_SUSPENDED)) {
        MHD_resume_connection(connection); /* the answer came in between */
    }
    return MHD_YES;
}

static enum MHD_Result complete(struct mrd_http_request *request)
{
    const enum http_state state =
        (enum http_state)atomic_load_explicit(&request->state, memory_order_acquire);
    switch (state) {
    case HTTP_READING:
        if (request->refusal_status == 0 && atomic_load(&request->server->expiring)) {
            refuse(request, 503, "stopping", "the server is stopping");
        }
        return request->refusal_status != 0 ? refuse_now(request, true) : dispatch(request);
    case HTTP_ANSWERED:
    case HTTP_EXPIRED:
        return queue_outcome(request, state);
    case HTTP_RUNNING:
    case HTTP_SUSPENDED:
        break;
    }
    mrd_assert(false && "a suspended request was resumed by nobody");
    return MHD_NO;
}

enum MHD_Result session_access(void *context, struct MHD_Connection *connection, const char *url,
                               const char *method, const char *version, const char *upload_data,
                               size_t *upload_data_size, void **con_cls)
{
    (void)context, (void)connection, (void)url;
    struct mrd_http_request *request = *con_cls;
    mrd_assert(request != NULL);
    if (!request->begun) {
        return begin(request, method, version);
    }
    if (*upload_data_size > 0) {
        const size_t size = *upload_data_size;
        *upload_data_size = 0;
        return take_body(request, upload_data, size);
    }
    return complete(request);
}

/* Sent, or given up; libmicrohttpd forgets the request. It is never suspended here, but may have been
 * resumed without a further access call: when the client is found to have gone first. */
void session_completed(void *context, struct MHD_Connection *connection, void **con_cls,
                       enum MHD_RequestTerminationCode code)
{
    (void)connection;
    struct mrd_http_server *server = context;
    struct mrd_http_request *request = *con_cls;
    if (request == NULL) {
        return;
    }
    *con_cls = NULL;
    if (code != MHD_REQUEST_TERMINATED_COMPLETED_OK) {
        atomic_store_explicit(&request->gone, true, memory_order_relaxed);
    }
    list_set(request, false);
    http_phase_set(request->peer, HTTP_PHASE_IDLE);
    mrd_gauge_add(server->counts.requests, -1);
    request_release(request);
    /* Release: all of the request's work on this thread is done when stop sees the count fall. */
    atomic_fetch_sub_explicit(&server->open, 1, memory_order_release);
}
