/* Rows of a rollup out of their pages, many at a time: joined between edges, or as answers alone. */
#include <stdlib.h>

#include "block/cursor_rollup_internal.h"
#include "block/writer.h"
#include "rollup/fold.h"

/* ---- joining ---- */

/* What joining needs of a run: which rows become one, and columns that have nulls as if they had none (or times in ms). */
struct mbx_fold {
    /* the run that the bounds are of, if it is regular; `rows` is 0 if there is none */
    mrd_time_ms first_ms;
    mrd_time_ms step_ms;
    uint32_t rows;
    size_t first_edge; /* at or after the first row */
    size_t last_edge;
    bool is_at_edges;    /* the joined rows end at these, one after the other */
    mrd_time_ms even_ms; /* how far apart they end; 0: not evenly */
    mrd_time_ms
        inner_ms; /* and how far apart both bounds of the windows of all but the first one and the last one; 0: not so */
    size_t count;
    uint32_t starts[MRD_BLOCK_PAGE_ROWS + 1];
    mrd_time_ms ends_ms[MRD_BLOCK_PAGE_ROWS];
    mrd_time_ms after_ms[MRD_BLOCK_PAGE_ROWS]; /* the windows of their rows */
    mrd_time_ms until_ms[MRD_BLOCK_PAGE_ROWS];
    int64_t columns[MRD_ROW_COLUMNS][MRD_BLOCK_PAGE_ROWS];
    int64_t joined[MRD_ROW_COLUMNS][MRD_BLOCK_PAGE_ROWS]; /* that nobody sees but their answers */
};

void mbx_fold_destroy(struct mbx_fold **fold)
{
    free(*fold);
    *fold = NULL;
}

static struct mbx_fold *take_fold(struct mrd_block_cursor *cursor)
{
    if (cursor->fold == NULL) {
        cursor->fold = malloc(sizeof(*cursor->fold));
        mrd_assert(cursor->fold != NULL);
        cursor->fold->rows = 0;
    }
    return cursor->fold;
}

/* How far apart all are; 0: not evenly, or there is one. */
static mrd_time_ms distance_of(const mrd_time_ms *ends_ms, size_t count)
{
    bool even = count > 1;
    for (size_t i = 2; i < count; i++) {
        even &= ends_ms[i] - ends_ms[i - 1] == ends_ms[1] - ends_ms[0];
    }
    return even ? ends_ms[1] - ends_ms[0] : 0;
}

/* Which of the chosen rows lie between which edges. Series of a block mostly have the same windows. */
static void find_bounds(const struct mbx_row_work *work, struct mbx_fold *fold)
{
    const struct mrd_rollup_edges *edges = &work->cursor->options.edges;
    const bool regular = (work->segment->flags & MBX_REGULAR) != 0;
    const uint32_t end = work->first + work->count;
    const mrd_time_ms first_ms = mbx_row_end(work, work->first);
    if (regular && fold->rows == work->count && fold->first_ms == first_ms &&
        fold->step_ms == work->segment->step_ms) {
        return;
    }
    fold->count = 0;
    fold->first_edge = mrd_rollup_edges_find(edges, 0, first_ms);
    fold->last_edge = fold->first_edge;
    for (uint32_t row = work->first; row < end; fold->count++) {
        const size_t edge = mrd_rollup_edges_find(edges, fold->last_edge, mbx_row_end(work, row));
        fold->starts[fold->count] = row - work->first;
        fold->last_edge = edge;
        row = edge == edges->count ? end : mbx_rows_seek(work, row, end, edges->items[edge] + 1);
        fold->ends_ms[fold->count] = row == end ? mbx_row_end(work, end - 1) : edges->items[edge];
        fold->after_ms[fold->count] = mbx_row_end(work, work->first + fold->starts[fold->count]) -
                                      work->cursor->block->entry.resolution_ms;
        fold->until_ms[fold->count] = mbx_row_end(work, row - 1);
    }
    fold->starts[fold->count] = work->count;
    fold->is_at_edges = fold->last_edge - fold->first_edge == fold->count - 1 &&
                        fold->last_edge < edges->count &&
                        fold->ends_ms[fold->count - 1] == edges->items[fold->last_edge];
    fold->even_ms = distance_of(fold->ends_ms, fold->count);
    fold->inner_ms = fold->count < 4 ? 0 : distance_of(fold->after_ms + 1, fold->count - 2);
    if (fold->inner_ms != 0 && fold->inner_ms != distance_of(fold->until_ms + 1, fold->count - 2)) {
        fold->inner_ms = 0;
    }
    fold->first_ms = first_ms;
    fold->step_ms = work->segment->step_ms;
    fold->rows = regular ? work->count : 0;
}

