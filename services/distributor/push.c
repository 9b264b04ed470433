#include "distributor/push.h"

#include <stdlib.h>

#include "model/tenant.h"
#include "wire/remote_write.h"

static const char proto_v2[] = "io.prometheus.write.v2.Request";

static bool equal_ignoring_case(struct mrd_bytes a, const char *b)
{
    return a.size == strlen(b) && strncasecmp((const char *)a.data, b, a.size) == 0;
}

/* Takes the part before `separator` off the front. */
static struct mrd_bytes cut(struct mrd_bytes *text, char separator)
{
    const uint8_t *found = text->size == 0 ? NULL : memchr(text->data, separator, text->size);
    struct mrd_bytes part = *text;
    if (found == NULL) {
        *text = MRD_BYTES_NONE;
    } else {
        part.size = (size_t)(found - text->data);
        text->size -= part.size + 1;
        text->data = found + 1;
    }
    return mrd_bytes_trim(part);
}

static struct mrd_bytes unquote(struct mrd_bytes text)
{
    if (text.size >= 2 && text.data[0] == '"' && text.data[text.size - 1] == '"') {
        return (struct mrd_bytes){text.data + 1, text.size - 2};
    }
    return text;
}

/* "" is a version that we take, and says which; any other answer is what to tell the sender. */
static const char *refusal_of_type(struct mrd_bytes type, bool *out_is_v2)
{
    *out_is_v2 = false;
    if (type.size == 0) {
        return "";
    }
    if (!equal_ignoring_case(cut(&type, ';'), "application/x-protobuf")) {
        return "Content-Type must be application/x-protobuf";
    }
    while (type.size > 0) {
        struct mrd_bytes parameter = cut(&type, ';');
        const struct mrd_bytes name = cut(&parameter, '=');
        if (!equal_ignoring_case(name, "proto")) {
            continue;
        }
        parameter = unquote(parameter);
        *out_is_v2 = mrd_bytes_equal(parameter, mrd_bytes_of(proto_v2));
        if (!*out_is_v2 && !mrd_bytes_equal(parameter, MRD_BYTES("prometheus.WriteRequest"))) {
            return "unknown proto in Content-Type: use prometheus.WriteRequest (remote write 1.0) "
                   "or io.prometheus.write.v2.Request (2.0)";
        }
    }
    return "";
}

/* Answers what the head alone refuses. True if the request may go on; *out_tenant and *out_is_v2 are set then. */
static bool check_head(struct dst_push *push, struct mrd_http_request *request,
                       struct mrd_bytes *out_tenant, bool *out_is_v2)
{
    const struct mrd_bytes encoding = mrd_bytes_trim(mrd_http_header(request, "Content-Encoding"));
    const char *refusal = refusal_of_type(mrd_http_header(request, "Content-Type"), out_is_v2);
    if (refusal[0] == 0 && encoding.size > 0 && !equal_ignoring_case(encoding, "snappy")) {
        refusal = "Content-Encoding must be snappy";
    }
    if (refusal[0] != 0) {
        mrd_counter_add(push->refused_head, 1);
        mrd_http_reply_text(request, 415, "%s\n", refusal);
        return false;
    }
    struct mrd_error err;
    if (mrd_tenant_of_header(mrd_http_header(request, MRD_TENANT_HEADER), out_tenant, &err) !=
        MRD_OK) {
        mrd_counter_add(push->refused_head, 1);
        mrd_http_reply_text(request, 400, "%s\n", err.text);
        return false;
    }
    return true;
}

/* Senders stay with one shard, so that their series are cached once. */
static struct dst_intake *intake_of(struct dst_push *push, const struct dst_write *write)
{
    const uint64_t hash =
        mrd_hash64(mrd_bytes_of(mrd_http_remote(write->request)), mrd_hash64(write->tenant, 0));
    return push->intakes[hash % push->intake_count];
}

static struct dst_write *write_create(struct dst_push *push, struct mrd_http_request *request,
                                      struct mrd_bytes tenant)
{
    struct dst_write *write = calloc(1, sizeof(*write));
    mrd_assert(write != NULL);
    mrd_tenancy_settings_get(push->limits, tenant, &write->limits);
    write->request = request;
    memcpy(write->tenant_text, tenant.data, tenant.size);
    write->tenant = (struct mrd_bytes){(const uint8_t *)write->tenant_text, tenant.size};
    write->deadline_ns = mrd_http_received_ns(request) + push->ack_timeout_ms * 1000000;
    mrd_http_body_take(request, &write->body);
    return write;
}

static void refuse_busy(struct dst_push *push, struct mrd_http_request *request, bool is_v2)
{
    static const uint64_t nothing[DST_KINDS];
    if (is_v2) {
        dst_tell_written(request, nothing);
    }
    mrd_counter_add(push->refused_busy, 1);
    mrd_http_header_set(request, "Retry-After", "1");
    mrd_http_reply_text(request, 503, "too many requests wait for the log: send again later\n");
}

static void handle(void *context, struct mrd_http_request *request)
{
    struct dst_push *push = context;
    struct mrd_bytes tenant;
    bool is_v2;
    if (!check_head(push, request, &tenant, &is_v2)) {
        return;
    }
    /* Relaxed: a bound, not a lock; it may be passed by what other threads add meanwhile. */
    const int64_t size = (int64_t)mrd_http_body(request).size;
    const int64_t before =
        atomic_fetch_add_explicit(&push->bytes_in_flight, size, memory_order_relaxed);
    if (before + size > push->bytes_in_flight_max && before > 0) {
        atomic_fetch_sub_explicit(&push->bytes_in_flight, size, memory_order_relaxed);
        refuse_busy(push, request, is_v2);
        return;
    }
    struct dst_write *write = write_create(push, request, tenant);
    write->is_v2 = is_v2;
    if (!dst_intake_post(intake_of(push, write), write)) {
        atomic_fetch_sub_explicit(&push->bytes_in_flight, size, memory_order_relaxed);
        refuse_busy(push, request, is_v2);
        mrd_buf_fini(&write->body);
        free(write);
    }
}

/* What the tenant may send, told before its body is read. A name that is none is refused later. */
static size_t body_limit(void *context, struct mrd_http_request *request)
{
    struct dst_push *push = context;
    struct dst_limits limits;
    struct mrd_bytes tenant = MRD_BYTES(MRD_TENANT_DEFAULT);
    (void)!mrd_tenant_of_header(mrd_http_header(request, MRD_TENANT_HEADER), &tenant, NULL);
    mrd_tenancy_settings_get(push->limits, tenant, &limits);
    return limits.request_body_bytes_max;
}

void dst_push_mount(struct dst_push *push, struct mrd_http_server *server)
{
    static const char *const paths[] = {"/api/v1/push", "/api/v1/write"};
    for (size_t i = 0; i < MRD_ARRAY_LEN(paths); i++) {
        const struct mrd_http_route route = {
            .methods = MRD_HTTP_POST,
            .path = paths[i],
            .body_size_max = MRD_RW_BODY_SIZE_MAX - 1,
            .handler = handle,
            .context = push,
        };
        mrd_http_route_add_limited(server, &route, body_limit, "limits.request_body_bytes_max");
    }
}
