/* Prints random chunks of floats and of native histograms and what is in them, a line each, for check.go. */
#include <inttypes.h>
#include <stdio.h>

#include "codec/varbit_chunk.h"
#include "codec/xor2_chunk.h"
#include "codec/xor_chunk.h"

enum { CHUNKS = 20000, SAMPLES_MAX = 400 };

static uint64_t state = 99;

static uint64_t next_random(void)
{
    state = state * 6364136223846793005U + 1442695040888963407U;
    return state >> 11;
}

static double value_of(size_t chunk, size_t sample, uint64_t random)
{
    switch (chunk % 4) {
    case 0:
        return (double)(random % 100);
    case 1:
        return mrd_double_from_bits(random << (random % 60)); /* anything, NaNs of all kinds too */
    default:
        return sample % 7 == 3 ? mrd_stale_nan() : (double)(random % 1000) / 10;
    }
}

/* Start times that change now and then, from the first sample on or later, or not at all. */
static mrd_time_ms start_of(size_t chunk, mrd_time_ms time_ms, mrd_time_ms before_ms)
{
    const uint64_t random = next_random();
    const uint64_t rate = chunk % 5 == 0 ? 1 : chunk % 5 == 1 ? 400 : 30;
    return random % rate != 0 ? before_ms
           : random % 7 == 0  ? 0
                              : time_ms - (int64_t)(random % 90000);
}

static void print_hex(struct mrd_bytes bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        printf("%02x", bytes.data[i]);
    }
}

static void print_floats(unsigned encoding, const struct mrd_samples *samples)
{
    struct mrd_buf bytes = {0};
    if (encoding == MRD_XOR_CHUNK_ENCODING) {
        mrd_xor_chunk_encode(samples, &bytes);
    } else {
        mrd_xor2_chunk_encode(samples, &bytes);
    }
    printf("%u %zu ", encoding, samples->count);
    print_hex(mrd_buf_view(&bytes));
    for (size_t i = 0; i < samples->count; i++) {
        printf(" %" PRId64 " %" PRIx64 " %" PRId64, samples->times_ms[i],
               mrd_double_bits(samples->values[i]),
               samples->start_times_ms == NULL ? 0 : samples->start_times_ms[i]);
    }
    printf("\n");
    mrd_buf_fini(&bytes);
}

static void print_chunk(size_t chunk)
{
    mrd_time_ms times_ms[SAMPLES_MAX];
    mrd_time_ms starts_ms[SAMPLES_MAX];
    double values[SAMPLES_MAX];
    const size_t count = 1 + next_random() % (chunk % 7 == 0 ? SAMPLES_MAX : 120);
    const uint64_t spread = chunk % 3 == 0 ? 3 : (uint64_t)1 << (chunk % 36);
    for (size_t i = 0; i < count; i++) {
        const uint64_t random = next_random();
        times_ms[i] =
            (i == 0 ? -(int64_t)(random % 5000) : times_ms[i - 1]) + 1 + (int64_t)(random % spread);
        values[i] = value_of(chunk, i, random);
    }
    for (size_t i = 0; i < count; i++) {
        starts_ms[i] = start_of(chunk, times_ms[i], i == 0 ? 0 : starts_ms[i - 1]);
    }
    print_floats(MRD_XOR_CHUNK_ENCODING, &(struct mrd_samples){times_ms, values, count, NULL});
    print_floats(MRD_XOR2_CHUNK_ENCODING,
                 &(struct mrd_samples){times_ms, values, count, chunk % 4 == 3 ? NULL : starts_ms});
}

/* ---- native histograms ---- */

enum { HISTOGRAM_CHUNKS = 5000, HISTOGRAMS_MAX = 150, BUCKETS_MAX = 12 };

/* A series of them under construction: few layouts, counts that mostly grow. */
struct histogram_series {
    mrd_time_ms times_ms[HISTOGRAMS_MAX];
    mrd_time_ms starts_ms[HISTOGRAMS_MAX];
    struct mrd_histogram items[HISTOGRAMS_MAX];
    union mrd_histogram_count buckets[HISTOGRAMS_MAX][2][BUCKETS_MAX];
    struct mrd_histogram_span spans[2][2];
    double bounds[BUCKETS_MAX];
};

/* What was there before and some more; anything if nothing was. */
static union mrd_histogram_count grown(bool is_float, const union mrd_histogram_count *before,
                                       uint64_t more)
{
    if (is_float) {
        const double start = before == NULL ? 0 : before->real;
        return (union mrd_histogram_count){.real = start + (double)more / 4};
    }
    return (union mrd_histogram_count){.integer = more + (before == NULL ? 0 : before->integer)};
}

