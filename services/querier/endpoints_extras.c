/* query_exemplars and metadata. */
#include "base/number.h"
#include "promql/parse.h"
#include "querier/endpoints.h"
#include "querier/extras.h"
#include "querier/json.h"
#include "querier/params.h"

/* ---- exemplars ---- */

enum { SELECTORS_MAX = 64 };

struct found_selectors {
    const struct mrd_matcher *sets[SELECTORS_MAX];
    size_t counts[SELECTORS_MAX];
    size_t count; /* may be more than SELECTORS_MAX */
};

static void add_selector(const struct mrd_expr *expr, struct found_selectors *out)
{
    if (out->count < SELECTORS_MAX) {
        out->sets[out->count] = expr->selector.matchers;
        out->counts[out->count] = expr->selector.matcher_count;
    }
    out->count++;
}

static void find_selectors(const struct mrd_expr *expr, struct found_selectors *out)
{
    switch (expr->kind) {
    case MRD_EXPR_NUMBER:
    case MRD_EXPR_STRING:
        break;
    case MRD_EXPR_SELECTOR:
        add_selector(expr, out);
        break;
    case MRD_EXPR_MATRIX:
        find_selectors(expr->matrix.selector, out);
        break;
    case MRD_EXPR_SUBQUERY:
        find_selectors(expr->subquery.expr, out);
        break;
    case MRD_EXPR_CALL:
        for (size_t i = 0; i < expr->call.arg_count; i++) {
            find_selectors(expr->call.args[i], out);
        }
        break;
    case MRD_EXPR_AGGREGATE:
        find_selectors(expr->aggregate.expr, out);
        if (expr->aggregate.param != NULL) {
            find_selectors(expr->aggregate.param, out);
        }
        break;
    case MRD_EXPR_BINARY:
        find_selectors(expr->binary.left, out);
        find_selectors(expr->binary.right, out);
        break;
    case MRD_EXPR_UNARY:
        find_selectors(expr->unary.expr, out);
        break;
    case MRD_EXPR_PAREN:
        find_selectors(expr->paren, out);
        break;
    }
}

static enum mrd_status append_exemplar(struct qry_call *call, const struct mrd_exemplar *exemplar,
                                       struct mrd_error *err)
{
    struct mrd_buf *body = &call->sink->body;
    struct mrd_labels labels;
    char text[MRD_DOUBLE_TEXT_MAX];
    MRD_TRY(mrd_labels_decode(exemplar->labels, call->arena, &labels, err));
    mrd_buf_append_text(body, "{\"labels\":");
    qry_json_labels(labels, body);
    mrd_buf_append_text(body, ",\"value\":\"");
    mrd_buf_append(body, text, mrd_double_format_json(exemplar->value, text));
    mrd_buf_append_text(body, "\",\"timestamp\":");
    qry_json_time(exemplar->time_ms, body);
    mrd_buf_append_u8(body, '}');
    return MRD_OK;
}

static enum mrd_status append_exemplars(struct qry_call *call, const struct qry_exemplars *found,
                                        struct mrd_error *err)
{
    struct mrd_buf *body = &call->sink->body;
    mrd_buf_append_text(body, "{\"status\":\"success\",\"data\":[");
    for (size_t i = 0; i < found->count && qry_sink_drain(call->sink); i++) {
        const struct qry_exemplar *item = &found->items[i];
        const bool same = i > 0 && mrd_labels_compare(item[-1].series, item->series) == 0;
        if (same) {
            mrd_buf_append_u8(body, ',');
        } else {
            mrd_buf_append_text(body, i > 0 ? "]},{\"seriesLabels\":" : "{\"seriesLabels\":");
            qry_json_labels(item->series, body);
            mrd_buf_append_text(body, ",\"exemplars\":[");
        }
        MRD_TRY(append_exemplar(call, &item->exemplar, err));
    }
    mrd_buf_append_text(body, found->count > 0 ? "]}]" : "]");
    qry_json_end(&call->annotations, body);
    return MRD_OK;
}

