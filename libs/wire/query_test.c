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

static const struct mrd_query_partition partitions[] = {
    {3,          77,         5,          UINT64_MAX, {1, 2}                 },
    {4,          0,          0,          0,          {0, 0}                 },
    {UINT32_MAX, UINT64_MAX, UINT64_MAX, 1,          {UINT64_MAX, INT64_MAX}},
};

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
        .series_max = 1000,
        .samples_max = UINT64_MAX,
        .limit = 3,
        .partitions = partitions,
        .partition_count = MRD_ARRAY_LEN(partitions),
        .patient = true,
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
    const struct mrd_query_envelope envelope = mrd_query_request_peek(mrd_buf_view(&bytes));
    assert_true(mrd_bytes_equal(envelope.tenant, request.tenant));
    assert_int_equal(envelope.kind, request.kind);
    assert_true(envelope.patient && got.patient);
    for (size_t size = 0; size < bytes.size; size++) { /* cut off anywhere: that, or nothing */
        const struct mrd_bytes part = {bytes.data, size};
        const struct mrd_bytes tenant = mrd_query_request_peek(part).tenant;
        assert_true(tenant.size == 0 || mrd_bytes_equal(tenant, request.tenant));
    }
    assert_true(mrd_bytes_equal(got.label, request.label));
    assert_true(got.time_min_ms == -5 && got.time_max_ms == INT64_MAX);
    assert_int_equal(got.partition_count, MRD_ARRAY_LEN(partitions));
    for (size_t i = 0; i < MRD_ARRAY_LEN(partitions); i++) {
        assert_int_equal(got.partitions[i].number, partitions[i].number);
        assert_true(got.partitions[i].sequence_min == partitions[i].sequence_min);
        assert_true(got.partitions[i].sequence_first_max == partitions[i].sequence_first_max);
        assert_true(got.partitions[i].log == partitions[i].log);
        assert_true(got.partitions[i].mark.sequence == partitions[i].mark.sequence);
        assert_true(got.partitions[i].mark.stored_ms == partitions[i].mark.stored_ms);
    }
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

static void a_fragment_comes_back_as_it_was(void **state)
{
    (void)state;
    const struct mrd_query_request request = {.kind = MRD_QUERY_FRAGMENT,
                                              .tenant = MRD_BYTES("t"),
                                              .fragment = MRD_BYTES("\x01\x00\x02"),
                                              .memory_max = 12345,
                                              .in_order = true,
                                              .histograms_before_ms = 3600000,
                                              .partitions = partitions,
                                              .partition_count = 2};
    struct mrd_buf bytes = {0};
    mrd_query_request_encode(&request, &bytes);
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("test", ARENA_BYTES);
    struct mrd_query_request got;
    assert_int_equal(mrd_query_request_decode(mrd_buf_view(&bytes), arena, &got, NULL), MRD_OK);
    assert_int_equal(got.kind, MRD_QUERY_FRAGMENT);
    assert_true(mrd_bytes_equal(got.fragment, request.fragment));
    assert_int_equal(got.memory_max, 12345);
    assert_true(got.in_order);
    assert_int_equal(got.histograms_before_ms, 3600000);
    mrd_buf_fini(&bytes);
}

static const mrd_series_id ids[] = {
    {.low = 1,          .high = 2},
    {.low = UINT64_MAX, .high = 0},
    {.low = 5,          .high = 6}
};

static void series_ids_come_back_as_they_were(void **state)
{
    (void)state;
    static const uint32_t id_counts[] = {2, 0, 1};
    const struct mrd_query_request request = {.kind = MRD_QUERY_KNOWN,
                                              .tenant = MRD_BYTES("t"),
                                              .partitions = partitions,
                                              .partition_count = 3,
                                              .ids = ids,
                                              .id_counts = id_counts,
                                              .id_count = 3};
    struct mrd_buf bytes = {0};
    mrd_query_request_encode(&request, &bytes);
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("test", ARENA_BYTES);
    struct mrd_query_request got;
    assert_int_equal(mrd_query_request_decode(mrd_buf_view(&bytes), arena, &got, NULL), MRD_OK);
    assert_int_equal(got.id_count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(got.id_counts[i], id_counts[i]);
        assert_true(mrd_id128_equal(got.ids[i], ids[i]));
    }
    mrd_query_request_fini(&got);
    mrd_buf_fini(&bytes);
}