/* The chosen rows of a column, as the file has them. */
static enum mrd_status load_column(const struct mbx_row_work *work, struct mbx_fold *fold,
                                   enum mrd_rollup_column which, const void **out)
{
    struct mbx_column *column;
    MRD_TRY(mbx_pages_decode(&work->cursor->pages, (enum mbx_leaf)(MBX_ROW + which),
                             work->segment->page, &column, work->err));
    *out = NULL;
    if (column->batch.entries > 0 && column->batch.def == NULL) {
        *out = column->batch.i64 + work->segment->row + work->first;
    } else if (column->batch.entries > 0) {
        mbx_put_known(work, column, false, 0, fold->columns[which]);
        *out = fold->columns[which];
    }
    return MRD_OK;
}

MRD_SIMD_CLONES static bool are_within(const int64_t *times_ms, const int64_t *counts,
                                       const int64_t *after_ms, const int64_t *until_ms,
                                       size_t count)
{
    bool fine = true;
    for (size_t i = 0; i < count; i++) {
        fine &= ((times_ms[i] <= until_ms[i]) & (times_ms[i] > after_ms[i])) | (counts[i] == 0);
    }
    return fine;
}

/* The same where times and bounds are all as far apart. */
static bool are_evenly_within(const int64_t *times_ms, const int64_t *counts,
                              const struct mbx_fold *fold)
{
    const size_t last = fold->count - 1;
    return fold->inner_ms != 0 && counts[1] != 0 && times_ms[1] - times_ms[0] == fold->inner_ms &&
           are_within(times_ms, counts, fold->after_ms, fold->until_ms, 2) &&
           are_within(times_ms + last, counts + last, fold->after_ms + last, fold->until_ms + last,
                      1);
}

/* The times of first and last samples lie in the windows of the first and the last row. `even`: columns of times that are evenly apart. */
static bool are_inside(const struct mbx_fold *fold, int64_t *const out[], unsigned even)
{
    bool fine = true;
    for (size_t k = 0; k < 2; k++) {
        const enum mrd_rollup_column which = k == 0 ? MRD_ROW_FIRST_TS : MRD_ROW_LAST_TS;
        const int64_t *times_ms = out[which];
        const int64_t *counts = out[MRD_ROW_COUNT];
        fine &= times_ms == NULL ||
                ((even >> which & 1) != 0 && are_evenly_within(times_ms, counts, fold)) ||
                are_within(times_ms, counts, fold->after_ms, fold->until_ms, fold->count);
    }
    return fine;
}

static enum mrd_status check_loaded(const struct mbx_row_work *work,
                                    const struct mrd_rollup_fold *rows)
{
    static const enum mrd_rollup_column numbers[] = {MRD_ROW_CHANGES, MRD_ROW_RESETS};
    const int64_t *counts = rows->in[MRD_ROW_COUNT];
    bool fine = counts == NULL || mbx_are_counts(counts, rows->same_count == 0 ? work->count : 1);
    for (size_t k = 0; k < MRD_ARRAY_LEN(numbers); k++) {
        const int64_t *number = rows->in[numbers[k]];
        fine &= number == NULL || (counts != NULL && mbx_are_below(number, counts, work->count));
    }
    return fine ? MRD_OK : mbx_rows_wrong(work, "rows with numbers that cannot be");
}

/* Room for all columns of joined rows; what was before them has none of the new ones. */
static enum mrd_status take_columns(const struct mbx_row_work *work, unsigned columns, size_t count,
                                    int64_t *out_places[MRD_ROW_COLUMNS])
{
    struct mbx_rollup_output *out = work->out;
    for (unsigned which = 0; which < MRD_ROW_COLUMNS; which++) {
        const bool wanted = (columns >> which & 1) != 0;
        if (wanted && out->columns[which] == NULL) {
            void *room;
            MRD_TRY(mbx_rows_room(work, sizeof(*out->columns[which]), &room));
            out->columns[which] = room;
            mbx_put_defaults(out->columns[which], (enum mrd_rollup_column)which, out->count);
        }
        out_places[which] = out->columns[which] == NULL ? NULL : out->columns[which] + out->count;
        if (!wanted && out->columns[which] != NULL) {
            mbx_put_defaults(out_places[which], (enum mrd_rollup_column)which, count);
        }
    }
    if (out->states != NULL) {
        memset((void *)(out->states + out->count), 0, count * sizeof(*out->states));
    }
    return MRD_OK;
}

