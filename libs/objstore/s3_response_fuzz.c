#include "objstore/s3_response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Lines of headers, whatever they are: every text ends within its field, a range is one. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct s3_headers headers = {0};
    struct mrd_bytes left = {data, size};
    while (left.size > 0) {
        const uint8_t *end = memchr(left.data, '\n', left.size);
        const size_t line = end == NULL ? left.size : (size_t)(end - left.data) + 1;
        s3_headers_take(&headers, (struct mrd_bytes){left.data, line});
        left.data += line;
        left.size -= line;
    }
    mrd_assert(strnlen(headers.etag, sizeof(headers.etag)) < sizeof(headers.etag));
    mrd_assert(strnlen(headers.region, sizeof(headers.region)) < sizeof(headers.region));
    mrd_assert(strnlen(headers.nonce, sizeof(headers.nonce)) < sizeof(headers.nonce));
    mrd_assert(strpbrk(headers.etag, "<>&\n") == NULL);
    mrd_assert(!headers.has_range || headers.first <= headers.last);
    mrd_assert(headers.status == 0 || (headers.status >= 100 && headers.status <= 999));
    if (headers.has_crc) {
        char text[9];
        struct s3_headers again = {0};
        mrd_auto(mrd_buf_fini)
        struct mrd_buf line = {0};
        s3_crc_write(headers.crc, text);
        mrd_buf_printf(&line, "x-amz-checksum-crc32c: %s", text);
        s3_headers_take(&again, mrd_buf_view(&line));
        mrd_assert(again.has_crc && again.crc == headers.crc);
    }
    return 0;
}
