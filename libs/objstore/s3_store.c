#include "objstore/s3_store.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/hash.h"
#include "base/threads.h"
#include "objstore/s3_internal.h"

/* ---- calls ---- */

void s3_call_init(struct s3_call *call, const char *method, const char *key)
{
    *call = (struct s3_call){.method = method, .key = key};
}

void s3_call_param(struct s3_call *call, const char *name, const char *value)
{
    mrd_assert(call->param_count < S3_PARAMS_MAX);
    call->params[call->param_count++] = (struct s3_param){name, value};
}

void s3_call_extra(struct s3_call *call, const char *name, const char *value)
{
    mrd_assert(call->extra_count < S3_EXTRAS_MAX);
    call->extras[call->extra_count++] = (struct mrd_sigv4_header){name, value};
}

void s3_call_body(const struct s3 *s3, struct s3_call *call, struct mrd_bytes body)
{
    call->has_body = true;
    call->body = body;
    if (s3->checksums) {
        s3_crc_write(mrd_crc32c(0, body), call->crc_text);
        s3_call_extra(call, "x-amz-checksum-crc32c", call->crc_text);
    }
}

void s3_call_range(struct s3_call *call, uint64_t first, uint64_t last)
{
    call->ranged = true;
    call->range_first = first;
    call->range_last = last;
    (void)snprintf(call->range_text, sizeof(call->range_text), "bytes=%" PRIu64 "-%" PRIu64, first,
                   last);
    s3_call_extra(call, "range", call->range_text);
}

void s3_call_encryption(const struct s3 *s3, struct s3_call *call)
{
    if (s3->encryption == MRD_S3_ENCRYPTION_AES256) {
        s3_call_extra(call, "x-amz-server-side-encryption", "AES256");
    } else if (s3->encryption == MRD_S3_ENCRYPTION_KMS) {
        s3_call_extra(call, "x-amz-server-side-encryption", "aws:kms");
        if (s3->kms_key_id[0] != 0) {
            s3_call_extra(call, "x-amz-server-side-encryption-aws-kms-key-id", s3->kms_key_id);
        }
    }
}

void s3_call_fini(struct s3_call *call) { mrd_buf_fini(&call->reply); }

/* ---- writing ---- */

/* Anything between here and S3 can say 200; only who has stored an object names its ETag and checksum. */
enum mrd_status s3_check_stored(const struct s3_call *call, struct mrd_error *err)
{
    char crc[9];
    s3_crc_write(call->headers.crc, crc);
    if (call->headers.etag[0] == 0 ||
        (call->headers.has_crc && call->crc_text[0] != 0 && strcmp(crc, call->crc_text) != 0)) {
        return mrd_fail(err, MRD_E_UNAVAILABLE,
                        "object %s: the answer to its put has no ETag, or another object's "
                        "checksum: is objstore.s3.endpoint an S3 service?",
                        call->key);
    }
    return MRD_OK;
}

void s3_call_item(const struct s3 *s3, struct s3_call *call, const struct mrd_objstore_item *item)
{
    s3_call_init(call, "PUT", item->key);
    if (item->kind == MRD_OBJSTORE_ITEM_PUT_IF_ABSENT) {
        s3_call_extra(call, "if-none-match", "*");
    }
    s3_call_body(s3, call, item->bytes);
    s3_call_encryption(s3, call);
    if (item->kind == MRD_OBJSTORE_ITEM_UPLOAD && s3->storage_class[0] != 0) {
        s3_call_extra(call, "x-amz-storage-class", s3->storage_class);
    }
}

enum mrd_status s3_put_object(struct s3 *s3, const struct mrd_objstore_item *item,
                              const struct mrd_objstore_control *control, struct mrd_error *err)
{
    mrd_auto(s3_call_fini)
    struct s3_call call;
    s3_call_item(s3, &call, item);
    MRD_TRY(s3_exchange(s3, &call, 1, 1, control, err));
    return s3_check_stored(&call, err);
}

static enum mrd_status s3_put(struct mrd_objstore *base, const char *key, struct mrd_bytes bytes,
                              const struct mrd_objstore_control *control, struct mrd_error *err)
{
    const struct mrd_objstore_item item = {key, bytes, MRD_OBJSTORE_ITEM_PUT};
    return s3_put_object(s3_of(base), &item, control, err);
}

static enum mrd_status s3_get(struct mrd_objstore *base, const char *key, size_t size_max,
                              const struct mrd_objstore_control *control, struct mrd_buf *out,
                              struct mrd_error *err);

