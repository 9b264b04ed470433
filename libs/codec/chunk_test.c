#include "codec/chunk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { COUNT_MAX = MRD_CHUNK_SAMPLES_MAX };

static mrd_time_ms times[COUNT_MAX];
static double values[COUNT_MAX];
static mrd_time_ms got_times[COUNT_MAX];
static double got_values[COUNT_MAX];
static uint8_t sealed[COUNT_MAX * 16];
static uint64_t words[MRD_CHUNK_OPEN_SIZE_MAX / 8 + 1];

static uint64_t random_state = 88172645463325252ULL;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* ---- shapes of series ---- */

static double constant_value(size_t i, double last) { return (void)i, (void)last, 42.5; }
static double counter_value(size_t i, double last)
{
    return i == 0 ? 1e6 : last + (double)(next_random() % 1000);
}
static double reset_value(size_t i, double last)
{
    return i % 50 == 0 ? 0 : last + (double)(next_random() % 100000);
}
static double sensor_value(size_t i, double last)
{
    (void)i, (void)last;
    return (double)(2000 + next_random() % 500) / 100;
}
static double deepening_value(size_t i, double last)
{
    (void)last;
    static const double divisors[] = {1, 10, 1000, 1e6, 1e9, 1e14};
    return (double)(next_random() % 1000) / divisors[(i / 3) % 6];
}
static double mantissa_value(size_t i, double last)
{
    (void)i, (void)last;
    return 20 + (double)(next_random() >> 11) * 0x1p-53;
}
static double single_value(size_t i, double last)
{
    (void)i, (void)last;
    return (double)(float)((double)(next_random() % 1000003) / 977);
}
static double any_value(size_t i, double last)
{
    (void)i, (void)last;
    return mrd_double_from_bits(next_random());
}
static double stale_value(size_t i, double last)
{
    (void)last;
    return i % 40 == 39 ? mrd_stale_nan() : (double)(i % 7);
}
static double odd_value(size_t i, double last)
{
    (void)last;
    static const uint64_t bits[] = {
        0,
        0x8000000000000000ULL, /* -0 */
        MRD_STALE_NAN_BITS,
        MRD_NORMAL_NAN_BITS,
        0xfff8deadbeef0001ULL,
        0x7ff0000000000000ULL,
        0xfff0000000000000ULL,
        1, /* smallest subnormal */
        0x000fffffffffffffULL,
        0x7fefffffffffffffULL, /* greatest finite */
        0x3ff0000000000000ULL,
        0xc340000000000001ULL, /* just below -2^53 */
    };
    return mrd_double_from_bits(bits[next_random() % MRD_ARRAY_LEN(bits)] +
                                (i % 3 == 0 ? next_random() % 2 : 0));
}
static double zeros_value(size_t i, double last)
{
    (void)last;
    return i % 5 == 2 ? -0.0 : 0.0;
}
static double page_value(size_t i, double last)
{
    (void)i, (void)last;
    return (double)(next_random() % 100000 * 4096);
}
static double negative_value(size_t i, double last)
{
    (void)last;
    return (double)((int64_t)(i * 37 % 1000) - 500) / 10;
}

static const struct {
    const char *name;
    double (*next)(size_t i, double last);
    double
        sealed_bytes_max; /* a sample, 240 samples at an exact interval; a regression shows here */
} shapes[] = {
    {"constant",  constant_value,  0.1},
    {"counter",   counter_value,   1.5},
    {"reset",     reset_value,     3.1},
    {"sensor",    sensor_value,    1.3},
    {"deepening", deepening_value, 9  },
    {"mantissa",  mantissa_value,  6.7},
    {"single",    single_value,    4  },
    {"any",       any_value,       8.6},
    {"stale",     stale_value,     1.1},
    {"odd",       odd_value,       9  },
    {"zeros",     zeros_value,     8.5},
    {"page",      page_value,      2.5},
    {"negative",  negative_value,  1.5},
};

static void make_values(size_t shape, size_t count)
{
    double last = 0;
    for (size_t i = 0; i < count; i++) {
        values[i] = last = shapes[shape].next(i, last);
    }
}

enum { RHYTHM_EXACT, RHYTHM_JITTER, RHYTHM_GAPS, RHYTHM_WILD, RHYTHM_EXTREME, RHYTHM_COUNT };

