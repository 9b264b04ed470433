/* Rows of a rollup on their way into the columns: what writer_run.c and writer_page.c do for samples. */
#include <stdlib.h>

#include "block/writer_internal.h"
#include "rollup/codec.h"

void block_rollup_run_clear(struct block_rollup_run *run)
{
    run->rows = run->flags = 0;
    for (unsigned i = 0; i < SPARSE_ROLLUP_COUNT; i++) {
        run->columns[i].count = 0;
    }
    mrd_buf_clear(&run->states);
    mrd_buf_clear(&run->state_ends);
}

struct block_rollup_run *block_rollup_run_create(void)
{
    struct block_rollup_run *run = malloc(sizeof(*run));
    mrd_assert(run != NULL);
    memset(run, 0, offsetof(struct block_rollup_run, ends_us));
    block_rollup_run_clear(run);
    return run;
}

void block_rollup_run_destroy(struct block_rollup_run **run_at)
{
    struct block_rollup_run *run = MRD_MOVE(*run_at);
    if (run != NULL) {
        mrd_buf_fini(&run->states);
        mrd_buf_fini(&run->state_ends);
        free(run);
    }
}

/* ---- checks ---- */

static bool is_inside(mrd_time_ms time_ms, mrd_time_ms end_ms, mrd_time_ms resolution_ms)
{
    return time_ms <= end_ms && time_ms > end_ms - resolution_ms;
}

static bool starts_fit(struct mrd_span first, struct mrd_span last)
{
    return mrd_block_time_fits(first.start_ms) && mrd_block_time_fits(last.start_ms);
}

static const char *wrong_floats(const struct mrd_rollup_floats *floats, mrd_time_ms end_ms,
                                mrd_time_ms resolution_ms)
{
    const mrd_time_ms first_ms = floats->first_at.time_ms;
    const mrd_time_ms last_ms = floats->last_at.time_ms;
    if (!is_inside(first_ms, end_ms, resolution_ms) || !is_inside(last_ms, end_ms, resolution_ms) ||
        first_ms > last_ms || !starts_fit(floats->first_at, floats->last_at)) {
        return "a row of samples outside of its window";
    }
    if (floats->count > (uint64_t)(last_ms - first_ms) + 1 || floats->changes >= floats->count ||
        floats->resets[MRD_ROLLUP_BY_VALUE] >= floats->count ||
        floats->resets[MRD_ROLLUP_BY_START] >= floats->count) {
        return "a row with numbers that cannot be";
    }
    return NULL;
}

static const char *wrong_row(const struct mrd_rollup_row *row, mrd_time_ms resolution_ms)
{
    if (!mrd_block_time_fits(row->end_ms) || row->end_ms % resolution_ms != 0 ||
        mrd_rollup_row_is_empty(row)) {
        return "a row that is no window's, or of nothing";
    }
    if (row->stale_ms != MRD_ROLLUP_NEVER &&
        !is_inside(row->stale_ms, row->end_ms, resolution_ms)) {
        return "a staleness marker outside of its window";
    }
    const struct mrd_rollup_histograms *histograms = &row->histograms;
    if (histograms->count > 0 &&
        (!is_inside(histograms->first_at.time_ms, row->end_ms, resolution_ms) ||
         !is_inside(histograms->last_at.time_ms, row->end_ms, resolution_ms) ||
         !starts_fit(histograms->first_at, histograms->last_at))) {
        return "a row of histograms outside of its window";
    }
    return row->floats.count > 0 ? wrong_floats(&row->floats, row->end_ms, resolution_ms) : NULL;
}

enum mrd_status block_rows_check(const struct mrd_block_writer *writer,
                                 const struct mrd_rollup_row *rows, size_t count,
                                 const char **out_wrong)
{
    *out_wrong = NULL;
    for (size_t i = 0; i < count && *out_wrong == NULL; i++) {
        *out_wrong = wrong_row(&rows[i], writer->resolution_ms);
        if (i > 0 && rows[i - 1].end_ms >= rows[i].end_ms) {
            *out_wrong = "windows that do not rise";
        }
    }
    return *out_wrong == NULL ? MRD_OK : MRD_E_INVALID;
}

