#include "querier/params.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct {
    const char *text;
    bool ok;
    mrd_time_ms want_ms;
} time_cases[] = {
    {"0",                              true,  0            },
    {"1435781451.781",                 true,  1435781451781},
    {"1435781451",                     true,  1435781451000},
    {"-1.5",                           true,  -1500        },
    {"1e3",                            true,  1000000      },
    {"0.0004",                         true,  0            },
    {"0.0006",                         true,  1            },
    {"2015-07-01T20:10:51.781Z",       true,  1435781451781},
    {"2015-07-01T22:10:51.781+02:00",  true,  1435781451781},
    {"2015-07-01T20:10:51Z",           true,  1435781451000},
    {"2016-02-29T00:00:00.123456789Z", true,  1456704000123},
    {"1969-12-31T23:59:59.5Z",         true,  -500         },
    {"2015-02-29T00:00:00Z",           false, 0            },
    {"2015-13-01T00:00:00Z",           false, 0            },
    {"2015-07-01T24:00:00Z",           false, 0            },
    {"2015-07-01T20:10:51",            false, 0            },
    {"2015-07-01 20:10:51Z",           false, 0            },
    {"2015-07-01T20:10:51.Z",          false, 0            },
    {"NaN",                            false, 0            },
    {"Inf",                            false, 0            },
    {"1e300",                          false, 0            },
    {"",                               false, 0            },
    {"now",                            false, 0            },
};

static void times_are_read_as_prometheus_reads_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(time_cases); i++) {
        mrd_time_ms got_ms = 7;
        struct mrd_error err = {0};
        const enum mrd_status got = qry_time_parse(mrd_bytes_of(time_cases[i].text), &got_ms, &err);
        if ((got == MRD_OK) != time_cases[i].ok ||
            got_ms != (time_cases[i].ok ? time_cases[i].want_ms : 7)) {
            fail_msg("\"%s\": %s, %lld", time_cases[i].text, mrd_status_name(got),
                     (long long)got_ms);
        }
        if (got != MRD_OK) {
            assert_non_null(strstr(err.text, "to a valid timestamp"));
        }
    }
}

static const struct {
    const char *text;
    bool ok;
    mrd_time_ms want_ms;
} duration_cases[] = {
    {"15",    true,  15000  },
    {"0.5",   true,  500    },
    {"-1",    true,  -1000  },
    {"5m",    true,  300000 },
    {"1h30m", true,  5400000},
    {"1e30",  false, 0      },
    {"NaN",   false, 0      },
    {"5 m",   false, 0      },
    {"",      false, 0      },
};

static void durations_are_seconds_or_prometheus_durations(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(duration_cases); i++) {
        mrd_time_ms got_ms = 7;
        const enum mrd_status got =
            qry_duration_parse(mrd_bytes_of(duration_cases[i].text), &got_ms, NULL);
        if ((got == MRD_OK) != duration_cases[i].ok ||
            got_ms != (duration_cases[i].ok ? duration_cases[i].want_ms : 7)) {
            fail_msg("\"%s\": %s, %lld", duration_cases[i].text, mrd_status_name(got),
                     (long long)got_ms);
        }
    }
}

static void limits_are_counts(void **state)
{
    (void)state;
    size_t limit = 7;
    assert_int_equal(qry_limit_parse(MRD_BYTES("40000"), &limit, NULL), MRD_OK);
    assert_int_equal(limit, 40000);
    static const char *const bad[] = {"-1", "1.5", "x", "99999999999999999999999"};
    for (size_t i = 0; i < MRD_ARRAY_LEN(bad); i++) {
        assert_int_equal(qry_limit_parse(mrd_bytes_of(bad[i]), &limit, NULL), MRD_E_INVALID);
    }
    assert_int_equal(limit, 40000);
}

static const struct {
    const char *name;
    const char *want; /* NULL: refused */
} unescape_cases[] = {
    {"job",           "job"             },
    {"U__foo_2e_bar", "foo.bar"         },
    {"U__a__b",       "a_b"             },
    {"U__caf_e9_",    "caf\xc3\xa9"     },
    {"U___1f600_",    "\xf0\x9f\x98\x80"},
    {"U__",           NULL              },
    {"U__a_",         NULL              },
    {"U__a_zz_",      NULL              },
    {"U__a_d800_",    NULL              },
    {"U__a_1234567_", NULL              },
    {"",              NULL              },
};

static void escaped_label_names_come_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(unescape_cases); i++) {
        struct mrd_buf out = {0};
        const bool ok = qry_label_name_unescape(mrd_bytes_of(unescape_cases[i].name), &out);
        if (ok != (unescape_cases[i].want != NULL) ||
            (ok && !mrd_bytes_equal(mrd_buf_view(&out), mrd_bytes_of(unescape_cases[i].want)))) {
            fail_msg("\"%s\": %d \"%.*s\"", unescape_cases[i].name, ok, MRD_FMT(out));
        }
        mrd_buf_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_read_as_prometheus_reads_them),
        cmocka_unit_test(durations_are_seconds_or_prometheus_durations),
        cmocka_unit_test(limits_are_counts),
        cmocka_unit_test(escaped_label_names_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