static void make_times(int rhythm, size_t count)
{
    uint64_t at = rhythm == RHYTHM_EXTREME ? (uint64_t)INT64_MIN : 1790000000123ULL;
    for (size_t i = 0; i < count; i++) {
        times[i] = (int64_t)at + (rhythm == RHYTHM_JITTER ? (int64_t)(next_random() % 40) : 0);
        switch (rhythm) {
        case RHYTHM_GAPS:
            at += 15000 * (1 + (next_random() % 20 == 0 ? next_random() % 9 : 0));
            break;
        case RHYTHM_WILD:
            at += 1 + (next_random() >> (24 + next_random() % 39));
            break;
        case RHYTHM_EXTREME:
            at += UINT64_MAX / count;
            break;
        default:
            at += 15000;
        }
    }
}

static void expect_same(const char *what, size_t count)
{
    if (memcmp(times, got_times, count * sizeof(times[0])) != 0) {
        fail_msg("%s: times differ", what);
    }
    for (size_t i = 0; i < count; i++) {
        if (mrd_double_bits(values[i]) != mrd_double_bits(got_values[i])) {
            fail_msg("%s: value %zu is %a, was %a", what, i, got_values[i], values[i]);
        }
    }
}

static size_t expect_sealed_round_trip(const char *what, size_t count)
{
    uint8_t encoding;
    const size_t size = mrd_chunk_encode(times, values, count, sealed, &encoding);
    assert_true(size <= mrd_chunk_size_max(count));
    struct mrd_error err;
    uint8_t *exact = malloc(size); /* so that a read beyond the end is seen */
    memcpy(exact, sealed, size);
    if (mrd_chunk_decode(encoding, (struct mrd_bytes){exact, size}, count, got_times, got_values,
                         &err) != MRD_OK) {
        fail_msg("%s: %s", what, err.text);
    }
    free(exact);
    expect_same(what, count);
    return size;
}

/* Appends what fits and reads it back; returns how many samples did. */
static size_t expect_open_round_trip(const char *what, size_t count)
{
    struct mrd_chunk_open open = {0};
    size_t capacity = 0;
    size_t taken = 0;
    memset(words, 0xa5, sizeof(words)); /* words not in use need no initial value */
    while (taken < count) {
        const struct mrd_chunk_open before = open;
        if (mrd_chunk_open_append(&open, words, capacity, times[taken], values[taken])) {
            taken++;
            continue;
        }
        assert_memory_equal(&before, &open, sizeof(open));
        if (capacity == MRD_CHUNK_OPEN_SIZE_MAX / 8) {
            break;
        }
        capacity++;
    }
    assert_int_equal(open.count, taken);
    assert_true(words[capacity] == 0xa5a5a5a5a5a5a5a5ULL);
    const size_t size = mrd_chunk_open_size(&open);
    uint8_t *exact = malloc(size);
    memcpy(exact, words, size);
    struct mrd_error err;
    if (mrd_chunk_decode(MRD_CHUNK_OPEN, (struct mrd_bytes){exact, size}, taken, got_times,
                         got_values, &err) != MRD_OK) {
        fail_msg("%s: %s", what, err.text);
    }
    free(exact);
    expect_same(what, taken);
    return taken;
}

static void every_shape_comes_back_bit_for_bit(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 2, 3, 4, 31, 32, 33, 34, 35, 64, 65, 120, 240, 1000, 4096};
    for (size_t shape = 0; shape < MRD_ARRAY_LEN(shapes); shape++) {
        for (int rhythm = 0; rhythm < RHYTHM_COUNT; rhythm++) {
            for (size_t k = 0; k < MRD_ARRAY_LEN(counts); k++) {
                char what[100];
                (void)snprintf(what, sizeof(what), "%s, rhythm %d, %zu samples", shapes[shape].name,
                               rhythm, counts[k]);
                make_times(rhythm, counts[k]);
                make_values(shape, counts[k]);
                (void)expect_sealed_round_trip(what, counts[k]);
                const size_t taken = expect_open_round_trip(what, counts[k]);
                assert_true(taken == counts[k] || taken >= 400);
            }
        }
    }
}

static void sealed_sizes_stay_small(void **state)
{
    (void)state;
    for (size_t shape = 0; shape < MRD_ARRAY_LEN(shapes); shape++) {
        make_times(RHYTHM_EXACT, 240);
        make_values(shape, 240);
        const double bytes = (double)expect_sealed_round_trip(shapes[shape].name, 240) / 240;
        if (bytes > shapes[shape].sealed_bytes_max) {
            fail_msg("%s takes %.2f bytes a sample", shapes[shape].name, bytes);
        }
    }
}

/* ---- stored bytes: docs/formats/chunk.md ---- */

