/* metrics.h: counters, gauges and histograms, and their text for /metrics (exposition format 0.0.4).
 *
 * A registry owns its metrics; they live until it is destroyed. Registering takes a lock and is for
 * start-up; counting is a relaxed atomic operation and is for everywhere. Registering the same name
 * and labels again returns the same metric; another type or help text under a known name is our own
 * mistake (assertion).
 *
 *     late = mrd_metrics_counter(registry, "meridian_dropped_total", "Samples dropped, by reason.",
 *                                MRD_LABELS({"reason", "late"}));
 *     mrd_counter_add(late, 1);
 *
 * A label whose values come from outside goes through a vec, which is bounded: beyond value_max
 * values everything counts under "other".
 */
#ifndef MRD_BASE_METRICS_H
#define MRD_BASE_METRICS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/bytes.h"

struct mrd_metrics;

struct mrd_metric_label {
    const char *name;
    const char *value;
};

/* A list of labels in braces, ended by {NULL, NULL}; copied by the registry. */
/* clang-format off */
#define MRD_LABELS(...) ((const struct mrd_metric_label[]){__VA_ARGS__, {NULL, NULL}})
/* clang-format on */
#define MRD_NO_LABELS ((const struct mrd_metric_label *)NULL)

enum mrd_metric_type { MRD_METRIC_COUNTER, MRD_METRIC_GAUGE, MRD_METRIC_HISTOGRAM };

struct mrd_counter {
    _Atomic uint64_t value;
};

struct mrd_gauge {
    _Atomic int64_t value;
};

enum { MRD_HISTOGRAM_BUCKETS_MAX = 24 };

struct mrd_metrics_histogram {
    size_t bound_count;
    double bounds[MRD_HISTOGRAM_BUCKETS_MAX];               /* upper, inclusive, rising */
    _Atomic uint64_t counts[MRD_HISTOGRAM_BUCKETS_MAX + 1]; /* the last: +Inf */
    _Atomic uint64_t sum_bits;                              /* of a double */
};

struct mrd_counter_vec;

struct mrd_metrics *mrd_metrics_create(void);
void mrd_metrics_destroy(struct mrd_metrics **metrics);

/* ---- registering: any thread; the strings are copied ---- */

struct mrd_counter *mrd_metrics_counter(struct mrd_metrics *metrics, const char *name,
                                        const char *help, const struct mrd_metric_label *labels);
struct mrd_gauge *mrd_metrics_gauge(struct mrd_metrics *metrics, const char *name, const char *help,
                                    const struct mrd_metric_label *labels);

/* `bounds` are at most MRD_HISTOGRAM_BUCKETS_MAX rising upper bounds, +Inf left out. */
struct mrd_metrics_histogram *mrd_metrics_histogram(struct mrd_metrics *metrics, const char *name,
                                                    const char *help,
                                                    const struct mrd_metric_label *labels,
                                                    const double *bounds, size_t bound_count);

/* 0.5 ms to 60 s: what most latencies here need. */
extern const double mrd_bounds_seconds[];
extern const size_t mrd_bounds_seconds_count;

/* A counter or gauge whose value is asked for when /metrics is read. `read` may take locks but not
 * register metrics. Call mrd_metrics_forget(context) before the context goes away. */
void mrd_metrics_callback(struct mrd_metrics *metrics, enum mrd_metric_type type, const char *name,
                          const char *help, const struct mrd_metric_label *labels,
                          double (*read)(void *context), void *context);

/* Removes all callbacks with this context; after it returns none of them runs. */
void mrd_metrics_forget(struct mrd_metrics *metrics, const void *context);

/* Counters under one label with values known at run time only. Static labels go along. */
struct mrd_counter_vec *mrd_metrics_counter_vec(struct mrd_metrics *metrics, const char *name,
                                                const char *help, const char *label_name,
                                                const struct mrd_metric_label *labels,
                                                size_t value_max);

/* The counter of a label value; takes a lock, so keep the pointer where it is hot. Never NULL. */
struct mrd_counter *mrd_counter_vec_at(struct mrd_counter_vec *vec, struct mrd_bytes value);

/* process_* (resident memory, CPU seconds, open and maximal descriptors, start time) and
 * meridian_build_info{service,version}. */
void mrd_metrics_process(struct mrd_metrics *metrics, const char *service);

/* ---- counting: any thread, no lock ---- */

static inline void mrd_counter_add(struct mrd_counter *counter, uint64_t count)
{
    atomic_fetch_add_explicit(&counter->value, count, memory_order_relaxed);
}
static inline uint64_t mrd_counter_value(const struct mrd_counter *counter)
{
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}
static inline void mrd_gauge_set(struct mrd_gauge *gauge, int64_t value)
{
    atomic_store_explicit(&gauge->value, value, memory_order_relaxed);
}
static inline void mrd_gauge_add(struct mrd_gauge *gauge, int64_t delta)
{
    atomic_fetch_add_explicit(&gauge->value, delta, memory_order_relaxed);
}
static inline int64_t mrd_gauge_value(const struct mrd_gauge *gauge)
{
    return atomic_load_explicit(&gauge->value, memory_order_relaxed);
}
void mrd_metrics_histogram_observe(struct mrd_metrics_histogram *histogram, double value);
uint64_t mrd_metrics_histogram_observations(const struct mrd_metrics_histogram *histogram);

/* ---- reading ---- */

/* Appends the whole registry as text/plain; version=0.0.4; families sorted by name. */
void mrd_metrics_write(struct mrd_metrics *metrics, struct mrd_buf *out);

#define MRD_METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

#endif
