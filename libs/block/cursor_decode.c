#include "block/cursor_internal.h"
#include "block/writer.h"
#include "codec/decimal.h"
#include "codec/histogram.h"

_Static_assert(MRD_ARRAY_LEN(((struct mrd_block_cursor *)0)->ts) == MRD_BLOCK_PAGE_ROWS,
               "a run is within a page");

unsigned mbx_segment_leaves(const struct mrd_block_cursor *cursor,
                            const struct mbx_segment *segment)
{
    if (cursor->block->entry.resolution_ms != 0) {
        return mbx_rollup_leaves(cursor, segment);
    }
    const bool floats = (segment->flags & MBX_FLOATS) != 0;
    unsigned leaves = 0;
    if (floats && (segment->flags & MBX_REGULAR) == 0) { /* histograms' chunks have their times */
        leaves |= 1U << MBX_TS;
    }
    if (floats) {
        leaves |= (segment->flags & MBX_SCALED) != 0 ? 1U << MBX_VALUE_I : 1U << MBX_VALUE;
        leaves |= (segment->flags & MBX_STARTS) != 0 ? 1U << MBX_ST : 0;
    }
    if ((segment->flags & MBX_HISTOGRAMS) != 0) {
        leaves |= 1U << MBX_HISTOGRAM;
    }
    if (cursor->options.want_hlc && cursor->block->entry.keeps_hlc &&
        cursor->part->part->span_count == 0) {
        leaves |= 1U << MBX_HLC;
    }
    return leaves;
}

void mbx_output_clear(struct mbx_output *out)
{
    struct mrd_buf *bufs[] = {&out->times,   &out->values,  &out->starts,   &out->hlcs,
                              &out->h_times, &out->h_items, &out->h_starts, &out->h_hlcs};
    for (size_t i = 0; i < MRD_ARRAY_LEN(bufs); i++) {
        mrd_buf_clear(bufs[i]);
    }
    out->any_start = out->any_h_start = false;
    mrd_arena_reset(out->arena);
}

void mbx_output_fini(struct mbx_output *out)
{
    struct mrd_buf *bufs[] = {&out->times,   &out->values,  &out->starts,   &out->hlcs,
                              &out->h_times, &out->h_items, &out->h_starts, &out->h_hlcs};
    for (size_t i = 0; i < MRD_ARRAY_LEN(bufs); i++) {
        mrd_buf_fini(bufs[i]);
    }
    mrd_arena_destroy(&out->arena);
}

static enum mrd_status wrong(const struct mrd_block_cursor *cursor,
                             const struct mbx_segment *segment, const char *what,
                             struct mrd_error *err)
{
    return mrd_fail(err, MRD_E_CORRUPT, "%s: page %u, row %u: %s", cursor->block->data_key,
                    segment->page, segment->row, what);
}

/* ---- times ---- */

static enum mrd_status column_times(struct mrd_block_cursor *cursor,
                                    const struct mbx_segment *segment, struct mrd_error *err)
{
    struct mbx_column *column;
    MRD_TRY(mbx_pages_decode(&cursor->pages, MBX_TS, segment->page, &column, err));
    const int64_t *us = column->batch.i64 + segment->row;
    bool fine = true;
    for (uint32_t i = 0; i < segment->rows; i++) {
        cursor->ts[i] = us[i] / 1000;
        fine &= us[i] % 1000 == 0;
    }
    for (uint32_t i = 1; i < segment->rows; i++) {
        fine &= cursor->ts[i - 1] < cursor->ts[i];
    }
    fine &= cursor->ts[0] == segment->first_ms && cursor->ts[segment->rows - 1] == segment->last_ms;
    return fine ? MRD_OK : wrong(cursor, segment, "times are not those of the sidecar", err);
}

static enum mrd_status find_times(struct mrd_block_cursor *cursor,
                                  const struct mbx_segment *segment, struct mrd_error *err)
{
    if ((segment->flags & MBX_REGULAR) == 0) {
        return column_times(cursor, segment, err);
    }
    for (uint32_t i = 0; i < segment->rows; i++) {
        cursor->ts[i] = segment->first_ms + (int64_t)i * segment->step_ms;
    }
    return MRD_OK;
}

