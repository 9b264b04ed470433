/* Any two histograms: what does not fit together is refused, everything else can be computed with, and the
 * lists of buckets stay sorted. */
#include <math.h>

#include "model/float_histogram.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BUCKETS_MAX = 12, SPANS_MAX = 4 };

struct input {
    const uint8_t *data;
    size_t size;
};

static uint8_t take(struct input *input)
{
    if (input->size == 0) {
        return 0;
    }
    input->size--;
    return *input->data++;
}

/* Small numbers mostly, and all that is special. */
static double take_double(struct input *input)
{
    static const double special[] = {NAN, INFINITY, -INFINITY, -0.0, 1e308, 1e-308, 0.5, -3};
    const uint8_t byte = take(input);
    return byte < 200 ? (double)byte / 4 : special[byte % MRD_ARRAY_LEN(special)];
}

struct parts {
    struct mrd_histogram_span spans[2][SPANS_MAX];
    union mrd_histogram_count counts[2][BUCKETS_MAX];
    double bounds[BUCKETS_MAX];
};

static struct mrd_histogram_side take_side(struct input *input, struct mrd_histogram_span *spans,
                                           union mrd_histogram_count *counts, bool is_float)
{
    const size_t span_count = take(input) % (SPANS_MAX + 1);
    size_t bucket_count = 0;
    for (size_t i = 0; i < span_count; i++) {
        const uint8_t wild = take(input);
        const uint8_t length = take(input) % 5;
        spans[i].length = length;
        spans[i].offset = wild == 255 ? INT32_MAX : wild == 254 ? INT32_MIN : wild % 9 - 2;
        bucket_count += length;
    }
    bucket_count = MRD_MIN(bucket_count, (size_t)BUCKETS_MAX);
    for (size_t i = 0; i < bucket_count; i++) {
        if (is_float) {
            counts[i].real = take_double(input);
        } else {
            counts[i].integer = take(input);
        }
    }
    return (struct mrd_histogram_side){spans, counts, span_count, bucket_count};
}

static struct mrd_float_histogram *take_histogram(struct input *input, struct parts *parts,
                                                  struct mrd_arena *arena)
{
    struct mrd_float_histogram *made = NULL;
    struct mrd_histogram from = {.is_float = take(input) % 2 == 0};
    const uint8_t schema = take(input);
    from.schema = schema % 3 == 0 ? MRD_HISTOGRAM_SCHEMA_CUSTOM : schema % 15 - 5;
    from.reset = (enum mrd_histogram_reset)(take(input) % 4);
    from.zero_threshold = fabs(take_double(input));
    from.sum = take_double(input);
    if (from.is_float) {
        from.count.real = take_double(input);
        from.zero_count.real = take_double(input);
    } else {
        from.count.integer = take(input);
        from.zero_count.integer = take(input) % 3;
    }
    from.custom_value_count = take(input) % BUCKETS_MAX;
    for (size_t i = 0; i < from.custom_value_count; i++) {
        parts->bounds[i] = (i == 0 ? 0 : parts->bounds[i - 1]) + take_double(input);
    }
    from.custom_values = parts->bounds;
    from.positive = take_side(input, parts->spans[0], parts->counts[0], from.is_float);
    from.negative = take_side(input, parts->spans[1], parts->counts[1], from.is_float);
    return mrd_float_histogram_from(&from, arena, &made, NULL) == MRD_OK ? made : NULL;
}

static void check_side(const struct mrd_float_buckets *side)
{
    for (size_t i = 1; i < side->count; i++) {
        mrd_assert(side->indexes[i - 1] < side->indexes[i]);
    }
}

static void check(const struct mrd_float_histogram *histogram)
{
    const size_t count = mrd_float_histogram_bucket_count(histogram);
    struct mrd_buf text = {0};
    check_side(&histogram->positive);
    check_side(&histogram->negative);
    for (size_t i = 0; i < count; i++) {
        (void)mrd_float_histogram_bucket(histogram, i);
    }
    mrd_float_histogram_format(histogram, &text);
    mrd_buf_fini(&text);
}

static void compute(struct mrd_float_histogram *a, const struct mrd_float_histogram *b,
                    double number, struct mrd_arena *arena)
{
    struct mrd_float_histogram *sum = NULL;
    struct mrd_float_histogram *compensation = NULL;
    struct mrd_float_histogram_outcome outcome;
    bool reset = false;
    (void)!mrd_float_histogram_was_reset(a, b, arena, &reset, NULL);
    (void)mrd_float_histogram_equal(a, b);
    if (mrd_float_histogram_clone(a, arena, &sum, NULL) != MRD_OK ||
        mrd_float_histogram_add_compensated(sum, b, &compensation, arena, &outcome, NULL) !=
            MRD_OK ||
        mrd_float_histogram_subtract(sum, a, arena, &outcome, NULL) != MRD_OK) {
        return;
    }
    check(sum);
    mrd_float_histogram_multiply(sum, number);
    (void)!mrd_float_histogram_trim(sum, number, reset, arena, NULL);
    check(sum);
    (void)!mrd_float_histogram_add(a, b, arena, &outcome, NULL);
    mrd_float_histogram_divide(a, number);
    check(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct parts parts[2];
    struct mrd_arena *arena = mrd_arena_create("fuzz", 1 << 16);
    struct mrd_float_histogram *a = take_histogram(&input, &parts[0], arena);
    const struct mrd_float_histogram *b = take_histogram(&input, &parts[1], arena);
    if (a != NULL && b != NULL) {
        compute(a, b, take_double(&input), arena);
    }
    mrd_arena_destroy(&arena);
    return 0;
}
