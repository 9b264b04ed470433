/* One request: signed, sent, its answer received and judged. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "objstore/s3_internal.h"

enum { HEADERS_MAX = S3_EXTRAS_MAX + 4 };

/* ---- what is sent ---- */

static int by_name(const void *a, const void *b)
{
    const struct mrd_sigv4_header *left = a;
    const struct mrd_sigv4_header *right = b;
    return strcmp(left->name, right->name);
}

static void append_path(const struct s3 *s3, const struct s3_call *call, struct mrd_buf *out)
{
    mrd_buf_append_text(out, s3->root);
    if (call->key != NULL) {
        mrd_buf_append_u8(out, '/');
        mrd_uri_encode(s3->prefix, true, out);
        mrd_uri_encode(call->key, true, out);
    } else if (s3->root[0] == 0) {
        mrd_buf_append_u8(out, '/');
    }
    mrd_buf_append_u8(out, 0);
}

static void append_query(const struct s3_call *call, struct mrd_buf *out)
{
    for (size_t i = 0; i < call->param_count; i++) {
        mrd_assert(i == 0 || strcmp(call->params[i - 1].name, call->params[i].name) < 0);
        mrd_buf_append_text(out, i == 0 ? "" : "&");
        mrd_uri_encode(call->params[i].name, false, out);
        mrd_buf_append_u8(out, '=');
        mrd_uri_encode(call->params[i].value, false, out);
    }
    mrd_buf_append_u8(out, 0);
}

/* The signature of a body over plain HTTP covers it; TLS protects it otherwise. */
static const char *payload_hash_of(const struct s3 *s3, struct s3_call *call)
{
    if (s3->tls && call->has_body) {
        return MRD_SIGV4_UNSIGNED;
    }
    if (call->payload_hash[0] == 0) {
        mrd_sha256_hex(call->body, call->payload_hash);
    }
    return call->payload_hash;
}

static void add_header(struct s3_call *call, const char *name, const char *value)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf line = {0};
    mrd_buf_printf(&line, "%s: %s", name, value);
    mrd_buf_append_u8(&line, 0);
    mrd_assert(!line.failed);
    struct curl_slist *list = curl_slist_append(call->header_list, (const char *)line.data);
    mrd_assert(list != NULL);
    call->header_list = list;
}

static void add_plain(struct s3_call *call, const char *line)
{
    struct curl_slist *list = curl_slist_append(call->header_list, line);
    mrd_assert(list != NULL);
    call->header_list = list;
}

static void sign(struct s3 *s3, struct s3_call *call, const char *path, const char *query)
{
    const mrd_time_ms now_ms = mrd_clock_now_ms(s3->clock);
    struct s3_key_pair pair;
    s3_credentials_get(s3->credentials, &pair);
    char time[MRD_SIGV4_TIME_SIZE];
    mrd_sigv4_time(now_ms, time);

    struct mrd_sigv4_header headers[HEADERS_MAX];
    size_t count = call->extra_count;
    memcpy(headers, call->extras, count * sizeof(*headers));
    headers[count++] = (struct mrd_sigv4_header){"host", s3->authority};
    headers[count++] = (struct mrd_sigv4_header){"x-amz-content-sha256", payload_hash_of(s3, call)};
    headers[count++] = (struct mrd_sigv4_header){"x-amz-date", time};
    if (pair.session_token[0] != 0) {
        headers[count++] = (struct mrd_sigv4_header){"x-amz-security-token", pair.session_token};
    }
    qsort(headers, count, sizeof(*headers), by_name);

    const struct mrd_sigv4_request request = {.method = call->method,
                                              .path = path,
                                              .query = query,
                                              .headers = headers,
                                              .header_count = count,
                                              .payload_hash = payload_hash_of(s3, call)};
    const struct mrd_sigv4_key key = {pair.access_key, pair.secret_key, s3->region, "s3"};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf authorization = {0};
    mrd_sigv4_sign(&request, &key, now_ms, &authorization);
    mrd_buf_append_u8(&authorization, 0);
    for (size_t i = 0; i < count; i++) {
        add_header(call, headers[i].name, headers[i].value);
    }
    add_header(call, "authorization", (const char *)authorization.data);
    add_plain(call, "Expect:"); /* without a value: curl is not to send its own */
    add_plain(call, "Content-Type:");
    explicit_bzero(&pair, sizeof(pair));
}

