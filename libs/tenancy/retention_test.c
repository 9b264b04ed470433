#include "tenancy/retention.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const mrd_time_ms HOUR = 3600 * 1000;

static void rollups_are_kept_as_long_as_samples_unless_told(void **state)
{
    (void)state;
    const struct mrd_retention retention = {
        {10 * HOUR, 0, 5 * HOUR, 100 * HOUR, 1000 * HOUR}
    };
    assert_int_equal(mrd_retention_of(&retention, 0), 10 * HOUR);
    assert_int_equal(mrd_retention_of(&retention, HOUR / 12), 10 * HOUR);
    assert_int_equal(mrd_retention_of(&retention, HOUR), 5 * HOUR);
    assert_int_equal(mrd_retention_of(&retention, 6 * HOUR), 100 * HOUR);
    assert_int_equal(mrd_retention_of(&retention, 24 * HOUR), 1000 * HOUR);
    assert_int_equal(mrd_retention_of(&retention, 7), 10 * HOUR);
    assert_int_equal(mrd_retention_floor(&retention, HOUR, 50 * HOUR), 45 * HOUR);
}

static void nothing_told_is_for_ever(void **state)
{
    (void)state;
    const struct mrd_retention retention = {
        {0, 0, HOUR, 0, 0}
    };
    assert_int_equal(mrd_retention_of(&retention, 0), 0);
    assert_true(mrd_retention_floor(&retention, 0, 50 * HOUR) == INT64_MIN);
    assert_true(mrd_retention_floor(&retention, 24 * HOUR, 50 * HOUR) == INT64_MIN);
    assert_int_equal(mrd_retention_floor(&retention, HOUR, 50 * HOUR), 49 * HOUR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rollups_are_kept_as_long_as_samples_unless_told),
        cmocka_unit_test(nothing_told_is_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
