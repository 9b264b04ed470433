#include "base/number.h"

#include "base/macros.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Expected texts: Go's strconv.FormatFloat(v, 'f', -1, 64) and Prometheus' JSON. */
static const struct {
    double value;
    const char *f;
    const char *json;
    const char *g;
} format_cases[] = {
    {0,                       "0",                        "0",                       "0"                      },
    {-0.0,                    "-0",                       "-0",                      "-0"                     },
    {1,                       "1",                        "1",                       "1"                      },
    {0.1,                     "0.1",                      "0.1",                     "0.1"                    },
    {1.0 / 3,                 "0.3333333333333333",       "0.3333333333333333",      "0.3333333333333333"     },
    {100000,                  "100000",                   "100000",                  "100000"                 },
    {1e20,                    "100000000000000000000",    "100000000000000000000",   "1e+20"                  },
    {123456789012345678901.0, "123456789012345680000",    "123456789012345680000",
     "1.2345678901234568e+20"                                                                                 },
    {-8.5e22,                 "-85000000000000000000000", "-8.5e+22",                "-8.5e+22"               },
    {999999,                  "999999",                   "999999",                  "999999"                 },
    {1234567.5,               "1234567.5",                "1234567.5",               "1.2345675e+06"          },
    {1000000000000000.5,      "1000000000000000.5",       "1000000000000000.5",      "1.0000000000000005e+15" },
    {1e21,                    "1000000000000000000000",   "1e+21",                   "1e+21"                  },
    {1e-6,                    "0.000001",                 "0.000001",                "1e-06"                  },
    {1.5e-7,                  "0.00000015",               "1.5e-07",                 "1.5e-07"                },
    {1e-10,                   "0.0000000001",             "1e-10",                   "1e-10"                  },
    {9007199254740993.0,      "9007199254740992",         "9007199254740992",        "9.007199254740992e+15"  },
    {1.7976931348623157e308,  NULL,                       "1.7976931348623157e+308", "1.7976931348623157e+308"},
    {5e-324,                  NULL,                       "5e-324",                  "5e-324"                 },
    {NAN,                     "NaN",                      "NaN",                     "NaN"                    },
    {INFINITY,                "+Inf",                     "+Inf",                    "+Inf"                   },
    {-INFINITY,               "-Inf",                     "-Inf",                    "-Inf"                   },
};

static void doubles_are_printed_as_go_and_prometheus_print_them(void **state)
{
    (void)state;
    char text[MRD_DOUBLE_TEXT_MAX];
    for (size_t i = 0; i < MRD_ARRAY_LEN(format_cases); i++) {
        size_t size = mrd_double_format_f(format_cases[i].value, text);
        assert_int_equal(size, strlen(text));
        if (format_cases[i].f != NULL) {
            assert_string_equal(text, format_cases[i].f);
        }
        size = mrd_double_format_json(format_cases[i].value, text);
        assert_int_equal(size, strlen(text));
        assert_string_equal(text, format_cases[i].json);
        size = mrd_double_format_g(format_cases[i].value, text);
        assert_int_equal(size, strlen(text));
        assert_string_equal(text, format_cases[i].g);
    }
}

static void every_double_comes_back_from_its_text(void **state)
{
    (void)state;
    uint64_t bits = 0x9e3779b97f4a7c15ULL;
    for (int i = 0; i < 200000; i++) {
        bits ^= bits << 13; /* xorshift64: the same doubles in every run */
        bits ^= bits >> 7;
        bits ^= bits << 17;
        double value;
        memcpy(&value, &bits, sizeof(value));
        if (!isfinite(value)) {
            continue;
        }
        char text[MRD_DOUBLE_TEXT_MAX];
        double back = 0;
        const size_t size =
            i % 2 == 0 ? mrd_double_format_f(value, text) : mrd_double_format_json(value, text);
        assert_true(mrd_double_parse(text, size, &back));
        assert_memory_equal(&back, &value, sizeof(value));
    }
}

static const struct {
    const char *text;
    bool ok;
    double want;
} parse_cases[] = {
    {"1",      true,  1        },
    {"+1.5",   true,  1.5      },
    {"-.5e1",  true,  -5       },
    {"5.",     true,  5        },
    {"inf",    true,  INFINITY },
    {"-Inf",   true,  -INFINITY},
    {"+Inf",   true,  INFINITY },
    {"1e400",  true,  INFINITY },
    {"-1e400", true,  -INFINITY},
    {"1e-400", true,  0        },
    {"",       false, 0        },
    {"+",      false, 0        },
    {"+-1",    false, 0        },
    {"1x",     false, 0        },
    {" 1",     false, 0        },
    {"1e",     false, 0        },
    {"0x10",   false, 0        },
};

static void only_whole_decimal_numbers_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(parse_cases); i++) {
        double got = 42;
        const char *text = parse_cases[i].text;
        const bool ok = mrd_double_parse(text, strlen(text), &got);
        if (ok != parse_cases[i].ok || got != (ok ? parse_cases[i].want : 42)) {
            fail_msg("\"%s\": ok %d, %g", text, ok, got);
        }
    }
    double nan_value = 0;
    assert_true(mrd_double_parse("NaN", 3, &nan_value));
    assert_true(isnan(nan_value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_are_printed_as_go_and_prometheus_print_them),
        cmocka_unit_test(every_double_comes_back_from_its_text),
        cmocka_unit_test(only_whole_decimal_numbers_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
