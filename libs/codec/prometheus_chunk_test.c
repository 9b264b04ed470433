/* Chunks come back from the encoders bit for bit, and broken ones are refused. That Prometheus reads and writes the same
 * bytes is seen in xor_chunk_test.c, varbit_chunk_test.c and below, and by tests/codec/prometheus_chunks at length. */
#include "codec/prometheus_chunk.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/varbit_chunk.h"
#include "codec/xor2_chunk.h"
#include "codec/xor_chunk.h"

enum { SAMPLES = 500, ROUNDS = 200, ARENA_BYTES = 16 << 20 };

struct random {
    uint64_t state;
};

static uint64_t draw(struct random *random, uint64_t below)
{
    random->state = random->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (random->state >> 16) % below;
}

static int arena_make(void **state)
{
    *state = mrd_arena_create("test", ARENA_BYTES);
    return 0;
}

static int arena_drop(void **state)
{
    struct mrd_arena *arena = *state;
    mrd_arena_destroy(&arena);
    return 0;
}

/* ---- floats ---- */

struct floats {
    mrd_time_ms times_ms[SAMPLES];
    mrd_time_ms starts_ms[SAMPLES];
    double values[SAMPLES];
};

static double value_draw(struct random *random, double before)
{
    static const double odd[] = {0.0, -0.0, 1.0, 5e-324, 1e308};
    switch (draw(random, 8)) {
    case 0:
        return mrd_stale_nan();
    case 1:
        return mrd_double_from_bits(random->state);
    case 2:
        return odd[draw(random, MRD_ARRAY_LEN(odd))];
    case 3:
        return mrd_is_stale(before) ? 7 : before + 1;
    default:
        return before;
    }
}

static mrd_time_ms step_draw(struct random *random)
{
    static const unsigned widths[] = {3, 12, 13, 16, 20, 40};
    return draw(random, 3) > 0
               ? 15000
               : 1 + (mrd_time_ms)draw(random, UINT64_C(1) << widths[draw(random, 6)]);
}

static void floats_draw(struct random *random, size_t count, bool starts, struct floats *out)
{
    mrd_time_ms time_ms = (mrd_time_ms)draw(random, UINT64_C(1) << 42) - (INT64_C(1) << 41);
    double value = 1;
    mrd_time_ms start_ms = draw(random, 2) == 0 ? 0 : time_ms - 1000;
    for (size_t i = 0; i < count; i++) {
        value = value_draw(random, value);
        out->times_ms[i] = time_ms;
        out->values[i] = value;
        if (draw(random, 50) == 0) {
            start_ms = draw(random, 3) == 0 ? 0 : time_ms - (mrd_time_ms)draw(random, 100000);
        }
        out->starts_ms[i] = starts ? start_ms : 0;
        time_ms += step_draw(random);
    }
}

static bool any_known(const mrd_time_ms *starts_ms, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (starts_ms[i] != 0) {
            return true;
        }
    }
    return false;
}

static void assert_same_times(const mrd_time_ms *got, const mrd_time_ms *want, size_t count)
{
    if (got == NULL) {
        assert_false(any_known(want, count));
    } else {
        assert_memory_equal(got, want, count * sizeof(*want));
    }
}

static void assert_floats(struct mrd_arena *arena, unsigned encoding, struct mrd_bytes bytes,
                          const struct floats *want, size_t count)
{
    struct mrd_prometheus_chunk chunk;
    struct mrd_error err;
    mrd_arena_reset(arena);
    if (mrd_prometheus_chunk_decode(encoding, bytes, arena, &chunk, &err) != MRD_OK) {
        fail_msg("encoding %u: %s", encoding, err.text);
    }
    assert_int_equal(chunk.samples.count, count);
    assert_int_equal(chunk.histograms.count, 0);
    assert_memory_equal(chunk.samples.times_ms, want->times_ms, count * sizeof(mrd_time_ms));
    assert_memory_equal(chunk.samples.values, want->values, count * sizeof(double));
    assert_same_times(chunk.samples.start_times_ms, want->starts_ms, count);
}

