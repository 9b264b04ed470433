#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "parquet/bitpack.h"
#include "parquet/delta.h"
#include "parquet/rle.h"

static uint64_t chance_state = 88172645463325252ULL;

static uint64_t chance(void)
{
    chance_state ^= chance_state << 13; /* xorshift64 */
    chance_state ^= chance_state >> 7;
    chance_state ^= chance_state << 17;
    return chance_state;
}

static void any_width_packs_and_unpacks(void **state)
{
    (void)state;
    for (unsigned width = 0; width <= 64; width++) {
        for (size_t count = 0; count < 70; count++) {
            uint64_t values[70];
            uint64_t got[70];
            uint32_t got32[70];
            for (size_t i = 0; i < count; i++) {
                values[i] = width == 0 ? 0 : chance() >> (64 - width);
            }
            const size_t size = mrd_pq_packed_size(count, width);
            uint8_t *packed = malloc(size + 1); /* exactly as much as is needed, for ASan */
            uint8_t *exact = malloc(size);
            mrd_pq_pack(values, count, width, packed);
            memcpy(exact, packed, size);
            mrd_pq_unpack64((struct mrd_bytes){exact, size}, width, got, count);
            assert_memory_equal(got, values, count * sizeof(got[0]));
            if (width <= 32) {
                mrd_pq_unpack32((struct mrd_bytes){exact, size}, width, got32, count);
                for (size_t i = 0; i < count; i++) {
                    assert_true(got32[i] == values[i]);
                }
            }
            free(packed);
            free(exact);
        }
    }
}

static void expect_delta_round_trip_of(const int64_t *values, size_t count,
                                       enum mrd_pq_delta_widths widths)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf buf = {0};
    mrd_pq_delta_encode64(values, count, widths, &buf);
    const size_t first_size = buf.size;
    mrd_buf_append_u8(&buf, 0xaa);
    struct mrd_reader in = mrd_reader_of(mrd_buf_view(&buf));
    int64_t *got = calloc(count + 1, sizeof(got[0]));
    assert_true(mrd_pq_delta_decode64(&in, got, count));
    assert_memory_equal(got, values, count * sizeof(got[0]));
    assert_int_equal(mrd_reader_left(&in), 1); /* what follows is left */
    for (size_t cut = 0; cut < first_size; cut += 1 + first_size / 50) {
        in = mrd_reader_of((struct mrd_bytes){buf.data, cut});
        (void)!mrd_pq_delta_decode64(&in, got, count); /* ASan looks on */
    }
    in = mrd_reader_of(mrd_buf_view(&buf));
    assert_false(mrd_pq_delta_decode64(&in, got, count + 1));
    free(got);
}

static void expect_delta_round_trip(const int64_t *values, size_t count)
{
    expect_delta_round_trip_of(values, count, MRD_PQ_DELTA_BITS);
    expect_delta_round_trip_of(values, count, MRD_PQ_DELTA_BYTES);
}

static void deltas_come_back(void **state)
{
    (void)state;
    static int64_t values[1000];
    for (unsigned width = 1; width <= 64; width++) {
        for (size_t count = 0; count <= 1000; count += count < 300 ? 31 : 233) {
            for (size_t i = 0; i < count; i++) {
                values[i] = (int64_t)(chance() >> (64 - width));
            }
            expect_delta_round_trip(values, count);
        }
    }
    const int64_t extremes[] = {INT64_MIN, INT64_MAX, 0, INT64_MIN, -1, INT64_MAX};
    expect_delta_round_trip(extremes, MRD_ARRAY_LEN(extremes));
}

/* Times of one series after the other: as far apart, but where one ends. Each block of 128 that has such a place packs differences that are all
 * the same but for one. */
