#include "rollup/codec_internal.h"

enum histogram_flags {
    H_OVERLAPS = 1,
    H_GAUGES = 2,
    H_COUNTERS = 4,
    H_UNEVEN = 8,
    H_STARTS = 16,
    H_SECOND_RESET = 32,  /* << kind */
    H_SECOND_RESETS = 96, /* of any kind */
};

/* ---- one histogram ---- */

static void put_side(struct mrd_buf *out, const struct mrd_float_buckets *side)
{
    double like = 0;
    mrd_buf_append_varint(out, side->count);
    for (size_t i = 0; i < side->count; i++) {
        const int64_t before = i == 0 ? 0 : side->indexes[i - 1];
        mrd_buf_append_zigzag(out, side->indexes[i] - before);
        mrd_rollup_put_double(out, side->counts[i], like);
        like = side->counts[i];
    }
}

static void put_histogram(struct mrd_buf *out, const struct mrd_float_histogram *histogram)
{
    mrd_buf_append_u8(out, (uint8_t)histogram->reset);
    mrd_buf_append_zigzag(out, histogram->schema);
    mrd_rollup_put_double(out, histogram->zero_threshold, 0);
    mrd_rollup_put_double(out, histogram->zero_count, 0);
    mrd_rollup_put_double(out, histogram->count, 0);
    mrd_rollup_put_double(out, histogram->sum, 0);
    put_side(out, &histogram->positive);
    put_side(out, &histogram->negative);
    mrd_buf_append_varint(out, histogram->custom_value_count);
    for (size_t i = 0; i < histogram->custom_value_count; i++) {
        mrd_rollup_put_double(out, histogram->custom_values[i], 0);
    }
}

static enum mrd_status get_side(struct mrd_reader *in, bool custom, struct mrd_arena *arena,
                                struct mrd_float_buckets *out, struct mrd_error *err)
{
    const uint64_t count = mrd_read_varint(in);
    double like = 0;
    int64_t index = 0;
    if (in->failed || count > mrd_reader_left(in) / 2) { /* a bucket takes two bytes */
        (void)mrd_reader_fail(in);
        return MRD_OK;
    }
    int32_t *indexes = mrd_arena_alloc(arena, (size_t)count * sizeof(*indexes));
    double *counts = mrd_arena_alloc(arena, (size_t)count * sizeof(*counts));
    if (indexes == NULL || counts == NULL) {
        return mrd_arena_fail(arena, err);
    }
    for (size_t i = 0; i < count; i++) {
        const int64_t step = mrd_read_zigzag(in);
        const bool fits = step <= UINT32_MAX && step >= INT32_MIN && (i == 0 || step > 0);
        index += fits ? step : 0;
        if (!fits || index >= INT32_MAX || index < (custom ? 0 : INT32_MIN)) {
            (void)mrd_reader_fail(in);
            return MRD_OK;
        }
        indexes[i] = (int32_t)index;
        like = mrd_rollup_get_double(in, like);
        counts[i] = like;
    }
    *out = (struct mrd_float_buckets){indexes, counts, (size_t)count};
    return MRD_OK;
}

static enum mrd_status get_bounds(struct mrd_reader *in, struct mrd_arena *arena,
                                  struct mrd_float_histogram *out, struct mrd_error *err)
{
    const uint64_t count = mrd_read_varint(in);
    if (in->failed || count > mrd_reader_left(in) ||
        (count > 0 && !mrd_float_histogram_is_custom(out))) {
        (void)mrd_reader_fail(in);
        return MRD_OK;
    }
    double *bounds = mrd_arena_alloc(arena, (size_t)count * sizeof(*bounds));
    if (bounds == NULL) {
        return mrd_arena_fail(arena, err);
    }
    for (size_t i = 0; i < count; i++) {
        bounds[i] = mrd_rollup_get_double(in, 0);
        if (isnan(bounds[i]) || bounds[i] == INFINITY || (i > 0 && !(bounds[i - 1] < bounds[i]))) {
            (void)mrd_reader_fail(in);
        }
    }
    out->custom_values = bounds;
    out->custom_value_count = (size_t)count;
    return MRD_OK;
}

/* What mrd_float_histogram_from would make of a histogram: the engine relies on no less. */
static bool is_sound(const struct mrd_float_histogram *histogram)
{
    if (!mrd_float_histogram_is_custom(histogram)) {
        return histogram->schema >= MRD_HISTOGRAM_SCHEMA_MIN &&
               histogram->schema <= MRD_HISTOGRAM_SCHEMA_MAX;
    }
    const struct mrd_float_buckets *buckets = &histogram->positive;
    return histogram->negative.count == 0 && histogram->zero_count == 0 &&
           (buckets->count == 0 ||
            (uint64_t)buckets->indexes[buckets->count - 1] <= histogram->custom_value_count);
}

