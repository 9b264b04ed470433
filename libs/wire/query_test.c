#include "wire/query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ARENA_BYTES = 1 << 20 };

static void matchers_make(struct mrd_matcher matchers[2])
{
    assert_int_equal(mrd_matcher_init(&matchers[0], MRD_MATCH_EQ, MRD_BYTES("a\0b"),
                                      MRD_BYTES("\xff\x00x"), NULL),
                     MRD_OK);
    assert_int_equal(
        mrd_matcher_init(&matchers[1], MRD_MATCH_NRE, MRD_BYTES("job"), MRD_BYTES("x.*|y"), NULL),
        MRD_OK);
}

static struct mrd_query_request request_of(const struct mrd_matcher matchers[2])
{
    return (struct mrd_query_request){
        .kind = MRD_QUERY_LABEL_VALUES,
        .tenant = MRD_BYTES("acme"),
        .matchers = matchers,
        .matcher_count = 2,
        .time_min_ms = -5,
        .time_max_ms = INT64_MAX,
        .label = MRD_BYTES("host"),
        .sequence_min = 77,
        .series_max = 1000,
        .samples_max = UINT64_MAX,
        .limit = 3,
    };
}

static void a_request_comes_back_as_it_was(void **state)
{
    (void)state;
    struct mrd_matcher matchers[2];
    matchers_make(matchers);
    const struct mrd_query_request request = request_of(matchers);
    struct mrd_buf bytes = {0};
    mrd_query_request_encode(&request, &bytes);
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("test", ARENA_BYTES);
    struct mrd_query_request got;
    assert_int_equal(mrd_query_request_decode(mrd_buf_view(&bytes), arena, &got, NULL), MRD_OK);
    assert_int_equal(got.kind, request.kind);
    assert_true(mrd_bytes_equal(got.tenant, request.tenant));
    assert_true(mrd_bytes_equal(got.label, request.label));
    assert_true(got.time_min_ms == -5 && got.time_max_ms == INT64_MAX);
    assert_int_equal(got.sequence_min, 77);
    assert_int_equal(got.series_max, 1000);
    assert_true(got.samples_max == UINT64_MAX);
    assert_int_equal(got.limit, 3);
    assert_int_equal(got.matcher_count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(got.matchers[i].type, matchers[i].type);
        assert_true(mrd_bytes_equal(got.matchers[i].name, matchers[i].name));
        assert_true(mrd_bytes_equal(got.matchers[i].value, matchers[i].value));
    }
    assert_false(mrd_matcher_matches(&got.matchers[1], MRD_BYTES("xyz"))); /* it was compiled */
    mrd_query_request_fini(&got);
    mrd_buf_fini(&bytes);
    mrd_matcher_fini(&matchers[0]);
    mrd_matcher_fini(&matchers[1]);
}

/* Limits of 0, 1, 2, 4, ... bytes until it succeeds: an error each time, never a crash. */
static void too_little_memory_is_an_answer(void **state)
{
    (void)state;
    struct mrd_matcher matchers[2];
    matchers_make(matchers);
    const struct mrd_query_request request = request_of(matchers);
    struct mrd_buf bytes = {0};
    mrd_query_request_encode(&request, &bytes);
    enum mrd_status status = MRD_E_INVALID;
    for (size_t limit = 1; status != MRD_OK && limit <= ARENA_BYTES; limit *= 2) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("test", limit);
        struct mrd_query_request got;
        status = mrd_query_request_decode(mrd_buf_view(&bytes), arena, &got, NULL);
        if (status == MRD_OK) {
            mrd_query_request_fini(&got);
        }
    }
    assert_int_equal(status, MRD_OK);
    mrd_buf_fini(&bytes);
    mrd_matcher_fini(&matchers[0]);
    mrd_matcher_fini(&matchers[1]);
}

static enum mrd_status decode(const struct mrd_query_request *request)
{
    struct mrd_buf bytes = {0};
    mrd_query_request_encode(request, &bytes);
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("test", ARENA_BYTES);
    struct mrd_query_request got;
    const enum mrd_status status =
        mrd_query_request_decode(mrd_buf_view(&bytes), arena, &got, NULL);
    if (status == MRD_OK) {
        mrd_query_request_fini(&got);
    }
    mrd_buf_fini(&bytes);
    return status;
}

