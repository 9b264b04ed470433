#include "base/log.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void keep(void *context, struct mrd_bytes line) { mrd_buf_append_bytes(context, line); }

static int capture(void **state)
{
    static struct mrd_buf lines;
    *state = &lines;
    mrd_log_sink_set(keep, &lines);
    mrd_log_level_set(MRD_LEVEL_INFO);
    mrd_log_format_set(MRD_LOG_LOGFMT);
    mrd_log_service_set(NULL);
    return 0;
}

static int release(void **state)
{
    mrd_buf_fini(*state);
    mrd_log_sink_set(NULL, NULL);
    return 0;
}

/* What was logged behind the time, which varies; `lines` is empty afterwards. */
static char *after_time(struct mrd_buf *lines, const char *before)
{
    mrd_buf_append_u8(lines, 0);
    const size_t start = strlen(before) + strlen("2026-11-24T02:29:03.123Z");
    assert_true(lines->size > start);
    assert_memory_equal(lines->data, before, strlen(before));
    assert_int_equal(lines->data[start - 1], 'Z');
    char *text = strdup((const char *)lines->data + start);
    mrd_buf_clear(lines);
    return text;
}

static void a_line_is_a_message_and_its_fields(void **state)
{
    struct mrd_buf *lines = *state;
    const struct mrd_error err = {MRD_E_UNAVAILABLE, "disk: gone"};
    MRD_LOG_WARN("partition closed", mrd_log_int("partition", -3),
                 mrd_log_uint("bytes", UINT64_MAX), mrd_log_float("ratio", 0.25),
                 mrd_log_bool("ok", false), mrd_log_str("name", "a-b"), mrd_log_error(&err));
    char *text = after_time(lines, "ts=");
    assert_string_equal(text, " level=warn msg=\"partition closed\" partition=-3 "
                              "bytes=18446744073709551615 ratio=0.25 ok=false name=a-b "
                              "error=\"disk: gone\"\n");
    free(text);
}

static void json_lines_have_the_same_content(void **state)
{
    struct mrd_buf *lines = *state;
    mrd_log_format_set(MRD_LOG_JSON);
    mrd_log_service_set("ingester");
    MRD_LOG_INFO("ready", mrd_log_int("n", 1), mrd_log_float("nan", NAN), mrd_log_bool("b", true),
                 mrd_log_str("s", "x"));
    char *text = after_time(lines, "{\"ts\":\"");
    assert_string_equal(text, "\",\"level\":\"info\",\"service\":\"ingester\",\"msg\":\"ready\","
                              "\"n\":1,\"nan\":\"NaN\",\"b\":true,\"s\":\"x\"}\n");
    free(text);
}

static const struct {
    struct mrd_bytes value;
    const char *logfmt;
} escape_cases[] = {
    {MRD_BYTES_NONE,                    "\"\""                   },
    {{(const uint8_t *)"a b", 3},       "\"a b\""                },
    {{(const uint8_t *)"a=b", 3},       "\"a=b\""                },
    {{(const uint8_t *)"say \"x\"", 7}, "\"say \\\"x\\\"\""      },
    {{(const uint8_t *)"a\nb\r", 4},    "\"a\\nb\\u000d\""       },
    {{(const uint8_t *)"a\0b", 3},      "\"a\\u0000b\""          },
    {{(const uint8_t *)"back\\", 5},    "\"back\\\\\""           },
    {{(const uint8_t *)"\xc3\xa9", 2},  "\"\xc3\xa9\""           },
    {{(const uint8_t *)"\xff\x01", 2},  "\"\xef\xbf\xbd\\u0001\""},
    {{(const uint8_t *)"\x1b[31m", 5},  "\"\\u001b[31m\""        },
};

static void values_cannot_break_out_of_their_field(void **state)
{
    struct mrd_buf *lines = *state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(escape_cases); i++) {
        MRD_LOG_INFO("x", mrd_log_bytes("v", escape_cases[i].value));
        char *text = after_time(lines, "ts=");
        char want[128];
        (void)snprintf(want, sizeof(want), " level=info msg=x v=%s\n", escape_cases[i].logfmt);
        assert_string_equal(text, want);
        free(text);
    }
}

