/* Accept-Encoding headers from anywhere, and bodies in pieces as the bytes say. */
#include "http/encoding.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct mrd_bytes text = {data, size};
    const enum mrd_http_encoding chosen = mrd_http_encoding_choose(text);
    mrd_assert(chosen < MRD_HTTP_ENCODING_COUNT);
    if (chosen == MRD_HTTP_IDENTITY) {
        mrd_assert(mrd_http_encoding_name(chosen) == NULL);
        return 0;
    }
    struct mrd_http_encoder *encoder = mrd_http_encoder_create(chosen);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf out = {0};
    struct mrd_error err;
    for (size_t at = 0; at < size;) {
        const size_t piece = MRD_MIN((size_t)data[at] + 1, size - at);
        mrd_assert(mrd_http_encoder_add(encoder, (struct mrd_bytes){data + at, piece}, &out,
                                        &err) == MRD_OK);
        at += piece;
    }
    mrd_assert(mrd_http_encoder_finish(encoder, &out, &err) == MRD_OK);
    mrd_http_encoder_destroy(&encoder);
    return 0;
}
