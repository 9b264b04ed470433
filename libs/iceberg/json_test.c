#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "iceberg/json_internal.h"

static struct mrd_arena *arena;

static int make(void **state)
{
    (void)state;
    arena = mrd_arena_create("test", 1 << 20);
    return 0;
}

static int drop(void **state)
{
    (void)state;
    mrd_arena_destroy(&arena);
    return 0;
}

/* ---- what is JSON ---- */

static const struct {
    const char *text;
    enum mrd_status want;
} forms[] = {
    {"0",                             MRD_OK       },
    {" [ ] ",                         MRD_OK       },
    {"\t{\"a\" : [1 , {}]\r\n}",      MRD_OK       },
    {"-0.5e+10",                      MRD_OK       },
    {"1E5",                           MRD_OK       },
    {"null",                          MRD_OK       },
    {"\"\xc3\xbc\"",                  MRD_OK       },
    {"",                              MRD_E_CORRUPT},
    {" ",                             MRD_E_CORRUPT},
    {"1 2",                           MRD_E_CORRUPT},
    {"01",                            MRD_E_CORRUPT},
    {"-",                             MRD_E_CORRUPT},
    {"+1",                            MRD_E_CORRUPT},
    {"1.",                            MRD_E_CORRUPT},
    {".5",                            MRD_E_CORRUPT},
    {"1e",                            MRD_E_CORRUPT},
    {"tru",                           MRD_E_CORRUPT},
    {"truefalse",                     MRD_E_CORRUPT},
    {"[1,]",                          MRD_E_CORRUPT},
    {"[,1]",                          MRD_E_CORRUPT},
    {"[1",                            MRD_E_CORRUPT},
    {"[1}",                           MRD_E_CORRUPT},
    {"]",                             MRD_E_CORRUPT},
    {"{\"a\"}",                       MRD_E_CORRUPT},
    {"{\"a\":}",                      MRD_E_CORRUPT},
    {"{a:1}",                         MRD_E_CORRUPT},
    {"{\"a\":1,\"a\":1}",             MRD_E_CORRUPT},
    {"{\"a\":1,\"\\u0061\":1}",       MRD_E_CORRUPT}, /* the same key */
    {"{\"a\":1,\"b\":{\"a\":1}}",     MRD_OK       },
    {"\"\n\"",                        MRD_E_CORRUPT},
    {"\"\\\n\"",                      MRD_E_CORRUPT},
    {"\"a",                           MRD_E_CORRUPT},
    {"\"a\\\"",                       MRD_E_CORRUPT},
    {"\"\\x\"",                       MRD_E_CORRUPT},
    {"\"\\u12\"",                     MRD_E_CORRUPT},
    {"\"\\u12g4\"",                   MRD_E_CORRUPT},
    {"\"\\u0000\"",                   MRD_E_CORRUPT}, /* texts are C strings here */
    {"\"\\ud800\"",                   MRD_E_CORRUPT},
    {"\"\\ud800\\u0041\"",            MRD_E_CORRUPT},
    {"\"\\udc00\"",                   MRD_E_CORRUPT},
    {"\"\xff\"",                      MRD_E_CORRUPT},
    {"9223372036854775807",           MRD_OK       },
    {"-9223372036854775808",          MRD_OK       },
    {"9223372036854775808",           MRD_E_CORRUPT},
    {"-9223372036854775809",          MRD_E_CORRUPT},
    {"100000000000000000000000000.0", MRD_OK       },
};

static void what_is_json_is_taken_and_nothing_else(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(forms); i++) {
        mrd_auto(ice_document_fini)
        struct ice_document document = {0};
        struct mrd_error err = {0};
        const enum mrd_status got =
            ice_json_parse("it", mrd_bytes_of(forms[i].text), arena, &document, &err);
        if (got != forms[i].want) {
            fail_msg("%s: %d %s", forms[i].text, got, err.text);
        }
    }
}

static void a_text_may_not_go_on_behind_its_end(void **state)
{
    (void)state;
    mrd_auto(ice_document_fini)
    struct ice_document document = {0};
    assert_int_equal(ice_json_parse("it", MRD_BYTES("1\0"), arena, &document, NULL), MRD_E_CORRUPT);
    assert_int_equal(
        ice_json_parse("it", (struct mrd_bytes){(const uint8_t *)"12", 1}, arena, &document, NULL),
        MRD_OK);
    assert_int_equal(ice_document_root(&document)->number, 1);
}

static void brackets_and_members_are_bounded(void **state)
{
    (void)state;
    enum { MANY = 100000 };
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text = {0};
    mrd_auto(ice_document_fini)
    struct ice_document document = {0};
    for (size_t i = 0; i < MANY; i++) {
        mrd_buf_append_u8(&text, '[');
    }
    assert_int_equal(ice_json_parse("it", mrd_buf_view(&text), arena, &document, NULL),
                     MRD_E_CORRUPT);
    mrd_buf_clear(&text);
    mrd_buf_append_text(&text, "{\"k\":1");
    for (size_t i = 0; i < MRD_ICEBERG_PROPERTIES_MAX; i++) {
        mrd_buf_printf(&text, ",\"%zu\":1", i);
    }
    mrd_buf_append_u8(&text, '}');
    assert_int_equal(ice_json_parse("it", mrd_buf_view(&text), arena, &document, NULL),
                     MRD_E_LIMIT);
}

