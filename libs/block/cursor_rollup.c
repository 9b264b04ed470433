/* Rows of a rollup from their pages: what cursor_decode.c does for samples. */
#include "block/cursor_internal.h"
#include "block/writer.h"
#include "rollup/codec.h"

/* Rows have as many samples at most; far above what a window can have. */
#define COUNT_MAX ((int64_t)1 << 53)

unsigned mbx_rollup_leaves(const struct mrd_block_cursor *cursor, const struct mbx_segment *segment)
{
    unsigned columns = cursor->options.columns == 0 ? MRD_ROW_ALL : cursor->options.columns;
    if ((columns & MRD_ROW_EXTREMES_OF_RESETS) != 0 && (segment->flags & MBX_RESETS) != 0) {
        columns |= 1U << MRD_ROW_MIN | 1U << MRD_ROW_MAX;
    }
    if ((segment->flags & MBX_RESETS) == 0) {
        columns &= ~(1U << MRD_ROW_RESETS | 1U << MRD_ROW_LOST);
    }
    if ((segment->flags & MBX_STARTS) == 0) {
        columns &= ~(1U << MRD_ROW_FIRST_ST | 1U << MRD_ROW_LAST_ST);
    }
    if ((segment->flags & MBX_STALE) == 0) {
        columns &= ~(1U << MRD_ROW_STALE_TS);
    }
    unsigned leaves = (columns & MRD_ROW_ALL) << MBX_ROW;
    leaves |= (segment->flags & MBX_REGULAR) == 0 ? 1U << MBX_TS : 0;
    leaves |= (segment->flags & MBX_HISTOGRAMS) != 0 ? 1U << MBX_STATE : 0;
    return leaves;
}

void mbx_rollup_output_clear(struct mbx_rollup_output *out)
{
    mrd_buf_clear(&out->ends);
    mrd_buf_clear(&out->states);
    for (unsigned i = 0; i < MRD_ROW_COLUMNS; i++) {
        mrd_buf_clear(&out->columns[i]);
    }
}

void mbx_rollup_output_fini(struct mbx_rollup_output *out)
{
    mrd_buf_fini(&out->ends);
    mrd_buf_fini(&out->states);
    for (unsigned i = 0; i < MRD_ROW_COLUMNS; i++) {
        mrd_buf_fini(&out->columns[i]);
    }
}

const struct mrd_rollup_columns *mbx_rollup_output_view(struct mbx_rollup_output *out)
{
    out->view = (struct mrd_rollup_columns){
        .count = out->ends.size / sizeof(mrd_time_ms),
        .ends_ms = (const mrd_time_ms *)(const void *)out->ends.data,
        .states = out->states.size == 0
                      ? NULL
                      : (const struct mrd_rollup_row *const *)(const void *)out->states.data,
    };
    for (unsigned i = 0; i < MRD_ROW_COLUMNS; i++) {
        out->view.items[i] = out->columns[i].size == 0 ? NULL : out->columns[i].data;
    }
    return &out->view;
}

/* What is being decoded: rows [begin, end) of a run, which come behind `before` rows. */
struct work {
    struct mrd_block_cursor *cursor;
    const struct mbx_segment *segment;
    uint32_t begin;
    uint32_t end;
    size_t before;
    struct mrd_error *err;
};

static enum mrd_status wrong(const struct work *work, const char *what)
{
    return mrd_fail(work->err, MRD_E_CORRUPT, "%s: page %u, row %u: %s",
                    work->cursor->block->data_key, work->segment->page, work->segment->row, what);
}

/* ---- windows ---- */

static enum mrd_status find_ends(struct work *work)
{
    const struct mbx_segment *segment = work->segment;
    int64_t *ends_ms = work->cursor->ts;
    if ((segment->flags & MBX_REGULAR) != 0) {
        for (uint32_t i = 0; i < segment->rows; i++) {
            ends_ms[i] = segment->first_ms + (int64_t)i * segment->step_ms;
        }
        return MRD_OK;
    }
    struct mbx_column *column;
    MRD_TRY(mbx_pages_decode(&work->cursor->pages, MBX_TS, segment->page, &column, work->err));
    const int64_t *us = column->batch.i64 + segment->row;
    const int64_t resolution_us = work->cursor->block->entry.resolution_ms * 1000;
    bool fine = true;
    for (uint32_t i = 0; i < segment->rows; i++) {
        ends_ms[i] = us[i] / 1000;
        fine &= us[i] % resolution_us == 0 && (i == 0 || us[i - 1] < us[i]);
    }
    fine &= ends_ms[0] == segment->first_ms && ends_ms[segment->rows - 1] == segment->last_ms;
    return fine ? MRD_OK : wrong(work, "windows are not those of the sidecar");
}

