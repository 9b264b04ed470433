/* Rows of a rollup from their pages: what cursor_decode.c does for samples. */
#include <stdlib.h>

#include "block/cursor_rollup_internal.h"
#include "block/writer.h"
#include "rollup/codec.h"

/* Rows have as many samples at most; far above what a window can have. */
#define COUNT_MAX ((int64_t)1 << 53)

/* ---- what comes out ---- */

void mbx_rollup_output_begin(struct mbx_rollup_output *out, struct mrd_arena *arena,
                             size_t capacity)
{
    *out = (struct mbx_rollup_output){.arena = arena,
                                      .arena_before = mrd_arena_used(arena),
                                      .capacity = capacity,
                                      .folded = true};
}

enum mrd_status mbx_rollup_output_view(const struct mbx_rollup_output *out,
                                       const struct mrd_rollup_asked *asked,
                                       const struct mrd_rollup_columns **out_view,
                                       struct mrd_error *err)
{
    if (out->count == 0) {
        *out_view = out->alone;
        return MRD_OK;
    }
    struct mrd_rollup_columns *view = mrd_arena_alloc_array(out->arena, 1, sizeof(*view));
    if (view == NULL) {
        return mrd_arena_fail(out->arena, err);
    }
    *view = (struct mrd_rollup_columns){.count = out->count,
                                        .ends_ms = out->ends_ms,
                                        .states = out->states,
                                        .folded = out->folded,
                                        .made_of = out->made_of};
    for (unsigned i = 0; i < MRD_ROW_COLUMNS; i++) {
        view->items[i] = out->columns[i];
    }
    const struct mrd_rollup_columns *answered = view;
    MRD_TRY(mrd_rollup_windows_add(asked, out->arena, &answered, err));
    *out_view = out->alone == NULL ? answered : out->alone;
    if (out->alone != NULL) {
        out->alone_last->next = answered;
    }
    return MRD_OK;
}

enum mrd_status mbx_rows_wrong(const struct mbx_row_work *work, const char *what)
{
    return mrd_fail(work->err, MRD_E_CORRUPT, "%s: page %u, row %u: %s",
                    work->cursor->block->data_key, work->segment->page, work->segment->row, what);
}

enum mrd_status mbx_rows_too_large(const struct mbx_row_work *work)
{
    return mrd_fail(work->err, MRD_E_LIMIT,
                    "block %.*s: one series takes more than the limit of %zu bytes: select a "
                    "shorter range",
                    MRD_FMT(work->cursor->block->entry.id), work->cursor->out.bytes_max);
}

static enum mrd_status check_size(const struct mbx_row_work *work)
{
    const size_t size = mrd_arena_used(work->out->arena) - work->out->arena_before;
    return size <= work->cursor->out.bytes_max ? MRD_OK : mbx_rows_too_large(work);
}

enum mrd_status mbx_rows_room(const struct mbx_row_work *work, size_t size, void **out)
{
    struct mbx_rollup_output *to = work->out;
    const size_t used = mrd_arena_used(to->arena) - to->arena_before;
    const size_t left = work->cursor->out.bytes_max - MRD_MIN(used, work->cursor->out.bytes_max);
    *out = left / size < to->capacity ? NULL : mrd_arena_alloc_array(to->arena, to->capacity, size);
    return *out == NULL ? mbx_rows_too_large(work) : MRD_OK;
}

static uint32_t row_at(const struct mbx_row_work *work, uint32_t i)
{
    return work->picks == NULL ? work->first + i : work->picks[i];
}

/* ---- windows ---- */

static enum mrd_status read_ends(const struct mbx_row_work *work)
{
    const struct mbx_segment *segment = work->segment;
    int64_t *ends_ms = work->cursor->ts;
    struct mbx_column *column;
    if ((segment->flags & MBX_REGULAR) != 0) {
        return MRD_OK;
    }
    MRD_TRY(mbx_pages_decode(&work->cursor->pages, MBX_TS, segment->page, &column, work->err));
    const int64_t *us = column->batch.i64 + segment->row;
    const int64_t resolution_us = work->cursor->block->entry.resolution_ms * 1000;
    bool fine = true;
    for (uint32_t i = 0; i < segment->rows; i++) {
        ends_ms[i] = us[i] / 1000;
        fine &= us[i] % resolution_us == 0 && (i == 0 || us[i - 1] < us[i]);
    }
    fine &= ends_ms[0] == segment->first_ms && ends_ms[segment->rows - 1] == segment->last_ms;
    return fine ? MRD_OK : mbx_rows_wrong(work, "windows are not those of the sidecar");
}