static void regular_times_come_back(void **state)
{
    (void)state;
    static int64_t values[2000];
    for (unsigned width = 1; width <= 63; width++) {
        for (unsigned round = 0; round < 20; round++) {
            const size_t count = chance() % MRD_ARRAY_LEN(values);
            const int64_t step = (int64_t)(chance() % 1000);
            const uint64_t length = 1 + chance() % 300;
            int64_t value = 0;
            for (size_t i = 0; i < count; i++) {
                const int64_t jump = (int64_t)(chance() >> (64 - width));
                value = i % length == 0 ? (chance() % 2 == 0 ? jump : -jump) : value + step;
                value = chance() % 400 == 0 ? value + 1 : value;
                values[i] = value;
            }
            expect_delta_round_trip(values, count);
        }
    }
}

static void narrow_deltas_wrap_around(void **state)
{
    (void)state;
    const int32_t values[] = {INT32_MIN, INT32_MAX, 0, INT32_MIN, -1, INT32_MAX, 5};
    int32_t got[MRD_ARRAY_LEN(values)];
    mrd_auto(mrd_buf_fini)
    struct mrd_buf buf = {0};
    mrd_pq_delta_encode32(values, MRD_ARRAY_LEN(values), MRD_PQ_DELTA_BYTES, &buf);
    struct mrd_reader in = mrd_reader_of(mrd_buf_view(&buf));
    assert_true(mrd_pq_delta_decode32(&in, got, MRD_ARRAY_LEN(values)));
    assert_memory_equal(got, values, sizeof(values));
}

/* The example of Encodings.md: 7, 5, 3, 1, 2, 3, 4, 5 has a first value of 7 and a least difference of -2. */
static void bytes_are_those_of_the_specification(void **state)
{
    (void)state;
    const int64_t values[] = {7, 5, 3, 1, 2, 3, 4, 5};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf buf = {0};
    mrd_pq_delta_encode64(values, MRD_ARRAY_LEN(values), MRD_PQ_DELTA_BITS, &buf);
    /* block 128, 4 miniblocks, 8 values, first 7; least -2, widths 2 0 0 0; 0,0,0,3,3,3,3 in two bits each */
    const uint8_t want[] = {0x80, 0x01, 0x04, 0x08, 0x0e, 0x03, 0x02, 0, 0,
                            0,    0xc0, 0x3f, 0,    0,    0,    0,    0, 0};
    assert_int_equal(buf.size, sizeof(want));
    assert_memory_equal(buf.data, want, sizeof(want));
}

static void widths_may_be_whole_bytes(void **state)
{
    (void)state;
    const int64_t values[] = {7, 5, 3, 1, 2, 3, 4, 305};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf buf = {0};
    mrd_pq_delta_encode64(values, MRD_ARRAY_LEN(values), MRD_PQ_DELTA_BYTES, &buf);
    const uint8_t want[] = {0x80, 0x01, 0x04, 0x08, 0x0e, 0x03, 16, 0, 0, 0, 0,    0,
                            0,    0,    0,    0,    3,    0,    3,  0, 3, 0, 0x2f, 0x01};
    assert_int_equal(buf.size, 10 + 16 / 8 * 32);
    assert_memory_equal(buf.data, want, sizeof(want));
}

static void hostile_delta_headers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } cases[] = {
        {"\x00\x04\x08\x0e",                         4 }, /* no block */
        {"\x80\x01\x00\x08\x0e",                     5 }, /* no miniblocks */
        {"\x80\x01\x03\x08\x0e",                     5 }, /* 128 / 3 */
        {"\x80\x01\x08\x08\x0e",                     5 }, /* miniblocks of 16 */
        {"\x80\x80\x80\x80\x08\x04\x08\x0e",         8 }, /* a block of 2^31 */
        {"\x80\x01\x04\x08\x0e\x00\x41\x00\x00\x00", 10}, /* 65 bits */
        {"\x80\x01\x04\x08\x0e",                     5 }, /* no block behind the header */
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        int64_t got[8];
        struct mrd_reader in =
            mrd_reader_of((struct mrd_bytes){(const uint8_t *)cases[i].bytes, cases[i].size});
        if (mrd_pq_delta_decode64(&in, got, 8)) {
            fail_msg("case %zu was taken", i);
        }
    }
}

