#include "wire/remote_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/hash.h"

static struct mrd_arena *arena;

static int create_arena(void **state)
{
    (void)state;
    arena = mrd_arena_create("test", 1 << 20);
    return 0;
}

static int destroy_arena(void **state)
{
    (void)state;
    mrd_arena_destroy(&arena);
    return 0;
}

#define BYTES(...)                                                                                 \
    ((struct mrd_bytes){(const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})})

/* queries{start 5, end 300, {EQ "a" "b"}, {RE "c" "d.*"}}, accepted (packed) 7, 1, 0. */
static const uint8_t request_bytes[] = {
    0x0a, 27,                                             /* queries */
    0x08, 5,   0x10, 0xac, 0x02,                          /* times: 5 bytes */
    0x1a, 6,   0x12, 1,    'a',  0x1a, 1,   'b',          /* EQ, which is not sent: 8 */
    0x1a, 12,  0x08, 2,    0x12, 2,    'c', 'c', 0x1a, 4, /* RE: 14 */
    'd',  '.', '*',  '!',  0x12, 3,    7,   1,   0,
};

static void a_request_is_read_field_by_field(void **state)
{
    (void)state;
    struct mrd_read_request request;
    struct mrd_error err;
    const struct mrd_bytes bytes = {request_bytes, sizeof(request_bytes)};
    assert_int_equal(mrd_read_request_decode(bytes, arena, &request, &err), MRD_OK);
    assert_int_equal(request.kind, MRD_READ_STREAMED);
    assert_int_equal(request.query_count, 1);
    const struct mrd_read_query *query = &request.queries[0];
    assert_int_equal(query->min_ms, 5);
    assert_int_equal(query->max_ms, 300);
    assert_int_equal(query->matcher_count, 2);
    assert_int_equal(query->matchers[0].type, MRD_MATCH_EQ);
    assert_true(mrd_bytes_equal(query->matchers[0].value, MRD_BYTES("b")));
    assert_int_equal(query->matchers[1].type, MRD_MATCH_RE);
    assert_true(mrd_matcher_matches(&query->matchers[1], MRD_BYTES("dxyz!")));
    mrd_read_request_fini(&request);
}

static void what_the_client_accepts_first_is_chosen(void **state)
{
    (void)state;
    const struct {
        struct mrd_bytes bytes;
        enum mrd_status want;
        enum mrd_read_kind kind;
    } cases[] = {
        {MRD_BYTES_NONE, MRD_OK, MRD_READ_SAMPLES},
        {                 BYTES(0x10,                  0,              0x10,           1), MRD_OK, MRD_READ_SAMPLES},
        { BYTES(0x10,                            9,   0x10,               1), MRD_OK, MRD_READ_STREAMED},
        {           BYTES(0x12,      2,      1,                0), MRD_OK, MRD_READ_STREAMED},
        {    BYTES(0x10,                        9),           MRD_E_INVALID,            MRD_READ_SAMPLES},
        { BYTES(0x12,1,      0x80),            MRD_E_INVALID, MRD_READ_SAMPLES},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        struct mrd_read_request request = {0};
        if (mrd_read_request_decode(cases[i].bytes, arena, &request, NULL) != cases[i].want ||
            request.kind != cases[i].kind) {
            fail_msg("case %zu", i);
        }
        mrd_read_request_fini(&request);
    }
}

static void hostile_requests_are_refused(void **state)
{
    (void)state;
    const struct mrd_bytes cases[] = {
        BYTES(0x0a),                                    /* cut */
        BYTES(0x0a, 5, 1),                              /* longer than there is */
        BYTES(0x0a, 4, 0x1a, 2, 0x08, 4),               /* matcher type 4 */
        BYTES(0x0a, 7, 0x1a, 5, 0x08, 2, 0x1a, 1, '('), /* no regex */
        BYTES(0x0a, 5, 0x1a, 3, 0x12, 1, 0xff),         /* no UTF-8 */
        BYTES(0x0b, 0x0c),                              /* a group */
        BYTES(0x0a, 11, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f),
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        struct mrd_read_request request;
        struct mrd_error err = {0};
        if (mrd_read_request_decode(cases[i], arena, &request, &err) != MRD_E_INVALID ||
            err.text[0] == 0) {
            fail_msg("case %zu", i);
        }
    }
    struct mrd_buf many = {0};
    for (int i = 0; i <= MRD_READ_QUERIES_MAX; i++) {
        mrd_read_head_append(1, 0, &many);
    }
    struct mrd_read_request request;
    assert_int_equal(mrd_read_request_decode(mrd_buf_view(&many), arena, &request, NULL),
                     MRD_E_INVALID);
    mrd_buf_fini(&many);
}

