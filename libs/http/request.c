/* The owner's view of a request. */
#include <stdlib.h>

#include "http/http_internal.h"

bool request_step(struct mrd_http_request *request, enum http_state from, enum http_state to)
{
    int expected = (int)from;
    /* Release publishes what the caller wrote (the response); acquire sees what the other side did. */
    return atomic_compare_exchange_strong_explicit(&request->state, &expected, (int)to,
                                                   memory_order_acq_rel, memory_order_acquire);
}

void request_resume(struct mrd_http_request *request)
{
    if (request->server->config.handlers_wait) {
        (void)sem_post(&request->resumed);
    } else {
        MHD_resume_connection(request->connection);
    }
}

void request_body_forget(struct mrd_http_request *request)
{
    atomic_fetch_sub_explicit(&request->server->bodies_size, request->body_counted,
                              memory_order_relaxed);
    request->body_counted = 0;
}

static void request_destroy(struct mrd_http_request *request)
{
    struct mrd_http_server *server = request->server;
    request_body_forget(request);
    mrd_buf_fini(&request->body);
    if (request->response != NULL) { /* it came too late */
        MHD_destroy_response(request->response);
    }
    for (size_t i = 0; i < request->reply_header_count; i++) {
        free(request->reply_headers[i].name);
        free(request->reply_headers[i].value);
    }
    free(request->target);
    free(request->headers);
    free(request->header_text);
    free(request->param_storage);
    free(request->params);
    free(request->params_storage[0]);
    free(request->params_storage[1]);
    (void)sem_destroy(&request->resumed);
    free(request);
    atomic_fetch_sub_explicit(&server->live, 1, memory_order_release);
}

void request_release(struct mrd_http_request *request)
{
    if (atomic_fetch_sub_explicit(&request->references, 1, memory_order_acq_rel) == 1) {
        request_destroy(request);
    }
}

enum mrd_http_method mrd_http_method_of(const struct mrd_http_request *request)
{
    return request->method;
}

struct mrd_bytes mrd_http_path(const struct mrd_http_request *request) { return request->path; }

struct mrd_bytes mrd_http_path_param(const struct mrd_http_request *request)
{
    return request->param;
}

struct mrd_bytes mrd_http_header(const struct mrd_http_request *request, const char *name)
{
    for (size_t i = 0; i < request->header_count; i++) {
        if (strcasecmp((const char *)request->headers[i].name.data, name) == 0) {
            return request->headers[i].value;
        }
    }
    return MRD_BYTES_NONE;
}

const char *mrd_http_remote(const struct mrd_http_request *request) { return request->remote; }

struct mrd_bytes mrd_http_body(const struct mrd_http_request *request)
{
    return mrd_buf_view(&request->body);
}

void mrd_http_body_take(struct mrd_http_request *request, struct mrd_buf *out_body)
{
    request_body_forget(request);
    *out_body = request->body;
    request->body = (struct mrd_buf){0};
}

int64_t mrd_http_received_ns(const struct mrd_http_request *request)
{
    return request->received_ns;
}

int64_t mrd_http_deadline_ns(const struct mrd_http_request *request)
{
    return request->deadline_ns;
}

bool mrd_http_canceled(const struct mrd_http_request *request)
{
    return atomic_load_explicit(&request->gone, memory_order_relaxed);
}

void mrd_http_cut(struct mrd_http_request *request)
{
    atomic_store_explicit(&request->cut, true, memory_order_relaxed);
}

static bool is_form(const struct mrd_http_request *request)
{
    static const char type[] = "application/x-www-form-urlencoded";
    const struct mrd_bytes header = mrd_http_header(request, "Content-Type");
    return (request->method == MRD_HTTP_POST || request->method == MRD_HTTP_PUT) &&
           header.size >= sizeof(type) - 1 &&
           strncasecmp((const char *)header.data, type, sizeof(type) - 1) == 0 &&
           (header.size == sizeof(type) - 1 || strchr("; \t", header.data[sizeof(type) - 1]));
}

enum mrd_status mrd_http_params_parse(struct mrd_http_request *request,
                                      struct mrd_http_params *out_params, struct mrd_error *err)
{
    mrd_assert(request->params_storage[0] == NULL); /* once per request */
    mrd_assert(request->params_storage[1] == NULL);
    enum mrd_status status = MRD_OK;
    if (is_form(request)) {
        status = mrd_form_parse(mrd_http_body(request), &request->params, &request->params_count,
                                &request->params_storage[0], err);
    }
    struct mrd_error later;
    const enum mrd_status in_query =
        mrd_form_parse(request->query, &request->params, &request->params_count,
                       &request->params_storage[1], status == MRD_OK ? err : &later);
    *out_params = (struct mrd_http_params){request->params, request->params_count};
    return status != MRD_OK ? status : in_query;
}

bool mrd_http_param_get(const struct mrd_http_params *params, const char *name,
                        struct mrd_bytes *out_value)
{
    const struct mrd_bytes wanted = mrd_bytes_of(name);
    for (size_t i = 0; i < params->count; i++) {
        if (mrd_bytes_equal(params->items[i].name, wanted)) {
            *out_value = params->items[i].value;
            return true;
        }
    }
    return false;
}
