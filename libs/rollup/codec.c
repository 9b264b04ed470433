#include "rollup/codec_internal.h"

enum row_flags {
    ROW_FLOATS = 1,
    ROW_HISTOGRAMS = 2,
    ROW_STALE = 4,
    ROW_STARTS = 8,    /* of the floats */
    ROW_BY_START = 16, /* start times tell other resets than values do */
    ROW_OVERLAPS = 32,
    ROW_ALL = 63,
};

/* Flags, end and a histogram's or float's count: no row is shorter. */
enum { ROW_SIZE_MIN = 3 };

/* ---- numbers ---- */

void mrd_rollup_put_double(struct mrd_buf *out, double value, double like)
{
    const uint64_t bits = mrd_double_bits(value) ^ mrd_double_bits(like);
    const unsigned leading = bits == 0 ? 8 : (unsigned)__builtin_clzll(bits) / 8;
    const unsigned trailing = bits == 0 ? 0 : (unsigned)__builtin_ctzll(bits) / 8;
    mrd_buf_append_u8(out, (uint8_t)(leading << 4 | trailing));
    for (unsigned i = trailing; i < 8 - leading; i++) {
        mrd_buf_append_u8(out, (uint8_t)(bits >> (8 * i)));
    }
}

double mrd_rollup_get_double(struct mrd_reader *in, double like)
{
    const uint8_t head = mrd_read_u8(in);
    const unsigned leading = head >> 4;
    const unsigned trailing = head & 15;
    uint64_t bits = 0;
    if (leading + trailing > 8) {
        (void)mrd_reader_fail(in);
        return 0;
    }
    for (unsigned i = trailing; i < 8 - leading; i++) {
        bits |= (uint64_t)mrd_read_u8(in) << (8 * i);
    }
    return mrd_double_from_bits(bits ^ mrd_double_bits(like));
}

/* ---- times ---- */

static void put_start(struct mrd_buf *out, struct mrd_span span)
{
    const uint64_t distance = mrd_zigzag_encode(span.time_ms - span.start_ms);
    mrd_buf_append_varint(out, span.start_ms == 0 ? 0 : distance + 1);
}

static mrd_time_ms get_start(struct mrd_reader *in, mrd_time_ms time_ms)
{
    const uint64_t stored = mrd_read_varint(in);
    const int64_t distance = stored == 0 ? time_ms : mrd_zigzag_decode(stored - 1);
    if (distance > 2 * MRD_ROLLUP_TIME_MAX || distance < -2 * MRD_ROLLUP_TIME_MAX) {
        (void)mrd_reader_fail(in);
        return 0;
    }
    return time_ms - distance;
}

void mrd_rollup_put_ends(struct mrd_buf *out, const struct mrd_rollup_ends *ends,
                         mrd_time_ms end_ms, bool starts)
{
    mrd_buf_append_varint(out, (uint64_t)(end_ms - ends->first.time_ms));
    mrd_buf_append_varint(out, (uint64_t)(end_ms - ends->last.time_ms));
    if (starts) {
        put_start(out, ends->first);
        put_start(out, ends->last);
    }
}

struct mrd_rollup_ends mrd_rollup_get_ends(struct mrd_reader *in, mrd_time_ms end_ms,
                                           mrd_time_ms resolution_ms, bool starts)
{
    const uint64_t first = mrd_read_varint(in);
    const uint64_t last = mrd_read_varint(in);
    if (first >= (uint64_t)resolution_ms || last > first) {
        (void)mrd_reader_fail(in);
        return (struct mrd_rollup_ends){0};
    }
    struct mrd_rollup_ends ends = {.first.time_ms = end_ms - (mrd_time_ms)first,
                                   .last.time_ms = end_ms - (mrd_time_ms)last};
    if (starts) {
        ends.first.start_ms = get_start(in, ends.first.time_ms);
        ends.last.start_ms = get_start(in, ends.last.time_ms);
    }
    return ends;
}

/* ---- floats ---- */

/* What the sum is likely to be near to. Nothing computed from a NaN: its bits are the machine's. */
static double like_sum(const struct mrd_rollup_floats *floats)
{
    return isfinite(floats->last) ? floats->last * (double)floats->count : 0;
}

static void put_resets(struct mrd_buf *out, const struct mrd_rollup_floats *floats, size_t kind)
{
    mrd_buf_append_varint(out, floats->resets[kind]);
    if (floats->resets[kind] > 0) {
        mrd_rollup_put_double(out, floats->lost[kind], floats->max);
    }
}

