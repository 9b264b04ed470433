#include "promql/native_quantile.h"

#include <math.h>

#include "base/kahan.h"

/* The zero bucket of a histogram with one side only reaches from zero to that side. */
static void narrow_zero_bucket(const struct mrd_float_histogram *histogram,
                               struct mrd_float_bucket *bucket)
{
    if (histogram->negative.count == 0 && histogram->positive.count > 0) {
        bucket->lower = 0;
    } else if (histogram->positive.count == 0 && histogram->negative.count > 0) {
        bucket->upper = 0;
    }
}

/* ---- quantile ---- */

/* Where a rank was found, counting from one end. */
struct found {
    struct mrd_float_bucket bucket; /* the last one that was looked at */
    double count;                   /* up to and with it */
    size_t next;                    /* index of the one after it */
};

static struct found find_rank(const struct mrd_float_histogram *histogram, double rank,
                              bool forward)
{
    const size_t total = mrd_float_histogram_bucket_count(histogram);
    struct found found = {.count = 0};
    while (found.next < total) {
        const size_t index = forward ? found.next : total - 1 - found.next;
        found.bucket = mrd_float_histogram_bucket(histogram, index);
        found.next++;
        if (found.bucket.count == 0) {
            continue;
        }
        found.count += found.bucket.count;
        if (found.count >= rank) {
            break;
        }
    }
    return found;
}

/* `count` and the buckets from `from` on, added up one after the other. */
static double count_on(const struct mrd_float_histogram *histogram, double count, size_t from)
{
    const size_t total = mrd_float_histogram_bucket_count(histogram);
    for (size_t i = from; i < total; i++) {
        count += mrd_float_histogram_bucket(histogram, i).count;
    }
    return count;
}

static double value_in(const struct mrd_float_histogram *histogram,
                       const struct mrd_float_bucket *bucket, double fraction)
{
    if (mrd_float_histogram_is_custom(histogram) || (bucket->lower <= 0 && bucket->upper >= 0)) {
        return bucket->lower + (bucket->upper - bucket->lower) * fraction;
    }
    const double lower = log2(fabs(bucket->lower));
    const double upper = log2(fabs(bucket->upper));
    if (bucket->lower > 0) {
        return exp2(lower + (upper - lower) * fraction);
    }
    return -exp2(upper + (lower - upper) * (1 - fraction));
}

double pql_native_quantile(double q, const struct mrd_float_histogram *histogram,
                           enum pql_nan_note *out_note)
{
    const bool has_nan = isnan(histogram->sum);
    const bool custom = mrd_float_histogram_is_custom(histogram);
    *out_note = PQL_NAN_NONE;
    if (q < 0 || q > 1) {
        return q < 0 ? -INFINITY : INFINITY;
    }
    if (histogram->count == 0 || isnan(q)) {
        return NAN;
    }
    const bool forward = has_nan || q < 0.5;
    double rank = (forward ? q : 1 - q) * histogram->count;
    struct found found = find_rank(histogram, rank, forward);
    struct mrd_float_bucket *bucket = &found.bucket;
    if (!custom && bucket->lower < 0 && bucket->upper > 0) {
        narrow_zero_bucket(histogram, bucket);
    } else if (custom && bucket->lower == -INFINITY) {
        if (bucket->upper <= 0) {
            return bucket->upper;
        }
        bucket->lower = 0;
    } else if (custom && bucket->upper == INFINITY) {
        return bucket->lower;
    }
    double count = found.count > histogram->count ? histogram->count : found.count;
    if (count < rank) {
        *out_note = has_nan ? PQL_NAN_RESULT : PQL_NAN_NONE;
        return has_nan ? NAN : bucket->upper;
    }
    if (forward) {
        rank -= count - bucket->count;
    } else {
        rank = count - rank;
    }
    struct mrd_float_bucket last = *bucket;
    if (has_nan) {
        const size_t total = mrd_float_histogram_bucket_count(histogram);
        count = count_on(histogram, count, found.next);
        if (found.next < total) { /* Prometheus goes on from the last bucket then */
            last = mrd_float_histogram_bucket(histogram, total - 1);
        }
        *out_note = count < histogram->count ? PQL_NAN_SKEW : PQL_NAN_NONE;
    }
    return value_in(histogram, &last, rank / last.count);
}

