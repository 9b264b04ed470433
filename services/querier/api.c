#include "querier/api.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/duration.h"
#include "model/tenant.h"
#include "querier/active_views.h"
#include "querier/cors.h"
#include "querier/endpoints.h"
#include "querier/federate.h"
#include "querier/json.h"
#include "querier/remote_read.h"
#include "querier/slow_log.h"

#define GIVE_BACK_BYTES ((size_t)64 << 20)
#define CANCELED_TEXT "the query was ended by a request to cancel it (status/active_queries)"

struct qry_api {
    struct qry_api_options options;
    struct mrd_counter_vec *answers; /* by outcome */
    struct mrd_metrics_histogram *seconds;
    struct mrd_counter *slow;
    struct mrd_counter_vec *limited; /* by key */
    _Atomic uint64_t salt;
    _Atomic bool push_down; /* relaxed: a query takes what it finds */
    struct endpoint_binding *bindings;
    struct qry_active_views *views;
};

struct endpoint {
    const char *path;
    unsigned methods;
    qry_endpoint *answer;
    bool plain; /* errors are text, not JSON */
};

/* An endpoint under one of its paths, as the context of its route. */
struct endpoint_binding {
    struct qry_api *api;
    const struct endpoint *endpoint;
};

/* A request on its way through the pool. */
struct api_job {
    struct qry_active_query query;
    const struct endpoint_binding *binding;
};

/* ---- errors ---- */

/* Which HTTP status and Prometheus error type a failure is. */
static unsigned error_type_of(const struct qry_call *call, enum mrd_status status,
                              const char **out_type)
{
    switch (status) {
    case MRD_E_INVALID:
        *out_type = call->execution_error ? "execution" : "bad_data";
        return call->execution_error ? 422 : 400;
    case MRD_E_LIMIT:
    case MRD_E_UNSUPPORTED:
        *out_type = "execution";
        return 422;
    case MRD_E_NOT_FOUND:
        *out_type = "not_found";
        return 404;
    case MRD_E_TIMEOUT:
        *out_type = "timeout";
        return 503;
    case MRD_E_CANCELED:
        *out_type = "canceled";
        return 499;
    case MRD_E_UNAVAILABLE:
        *out_type = "unavailable";
        return 503;
    case MRD_E_DENIED: /* what is switched off, as Prometheus says it */
        *out_type = "unavailable";
        return 500;
    case MRD_OK:
    case MRD_E_CORRUPT:
    case MRD_E_CONFLICT:
    case MRD_E_FATAL:
    case MRD_STATUS_COUNT:
        break;
    }
    *out_type = "internal";
    return 500;
}

/* The two endpoints outside of the JSON API answer errors as Go's http.Error does. */
static void append_error(const struct endpoint *endpoint, struct qry_sink *sink, const char *type,
                         const char *text)
{
    sink->encoding = MRD_HTTP_IDENTITY;
    mrd_buf_clear(&sink->body);
    if (endpoint->plain) {
        sink->content_type = "text/plain; charset=utf-8";
        mrd_http_header_set(sink->request, "X-Content-Type-Options", "nosniff");
        mrd_buf_printf(&sink->body, "%s\n", text);
    } else {
        sink->content_type = "application/json";
        qry_json_error(type, text, &sink->body);
    }
}

/* ---- one request ---- */

/* Before these times nothing is read: it is past what may be looked at, or past its retention. */
static void set_floors(struct qry_call *call)
{
    const struct qry_limits *limits = &call->limits;
    struct qry_tiers_floors *floors = &call->tiers.floors;
    const mrd_time_ms now_ms = qry_now_ms();
    *floors = (struct qry_tiers_floors){
        .retention = &limits->retention,
        .now_ms = now_ms,
        .lookback_ms = limits->lookback_ms_max == 0 ? INT64_MIN : now_ms - limits->lookback_ms_max,
    };
    call->remote.options.floor_ms = qry_tiers_floor(floors, 0);
}

