/* Answers of JetStream's API as texts; what a real server says is held to the library's reading of it in log_test.c. */
#include "bus/log_info.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define INFO(description_, created_, state_)                                                       \
    "{\"config\":{\"name\":\"MRD_INGEST_0\",\"description\":" description_                         \
    ",\"max_bytes\":1024,\"max_age\":86400000000000},\"created\":" created_ ",\"state\":" state_   \
    ",\"more\":[{}]}"
#define CREATED "\"2026-11-27T20:57:05.123456789Z\""
#define THREE "{\"messages\":3,\"bytes\":300,\"first_seq\":900,\"last_seq\":902}"
#define NONE "{\"messages\":0,\"bytes\":0,\"first_seq\":903,\"last_seq\":902}"
#define POSITIONS "\"Meridian: partition log; positions 1+1000 901+2100\""

static enum mrd_status parse(const char *json, struct mrd_log_state *out, struct mrd_error *err)
{
    return mrd_log_info_parse(mrd_bytes_of(json), out, err);
}

static void a_stream_says_where_it_stands(void **state)
{
    (void)state;
    struct mrd_log_state log;
    struct mrd_error err = {0};
    assert_int_equal(parse(INFO(POSITIONS, CREATED, THREE), &log, &err), MRD_OK);
    assert_int_equal(log.identity.created_ns, 1795813025123456789);
    assert_int_equal(log.identity.base, 2100);
    assert_int_equal(log.stream_first, 900);
    assert_int_equal(log.stream_last, 902);
    assert_int_equal(log.sequence_first, 1900);
    assert_int_equal(log.sequence_last, 3002);
    assert_int_equal(log.messages, 3);
    assert_int_equal(log.bytes, 300);
    assert_int_equal(log.bytes_max, 1024);
    assert_int_equal(log.age_ms_max, 86400000);
    assert_int_equal(parse(INFO("\"any\"", CREATED, NONE), &log, &err), MRD_OK);
    assert_int_equal(log.identity.base, 0);
    assert_int_equal(log.sequence_first, 903);
    assert_int_equal(log.sequence_last, 902);
}

#define NOT_FOUND                                                                                  \
    "{\"error\":{\"code\":404,\"err_code\":10059,\"description\":\"stream not found\"}}"
#define NO_LEADER "{\"error\":{\"code\":503,\"err_code\":10008,\"description\":\"no leader\"}}"
#define NO_TIME INFO("\"any\"", "\"yesterday\"", THREE)
#define NO_POSITIONS INFO("\"Meridian: partition log; positions x\"", CREATED, THREE)

static const struct {
    const char *json;
    enum mrd_status want;
    const char *text;
} failures[] = {
    {NOT_FOUND,        MRD_E_NOT_FOUND,   "stream not found (JetStream error 10059)"},
    {NO_LEADER,        MRD_E_UNAVAILABLE, "no leader"                               },
    {"{\"error\":{}}", MRD_E_UNAVAILABLE, ""                                        },
    {"",               MRD_E_CORRUPT,     "no object of JSON"                       },
    {"[]",             MRD_E_CORRUPT,     "no object of JSON"                       },
    {"{}",             MRD_E_CORRUPT,     "without"                                 },
    {NO_TIME,          MRD_E_CORRUPT,     "without"                                 },
    {NO_POSITIONS,     MRD_E_CORRUPT,     "positions that are none"                 },
};

static void what_is_no_answer_changes_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(failures); i++) {
        struct mrd_log_state log = {.messages = 77};
        mrd_time_ms stored_ms = 77;
        struct mrd_error err = {0};
        assert_int_equal(parse(failures[i].json, &log, &err), failures[i].want);
        assert_non_null(strstr(err.text, failures[i].text));
        assert_int_equal(log.messages, 77);
        assert_int_not_equal(mrd_log_entry_parse(mrd_bytes_of(failures[i].json), &stored_ms, &err),
                             MRD_OK);
        assert_int_equal(stored_ms, 77);
    }
}

