/* windows.h: answers for many windows at once, each from its row alone, in loops that processors do several at a time.
 *
 * Threads: pure functions.
 */
#ifndef MRD_ROLLUP_WINDOWS_H
#define MRD_ROLLUP_WINDOWS_H

#include "rollup/columns.h"

/* What a reader of rows is to answer with each of them, as it decodes them: its thread has them at hand, and the query's does not. */
struct mrd_rollup_asked {
    enum mrd_rollup_function function;
    mrd_time_ms window_ms; /* the range of a row: (end - window, end]; 0: nothing is asked for */
    /* Nobody looks at the columns of a row that has an answer: they need not come. Where rows are joined, no edge lies within a range, so that
     * it has one row of a block. */
    bool alone;
};

/* out[i] is what mrd_rollup_columns_answer makes of row i, bit for bit, with its window as the question's; a staleness marker's bits where there
 * is no answer. False if some row has to be looked at by itself (start times that count, sums that may overflow), or the function does not
 * look at ranges: out is of no use then. */
bool mrd_rollup_windows_answer(const struct mrd_rollup_asked *asked,
                               const struct mrd_rollup_columns *columns, double *out);

/* Puts the answers to the rows, if they are asked for and there are some: *columns is another view then, in the arena. */
MRD_MUST_CHECK enum mrd_status mrd_rollup_windows_add(const struct mrd_rollup_asked *asked,
                                                      struct mrd_arena *arena,
                                                      const struct mrd_rollup_columns **columns,
                                                      struct mrd_error *err);

/* Whether mrd_rollup_windows_change does it: rate, increase or delta of windows of at most 24 days, of rows without states and start times
 * that count; what they lost in resets does not overflow. Cost: a look at each row that may have resets. */
bool mrd_rollup_windows_can(const struct mrd_rollup_question *question,
                            const struct mrd_rollup_columns *columns, mrd_time_ms resolution_ms);

/* out[i] is what mrd_rollup_columns_answer makes of row from + i, bit for bit, with its window as the question's; a staleness marker's
 * bits where there is no answer. */
void mrd_rollup_windows_change(enum mrd_rollup_function function,
                               const struct mrd_rollup_columns *columns, mrd_time_ms resolution_ms,
                               size_t from, size_t count, double *out);

#endif