/* Makes the last two rows one, which the border of two pages had cut. */
static void join_tail(struct mbx_rollup_output *out, size_t at, unsigned columns)
{
    struct mrd_rollup_columns view = {.count = at + 2};
    for (unsigned which = 0; which < MRD_ROW_COLUMNS; which++) {
        view.items[which] = out->columns[which];
    }
    struct mrd_rollup_row row = mrd_rollup_row_empty(out->ends_ms[at]);
    row.floats = mrd_rollup_columns_floats(&view, at);
    const struct mrd_rollup_floats later = mrd_rollup_columns_floats(&view, at + 1);
    mrd_rollup_join_floats(&row.floats, &later);
    for (unsigned which = 0; which < MRD_ROW_COLUMNS; which++) {
        double real;
        int64_t integer;
        if ((columns >> which & 1) != 0) {
            mrd_rollup_row_column(&row, (enum mrd_rollup_column)which, &real, &integer);
            out->columns[which][at] = mrd_rollup_column_is_real((enum mrd_rollup_column)which)
                                          ? (int64_t)mrd_double_bits(real)
                                          : integer;
        }
    }
    out->ends_ms[at] = out->ends_ms[at + 1];
}

/* Whether the first of the joined rows and the last of those that are there are one. */
static bool joins_tail(const struct mbx_rollup_output *out, const struct mbx_fold *fold)
{
    return out->count > 0 && out->folded && out->tail_edge == fold->first_edge;
}

/* Puts the joined rows behind those that are there. */
static void append_folded(const struct mbx_row_work *work, const struct mbx_fold *fold,
                          unsigned columns)
{
    struct mbx_rollup_output *out = work->out;
    const struct mrd_rollup_edges *edges = &work->cursor->options.edges;
    const size_t before = out->count;
    const bool joined = joins_tail(out, fold);
    memcpy(out->ends_ms + before, fold->ends_ms, fold->count * sizeof(*out->ends_ms));
    out->count += fold->count;
    if (joined) {
        join_tail(out, before - 1, columns);
        for (unsigned which = 0; which < MRD_ROW_COLUMNS; which++) {
            if (out->columns[which] != NULL) {
                memmove(out->columns[which] + before, out->columns[which] + before + 1,
                        (fold->count - 1) * sizeof(*out->columns[which]));
            }
        }
        memmove(out->ends_ms + before, out->ends_ms + before + 1,
                (fold->count - 1) * sizeof(*out->ends_ms));
        out->count--;
    } else if (before > 0 && out->tail_edge < edges->count && out->folded) {
        out->ends_ms[before - 1] = edges->items[out->tail_edge];
    }
    out->tail_edge = fold->last_edge;
    out->made_of += work->count;
}

/* ---- answers alone: of columns as the pages have them, which nobody sees ---- */

enum { ENDS_MAX = 1 << 16 };

/* The ends of the chosen rows, which every window of the block has its place in; NULL: not of these rows. They live as long as the cursor. */
static const mrd_time_ms *find_ends(const struct mbx_row_work *work)
{
    struct mrd_block_cursor *cursor = work->cursor;
    const struct mrd_block_entry *entry = &cursor->block->entry;
    const mrd_time_ms resolution_ms = entry->resolution_ms;
    const mrd_time_ms from_ms = entry->counts.min_ms;
    const mrd_time_ms first_ms = mbx_row_end(work, work->first);
    if ((work->segment->flags & MBX_REGULAR) == 0 || first_ms < from_ms ||
        ((uint64_t)first_ms - (uint64_t)from_ms) % (uint64_t)resolution_ms != 0 ||
        (work->count > 1 && work->segment->step_ms != resolution_ms)) {
        return NULL;
    }
    if (cursor->ends_ms == NULL) {
        const uint64_t windows =
            ((uint64_t)entry->counts.max_ms - (uint64_t)from_ms) / (uint64_t)resolution_ms + 1;
        cursor->ends_count = windows > ENDS_MAX ? 0 : (size_t)windows;
        cursor->ends_ms = malloc((cursor->ends_count + 1) * sizeof(*cursor->ends_ms));
        mrd_assert(cursor->ends_ms != NULL);
        mbx_put_ramp(cursor->ends_ms, from_ms, resolution_ms, cursor->ends_count);
    }
    const uint64_t at = ((uint64_t)first_ms - (uint64_t)from_ms) / (uint64_t)resolution_ms;
    return at > cursor->ends_count || cursor->ends_count - at < work->count ? NULL
                                                                            : cursor->ends_ms + at;
}

