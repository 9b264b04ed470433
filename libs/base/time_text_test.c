/* What the query API's tests do not reach: services/querier/params_test.c has its texts. */
#include "base/time_text.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct {
    const char *text;
    bool fine;
    mrd_time_ms want_ms;
} cases[] = {
    {"0",                         true,  0            },
    {"1435781451.781",            true,  1435781451781},
    {"-1.5",                      true,  -1500        },
    {"2015-07-01T20:10:51.781Z",  true,  1435781451781},
    {"2015-07-01T22:10:51+02:00", true,  1435781451000},
    {"1970-01-01T00:00:00Z",      true,  0            },
    {"2015-02-29T00:00:00Z",      false, 0            },
    {"2015-07-01",                false, 0            },
    {"2015-07-01T20:10:51",       false, 0            },
    {"inf",                       false, 0            },
    {"1e300",                     false, 0            },
    {"",                          false, 0            },
};

static void times_are_read_as_prometheus_reads_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        mrd_time_ms got_ms = -1;
        if (mrd_time_parse(mrd_bytes_of(cases[i].text), &got_ms) != cases[i].fine) {
            fail_msg("%s", cases[i].text);
        }
        assert_int_equal(got_ms, cases[i].fine ? cases[i].want_ms : -1);
    }
}

static void nanoseconds_are_kept(void **state)
{
    (void)state;
    int64_t ns = -1;
    assert_true(mrd_time_parse_ns(MRD_BYTES("2015-07-01T20:10:51.781002003Z"), &ns));
    assert_int_equal(ns, 1435781451781002003);
    assert_true(mrd_time_parse_ns(MRD_BYTES("2015-07-01T22:10:51.7+02:00"), &ns));
    assert_int_equal(ns, 1435781451700000000);
    assert_true(mrd_time_parse_ns(MRD_BYTES("1969-12-31T23:59:59.999999999Z"), &ns));
    assert_int_equal(ns, -1);
    assert_false(mrd_time_parse_ns(MRD_BYTES("1435781451.781"), &ns));
    assert_false(
        mrd_time_parse_ns(MRD_BYTES("0001-01-01T00:00:00Z"), &ns)); /* Go's time of nothing */
    assert_false(mrd_time_parse_ns(MRD_BYTES("9999-01-01T00:00:00Z"), &ns));
    assert_int_equal(ns, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nanoseconds_are_kept),
        cmocka_unit_test(times_are_read_as_prometheus_reads_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
