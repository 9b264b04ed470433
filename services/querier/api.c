#include "querier/api.h"

#include <stdlib.h>

#include "model/tenant.h"
#include "promql/parse.h"
#include "promql/print.h"
#include "querier/json.h"
#include "querier/params.h"
#include "querier/remote_source.h"
#include "querier/syntax_json.h"

enum { STEPS_MAX = 11000, MATCHER_SETS_MAX = 64 };

struct qry_api {
    struct qry_api_options options;
    struct mrd_counter_vec *answers; /* by outcome */
    struct mrd_metrics_histogram *seconds;
    _Atomic uint64_t salt;
    struct endpoint_binding *bindings;
};

/* ---- one request ---- */

/* What every endpoint works with; lives on the pool thread's stack. */
struct call {
    struct qry_api *api;
    struct mrd_http_request *request;
    struct mrd_http_params params;
    struct mrd_arena *arena;
    struct mrd_annotations annotations;
    struct mrd_query_control control;
    struct mrd_query_scope scope;
    struct qry_remote remote;
    struct mrd_source source;
    struct mrd_buf *body;
    bool
        execution_error; /* the failure came after the parameters and the expression were found good */
};

/* Evaluates and appends the answer to call->body. */
typedef enum mrd_status endpoint_fn(struct call *call, struct mrd_error *err);

struct endpoint {
    const char *path;
    unsigned methods;
    endpoint_fn *answer;
};

static struct mrd_bytes param(const struct call *call, const char *name)
{
    struct mrd_bytes value = MRD_BYTES_NONE;
    return mrd_http_param_get(&call->params, name, &value) ? value : MRD_BYTES_NONE;
}

static bool param_given(const struct call *call, const char *name)
{
    return param(call, name).size > 0;
}

/* Prometheus' words around what is wrong with a parameter. */
static enum mrd_status bad_param(enum mrd_status status, const char *name, struct mrd_error *err)
{
    return mrd_fail_prefix(err, status, "invalid parameter \"%s\"", name);
}

static enum mrd_status time_param(const struct call *call, const char *name, mrd_time_ms missing_ms,
                                  mrd_time_ms *out_ms, struct mrd_error *err)
{
    if (!param_given(call, name)) {
        *out_ms = missing_ms;
        return MRD_OK;
    }
    const enum mrd_status status = qry_time_parse(param(call, name), out_ms, err);
    return status == MRD_OK ? MRD_OK : bad_param(status, name, err);
}

static enum mrd_status limit_param(const struct call *call, size_t *out_limit,
                                   struct mrd_error *err)
{
    *out_limit = 0;
    if (!param_given(call, "limit")) {
        return MRD_OK;
    }
    const enum mrd_status status = qry_limit_parse(param(call, "limit"), out_limit, err);
    return status == MRD_OK ? MRD_OK : bad_param(status, "limit", err);
}

static mrd_time_ms now_ms(void) { return mrd_clock_now_ms(mrd_clock_system()); }

/* ---- query and query_range ---- */

static enum mrd_status promql_options_of(const struct call *call, struct mrd_promql_options *out,
                                         struct mrd_error *err)
{
    *out = call->api->options.promql;
    if (!param_given(call, "lookback_delta")) {
        return MRD_OK;
    }
    const enum mrd_status status =
        qry_duration_parse(param(call, "lookback_delta"), &out->lookback_ms, err);
    if (status != MRD_OK) {
        return mrd_fail_prefix(err, status, "error parsing lookback delta duration");
    }
    return out->lookback_ms > 0
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID, "lookback delta must be greater than 0");
}

static enum mrd_status evaluate(struct call *call, struct mrd_promql_request *request, size_t limit,
                                struct mrd_error *err)
{
    struct mrd_promql_options options;
    MRD_TRY(promql_options_of(call, &options, err));
    request->text = param(call, "query");
    struct mrd_promql_result result;
    const enum mrd_status status = mrd_promql_query(&options, request, &call->source,
                                                    &call->control, call->arena, &result, err);
    if (status != MRD_OK) {
        call->execution_error = result.execution_error;
        return status == MRD_E_INVALID && !result.execution_error ? bad_param(status, "query", err)
                                                                  : status;
    }
    qry_json_result(&result, request->start_ms, limit, call->body);
    return MRD_OK;
}

