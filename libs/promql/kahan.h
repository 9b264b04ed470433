/* kahan.h: means of many values, step for step as Prometheus computes them. */
#ifndef MRD_PROMQL_KAHAN_H
#define MRD_PROMQL_KAHAN_H

#include <stdbool.h>

#include "base/kahan.h"

/* A mean that survives sums beyond the range of a double: plain (compensated) sum first, an
 * incremental mean from the point where the sum would overflow. */
struct mrd_mean {
    struct mrd_kahan total; /* the sum, or the mean once `incremental` */
    double count;
    bool incremental;
};

static inline void mrd_mean_add(struct mrd_mean *mean, double value)
{
    mean->count++;
    if (mean->count == 1) { /* as it is: an infinite first value is no overflow */
        mean->total = (struct mrd_kahan){value, 0};
        return;
    }
    if (!mean->incremental) {
        const struct mrd_kahan total = mrd_kahan_add(mean->total, value);
        if (!isinf(total.sum)) {
            mean->total = total;
            return;
        }
        mean->incremental = true;
        mean->total.sum /= mean->count - 1;
        mean->total.compensation /= mean->count - 1;
    }
    const double keep = (mean->count - 1) / mean->count;
    const struct mrd_kahan scaled = {keep * mean->total.sum, keep * mean->total.compensation};
    mean->total = mrd_kahan_add(scaled, value / mean->count);
}

static inline double mrd_mean_value(const struct mrd_mean *mean)
{
    if (mean->incremental) {
        return mean->total.sum + mean->total.compensation;
    }
    return mean->total.sum / mean->count + mean->total.compensation / mean->count;
}

#endif
