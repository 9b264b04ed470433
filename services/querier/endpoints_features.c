/* What clients ask to find out what a server can do (features), what is wrong with it (notifications), and how it fares itself
 * (self_metrics). */
#include "model/matcher.h"
#include "promql/functions.h"
#include "querier/endpoints.h"
#include "querier/json.h"

static enum mrd_status answer_text(struct qry_call *call, const char *data)
{
    mrd_buf_printf(&call->sink->body, "{\"status\":\"success\",\"data\":%s}", data);
    return MRD_OK;
}

/* ---- features: as the tenant has them, under Prometheus' names ---- */

static void feature(struct mrd_buf *out, const char *name, bool on)
{
    const bool first = out->data[out->size - 1] == '{';
    mrd_buf_append_text(out, first ? "" : ",");
    qry_json_string(mrd_bytes_of(name), out);
    mrd_buf_append_text(out, on ? ":true" : ":false");
}

static void begin_category(struct mrd_buf *out, const char *name)
{
    mrd_buf_printf(out, "%s\"%s\":{", out->data[out->size - 1] == '{' ? "" : "},", name);
}

static void api_features(struct mrd_buf *out)
{
    static const struct {
        const char *name;
        bool on;
    } features[] = {
        {"admin",              false},
        {"exclude_alerts",     true },
        {"label_values_match", true },
        {"lifecycle",          false},
        {"query_stats",        true },
        {"query_warnings",     true },
        {"search",             false},
        {"time_range_labels",  true },
        {"time_range_series",  true },
    };
    begin_category(out, "api");
    for (size_t i = 0; i < MRD_ARRAY_LEN(features); i++) {
        feature(out, features[i].name, features[i].on);
    }
}

static void language_features(const struct mrd_promql_options *promql, struct mrd_buf *out)
{
    static const char *const always[] = {
        "at_modifier",
        "bool",
        "by",
        "duration_expr",
        "group_left",
        "group_right",
        "ignoring",
        "negative_offset",
        "offset",
        "on",
        "per_query_lookback_delta",
        "subqueries",
        "without",
    };
    begin_category(out, "promql");
    for (size_t i = 0; i < MRD_ARRAY_LEN(always); i++) {
        feature(out, always[i], true);
    }
    feature(out, "anchored", promql->features.extended_range_selectors);
    feature(out, "smoothed", promql->features.extended_range_selectors);
    feature(out, "fill", promql->features.binop_fill_modifiers);
    feature(out, "fill_left", promql->features.binop_fill_modifiers);
    feature(out, "fill_right", promql->features.binop_fill_modifiers);
    feature(out, "delayed_name_removal", promql->delayed_name_removal);
    feature(out, "type_and_unit_labels", promql->type_and_unit_labels);
    feature(out, "per_step_stats", false);
}

static void function_features(const struct mrd_promql_options *promql, struct mrd_buf *out)
{
    begin_category(out, "promql_functions");
    for (int id = 0; id < MRD_FN_COUNT; id++) {
        const struct mrd_function *function = mrd_function_get((enum mrd_function_id)id);
        feature(out, function->name,
                !function->experimental || promql->features.experimental_functions);
    }
}

static void operator_features(const struct mrd_promql_options *promql, struct mrd_buf *out)
{
    static const char *const operators[] = {
        "+",  "-",  "*",  "/",  "%",  "^", "==",    "!=",  ">",  "<",      ">=",
        "<=", "</", ">/", "=~", "!~", "@", "atan2", "and", "or", "unless",
    };
    begin_category(out, "promql_operators");
    for (size_t i = 0; i < MRD_ARRAY_LEN(operators); i++) {
        feature(out, operators[i], true);
    }
    for (int op = 0; op < MRD_AGG_TYPE_COUNT; op++) {
        const enum mrd_aggregation aggregation = (enum mrd_aggregation)op;
        feature(out, mrd_aggregation_text(aggregation),
                !mrd_aggregation_experimental(aggregation) ||
                    promql->features.experimental_functions);
    }
}

enum mrd_status qry_answer_features(struct qry_call *call, struct mrd_error *err)
{
    const struct mrd_promql_options *promql = &call->limits.promql;
    struct mrd_buf *body = &call->sink->body;
    (void)err;
    mrd_buf_append_text(body, "{\"status\":\"success\",\"data\":{");
    api_features(body);
    language_features(promql, body);
    function_features(promql, body);
    operator_features(promql, body);
    begin_category(body, "prometheus");
    feature(body, "agent_mode", false);
    feature(body, "server_mode", true);
    begin_category(body, "tsdb");
    feature(body, "exemplar_storage", true);
    feature(body, "native_histograms", true);
    feature(body, "st_storage", true);
    mrd_buf_append_text(body, "}}}");
    return MRD_OK;
}

/* ---- the rest ---- */

/* There are none: what is wrong is said by metrics and logs. */
enum mrd_status qry_answer_notifications(struct qry_call *call, struct mrd_error *err)
{
    (void)err;
    return answer_text(call, "[]");
}

/* As Prometheus answers whom it cannot take as a subscriber: nothing will come. */
enum mrd_status qry_answer_notifications_live(struct qry_call *call, struct mrd_error *err)
{
    (void)err;
    call->status = 204;
    return MRD_OK;
}

/* This API is the tenants', and the process' metrics are none of theirs: they are at /metrics, for operators. */
enum mrd_status qry_answer_self_metrics(struct qry_call *call, struct mrd_error *err)
{
    const struct mrd_bytes pattern = qry_param(call, "metric_name_pattern");
    struct mrd_matcher matcher;
    const enum mrd_status status =
        mrd_matcher_init(&matcher, MRD_MATCH_RE, MRD_BYTES("__name__"), pattern, err);
    if (status != MRD_OK) {
        return mrd_fail_prefix(err, status, "invalid metric_name_pattern");
    }
    mrd_matcher_fini(&matcher);
    return answer_text(call, "[]");
}

/* As Prometheus answers without --enable-feature=search-api. */
enum mrd_status qry_answer_search(struct qry_call *call, struct mrd_error *err)
{
    (void)call;
    return mrd_fail(err, MRD_E_UNAVAILABLE, "search API disabled");
}
