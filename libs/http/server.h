/* server.h: an HTTP/1.1 server.
 *
 * A thread accepts connections; a few server threads (libmicrohttpd's epoll pool) read requests and write replies. When a request's
 * body is complete its handler is called on a server thread with the whole body; it either replies at
 * once or keeps the request, hands it to a thread of its own (a shard's message), and replies from
 * there. A handler must not block.
 *
 * With handlers_wait every connection has a server thread of its own instead, and its handlers may block: who works for
 * long on a thread of his own saves being woken twice, and so does each of his clients, for the price of a thread for each connection.
 *
 * Life:    a request is the handler's from the call until it replies; exactly one mrd_http_reply* call
 *          per request, whatever happened meanwhile. After that the pointer is invalid.
 * Gone:    when the deadline passes the client has got a 503 from the server itself; when the client
 *          has closed, nobody reads. Either way the handler's reply is dropped quietly, and
 *          mrd_http_canceled says so beforehand, so that long work can stop (it is noticed within
 *          100 ms).
 * Refused before any handler: unknown paths (404), methods (405 with Allow), bodies over the route's
 *          limit (413, before the body is read when its size is declared), two Content-Length headers,
 *          Content-Length together with Transfer-Encoding, transfer codings other than chunked (501),
 *          HTTP/1.1 without exactly one Host (400), headers over 64 KiB (431).
 * Slow:    a connection that takes longer than the configured times for its headers or its body is
 *          shut down, however many bytes it drips.
 * Threads: create, route_add, start and stop: one thread. Request functions: the request's owner, that
 *          is, one thread at a time.
 */
#ifndef MRD_HTTP_SERVER_H
#define MRD_HTTP_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "http/form.h"

struct mrd_http_server;
struct mrd_http_request;

/* Methods as bits, so that a route can take several. HEAD is answered wherever GET is, unless the
 * route says otherwise. */
enum mrd_http_method {
    MRD_HTTP_GET = 1,
    MRD_HTTP_POST = 2,
    MRD_HTTP_PUT = 4,
    MRD_HTTP_DELETE = 8,
    MRD_HTTP_HEAD = 16,
    MRD_HTTP_OPTIONS = 32,
    MRD_HTTP_NO_HEAD = 64 /* of a route: HEAD is refused although GET is taken */
};

/* 0 takes the default in brackets. */
struct mrd_http_config {
    const char *listen;              /* "127.0.0.1:7201", ":7201" (all addresses), "[::1]:0" */
    bool handlers_wait;              /* a thread for each connection, on which handlers may block */
    unsigned threads;                /* unless handlers wait [the smaller of 2 and the cores] */
    unsigned connections_max;        /* in all [4096]; more wait in the listen queue */
    unsigned connections_per_ip_max; /* [no limit]; more are closed */
    size_t body_size_max;            /* for routes that do not say [1 MiB] */
    size_t bodies_size_max;      /* of all bodies in the server's hands [256 MiB]; over it: 503 */
    mrd_time_ms deadline_ms;     /* from complete request to reply [60 s] */
    mrd_time_ms head_ms_max;     /* from its first byte to the end of the headers [10 s] */
    mrd_time_ms body_ms_max;     /* for the body after that [60 s] */
    mrd_time_ms reply_ms_max;    /* for the client to take the reply [300 s] */
    mrd_time_ms stall_ms_max;    /* for it to take anything of a written reply [30 s] */
    mrd_time_ms idle_ms_max;     /* between requests on a connection [75 s] */
    struct mrd_metrics *metrics; /* meridian_http_*; may be NULL */
};

/* Called on a server thread; owns the request from here on. */
typedef void mrd_http_handler(void *context, struct mrd_http_request *request);

struct mrd_http_route {
    unsigned methods; /* MRD_HTTP_GET | MRD_HTTP_POST */
    /* "/api/v1/query"; "/api/v1/label/{name}/values" (one segment, not empty); "/prometheus/" "*" for
     * everything below. Exact wins over {param}, {param} over the longest "*". Static storage. */
    const char *path;
    size_t body_size_max; /* 0: the server's */
    mrd_http_handler *handler;
    void *context;
};

/* Binds nothing yet. MRD_E_INVALID: a bad listen address. */
MRD_MUST_CHECK enum mrd_status mrd_http_server_create(const struct mrd_http_config *config,
                                                      struct mrd_http_server **out_server,
                                                      struct mrd_error *err);

/* Before start only. Two routes with the same path must not share a method (assertion). */
void mrd_http_route_add(struct mrd_http_server *server, const struct mrd_http_route *route);

/* What the route's handler may bound further for a request whose headers are there: its body. Called with
 * the route's context on a server thread. */
typedef size_t mrd_http_body_limit(void *context, struct mrd_http_request *request);

/* The same for a route of which every request has a bound of its own; limit_name (static) is what the bound is called, for the text
 * that refuses a body. */
void mrd_http_route_add_limited(struct mrd_http_server *server, const struct mrd_http_route *route,
                                mrd_http_body_limit *body_limit, const char *limit_name);

/* Binds and serves. MRD_E_UNAVAILABLE: the address cannot be had. */
MRD_MUST_CHECK enum mrd_status mrd_http_server_start(struct mrd_http_server *server,
                                                     struct mrd_error *err);

/* The port bound, also when 0 was asked for. After start. */
unsigned mrd_http_server_port(const struct mrd_http_server *server);

/* Stops taking connections (those that wait in the listen queue are turned away), lets every request that was taken be answered (new ones on open
 * connections too, with Connection: close) until grace_ms have passed, answers the rest with 503, and
 * closes. Returns when no server thread runs. Handlers may still hold requests: their replies are
 * dropped, but they must come before mrd_http_server_destroy. */
