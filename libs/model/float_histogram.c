#include "model/float_histogram.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/kahan.h"
#include "base/number.h"
#include "model/float_histogram_internal.h"

/* ---- memory ---- */

static enum mrd_status alloc_array(struct mrd_arena *arena, size_t count, size_t size, void **out,
                                   struct mrd_error *err)
{
    void *items = mrd_arena_alloc_array(arena, count, size);
    if (items == NULL) {
        return mrd_arena_fail(arena, err);
    }
    *out = items;
    return MRD_OK;
}

enum mrd_status mrd_bucket_list_create(struct mrd_arena *arena, size_t capacity, bool compensated,
                                       struct mrd_bucket_list *out, struct mrd_error *err)
{
    *out = (struct mrd_bucket_list){0};
    if (capacity == 0) {
        return MRD_OK;
    }
    MRD_TRY(alloc_array(arena, capacity, sizeof(*out->indexes), (void **)&out->indexes, err));
    MRD_TRY(alloc_array(arena, capacity, sizeof(*out->counts), (void **)&out->counts, err));
    return !compensated ? MRD_OK
                        : alloc_array(arena, capacity, sizeof(*out->compensations),
                                      (void **)&out->compensations, err);
}

static enum mrd_status copy_counts(struct mrd_float_buckets *side, struct mrd_arena *arena,
                                   struct mrd_error *err)
{
    double *counts = NULL;
    if (side->count == 0) {
        return MRD_OK;
    }
    MRD_TRY(alloc_array(arena, side->count, sizeof(*counts), (void **)&counts, err));
    memcpy(counts, side->counts, side->count * sizeof(*counts));
    side->counts = counts;
    return MRD_OK;
}

enum mrd_status mrd_float_histogram_copy(const struct mrd_float_histogram *from,
                                         struct mrd_arena *arena, struct mrd_float_histogram **out,
                                         struct mrd_error *err)
{
    struct mrd_float_histogram *copy = NULL;
    MRD_TRY(alloc_array(arena, 1, sizeof(*copy), (void **)&copy, err));
    *copy = *from;
    MRD_TRY(copy_counts(&copy->positive, arena, err));
    MRD_TRY(copy_counts(&copy->negative, arena, err));
    *out = copy;
    return MRD_OK;
}

static enum mrd_status copy_bytes(const void *from, size_t count, size_t size,
                                  struct mrd_arena *arena, const void **out, struct mrd_error *err)
{
    void *copy = NULL;
    if (count > 0) {
        MRD_TRY(alloc_array(arena, count, size, &copy, err));
        memcpy(copy, from, count * size);
    }
    *out = copy;
    return MRD_OK;
}

static enum mrd_status clone_indexes(struct mrd_float_buckets *side, struct mrd_arena *arena,
                                     struct mrd_error *err)
{
    return copy_bytes(side->indexes, side->count, sizeof(*side->indexes), arena,
                      (const void **)&side->indexes, err);
}

enum mrd_status mrd_float_histogram_clone(const struct mrd_float_histogram *from,
                                          struct mrd_arena *arena, struct mrd_float_histogram **out,
                                          struct mrd_error *err)
{
    struct mrd_float_histogram *clone = NULL;
    MRD_TRY(mrd_float_histogram_copy(from, arena, &clone, err));
    MRD_TRY(clone_indexes(&clone->positive, arena, err));
    MRD_TRY(clone_indexes(&clone->negative, arena, err));
    MRD_TRY(copy_bytes(from->custom_values, from->custom_value_count, sizeof(*from->custom_values),
                       arena, (const void **)&clone->custom_values, err));
    *out = clone;
    return MRD_OK;
}

static enum mrd_status assign_side(struct mrd_float_buckets *to, double *room, size_t room_count,
                                   struct mrd_arena *arena, struct mrd_error *err)
{
    if (to->count > room_count) {
        return copy_counts(to, arena, err);
    }
    if (to->count > 0) {
        memcpy(room, to->counts, to->count * sizeof(*room));
    }
    to->counts = room;
    return MRD_OK;
}

