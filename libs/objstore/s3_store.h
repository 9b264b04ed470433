/* s3_store.h: object storage in a bucket of S3, or of a service that speaks its protocol and keeps its
 * promises: conditional puts (If-None-Match: *) and strong consistency. mrd_objstore_probe tries that.
 *
 * Requests are signed by AWS Signature Version 4 over HTTP/1.1 (libcurl). A request that failed in a
 * way that may pass (a lost connection, a time-out, 5xx, SlowDown) is sent again up to attempts_max
 * times with exponential back-off and full jitter; where a repeat could lie (a conditional put, the end
 * of a multipart upload) the object is read back and compared. Redirects are not followed.
 *
 * Integrity: what is sent carries a CRC-32C that the service checks, what is received is held to its
 * length, and to the CRC-32C where the service names one. Over http:// the payload is hashed into
 * the signature as well; over https:// TLS protects it.
 *
 * Owner:   whoever opened it. Threads: as store.h says; a call does its own input and output.
 * Limits:  requests_max requests at a time in the whole store, ranges_max of one read, or of one put of many objects; an upload holds
 *          one part, a listing one page (1,000 keys), an answer in XML 4 MiB. As many connections as
 *          requests are kept open for the next ones. An object uploaded has at most 10,000 parts.
 */
#ifndef MRD_OBJSTORE_S3_STORE_H
#define MRD_OBJSTORE_S3_STORE_H

#include "objstore/s3_credentials.h"
#include "objstore/store.h"

enum mrd_s3_encryption {
    MRD_S3_ENCRYPTION_NONE,   /* the bucket's own default */
    MRD_S3_ENCRYPTION_AES256, /* SSE-S3 */
    MRD_S3_ENCRYPTION_KMS     /* aws:kms, with kms_key_id if given */
};

struct mrd_s3_options {
    const char *endpoint; /* "https://s3.eu-central-1.amazonaws.com", "http://127.0.0.1:9000" */
    const char *region;   /* "eu-central-1"; part of the signature */
    const char *bucket;
    const char *prefix; /* of all keys, "" or ending with '/'; may be NULL */
    bool path_style;    /* https://endpoint/bucket/key rather than https://bucket.endpoint/key */
    struct s3_credentials_options credentials;
    const char *ca_file;       /* NULL or "": the system's certificates */
    const char *storage_class; /* of uploads, which hold the data; NULL or "": the bucket's */
    enum mrd_s3_encryption encryption;
    bool checksums_off;     /* for services that refuse x-amz-checksum-* */
    const char *kms_key_id; /* NULL or "": the account's key */
    size_t part_size;       /* of uploads; 0: 8 MiB */
    size_t gap_max;         /* ranges closer than this come in one request; 0: 256 KiB */
    size_t requests_max;    /* 0: 64 */
    size_t ranges_max;      /* 0: 16 */
    unsigned attempts_max;  /* 0: 5 */
    int64_t
        backoff_ms; /* the first wait is random in 0..this, then doubles up to 100 times it; 0: 100 */
    int64_t connect_timeout_ms;    /* 0: 5,000 */
    int64_t stall_timeout_ms;      /* at less than 1 KiB/s, in whole seconds; 0: 15,000 */
    int64_t request_timeout_ms;    /* of one attempt; 0: 300,000 */
    const struct mrd_clock *clock; /* NULL: mrd_clock_system() */
    struct mrd_metrics *metrics;   /* may be NULL; else outlives the store */
};

/* Checks the options and reads the credentials; does not talk to the service (mrd_objstore_probe does).
 * Strings are copied. MRD_E_INVALID names the setting that is wrong. */
MRD_MUST_CHECK enum mrd_status mrd_s3_store_open(const struct mrd_s3_options *options,
                                                 struct mrd_objstore **out_store,
                                                 struct mrd_error *err);

#endif