static void expect_rle_round_trip(const uint32_t *values, size_t count, unsigned width)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf buf = {0};
    mrd_pq_rle_encode32(values, count, width, &buf);
    uint32_t *got = calloc(count + 1, sizeof(got[0]));
    struct mrd_reader in = mrd_reader_of(mrd_buf_view(&buf));
    assert_true(mrd_pq_rle_decode32(&in, width, got, count));
    assert_memory_equal(got, values, count * sizeof(got[0]));
    assert_int_equal(mrd_reader_left(&in), 0);
    if (width <= 4) {
        uint8_t *narrow = calloc(count + 1, 2);
        for (size_t i = 0; i < count; i++) {
            narrow[i] = (uint8_t)values[i];
        }
        mrd_auto(mrd_buf_fini)
        struct mrd_buf again = {0};
        mrd_pq_rle_encode8(narrow, count, width, &again);
        assert_true(mrd_bytes_equal(mrd_buf_view(&again), mrd_buf_view(&buf)));
        in = mrd_reader_of(mrd_buf_view(&again));
        assert_true(mrd_pq_rle_decode8(&in, width, narrow + count, count));
        assert_memory_equal(narrow + count, narrow, count);
        free(narrow);
    }
    free(got);
}

static void runs_come_back(void **state)
{
    (void)state;
    static uint32_t values[20000];
    for (unsigned width = 0; width <= 32; width++) {
        for (uint64_t run_max = 1; run_max < 100; run_max *= 3) {
            const size_t count = chance() % MRD_ARRAY_LEN(values);
            for (size_t i = 0; i < count;) {
                const uint32_t value = width == 0 ? 0 : (uint32_t)(chance() >> (64 - width));
                for (uint64_t n = 1 + chance() % run_max; n > 0 && i < count; n--) {
                    values[i++] = value;
                }
            }
            expect_rle_round_trip(values, count, width);
        }
    }
}

static void one_run_is_seen(void **state)
{
    (void)state;
    uint8_t levels[1000];
    memset(levels, 1, sizeof(levels));
    mrd_auto(mrd_buf_fini)
    struct mrd_buf buf = {0};
    mrd_pq_rle_encode8(levels, sizeof(levels), 1, &buf);
    assert_true(mrd_pq_rle_is_one_run(mrd_buf_view(&buf), 1, 1, sizeof(levels)));
    assert_false(mrd_pq_rle_is_one_run(mrd_buf_view(&buf), 1, 0, sizeof(levels)));
    assert_false(mrd_pq_rle_is_one_run(mrd_buf_view(&buf), 1, 1, sizeof(levels) + 1));
}

static void hostile_runs_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } cases[] = {
        {"",                                             0 },
        {"\x00\x01",                                     2 }, /* a run of nothing */
        {"\x20",                                         1 }, /* a run without its value */
        {"\x20\x04",                                     2 }, /* a value of three bits */
        {"\x01",                                         1 }, /* no groups */
        {"\x05\xff",                                     2 }, /* two groups, half of one there */
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        uint32_t got[16];
        struct mrd_reader in =
            mrd_reader_of((struct mrd_bytes){(const uint8_t *)cases[i].bytes, cases[i].size});
        if (mrd_pq_rle_decode32(&in, 2, got, 16)) {
            fail_msg("case %zu was taken", i);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_width_packs_and_unpacks),
        cmocka_unit_test(deltas_come_back),
        cmocka_unit_test(regular_times_come_back),
        cmocka_unit_test(narrow_deltas_wrap_around),
        cmocka_unit_test(bytes_are_those_of_the_specification),
        cmocka_unit_test(widths_may_be_whole_bytes),
        cmocka_unit_test(hostile_delta_headers_are_refused),
        cmocka_unit_test(runs_come_back),
        cmocka_unit_test(one_run_is_seen),
        cmocka_unit_test(hostile_runs_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
