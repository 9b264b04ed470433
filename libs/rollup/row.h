/* row.h: what is kept of the samples of one series in one window, so that questions about ranges of whole
 * windows have the answer that the samples themselves would give.
 *
 * A window of a resolution ends at a multiple of it (UTC) and is left-open, right-closed as PromQL's ranges are:
 * (end - resolution, end]. A row holds count, sum, extremes, first and last with their times, what a counter lost in resets, and where
 * native histograms are, their first and last and what was lost. It says nothing of samples between.
 *
 * Rows of one series that follow each other in time are joined into one (mrd_rollup_join), pieces of the same window as well
 * as neighbours: everything but `sum` and `lost` is then bit for bit what it were over all samples at once, in whatever
 * grouping. These two are sums of doubles: the same too as long as whole numbers are added (below 2^53), else as near as rounding
 * allows (docs/formats/rollup.md has the bounds).
 *
 * Owner:   histograms are views of memory of whoever made the row.
 * Threads: plain values.
 */
#ifndef MRD_ROLLUP_ROW_H
#define MRD_ROLLUP_ROW_H

#include "base/arena.h"
#include "base/kahan.h"
#include "model/float_histogram.h"
#include "model/span.h"

enum {
    MRD_ROLLUP_5M_MS = 5 * 60 * 1000,
    MRD_ROLLUP_1H_MS = 60 * 60 * 1000,
    MRD_ROLLUP_6H_MS = 6 * 60 * 60 * 1000,
    MRD_ROLLUP_1D_MS = 24 * 60 * 60 * 1000,
};

/* Before any time that a sample can have. */
#define MRD_ROLLUP_NEVER INT64_MIN

/* What says that a counter was reset. */
enum mrd_rollup_reset_by {
    MRD_ROLLUP_BY_VALUE, /* a value that is lower than the one before */
    MRD_ROLLUP_BY_START, /* that, or a start time after the sample before */
    MRD_ROLLUP_RESET_KINDS,
};

struct mrd_rollup_floats {
    uint64_t count; /* without staleness markers; 0: nothing else means anything */
    struct mrd_kahan sum;
    double min; /* NaN only if all are; of equal ones the first */
    double max;
    double first;
    double last;
    struct mrd_span first_at;
    struct mrd_span last_at;
    uint64_t changes;
    uint64_t resets[MRD_ROLLUP_RESET_KINDS];
    double
        lost[MRD_ROLLUP_RESET_KINDS]; /* the values before resets; increase = last - first + lost */
    bool overlaps; /* a sample counts from before the one before, and from elsewhere */
};

struct mrd_rollup_histograms {
    uint64_t count; /* as of floats */
    const struct mrd_float_histogram *first;
    const struct mrd_float_histogram *last;
    /* Those before resets added up, NULL if there are none; without a reset between the first two, which the engine treats
     * by itself and `second_reset` tells of. */
    const struct mrd_float_histogram *lost[MRD_ROLLUP_RESET_KINDS];
    bool second_reset[MRD_ROLLUP_RESET_KINDS];
    struct mrd_span first_at;
    struct mrd_span last_at;
    uint64_t changes;
    uint64_t resets[MRD_ROLLUP_RESET_KINDS];
    bool overlaps;
    bool gauges;   /* some say that they are no counters */
    bool counters; /* some do not */
    bool uneven;   /* schema, zero threshold or custom bounds are not the same throughout */
};

struct mrd_rollup_row {
    mrd_time_ms end_ms; /* of the (last) window */
    struct mrd_rollup_floats floats;
    struct mrd_rollup_histograms histograms;
    mrd_time_ms stale_ms; /* of the last staleness marker, else MRD_ROLLUP_NEVER */
};

/* A row of nothing. */
static inline struct mrd_rollup_row mrd_rollup_row_empty(mrd_time_ms end_ms)
{
    return (struct mrd_rollup_row){.end_ms = end_ms, .stale_ms = MRD_ROLLUP_NEVER};
}

static inline bool mrd_rollup_row_is_empty(const struct mrd_rollup_row *row)
{
    return row->floats.count == 0 && row->histograms.count == 0 &&
           row->stale_ms == MRD_ROLLUP_NEVER;
}

/* The end of the window that a time lies in. resolution_ms > 0; |time_ms| well within 64 bits. */
static inline mrd_time_ms mrd_rollup_window_end(mrd_time_ms time_ms, mrd_time_ms resolution_ms)
{
    const mrd_time_ms past = time_ms % resolution_ms;
    return past == 0 ? time_ms : time_ms - past + (past > 0 ? resolution_ms : 0);
}

/* Whether the window that ends there has a time of [min_ms, max_ms]. */
static inline bool mrd_rollup_window_meets(mrd_time_ms end_ms, mrd_time_ms resolution_ms,
                                           mrd_time_ms min_ms, mrd_time_ms max_ms)
{
    return end_ms >= min_ms && end_ms - resolution_ms < max_ms;
}

/* The time of the newest (oldest) thing in a row, a staleness marker too. MRD_ROLLUP_NEVER for a row of nothing. */
mrd_time_ms mrd_rollup_row_newest(const struct mrd_rollup_row *row);

/* Adds a float that is later than all of the row; no staleness marker. */
static inline void mrd_rollup_add_float(struct mrd_rollup_floats *floats, double value,
                                        struct mrd_span at)
{
    if (floats->count == 0) {
        *floats = (struct mrd_rollup_floats){
            .count = 1,
            .sum = mrd_kahan_add((struct mrd_kahan){0, 0}, value),
            .min = value,
            .max = value,
            .first = value,
            .last = value,
            .first_at = at,
            .last_at = at,
        };
        return;
    }
    const double before = floats->last;
    const bool fell = value < before;
    const bool restarts = fell || mrd_span_restarts(floats->last_at, at);
    floats->count++;
    floats->sum = mrd_kahan_add(floats->sum, value);
    floats->min = value < floats->min || isnan(floats->min) ? value : floats->min;
    floats->max = value > floats->max || isnan(floats->max) ? value : floats->max;
    floats->changes += value != before && !(isnan(value) && isnan(before));
    floats->resets[MRD_ROLLUP_BY_VALUE] += fell;
    floats->resets[MRD_ROLLUP_BY_START] += restarts;
    floats->lost[MRD_ROLLUP_BY_VALUE] += fell ? before : 0;
    floats->lost[MRD_ROLLUP_BY_START] += restarts ? before : 0;
    floats->overlaps |= mrd_span_overlaps(floats->last_at, at);
    floats->last = value;
    floats->last_at = at;
}

/* A row of one histogram, which is no staleness marker: a view of it. */
struct mrd_rollup_histograms mrd_rollup_histogram_row(const struct mrd_float_histogram *histogram,
                                                      struct mrd_span at);

/* Adds `later` to `row`: all of it is later than all of the row. New histograms come from the arena, others are shared.
 * MRD_E_LIMIT from the arena; the row is then of no use. */
MRD_MUST_CHECK enum mrd_status mrd_rollup_join(struct mrd_rollup_row *row,
                                               const struct mrd_rollup_row *later,
                                               struct mrd_arena *arena, struct mrd_error *err);

/* Its floats alone. */
void mrd_rollup_join_floats(struct mrd_rollup_floats *floats,
                            const struct mrd_rollup_floats *later);

/* A copy of the histograms that shares nothing. */
MRD_MUST_CHECK enum mrd_status mrd_rollup_histograms_clone(struct mrd_rollup_histograms *histograms,
                                                           struct mrd_arena *arena,
                                                           struct mrd_error *err);

#endif