/* ---- what is received ---- */

static size_t on_header(char *data, size_t size, size_t count, void *context)
{
    struct s3_call *call = context;
    s3_headers_take(&call->headers, (struct mrd_bytes){(const uint8_t *)data, size * count});
    return size * count;
}

static bool is_success(const struct s3_call *call)
{
    return call->headers.status >= 200 && call->headers.status < 300;
}

static bool range_fits(const struct s3_call *call)
{
    return call->headers.status == 206 && call->headers.has_range &&
           call->headers.first == call->range_first && call->headers.last == call->range_last;
}

/* Errors are kept as far as they fit, whole answers or nothing. */
static size_t keep_reply(struct s3_call *call, struct mrd_bytes bytes)
{
    const size_t max = is_success(call) ? S3_REPLY_BYTES_MAX : S3_ERROR_BYTES_MAX;
    if (bytes.size > max - call->reply.size) {
        if (!is_success(call)) {
            return bytes.size;
        }
        call->sink_status = mrd_fail(&call->err, MRD_E_CORRUPT,
                                     "S3's answer has more than %d bytes", S3_REPLY_BYTES_MAX);
        return 0;
    }
    mrd_buf_append_bytes(&call->reply, bytes);
    return bytes.size;
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct s3_call *call = context;
    const struct mrd_bytes bytes = {(const uint8_t *)data, size * count};
    if (call->sink == NULL || !is_success(call)) {
        return keep_reply(call, bytes);
    }
    if (call->ranged && (!range_fits(call) ||
                         bytes.size > call->range_last - call->range_first + 1 - call->received)) {
        return 0; /* s3_attempt_end says what is wrong with it */
    }
    call->sink_status = call->sink(call, call->received, bytes);
    if (call->sink_status != MRD_OK) {
        return 0;
    }
    call->received += bytes.size;
    call->received_crc = mrd_crc32c(call->received_crc, bytes);
    return bytes.size;
}

/* ---- an attempt ---- */

#define SET(option, value) mrd_assert(curl_easy_setopt(call->easy, option, value) == CURLE_OK)

static void set_limits(const struct s3 *s3, struct s3_call *call)
{
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT,
        1L); /* a call that is ended does not wait for its name to be resolved */
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_FOLLOWLOCATION, 0L); /* a redirect is another region: the signature is void there */
    SET(CURLOPT_PROTOCOLS_STR, s3->tls ? "https" : "http");
    SET(CURLOPT_PROXY, ""); /* never by way of what the environment happens to name */
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)s3->connect_timeout_ms);
    SET(CURLOPT_TIMEOUT_MS, (long)s3->request_timeout_ms);
    SET(CURLOPT_LOW_SPEED_LIMIT, 1024L); /* a few bytes of headers do not make it alive */
    SET(CURLOPT_LOW_SPEED_TIME, MRD_MAX((long)(s3->stall_timeout_ms / 1000), 1L));
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    if (s3->tls) {
        SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
        if (s3->ca_file[0] != 0) {
            SET(CURLOPT_CAINFO, s3->ca_file);
        }
    }
}

static void set_method(struct s3_call *call)
{
    if (call->has_body) {
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.size);
        SET(CURLOPT_POSTFIELDS, call->body.size == 0 ? "" : (const char *)call->body.data);
    } else if (strcmp(call->method, "HEAD") == 0) {
        SET(CURLOPT_NOBODY, 1L);
    }
    SET(CURLOPT_CUSTOMREQUEST, call->method);
}