/* The number of times below `bound`. */
static uint32_t count_below(const int64_t *times_ms, uint32_t count, int64_t bound)
{
    uint32_t from = 0;
    uint32_t to = count;
    while (from < to) {
        const uint32_t middle = from + (to - from) / 2;
        if (times_ms[middle] < bound) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

/* Rows of a run: from `begin` to before `end`. */
struct span {
    uint32_t begin;
    uint32_t end;
};

/* The number of times up to `bound`. */
static uint32_t count_until(const int64_t *times_ms, uint32_t count, int64_t bound)
{
    return bound == INT64_MAX ? count : count_below(times_ms, count, bound + 1);
}

/* The times from min_ms to the end of what is wanted. */
static struct span cut(const struct mrd_block_cursor *cursor, const int64_t *times_ms,
                       uint32_t count, mrd_time_ms min_ms)
{
    return (struct span){count_below(times_ms, count, min_ms),
                         count_until(times_ms, count, cursor->max_ms)};
}

/* Takes rows off the front of `rest`, which has some: those that are erased, which are counted, then those up to the next that is, which are
 * the answer; it may be empty. */
static struct span next_kept(const struct mrd_block_cursor *cursor, const int64_t *times_ms,
                             struct span *rest, uint64_t *erased_count)
{
    const struct mbx_ranges *erased = &cursor->erased_now;
    size_t at = erased->count == 0 ? 0 : mbx_ranges_find(erased, times_ms[rest->begin]);
    struct span kept = *rest;
    if (at < erased->count && erased->items[at].min_ms <= times_ms[kept.begin]) {
        kept.begin = count_until(times_ms, kept.end, erased->items[at].max_ms);
        *erased_count += kept.begin - rest->begin;
        at++;
    }
    if (at < erased->count) {
        const uint32_t end = count_below(times_ms, kept.end, erased->items[at].min_ms);
        kept.end = MRD_MAX(kept.begin, end);
    }
    rest->begin = kept.end;
    return kept;
}

/* ---- columns beside the values ---- */

static void append_zeros(struct mrd_buf *buf, size_t size)
{
    uint8_t *place = mrd_buf_reserve(buf, size);
    if (place != NULL && size > 0) {
        memset(place, 0, size);
        buf->size += size;
    }
}

/* Start times of the rows of `span` behind `before` samples; a list that is not begun has zeros so far. */
static enum mrd_status append_starts(struct mrd_block_cursor *cursor,
                                     const struct mbx_segment *segment, struct span span,
                                     const uint8_t *skip, struct mrd_error *err)
{
    struct mbx_output *out = &cursor->out;
    if ((segment->flags & MBX_STARTS) == 0) {
        return MRD_OK;
    }
    struct mbx_column *column;
    MRD_TRY(mbx_pages_decode(&cursor->pages, MBX_ST, segment->page, &column, err));
    if (column->batch.entries == 0) {
        return MRD_OK;
    }
    size_t value = mbx_column_seek(column, segment->row + span.begin);
    const uint8_t *def = column->batch.def;
    for (uint32_t i = span.begin; i < span.end; i++) {
        const bool known = def == NULL || def[segment->row + i] != 0;
        const mrd_time_ms start_ms = known ? column->batch.i64[value] / 1000 : 0;
        value += known;
        if (skip == NULL || skip[i] == 0) {
            mrd_buf_append(&out->starts, &start_ms, sizeof(start_ms));
        }
    }
    out->any_start = true;
    return MRD_OK;
}

/* The stamps of rows of a run, in its column or beside it. */
struct stamps {
    const int64_t *column; /* of the run's first row; NULL: beside */
    const uint16_t *rows;
    const mrd_hlc *list;
};

static enum mrd_status find_stamps(struct mrd_block_cursor *cursor,
                                   const struct mbx_segment *segment, struct stamps *out,
                                   struct mrd_error *err)
{
    struct mbx_column *column;
    if (cursor->part->part->span_count > 0) {
        const struct mbx_page *page = &cursor->part->part->pages[segment->page];
        MRD_TRY(mbx_pages_stamps(&cursor->pages, segment->page, err));
        *out = (struct stamps){.rows = cursor->pages.stamps.rows + page->span_row + segment->row,
                               .list = cursor->pages.stamps.list};
        return MRD_OK;
    }
    MRD_TRY(mbx_pages_decode(&cursor->pages, MBX_HLC, segment->page, &column, err));
    if (column->batch.values != column->batch.entries || column->batch.entries == 0) {
        return wrong(cursor, segment, "rows without a stamp", err);
    }
    *out = (struct stamps){.column = column->batch.i64 + segment->row};
    return MRD_OK;
}

/* Stamps of the rows of `span`, to one of two lists as `is_histogram` says (NULL: all floats). */
static enum mrd_status append_hlcs(struct mrd_block_cursor *cursor,
                                   const struct mbx_segment *segment, struct span span,
                                   const uint8_t *is_histogram, struct mrd_error *err)
{
    struct stamps stamps = {0};
    if (!cursor->options.want_hlc || !cursor->block->entry.keeps_hlc) {
        return MRD_OK;
    }
    MRD_TRY(find_stamps(cursor, segment, &stamps, err));
    for (uint32_t i = span.begin; i < span.end; i++) {
        const bool histogram = is_histogram != NULL && is_histogram[i] != 0;
        const mrd_hlc stamp =
            stamps.column != NULL ? (mrd_hlc)stamps.column[i] : stamps.list[stamps.rows[i]];
        mrd_buf_append(histogram ? &cursor->out.h_hlcs : &cursor->out.hlcs, &stamp, sizeof(stamp));
    }
    return MRD_OK;
}

/* ---- floats ---- */

MRD_SIMD_CLONES static void scaled_values(const int64_t *scaled, size_t count, unsigned digits,
                                          double *out)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = mrd_decimal_value(scaled[i], digits);
    }
}

