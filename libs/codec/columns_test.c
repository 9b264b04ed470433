#include "codec/columns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/histogram.h"

/* Appends a chunk with times first, first + step, ... and the values base, base + 1, ... */
static void write_chunk(struct mrd_buf *out, mrd_time_ms first, mrd_time_ms step, uint32_t count,
                        double base)
{
    mrd_time_ms times_ms[64];
    double values[64];
    uint8_t bytes[64 * 16];
    assert_true(count <= 64);
    for (uint32_t i = 0; i < count; i++) {
        times_ms[i] = first + (mrd_time_ms)i * step;
        values[i] = base + i;
    }
    struct mrd_chunk chunk = {.count = count};
    chunk.bytes.data = bytes;
    chunk.bytes.size = mrd_chunk_encode(times_ms, values, count, bytes, &chunk.encoding);
    mrd_frame_write_chunk(out, &chunk);
}

static struct mrd_frame frame_of(const struct mrd_buf *buf)
{
    struct mrd_reader reader = mrd_reader_of(mrd_buf_view(buf));
    struct mrd_frame frame;
    assert_int_equal(mrd_frame_read(&reader, &frame, NULL), MRD_OK);
    return frame;
}

/* All chunks of one frame, as one series. */
static enum mrd_status read_frame(struct mrd_columns *columns, struct mrd_frame *frame,
                                  mrd_time_ms min_ms, mrd_time_ms max_ms, size_t samples_max,
                                  struct mrd_samples *out, struct mrd_error *err)
{
    mrd_columns_begin(columns);
    MRD_TRY(mrd_columns_add(columns, frame, samples_max, err));
    struct mrd_histograms histograms;
    MRD_TRY(mrd_columns_finish(columns, min_ms, max_ms, out, &histograms, err));
    assert_int_equal(histograms.count, 0);
    return MRD_OK;
}

/* The same with histograms, told apart by their counts base, base + 1, ... */
static void write_started_histogram_chunk(struct mrd_buf *out, mrd_time_ms first, mrd_time_ms step,
                                          uint32_t count, uint64_t base, mrd_time_ms start_ms)
{
    static const struct mrd_histogram_span span = {0, 1};
    struct mrd_histogram_open open = {0};
    struct mrd_buf bytes = {0};
    struct mrd_buf entry = {0};
    uint64_t counters[2 * 3];
    for (uint32_t i = 0; i < count; i++) {
        const union mrd_histogram_count bucket = {.integer = base + i};
        const struct mrd_histogram histogram = {
            .schema = 1, .count = bucket, .positive = {&span, &bucket, 1, 1}
        };
        const mrd_time_ms time_ms = first + (mrd_time_ms)i * step;
        const struct mrd_histogram_entry of = {time_ms, start_ms, &histogram};
        mrd_buf_clear(&entry);
        assert_int_equal(
            mrd_histogram_open_append(&open, mrd_buf_view(&bytes), counters, &of, &entry, NULL),
            MRD_OK);
        mrd_buf_append_bytes(&bytes, mrd_buf_view(&entry));
    }
    const struct mrd_chunk chunk = {mrd_buf_view(&bytes), count, MRD_CHUNK_HISTOGRAMS};
    mrd_frame_write_chunk(out, &chunk);
    mrd_buf_fini(&bytes);
    mrd_buf_fini(&entry);
}

static void write_histogram_chunk(struct mrd_buf *out, mrd_time_ms first, mrd_time_ms step,
                                  uint32_t count, uint64_t base)
{
    write_started_histogram_chunk(out, first, step, count, base, 0);
}

static void chunks_that_follow_each_other_are_joined_and_cut_to_the_range(void **state)
{
    (void)state;
    struct mrd_buf buf = {0};
    mrd_frame_write_head(&buf, MRD_BYTES("\1a\1b"), 2);
    write_chunk(&buf, 0, 10, 5, 0);
    write_chunk(&buf, 50, 10, 5, 5);
    struct mrd_columns columns = {0};
    for (mrd_time_ms min = -5; min <= 100; min += 5) {
        for (mrd_time_ms max = min; max <= 105; max += 5) {
            struct mrd_frame frame = frame_of(&buf);
            struct mrd_samples got;
            assert_int_equal(read_frame(&columns, &frame, min, max, 100, &got, NULL), MRD_OK);
            size_t want = 0;
            for (mrd_time_ms t = 0; t <= 90; t += 10) {
                if (t >= min && t <= max) {
                    assert_true(want < got.count);
                    assert_int_equal(got.times_ms[want], t);
                    assert_true(got.values[want] == (double)(t / 10));
                    want++;
                }
            }
            assert_int_equal(got.count, want);
        }
    }
    mrd_columns_fini(&columns);
    mrd_buf_fini(&buf);
}

