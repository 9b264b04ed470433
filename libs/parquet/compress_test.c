#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <zlib.h>

#include "parquet/compress.h"

enum { PLAIN_SIZE = 5000 };

static void fill(uint8_t *plain)
{
    for (size_t i = 0; i < PLAIN_SIZE; i++) {
        plain[i] = (uint8_t)(i * i / 97);
    }
}

static void codecs_give_back_what_they_took(void **state)
{
    (void)state;
    static const enum mrd_pq_codec codecs[] = {MRD_PQ_NONE, MRD_PQ_SNAPPY, MRD_PQ_ZSTD};
    uint8_t plain[PLAIN_SIZE];
    uint8_t got[PLAIN_SIZE];
    fill(plain);
    mrd_auto(mrd_pq_decompressor_destroy)
    struct mrd_pq_decompressor *decompressor = mrd_pq_decompressor_create();
    for (size_t c = 0; c < MRD_ARRAY_LEN(codecs); c++) {
        for (size_t size = 0; size <= PLAIN_SIZE; size += 1250) {
            mrd_auto(mrd_pq_compressor_destroy)
            struct mrd_pq_compressor *compressor = mrd_pq_compressor_create(codecs[c], 3);
            mrd_auto(mrd_buf_fini)
            struct mrd_buf stored = {0};
            mrd_pq_compress(compressor, (struct mrd_bytes){plain, size}, &stored);
            const struct mrd_bytes bytes = mrd_buf_view(&stored);
            assert_int_equal(mrd_pq_decompress(decompressor, codecs[c], bytes, got, size, NULL),
                             MRD_OK);
            assert_memory_equal(got, plain, size);
            if (size > 0) { /* a declared size that is not the real one */
                assert_int_equal(
                    mrd_pq_decompress(decompressor, codecs[c], bytes, got, size - 1, NULL),
                    MRD_E_CORRUPT);
                struct mrd_bytes cut = bytes;
                cut.size--;
                assert_int_equal(mrd_pq_decompress(decompressor, codecs[c], cut, got, size, NULL),
                                 MRD_E_CORRUPT);
            }
        }
    }
}

static void small_ones_are_kept_as_they_are(void **state)
{
    (void)state;
    uint8_t plain[MRD_PQ_SMALL_MAX + 1] = {0};
    uint8_t got[MRD_PQ_SMALL_MAX + 1];
    mrd_auto(mrd_pq_decompressor_destroy)
    struct mrd_pq_decompressor *decompressor = mrd_pq_decompressor_create();
    mrd_auto(mrd_pq_compressor_destroy)
    struct mrd_pq_compressor *compressor = mrd_pq_compressor_create(MRD_PQ_ZSTD, 3);
    mrd_pq_compressor_keep_small(compressor, MRD_PQ_SMALL_MAX);
    for (size_t size = 0; size <= sizeof(plain); size++) {
        mrd_auto(mrd_buf_fini)
        struct mrd_buf stored = {0};
        mrd_pq_compress(compressor, (struct mrd_bytes){plain, size}, &stored);
        const struct mrd_bytes bytes = mrd_buf_view(&stored);
        assert_true(size > MRD_PQ_SMALL_MAX ? bytes.size < 64 : bytes.size == size + 9);
        memset(got, 1, sizeof(got));
        assert_int_equal(mrd_pq_decompress(decompressor, MRD_PQ_ZSTD, bytes, got, size, NULL),
                         MRD_OK);
        assert_memory_equal(got, plain, size);
        const struct mrd_bytes cut = {bytes.data, bytes.size - 1};
        assert_int_equal(mrd_pq_decompress(decompressor, MRD_PQ_ZSTD, cut, got, size, NULL),
                         MRD_E_CORRUPT);
    }
}

static void append_member(const uint8_t *data, size_t size, struct mrd_buf *out)
{
    z_stream stream = {0};
    uint8_t member[PLAIN_SIZE + 100];
    union {
        const uint8_t *lent;
        uint8_t *z;
    } in = {data};
    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = in.z;
    stream.avail_in = (uInt)size;
    stream.next_out = member;
    stream.avail_out = sizeof(member);
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    mrd_buf_append(out, member, stream.total_out);
    deflateEnd(&stream);
}

static void gzip_may_have_members(void **state)
{
    (void)state;
    uint8_t plain[PLAIN_SIZE];
    uint8_t got[PLAIN_SIZE];
    fill(plain);
    mrd_auto(mrd_pq_decompressor_destroy)
    struct mrd_pq_decompressor *decompressor = mrd_pq_decompressor_create();
    for (size_t first = 0; first <= PLAIN_SIZE; first += 1250) {
        mrd_auto(mrd_buf_fini)
        struct mrd_buf stored = {0};
        append_member(plain, first, &stored);
        append_member(plain + first, PLAIN_SIZE - first, &stored);
        const struct mrd_bytes bytes = mrd_buf_view(&stored);
        assert_int_equal(mrd_pq_decompress(decompressor, MRD_PQ_GZIP, bytes, got, PLAIN_SIZE, NULL),
                         MRD_OK);
        assert_memory_equal(got, plain, PLAIN_SIZE);
        assert_int_equal(
            mrd_pq_decompress(decompressor, MRD_PQ_GZIP, bytes, got, PLAIN_SIZE - 1, NULL),
            MRD_E_CORRUPT);
        const struct mrd_bytes cut = {bytes.data, bytes.size - 30};
        assert_int_equal(mrd_pq_decompress(decompressor, MRD_PQ_GZIP, cut, got, PLAIN_SIZE, NULL),
                         MRD_E_CORRUPT);
    }
}

static void other_codecs_are_refused(void **state)
{
    (void)state;
    struct mrd_error err;
    for (unsigned codec = 3; codec <= 5; codec++) {
        assert_int_equal(mrd_pq_codec_check(codec, &err), MRD_E_UNSUPPORTED);
    }
    assert_int_equal(mrd_pq_codec_check(7, &err), MRD_E_UNSUPPORTED);
    assert_int_equal(mrd_pq_codec_check(UINT32_MAX, &err), MRD_E_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codecs_give_back_what_they_took),
        cmocka_unit_test(small_ones_are_kept_as_they_are),
        cmocka_unit_test(gzip_may_have_members),
        cmocka_unit_test(other_codecs_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