static enum mrd_status append_values(struct mrd_block_cursor *cursor,
                                     const struct mbx_segment *segment, struct span span,
                                     const uint8_t *skip, struct mrd_error *err)
{
    struct mbx_output *out = &cursor->out;
    struct mbx_column *column;
    const bool is_scaled = (segment->flags & MBX_SCALED) != 0;
    MRD_TRY(mbx_pages_decode(&cursor->pages, is_scaled ? MBX_VALUE_I : MBX_VALUE, segment->page,
                             &column, err));
    const size_t size = (span.end - span.begin) * sizeof(double);
    double *place = (double *)(void *)mrd_buf_reserve(&out->values, size);
    if (place == NULL) {
        return MRD_OK; /* `failed` tells */
    }
    const bool none = column->batch.entries == 0;
    const uint8_t *def = column->batch.def;
    size_t value = none ? 0 : mbx_column_seek(column, segment->row + span.begin);
    if (is_scaled && !none && def == NULL && skip == NULL) {
        scaled_values(column->batch.i64 + value, span.end - span.begin, segment->digits, place);
        out->values.size += size;
        return MRD_OK;
    }
    if (!none && def == NULL && skip == NULL && size > 0) {
        memcpy(place, column->batch.f64 + value, size);
        out->values.size += size;
        return MRD_OK;
    }
    size_t kept = 0;
    for (uint32_t i = span.begin; i < span.end; i++) {
        const bool known = !none && (def == NULL || def[segment->row + i] != 0);
        if (skip == NULL || skip[i] == 0) {
            place[kept++] = !known ? mrd_stale_nan()
                            : is_scaled
                                ? mrd_decimal_value(column->batch.i64[value], segment->digits)
                                : column->batch.f64[value];
        }
        value += known;
    }
    out->values.size += kept * sizeof(double);
    return MRD_OK;
}

static void append_times(struct mrd_block_cursor *cursor, struct span span, const uint8_t *skip)
{
    if (skip == NULL) {
        mrd_buf_append(&cursor->out.times, cursor->ts + span.begin,
                       (span.end - span.begin) * sizeof(int64_t));
        return;
    }
    for (uint32_t i = span.begin; i < span.end; i++) {
        if (skip[i] == 0) {
            mrd_buf_append(&cursor->out.times, &cursor->ts[i], sizeof(int64_t));
        }
    }
}

/* Rows of `span` that `skip` does not mark are floats. */
static enum mrd_status append_floats(struct mrd_block_cursor *cursor,
                                     const struct mbx_segment *segment, struct span span,
                                     const uint8_t *skip, struct mrd_error *err)
{
    struct mbx_output *out = &cursor->out;
    const size_t before = out->times.size;
    append_times(cursor, span, skip);
    if ((segment->flags & MBX_STARTS) != 0) {
        append_zeros(&out->starts, before - out->starts.size);
    }
    MRD_TRY(append_values(cursor, segment, span, skip, err));
    MRD_TRY(append_starts(cursor, segment, span, skip, err));
    if (out->any_start) {
        append_zeros(&out->starts, out->times.size - out->starts.size);
    }
    return MRD_OK;
}