static enum mrd_status answer_query(struct call *call, struct mrd_error *err)
{
    struct mrd_promql_request request = {.instant = true};
    size_t limit;
    MRD_TRY(limit_param(call, &limit, err));
    MRD_TRY(time_param(call, "time", now_ms(), &request.start_ms, err));
    request.end_ms = request.start_ms;
    return evaluate(call, &request, limit, err);
}

static enum mrd_status range_params(const struct call *call, struct mrd_promql_request *out,
                                    struct mrd_error *err)
{
    static const char *const required[] = {"start", "end"};
    mrd_time_ms *const times_ms[] = {&out->start_ms, &out->end_ms};
    for (size_t i = 0; i < MRD_ARRAY_LEN(required); i++) {
        const enum mrd_status status = qry_time_parse(param(call, required[i]), times_ms[i], err);
        if (status != MRD_OK) {
            return bad_param(status, required[i], err);
        }
    }
    if (out->end_ms < out->start_ms) {
        return mrd_fail(err, MRD_E_INVALID,
                        "invalid parameter \"end\": end timestamp must not be before start time");
    }
    const enum mrd_status status = qry_duration_parse(param(call, "step"), &out->step_ms, err);
    if (status != MRD_OK) {
        return bad_param(status, "step", err);
    }
    if (out->step_ms <= 0) {
        return mrd_fail(err, MRD_E_INVALID,
                        "invalid parameter \"step\": zero or negative query resolution step widths "
                        "are not accepted. Try a positive integer");
    }
    if ((uint64_t)(out->end_ms - out->start_ms) / (uint64_t)out->step_ms > STEPS_MAX) {
        return mrd_fail(err, MRD_E_INVALID,
                        "exceeded maximum resolution of 11,000 points per timeseries. Try "
                        "decreasing the query resolution (?step=XX)");
    }
    return MRD_OK;
}

static enum mrd_status answer_query_range(struct call *call, struct mrd_error *err)
{
    struct mrd_promql_request request = {.instant = false};
    size_t limit;
    MRD_TRY(limit_param(call, &limit, err));
    MRD_TRY(range_params(call, &request, err));
    return evaluate(call, &request, limit, err);
}

/* ---- series, labels, label values ---- */

/* The parsed match[] parameters. */
struct matcher_sets {
    struct mrd_ast asts[MATCHER_SETS_MAX];
    const struct mrd_matcher *sets[MATCHER_SETS_MAX];
    size_t counts[MATCHER_SETS_MAX];
    size_t count;
};

static void matcher_sets_fini(struct matcher_sets *sets)
{
    for (size_t i = 0; i < sets->count; i++) {
        mrd_ast_fini(&sets->asts[i]);
    }
    sets->count = 0;
}

static enum mrd_status add_match(const struct call *call, struct mrd_bytes text,
                                 struct matcher_sets *out, struct mrd_error *err)
{
    if (out->count == MATCHER_SETS_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "more than %d match[] parameters", MATCHER_SETS_MAX);
    }
    const size_t at = out->count;
    const enum mrd_status status =
        mrd_promql_parse_selector(text, call->arena, &out->asts[at], err);
    if (status != MRD_OK) {
        return bad_param(status, "match[]", err);
    }
    out->count++;
    out->sets[at] = out->asts[at].root->selector.matchers;
    out->counts[at] = out->asts[at].root->selector.matcher_count;
    return mrd_matchers_select(out->sets[at], out->counts[at])
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID,
                          "match[] must contain at least one non-empty matcher");
}

static enum mrd_status match_params(const struct call *call, struct matcher_sets *out,
                                    struct mrd_error *err)
{
    for (size_t i = 0; i < call->params.count; i++) {
        const struct mrd_http_param *item = &call->params.items[i];
        if (mrd_bytes_equal(item->name, MRD_BYTES("match[]"))) {
            MRD_TRY(add_match(call, item->value, out, err));
        }
    }
    return MRD_OK;
}