enum mrd_status mrd_float_histogram_assign(struct mrd_float_histogram **to,
                                           const struct mrd_float_histogram *from,
                                           struct mrd_arena *arena, struct mrd_error *err)
{
    if (*to == NULL) {
        return mrd_float_histogram_copy(from, arena, to, err);
    }
    const struct mrd_float_histogram room = **to;
    **to = *from;
    MRD_TRY(assign_side(&(*to)->positive, room.positive.counts, room.positive.count, arena, err));
    return assign_side(&(*to)->negative, room.negative.counts, room.negative.count, arena, err);
}

/* ---- from a source's form ---- */

static double real_of(union mrd_histogram_count count, bool is_float)
{
    return is_float ? count.real : (double)count.integer;
}

static enum mrd_status corrupt(struct mrd_error *err, const char *what)
{
    return mrd_fail(err, MRD_E_CORRUPT, "a histogram is malformed: %s", what);
}

static enum mrd_status side_from(const struct mrd_histogram_side *from, bool is_float,
                                 int64_t least, int64_t greatest, struct mrd_arena *arena,
                                 struct mrd_float_buckets *out, struct mrd_error *err)
{
    struct mrd_bucket_list list;
    int64_t index = 0;
    MRD_TRY(mrd_bucket_list_create(arena, from->bucket_count, false, &list, err));
    for (size_t s = 0; s < from->span_count; s++) {
        const struct mrd_histogram_span span = from->spans[s];
        index += span.offset;
        if (s > 0 && span.offset < 0) {
            return corrupt(err, "a span begins before the end of the one before");
        }
        if (span.length > from->bucket_count - list.count) {
            return corrupt(err, "its spans have more buckets than it has");
        }
        if (index < least || index + (int64_t)span.length - 1 > greatest) {
            return corrupt(err, "a bucket index is out of range");
        }
        for (uint32_t i = 0; i < span.length; i++, index++) {
            const double count = real_of(from->buckets[list.count], is_float);
            mrd_bucket_list_push(&list, (int32_t)index, count, 0);
        }
    }
    if (list.count != from->bucket_count) {
        return corrupt(err, "its spans have fewer buckets than it has");
    }
    *out = (struct mrd_float_buckets){list.indexes, list.counts, list.count};
    return MRD_OK;
}

static enum mrd_status custom_values_from(const struct mrd_histogram *from, struct mrd_arena *arena,
                                          struct mrd_float_histogram *out, struct mrd_error *err)
{
    double *bounds = NULL;
    for (size_t i = 0; i < from->custom_value_count; i++) {
        const double bound = from->custom_values[i];
        if (isnan(bound) || bound == INFINITY || (i > 0 && !(from->custom_values[i - 1] < bound))) {
            return corrupt(err, "its custom bounds do not ascend");
        }
    }
    if (from->negative.bucket_count > 0 || real_of(from->zero_count, from->is_float) != 0) {
        return corrupt(err, "custom bounds go with positive buckets only");
    }
    out->custom_value_count = from->custom_value_count;
    if (from->custom_value_count > 0) {
        const size_t size = from->custom_value_count * sizeof(*bounds);
        MRD_TRY(
            alloc_array(arena, from->custom_value_count, sizeof(*bounds), (void **)&bounds, err));
        memcpy(bounds, from->custom_values, size);
        out->custom_values = bounds;
    }
    return MRD_OK;
}

enum mrd_status mrd_float_histogram_from(const struct mrd_histogram *from, struct mrd_arena *arena,
                                         struct mrd_float_histogram **out, struct mrd_error *err)
{
    struct mrd_float_histogram *made = NULL;
    const bool custom = from->schema == MRD_HISTOGRAM_SCHEMA_CUSTOM;
    int64_t least = INT32_MIN;
    int64_t greatest = INT32_MAX - 1; /* what follows the last bucket has an index too */
    if (!custom &&
        (from->schema < MRD_HISTOGRAM_SCHEMA_MIN || from->schema > MRD_HISTOGRAM_SCHEMA_MAX)) {
        return mrd_fail(err, MRD_E_CORRUPT, "a histogram has the unknown schema %" PRId32,
                        from->schema);
    }
    MRD_TRY(alloc_array(arena, 1, sizeof(*made), (void **)&made, err));
    *made = (struct mrd_float_histogram){
        .reset = from->reset,
        .schema = from->schema,
        .count = real_of(from->count, from->is_float),
        .sum = from->sum,
    };
    if (custom) {
        MRD_TRY(custom_values_from(from, arena, made, err));
        least = 0;
        greatest = (int64_t)from->custom_value_count;
    } else {
        made->zero_threshold = from->zero_threshold;
        made->zero_count = real_of(from->zero_count, from->is_float);
        MRD_TRY(side_from(&from->negative, from->is_float, least, greatest, arena, &made->negative,
                          err));
    }
    MRD_TRY(
        side_from(&from->positive, from->is_float, least, greatest, arena, &made->positive, err));
    *out = made;
    return MRD_OK;
}

