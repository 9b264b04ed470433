/* Chunks of native histograms, with start times and without. */
#include <inttypes.h>
#include <math.h>

#include "codec/prometheus_chunk_internal.h"
#include "codec/start_bits_internal.h"
#include "model/histogram_check.h"

enum {
    FLAGS_MASK = 0xc0,
    FLAGS_GAUGES = 0xc0,
    COUNT_MASK_ST = 0x3fff,
    THRESHOLD_PLAIN = 0xff,
    THRESHOLD_BIAS = 244, /* of the power of two */
};

/* One number that is followed through the chunk: an integer as its change's change, or a double's bits as xor. */
struct track {
    uint64_t value;
    uint64_t change;            /* integers */
    struct mrd_xor_place place; /* doubles */
};

struct chunk {
    struct mrd_msb_reader reader;
    struct mrd_arena *arena;
    bool is_float;
    bool gauges;
    size_t count;
    struct mrd_histogram layout; /* what all have in common, with counts of none */
    struct track time;
    struct track total;
    struct track zero;
    struct track sum;
    struct track
        *buckets; /* positive, then negative; integers: each as its distance from the one before */
    size_t bucket_count;
};

static enum mrd_status malformed(const char *what, struct mrd_error *err)
{
    return mrd_fail(err, MRD_E_CORRUPT, "chunk of histograms: malformed %s", what);
}

/* ---- the layout ---- */

static double read_threshold(struct mrd_msb_reader *reader)
{
    const unsigned byte = (unsigned)mrd_msb_read(reader, 8);
    if (byte == THRESHOLD_PLAIN) {
        return mrd_double_from_bits(mrd_msb_read(reader, 64));
    }
    return byte == 0 ? 0 : ldexp(1, (int)byte - THRESHOLD_BIAS);
}

static enum mrd_status side_read(struct chunk *chunk, struct mrd_histogram_side *out,
                                 struct mrd_error *err)
{
    struct mrd_msb_reader *reader = &chunk->reader;
    const uint64_t count = mrd_varbit_read_unsigned(reader);
    uint64_t buckets = 0;
    if (count > MRD_HISTOGRAM_PARTS_MAX || count * 2 > mrd_msb_left(reader)) {
        return malformed("count of spans", err);
    }
    struct mrd_histogram_span *spans =
        mrd_arena_alloc_array(chunk->arena, (size_t)count + 1, sizeof(*spans));
    if (spans == NULL) {
        return mrd_arena_fail(chunk->arena, err);
    }
    for (size_t i = 0; i < count; i++) {
        const uint64_t length = mrd_varbit_read_unsigned(reader);
        const int64_t offset = mrd_varbit_read_signed(reader);
        if (length > MRD_HISTOGRAM_PARTS_MAX || offset < INT32_MIN || offset > INT32_MAX) {
            return malformed("span", err);
        }
        buckets += length;
        spans[i] = (struct mrd_histogram_span){(int32_t)offset, (uint32_t)length};
    }
    if (buckets > MRD_HISTOGRAM_PARTS_MAX) {
        return malformed("spans: more than 8192 buckets", err);
    }
    *out = (struct mrd_histogram_side){spans, NULL, (size_t)count, (size_t)buckets};
    return MRD_OK;
}

static enum mrd_status bounds_read(struct chunk *chunk, struct mrd_error *err)
{
    struct mrd_msb_reader *reader = &chunk->reader;
    const uint64_t count = mrd_varbit_read_unsigned(reader);
    if (count > MRD_HISTOGRAM_PARTS_MAX || count * 5 > mrd_msb_left(reader)) {
        return malformed("count of custom bounds", err);
    }
    double *bounds = mrd_arena_alloc_array(chunk->arena, (size_t)count + 1, sizeof(*bounds));
    if (bounds == NULL) {
        return mrd_arena_fail(chunk->arena, err);
    }
    for (size_t i = 0; i < count; i++) {
        const uint64_t number = mrd_varbit_read_unsigned(reader);
        bounds[i] = number == 0 ? mrd_double_from_bits(mrd_msb_read(reader, 64))
                                : (double)(number - 1) / 1000;
    }
    chunk->layout.custom_values = bounds;
    chunk->layout.custom_value_count = (size_t)count;
    return MRD_OK;
}

