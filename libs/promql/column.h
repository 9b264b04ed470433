/* column.h: one double per step of an evaluation, and how a step without a value is told apart.
 *
 * "Nothing here" is the staleness marker. Selectors remove markers before anything is computed, no
 * arithmetic makes one (it would set the quiet bit) and no literal spells one, so no value of an
 * expression can be mistaken for it, and every other NaN stays a value. Assignments must copy the
 * bits, so an operation on an absent input must be skipped, not computed.
 *
 * Native histograms are in a column of their own beside that of the doubles, which says "nothing here"
 * where there is a histogram; most series have no such column at all, and what works on doubles alone never
 * meets a histogram.
 *
 * `pql_` marks what the files of this library share among themselves only.
 */
#ifndef MRD_PROMQL_COLUMN_H
#define MRD_PROMQL_COLUMN_H

#include "model/float_histogram.h"
#include "model/sample.h"

/* What a step holds instead of a number. Never written once it is in a column. */
typedef const struct mrd_float_histogram *pql_histogram;

/* The times of an evaluation: start, start + step, ... */
struct pql_steps {
    mrd_time_ms start_ms;
    mrd_time_ms step_ms; /* > 0, also when count is 1 */
    size_t count;
};

static inline mrd_time_ms pql_step_ms(const struct pql_steps *steps, size_t index)
{
    return steps->start_ms + (mrd_time_ms)index * steps->step_ms;
}
static inline mrd_time_ms pql_steps_last_ms(const struct pql_steps *steps)
{
    return pql_step_ms(steps, steps->count == 0 ? 0 : steps->count - 1);
}

static inline double pql_none(void) { return mrd_stale_nan(); }
static inline bool pql_is_none(double value) { return mrd_is_stale(value); }

static inline void pql_column_fill(double *column, size_t count, double value)
{
    for (size_t i = 0; i < count; i++) {
        column[i] = value;
    }
}
static inline void pql_column_clear(double *column, size_t count)
{
    pql_column_fill(column, count, pql_none());
}
static inline bool pql_column_empty(const double *column, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!pql_is_none(column[i])) {
            return false;
        }
    }
    return true;
}
static inline size_t pql_column_points(const double *column, size_t count)
{
    size_t points = 0;
    for (size_t i = 0; i < count; i++) {
        points += !pql_is_none(column[i]);
    }
    return points;
}

#endif