/* They must be as many as is said, and asked about by the kind of question that they belong to. */
static void series_ids_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    uint32_t id_counts[] = {2, 0, 1};
    struct mrd_query_request request = {.kind = MRD_QUERY_KNOWN,
                                        .tenant = MRD_BYTES("t"),
                                        .partitions = partitions,
                                        .partition_count = 3,
                                        .ids = ids,
                                        .id_counts = id_counts,
                                        .id_count = 3};
    assert_int_equal(decode(&request), MRD_OK);
    id_counts[2] = 2;
    assert_int_equal(decode(&request), MRD_E_INVALID);
    id_counts[2] = 0;
    assert_int_equal(decode(&request), MRD_E_INVALID);
    id_counts[2] = 1;
    request.kind = MRD_QUERY_SERIES;
    assert_int_equal(decode(&request), MRD_E_INVALID);
    request.id_count = 0;
    assert_int_equal(decode(&request), MRD_OK);
    request.kind = MRD_QUERY_KNOWN;
    assert_int_equal(decode(&request), MRD_OK);
}

static void requests_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    struct mrd_query_request request = {.kind = MRD_QUERY_SELECT,
                                        .tenant = MRD_BYTES("t"),
                                        .partitions = partitions,
                                        .partition_count = 2};
    assert_int_equal(decode(&request), MRD_OK);
    request.partition_count = 0;
    assert_int_equal(decode(&request), MRD_E_INVALID);
    static const struct mrd_query_partition falling[] = {{.number = 4}, {.number = 3}};
    request.partitions = falling;
    request.partition_count = 2;
    assert_int_equal(decode(&request), MRD_E_INVALID);
    request.partitions = partitions;
    request.tenant = MRD_BYTES_NONE;
    assert_int_equal(decode(&request), MRD_E_INVALID);
    request.tenant = MRD_BYTES("t");
    request.kind = MRD_QUERY_LABEL_VALUES;
    assert_int_equal(decode(&request), MRD_E_INVALID);
    request.kind = (enum mrd_query_kind)MRD_QUERY_KINDS;
    assert_int_equal(decode(&request), MRD_E_UNSUPPORTED);
    request.kind = MRD_QUERY_FRAGMENT;
    assert_int_equal(decode(&request), MRD_E_INVALID);
    request.fragment = MRD_BYTES("x");
    assert_int_equal(decode(&request), MRD_OK);
    request.kind = MRD_QUERY_SELECT;
    assert_int_equal(decode(&request), MRD_E_INVALID);
    request.fragment = MRD_BYTES_NONE;
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

static void a_request_of_another_version_is_named(void **state)
{
    (void)state;
    struct mrd_matcher matchers[2];
    matchers_make(matchers);
    const struct mrd_query_request request = request_of(matchers);
    struct mrd_buf bytes = {0};
    mrd_query_request_encode(&request, &bytes);
    assert_int_equal(bytes.data[0], 1 << 3); /* field 1, a varint: the version */
    bytes.data[1] = 1;
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("test", ARENA_BYTES);
    struct mrd_query_request got;
    struct mrd_error err = {0};
    assert_int_equal(mrd_query_request_decode(mrd_buf_view(&bytes), arena, &got, &err),
                     MRD_E_UNSUPPORTED);
    assert_string_equal(err.text, "query request of version 1, this is version 2");
    mrd_buf_fini(&bytes);
    mrd_matcher_fini(&matchers[0]);
    mrd_matcher_fini(&matchers[1]);
}

static const struct mrd_query_trailer some_trailer = {1, 2, 3, 4, UINT64_MAX, 7, -8, 9};

static void parts_write(struct mrd_buf *out)
{
    mrd_query_part_alone(out, 9);
    mrd_query_part_data(out, 1, MRD_BYTES("bytes"));
    mrd_query_part_end(out, 1, &some_trailer);
    mrd_query_part_failed(out, UINT32_MAX, MRD_E_UNAVAILABLE, MRD_BYTES("gone"));
}

