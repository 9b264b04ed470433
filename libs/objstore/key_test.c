#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "objstore/key.h"

#define TEN "abcdefghij"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static const struct {
    const char *text;
    bool key;
    bool prefix;
} cases[] = {
    {"a",                                                          true,  true },
    {"eu/farm-7/samples/data/20260101/01J-0.mbx",                  true,  true },
    {"t/day=2026-01-01/x!-_.*'()=",                                true,  true },
    {"",                                                           false, true },
    {"a/",                                                         false, true },
    {"a/b.",                                                       true,  true },
    {"/",                                                          false, false},
    {"/a",                                                         false, false},
    {"a//b",                                                       false, false},
    {".",                                                          false, false},
    {"..",                                                         false, false},
    {"a/../b",                                                     false, false},
    {"a/./b",                                                      false, false},
    {"a/.hidden",                                                  false, false},
    {"a\\b",                                                       false, false},
    {"a b",                                                        false, false},
    {"a%2fb",                                                      false, false},
    {"a\nb",                                                       false, false},
    {"\xc3\xa4",                                                   false, false},
    {"\xff",                                                       false, false},
    {HUNDRED HUNDRED TEN TEN TEN TEN TEN "12345",                  true,  true },
    {HUNDRED HUNDRED TEN TEN TEN TEN TEN "123456",                 false, false},
    {HUNDRED "/" HUNDRED "/" HUNDRED "/" HUNDRED "/" HUNDRED "/" HUNDRED
             "/" TEN TEN TEN TEN TEN TEN TEN TEN TEN "0123",
     true,                                                                true },
    {HUNDRED "/" HUNDRED "/" HUNDRED "/" HUNDRED "/" HUNDRED "/" HUNDRED
             "/" TEN TEN TEN TEN TEN TEN TEN TEN TEN "01234",
     false,                                                               false},
};

static void keys_are_safe_paths_or_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        struct mrd_error err = {0};
        const enum mrd_status key = mrd_objstore_key_check(cases[i].text, &err);
        const enum mrd_status prefix = mrd_objstore_prefix_check(cases[i].text, NULL);
        if ((key == MRD_OK) != cases[i].key || (prefix == MRD_OK) != cases[i].prefix) {
            fail_msg("\"%s\": key %d, prefix %d (%s)", cases[i].text, key, prefix, err.text);
        }
        assert_true(mrd_objstore_key_valid(mrd_bytes_of(cases[i].text)) == cases[i].key);
        for (const char *c = err.text; *c != 0; c++) {
            assert_in_range(*c, ' ', '~'); /* odd bytes of a key do not reach logs */
        }
    }
    assert_false(mrd_objstore_key_valid((struct mrd_bytes){(const uint8_t *)"a\0b", 3}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_safe_paths_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
