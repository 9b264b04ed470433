#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/quote.h"

static const struct {
    const char *text;
    const char *quoted;
} cases[] = {
    {"",                 "\"\""                     },
    {"plain",            "\"plain\""                },
    {"\"\\",             "\"\\\"\\\\\""             },
    {"\a\b\f\n\r\t\v",   "\"\\a\\b\\f\\n\\r\\t\\v\""},
    {"\x01\x7f",         "\"\\x01\\x7f\""           },
    {"\xc3\xa9",         "\"\xc3\xa9\""             },
    {"\xff\xc3",         "\"\\xff\\xc3\""           },
    {"\xc2\x85",         "\"\\u0085\""              },
    {"\xe2\x80\xa8",     "\"\\u2028\""              },
    {"\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\""     },
};

static void text_is_quoted_as_go_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        struct mrd_buf out = {0};
        mrd_quote_append(mrd_bytes_of(cases[i].text), &out);
        mrd_buf_append_u8(&out, 0);
        assert_string_equal(out.data, cases[i].quoted);
        mrd_buf_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(text_is_quoted_as_go_does)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
