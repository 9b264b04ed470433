#include "wire/remote_write_v2.h"

#include "wire/remote_write_items.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- messages by hand ---- */

static void put_bytes(struct mrd_buf *out, unsigned field, struct mrd_bytes bytes)
{
    mrd_buf_append_varint(out, field << 3 | 2);
    mrd_buf_append_varint(out, bytes.size);
    mrd_buf_append_bytes(out, bytes);
}

static void put_symbols(struct mrd_buf *out, const char *const *symbols)
{
    for (; *symbols != NULL; symbols++) {
        put_bytes(out, 4, mrd_bytes_of(*symbols));
    }
}

/* A series of packed references (one byte each) and whatever else. */
static void put_series(struct mrd_buf *out, struct mrd_bytes references, struct mrd_bytes others)
{
    struct mrd_buf entry = {0};
    put_bytes(&entry, 1, references);
    mrd_buf_append_bytes(&entry, others);
    put_bytes(out, 5, mrd_buf_view(&entry));
    mrd_buf_fini(&entry);
}

static struct mrd_buf sample_of(mrd_time_ms time_ms, double value, mrd_time_ms start_ms)
{
    struct mrd_buf sample = {0};
    struct mrd_buf out = {0};
    mrd_buf_append_u8(&sample, 0x09);
    mrd_buf_append_u64(&sample, mrd_double_bits(value));
    mrd_buf_append_u8(&sample, 0x10);
    mrd_buf_append_varint(&sample, (uint64_t)time_ms);
    if (start_ms != 0) {
        mrd_buf_append_u8(&sample, 0x18);
        mrd_buf_append_varint(&sample, (uint64_t)start_ms);
    }
    put_bytes(&out, 2, mrd_buf_view(&sample));
    mrd_buf_fini(&sample);
    return out;
}

struct fixture {
    struct mrd_arena *arena;
    struct mrd_buf message;
    struct mrd_rw2_walk walk;
    struct mrd_rw_series series[8];
    size_t count;
    struct mrd_error err;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    fixture->arena = mrd_arena_create("test", 1 << 20);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    mrd_arena_destroy(&fixture->arena);
    mrd_buf_fini(&fixture->message);
    free(fixture);
    return 0;
}

static enum mrd_status walk_it(struct fixture *fixture)
{
    MRD_TRY(mrd_rw2_walk_init(&fixture->walk, mrd_buf_view(&fixture->message), fixture->arena, 5,
                              &fixture->err));
    return mrd_rw2_walk_next(&fixture->walk, fixture->series, 8, &fixture->count, &fixture->err);
}

static const char *const symbols_some[] = {"",  "__name__",  "up", "job",
                                           "a", "help text", "s",  NULL};
static const char *const symbols_other[] = {"", "a", "job", "up", "__name__", NULL};

/* ---- tests ---- */

static void series_come_with_labels_and_samples(void **state)
{
    struct fixture *fixture = *state;
    put_symbols(&fixture->message, symbols_some);
    struct mrd_buf first = sample_of(1700000000123, 1.5, 1600000000000);
    struct mrd_buf second = sample_of(-5, -0.0, 0);
    struct mrd_buf third = sample_of(1700000000124, 3, 1);
    mrd_buf_append_bytes(&first, mrd_buf_view(&second));
    mrd_buf_append_bytes(&first, mrd_buf_view(&third));
    put_series(&fixture->message, MRD_BYTES("\x01\x02\x03\x04"), mrd_buf_view(&first));
    put_series(&fixture->message, MRD_BYTES(""), mrd_buf_view(&second));
    assert_int_equal(walk_it(fixture), MRD_OK);
    assert_int_equal(fixture->count, 2);
    const struct mrd_rw_series *series = fixture->series;
    assert_int_equal(series[0].sample_count, 3);
    assert_int_equal(series[0].first.time_ms, 1700000000123);
    assert_true(series[0].has_start);
    assert_false(series[1].has_start);
    assert_int_equal(series[1].first.time_ms, -5);
    struct mrd_bytes rest = series[0].samples;
    struct mrd_sample sample;
    mrd_time_ms start_ms;
    assert_true(mrd_rw2_samples_next(&rest, &sample, &start_ms));
    assert_int_equal(start_ms, 1600000000000);
    assert_true(mrd_rw2_samples_next(&rest, &sample, &start_ms));
    assert_int_equal(mrd_double_bits(sample.value), mrd_double_bits(-0.0));
    assert_int_equal(start_ms, 0);
    assert_true(mrd_rw2_samples_next(&rest, &sample, &start_ms));
    assert_int_equal(start_ms, 1);
    assert_false(mrd_rw2_samples_next(&rest, &sample, &start_ms));
    struct mrd_label labels[MRD_RW_LABELS_MAX];
    size_t count;
    assert_int_equal(
        mrd_rw2_labels_read(&fixture->walk, series[0].labels, labels, &count, &fixture->err),
        MRD_OK);
    assert_int_equal(count, 2);
    assert_true(mrd_bytes_equal(labels[0].name, MRD_BYTES("__name__")));
    assert_true(mrd_bytes_equal(labels[1].value, MRD_BYTES("a")));
    mrd_buf_fini(&first);
    mrd_buf_fini(&second);
    mrd_buf_fini(&third);
}