static void where_chunks_overlap_the_later_chunk_wins(void **state)
{
    (void)state;
    enum { CHUNKS = 9, TIMES = 200 };
    uint32_t random = 12345;
    for (int round = 0; round < 200; round++) {
        double want[TIMES];
        bool present[TIMES] = {false};
        struct mrd_buf buf = {0};
        mrd_frame_write_head(&buf, MRD_BYTES("\1a\1b"), CHUNKS);
        for (int c = 0; c < CHUNKS; c++) {
            random = random * 1664525 + 1013904223;
            const mrd_time_ms first = (random >> 8) % 100;
            const mrd_time_ms step = 1 + (random >> 20) % 3;
            const uint32_t count = 1 + (random >> 24) % 30;
            write_chunk(&buf, first, step, count, c * 1000);
            for (uint32_t i = 0; i < count; i++) {
                want[first + (mrd_time_ms)i * step] = c * 1000 + (int)i;
                present[first + (mrd_time_ms)i * step] = true;
            }
        }
        struct mrd_columns columns = {0};
        struct mrd_frame frame = frame_of(&buf);
        struct mrd_samples got;
        assert_int_equal(read_frame(&columns, &frame, 0, TIMES, 1000, &got, NULL), MRD_OK);
        size_t at = 0;
        for (mrd_time_ms t = 0; t < TIMES; t++) {
            if (present[t]) {
                assert_true(at < got.count && got.times_ms[at] == t && got.values[at] == want[t]);
                at++;
            }
        }
        assert_int_equal(at, got.count);
        mrd_columns_fini(&columns);
        mrd_buf_fini(&buf);
    }
}

static void a_series_over_the_limit_is_refused_by_name(void **state)
{
    (void)state;
    struct mrd_buf buf = {0};
    mrd_frame_write_head(&buf, MRD_BYTES("\1a\1b"), 2);
    write_chunk(&buf, 0, 10, 5, 0);
    write_chunk(&buf, 0, 10, 5, 5); /* counted before duplicates are merged away */
    struct mrd_columns columns = {0};
    struct mrd_samples got;
    struct mrd_error err;
    struct mrd_frame frame = frame_of(&buf);
    assert_int_equal(read_frame(&columns, &frame, 0, 100, 9, &got, &err), MRD_E_LIMIT);
    assert_non_null(strstr(err.text, "more than 9 samples"));
    frame = frame_of(&buf);
    assert_int_equal(read_frame(&columns, &frame, 0, 100, 10, &got, &err), MRD_OK);
    assert_int_equal(got.count, 5);
    mrd_columns_fini(&columns);
    mrd_buf_fini(&buf);
}

