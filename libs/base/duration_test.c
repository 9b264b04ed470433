#include "base/duration.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* Prometheus' own rules (model.ParseDuration): units fall in size, none repeats, none is empty. */
static const struct {
    const char *text;
    enum mrd_status want;
    int64_t want_ms;
} duration_cases[] = {
    {"0",                     MRD_OK,        0                  },
    {"0s",                    MRD_OK,        0                  },
    {"5m",                    MRD_OK,        300000             },
    {"1h30m",                 MRD_OK,        5400000            },
    {"1y2w3d4h5m6s7ms",       MRD_OK,        33019506007        },
    {"500ms",                 MRD_OK,        500                },
    {"292277024y",            MRD_OK,        9217248228864000000},
    {"30m1h",                 MRD_E_INVALID, 0                  },
    {"1m1m",                  MRD_E_INVALID, 0                  },
    {"1.5h",                  MRD_E_INVALID, 0                  },
    {"-1m",                   MRD_E_INVALID, 0                  },
    {"10",                    MRD_E_INVALID, 0                  },
    {"m",                     MRD_E_INVALID, 0                  },
    {"",                      MRD_E_INVALID, 0                  },
    {"1m ",                   MRD_E_INVALID, 0                  },
    {"1M",                    MRD_E_INVALID, 0                  },
    {"99999999999999999999h", MRD_E_INVALID, 0                  }, /* must not wrap */
    {"300000000y",            MRD_E_INVALID, 0                  },
};

static void duration_parse_follows_prometheus(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(duration_cases); i++) {
        int64_t got_ms = -1;
        const enum mrd_status got =
            mrd_duration_parse(mrd_bytes_of(duration_cases[i].text), &got_ms, NULL);
        if (got != duration_cases[i].want ||
            got_ms != (got == MRD_OK ? duration_cases[i].want_ms : -1)) {
            fail_msg("\"%s\": got status %d, %lld ms", duration_cases[i].text, got,
                     (long long)got_ms);
        }
    }
}

static const struct {
    int64_t ms;
    const char *want;
} format_cases[] = {
    {0,           "0s"      },
    {1,           "1ms"     },
    {90000,       "1m30s"   },
    {3600000,     "1h"      },
    {90000000,    "1d1h"    }, /* weeks and years only where they divide */
    {691200000,   "8d"      },
    {86400000,    "1d"      },
    {604800000,   "1w"      },
    {31536000000, "1y"      },
    {-300000,     "-5m"     },
    {5400001,     "1h30m1ms"},
};

static void durations_are_printed_as_prometheus_prints_them(void **state)
{
    (void)state;
    char text[MRD_DURATION_TEXT_MAX];
    for (size_t i = 0; i < MRD_ARRAY_LEN(format_cases); i++) {
        assert_string_equal(mrd_duration_format(format_cases[i].ms, text), format_cases[i].want);
    }
    assert_true(strlen(mrd_duration_format(INT64_MIN, text)) < sizeof(text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(duration_parse_follows_prometheus),
        cmocka_unit_test(durations_are_printed_as_prometheus_prints_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