static void floats_come_back(void **state)
{
    struct random random = {1};
    static struct floats floats;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct mrd_buf out = {0};
        const size_t count = 1 + (size_t)draw(&random, SAMPLES);
        floats_draw(&random, count, false, &floats);
        mrd_xor_chunk_encode(&(struct mrd_samples){floats.times_ms, floats.values, count, NULL},
                             &out);
        assert_floats(*state, MRD_PROMETHEUS_XOR, mrd_buf_view(&out), &floats, count);
        mrd_buf_clear(&out);
        floats_draw(&random, count, round % 2 == 0, &floats);
        mrd_xor2_chunk_encode(
            &(struct mrd_samples){floats.times_ms, floats.values, count, floats.starts_ms}, &out);
        assert_floats(*state, MRD_PROMETHEUS_XOR2, mrd_buf_view(&out), &floats, count);
        mrd_buf_fini(&out);
    }
}

/* ---- histograms ---- */

struct histograms {
    mrd_time_ms times_ms[SAMPLES];
    mrd_time_ms starts_ms[SAMPLES];
    struct mrd_histogram items[SAMPLES];
    union mrd_histogram_count buckets[SAMPLES][5];
};

static void histogram_draw(struct random *random, bool is_float, union mrd_histogram_count *buckets,
                           struct mrd_histogram *out)
{
    static const struct mrd_histogram_span positive[] = {
        {-3, 2},
        {5,  1}
    };
    static const struct mrd_histogram_span negative[] = {
        {0, 2}
    };
    uint64_t total = 0;
    for (size_t i = 0; i < 5; i++) {
        const uint64_t count = draw(random, UINT64_C(1) << (1 + draw(random, 40)));
        total += count;
        buckets[i] = is_float ? (union mrd_histogram_count){.real = (double)count / 3}
                              : (union mrd_histogram_count){.integer = count};
    }
    *out = (struct mrd_histogram){
        .is_float = is_float,
        .reset = MRD_HISTOGRAM_GAUGE,
        .schema = 2,
        .zero_threshold = 0.001,
        .sum = (double)total / 7,
        .positive = {positive, buckets,     2, 3},
        .negative = {negative, buckets + 3, 1, 2},
    };
    out->count = is_float ? (union mrd_histogram_count){.real = (double)total / 3}
                          : (union mrd_histogram_count){.integer = total};
}

static void histograms_draw(struct random *random, bool is_float, struct histograms *out)
{
    mrd_time_ms time_ms = 1600000000000;
    mrd_time_ms start_ms = 0;
    for (size_t i = 0; i < SAMPLES; i++) {
        time_ms += step_draw(random);
        if (draw(random, 60) == 0) {
            start_ms = time_ms - (mrd_time_ms)draw(random, 100000);
        }
        out->times_ms[i] = time_ms;
        out->starts_ms[i] = start_ms;
        histogram_draw(random, is_float, out->buckets[i], &out->items[i]);
        if (draw(random, 40) == 0) {
            out->items[i] = (struct mrd_histogram){.is_float = is_float, .sum = mrd_stale_nan()};
        }
    }
}

static void assert_side(const struct mrd_histogram_side *got, const struct mrd_histogram_side *want)
{
    assert_int_equal(got->span_count, want->span_count);
    assert_int_equal(got->bucket_count, want->bucket_count);
    for (size_t i = 0; i < want->span_count; i++) {
        assert_int_equal(got->spans[i].offset, want->spans[i].offset);
        assert_int_equal(got->spans[i].length, want->spans[i].length);
    }
    for (size_t i = 0; i < want->bucket_count; i++) {
        assert_int_equal(got->buckets[i].integer, want->buckets[i].integer); /* the bits */
    }
}

static void assert_histogram(const struct mrd_histogram *got, const struct mrd_histogram *want)
{
    assert_int_equal(got->is_float, want->is_float);
    assert_true(mrd_double_bits(got->sum) == mrd_double_bits(want->sum));
    assert_int_equal(got->schema, want->schema);
    assert_true(got->zero_threshold == want->zero_threshold);
    assert_int_equal(got->count.integer, want->count.integer);
    assert_int_equal(got->zero_count.integer, want->zero_count.integer);
    assert_side(&got->positive, &want->positive);
    assert_side(&got->negative, &want->negative);
    assert_int_equal(got->custom_value_count, want->custom_value_count);
    for (size_t i = 0; i < want->custom_value_count; i++) {
        assert_true(got->custom_values[i] == want->custom_values[i]);
    }
    if (!mrd_histogram_is_stale(want)) {
        assert_int_equal(got->reset, want->reset);
    }
}

