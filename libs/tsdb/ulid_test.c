#include "tsdb/ulid.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void a_name_is_time_and_chance_in_base_32(void **state)
{
    (void)state;
    static const uint8_t none[MRD_ULID_CHANCE] = {0};
    static const uint8_t all[MRD_ULID_CHANCE] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    char text[MRD_ULID_LENGTH + 1];
    mrd_ulid_make(0, none, text);
    assert_string_equal(text, "00000000000000000000000000");
    mrd_ulid_make(((mrd_time_ms)1 << 48) - 1, all, text);
    assert_string_equal(text, "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
    mrd_ulid_make(1469918176385, none, text); /* the specification's example of a time */
    assert_string_equal(text, "01ARYZ6S410000000000000000");
    mrd_ulid_make(1, (const uint8_t[MRD_ULID_CHANCE]){0, 0, 0, 0, 0, 0, 0, 0, 0, 33}, text);
    assert_string_equal(text, "00000000010000000000000011");
}

static void only_names_as_prometheus_writes_them_are_taken(void **state)
{
    (void)state;
    assert_true(mrd_ulid_valid(MRD_BYTES("01M8DCQSV88ZGKAW21Z1XV7V05")));
    assert_false(mrd_ulid_valid(MRD_BYTES("01M8DCQSV88ZGKAW21Z1XV7V0")));
    assert_false(mrd_ulid_valid(MRD_BYTES("01M8DCQSV88ZGKAW21Z1XV7V05.")));
    assert_false(mrd_ulid_valid(MRD_BYTES("01m8dcqsv88zgkaw21z1xv7v05")));
    assert_false(mrd_ulid_valid(MRD_BYTES("01M8DCQSV88ZGKAW21Z1XV7V0U")));
    assert_false(mrd_ulid_valid(MRD_BYTES("81M8DCQSV88ZGKAW21Z1XV7V05"))); /* beyond 128 bits */
    assert_false(mrd_ulid_valid(MRD_BYTES("01M8DCQSV88ZGKAW21Z1XV7V0\0")));
    assert_false(mrd_ulid_valid(MRD_BYTES("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_time_and_chance_in_base_32),
        cmocka_unit_test(only_names_as_prometheus_writes_them_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