static enum mrd_status remote_of(struct qry_api *api, struct qry_call *call, struct mrd_error *err)
{
    call->remote.options = (struct qry_remote_options){
        .cluster = api->options.cluster,
        .salt = atomic_fetch_add_explicit(&api->salt, 1, memory_order_relaxed),
        .partial = mrd_bytes_equal(qry_param(call, "partial_response"), MRD_BYTES("true")),
        .push_down = atomic_load_explicit(&api->push_down, memory_order_relaxed),
        .series_max = call->limits.series_max,
        .samples_max = call->limits.promql.samples_max,
    };
    set_floors(call);
    MRD_TRY(mrd_tenant_of_header(mrd_http_header(call->request, MRD_TENANT_HEADER),
                                 &call->remote.options.tenant, err));
    if (api->options.rules != NULL) {
        call->rules = mrd_retention_keeper_get(api->options.rules);
        call->tiers.floors.rules =
            mrd_retention_book_rules(call->rules, call->remote.options.tenant);
    }
    const struct mrd_bytes consistency = mrd_http_header(call->request, "X-Read-Consistency");
    if (mrd_bytes_equal(consistency, MRD_BYTES("strong"))) {
        MRD_TRY(qry_remote_log_end(api->options.cluster, &call->control, call->arena,
                                   &call->remote.options.sequences_min, &call->remote.options.logs,
                                   err));
    } else if (consistency.size > 0 && !mrd_bytes_equal(consistency, MRD_BYTES("eventual"))) {
        return mrd_fail(err, MRD_E_INVALID, "X-Read-Consistency is \"strong\" or \"eventual\"");
    }
    MRD_TRY(qry_erasures_floor(api->options.erasures, call->arena,
                               &call->remote.options.sequences_min, err));
    return MRD_OK;
}

static enum mrd_status prepare_call(struct qry_api *api, struct qry_call *call,
                                    const _Atomic bool *canceled, struct mrd_error *err)
{
    call->params = call->query->params;
    call->form_error = call->query->params_error;
    mrd_annotations_init(&call->annotations, call->arena, MRD_BYTES_NONE);
    call->scope = (struct mrd_query_scope){call->arena, &call->annotations, &call->control};
    call->control.clock = mrd_clock_system();
    call->control.canceled = canceled;
    call->control.checkpoint = qry_pool_checkpoint;
    call->control.deadline_ns = qry_deadline_of(call->request, &call->params, &call->limits);
    call->control.progress = &call->query->progress;
    if (call->form_error.status == MRD_E_LIMIT) {
        *err = call->form_error;
        return MRD_E_INVALID;
    }
    return remote_of(api, call, err);
}

static void count_answer(const struct qry_api *api, const struct mrd_http_request *request,
                         const char *outcome)
{
    const int64_t ns = mrd_clock_monotonic_ns(mrd_clock_system()) - mrd_http_received_ns(request);
    mrd_metrics_histogram_observe(api->seconds, (double)ns / 1e9);
    mrd_counter_add(mrd_counter_vec_at(api->answers, mrd_bytes_of(outcome)), 1);
}

static enum mrd_status answer_whole(const struct endpoint *endpoint, struct qry_call *call,
                                    struct mrd_error *err)
{
    MRD_TRY(endpoint->answer(call, err));
    if (call->sink->broken.status != MRD_OK) {
        *err = call->sink->broken;
        return err->status;
    }
    return !call->sink->body.failed
               ? MRD_OK
               : mrd_fail(err, MRD_E_LIMIT,
                          "the answer is larger than %zu bytes (querier.response_bytes_max)",
                          call->limits.response_bytes_max);
}

/* The C library keeps what a thread has freed, for each thread: after a large query that is given back. */
static void call_memory_destroy(struct mrd_arena **arena)
{
    const bool large = mrd_arena_used(*arena) > GIVE_BACK_BYTES;
    mrd_arena_destroy(arena);
    if (large) {
        (void)malloc_trim(0);
    }
}

