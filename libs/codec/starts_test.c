#include "codec/chunk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { COUNT_MAX = 300, MINUTE_MS = 60000 };

static const mrd_time_ms T0 = 1790000000000;

static uint64_t random_state;
static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}
static uint64_t random_below(uint64_t limit) { return random_next() % limit; }

static mrd_time_ms times[COUNT_MAX];
static mrd_time_ms starts[COUNT_MAX];
static mrd_time_ms got[COUNT_MAX];
static uint8_t section[COUNT_MAX * MRD_STARTS_SAMPLE_SIZE_MAX];

/* Encodes at once and sample by sample, which must be the same, decodes and compares. Returns the size. */
static size_t round_trip(size_t count)
{
    const size_t size = mrd_starts_encode(times, starts, count, section);
    assert_true(size <= mrd_starts_size_max(count));
    assert_true(mrd_starts_decode((struct mrd_bytes){section, size}, times, count, got));
    assert_memory_equal(got, starts, count * sizeof(got[0]));
    struct mrd_starts_open open = {0};
    struct mrd_buf grown = {0};
    uint8_t run[MRD_STARTS_RUN_SIZE_MAX];
    for (size_t i = 0; i < count; i++) {
        const mrd_time_ms previous_ms = i == 0 ? 0 : times[i - 1];
        mrd_buf_append(&grown, run, mrd_starts_add(&open, times[i], previous_ms, starts[i], run));
        assert_int_equal(open.last_start_ms, starts[i]);
        const size_t before = grown.size; /* as it would be read now */
        mrd_buf_append(&grown, run, mrd_starts_finish(&open, run));
        assert_true(mrd_starts_decode(mrd_buf_view(&grown), times, i + 1, got));
        assert_memory_equal(got, starts, (i + 1) * sizeof(got[0]));
        grown.size = i + 1 < count ? before : grown.size;
    }
    assert_int_equal(grown.size, size);
    assert_memory_equal(grown.data, section, size);
    mrd_buf_fini(&grown);
    return size;
}

/* Times a minute apart, give or take what a scrape or an export is late. */
static void make_times(size_t count, mrd_time_ms late_ms)
{
    for (size_t i = 0; i < count; i++) {
        times[i] = T0 + (mrd_time_ms)i * MINUTE_MS;
        times[i] += late_ms == 0 ? 0 : (mrd_time_ms)random_below((uint64_t)late_ms);
    }
}

static void usual_patterns_take_some_bytes_however_long_they_are(void **state)
{
    (void)state;
    random_state = 7;
    make_times(240, 50);
    for (size_t i = 0; i < 240; i++) {
        starts[i] = T0 - 86400000;
    }
    assert_true(round_trip(240) <= 8); /* a counter */
    for (size_t i = 120; i < 240; i++) {
        starts[i] = times[119] + 7;
    }
    assert_true(round_trip(240) <= 16); /* one reset */
    for (size_t i = 0; i < 240; i++) {
        starts[i] = i == 0 ? T0 - MINUTE_MS : times[i - 1];
    }
    assert_true(round_trip(240) <= 8); /* deltas */
    for (size_t i = 1; i < 240; i++) {
        starts[i] = times[i - 1] + 1;
    }
    assert_true(round_trip(240) <= 8); /* deltas that do not touch */
    for (size_t i = 0; i < 240; i++) {
        starts[i] = times[i] - 1;
    }
    assert_true(round_trip(240) <= 4); /* only that it is a delta */
    for (size_t i = 0; i < 240; i++) {
        starts[i] = times[i];
    }
    assert_true(round_trip(240) <= 4); /* OTLP's unknown start */
    for (size_t i = 0; i < 240; i++) {
        starts[i] = 0;
    }
    assert_true(round_trip(240) <= 2);
}

static mrd_time_ms any_start(size_t i)
{
    static const mrd_time_ms extremes[] = {INT64_MIN, INT64_MAX, 1, -1};
    switch (random_below(8)) {
    case 0:
        return 0;
    case 1:
        return (mrd_time_ms)random_next();
    case 2:
        return extremes[random_below(MRD_ARRAY_LEN(extremes))];
    case 3:
        return i == 0 ? 5 : times[i - 1];
    case 4:
        return times[i] - 1;
    default:
        return i == 0 ? T0 : starts[i - 1];
    }
}