/* ---- scaling ---- */

static void scale(struct mrd_float_buckets *side, double factor, bool divide)
{
    for (size_t i = 0; i < side->count; i++) {
        side->counts[i] = divide ? side->counts[i] / factor : side->counts[i] * factor;
    }
}

void mrd_float_histogram_multiply(struct mrd_float_histogram *histogram, double factor)
{
    histogram->zero_count *= factor;
    histogram->count *= factor;
    histogram->sum *= factor;
    scale(&histogram->positive, factor, false);
    scale(&histogram->negative, factor, false);
    if (factor < 0) {
        histogram->reset = MRD_HISTOGRAM_GAUGE;
    }
}

void mrd_float_histogram_divide(struct mrd_float_histogram *histogram, double divisor)
{
    histogram->zero_count /= divisor;
    histogram->count /= divisor;
    histogram->sum /= divisor;
    if (divisor == 0) {
        histogram->positive = (struct mrd_float_buckets){0};
        histogram->negative = (struct mrd_float_buckets){0};
        return;
    }
    scale(&histogram->positive, divisor, true);
    scale(&histogram->negative, divisor, true);
    if (divisor < 0) {
        histogram->reset = MRD_HISTOGRAM_GAUGE;
    }
}

/* ---- fewer buckets ---- */

static bool any_empty(const struct mrd_float_buckets *side,
                      const struct mrd_float_buckets *compensation)
{
    for (size_t i = 0; i < side->count; i++) {
        if (side->counts[i] == 0 && (compensation == NULL || compensation->counts[i] == 0)) {
            return true;
        }
    }
    return false;
}

enum mrd_status mrd_buckets_compact(struct mrd_float_buckets *side,
                                    struct mrd_float_buckets *compensation, struct mrd_arena *arena,
                                    struct mrd_error *err)
{
    struct mrd_bucket_list list;
    if (!any_empty(side, compensation)) {
        return MRD_OK;
    }
    MRD_TRY(mrd_bucket_list_create(arena, side->count, compensation != NULL, &list, err));
    for (size_t i = 0; i < side->count; i++) {
        const double error = compensation == NULL ? 0 : compensation->counts[i];
        if (side->counts[i] != 0 || error != 0) {
            mrd_bucket_list_push(&list, side->indexes[i], side->counts[i], error);
        }
    }
    *side = (struct mrd_float_buckets){list.indexes, list.counts, list.count};
    if (compensation != NULL) {
        *compensation = (struct mrd_float_buckets){list.indexes, list.compensations, list.count};
    }
    return MRD_OK;
}

enum mrd_status mrd_float_histogram_compact(struct mrd_float_histogram *histogram,
                                            struct mrd_arena *arena, struct mrd_error *err)
{
    MRD_TRY(mrd_buckets_compact(&histogram->positive, NULL, arena, err));
    return mrd_buckets_compact(&histogram->negative, NULL, arena, err);
}

