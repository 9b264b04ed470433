#include "http/encoding.h"

#include <stdlib.h>
#include <strings.h>
#include <zlib.h>
#include <zstd.h>

/* Replies are written once and read once: speed counts for more than the last percent of size. */
enum { DEFLATE_LEVEL = 1, ZSTD_LEVEL = 1, ZSTD_WINDOW_LOG = 18, OUT_STEP_BYTES = 16 << 10 };

static const char *const names[MRD_HTTP_ENCODING_COUNT] = {
    [MRD_HTTP_DEFLATE] = "deflate",
    [MRD_HTTP_ZSTD] = "zstd",
    [MRD_HTTP_GZIP] = "gzip",
};

const char *mrd_http_encoding_name(enum mrd_http_encoding encoding) { return names[encoding]; }

/* ---- Accept-Encoding ---- */

/* The part of *rest before `end`, without blanks around it; *rest goes on behind. */
static struct mrd_bytes next_part(struct mrd_bytes *rest, uint8_t end)
{
    const uint8_t *found = memchr(rest->data, end, rest->size);
    const size_t size = found == NULL ? rest->size : (size_t)(found - rest->data);
    const size_t skip = size + (found != NULL);
    const struct mrd_bytes part = {rest->data, size};
    rest->data += skip;
    rest->size -= skip;
    return mrd_bytes_trim(part);
}

static bool is_text(struct mrd_bytes bytes, const char *text)
{
    return bytes.size == strlen(text) &&
           strncasecmp((const char *)bytes.data, text, bytes.size) == 0;
}

/* "q=0.8" in thousandths; 1000 where there is none, -1 if it is malformed. */
static int weight_of(struct mrd_bytes parameter)
{
    if (parameter.size == 0) {
        return 1000;
    }
    if (parameter.size < 3 || (parameter.data[0] | 0x20) != 'q' || parameter.data[1] != '=' ||
        parameter.size > 7 || parameter.data[2] < '0' || parameter.data[2] > '1') {
        return -1;
    }
    int weight = (parameter.data[2] - '0') * 1000;
    int scale = 100;
    for (size_t i = 3; i < parameter.size; i++) {
        const uint8_t c = parameter.data[i];
        if (i == 3 ? c != '.' : c < '0' || c > '9') {
            return -1;
        }
        if (i > 3) {
            weight += (c - '0') * scale;
            scale /= 10;
        }
    }
    return weight <= 1000 ? weight : -1;
}

enum mrd_http_encoding mrd_http_encoding_choose(struct mrd_bytes accept_encoding)
{
    int weights[MRD_HTTP_ENCODING_COUNT] = {0};
    struct mrd_bytes rest = accept_encoding;
    while (rest.size > 0) {
        struct mrd_bytes item = next_part(&rest, ',');
        const struct mrd_bytes name = item.size == 0 ? item : next_part(&item, ';');
        const int weight = weight_of(mrd_bytes_trim(item));
        if (weight < 0) {
            return MRD_HTTP_IDENTITY;
        }
        for (size_t i = MRD_HTTP_IDENTITY + 1; i < MRD_HTTP_ENCODING_COUNT; i++) {
            if (is_text(name, names[i])) {
                weights[i] = weight;
            }
        }
    }
    size_t best = MRD_HTTP_IDENTITY;
    for (size_t i = MRD_HTTP_IDENTITY + 1; i < MRD_HTTP_ENCODING_COUNT; i++) {
        best = weights[i] > 0 && weights[i] >= weights[best] ? i : best;
    }
    return (enum mrd_http_encoding)best;
}

/* ---- encoders ---- */

struct mrd_http_encoder {
    ZSTD_CCtx *zstd; /* NULL: zlib */
    z_stream zlib;
};

