/* What a Prometheus server knows as one that scrapes and evaluates rules. This one does neither: every
 * list is empty, in Prometheus' form, and parameters are checked as there. */
#include <errno.h>
#include <stdlib.h>

#include "promql/parse.h"
#include "querier/endpoints.h"
#include "querier/json.h"
#include "querier/params.h"

static enum mrd_status answer_text(struct qry_call *call, const char *data)
{
    mrd_buf_printf(&call->sink->body, "{\"status\":\"success\",\"data\":%s}", data);
    return MRD_OK;
}

/* True if the parameter has one of the values, in any case; the empty one counts as written. */
static bool param_is(const struct qry_call *call, const char *name, const char *value)
{
    const struct mrd_bytes text = qry_param(call, name);
    return text.size == strlen(value) &&
           (text.size == 0 || strncasecmp((const char *)text.data, value, text.size) == 0);
}

enum mrd_status qry_answer_targets(struct qry_call *call, struct mrd_error *err)
{
    (void)err;
    const bool dropped = param_is(call, "state", "") || param_is(call, "state", "any") ||
                         param_is(call, "state", "dropped");
    return answer_text(call, dropped ? "{\"activeTargets\":[],\"droppedTargets\":[],"
                                       "\"droppedTargetCounts\":{}}"
                                     : "{\"activeTargets\":[],\"droppedTargets\":[],"
                                       "\"droppedTargetCounts\":null}");
}

/* "x must be a number" unless it is missing or an integer, of any sign. */
static enum mrd_status number_param(const struct qry_call *call, const char *name,
                                    struct mrd_error *err)
{
    size_t magnitude;
    struct mrd_bytes text = qry_param(call, name);
    if (text.size == 0) {
        return MRD_OK;
    }
    if (text.size > 1 && text.data[0] == '-') {
        text.data++;
        text.size--;
    }
    return text.data[0] != '-' && qry_limit_parse(text, &magnitude, NULL) == MRD_OK
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID, "%s must be a number", name);
}

enum mrd_status qry_answer_targets_metadata(struct qry_call *call, struct mrd_error *err)
{
    MRD_TRY(number_param(call, "limit", err));
    if (qry_param_given(call, "match_target")) {
        mrd_auto(mrd_ast_fini)
        struct mrd_ast ast = {.root = NULL};
        const enum mrd_status status =
            mrd_promql_parse_selector(qry_param(call, "match_target"), call->arena, &ast, err);
        if (status != MRD_OK) {
            return qry_bad_param(status, "match_target", err);
        }
    }
    return answer_text(call, "[]");
}

static enum mrd_status no_such_pool(const struct qry_call *call, struct mrd_error *err)
{
    const struct mrd_bytes pool = qry_param(call, "scrapePool");
    return mrd_fail(err, MRD_E_INVALID,
                    "error retrieving scrape config: scrape pool \"%.*s\" not found",
                    (int)MRD_MIN(pool.size, (size_t)128), (const char *)pool.data);
}

enum mrd_status qry_answer_relabel_steps(struct qry_call *call, struct mrd_error *err)
{
    if (!qry_param_given(call, "scrapePool")) {
        return mrd_fail(err, MRD_E_INVALID, "no scrapePool parameter provided");
    }
    if (!qry_param_given(call, "labels")) {
        return mrd_fail(err, MRD_E_INVALID, "no labels parameter provided");
    }
    return no_such_pool(call, err);
}

enum mrd_status qry_answer_scrape_pools(struct qry_call *call, struct mrd_error *err)
{
    (void)err;
    return answer_text(call, "{\"scrapePools\":[]}");
}

enum mrd_status qry_answer_alertmanagers(struct qry_call *call, struct mrd_error *err)
{
    (void)err;
    return answer_text(call, "{\"activeAlertmanagers\":[],\"droppedAlertmanagers\":[]}");
}

