#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "parquet/thrift.h"

static void values_come_back(void **state)
{
    (void)state;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf buf = {0};
    struct mrd_thrift_writer w = {.out = &buf};
    mrd_thrift_begin(&w);
    mrd_thrift_put_bool(&w, 1, true);
    mrd_thrift_put_i32(&w, 3, INT32_MIN);
    mrd_thrift_put_i64(&w, 100, INT64_MAX); /* a gap too wide for the short form */
    mrd_thrift_put_binary(&w, 101, MRD_BYTES("text"));
    mrd_thrift_put_list(&w, 102, MRD_THRIFT_STRUCT, 20);
    for (int i = 0; i < 20; i++) {
        mrd_thrift_begin(&w);
        mrd_thrift_put_i16(&w, 1, (int16_t)-i);
        mrd_thrift_end(&w);
    }
    mrd_thrift_end(&w);

    struct mrd_thrift_reader r = mrd_thrift_reader_of(mrd_buf_view(&buf));
    struct mrd_thrift_field field = {0};
    assert_true(mrd_thrift_next(&r, &field));
    assert_int_equal(field.id, 1);
    assert_true(mrd_thrift_get_bool(&r, &field));
    assert_true(mrd_thrift_next(&r, &field));
    assert_int_equal(mrd_thrift_get_i32(&r, &field), INT32_MIN);
    assert_true(mrd_thrift_next(&r, &field));
    assert_int_equal(field.id, 100);
    assert_true(mrd_thrift_get_i64(&r, &field) == INT64_MAX);
    assert_true(mrd_thrift_next(&r, &field));
    assert_true(mrd_bytes_equal(mrd_thrift_get_binary(&r, &field), MRD_BYTES("text")));
    assert_true(mrd_thrift_next(&r, &field));
    struct mrd_thrift_reader again = r;
    assert_int_equal(mrd_thrift_get_list(&r, &field, MRD_THRIFT_STRUCT), 20);
    for (int i = 0; i < 20; i++) {
        struct mrd_thrift_field inner = {0};
        mrd_thrift_enter(&r);
        assert_true(mrd_thrift_next(&r, &inner));
        assert_int_equal(mrd_thrift_get_i32(&r, &inner), -i);
        assert_false(mrd_thrift_next(&r, &inner));
        mrd_thrift_leave(&r);
    }
    assert_false(mrd_thrift_next(&r, &field));
    assert_false(r.in.failed);
    assert_int_equal(mrd_reader_left(&r.in), 0);

    mrd_thrift_skip(&again, &field); /* the list as a whole */
    assert_false(mrd_thrift_next(&again, &field));
    assert_false(again.in.failed);
}

/* The type in a header that is not the one that the schema has. */
static void a_wrong_type_is_a_fault(void **state)
{
    (void)state;
    const struct mrd_thrift_field text = {1, MRD_THRIFT_BINARY};
    struct mrd_thrift_reader r = mrd_thrift_reader_of(MRD_BYTES("\x02zz"));
    assert_int_equal(mrd_thrift_get_i64(&r, &text), 0);
    assert_true(r.in.failed);
    const struct mrd_thrift_field number = {1, MRD_THRIFT_I32};
    r = mrd_thrift_reader_of(MRD_BYTES("\x02zz"));
    assert_int_equal(mrd_thrift_get_binary(&r, &number).size, 0);
    assert_true(r.in.failed);
    const struct mrd_thrift_field list = {1, MRD_THRIFT_LIST};
    r = mrd_thrift_reader_of(MRD_BYTES("\x15\x02")); /* one integer */
    assert_int_equal(mrd_thrift_get_list(&r, &list, MRD_THRIFT_STRUCT), 0);
    assert_true(r.in.failed);
}

static void a_list_is_not_longer_than_its_bytes(void **state)
{
    (void)state;
    const struct mrd_thrift_field list = {1, MRD_THRIFT_LIST};
    struct mrd_thrift_reader r =
        mrd_thrift_reader_of(MRD_BYTES("\xf5\xff\xff\xff\xff\x07\x02\x02"));
    assert_int_equal(mrd_thrift_get_list(&r, &list, MRD_THRIFT_I32), 0);
    assert_true(r.in.failed);
}

/* Structs in structs without an end: skipping them must not use up the stack. */
static void depth_is_bounded(void **state)
{
    (void)state;
    uint8_t deep[100000];
    memset(deep, 0x1c, sizeof(deep));
    struct mrd_thrift_reader r = mrd_thrift_reader_of((struct mrd_bytes){deep, sizeof(deep)});
    struct mrd_thrift_field field = {0};
    assert_true(mrd_thrift_next(&r, &field));
    mrd_thrift_skip(&r, &field);
    assert_true(r.in.failed);
    memset(deep, 0x19, sizeof(deep)); /* lists of one list */
    r = mrd_thrift_reader_of((struct mrd_bytes){deep, sizeof(deep)});
    mrd_thrift_skip(&r, &(struct mrd_thrift_field){1, MRD_THRIFT_LIST});
    assert_true(r.in.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_back),
        cmocka_unit_test(a_wrong_type_is_a_fault),
        cmocka_unit_test(a_list_is_not_longer_than_its_bytes),
        cmocka_unit_test(depth_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
