/* cursor_rollup_internal.h: what making rows one by one (cursor_rollup.c) and many together (cursor_rollup_fold.c) share. */
#ifndef MRD_BLOCK_CURSOR_ROLLUP_INTERNAL_H
#define MRD_BLOCK_CURSOR_ROLLUP_INTERNAL_H

#include "block/cursor_internal.h"

/* What is being decoded: some rows of a run, which come behind those that are there. */
struct mbx_row_work {
    struct mrd_block_cursor *cursor;
    struct mbx_rollup_output *out;
    const struct mbx_segment *segment;
    const uint16_t *picks; /* which rows of the run, ascending; NULL: all from the first on */
    uint32_t first;
    uint32_t count;
    unsigned alike; /* columns of times that are as far from the end of each window */
    struct mrd_error *err;
};

/* Of a row of the run; those that are not regular have been read. */
static inline mrd_time_ms mbx_row_end(const struct mbx_row_work *work, uint32_t row)
{
    return (work->segment->flags & MBX_REGULAR) != 0
               ? work->segment->first_ms + (int64_t)row * work->segment->step_ms
               : work->cursor->ts[row];
}

MRD_MUST_CHECK enum mrd_status mbx_rows_wrong(const struct mbx_row_work *work, const char *what);
MRD_MUST_CHECK enum mrd_status mbx_rows_too_large(const struct mbx_row_work *work);

/* Room for an item of each row. */
MRD_MUST_CHECK enum mrd_status mbx_rows_room(const struct mbx_row_work *work, size_t size,
                                             void **out);

/* The first row from `row` on that ends at or after a time, `rows` if there is none. */
uint32_t mbx_rows_seek(const struct mbx_row_work *work, uint32_t row, uint32_t rows,
                       mrd_time_ms time_ms);

/* ---- columns ---- */

void mbx_put_ramp(int64_t *place, int64_t first, int64_t step, size_t count);
/* Rows of a column in which nothing is. */
void mbx_put_defaults(int64_t *place, enum mrd_rollup_column column, size_t count);
/* Times of the chosen rows. Where they lie in their windows as the first one does, which is noted, one is converted. */
void mbx_put_times(struct mbx_row_work *work, const int64_t *us, unsigned which, int64_t *place);
/* Of a column in which some have none: they have the default. */
void mbx_put_known(const struct mbx_row_work *work, struct mbx_column *column, bool is_time,
                   int64_t missing, int64_t *place);

/* Whether no row has more samples than it can; likewise numbers that are below those of samples. */
bool mbx_are_counts(const int64_t *counts, size_t count);
bool mbx_are_below(const int64_t *numbers, const int64_t *counts, size_t count);
MRD_MUST_CHECK enum mrd_status mbx_rows_check(const struct mbx_row_work *work,
                                              const struct mrd_rollup_columns *rows);

/* ---- cursor_rollup_fold.c ---- */

/* Appends the chosen rows joined: those between two edges are one. */
MRD_MUST_CHECK enum mrd_status mbx_rows_fold(const struct mbx_row_work *work);

/* Appends the answers of the chosen rows alone, and says so: not if some row has to be looked at by itself. Runs behind one that has
 * columns have them too. */
MRD_MUST_CHECK enum mrd_status mbx_rows_answer(struct mbx_row_work *work, bool *out_done);

#endif
