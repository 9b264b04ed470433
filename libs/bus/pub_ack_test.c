#include "bus/pub_ack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct {
    const char *json;
    bool want;
    struct mrd_pub_ack ack;
} cases[] = {
    {"{\"stream\":\"S\",\"seq\":7}",        true,  {.stored = true, .sequence = 7}},
    {" { \"stream\" : \"S\" , \"domain\":\"d\", \"seq\" : 18446744073709551615, \"duplicate\": "
     "true } ",                        true,
     {.stored = true, .duplicate = true, .sequence = UINT64_MAX}                  },
    {"{\"error\":{\"code\":503,\"err_code\":10077,\"description\":\"maximum \\\"bytes\\\" "
     "exceeded\"},"
     "\"stream\":\"S\",\"seq\":0}",    true,
     {.code = 503, .error_code = 10077, .text = "maximum \\\"bytes\\\" exceeded"} },
    {"{\"error\":{},\"seq\":0}",            true,  {.code = 500}                  },
    {"{\"stream\":\"seq\",\"x\":\"}\"}",    false, {0}                            },
    {"{\"seq\":-1}",                        false, {0}                            },
    {"{\"seq\":18446744073709551616}",      false, {0}                            },
    {"{\"seq\":1",                          false, {0}                            },
    {"{\"seq\"",                            false, {0}                            },
    {"{\"a\":{\"b\":{\"c\":1}},\"seq\":1}", false, {0}                            },
    {"\"",                                  false, {0}                            },
    {"{\"a\":\"\\",                         false, {0}                            },
    {"",                                    false, {0}                            },
};

static void answers_to_publishes_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        struct mrd_pub_ack ack = {0};
        if (mrd_pub_ack_parse(mrd_bytes_of(cases[i].json), &ack) != cases[i].want) {
            fail_msg("%s", cases[i].json);
        }
        if (ack.stored != cases[i].ack.stored || ack.duplicate != cases[i].ack.duplicate ||
            ack.sequence != cases[i].ack.sequence || ack.code != cases[i].ack.code ||
            ack.error_code != cases[i].ack.error_code) {
            fail_msg("%s: read otherwise", cases[i].json);
        }
        assert_string_equal(ack.text, cases[i].ack.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers_to_publishes_are_read)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
