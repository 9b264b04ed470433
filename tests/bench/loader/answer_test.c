#include "loader/answer.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct {
    const char *text;
    enum mrd_status want;
    bool complete;
    unsigned status;
    bool keep_alive;
    const char *body;
} cases[] = {
    {"HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n",            MRD_OK,        true,  204, true,  ""   },
    {"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",  MRD_OK,        true,  204, false, ""   },
    {"HTTP/1.0 200 OK\r\ncontent-length:3\r\n\r\nabc",        MRD_OK,        true,  200, false, "abc"},
    {"HTTP/1.1 503 Busy\r\nContent-Length: 3\r\n\r\nab",      MRD_OK,        false, 503, true,  "ab" },
    {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab",        MRD_E_INVALID, false, 0,   false, ""   },
    {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",          MRD_E_INVALID, false, 0,   false, ""   },
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", MRD_E_INVALID, false, 0,   false, ""   },
    {"SSH-2.0-OpenSSH_9\r\n\r\n",                             MRD_E_INVALID, false, 0,   false, ""   },
    {"HTTP/1.1 2x4 No\r\n\r\n",                               MRD_E_INVALID, false, 0,   false, ""   },
    {"HTTP/1.1 204 No Content\r\nDate",                       MRD_OK,        false, 0,   false, ""   },
};

/* Whole, and cut at every place. */
static void responses_are_read_however_they_are_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        const size_t size = strlen(cases[i].text);
        for (size_t cut = 0; cut <= size; cut++) {
            const uint8_t *bytes = (const uint8_t *)cases[i].text;
            struct load_answer answer = {0};
            enum mrd_status got = load_answer_feed(&answer, (struct mrd_bytes){bytes, cut}, NULL);
            if (got == MRD_OK) {
                got = load_answer_feed(&answer, (struct mrd_bytes){bytes + cut, size - cut}, NULL);
            }
            if (got != cases[i].want) {
                fail_msg("case %zu cut at %zu: status %d", i, cut, got);
            }
            if (got == MRD_OK) {
                assert_int_equal(answer.complete, cases[i].complete);
                assert_int_equal(answer.status, cases[i].status);
                assert_int_equal(answer.keep_alive, cases[i].keep_alive);
                assert_string_equal(answer.text, cases[i].body);
            }
        }
    }
}

static void an_endless_head_is_refused(void **state)
{
    (void)state;
    struct load_answer answer = {0};
    enum mrd_status got = MRD_OK;
    size_t fed = 0;
    for (; got == MRD_OK && fed < 2 * LOAD_ANSWER_HEAD_MAX; fed++) {
        got = load_answer_feed(&answer, MRD_BYTES("x"), NULL);
    }
    assert_int_equal(got, MRD_E_INVALID);
    assert_int_equal(fed, LOAD_ANSWER_HEAD_MAX + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(responses_are_read_however_they_are_cut),
        cmocka_unit_test(an_endless_head_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
