/* Cutting a histogram at a bound, for the operators </ and >/. */
#include <math.h>

#include "model/float_histogram_internal.h"

/* What is left of a bucket: how many observations, and where they are on average. */
struct rest {
    double count;
    double middle;
};

struct trim {
    double bound;
    bool upper; /* what is above the bound goes */
    bool custom;
    bool changed;
    double count;
    double sum;
};

static double finite_or_zero(double value) { return isinf(value) ? 0 : value; }

/* The middle of a range without holes: arithmetic for custom bounds, else geometric. */
static double middle_of(double lower, double upper, bool positive, bool linear)
{
    if (isinf(lower)) {
        if (isinf(upper)) {
            return 0;
        }
        return upper > 0 ? upper / 2 : upper;
    }
    if (isinf(upper)) {
        return lower;
    }
    if (linear) {
        return (lower + upper) / 2;
    }
    const double mean = sqrt(fabs(lower * upper));
    return positive ? mean : -mean;
}

/* A bucket that begins at -Inf. If it ends above zero, it is taken to begin there. */
static struct rest cut_lowest(const struct trim *trim, const struct mrd_float_bucket *bucket)
{
    const double bound = trim->bound;
    const bool finite_end = !(isinf(bucket->upper) && bucket->upper > 0);
    if (trim->upper) {
        if (bound >= bucket->upper) {
            return (struct rest){bucket->count, 0};
        }
        if (bound > 0 && bucket->upper > 0 && finite_end) {
            return (struct rest){bucket->count * bound / bucket->upper, bound / 2};
        }
        if (bucket->upper <= 0) {
            return (struct rest){bucket->count, bound};
        }
        return (struct rest){0, finite_or_zero(bucket->upper)};
    }
    if (bound <= bucket->lower) {
        return (struct rest){bucket->count, 0};
    }
    if (bound >= 0 && bucket->upper > bound && finite_end) {
        return (struct rest){bucket->count * (1 - bound / bucket->upper),
                             (bound + bucket->upper) / 2};
    }
    return (struct rest){0, finite_or_zero(bucket->upper)};
}

/* A bucket that ends at +Inf: nobody knows where in it the observations are. */
static struct rest cut_highest(const struct trim *trim, const struct mrd_float_bucket *bucket)
{
    if (!trim->upper && trim->bound >= bucket->lower) {
        return (struct rest){bucket->count, trim->bound};
    }
    return (struct rest){0, finite_or_zero(bucket->lower)};
}

/* A bucket that holds the bound. */
static struct rest cut(const struct trim *trim, const struct mrd_float_bucket *bucket,
                       bool positive)
{
    if (isinf(bucket->lower) && bucket->lower < 0) {
        return cut_lowest(trim, bucket);
    }
    if (isinf(bucket->upper) && bucket->upper > 0) {
        return cut_highest(trim, bucket);
    }
    double below = 0;
    if (trim->bound >= bucket->upper) {
        below = bucket->count;
    } else if (trim->bound > bucket->lower) {
        below = bucket->count * mrd_float_bucket_fraction_below(bucket, trim->bound, trim->custom);
    }
    if (trim->upper) {
        return (struct rest){below, middle_of(bucket->lower, trim->bound, positive, trim->custom)};
    }
    return (struct rest){bucket->count - below,
                         middle_of(trim->bound, bucket->upper, positive, trim->custom)};
}

static struct rest rest_of(const struct trim *trim, const struct mrd_float_bucket *bucket,
                           bool positive)
{
    const bool whole = trim->upper ? bucket->upper <= trim->bound : bucket->lower >= trim->bound;
    const bool part = trim->upper ? bucket->lower < trim->bound : bucket->upper > trim->bound;
    if (whole) {
        return (struct rest){bucket->count,
                             middle_of(bucket->lower, bucket->upper, positive, trim->custom)};
    }
    return part ? cut(trim, bucket, positive) : (struct rest){0, 0};
}

/* Returns whether the side had any observation. */
static bool trim_side(struct mrd_float_histogram *histogram, bool positive, struct trim *trim)
{
    struct mrd_float_buckets *side = positive ? &histogram->positive : &histogram->negative;
    bool populated = false;
    for (size_t i = 0; i < side->count; i++) {
        if (side->counts[i] == 0) {
            continue;
        }
        const struct mrd_float_bucket bucket =
            mrd_float_histogram_side_bucket(histogram, positive, i);
        const struct rest rest = rest_of(trim, &bucket, positive);
        populated = true;
        trim->count += rest.count;
        trim->sum += rest.middle * rest.count;
        trim->changed |= rest.count != side->counts[i];
        side->counts[i] = rest.count;
    }
    return populated;
}

/* The zero bucket of a histogram with one side only reaches from zero to that side. */
static void trim_zero(struct mrd_float_histogram *histogram, bool has_positive, bool has_negative,
                      struct trim *trim)
{
    const double lower = has_positive && !has_negative ? 0 : -histogram->zero_threshold;
    const double upper = has_negative && !has_positive ? 0 : histogram->zero_threshold;
    struct rest rest = {histogram->zero_count, (lower + upper) / 2};
    if (!(histogram->zero_count > 0)) {
        return;
    }
    if (trim->upper) {
        if (trim->bound <= lower) {
            rest = (struct rest){0, 0};
        } else if (!(trim->bound >= upper)) {
            rest.count = histogram->zero_count * ((trim->bound - lower) / (upper - lower));
            rest.middle = (lower + trim->bound) / 2;
        }
    } else if (!(trim->bound <= lower)) {
        if (trim->bound >= upper) {
            rest = (struct rest){0, 0};
        } else {
            rest.count = histogram->zero_count * ((upper - trim->bound) / (upper - lower));
            rest.middle = (trim->bound + upper) / 2;
        }
    }
    trim->changed |= rest.count != histogram->zero_count;
    histogram->zero_count = rest.count;
    trim->sum += rest.middle * rest.count;
    trim->count += rest.count;
}

enum mrd_status mrd_float_histogram_trim(struct mrd_float_histogram *histogram, double bound,
                                         bool upper, struct mrd_arena *arena, struct mrd_error *err)
{
    struct trim trim = {
        .bound = bound, .upper = upper, .custom = mrd_float_histogram_is_custom(histogram)};
    const bool has_positive = trim_side(histogram, true, &trim);
    const bool has_negative = trim_side(histogram, false, &trim);
    trim_zero(histogram, has_positive, has_negative, &trim);
    if (!trim.changed) {
        return MRD_OK;
    }
    histogram->count = trim.count;
    histogram->sum = trim.sum;
    return mrd_float_histogram_compact(histogram, arena, err);
}
