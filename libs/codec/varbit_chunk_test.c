/* Chunks against the bytes that Prometheus 3.14 makes of the same histograms, and where a chunk ends. */
#include "codec/varbit_chunk.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void assert_chunk(const struct mrd_histograms *histograms, size_t want_count,
                         enum mrd_varbit_encoding want_encoding, struct mrd_bytes want)
{
    struct mrd_buf out = {0};
    enum mrd_varbit_encoding encoding;
    assert_int_equal(mrd_varbit_chunk_encode(histograms, false, &encoding, &out), want_count);
    assert_int_equal(encoding, want_encoding);
    assert_int_equal(out.size, want.size);
    assert_memory_equal(out.data, want.data, want.size);
    mrd_buf_fini(&out);
}

static void integers_become_the_bytes_of_prometheus(void **state)
{
    (void)state;
    static const struct mrd_histogram_span positive[] = {
        {-1, 2},
        {3,  1}
    };
    static const struct mrd_histogram_span negative = {0, 1};
    static const union mrd_histogram_count buckets[3][4] = {
        {{1}, {2}, {3}, {1}},
        {{2}, {2}, {5}, {1}},
        {{2}, {4}, {9}, {2}},
    };
    static const mrd_time_ms times_ms[] = {1000, 16000, 31007, 46007};
    static const uint64_t counts[] = {9, 12, 19};
    static const double sums[] = {1.5, 2.5, 2.5};
    static const uint8_t want[] = {
        0x00, 0x04, 0x00, 0xff, 0x3f, 0x50, 0x62, 0x4d, 0xd2, 0xf1, 0xa9, 0xfc, 0x8c, 0xa5,
        0x78, 0xce, 0x31, 0x78, 0xfa, 0x31, 0x32, 0x3f, 0xf8, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x8c, 0x63, 0x1f, 0x83, 0xa9, 0x89, 0xb0, 0x9b, 0xff, 0xf8, 0xde, 0x4c, 0x3d,
        0x0b, 0xcd, 0x1d, 0xc9, 0x8b, 0xdf, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x80,
    };
    struct mrd_histogram items[4];
    for (size_t i = 0; i < 3; i++) {
        items[i] = (struct mrd_histogram){
            .schema = 1,
            .zero_threshold = 0.001,
            .zero_count.integer = 2,
            .count.integer = counts[i],
            .sum = sums[i],
            .positive = {positive,  buckets[i],     2, 3},
            .negative = {&negative, buckets[i] + 3, 1, 1},
        };
    }
    items[3] = items[2];
    items[3].sum = mrd_stale_nan();
    assert_chunk(&(struct mrd_histograms){times_ms, items, 4, NULL}, 4, MRD_VARBIT_INTEGERS,
                 (struct mrd_bytes){want, sizeof(want)});
}

static void gauges_of_doubles_become_the_bytes_of_prometheus(void **state)
{
    (void)state;
    static const struct mrd_histogram_span span = {1, 2};
    static const double bounds[] = {1.0 / 3, 0.5, 2.25};
    static const union mrd_histogram_count buckets[3][2] = {
        {{.real = 1.5}, {.real = 2}},
        {{.real = 2.5}, {.real = 2}},
        {{.real = 0.5}, {.real = 7}},
    };
    static const mrd_time_ms times_ms[] = {-5, 995, 1995};
    static const uint8_t want[] = {
        0x00, 0x03, 0xc0, 0x00, 0xee, 0x5c, 0x65, 0x14, 0xc7, 0xfa, 0xaa, 0xaa, 0xaa, 0xaa,
        0xaa, 0xaa, 0xbd, 0xf5, 0xf4, 0x65, 0xee, 0xd0, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x0f, 0xfe, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x3c, 0x7d, 0x1a, 0xc4, 0xf6, 0x22, 0xbf, 0xfc, 0x26,
        0xff, 0xfc, 0x99, 0x84, 0xbf, 0xff, 0x7f, 0xe7, 0x58, 0x7c,
    };
    struct mrd_histogram items[3];
    for (size_t i = 0; i < 3; i++) {
        items[i] = (struct mrd_histogram){
            .is_float = true,
            .reset = MRD_HISTOGRAM_GAUGE,
            .schema = MRD_HISTOGRAM_SCHEMA_CUSTOM,
            .count.real = buckets[i][0].real + buckets[i][1].real,
            .sum = (double)i,
            .positive = {&span, buckets[i], 1, 2},
            .custom_values = bounds,
            .custom_value_count = 3,
        };
    }
    assert_chunk(&(struct mrd_histograms){times_ms, items, 3, NULL}, 3, MRD_VARBIT_DOUBLES,
                 (struct mrd_bytes){want, sizeof(want)});
}