static void any_start_times_come_back(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 500; seed++) {
        random_state = seed * 0x9e3779b97f4a7c15ULL;
        const size_t count = 1 + random_below(COUNT_MAX);
        const bool extreme = random_below(4) == 0;
        make_times(count, MINUTE_MS);
        if (extreme) {
            times[0] = INT64_MIN + 1;
            times[count - 1] = count == 1 ? INT64_MIN + 1 : INT64_MAX;
        }
        for (size_t i = 0; i < count; i++) {
            starts[i] = any_start(i);
        }
        (void)round_trip(count);
    }
}

static void samples_before_the_first_start_time_may_be_skipped(void **state)
{
    (void)state;
    struct mrd_starts_open open = {0};
    struct mrd_buf grown = {0};
    uint8_t run[MRD_STARTS_RUN_SIZE_MAX];
    make_times(5, 0);
    mrd_starts_skip(&open, 3);
    mrd_buf_append(&grown, run, mrd_starts_add(&open, times[3], times[2], T0, run));
    mrd_buf_append(&grown, run, mrd_starts_add(&open, times[4], times[3], 0, run));
    mrd_buf_append(&grown, run, mrd_starts_finish(&open, run));
    const mrd_time_ms want[] = {0, 0, 0, T0, 0};
    assert_true(mrd_starts_decode(mrd_buf_view(&grown), times, 5, got));
    assert_memory_equal(got, want, sizeof(want));
    mrd_buf_fini(&grown);
}

/* docs/formats/chunk.md */
static const struct {
    mrd_time_ms starts_ms[4];
    const char *hex;
} stored[] = {
    {{0, 0, 0, 0},            "10"        },
    {{900, 900, 900, 900},    "11c801"    }, /* 100 before the first time */
    {{900, 1000, 2000, 3000}, "06c8010f00"}, /* then the time of the sample before */
    {{999, 1999, 2999, 3999}, "1202"      }, /* 1 before each */
    {{0, 1001, 2001, 0},      "040b0204"  }, /* 1 after the time of the sample before */
};

static void stored_bytes_keep_their_meaning(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        times[i] = 1000 + (mrd_time_ms)i * 1000;
    }
    for (size_t i = 0; i < MRD_ARRAY_LEN(stored); i++) {
        memcpy(starts, stored[i].starts_ms, sizeof(stored[i].starts_ms));
        const size_t size = round_trip(4);
        char hex[2 * COUNT_MAX] = "";
        for (size_t k = 0; k < size; k++) {
            (void)snprintf(hex + 2 * k, 3, "%02x", section[k]);
        }
        assert_string_equal(hex, stored[i].hex);
    }
}

static void malformed_sections_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } wrong[] = {
        {"",         0}, /* too few samples */
        {"\x0c",     1},
        {"\x14",     1}, /* too many */
        {"\x10\x00", 2}, /* bytes left over */
        {"\x00\x10", 2}, /* a run of none */
        {"\x11",     1}, /* its number is missing */
        {"\x13\x00", 2}, /* no sample before the first */
        {"\x04\x80", 2}, /* half a number */
    };
    make_times(4, 0);
    for (size_t i = 0; i < MRD_ARRAY_LEN(wrong); i++) {
        const struct mrd_bytes bytes = {(const uint8_t *)wrong[i].bytes, wrong[i].size};
        if (mrd_starts_decode(bytes, times, 4, got)) {
            fail_msg("taken: %zu", i);
        }
    }
}

/* ---- in chunks ---- */