/* The columns of the chosen rows, where their pages are decoded or in memory that the next run takes. */
static enum mrd_status load_columns(struct mbx_row_work *work, struct mrd_rollup_columns *out)
{
    struct mbx_fold *fold = take_fold(work->cursor);
    const unsigned leaves = mbx_rollup_leaves(work->cursor, work->segment);
    for (unsigned which = 0; which < MRD_ROW_COLUMNS; which++) {
        if ((leaves >> (MBX_ROW + which) & 1) == 0) {
            continue;
        }
        MRD_TRY(load_column(work, fold, (enum mrd_rollup_column)which, &out->items[which]));
        if (out->items[which] != NULL && mrd_rollup_column_is_time((enum mrd_rollup_column)which)) {
            int64_t *times_ms = fold->columns[which];
            mbx_put_times(work, out->items[which], which, times_ms);
            out->items[which] = times_ms;
        }
    }
    return mbx_rows_check(work, out);
}

static enum mrd_status append_alone(const struct mbx_row_work *work,
                                    const struct mrd_rollup_columns *rows, const double *answers,
                                    mrd_time_ms even_ms)
{
    struct mbx_rollup_output *out = work->out;
    struct mrd_rollup_columns *view = mrd_arena_alloc_array(out->arena, 1, sizeof(*view));
    struct mrd_rollup_floats *borders = mrd_arena_alloc_array(out->arena, 2, sizeof(*borders));
    if (view == NULL || borders == NULL) {
        return mbx_rows_too_large(work);
    }
    borders[0] = mrd_rollup_columns_floats(rows, 0);
    borders[1] = mrd_rollup_columns_floats(rows, rows->count - 1);
    *view = (struct mrd_rollup_columns){.count = rows->count,
                                        .ends_ms = rows->ends_ms,
                                        .folded = rows->folded,
                                        .made_of = rows->made_of,
                                        .answers = answers,
                                        .even_ms = even_ms,
                                        .borders = borders};
    if (out->alone == NULL) {
        out->alone = view;
    } else {
        out->alone_last->next = view;
    }
    out->alone_last = view;
    return MRD_OK;
}

/* Answers the rows, if none of them has to be looked at by itself; else *out_done stays false. */
static enum mrd_status answer_rows(const struct mbx_row_work *work,
                                   const struct mrd_rollup_columns *rows, mrd_time_ms even_ms,
                                   bool *out_done)
{
    double *answers = mrd_arena_alloc_array(work->out->arena, rows->count, sizeof(*answers));
    if (answers == NULL) {
        return mbx_rows_too_large(work);
    }
    *out_done = mrd_rollup_windows_answer(&work->cursor->options.asked, rows, answers);
    return *out_done ? append_alone(work, rows, answers, even_ms) : MRD_OK;
}

enum mrd_status mbx_rows_answer(struct mbx_row_work *work, bool *out_done)
{
    struct mbx_rollup_output *out = work->out;
    const struct mrd_rollup_asked *asked = &work->cursor->options.asked;
    struct mrd_rollup_columns rows = {.count = work->count};
    *out_done = false;
    if (!asked->alone || asked->window_ms != work->cursor->block->entry.resolution_ms ||
        out->count > 0 || work->cursor->options.grid.step_ms != 0 ||
        (work->segment->flags & MBX_HISTOGRAMS) != 0) {
        return MRD_OK;
    }
    rows.ends_ms = find_ends(work);
    if (rows.ends_ms == NULL) {
        return MRD_OK;
    }
    MRD_TRY(load_columns(work, &rows));
    return answer_rows(work, &rows, work->segment->step_ms, out_done);
}

/* ---- joined rows ---- */