static enum mrd_status layout_read(struct chunk *chunk, struct mrd_error *err)
{
    struct mrd_histogram *layout = &chunk->layout;
    layout->is_float = chunk->is_float;
    layout->reset = chunk->gauges ? MRD_HISTOGRAM_GAUGE : MRD_HISTOGRAM_RESET_UNKNOWN;
    layout->zero_threshold = read_threshold(&chunk->reader);
    const int64_t schema = mrd_varbit_read_signed(&chunk->reader);
    if (schema != MRD_HISTOGRAM_SCHEMA_CUSTOM &&
        (schema < -9 || schema > MRD_HISTOGRAM_SCHEMA_FINER_MAX)) {
        return mrd_fail(err, MRD_E_CORRUPT, "chunk of histograms: unknown schema %" PRId64, schema);
    }
    layout->schema = (int32_t)schema;
    MRD_TRY(side_read(chunk, &layout->positive, err));
    MRD_TRY(side_read(chunk, &layout->negative, err));
    if (schema == MRD_HISTOGRAM_SCHEMA_CUSTOM) {
        MRD_TRY(bounds_read(chunk, err));
    }
    chunk->bucket_count = layout->positive.bucket_count + layout->negative.bucket_count;
    chunk->buckets =
        mrd_arena_alloc(chunk->arena, (chunk->bucket_count + 1) * sizeof(*chunk->buckets));
    if (chunk->buckets == NULL) {
        return mrd_arena_fail(chunk->arena, err);
    }
    return chunk->reader.failed ? malformed("layout", err) : MRD_OK;
}

/* ---- numbers ---- */

/* The first value of a number is there as it is, in `bits` ways: */
static void read_first(struct chunk *chunk, struct track *track, bool is_signed)
{
    if (chunk->is_float) {
        track->value = mrd_msb_read(&chunk->reader, 64);
    } else {
        track->value = is_signed ? (uint64_t)mrd_varbit_read_signed(&chunk->reader)
                                 : mrd_varbit_read_unsigned(&chunk->reader);
    }
}

static void read_change(struct mrd_msb_reader *reader, struct track *track)
{
    track->change += (uint64_t)mrd_varbit_read_signed(reader);
    track->value += track->change;
}

static void read_next(struct chunk *chunk, struct track *track)
{
    if (chunk->is_float) {
        track->value ^= mrd_msb_read_xor(&chunk->reader, &track->place);
    } else {
        read_change(&chunk->reader, track);
    }
}

/* The first histogram has its buckets always, later ones unless they are staleness markers. */
static void histogram_read_first(struct chunk *chunk)
{
    chunk->time.value = (uint64_t)mrd_varbit_read_signed(&chunk->reader);
    read_first(chunk, &chunk->total, false);
    read_first(chunk, &chunk->zero, false);
    chunk->sum.value = mrd_msb_read(&chunk->reader, 64);
    for (size_t i = 0; i < chunk->bucket_count; i++) {
        read_first(chunk, &chunk->buckets[i], true);
    }
}

static void histogram_read_next(struct chunk *chunk)
{
    read_change(&chunk->reader, &chunk->time);
    read_next(chunk, &chunk->total);
    read_next(chunk, &chunk->zero);
    chunk->sum.value ^= mrd_msb_read_xor(&chunk->reader, &chunk->sum.place);
    if (chunk->sum.value == MRD_STALE_NAN_BITS) {
        return;
    }
    for (size_t i = 0; i < chunk->bucket_count; i++) {
        read_next(chunk, &chunk->buckets[i]);
    }
}

/* ---- histograms ---- */

static union mrd_histogram_count count_of(const struct chunk *chunk, uint64_t value)
{
    return chunk->is_float ? (union mrd_histogram_count){.real = mrd_double_from_bits(value)}
                           : (union mrd_histogram_count){.integer = value};
}

static void side_fill(const struct chunk *chunk, size_t first, struct mrd_histogram_side *side,
                      union mrd_histogram_count *room)
{
    uint64_t value = 0;
    for (size_t i = 0; i < side->bucket_count; i++) {
        const uint64_t now = chunk->buckets[first + i].value;
        value = chunk->is_float ? now : value + now;
        room[first + i] = count_of(chunk, value);
    }
    side->buckets = room + first;
}