static int evaluations;
static struct mrd_log_field counted_field(void)
{
    evaluations++;
    return mrd_log_int("n", evaluations);
}

static void what_is_below_the_level_costs_nothing(void **state)
{
    struct mrd_buf *lines = *state;
    MRD_LOG_DEBUG("hidden", counted_field());
    assert_int_equal(evaluations, 0);
    assert_int_equal(lines->size, 0);
    mrd_log_level_set(MRD_LEVEL_DEBUG);
    MRD_LOG_DEBUG("shown", counted_field());
    assert_int_equal(evaluations, 1);
    assert_true(lines->size > 0);
}

static void long_values_and_lines_are_cut_and_marked(void **state)
{
    struct mrd_buf *lines = *state;
    static char value[100000];
    memset(value, 'v', sizeof(value) - 1);
    MRD_LOG_INFO("long", mrd_log_str("a", value), mrd_log_int("after", 7));
    assert_true(lines->size < 3000);
    char *text = after_time(lines, "ts=");
    assert_non_null(strstr(text, "vvv...\" after=7\n"));
    free(text);
    for (int format = MRD_LOG_LOGFMT; format <= MRD_LOG_JSON; format++) {
        mrd_log_format_set((enum mrd_log_format)format);
        MRD_LOG_INFO("longer", mrd_log_str("a", value), mrd_log_str("b", value),
                     mrd_log_str("c", value), mrd_log_str("d", value), mrd_log_str("e", value));
        assert_true(lines->size <= 8192);
        const char *end = format == MRD_LOG_JSON ? ",\"cut\":\"...\"}\n" : " cut=...\n";
        assert_memory_equal(lines->data + lines->size - strlen(end), end, strlen(end));
        mrd_buf_clear(lines);
    }
}

static void levels_have_names(void **state)
{
    (void)state;
    for (int level = MRD_LEVEL_DEBUG; level <= MRD_LEVEL_ERROR; level++) {
        enum mrd_log_level parsed;
        const char *name = mrd_log_level_name((enum mrd_log_level)level);
        assert_true(mrd_log_level_parse(mrd_bytes_of(name), &parsed));
        assert_int_equal(parsed, level);
    }
    enum mrd_log_level untouched = MRD_LEVEL_WARN;
    assert_false(mrd_log_level_parse(MRD_BYTES("Debug"), &untouched));
    assert_false(mrd_log_level_parse(MRD_BYTES(""), &untouched));
    assert_int_equal(untouched, MRD_LEVEL_WARN);
}

static void repeated_lines_are_held_back_and_counted(void **state)
{
    struct mrd_buf *lines = *state;
    for (int i = 0; i < 1000; i++) {
        MRD_LOG_EVERY(3600000, MRD_LEVEL_WARN, "again", mrd_log_int("i", i));
    }
    char *text = after_time(lines, "ts=");
    assert_string_equal(text, " level=warn msg=again suppressed=0 i=0\n");
    free(text);
    struct mrd_log_limit limit = {0};
    uint64_t suppressed = 99;
    assert_true(mrd_log_limit_pass(&limit, 0, &suppressed));
    assert_int_equal(suppressed, 0);
    atomic_store(&limit.next_ns, INT64_MAX);
    assert_false(mrd_log_limit_pass(&limit, 0, &suppressed));
    assert_false(mrd_log_limit_pass(&limit, 0, &suppressed));
    atomic_store(&limit.next_ns, 0);
    assert_true(mrd_log_limit_pass(&limit, 0, &suppressed));
    assert_int_equal(suppressed, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_is_a_message_and_its_fields, capture, release),
        cmocka_unit_test_setup_teardown(json_lines_have_the_same_content, capture, release),
        cmocka_unit_test_setup_teardown(values_cannot_break_out_of_their_field, capture, release),
        cmocka_unit_test_setup_teardown(what_is_below_the_level_costs_nothing, capture, release),
        cmocka_unit_test_setup_teardown(long_values_and_lines_are_cut_and_marked, capture, release),
        cmocka_unit_test(levels_have_names),
        cmocka_unit_test_setup_teardown(repeated_lines_are_held_back_and_counted, capture, release),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
