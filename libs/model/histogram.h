/* histogram.h: one native histogram of one series at one time, as its sender made it.
 *
 * Integer and float histograms are told apart all the way, so that what comes out of storage is what
 * went in; the query engine computes with floats only. Buckets are absolute counts (remote write
 * and chunks of Prometheus carry deltas of integer buckets). A staleness marker is a histogram whose
 * sum has the bits of MRD_STALE_NAN_BITS; its other fields mean nothing.
 *
 * Owner:  whoever made it; all pointers are borrowed views of memory that lives with the maker.
 * Source: Prometheus model/histogram/{histogram,float_histogram}.go; docs/specs/native_histograms.md.
 */
#ifndef MRD_MODEL_HISTOGRAM_H
#define MRD_MODEL_HISTOGRAM_H

#include "model/sample.h"

enum {
    MRD_HISTOGRAM_SCHEMA_MIN = -4, /* exponential: bounds are powers of 2^(2^-schema) */
    MRD_HISTOGRAM_SCHEMA_MAX = 8,
    MRD_HISTOGRAM_SCHEMA_CUSTOM = -53, /* bounds are custom_values */
};

enum mrd_histogram_reset { /* what is known of a counter reset between the one before and this one */
                           MRD_HISTOGRAM_RESET_UNKNOWN = 0,
                           MRD_HISTOGRAM_RESET = 1,
                           MRD_HISTOGRAM_NO_RESET = 2,
                           MRD_HISTOGRAM_GAUGE = 3,
};

/* `length` buckets with consecutive indexes, `offset` after the end of the span before (the first:
 * after index 0). */
struct mrd_histogram_span {
    int32_t offset;
    uint32_t length;
};

union mrd_histogram_count {
    uint64_t integer;
    double real;
};

struct mrd_histogram_side {
    const struct mrd_histogram_span *spans;
    const union mrd_histogram_count *buckets; /* as many as the spans' lengths add up to */
    size_t span_count;
    size_t bucket_count;
};

struct mrd_histogram {
    bool is_float; /* which member of the counts is meant */
    enum mrd_histogram_reset reset;
    int32_t schema;
    double zero_threshold;
    double sum;
    union mrd_histogram_count count;
    union mrd_histogram_count zero_count;
    struct mrd_histogram_side positive;
    struct mrd_histogram_side negative; /* empty with custom bounds */
    const double *custom_values;        /* strictly ascending upper bounds, without +Inf */
    size_t custom_value_count;
};

static inline bool mrd_histogram_is_stale(const struct mrd_histogram *histogram)
{
    return mrd_is_stale(histogram->sum);
}

/* Histograms of one series, times strictly ascending, disjoint from its float samples. */
struct mrd_histograms {
    const mrd_time_ms *times_ms;
    const struct mrd_histogram *items;
    size_t count;
    const mrd_time_ms *start_times_ms; /* as of struct mrd_samples */
};

#endif