uint32_t mbx_rows_seek(const struct mbx_row_work *work, uint32_t row, uint32_t rows,
                       mrd_time_ms time_ms)
{
    const struct mbx_segment *segment = work->segment;
    if (row == rows || mbx_row_end(work, row) >= time_ms) {
        return row;
    }
    if (row + 1 == rows) { /* a run of one has no step */
        return rows;
    }
    if ((segment->flags & MBX_REGULAR) != 0) {
        const mrd_time_ms distance_ms = time_ms - mbx_row_end(work, row);
        const mrd_time_ms ahead = (distance_ms - 1) / segment->step_ms + 1;
        return ahead >= (mrd_time_ms)(rows - row) ? rows : row + (uint32_t)ahead;
    }
    while (row < rows && work->cursor->ts[row] < time_ms) {
        row++;
    }
    return row;
}

/* Chooses the rows that are in the range. */
static void choose_range(struct mbx_row_work *work)
{
    const struct mrd_block_cursor *cursor = work->cursor;
    const uint32_t rows = work->segment->rows;
    work->first = mbx_rows_seek(work, 0, rows, cursor->min_ms);
    const uint32_t end = cursor->max_ms == INT64_MAX
                             ? rows
                             : mbx_rows_seek(work, work->first, rows, cursor->max_ms + 1);
    work->count = end - work->first;
}

/* Chooses of these the ones that are wanted. */
static void choose_rows(struct mbx_row_work *work)
{
    struct mrd_block_cursor *cursor = work->cursor;
    const struct mrd_rollup_grid *grid = &cursor->options.grid;
    const uint32_t begin = work->first;
    const uint32_t end = begin + work->count;
    if (grid->step_ms == 0) {
        return;
    }
    work->count = 0;
    work->picks = cursor->picks;
    for (uint32_t row = begin; row < end;) {
        const mrd_time_ms wait_ms = mrd_rollup_grid_wait(grid, mbx_row_end(work, row));
        if (wait_ms == 0) {
            cursor->picks[work->count++] = (uint16_t)row++;
        } else {
            row = mbx_rows_seek(work, row, end, mbx_row_end(work, row) + wait_ms);
        }
    }
}

MRD_SIMD_CLONES void mbx_put_ramp(int64_t *place, int64_t first, int64_t step, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        place[i] = (int64_t)((uint64_t)first + (uint64_t)step * i);
    }
}

static enum mrd_status append_ends(const struct mbx_row_work *work)
{
    struct mbx_rollup_output *out = work->out;
    if (out->ends_ms == NULL) {
        void *room;
        MRD_TRY(mbx_rows_room(work, sizeof(*out->ends_ms), &room));
        out->ends_ms = room;
    }
    mrd_time_ms *place = out->ends_ms + out->count;
    if (work->picks == NULL && (work->segment->flags & MBX_REGULAR) != 0) {
        mbx_put_ramp(place, mbx_row_end(work, work->first), work->segment->step_ms, work->count);
        return MRD_OK;
    }
    for (uint32_t i = 0; i < work->count; i++) {
        place[i] = mbx_row_end(work, row_at(work, i));
    }
    return MRD_OK;
}

/* Whether rows of the run are joined where the cursor may: those without start times and states, if nobody asks for markers. */
static bool is_foldable(const struct mrd_block_cursor *cursor, const struct mbx_segment *segment)
{
    const unsigned columns = cursor->options.columns;
    return cursor->options.edges.count > 0 && columns != 0 &&
           (columns >> MRD_ROW_STALE_TS & 1) == 0 &&
           (segment->flags & (MBX_HISTOGRAMS | MBX_STARTS)) == 0;
}

size_t mbx_rollup_rows_max(const struct mrd_block_cursor *cursor, const struct mbx_segment *segment)
{
    const struct mrd_rollup_grid *grid = &cursor->options.grid;
    if (is_foldable(cursor, segment)) {
        const struct mrd_rollup_edges *edges = &cursor->options.edges;
        const size_t first = mrd_rollup_edges_find(edges, 0, segment->first_ms);
        const size_t last = mrd_rollup_edges_find(edges, first, segment->last_ms);
        return MRD_MIN(last - first + 1, (size_t)segment->rows);
    }
    if (grid->step_ms == 0) {
        return segment->rows;
    }
    const uint64_t ranges =
        (uint64_t)(segment->last_ms - segment->first_ms) / (uint64_t)grid->step_ms + 2;
    const uint64_t in_each =
        (uint64_t)grid->range_ms / (uint64_t)cursor->block->entry.resolution_ms + 1;
    return ranges > segment->rows || in_each > segment->rows
               ? segment->rows
               : (size_t)MRD_MIN(ranges * in_each, (uint64_t)segment->rows);
}