static void pieces_are_the_protocols_fields(void **state)
{
    (void)state;
    const struct mrd_label label = {MRD_BYTES("ab"), MRD_BYTES("c")};
    struct mrd_buf out = {0};
    mrd_read_labels_append((struct mrd_labels){&label, 1}, &out);
    static const uint8_t labels[] = {0x0a, 7, 0x0a, 2, 'a', 'b', 0x12, 1, 'c'};
    assert_int_equal(out.size, sizeof(labels));
    assert_memory_equal(out.data, labels, sizeof(labels));
    mrd_buf_clear(&out);
    mrd_read_sample_append((struct mrd_sample){300, 1.5}, &out);
    static const uint8_t sample[] = {0x12, 12, 0x09, 0,    0,    0,    0,
                                     0,    0,  0xf8, 0x3f, 0x10, 0xac, 0x02};
    assert_int_equal(out.size, sizeof(sample));
    assert_memory_equal(out.data, sample, sizeof(sample));
    mrd_buf_clear(&out);
    mrd_read_chunk_append(&(struct mrd_read_chunk){1, 1, 300, MRD_BYTES("xyz")}, &out);
    static const uint8_t chunk[] = {0x12, 12, 0x08, 1, 0x10, 0xac, 0x02,
                                    0x18, 1,  0x22, 3, 'x',  'y',  'z'};
    assert_int_equal(out.size, sizeof(chunk));
    assert_memory_equal(out.data, chunk, sizeof(chunk));
    mrd_read_chunk_append(&(struct mrd_read_chunk){1, -1, -1, MRD_BYTES("q")}, &out);
    struct mrd_bytes rest = mrd_buf_view(&out);
    struct mrd_bytes piece;
    assert_true(mrd_read_piece_next(&rest, &piece));
    assert_int_equal(piece.size, sizeof(chunk));
    assert_true(mrd_read_piece_next(&rest, &piece));
    assert_int_equal(piece.size, 2 + 11 + 11 + 2 + 3);
    assert_false(mrd_read_piece_next(&rest, &piece));
    mrd_buf_fini(&out);
}

/* Field by field as prompb/types.proto has them. */
static void histograms_are_the_protocols_fields(void **state)
{
    (void)state;
    static const struct mrd_histogram_span spans[] = {
        {-1, 2},
        {3,  1}
    };
    static const union mrd_histogram_count counts[] = {
        {.integer = 4}, {.integer = 1}, {.integer = 2}};
    static const struct mrd_histogram histogram = {
        .reset = MRD_HISTOGRAM_GAUGE,
        .schema = -1,
        .count.integer = 300,
        .zero_count.integer = 5,
        .positive = {spans, counts, 2, 3},
    };
    static const uint8_t want[] = {
        0x22, 47,                              /* field 4 */
        0x08, 0xac, 0x02,                      /* count_int */
        0x19, 0,    0,    0, 0,    0, 0, 0, 0, /* sum */
        0x20, 1,                               /* schema */
        0x29, 0,    0,    0, 0,    0, 0, 0, 0, /* zero_threshold */
        0x30, 5,                               /* zero_count_int */
        0x5a, 4,    0x08, 1, 0x10, 2,          /* positive_spans */
        0x5a, 4,    0x08, 6, 0x10, 1,          /* positive_spans */
        0x62, 3,    8,    5, 2,                /* positive_deltas */
        0x70, 3,                               /* reset_hint */
        0x78, 0x91, 0x4e,                      /* timestamp */
    };
    struct mrd_buf out = {0};
    mrd_read_histogram_append(10001, &histogram, &out);
    assert_int_equal(out.size, sizeof(want));
    assert_memory_equal(out.data, want, sizeof(want));
    mrd_buf_fini(&out);
}

static void a_staleness_marker_is_told_by_its_sum_alone(void **state)
{
    (void)state;
    static const double bounds[] = {1, 2};
    static const struct mrd_histogram_span span = {0, 1};
    static const union mrd_histogram_count count = {.real = 4};
    const struct mrd_histogram stale = {
        .is_float = true,
        .schema = MRD_HISTOGRAM_SCHEMA_CUSTOM,
        .sum = mrd_stale_nan(),
        .count = count,
        .positive = {&span, &count, 1, 1},
        .custom_values = bounds,
        .custom_value_count = 2,
    };
    const struct mrd_histogram plain = {.is_float = true, .sum = mrd_stale_nan()};
    struct mrd_buf a = {0};
    struct mrd_buf b = {0};
    mrd_read_histogram_append(7, &stale, &a);
    mrd_read_histogram_append(7, &plain, &b);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    mrd_buf_fini(&a);
    mrd_buf_fini(&b);
}

static void a_frame_has_its_size_and_checksum_in_front(void **state)
{
    (void)state;
    struct mrd_buf out = {0};
    mrd_read_frame_append(3, MRD_BYTES("LL"), MRD_BYTES("CCC"), &out);
    static const uint8_t message[] = {0x0a, 5, 'L', 'L', 'C', 'C', 'C', 0x10, 3};
    assert_int_equal(out.size, 1 + 4 + sizeof(message));
    assert_int_equal(out.data[0], sizeof(message));
    assert_memory_equal(out.data + 5, message, sizeof(message));
    const uint32_t sum = mrd_crc32c(0, (struct mrd_bytes){message, sizeof(message)});
    assert_int_equal((uint32_t)out.data[1] << 24 | (uint32_t)out.data[2] << 16 |
                         (uint32_t)out.data[3] << 8 | out.data[4],
                     sum);
    mrd_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_read_field_by_field),
        cmocka_unit_test(what_the_client_accepts_first_is_chosen),
        cmocka_unit_test(hostile_requests_are_refused),
        cmocka_unit_test(pieces_are_the_protocols_fields),
        cmocka_unit_test(histograms_are_the_protocols_fields),
        cmocka_unit_test(a_staleness_marker_is_told_by_its_sum_alone),
        cmocka_unit_test(a_frame_has_its_size_and_checksum_in_front),
    };
    return cmocka_run_group_tests(tests, create_arena, destroy_arena);
}
