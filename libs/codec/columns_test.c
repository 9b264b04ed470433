#include "codec/columns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

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
    return mrd_columns_finish(columns, min_ms, max_ms, out, err);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_that_follow_each_other_are_joined_and_cut_to_the_range),
        cmocka_unit_test(where_chunks_overlap_the_later_chunk_wins),
        cmocka_unit_test(a_series_over_the_limit_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
