#include "promql/mask.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct {
    const char *query;
    const char *masked;
} cases[] = {
    {"",                                                                   ""                                 },
    {"up",                                                                 "up"                               },
    {"up{job=\"farm-7\",site=~'(a|b)\\\\.c'}",                             "up{job='***',site=~'***'}"        },
    {"{`soil.moisture`, \"crop\"!=\"hops\"}",                              "{'***', '***'!='***'}"            },
    {"sum by (crop) (\n\t rate(x{a=''}[5m] offset 1h) ) # secret\n / 2e3",
     "sum by (crop) ( rate(x{a='***'}[5m] offset 1h) ) / 2e3"                                                 },
    {"label_replace(x, \"dst\", \"$1\", \"src\", \"(.*)@farm\")",
     "label_replace(x, '***', '***', '***', '***')"                                                           },
    {"x @ 1.5 + y{a=\"\\\"}\"} or vector(1)",                              "x @ 1.5 + y{a='***'} or vector(1)"},
    {"x{a=\"never ends",                                                   "x{a=..."                          },
    {"x{a=\"1\"} ! \"secret\"",                                            "x{a='***'} ..."                   },
    {"x{secret\xff=\"1\"}",                                                "x{secret..."                      },
};

static void strings_are_hidden_and_the_rest_stays(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        mrd_auto(mrd_buf_fini)
        struct mrd_buf out = {0};
        mrd_promql_mask(mrd_bytes_of(cases[i].query), &out);
        if (!mrd_bytes_equal(mrd_buf_view(&out), mrd_bytes_of(cases[i].masked))) {
            fail_msg("%s: got %.*s", cases[i].query, MRD_FMT(mrd_buf_view(&out)));
        }
    }
}

static void a_fingerprint_is_that_of_all_that_differ_in_strings_only(void **state)
{
    (void)state;
    const uint64_t first = mrd_promql_fingerprint(MRD_BYTES("up{job=\"a\"}  + 1"));
    assert_true(first == mrd_promql_fingerprint(MRD_BYTES("up{job='bb'} + 1 # why")));
    assert_true(first != mrd_promql_fingerprint(MRD_BYTES("up{job=\"a\"} + 2")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_hidden_and_the_rest_stays),
        cmocka_unit_test(a_fingerprint_is_that_of_all_that_differ_in_strings_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