/* ---- rows ---- */

/* The value of a column; false: null. */
static bool column_value(const struct mrd_rollup_row *row, unsigned which, double *out_real,
                         int64_t *out_integer)
{
    const struct mrd_rollup_floats *floats = &row->floats;
    *out_real = 0;
    *out_integer = 0;
    if (which == SPARSE_HISTOGRAMS) {
        *out_integer = (int64_t)row->histograms.count;
        return row->histograms.count > 0;
    }
    if (which == SPARSE_INCREASE) {
        *out_real = floats->last - floats->first;
        if (floats->resets[MRD_ROLLUP_BY_VALUE] > 0) {
            *out_real += floats->lost[MRD_ROLLUP_BY_VALUE];
        }
        return floats->count > 0;
    }
    mrd_rollup_row_column(row, (enum mrd_rollup_column)which, out_real, out_integer);
    switch (which) {
    case MRD_ROW_STALE_TS:
        return row->stale_ms != MRD_ROLLUP_NEVER;
    case MRD_ROW_COMPENSATION:
        return floats->count > 0 && mrd_double_bits(*out_real) != 0;
    case MRD_ROW_LOST:
        return floats->count > 0 && floats->resets[MRD_ROLLUP_BY_VALUE] > 0;
    case MRD_ROW_FIRST_ST:
    case MRD_ROW_LAST_ST:
        return floats->count > 0 && *out_integer != 0;
    default:
        return floats->count > 0;
    }
}

static bool is_real(unsigned which)
{
    return which == SPARSE_INCREASE ||
           (which < MRD_ROW_COLUMNS && mrd_rollup_column_is_real((enum mrd_rollup_column)which));
}

static bool is_time(unsigned which)
{
    return which < MRD_ROW_COLUMNS && mrd_rollup_column_is_time((enum mrd_rollup_column)which);
}

static void add_columns(struct block_rollup_run *run, const struct mrd_rollup_row *row, uint32_t at)
{
    for (unsigned which = 0; which < SPARSE_ROLLUP_COUNT; which++) {
        double real;
        int64_t integer;
        if (which == MRD_ROW_COUNT || which == SPARSE_STATE) {
            continue;
        }
        const bool known = column_value(row, which, &real, &integer);
        const uint32_t place = run->columns[which].count;
        run->columns[which].def[at] = known;
        run->columns[which].count += known;
        if (is_real(which)) {
            run->columns[which].reals[place] = real;
        } else {
            run->columns[which].integers[place] =
                known && is_time(which) ? integer * 1000 : integer;
        }
    }
}

static uint32_t flags_of(const struct mrd_rollup_row *row)
{
    const struct mrd_rollup_floats *floats = &row->floats;
    uint32_t flags = row->stale_ms != MRD_ROLLUP_NEVER ? MBX_STALE : 0;
    if (floats->count > 0) {
        flags |= floats->resets[MRD_ROLLUP_BY_VALUE] > 0 ? MBX_RESETS : 0;
        flags |= floats->first_at.start_ms != 0 || floats->last_at.start_ms != 0 ? MBX_STARTS : 0;
    }
    return flags;
}

static void add_row(struct mrd_block_writer *writer, const struct mrd_rollup_row *row)
{
    struct block_rollup_run *run = writer->rollup_run;
    const uint32_t at = run->rows++;
    const bool state = mrd_rollup_row_needs_state(row);
    run->ends_us[at] = row->end_ms * 1000;
    run->counts[at] = (int64_t)row->floats.count;
    run->flags |= flags_of(row) | (state ? MBX_HISTOGRAMS : 0);
    add_columns(run, row, at);
    run->columns[SPARSE_STATE].def[at] = state;
    if (state) {
        run->columns[SPARSE_STATE].count++;
        mrd_rollup_encode(row, 1, writer->resolution_ms, &run->states);
        mrd_buf_append(&run->state_ends, &run->states.size, sizeof(size_t));
    }
}

