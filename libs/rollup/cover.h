/* cover.h: which questions rows of a resolution can answer, and how to cover any range with what there is.
 *
 * A range can be answered by rows alone if it begins and ends where windows do. Any other range is covered by rows and, at its
 * edges, by finer rows or samples: joined in the order of time (mrd_rollup_add_float, mrd_rollup_join) they make the same row.
 *
 * Threads: pure functions.
 */
#ifndef MRD_ROLLUP_COVER_H
#define MRD_ROLLUP_COVER_H

#include "rollup/evaluate.h"

/* A selector with its function over all its steps, as the planner knows it. */
struct mrd_rollup_use {
    struct mrd_bytes function; /* right around the selector; "": an instant selector by itself */
    mrd_time_ms range_ms;      /* of a range selector */
    mrd_time_ms end_ms;        /* where the first step's range ends: offset and @ are already in */
    mrd_time_ms step_ms;       /* from one end to the next; 0: one step, or all the same under @ */
    bool moves_edges;          /* anchored or smoothed */
};

/* Whether rows of this resolution alone answer all steps. If not, *out_why (may be NULL) says what is in the way; static text. */
bool mrd_rollup_suits(const struct mrd_rollup_use *use, mrd_time_ms resolution_ms,
                      const char **out_why);

/* The index of the coarsest of the resolutions (ascending) that suits, or -1: samples are needed. */
int mrd_rollup_choose(const struct mrd_rollup_use *use, const mrd_time_ms *resolutions_ms,
                      size_t count);

/* A part of a range, (begin, end], to be read from rows of a resolution, or from the samples (0). */
struct mrd_rollup_part {
    mrd_time_ms resolution_ms;
    mrd_time_ms begin_ms;
    mrd_time_ms end_ms;
};

/* Parts that the cover of one range has at most. */
#define MRD_ROLLUP_PARTS_MAX(resolution_count) (2 * (resolution_count) + 1)

/* Covers (begin, end] with the coarsest whole windows that fit: writes the parts in the order of time, none empty, and returns
 * how many. The resolutions ascend, each a multiple of the one before; `out` has room for MRD_ROLLUP_PARTS_MAX. */
size_t mrd_rollup_cover(mrd_time_ms begin_ms, mrd_time_ms end_ms, const mrd_time_ms *resolutions_ms,
                        size_t count, struct mrd_rollup_part *out);

#endif