static void chunk_comes_back(struct mrd_arena *arena, const struct histograms *all, bool starts,
                             size_t *at)
{
    static const mrd_time_ms none[SAMPLES];
    struct mrd_buf out = {0};
    struct mrd_prometheus_chunk chunk;
    enum mrd_varbit_encoding encoding;
    const struct mrd_histograms rest = {all->times_ms + *at, all->items + *at, SAMPLES - *at,
                                        all->starts_ms + *at};
    const size_t count = mrd_varbit_chunk_encode(&rest, starts, &encoding, &out);
    mrd_arena_reset(arena);
    assert_int_equal(mrd_prometheus_chunk_decode(encoding, mrd_buf_view(&out), arena, &chunk, NULL),
                     MRD_OK);
    assert_int_equal(chunk.histograms.count, count);
    assert_int_equal(chunk.samples.count, 0);
    assert_memory_equal(chunk.histograms.times_ms, rest.times_ms, count * sizeof(mrd_time_ms));
    assert_same_times(chunk.histograms.start_times_ms, starts ? rest.start_times_ms : none, count);
    for (size_t i = 0; i < count; i++) {
        assert_histogram(&chunk.histograms.items[i], &rest.items[i]);
    }
    mrd_buf_fini(&out);
    *at += count;
}

static void histograms_come_back(void **state)
{
    struct random random = {2};
    static struct histograms histograms;
    for (unsigned round = 0; round < 8; round++) {
        histograms_draw(&random, round % 2 == 0, &histograms);
        for (size_t at = 0; at < SAMPLES;) {
            chunk_comes_back(*state, &histograms, round % 4 < 2, &at);
        }
    }
}

static void custom_bounds_come_back(void **state)
{
    static const struct mrd_histogram_span span = {0, 3};
    static const double bounds[] = {-1.5, 0.001, 33554.43, 33554.432, 1e300};
    static const union mrd_histogram_count buckets[] = {{1}, {2}, {3}};
    const mrd_time_ms time_ms = -1;
    const struct mrd_histogram one = {
        .schema = MRD_HISTOGRAM_SCHEMA_CUSTOM,
        .count.integer = 6,
        .positive = {&span, buckets, 1, 3},
        .custom_values = bounds,
        .custom_value_count = MRD_ARRAY_LEN(bounds),
    };
    struct mrd_buf out = {0};
    struct mrd_prometheus_chunk chunk;
    enum mrd_varbit_encoding encoding;
    assert_int_equal(mrd_varbit_chunk_encode(&(struct mrd_histograms){&time_ms, &one, 1, NULL},
                                             false, &encoding, &out),
                     1);
    assert_int_equal(
        mrd_prometheus_chunk_decode(encoding, mrd_buf_view(&out), *state, &chunk, NULL), MRD_OK);
    assert_histogram(&chunk.histograms.items[0], &one);
    mrd_buf_fini(&out);
}

static void within_a_chunk_of_counters_nothing_was_reset(void **state)
{
    static const struct mrd_histogram_span span = {0, 1};
    static const union mrd_histogram_count buckets[] = {{1}, {2}};
    const mrd_time_ms times_ms[] = {1, 2};
    struct mrd_histogram items[2];
    for (size_t i = 0; i < 2; i++) {
        items[i] = (struct mrd_histogram){
            .count = buckets[i], .positive = {&span, &buckets[i], 1, 1}
        };
    }
    struct mrd_buf out = {0};
    struct mrd_prometheus_chunk chunk;
    enum mrd_varbit_encoding encoding;
    assert_int_equal(mrd_varbit_chunk_encode(&(struct mrd_histograms){times_ms, items, 2, NULL},
                                             false, &encoding, &out),
                     2);
    assert_int_equal(
        mrd_prometheus_chunk_decode(encoding, mrd_buf_view(&out), *state, &chunk, NULL), MRD_OK);
    assert_int_equal(chunk.histograms.items[0].reset, MRD_HISTOGRAM_RESET_UNKNOWN);
    assert_int_equal(chunk.histograms.items[1].reset, MRD_HISTOGRAM_NO_RESET);
    mrd_buf_fini(&out);
}