static enum mrd_status histogram_make(const struct chunk *chunk, size_t at,
                                      struct mrd_histogram *out, struct mrd_error *err)
{
    if (chunk->sum.value == MRD_STALE_NAN_BITS) {
        *out = (struct mrd_histogram){.is_float = chunk->is_float, .sum = mrd_stale_nan()};
        return MRD_OK;
    }
    union mrd_histogram_count *room =
        mrd_arena_alloc_array(chunk->arena, chunk->bucket_count + 1, sizeof(*room));
    if (room == NULL) {
        return mrd_arena_fail(chunk->arena, err);
    }
    *out = chunk->layout;
    if (at > 0 && !chunk->gauges) {
        out->reset = MRD_HISTOGRAM_NO_RESET;
    }
    out->sum = mrd_double_from_bits(chunk->sum.value);
    out->count = count_of(chunk, chunk->total.value);
    out->zero_count = count_of(chunk, chunk->zero.value);
    side_fill(chunk, 0, &out->positive, room);
    side_fill(chunk, out->positive.bucket_count, &out->negative, room);
    return MRD_OK;
}

/* ---- the chunk ---- */

struct arrays {
    mrd_time_ms *times_ms;
    mrd_time_ms *starts_ms;
    struct mrd_histogram *items;
    bool any_start;
};

static enum mrd_status one_decode(struct chunk *chunk, struct mrd_start_state *starts, size_t at,
                                  struct arrays *out, struct mrd_error *err)
{
    const mrd_time_ms before_ms = (mrd_time_ms)chunk->time.value;
    if (at == 0) {
        histogram_read_first(chunk);
    } else {
        histogram_read_next(chunk);
    }
    const mrd_time_ms time_ms = (mrd_time_ms)chunk->time.value;
    out->times_ms[at] = time_ms;
    out->starts_ms[at] =
        mrd_start_read(&chunk->reader, starts, (struct mrd_start_at){at, time_ms, before_ms});
    out->any_start |= out->starts_ms[at] != 0;
    if (chunk->reader.failed) {
        return mrd_fail(err, MRD_E_CORRUPT,
                        "the chunk ends in or is malformed at histogram %zu of %zu", at,
                        chunk->count);
    }
    if (at > 0 && time_ms <= before_ms) {
        return mrd_fail(err, MRD_E_CORRUPT,
                        "the time of histogram %zu (%" PRId64
                        " ms) is not later than that before it",
                        at, time_ms);
    }
    return histogram_make(chunk, at, &out->items[at], err);
}

static enum mrd_status arrays_make(struct chunk *chunk, struct arrays *out, struct mrd_error *err)
{
    const size_t count = chunk->count + 1;
    *out = (struct arrays){
        .times_ms = mrd_arena_alloc_array(chunk->arena, count, sizeof(*out->times_ms)),
        .starts_ms = mrd_arena_alloc_array(chunk->arena, count, sizeof(*out->starts_ms)),
        .items = mrd_arena_alloc_array(chunk->arena, count, sizeof(*out->items)),
    };
    return out->times_ms == NULL || out->starts_ms == NULL || out->items == NULL
               ? mrd_arena_fail(chunk->arena, err)
               : MRD_OK;
}

/* The three bytes before the layout. */
static void head_read(struct chunk *chunk, bool starts, struct mrd_start_state *out)
{
    const unsigned count = (unsigned)mrd_msb_read(&chunk->reader, 16);
    const unsigned last = (unsigned)mrd_msb_read(&chunk->reader, 8);
    const unsigned flags = (starts ? count >> 8 : last) & FLAGS_MASK;
    chunk->gauges = flags == FLAGS_GAUGES;
    chunk->count = starts ? count & COUNT_MASK_ST : count;
    out->header = starts ? (uint8_t)last : 0;
}

enum mrd_status mrd_prometheus_histograms_decode(struct mrd_bytes bytes, bool is_float, bool starts,
                                                 struct mrd_arena *arena,
                                                 struct mrd_histograms *out, struct mrd_error *err)
{
    struct chunk chunk = {.reader = mrd_msb_reader_of(bytes), .arena = arena, .is_float = is_float};
    struct mrd_start_state state = {0};
    struct arrays arrays;
    head_read(&chunk, starts, &state);
    if (chunk.reader.failed) {
        return malformed("head", err);
    }
    if (chunk.count == 0) {
        *out = (struct mrd_histograms){0};
        return MRD_OK;
    }
    MRD_TRY(layout_read(&chunk, err));
    if (chunk.count * 4 > mrd_msb_left(&chunk.reader)) { /* time, two counts and sum, a bit each */
        return malformed("count", err);
    }
    MRD_TRY(arrays_make(&chunk, &arrays, err));
    for (size_t i = 0; i < chunk.count; i++) {
        MRD_TRY(one_decode(&chunk, &state, i, &arrays, err));
    }
    *out = (struct mrd_histograms){arrays.times_ms, arrays.items, chunk.count,
                                   arrays.any_start ? arrays.starts_ms : NULL};
    return MRD_OK;
}
