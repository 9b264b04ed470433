/* The encoder against bytes worked out by hand from the format, and against a reader written here. */
#include "codec/xor_chunk.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- a reader: bit by bit, as the format is described ---- */

struct bits {
    struct mrd_bytes bytes;
    size_t at;
};

static uint64_t take(struct bits *bits, unsigned width)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < width; i++, bits->at++) {
        assert_true(bits->at / 8 < bits->bytes.size);
        value = value << 1 | (bits->bytes.data[bits->at / 8] >> (7 - bits->at % 8) & 1);
    }
    return value;
}

static uint64_t take_varint(struct bits *bits)
{
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        const uint64_t byte = take(bits, 8);
        value |= (byte & 0x7f) << shift;
        if (byte < 0x80) {
            return value;
        }
    }
}

static int64_t take_delta_of_delta(struct bits *bits)
{
    static const unsigned widths[] = {0, 14, 17, 20, 64};
    unsigned kind = 0;
    while (kind < 4 && take(bits, 1) == 1) {
        kind++;
    }
    const unsigned width = widths[kind];
    const uint64_t value = take(bits, width);
    if (width == 0 || width == 64) {
        return (int64_t)value;
    }
    return value > (uint64_t)1 << (width - 1) ? (int64_t)value - ((int64_t)1 << width)
                                              : (int64_t)value;
}

struct value_state {
    uint64_t bits;
    unsigned leading, trailing;
};

static void take_value(struct bits *bits, struct value_state *state)
{
    if (take(bits, 1) == 0) {
        return;
    }
    if (take(bits, 1) == 1) {
        state->leading = (unsigned)take(bits, 5);
        const unsigned width = (unsigned)take(bits, 6);
        state->trailing = 64 - state->leading - (width == 0 ? 64 : width);
    }
    state->bits ^= take(bits, 64 - state->leading - state->trailing) << state->trailing;
}

static void assert_reads_back(const mrd_time_ms *times_ms, const double *values, size_t count)
{
    struct mrd_buf out = {0};
    mrd_xor_chunk_encode(&(struct mrd_samples){times_ms, values, count, NULL}, &out);
    struct bits bits = {mrd_buf_view(&out), 0};
    assert_int_equal(take(&bits, 16), count);
    int64_t time_ms = mrd_zigzag_decode(take_varint(&bits));
    struct value_state state = {.bits = take(&bits, 64)};
    uint64_t delta = 0;
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            delta = i == 1 ? take_varint(&bits) : delta + (uint64_t)take_delta_of_delta(&bits);
            time_ms = (int64_t)((uint64_t)time_ms + delta);
            take_value(&bits, &state);
        }
        assert_int_equal(time_ms, times_ms[i]);
        assert_true(state.bits == mrd_double_bits(values[i]));
    }
    assert_true(out.size * 8 - bits.at < 8); /* nothing behind */
    mrd_buf_fini(&out);
}

/* ---- tests ---- */

static void assert_bytes(const struct mrd_samples *samples, const uint8_t *want, size_t size)
{
    struct mrd_buf out = {0};
    mrd_xor_chunk_encode(samples, &out);
    assert_int_equal(out.size, size);
    assert_memory_equal(out.data, want, size);
    mrd_buf_fini(&out);
}

static void one_sample_is_its_count_time_and_value(void **state)
{
    (void)state;
    const mrd_time_ms times[] = {1000};
    const double values[] = {1.5};
    /* 1000 as a signed varint is 2000: d0 0f. 1.5 is 3ff8000000000000. */
    static const uint8_t want[] = {0, 1, 0xd0, 0x0f, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0};
    assert_bytes(&(struct mrd_samples){times, values, 1, NULL}, want, sizeof(want));
}

static void further_samples_are_changes_of_changes(void **state)
{
    (void)state;
    /* Deltas 15, 15, 16; values 1, 1, 2, 2.
     * 1 is 3ff0..., 2 is 4000...: their xor 7ff0... has 1 leading zero, 52 trailing, 11 bits of ones. */
    const mrd_time_ms times[] = {0, 15, 30, 46};
    const double values[] = {1, 1, 2, 2};
    /* u16 4 | 00 | 3ff0000000000000 | 0f, then the bits
     *   0                        v1 the same
     *   0                        t2: delta of delta 0
     *   11 00001 001011 11111111111   v2: new window
     *   10 00000000000001        t3: delta of delta 1
     *   0                        v3 the same
     * 0011 0000 | 1001 0111 | 1111 1111 | 1110 0000 | 0000 0000 | 0010 -> the last: 10 00000000000001 0
     * begins after 26 bits: 00 11 00001 001011 11111111111 = 26 bits. */
    static const uint8_t want[] = {0, 4, 0x00, 0x3f, 0xf0, 0,    0,    0,    0,
                                   0, 0, 0x0f, 0x30, 0x97, 0xff, 0xe0, 0x00, 0x40};
    assert_bytes(&(struct mrd_samples){times, values, 4, NULL}, want, sizeof(want));
}

static void every_class_of_times_reads_back_at_its_edges(void **state)
{
    (void)state;
    static const int64_t changes[] = {0,      1,       -1,      8192,   8193,   -8191,
                                      -8192,  65536,   65537,   -65535, -65536, 524288,
                                      524289, -524287, -524288, 1 << 30};
    for (size_t i = 0; i < MRD_ARRAY_LEN(changes); i++) {
        const mrd_time_ms start = -5;
        const mrd_time_ms delta = 2000000;
        const mrd_time_ms times[] = {start, start + delta, start + 2 * delta + changes[i],
                                     start + 3 * delta + changes[i] + 7};
        const double values[] = {0, -0.0, 5e-324, 1e300};
        assert_reads_back(times, values, 4);
    }
    const mrd_time_ms far[] = {INT64_MIN, -1, 0, INT64_MAX};
    const double any[] = {INFINITY, NAN, 0.1, -0.1};
    assert_reads_back(far, any, 4);
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return *state >> 11;
}

static void values_of_every_shape_read_back(void **state)
{
    (void)state;
    enum { COUNT = MRD_XOR_CHUNK_SAMPLES };
    uint64_t random = 4711;
    for (int round = 0; round < 300; round++) {
        mrd_time_ms times[COUNT];
        double values[COUNT];
        for (size_t i = 0; i < COUNT; i++) {
            const uint64_t r = next_random(&random);
            times[i] = (i == 0 ? -1000 : times[i - 1]) + 1 +
                       (int64_t)(r % (round % 3 == 0 ? 3 : 1U << (round % 30)));
            values[i] = round % 4 == 0   ? (double)(r % 100)
                        : round % 4 == 1 ? mrd_double_from_bits(r << (r % 60))
                        : i % 7 == 3     ? mrd_stale_nan()
                                         : (double)(r % 1000) / 10;
        }
        assert_reads_back(times, values, (size_t)(1 + round % COUNT));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_sample_is_its_count_time_and_value),
        cmocka_unit_test(further_samples_are_changes_of_changes),
        cmocka_unit_test(every_class_of_times_reads_back_at_its_edges),
        cmocka_unit_test(values_of_every_shape_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