static const struct {
    size_t count;
    mrd_time_ms times_ms[6];
    uint64_t bits[6];
    uint8_t encoding;
    const char *sealed; /* hexadecimal */
    const char *open;
} stored[] = {
    {4,
     {1790000000000, 1790000015000, 1790000030000, 1790000045000},
     {0x3ff8000000000000, 0x3ff8000000000000, 0x3ff8000000000000, 0x3ff8000000000000},
     16, "80b083c598689875000000000000f83f",
     "00d8a088410322ef60ea0000"                                            }, /* regular, constant */
    {5,
     {1790000000000, 1790000015002, 1790000030000, 1790000045003, 1790000060001},
     {0x4059000000000000, 0x4059400000000000, 0x4059a00000000000, 0x4059e00000000000,
      0x405a400000000000},
     22, "80b083c59868987500027201d00f1403280a",
     "00d8a088410360c870347590d0e18fbc145125f200"                          }, /* residual, delta */
    {4,
     {-5, 0, 1000000, 1000007},
     {0x4034400000000000, 0x401e000000000000, 0x7ff0000000000002, 0x4035000000000000},
     25, "090a140000b023f4020000820102020000000000f07fdc0b0bfb0400008c0a",
     "f7ffffffffffffff65d29f62f5f9ec083d003e010000000000f8bf1747e801304605"}, /* deltas, frame with an exception */
    {6,
     {1790000000000, 1790000001000, 1790000002000, 1790000003000, 1790000004000, 1790000005000},
     {0x0, 0x41b86a0000000000, 0x41c86a0000000000, 0x41d24f8400000000, 0x41d86a0800000000,
      0x41de848c00000000},
     18, "80b083c59868e807400c00c09a0c011c",
     "00d8a08841032060d0f70000a8613c00006a180f00841ac60300a186f10040a86100"}, /* regular, deltas of deltas */
    {3,
     {1790000000000, 1790000001000, 1790000002000},
     {0x400921fb54442d18, 0x4005bf0a8b145769, 0xbff6a09e667f3bcd},
     19, "80b083c59868e8070fb0b4a1c4eafe90898001ddd6fe9299bcb1038ff69d8685aefef8ff0100",
     "00d8a08841033e460b11d57e4802d0a06fda15c5a2c26f0190cd3b7f669ea0f6bf"  }, /* bits */
    {1,
     {-4611686018427387904},
     {0x8000000000000000},
     0,  "00000000000000c00000000000000080",
     "01000000000000803f0000000000000020"                                  }, /* one sample, raw */
};

static const char *to_hex(struct mrd_bytes bytes)
{
    static char text[1000];
    assert_true(bytes.size * 2 < sizeof(text));
    text[0] = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", bytes.data[i]);
    }
    return text;
}

static void stored_bytes_keep_their_meaning(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(stored); i++) {
        const size_t count = stored[i].count;
        memcpy(times, stored[i].times_ms, count * sizeof(times[0]));
        memcpy(values, stored[i].bits, count * sizeof(values[0]));
        uint8_t encoding;
        const size_t size = mrd_chunk_encode(times, values, count, sealed, &encoding);
        assert_string_equal(to_hex((struct mrd_bytes){sealed, size}), stored[i].sealed);
        assert_int_equal(encoding, stored[i].encoding);
        struct mrd_chunk_open open = {0};
        for (size_t k = 0; k < count; k++) {
            assert_true(mrd_chunk_open_append(&open, words, 100, times[k], values[k]));
        }
        const struct mrd_bytes grown = {(const uint8_t *)words, mrd_chunk_open_size(&open)};
        assert_string_equal(to_hex(grown), stored[i].open);
        (void)expect_sealed_round_trip("stored", count);
        (void)expect_open_round_trip("stored", count);
    }
}

static void equal_input_gives_equal_bytes(void **state)
{
    (void)state;
    static uint8_t again[240 * 16];
    make_times(RHYTHM_JITTER, 240);
    make_values(3, 240);
    uint8_t encoding;
    uint8_t encoding_again;
    const size_t size = mrd_chunk_encode(times, values, 240, sealed, &encoding);
    assert_int_equal(mrd_chunk_encode(times, values, 240, again, &encoding_again), size);
    assert_int_equal(encoding, encoding_again);
    assert_memory_equal(sealed, again, size);
}