enum mrd_status qry_answer_alerts(struct qry_call *call, struct mrd_error *err)
{
    (void)err;
    return answer_text(call, "{\"alerts\":[]}");
}

/* ---- rules ---- */

/* The texts that Go's strconv.ParseBool takes; the parameter was made lower case before. */
static enum mrd_status exclude_alerts_param(const struct qry_call *call, struct mrd_error *err)
{
    static const char *const known[] = {"", "1", "t", "true", "0", "f", "false"};
    for (size_t i = 0; i < MRD_ARRAY_LEN(known); i++) {
        if (param_is(call, "exclude_alerts", known[i])) {
            return MRD_OK;
        }
    }
    const struct mrd_bytes text = qry_param(call, "exclude_alerts");
    return mrd_fail(err, MRD_E_INVALID,
                    "invalid parameter \"exclude_alerts\": error converting exclude_alerts: "
                    "strconv.ParseBool: parsing \"%.*s\": invalid syntax",
                    (int)MRD_MIN(text.size, (size_t)64), (const char *)text.data);
}

static enum mrd_status group_limit_param(const struct qry_call *call, struct mrd_error *err)
{
    const struct mrd_bytes text = qry_param(call, "group_limit");
    if (text.size == 0) {
        return MRD_OK;
    }
    char *end;
    errno = 0; /* a NUL stands behind every parameter */
    const long long value = strtoll((const char *)text.data, &end, 10);
    if (end != (const char *)text.data + text.size || text.data[0] <= ' ') {
        return mrd_fail(
            err, MRD_E_INVALID,
            "invalid parameter \"group_limit\": group_limit needs to be a valid number: "
            "strconv.ParseInt: parsing \"%.*s\": invalid syntax",
            (int)MRD_MIN(text.size, (size_t)64), (const char *)text.data);
    }
    if (errno != 0 || value > INT32_MAX || value < INT32_MIN) {
        return mrd_fail(
            err, MRD_E_INVALID,
            "invalid parameter \"group_limit\": group_limit needs to be a valid number: "
            "strconv.ParseInt: parsing \"%.*s\": value out of range",
            (int)MRD_MIN(text.size, (size_t)64), (const char *)text.data);
    }
    return value > 0
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID,
                          "invalid parameter \"group_limit\": group_limit needs to be greater "
                          "than 0");
}

static enum mrd_status pagination_params(const struct qry_call *call, struct mrd_error *err)
{
    const struct mrd_bytes token = qry_param(call, "group_next_token");
    if (token.size > 0 && !qry_param_given(call, "group_limit")) {
        return mrd_fail(
            err, MRD_E_INVALID,
            "invalid parameter \"group_next_token\": group_limit needs to be present in "
            "order to paginate over the groups");
    }
    MRD_TRY(group_limit_param(call, err));
    return token.size == 0
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID,
                          "invalid parameter \"group_next_token\": invalid "
                          "group_next_token '%.*s'. were rule groups changed?",
                          (int)MRD_MIN(token.size, (size_t)128), (const char *)token.data);
}

enum mrd_status qry_answer_rules(struct qry_call *call, struct mrd_error *err)
{
    mrd_auto(qry_matcher_sets_fini)
    struct qry_matcher_sets sets = {.count = 0};
    MRD_TRY(qry_form_check(call, err));
    MRD_TRY(qry_match_params(call, false, &sets, err));
    if (!param_is(call, "type", "") && !param_is(call, "type", "alert") &&
        !param_is(call, "type", "record")) {
        const struct mrd_bytes type = qry_param(call, "type");
        return mrd_fail(err, MRD_E_INVALID,
                        "invalid parameter \"type\": not supported value \"%.*s\"",
                        (int)MRD_MIN(type.size, (size_t)64), (const char *)type.data);
    }
    MRD_TRY(exclude_alerts_param(call, err));
    MRD_TRY(pagination_params(call, err));
    return answer_text(call, "{\"groups\":[]}");
}