/* An object is there: ours, from an attempt or call whose reply was lost, or another's? */
enum mrd_status s3_compare(struct mrd_objstore *base, const char *key, struct mrd_bytes bytes,
                           const struct mrd_objstore_control *control, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf found = {0};
    const enum mrd_status status = s3_get(base, key, bytes.size, control, &found, err);
    if (status == MRD_E_NOT_FOUND) {
        return mrd_fail(err, MRD_E_UNAVAILABLE, "object %s was removed just now", key);
    }
    if (status != MRD_OK && status != MRD_E_LIMIT) {
        return status; /* not known: the caller asks again */
    }
    if (status == MRD_E_LIMIT || !mrd_bytes_equal(mrd_buf_view(&found), bytes)) {
        return mrd_fail(err, MRD_E_CONFLICT, "object %s exists with other bytes", key);
    }
    return MRD_OK;
}

static enum mrd_status s3_put_if_absent(struct mrd_objstore *base, const char *key,
                                        struct mrd_bytes bytes,
                                        const struct mrd_objstore_control *control,
                                        struct mrd_error *err)
{
    struct s3 *s3 = s3_of(base);
    mrd_auto(s3_call_fini)
    struct s3_call call;
    const struct mrd_objstore_item item = {key, bytes, MRD_OBJSTORE_ITEM_PUT_IF_ABSENT};
    s3_call_item(s3, &call, &item);
    const enum mrd_status status = s3_exchange(s3, &call, 1, 1, control, err);
    if (status == MRD_E_CONFLICT) {
        return s3_compare(base, key, bytes, control, err);
    }
    return status == MRD_OK ? s3_check_stored(&call, err) : status;
}

/* ---- reading ---- */

struct whole {
    struct mrd_buf *out;
    size_t before; /* size of out */
    size_t size_max;
    const char *key;
};

static enum mrd_status on_whole(struct s3_call *call, uint64_t at, struct mrd_bytes bytes)
{
    struct whole *whole = call->sink_context;
    if (at == 0) {
        whole->out->size = whole->before; /* also what a failed attempt has brought */
    }
    if (call->headers.length > whole->size_max || bytes.size > whole->size_max - at) {
        return mrd_fail(&call->err, MRD_E_LIMIT, "object %s: more than %zu bytes, which are taken",
                        whole->key, whole->size_max);
    }
    mrd_buf_append_bytes(whole->out, bytes);
    return whole->out->failed
               ? mrd_fail(&call->err, MRD_E_LIMIT, "object %s: the buffer takes %zu bytes",
                          whole->key, whole->out->limit)
               : MRD_OK;
}

static enum mrd_status s3_get(struct mrd_objstore *base, const char *key, size_t size_max,
                              const struct mrd_objstore_control *control, struct mrd_buf *out,
                              struct mrd_error *err)
{
    struct s3 *s3 = s3_of(base);
    struct whole whole = {.out = out, .before = out->size, .size_max = size_max, .key = key};
    mrd_auto(s3_call_fini)
    struct s3_call call;
    s3_call_init(&call, "GET", key);
    if (s3->checksums) {
        s3_call_extra(&call, "x-amz-checksum-mode", "ENABLED");
    }
    call.sink = on_whole;
    call.sink_context = &whole;
    MRD_TRY(s3_exchange(s3, &call, 1, 1, control, err));
    out->size = whole.before + (size_t)call.received; /* an empty object calls no sink */
    return MRD_OK;
}

static enum mrd_status drop_bytes(struct s3_call *call, uint64_t at, struct mrd_bytes bytes)
{
    (void)call;
    (void)at;
    (void)bytes;
    return MRD_OK;
}

/* A HEAD's failure has no body: whether the object or the whole bucket is missing, a GET tells. */
static enum mrd_status tell_missing(struct s3 *s3, const char *key,
                                    const struct mrd_objstore_control *control,
                                    struct mrd_error *err)
{
    struct mrd_error told = {0};
    mrd_auto(s3_call_fini)
    struct s3_call call;
    s3_call_init(&call, "GET", key);
    s3_call_range(&call, 0, 0);
    call.sink = drop_bytes;
    const enum mrd_status status = s3_exchange(s3, &call, 1, 1, control, &told);
    if (status == MRD_OK || status == MRD_E_CORRUPT) {
        return MRD_E_NOT_FOUND; /* it came a moment later, and may be empty */
    }
    if (err != NULL) {
        *err = told;
    }
    return status;
}

