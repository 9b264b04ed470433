#include "model/histogram_check.h"

#include <inttypes.h>
#include <math.h>

static enum mrd_status check_parts(const struct mrd_histogram *histogram, struct mrd_error *err)
{
    const struct {
        const char *name;
        size_t count;
    } parts[] = {
        {"buckets",       histogram->positive.bucket_count + histogram->negative.bucket_count},
        {"spans",         histogram->positive.span_count + histogram->negative.span_count    },
        {"custom bounds", histogram->custom_value_count                                      },
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(parts); i++) {
        if (parts[i].count > MRD_HISTOGRAM_PARTS_MAX) {
            return mrd_fail(err, MRD_E_LIMIT, "the histogram has %zu %s, at most %d can be stored",
                            parts[i].count, parts[i].name, MRD_HISTOGRAM_PARTS_MAX);
        }
    }
    return MRD_OK;
}

static enum mrd_status check_bounds(const struct mrd_histogram *histogram, struct mrd_error *err)
{
    double before = -INFINITY;
    for (size_t i = 0; i < histogram->custom_value_count; i++) {
        const double bound = histogram->custom_values[i];
        if (isnan(bound)) {
            return mrd_fail(err, MRD_E_INVALID,
                            "custom buckets: histogram custom bounds must not be NaN");
        }
        if (i > 0 && bound <= before) {
            return mrd_fail(err, MRD_E_INVALID,
                            "custom buckets: previous bound is %f and current is %f: histogram "
                            "custom bounds must be in strictly increasing order",
                            before, bound);
        }
        before = bound;
    }
    return before != INFINITY
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID,
                          "custom buckets: last +Inf bound must not be explicitly defined: "
                          "histogram custom bounds must be finite");
}

/* `where` is the side or "custom buckets"; *out_end is the index after the last bucket, from the first's 0. */
static enum mrd_status check_spans(const struct mrd_histogram_side *side, const char *where,
                                   bool first_may_be_negative, int64_t *out_end,
                                   struct mrd_error *err)
{
    uint64_t lengths = 0;
    int64_t index = 0;
    for (size_t i = 0; i < side->span_count; i++) {
        const struct mrd_histogram_span span = side->spans[i];
        if (span.offset < 0 && (i > 0 || !first_may_be_negative)) {
            return mrd_fail(err, MRD_E_INVALID,
                            "%s: span number %zu with offset %" PRId32
                            ": histogram has a span whose offset is negative",
                            where, i + 1, span.offset);
        }
        lengths += span.length;
        index += (int64_t)span.offset + span.length; /* at most 2^13 times 2^33 */
    }
    if (lengths != side->bucket_count) {
        return mrd_fail(err, MRD_E_INVALID,
                        "%s: spans need %" PRIu64 " buckets, have %zu buckets: histogram spans "
                        "specify different number of buckets than provided",
                        where, lengths, side->bucket_count);
    }
    if (index > INT32_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "%s: a bucket's index is beyond %" PRId32, where,
                        INT32_MAX);
    }
    *out_end = index;
    return MRD_OK;
}

/* Adds up integer buckets, as Prometheus does: modulo 2^64. */
static enum mrd_status check_buckets(const struct mrd_histogram *histogram,
                                     const struct mrd_histogram_side *side, const char *where,
                                     uint64_t *sum, struct mrd_error *err)
{
    static const char text[] = "histogram has a bucket whose observation count is negative";
    for (size_t i = 0; i < side->bucket_count; i++) {
        const union mrd_histogram_count count = side->buckets[i];
        if (histogram->is_float && count.real < 0) {
            return mrd_fail(err, MRD_E_INVALID,
                            "%s: bucket number %zu has observation count of %g: %s", where, i + 1,
                            count.real, text);
        }
        if (!histogram->is_float && count.integer > INT64_MAX) {
            return mrd_fail(err, MRD_E_INVALID,
                            "%s: bucket number %zu has observation count of %" PRId64 ": %s", where,
                            i + 1, (int64_t)count.integer, text);
        }
        *sum += histogram->is_float ? 0 : count.integer;
    }
    return MRD_OK;
}

static bool count_is_zero(const struct mrd_histogram *histogram, union mrd_histogram_count count)
{
    return histogram->is_float ? count.real == 0 : count.integer == 0;
}

static enum mrd_status check_custom(const struct mrd_histogram *histogram, struct mrd_error *err)
{
    int64_t end;
    MRD_TRY(check_bounds(histogram, err));
    MRD_TRY(check_spans(&histogram->positive, "custom buckets", false, &end, err));
    if ((int64_t)histogram->custom_value_count + 1 < end) {
        return mrd_fail(err, MRD_E_INVALID,
                        "custom buckets: only %zu custom bounds defined which is insufficient to "
                        "cover total span length of %" PRId64
                        ": histogram custom bounds are too few",
                        histogram->custom_value_count, end);
    }
    const char *wrong = NULL;
    if (!count_is_zero(histogram, histogram->zero_count)) {
        wrong = "must have zero count of 0";
    } else if (histogram->zero_threshold != 0) {
        wrong = "must have zero threshold of 0";
    } else if (histogram->negative.span_count > 0) {
        wrong = "must not have negative spans";
    } else if (histogram->negative.bucket_count > 0) {
        wrong = "must not have negative buckets";
    }
    return wrong == NULL ? MRD_OK : mrd_fail(err, MRD_E_INVALID, "custom buckets: %s", wrong);
}

