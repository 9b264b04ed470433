#include "model/metadata.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct {
    const char *name;
    enum mrd_family_type type;
    const char *want;
} family_cases[] = {
    {"x_bucket",  MRD_FAMILY_HISTOGRAM,       "x"       },
    {"x_count",   MRD_FAMILY_HISTOGRAM,       "x"       },
    {"x_sum",     MRD_FAMILY_HISTOGRAM,       "x"       },
    {"x",         MRD_FAMILY_HISTOGRAM,       "x"       }, /* a native one */
    {"x_sum_sum", MRD_FAMILY_HISTOGRAM,       "x_sum"   },
    {"x_bucket",  MRD_FAMILY_SUMMARY,         "x_bucket"},
    {"x_count",   MRD_FAMILY_SUMMARY,         "x"       },
    {"x_gsum",    MRD_FAMILY_GAUGE_HISTOGRAM, "x"       },
    {"x_gcount",  MRD_FAMILY_GAUGE_HISTOGRAM, "x"       },
    {"x_bucket",  MRD_FAMILY_GAUGE_HISTOGRAM, "x"       },
    {"x_sum",     MRD_FAMILY_GAUGE_HISTOGRAM, "x_sum"   },
    {"x_total",   MRD_FAMILY_COUNTER,         "x_total" },
    {"x_count",   MRD_FAMILY_GAUGE,           "x_count" },
    {"_count",    MRD_FAMILY_SUMMARY,         "_count"  }, /* nothing would be left */
};

static void series_belong_to_the_family_of_their_type(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(family_cases); i++) {
        const struct mrd_bytes got =
            mrd_family_of(mrd_bytes_of(family_cases[i].name), family_cases[i].type);
        if (!mrd_bytes_equal(got, mrd_bytes_of(family_cases[i].want))) {
            fail_msg("case %zu: \"%.*s\"", i, MRD_FMT(got));
        }
    }
}

static void types_have_prometheus_words(void **state)
{
    (void)state;
    assert_string_equal(mrd_family_type_name(MRD_FAMILY_UNKNOWN), "unknown");
    assert_string_equal(mrd_family_type_name(MRD_FAMILY_GAUGE_HISTOGRAM), "gaugehistogram");
    assert_string_equal(mrd_family_type_name(MRD_FAMILY_STATESET), "stateset");
    assert_string_equal(mrd_family_type_name(99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(series_belong_to_the_family_of_their_type),
        cmocka_unit_test(types_have_prometheus_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