/* ---- broken chunks ---- */

static void a_chunk_that_is_cut_off_is_refused(void **state)
{
    struct random random = {3};
    static struct floats floats;
    struct mrd_buf out = {0};
    struct mrd_prometheus_chunk chunk;
    floats_draw(&random, 40, true, &floats);
    mrd_xor2_chunk_encode(
        &(struct mrd_samples){floats.times_ms, floats.values, 40, floats.starts_ms}, &out);
    for (size_t size = 0; size < out.size; size++) {
        mrd_arena_reset(*state);
        assert_int_equal(mrd_prometheus_chunk_decode(MRD_PROMETHEUS_XOR2,
                                                     (struct mrd_bytes){out.data, size}, *state,
                                                     &chunk, NULL),
                         MRD_E_CORRUPT);
    }
    mrd_buf_clear(&out);
    mrd_xor_chunk_encode(&(struct mrd_samples){floats.times_ms, floats.values, 40, NULL}, &out);
    for (size_t size = 0; size < out.size; size++) {
        mrd_arena_reset(*state);
        assert_int_equal(mrd_prometheus_chunk_decode(MRD_PROMETHEUS_XOR,
                                                     (struct mrd_bytes){out.data, size}, *state,
                                                     &chunk, NULL),
                         MRD_E_CORRUPT);
    }
    mrd_buf_fini(&out);
}

static void what_no_encoder_writes_is_refused(void **state)
{
    static const uint8_t backwards[] = {0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}; /* delta 0 */
    static const uint8_t schema[] = {0, 1, 0, 0, 0xf0, 0x7f, 0xff, 0xff, 0xff, 0xff};
    struct mrd_prometheus_chunk chunk;
    assert_int_equal(mrd_prometheus_chunk_decode(MRD_PROMETHEUS_XOR,
                                                 (struct mrd_bytes){backwards, sizeof(backwards)},
                                                 *state, &chunk, NULL),
                     MRD_E_CORRUPT);
    assert_int_equal(mrd_prometheus_chunk_decode(MRD_PROMETHEUS_HISTOGRAM,
                                                 (struct mrd_bytes){schema, sizeof(schema)}, *state,
                                                 &chunk, NULL),
                     MRD_E_CORRUPT);
    assert_int_equal(mrd_prometheus_chunk_decode(7, (struct mrd_bytes){schema, sizeof(schema)},
                                                 *state, &chunk, NULL),
                     MRD_E_UNSUPPORTED);
}

static void memory_is_the_arenas(void **state)
{
    (void)state;
    struct random random = {4};
    static struct floats floats;
    struct mrd_buf out = {0};
    struct mrd_prometheus_chunk chunk;
    enum mrd_status status = MRD_E_LIMIT;
    floats_draw(&random, SAMPLES, true, &floats);
    mrd_xor2_chunk_encode(
        &(struct mrd_samples){floats.times_ms, floats.values, SAMPLES, floats.starts_ms}, &out);
    for (size_t limit = 1; status != MRD_OK; limit *= 2) {
        struct mrd_arena *arena = mrd_arena_create("small", limit);
        status = mrd_prometheus_chunk_decode(MRD_PROMETHEUS_XOR2, mrd_buf_view(&out), arena, &chunk,
                                             NULL);
        assert_true(status == MRD_OK || status == MRD_E_LIMIT);
        assert_true(limit < ARENA_BYTES);
        mrd_arena_destroy(&arena);
    }
    mrd_buf_fini(&out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, arena_make, arena_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(floats_come_back),
        TEST(histograms_come_back),
        TEST(custom_bounds_come_back),
        TEST(within_a_chunk_of_counters_nothing_was_reset),
        TEST(a_chunk_that_is_cut_off_is_refused),
        TEST(what_no_encoder_writes_is_refused),
        TEST(memory_is_the_arenas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
