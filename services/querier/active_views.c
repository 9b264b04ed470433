#include "querier/active_views.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/number.h"
#include "model/tenant.h"
#include "promql/mask.h"
#include "querier/cors.h"
#include "querier/json.h"
#include "querier/params.h"

enum {
    LIMIT_DEFAULT = 100,
    ID_TEXT_SIZE = 16,
    /* An item, its copied text and parameters. */
    LIST_BYTES_MAX = (QRY_ACTIVE_LIST_MAX + 1) * (QRY_ACTIVE_TEXT_MAX + 1024),
};

struct view {
    struct qry_active_views *views;
    bool all; /* for operators */
};

struct qry_active_views {
    struct qry_active *active;
    char *instance;
    struct mrd_counter *canceled[2]; /* by tenants, by operators */
    struct view of_tenant;
    struct view of_all;
};

/* ---- one query ---- */

static const char *const doing_names[MRD_QUERY_DOING_COUNT] = {
    [MRD_QUERY_QUEUED] = "queued",
    [MRD_QUERY_WORKS] = "running",
    [MRD_QUERY_WAITS_INGESTERS] = "waiting_for_ingesters",
    [MRD_QUERY_WAITS_BLOCKS] = "waiting_for_blocks",
    [MRD_QUERY_WRITES] = "streaming",
};

static void seconds_field(const char *name, int64_t ns, struct mrd_buf *out)
{
    char text[MRD_DOUBLE_TEXT_MAX];
    (void)mrd_double_format_json((double)(ns / 1000000) / 1e3, text);
    mrd_buf_printf(out, ",\"%s\":%s", name, text);
}

/* A parameter that is a time or a duration; one that is malformed is left out. */
static void param_field(const char *name, struct mrd_bytes text, bool is_time, struct mrd_buf *out)
{
    mrd_time_ms ms;
    struct mrd_error err;
    if (text.size > 0 && (is_time ? qry_time_parse(text, &ms, &err)
                                  : qry_duration_parse(text, &ms, &err)) == MRD_OK) {
        mrd_buf_printf(out, ",\"%s\":", name);
        qry_json_time(ms, out);
    }
}

static void text_field(const struct qry_active_item *item, bool masked, struct mrd_buf *out)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text = {0};
    if (masked) {
        mrd_promql_mask(item->text, &text);
    } else {
        mrd_buf_append_bytes(&text, item->text);
    }
    mrd_buf_append_text(out, ",\"query\":");
    qry_json_string(mrd_buf_view(&text), out);
    if (item->text_cut) {
        mrd_buf_append_text(out, ",\"queryCut\":true");
    }
}

static void append_item(const struct qry_active_item *item, bool all, struct mrd_buf *out)
{
    mrd_buf_printf(out, "{\"id\":\"%016" PRIx64 "\",\"tenant\":", item->id);
    qry_json_string(item->tenant, out);
    mrd_buf_printf(out, ",\"kind\":\"%s\",\"state\":\"%s\"", item->kind,
                   item->canceled ? "canceled" : doing_names[item->doing]);
    text_field(item, all, out);
    param_field("time", item->time, true, out);
    param_field("start", item->start, true, out);
    param_field("end", item->end, true, out);
    param_field("step", item->step, false, out);
    seconds_field("ageSeconds", item->age_ns, out);
    seconds_field("waitedForIngestersSeconds", item->waited_ns[MRD_QUERY_WAITS_INGESTERS], out);
    seconds_field("waitedForBlocksSeconds", item->waited_ns[MRD_QUERY_WAITS_BLOCKS], out);
    mrd_buf_printf(out,
                   ",\"series\":%" PRIu64 ",\"samples\":%" PRIu64 ",\"memoryBytes\":%" PRIu64 "}",
                   item->series, item->samples, item->memory_bytes);
}

/* ---- requests ---- */

static void reply_json(struct mrd_http_request *request, unsigned status, struct mrd_buf *body)
{
    mrd_http_header_set(request, "Content-Type", "application/json");
    mrd_http_reply(request, status, body);
}

static void reply_error(struct mrd_http_request *request, unsigned status, const char *type,
                        const char *text)
{
    struct mrd_buf body = {0};
    qry_json_error(type, text, &body);
    reply_json(request, status, &body);
}

/* Whose queries are asked for: NULL in *out_of for all. False: it has been answered. */
static bool asker(const struct view *view, struct mrd_http_request *request,
                  struct mrd_bytes *storage, const struct mrd_bytes **out_of)
{
    struct mrd_error err;
    *out_of = view->all ? NULL : storage;
    if (!view->all && mrd_tenant_of_header(mrd_http_header(request, MRD_TENANT_HEADER), storage,
                                           &err) != MRD_OK) {
        reply_error(request, 400, "bad_data", err.text);
        return false;
    }
    return true;
}

static enum mrd_status limit_of(struct mrd_http_request *request, size_t *out_limit,
                                struct mrd_error *err)
{
    struct mrd_http_params params;
    struct mrd_bytes text;
    *out_limit = LIMIT_DEFAULT;
    MRD_TRY(mrd_http_params_parse(request, &params, err));
    if (!mrd_http_param_get(&params, "limit", &text)) {
        return MRD_OK;
    }
    MRD_TRY(qry_limit_parse(text, out_limit, err));
    *out_limit = *out_limit == 0 ? QRY_ACTIVE_LIST_MAX : *out_limit;
    return MRD_OK;
}

