/* kahan.h: compensated summation (Kahan's with Neumaier's improvement), step for step as Prometheus
 * does it, so that sums agree in the last bit. The true sum is `sum + compensation`; once the sum is
 * infinite the compensation is void.
 */
#ifndef MRD_PROMQL_KAHAN_H
#define MRD_PROMQL_KAHAN_H

#include <math.h>
#include <stdbool.h>

struct mrd_kahan {
    double sum;
    double compensation;
};

static inline struct mrd_kahan mrd_kahan_add(struct mrd_kahan total, double value)
{
    const double sum = total.sum + value;
    double compensation = 0;
    if (isinf(sum)) {
        compensation = 0;
    } else if (fabs(total.sum) >= fabs(value)) {
        compensation = total.compensation + ((total.sum - sum) + value);
    } else {
        compensation = total.compensation + ((value - sum) + total.sum);
    }
    return (struct mrd_kahan){sum, compensation};
}

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