/* A malformed name is answered by the job; any limits will do for it. */
static struct mrd_bytes tenant_of(const struct mrd_http_request *request)
{
    struct mrd_bytes tenant = MRD_BYTES(MRD_TENANT_DEFAULT);
    (void)!mrd_tenant_of_header(mrd_http_header(request, MRD_TENANT_HEADER), &tenant, NULL);
    return tenant;
}

static struct qry_limits limits_of(const struct qry_api *api,
                                   const struct mrd_http_request *request)
{
    struct qry_limits limits;
    mrd_tenancy_settings_get(api->options.limits, tenant_of(request), &limits);
    return limits;
}

/* What Prometheus says, and then which time was too short. */
static void timeout_explain(const struct qry_call *call, struct mrd_error *err)
{
    const int64_t limit_ms =
        (call->control.deadline_ns - mrd_http_received_ns(call->request)) / 1000000;
    char text[MRD_DURATION_TEXT_MAX];
    const size_t size = strlen(err->text);
    (void)snprintf(err->text + size, sizeof(err->text) - size,
                   " (after %s: querier.query_timeout, or the parameter timeout)",
                   mrd_duration_format(limit_ms, text));
}

/* Counts the limit that was met, and says what to do where the text does not. */
static void limit_explain(const struct qry_api *api, const struct qry_call *call,
                          struct mrd_error *err)
{
    const bool may = err->status == MRD_E_LIMIT || err->status == MRD_E_TIMEOUT;
    const char *key = call->limit == NULL && may ? qry_limit_named(err->text) : call->limit;
    if (key == NULL) {
        return;
    }
    mrd_counter_add(mrd_counter_vec_at(api->limited, mrd_bytes_of(key)), 1);
    if (err->status == MRD_E_LIMIT && strstr(err->text, "raise") == NULL) {
        const size_t size = strlen(err->text);
        (void)snprintf(err->text + size, sizeof(err->text) - size, ": ask for less, or raise it");
    }
}

/* The client that asked for it is told so; the one that has gone is not there to read it. */
static bool was_canceled(const struct qry_call *call)
{
    return atomic_load_explicit(&call->query->canceled, memory_order_relaxed);
}

static enum mrd_status answer_call(const struct endpoint_binding *binding, struct qry_call *call,
                                   const _Atomic bool *canceled, struct mrd_error *err)
{
    enum mrd_status status =
        was_canceled(call) ? MRD_E_CANCELED : prepare_call(binding->api, call, canceled, err);
    if (status == MRD_OK) {
        status = answer_whole(binding->endpoint, call, err);
    }
    if (status == MRD_E_TIMEOUT) {
        timeout_explain(call, err);
    }
    if (status != MRD_OK) {
        limit_explain(binding->api, call, err);
    }
    if (status == MRD_E_CANCELED && was_canceled(call)) {
        (void)mrd_fail(err, status, CANCELED_TEXT);
    }
    return status;
}

static void end_call(const struct endpoint_binding *binding, struct qry_call *call,
                     enum mrd_status status, const struct mrd_error *err, struct qry_answer *out)
{
    struct qry_api *api = binding->api;
    const char *type = "success";
    if (status == MRD_OK) {
        qry_sink_end(call->sink, call->status, out);
    } else {
        const unsigned code = error_type_of(call, status, &type);
        if (!qry_sink_begun(call->sink)) {
            append_error(binding->endpoint, call->sink, type, err->text);
        }
        qry_sink_fail(call->sink, code, out);
    }
    mrd_progress_raise(&call->query->progress.memory_bytes, mrd_arena_used(call->arena));
    if (qry_slow_log(call, type)) {
        mrd_counter_add(api->slow, 1);
    }
    count_answer(api, call->request, type);
}

