/* Requests are what the server reads, frames what it writes. */
#include "wire/remote_read_client.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { ARENA_BYTES = 1 << 20 };

static void a_request_is_what_the_server_reads(void **state)
{
    (void)state;
    struct mrd_arena *arena = mrd_arena_create("test", ARENA_BYTES);
    struct mrd_matcher matchers[] = {
        {MRD_MATCH_EQ,  MRD_BYTES("__name__"), MRD_BYTES("up"),  NULL},
        {MRD_MATCH_NRE, MRD_BYTES("job"),      MRD_BYTES("a.*"), NULL},
    };
    struct mrd_buf message = {0};
    struct mrd_read_request got;
    mrd_read_request_append(&(struct mrd_read_query){-5, 1600000000000, matchers, 2}, &message);
    assert_int_equal(mrd_read_request_decode(mrd_buf_view(&message), arena, &got, NULL), MRD_OK);
    assert_int_equal(got.kind, MRD_READ_STREAMED);
    assert_int_equal(got.query_count, 1);
    assert_int_equal(got.queries[0].min_ms, -5);
    assert_int_equal(got.queries[0].max_ms, 1600000000000);
    assert_int_equal(got.queries[0].matcher_count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(got.queries[0].matchers[i].type, matchers[i].type);
        assert_true(mrd_bytes_equal(got.queries[0].matchers[i].name, matchers[i].name));
        assert_true(mrd_bytes_equal(got.queries[0].matchers[i].value, matchers[i].value));
    }
    mrd_read_request_fini(&got);
    mrd_buf_fini(&message);
    mrd_arena_destroy(&arena);
}

/* ---- frames ---- */

static const struct mrd_label labels[] = {
    {{(const uint8_t *)"__name__", 8}, {(const uint8_t *)"up", 2}},
    {{(const uint8_t *)"job", 3},      {(const uint8_t *)"a", 1} },
};

static const struct mrd_read_chunk chunks[] = {
    {4, -1,   10,  {(const uint8_t *)"first", 5}    },
    {1, 2000, 99,  {(const uint8_t *)"", 0}         },
    {2, 7,    100, {(const uint8_t *)"and third", 9}},
};

static void frames_make(size_t count, struct mrd_buf *out)
{
    struct mrd_buf label_fields = {0};
    struct mrd_buf chunk_fields = {0};
    mrd_read_labels_append((struct mrd_labels){labels, 2}, &label_fields);
    for (size_t i = 0; i < MRD_ARRAY_LEN(chunks); i++) {
        mrd_read_chunk_append(&chunks[i], &chunk_fields);
    }
    for (size_t i = 0; i < count; i++) {
        mrd_read_frame_append(i, mrd_buf_view(&label_fields), mrd_buf_view(&chunk_fields), out);
    }
    mrd_buf_fini(&label_fields);
    mrd_buf_fini(&chunk_fields);
}

static enum mrd_status frame_check(void *context, struct mrd_bytes message, struct mrd_error *err)
{
    struct mrd_arena *arena = mrd_arena_create("test", ARENA_BYTES);
    struct mrd_read_frame frame;
    assert_int_equal(mrd_read_frame_decode(message, arena, &frame, err), MRD_OK);
    assert_true(mrd_labels_equal(frame.labels, (struct mrd_labels){labels, 2}));
    assert_int_equal(frame.chunk_count, MRD_ARRAY_LEN(chunks));
    for (size_t i = 0; i < MRD_ARRAY_LEN(chunks); i++) {
        assert_int_equal(frame.chunks[i].encoding, chunks[i].encoding);
        assert_int_equal(frame.chunks[i].min_ms, chunks[i].min_ms);
        assert_int_equal(frame.chunks[i].max_ms, chunks[i].max_ms);
        assert_true(mrd_bytes_equal(frame.chunks[i].bytes, chunks[i].bytes));
    }
    mrd_arena_destroy(&arena);
    ++*(size_t *)context;
    return MRD_OK;
}

static void frames_come_whole_however_they_are_cut(void **state)
{
    (void)state;
    enum { FRAMES = 5 };
    struct mrd_buf stream = {0};
    frames_make(FRAMES, &stream);
    for (size_t piece = 1; piece <= stream.size; piece++) {
        struct mrd_read_frames frames = {0};
        size_t count = 0;
        for (size_t at = 0; at < stream.size; at += piece) {
            const struct mrd_bytes bytes = {stream.data + at, MRD_MIN(piece, stream.size - at)};
            assert_int_equal(mrd_read_frames_take(&frames, bytes, frame_check, &count, NULL),
                             MRD_OK);
        }
        assert_int_equal(count, FRAMES);
        assert_int_equal(mrd_read_frames_end(&frames, NULL), MRD_OK);
        mrd_read_frames_fini(&frames);
    }
    mrd_buf_fini(&stream);
}

static void what_is_broken_is_refused(void **state)
{
    (void)state;
    struct mrd_buf stream = {0};
    size_t count = 0;
    frames_make(1, &stream);
    struct mrd_read_frames frames = {0};
    const struct mrd_bytes cut = {stream.data, stream.size - 1};
    assert_int_equal(mrd_read_frames_take(&frames, cut, frame_check, &count, NULL), MRD_OK);
    assert_int_equal(mrd_read_frames_end(&frames, NULL), MRD_E_CORRUPT);
    mrd_read_frames_fini(&frames);
    stream.data[stream.size - 1] ^= 1;
    assert_int_equal(
        mrd_read_frames_take(&frames, mrd_buf_view(&stream), frame_check, &count, NULL),
        MRD_E_CORRUPT);
    mrd_read_frames_fini(&frames);
    assert_int_equal(
        mrd_read_frames_take(&frames, MRD_BYTES("\xff\xff\xff\xff\x0f"), frame_check, &count, NULL),
        MRD_E_LIMIT);
    mrd_read_frames_fini(&frames);
    assert_int_equal(count, 0);
    mrd_buf_fini(&stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_what_the_server_reads),
        cmocka_unit_test(frames_come_whole_however_they_are_cut),
        cmocka_unit_test(what_is_broken_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
