/* slide.h: answers for ranges of several windows, of rows of floats that nothing but their columns is needed of: what joining whole rows
 * (row.h) and evaluating them (evaluate.h) gives, bit for bit, with as much of each row as the function looks at.
 *
 *     mrd_rollup_slide_begin -> mrd_rollup_slide_add_columns, mrd_rollup_slide_add_row: by time -> mrd_rollup_slide_answer
 *
 * Owner:   the struct has the memory that it needs and keeps it for the next series.
 * Threads: one at a time.
 * Cost:    each row is joined three times, however many ranges it is in.
 */
#ifndef MRD_ROLLUP_SLIDE_H
#define MRD_ROLLUP_SLIDE_H

#include "rollup/columns.h"

struct mrd_rollup_slide { /* all zero: ready */
    struct mrd_rollup_question question;
    struct mrd_buf terms; /* of the rows */
    struct mrd_buf suffixes;
    struct mrd_buf changes;
};

/* Ranges (end - range, end], end = end_ms + i * step_ms. */
struct mrd_rollup_ranges {
    mrd_time_ms end_ms;
    mrd_time_ms step_ms;
    mrd_time_ms range_ms;
    size_t count;
};

/* Forgets the rows. False if the function is not one of rate, increase, delta, sum, avg, min, max, count and present. */
bool mrd_rollup_slide_begin(struct mrd_rollup_slide *slide,
                            const struct mrd_rollup_question *question);

/* Adds rows that end in (begin_ms, end_ms]; false if they have states or start times that count: then nothing is added. */
bool mrd_rollup_slide_add_columns(struct mrd_rollup_slide *slide,
                                  const struct mrd_rollup_columns *columns, mrd_time_ms begin_ms,
                                  mrd_time_ms end_ms);
/* Likewise one row; it must not have histograms. */
bool mrd_rollup_slide_add_row(struct mrd_rollup_slide *slide, const struct mrd_rollup_row *row);

/* Sets out[i] of the ranges that have an answer. NULL, or why only the samples know one of them (static text). */
const char *mrd_rollup_slide_answer(struct mrd_rollup_slide *slide,
                                    const struct mrd_rollup_ranges *ranges, double *out);

void mrd_rollup_slide_fini(struct mrd_rollup_slide *slide);

#endif