static void run_job(void *context, struct mrd_http_request *request, const _Atomic bool *canceled,
                    struct qry_answer *out)
{
    struct api_job *job = context;
    struct qry_api *api = job->binding->api;
    qry_active_begin(api->options.active, &job->query);
    const struct qry_limits limits = limits_of(api, request);
    mrd_auto(call_memory_destroy)
    struct mrd_arena *arena =
        mrd_arena_create("query (querier.memory_bytes_max)", limits.memory_bytes_max);
    struct qry_sink sink;
    qry_sink_init(&sink, request, limits.response_bytes_max);
    sink.progress = &job->query.progress;
    sink.canceled = canceled;
    struct qry_call call = {
        .options = &api->options,
        .limits = limits,
        .request = request,
        .query = &job->query,
        .arena = arena,
        .sink = &sink,
        .started_ns = mrd_clock_monotonic_ns(mrd_clock_system()),
        .status = 200,
    };
    struct mrd_error err = {0};
    const enum mrd_status status = answer_call(job->binding, &call, canceled, &err);
    end_call(job->binding, &call, status, &err, out);
    qry_tiers_close(&call.tiers);
    mrd_retention_book_release(&call.rules);
    qry_active_remove(api->options.active, &job->query);
    free(job);
}

/* ---- from HTTP to a job ---- */

static void refusal_text(enum qry_pool_verdict verdict, const struct qry_limits *limits,
                         char out[160])
{
    switch (verdict) {
    case QRY_POOL_STOPPING:
        (void)snprintf(out, 160, "the querier is stopping");
        break;
    case QRY_POOL_TENANT_FULL:
        (void)snprintf(out, 160,
                       "the tenant has %zu queries under way (querier.tenant_queries_max): try "
                       "again, or raise it",
                       limits->queries_max);
        break;
    case QRY_POOL_FULL:
    case QRY_POOL_TAKEN:
        (void)snprintf(out, 160,
                       "too many queries are waiting (querier.queue_max): try again, or raise "
                       "querier.concurrency");
        break;
    }
}

static void refuse(const struct qry_api *api, struct mrd_http_request *request,
                   enum qry_pool_verdict verdict, const struct qry_limits *limits)
{
    struct mrd_buf body = {0};
    char text[160];
    const bool stopping = verdict == QRY_POOL_STOPPING;
    refusal_text(verdict, limits, text);
    if (!stopping) {
        mrd_counter_add(mrd_counter_vec_at(api->limited, mrd_bytes_of(qry_limit_named(text))), 1);
    }
    qry_json_error(stopping ? "unavailable" : "too_many_requests", text, &body);
    mrd_http_header_set(request, "Content-Type", "application/json");
    mrd_http_header_set(request, "Retry-After", "1");
    mrd_http_reply(request, stopping ? 503 : 429, &body);
}

/* "query_range" of /prometheus/api/v1/query_range. */
static const char *kind_of(const char *path)
{
    static const char *const prefixes[] = {"/prometheus", "/api/v1", "/"};
    for (size_t i = 0; i < MRD_ARRAY_LEN(prefixes); i++) {
        const size_t size = strlen(prefixes[i]);
        path += strncmp(path, prefixes[i], size) == 0 ? size : 0;
    }
    return path;
}

static struct api_job *job_create(const struct endpoint_binding *binding,
                                  struct mrd_http_request *request)
{
    struct api_job *job = calloc(1, sizeof(*job));
    mrd_assert(job != NULL);
    job->binding = binding;
    job->query.request = request;
    job->query.kind = kind_of(binding->endpoint->path);
    job->query.tenant = tenant_of(request);
    return job;
}