static void requests_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    struct mrd_query_request request = {.kind = MRD_QUERY_SELECT, .tenant = MRD_BYTES("t")};
    assert_int_equal(decode(&request), MRD_OK);
    request.tenant = MRD_BYTES_NONE;
    assert_int_equal(decode(&request), MRD_E_INVALID);
    request.tenant = MRD_BYTES("t");
    request.kind = MRD_QUERY_LABEL_VALUES;
    assert_int_equal(decode(&request), MRD_E_INVALID);
    request.kind = (enum mrd_query_kind)9;
    assert_int_equal(decode(&request), MRD_E_UNSUPPORTED);
    request.kind = MRD_QUERY_SELECT;
    const struct mrd_matcher broken = {
        .type = MRD_MATCH_RE, .name = MRD_BYTES("a"), .value = MRD_BYTES("(")};
    request.matchers = &broken;
    request.matcher_count = 1;
    assert_int_equal(decode(&request), MRD_E_INVALID);
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("test", ARENA_BYTES);
    struct mrd_query_request got;
    assert_int_equal(mrd_query_request_decode(MRD_BYTES("\xff\xff\xff"), arena, &got, NULL),
                     MRD_E_INVALID);
}

static void texts_and_counts_come_back_and_are_bounded(void **state)
{
    (void)state;
    struct mrd_buf buf = {0};
    mrd_query_text_write(&buf, MRD_BYTES("one"));
    mrd_query_text_write(&buf, MRD_BYTES(""));
    struct mrd_reader reader = mrd_reader_of(mrd_buf_view(&buf));
    struct mrd_bytes text;
    assert_true(mrd_query_text_read(&reader, &text));
    assert_true(mrd_bytes_equal(text, MRD_BYTES("one")));
    assert_true(mrd_query_text_read(&reader, &text));
    assert_int_equal(text.size, 0);
    assert_false(mrd_query_text_read(&reader, &text));
    assert_false(reader.failed);
    reader = mrd_reader_of(MRD_BYTES("\x05"
                                     "one"));
    assert_false(mrd_query_text_read(&reader, &text));
    assert_true(reader.failed);

    mrd_buf_clear(&buf);
    const struct mrd_query_count count = {MRD_QUERY_COUNT_NAMES, MRD_BYTES("job"), 1ULL << 40, 7};
    mrd_query_count_write(&buf, &count);
    reader = mrd_reader_of(mrd_buf_view(&buf));
    struct mrd_query_count got;
    assert_true(mrd_query_count_read(&reader, &got));
    assert_true(got.list == count.list && got.series == count.series && got.values == 7);
    assert_true(mrd_bytes_equal(got.name, count.name));
    assert_false(mrd_query_count_read(&reader, &got));
    for (size_t size = 1; size < buf.size; size++) {
        reader = mrd_reader_of((struct mrd_bytes){buf.data, size});
        assert_false(mrd_query_count_read(&reader, &got));
        assert_true(reader.failed);
    }
    mrd_buf_fini(&buf);
}

