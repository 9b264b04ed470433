#include "codec/snappy_block.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void what_is_encoded_reads_back(void **state)
{
    (void)state;
    struct mrd_buf text = {0};
    struct mrd_buf out = {0};
    for (int i = 0; i < 5000; i++) {
        struct mrd_buf block = {0};
        if (i % 500 == 0) {
            mrd_snappy_encode(mrd_buf_view(&text), &block);
            assert_int_equal(mrd_snappy_decode(mrd_buf_view(&block), text.size, &out, NULL),
                             MRD_OK);
            assert_true(mrd_bytes_equal(mrd_buf_view(&out), mrd_buf_view(&text)));
        }
        mrd_buf_append_varint(&text, (uint64_t)i * 77);
        mrd_buf_fini(&block);
    }
    mrd_buf_fini(&text);
    mrd_buf_fini(&out);
}

static const struct {
    struct mrd_bytes block;
    enum mrd_status want;
} block_cases[] = {
    {MRD_BYTES("\x00"),                     MRD_OK       }, /* nothing */
    {MRD_BYTES("\x03\x08xyz"),              MRD_OK       }, /* a literal of three */
    {MRD_BYTES("\x06\x08xyz\x0a\x03\x00"),  MRD_OK       }, /* and a copy of it */
    {MRD_BYTES(""),                         MRD_E_INVALID},
    {MRD_BYTES("\x80"),                     MRD_E_INVALID}, /* half a length */
    {MRD_BYTES("\x00\x00"),                 MRD_E_INVALID}, /* more than declared */
    {MRD_BYTES("\x03\x08xy"),               MRD_E_INVALID}, /* a literal cut short */
    {MRD_BYTES("\x04\x08xyz"),              MRD_E_INVALID}, /* less than declared */
    {MRD_BYTES("\x06\x08xyz\x0a\x00\x00"),  MRD_E_INVALID}, /* a copy from offset 0 */
    {MRD_BYTES("\x06\x08xyz\x0a\x04\x00"),  MRD_E_INVALID}, /* a copy from before the start */
    {MRD_BYTES("\xff\xff\xff\xff\x0f\x00"), MRD_E_LIMIT  }, /* 4 GiB, declared */
    {MRD_BYTES("\xe9\x07\x00"),             MRD_E_LIMIT  }, /* 1001 bytes */
};

static void bad_blocks_are_refused_before_memory_is_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(block_cases); i++) {
        struct mrd_buf out = {0};
        const enum mrd_status got = mrd_snappy_decode(block_cases[i].block, 1000, &out, NULL);
        if (got != block_cases[i].want) {
            fail_msg("case %zu: status %d", i, got);
        }
        assert_true(got == MRD_OK || out.size == 0);
        assert_true(out.capacity <= 1000);
        mrd_buf_fini(&out);
    }
}

struct looks {
    size_t count;
    size_t last; /* the one that ends the work; 0: none does */
};

static enum mrd_status count_look(void *context, struct mrd_error *err)
{
    struct looks *looks = context;
    return ++looks->count == looks->last ? mrd_fail(err, MRD_E_CANCELED, "enough") : MRD_OK;
}

/* Random digits: a piece of them becomes about half as large. */
static void fill(struct mrd_buf *text, size_t size)
{
    uint32_t state = 1;
    while (text->size < size) {
        state = state * 1664525 + 1013904223;
        mrd_buf_append_u8(text, (uint8_t)('0' + (state >> 24) % 10));
    }
}

static void a_long_block_looks_between_its_pieces(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, MRD_SNAPPY_PIECE, 3 * MRD_SNAPPY_PIECE + 5};
    for (size_t i = 0; i < MRD_ARRAY_LEN(sizes); i++) {
        struct mrd_buf text = {0};
        struct mrd_buf block = {0};
        struct mrd_buf out = {0};
        struct looks looks = {0};
        const struct mrd_look look = {count_look, &looks};
        fill(&text, sizes[i]);
        assert_int_equal(mrd_snappy_encode_looking(mrd_buf_view(&text), &look, &block, NULL),
                         MRD_OK);
        assert_int_equal(looks.count, (sizes[i] + MRD_SNAPPY_PIECE - 1) / MRD_SNAPPY_PIECE);
        assert_int_equal(mrd_snappy_decode(mrd_buf_view(&block), text.size, &out, NULL), MRD_OK);
        assert_true(mrd_bytes_equal(mrd_buf_view(&out), mrd_buf_view(&text)));
        mrd_buf_fini(&text);
        mrd_buf_fini(&block);
        mrd_buf_fini(&out);
    }
}

static void a_long_block_that_is_ended_has_the_pieces_so_far(void **state)
{
    (void)state;
    struct mrd_buf text = {0};
    struct mrd_buf whole = {0};
    struct mrd_buf block = {0};
    struct looks looks = {.last = 2};
    const struct mrd_look look = {count_look, &looks};
    fill(&text, 8 * MRD_SNAPPY_PIECE);
    assert_int_equal(mrd_snappy_encode_looking(mrd_buf_view(&text), NULL, &whole, NULL), MRD_OK);
    assert_int_equal(mrd_snappy_encode_looking(mrd_buf_view(&text), &look, &block, NULL),
                     MRD_E_CANCELED);
    assert_int_equal(looks.count, 2);
    assert_true(block.size < whole.size / 3);
    mrd_buf_fini(&text);
    mrd_buf_fini(&whole);
    mrd_buf_fini(&block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_encoded_reads_back),
        cmocka_unit_test(bad_blocks_are_refused_before_memory_is_taken),
        cmocka_unit_test(a_long_block_looks_between_its_pieces),
        cmocka_unit_test(a_long_block_that_is_ended_has_the_pieces_so_far),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
