/* memory_source.h: series in memory as a source for the query engine. For tests, benchmarks and
 * examples; services have their own sources.
 *
 * Owner:   mrd_memory_source_destroy frees it; no query may be running.
 * Threads: filling is one thread's; reading (queries) may be many threads' once it is filled.
 * Order:   sets yield series by labels, or as the layout says, within each segment.
 */
#ifndef MRD_PROMQLTEST_MEMORY_SOURCE_H
#define MRD_PROMQLTEST_MEMORY_SOURCE_H

#include "model/float_histogram.h"
#include "promql/source.h"

struct mrd_memory_source;

struct mrd_memory_source *mrd_memory_source_create(void);
void mrd_memory_source_destroy(struct mrd_memory_source **source);

/* Forgets all series. */
void mrd_memory_source_clear(struct mrd_memory_source *source);

/* Sets the value of a series at a time; labels (sorted by name) are copied. Cheapest in time order. */
void mrd_memory_source_put(struct mrd_memory_source *source, struct mrd_labels labels,
                           struct mrd_sample sample);

/* Sets a histogram of a series at a time; false if the series has a later one. All is copied. What it says about counter resets is what a storage would find out when it is written: a
 * gauge stays one, else it is compared with the sample before and marked as no reset where it is none. */
MRD_MUST_CHECK bool mrd_memory_source_put_histogram(struct mrd_memory_source *source,
                                                    struct mrd_labels labels, mrd_time_ms time_ms,
                                                    const struct mrd_float_histogram *histogram);

/* Says since when the sample or histogram counts that the series has at a time; false if it has none. */
MRD_MUST_CHECK bool mrd_memory_source_start(struct mrd_memory_source *source,
                                            struct mrd_labels labels, mrd_time_ms time_ms,
                                            mrd_time_ms start_ms);

/* Where the series are and how they are read. */
struct mrd_memory_layout {
    uint32_t segments; /* at least 1: each series is in one of them, by its labels */
    uint64_t salt;     /* another one, another distribution; a tenant's seed, that of partitions */
    bool
        pushes; /* takes plan fragments and yields the states of its segments, which have been bytes */
    uint32_t declines; /* of pushes: so many fragments are not taken first */
    bool
        in_order; /* sets yield series in the order of model/series_order.h. Arrange again after a put */
};

/* From now on; no query may be running. At first there is one segment and nothing is pushed. */
void mrd_memory_source_arrange(struct mrd_memory_source *source,
                               const struct mrd_memory_layout *layout);

/* Fragments that were taken. */
size_t mrd_memory_source_fragments(const struct mrd_memory_source *source);

/* The n-th call of `open` or `next` from now on (1 is the next one) fails with MRD_E_UNAVAILABLE;
 * 0: none does. */
void mrd_memory_source_fail_at(struct mrd_memory_source *source, size_t call);

/* Sets that are open now, to check that every one is closed. */
size_t mrd_memory_source_open_sets(const struct mrd_memory_source *source);

/* What the engine takes. Lives as long as the memory source. */
const struct mrd_source *mrd_memory_source_get(struct mrd_memory_source *source);

#endif