static void cut(struct work *work)
{
    const struct mrd_block_cursor *cursor = work->cursor;
    work->end = work->segment->rows;
    while (work->begin < work->end && cursor->ts[work->begin] < cursor->min_ms) {
        work->begin++;
    }
    while (work->end > work->begin && cursor->ts[work->end - 1] > cursor->max_ms) {
        work->end--;
    }
}

/* ---- columns ---- */

/* Rows of a column in which nothing is. */
static void append_defaults(struct mrd_buf *out, enum mrd_rollup_column column, size_t count)
{
    const int64_t value = column == MRD_ROW_STALE_TS ? MRD_ROLLUP_NEVER : 0;
    int64_t *place = (int64_t *)(void *)mrd_buf_reserve(out, count * sizeof(value));
    for (size_t i = 0; place != NULL && i < count; i++) {
        place[i] = value;
    }
    out->size += place == NULL ? 0 : count * sizeof(value);
}

MRD_SIMD_CLONES static void to_ms(int64_t *times, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        times[i] /= 1000;
    }
}

/* The rows of a column that has values; those of nulls are defaults. */
static void copy_values(const struct work *work, enum mrd_rollup_column which,
                        struct mbx_column *column, int64_t *place)
{
    const uint32_t row = work->segment->row;
    const uint32_t count = work->end - work->begin;
    const uint8_t *def = column->batch.def;
    size_t value = mbx_column_seek(column, row + work->begin);
    const int64_t divisor = mrd_rollup_column_is_time(which) ? 1000 : 1;
    if (def == NULL) {
        memcpy(place, column->batch.i64 + value, count * sizeof(*place));
        if (divisor > 1) {
            to_ms(place, count);
        }
        return;
    }
    const int64_t missing = which == MRD_ROW_STALE_TS ? MRD_ROLLUP_NEVER : 0;
    for (uint32_t i = 0; i < count; i++) {
        const bool known = def[row + work->begin + i] != 0;
        place[i] = known ? column->batch.i64[value] / divisor : missing;
        value += known;
    }
}

static enum mrd_status append_column(const struct work *work, enum mrd_rollup_column which)
{
    struct mrd_buf *out = &work->cursor->rollup_out.columns[which];
    const size_t count = work->end - work->begin;
    struct mbx_column *column;
    MRD_TRY(mbx_pages_decode(&work->cursor->pages, (enum mbx_leaf)(MBX_ROW + which),
                             work->segment->page, &column, work->err));
    if (column->batch.entries == 0) {
        if (out->size > 0) {
            append_defaults(out, which, count);
        }
        return MRD_OK;
    }
    append_defaults(out, which, work->before - out->size / sizeof(int64_t));
    int64_t *place = (int64_t *)(void *)mrd_buf_reserve(out, count * sizeof(*place));
    if (place != NULL && count > 0) {
        copy_values(work, which, column, place);
        out->size += count * sizeof(*place);
    }
    return MRD_OK;
}

/* The last rows of a column, or NULL if it has none. */
static const int64_t *tail_of(const struct work *work, enum mrd_rollup_column which)
{
    const struct mrd_buf *out = &work->cursor->rollup_out.columns[which];
    return out->size == 0 ? NULL
                          : (const int64_t *)(const void *)out->data + out->size / sizeof(int64_t) -
                                (work->end - work->begin);
}

MRD_SIMD_CLONES static bool below(const int64_t *numbers, const int64_t *counts, size_t count)
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

static enum mrd_status check_columns(const struct work *work)
{
    const size_t count = work->end - work->begin;
    const int64_t *counts = tail_of(work, MRD_ROW_COUNT);
    if (counts == NULL) {
        return MRD_OK;
    }
    bool fine = true;
    for (size_t i = 0; i < count; i++) {
        fine &= counts[i] >= 0 && counts[i] <= COUNT_MAX;
    }
    static const enum mrd_rollup_column times[] = {MRD_ROW_FIRST_TS, MRD_ROW_LAST_TS};
    static const enum mrd_rollup_column numbers[] = {MRD_ROW_CHANGES, MRD_ROW_RESETS};
    for (size_t k = 0; k < MRD_ARRAY_LEN(times); k++) {
        const int64_t *at = tail_of(work, times[k]);
        fine &= at == NULL || inside(at, counts, work->cursor->ts + work->begin,
                                     work->cursor->block->entry.resolution_ms, count);
    }
    for (size_t k = 0; k < MRD_ARRAY_LEN(numbers); k++) {
        const int64_t *number = tail_of(work, numbers[k]);
        fine &= number == NULL || below(number, counts, count);
    }
    return fine ? MRD_OK : wrong(work, "rows with numbers or times that cannot be");
}