static void histograms_count_where_both_have_a_time(void **state)
{
    (void)state;
    enum { CHUNKS = 8, TIMES = 200 };
    uint32_t random = 777;
    struct mrd_columns columns = {0};
    for (int round = 0; round < 200; round++) {
        uint64_t want[2][TIMES]; /* floats, histograms */
        bool present[2][TIMES] = {{false}};
        struct mrd_buf buf = {0};
        mrd_frame_write_head(&buf, MRD_BYTES("\1a\1b"), CHUNKS);
        for (int c = 0; c < CHUNKS; c++) {
            random = random * 1664525 + 1013904223;
            const mrd_time_ms first = (random >> 8) % 100;
            const mrd_time_ms step = 1 + (random >> 20) % 3;
            const uint32_t count = 1 + (random >> 24) % 30;
            const int kind = (random >> 16) % 2;
            if (kind == 0) {
                write_chunk(&buf, first, step, count, c * 1000);
            } else {
                write_histogram_chunk(&buf, first, step, count, (uint64_t)c * 1000);
            }
            for (uint32_t i = 0; i < count; i++) {
                want[kind][first + (mrd_time_ms)i * step] = (uint64_t)c * 1000 + i;
                present[kind][first + (mrd_time_ms)i * step] = true;
            }
        }
        struct mrd_frame frame = frame_of(&buf);
        struct mrd_samples floats;
        struct mrd_histograms histograms;
        mrd_columns_begin(&columns);
        assert_int_equal(mrd_columns_add(&columns, &frame, 10000, NULL), MRD_OK);
        assert_int_equal(mrd_columns_finish(&columns, 10, 90, &floats, &histograms, NULL), MRD_OK);
        size_t at[2] = {0, 0};
        for (mrd_time_ms t = 10; t <= 90; t++) {
            if (present[1][t]) {
                assert_true(at[1] < histograms.count && histograms.times_ms[at[1]] == t);
                assert_int_equal(histograms.items[at[1]].count.integer, want[1][t]);
                assert_int_equal(histograms.items[at[1]++].positive.buckets[0].integer, want[1][t]);
            } else if (present[0][t]) {
                assert_true(at[0] < floats.count && floats.times_ms[at[0]] == t);
                assert_true(floats.values[at[0]++] == (double)want[0][t]);
            }
        }
        assert_int_equal(at[0], floats.count);
        assert_int_equal(at[1], histograms.count);
        mrd_buf_fini(&buf);
    }
    mrd_columns_fini(&columns);
}

/* ---- start times ---- */

static void write_started_chunk(struct mrd_buf *out, mrd_time_ms first, uint32_t count,
                                mrd_time_ms start_ms)
{
    mrd_time_ms times_ms[64];
    mrd_time_ms starts_ms[64];
    double values[64];
    uint8_t bytes[64 * 32];
    for (uint32_t i = 0; i < count; i++) {
        times_ms[i] = first + i;
        starts_ms[i] = start_ms;
        values[i] = (double)start_ms;
    }
    struct mrd_chunk chunk = {.count = count, .bytes = {.data = bytes}};
    chunk.bytes.size =
        mrd_chunk_encode_started(times_ms, values, starts_ms, count, bytes, &chunk.encoding);
    mrd_frame_write_chunk(out, &chunk);
}

/* Chunks of values that are their own start times, 0 for none: whichever wins, the two must agree. */
static void a_sample_keeps_its_own_start_time_wherever_chunks_overlap(void **state)
{
    (void)state;
    enum { CHUNKS = 7, TIMES = 120 };
    uint32_t random = 4711;
    struct mrd_columns columns = {0};
    for (size_t round = 0; round < 300; round++) {
        const bool any = round % 10 != 0;
        struct mrd_buf buf = {0};
        mrd_time_ms want[TIMES];
        memset(want, 0xff, sizeof(want));
        mrd_frame_write_head(&buf, MRD_BYTES("\1a\1b"), CHUNKS);
        for (size_t c = 0; c < CHUNKS; c++) {
            random = random * 1664525U + 1013904223U;
            const mrd_time_ms first = random >> 8 & 63;
            const uint32_t count = 1 + (random >> 16) % 50;
            const mrd_time_ms start_ms = any && random >> 30 != 0 ? (mrd_time_ms)(c + 1) * 100 : 0;
            write_started_chunk(&buf, first, count, start_ms);
            for (uint32_t i = 0; i < count; i++) {
                want[first + i] = start_ms;
            }
        }
        struct mrd_frame frame = frame_of(&buf);
        struct mrd_samples samples;
        assert_int_equal(read_frame(&columns, &frame, 5, 100, 10000, &samples, NULL), MRD_OK);
        assert_true(any || samples.start_times_ms == NULL);
        size_t at = 0;
        for (mrd_time_ms t = 5; t <= 100; t++) {
            if (want[t] >= 0) {
                assert_int_equal(samples.times_ms[at], t);
                assert_true(samples.values[at] == (double)want[t]);
                assert_int_equal(samples.start_times_ms == NULL ? 0 : samples.start_times_ms[at],
                                 want[t]);
                at++;
            }
        }
        assert_int_equal(at, samples.count);
        mrd_buf_fini(&buf);
    }
    mrd_columns_fini(&columns);
}

