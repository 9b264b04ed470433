#include "promqltest/script_shape.h"

#include <float.h>
#include <math.h>

#include "promqltest/script_histogram.h"

static void *take(struct mrd_arena *arena, size_t size)
{
    void *memory = mrd_arena_alloc(arena, size + 1);
    mrd_assert(memory != NULL);
    return memory;
}

struct mrd_float_histogram *script_shape_create(struct mrd_arena *arena, size_t bucket_max)
{
    struct mrd_float_histogram *shape = take(arena, sizeof(*shape));
    shape->schema = MRD_HISTOGRAM_SCHEMA_CUSTOM;
    shape->positive.indexes = take(arena, bucket_max * sizeof(int32_t));
    shape->positive.counts = take(arena, bucket_max * sizeof(double));
    shape->custom_values = take(arena, 2 * bucket_max * sizeof(double));
    return shape;
}

void script_shape_add(struct mrd_float_histogram *shape, struct script_bucket bucket)
{
    int32_t *rules = (int32_t *)(uintptr_t)shape->positive.indexes;
    double *bounds = (double *)(uintptr_t)shape->custom_values;
    const size_t at = shape->positive.count++;
    rules[at] = (int32_t)bucket.rule;
    shape->positive.counts[at] = bucket.count;
    bounds[shape->custom_value_count++] = bucket.lower;
    bounds[shape->custom_value_count++] = bucket.upper;
}

/* ---- from a histogram ---- */

/* 2^(index * 2^-schema); the largest finite bucket ends where doubles do. */
static double bound_of(int32_t schema, int64_t index)
{
    const double exponent = ldexp((double)index, -schema);
    return exponent == 1024 ? DBL_MAX : exp2(exponent);
}

static void add_unless_empty(struct mrd_float_histogram *shape, struct script_bucket bucket)
{
    if (bucket.count != 0) {
        script_shape_add(shape, bucket);
    }
}

static void add_custom(const struct mrd_float_histogram *histogram,
                       struct mrd_float_histogram *shape)
{
    const struct mrd_float_buckets *buckets = &histogram->positive;
    const double *bounds = histogram->custom_values;
    for (size_t i = 0; i < buckets->count; i++) {
        const size_t index = (size_t)buckets->indexes[i];
        add_unless_empty(
            shape, (struct script_bucket){
                       .rule = index == 0 ? SCRIPT_BOUNDS_BOTH : SCRIPT_BOUNDS_UPPER,
                       .lower = index == 0 ? -INFINITY : bounds[index - 1],
                       .upper = index < histogram->custom_value_count ? bounds[index] : INFINITY,
                       .count = buckets->counts[i],
                   });
    }
}

static void add_exponential(const struct mrd_float_histogram *histogram,
                            struct mrd_float_histogram *shape)
{
    const struct mrd_float_buckets *negative = &histogram->negative;
    const struct mrd_float_buckets *positive = &histogram->positive;
    const double zero = histogram->zero_threshold;
    for (size_t i = negative->count; i-- > 0;) {
        const int64_t index = negative->indexes[i];
        const double near = fmax(bound_of(histogram->schema, index - 1), zero);
        add_unless_empty(shape, (struct script_bucket){SCRIPT_BOUNDS_LOWER,
                                                       -bound_of(histogram->schema, index), -near,
                                                       negative->counts[i]});
    }
    if (histogram->zero_count > 0) { /* neither negative nor NaN */
        script_shape_add(
            shape, (struct script_bucket){SCRIPT_BOUNDS_BOTH, -zero, zero, histogram->zero_count});
    }
    for (size_t i = 0; i < positive->count; i++) {
        const int64_t index = positive->indexes[i];
        const double near = fmax(bound_of(histogram->schema, index - 1), zero);
        add_unless_empty(shape, (struct script_bucket){SCRIPT_BOUNDS_UPPER, near,
                                                       bound_of(histogram->schema, index),
                                                       positive->counts[i]});
    }
}

const struct mrd_float_histogram *script_shape_of(const struct mrd_float_histogram *histogram,
                                                  struct mrd_arena *arena)
{
    struct mrd_float_histogram *shape =
        script_shape_create(arena, histogram->positive.count + histogram->negative.count + 1);
    shape->count = histogram->count;
    shape->sum = histogram->sum;
    if (histogram->schema == MRD_HISTOGRAM_SCHEMA_CUSTOM) {
        add_custom(histogram, shape);
    } else {
        add_exponential(histogram, shape);
    }
    return shape;
}

/* ---- comparing ---- */

static bool bounds_agree(double want, double got)
{
    return want == got || fabs(want - got) <= 1e-12 * fabs(want);
}

bool script_shapes_agree(const struct mrd_float_histogram *want,
                         const struct mrd_float_histogram *got, bool compare_hint)
{
    (void)compare_hint;
    const struct mrd_float_buckets *a = &want->positive;
    const struct mrd_float_buckets *b = &got->positive;
    bool same = script_numbers_agree(want->count, got->count) &&
                script_numbers_agree(want->sum, got->sum) && a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++) {
        same = a->indexes[i] == b->indexes[i] && script_numbers_agree(a->counts[i], b->counts[i]) &&
               bounds_agree(want->custom_values[2 * i], got->custom_values[2 * i]) &&
               bounds_agree(want->custom_values[2 * i + 1], got->custom_values[2 * i + 1]);
    }
    return same;
}