static void set_receivers(struct s3_call *call)
{
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, (void *)call);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, (void *)call);
    SET(CURLOPT_ERRORBUFFER, call->curl_error);
    SET(CURLOPT_PRIVATE, (void *)call);
}

void s3_attempt_begin(struct s3 *s3, struct s3_call *call)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf path = {0};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf query = {0};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf url = {0};
    append_path(s3, call, &path);
    append_query(call, &query);
    mrd_buf_printf(&url, "%s://%s", s3->tls ? "https" : "http", s3->authority);
    mrd_buf_append_text(&url, (const char *)path.data);
    if (call->param_count > 0) {
        mrd_buf_append_u8(&url, '?');
        mrd_buf_append_text(&url, (const char *)query.data);
    }
    mrd_buf_append_u8(&url, 0);

    call->headers = (struct s3_headers){0};
    call->error = (struct s3_xml_error){0};
    call->received = 0;
    call->received_crc = 0;
    call->sink_status = MRD_OK;
    call->curl_error[0] = 0;
    mrd_buf_clear(&call->reply);
    call->attempts++;
    call->easy = curl_easy_init();
    mrd_assert(call->easy != NULL);
    SET(CURLOPT_URL, (const char *)url.data);
    SET(CURLOPT_PATH_AS_IS, 1L);
    set_limits(s3, call);
    set_method(call);
    set_receivers(call);
    sign(s3, call, (const char *)path.data, (const char *)query.data);
    SET(CURLOPT_HTTPHEADER, call->header_list);
}

void s3_attempt_drop(struct s3_call *call)
{
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->header_list);
    call->easy = NULL;
    call->header_list = NULL;
}

/* ---- judging ---- */

static const char *subject_of(const struct s3 *s3, const struct s3_call *call)
{
    return call->key == NULL ? s3->bucket : call->key;
}

static struct s3_verdict say(const struct s3 *s3, struct s3_call *call, struct s3_verdict verdict,
                             const char *what)
{
    (void)mrd_fail(&call->err, verdict.status, "S3 %s %s: %s%s%s", call->method,
                   subject_of(s3, call), what, call->curl_error[0] == 0 ? "" : ": ",
                   call->curl_error);
    return verdict;
}

/* A failure of the connection, or one that a callback of ours made. */
static struct s3_verdict judge_curl(const struct s3 *s3, struct s3_call *call, CURLcode result)
{
    const char *text = curl_easy_strerror(result);
    switch ((int)result) {
    case CURLE_WRITE_ERROR:
        if (call->sink_status != MRD_OK) { /* which has filled err */
            return (struct s3_verdict){call->sink_status, false};
        }
        call->curl_error[0] = 0;
        return call->headers.status == 200
                   ? say(s3, call, (struct s3_verdict){MRD_E_UNSUPPORTED, false},
                         "the service does not read ranges")
                   : say(s3, call, (struct s3_verdict){MRD_E_CORRUPT, false},
                         "the object ends before the range does, or another range was sent");
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CERTPROBLEM:
        return say(s3, call, (struct s3_verdict){MRD_E_DENIED, false}, text);
    case CURLE_URL_MALFORMAT:
        return say(s3, call, (struct s3_verdict){MRD_E_INVALID, false}, text);
    default:
        return say(s3, call, (struct s3_verdict){MRD_E_UNAVAILABLE, true}, text);
    }
}

static struct s3_verdict judge_redirect(const struct s3 *s3, struct s3_call *call)
{
    const char *region = call->headers.region[0] != 0 ? call->headers.region : call->error.region;
    (void)mrd_fail(
        &call->err, MRD_E_INVALID,
        "S3 %s %s: HTTP %u: bucket %s is not served here%s%s; set objstore.s3.region and "
        "objstore.s3.endpoint to its region",
        call->method, subject_of(s3, call), call->headers.status, s3->bucket,
        region[0] == 0 ? "" : ", but in region ", region);
    return (struct s3_verdict){MRD_E_INVALID, false};
}