static enum mrd_status check_exponential(const struct mrd_histogram *histogram, uint64_t *sum,
                                         struct mrd_error *err)
{
    if (!(histogram->zero_threshold >= 0) || isinf(histogram->zero_threshold)) {
        return mrd_fail(err, MRD_E_INVALID,
                        "zero threshold is %g: it must be finite and not negative",
                        histogram->zero_threshold);
    }
    int64_t end;
    MRD_TRY(check_spans(&histogram->positive, "positive side", true, &end, err));
    MRD_TRY(check_spans(&histogram->negative, "negative side", true, &end, err));
    MRD_TRY(check_buckets(histogram, &histogram->negative, "negative side", sum, err));
    if (histogram->is_float && histogram->zero_count.real < 0) {
        return mrd_fail(err, MRD_E_INVALID,
                        "zero bucket has observation count of %g: histogram has a bucket whose "
                        "observation count is negative",
                        histogram->zero_count.real);
    }
    return histogram->custom_value_count == 0
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID,
                          "histogram with exponential schema must not have custom bounds");
}

/* With a sum of NaN some observations may be NaN, which are in no bucket. */
static enum mrd_status check_count(const struct mrd_histogram *histogram, uint64_t in_buckets,
                                   struct mrd_error *err)
{
    const uint64_t count = histogram->count.integer;
    const bool may_be_more = isnan(histogram->sum);
    if (may_be_more ? in_buckets <= count : in_buckets == count) {
        return MRD_OK;
    }
    return mrd_fail(err, MRD_E_INVALID,
                    "%" PRIu64 " observations found in buckets, but the Count field is %" PRIu64
                    ": histogram's observation count should %s the number of observations found "
                    "in the buckets%s",
                    in_buckets, count, may_be_more ? "be at least" : "equal",
                    may_be_more ? "" : " (in absence of NaN)");
}

enum mrd_status mrd_histogram_check(const struct mrd_histogram *histogram, struct mrd_error *err)
{
    uint64_t sum = 0;
    MRD_TRY(check_parts(histogram, err));
    if (histogram->schema == MRD_HISTOGRAM_SCHEMA_CUSTOM) {
        MRD_TRY(check_custom(histogram, err));
    } else if (histogram->schema >= MRD_HISTOGRAM_SCHEMA_MIN &&
               histogram->schema <= MRD_HISTOGRAM_SCHEMA_MAX) {
        MRD_TRY(check_exponential(histogram, &sum, err));
    } else {
        return mrd_fail(err, MRD_E_INVALID,
                        "invalid histogram schema %" PRId32
                        ": must be between -4 and 52, or -53 for custom buckets",
                        histogram->schema);
    }
    if (histogram->is_float && histogram->count.real < 0) {
        return mrd_fail(err, MRD_E_INVALID,
                        "observation count is %g: histogram's observation count is negative",
                        histogram->count.real);
    }
    MRD_TRY(check_buckets(histogram, &histogram->positive, "positive side", &sum, err));
    return histogram->is_float ? MRD_OK
                               : check_count(histogram, sum + histogram->zero_count.integer, err);
}

/* ---- coarser ---- */

/* The bucket of schema 8 that holds bucket `index` of a schema finer by `shift`: (b^(i-1), b^i] all along. */
static int32_t coarser_index(int64_t index, int shift)
{
    return (int32_t)(((index - 1) >> shift) + 1);
}

static void coarsen_side(struct mrd_histogram_side *side, bool is_float, int shift,
                         const struct mrd_histogram_side_room *room)
{
    struct mrd_histogram_side out = {.spans = room->spans, .buckets = room->buckets};
    int64_t index = 0;
    int32_t last = 0; /* of `out`, once it has one */
    size_t bucket = 0;
    for (size_t s = 0; s < side->span_count; s++) {
        index += side->spans[s].offset;
        for (uint32_t i = 0; i < side->spans[s].length; i++, index++, bucket++) {
            const union mrd_histogram_count count = side->buckets[bucket];
            const int32_t to = coarser_index(index, shift);
            if (out.bucket_count > 0 && to == last) {
                union mrd_histogram_count *sum = &room->buckets[out.bucket_count - 1];
                if (is_float) {
                    sum->real += count.real;
                } else {
                    sum->integer += count.integer;
                }
                continue;
            }
            if (out.bucket_count > 0 && to == last + 1) {
                room->spans[out.span_count - 1].length++;
            } else {
                const int32_t after = out.bucket_count == 0 ? 0 : last + 1;
                room->spans[out.span_count++] = (struct mrd_histogram_span){to - after, 1};
            }
            room->buckets[out.bucket_count++] = count;
            last = to;
        }
    }
    *side = out;
}

void mrd_histogram_coarsen(struct mrd_histogram *histogram,
                           const struct mrd_histogram_side_room *positive,
                           const struct mrd_histogram_side_room *negative)
{
    const int shift = histogram->schema - MRD_HISTOGRAM_SCHEMA_MAX;
    if (shift <= 0 || histogram->schema > MRD_HISTOGRAM_SCHEMA_FINER_MAX) {
        return;
    }
    coarsen_side(&histogram->positive, histogram->is_float, shift, positive);
    coarsen_side(&histogram->negative, histogram->is_float, shift, negative);
    histogram->schema = MRD_HISTOGRAM_SCHEMA_MAX;
}