/* ---- histograms ---- */

static enum mrd_status decode_chunk(struct mrd_block_cursor *cursor,
                                    const struct mbx_segment *segment, struct mrd_bytes chunk,
                                    struct mrd_histogram_arrays *arrays, size_t room,
                                    size_t *out_count, struct mrd_error *err)
{
    const size_t count = chunk.size == 0 ? 0 : chunk.data[0];
    if (count == 0 || count > room) {
        return wrong(cursor, segment, "a chunk of more histograms than rows", err);
    }
    const struct mrd_bytes rest = {chunk.data + 1, chunk.size - 1};
    const enum mrd_status status =
        mrd_histogram_chunk_decode(rest, count, cursor->out.arena, arrays, err);
    if (status != MRD_OK) {
        return mrd_fail_prefix(err, status, "%s: page %u, row %u", cursor->block->data_key,
                               segment->page, segment->row);
    }
    *out_count = count;
    return MRD_OK;
}

/* All histograms of a run, into arrays of the arena. */
static enum mrd_status decode_chunks(struct mrd_block_cursor *cursor,
                                     const struct mbx_segment *segment,
                                     struct mrd_histogram_arrays *out, uint32_t *out_count,
                                     struct mrd_error *err)
{
    struct mrd_arena *arena = cursor->out.arena;
    struct mrd_histogram_arrays all = {
        .times_ms = mrd_arena_alloc_array(arena, segment->rows, sizeof(mrd_time_ms)),
        .start_times_ms = mrd_arena_alloc_array(arena, segment->rows, sizeof(mrd_time_ms)),
        .items = mrd_arena_alloc_array(arena, segment->rows, sizeof(struct mrd_histogram)),
    };
    if (all.times_ms == NULL || all.start_times_ms == NULL || all.items == NULL) {
        return mrd_arena_fail(arena, err);
    }
    struct mbx_column *column;
    MRD_TRY(mbx_pages_decode(&cursor->pages, MBX_HISTOGRAM, segment->page, &column, err));
    const bool none = column->batch.entries == 0;
    const size_t first = none ? 0 : mbx_column_seek(column, segment->row);
    const size_t end = none ? 0 : mbx_column_seek(column, segment->row + segment->rows);
    uint32_t count = 0;
    for (size_t i = first; i < end; i++) {
        struct mrd_histogram_arrays rest = {all.times_ms + count, all.start_times_ms + count,
                                            all.items + count, all.any_start};
        size_t more = 0;
        MRD_TRY(decode_chunk(cursor, segment, column->batch.bytes[i], &rest, segment->rows - count,
                             &more, err));
        all.any_start = rest.any_start;
        count += (uint32_t)more;
    }
    bool fine = count > 0;
    for (uint32_t i = 1; i < count; i++) {
        fine &= all.times_ms[i - 1] < all.times_ms[i];
    }
    if (!fine || all.times_ms[0] < segment->first_ms ||
        all.times_ms[count - 1] > segment->last_ms) {
        return wrong(cursor, segment, "histograms are not where the sidecar says", err);
    }
    *out = all;
    *out_count = count;
    return MRD_OK;
}

static void append_histograms(struct mrd_block_cursor *cursor,
                              const struct mrd_histogram_arrays *arrays, struct span span)
{
    struct mbx_output *out = &cursor->out;
    const size_t count = span.end - span.begin;
    const size_t before = out->h_times.size;
    mrd_buf_append(&out->h_times, arrays->times_ms + span.begin, count * sizeof(mrd_time_ms));
    mrd_buf_append(&out->h_items, arrays->items + span.begin, count * sizeof(struct mrd_histogram));
    if (arrays->any_start) {
        append_zeros(&out->h_starts, before - out->h_starts.size);
        mrd_buf_append(&out->h_starts, arrays->start_times_ms + span.begin,
                       count * sizeof(mrd_time_ms));
        out->any_h_start = true;
    } else if (out->any_h_start) {
        append_zeros(&out->h_starts, count * sizeof(mrd_time_ms));
    }
}

