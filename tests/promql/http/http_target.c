#include "http_target.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <stdlib.h>

#include "answer.h"
#include "write_body.h"

enum { BODY_POINTS_MAX = 100000, TEXT_MAX = 256, TIMEOUT_S = 60 };

struct http_target {
    struct script_target target;
    struct http_target_options options;
    CURL *curl;
    size_t tenant;
    struct write_body body;
    struct mrd_buf answer;
};

/* ---- requests ---- */

static size_t on_bytes(char *bytes, size_t size, size_t count, void *context)
{
    mrd_buf_append(context, bytes, size * count);
    return size * count;
}

static struct curl_slist *headers_of(const struct http_target *http, const char *const *more)
{
    char tenant[TEXT_MAX];
    snprintf(tenant, sizeof(tenant), "X-Scope-OrgID: %s%zu", http->options.tenants, http->tenant);
    struct curl_slist *headers = curl_slist_append(NULL, tenant);
    for (size_t i = 0; more[i] != NULL; i++) {
        headers = curl_slist_append(headers, more[i]);
    }
    return headers;
}

/* Posts and keeps the answer's body in http->answer. MRD_E_UNAVAILABLE if there is none. */
static enum mrd_status post(struct http_target *http, const char *url, const char *const *headers,
                            struct mrd_bytes body, long *out_status, struct mrd_error *err)
{
    struct curl_slist *list = headers_of(http, headers);
    mrd_buf_clear(&http->answer);
    curl_easy_setopt(http->curl, CURLOPT_URL, url);
    curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(http->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.size);
    curl_easy_setopt(http->curl, CURLOPT_POSTFIELDS, body.data);
    const CURLcode code = curl_easy_perform(http->curl);
    curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, out_status);
    curl_slist_free_all(list);
    return code == CURLE_OK
               ? MRD_OK
               : mrd_fail(err, MRD_E_UNAVAILABLE, "%s: %s", url, curl_easy_strerror(code));
}

/* ---- writing ---- */

static enum mrd_status flush(struct http_target *http, struct mrd_error *err)
{
    static const char *const headers[] = {
        "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request",
        "Content-Encoding: snappy", "X-Prometheus-Remote-Write-Version: 2.0.0", NULL};
    if (http->body.points == 0) {
        return MRD_OK;
    }
    struct mrd_buf body = {0};
    long status = 0;
    write_body_take(&http->body, &body);
    enum mrd_status result =
        post(http, http->options.push_url, headers, mrd_buf_view(&body), &status, err);
    mrd_buf_fini(&body);
    if (result == MRD_OK && status / 100 != 2) {
        result = mrd_fail(err, MRD_E_UNAVAILABLE, "the load was answered with %ld: %.*s", status,
                          MRD_FMT(mrd_buf_view(&http->answer)));
    }
    return result;
}

static enum mrd_status http_clear(void *context, struct mrd_error *err)
{
    struct http_target *http = context;
    MRD_TRY(flush(http, err)); /* a load that is refused is an error, asked for or not */
    http->tenant++;
    return MRD_OK;
}

static enum mrd_status http_put(void *context, struct mrd_labels labels,
                                const struct script_value *values, size_t count,
                                mrd_time_ms step_ms, struct mrd_error *err)
{
    struct http_target *http = context;
    write_body_add(&http->body, labels, values, count, step_ms);
    return http->body.points < BODY_POINTS_MAX ? MRD_OK : flush(http, err);
}

/* ---- querying ---- */

static bool http_can(void *context, const struct mrd_promql_options *options)
{
    const struct http_target *http = context;
    return options->delayed_name_removal == http->options.delayed_name_removal &&
           options->type_and_unit_labels == http->options.type_and_unit_labels;
}

static void put_time(struct mrd_buf *out, const char *name, mrd_time_ms time_ms)
{
    mrd_buf_printf(out, "&%s=%s%" PRId64 ".%03" PRId64, name, time_ms < 0 ? "-" : "",
                   (time_ms < 0 ? -time_ms : time_ms) / 1000,
                   (time_ms < 0 ? -time_ms : time_ms) % 1000);
}

static void put_form(struct http_target *http, const struct mrd_promql_request *request,
                     struct mrd_buf *out)
{
    char *query =
        curl_easy_escape(http->curl, (const char *)request->text.data, (int)request->text.size);
    mrd_buf_printf(out, "query=%s", request->text.size == 0 ? "" : query);
    curl_free(query);
    if (request->instant) {
        put_time(out, "time", request->start_ms);
        return;
    }
    put_time(out, "start", request->start_ms);
    put_time(out, "end", request->end_ms);
    put_time(out, "step", request->step_ms);
}

static enum mrd_status http_ask(void *context, const struct mrd_promql_options *options,
                                const struct mrd_promql_request *request, struct mrd_arena *arena,
                                struct mrd_promql_result *out, struct mrd_error *err)
{
    static const char *const headers[] = {"X-Read-Consistency: strong", NULL};
    (void)options; /* http_can has looked at them */
    struct http_target *http = context;
    *out = (struct mrd_promql_result){0};
    MRD_TRY(flush(http, err));
    char url[TEXT_MAX];
    long status = 0;
    struct mrd_buf form = {0};
    put_form(http, request, &form);
    snprintf(url, sizeof(url), "%s/api/v1/%s", http->options.query_url,
             request->instant ? "query" : "query_range");
    enum mrd_status result = post(http, url, headers, mrd_buf_view(&form), &status, err);
    mrd_buf_fini(&form);
    if (result == MRD_OK) {
        result = answer_read(mrd_buf_view(&http->answer), arena, out, err);
    }
    return result;
}

/* ---- life ---- */

struct script_target *http_target_create(const struct http_target_options *options)
{
    struct http_target *http = calloc(1, sizeof(*http));
    mrd_assert(http != NULL);
    http->options = *options;
    http->curl = curl_easy_init();
    mrd_assert(http->curl != NULL);
    curl_easy_setopt(http->curl, CURLOPT_TIMEOUT, (long)TIMEOUT_S);
    curl_easy_setopt(http->curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(http->curl, CURLOPT_WRITEDATA, &http->answer);
    http->target = (struct script_target){.context = http,
                                          .clear = http_clear,
                                          .put = http_put,
                                          .can = http_can,
                                          .ask = http_ask,
                                          .as_answered = answer_shape,
                                          .same = answer_same};
    return &http->target;
}

void http_target_destroy(struct script_target **target)
{
    struct http_target *http = (*target)->context;
    curl_easy_cleanup(http->curl);
    write_body_fini(&http->body);
    mrd_buf_fini(&http->answer);
    free(http);
    *target = NULL;
}