static enum mrd_status load_rows(const struct mbx_row_work *work, struct mbx_fold *fold,
                                 struct mrd_rollup_fold *rows)
{
    const unsigned leaves = mbx_rollup_leaves(work->cursor, work->segment);
    for (unsigned which = 0; which < MRD_ROW_COLUMNS; which++) {
        if ((leaves >> (MBX_ROW + which) & 1) != 0) {
            MRD_TRY(load_column(work, fold, (enum mrd_rollup_column)which, &rows->in[which]));
        }
    }
    mrd_rollup_fold_look(rows);
    return check_loaded(work, rows);
}

static enum mrd_status join_rows(const struct mbx_row_work *work, const struct mbx_fold *fold,
                                 const struct mrd_rollup_fold *rows,
                                 int64_t *const places[MRD_ROW_COLUMNS])
{
    const unsigned even = mrd_rollup_fold(rows, places);
    return mbx_are_counts(places[MRD_ROW_COUNT], rows->count) && are_inside(fold, places, even)
               ? MRD_OK
               : mbx_rows_wrong(work, "rows with numbers or times that cannot be");
}

/* Where the joined rows end, for as long as their answers live. */
static enum mrd_status lend_ends(const struct mbx_row_work *work, const struct mbx_fold *fold,
                                 const mrd_time_ms **out)
{
    if (fold->is_at_edges) {
        *out = work->cursor->options.edges.items + fold->first_edge;
        return MRD_OK;
    }
    mrd_time_ms *ends_ms = mrd_arena_alloc_array(work->out->arena, fold->count, sizeof(*ends_ms));
    if (ends_ms == NULL) {
        return mbx_rows_too_large(work);
    }
    memcpy(ends_ms, fold->ends_ms, fold->count * sizeof(*ends_ms));
    *out = ends_ms;
    return MRD_OK;
}

/* As mbx_rows_answer. The first row and the last one may be a part of their range: then nobody looks at their answers. */
static enum mrd_status answer_joined(const struct mbx_row_work *work, struct mbx_fold *fold,
                                     const struct mrd_rollup_fold *rows, unsigned columns,
                                     bool *out_done)
{
    const struct mrd_rollup_asked *asked = &work->cursor->options.asked;
    struct mrd_rollup_columns joined = {
        .count = rows->count, .folded = true, .made_of = work->count};
    int64_t *places[MRD_ROW_COLUMNS] = {NULL};
    *out_done = false;
    if (!asked->alone || asked->window_ms == 0 || work->out->count > 0) {
        return MRD_OK;
    }
    for (unsigned which = 0; which < MRD_ROW_COLUMNS; which++) {
        places[which] = (columns >> which & 1) != 0 ? fold->joined[which] : NULL;
        joined.items[which] = places[which];
    }
    MRD_TRY(join_rows(work, fold, rows, places));
    MRD_TRY(lend_ends(work, fold, &joined.ends_ms));
    return answer_rows(work, &joined, fold->even_ms, out_done);
}

enum mrd_status mbx_rows_fold(const struct mbx_row_work *work)
{
    struct mbx_rollup_output *out = work->out;
    struct mbx_fold *fold = take_fold(work->cursor);
    const unsigned wanted = work->cursor->options.columns;
    const unsigned resets = 1U << MRD_ROW_RESETS | 1U << MRD_ROW_LOST;
    unsigned columns = mrd_rollup_fold_columns(wanted);
    int64_t *places[MRD_ROW_COLUMNS];
    struct mrd_rollup_fold rows = {.times_in_us = true, .wanted = wanted, .starts = fold->starts};
    bool done = false;
    find_bounds(work, fold);
    rows.count = fold->count;
    MRD_TRY(load_rows(work, fold, &rows));
    MRD_TRY(answer_joined(work, fold, &rows, rows.plain ? columns & ~resets : columns, &done));
    if (done) {
        return MRD_OK;
    }
    mrd_assert(out->count + rows.count <= out->capacity);
    if (out->ends_ms == NULL) {
        void *room;
        MRD_TRY(mbx_rows_room(work, sizeof(*out->ends_ms), &room));
        out->ends_ms = room;
    }
    if (rows.plain && !joins_tail(out, fold)) {
        columns &= ~resets;
    }
    MRD_TRY(take_columns(work, columns, rows.count, places));
    MRD_TRY(join_rows(work, fold, &rows, places));
    append_folded(work, fold, columns);
    return MRD_OK;
}
