#include "wire/remote_write_items.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- messages by hand ---- */

static void put_varint(struct mrd_buf *out, unsigned field, uint64_t value)
{
    mrd_buf_append_varint(out, field << 3);
    mrd_buf_append_varint(out, value);
}

static void put_double(struct mrd_buf *out, unsigned field, double value)
{
    mrd_buf_append_varint(out, field << 3 | 1);
    mrd_buf_append_u64(out, mrd_double_bits(value));
}

static void put_bytes(struct mrd_buf *out, unsigned field, struct mrd_bytes bytes)
{
    mrd_buf_append_varint(out, field << 3 | 2);
    mrd_buf_append_varint(out, bytes.size);
    mrd_buf_append_bytes(out, bytes);
}

static void put_span(struct mrd_buf *out, unsigned field, int32_t offset, uint32_t length)
{
    struct mrd_buf span = {0};
    put_varint(&span, 1, mrd_zigzag_encode(offset));
    put_varint(&span, 2, length);
    put_bytes(out, field, mrd_buf_view(&span));
    mrd_buf_fini(&span);
}

static void put_deltas(struct mrd_buf *out, unsigned field, const int64_t *deltas, size_t count)
{
    struct mrd_buf packed = {0};
    for (size_t i = 0; i < count; i++) {
        mrd_buf_append_zigzag(&packed, deltas[i]);
    }
    put_bytes(out, field, mrd_buf_view(&packed));
    mrd_buf_fini(&packed);
}

enum {
    COUNT_INT = 1,
    COUNT_FLOAT = 2,
    SUM = 3,
    SCHEMA = 4,
    ZERO_THRESHOLD = 5,
    ZERO_INT = 6,
    ZERO_FLOAT = 7,
    NEGATIVE_SPANS = 8,
    NEGATIVE_DELTAS = 9,
    POSITIVE_SPANS = 11,
    POSITIVE_DELTAS = 12,
    POSITIVE_COUNTS = 13,
    RESET = 14,
    TIMESTAMP = 15,
    CUSTOM_VALUES = 16,
    START = 17,
};

struct fixture {
    struct mrd_rw_histogram_room *room;
    struct mrd_buf message;
    struct mrd_rw_histogram got;
    struct mrd_error err;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    fixture->room = mrd_rw_histogram_room_create();
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    mrd_rw_histogram_room_destroy(&fixture->room);
    mrd_buf_fini(&fixture->message);
    free(fixture);
    return 0;
}

static enum mrd_status read_it(struct fixture *fixture)
{
    return mrd_rw_histogram_read(mrd_buf_view(&fixture->message), fixture->room, &fixture->got,
                                 &fixture->err);
}

/* ---- histograms ---- */

static void integer_histograms_come_with_absolute_counts(void **state)
{
    struct fixture *fixture = *state;
    struct mrd_buf *out = &fixture->message;
    put_varint(out, COUNT_INT, 12);
    put_double(out, SUM, 2.5);
    put_varint(out, SCHEMA, mrd_zigzag_encode(-2));
    put_double(out, ZERO_THRESHOLD, 0.125);
    put_varint(out, ZERO_INT, 1);
    put_span(out, NEGATIVE_SPANS, -1, 1);
    put_deltas(out, NEGATIVE_DELTAS, (const int64_t[]){4}, 1);
    put_span(out, POSITIVE_SPANS, -3, 2);
    put_span(out, POSITIVE_SPANS, 7, 1);
    put_deltas(out, POSITIVE_DELTAS, (const int64_t[]){3, -2, 2}, 3);
    put_varint(out, RESET, 2);
    put_varint(out, TIMESTAMP, 1700000000000);
    put_varint(out, START, 1600000000000);
    assert_int_equal(read_it(fixture), MRD_OK);
    const struct mrd_histogram *got = &fixture->got.histogram;
    assert_int_equal(fixture->got.time_ms, 1700000000000);
    assert_int_equal(fixture->got.start_time_ms, 1600000000000);
    assert_false(got->is_float);
    assert_int_equal(got->count.integer, 12);
    assert_int_equal(got->zero_count.integer, 1);
    assert_int_equal(got->schema, -2);
    assert_int_equal(got->reset, MRD_HISTOGRAM_NO_RESET);
    assert_true(got->sum == 2.5 && got->zero_threshold == 0.125);
    assert_int_equal(got->positive.span_count, 2);
    assert_int_equal(got->positive.spans[1].offset, 7);
    static const uint64_t want[] = {3, 1, 3};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(got->positive.buckets[i].integer, want[i]);
    }
    assert_int_equal(got->negative.buckets[0].integer, 4);
}