static enum mrd_status s3_head(struct mrd_objstore *base, const char *key,
                               const struct mrd_objstore_control *control,
                               struct mrd_objstore_info *out, struct mrd_error *err)
{
    struct s3 *s3 = s3_of(base);
    mrd_auto(s3_call_fini)
    struct s3_call call;
    s3_call_init(&call, "HEAD", key);
    const enum mrd_status status = s3_exchange(s3, &call, 1, 1, control, err);
    if (status == MRD_E_NOT_FOUND) {
        return tell_missing(s3, key, control, err);
    }
    MRD_TRY(status);
    if (!call.headers.has_length || call.headers.modified_ms == 0) {
        return mrd_fail(err, MRD_E_CORRUPT, "object %s: S3 does not tell its size and time", key);
    }
    *out = (struct mrd_objstore_info){call.headers.length, call.headers.modified_ms};
    return MRD_OK;
}

/* ---- removing ---- */

static enum mrd_status delete_one(struct s3 *s3, const char *key,
                                  const struct mrd_objstore_control *control, struct mrd_error *err)
{
    mrd_auto(s3_call_fini)
    struct s3_call call;
    s3_call_init(&call, "DELETE", key);
    const enum mrd_status status = s3_exchange(s3, &call, 1, 1, control, err);
    return status == MRD_E_NOT_FOUND ? MRD_OK : status; /* some services say so */
}

static bool take_delete_field(void *context, const char *path, const char *text)
{
    struct s3_xml_error *error = context;
    if (strcmp(path, "/DeleteResult/Error/Code") == 0 && strcmp(text, "NoSuchKey") != 0) {
        s3_xml_copy(error->code, sizeof(error->code), text);
    } else if (strcmp(path, "/DeleteResult/Error/Message") == 0) {
        s3_xml_copy(error->message, sizeof(error->message), text);
    }
    return path[1] != 0 && strncmp(path, "/DeleteResult", 13) == 0;
}

/* Content-MD5, which S3 demands here. */
static void md5_base64(struct mrd_bytes bytes, char out[25])
{
    uint8_t digest[16];
    mrd_assert(EVP_Digest(bytes.data, bytes.size, digest, NULL, EVP_md5(), NULL) == 1);
    mrd_assert(EVP_EncodeBlock((uint8_t *)out, digest, sizeof(digest)) == 24);
}

enum { DELETE_KEYS_MAX = 1000 };

static enum mrd_status delete_chunk(struct s3 *s3, const char *const *keys, size_t count,
                                    const struct mrd_objstore_control *control,
                                    struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf body = {0};
    char md5[25];
    mrd_buf_append_text(
        &body, "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>");
    for (size_t i = 0; i < count; i++) { /* keys have nothing that XML would take for its own */
        mrd_buf_append_text(&body, "<Object><Key>");
        mrd_buf_append_text(&body, s3->prefix);
        mrd_buf_append_text(&body, keys[i]);
        mrd_buf_append_text(&body, "</Key></Object>");
    }
    mrd_buf_append_text(&body, "</Delete>");
    mrd_assert(!body.failed);
    md5_base64(mrd_buf_view(&body), md5);

    mrd_auto(s3_call_fini)
    struct s3_call call;
    s3_call_init(&call, "POST", NULL);
    s3_call_param(&call, "delete", "");
    s3_call_extra(&call, "content-md5", md5);
    call.has_body = true;
    call.body = mrd_buf_view(&body);
    MRD_TRY(s3_exchange(s3, &call, 1, 1, control, err));
    struct s3_xml_error error = {0};
    MRD_TRY(s3_xml_parse(mrd_buf_view(&call.reply), "delete", take_delete_field, &error, err));
    if (error.code[0] != 0) {
        const unsigned http_status = strcmp(error.code, "AccessDenied") == 0 ? 403 : 500;
        return mrd_fail(err, s3_judge(http_status, error.code).status,
                        "S3 deletes not all of %zu objects: %s: %s", count, error.code,
                        error.message);
    }
    return MRD_OK;
}

static enum mrd_status s3_delete_many(struct mrd_objstore *base, const char *const *keys,
                                      size_t key_count, const struct mrd_objstore_control *control,
                                      struct mrd_error *err)
{
    struct s3 *s3 = s3_of(base);
    if (key_count == 1) {
        return delete_one(s3, keys[0], control, err);
    }
    for (size_t at = 0; at < key_count; at += DELETE_KEYS_MAX) {
        const size_t count = MRD_MIN(key_count - at, (size_t)DELETE_KEYS_MAX);
        MRD_TRY(delete_chunk(s3, keys + at, count, control, err));
    }
    return MRD_OK;
}

/* ---- the store ---- */

static void s3_close(struct mrd_objstore *base)
{
    struct s3 *s3 = s3_of(base);
    s3_lanes_destroy(s3);
    s3_credentials_close(&s3->credentials);
    pthread_cond_destroy(&s3->freed);
    pthread_mutex_destroy(&s3->lock);
    objstore_fini(base);
    free(s3);
}

