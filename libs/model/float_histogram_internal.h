/* float_histogram_internal.h: what the files of float_histogram.h share. */
#ifndef MRD_MODEL_FLOAT_HISTOGRAM_INTERNAL_H
#define MRD_MODEL_FLOAT_HISTOGRAM_INTERNAL_H

#include "model/float_histogram.h"

/* A list under construction with room for `capacity` buckets; it is a struct mrd_float_buckets whose
 * indexes may still be written. */
struct mrd_bucket_list {
    int32_t *indexes;
    double *counts;
    double *compensations; /* NULL: not kept */
    size_t count;
};

MRD_MUST_CHECK enum mrd_status mrd_bucket_list_create(struct mrd_arena *arena, size_t capacity,
                                                      bool compensated, struct mrd_bucket_list *out,
                                                      struct mrd_error *err);
static inline void mrd_bucket_list_push(struct mrd_bucket_list *list, int32_t index, double count,
                                        double compensation)
{
    list->indexes[list->count] = index;
    list->counts[list->count] = count;
    if (list->compensations != NULL) {
        list->compensations[list->count] = compensation;
    }
    list->count++;
}

/* Which bucket of the coarser schema holds bucket `index` of the finer one. */
static inline int32_t mrd_bucket_target(int32_t index, int32_t schema, int32_t target)
{
    const int64_t steps = INT64_C(1) << (schema - target);
    const int64_t before = (int64_t)index - 1;
    const int64_t floor = before >= 0 ? before / steps : -((-before + steps - 1) / steps);
    return (int32_t)(floor + 1);
}

/* Whether the bucket lies inside a zero bucket that ends at `threshold`. */
static inline bool mrd_bucket_is_hidden(int32_t schema, int32_t index, double threshold)
{
    return schema != MRD_HISTOGRAM_SCHEMA_CUSTOM && mrd_histogram_bound(schema, index) <= threshold;
}

/* What the zero count would be if the zero bucket ended at `threshold` (not less than it does), or
 * behind the populated bucket that holds it. The compensation (may be NULL) is that of the histogram. */
struct mrd_zero_bucket {
    double count;
    double compensation;
    double threshold;
};
struct mrd_zero_bucket mrd_widen_zero_bucket(const struct mrd_float_histogram *histogram,
                                             const struct mrd_float_histogram *compensation,
                                             double threshold);

/* Takes empty buckets out of a side and of its compensation (may be NULL). */
MRD_MUST_CHECK enum mrd_status mrd_buckets_compact(struct mrd_float_buckets *side,
                                                   struct mrd_float_buckets *compensation,
                                                   struct mrd_arena *arena, struct mrd_error *err);

/* A side in a coarser schema, counts added up in order, compensated if `compensations` is not NULL. */
MRD_MUST_CHECK enum mrd_status mrd_buckets_reduce(const struct mrd_float_buckets *side,
                                                  const double *compensations, int32_t schema,
                                                  int32_t target, struct mrd_arena *arena,
                                                  struct mrd_bucket_list *out,
                                                  struct mrd_error *err);

bool mrd_custom_bounds_equal(const struct mrd_float_histogram *a,
                             const struct mrd_float_histogram *b);

#endif
