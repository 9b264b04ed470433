/* fold.h: rows of windows that follow each other, joined to rows of wider ones, many at a time and column by column, as blocks hold them.
 *
 * Where no edge of any range lies between two rows, a query needs only what they are together: readers join them where they decode them
 * (docs/formats/rollup.md), and the query's thread sees one row where there were 6 or 24.
 *
 * Threads: pure functions.
 */
#ifndef MRD_ROLLUP_FOLD_H
#define MRD_ROLLUP_FOLD_H

#include "rollup/columns.h"

/* Between which times rows may be joined: an ascending list of edges. Rows of windows that end in (items[i], items[i + 1]] may become
 * one that ends at items[i + 1]; the last one of a piece may end before that. No edge lies within a window that somebody looks at. */
struct mrd_rollup_edges {
    const mrd_time_ms *items;
    size_t count; /* 0: rows are not joined */
};

/* The first edge from `at` on that is not before a time; count if there is none. */
size_t mrd_rollup_edges_find(const struct mrd_rollup_edges *edges, size_t at, mrd_time_ms time_ms);

struct mrd_rollup_fold {
    /* Columns of the rows, by enum mrd_rollup_column, NULL where all have their default; none has start times or a state. */
    const void *in[MRD_ROW_COLUMNS];
    bool times_in_us; /* not in ms: those of first and last */
    unsigned wanted;  /* columns, and MRD_ROW_EXTREMES_...; not the times of markers */
    /* Rows [starts[i], starts[i + 1]) become row i: none empty. */
    const uint32_t *starts;
    size_t count;
    /* What mrd_rollup_fold_look finds. */
    bool looked;
    bool
        plain; /* no row lacks samples or is a NaN, and neither rows nor the places between them have resets: nobody needs columns of those */
    int64_t same_count; /* of samples, that every row has; 0: not all the same */
};

/* Looks at all rows once. */
void mrd_rollup_fold_look(struct mrd_rollup_fold *fold);

/* The columns that mrd_rollup_fold fills in: those wanted, and what goes with them. */
unsigned mrd_rollup_fold_columns(unsigned wanted);

/* out[] of each of those columns has room for `count` items of 8 bytes (or if the rows are plain is NULL); their times are in ms. The rows are what mrd_rollup_join makes of them one after the other,
 * bit for bit but for signs of zeros in compensations. The columns of times that are found to be as far apart in each row are returned, as
 * a set. Cost: about a nanosecond a row and column where counters do not fall. */
unsigned mrd_rollup_fold(const struct mrd_rollup_fold *fold, int64_t *const out[MRD_ROW_COLUMNS]);

#endif