static void histograms_keep_their_start_times_when_they_are_sorted(void **state)
{
    (void)state;
    struct mrd_buf buf = {0};
    struct mrd_columns columns = {0};
    struct mrd_samples floats;
    struct mrd_histograms histograms;
    mrd_frame_write_head(&buf, MRD_BYTES("\1a\1b"), 4);
    write_started_histogram_chunk(&buf, 20, 10, 4, 1, 7); /* 20 .. 50 */
    write_histogram_chunk(&buf, 0, 10, 3, 100);           /* 0 .. 20 */
    write_started_histogram_chunk(&buf, 30, 10, 1, 9, 8); /* 30 */
    write_started_chunk(&buf, 49, 3, 6);                  /* 49, 50, 51 */
    struct mrd_frame frame = frame_of(&buf);
    mrd_columns_begin(&columns);
    assert_int_equal(mrd_columns_add(&columns, &frame, 1000, NULL), MRD_OK);
    assert_int_equal(mrd_columns_finish(&columns, 10, 60, &floats, &histograms, NULL), MRD_OK);
    static const mrd_time_ms want[] = {0, 0, 8, 7, 7}; /* at 10, 20, 30, 40, 50 */
    assert_int_equal(histograms.count, 5);
    assert_memory_equal(histograms.start_times_ms, want, sizeof(want));
    assert_int_equal(floats.count, 2); /* the histogram hides that at 50 */
    assert_int_equal(floats.start_times_ms[0], 6);
    assert_int_equal(floats.start_times_ms[1], 6);
    mrd_buf_clear(&buf);
    mrd_frame_write_head(&buf, MRD_BYTES("\1a\1b"), 2);
    write_histogram_chunk(&buf, 0, 10, 3, 100);
    write_chunk(&buf, 50, 10, 5, 5);
    frame = frame_of(&buf);
    mrd_columns_begin(&columns);
    assert_int_equal(mrd_columns_add(&columns, &frame, 1000, NULL), MRD_OK);
    assert_int_equal(mrd_columns_finish(&columns, 0, 60, &floats, &histograms, NULL), MRD_OK);
    assert_null(histograms.start_times_ms); /* the next series has none */
    assert_null(floats.start_times_ms);
    mrd_columns_fini(&columns);
    mrd_buf_fini(&buf);
}

static void the_histogram_before_a_range_comes_with_it(void **state)
{
    (void)state;
    struct mrd_buf buf = {0};
    struct mrd_columns columns = {0};
    mrd_frame_write_head(&buf, MRD_BYTES("\1a\1b"), 1);
    write_histogram_chunk(&buf, 0, 10, 5, 1); /* 0 .. 40 */
    static const struct {
        mrd_time_ms before_ms;
        mrd_time_ms min_ms;
        mrd_time_ms max_ms;
        mrd_time_ms first_ms;
        size_t count;
    } cases[] = {
        {0,         20,        100, 20, 3},
        {5,         20,        100, 20, 3},
        {10,        20,        100, 10, 4},
        {10,        21,        100, 20, 3},
        {100,       20,        29,  10, 2},
        {100,       21,        29,  0,  0}, /* with nothing that it would tell of */
        {100,       0,         100, 0,  5},
        {INT64_MAX, INT64_MIN, 100, 0,  5},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        struct mrd_frame frame = frame_of(&buf);
        struct mrd_samples floats;
        struct mrd_histograms histograms;
        columns.histograms_before_ms = cases[i].before_ms;
        mrd_columns_begin(&columns);
        assert_int_equal(mrd_columns_add(&columns, &frame, 1000, NULL), MRD_OK);
        assert_int_equal(mrd_columns_finish(&columns, cases[i].min_ms, cases[i].max_ms, &floats,
                                            &histograms, NULL),
                         MRD_OK);
        assert_int_equal(histograms.count, cases[i].count);
        for (size_t k = 0; k < histograms.count; k++) {
            assert_int_equal(histograms.times_ms[k], cases[i].first_ms + 10 * (mrd_time_ms)k);
            assert_int_equal(histograms.items[k].reset, histograms.times_ms[k] == 0
                                                            ? MRD_HISTOGRAM_RESET_UNKNOWN
                                                            : MRD_HISTOGRAM_NO_RESET);
        }
    }
    mrd_columns_fini(&columns);
    mrd_buf_fini(&buf);
}

