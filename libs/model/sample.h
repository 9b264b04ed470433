/* sample.h: one value of one series at one time, and the staleness marker.
 *
 * Timestamps are the sender's, in milliseconds. Values are IEEE doubles kept bit for bit: -0, every
 * NaN payload and subnormals come back as they were sent.
 */
#ifndef MRD_MODEL_SAMPLE_H
#define MRD_MODEL_SAMPLE_H

#include "base/clock.h"

#include <stdbool.h>
#include <string.h>

struct mrd_sample {
    mrd_time_ms time_ms;
    double value;
};

/* The bits of the NaN that ends a series until its next sample (Prometheus model/value/value.go). */
#define MRD_STALE_NAN_BITS 0x7ff0000000000002ULL
/* The NaN that Prometheus' own arithmetic and parsers produce. */
#define MRD_NORMAL_NAN_BITS 0x7ff8000000000001ULL

static inline uint64_t mrd_double_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}
static inline double mrd_double_from_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}
static inline bool mrd_is_stale(double value)
{
    return mrd_double_bits(value) == MRD_STALE_NAN_BITS;
}
static inline double mrd_stale_nan(void) { return mrd_double_from_bits(MRD_STALE_NAN_BITS); }

/* Columns of one series, times strictly ascending. The arrays belong to whoever made them. */
struct mrd_samples {
    const mrd_time_ms *times_ms;
    const double *values;
    size_t count;
    const mrd_time_ms *start_times_ms; /* since when each counts; 0: unknown; NULL: all unknown */
};

#endif
