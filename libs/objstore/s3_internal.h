/* s3_internal.h: what the files of the S3 store share.
 *
 *   s3_store.c     options, opening, put, get, head, delete
 *   s3_batch.c     many puts at a time
 *   s3_read.c      ranges to requests and back
 *   s3_list.c      listings, sweeping
 *   s3_upload.c    multipart uploads
 *   s3_class.c     moving objects between storage classes
 *   s3_exchange.c  calls with their attempts, back-off, and the pool of connections
 *   s3_attempt.c   one request: signed, sent, its answer judged
 */
#ifndef MRD_OBJSTORE_S3_INTERNAL_H
#define MRD_OBJSTORE_S3_INTERNAL_H

#include <curl/curl.h>
#include <pthread.h>

#include "objstore/s3_response.h"
#include "objstore/s3_store.h"
#include "objstore/s3_xml.h"
#include "objstore/sigv4.h"
#include "objstore/store_internal.h"

enum {
    S3_PARAMS_MAX = 8,
    S3_EXTRAS_MAX = 8,
    S3_REPLY_BYTES_MAX = 4 << 20, /* of an answer in XML */
    S3_ERROR_BYTES_MAX = 64 << 10,
    S3_PREFIX_SIZE_MAX = 256,
    S3_SPAN_BYTES_MAX = 16 << 20, /* of one range request */
    S3_LANES_IDLE_MAX = 8,
    S3_POLL_MS = 20, /* how late a cancellation may be noticed */
    S3_PARTS_MAX = 10000
};

/* A multi handle, which keeps the connections of the call that used it last. */
struct s3_lane {
    struct s3_lane *next;
    CURLM *multi;
};

struct s3 {
    struct mrd_objstore base;
    bool tls;
    char authority[400]; /* host and port, with the bucket before them or not */
    char root[400];      /* path of the bucket: "" or "/bucket" */
    char prefix[S3_PREFIX_SIZE_MAX + 1];
    char region[64];
    char bucket[64];
    char storage_class[64];
    char kms_key_id[512];
    char ca_file[512];
    enum mrd_s3_encryption encryption;
    bool checksums;
    size_t part_size;
    size_t gap_max;
    size_t requests_max;
    size_t ranges_max;
    unsigned attempts_max;
    int64_t backoff_ms;
    int64_t connect_timeout_ms;
    int64_t stall_timeout_ms;
    int64_t request_timeout_ms;
    const struct mrd_clock *clock;
    struct s3_credentials *credentials;
    _Atomic uint64_t random; /* counter behind back-off and nonces; relaxed */

    struct mrd_counter *retries; /* NULL: not counted */
    struct mrd_counter_vec *requests;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t freed;
    size_t permits; /* requests that may still be begun */
    struct s3_lane *lanes;
    size_t lane_count; /* of idle ones */
};

static inline struct s3 *s3_of(struct mrd_objstore *store)
{
    return MRD_CONTAINER_OF(store, struct s3, base);
}

struct s3_param {
    const char *name;
    const char *value;
};

/* One request with all its attempts. */
struct s3_call {
    /* What is sent; the caller's until s3_call_fini. */
    const char *method;
    const char *key;                       /* without the store's prefix; NULL: the bucket */
    struct s3_param params[S3_PARAMS_MAX]; /* sorted by name */
    size_t param_count;
    struct mrd_sigv4_header extras[S3_EXTRAS_MAX];
    size_t extra_count;
    bool has_body;
    struct mrd_bytes body;

    /* Where the body of a success goes: bytes that begin at `at`, which is 0 again in a new attempt.
     * NULL: into `reply`. An error of the sink ends the call. */
    enum mrd_status (*sink)(struct s3_call *call, uint64_t at, struct mrd_bytes bytes);
    void *sink_context;
    bool ranged; /* the answer must be exactly range_first..range_last */
    uint64_t range_first, range_last;

    /* What came of it. */
    struct s3_headers headers;
    struct mrd_buf reply;
    struct s3_xml_error error; /* of a failure that S3 explained */
    enum mrd_status status;
    struct mrd_error err;