/* ---- states ---- */

/* What is in the columns is in the state too. */
static bool state_fits(const struct work *work, size_t i, const struct mrd_rollup_row *state)
{
    for (unsigned which = 0; which < MRD_ROW_COLUMNS; which++) {
        const int64_t *column = tail_of(work, (enum mrd_rollup_column)which);
        if (column == NULL ||
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

static enum mrd_status decode_state(const struct work *work, uint32_t i, struct mrd_bytes bytes,
                                    const struct mrd_rollup_row **out)
{
    const struct mrd_rollup_row *rows = NULL;
    size_t count = 0;
    const enum mrd_status status =
        mrd_rollup_decode(bytes, work->cursor->block->entry.resolution_ms, work->cursor->out.arena,
                          &rows, &count, work->err);
    if (status != MRD_OK) {
        return mrd_fail_prefix(work->err, status, "%s: page %u, row %u",
                               work->cursor->block->data_key, work->segment->page,
                               work->segment->row + i);
    }
    if (count != 1 || rows->end_ms != work->cursor->ts[i] ||
        !state_fits(work, i - work->begin, rows)) {
        return wrong(work, "a state that is not that of its row");
    }
    *out = rows;
    return MRD_OK;
}

static void append_none(struct mrd_buf *out, size_t count)
{
    uint8_t *place = mrd_buf_reserve(out, count * sizeof(void *));
    if (place != NULL && count > 0) {
        memset(place, 0, count * sizeof(void *));
        out->size += count * sizeof(void *);
    }
}

static enum mrd_status append_states(const struct work *work)
{
    struct mrd_buf *out = &work->cursor->rollup_out.states;
    const size_t count = work->end - work->begin;
    struct mbx_column *column = NULL;
    if ((work->segment->flags & MBX_HISTOGRAMS) != 0) {
        MRD_TRY(mbx_pages_decode(&work->cursor->pages, MBX_STATE, work->segment->page, &column,
                                 work->err));
    }
    if (column == NULL || column->batch.entries == 0) {
        append_none(out, out->size == 0 ? 0 : count);
        return MRD_OK;
    }
    append_none(out, work->before - out->size / sizeof(void *));
    const uint8_t *def = column->batch.def;
    size_t value = mbx_column_seek(column, work->segment->row + work->begin);
    for (uint32_t i = work->begin; i < work->end; i++) {
        const struct mrd_rollup_row *state = NULL;
        if (def == NULL || def[work->segment->row + i] != 0) {
            MRD_TRY(decode_state(work, i, column->batch.bytes[value++], &state));
        }
        mrd_buf_append(out, &state, sizeof(state));
    }
    return MRD_OK;
}

/* ---- runs ---- */

static enum mrd_status check_output(const struct mrd_block_cursor *cursor, struct mrd_error *err)
{
    const struct mbx_rollup_output *out = &cursor->rollup_out;
    size_t size = mrd_arena_used(cursor->out.arena) + out->ends.size + out->states.size;
    for (unsigned i = 0; i < MRD_ROW_COLUMNS; i++) {
        size += out->columns[i].size;
    }
    return size <= cursor->out.bytes_max
               ? MRD_OK
               : mrd_fail(err, MRD_E_LIMIT,
                          "block %.*s: one series takes more than the limit of %zu bytes: select a "
                          "shorter range",
                          MRD_FMT(cursor->block->entry.id), cursor->out.bytes_max);
}

enum mrd_status mbx_rollup_decode(struct mrd_block_cursor *cursor,
                                  const struct mbx_segment *segment, struct mrd_error *err)
{
    struct mbx_rollup_output *out = &cursor->rollup_out;
    struct work work = {.cursor = cursor,
                        .segment = segment,
                        .before = out->ends.size / sizeof(mrd_time_ms),
                        .err = err};
    MRD_TRY(find_ends(&work));
    cut(&work);
    if (work.begin == work.end) {
        return MRD_OK;
    }
    mrd_buf_append(&out->ends, cursor->ts + work.begin,
                   (work.end - work.begin) * sizeof(mrd_time_ms));
    const unsigned leaves = mbx_rollup_leaves(cursor, segment);
    for (unsigned which = 0; which < MRD_ROW_COLUMNS; which++) {
        if ((leaves >> (MBX_ROW + which) & 1) != 0) {
            MRD_TRY(append_column(&work, (enum mrd_rollup_column)which));
        } else if (out->columns[which].size > 0) {
            append_defaults(&out->columns[which], (enum mrd_rollup_column)which,
                            work.end - work.begin);
        }
    }
    MRD_TRY(check_columns(&work));
    MRD_TRY(append_states(&work));
    return check_output(cursor, err);
}
