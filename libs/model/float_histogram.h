/* float_histogram.h: the histogram that queries compute with.
 *
 * All counts are doubles, and a side's buckets are a sorted list of (index, count): spans are gone, so
 * that two histograms are added by merging lists. An empty bucket that is listed is not the same as one
 * that is not (mrd_float_histogram_equal), as in Prometheus. The results are Prometheus' down to the
 * order of the floating-point operations (model/histogram/float_histogram.go of 3.14).
 *
 * Owner:   everything points into the arena that the functions are given, custom bounds too; index lists
 *          and custom bounds are shared between copies and never written again.
 * Threads: as the arena.
 * Limits:  the arena; MRD_E_LIMIT leaves the histogram valid but with an unknown part of the change.
 */
#ifndef MRD_MODEL_FLOAT_HISTOGRAM_H
#define MRD_MODEL_FLOAT_HISTOGRAM_H

#include "base/arena.h"
#include "model/histogram.h"

struct mrd_float_buckets {
    const int32_t *indexes; /* strictly ascending; negative buckets: away from zero */
    double *counts;
    size_t count;
};

struct mrd_float_histogram {
    enum mrd_histogram_reset reset;
    int32_t schema;
    double zero_threshold;
    double zero_count;
    double count;
    double sum;
    struct mrd_float_buckets positive; /* custom bounds: bucket i ends at custom_values[i] */
    struct mrd_float_buckets negative; /* empty with custom bounds */
    const double *custom_values;
    size_t custom_value_count;
};

static inline bool mrd_float_histogram_is_custom(const struct mrd_float_histogram *histogram)
{
    return histogram->schema == MRD_HISTOGRAM_SCHEMA_CUSTOM;
}

/* From what a source yields. MRD_E_CORRUPT if its parts do not fit together: spans against buckets,
 * order and range of indexes, schema, custom bounds. */
MRD_MUST_CHECK enum mrd_status mrd_float_histogram_from(const struct mrd_histogram *from,
                                                        struct mrd_arena *arena,
                                                        struct mrd_float_histogram **out,
                                                        struct mrd_error *err);

/* A copy whose counts are its own. */
MRD_MUST_CHECK enum mrd_status mrd_float_histogram_copy(const struct mrd_float_histogram *from,
                                                        struct mrd_arena *arena,
                                                        struct mrd_float_histogram **out,
                                                        struct mrd_error *err);

/* A copy that shares nothing: it outlives the arena of `from`. */
MRD_MUST_CHECK enum mrd_status mrd_float_histogram_clone(const struct mrd_float_histogram *from,
                                                         struct mrd_arena *arena,
                                                         struct mrd_float_histogram **out,
                                                         struct mrd_error *err);

/* Like copy into *to, which is made if it is NULL; its counts are used again where there is room. */
MRD_MUST_CHECK enum mrd_status mrd_float_histogram_assign(struct mrd_float_histogram **to,
                                                          const struct mrd_float_histogram *from,
                                                          struct mrd_arena *arena,
                                                          struct mrd_error *err);

/* ---- changes of a histogram that nobody else sees ---- */

/* A negative factor makes a gauge. Division by zero drops all buckets. */
void mrd_float_histogram_multiply(struct mrd_float_histogram *histogram, double factor);
void mrd_float_histogram_divide(struct mrd_float_histogram *histogram, double divisor);

/* Takes out empty buckets. */
MRD_MUST_CHECK enum mrd_status mrd_float_histogram_compact(struct mrd_float_histogram *histogram,
                                                           struct mrd_arena *arena,
                                                           struct mrd_error *err);

/* Merges buckets down to a coarser exponential schema; a histogram that is not finer stays. */
MRD_MUST_CHECK enum mrd_status mrd_float_histogram_reduce(struct mrd_float_histogram *histogram,
                                                          int32_t schema, struct mrd_arena *arena,
                                                          struct mrd_error *err);

