/* evaluate.h: what PromQL's functions make of a range that rows cover.
 *
 * The answers are those that the samples themselves would give, by the same extrapolation, in the same order of
 * floating-point operations. Where a row does not know enough the outcome is MRD_ROLLUP_RAW with the reason: evaluate that step of
 * that series over its samples. It is never a guess.
 *
 * Exact, bit for bit: count, present, min, max, first, last, changes, resets, their times, instant values, delta, and rate and increase
 * with at most one reset in each row that was joined, or of whole numbers. sum and avg, and rate and increase with more resets, add the
 * same doubles in another order: whole numbers (below 2^53) are still exact, for others docs/formats/rollup.md has the bounds.
 *
 * Threads: pure functions.
 */
#ifndef MRD_ROLLUP_EVALUATE_H
#define MRD_ROLLUP_EVALUATE_H

#include "rollup/row.h"

enum mrd_rollup_function {
    MRD_ROLLUP_NO_FUNCTION, /* none that rows know of */
    MRD_ROLLUP_INSTANT,     /* an instant selector: the range is its lookback */
    MRD_ROLLUP_TIMESTAMP,   /* of what that selects */
    MRD_ROLLUP_RATE,
    MRD_ROLLUP_INCREASE,
    MRD_ROLLUP_DELTA,
    MRD_ROLLUP_CHANGES,
    MRD_ROLLUP_RESETS,
    MRD_ROLLUP_SUM,
    MRD_ROLLUP_AVG,
    MRD_ROLLUP_MIN,
    MRD_ROLLUP_MAX,
    MRD_ROLLUP_COUNT,
    MRD_ROLLUP_FIRST,
    MRD_ROLLUP_LAST,
    MRD_ROLLUP_PRESENT,
    MRD_ROLLUP_TS_OF_FIRST,
    MRD_ROLLUP_TS_OF_LAST,
};

/* By its name in PromQL: "rate", "avg_over_time"; "" is an instant selector. */
enum mrd_rollup_function mrd_rollup_function_find(struct mrd_bytes name);

struct mrd_rollup_question {
    enum mrd_rollup_function function; /* not MRD_ROLLUP_NO_FUNCTION */
    mrd_time_ms begin_ms;              /* exclusive: end - range, or end - lookback */
    mrd_time_ms end_ms;
    bool use_start_timestamps; /* as the engine's option of that name */
};

enum mrd_rollup_outcome {
    MRD_ROLLUP_NOTHING, /* no element */
    MRD_ROLLUP_FLOAT,
    MRD_ROLLUP_HISTOGRAM,
    MRD_ROLLUP_RAW, /* only the samples know */
};

struct mrd_rollup_answer {
    enum mrd_rollup_outcome outcome;
    double value;
    const struct mrd_float_histogram *histogram; /* from the arena, or the row's */
    bool overlaps;                               /* the engine warns of start times that overlap */
    const char *why;                             /* MRD_ROLLUP_RAW: static text */
};

/* `row` has been joined from all rows of the series that lie in the range, and has nothing outside of it. MRD_E_LIMIT from
 * the arena; floats need none. */
MRD_MUST_CHECK enum mrd_status
mrd_rollup_evaluate(const struct mrd_rollup_question *question, const struct mrd_rollup_row *row,
                    struct mrd_arena *arena, struct mrd_rollup_answer *out, struct mrd_error *err);

#endif
