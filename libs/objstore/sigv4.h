/* sigv4.h: AWS Signature Version 4 for requests with an Authorization header ("Authenticating Requests:
 * Using the Authorization Header", Amazon S3 API Reference), and the encodings that it rests on.
 *
 * Threads: pure functions. SHA-256 and HMAC are libcrypto's.
 */
#ifndef MRD_OBJSTORE_SIGV4_H
#define MRD_OBJSTORE_SIGV4_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/clock.h"

enum { MRD_SHA256_HEX_SIZE = 65, MRD_SIGV4_TIME_SIZE = 17 }; /* with the NUL */

#define MRD_SIGV4_UNSIGNED "UNSIGNED-PAYLOAD"

struct mrd_sigv4_header {
    const char *name; /* lower case */
    const char *value;
};

struct mrd_sigv4_request {
    const char *method;
    const char *path;  /* as sent, encoded, beginning with '/' */
    const char *query; /* as sent: encoded, sorted, every name with its '='; "" for none */
    const struct mrd_sigv4_header *headers; /* sorted by name; host and all x-amz-* among them */
    size_t header_count;
    const char *payload_hash; /* the value of x-amz-content-sha256 */
};

struct mrd_sigv4_key {
    const char *access_key;
    const char *secret_key;
    const char *region;
    const char *service; /* "s3" */
};

/* Appends the value of the Authorization header. `time_ms` is that of x-amz-date. */
void mrd_sigv4_sign(const struct mrd_sigv4_request *request, const struct mrd_sigv4_key *key,
                    mrd_time_ms time_ms, struct mrd_buf *out);

/* "20130524T000000Z": the value of x-amz-date. */
void mrd_sigv4_time(mrd_time_ms time_ms, char out[MRD_SIGV4_TIME_SIZE]);

void mrd_sha256_hex(struct mrd_bytes bytes, char out[MRD_SHA256_HEX_SIZE]);

/* Appends text with all but letters, digits and -._~ as %XX; '/' stays if keep_slash. */
void mrd_uri_encode(const char *text, bool keep_slash, struct mrd_buf *out);

#endif