static struct mrd_id128 key_at(struct fixture *fixture, size_t i)
{
    struct mrd_id128 key;
    assert_true(mrd_rw2_key(&fixture->walk, fixture->series[i].labels, &key));
    return key;
}

/* The key is of names and values in their order, whatever their numbers and however they are packed. */
static void equal_labels_have_equal_keys_in_every_request(void **state)
{
    struct fixture *fixture = *state;
    put_symbols(&fixture->message, symbols_some);
    put_series(&fixture->message, MRD_BYTES("\x01\x02\x03\x04"), MRD_BYTES_NONE);
    put_series(&fixture->message, MRD_BYTES("\x03\x04\x01\x02"), MRD_BYTES_NONE);
    put_series(&fixture->message, MRD_BYTES("\x01\x04\x03\x02"), MRD_BYTES_NONE);
    put_series(&fixture->message, MRD_BYTES("\x01\x02"), MRD_BYTES_NONE);
    put_series(&fixture->message, MRD_BYTES("\x01\x02\x00\x00"), MRD_BYTES_NONE);
    put_series(&fixture->message, MRD_BYTES("\x01\x02"), MRD_BYTES("\x08\x03\x08\x04"));
    assert_int_equal(walk_it(fixture), MRD_OK);
    struct mrd_id128 keys[6];
    for (size_t i = 0; i < 6; i++) {
        keys[i] = key_at(fixture, i);
        for (size_t j = 0; j < MRD_MIN(i, (size_t)4); j++) {
            assert_true(i == 5 && j == 0 ? mrd_id128_equal(keys[i], keys[j])
                                         : !mrd_id128_equal(keys[i], keys[j]));
        }
    }
    mrd_buf_clear(&fixture->message);
    put_series(&fixture->message, MRD_BYTES("\x04\x03\x02\x01"), MRD_BYTES_NONE);
    put_symbols(&fixture->message, symbols_other); /* after the series: legal */
    assert_int_equal(walk_it(fixture), MRD_OK);
    assert_true(mrd_id128_equal(key_at(fixture, 0), keys[0]));
}

static const struct {
    const char *references;
    size_t size;
    const char *want;
} reference_cases[] = {
    {"\x01\x02\x03",         3, "labels of a series: labels have an odd number of references"      },
    {"\x01\x07",             2, "labels of a series: reference 7 is beyond the request's 7 symbols"},
    {"\x01\xff\xff\xff\x7f", 5,
     "labels of a series: reference 268435455 is beyond the request's 7 symbols"                   },
    {"\x01\x80",             2, "labels of a series: labels have an odd number of references"      },
};

static void wrong_references_have_no_key_and_say_why(void **state)
{
    struct fixture *fixture = *state;
    put_symbols(&fixture->message, symbols_some);
    for (size_t i = 0; i < MRD_ARRAY_LEN(reference_cases); i++) {
        const struct mrd_bytes references = {(const uint8_t *)reference_cases[i].references,
                                             reference_cases[i].size};
        put_series(&fixture->message, references, MRD_BYTES_NONE);
    }
    assert_int_equal(walk_it(fixture), MRD_OK);
    for (size_t i = 0; i < MRD_ARRAY_LEN(reference_cases); i++) {
        struct mrd_id128 key;
        struct mrd_label labels[MRD_RW_LABELS_MAX];
        size_t count;
        assert_false(mrd_rw2_key(&fixture->walk, fixture->series[i].labels, &key));
        assert_int_equal(mrd_rw2_labels_read(&fixture->walk, fixture->series[i].labels, labels,
                                             &count, &fixture->err),
                         MRD_E_INVALID);
        assert_string_equal(fixture->err.text, reference_cases[i].want);
    }
}

