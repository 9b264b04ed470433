/* coverage.h: from which sequence on a head holds its log wholly, so that a reader knows which blocks it can do without.
 *
 * A head begins somewhere in the log, may meet batches that it cannot resolve (their announcements lie before its beginning), and
 * forgets by receipt time. What is said here is never less than what is true: "from F on, everything that was applied is here".
 *
 * Threads: one, the partition's shard.
 * Memory:  fixed; spans of the log are made coarser when there are more than fit.
 */
#ifndef ING_COVERAGE_H
#define ING_COVERAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"

enum { ING_COVERAGE_SPANS = 64 };

struct ing_coverage {
    struct ing_coverage_span {
        uint64_t first;           /* sequence */
        mrd_time_ms begun_ms;     /* stamp of its first batch */
        mrd_time_ms stamp_min_ms; /* the least stamp of its batches */
    } spans[ING_COVERAGE_SPANS];
    size_t count;
    mrd_time_ms span_ms; /* set it before use: how finely to remember, by stamps */
    uint64_t next;       /* behind the last applied sequence; 0: none was applied */
    bool rewound;        /* sequences have gone backwards: they name two things */
};

/* From `sequence` on all is of another log, and what is said from now on is of that one. */
void ing_coverage_restart(struct ing_coverage *coverage, uint64_t sequence);

/* A batch was applied wholly. */
void ing_coverage_add(struct ing_coverage *coverage, uint64_t sequence, mrd_time_ms stamp_ms);

/* The head has not all that the log had before `sequence`. */
void ing_coverage_lost(struct ing_coverage *coverage, uint64_t sequence);

/* Of batches stamped up to `stamp_ms`, samples may go from the head. */
void ing_coverage_forget(struct ing_coverage *coverage, mrd_time_ms stamp_ms);

/* A stamp such that no batch at or behind `sequence` has it or a lesser one, of those that were applied; INT64_MIN: none is known. */
mrd_time_ms ing_coverage_stamp_before(const struct ing_coverage *coverage, uint64_t sequence);

/* The first sequence from which on all is here; 0: that cannot be said. */
uint64_t ing_coverage_first(const struct ing_coverage *coverage);

#endif