enum mrd_status block_rows_add(struct mrd_block_writer *writer, const struct mrd_rollup_row *rows,
                               size_t count, struct mrd_error *err)
{
    struct block_rollup_run *run = writer->rollup_run;
    for (size_t i = 0; i < count; i++) {
        add_row(writer, &rows[i]);
        if (run->rows == MRD_BLOCK_PAGE_ROWS || run->states.size >= BLOCK_RUN_CHUNK_BYTES) {
            MRD_TRY(block_rows_flush(writer, err));
        }
    }
    return MRD_OK;
}

/* ---- runs ---- */

static struct mbx_segment segment_of(const struct mrd_block_writer *writer)
{
    const struct block_rollup_run *run = writer->rollup_run;
    const int64_t step_us = run->rows > 1 ? run->ends_us[1] - run->ends_us[0] : 0;
    bool regular = true;
    for (uint32_t i = 1; i < run->rows; i++) {
        regular &= run->ends_us[i] - run->ends_us[i - 1] == step_us;
    }
    return (struct mbx_segment){
        .first_ms = run->ends_us[0] / 1000,
        .last_ms = run->ends_us[run->rows - 1] / 1000,
        .step_ms = regular ? step_us / 1000 : 0,
        .rows = run->rows,
        .flags = (uint8_t)(run->flags | MBX_FLOATS | (writer->page_begins ? MBX_NEW_PAGE : 0) |
                           (regular ? MBX_REGULAR : 0)),
    };
}

static enum mrd_status append_states(struct mrd_block_writer *writer, struct mrd_error *err)
{
    const struct block_rollup_run *run = writer->rollup_run;
    const size_t *ends = (const size_t *)(const void *)run->state_ends.data;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf views = {0};
    size_t begin = 0;
    for (uint32_t i = 0; i < run->columns[SPARSE_STATE].count; i++) {
        const struct mrd_bytes view = {run->states.data + begin, ends[i] - begin};
        mrd_buf_append(&views, &view, sizeof(view));
        begin = ends[i];
    }
    const struct mrd_pq_batch batch = {
        .entries = run->rows,
        .values = run->columns[SPARSE_STATE].count,
        .def = run->columns[SPARSE_STATE].def,
        .bytes = (const struct mrd_bytes *)(const void *)views.data,
    };
    return block_append_sparse(writer, SPARSE_STATE, &batch, err);
}

static enum mrd_status append_rows(struct mrd_block_writer *writer, struct mrd_error *err)
{
    const struct block_rollup_run *run = writer->rollup_run;
    struct mrd_pq_batch batch = {.entries = run->rows, .values = run->rows, .i64 = run->ends_us};
    MRD_TRY(block_append_series(writer, run->rows, err));
    MRD_TRY(mrd_pq_writer_append(writer->data.parquet, (size_t)writer->leaves.ts, &batch, 1, err));
    batch.i64 = run->counts;
    MRD_TRY(
        mrd_pq_writer_append(writer->data.parquet, (size_t)writer->leaves.count, &batch, 1, err));
    for (unsigned which = 0; which < SPARSE_ROLLUP_COUNT; which++) {
        if (which == MRD_ROW_COUNT || which == SPARSE_STATE) {
            continue;
        }
        batch.values = run->columns[which].count;
        batch.def = run->columns[which].def;
        batch.any = run->columns[which].integers;
        MRD_TRY(block_append_sparse(writer, which, &batch, err));
    }
    return append_states(writer, err);
}

enum mrd_status block_rows_flush(struct mrd_block_writer *writer, struct mrd_error *err)
{
    struct block_rollup_run *run = writer->rollup_run;
    if (run->rows == 0) {
        return MRD_OK;
    }
    if (run->states.failed) {
        return mrd_fail(err, MRD_E_LIMIT, "block %s: no room for states of rows", writer->id);
    }
    MRD_TRY(block_page_room(writer, run->rows, err));
    const struct mbx_segment segment = segment_of(writer);
    mbx_build_segment(&writer->build, &segment, run->rows, 0);
    MRD_TRY(append_rows(writer, err));
    MRD_TRY(block_page_add(writer, run->rows, run->states.size, err));
    block_rollup_run_clear(run);
    return MRD_OK;
}