/* ---- columns ---- */

static inline void put_all(int64_t *place, int64_t value, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        place[i] = value;
    }
}

void mbx_put_defaults(int64_t *place, enum mrd_rollup_column column, size_t count)
{
    put_all(place, column == MRD_ROW_STALE_TS ? MRD_ROLLUP_NEVER : 0, count);
}

/* In place, too. */
MRD_SIMD_CLONES static void put_ms(int64_t *place, const int64_t *us, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        place[i] = us[i] / 1000;
    }
}

/* Whether all are as far apart. */
MRD_SIMD_CLONES static bool is_ramp(const int64_t *items, int64_t step, size_t count)
{
    uint64_t others = 0;
    for (size_t i = 1; i < count; i++) {
        others |= ((uint64_t)items[i] - (uint64_t)items[i - 1]) ^ (uint64_t)step;
    }
    return others == 0;
}

void mbx_put_times(struct mbx_row_work *work, const int64_t *us, unsigned which, int64_t *place)
{
    const struct mbx_segment *segment = work->segment;
    if ((segment->flags & MBX_REGULAR) != 0 && us[0] >= 0 && us[work->count - 1] >= us[0] &&
        is_ramp(us, (int64_t)((uint64_t)segment->step_ms * 1000), work->count)) {
        mbx_put_ramp(place, us[0] / 1000, segment->step_ms, work->count);
        work->alike |= 1U << which;
    } else {
        put_ms(place, us, work->count);
    }
}

/* Of a column in which every row has a value. */
static void put_values(struct mbx_row_work *work, const int64_t *from, enum mrd_rollup_column which,
                       int64_t *place)
{
    const bool is_time = mrd_rollup_column_is_time(which);
    if (work->picks == NULL && is_time) {
        mbx_put_times(work, from + work->first, which, place);
    } else if (work->picks == NULL) {
        memcpy(place, from + work->first, work->count * sizeof(*place));
    } else {
        for (uint32_t i = 0; i < work->count; i++) {
            const int64_t value = from[work->picks[i]];
            place[i] = is_time ? value / 1000 : value;
        }
    }
}

/* The same of all rows, where mostly eight of them have none. */
static void put_few(const uint8_t *def, const int64_t *values, size_t count, bool is_time,
                    int64_t missing, int64_t *place)
{
    for (size_t i = 0; i < count;) {
        uint64_t eight = 1;
        if (count - i >= sizeof(eight)) {
            memcpy(&eight, def + i, sizeof(eight));
        }
        if (eight == 0) {
            put_all(place + i, missing, sizeof(eight));
            i += sizeof(eight);
            continue;
        }
        place[i] = def[i] == 0 ? missing : is_time ? *values / 1000 : *values;
        values += def[i++];
    }
}

void mbx_put_known(const struct mbx_row_work *work, struct mbx_column *column, bool is_time,
                   int64_t missing, int64_t *place)
{
    const uint8_t *def = column->batch.def + work->segment->row;
    size_t value = mbx_column_seek(column, work->segment->row + work->first);
    if (work->picks == NULL) {
        put_few(def + work->first, column->batch.i64 + value, work->count, is_time, missing, place);
        return;
    }
    for (uint32_t i = 0, row = work->first; i < work->count; i++) {
        const uint32_t next = row_at(work, i);
        for (; row < next; row++) {
            value += def[row];
        }
        place[i] = def[row] == 0 ? missing
                   : is_time     ? column->batch.i64[value] / 1000
                                 : column->batch.i64[value];
    }
}