enum mrd_status mrd_buckets_reduce(const struct mrd_float_buckets *side,
                                   const double *compensations, int32_t schema, int32_t target,
                                   struct mrd_arena *arena, struct mrd_bucket_list *out,
                                   struct mrd_error *err)
{
    struct mrd_bucket_list list;
    MRD_TRY(mrd_bucket_list_create(arena, side->count, compensations != NULL, &list, err));
    for (size_t i = 0; i < side->count; i++) {
        const int32_t index = mrd_bucket_target(side->indexes[i], schema, target);
        const double error = compensations == NULL ? 0 : compensations[i];
        if (list.count == 0 || list.indexes[list.count - 1] != index) {
            mrd_bucket_list_push(&list, index, side->counts[i], error);
        } else if (compensations == NULL) {
            list.counts[list.count - 1] += side->counts[i];
        } else {
            struct mrd_kahan total = {list.counts[list.count - 1],
                                      list.compensations[list.count - 1]};
            total = mrd_kahan_add(mrd_kahan_add(total, side->counts[i]), error);
            list.counts[list.count - 1] = total.sum;
            list.compensations[list.count - 1] = total.compensation;
        }
    }
    *out = list;
    return MRD_OK;
}

static enum mrd_status reduce_side(struct mrd_float_buckets *side, int32_t schema, int32_t target,
                                   struct mrd_arena *arena, struct mrd_error *err)
{
    struct mrd_bucket_list list;
    MRD_TRY(mrd_buckets_reduce(side, NULL, schema, target, arena, &list, err));
    *side = (struct mrd_float_buckets){list.indexes, list.counts, list.count};
    return MRD_OK;
}

enum mrd_status mrd_float_histogram_reduce(struct mrd_float_histogram *histogram, int32_t schema,
                                           struct mrd_arena *arena, struct mrd_error *err)
{
    if (mrd_float_histogram_is_custom(histogram) || histogram->schema <= schema) {
        return MRD_OK;
    }
    MRD_TRY(reduce_side(&histogram->positive, histogram->schema, schema, arena, err));
    MRD_TRY(reduce_side(&histogram->negative, histogram->schema, schema, arena, err));
    histogram->schema = schema;
    return MRD_OK;
}

/* ---- questions ---- */

static bool same_bits(double a, double b) { return mrd_double_bits(a) == mrd_double_bits(b); }

static bool sides_equal(const struct mrd_float_buckets *a, const struct mrd_float_buckets *b)
{
    if (a->count != b->count) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (a->indexes[i] != b->indexes[i] || !same_bits(a->counts[i], b->counts[i])) {
            return false;
        }
    }
    return true;
}

bool mrd_custom_bounds_equal(const struct mrd_float_histogram *a,
                             const struct mrd_float_histogram *b)
{
    if (a->custom_value_count != b->custom_value_count) {
        return false;
    }
    for (size_t i = 0; a->custom_values != b->custom_values && i < a->custom_value_count; i++) {
        if (a->custom_values[i] != b->custom_values[i]) {
            return false;
        }
    }
    return true;
}

bool mrd_float_histogram_equal(const struct mrd_float_histogram *a,
                               const struct mrd_float_histogram *b)
{
    return a->schema == b->schema && same_bits(a->count, b->count) && same_bits(a->sum, b->sum) &&
           (!mrd_float_histogram_is_custom(a) || mrd_custom_bounds_equal(a, b)) &&
           a->zero_threshold == b->zero_threshold && same_bits(a->zero_count, b->zero_count) &&
           sides_equal(&a->negative, &b->negative) && sides_equal(&a->positive, &b->positive);
}

static bool side_has_infinity(const struct mrd_float_buckets *side)
{
    for (size_t i = 0; i < side->count; i++) {
        if (isinf(side->counts[i])) {
            return true;
        }
    }
    return false;
}

bool mrd_float_histogram_has_infinity(const struct mrd_float_histogram *histogram)
{
    for (size_t i = 0; i < histogram->custom_value_count; i++) {
        if (isinf(histogram->custom_values[i])) {
            return true;
        }
    }
    return isinf(histogram->zero_count) || isinf(histogram->count) || isinf(histogram->sum) ||
           side_has_infinity(&histogram->positive) || side_has_infinity(&histogram->negative);
}

/* ---- buckets with their bounds ---- */

static double bound_of(const struct mrd_float_histogram *histogram, int64_t index)
{
    if (!mrd_float_histogram_is_custom(histogram)) {
        return mrd_histogram_bound(histogram->schema, index);
    }
    if (index < 0) {
        return -INFINITY;
    }
    return (size_t)index < histogram->custom_value_count ? histogram->custom_values[index]
                                                         : INFINITY;
}