static enum mrd_status label_query_of(const struct call *call, const struct matcher_sets *sets,
                                      struct mrd_label_query *out, struct mrd_error *err)
{
    *out = (struct mrd_label_query){
        .matcher_sets = sets->sets,
        .matcher_counts = sets->counts,
        .matcher_set_count = sets->count,
    };
    MRD_TRY(limit_param(call, &out->limit, err));
    MRD_TRY(time_param(call, "start", QRY_TIME_MIN_MS, &out->min_ms, err));
    MRD_TRY(time_param(call, "end", QRY_TIME_MAX_MS, &out->max_ms, err));
    return MRD_OK;
}

static enum mrd_status answer_series(struct call *call, struct mrd_error *err)
{
    mrd_auto(matcher_sets_fini)
    struct matcher_sets sets = {.count = 0};
    struct mrd_label_query query;
    MRD_TRY(match_params(call, &sets, err));
    if (sets.count == 0) {
        return mrd_fail(err, MRD_E_INVALID, "no match[] parameter provided");
    }
    MRD_TRY(label_query_of(call, &sets, &query, err));
    struct mrd_label_sets found;
    call->execution_error = true;
    MRD_TRY(call->source.series(call->source.context, &query, &call->scope, &found, err));
    qry_json_label_sets(&found, &call->annotations, call->body);
    return MRD_OK;
}

static enum mrd_status answer_labels(struct call *call, struct mrd_error *err)
{
    mrd_auto(matcher_sets_fini)
    struct matcher_sets sets = {.count = 0};
    struct mrd_label_query query;
    MRD_TRY(match_params(call, &sets, err));
    MRD_TRY(label_query_of(call, &sets, &query, err));
    struct mrd_texts found;
    call->execution_error = true;
    MRD_TRY(call->source.label_names(call->source.context, &query, &call->scope, &found, err));
    qry_json_texts(&found, &call->annotations, call->body);
    return MRD_OK;
}

static enum mrd_status answer_label_values(struct call *call, struct mrd_error *err)
{
    const struct mrd_bytes segment = mrd_http_path_param(call->request);
    struct mrd_buf name = {0};
    const bool valid = qry_label_name_unescape(segment, &name);
    const struct mrd_bytes kept = mrd_arena_copy(call->arena, mrd_buf_view(&name));
    mrd_buf_fini(&name);
    if (!valid) {
        return mrd_fail(err, MRD_E_INVALID, "invalid label name: \"%.*s\"",
                        (int)MRD_MIN(segment.size, (size_t)128), (const char *)segment.data);
    }
    mrd_auto(matcher_sets_fini)
    struct matcher_sets sets = {.count = 0};
    struct mrd_label_query query;
    MRD_TRY(match_params(call, &sets, err));
    MRD_TRY(label_query_of(call, &sets, &query, err));
    struct mrd_texts found;
    call->execution_error = true;
    MRD_TRY(
        call->source.label_values(call->source.context, kept, &query, &call->scope, &found, err));
    qry_json_texts(&found, &call->annotations, call->body);
    return MRD_OK;
}

/* ---- queries as text: format_query, parse_query ---- */

/* Prints the tree of the parameter `query`. */
typedef void syntax_printer(const struct mrd_expr *expr, struct mrd_buf *out);

static enum mrd_status parse_and_print(struct call *call, syntax_printer *print,
                                       struct mrd_buf *out, struct mrd_error *err)
{
    mrd_auto(mrd_ast_fini)
    struct mrd_ast ast = {.root = NULL};
    const enum mrd_status status = mrd_promql_parse(
        param(call, "query"), &call->api->options.promql.features, call->arena, &ast, err);
    if (status != MRD_OK) {
        return bad_param(status, "query", err);
    }
    mrd_buf_append_text(call->body, "{\"status\":\"success\",\"data\":");
    print(ast.root, out);
    return MRD_OK;
}

static enum mrd_status answer_format_query(struct call *call, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text;
    mrd_buf_init(&text, call->api->options.response_bytes_max);
    MRD_TRY(parse_and_print(call, mrd_expr_print_pretty, &text, err));
    qry_json_string(mrd_buf_view(&text), call->body);
    mrd_buf_append_u8(call->body, '}');
    call->body->failed = call->body->failed || text.failed;
    return MRD_OK;
}

