#include "http/client.h"

#include <stdlib.h>

#include <curl/curl.h>

struct mrd_http_client {
    CURL *easy;
    struct mrd_buf reply;
    char curl_error[CURL_ERROR_SIZE];
    size_t reply_bytes_max;

    /* Of the call under way. */
    const struct mrd_http_call *call;
    enum mrd_status sink_status;
    struct mrd_error sink_error;
};

#define SET(option, value) mrd_assert(curl_easy_setopt(client->easy, option, value) == CURLE_OK)

/* ---- what is received ---- */

static bool is_success(const struct mrd_http_client *client)
{
    long status = 0;
    (void)curl_easy_getinfo(client->easy, CURLINFO_RESPONSE_CODE, &status);
    return status >= 200 && status < 300;
}

static size_t keep(struct mrd_http_client *client, struct mrd_bytes bytes)
{
    if (bytes.size <= client->reply_bytes_max - client->reply.size) {
        mrd_buf_append_bytes(&client->reply, bytes);
        return bytes.size;
    }
    if (!is_success(client)) { /* the beginning of a text will do */
        bytes.size = client->reply_bytes_max - client->reply.size;
        mrd_buf_append_bytes(&client->reply, bytes);
        return SIZE_MAX;
    }
    client->sink_status = mrd_fail(&client->sink_error, MRD_E_LIMIT,
                                   "the answer has more than %zu bytes", client->reply_bytes_max);
    return 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct mrd_http_client *client = context;
    const struct mrd_bytes bytes = {(const uint8_t *)data, size * count};
    if (client->call->sink == NULL || !is_success(client)) {
        const size_t kept = keep(client, bytes);
        return kept == SIZE_MAX ? bytes.size : kept;
    }
    client->sink_status =
        client->call->sink(client->call->sink_context, bytes, &client->sink_error);
    return client->sink_status == MRD_OK ? bytes.size : 0;
}

/* ---- the client ---- */

static void set_up(struct mrd_http_client *client, const struct mrd_http_client_options *options)
{
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_USERAGENT, options->user_agent);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)options->connect_timeout_ms);
    SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
    SET(CURLOPT_LOW_SPEED_TIME, MRD_MAX((long)(options->stall_timeout_ms / 1000), 1L));
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (options->ca_file != NULL) {
        SET(CURLOPT_CAINFO, options->ca_file);
    }
    if (options->user != NULL) {
        SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        SET(CURLOPT_USERNAME, options->user);
        SET(CURLOPT_PASSWORD, options->password);
    }
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, (void *)client);
    SET(CURLOPT_ERRORBUFFER, client->curl_error);
}

enum mrd_status mrd_http_client_create(const struct mrd_http_client_options *options,
                                       struct mrd_http_client **out, struct mrd_error *err)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return mrd_fail(err, MRD_E_UNAVAILABLE, "libcurl cannot be started");
    }
    struct mrd_http_client *client = calloc(1, sizeof(*client));
    mrd_assert(client != NULL);
    client->easy = curl_easy_init();
    mrd_assert(client->easy != NULL);
    client->reply_bytes_max = options->reply_bytes_max;
    set_up(client, options);
    *out = client;
    return MRD_OK;
}

void mrd_http_client_destroy(struct mrd_http_client **client)
{
    if (*client == NULL) {
        return;
    }
    curl_easy_cleanup((*client)->easy);
    mrd_buf_fini(&(*client)->reply);
    free(*client);
    *client = NULL;
    curl_global_cleanup();
}

/* ---- calls ---- */

static void headers_drop(struct curl_slist **headers)
{
    curl_slist_free_all(*headers);
    *headers = NULL;
}

static void header_add(struct curl_slist **headers, const char *line)
{
    struct curl_slist *list = curl_slist_append(*headers, line);
    mrd_assert(list != NULL);
    *headers = list;
}

static void set_method(struct mrd_http_client *client, const struct mrd_http_call *call)
{
    SET(CURLOPT_HTTPGET, 1L);
    if (strcmp(call->method, "GET") != 0) {
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.size);
        SET(CURLOPT_POSTFIELDS, call->body.size == 0 ? "" : (const char *)call->body.data);
    }
    SET(CURLOPT_CUSTOMREQUEST, call->method);
}

/* Whether trying again may help: not with a wrong URL, nor with a certificate that is not trusted. */
static enum mrd_status status_of(CURLcode result)
{
    if (result == CURLE_URL_MALFORMAT || result == CURLE_UNSUPPORTED_PROTOCOL) {
        return MRD_E_INVALID;
    }
    if (result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CACERT_BADFILE ||
        result == CURLE_SSL_CERTPROBLEM) {
        return MRD_E_DENIED;
    }
    return MRD_E_UNAVAILABLE;
}

static enum mrd_status judge(struct mrd_http_client *client, const struct mrd_http_call *call,
                             CURLcode result, struct mrd_error *err)
{
    if (client->sink_status != MRD_OK) {
        return mrd_fail(err, client->sink_status, "%s: %s", call->url, client->sink_error.text);
    }
    if (result == CURLE_OK) {
        return MRD_OK;
    }
    return mrd_fail(err, status_of(result), "%s: %s", call->url,
                    client->curl_error[0] != 0 ? client->curl_error : curl_easy_strerror(result));
}

enum mrd_status mrd_http_client_send(struct mrd_http_client *client,
                                     const struct mrd_http_call *call, struct mrd_http_answer *out,
                                     struct mrd_error *err)
{
    long status = 0;
    mrd_auto(headers_drop)
    struct curl_slist *headers = NULL;
    header_add(&headers, "Expect:"); /* without a value: curl is not to send its own */
    for (size_t i = 0; i < MRD_HTTP_CALL_HEADERS_MAX && call->headers[i] != NULL; i++) {
        header_add(&headers, call->headers[i]);
    }
    mrd_buf_clear(&client->reply);
    client->call = call;
    client->sink_status = MRD_OK;
    client->curl_error[0] = 0;
    SET(CURLOPT_URL, call->url);
    SET(CURLOPT_HTTPHEADER, headers);
    set_method(client, call);
    const CURLcode result = curl_easy_perform(client->easy);
    SET(CURLOPT_HTTPHEADER, NULL);
    MRD_TRY(judge(client, call, result, err));
    (void)curl_easy_getinfo(client->easy, CURLINFO_RESPONSE_CODE, &status);
    *out = (struct mrd_http_answer){(unsigned)status, mrd_buf_view(&client->reply)};
    return MRD_OK;
}

const char *mrd_http_client_header(struct mrd_http_client *client, const char *name)
{
    struct curl_header *header = NULL;
    return curl_easy_header(client->easy, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK
               ? header->value
               : NULL;
}