/* A query without selectors is answered as Prometheus does, with 204 and nothing. */
enum mrd_status qry_answer_query_exemplars(struct qry_call *call, struct mrd_error *err)
{
    mrd_time_ms start_ms;
    mrd_time_ms end_ms;
    mrd_auto(mrd_ast_fini)
    struct mrd_ast ast = {.root = NULL};
    MRD_TRY(qry_timeout_param(call, err));
    MRD_TRY(qry_time_param(call, "start", QRY_TIME_MIN_MS, &start_ms, err));
    MRD_TRY(qry_time_param(call, "end", QRY_TIME_MAX_MS, &end_ms, err));
    if (end_ms < start_ms) {
        return mrd_fail(err, MRD_E_INVALID, "end timestamp must not be before start timestamp");
    }
    MRD_TRY(mrd_promql_parse(qry_param(call, "query"), &call->limits.promql.features, call->arena,
                             &ast, err));
    struct found_selectors selectors = {.count = 0};
    find_selectors(ast.root, &selectors);
    if (selectors.count == 0) {
        call->status = 204;
        return MRD_OK;
    }
    if (selectors.count > SELECTORS_MAX) {
        return mrd_fail(err, MRD_E_INVALID,
                        "the query has %zu selectors, exemplars are found for at most %d",
                        selectors.count, SELECTORS_MAX);
    }
    struct qry_exemplars found;
    const struct qry_selectors sets = {selectors.sets, selectors.counts, selectors.count};
    call->execution_error = true;
    MRD_TRY(qry_call_hide(call, err));
    MRD_TRY(qry_exemplars_read(&call->remote, &sets, start_ms, end_ms, &call->scope, &found, err));
    const struct mrd_look look = mrd_query_look(&call->control);
    MRD_TRY(qry_hiding_exemplars(&call->tiers.hiding, &look, &found, err));
    return append_exemplars(call, &found, err);
}

/* ---- metadata ---- */

/* An integer of any sign; negative ones and no number are no limit. */
static enum mrd_status number_param(const struct qry_call *call, const char *name, size_t *out,
                                    struct mrd_error *err)
{
    struct mrd_bytes text = qry_param(call, name);
    *out = SIZE_MAX;
    if (text.size == 0) {
        return MRD_OK;
    }
    const bool negative = text.size > 1 && text.data[0] == '-';
    if (negative) {
        text.data++;
        text.size--;
    }
    size_t magnitude;
    if (text.data[0] == '-' || qry_limit_parse(text, &magnitude, NULL) != MRD_OK) {
        return mrd_fail(err, MRD_E_INVALID, "%s must be a number", name);
    }
    *out = negative ? SIZE_MAX : magnitude;
    return MRD_OK;
}

static void append_family(const struct mrd_metadata *metadata, struct mrd_buf *out)
{
    qry_json_string(metadata->family, out);
    mrd_buf_printf(out, ":[{\"type\":\"%s\",\"help\":", mrd_family_type_name(metadata->type));
    qry_json_string(metadata->help, out);
    mrd_buf_append_text(out, ",\"unit\":");
    qry_json_string(metadata->unit, out);
    mrd_buf_append_text(out, "}]");
}

/* The newest of each family, so limit_per_metric has nothing to cut. */
enum mrd_status qry_answer_metadata(struct qry_call *call, struct mrd_error *err)
{
    size_t limit;
    size_t per_metric;
    struct qry_families found;
    struct mrd_buf *body = &call->sink->body;
    MRD_TRY(qry_timeout_param(call, err));
    MRD_TRY(number_param(call, "limit", &limit, err));
    MRD_TRY(number_param(call, "limit_per_metric", &per_metric, err));
    call->execution_error = true;
    MRD_TRY(qry_families_read(&call->remote, qry_param(call, "metric"), &call->scope, &found, err));
    mrd_buf_append_text(body, "{\"status\":\"success\",\"data\":{");
    for (size_t i = 0; i < found.count && i < limit && qry_sink_drain(call->sink); i++) {
        if (i > 0) {
            mrd_buf_append_u8(body, ',');
        }
        append_family(&found.items[i].metadata, body);
    }
    mrd_buf_append_u8(body, '}');
    qry_json_end(&call->annotations, body);
    return MRD_OK;
}