static enum mrd_status answer_parse_query(struct call *call, struct mrd_error *err)
{
    MRD_TRY(parse_and_print(call, qry_json_syntax, call->body, err));
    mrd_buf_append_u8(call->body, '}');
    return MRD_OK;
}

static enum mrd_status answer_buildinfo(struct call *call, struct mrd_error *err)
{
    (void)err;
    /* No `features`: with it Grafana takes the server for Mimir. */
    mrd_buf_printf(call->body,
                   "{\"status\":\"success\",\"data\":{\"version\":\"%s\",\"revision\":\"meridian\","
                   "\"branch\":\"\",\"buildUser\":\"\",\"buildDate\":\"\",\"goVersion\":\"\"}}",
                   call->api->options.version);
    return MRD_OK;
}

/* ---- from HTTP to endpoint and back ---- */

/* Which HTTP status and Prometheus error type a failure is. */
static unsigned error_type_of(const struct call *call, enum mrd_status status,
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
    case MRD_OK:
    case MRD_E_CORRUPT:
    case MRD_E_CONFLICT:
    case MRD_STATUS_COUNT:
        break;
    }
    *out_type = "internal";
    return 500;
}

static enum mrd_status deadline_of(const struct call *call, int64_t *out_ns, struct mrd_error *err)
{
    mrd_time_ms timeout_ms = call->api->options.query_timeout_ms;
    if (param_given(call, "timeout")) {
        mrd_time_ms asked_ms;
        const enum mrd_status status = qry_duration_parse(param(call, "timeout"), &asked_ms, err);
        if (status != MRD_OK) {
            return bad_param(status, "timeout", err);
        }
        timeout_ms = MRD_MIN(timeout_ms, MRD_MAX(asked_ms, (mrd_time_ms)0));
    }
    *out_ns = mrd_http_received_ns(call->request) + timeout_ms * 1000000;
    return MRD_OK;
}

static enum mrd_status remote_of(struct call *call, struct mrd_error *err)
{
    struct qry_api *api = call->api;
    call->remote.options = (struct qry_remote_options){
        .cluster = api->options.cluster,
        .salt = atomic_fetch_add_explicit(&api->salt, 1, memory_order_relaxed),
        .partial = mrd_bytes_equal(param(call, "partial_response"), MRD_BYTES("true")),
        .series_max = api->options.series_max,
        .samples_max = api->options.promql.samples_max,
    };
    MRD_TRY(mrd_tenant_of_header(mrd_http_header(call->request, MRD_TENANT_HEADER),
                                 &call->remote.options.tenant, err));
    const struct mrd_bytes consistency = mrd_http_header(call->request, "X-Read-Consistency");
    if (mrd_bytes_equal(consistency, MRD_BYTES("strong"))) {
        MRD_TRY(qry_remote_log_end(api->options.cluster, call->arena,
                                   &call->remote.options.sequences_min, err));
    } else if (consistency.size > 0 && !mrd_bytes_equal(consistency, MRD_BYTES("eventual"))) {
        return mrd_fail(err, MRD_E_INVALID, "X-Read-Consistency is \"strong\" or \"eventual\"");
    }
    call->source = qry_remote_source(&call->remote);
    return MRD_OK;
}

static enum mrd_status prepare_call(struct call *call, const _Atomic bool *canceled,
                                    struct mrd_error *err)
{
    mrd_annotations_init(&call->annotations, call->arena, MRD_BYTES_NONE);
    call->scope = (struct mrd_query_scope){call->arena, &call->annotations, &call->control};
    call->control.clock = mrd_clock_system();
    call->control.canceled = canceled;
    MRD_TRY(mrd_http_params_parse(call->request, &call->params, err));
    MRD_TRY(deadline_of(call, &call->control.deadline_ns, err));
    return remote_of(call, err);
}

/* An endpoint under one of its paths, as the context of its route. */
struct endpoint_binding {
    struct qry_api *api;
    const struct endpoint *endpoint;
};

