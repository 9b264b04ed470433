#include "codec/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void write_two_frames(struct mrd_buf *buf)
{
    const struct mrd_chunk chunks[] = {
        {MRD_BYTES("abc"), 7,                     MRD_CHUNK_OPEN  },
        {MRD_BYTES(""),    MRD_CHUNK_SAMPLES_MAX, MRD_CHUNK_SEALED},
    };
    mrd_frame_write_head(buf, MRD_BYTES("labels"), 2);
    mrd_frame_write_chunk(buf, &chunks[0]);
    mrd_frame_write_chunk(buf, &chunks[1]);
    mrd_frame_write_head(buf, MRD_BYTES(""), 0);
}

static void frames_come_back_as_written(void **state)
{
    (void)state;
    struct mrd_buf buf = {0};
    write_two_frames(&buf);
    struct mrd_reader reader = mrd_reader_of(mrd_buf_view(&buf));
    struct mrd_frame frame;
    struct mrd_chunk chunk;
    assert_int_equal(mrd_frame_read(&reader, &frame, NULL), MRD_OK);
    assert_true(mrd_bytes_equal(frame.labels, MRD_BYTES("labels")));
    assert_int_equal(frame.chunk_count, 2);
    assert_true(mrd_frame_read_chunk(&frame, &chunk));
    assert_int_equal(chunk.count, 7);
    assert_int_equal(chunk.encoding, MRD_CHUNK_OPEN);
    assert_true(mrd_bytes_equal(chunk.bytes, MRD_BYTES("abc")));
    assert_true(mrd_frame_read_chunk(&frame, &chunk));
    assert_int_equal(chunk.count, MRD_CHUNK_SAMPLES_MAX);
    assert_false(mrd_frame_read_chunk(&frame, &chunk));
    assert_int_equal(mrd_frame_read(&reader, &frame, NULL), MRD_OK);
    assert_int_equal(frame.chunk_count, 0);
    assert_false(mrd_frame_read_chunk(&frame, &chunk));
    assert_int_equal(mrd_reader_left(&reader), 0);
    mrd_buf_fini(&buf);
}

/* Reads all frames; how many, or -1. */
static int read_all(struct mrd_bytes bytes)
{
    struct mrd_reader reader = mrd_reader_of(bytes);
    int count = 0;
    while (mrd_reader_left(&reader) > 0) {
        struct mrd_frame frame;
        if (mrd_frame_read(&reader, &frame, NULL) != MRD_OK) {
            return -1;
        }
        struct mrd_chunk chunk;
        uint32_t chunks = 0;
        while (mrd_frame_read_chunk(&frame, &chunk)) {
            chunks++;
        }
        assert_int_equal(chunks, frame.chunk_count);
        count++;
    }
    return count;
}

static void cut_frames_are_refused(void **state)
{
    (void)state;
    struct mrd_buf buf = {0};
    write_two_frames(&buf);
    for (size_t size = 1; size <= buf.size; size++) {
        uint8_t *exact = malloc(size);
        memcpy(exact, buf.data, size);
        const int want = size == buf.size ? 2 : size == buf.size - 2 ? 1 : -1;
        assert_int_equal(read_all((struct mrd_bytes){exact, size}), want);
        free(exact);
    }
    mrd_buf_fini(&buf);
}

static void impossible_counts_are_refused(void **state)
{
    (void)state;
    static const struct mrd_bytes bad[] = {
        {(const uint8_t *)"\x00\x01\x00\x00\x00",                         5 }, /* a chunk of no samples */
        {(const uint8_t *)"\x00\x01\x00\x81\x20\x00",                     6 }, /* of 4097 */
        {(const uint8_t *)"\x00\x05\x00\x01\x00",                         5 }, /* more chunks than bytes */
        {(const uint8_t *)"\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},
        {(const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",     10},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(bad); i++) {
        assert_int_equal(read_all(bad[i]), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_come_back_as_written),
        cmocka_unit_test(cut_frames_are_refused),
        cmocka_unit_test(impossible_counts_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