static const struct mrd_objstore_ops s3_ops = {
    .put = s3_put,
    .put_if_absent = s3_put_if_absent,
    .put_many = s3_put_many,
    .upload_begin = s3_upload_begin,
    .upload_write = s3_upload_write,
    .upload_finish = s3_upload_finish,
    .upload_destroy = s3_upload_destroy,
    .head = s3_head,
    .get = s3_get,
    .read = s3_read,
    .list = s3_list,
    .delete_many = s3_delete_many,
    .set_class = s3_set_class,
    .sweep = s3_sweep,
    .close = s3_close,
};

/* ---- options ---- */

static const char *text_of(const char *text) { return text == NULL ? "" : text; }

/* Copies an option whose bytes are all letters, digits or among `more`: they go into URLs and headers. */
static enum mrd_status take_option(const char *setting, const char *value, const char *more,
                                   char *out, size_t size, struct mrd_error *err)
{
    const char *text = text_of(value);
    size_t i = 0;
    for (; text[i] != 0 && i < size; i++) {
        const char c = text[i];
        const bool plain =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && strchr(more, c) == NULL) {
            return mrd_fail(err, MRD_E_INVALID, "objstore.s3.%s: only letters, digits and \"%s\"",
                            setting, more);
        }
    }
    if (i >= size) {
        return mrd_fail(err, MRD_E_INVALID, "objstore.s3.%s: more than %zu bytes", setting,
                        size - 1);
    }
    memcpy(out, text, i + 1);
    return MRD_OK;
}

static enum mrd_status bad_option(struct mrd_error *err, const char *text)
{
    return mrd_fail(err, MRD_E_INVALID, "objstore.s3.%s", text);
}

/* Drops the port that the scheme implies: it is not sent in Host, so it is not signed. */
static void drop_default_port(char *host, bool tls)
{
    const char *port = tls ? ":443" : ":80";
    const size_t size = strlen(host);
    if (size > strlen(port) && strcmp(host + size - strlen(port), port) == 0) {
        host[size - strlen(port)] = 0;
    }
}

static enum mrd_status take_endpoint(struct s3 *s3, const struct mrd_s3_options *options,
                                     struct mrd_error *err)
{
    const char *endpoint = text_of(options->endpoint);
    s3->tls = objstore_begins(endpoint, "https://");
    if (!s3->tls && !objstore_begins(endpoint, "http://")) {
        return bad_option(err, "endpoint: begins with https:// or http://");
    }
    char host[256];
    char trimmed[300];
    (void)snprintf(trimmed, sizeof(trimmed), "%s", strstr(endpoint, "://") + 3);
    const size_t size = strlen(trimmed);
    if (size > 0 && trimmed[size - 1] == '/') {
        trimmed[size - 1] = 0;
    }
    MRD_TRY(take_option("endpoint", trimmed, "-.:[]", host, sizeof(host), err));
    if (host[0] == 0) {
        return bad_option(err, "endpoint: names a host, as in https://s3.example.org");
    }
    drop_default_port(host, s3->tls);
    if (!options->path_style && s3->tls && strchr(s3->bucket, '.') != NULL) {
        return bad_option(err, "bucket: has a dot, which no certificate of bucket.endpoint covers; "
                               "set objstore.s3.path_style");
    }
    (void)snprintf(s3->authority, sizeof(s3->authority), "%s%s%s",
                   options->path_style ? "" : s3->bucket, options->path_style ? "" : ".", host);
    (void)snprintf(s3->root, sizeof(s3->root), "%s%s", options->path_style ? "/" : "",
                   options->path_style ? s3->bucket : "");
    (void)snprintf(s3->base.name, sizeof(s3->base.name), "s3 %s at %.240s", s3->bucket, host);
    return MRD_OK;
}

static enum mrd_status take_bucket(struct s3 *s3, const struct mrd_s3_options *options,
                                   struct mrd_error *err)
{
    MRD_TRY(take_option("bucket", options->bucket, "-.", s3->bucket, sizeof(s3->bucket), err));
    if (strlen(s3->bucket) < 3) {
        return bad_option(err, "bucket: 3 to 63 lower-case letters, digits, dots and hyphens");
    }
    const char *prefix = text_of(options->prefix);
    MRD_TRY(mrd_objstore_prefix_check(prefix, err));
    const size_t size = strlen(prefix);
    if (size > S3_PREFIX_SIZE_MAX || (size > 0 && prefix[size - 1] != '/')) {
        return bad_option(err, "prefix: at most 256 bytes, ending with a slash");
    }
    memcpy(s3->prefix, prefix, size + 1);
    return MRD_OK;
}