static void handle(void *context, struct mrd_http_request *request)
{
    struct endpoint_binding *binding = context;
    qry_cors_headers(request);
    mrd_http_header_set(request, "Vary", "Accept-Encoding");
    if (mrd_http_method_of(request) == MRD_HTTP_OPTIONS) {
        mrd_http_reply(request, 204, NULL);
        return;
    }
    struct qry_api *api = binding->api;
    const struct qry_limits limits = limits_of(api, request);
    struct api_job *job = job_create(binding, request);
    qry_active_add(api->options.active, &job->query);
    const struct qry_share share = {.tenant = mrd_tenant_seed(job->query.tenant),
                                    .places = limits.concurrency,
                                    .jobs_max = limits.queries_max,
                                    .deadline_ns =
                                        qry_deadline_of(request, &job->query.params, &limits)};
    const enum qry_pool_verdict verdict =
        qry_pool_run(api->options.pool, request, &share, run_job, job);
    if (verdict != QRY_POOL_TAKEN) {
        qry_active_remove(api->options.active, &job->query);
        free(job);
        refuse(api, request, verdict, &limits);
    }
}

/* Below /api/v1 OPTIONS is answered for every path, and everything else is not there. */
static void handle_unknown(void *context, struct mrd_http_request *request)
{
    (void)context;
    if (mrd_http_method_of(request) == MRD_HTTP_OPTIONS) {
        qry_cors_headers(request);
        mrd_http_reply(request, 204, NULL);
        return;
    }
    mrd_http_header_set(request, "X-Content-Type-Options", "nosniff");
    mrd_http_reply_text(request, 404, "404 page not found\n");
}

/* ---- routes: every endpoint under both bases that data sources are configured with ---- */

#define BOTH(path_, methods_, answer_, plain_)                                                     \
    {path_, (methods_) | MRD_HTTP_OPTIONS, answer_, plain_},                                       \
    {                                                                                              \
        "/prometheus" path_, (methods_) | MRD_HTTP_OPTIONS, answer_, plain_                        \
    }
#define GET(path_, answer_) BOTH("/api/v1" path_, MRD_HTTP_GET | MRD_HTTP_NO_HEAD, answer_, false)
#define GET_POST(path_, answer_)                                                                   \
    BOTH("/api/v1" path_, MRD_HTTP_GET | MRD_HTTP_POST | MRD_HTTP_NO_HEAD, answer_, false)
static const struct endpoint endpoints[] = {
    GET_POST("/query", qry_answer_query),
    GET_POST("/query_range", qry_answer_query_range),
    GET_POST("/query_exemplars", qry_answer_query_exemplars),
    GET_POST("/format_query", qry_answer_format_query),
    GET_POST("/parse_query", qry_answer_parse_query),
    GET_POST("/series", qry_answer_series),
    GET_POST("/labels", qry_answer_labels),
    GET("/label/{name}/values", qry_answer_label_values),
    GET("/metadata", qry_answer_metadata),
    GET("/targets", qry_answer_targets),
    GET("/targets/metadata", qry_answer_targets_metadata),
    GET("/targets/relabel_steps", qry_answer_relabel_steps),
    GET("/scrape_pools", qry_answer_scrape_pools),
    GET("/alertmanagers", qry_answer_alertmanagers),
    GET("/alerts", qry_answer_alerts),
    GET("/rules", qry_answer_rules),
    GET("/features", qry_answer_features),
    GET("/notifications", qry_answer_notifications),
    GET("/notifications/live", qry_answer_notifications_live),
    GET_POST("/search/metric_names", qry_answer_search),
    GET_POST("/search/label_names", qry_answer_search),
    GET_POST("/search/label_values", qry_answer_search),
    GET("/status/self_metrics", qry_answer_self_metrics),
    GET("/status/buildinfo", qry_answer_buildinfo),
    GET("/status/runtimeinfo", qry_answer_runtimeinfo),
    GET("/status/flags", qry_answer_flags),
    GET("/status/config", qry_answer_config),
    GET("/status/walreplay", qry_answer_walreplay),
    GET("/status/tsdb", qry_answer_tsdb),
    GET("/status/tsdb/blocks", qry_answer_tsdb_blocks),
    BOTH("/api/v1/admin/tsdb/delete_series", MRD_HTTP_POST | MRD_HTTP_PUT, qry_answer_delete_series,
         false),
    BOTH("/api/v1/admin/tsdb/delete_tenant", MRD_HTTP_POST | MRD_HTTP_PUT, qry_answer_delete_tenant,
         false),
    BOTH("/api/v1/admin/tsdb/clean_tombstones", MRD_HTTP_POST | MRD_HTTP_PUT,
         qry_answer_clean_tombstones, false),
    GET("/admin/tsdb/erasures", qry_answer_erasures),
    BOTH("/api/v1/read", MRD_HTTP_POST, qry_answer_read, true),
    BOTH("/federate", MRD_HTTP_GET | MRD_HTTP_NO_HEAD, qry_answer_federate, true),
};