static void handle_list(void *context, struct mrd_http_request *request)
{
    const struct view *view = context;
    struct mrd_bytes tenant;
    const struct mrd_bytes *of;
    size_t limit;
    struct mrd_error err;
    struct qry_active_list list;
    qry_cors_headers(request);
    if (!asker(view, request, &tenant, &of)) {
        return;
    }
    if (limit_of(request, &limit, &err) != MRD_OK) {
        reply_error(request, 400, "bad_data", err.text);
        return;
    }
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("list of queries", LIST_BYTES_MAX);
    if (qry_active_list(view->views->active, of, limit, arena, &list, &err) != MRD_OK) {
        reply_error(request, 422, "execution", err.text);
        return;
    }
    struct mrd_buf body = {0};
    mrd_buf_append_text(&body, "{\"status\":\"success\",\"data\":{\"instance\":");
    qry_json_string(mrd_bytes_of(view->views->instance), &body);
    mrd_buf_printf(&body, ",\"total\":%zu,\"queries\":[", list.total);
    for (size_t i = 0; i < list.count; i++) {
        mrd_buf_append_text(&body, i > 0 ? "," : "");
        append_item(&list.items[i], view->all, &body);
    }
    mrd_buf_append_text(&body, "]}}");
    reply_json(request, 200, &body);
}

static bool id_parse(struct mrd_bytes text, uint64_t *out_id)
{
    *out_id = 0;
    for (size_t i = 0; i < text.size; i++) {
        const uint8_t c = text.data[i];
        const bool digit = c >= '0' && c <= '9';
        if (!digit && (c < 'a' || c > 'f')) {
            return false;
        }
        *out_id = *out_id << 4 | (uint64_t)(digit ? c - '0' : c - 'a' + 10);
    }
    return text.size == ID_TEXT_SIZE;
}

/* Another tenant's query is as unknown as one that there is not. */
static void handle_cancel(void *context, struct mrd_http_request *request)
{
    const struct view *view = context;
    struct qry_active_views *views = view->views;
    struct mrd_bytes tenant;
    const struct mrd_bytes *of;
    uint64_t id;
    qry_cors_headers(request);
    if (!asker(view, request, &tenant, &of)) {
        return;
    }
    if (!id_parse(mrd_http_path_param(request), &id) || !qry_active_cancel(views->active, id, of)) {
        char text[512];
        (void)snprintf(text, sizeof(text),
                       "no such query is under way in this querier (%s): it has ended, or "
                       "another querier has it",
                       views->instance);
        reply_error(request, 404, "not_found", text);
        return;
    }
    mrd_counter_add(views->canceled[view->all], 1);
    struct mrd_buf body = {0};
    mrd_buf_printf(&body, "{\"status\":\"success\",\"data\":{\"canceled\":\"%016" PRIx64 "\"}}",
                   id);
    reply_json(request, 200, &body);
}

static void handle_options(void *context, struct mrd_http_request *request)
{
    (void)context;
    qry_cors_headers(request);
    mrd_http_reply(request, 204, NULL);
}

/* ---- life ---- */

static struct mrd_counter *cancel_counter(struct mrd_metrics *metrics, const char *by)
{
    return mrd_metrics_counter(metrics, "meridian_querier_cancellations_total",
                               "Queries ended on request, by who asked for it.",
                               MRD_LABELS({"by", by}));
}

struct qry_active_views *qry_active_views_create(struct qry_active *active, const char *instance,
                                                 struct mrd_metrics *metrics)
{
    struct qry_active_views *views = calloc(1, sizeof(*views));
    mrd_assert(views != NULL);
    views->active = active;
    views->instance = strdup(instance);
    mrd_assert(views->instance != NULL);
    views->canceled[false] = cancel_counter(metrics, "tenant");
    views->canceled[true] = cancel_counter(metrics, "operator");
    views->of_tenant = (struct view){views, false};
    views->of_all = (struct view){views, true};
    return views;
}

#define VIEWS_OF(path_, context_)                                                                  \
    {MRD_HTTP_GET | MRD_HTTP_NO_HEAD, path_, 0, handle_list, context_},                            \
        {MRD_HTTP_DELETE, path_ "/{id}", 0, handle_cancel, context_},                              \
        {MRD_HTTP_POST, path_ "/{id}/cancel", 0, handle_cancel, context_},                         \
        {MRD_HTTP_OPTIONS, path_, 0, handle_options, context_},                                    \
        {MRD_HTTP_OPTIONS, path_ "/{id}", 0, handle_options, context_},                            \
    {                                                                                              \
        MRD_HTTP_OPTIONS, path_ "/{id}/cancel", 0, handle_options, context_                        \
    }

void qry_active_views_mount(struct qry_active_views *views, struct mrd_http_server *server)
{
    const struct mrd_http_route routes[] = {
        VIEWS_OF("/api/v1/status/active_queries", &views->of_tenant),
        VIEWS_OF("/prometheus/api/v1/status/active_queries", &views->of_tenant),
        VIEWS_OF("/active-queries", &views->of_all),
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(routes); i++) {
        mrd_http_route_add(server, &routes[i]);
    }
}

void qry_active_views_destroy(struct qry_active_views **views)
{
    if (*views != NULL) {
        free((*views)->instance);
        free(*views);
        *views = NULL;
    }
}