/* ---- what ends a chunk ---- */

static const struct mrd_histogram_span one_span = {0, 1};
static const struct mrd_histogram_span other_span = {1, 1};

static struct mrd_histogram plain(const union mrd_histogram_count *bucket)
{
    return (struct mrd_histogram){
        .count = *bucket, .positive = {&one_span, bucket, 1, 1}
    };
}

static size_t taken(const struct mrd_histogram *items, size_t count)
{
    mrd_time_ms times_ms[MRD_VARBIT_CHUNK_HISTOGRAMS + 1];
    for (size_t i = 0; i < count; i++) {
        times_ms[i] = (mrd_time_ms)i;
    }
    struct mrd_buf out = {0};
    enum mrd_varbit_encoding encoding;
    const size_t got = mrd_varbit_chunk_encode(
        &(struct mrd_histograms){times_ms, items, count, NULL}, false, &encoding, &out);
    mrd_buf_fini(&out);
    return got;
}

static void another_layout_and_a_reset_begin_another_chunk(void **state)
{
    (void)state;
    static const union mrd_histogram_count two = {.integer = 2};
    static const union mrd_histogram_count one = {.integer = 1};
    static const union mrd_histogram_count real = {.real = 3};
    struct mrd_histogram items[2] = {plain(&two), plain(&two)};
    assert_int_equal(taken(items, 2), 2);
    items[1].schema = 1;
    assert_int_equal(taken(items, 2), 1);
    items[1] = plain(&two);
    items[1].zero_threshold = 0.5;
    assert_int_equal(taken(items, 2), 1);
    items[1] = plain(&two);
    items[1].positive.spans = &other_span;
    assert_int_equal(taken(items, 2), 1);
    items[1] = plain(&two);
    items[1].reset = MRD_HISTOGRAM_GAUGE;
    assert_int_equal(taken(items, 2), 1);
    items[1].reset = MRD_HISTOGRAM_RESET;
    assert_int_equal(taken(items, 2), 1);
    items[1] = plain(&one);
    assert_int_equal(taken(items, 2), 1);
    items[0].reset = items[1].reset = MRD_HISTOGRAM_GAUGE; /* which may fall */
    assert_int_equal(taken(items, 2), 2);
    items[0] = plain(&two);
    items[1] = plain(&real);
    items[1].is_float = true;
    assert_int_equal(taken(items, 2), 1);
}

static void a_marker_ends_what_is_before_it(void **state)
{
    (void)state;
    static const union mrd_histogram_count two = {.integer = 2};
    struct mrd_histogram items[4] = {plain(&two), plain(&two), plain(&two), plain(&two)};
    items[1].sum = items[2].sum = mrd_stale_nan();
    assert_int_equal(taken(items, 4), 3);
    assert_int_equal(taken(items + 1, 3), 2);
    assert_int_equal(taken(items + 3, 1), 1);
}

static void a_chunk_of_doubles_may_begin_with_a_marker(void **state)
{
    (void)state;
    struct mrd_histogram items[2] = {
        {.is_float = true, .sum = mrd_stale_nan()},
        {.is_float = true, .sum = mrd_stale_nan()}
    };
    assert_int_equal(taken(items, 2), 2);
}

static void a_chunk_has_its_most(void **state)
{
    (void)state;
    static const union mrd_histogram_count two = {.integer = 2};
    struct mrd_histogram items[MRD_VARBIT_CHUNK_HISTOGRAMS + 1];
    for (size_t i = 0; i < MRD_ARRAY_LEN(items); i++) {
        items[i] = plain(&two);
    }
    assert_int_equal(taken(items, MRD_ARRAY_LEN(items)), MRD_VARBIT_CHUNK_HISTOGRAMS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_become_the_bytes_of_prometheus),
        cmocka_unit_test(gauges_of_doubles_become_the_bytes_of_prometheus),
        cmocka_unit_test(another_layout_and_a_reset_begin_another_chunk),
        cmocka_unit_test(a_marker_ends_what_is_before_it),
        cmocka_unit_test(a_chunk_of_doubles_may_begin_with_a_marker),
        cmocka_unit_test(a_chunk_has_its_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