void qry_api_set_push_down(struct qry_api *api, bool push_down)
{
    atomic_store_explicit(&api->push_down, push_down, memory_order_relaxed);
}

struct qry_api *qry_api_create(const struct qry_api_options *options)
{
    struct qry_api *api = calloc(1, sizeof(*api));
    mrd_assert(api != NULL);
    api->options = *options;
    api->push_down = options->push_down;
    api->options.active = qry_active_create(options->pool);
    api->views = qry_active_views_create(api->options.active, options->instance, options->metrics);
    api->slow =
        mrd_metrics_counter(options->metrics, "meridian_querier_slow_queries_total",
                            "Queries that took querier.slow_query_log or longer.", MRD_NO_LABELS);
    api->answers = mrd_metrics_counter_vec(options->metrics, "meridian_querier_answers_total",
                                           "Answers of the query API, by outcome.", "outcome",
                                           MRD_NO_LABELS, 16);
    api->limited = mrd_metrics_counter_vec(options->metrics, "meridian_querier_limited_total",
                                           "Queries that met a limit, by the limit's key.", "limit",
                                           MRD_NO_LABELS, 32);
    api->seconds =
        mrd_metrics_histogram(options->metrics, "meridian_querier_query_seconds",
                              "Time from a complete request to its answer.", MRD_NO_LABELS,
                              mrd_bounds_seconds, mrd_bounds_seconds_count);
    api->bindings = calloc(MRD_ARRAY_LEN(endpoints), sizeof(*api->bindings));
    mrd_assert(api->bindings != NULL);
    for (size_t i = 0; i < MRD_ARRAY_LEN(endpoints); i++) {
        api->bindings[i] = (struct endpoint_binding){api, &endpoints[i]};
    }
    return api;
}

void qry_api_mount(struct qry_api *api, struct mrd_http_server *server)
{
    static const char *const unknown[] = {"/api/v1/*", "/prometheus/api/v1/*"};
    qry_active_views_mount(api->views, server);
    for (size_t i = 0; i < MRD_ARRAY_LEN(endpoints); i++) {
        mrd_http_route_add(server, &(struct mrd_http_route){
                                       .methods = endpoints[i].methods,
                                       .path = endpoints[i].path,
                                       .handler = handle,
                                       .context = &api->bindings[i],
                                   });
    }
    for (size_t i = 0; i < MRD_ARRAY_LEN(unknown); i++) {
        mrd_http_route_add(server, &(struct mrd_http_route){
                                       .methods = MRD_HTTP_GET | MRD_HTTP_POST | MRD_HTTP_PUT |
                                                  MRD_HTTP_DELETE | MRD_HTTP_OPTIONS,
                                       .path = unknown[i],
                                       .handler = handle_unknown,
                                   });
    }
}

void qry_api_destroy(struct qry_api **api)
{
    if (*api != NULL) {
        qry_active_views_destroy(&(*api)->views);
        qry_active_destroy(&(*api)->options.active);
        free((*api)->bindings);
        free(*api);
        *api = NULL;
    }
}