static void exemplars_and_families_come_back_and_are_bounded(void **state)
{
    (void)state;
    struct mrd_buf buf = {0};
    const struct mrd_query_exemplar exemplar = {
        MRD_BYTES("series"), {-5, -0.0, MRD_BYTES("labels")}
    };
    struct mrd_query_exemplar got;
    mrd_query_exemplar_write(&buf, &exemplar);
    struct mrd_reader reader = mrd_reader_of(mrd_buf_view(&buf));
    assert_true(mrd_query_exemplar_read(&reader, &got));
    assert_true(mrd_bytes_equal(got.series, exemplar.series));
    assert_true(mrd_bytes_equal(got.exemplar.labels, exemplar.exemplar.labels));
    assert_int_equal(got.exemplar.time_ms, -5);
    assert_int_equal(mrd_double_bits(got.exemplar.value), mrd_double_bits(-0.0));
    assert_false(mrd_query_exemplar_read(&reader, &got));
    for (size_t size = 1; size < buf.size; size++) {
        reader = mrd_reader_of((struct mrd_bytes){buf.data, size});
        assert_false(mrd_query_exemplar_read(&reader, &got));
        assert_true(reader.failed);
    }
    mrd_buf_clear(&buf);
    const struct mrd_query_family family = {
        {MRD_FAMILY_STATESET, MRD_BYTES("name"), MRD_BYTES(""), MRD_BYTES("unit")},
        UINT64_MAX, 7
    };
    struct mrd_query_family back;
    mrd_query_family_write(&buf, &family);
    reader = mrd_reader_of(mrd_buf_view(&buf));
    assert_true(mrd_query_family_read(&reader, &back));
    assert_int_equal(back.metadata.type, MRD_FAMILY_STATESET);
    assert_true(mrd_bytes_equal(back.metadata.family, family.metadata.family));
    assert_true(mrd_bytes_equal(back.metadata.unit, family.metadata.unit));
    assert_true(back.metadata.help.size == 0 && back.hlc == UINT64_MAX && back.origin == 7);
    for (size_t size = 1; size < buf.size; size++) {
        reader = mrd_reader_of((struct mrd_bytes){buf.data, size});
        assert_false(mrd_query_family_read(&reader, &back));
        assert_true(reader.failed);
    }
    buf.data[0] = MRD_FAMILY_TYPE_COUNT;
    reader = mrd_reader_of(mrd_buf_view(&buf));
    assert_false(mrd_query_family_read(&reader, &back));
    mrd_buf_fini(&buf);
}

static void a_trailer_comes_back_and_rubbish_does_not(void **state)
{
    (void)state;
    const struct mrd_query_trailer trailer = {1, 2, 3, 4, UINT64_MAX};
    struct mrd_buf buf = {0};
    mrd_query_trailer_encode(&trailer, &buf);
    struct mrd_query_trailer got;
    assert_int_equal(mrd_query_trailer_decode(mrd_buf_view(&buf), &got, NULL), MRD_OK);
    assert_memory_equal(&got, &trailer, sizeof(got));
    assert_int_equal(mrd_query_trailer_decode(MRD_BYTES_NONE, &got, NULL), MRD_OK); /* all 0 */
    assert_int_equal(got.total, 0);
    assert_int_equal(mrd_query_trailer_decode(MRD_BYTES("\xff"), &got, NULL), MRD_E_CORRUPT);
    mrd_buf_fini(&buf);
}

static const struct {
    const char *subject;
    bool want;
    uint32_t partition;
} subjects[] = {
    {"mrd.query.0.one",          true,  0         },
    {"mrd.query.4294967295.one", true,  UINT32_MAX},
    {"mrd.query.4294967296.one", false, 0         },
    {"mrd.query.12",             false, 0         },
    {"mrd.query..one",           false, 0         },
    {"mrd.query.-1.one",         false, 0         },
    {"mrd.quer",                 false, 0         },
};

static void subjects_name_their_partition(void **state)
{
    (void)state;
    char text[MRD_QUERY_SUBJECT_MAX];
    assert_string_equal(mrd_query_subject(12, "one", text), "mrd.query.12.one");
    for (size_t i = 0; i < MRD_ARRAY_LEN(subjects); i++) {
        uint32_t partition = 99;
        if (mrd_query_subject_parse(subjects[i].subject, &partition) != subjects[i].want) {
            fail_msg("%s", subjects[i].subject);
        }
        assert_int_equal(partition, subjects[i].want ? subjects[i].partition : 99);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_comes_back_as_it_was),
        cmocka_unit_test(too_little_memory_is_an_answer),
        cmocka_unit_test(requests_that_make_no_sense_are_refused),
        cmocka_unit_test(texts_and_counts_come_back_and_are_bounded),
        cmocka_unit_test(exemplars_and_families_come_back_and_are_bounded),
        cmocka_unit_test(a_trailer_comes_back_and_rubbish_does_not),
        cmocka_unit_test(subjects_name_their_partition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