void mrd_http_server_stop(struct mrd_http_server *server, mrd_time_ms grace_ms);

/* Stops if need be (no grace) and frees. Waits for handlers that still hold requests. */
void mrd_http_server_destroy(struct mrd_http_server **server);

/* ---- the request: views live as long as the request ---- */

enum mrd_http_method mrd_http_method_of(const struct mrd_http_request *request);

/* The path as sent, still percent-encoded, without the query. */
struct mrd_bytes mrd_http_path(const struct mrd_http_request *request);

/* The decoded {param} segment, or what "*" stood for (not decoded). Empty if the route has none. */
struct mrd_bytes mrd_http_path_param(const struct mrd_http_request *request);

/* The first header of that name (any case); data is NULL if there is none. */
struct mrd_bytes mrd_http_header(const struct mrd_http_request *request, const char *name);

/* The peer's address without port, "192.0.2.7" or "2001:db8::1". */
const char *mrd_http_remote(const struct mrd_http_request *request);

/* The complete body. Empty if there is none or it was taken. */
struct mrd_bytes mrd_http_body(const struct mrd_http_request *request);

/* Moves the body out; out_body is finalised by the caller (mrd_buf_fini). */
void mrd_http_body_take(struct mrd_http_request *request, struct mrd_buf *out_body);

/* When the body was complete, mrd_clock_system()'s monotonic time; and the deadline. */
int64_t mrd_http_received_ns(const struct mrd_http_request *request);
int64_t mrd_http_deadline_ns(const struct mrd_http_request *request);

/* Nobody waits for the reply any more. Cheap; may be polled, from any thread that keeps the owner from
 * replying meanwhile. */
bool mrd_http_canceled(const struct mrd_http_request *request);

/* Breaks a reply off that is being written, within 100 ms: whoever writes it finds that nobody reads any more. Replies of one
 * piece are not touched. From any thread that keeps the owner from replying meanwhile. */
void mrd_http_cut(struct mrd_http_request *request);

struct mrd_http_params {
    const struct mrd_http_param *items;
    size_t count;
};

/* The parameters of an application/x-www-form-urlencoded body (POST and PUT), then those of the query
 * string, in order, as Go's Request.ParseForm gives them. MRD_E_INVALID: a broken escape or ';'. As
 * there, out_params has the well-formed ones then all the same. */
MRD_MUST_CHECK enum mrd_status mrd_http_params_parse(struct mrd_http_request *request,
                                                     struct mrd_http_params *out_params,
                                                     struct mrd_error *err);

/* The first parameter of that name. */
MRD_MUST_CHECK bool mrd_http_param_get(const struct mrd_http_params *params, const char *name,
                                       struct mrd_bytes *out_value);

/* ---- the reply ---- */

/* Adds a header to the reply to come; the strings are copied. The value must not have line ends
 * (they are replaced by spaces). */
void mrd_http_header_set(struct mrd_http_request *request, const char *name, const char *value);

/* Replies with a body (or none: NULL or empty), whose memory it takes: *body_take is left empty. The
 * request is gone afterwards. Any thread. Without a Content-Type header of the handler's own the body
 * is "text/plain; charset=utf-8". */
void mrd_http_reply(struct mrd_http_request *request, unsigned status, struct mrd_buf *body_take);

/* The same with a printed text. */
void mrd_http_reply_text(struct mrd_http_request *request, unsigned status, const char *format, ...)
    MRD_PRINTF(3, 4);

/* Replies with a body of unknown size, piece by piece (chunked). `pull` runs on a server thread as the
 * client takes data, and must not block: it writes at most size_max bytes and returns how many, 0 at
 * the end, or a negative number to break the connection off (so that the client sees an error, not a
 * short answer). `release` is called exactly once, on any thread, also if nothing was sent. */
struct mrd_http_stream {
    ssize_t (*pull)(void *context, uint8_t *out, size_t size_max);
    void (*release)(void *context);
    void *context;
};
void mrd_http_reply_stream(struct mrd_http_request *request, unsigned status,
                           const struct mrd_http_stream *stream);

/* A reply that a thread of the owner's writes while the client reads it. What is written and not yet
 * taken by the client waits in a queue of a fixed size; when that is full, writing waits. So an answer
 * of any size needs no memory beside the queue, and a slow client slows its writer down. */
struct mrd_http_writer;

/* Sends status and headers, and keeps the request valid until the writer ends. Not on a server thread:
 * writing may wait for one. But where handlers wait, in the handler, which ends it before it returns: another fiber of the
 * same thread sends (base/fiber.h). Never NULL. */
struct mrd_http_writer *mrd_http_reply_begin(struct mrd_http_request *request, unsigned status,
                                             size_t queue_bytes);

/* Queues all of `bytes`, waiting for room. MRD_E_CANCELED: nobody reads any more, because the client
 * has gone, took nothing for stall_ms_max (it is cut off then), or the server stops. */
MRD_MUST_CHECK enum mrd_status mrd_http_writer_write(struct mrd_http_writer *writer,
                                                     struct mrd_bytes bytes, struct mrd_error *err);

/* Ends the reply and gives the request back. `whole`: all was written; otherwise the connection is
 * broken off, so that the client sees an error and not a short answer. Does not wait. */
void mrd_http_writer_end(struct mrd_http_writer **writer, bool whole);

/* The HTTP status for a status of ours: OK 200, INVALID 400, LIMIT 429, NOT_FOUND 404, CONFLICT 409,
 * UNAVAILABLE and TIMEOUT 503, CANCELED 499, UNSUPPORTED 501, CORRUPT 500. */
unsigned mrd_http_status_of(enum mrd_status status);

#endif
