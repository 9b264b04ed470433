/* windows.h: answers for many windows at once, each from its row alone, in loops that processors do several at a time.
 *
 * Threads: pure functions.
 */
#ifndef MRD_ROLLUP_WINDOWS_H
#define MRD_ROLLUP_WINDOWS_H

#include "rollup/columns.h"

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