static void get_resets(struct mrd_reader *in, struct mrd_rollup_floats *floats, size_t kind)
{
    floats->resets[kind] = mrd_read_varint(in);
    if (floats->resets[kind] >= floats->count) {
        floats->resets[kind] = 0;
        (void)mrd_reader_fail(in);
    } else if (floats->resets[kind] > 0) {
        floats->lost[kind] = mrd_rollup_get_double(in, floats->max);
    }
}

static void put_floats(struct mrd_buf *out, const struct mrd_rollup_row *row, unsigned flags,
                       double before)
{
    const struct mrd_rollup_floats *floats = &row->floats;
    const struct mrd_rollup_ends ends = {floats->first_at, floats->last_at};
    mrd_buf_append_varint(out, floats->count);
    mrd_rollup_put_ends(out, &ends, row->end_ms, (flags & ROW_STARTS) != 0);
    mrd_rollup_put_double(out, floats->first, before);
    mrd_rollup_put_double(out, floats->last, floats->first);
    mrd_rollup_put_double(out, floats->min, floats->first);
    mrd_rollup_put_double(out, floats->max, floats->last);
    mrd_rollup_put_double(out, floats->sum.sum, like_sum(floats));
    mrd_rollup_put_double(out, floats->sum.compensation, 0);
    mrd_buf_append_varint(out, floats->changes);
    put_resets(out, floats, MRD_ROLLUP_BY_VALUE);
    if ((flags & ROW_BY_START) != 0) {
        put_resets(out, floats, MRD_ROLLUP_BY_START);
    }
}

static void get_floats(struct mrd_reader *in, struct mrd_rollup_row *row, unsigned flags,
                       mrd_time_ms resolution_ms, double before)
{
    struct mrd_rollup_floats *floats = &row->floats;
    floats->count = mrd_read_varint(in);
    const struct mrd_rollup_ends ends =
        mrd_rollup_get_ends(in, row->end_ms, resolution_ms, (flags & ROW_STARTS) != 0);
    floats->first_at = ends.first;
    floats->last_at = ends.last;
    floats->first = mrd_rollup_get_double(in, before);
    floats->last = mrd_rollup_get_double(in, floats->first);
    floats->min = mrd_rollup_get_double(in, floats->first);
    floats->max = mrd_rollup_get_double(in, floats->last);
    floats->sum.sum = mrd_rollup_get_double(in, like_sum(floats));
    floats->sum.compensation = mrd_rollup_get_double(in, 0);
    floats->changes = mrd_read_varint(in);
    get_resets(in, floats, MRD_ROLLUP_BY_VALUE);
    floats->resets[MRD_ROLLUP_BY_START] = floats->resets[MRD_ROLLUP_BY_VALUE];
    floats->lost[MRD_ROLLUP_BY_START] = floats->lost[MRD_ROLLUP_BY_VALUE];
    if ((flags & ROW_BY_START) != 0) {
        get_resets(in, floats, MRD_ROLLUP_BY_START);
    }
    floats->overlaps = (flags & ROW_OVERLAPS) != 0;
    const uint64_t places = (uint64_t)(floats->last_at.time_ms - floats->first_at.time_ms) + 1;
    if (floats->count == 0 || floats->count > places || floats->changes >= floats->count) {
        (void)mrd_reader_fail(in);
    }
}

/* ---- rows ---- */

static unsigned flags_of(const struct mrd_rollup_row *row)
{
    const struct mrd_rollup_floats *floats = &row->floats;
    unsigned flags = row->histograms.count > 0 ? ROW_HISTOGRAMS : 0;
    flags |= row->stale_ms != MRD_ROLLUP_NEVER ? ROW_STALE : 0;
    if (floats->count > 0) {
        const bool differ =
            floats->resets[MRD_ROLLUP_BY_VALUE] != floats->resets[MRD_ROLLUP_BY_START] ||
            mrd_double_bits(floats->lost[MRD_ROLLUP_BY_VALUE]) !=
                mrd_double_bits(floats->lost[MRD_ROLLUP_BY_START]);
        flags |= ROW_FLOATS | (differ ? ROW_BY_START : 0) | (floats->overlaps ? ROW_OVERLAPS : 0);
        flags |= floats->first_at.start_ms != 0 || floats->last_at.start_ms != 0 ? ROW_STARTS : 0;
    }
    return flags;
}