/* ---- values ---- */

static void values_lie_where_they_are_said_to(void **state)
{
    (void)state;
    mrd_auto(ice_document_fini)
    struct ice_document document = {0};
    const struct mrd_bytes text =
        MRD_BYTES("{\"a\":[1,[2,3],{\"x\":-4}],\"\":true,\"t\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t"
                  "\\u0041\\u00fc\\u20ac\\ud83d\\ude00.\",\"r\":1.5,\"n\":null}");
    assert_int_equal(ice_json_parse("it", text, arena, &document, NULL), MRD_OK);
    const struct ice_value *root = ice_document_root(&document);
    assert_int_equal(root->count, 5);
    const struct ice_value *item = ice_json_member(root, "a") + 1;
    assert_int_equal(item->number, 1);
    item = ice_json_next(item);
    assert_int_equal(item->count, 2);
    assert_int_equal(item[2].number, 3);
    item = ice_json_next(item);
    assert_int_equal(ice_json_member(item, "x")->number, -4);
    assert_int_equal(ice_json_member(root, "")->kind, ICE_BOOL);
    assert_int_equal(ice_json_member(root, "r")->kind, ICE_REAL);
    assert_int_equal(ice_json_member(root, "n")->kind, ICE_NULL);
    assert_null(ice_json_member(root, "x"));
    assert_null(ice_json_member(NULL, "x"));
    assert_null(ice_json_member(ice_json_member(root, "n"), "x"));
    const struct mrd_bytes t = ice_json_member(root, "t")->text;
    assert_true(
        mrd_bytes_equal(t, MRD_BYTES("\"\\/\b\f\n\r\tA\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80.")));
}

/* ---- writing ---- */

static void what_is_written_is_read_as_the_same(void **state)
{
    (void)state;
    static const char all[] = "\x01\x1f \"\\/\b\f\n\r\t\x7f\xc3\xbc\xf0\x9f\x98\x80";
    mrd_auto(mrd_buf_fini)
    struct mrd_buf out = {0};
    mrd_auto(ice_document_fini)
    struct ice_document document = {0};
    struct ice_json_writer writer = {.out = &out};
    ice_put_open(&writer, NULL, '{');
    ice_put_text(&writer, "t", all);
    ice_put_open(&writer, "n", '[');
    ice_put_int(&writer, NULL, INT64_MIN);
    ice_put_int(&writer, NULL, INT64_MAX);
    ice_put_int(&writer, NULL, 0);
    ice_put_close(&writer, ']');
    ice_put_bool(&writer, all, false);
    ice_put_texts(&writer, "none", NULL, 0);
    ice_put_close(&writer, '}');
    assert_int_equal(ice_put_end(&writer, NULL), MRD_OK);
    static const char begin[] = "{\"t\":\"\\u0001\\u001F \\\"\\\\/\\b\\f\\n\\r\\t\x7f";
    assert_memory_equal(out.data, begin, strlen(begin));
    assert_int_equal(ice_json_parse("it", mrd_buf_view(&out), arena, &document, NULL), MRD_OK);
    const struct ice_value *root = ice_document_root(&document);
    assert_true(mrd_bytes_equal(ice_json_member(root, "t")->text, mrd_bytes_of(all)));
    const struct ice_value *numbers = ice_json_member(root, "n");
    assert_true(numbers[1].number == INT64_MIN && numbers[2].number == INT64_MAX);
    assert_int_equal(numbers[3].number, 0);
    assert_int_equal(ice_json_member(root, all)->number, 0);
    assert_int_equal(ice_json_member(root, "none")->count, 0);
}

static void what_cannot_be_written_is_told(void **state)
{
    (void)state;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf out = {.limit = 10};
    struct ice_json_writer writer = {.out = &out};
    ice_put_text(&writer, NULL, "\xff");
    assert_int_equal(ice_put_end(&writer, NULL), MRD_E_INVALID);
    writer = (struct ice_json_writer){.out = &out};
    ice_put_text(&writer, NULL, "0123456789");
    assert_int_equal(ice_put_end(&writer, NULL), MRD_E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_json_is_taken_and_nothing_else, make, drop),
        cmocka_unit_test_setup_teardown(a_text_may_not_go_on_behind_its_end, make, drop),
        cmocka_unit_test_setup_teardown(brackets_and_members_are_bounded, make, drop),
        cmocka_unit_test_setup_teardown(values_lie_where_they_are_said_to, make, drop),
        cmocka_unit_test_setup_teardown(what_is_written_is_read_as_the_same, make, drop),
        cmocka_unit_test(what_cannot_be_written_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
