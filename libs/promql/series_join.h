/* series_join.h: the samples of one series from several places put together, newer over older.
 *
 * Owner:   whoever zero-initialised it; used again from series to series.
 * Threads: one at a time.
 * Memory:  twice the greatest series so far, at most samples_max entries each; what histograms point to is borrowed.
 */
#ifndef MRD_PROMQL_SERIES_JOIN_H
#define MRD_PROMQL_SERIES_JOIN_H

#include "promql/source.h"

struct mrd_joined {
    mrd_time_ms *times_ms;
    mrd_time_ms *starts_ms; /* 0: unknown */
    double *values;
    size_t count;
    size_t capacity;

    mrd_time_ms *histogram_times_ms;
    mrd_time_ms *histogram_starts_ms;
    struct mrd_histogram *histograms;
    size_t histogram_count;
    size_t histogram_capacity;

    bool started;           /* some of either has a start time */
    bool histograms_joined; /* histograms have come from more than one place */
};

struct mrd_series_join {
    struct mrd_joined sides[2];
    unsigned now; /* the side that holds the series */
    size_t samples_max;
    struct mrd_pace pace;
};

/* The look (may be NULL) lives as long as the series is put together. */
void mrd_series_join_begin(struct mrd_series_join *join, size_t samples_max,
                           const struct mrd_look *look);

/* Puts samples over those that there are: of equal times the new ones count. MRD_E_LIMIT over samples_max; the look may end it. Cost: a copy of
 * the new ones where all are later, else of all. */
MRD_MUST_CHECK enum mrd_status mrd_series_join_add(struct mrd_series_join *join,
                                                   const struct mrd_samples *samples,
                                                   const struct mrd_histograms *histograms,
                                                   struct mrd_error *err);

/* The views end with the next call. */
void mrd_series_join_get(const struct mrd_series_join *join, struct mrd_samples *out,
                         struct mrd_histograms *out_histograms);

void mrd_series_join_fini(struct mrd_series_join *join);

#endif