static void fill_histogram(struct histogram_series *series, size_t at, bool is_float, bool custom)
{
    static const double thresholds[] = {0, 0.001, 0x1p-20, 0x1p10, 3};
    struct mrd_histogram *histogram = &series->items[at];
    const uint64_t random = next_random();
    const bool same = at > 0 && random % 16 != 0; /* layout as before */
    const struct mrd_histogram *before = same ? &series->items[at - 1] : histogram;
    *histogram = (struct mrd_histogram){
        .is_float = is_float,
        .reset = random % 500 == 1 ? MRD_HISTOGRAM_GAUGE : MRD_HISTOGRAM_RESET_UNKNOWN,
        .schema = custom ? MRD_HISTOGRAM_SCHEMA_CUSTOM
                         : (same ? before->schema : (int32_t)(random % 13) - 4),
        .zero_threshold = custom ? 0 : (same ? before->zero_threshold : thresholds[random % 5]),
        .count = grown(is_float, same ? &before->count : NULL, (random >> 20) % 1000000),
        .zero_count = grown(is_float, same ? &before->zero_count : NULL, custom ? 0 : random % 3),
        .sum = random % 64 == 7 ? mrd_stale_nan() : (double)(random % 100000) / 8,
        .positive = {series->spans[0], series->buckets[at][0], 2,
                     series->spans[0][0].length + series->spans[0][1].length},
    };
    if (custom) {
        histogram->custom_values = series->bounds;
        histogram->custom_value_count = BUCKETS_MAX - 1;
    } else {
        histogram->negative = (struct mrd_histogram_side){series->spans[1], series->buckets[at][1],
                                                          1, series->spans[1][0].length};
    }
    for (size_t i = 0; i < BUCKETS_MAX; i++) {
        for (size_t side = 0; side < 2; side++) {
            const uint64_t more = next_random() % ((uint64_t)1 << (next_random() % 40));
            const union mrd_histogram_count *start =
                same ? &series->buckets[at - 1][side][i] : NULL;
            series->buckets[at][side][i] = grown(is_float, start, more);
        }
    }
}

static void print_side(const struct mrd_histogram *histogram, const struct mrd_histogram_side *side)
{
    for (size_t i = 0; i < side->bucket_count; i++) {
        const double value =
            histogram->is_float ? side->buckets[i].real : (double)side->buckets[i].integer;
        printf(" %" PRIx64, mrd_double_bits(value));
    }
}

/* Time, start time, sum, and unless it is a marker threshold, schema, counts and buckets: numbers as bits of doubles. */
static void print_histogram(mrd_time_ms time_ms, mrd_time_ms start_ms,
                            const struct mrd_histogram *histogram)
{
    printf(" | %" PRId64 " %" PRId64 " %" PRIx64, time_ms, start_ms,
           mrd_double_bits(histogram->sum));
    if (mrd_histogram_is_stale(histogram)) {
        return;
    }
    const bool is_float = histogram->is_float;
    const double count = is_float ? histogram->count.real : (double)histogram->count.integer;
    const double zero =
        is_float ? histogram->zero_count.real : (double)histogram->zero_count.integer;
    printf(" %" PRIx64 " %d %" PRIx64 " %" PRIx64, mrd_double_bits(histogram->zero_threshold),
           histogram->schema, mrd_double_bits(count), mrd_double_bits(zero));
    print_side(histogram, &histogram->positive);
    print_side(histogram, &histogram->negative);
}

/* All of a series, in as many chunks as it takes. */
static void print_series(const struct histogram_series *series, size_t count, bool starts)
{
    for (size_t at = 0; at < count;) {
        const struct mrd_histograms rest = {series->times_ms + at, series->items + at, count - at,
                                            series->starts_ms + at};
        struct mrd_buf bytes = {0};
        enum mrd_varbit_encoding encoding;
        const size_t taken = mrd_varbit_chunk_encode(&rest, starts, &encoding, &bytes);
        printf("%d %zu ", encoding, taken);
        print_hex(mrd_buf_view(&bytes));
        for (size_t i = 0; i < taken; i++) {
            print_histogram(rest.times_ms[i], starts ? rest.start_times_ms[i] : 0, &rest.items[i]);
        }
        printf("\n");
        mrd_buf_fini(&bytes);
        at += taken;
    }
}

static void print_histogram_chunks(size_t number)
{
    static struct histogram_series series;
    const size_t count = 1 + next_random() % HISTOGRAMS_MAX;
    const bool custom = number % 3 == 0;
    const bool is_float = number % 2 == 0;
    series.spans[0][0] = (struct mrd_histogram_span){custom ? 0 : (int32_t)(number % 50) - 25, 5};
    series.spans[0][1] = (struct mrd_histogram_span){(int32_t)(number % 2), 4};
    series.spans[1][0] = (struct mrd_histogram_span){-3, 3};
    for (size_t i = 0; i < BUCKETS_MAX; i++) {
        series.bounds[i] = (double)i / (number % 2 == 0 ? 8 : 3) - (double)(number % 4);
    }
    for (size_t i = 0; i < count; i++) {
        series.times_ms[i] = (i == 0 ? 0 : series.times_ms[i - 1]) + 1 +
                             (mrd_time_ms)(next_random() % (number % 5 == 0 ? 3 : 100000));
        series.starts_ms[i] =
            start_of(number, series.times_ms[i], i == 0 ? 0 : series.starts_ms[i - 1]);
        fill_histogram(&series, i, is_float, custom);
    }
    print_series(&series, count, false);
    print_series(&series, count, true);
}

int main(void)
{
    for (size_t i = 0; i < CHUNKS; i++) {
        print_chunk(i);
    }
    for (size_t i = 0; i < HISTOGRAM_CHUNKS; i++) {
        print_histogram_chunks(i);
    }
    return 0;
}