static enum mrd_status append_column(struct mbx_row_work *work, enum mrd_rollup_column which)
{
    struct mbx_rollup_output *out = work->out;
    const bool is_time = mrd_rollup_column_is_time(which);
    struct mbx_column *column;
    MRD_TRY(mbx_pages_decode(&work->cursor->pages, (enum mbx_leaf)(MBX_ROW + which),
                             work->segment->page, &column, work->err));
    if (column->batch.entries == 0 && out->columns[which] == NULL) {
        return MRD_OK;
    }
    if (out->columns[which] == NULL) {
        void *room;
        MRD_TRY(mbx_rows_room(work, sizeof(*out->columns[which]), &room));
        out->columns[which] = room;
        mbx_put_defaults(out->columns[which], which, out->count);
    }
    int64_t *place = out->columns[which] + out->count;
    if (column->batch.entries == 0) {
        mbx_put_defaults(place, which, work->count);
    } else if (column->batch.def == NULL) {
        put_values(work, column->batch.i64 + work->segment->row, which, place);
    } else {
        mbx_put_known(work, column, is_time, which == MRD_ROW_STALE_TS ? MRD_ROLLUP_NEVER : 0,
                      place);
    }
    return MRD_OK;
}

/* The rows that were appended last, or NULL if the column has none. */
static const int64_t *tail_of(const struct mbx_row_work *work, enum mrd_rollup_column which)
{
    const int64_t *column = work->out->columns[which];
    return column == NULL ? NULL : column + work->out->count;
}

static struct mrd_rollup_columns tails_of(const struct mbx_row_work *work)
{
    struct mrd_rollup_columns tails = {.count = work->count,
                                       .ends_ms = work->out->ends_ms + work->out->count};
    for (unsigned which = 0; which < MRD_ROW_COLUMNS; which++) {
        tails.items[which] = tail_of(work, (enum mrd_rollup_column)which);
    }
    return tails;
}

MRD_SIMD_CLONES bool mbx_are_counts(const int64_t *counts, size_t count)
{
    uint64_t most = 0;
    for (size_t i = 0; i < count; i++) {
        most |= (uint64_t)counts[i];
    }
    return most <= (uint64_t)COUNT_MAX;
}

MRD_SIMD_CLONES bool mbx_are_below(const int64_t *numbers, const int64_t *counts, size_t count)
{
    bool fine = true;
    for (size_t i = 0; i < count; i++) {
        fine &= numbers[i] >= 0 && (numbers[i] == 0 || numbers[i] < counts[i]);
    }
    return fine;
}

/* Times of rows that have samples lie in their windows. */
MRD_SIMD_CLONES static bool inside(const int64_t *times_ms, const int64_t *counts,
                                   const int64_t *ends_ms, int64_t resolution_ms, size_t count)
{
    bool fine = true;
    for (size_t i = 0; i < count; i++) {
        const bool in = times_ms[i] <= ends_ms[i] && times_ms[i] > ends_ms[i] - resolution_ms;
        fine &= in | (counts[i] == 0);
    }
    return fine;
}

enum mrd_status mbx_rows_check(const struct mbx_row_work *work,
                               const struct mrd_rollup_columns *rows)
{
    const size_t count = rows->count;
    const int64_t *counts = rows->items[MRD_ROW_COUNT];
    if (counts == NULL) {
        return MRD_OK;
    }
    bool fine = mbx_are_counts(counts, count);
    static const enum mrd_rollup_column times[] = {MRD_ROW_FIRST_TS, MRD_ROW_LAST_TS};
    static const enum mrd_rollup_column numbers[] = {MRD_ROW_CHANGES, MRD_ROW_RESETS};
    for (size_t k = 0; k < MRD_ARRAY_LEN(times); k++) {
        const int64_t *at = rows->items[times[k]];
        const bool first_tells = (work->alike >> times[k] & 1) != 0 && counts[0] > 0;
        fine &=
            at == NULL || inside(at, counts, rows->ends_ms,
                                 work->cursor->block->entry.resolution_ms, first_tells ? 1 : count);
    }
    for (size_t k = 0; k < MRD_ARRAY_LEN(numbers); k++) {
        const int64_t *number = rows->items[numbers[k]];
        fine &= number == NULL || mbx_are_below(number, counts, count);
    }
    return fine ? MRD_OK : mbx_rows_wrong(work, "rows with numbers or times that cannot be");
}

/* ---- states ---- */