void mrd_rollup_encode(const struct mrd_rollup_row *rows, size_t count, mrd_time_ms resolution_ms,
                       struct mrd_buf *out)
{
    mrd_time_ms window = 0;
    double before = 0;
    mrd_assert(count > 0);
    mrd_assert(count <= MRD_ROLLUP_CHUNK_ROWS_MAX);
    mrd_buf_append_varint(out, count);
    for (size_t i = 0; i < count; i++) {
        const struct mrd_rollup_row *row = &rows[i];
        const unsigned flags = flags_of(row);
        mrd_assert(row->end_ms % resolution_ms == 0);
        mrd_assert(!mrd_rollup_row_is_empty(row));
        mrd_assert(i == 0 || row->end_ms >= rows[i - 1].end_ms);
        mrd_buf_append_u8(out, (uint8_t)flags);
        mrd_buf_append_zigzag(out, row->end_ms / resolution_ms - window);
        window = row->end_ms / resolution_ms;
        if ((flags & ROW_STALE) != 0) {
            mrd_buf_append_varint(out, (uint64_t)(row->end_ms - row->stale_ms));
        }
        if ((flags & ROW_FLOATS) != 0) {
            put_floats(out, row, flags, before);
            before = row->floats.last;
        }
        if ((flags & ROW_HISTOGRAMS) != 0) {
            mrd_rollup_put_histograms(out, &row->histograms, row->end_ms);
        }
    }
}

/* The end of the next row's window; fails if it is before the last one or beyond all times. */
static mrd_time_ms get_end(struct mrd_reader *in, bool first, mrd_time_ms before_ms,
                           mrd_time_ms resolution_ms)
{
    const int64_t step = mrd_read_zigzag(in);
    const int64_t most = 2 * MRD_ROLLUP_TIME_MAX / resolution_ms;
    if (step > most || step < -most || (!first && step < 0)) {
        (void)mrd_reader_fail(in);
        return 0;
    }
    const mrd_time_ms end_ms = before_ms + step * resolution_ms;
    if (end_ms > MRD_ROLLUP_TIME_MAX || end_ms < -MRD_ROLLUP_TIME_MAX) {
        (void)mrd_reader_fail(in);
        return 0;
    }
    return end_ms;
}

static enum mrd_status get_row(struct mrd_reader *in, mrd_time_ms resolution_ms, double before,
                               struct mrd_arena *arena, unsigned flags, struct mrd_rollup_row *row,
                               struct mrd_error *err)
{
    if ((flags & ROW_STALE) != 0) {
        const uint64_t distance = mrd_read_varint(in);
        if (distance >= (uint64_t)resolution_ms) {
            (void)mrd_reader_fail(in);
            return MRD_OK;
        }
        row->stale_ms = row->end_ms - (mrd_time_ms)distance;
    }
    if ((flags & ROW_FLOATS) != 0) {
        get_floats(in, row, flags, resolution_ms, before);
    }
    return (flags & ROW_HISTOGRAMS) == 0 ? MRD_OK
                                         : mrd_rollup_get_histograms(in, row->end_ms, resolution_ms,
                                                                     arena, &row->histograms, err);
}

enum mrd_status mrd_rollup_decode(struct mrd_bytes bytes, mrd_time_ms resolution_ms,
                                  struct mrd_arena *arena, const struct mrd_rollup_row **out_rows,
                                  size_t *out_count, struct mrd_error *err)
{
    struct mrd_reader in = mrd_reader_of(bytes);
    const uint64_t count = mrd_read_varint(&in);
    double before = 0;
    if (in.failed || count == 0 || count > MRD_ROLLUP_CHUNK_ROWS_MAX ||
        count > mrd_reader_left(&in) / ROW_SIZE_MIN) {
        return mrd_fail(err, MRD_E_CORRUPT, "rollup rows: more rows than there are bytes for");
    }
    struct mrd_rollup_row *rows = mrd_arena_alloc(arena, (size_t)count * sizeof(*rows));
    if (rows == NULL) {
        return mrd_arena_fail(arena, err);
    }
    for (size_t i = 0; i < count; i++) {
        const unsigned flags = mrd_read_u8(&in);
        const mrd_time_ms before_ms = i == 0 ? 0 : rows[i - 1].end_ms;
        rows[i] = mrd_rollup_row_empty(get_end(&in, i == 0, before_ms, resolution_ms));
        MRD_TRY(get_row(&in, resolution_ms, before, arena, flags, &rows[i], err));
        if (in.failed || flags > ROW_ALL || mrd_rollup_row_is_empty(&rows[i])) {
            return mrd_fail(err, MRD_E_CORRUPT, "rollup rows: row %zu is malformed", i);
        }
        before = rows[i].floats.count > 0 ? rows[i].floats.last : before;
    }
    if (mrd_reader_left(&in) > 0) {
        return mrd_fail(err, MRD_E_CORRUPT, "rollup rows: %zu bytes after the last one",
                        mrd_reader_left(&in));
    }
    *out_rows = rows;
    *out_count = (size_t)count;
    return MRD_OK;
}
