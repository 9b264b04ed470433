#include "http_target.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <stdlib.h>

#include "answer.h"
#include "promqltest/script_shape.h"
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

/* The count that the answer to a write says was written; SIZE_MAX if it says nothing. */
static size_t written(const struct http_target *http, const char *kind)
{
    char name[TEXT_MAX];
    struct curl_header *header = NULL;
    snprintf(name, sizeof(name), "X-Prometheus-Remote-Write-%s-Written", kind);
    return curl_easy_header(http->curl, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK
               ? strtoull(header->value, NULL, 10)
               : SIZE_MAX;
}

static enum mrd_status send_body(struct http_target *http, struct mrd_bytes body,
                                 struct mrd_error *err)
{
    static const char *const headers[] = {
        "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request",
        "Content-Encoding: snappy", "X-Prometheus-Remote-Write-Version: 2.0.0", NULL};
    const size_t floats = http->body.floats;
    const size_t histograms = http->body.histograms;
    long status = 0;
    MRD_TRY(post(http, http->options.push_url, headers, body, &status, err));
    if (status / 100 != 2) {
        return mrd_fail(err, MRD_E_UNAVAILABLE, "the load was answered with %ld: %.*s", status,
                        MRD_FMT(mrd_buf_view(&http->answer)));
    }
    if (written(http, "Samples") != floats || written(http, "Histograms") != histograms) {
        return mrd_fail(err, MRD_E_UNAVAILABLE,
                        "of %zu floats and %zu histograms %zu and %zu were written", floats,
                        histograms, written(http, "Samples"), written(http, "Histograms"));
    }
    return MRD_OK;
}

static enum mrd_status flush(struct http_target *http, struct mrd_error *err)
{
    if (http->body.floats + http->body.histograms == 0) {
        return MRD_OK;
    }
    struct mrd_buf body = {0};
    write_body_encode(&http->body, &body);
    const enum mrd_status status = send_body(http, mrd_buf_view(&body), err);
    write_body_clear(&http->body);
    mrd_buf_fini(&body);
    return status;
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
    if (write_body_has(&http->body, labels)) {
        MRD_TRY(flush(http, err)); /* of two values at one time the later counts */
    }
    write_body_add(&http->body, labels, values, count, step_ms);
    return http->body.floats + http->body.histograms < BODY_POINTS_MAX ? MRD_OK : flush(http, err);
}

/* ---- querying ---- */

/* NULL: there is no such querier. */
static const char *query_url(const struct http_target *http,
                             const struct mrd_promql_options *options)
{
    static const struct {
        bool delayed_name_removal;
        bool type_and_unit_labels;
        bool use_start_timestamps;
    } kinds[HTTP_QUERIERS] = {
        [HTTP_PLAIN] = {false, false, true },
        [HTTP_DELAYED] = {true,  false, true },
        [HTTP_TYPED] = {false, true,  true },
        [HTTP_WITHOUT_STARTS] = {false, false, false},
    };
    for (size_t i = 0; i < HTTP_QUERIERS; i++) {
        if (options->delayed_name_removal == kinds[i].delayed_name_removal &&
            options->type_and_unit_labels == kinds[i].type_and_unit_labels &&
            options->use_start_timestamps == kinds[i].use_start_timestamps) {
            return http->options.query_urls[i];
        }
    }
    return NULL;
}

static bool http_can(void *context, const struct mrd_promql_options *options)
{
    return query_url(context, options) != NULL;
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
    struct http_target *http = context;
    *out = (struct mrd_promql_result){0};
    MRD_TRY(flush(http, err));
    char url[TEXT_MAX];
    long status = 0;
    struct mrd_buf form = {0};
    put_form(http, request, &form);
    snprintf(url, sizeof(url), "%s/api/v1/%s", query_url(http, options),
             request->instant ? "query" : "query_range");
    enum mrd_status result = post(http, url, headers, mrd_buf_view(&form), &status, err);
    mrd_buf_fini(&form);
    if (result == MRD_OK) {
        result = answer_read(status, mrd_buf_view(&http->answer), arena, out, err);
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
    curl_easy_setopt(http->curl, CURLOPT_PROXY, ""); /* none, whatever the environment says */
    curl_easy_setopt(http->curl, CURLOPT_TIMEOUT, (long)TIMEOUT_S);
    curl_easy_setopt(http->curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(http->curl, CURLOPT_WRITEDATA, &http->answer);
    http->target = (struct script_target){.context = http,
                                          .clear = http_clear,
                                          .put = http_put,
                                          .can = http_can,
                                          .ask = http_ask,
                                          .as_answered = script_shape_of,
                                          .same = script_shapes_agree};
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
