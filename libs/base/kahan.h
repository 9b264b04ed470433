/* kahan.h: compensated summation (Kahan's with Neumaier's improvement), step for step as Prometheus
 * does it, so that sums agree in the last bit. The true sum is `sum + compensation`; once the sum is
 * infinite the compensation is void.
 */
#ifndef MRD_BASE_KAHAN_H
#define MRD_BASE_KAHAN_H

#include <math.h>

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

#endif
