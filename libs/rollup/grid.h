/* grid.h: which windows the ranges of a query have: of rows that every range passes over, nobody needs to know anything.
 *
 * Threads: plain values.
 */
#ifndef MRD_ROLLUP_GRID_H
#define MRD_ROLLUP_GRID_H

#include "model/sample.h"

/* Wanted are the windows that end in (end - range, end] for an end of end_ms + k * step_ms, k any whole number. Times are well within 64
 * bits. */
struct mrd_rollup_grid {
    mrd_time_ms end_ms;
    mrd_time_ms step_ms; /* 0: every window is wanted */
    mrd_time_ms range_ms;
};

/* How far after a window that ends at `window_ms` the next one can end that is wanted; 0: this one is. */
static inline mrd_time_ms mrd_rollup_grid_wait(const struct mrd_rollup_grid *grid,
                                               mrd_time_ms window_ms)
{
    if (grid->step_ms == 0) {
        return 0;
    }
    const mrd_time_ms past_ms = (grid->end_ms - window_ms) % grid->step_ms;
    const mrd_time_ms to_end_ms = past_ms < 0 ? past_ms + grid->step_ms : past_ms;
    return to_end_ms < grid->range_ms ? 0 : to_end_ms - grid->range_ms + 1;
}

#endif