static void float_and_custom_histograms_are_read(void **state)
{
    struct fixture *fixture = *state;
    struct mrd_buf *out = &fixture->message;
    put_varint(out, SCHEMA, mrd_zigzag_encode(-53));
    put_double(out, COUNT_FLOAT, 3.5);
    put_span(out, POSITIVE_SPANS, 0, 2);
    put_double(out, POSITIVE_COUNTS, 1.5); /* not packed */
    put_double(out, POSITIVE_COUNTS, 2);
    const double bounds[] = {0.5};
    put_bytes(out, CUSTOM_VALUES, (struct mrd_bytes){(const uint8_t *)bounds, sizeof(bounds)});
    assert_int_equal(read_it(fixture), MRD_OK);
    const struct mrd_histogram *got = &fixture->got.histogram;
    assert_true(got->is_float);
    assert_true(got->count.real == 3.5);
    assert_int_equal(got->positive.bucket_count, 2);
    assert_true(got->positive.buckets[0].real == 1.5 && got->positive.buckets[1].real == 2);
    assert_int_equal(got->custom_value_count, 1);
    assert_true(got->custom_values[0] == 0.5);
}

static void the_last_kind_of_count_decides(void **state)
{
    struct fixture *fixture = *state;
    put_double(&fixture->message, COUNT_FLOAT, 9);
    put_varint(&fixture->message, COUNT_INT, 1);
    put_double(&fixture->message, ZERO_FLOAT, 9);
    put_varint(&fixture->message, ZERO_INT, 1);
    assert_int_equal(read_it(fixture), MRD_OK);
    assert_false(fixture->got.histogram.is_float);
    assert_int_equal(fixture->got.histogram.zero_count.integer, 1);
    mrd_buf_clear(&fixture->message);
    put_double(&fixture->message, COUNT_FLOAT, 9);
    put_varint(&fixture->message, ZERO_INT, 1); /* of the other kind: not sent */
    assert_int_equal(read_it(fixture), MRD_OK);
    assert_true(fixture->got.histogram.zero_count.real == 0);
}

static void a_finer_schema_is_stored_as_8(void **state)
{
    struct fixture *fixture = *state;
    struct mrd_buf *out = &fixture->message;
    put_varint(out, COUNT_INT, 3);
    put_varint(out, SCHEMA, mrd_zigzag_encode(10));
    put_span(out, POSITIVE_SPANS, 1, 3); /* 1 2 3: all of bucket 1 of schema 8 */
    put_deltas(out, POSITIVE_DELTAS, (const int64_t[]){1, 0, 0}, 3);
    assert_int_equal(read_it(fixture), MRD_OK);
    assert_int_equal(fixture->got.histogram.schema, 8);
    assert_int_equal(fixture->got.histogram.positive.bucket_count, 1);
    assert_int_equal(fixture->got.histogram.positive.buckets[0].integer, 3);
    assert_int_equal(fixture->got.histogram.positive.spans[0].offset, 1);
}

static void staleness_markers_pass(void **state)
{
    struct fixture *fixture = *state;
    put_double(&fixture->message, SUM, mrd_stale_nan());
    assert_int_equal(read_it(fixture), MRD_OK);
    assert_true(mrd_histogram_is_stale(&fixture->got.histogram));
}

static void wrong_histograms_are_refused_with_a_reason(void **state)
{
    struct fixture *fixture = *state;
    struct mrd_buf *out = &fixture->message;
    put_varint(out, COUNT_INT, 5);
    assert_int_equal(read_it(fixture), MRD_E_INVALID);
    assert_non_null(strstr(fixture->err.text, "0 observations found in buckets"));
    mrd_buf_clear(out);
    put_span(out, POSITIVE_SPANS, 0, 2);
    put_deltas(out, POSITIVE_DELTAS, (const int64_t[]){1, -2}, 2);
    assert_int_equal(read_it(fixture), MRD_E_INVALID);
    assert_non_null(strstr(fixture->err.text, "bucket number 2 has observation count of -1"));
    mrd_buf_clear(out);
    put_varint(out, SCHEMA, mrd_zigzag_encode(53));
    assert_int_equal(read_it(fixture), MRD_E_INVALID);
    mrd_buf_clear(out);
    put_varint(out, SUM, 1); /* of another wire type */
    assert_int_equal(read_it(fixture), MRD_E_INVALID);
    assert_non_null(strstr(fixture->err.text, "well-formed"));
    mrd_buf_clear(out);
    put_bytes(out, CUSTOM_VALUES, MRD_BYTES("1234567"));
    assert_int_equal(read_it(fixture), MRD_E_INVALID);
    mrd_buf_clear(out);
    put_bytes(out, 99, MRD_BYTES("whatever comes later"));
    assert_int_equal(read_it(fixture), MRD_OK);
}