static void parts_and_trailers_come_back(void **state)
{
    (void)state;
    struct mrd_buf buf = {0};
    parts_write(&buf);
    struct mrd_reader reader = mrd_reader_of(mrd_buf_view(&buf));
    struct mrd_query_part part;
    assert_true(mrd_query_part_read(&reader, &part));
    assert_true(part.kind == MRD_QUERY_PART_ALONE && part.partition == 9);
    assert_true(mrd_query_part_read(&reader, &part));
    assert_true(part.kind == MRD_QUERY_PART_DATA && part.partition == 1);
    assert_true(mrd_bytes_equal(part.bytes, MRD_BYTES("bytes")));
    assert_true(mrd_query_part_read(&reader, &part));
    assert_true(part.kind == MRD_QUERY_PART_END && part.partition == 1);
    struct mrd_query_trailer trailer;
    assert_int_equal(mrd_query_trailer_decode(part.bytes, &trailer, NULL), MRD_OK);
    assert_memory_equal(&trailer, &some_trailer, sizeof(trailer));
    assert_true(mrd_query_part_read(&reader, &part));
    assert_true(part.kind == MRD_QUERY_PART_FAILED && part.partition == UINT32_MAX);
    assert_int_equal(part.status, MRD_E_UNAVAILABLE);
    assert_true(mrd_bytes_equal(part.bytes, MRD_BYTES("gone")));
    assert_false(mrd_query_part_read(&reader, &part));
    assert_false(reader.failed);
    mrd_buf_fini(&buf);
}

static void parts_that_are_cut_or_unknown_are_refused(void **state)
{
    (void)state;
    struct mrd_buf buf = {0};
    parts_write(&buf);
    size_t whole = 0; /* prefixes that end between two parts */
    for (size_t size = 1; size < buf.size; size++) {
        struct mrd_reader reader = mrd_reader_of((struct mrd_bytes){buf.data, size});
        struct mrd_query_part part;
        while (mrd_query_part_read(&reader, &part)) {}
        whole += reader.failed ? 0 : 1;
    }
    assert_int_equal(whole, 3);
    static const struct mrd_bytes wrong[] = {
        {(const uint8_t *)"\0\1",                       2}, /* no kind */
        {(const uint8_t *)"\5\1",                       2}, /* a kind to come */
        {(const uint8_t *)"\3\1\0\0",                   4}, /* failed with a status of OK */
        {(const uint8_t *)"\3\1\xff\0",                 4}, /* and with none */
        {(const uint8_t *)"\4\xff\xff\xff\xff\xff\x01", 7}, /* partition beyond 32 bits */
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(wrong); i++) {
        struct mrd_reader reader = mrd_reader_of(wrong[i]);
        struct mrd_query_part part;
        assert_false(mrd_query_part_read(&reader, &part));
        assert_true(reader.failed);
    }
    struct mrd_query_trailer got;
    assert_int_equal(mrd_query_trailer_decode(MRD_BYTES_NONE, &got, NULL), MRD_OK); /* all 0 */
    assert_int_equal(got.total, 0);
    assert_int_equal(mrd_query_trailer_decode(MRD_BYTES("\xff"), &got, NULL), MRD_E_CORRUPT);
    mrd_buf_fini(&buf);
}

static void a_subject_names_the_instance(void **state)
{
    (void)state;
    char text[MRD_QUERY_SUBJECT_MAX];
    assert_string_equal(mrd_query_subject("one", text), "mrd.query.one");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_comes_back_as_it_was),
        cmocka_unit_test(too_little_memory_is_an_answer),
        cmocka_unit_test(a_fragment_comes_back_as_it_was),
        cmocka_unit_test(series_ids_come_back_as_they_were),
        cmocka_unit_test(series_ids_that_make_no_sense_are_refused),
        cmocka_unit_test(requests_that_make_no_sense_are_refused),
        cmocka_unit_test(texts_and_counts_come_back_and_are_bounded),
        cmocka_unit_test(exemplars_and_families_come_back_and_are_bounded),
        cmocka_unit_test(a_request_of_another_version_is_named),
        cmocka_unit_test(parts_and_trailers_come_back),
        cmocka_unit_test(parts_that_are_cut_or_unknown_are_refused),
        cmocka_unit_test(a_subject_names_the_instance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