/* ---- fraction ---- */

/* Observations up to a value, as far as the buckets have been walked. */
struct bound_rank {
    double value;
    double rank;
    bool set;
};

static double rank_in(const struct mrd_float_bucket *bucket, double value, double rank, bool linear)
{
    if (linear && bucket->lower == -INFINITY) {
        return bucket->count;
    }
    return rank + bucket->count * mrd_float_bucket_fraction_below(bucket, value, linear);
}

static void rank_at_start(struct bound_rank *bound, const struct mrd_float_bucket *bucket,
                          double rank)
{
    if (!bound->set && bucket->lower >= bound->value) {
        bound->rank = rank;
        bound->set = true;
    }
}
static void rank_inside(struct bound_rank *bound, const struct mrd_float_bucket *bucket,
                        double rank, bool linear)
{
    if (!bound->set && bucket->lower < bound->value && bucket->upper > bound->value) {
        bound->rank = rank_in(bucket, bound->value, rank, linear);
        bound->set = true;
    }
}

double pql_native_fraction(double lower, double upper, const struct mrd_float_histogram *histogram,
                           enum pql_nan_note *out_note)
{
    const size_t total = mrd_float_histogram_bucket_count(histogram);
    const bool custom = mrd_float_histogram_is_custom(histogram);
    struct bound_rank low = {.value = lower};
    struct bound_rank high = {.value = upper};
    double rank = 0;
    double count = 0;
    size_t next = 0;
    *out_note = PQL_NAN_NONE;
    if (histogram->count == 0 || isnan(lower) || isnan(upper)) {
        return NAN;
    }
    if (lower >= upper) {
        return 0;
    }
    while (next < total && !(low.set && high.set)) {
        struct mrd_float_bucket bucket = mrd_float_histogram_bucket(histogram, next++);
        const bool zero = bucket.lower <= 0 && bucket.upper >= 0;
        count += bucket.count;
        if (zero) {
            narrow_zero_bucket(histogram, &bucket);
        }
        rank_at_start(&low, &bucket, rank);
        rank_at_start(&high, &bucket, rank);
        rank_inside(&low, &bucket, rank, custom || zero);
        rank_inside(&high, &bucket, rank, custom || zero);
        rank += bucket.count;
    }
    if (isnan(histogram->sum)) {
        count = count_on(histogram, count, next);
        *out_note = count < histogram->count ? PQL_NAN_EXCLUDED : PQL_NAN_NONE;
    } else {
        count = histogram->count;
    }
    const double low_rank = !low.set || low.rank > count ? count : low.rank;
    const double high_rank = !high.set || high.rank > count ? count : high.rank;
    return (high_rank - low_rank) / histogram->count;
}

/* ---- variance ---- */

double pql_native_variance(const struct mrd_float_histogram *histogram)
{
    const size_t total = mrd_float_histogram_bucket_count(histogram);
    const double mean = histogram->sum / histogram->count;
    struct mrd_kahan variance = {0};
    for (size_t i = 0; i < total; i++) {
        const struct mrd_float_bucket bucket = mrd_float_histogram_bucket(histogram, i);
        double value = 0;
        if (bucket.count == 0) {
            continue;
        }
        if (mrd_float_histogram_is_custom(histogram)) {
            value = (bucket.upper + bucket.lower) / 2.0;
        } else if (!(bucket.lower <= 0 && bucket.upper >= 0)) {
            value = sqrt(bucket.upper * bucket.lower);
            value = bucket.upper < 0 ? -value : value;
        }
        const double delta = value - mean;
        variance = mrd_kahan_add(variance, bucket.count * delta * delta);
    }
    return (variance.sum + variance.compensation) / histogram->count;
}
