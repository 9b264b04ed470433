#include "loader/latency.h"

#include <math.h>

#include "base/macros.h"

enum { STEPS = 1 << LOAD_LATENCY_STEP_BITS };

/* Values below 2 * STEPS stand for themselves; above, the top STEP_BITS + 1 bits count. */
static unsigned bucket_of(uint64_t value)
{
    if (value < 2 * STEPS) {
        return (unsigned)value;
    }
    const unsigned shift = 63U - (unsigned)__builtin_clzll(value) - LOAD_LATENCY_STEP_BITS;
    return (shift << LOAD_LATENCY_STEP_BITS) + (unsigned)(value >> shift);
}

static uint64_t bucket_last(unsigned bucket)
{
    if (bucket < 2 * STEPS) {
        return bucket;
    }
    const unsigned shift = (bucket >> LOAD_LATENCY_STEP_BITS) - 1;
    const uint64_t top = bucket - (shift << LOAD_LATENCY_STEP_BITS);
    return (top << shift) + ((1ULL << shift) - 1);
}

void load_latency_add(struct load_latency *latency, uint64_t value_ns)
{
    const unsigned bucket = bucket_of(value_ns);
    mrd_assert(bucket < LOAD_LATENCY_BUCKETS);
    latency->counts[bucket]++;
    latency->count++;
    latency->sum_ns += value_ns;
    latency->max_ns = MRD_MAX(latency->max_ns, value_ns);
}

uint64_t load_latency_quantile_ns(const struct load_latency *latency, double share)
{
    const uint64_t want = MRD_MAX((uint64_t)ceil(share * (double)latency->count), (uint64_t)1);
    uint64_t seen = 0;
    for (unsigned i = 0; i < LOAD_LATENCY_BUCKETS; i++) {
        seen += latency->counts[i];
        if (seen >= want) {
            return MRD_MIN(bucket_last(i), latency->max_ns);
        }
    }
    return latency->max_ns;
}
