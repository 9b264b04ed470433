#include "promql/dates.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

/* Every few hours of four thousand years, against the C library's calendar. */
static void parts_of_dates_agree_with_the_c_library(void **state)
{
    (void)state;
    for (int64_t at = -60000000000; at < 60000000000; at += 9999991) {
        const time_t seconds = (time_t)at;
        const double value = (double)at;
        struct tm parts;
        assert_non_null(gmtime_r(&seconds, &parts));
        assert_true(pql_year(value) == parts.tm_year + 1900);
        assert_true(pql_month(value) == parts.tm_mon + 1);
        assert_true(pql_day_of_month(value) == parts.tm_mday);
        assert_true(pql_day_of_year(value) == parts.tm_yday + 1);
        assert_true(pql_day_of_week(value) == parts.tm_wday);
        assert_true(pql_hour(value) == parts.tm_hour);
        assert_true(pql_minute(value) == parts.tm_min);
    }
}

static void months_know_leap_years(void **state)
{
    (void)state;
    assert_true(pql_days_in_month(951782400) == 29);   /* 2000-02-29 */
    assert_true(pql_days_in_month(-2203977600) == 28); /* 1900-02-28 */
    assert_true(pql_days_in_month(1709164800) == 29);  /* 2024-02-29 */
    assert_true(pql_days_in_month(0) == 31);
}

/* What Prometheus answers on amd64 for values that are no times. */
static void values_that_are_no_times_have_go_s_dates(void **state)
{
    (void)state;
    static const double values[] = {NAN, INFINITY, -INFINITY, 1e300, -1e300};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        assert_true(pql_minute(values[i]) == 30);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_of_dates_agree_with_the_c_library),
        cmocka_unit_test(months_know_leap_years),
        cmocka_unit_test(values_that_are_no_times_have_go_s_dates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
