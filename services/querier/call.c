#include "querier/call.h"

#include "promql/parse.h"
#include "querier/params.h"

enum mrd_status qry_call_hide(struct qry_call *call, struct mrd_error *err)
{
    const struct qry_tiers_floors *floors = &call->tiers.floors;
    return qry_hiding_init(&call->tiers.hiding, floors->rules, call->remote.options.tenant,
                           floors->now_ms, call->arena, err);
}

enum mrd_status qry_call_open(struct qry_call *call, enum qry_call_warnings warnings,
                              struct mrd_error *err)
{
    struct qry_tiers *tiers = &call->tiers;
    if (call->options->blocks == NULL) {
        tiers->remote_source = qry_remote_source(&call->remote);
        MRD_TRY(qry_call_hide(call, err));
        call->source = qry_hiding_heads(&tiers->hiding, &tiers->remote_source);
        return MRD_OK;
    }
    tiers->remote = &call->remote;
    tiers->erasures = call->options->erasures;
    MRD_TRY(qry_tiers_open(tiers, call->options->blocks, &call->scope, &call->source, err));
    return warnings == QRY_CALL_CANNOT_WARN && tiers->gap && !call->remote.options.partial
               ? mrd_fail(err, MRD_E_UNAVAILABLE,
                          "%s; this answer cannot say so: ask with partial_response=true for what "
                          "there is",
                          tiers->warning)
               : MRD_OK;
}

struct mrd_bytes qry_param(const struct qry_call *call, const char *name)
{
    struct mrd_bytes value = MRD_BYTES_NONE;
    return mrd_http_param_get(&call->params, name, &value) ? value : MRD_BYTES_NONE;
}

enum mrd_status qry_bad_param(enum mrd_status status, const char *name, struct mrd_error *err)
{
    return mrd_fail_prefix(err, status, "invalid parameter \"%s\"", name);
}

enum mrd_status qry_form_check(const struct qry_call *call, struct mrd_error *err)
{
    return call->form_error.status == MRD_OK
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID, "error parsing form values: %s",
                          call->form_error.text);
}

enum mrd_status qry_time_param(const struct qry_call *call, const char *name,
                               mrd_time_ms missing_ms, mrd_time_ms *out_ms, struct mrd_error *err)
{
    if (!qry_param_given(call, name)) {
        *out_ms = missing_ms;
        return MRD_OK;
    }
    const enum mrd_status status = qry_time_parse(qry_param(call, name), out_ms, err);
    if (status == MRD_OK) {
        return MRD_OK;
    }
    (void)mrd_fail_prefix(err, status, "invalid time value for '%s'", name);
    return qry_bad_param(status, name, err);
}

enum mrd_status qry_limit_param(const struct qry_call *call, size_t *out_limit,
                                struct mrd_error *err)
{
    *out_limit = 0;
    if (!qry_param_given(call, "limit")) {
        return MRD_OK;
    }
    const enum mrd_status status = qry_limit_parse(qry_param(call, "limit"), out_limit, err);
    return status == MRD_OK ? MRD_OK : qry_bad_param(status, "limit", err);
}

int64_t qry_deadline_of(const struct mrd_http_request *request,
                        const struct mrd_http_params *params, const struct qry_limits *limits)
{
    struct mrd_bytes text = MRD_BYTES_NONE;
    mrd_time_ms asked_ms = limits->query_timeout_ms;
    if (mrd_http_param_get(params, "timeout", &text) && text.size > 0) {
        (void)!qry_duration_parse(text, &asked_ms, NULL);
    }
    asked_ms = MRD_MIN(MRD_MAX(asked_ms, (mrd_time_ms)0), limits->query_timeout_ms);
    return mrd_http_received_ns(request) + asked_ms * 1000000;
}

enum mrd_status qry_timeout_param(const struct qry_call *call, struct mrd_error *err)
{
    mrd_time_ms ignored_ms;
    if (!qry_param_given(call, "timeout")) {
        return MRD_OK;
    }
    const enum mrd_status status = qry_duration_parse(qry_param(call, "timeout"), &ignored_ms, err);
    return status == MRD_OK ? MRD_OK : qry_bad_param(status, "timeout", err);
}

/* "auto" is what is configured; else a duration, as Thanos has it. */
static enum mrd_status resolution_param(const struct qry_call *call, mrd_time_ms *out,
                                        struct mrd_error *err)
{
    const struct mrd_bytes text = qry_param(call, "max_source_resolution");
    mrd_time_ms resolution_ms;
    if (text.size == 0 || mrd_bytes_equal(text, MRD_BYTES("auto"))) {
        return MRD_OK;
    }
    const enum mrd_status status = qry_duration_parse(text, &resolution_ms, err);
    if (status != MRD_OK) {
        return qry_bad_param(status, "max_source_resolution", err);
    }
    if (resolution_ms < 0) {
        return qry_bad_param(
            mrd_fail(err, MRD_E_INVALID, "it must be auto, or a duration that is not negative"),
            "max_source_resolution", err);
    }
    *out = resolution_ms;
    return MRD_OK;
}

enum mrd_status qry_promql_options(const struct qry_call *call, struct mrd_promql_options *out,
                                   struct mrd_error *err)
{
    *out = call->limits.promql;
    MRD_TRY(resolution_param(call, &out->resolution_ms_max, err));
    if (!qry_param_given(call, "lookback_delta")) {
        return MRD_OK;
    }
    mrd_time_ms lookback_ms;
    const enum mrd_status status =
        qry_duration_parse(qry_param(call, "lookback_delta"), &lookback_ms, err);
    if (status != MRD_OK) {
        return mrd_fail_prefix(err, status, "error parsing lookback delta duration");
    }
    if (lookback_ms > 0) { /* others mean the configured one */
        out->lookback_ms = lookback_ms;
    }
    return MRD_OK;
}

/* ---- match[] ---- */

void qry_matcher_sets_fini(struct qry_matcher_sets *sets)
{
    for (size_t i = 0; i < sets->count; i++) {
        mrd_ast_fini(&sets->asts[i]);
    }
    sets->count = 0;
}

static enum mrd_status add_match(const struct qry_call *call, struct mrd_bytes text,
                                 struct qry_matcher_sets *out, struct mrd_error *err)
{
    if (out->count == QRY_MATCHER_SETS_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "more than %d match[] parameters",
                        QRY_MATCHER_SETS_MAX);
    }
    const size_t at = out->count;
    MRD_TRY(mrd_promql_parse_selector(text, call->arena, &out->asts[at], err));
    out->sets[at] = out->asts[at].root->selector.matchers;
    out->counts[at] = out->asts[at].root->selector.matcher_count;
    out->count++;
    return MRD_OK;
}

enum mrd_status qry_match_params(const struct qry_call *call, bool match_all,
                                 struct qry_matcher_sets *out, struct mrd_error *err)
{
    for (size_t i = 0; i < call->params.count; i++) {
        const struct mrd_http_param *item = &call->params.items[i];
        if (mrd_bytes_equal(item->name, MRD_BYTES("match[]"))) {
            MRD_TRY(add_match(call, item->value, out, err));
        }
    }
    for (size_t i = 0; i < out->count && !match_all; i++) {
        if (!mrd_matchers_select(out->sets[i], out->counts[i])) {
            return mrd_fail(err, MRD_E_INVALID,
                            "match[] must contain at least one non-empty matcher");
        }
    }
    return MRD_OK;
}

mrd_time_ms qry_now_ms(void) { return mrd_clock_now_ms(mrd_clock_system()); }