static void a_histogram_has_a_bounded_number_of_buckets(void **state)
{
    struct fixture *fixture = *state;
    struct mrd_buf *out = &fixture->message;
    static int64_t deltas[MRD_HISTOGRAM_PARTS_MAX + 1];
    put_span(out, POSITIVE_SPANS, 0, MRD_HISTOGRAM_PARTS_MAX);
    put_deltas(out, POSITIVE_DELTAS, deltas, MRD_HISTOGRAM_PARTS_MAX);
    assert_int_equal(read_it(fixture), MRD_OK);
    put_deltas(out, POSITIVE_DELTAS, deltas, 1); /* a second field goes on */
    assert_int_equal(read_it(fixture), MRD_E_LIMIT);
    assert_non_null(strstr(fixture->err.text, "too many buckets, at most 8192"));
    mrd_buf_clear(out);
    for (size_t i = 0; i <= MRD_HISTOGRAM_PARTS_MAX; i++) {
        put_span(out, NEGATIVE_SPANS, 0, 0);
    }
    assert_int_equal(read_it(fixture), MRD_E_LIMIT);
}

/* ---- exemplars and metadata of 1.0 ---- */

static void exemplars_are_read(void **state)
{
    struct fixture *fixture = *state;
    struct mrd_buf *out = &fixture->message;
    put_bytes(out, 1, MRD_BYTES("\x0a\x08trace_id\x12\x02xy"));
    put_double(out, 2, 0.5);
    put_varint(out, 3, 1700000000000);
    struct mrd_label items[MRD_RW_EXEMPLAR_LABELS_MAX];
    size_t count;
    struct mrd_exemplar exemplar;
    struct mrd_error err;
    assert_int_equal(mrd_rw_exemplar_read(mrd_buf_view(out), items, &count, &exemplar, &err),
                     MRD_OK);
    assert_int_equal(count, 1);
    assert_true(mrd_bytes_equal(items[0].name, MRD_BYTES("trace_id")));
    assert_true(exemplar.value == 0.5);
    assert_int_equal(exemplar.time_ms, 1700000000000);
    for (size_t i = 0; i < MRD_RW_EXEMPLAR_LABELS_MAX; i++) {
        put_bytes(out, 1, MRD_BYTES("\x0a\x01n\x12\x01v"));
    }
    assert_int_equal(mrd_rw_exemplar_read(mrd_buf_view(out), items, &count, &exemplar, &err),
                     MRD_E_INVALID);
    mrd_buf_clear(out);
    put_bytes(out, 2, MRD_BYTES("x"));
    assert_int_equal(mrd_rw_exemplar_read(mrd_buf_view(out), items, &count, &exemplar, &err),
                     MRD_E_INVALID);
}

static void metadata_comes_one_after_the_other(void **state)
{
    struct fixture *fixture = *state;
    struct mrd_buf *out = &fixture->message;
    put_bytes(out, 3, MRD_BYTES("\x08\x01\x12\x01x\x22\x04help\x2a\x01s"));
    put_bytes(out, 1, MRD_BYTES("")); /* a series between */
    put_bytes(out, 3, MRD_BYTES("\x08\x63\x12\x01y"));
    put_bytes(out, 3, MRD_BYTES("\x22\x01h"));
    put_bytes(out, 3, MRD_BYTES("\x22\x09h"));
    struct mrd_bytes rest = mrd_buf_view(out);
    struct mrd_metadata got;
    enum mrd_status status;
    struct mrd_error err;
    assert_true(mrd_rw_metadata_next(&rest, &got, &status, &err));
    assert_int_equal(status, MRD_OK);
    assert_int_equal(got.type, MRD_FAMILY_COUNTER);
    assert_true(mrd_bytes_equal(got.help, MRD_BYTES("help")));
    assert_true(mrd_bytes_equal(got.unit, MRD_BYTES("s")));
    assert_true(mrd_rw_metadata_next(&rest, &got, &status, &err));
    assert_int_equal(got.type, MRD_FAMILY_UNKNOWN); /* one that is not known */
    assert_true(mrd_bytes_equal(got.family, MRD_BYTES("y")));
    assert_true(mrd_rw_metadata_next(&rest, &got, &status, &err));
    assert_int_equal(status, MRD_E_INVALID);
    assert_string_equal(err.text, "a metadata entry names no metric family");
    assert_true(mrd_rw_metadata_next(&rest, &got, &status, &err));
    assert_string_equal(err.text, "a metadata entry is not a well-formed protobuf message");
    assert_false(mrd_rw_metadata_next(&rest, &got, &status, &err));
}

#define ITEMS_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ITEMS_TEST(integer_histograms_come_with_absolute_counts),
        ITEMS_TEST(float_and_custom_histograms_are_read),
        ITEMS_TEST(the_last_kind_of_count_decides),
        ITEMS_TEST(a_finer_schema_is_stored_as_8),
        ITEMS_TEST(staleness_markers_pass),
        ITEMS_TEST(wrong_histograms_are_refused_with_a_reason),
        ITEMS_TEST(a_histogram_has_a_bounded_number_of_buckets),
        ITEMS_TEST(exemplars_are_read),
        ITEMS_TEST(metadata_comes_one_after_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