struct mrd_http_encoder *mrd_http_encoder_create(enum mrd_http_encoding encoding)
{
    struct mrd_http_encoder *encoder = calloc(1, sizeof(*encoder));
    mrd_assert(encoder != NULL);
    mrd_assert(encoding != MRD_HTTP_IDENTITY);
    if (encoding == MRD_HTTP_ZSTD) {
        encoder->zstd = ZSTD_createCCtx();
        mrd_assert(encoder->zstd != NULL);
        (void)ZSTD_CCtx_setParameter(encoder->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL);
        (void)ZSTD_CCtx_setParameter(encoder->zstd, ZSTD_c_windowLog, ZSTD_WINDOW_LOG);
        return encoder;
    }
    const int window_bits = encoding == MRD_HTTP_GZIP ? MAX_WBITS + 16 : MAX_WBITS;
    mrd_assert(deflateInit2(&encoder->zlib, DEFLATE_LEVEL, Z_DEFLATED, window_bits, MAX_MEM_LEVEL,
                            Z_DEFAULT_STRATEGY) == Z_OK);
    return encoder;
}

static enum mrd_status no_room(const struct mrd_buf *out, struct mrd_error *err)
{
    return mrd_fail(err, MRD_E_LIMIT, "the encoded answer is larger than %zu bytes", out->limit);
}

static enum mrd_status zlib_run(struct mrd_http_encoder *encoder, struct mrd_bytes plain, bool end,
                                struct mrd_buf *out, struct mrd_error *err)
{
    z_stream *stream = &encoder->zlib;
    stream->next_in = (Bytef *)(uintptr_t)plain.data; /* zlib reads only */
    stream->avail_in = (uInt)plain.size;
    mrd_assert(stream->avail_in == plain.size);
    do {
        uint8_t *room = mrd_buf_reserve(out, OUT_STEP_BYTES);
        if (room == NULL) {
            return no_room(out, err);
        }
        stream->next_out = room;
        stream->avail_out = OUT_STEP_BYTES;
        mrd_assert(deflate(stream, end ? Z_FINISH : Z_NO_FLUSH) != Z_STREAM_ERROR);
        out->size += OUT_STEP_BYTES - stream->avail_out;
    } while (stream->avail_out == 0); /* else all was taken, or written */
    return MRD_OK;
}

static enum mrd_status zstd_run(struct mrd_http_encoder *encoder, struct mrd_bytes plain, bool end,
                                struct mrd_buf *out, struct mrd_error *err)
{
    ZSTD_inBuffer in = {plain.data, plain.size, 0};
    bool more;
    do {
        uint8_t *room = mrd_buf_reserve(out, OUT_STEP_BYTES);
        if (room == NULL) {
            return no_room(out, err);
        }
        ZSTD_outBuffer target = {room, OUT_STEP_BYTES, 0};
        const size_t left =
            ZSTD_compressStream2(encoder->zstd, &target, &in, end ? ZSTD_e_end : ZSTD_e_continue);
        mrd_assert(!ZSTD_isError(left));
        out->size += target.pos;
        more = end ? left != 0 : in.pos < in.size;
    } while (more);
    return MRD_OK;
}

static enum mrd_status run(struct mrd_http_encoder *encoder, struct mrd_bytes plain, bool end,
                           struct mrd_buf *out, struct mrd_error *err)
{
    return encoder->zstd != NULL ? zstd_run(encoder, plain, end, out, err)
                                 : zlib_run(encoder, plain, end, out, err);
}

enum mrd_status mrd_http_encoder_add(struct mrd_http_encoder *encoder, struct mrd_bytes plain,
                                     struct mrd_buf *out, struct mrd_error *err)
{
    return plain.size == 0 ? MRD_OK : run(encoder, plain, false, out, err);
}

enum mrd_status mrd_http_encoder_finish(struct mrd_http_encoder *encoder, struct mrd_buf *out,
                                        struct mrd_error *err)
{
    return run(encoder, MRD_BYTES_NONE, true, out, err);
}

void mrd_http_encoder_destroy(struct mrd_http_encoder **encoder)
{
    if (*encoder == NULL) {
        return;
    }
    if ((*encoder)->zstd != NULL) {
        (void)ZSTD_freeCCtx((*encoder)->zstd);
    } else {
        (void)deflateEnd(&(*encoder)->zlib);
    }
    free(*encoder);
    *encoder = NULL;
}
