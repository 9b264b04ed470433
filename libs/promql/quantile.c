#include "promql/quantile.h"

#include <math.h>

static int double_order(const void *a, const void *b, void *context)
{
    (void)context;
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    const int x_nan = isnan(x);
    const int y_nan = isnan(y);
    if (x_nan || y_nan) {
        return y_nan - x_nan;
    }
    return (x > y) - (x < y);
}

enum mrd_status pql_sort_doubles(double *values, size_t count, const struct mrd_look *look,
                                 struct mrd_error *err)
{
    return mrd_sort(values, count, sizeof(values[0]), double_order, NULL, look, err);
}

double pql_quantile_sorted(double q, const double *sorted, size_t count)
{
    if (count == 0 || isnan(q)) {
        return NAN;
    }
    if (q < 0) {
        return -INFINITY;
    }
    if (q > 1) {
        return INFINITY;
    }
    const double n = (double)count;
    const double rank = q * (n - 1);
    const double lower = fmax(0, floor(rank));
    const double upper = fmin(n - 1, lower + 1);
    const double weight = rank - floor(rank);
    return sorted[(size_t)lower] * (1 - weight) + sorted[(size_t)upper] * weight;
}
