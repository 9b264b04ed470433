/* histogram_total.h: the sum or mean of many native histograms, compensated, step for step as
 * Prometheus computes it. A mean goes on incrementally where the sum would overflow.
 *
 * Memory: the arena given; it holds the histograms in work and grows only when buckets are new.
 */
#ifndef MRD_PROMQL_HISTOGRAM_TOTAL_H
#define MRD_PROMQL_HISTOGRAM_TOTAL_H

#include "model/float_histogram.h"

struct pql_histogram_total {
    struct mrd_arena *arena;
    bool mean;
    bool incompatible; /* exponential and custom bounds were mixed: there is no result */
    bool reconciled;   /* custom bounds differed */
    bool incremental;
    double count;
    struct mrd_float_histogram *value; /* the sum, or the mean once `incremental`; NULL: none yet */
    struct mrd_float_histogram *compensation;
    struct mrd_float_histogram *spare; /* room for what is tried */
    struct mrd_float_histogram *spare_compensation;
};

/* Adds a histogram. With `incompatible` set afterwards, add no more. */
MRD_MUST_CHECK enum mrd_status pql_histogram_total_add(struct pql_histogram_total *total,
                                                       const struct mrd_float_histogram *histogram,
                                                       struct mrd_error *err);

/* Adds what was totalled apart and came later; at least one histogram is in each. `later` is not to be used
 * afterwards. With `incompatible` set afterwards, add no more. */
MRD_MUST_CHECK enum mrd_status pql_histogram_total_merge(struct pql_histogram_total *total,
                                                         struct pql_histogram_total *later,
                                                         struct mrd_error *err);

/* The result, in the arena; empty buckets may be left in it. At least one histogram was added. */
MRD_MUST_CHECK enum mrd_status pql_histogram_total_finish(struct pql_histogram_total *total,
                                                          struct mrd_float_histogram **out,
                                                          struct mrd_error *err);

#endif
