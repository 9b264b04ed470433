/* latency.h: a histogram of durations with a bounded relative error, after HdrHistogram's idea: 64
 * equal steps in each power of two, so a value is known to 1.6 % at any size, in 30 KB.
 *
 * Zero-initialise. Threads: one at a time.
 */
#ifndef MRD_BENCH_LOADER_LATENCY_H
#define MRD_BENCH_LOADER_LATENCY_H

#include <stdint.h>

enum { LOAD_LATENCY_STEP_BITS = 6, LOAD_LATENCY_BUCKETS = (64 - LOAD_LATENCY_STEP_BITS + 1) << 6 };

struct load_latency {
    uint64_t counts[LOAD_LATENCY_BUCKETS];
    uint64_t count;
    uint64_t sum_ns;
    uint64_t max_ns;
};

void load_latency_add(struct load_latency *latency, uint64_t value_ns);

/* The smallest known bound that at least share (0 .. 1) of the values do not exceed: the upper edge
 * of its step, never more than the maximum. 0 if there are no values. */
uint64_t load_latency_quantile_ns(const struct load_latency *latency, double share);

#endif