static void count_answer(const struct endpoint_binding *binding,
                         const struct mrd_http_request *request, const char *outcome)
{
    const int64_t ns = mrd_clock_monotonic_ns(mrd_clock_system()) - mrd_http_received_ns(request);
    mrd_metrics_histogram_observe(binding->api->seconds, (double)ns / 1e9);
    mrd_counter_add(mrd_counter_vec_at(binding->api->answers, mrd_bytes_of(outcome)), 1);
}

static void run_job(void *context, struct mrd_http_request *request, const _Atomic bool *canceled,
                    struct qry_answer *out)
{
    const struct endpoint_binding *binding = context;
    struct qry_api *api = binding->api;
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena =
        mrd_arena_create("query (querier.memory_bytes_max)", api->options.memory_bytes_max);
    mrd_buf_init(&out->body, api->options.response_bytes_max);
    struct call call = {.api = api, .request = request, .arena = arena, .body = &out->body};
    struct mrd_error err = {0};
    enum mrd_status status = prepare_call(&call, canceled, &err);
    if (status == MRD_OK) {
        status = binding->endpoint->answer(&call, &err);
    }
    if (status == MRD_OK && out->body.failed) {
        status = mrd_fail(&err, MRD_E_LIMIT,
                          "the answer is larger than %zu bytes (querier.response_bytes_max)",
                          api->options.response_bytes_max);
    }
    const char *type = "success";
    out->status = 200;
    if (status != MRD_OK) {
        out->status = error_type_of(&call, status, &type);
        mrd_buf_clear(&out->body);
        qry_json_error(type, err.text, &out->body);
    }
    count_answer(binding, request, type);
}

static void handle(void *context, struct mrd_http_request *request)
{
    struct endpoint_binding *binding = context;
    if (!qry_pool_submit(binding->api->options.pool, request, run_job, binding)) {
        struct mrd_buf body = {0};
        qry_json_error("unavailable",
                       "too many queries are waiting: try again, or raise querier.concurrency",
                       &body);
        mrd_http_header_set(request, "Content-Type", "application/json");
        mrd_http_header_set(request, "Retry-After", "1");
        mrd_http_reply(request, 503, &body);
    }
}

/* Every endpoint under both bases that data sources are configured with. */
#define BOTH(path_, methods_, answer_)                                                             \
    {"/api/v1" path_, methods_, answer_}, { "/prometheus/api/v1" path_, methods_, answer_ }
static const struct endpoint endpoints[] = {
    BOTH("/query", MRD_HTTP_GET | MRD_HTTP_POST, answer_query),
    BOTH("/query_range", MRD_HTTP_GET | MRD_HTTP_POST, answer_query_range),
    BOTH("/format_query", MRD_HTTP_GET | MRD_HTTP_POST, answer_format_query),
    BOTH("/parse_query", MRD_HTTP_GET | MRD_HTTP_POST, answer_parse_query),
    BOTH("/series", MRD_HTTP_GET | MRD_HTTP_POST, answer_series),
    BOTH("/labels", MRD_HTTP_GET | MRD_HTTP_POST, answer_labels),
    BOTH("/label/{name}/values", MRD_HTTP_GET, answer_label_values),
    BOTH("/status/buildinfo", MRD_HTTP_GET, answer_buildinfo),
};

struct qry_api *qry_api_create(const struct qry_api_options *options)
{
    struct qry_api *api = calloc(1, sizeof(*api));
    mrd_assert(api != NULL);
    api->options = *options;
    api->answers = mrd_metrics_counter_vec(options->metrics, "meridian_querier_answers_total",
                                           "Answers of the query API, by outcome.", "outcome",
                                           MRD_NO_LABELS, 16);
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
    for (size_t i = 0; i < MRD_ARRAY_LEN(endpoints); i++) {
        mrd_http_route_add(server, &(struct mrd_http_route){
                                       .methods = endpoints[i].methods,
                                       .path = endpoints[i].path,
                                       .handler = handle,
                                       .context = &api->bindings[i],
                                   });
    }
}

void qry_api_destroy(struct qry_api **api)
{
    if (*api != NULL) {
        free((*api)->bindings);
        free(*api);
        *api = NULL;
    }
}