static void a_chunk_keeps_its_start_times_and_its_samples(void **state)
{
    (void)state;
    static double values[COUNT_MAX];
    static double got_values[COUNT_MAX];
    static mrd_time_ms got_times[COUNT_MAX];
    static uint8_t bytes[COUNT_MAX * 32];
    static uint8_t plain[COUNT_MAX * 32];
    for (uint64_t seed = 1; seed <= 200; seed++) {
        random_state = seed * 0x9e3779b97f4a7c15ULL;
        const size_t count = 1 + random_below(COUNT_MAX);
        make_times(count, 100);
        for (size_t i = 0; i < count; i++) {
            starts[i] = random_below(20) == 0 ? 0 : any_start(i);
            values[i] = seed % 2 == 0 ? (double)i : mrd_double_from_bits(random_next());
        }
        uint8_t encoding;
        const size_t size =
            mrd_chunk_encode_started(times, values, starts, count, bytes, &encoding);
        assert_true(size <= mrd_chunk_size_max_started(count));
        const struct mrd_bytes chunk = {bytes, size};
        assert_int_equal(mrd_chunk_decode(encoding, chunk, count, got_times, got_values, NULL),
                         MRD_OK);
        assert_memory_equal(got_times, times, count * sizeof(times[0]));
        assert_memory_equal(got_values, values, count * sizeof(values[0]));
        assert_int_equal(mrd_chunk_decode_starts(encoding, chunk, count, got_times, got, NULL),
                         MRD_OK);
        assert_memory_equal(got, starts, count * sizeof(starts[0]));
        uint8_t plain_encoding;
        const size_t plain_size = mrd_chunk_encode(times, values, count, plain, &plain_encoding);
        struct mrd_chunk_parts parts;
        assert_true(mrd_chunk_split(encoding, chunk, &parts));
        assert_int_equal(parts.encoding, plain_encoding);
        assert_int_equal(parts.samples.size, plain_size);
        assert_memory_equal(parts.samples.data, plain, plain_size);
    }
}

static void a_chunk_without_start_times_has_no_byte_of_them(void **state)
{
    (void)state;
    static const double values[3] = {1, 2, 3};
    static const mrd_time_ms none[3];
    uint8_t bytes[128];
    uint8_t plain[128];
    uint8_t encoding;
    uint8_t plain_encoding;
    make_times(3, 0);
    const size_t size = mrd_chunk_encode_started(times, values, none, 3, bytes, &encoding);
    assert_int_equal(mrd_chunk_encode(times, values, 3, plain, &plain_encoding), size);
    assert_int_equal(encoding, plain_encoding);
    assert_memory_equal(bytes, plain, size);
    assert_int_equal(
        mrd_chunk_decode_starts(encoding, (struct mrd_bytes){bytes, size}, 3, times, got, NULL),
        MRD_OK);
    assert_memory_equal(got, none, sizeof(none));
}

static void cut_chunks_with_start_times_are_refused(void **state)
{
    (void)state;
    static const double values[20] = {1, 2, 3};
    static double got_values[20];
    static mrd_time_ms got_times[20];
    uint8_t bytes[20 * 32];
    uint8_t encoding;
    random_state = 11;
    make_times(20, 100);
    for (size_t i = 0; i < 20; i++) {
        starts[i] = any_start(i);
    }
    const size_t size = mrd_chunk_encode_started(times, values, starts, 20, bytes, &encoding);
    for (size_t cut = 0; cut < size; cut++) {
        assert_int_equal(mrd_chunk_decode(encoding, (struct mrd_bytes){bytes, cut}, 20, got_times,
                                          got_values, NULL),
                         MRD_E_CORRUPT);
    }
    for (size_t i = 0; i < size * 8; i++) { /* whatever it says then, within bounds */
        bytes[i / 8] ^= (uint8_t)(1U << i % 8);
        const struct mrd_bytes chunk = {bytes, size};
        if (mrd_chunk_decode(encoding, chunk, 20, got_times, got_values, NULL) == MRD_OK) {
            const enum mrd_status status =
                mrd_chunk_decode_starts(encoding, chunk, 20, got_times, got, NULL);
            assert_true(status == MRD_OK || status == MRD_E_CORRUPT);
        }
        bytes[i / 8] ^= (uint8_t)(1U << i % 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usual_patterns_take_some_bytes_however_long_they_are),
        cmocka_unit_test(any_start_times_come_back),
        cmocka_unit_test(samples_before_the_first_start_time_may_be_skipped),
        cmocka_unit_test(stored_bytes_keep_their_meaning),
        cmocka_unit_test(malformed_sections_are_refused),
        cmocka_unit_test(a_chunk_keeps_its_start_times_and_its_samples),
        cmocka_unit_test(a_chunk_without_start_times_has_no_byte_of_them),
        cmocka_unit_test(cut_chunks_with_start_times_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
