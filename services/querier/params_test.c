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
    {"0",                                   true,  0              },
    {"1435781451.781",                      true,  1435781451781  },
    {"1435781451",                          true,  1435781451000  },
    {"-1.5",                                true,  -1500          },
    {"1e3",                                 true,  1000000        },
    {"0.0004",                              true,  0              },
    {"0.0006",                              true,  1              },
    {"2015-07-01T20:10:51.781Z",            true,  1435781451781  },
    {"2015-07-01T22:10:51.781+02:00",       true,  1435781451781  },
    {"2015-07-01T20:10:51Z",                true,  1435781451000  },
    {"2016-02-29T00:00:00.123456789Z",      true,  1456704000123  },
    {"1969-12-31T23:59:59.5Z",              true,  -500           },
    {"-292273086-05-16T16:47:06Z",          true,  QRY_TIME_MIN_MS},
    {"292277025-08-18T07:12:54.999999999Z", true,  QRY_TIME_MAX_MS},
    {"2015-07-01T20:10:51,781Z",            true,  1435781451781  },
    {"2015-07-01T20:10:51.78199999999Z",    true,  1435781451781  },
    {"2015-07-01T20:10:51.781+24:00",       true,  1435695051781  },
    {"2015-07-01T20:10:51.781+25:00",       false, 0              },
    {"2015-02-29T00:00:00Z",                false, 0              },
    {"2015-13-01T00:00:00Z",                false, 0              },
    {"2015-07-01T24:00:00Z",                false, 0              },
    {"2015-07-01T20:10:51",                 false, 0              },
    {"2015-07-01 20:10:51Z",                false, 0              },
    {"2015-07-01T20:10:51.Z",               false, 0              },
    {"NaN",                                 false, 0              },
    {"Inf",                                 false, 0              },
    {"1e300",                               false, 0              },
    {"",                                    false, 0              },
    {"now",                                 false, 0              },
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
    {"15",      true,  15000        },
    {"0.5",     true,  500          },
    {"-1",      true,  -1000        },
    {"5m",      true,  300000       },
    {"1h30m",   true,  5400000      },
    {"1e30",    false, 0            },
    {"NaN",     false, 0            },
    {"5 m",     false, 0            },
    {"106752d", false, 0            }, /* more nanoseconds than 63 bits hold */
    {"106751d", true,  9223286400000},
    {"",        false, 0            },
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
    static const struct {
        const char *text;
        const char *error;
    } bad[] = {
        {"-1",                  "limit must be non-negative"                   },
        {"1.5",                 "strconv.Atoi: parsing \"1.5\": invalid syntax"},
        {"x",                   "strconv.Atoi: parsing \"x\": invalid syntax"  },
        {"-",                   "strconv.Atoi: parsing \"-\": invalid syntax"  },
        {"9223372036854775808", "strconv.Atoi: parsing \"9223372036854775808\": value out of "
                                "range"         },
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(bad); i++) {
        struct mrd_error err;
        assert_int_equal(qry_limit_parse(mrd_bytes_of(bad[i].text), &limit, &err), MRD_E_INVALID);
        assert_string_equal(err.text, bad[i].error);
    }
    assert_int_equal(limit, 40000);
    assert_int_equal(qry_limit_parse(MRD_BYTES("+7"), &limit, NULL), MRD_OK);
    assert_int_equal(limit, 7);
    assert_int_equal(qry_limit_parse(MRD_BYTES("-0"), &limit, NULL), MRD_OK);
    assert_int_equal(limit, 0);
}

static const struct {
    const char *name;
    const char *want;
} unescape_cases[] = {
    {"job",           "job"             },
    {"U__foo_2e_bar", "foo.bar"         },
    {"U__a__b",       "a_b"             },
    {"U__caf_e9_",    "caf\xc3\xa9"     },
    {"U___1f600_",    "\xf0\x9f\x98\x80"},
    {"U__a_2E_b",     "a.b"             },
    {"U__",           ""                },
    {"U__a_",         "U__a_"           },
    {"U__a_zz_",      "U__a_zz_"        },
    {"U__a_d800_",    "U__a_d800_"      },
    {"U__a_10ffff_",  "U__a_10ffff_"    }, /* Prometheus takes five digits only */
    {"U__a_1234567_", "U__a_1234567_"   },
    {"",              ""                },
};

static void escaped_label_names_come_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(unescape_cases); i++) {
        struct mrd_buf out = {0};
        qry_label_name_unescape(mrd_bytes_of(unescape_cases[i].name), &out);
        if (!mrd_bytes_equal(mrd_buf_view(&out), mrd_bytes_of(unescape_cases[i].want))) {
            fail_msg("\"%s\": \"%.*s\"", unescape_cases[i].name, MRD_FMT(out));
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