static void histograms_are_limited_by_their_size(void **state)
{
    (void)state;
    struct mrd_buf buf = {0};
    mrd_frame_write_head(&buf, MRD_BYTES("\1a\1b"), 1);
    write_histogram_chunk(&buf, 0, 10, 10, 5); /* of a weight of 5 each */
    struct mrd_columns columns = {0};
    struct mrd_samples floats;
    struct mrd_histograms histograms;
    struct mrd_error err;
    struct mrd_frame frame = frame_of(&buf);
    mrd_columns_begin(&columns);
    assert_int_equal(mrd_columns_add(&columns, &frame, 49, &err), MRD_E_LIMIT);
    assert_non_null(strstr(err.text, "more than 49 samples"));
    frame = frame_of(&buf);
    mrd_columns_begin(&columns);
    assert_int_equal(mrd_columns_add(&columns, &frame, 50, &err), MRD_OK);
    assert_int_equal(mrd_columns_finish(&columns, 0, 100, &floats, &histograms, NULL), MRD_OK);
    assert_int_equal(histograms.count, 10);
    mrd_columns_fini(&columns);
    columns.histogram_bytes_max = 256;
    frame = frame_of(&buf);
    mrd_columns_begin(&columns);
    assert_int_equal(mrd_columns_add(&columns, &frame, 50, &err), MRD_E_LIMIT);
    mrd_columns_fini(&columns);
    mrd_buf_fini(&buf);
}

struct looks {
    size_t count;
    size_t last; /* the one that ends it; 0: none does */
};

static enum mrd_status count_look(void *context, struct mrd_error *err)
{
    struct looks *looks = context;
    return ++looks->count == looks->last ? mrd_fail(err, MRD_E_CANCELED, "enough") : MRD_OK;
}

/* Chunks that come the latest first: all are merged, pass by pass. */
static void merging_a_long_series_looks_and_the_next_series_is_whole(void **state)
{
    (void)state;
    enum { CHUNKS = 4096, COUNT = 64, SAMPLES = CHUNKS * COUNT, PASSES = 12 };
    struct mrd_buf buf = {0};
    struct looks looks = {0};
    struct mrd_columns columns = {
        .look = {count_look, &looks}
    };
    struct mrd_samples samples;
    mrd_frame_write_head(&buf, MRD_BYTES("\1a\1b"), CHUNKS);
    for (size_t c = 0; c < CHUNKS; c++) {
        write_chunk(&buf, (mrd_time_ms)(CHUNKS - c) * COUNT, 1, COUNT, (double)c);
    }
    struct mrd_frame frame = frame_of(&buf);
    assert_int_equal(read_frame(&columns, &frame, 0, INT64_MAX, SAMPLES, &samples, NULL), MRD_OK);
    assert_int_equal(samples.count, SAMPLES);
    assert_in_range(looks.count, SAMPLES / MRD_PACE_UNITS * PASSES / 2,
                    SAMPLES / MRD_PACE_UNITS * PASSES * 2);
    const size_t total = looks.count;
    for (size_t last = 1; last <= total; last += 1 + last / 2) {
        looks = (struct looks){.last = last};
        frame = frame_of(&buf);
        assert_int_equal(read_frame(&columns, &frame, 0, INT64_MAX, SAMPLES, &samples, NULL),
                         MRD_E_CANCELED);
        assert_int_equal(looks.count, last);
    }
    looks = (struct looks){0};
    frame = frame_of(&buf);
    assert_int_equal(read_frame(&columns, &frame, 0, INT64_MAX, SAMPLES, &samples, NULL), MRD_OK);
    assert_int_equal(samples.count, SAMPLES);
    for (size_t i = 1; i < samples.count; i++) {
        assert_true(samples.times_ms[i - 1] + 1 == samples.times_ms[i]);
    }
    mrd_columns_fini(&columns);
    mrd_buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_that_follow_each_other_are_joined_and_cut_to_the_range),
        cmocka_unit_test(where_chunks_overlap_the_later_chunk_wins),
        cmocka_unit_test(a_series_over_the_limit_is_refused_by_name),
        cmocka_unit_test(histograms_count_where_both_have_a_time),
        cmocka_unit_test(a_sample_keeps_its_own_start_time_wherever_chunks_overlap),
        cmocka_unit_test(histograms_keep_their_start_times_when_they_are_sorted),
        cmocka_unit_test(the_histogram_before_a_range_comes_with_it),
        cmocka_unit_test(histograms_are_limited_by_their_size),
        cmocka_unit_test(merging_a_long_series_looks_and_the_next_series_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
