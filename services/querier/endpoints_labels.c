/* series, labels and label values. */
#include "base/quote.h"
#include "querier/endpoints.h"
#include "querier/json.h"
#include "querier/params.h"

static enum mrd_status range_params(struct qry_call *call, struct mrd_label_query *out,
                                    struct mrd_error *err)
{
    *out = (struct mrd_label_query){0};
    MRD_TRY(qry_timeout_param(call, err));
    MRD_TRY(qry_limit_param(call, &out->limit, err));
    MRD_TRY(qry_time_param(call, "start", QRY_TIME_MIN_MS, &out->min_ms, err));
    return qry_time_param(call, "end", QRY_TIME_MAX_MS, &out->max_ms, err);
}

static void use_matchers(const struct qry_matcher_sets *sets, struct mrd_label_query *out)
{
    out->matcher_sets = sets->sets;
    out->matcher_counts = sets->counts;
    out->matcher_set_count = sets->count;
}

static struct qry_json_extra draining(struct qry_call *call)
{
    return (struct qry_json_extra){.drain = qry_sink_drain, .drain_context = call->sink};
}

enum mrd_status qry_answer_series(struct qry_call *call, struct mrd_error *err)
{
    mrd_auto(qry_matcher_sets_fini)
    struct qry_matcher_sets sets = {.count = 0};
    struct mrd_label_query query;
    struct mrd_bytes any;
    MRD_TRY(qry_form_check(call, err));
    if (!mrd_http_param_get(&call->params, "match[]", &any)) {
        return mrd_fail(err, MRD_E_INVALID, "no match[] parameter provided");
    }
    MRD_TRY(range_params(call, &query, err));
    const enum mrd_status status = qry_match_params(call, false, &sets, err);
    if (status != MRD_OK) {
        return qry_bad_param(status, "match[]", err);
    }
    use_matchers(&sets, &query);
    struct mrd_label_sets found;
    call->execution_error = true;
    MRD_TRY(qry_call_open(call, QRY_CALL_WARNS, err));
    MRD_TRY(call->source.series(call->source.context, &query, &call->scope, &found, err));
    const struct qry_json_extra extra = draining(call);
    qry_json_label_sets(&found, &call->annotations, &extra, &call->sink->body);
    return MRD_OK;
}

static void append_texts(struct qry_call *call, const struct mrd_texts *found)
{
    const struct qry_json_extra extra = draining(call);
    qry_json_texts(found, &call->annotations, &extra, &call->sink->body);
}

enum mrd_status qry_answer_labels(struct qry_call *call, struct mrd_error *err)
{
    mrd_auto(qry_matcher_sets_fini)
    struct qry_matcher_sets sets = {.count = 0};
    struct mrd_label_query query;
    MRD_TRY(range_params(call, &query, err));
    MRD_TRY(qry_match_params(call, false, &sets, err));
    use_matchers(&sets, &query);
    struct mrd_texts found;
    call->execution_error = true;
    MRD_TRY(qry_call_open(call, QRY_CALL_WARNS, err));
    MRD_TRY(call->source.label_names(call->source.context, &query, &call->scope, &found, err));
    append_texts(call, &found);
    return MRD_OK;
}

/* The label that the path names, from the arena. */
static enum mrd_status name_of_path(const struct qry_call *call, struct mrd_bytes *out,
                                    struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf name = {0};
    qry_label_name_unescape(mrd_http_path_param(call->request), &name);
    if (name.size == 0 || !mrd_bytes_utf8_valid(mrd_buf_view(&name))) {
        mrd_auto(mrd_buf_fini)
        struct mrd_buf quoted = {0};
        mrd_quote_append((struct mrd_bytes){name.data, MRD_MIN(name.size, (size_t)128)}, &quoted);
        return mrd_fail(err, MRD_E_INVALID, "invalid label name: %.*s", MRD_FMT(quoted));
    }
    *out = mrd_arena_copy(call->arena, mrd_buf_view(&name));
    return out->data == NULL ? mrd_arena_fail(call->arena, err) : MRD_OK;
}

enum mrd_status qry_answer_label_values(struct qry_call *call, struct mrd_error *err)
{
    struct mrd_bytes name;
    mrd_auto(qry_matcher_sets_fini)
    struct qry_matcher_sets sets = {.count = 0};
    struct mrd_label_query query;
    MRD_TRY(name_of_path(call, &name, err));
    MRD_TRY(range_params(call, &query, err));
    MRD_TRY(qry_match_params(call, false, &sets, err));
    use_matchers(&sets, &query);
    struct mrd_texts found;
    call->execution_error = true;
    MRD_TRY(qry_call_open(call, QRY_CALL_WARNS, err));
    MRD_TRY(
        call->source.label_values(call->source.context, name, &query, &call->scope, &found, err));
    append_texts(call, &found);
    return MRD_OK;
}
