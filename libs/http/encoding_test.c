#include "http/encoding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

static const struct {
    const char *header;
    enum mrd_http_encoding want;
} choices[] = {
    {"",                          MRD_HTTP_IDENTITY},
    {"gzip",                      MRD_HTTP_GZIP    },
    {"GZIP",                      MRD_HTTP_GZIP    },
    {"deflate",                   MRD_HTTP_DEFLATE },
    {"gzip, deflate, br, zstd",   MRD_HTTP_GZIP    }, /* a browser's */
    {"deflate, zstd",             MRD_HTTP_ZSTD    },
    {"gzip;q=0.9, zstd",          MRD_HTTP_ZSTD    },
    {"gzip;q=1.0, zstd;q=0.9",    MRD_HTTP_GZIP    },
    {"zstd;q=0, gzip ;  q=0.001", MRD_HTTP_GZIP    },
    {"gzip;q=0",                  MRD_HTTP_IDENTITY},
    {"br",                        MRD_HTTP_IDENTITY},
    {"*",                         MRD_HTTP_IDENTITY},
    {"identity",                  MRD_HTTP_IDENTITY},
    {"gzip;q=2",                  MRD_HTTP_IDENTITY},
    {"gzip;q=abc",                MRD_HTTP_IDENTITY},
    {",,gzip,,",                  MRD_HTTP_GZIP    },
    {"gzipped",                   MRD_HTTP_IDENTITY},
};

static void the_best_coding_that_both_know_is_chosen(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(choices); i++) {
        const enum mrd_http_encoding got =
            mrd_http_encoding_choose(mrd_bytes_of(choices[i].header));
        if (got != choices[i].want) {
            fail_msg("\"%s\": got %d", choices[i].header, got);
        }
    }
    assert_int_equal(mrd_http_encoding_choose(MRD_BYTES_NONE), MRD_HTTP_IDENTITY);
}

/* What another program reads: zlib's and zstd's own decoders. */
static size_t decode(enum mrd_http_encoding encoding, struct mrd_bytes bytes, uint8_t *out,
                     size_t size)
{
    if (encoding == MRD_HTTP_ZSTD) {
        const size_t got = ZSTD_decompress(out, size, bytes.data, bytes.size);
        assert_false(ZSTD_isError(got));
        return got;
    }
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)bytes.data, .avail_in = (uInt)bytes.size};
    assert_int_equal(inflateInit2(&stream, encoding == MRD_HTTP_GZIP ? 31 : 15), Z_OK);
    stream.next_out = out;
    stream.avail_out = (uInt)size;
    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_int_equal(stream.avail_in, 0);
    assert_int_equal(inflateEnd(&stream), Z_OK);
    return size - stream.avail_out;
}

/* Half of it compresses well, half not at all. */
static void fill(uint8_t *data, size_t size)
{
    uint32_t random = 1;
    for (size_t i = 0; i < size; i++) {
        random = random * 1664525U + 1013904223U;
        data[i] = i < size / 2 ? (uint8_t)(i % 31) : (uint8_t)(random >> 24);
    }
}

static void a_body_added_in_pieces_of_any_size_comes_back(void **state)
{
    (void)state;
    enum { SIZE = 300000 };
    uint8_t *plain = malloc(SIZE);
    uint8_t *back = malloc(SIZE + 1);
    fill(plain, SIZE);
    for (size_t step = 1; step <= SIZE; step = step * 37 + 1) {
        for (size_t e = MRD_HTTP_DEFLATE; e < MRD_HTTP_ENCODING_COUNT; e++) {
            struct mrd_http_encoder *encoder = mrd_http_encoder_create((enum mrd_http_encoding)e);
            struct mrd_buf out = {0};
            struct mrd_error err;
            for (size_t at = 0; at < SIZE; at += step) {
                const struct mrd_bytes piece = {plain + at, MRD_MIN(step, SIZE - at)};
                assert_int_equal(mrd_http_encoder_add(encoder, piece, &out, &err), MRD_OK);
            }
            assert_int_equal(mrd_http_encoder_finish(encoder, &out, &err), MRD_OK);
            assert_true(out.size < SIZE * 6 / 10);
            assert_int_equal(decode((enum mrd_http_encoding)e, mrd_buf_view(&out), back, SIZE + 1),
                             SIZE);
            assert_memory_equal(back, plain, SIZE);
            mrd_buf_fini(&out);
            mrd_http_encoder_destroy(&encoder);
        }
    }
    free(plain);
    free(back);
}

static void a_full_buffer_is_a_limit(void **state)
{
    (void)state;
    for (size_t e = MRD_HTTP_DEFLATE; e < MRD_HTTP_ENCODING_COUNT; e++) {
        struct mrd_http_encoder *encoder = mrd_http_encoder_create((enum mrd_http_encoding)e);
        struct mrd_buf out;
        mrd_buf_init(&out, 100);
        struct mrd_error err;
        assert_int_equal(mrd_http_encoder_finish(encoder, &out, &err), MRD_E_LIMIT);
        mrd_buf_fini(&out);
        mrd_http_encoder_destroy(&encoder);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_coding_that_both_know_is_chosen),
        cmocka_unit_test(a_body_added_in_pieces_of_any_size_comes_back),
        cmocka_unit_test(a_full_buffer_is_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