struct mrd_float_bucket mrd_float_histogram_side_bucket(const struct mrd_float_histogram *histogram,
                                                        bool positive, size_t i)
{
    const struct mrd_float_buckets *side = positive ? &histogram->positive : &histogram->negative;
    const int64_t index = side->indexes[i];
    const double outer = bound_of(histogram, index);
    const double inner = bound_of(histogram, index - 1);
    struct mrd_float_bucket bucket = {
        .lower = positive ? inner : -outer,
        .upper = positive ? outer : -inner,
        .count = side->counts[i],
    };
    const bool custom = mrd_float_histogram_is_custom(histogram);
    bucket.lower_inclusive = custom ? index == 0 : bucket.lower < 0;
    bucket.upper_inclusive = custom || bucket.upper > 0;
    return bucket;
}

size_t mrd_float_histogram_bucket_count(const struct mrd_float_histogram *histogram)
{
    return histogram->negative.count + (histogram->zero_count > 0) + histogram->positive.count;
}

static struct mrd_float_bucket zero_bucket(const struct mrd_float_histogram *histogram)
{
    return (struct mrd_float_bucket){-histogram->zero_threshold, histogram->zero_threshold,
                                     histogram->zero_count, true, true};
}

struct mrd_float_bucket mrd_float_histogram_bucket(const struct mrd_float_histogram *histogram,
                                                   size_t i)
{
    const size_t negatives = histogram->negative.count;
    const bool has_zero = histogram->zero_count > 0;
    const double threshold = histogram->zero_threshold;
    if (has_zero && i == negatives) {
        return zero_bucket(histogram);
    }
    const bool positive = i >= negatives;
    struct mrd_float_bucket bucket = mrd_float_histogram_side_bucket(
        histogram, positive, positive ? i - negatives - has_zero : negatives - 1 - i);
    if (bucket.upper < 0 && bucket.upper > -threshold) {
        bucket.upper = -threshold;
    } else if (bucket.lower > 0 && bucket.lower < threshold) {
        bucket.lower = threshold;
    }
    return bucket;
}

double mrd_float_bucket_fraction_below(const struct mrd_float_bucket *bucket, double value,
                                       bool linear)
{
    if (linear) {
        return (value - bucket->lower) / (bucket->upper - bucket->lower);
    }
    const double lower = log2(fabs(bucket->lower));
    const double upper = log2(fabs(bucket->upper));
    const double at = log2(fabs(value));
    return value > 0 ? (at - lower) / (upper - lower) : 1 - ((at - upper) / (lower - upper));
}

/* ---- text ---- */

static void append_number(double value, struct mrd_buf *out)
{
    char text[MRD_DOUBLE_TEXT_MAX];
    mrd_buf_append(out, text, mrd_double_format_g(value, text));
}

static void append_bucket(const struct mrd_float_bucket *bucket, struct mrd_buf *out)
{
    if (bucket->count == 0) {
        return;
    }
    mrd_buf_append_text(out, bucket->lower_inclusive ? ", [" : ", (");
    append_number(bucket->lower, out);
    mrd_buf_append_text(out, ",");
    append_number(bucket->upper, out);
    mrd_buf_append_text(out, bucket->upper_inclusive ? "]:" : "):");
    append_number(bucket->count, out);
}

void mrd_float_histogram_format(const struct mrd_float_histogram *histogram, struct mrd_buf *out)
{
    mrd_buf_append_text(out, "{count:");
    append_number(histogram->count, out);
    mrd_buf_append_text(out, ", sum:");
    append_number(histogram->sum, out);
    for (size_t i = histogram->negative.count; i-- > 0;) {
        const struct mrd_float_bucket bucket = mrd_float_histogram_side_bucket(histogram, false, i);
        append_bucket(&bucket, out);
    }
    const struct mrd_float_bucket zero = zero_bucket(histogram);
    append_bucket(&zero, out);
    for (size_t i = 0; i < histogram->positive.count; i++) {
        const struct mrd_float_bucket bucket = mrd_float_histogram_side_bucket(histogram, true, i);
        append_bucket(&bucket, out);
    }
    mrd_buf_append_text(out, "}");
}
