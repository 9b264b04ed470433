/* /metrics /ready /healthy /config /log-level: what operators and orchestrators ask every service. */
#include <stdlib.h>

#include "base/log.h"
#include "service/service_internal.h"

static void get_metrics(void *context, struct mrd_http_request *request)
{
    struct mrd_service *service = context;
    struct mrd_buf text = {0};
    mrd_metrics_write(service->metrics, &text);
    mrd_http_header_set(request, "Content-Type", MRD_METRICS_CONTENT_TYPE);
    mrd_http_reply(request, 200, &text);
}

static void get_healthy(void *context, struct mrd_http_request *request)
{
    (void)context;
    mrd_http_reply_text(request, 200, "healthy\n");
}

static void append_unmet(struct mrd_service *service, struct mrd_buf *out)
{
    if (atomic_load_explicit(&service->stopping, memory_order_relaxed)) {
        mrd_buf_append_text(out, "service: stopping\n");
    }
    pthread_mutex_lock(&service->lock);
    for (const struct mrd_service_condition *at = service->conditions; at != NULL; at = at->next) {
        if (!at->met) {
            mrd_buf_printf(out, "%s: %s\n", at->name, at->reason);
        }
    }
    pthread_mutex_unlock(&service->lock);
}

static void get_ready(void *context, struct mrd_http_request *request)
{
    struct mrd_buf unmet = {0};
    append_unmet(context, &unmet);
    if (unmet.size == 0) {
        mrd_http_reply_text(request, 200, "ready\n");
    } else {
        mrd_http_reply(request, 503, &unmet);
    }
}

static void get_config(void *context, struct mrd_http_request *request)
{
    mrd_auto(mrd_config_release)
    struct mrd_config *config = mrd_service_config(context);
    struct mrd_buf text = {0};
    mrd_config_dump(config, &text);
    mrd_http_header_set(request, "Content-Type", "application/yaml; charset=utf-8");
    mrd_http_reply(request, 200, &text);
}

static void get_log_level(void *context, struct mrd_http_request *request)
{
    (void)context;
    mrd_http_reply_text(request, 200, "%s\n", mrd_log_level_name(mrd_log_level()));
}

static struct mrd_bytes trim(struct mrd_bytes text)
{
    while (text.size > 0 && strchr(" \r\n", text.data[text.size - 1]) != NULL) {
        text.size--;
    }
    return text;
}

/* The level is the parameter `level`, of the query or a form, or else the whole body. */
static void post_log_level(void *context, struct mrd_http_request *request)
{
    (void)context;
    struct mrd_http_params params;
    struct mrd_error err;
    struct mrd_bytes text = mrd_http_body(request);
    if (mrd_http_params_parse(request, &params, &err) != MRD_OK) {
        mrd_http_reply_text(request, 400, "%s\n", err.text);
        return;
    }
    (void)!mrd_http_param_get(&params, "level", &text);
    enum mrd_log_level level;
    if (!mrd_log_level_parse(trim(text), &level)) {
        mrd_http_reply_text(request, 400, "write level=debug, info, warn or error\n");
        return;
    }
    mrd_log_level_set(level);
    MRD_LOG(MRD_LEVEL_ERROR, "log level changed", /* at a level that is always on */
            mrd_log_str("level_now", mrd_log_level_name(level)),
            mrd_log_str("remote", mrd_http_remote(request)));
    mrd_http_reply_text(request, 200, "%s\n", mrd_log_level_name(level));
}

void operations_mount(struct mrd_service *service)
{
    enum { LEVEL_BODY_MAX = 1024 };
    const struct mrd_http_route routes[] = {
        {MRD_HTTP_GET,  "/metrics",   0,              get_metrics,    service},
        {MRD_HTTP_GET,  "/healthy",   0,              get_healthy,    service},
        {MRD_HTTP_GET,  "/ready",     0,              get_ready,      service},
        {MRD_HTTP_GET,  "/config",    0,              get_config,     service},
        {MRD_HTTP_GET,  "/log-level", 0,              get_log_level,  service},
        {MRD_HTTP_POST, "/log-level", LEVEL_BODY_MAX, post_log_level, service},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(routes); i++) {
        mrd_http_route_add(service->http, &routes[i]);
    }
}

/* ---- readiness ---- */

struct mrd_service_condition *mrd_service_condition_add(struct mrd_service *service,
                                                        const char *name)
{
    struct mrd_service_condition *condition = calloc(1, sizeof(*condition));
    mrd_assert(condition != NULL);
    condition->service = service;
    condition->name = name;
    (void)strcpy(condition->reason, "starting");
    pthread_mutex_lock(&service->lock);
    struct mrd_service_condition **at = &service->conditions;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = condition;
    pthread_mutex_unlock(&service->lock);
    return condition;
}

void mrd_service_condition_set(struct mrd_service_condition *condition, bool met,
                               const char *reason)
{
    pthread_mutex_lock(&condition->service->lock);
    const bool changed = condition->met != met;
    condition->met = met;
    condition->reason[0] = 0;
    if (!met) {
        const size_t size = MRD_MIN(strlen(reason), sizeof(condition->reason) - 1);
        memcpy(condition->reason, reason, size);
        condition->reason[size] = 0;
    }
    pthread_mutex_unlock(&condition->service->lock);
    if (changed && met) {
        MRD_LOG_INFO("condition met", mrd_log_str("condition", condition->name));
    } else if (changed) {
        MRD_LOG_WARN("condition no longer met", mrd_log_str("condition", condition->name),
                     mrd_log_str("reason", reason));
    }
}

bool mrd_service_is_ready(struct mrd_service *service)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf unmet = {0};
    append_unmet(service, &unmet);
    return unmet.size == 0;
}