static const struct {
    const char *message;
    size_t size;
    const char *want;
} message_cases[] = {
    {"",                         0, ""                                                           },
    {"\x22\x00",                 2, ""                                                           },
    {"\x22\x01x",                3, "the first symbol is \"x\": it must be the empty string"     },
    {"\x0a\x00",                 2,
     "the body is a remote-write 1.0 message, but Content-Type says 2.0 "
     "(proto=io.prometheus.write.v2.Request)"                                                    },
    {"\x22\x09x",                3,
     "the body is not a remote-write 2.0 message: malformed field at byte 0 of the decoded body" },
    {"\x20\x01",                 2,
     "the body is not a remote-write 2.0 message: malformed field at byte 0 of the decoded body" },
    {"\x22\x00\x2a\x02\x12\x09", 6,
     "the body is not a remote-write 2.0 message: malformed series at byte 4 of the decoded body"},
    {"\x22\x00\x2a\x02\x10\x01", 6,
     "the body is not a remote-write 2.0 message: malformed series at byte 4 of the decoded body"},
    {"\x22\x00\x2a\x02\x32\x00", 6, ""                                                           }, /* field 6: reserved */
    {"\x32\x00",                 2, ""                                                           }, /* a later field */
};

static void messages_are_refused_with_a_reason(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(message_cases); i++) {
        const struct mrd_bytes message = {(const uint8_t *)message_cases[i].message,
                                          message_cases[i].size};
        mrd_buf_clear(&fixture->message);
        mrd_buf_append_bytes(&fixture->message, message);
        fixture->err.text[0] = 0;
        const enum mrd_status got = walk_it(fixture);
        assert_string_equal(fixture->err.text, message_cases[i].want);
        assert_int_equal(got, message_cases[i].want[0] == 0 ? MRD_OK : MRD_E_INVALID);
    }
}

static void exemplars_and_metadata_name_symbols(void **state)
{
    struct fixture *fixture = *state;
    put_symbols(&fixture->message, symbols_some);
    /* exemplar {labels job="a", time 7}, metadata {counter, help, unit} */
    put_series(&fixture->message, MRD_BYTES("\x01\x02"),
               MRD_BYTES("\x22\x06\x0a\x02\x03\x04\x18\x07"
                         "\x2a\x06\x08\x01\x18\x05\x20\x06"));
    put_series(&fixture->message, MRD_BYTES("\x01\x02"), MRD_BYTES("\x2a\x02\x18\x63"));
    assert_int_equal(walk_it(fixture), MRD_OK);
    const struct mrd_rw_series *series = &fixture->series[0];
    assert_int_equal(series->exemplar_count, 1);
    assert_true(series->has_metadata);
    struct mrd_bytes rest = mrd_rw_series_others(series);
    struct mrd_bytes message;
    assert_true(mrd_rw_exemplar_next(MRD_RW_2, &rest, &message));
    struct mrd_label items[MRD_RW_EXEMPLAR_LABELS_MAX];
    size_t count;
    struct mrd_exemplar exemplar;
    assert_int_equal(
        mrd_rw2_exemplar_read(&fixture->walk, message, items, &count, &exemplar, &fixture->err),
        MRD_OK);
    assert_int_equal(count, 1);
    assert_true(mrd_bytes_equal(items[0].value, MRD_BYTES("a")));
    assert_int_equal(exemplar.time_ms, 7);
    assert_int_equal(mrd_rw2_exemplar_read(&fixture->walk, MRD_BYTES("\x0a\x02\x03\x44"), items,
                                           &count, &exemplar, &fixture->err),
                     MRD_E_INVALID);
    struct mrd_rw2_metadata metadata;
    assert_int_equal(mrd_rw2_metadata_read(&fixture->walk, series, &metadata, &fixture->err),
                     MRD_OK);
    assert_int_equal(metadata.type, MRD_FAMILY_COUNTER);
    assert_int_equal(metadata.name_symbol, 2);
    assert_int_equal(metadata.help_symbol, 5);
    assert_int_equal(metadata.unit_symbol, 6);
    assert_int_equal(
        mrd_rw2_metadata_read(&fixture->walk, &fixture->series[1], &metadata, &fixture->err),
        MRD_E_INVALID);
    assert_string_equal(fixture->err.text,
                        "metadata of a series: reference 99 is beyond the request's 7 symbols");
}

/* Memory grows with the symbols only; an arena too small for them is an answer. */
static void the_table_keeps_to_its_arena(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 1000; i++) {
        put_bytes(&fixture->message, 4, MRD_BYTES_NONE);
    }
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *small = mrd_arena_create("small", 1000);
    assert_int_equal(
        mrd_rw2_walk_init(&fixture->walk, mrd_buf_view(&fixture->message), small, 5, &fixture->err),
        MRD_E_LIMIT);
    assert_int_equal(walk_it(fixture), MRD_OK);
    assert_true(mrd_arena_used(fixture->arena) < 40000);
}

#define V2_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        V2_TEST(series_come_with_labels_and_samples),
        V2_TEST(equal_labels_have_equal_keys_in_every_request),
        V2_TEST(wrong_references_have_no_key_and_say_why),
        V2_TEST(messages_are_refused_with_a_reason),
        V2_TEST(exemplars_and_metadata_name_symbols),
        V2_TEST(the_table_keeps_to_its_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
