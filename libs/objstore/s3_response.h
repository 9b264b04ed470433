/* s3_response.h: status line and headers of an answer of S3, and what an answer means.
 *
 * Outside bytes: every header is bounded; one that is wrong counts as absent, and who needs it fails.
 *
 * Threads: pure functions.
 */
#ifndef MRD_OBJSTORE_S3_RESPONSE_H
#define MRD_OBJSTORE_S3_RESPONSE_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/clock.h"

struct s3_headers {
    unsigned status; /* 0: none yet */
    bool has_length; /* Content-Length */
    uint64_t length;
    bool has_range; /* Content-Range: bytes first-last/total */
    uint64_t first, last;
    bool has_crc; /* x-amz-checksum-crc32c, of a whole object */
    uint32_t crc;
    mrd_time_ms date_ms; /* 0: none */
    mrd_time_ms modified_ms;
    char etag[128];  /* with its quotes; "": none */
    char region[64]; /* x-amz-bucket-region */
    char nonce[40];  /* x-amz-meta-mrd-upload */
};

/* Takes one line as libcurl hands it over, with its line end. A status line begins an answer anew. */
void s3_headers_take(struct s3_headers *headers, struct mrd_bytes line);

/* base64 of the big-endian CRC, as x-amz-checksum-crc32c has it; 8 characters and a NUL. */
void s3_crc_write(uint32_t crc, char out[9]);

/* What an answer that is no success means. */
struct s3_verdict {
    enum mrd_status status;
    bool retry; /* the same request may pass later, and sending it again does no harm */
};
struct s3_verdict s3_judge(unsigned http_status, const char *code);

#endif