/* Which rows of a run are histograms. */
static enum mrd_status mark_histograms(struct mrd_block_cursor *cursor,
                                       const struct mbx_segment *segment,
                                       const struct mrd_histogram_arrays *arrays, uint32_t count,
                                       uint8_t *marks, struct mrd_error *err)
{
    uint32_t next = 0;
    for (uint32_t i = 0; i < segment->rows; i++) {
        marks[i] = next < count && arrays->times_ms[next] == cursor->ts[i];
        next += marks[i];
    }
    return next == count ? MRD_OK
                         : wrong(cursor, segment, "a histogram at a time that no row has", err);
}

/* Floats and stamps of the rows that are wanted; `is_histogram` NULL: all are floats. */
static enum mrd_status decode_rows(struct mrd_block_cursor *cursor,
                                   const struct mbx_segment *segment, const int64_t *times_ms,
                                   const uint8_t *is_histogram, struct mrd_error *err)
{
    struct span rest = cut(cursor, times_ms, segment->rows, cursor->min_ms);
    while (rest.begin < rest.end) {
        const struct span rows = next_kept(cursor, times_ms, &rest, &cursor->pages.stats.erased);
        if ((segment->flags & MBX_FLOATS) != 0) {
            MRD_TRY(append_floats(cursor, segment, rows, is_histogram, err));
        }
        MRD_TRY(append_hlcs(cursor, segment, rows, is_histogram, err));
    }
    return MRD_OK;
}

static enum mrd_status decode_histograms(struct mrd_block_cursor *cursor,
                                         const struct mbx_segment *segment, struct mrd_error *err)
{
    struct mrd_histogram_arrays arrays = {0};
    uint32_t count = 0;
    MRD_TRY(decode_chunks(cursor, segment, &arrays, &count, err));
    struct span of_histograms = cut(cursor, arrays.times_ms, count, cursor->histograms_min_ms);
    uint8_t marks[MRD_BLOCK_PAGE_ROWS];
    const int64_t *times_ms = cursor->ts;
    if ((segment->flags & MBX_FLOATS) == 0) {
        if (count != segment->rows) {
            return wrong(cursor, segment, "rows without a histogram", err);
        }
        memset(marks, 1, segment->rows);
        times_ms = arrays.times_ms;
    } else {
        MRD_TRY(find_times(cursor, segment, err));
        MRD_TRY(mark_histograms(cursor, segment, &arrays, count, marks, err));
    }
    MRD_TRY(decode_rows(cursor, segment, times_ms, marks, err));
    uint64_t counted_as_rows = 0;
    while (of_histograms.begin < of_histograms.end) {
        append_histograms(cursor, &arrays,
                          next_kept(cursor, arrays.times_ms, &of_histograms, &counted_as_rows));
    }
    return MRD_OK;
}

/* ---- runs ---- */

static enum mrd_status check_output(const struct mrd_block_cursor *cursor, struct mrd_error *err)
{
    const struct mbx_output *out = &cursor->out;
    const struct mrd_buf *bufs[] = {&out->times,   &out->values,  &out->starts,   &out->hlcs,
                                    &out->h_times, &out->h_items, &out->h_starts, &out->h_hlcs};
    size_t size = mrd_arena_used(out->arena);
    for (size_t i = 0; i < MRD_ARRAY_LEN(bufs); i++) {
        size += bufs[i]->size;
    }
    return size <= out->bytes_max
               ? MRD_OK
               : mrd_fail(err, MRD_E_LIMIT,
                          "block %.*s: one series takes more than the limit of %zu bytes: select a "
                          "shorter range",
                          MRD_FMT(cursor->block->entry.id), out->bytes_max);
}

enum mrd_status mbx_segment_decode(struct mrd_block_cursor *cursor,
                                   const struct mbx_segment *segment, struct mrd_error *err)
{
    if (cursor->block->entry.resolution_ms != 0) {
        return mbx_rollup_decode(cursor, segment, err);
    }
    if ((segment->flags & MBX_HISTOGRAMS) != 0) {
        MRD_TRY(decode_histograms(cursor, segment, err));
    } else {
        MRD_TRY(find_times(cursor, segment, err));
        MRD_TRY(decode_rows(cursor, segment, cursor->ts, NULL, err));
    }
    return check_output(cursor, err);
}
