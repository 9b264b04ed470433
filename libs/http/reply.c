/* Replies: made by the request's owner on any thread, queued by the server thread. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/http_internal.h"

static const char content_type_text[] = "text/plain; charset=utf-8";

struct MHD_Response *reply_text_response(const char *text)
{
    char *copy = strdup(text);
    mrd_assert(copy != NULL);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(copy), copy, MHD_RESPMEM_MUST_FREE);
    mrd_assert(response != NULL);
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type_text);
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    return response;
}

/* ---- counting ---- */

static struct mrd_counter *code_counter(struct http_route *route, struct mrd_metrics *metrics,
                                        unsigned status)
{
    _Atomic(struct mrd_counter *) *slot = &route->codes[status - HTTP_CODE_MIN];
    struct mrd_counter *counter = atomic_load_explicit(slot, memory_order_acquire);
    if (counter == NULL) { /* the registry gives two racing threads the same one */
        char code[16];
        (void)snprintf(code, sizeof(code), "%u", status);
        counter = mrd_metrics_counter(metrics, "meridian_http_requests_total",
                                      "HTTP requests answered, by route and status.",
                                      MRD_LABELS({"route", route->route.path}, {"code", code}));
        atomic_store_explicit(slot, counter, memory_order_release);
    }
    return counter;
}

void reply_count(struct mrd_http_request *request, unsigned status)
{
    if (request->route == NULL) {
        return;
    }
    mrd_counter_add(code_counter(request->route, request->server->metrics, status), 1);
    if (request->received_ns != 0) {
        mrd_metrics_histogram_observe(request->route->seconds,
                                      (double)(http_now_ns() - request->received_ns) / 1e9);
    }
}

/* ---- headers ---- */

static char *header_value_copy(const char *value)
{
    char *copy = strdup(value);
    mrd_assert(copy != NULL);
    for (char *at = copy; *at != 0; at++) {
        if (*at == '\r' || *at == '\n') {
            *at = ' ';
        }
    }
    return copy;
}

void mrd_http_header_set(struct mrd_http_request *request, const char *name, const char *value)
{
    mrd_assert(request->reply_header_count < HTTP_REPLY_HEADERS_MAX);
    const size_t i = request->reply_header_count++;
    request->reply_headers[i].name = header_value_copy(name);
    request->reply_headers[i].value = header_value_copy(value);
}

static void headers_add(struct mrd_http_request *request, struct MHD_Response *response,
                        bool has_body)
{
    bool typed = !has_body;
    for (size_t i = 0; i < request->reply_header_count; i++) {
        const char *name = request->reply_headers[i].name;
        typed = typed || strcasecmp(name, MHD_HTTP_HEADER_CONTENT_TYPE) == 0;
        (void)MHD_add_response_header(response, name, request->reply_headers[i].value);
    }
    if (!typed) {
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type_text);
    }
}

/* ---- handing over ---- */

/* Gives the response to the server thread and the request back. Takes `response`. */
static void answer(struct mrd_http_request *request, unsigned status, struct MHD_Response *response)
{
    mrd_assert(status >= HTTP_CODE_MIN && status <= HTTP_CODE_MAX);
    struct mrd_http_server *server = request->server;
    request->response = response;
    request->response_status = status;
    /* Stop waits for this count before the daemon may go away under MHD_resume_connection. Counted
     * before the step, sequentially consistent with stop's reading. */
    atomic_fetch_add(&server->resumes, 1);
    if (request_step(request, HTTP_RUNNING, HTTP_ANSWERED)) {
        /* the server thread looks at the state when the handler returns or has suspended */
    } else if (request_step(request, HTTP_SUSPENDED, HTTP_ANSWERED)) {
        request_resume(request);
    } else {
        mrd_counter_add(server->counts.late, 1); /* expired; released with the request */
    }
    request_release(request);
    atomic_fetch_sub(&server->resumes, 1);
}

void reply_hand_over(struct mrd_http_request *request, unsigned status,
                     struct MHD_Response *response_take)
{
    headers_add(request, response_take, true);
    answer(request, status, response_take);
}

void mrd_http_reply(struct mrd_http_request *request, unsigned status, struct mrd_buf *body_take)
{
    struct mrd_buf body = {0};
    if (body_take != NULL) {
        body = *body_take;
        *body_take = (struct mrd_buf){0};
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body.size, body.data, MHD_RESPMEM_MUST_FREE);
    mrd_assert(response != NULL);
    headers_add(request, response, body.size > 0);
    answer(request, status, response);
}

void mrd_http_reply_text(struct mrd_http_request *request, unsigned status, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    const int size = vasprintf(&text, format, args);
    va_end(args);
    mrd_assert(size >= 0);
    struct MHD_Response *response =
        MHD_create_response_from_buffer((size_t)size, text, MHD_RESPMEM_MUST_FREE);
    mrd_assert(response != NULL);
    headers_add(request, response, true);
    answer(request, status, response);
}

/* ---- streams ---- */

static ssize_t stream_read(void *context, uint64_t position, char *out, size_t size_max)
{
    (void)position;
    const struct mrd_http_stream *stream = context;
    const ssize_t size = stream->pull(stream->context, (uint8_t *)out, size_max);
    if (size > 0) {
        mrd_assert((size_t)size <= size_max);
        return size;
    }
    return size == 0 ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void stream_free(void *context)
{
    struct mrd_http_stream *stream = context;
    if (stream->release != NULL) {
        stream->release(stream->context);
    }
    free(stream);
}

void mrd_http_reply_stream(struct mrd_http_request *request, unsigned status,
                           const struct mrd_http_stream *stream)
{
    struct mrd_http_stream *copy = malloc(sizeof(*copy));
    mrd_assert(copy != NULL);
    *copy = *stream;
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, REPLY_BLOCK_SIZE, stream_read, copy, stream_free);
    mrd_assert(response != NULL);
    reply_hand_over(request, status, response);
}

unsigned mrd_http_status_of(enum mrd_status status)
{
    static const unsigned codes[MRD_STATUS_COUNT] = {
        [MRD_OK] = 200,         [MRD_E_INVALID] = 400,
        [MRD_E_LIMIT] = 429,    [MRD_E_UNAVAILABLE] = 503,
        [MRD_E_CORRUPT] = 500,  [MRD_E_NOT_FOUND] = 404,
        [MRD_E_CONFLICT] = 409, [MRD_E_TIMEOUT] = 503,
        [MRD_E_CANCELED] = 499, [MRD_E_UNSUPPORTED] = 501,
        [MRD_E_DENIED] = 500,   [MRD_E_FATAL] = 500,
    };
    return (size_t)status < MRD_STATUS_COUNT ? codes[status] : 500;
}
