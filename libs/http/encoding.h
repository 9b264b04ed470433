/* encoding.h: content codings of replies (RFC 9110, 8.4): gzip, deflate and zstd.
 *
 * An encoder takes a body piece by piece and hands out what is ready, so that a reply of any size needs
 * the encoder's own memory only (zlib 256 KiB, zstd with its small window about 1 MiB).
 *
 * Owner:   whoever created the encoder.
 * Threads: one at a time.
 */
#ifndef MRD_HTTP_ENCODING_H
#define MRD_HTTP_ENCODING_H

#include "base/bytes.h"

enum mrd_http_encoding {
    MRD_HTTP_IDENTITY,
    MRD_HTTP_DEFLATE, /* zlib's format, as RFC 9110 has it */
    MRD_HTTP_ZSTD,
    MRD_HTTP_GZIP,
    MRD_HTTP_ENCODING_COUNT
};

/* A body below this is sent as it is: the frame around it would cost more than it saves. */
enum { MRD_HTTP_ENCODE_BYTES_MIN = 1024 };

/* What a client with that Accept-Encoding header likes best: the highest weight, among equals gzip
 * before zstd before deflate. gzip is first as it is what Prometheus sends: whoever passes on a
 * browser's header without knowing all that it names (Grafana's data source knows no zstd) can
 * read that. A header that is missing or malformed means identity. */
enum mrd_http_encoding mrd_http_encoding_choose(struct mrd_bytes accept_encoding);

/* The value of Content-Encoding; NULL for identity. */
const char *mrd_http_encoding_name(enum mrd_http_encoding encoding);

struct mrd_http_encoder;

/* Not for identity. Never NULL. */
struct mrd_http_encoder *mrd_http_encoder_create(enum mrd_http_encoding encoding);

/* Encodes `plain`, or the end of the body, and appends what is ready to `out`. MRD_E_LIMIT: `out` has
 * a limit that is reached; the encoder is of no use then. */
MRD_MUST_CHECK enum mrd_status mrd_http_encoder_add(struct mrd_http_encoder *encoder,
                                                    struct mrd_bytes plain, struct mrd_buf *out,
                                                    struct mrd_error *err);
MRD_MUST_CHECK enum mrd_status mrd_http_encoder_finish(struct mrd_http_encoder *encoder,
                                                       struct mrd_buf *out, struct mrd_error *err);

void mrd_http_encoder_destroy(struct mrd_http_encoder **encoder);

#endif