/* What came up when two histograms were put together. */
struct mrd_float_histogram_outcome {
    bool incompatible; /* exponential with custom bounds: nothing was changed */
    bool collision;    /* one says counter reset, the other says none; the result knows nothing */
    bool reconciled;   /* custom bounds differ: only those of both are left */
};

/* Adds (subtracts) `other`: the coarser schema, the wider zero bucket, the custom bounds of both. */
MRD_MUST_CHECK enum mrd_status mrd_float_histogram_add(struct mrd_float_histogram *histogram,
                                                       const struct mrd_float_histogram *other,
                                                       struct mrd_arena *arena,
                                                       struct mrd_float_histogram_outcome *out,
                                                       struct mrd_error *err);
MRD_MUST_CHECK enum mrd_status mrd_float_histogram_subtract(struct mrd_float_histogram *histogram,
                                                            const struct mrd_float_histogram *other,
                                                            struct mrd_arena *arena,
                                                            struct mrd_float_histogram_outcome *out,
                                                            struct mrd_error *err);

/* Adds with compensation. *compensation is NULL at first and belongs to `histogram` from then on: its
 * buckets are those of the histogram. Whoever is done adds it to the sum. */
MRD_MUST_CHECK enum mrd_status mrd_float_histogram_add_compensated(
    struct mrd_float_histogram *histogram, const struct mrd_float_histogram *other,
    struct mrd_float_histogram **compensation, struct mrd_arena *arena,
    struct mrd_float_histogram_outcome *out, struct mrd_error *err);

/* Cuts off what is above `bound` (upper) or below it. A bucket that holds the bound is divided:
 * linearly (custom bounds, zero bucket) or on a logarithmic scale. Count and sum are estimated anew
 * if anything was cut. */
MRD_MUST_CHECK enum mrd_status mrd_float_histogram_trim(struct mrd_float_histogram *histogram,
                                                        double bound, bool upper,
                                                        struct mrd_arena *arena,
                                                        struct mrd_error *err);

/* ---- questions ---- */

/* Bit for bit, reset hints aside. */
bool mrd_float_histogram_equal(const struct mrd_float_histogram *a,
                               const struct mrd_float_histogram *b);
bool mrd_float_histogram_has_infinity(const struct mrd_float_histogram *histogram);

/* Whether a counter was reset between `before` and `histogram`: said by the hint, or seen in any count
 * that shrank, a finer schema, a narrower zero bucket. */
MRD_MUST_CHECK enum mrd_status
mrd_float_histogram_was_reset(const struct mrd_float_histogram *histogram,
                              const struct mrd_float_histogram *before, struct mrd_arena *arena,
                              bool *out, struct mrd_error *err);

struct mrd_float_bucket {
    double lower;
    double upper;
    double count;
    bool lower_inclusive;
    bool upper_inclusive;
};

/* Bucket i of a side, with its bounds as they are. */
struct mrd_float_bucket mrd_float_histogram_side_bucket(const struct mrd_float_histogram *histogram,
                                                        bool positive, size_t i);

/* All buckets from the lowest to the highest: negative, zero (if it is not empty), positive. A bucket
 * that reaches into the zero bucket begins (or ends) where that ends. */
size_t mrd_float_histogram_bucket_count(const struct mrd_float_histogram *histogram);
struct mrd_float_bucket mrd_float_histogram_bucket(const struct mrd_float_histogram *histogram,
                                                   size_t i);

/* The part of a bucket (0 to 1) that lies below a value inside it. */
double mrd_float_bucket_fraction_below(const struct mrd_float_bucket *bucket, double value,
                                       bool linear);

/* "{count:4, sum:5, (1,2]:4}": non-empty buckets in order, as Prometheus prints a histogram. */
void mrd_float_histogram_format(const struct mrd_float_histogram *histogram, struct mrd_buf *out);

/* Upper bound of an exponential bucket (of its absolute values). */
double mrd_histogram_bound(int32_t schema, int64_t index);

#endif