static void a_cut_or_longer_chunk_is_refused(void **state)
{
    (void)state;
    make_times(RHYTHM_JITTER, 100);
    for (size_t shape = 0; shape < MRD_ARRAY_LEN(shapes); shape++) {
        make_values(shape, 100);
        uint8_t encoding;
        const size_t size = mrd_chunk_encode(times, values, 100, sealed, &encoding);
        for (size_t cut = 0; cut < size; cut++) {
            assert_int_equal(mrd_chunk_decode(encoding, (struct mrd_bytes){sealed, cut}, 100,
                                              got_times, got_values, NULL),
                             MRD_E_CORRUPT);
        }
        assert_int_equal(mrd_chunk_decode(encoding, (struct mrd_bytes){sealed, size + 1}, 100,
                                          got_times, got_values, NULL),
                         MRD_E_CORRUPT);
    }
}

static void impossible_counts_and_encodings_are_refused(void **state)
{
    (void)state;
    make_times(RHYTHM_EXACT, 10);
    make_values(1, 10);
    uint8_t encoding;
    const size_t size = mrd_chunk_encode(times, values, 10, sealed, &encoding);
    const struct mrd_bytes bytes = {sealed, size};
    static const size_t counts[] = {0, MRD_CHUNK_SAMPLES_MAX + 1, SIZE_MAX};
    for (size_t i = 0; i < MRD_ARRAY_LEN(counts); i++) {
        assert_int_equal(mrd_chunk_decode(encoding, bytes, counts[i], NULL, NULL, NULL),
                         MRD_E_CORRUPT);
    }
    for (unsigned other = 2; other < 256; other++) {
        if (other < MRD_CHUNK_SEALED || other >= MRD_CHUNK_SEALED + 12) {
            assert_int_equal(
                mrd_chunk_decode((uint8_t)other, bytes, 10, got_times, got_values, NULL),
                MRD_E_CORRUPT);
        }
    }
}

static void times_out_of_order_are_refused(void **state)
{
    (void)state;
    const int64_t twice[2] = {5, 5};
    const double two[2] = {1, 2};
    uint8_t raw[32];
    memcpy(raw, twice, 16);
    memcpy(raw + 16, two, 16);
    assert_int_equal(mrd_chunk_decode(MRD_CHUNK_RAW, (struct mrd_bytes){raw, 32}, 2, got_times,
                                      got_values, NULL),
                     MRD_E_CORRUPT);
}

static void damaged_bytes_never_break_the_reader(void **state)
{
    (void)state;
    for (size_t round = 0; round < 20000; round++) {
        const size_t count = 1 + next_random() % 100;
        make_times((int)(next_random() % RHYTHM_COUNT), count);
        make_values(next_random() % MRD_ARRAY_LEN(shapes), count);
        uint8_t encoding;
        const size_t size = mrd_chunk_encode(times, values, count, sealed, &encoding);
        uint8_t *exact = malloc(size);
        memcpy(exact, sealed, size);
        for (size_t k = 0; k < 1 + round % 4; k++) {
            exact[next_random() % size] = (uint8_t)next_random();
        }
        if (round % 3 == 0) {
            encoding = next_random() % 2 == 0 ? MRD_CHUNK_OPEN
                                              : (uint8_t)(MRD_CHUNK_SEALED + next_random() % 12);
        }
        MRD_UNUSED const enum mrd_status ignored = mrd_chunk_decode(
            encoding, (struct mrd_bytes){exact, size}, count, got_times, got_values, NULL);
        free(exact);
    }
}

static void a_reset_open_chunk_starts_anew(void **state)
{
    (void)state;
    struct mrd_chunk_open open = {0};
    make_times(RHYTHM_JITTER, 100);
    make_values(3, 100);
    for (size_t from = 0; from < 100; from += 25) {
        for (size_t i = from; i < from + 25; i++) {
            assert_true(mrd_chunk_open_append(&open, words, 100, times[i], values[i]));
        }
        assert_int_equal(
            mrd_chunk_decode(MRD_CHUNK_OPEN,
                             (struct mrd_bytes){(const uint8_t *)words, mrd_chunk_open_size(&open)},
                             25, got_times, got_values, NULL),
            MRD_OK);
        assert_memory_equal(times + from, got_times, 25 * sizeof(times[0]));
        assert_memory_equal(values + from, got_values, 25 * sizeof(values[0]));
        mrd_chunk_open_reset(&open);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_shape_comes_back_bit_for_bit),
        cmocka_unit_test(sealed_sizes_stay_small),
        cmocka_unit_test(stored_bytes_keep_their_meaning),
        cmocka_unit_test(equal_input_gives_equal_bytes),
        cmocka_unit_test(a_cut_or_longer_chunk_is_refused),
        cmocka_unit_test(impossible_counts_and_encodings_are_refused),
        cmocka_unit_test(times_out_of_order_are_refused),
        cmocka_unit_test(damaged_bytes_never_break_the_reader),
        cmocka_unit_test(a_reset_open_chunk_starts_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
