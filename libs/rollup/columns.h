/* columns.h: the rows of a series as columns, as files hold them: a reader who needs the greatest values reads these alone.
 *
 * A column that was not asked for, or in which no row has anything, is NULL: every row has its default then (0; of stale markers
 * MRD_ROLLUP_NEVER). What the columns cannot say (histograms, what start times tell apart from values) is in `states`.
 *
 * Owner:   views; whoever hands them out says how long they live.
 * Threads: pure functions.
 */
#ifndef MRD_ROLLUP_COLUMNS_H
#define MRD_ROLLUP_COLUMNS_H

#include "rollup/evaluate.h"

enum mrd_rollup_column {
    MRD_ROW_COUNT, /* of floats; 0: the other columns of the row are defaults, but for the marker */
    MRD_ROW_SUM,
    MRD_ROW_COMPENSATION, /* of the sum */
    MRD_ROW_MIN,
    MRD_ROW_MAX,
    MRD_ROW_FIRST,
    MRD_ROW_LAST,
    MRD_ROW_FIRST_TS, /* ms */
    MRD_ROW_LAST_TS,
    MRD_ROW_CHANGES,
    MRD_ROW_RESETS, /* by value */
    MRD_ROW_LOST,
    MRD_ROW_FIRST_ST, /* ms, 0: unknown */
    MRD_ROW_LAST_ST,
    MRD_ROW_STALE_TS, /* ms */
    MRD_ROW_COLUMNS,
};

/* Sets of columns: bits 1 << enum mrd_rollup_column. */
#define MRD_ROW_ALL ((1U << MRD_ROW_COLUMNS) - 1)
/* With them: least and greatest value, of all rows or of those that have resets. They tell whether a sum may have passed the range of a
 * double, so a reader who knows that all values lie within +-MRD_ROW_SMALL may leave them out: 0 stands for them, and no range of rows has
 * so many samples that such values would matter. */
#define MRD_ROW_EXTREMES_OF_RESETS (1U << MRD_ROW_COLUMNS)
#define MRD_ROW_EXTREMES_OF_SUMS (1U << (MRD_ROW_COLUMNS + 1))
#define MRD_ROW_SMALL 1e290

static inline bool mrd_rollup_column_is_real(enum mrd_rollup_column column)
{
    return (1U << column & (1U << MRD_ROW_SUM | 1U << MRD_ROW_COMPENSATION | 1U << MRD_ROW_MIN |
                            1U << MRD_ROW_MAX | 1U << MRD_ROW_FIRST | 1U << MRD_ROW_LAST |
                            1U << MRD_ROW_LOST)) != 0;
}
static inline bool mrd_rollup_column_is_time(enum mrd_rollup_column column)
{
    return (1U << column &
            (1U << MRD_ROW_FIRST_TS | 1U << MRD_ROW_LAST_TS | 1U << MRD_ROW_FIRST_ST |
             1U << MRD_ROW_LAST_ST | 1U << MRD_ROW_STALE_TS)) != 0;
}

/* Rows in the order of time. */
struct mrd_rollup_columns {
    size_t count;
    const mrd_time_ms *ends_ms;
    const void *items[MRD_ROW_COLUMNS]; /* double or int64_t of each row, or NULL */
    /* NULL, or for each row NULL or all of it: what its columns say is then in it too. */
    const struct mrd_rollup_row *const *states;
    /* No two rows lie between the same edges, at which all but the last end (fold.h). */
    bool folded;
    uint64_t made_of; /* rows, if it is so many more; 0: as many as there are */
    /* NULL, or what was asked for, of each row by itself (windows.h): a staleness marker's bits where it is nothing. */
    const double *answers;
    mrd_time_ms even_ms; /* with answers: how far apart all rows end; 0: not evenly */
    /* With answers: NULL, or these are alone, without columns; and here are the first row and the last one, for those that share a window, or
     * joined ones (folded) their range, with others: the answer of one that ends within its range is of no use. */
    const struct mrd_rollup_floats *borders;
    const struct mrd_rollup_columns *next; /* NULL, or rows that come behind, in another form */
};

static inline uint64_t mrd_rollup_columns_made_of(const struct mrd_rollup_columns *columns)
{
    return columns->made_of == 0 ? columns->count : columns->made_of;
}

static inline double mrd_rollup_real(const struct mrd_rollup_columns *columns,
                                     enum mrd_rollup_column column, size_t i)
{
    const double *items = columns->items[column];
    return items == NULL ? 0 : items[i];
}
static inline int64_t mrd_rollup_integer(const struct mrd_rollup_columns *columns,
                                         enum mrd_rollup_column column, size_t i)
{
    const int64_t *items = columns->items[column];
    return items != NULL ? items[i] : column == MRD_ROW_STALE_TS ? MRD_ROLLUP_NEVER : 0;
}

/* The columns that an answer looks at. */
unsigned mrd_rollup_columns_of(enum mrd_rollup_function function, bool use_start_timestamps);

/* A row, as far as its columns are there; of answers that are alone, the first or the last. Histograms are those of the state. The extremes are those of first
 * and last at least. */
void mrd_rollup_columns_row(const struct mrd_rollup_columns *columns, size_t i,
                            struct mrd_rollup_row *out);

/* Its floats alone, of a row without a state (that is not alone). */
struct mrd_rollup_floats mrd_rollup_columns_floats(const struct mrd_rollup_columns *columns,
                                                   size_t i);

/* What mrd_rollup_evaluate makes of a row without a state, at less cost. */
struct mrd_rollup_answer mrd_rollup_columns_answer(const struct mrd_rollup_question *question,
                                                   const struct mrd_rollup_columns *columns,
                                                   size_t i);

/* Whether columns alone cannot say what is in the row. */
bool mrd_rollup_row_needs_state(const struct mrd_rollup_row *row);

/* What a column has of a row; the other of the two is 0. */
void mrd_rollup_row_column(const struct mrd_rollup_row *row, enum mrd_rollup_column column,
                           double *out_real, int64_t *out_integer);

#endif
