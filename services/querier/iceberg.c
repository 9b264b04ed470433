#include "querier/iceberg.h"

#include <stdio.h>
#include <stdlib.h>

#include "http/encoding.h"
#include "model/labels.h"
#include "model/tenant.h"
#include "querier/limits.h"
#include "querier/sink.h"

struct qry_iceberg {
    struct qry_iceberg_options options;
    struct mrd_counter_vec *answers; /* by status */
};

static void count_answer(const struct qry_iceberg *iceberg, unsigned status)
{
    char text[16];
    (void)snprintf(text, sizeof(text), "%u", status);
    mrd_counter_add(mrd_counter_vec_at(iceberg->answers, mrd_bytes_of(text)), 1);
}

static enum mrd_iceberg_rest_method method_of(const struct mrd_http_request *request)
{
    switch (mrd_http_method_of(request)) {
    case MRD_HTTP_GET:
        return MRD_ICEBERG_REST_GET;
    case MRD_HTTP_HEAD:
        return MRD_ICEBERG_REST_HEAD;
    case MRD_HTTP_POST:
        return MRD_ICEBERG_REST_POST;
    case MRD_HTTP_PUT:
    case MRD_HTTP_DELETE:
    case MRD_HTTP_OPTIONS:
    case MRD_HTTP_NO_HEAD:
        break;
    }
    return MRD_ICEBERG_REST_OTHER;
}

static struct mrd_bytes param(const struct mrd_http_params *params, const char *name)
{
    struct mrd_bytes value = MRD_BYTES_NONE;
    (void)!mrd_http_param_get(params, name, &value);
    return value;
}

static int64_t deadline_of(const struct mrd_http_request *request, const struct qry_limits *limits)
{
    return mrd_http_received_ns(request) + limits->query_timeout_ms * 1000000;
}

/* Fills the answer from a request that is the tenant's. */
static void answer(const struct qry_iceberg *iceberg, struct mrd_http_request *request,
                   struct mrd_bytes tenant, const struct qry_limits *limits,
                   const _Atomic bool *canceled, struct mrd_iceberg_rest_reply *out)
{
    struct mrd_http_params params;
    struct mrd_error err;
    if (mrd_http_params_parse(request, &params, &err) != MRD_OK) {
        mrd_iceberg_rest_error(400, "BadRequestException", err.text, out);
        return;
    }
    const struct mrd_objstore_control control = {
        .canceled = canceled,
        .clock = mrd_clock_system(),
        .deadline_ns = deadline_of(request, limits),
    };
    const struct mrd_iceberg_rest rest = {iceberg->options.region, iceberg->options.source,
                                          limits->memory_bytes_max};
    const struct mrd_iceberg_rest_request asked = {
        .method = method_of(request),
        .path = mrd_http_path_param(request),
        .tenant = tenant,
        .warehouse = param(&params, "warehouse"),
        .parent = param(&params, "parent"),
        .snapshots = param(&params, "snapshots"),
        .if_none_match = mrd_http_header(request, "If-None-Match"),
        .catalog = mrd_http_header(request, "X-Iceberg-Catalog"),
        .control = &control,
    };
    mrd_iceberg_rest_answer(&rest, &asked, out);
}

static void send(struct mrd_http_request *request, struct mrd_iceberg_rest_reply *reply,
                 struct qry_answer *out)
{
    struct qry_sink sink;
    if (reply->etag[0] != '\0') {
        mrd_http_header_set(request, "ETag", reply->etag);
    }
    qry_sink_init(&sink, request, 0);
    sink.content_type = "application/json";
    sink.body = reply->body;
    qry_sink_end(&sink, reply->status, out);
}

static void run_job(void *context, struct mrd_http_request *request, const _Atomic bool *canceled,
                    struct qry_answer *out)
{
    const struct qry_iceberg *iceberg = context;
    struct mrd_iceberg_rest_reply reply = {0};
    struct mrd_bytes tenant;
    struct mrd_error err;
    if (mrd_tenant_of_header(mrd_http_header(request, MRD_TENANT_HEADER), &tenant, &err) !=
        MRD_OK) {
        mrd_iceberg_rest_error(400, "BadRequestException", err.text, &reply);
    } else {
        struct qry_limits limits;
        mrd_tenancy_settings_get(iceberg->options.limits, tenant, &limits);
        answer(iceberg, request, tenant, &limits, canceled, &reply);
    }
    count_answer(iceberg, reply.status);
    send(request, &reply, out);
}

/* ---- from HTTP to a job ---- */

static void refuse(struct mrd_http_request *request, enum qry_pool_verdict verdict)
{
    struct mrd_iceberg_rest_reply reply = {0};
    if (verdict == QRY_POOL_STOPPING) {
        mrd_iceberg_rest_error(503, "ServiceUnavailableException", "the querier is stopping",
                               &reply);
    } else {
        mrd_iceberg_rest_error(429, "TooManyRequestsException",
                               "too many queries are under way (querier.queue_max, "
                               "querier.tenant_queries_max): try again",
                               &reply);
    }
    mrd_http_header_set(request, "Content-Type", "application/json");
    mrd_http_header_set(request, "Retry-After", "1");
    mrd_http_reply(request, reply.status, &reply.body);
}

static void handle(void *context, struct mrd_http_request *request)
{
    struct qry_iceberg *iceberg = context;
    struct mrd_bytes tenant = MRD_BYTES(MRD_TENANT_DEFAULT);
    struct qry_limits limits;
    /* A malformed name is answered by the job; any limits will do for it. */
    (void)!mrd_tenant_of_header(mrd_http_header(request, MRD_TENANT_HEADER), &tenant, NULL);
    mrd_tenancy_settings_get(iceberg->options.limits, tenant, &limits);
    const struct qry_share share = {.tenant = mrd_tenant_seed(tenant),
                                    .places = limits.concurrency,
                                    .jobs_max = limits.queries_max,
                                    .deadline_ns = deadline_of(request, &limits)};
    mrd_http_header_set(request, "Vary", "Accept-Encoding, X-Scope-OrgID, X-Iceberg-Catalog");
    const enum qry_pool_verdict verdict =
        qry_pool_run(iceberg->options.pool, request, &share, run_job, iceberg);
    if (verdict != QRY_POOL_TAKEN) {
        refuse(request, verdict);
    }
}

struct qry_iceberg *qry_iceberg_create(const struct qry_iceberg_options *options)
{
    struct qry_iceberg *iceberg = calloc(1, sizeof(*iceberg));
    mrd_assert(iceberg != NULL);
    iceberg->options = *options;
    iceberg->answers = mrd_metrics_counter_vec(
        options->metrics, "meridian_querier_iceberg_answers_total",
        "Answers of the Iceberg REST catalog, by HTTP status.", "status", MRD_NO_LABELS, 16);
    return iceberg;
}

void qry_iceberg_mount(struct qry_iceberg *iceberg, struct mrd_http_server *server)
{
    mrd_http_route_add(server, &(struct mrd_http_route){
                                   .methods = MRD_HTTP_GET | MRD_HTTP_HEAD | MRD_HTTP_POST |
                                              MRD_HTTP_PUT | MRD_HTTP_DELETE,
                                   .path = "/iceberg/*",
                                   .handler = handle,
                                   .context = iceberg,
                               });
}

void qry_iceberg_destroy(struct qry_iceberg **iceberg)
{
    if (*iceberg != NULL) {
        free(*iceberg);
        *iceberg = NULL;
    }
}