/* What is in the columns is in the state too. Columns that were not read of this run have defaults, not what it has. */
static bool state_fits(const struct mbx_row_work *work, size_t i,
                       const struct mrd_rollup_row *state)
{
    const unsigned leaves = mbx_rollup_leaves(work->cursor, work->segment);
    for (unsigned which = 0; which < MRD_ROW_COLUMNS; which++) {
        const int64_t *column = tail_of(work, (enum mrd_rollup_column)which);
        if (column == NULL || (leaves >> (MBX_ROW + which) & 1) == 0 ||
            (state->floats.count == 0 && which != MRD_ROW_COUNT && which != MRD_ROW_STALE_TS)) {
            continue;
        }
        double real;
        int64_t integer;
        mrd_rollup_row_column(state, (enum mrd_rollup_column)which, &real, &integer);
        const int64_t want = mrd_rollup_column_is_real((enum mrd_rollup_column)which)
                                 ? (int64_t)mrd_double_bits(real)
                                 : integer;
        if (column[i] != want) {
            return false;
        }
    }
    return true;
}

static enum mrd_status decode_state(const struct mbx_row_work *work, uint32_t i,
                                    struct mrd_bytes bytes, const struct mrd_rollup_row **out)
{
    const struct mrd_rollup_row *rows = NULL;
    size_t count = 0;
    const enum mrd_status status =
        mrd_rollup_decode(bytes, work->cursor->block->entry.resolution_ms, work->out->arena, &rows,
                          &count, work->err);
    if (status != MRD_OK) {
        return mrd_fail_prefix(work->err, status, "%s: page %u, row %u",
                               work->cursor->block->data_key, work->segment->page,
                               work->segment->row + row_at(work, i));
    }
    if (count != 1 || rows->end_ms != work->out->ends_ms[work->out->count + i] ||
        !state_fits(work, i, rows)) {
        return mbx_rows_wrong(work, "a state that is not that of its row");
    }
    *out = rows;
    return MRD_OK;
}

static enum mrd_status append_states(const struct mbx_row_work *work)
{
    struct mbx_rollup_output *out = work->out;
    struct mbx_column *column = NULL;
    if ((work->segment->flags & MBX_HISTOGRAMS) != 0) {
        MRD_TRY(mbx_pages_decode(&work->cursor->pages, MBX_STATE, work->segment->page, &column,
                                 work->err));
    }
    const bool any = column != NULL && column->batch.entries > 0;
    if (!any && out->states == NULL) {
        return MRD_OK;
    }
    if (out->states == NULL) {
        void *room;
        MRD_TRY(mbx_rows_room(work, sizeof(*out->states), &room));
        out->states = room;
        memset((void *)out->states, 0, out->count * sizeof(*out->states));
    }
    for (uint32_t i = 0; i < work->count; i++) {
        const uint32_t row = work->segment->row + row_at(work, i);
        const struct mrd_rollup_row *state = NULL;
        if (any && (column->batch.def == NULL || column->batch.def[row] != 0)) {
            MRD_TRY(
                decode_state(work, i, column->batch.bytes[mbx_column_seek(column, row)], &state));
        }
        out->states[out->count + i] = state;
    }
    return MRD_OK;
}

/* ---- runs ---- */

enum mrd_status mbx_rollup_decode(struct mrd_block_cursor *cursor,
                                  const struct mbx_segment *segment, struct mrd_error *err)
{
    struct mbx_rollup_output *out = &cursor->rollup_out;
    struct mbx_row_work work = {.cursor = cursor, .out = out, .segment = segment, .err = err};
    MRD_TRY(read_ends(&work));
    choose_range(&work);
    if (work.count > 0 && is_foldable(cursor, segment)) {
        return mbx_rows_fold(&work);
    }
    bool done = false;
    if (work.count > 0) {
        MRD_TRY(mbx_rows_answer(&work, &done));
    }
    if (done) {
        return check_size(&work);
    }
    choose_rows(&work);
    if (work.count == 0) {
        return MRD_OK;
    }
    out->folded = false;
    mrd_assert(out->count + work.count <= out->capacity);
    MRD_TRY(append_ends(&work));
    const unsigned leaves = mbx_rollup_leaves(cursor, segment);
    for (unsigned which = 0; which < MRD_ROW_COLUMNS; which++) {
        if ((leaves >> (MBX_ROW + which) & 1) != 0) {
            MRD_TRY(append_column(&work, (enum mrd_rollup_column)which));
        } else if (out->columns[which] != NULL) {
            mbx_put_defaults(out->columns[which] + out->count, (enum mrd_rollup_column)which,
                             work.count);
        }
    }
    const struct mrd_rollup_columns rows = tails_of(&work);
    MRD_TRY(mbx_rows_check(&work, &rows));
    MRD_TRY(append_states(&work));
    out->count += work.count;
    out->made_of += work.count;
    return check_size(&work);
}
