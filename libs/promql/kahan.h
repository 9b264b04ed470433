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

/* The sum of two sums, the later one's compensation last. */
static inline struct mrd_kahan mrd_kahan_join(struct mrd_kahan total, struct mrd_kahan later)
{
    return mrd_kahan_add(mrd_kahan_add(total, later.sum), later.compensation);
}

/* A mean as a mean, whatever it was kept as. */
static inline struct mrd_kahan mrd_mean_part(const struct mrd_mean *mean, double scale)
{
    const double by = mean->incremental ? 1 : mean->count;
    return (struct mrd_kahan){mean->total.sum / by * scale, mean->total.compensation / by * scale};
}

/* The mean of the values of both, of which `later` came after `mean`. Neither is empty. */
static inline void mrd_mean_join(struct mrd_mean *mean, const struct mrd_mean *later)
{
    const double count = mean->count + later->count;
    if (!mean->incremental && !later->incremental) {
        const struct mrd_kahan total = mrd_kahan_join(mean->total, later->total);
        if (!isinf(total.sum)) {
            mean->total = total;
            mean->count = count;
            return;
        }
    }
    const struct mrd_kahan before = mrd_mean_part(mean, mean->count / count);
    mean->total = mrd_kahan_join(before, mrd_mean_part(later, later->count / count));
    mean->count = count;
    mean->incremental = true;
}

static inline double mrd_mean_value(const struct mrd_mean *mean)
{
    if (mean->incremental) {
        return mean->total.sum + mean->total.compensation;
    }
    return mean->total.sum / mean->count + mean->total.compensation / mean->count;
}

#endif