static enum mrd_status take_texts(struct s3 *s3, const struct mrd_s3_options *options,
                                  struct mrd_error *err)
{
    MRD_TRY(take_bucket(s3, options, err));
    MRD_TRY(take_endpoint(s3, options, err));
    MRD_TRY(take_option("region", options->region, "-_", s3->region, sizeof(s3->region), err));
    if (s3->region[0] == 0) {
        return bad_option(err, "region: is part of the signature; services without regions take "
                               "us-east-1");
    }
    MRD_TRY(take_option("storage_class", options->storage_class, "_", s3->storage_class,
                        sizeof(s3->storage_class), err));
    MRD_TRY(take_option("kms_key_id", options->kms_key_id, "-_/:.", s3->kms_key_id,
                        sizeof(s3->kms_key_id), err));
    const char *ca_file = text_of(options->ca_file);
    if (strlen(ca_file) >= sizeof(s3->ca_file)) {
        return bad_option(err, "ca_file: its path is too long");
    }
    (void)snprintf(s3->ca_file, sizeof(s3->ca_file), "%s", ca_file);
    if (s3->kms_key_id[0] != 0 && options->encryption != MRD_S3_ENCRYPTION_KMS) {
        return bad_option(err, "kms_key_id: is for objstore.s3.encryption aws:kms");
    }
    s3->encryption = options->encryption;
    return MRD_OK;
}

#define OR(value, initial) ((value) != 0 ? (value) : (initial))

static enum mrd_status take_numbers(struct s3 *s3, const struct mrd_s3_options *options,
                                    struct mrd_error *err)
{
    s3->checksums = !options->checksums_off;
    s3->part_size = OR(options->part_size, (size_t)8 << 20);
    s3->gap_max = OR(options->gap_max, (size_t)256 << 10);
    s3->requests_max = OR(options->requests_max, (size_t)64);
    s3->ranges_max = OR(options->ranges_max, (size_t)16);
    s3->attempts_max = OR(options->attempts_max, 5U);
    s3->backoff_ms = OR(options->backoff_ms, 100);
    s3->connect_timeout_ms = OR(options->connect_timeout_ms, 5000);
    s3->stall_timeout_ms = OR(options->stall_timeout_ms, 15000);
    s3->request_timeout_ms = OR(options->request_timeout_ms, 300000);
    s3->clock = options->clock == NULL ? mrd_clock_system() : options->clock;
    s3->permits = s3->requests_max;
    if (s3->part_size < (size_t)5 << 20 || s3->part_size > (size_t)1 << 30) {
        return bad_option(err, "part_size: 5 MiB, which S3 demands, to 1 GiB");
    }
    return MRD_OK;
}

static void take_metrics(struct s3 *s3, struct mrd_metrics *metrics)
{
    if (metrics != NULL) {
        s3->retries = mrd_metrics_counter(metrics, "meridian_objstore_s3_retries_total",
                                          "Requests to S3 that were sent again.", MRD_NO_LABELS);
        s3->requests = mrd_metrics_counter_vec(
            metrics, "meridian_objstore_s3_requests_total",
            "Requests to S3, by HTTP status; \"connection\": no whole answer.", "status",
            MRD_NO_LABELS, 40);
    }
}

static void curl_start(void) { mrd_assert(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK); }

static void store_close(struct s3 **s3)
{
    if (*s3 != NULL) {
        s3_close(&(*s3)->base);
    }
}

enum mrd_status mrd_s3_store_open(const struct mrd_s3_options *options,
                                  struct mrd_objstore **out_store, struct mrd_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    mrd_assert(pthread_once(&once, curl_start) == 0);
    mrd_auto(store_close)
    struct s3 *s3 = calloc(1, sizeof(*s3));
    mrd_assert(s3 != NULL);
    mrd_assert(pthread_mutex_init(&s3->lock, NULL) == 0);
    mrd_cond_init(&s3->freed);
    objstore_init(&s3->base, &s3_ops, options->metrics);
    uint64_t seed;
    /* Never fails: a few bytes from an initialised pool (getrandom(2)). */
    mrd_assert(getrandom(&seed, sizeof(seed), 0) == (ssize_t)sizeof(seed));
    s3->random = seed;
    take_metrics(s3, options->metrics);
    MRD_TRY(take_texts(s3, options, err));
    MRD_TRY(take_numbers(s3, options, err));
    MRD_TRY(s3_credentials_open(&options->credentials, &s3->credentials, err));
    *out_store = &MRD_MOVE(s3)->base;
    return MRD_OK;
}
