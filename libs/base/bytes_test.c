#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct {
    const char *text;
    bool want;
} utf8_cases[] = {
    {"",                                     true },
    {"plain ascii longer than eight",        true },
    {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", true },
    {"12345678\xc3\xa9",                     true },
    {"\xed\x9f\xbf",                         true }, /* U+D7FF */
    {"\xed\xa0\x80",                         false}, /* a surrogate */
    {"\xc0\x80",                             false}, /* overlong NUL */
    {"\xe0\x80\xaf",                         false}, /* overlong */
    {"\xf4\x8f\xbf\xbf",                     true }, /* U+10FFFF */
    {"\xf4\x90\x80\x80",                     false}, /* beyond */
    {"\xf8\x88\x80\x80\x80",                 false},
    {"\x80",                                 false}, /* a lone continuation */
    {"12345678\xc3",                         false}, /* cut */
    {"\xe2\x82",                             false}, /* cut */
};

static void only_well_formed_utf8_is_valid(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(utf8_cases); i++) {
        if (mrd_bytes_utf8_valid(mrd_bytes_of(utf8_cases[i].text)) != utf8_cases[i].want) {
            fail_msg("case %zu", i);
        }
    }
}

static void views_are_ordered_as_go_orders_strings(void **state)
{
    (void)state;
    static const char *const ascending[] = {"", "a", "aa", "ab", "b", "\xc3\xa9"};
    for (size_t i = 0; i < MRD_ARRAY_LEN(ascending); i++) {
        for (size_t j = 0; j < MRD_ARRAY_LEN(ascending); j++) {
            const int got =
                mrd_bytes_compare(mrd_bytes_of(ascending[i]), mrd_bytes_of(ascending[j]));
            assert_int_equal((got > 0) - (got < 0), (i > j) - (i < j));
            assert_int_equal(
                mrd_bytes_equal(mrd_bytes_of(ascending[i]), mrd_bytes_of(ascending[j])), i == j);
        }
    }
    assert_true(mrd_bytes_equal(MRD_BYTES_NONE, MRD_BYTES("")));
}

static void what_a_buffer_takes_a_reader_gives_back(void **state)
{
    (void)state;
    static const uint64_t numbers[] = {0, 1, 127, 128, 16383, 16384, 1ULL << 32, UINT64_MAX};
    struct mrd_buf buf = {0};
    for (size_t i = 0; i < MRD_ARRAY_LEN(numbers); i++) {
        mrd_buf_append_varint(&buf, numbers[i]);
        mrd_buf_append_zigzag(&buf, (int64_t)numbers[i]);
        mrd_buf_append_u64(&buf, numbers[i]);
        mrd_buf_append_u32(&buf, (uint32_t)numbers[i]);
        mrd_buf_append_u8(&buf, (uint8_t)numbers[i]);
    }
    mrd_buf_printf(&buf, "%0300d", 7); /* longer than the stack buffer inside */
    assert_false(buf.failed);
    struct mrd_reader reader = mrd_reader_of(mrd_buf_view(&buf));
    for (size_t i = 0; i < MRD_ARRAY_LEN(numbers); i++) {
        assert_true(mrd_read_varint(&reader) == numbers[i]);
        assert_true(mrd_read_zigzag(&reader) == (int64_t)numbers[i]);
        assert_true(mrd_read_u64(&reader) == numbers[i]);
        assert_true(mrd_read_u32(&reader) == (uint32_t)numbers[i]);
        assert_true(mrd_read_u8(&reader) == (uint8_t)numbers[i]);
    }
    assert_int_equal(mrd_reader_left(&reader), 300);
    assert_int_equal(mrd_read_bytes(&reader, 300).data[299], '7');
    assert_false(reader.failed);
    mrd_buf_fini(&buf);
}

static void a_reader_never_leaves_its_view_and_stays_failed(void **state)
{
    (void)state;
    static const uint8_t three[] = {1, 2, 3};
    struct mrd_reader reader = mrd_reader_of((struct mrd_bytes){three, 3});
    assert_int_equal(mrd_read_u32(&reader), 0);
    assert_true(reader.failed);
    assert_int_equal(mrd_read_u8(&reader), 0); /* although three bytes were there */
    struct mrd_reader huge = mrd_reader_of((struct mrd_bytes){three, 3});
    assert_int_equal(mrd_read_bytes(&huge, UINT64_MAX).size, 0);
    assert_true(huge.failed);
    struct mrd_reader none = mrd_reader_of(MRD_BYTES_NONE);
    assert_int_equal(mrd_read_varint(&none), 0);
    assert_true(none.failed);
}

static void varints_longer_than_64_bits_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"\x80", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
                                      "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"};
    for (size_t i = 0; i < MRD_ARRAY_LEN(bad); i++) {
        struct mrd_reader reader = mrd_reader_of(mrd_bytes_of(bad[i]));
        assert_int_equal(mrd_read_varint(&reader), 0);
        assert_true(reader.failed);
    }
}

static void a_buffer_at_its_limit_refuses_and_keeps_what_it_has(void **state)
{
    (void)state;
    for (size_t limit = 1; limit < 64; limit++) {
        struct mrd_buf buf;
        mrd_buf_init(&buf, limit);
        for (size_t i = 0; i < 100; i++) {
            mrd_buf_append(&buf, "abc", 3);
        }
        assert_true(buf.failed);
        assert_int_equal(buf.size, limit / 3 * 3);
        assert_true(buf.capacity <= limit);
        mrd_buf_clear(&buf);
        assert_false(buf.failed);
        mrd_buf_fini(&buf);
    }
}

static void the_text_of_a_view_ends_where_the_view_does(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {'a', 'b', 'c'};
    char *text = mrd_bytes_text((struct mrd_bytes){bytes, 2});
    assert_string_equal(text, "ab");
    free(text);
    text = mrd_bytes_text(MRD_BYTES_NONE);
    assert_string_equal(text, "");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_well_formed_utf8_is_valid),
        cmocka_unit_test(views_are_ordered_as_go_orders_strings),
        cmocka_unit_test(the_text_of_a_view_ends_where_the_view_does),
        cmocka_unit_test(what_a_buffer_takes_a_reader_gives_back),
        cmocka_unit_test(a_reader_never_leaves_its_view_and_stays_failed),
        cmocka_unit_test(varints_longer_than_64_bits_are_refused),
        cmocka_unit_test(a_buffer_at_its_limit_refuses_and_keeps_what_it_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