static struct s3_verdict judge_skew(const struct s3 *s3, struct s3_call *call)
{
    const int64_t ahead_s = call->headers.date_ms == 0
                                ? 0
                                : (mrd_clock_now_ms(s3->clock) - call->headers.date_ms) / 1000;
    (void)mrd_fail(&call->err, MRD_E_DENIED,
                   "S3 %s %s: this machine's clock is %" PRId64
                   " s %s that of the service: set it (NTP)",
                   call->method, subject_of(s3, call), ahead_s < 0 ? -ahead_s : ahead_s,
                   ahead_s < 0 ? "behind" : "ahead of");
    return (struct s3_verdict){MRD_E_DENIED, false};
}

static struct s3_verdict judge_error(const struct s3 *s3, struct s3_call *call)
{
    const struct s3_xml_error *error = &call->error;
    if (call->headers.status >= 300 && call->headers.status < 400) {
        return judge_redirect(s3, call);
    }
    if (strcmp(error->code, "RequestTimeTooSkewed") == 0) {
        return judge_skew(s3, call);
    }
    if (strcmp(error->code, "AuthorizationHeaderMalformed") == 0 && error->region[0] != 0) {
        return judge_redirect(s3, call);
    }
    struct s3_verdict verdict = s3_judge(call->headers.status, error->code);
    if (verdict.status == MRD_E_DENIED && s3_credentials_may_change(s3->credentials)) {
        verdict.retry = true; /* keys may be rotated just now */
    }
    (void)mrd_fail(&call->err, verdict.status, "S3 %s %s: HTTP %u%s%s%s%s", call->method,
                   subject_of(s3, call), call->headers.status, error->code[0] == 0 ? "" : " ",
                   error->code, error->message[0] == 0 ? "" : ": ", error->message);
    return verdict;
}

/* The head of the answer says success; does the rest hold? */
static struct s3_verdict judge_success(const struct s3 *s3, struct s3_call *call)
{
    const struct s3_verdict damaged = {MRD_E_CORRUPT, true};
    if (call->sink == NULL && call->reply.size > 0) {
        /* A long operation answers 200 before it knows. */
        s3_xml_error_parse(mrd_buf_view(&call->reply), &call->error);
        if (call->error.code[0] != 0) {
            return judge_error(s3, call);
        }
    }
    if (call->sink != NULL &&
        (!call->headers.has_length || call->headers.length != call->received)) {
        return say(s3, call, damaged, "the answer is shorter than it says, or does not say");
    }
    if (call->ranged &&
        (!range_fits(call) || call->received != call->range_last - call->range_first + 1)) {
        return say(s3, call, (struct s3_verdict){MRD_E_CORRUPT, false},
                   "the object ends before the range does, or another range was sent");
    }
    if (call->sink != NULL && !call->ranged && call->headers.has_crc &&
        call->headers.crc != call->received_crc) {
        return say(s3, call, damaged, "the bytes do not match their CRC-32C");
    }
    call->err = (struct mrd_error){0};
    return (struct s3_verdict){MRD_OK, false};
}

static struct s3_verdict judge(const struct s3 *s3, struct s3_call *call, CURLcode result)
{
    if (result != CURLE_OK) {
        return judge_curl(s3, call, result);
    }
    if (is_success(call)) {
        return judge_success(s3, call);
    }
    s3_xml_error_parse(mrd_buf_view(&call->reply), &call->error);
    return judge_error(s3, call);
}

bool s3_attempt_end(struct s3 *s3, struct s3_call *call, CURLcode result)
{
    const struct s3_verdict verdict = judge(s3, call, result);
    call->status = verdict.status;
    if (s3->requests != NULL) {
        char outcome[16] = "connection";
        if (result == CURLE_OK) {
            (void)snprintf(outcome, sizeof(outcome), "%u", call->headers.status);
        }
        mrd_counter_add(mrd_counter_vec_at(s3->requests, mrd_bytes_of(outcome)), 1);
    }
    s3_attempt_drop(call);
    return verdict.status != MRD_OK && verdict.retry;
}