    /* Of the attempt under way. */
    enum { CALL_READY, CALL_RUNNING, CALL_DONE } state;
    unsigned attempts;
    int64_t not_before_ns;
    CURL *easy;
    struct curl_slist *header_list;
    char curl_error[CURL_ERROR_SIZE];
    char payload_hash[MRD_SHA256_HEX_SIZE];
    char range_text[64];
    char crc_text[9];
    uint64_t received;
    uint32_t received_crc;
    enum mrd_status sink_status;
};

void s3_call_init(struct s3_call *call, const char *method, const char *key);
void s3_call_param(struct s3_call *call, const char *name, const char *value);
void s3_call_extra(struct s3_call *call, const char *name, const char *value);
void s3_call_body(const struct s3 *s3, struct s3_call *call, struct mrd_bytes body);
void s3_call_range(struct s3_call *call, uint64_t first, uint64_t last);
void s3_call_encryption(const struct s3 *s3, struct s3_call *call);
void s3_call_fini(struct s3_call *call);

/* The put of an object; inits the call. Its success is none before s3_check_stored, its MRD_E_CONFLICT none before s3_compare. */
void s3_call_item(const struct s3 *s3, struct s3_call *call, const struct mrd_objstore_item *item);
enum mrd_status s3_check_stored(const struct s3_call *call, struct mrd_error *err);
enum mrd_status s3_compare(struct mrd_objstore *base, const char *key, struct mrd_bytes bytes,
                           const struct mrd_objstore_control *control, struct mrd_error *err);

/* ---- s3_attempt.c ---- */

/* Makes call->easy, ready to be added to a multi handle. */
void s3_attempt_begin(struct s3 *s3, struct s3_call *call);

/* Judges the attempt and frees its handle: call->status, call->err; true if it may be made again. */
bool s3_attempt_end(struct s3 *s3, struct s3_call *call, CURLcode result);

/* Frees the handle only. */
void s3_attempt_drop(struct s3_call *call);

/* ---- s3_exchange.c ---- */

/* Runs calls to their ends, at most `parallel` at a time, and ends early with the first that fails,
 * whose status and text it returns. */
MRD_MUST_CHECK enum mrd_status s3_exchange(struct s3 *s3, struct s3_call *calls, size_t count,
                                           size_t parallel,
                                           const struct mrd_objstore_control *control,
                                           struct mrd_error *err);

uint64_t s3_random(struct s3 *s3);
void s3_lanes_destroy(struct s3 *s3);

/* ---- the operations that have files of their own ---- */

enum mrd_status s3_put_object(struct s3 *s3, const struct mrd_objstore_item *item,
                              const struct mrd_objstore_control *control, struct mrd_error *err);
enum mrd_status s3_put_many(struct mrd_objstore *base, const struct mrd_objstore_item *items,
                            size_t item_count, const struct mrd_objstore_control *control,
                            struct mrd_error *err);
enum mrd_status s3_read(struct mrd_objstore *base, const char *key,
                        const struct mrd_objstore_range *ranges, size_t range_count,
                        const struct mrd_objstore_control *control, struct mrd_error *err);
enum mrd_status s3_list(struct mrd_objstore *base, const char *prefix, const char *after,
                        mrd_objstore_visit *visit, void *context,
                        const struct mrd_objstore_control *control, struct mrd_error *err);
enum mrd_status s3_set_class(struct mrd_objstore *base, const char *key, const char *storage_class,
                             const struct mrd_objstore_control *control, struct mrd_error *err);
enum mrd_status s3_sweep(struct mrd_objstore *base, mrd_time_ms age_ms,
                         const struct mrd_objstore_control *control, struct mrd_error *err);
enum mrd_status s3_upload_begin(struct mrd_objstore *base, const char *key,
                                const struct mrd_objstore_control *control,
                                struct mrd_objstore_upload **out_upload, struct mrd_error *err);
enum mrd_status s3_upload_write(struct mrd_objstore_upload *upload, struct mrd_bytes bytes,
                                struct mrd_error *err);
enum mrd_status s3_upload_finish(struct mrd_objstore_upload *upload, struct mrd_error *err);
void s3_upload_destroy(struct mrd_objstore_upload *upload, bool take_back);

#endif
