/* native_quantile.h: what is asked of one native histogram: quantiles, fractions, variance. In
 * Prometheus' order of operations (promql/quantile.go, functions.go). */
#ifndef MRD_PROMQL_NATIVE_QUANTILE_H
#define MRD_PROMQL_NATIVE_QUANTILE_H

#include "model/float_histogram.h"

/* Observations that are not numbers are counted but in no bucket. */
enum pql_nan_note {
    PQL_NAN_NONE,
    PQL_NAN_RESULT,   /* so many that the quantile is one of them */
    PQL_NAN_SKEW,     /* the quantile is higher for them */
    PQL_NAN_EXCLUDED, /* a fraction does not count them */
};

double pql_native_quantile(double q, const struct mrd_float_histogram *histogram,
                           enum pql_nan_note *out_note);
double pql_native_fraction(double lower, double upper, const struct mrd_float_histogram *histogram,
                           enum pql_nan_note *out_note);
double pql_native_variance(const struct mrd_float_histogram *histogram);

#endif