static void an_entry_says_when_it_was_stored(void **state)
{
    (void)state;
    mrd_time_ms stored_ms;
    assert_int_equal(
        mrd_log_entry_parse(
            MRD_BYTES("{\"message\":{\"seq\":1,\"data\":\"AAAA\",\"time\":" CREATED "}}"),
            &stored_ms, NULL),
        MRD_OK);
    assert_int_equal(stored_ms, 1795813025123);
}

#define CONFIG(description_, age_, window_, bytes_)                                                \
    "{\"description\":\"" description_ "\",\"duplicate_window\":" window_ ",\"max_age\":" age_     \
    ",\"max_bytes\":" bytes_ ",\"of another release\":[1,null]}"
#define MINUTES_2 "120000000000"
static const int64_t MINUTE_NS = 60 * 1000000000LL;

static void expect_edit(const char *config, const struct mrd_log_edit *edit, const char *want)
{
    char *edited = NULL;
    struct mrd_error err = {0};
    if (mrd_log_config_edit(config, edit, &edited, &err) != MRD_OK) {
        fail_msg("%s", err.text);
    }
    assert_string_equal(edited, want);
    free(edited);
}

static void an_edit_changes_nothing_but_what_it_says(void **state)
{
    (void)state;
    static const char *const json =
        "{\"created\":1,\"config\":{\"of another release\":[1, null],\"max_bytes\":5,\"max_age\":7,"
        "\"duplicate_window\":7,\"description\":\"my own; erased 3\"}}";
    struct mrd_error err = {0};
    char *config = NULL;
    assert_int_equal(mrd_log_info_config(mrd_bytes_of(json), &config, &err), MRD_OK);
    assert_string_equal(config, CONFIG("my own; erased 3", "7", "7", "5"));
    struct mrd_log_map map = {.erased_known = true, .erased = 3};
    const struct mrd_log_edit maps = {.map = &map};
    expect_edit(config, &(struct mrd_log_edit){0}, config);
    expect_edit(config, &maps, config); /* it says that already */
    map.erased = 4;
    expect_edit(config, &maps, CONFIG("Meridian: partition log; erased 4", "7", "7", "5"));
    free(config);
    assert_int_equal(mrd_log_info_config(mrd_bytes_of(NO_LEADER), &config, &err),
                     MRD_E_UNAVAILABLE);
    assert_int_equal(mrd_log_info_config(mrd_bytes_of("{}"), &config, &err), MRD_E_CORRUPT);
}

static void limits_are_edited_as_far_as_they_are_given(void **state)
{
    (void)state;
    static const char *const aged = CONFIG("", "7", "7", "5");
    static const char *const ageless = CONFIG("", "0", "7", "5");
    struct mrd_log_edit edit = {
        .limits = {.set = true, .bytes_max = 6, .age_ns = 9, .duplicates_ns = 8}
    };
    expect_edit(aged, &edit, CONFIG("", "9", "8", "6"));
    expect_edit(ageless, &edit, CONFIG("", "0", MINUTES_2, "6")); /* it stays without */
    edit.limits.age_decides = true;
    expect_edit(ageless, &edit, CONFIG("", "9", "8", "6"));
    edit.limits = (struct mrd_log_limits){.set = true, .age_decides = true};
    expect_edit(aged, &edit, CONFIG("", "0", MINUTES_2, "5"));
    edit.limits.duplicates_ns = 3 * MINUTE_NS;
    expect_edit(aged, &edit, CONFIG("", "0", "180000000000", "5"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_says_where_it_stands),
        cmocka_unit_test(what_is_no_answer_changes_nothing),
        cmocka_unit_test(an_entry_says_when_it_was_stored),
        cmocka_unit_test(an_edit_changes_nothing_but_what_it_says),
        cmocka_unit_test(limits_are_edited_as_far_as_they_are_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