static enum mrd_status get_histogram(struct mrd_reader *in, struct mrd_arena *arena,
                                     const struct mrd_float_histogram **out, struct mrd_error *err)
{
    struct mrd_float_histogram *made = mrd_arena_alloc(arena, sizeof(*made));
    if (made == NULL) {
        return mrd_arena_fail(arena, err);
    }
    const uint8_t reset = mrd_read_u8(in);
    const int64_t schema = mrd_read_zigzag(in);
    if (reset > MRD_HISTOGRAM_GAUGE || schema < INT8_MIN || schema > INT8_MAX) {
        (void)mrd_reader_fail(in);
        return MRD_OK;
    }
    made->reset = (enum mrd_histogram_reset)reset;
    made->schema = (int32_t)schema;
    made->zero_threshold = mrd_rollup_get_double(in, 0);
    made->zero_count = mrd_rollup_get_double(in, 0);
    made->count = mrd_rollup_get_double(in, 0);
    made->sum = mrd_rollup_get_double(in, 0);
    const bool custom = mrd_float_histogram_is_custom(made);
    MRD_TRY(get_side(in, custom, arena, &made->positive, err));
    MRD_TRY(get_side(in, custom, arena, &made->negative, err));
    MRD_TRY(get_bounds(in, arena, made, err));
    if (in->failed || !is_sound(made)) {
        (void)mrd_reader_fail(in);
        return MRD_OK;
    }
    *out = made;
    return MRD_OK;
}

/* ---- a row's ---- */

static unsigned flags_of(const struct mrd_rollup_histograms *histograms)
{
    unsigned flags = 0;
    flags |= histograms->overlaps ? H_OVERLAPS : 0;
    flags |= histograms->gauges ? H_GAUGES : 0;
    flags |= histograms->counters ? H_COUNTERS : 0;
    flags |= histograms->uneven ? H_UNEVEN : 0;
    flags |= histograms->first_at.start_ms != 0 || histograms->last_at.start_ms != 0 ? H_STARTS : 0;
    for (unsigned k = 0; k < MRD_ROLLUP_RESET_KINDS; k++) {
        flags |= histograms->second_reset[k] ? (unsigned)H_SECOND_RESET << k : 0;
    }
    return flags;
}

void mrd_rollup_put_histograms(struct mrd_buf *out, const struct mrd_rollup_histograms *histograms,
                               mrd_time_ms end_ms)
{
    const unsigned flags = flags_of(histograms);
    const struct mrd_rollup_ends ends = {histograms->first_at, histograms->last_at};
    mrd_buf_append_u8(out, (uint8_t)flags);
    mrd_buf_append_varint(out, histograms->count);
    mrd_rollup_put_ends(out, &ends, end_ms, (flags & H_STARTS) != 0);
    mrd_buf_append_varint(out, histograms->changes);
    put_histogram(out, histograms->first);
    put_histogram(out, histograms->last);
    for (size_t k = 0; k < MRD_ROLLUP_RESET_KINDS; k++) {
        mrd_buf_append_varint(out, histograms->resets[k]);
        mrd_buf_append_u8(out, histograms->lost[k] != NULL);
        if (histograms->lost[k] != NULL) {
            put_histogram(out, histograms->lost[k]);
        }
    }
}

static enum mrd_status get_resets(struct mrd_reader *in, struct mrd_arena *arena,
                                  struct mrd_rollup_histograms *out, struct mrd_error *err)
{
    for (size_t k = 0; k < MRD_ROLLUP_RESET_KINDS; k++) {
        out->resets[k] = mrd_read_varint(in);
        const uint8_t lost = mrd_read_u8(in);
        if (lost > 1 || out->resets[k] >= out->count ||
            (out->resets[k] == 0 && (lost > 0 || out->second_reset[k]))) {
            (void)mrd_reader_fail(in);
            return MRD_OK;
        }
        if (lost > 0) {
            MRD_TRY(get_histogram(in, arena, &out->lost[k], err));
        }
    }
    return MRD_OK;
}

enum mrd_status mrd_rollup_get_histograms(struct mrd_reader *in, mrd_time_ms end_ms,
                                          mrd_time_ms resolution_ms, struct mrd_arena *arena,
                                          struct mrd_rollup_histograms *out, struct mrd_error *err)
{
    const unsigned flags = mrd_read_u8(in);
    const uint64_t count = mrd_read_varint(in);
    const struct mrd_rollup_ends ends =
        mrd_rollup_get_ends(in, end_ms, resolution_ms, (flags & H_STARTS) != 0);
    *out = (struct mrd_rollup_histograms){
        .count = count,
        .first_at = ends.first,
        .last_at = ends.last,
        .changes = mrd_read_varint(in),
        .overlaps = (flags & H_OVERLAPS) != 0,
        .gauges = (flags & H_GAUGES) != 0,
        .counters = (flags & H_COUNTERS) != 0,
        .uneven = (flags & H_UNEVEN) != 0,
        .second_reset = {(flags & H_SECOND_RESET) != 0, (flags & H_SECOND_RESET << 1) != 0},
    };
    const uint64_t places = (uint64_t)(ends.last.time_ms - ends.first.time_ms) + 1;
    if (in->failed || count == 0 || count > places || out->changes >= count || flags > 127) {
        (void)mrd_reader_fail(in);
        return MRD_OK;
    }
    MRD_TRY(get_histogram(in, arena, &out->first, err));
    if (!in->failed) {
        MRD_TRY(get_histogram(in, arena, &out->last, err));
    }
    return in->failed ? MRD_OK : get_resets(in, arena, out, err);
}
