#include "codec/prometheus_chunk.h"

#include <inttypes.h>

#include "codec/prometheus_chunk_internal.h"
#include "codec/start_bits_internal.h"
#include "codec/xor2_chunk.h"
#include "codec/xor_chunk.h"

enum { COUNT_SIZE = 2 };

struct floats {
    struct mrd_msb_reader reader;
    struct mrd_xor_place place;
    uint64_t delta;
    uint64_t value; /* the bits of the last one; XOR2: that was no staleness marker */
    mrd_time_ms time_ms;
};

struct float_arrays {
    mrd_time_ms *times_ms;
    double *values;
    mrd_time_ms *starts_ms; /* XOR2 */
    size_t count;
    bool any_start;
};

/* ---- both ---- */

static enum mrd_status arrays_make(struct mrd_arena *arena, size_t count, bool starts,
                                   struct float_arrays *out, struct mrd_error *err)
{
    *out = (struct float_arrays){
        .times_ms = mrd_arena_alloc_array(arena, count + 1, sizeof(*out->times_ms)),
        .values = mrd_arena_alloc_array(arena, count + 1, sizeof(*out->values)),
        .starts_ms =
            starts ? mrd_arena_alloc_array(arena, count + 1, sizeof(*out->starts_ms)) : NULL,
        .count = count,
    };
    return out->times_ms == NULL || out->values == NULL || (starts && out->starts_ms == NULL)
               ? mrd_arena_fail(arena, err)
               : MRD_OK;
}

/* Takes the count and checks that so many samples, of `bits` bits at least, may follow. */
static enum mrd_status count_read(struct mrd_msb_reader *reader, unsigned bits, size_t *out,
                                  struct mrd_error *err)
{
    const size_t count = (size_t)mrd_msb_read(reader, 16);
    if (reader->failed || count * bits > mrd_msb_left(reader)) {
        return mrd_fail(err, MRD_E_CORRUPT, "%zu bytes are too few for a chunk of %zu samples",
                        reader->size, count);
    }
    *out = count;
    return MRD_OK;
}

static enum mrd_status sample_check(const struct floats *floats, const struct float_arrays *arrays,
                                    size_t at, struct mrd_error *err)
{
    if (floats->reader.failed) {
        return mrd_fail(err, MRD_E_CORRUPT,
                        "the chunk ends in or is malformed at sample %zu of %zu", at,
                        arrays->count);
    }
    return at == 0 || arrays->times_ms[at] > arrays->times_ms[at - 1]
               ? MRD_OK
               : mrd_fail(err, MRD_E_CORRUPT,
                          "the time of sample %zu (%" PRId64
                          " ms) is not later than that before it",
                          at, arrays->times_ms[at]);
}

static void time_advance(struct floats *floats, uint64_t delta)
{
    floats->delta = delta;
    floats->time_ms = (mrd_time_ms)((uint64_t)floats->time_ms + delta);
}

/* ---- XOR ---- */

static uint64_t read_delta_of_delta(struct mrd_msb_reader *reader)
{
    static const uint8_t widths[] = {0, 14, 17, 20, 64};
    const unsigned kind = mrd_msb_ones(reader, 4);
    return kind == 0 ? 0 : (uint64_t)mrd_msb_read_signed(reader, widths[kind]);
}

static void xor_next(struct floats *floats, size_t at)
{
    struct mrd_msb_reader *reader = &floats->reader;
    if (at == 0) {
        floats->time_ms = mrd_msb_read_zigzag(reader);
        floats->value = mrd_msb_read(reader, 64);
        return;
    }
    time_advance(floats, at == 1 ? mrd_msb_read_varint(reader)
                                 : floats->delta + read_delta_of_delta(reader));
    floats->value ^= mrd_msb_read_xor(reader, &floats->place);
}

static enum mrd_status xor_decode(struct mrd_bytes bytes, struct mrd_arena *arena,
                                  struct mrd_samples *out, struct mrd_error *err)
{
    struct floats floats = {.reader = mrd_msb_reader_of(bytes)};
    struct float_arrays arrays;
    size_t count;
    MRD_TRY(count_read(&floats.reader, 2, &count, err));
    MRD_TRY(arrays_make(arena, count, false, &arrays, err));
    for (size_t i = 0; i < count; i++) {
        xor_next(&floats, i);
        arrays.times_ms[i] = floats.time_ms;
        arrays.values[i] = mrd_double_from_bits(floats.value);
        MRD_TRY(sample_check(&floats, &arrays, i, err));
    }
    *out = (struct mrd_samples){arrays.times_ms, arrays.values, count, NULL};
    return MRD_OK;
}

/* ---- XOR2 ---- */

/* Two's complement, other than in XOR. */
static uint64_t read_plain_signed(struct mrd_msb_reader *reader, unsigned width)
{
    const uint64_t value = mrd_msb_read(reader, width);
    return width == 64 || value >> (width - 1) == 0 ? value : value - ((uint64_t)1 << width);
}

/* 0 the same | 10 a change where the last was | 110 one elsewhere | 111 a staleness marker. */
static uint64_t read_value2(struct floats *floats)
{
    struct mrd_msb_reader *reader = &floats->reader;
    switch (mrd_msb_ones(reader, 3)) {
    case 0:
        return floats->value;
    case 1:
        return floats->value ^= mrd_msb_read_placed(reader, &floats->place);
    case 2:
        return floats->value ^= mrd_msb_read_placing(reader, &floats->place);
    default:
        return MRD_STALE_NAN_BITS;
    }
}

/* Time and value of the third sample and later ones in one code. */
static uint64_t read_joint(struct floats *floats)
{
    static const uint8_t widths[] = {0, 0, 13, 20, 64};
    struct mrd_msb_reader *reader = &floats->reader;
    const unsigned kind = mrd_msb_ones(reader, 5);
    if (kind >= 2 && kind <= 4) {
        time_advance(floats, floats->delta + read_plain_signed(reader, widths[kind]));
        return read_value2(floats);
    }
    time_advance(floats, floats->delta);
    if (kind == 1) {
        floats->value ^= mrd_msb_bit(reader) ? mrd_msb_read_placing(reader, &floats->place)
                                             : mrd_msb_read_placed(reader, &floats->place);
    }
    return kind == 5 ? MRD_STALE_NAN_BITS : floats->value;
}

static uint64_t xor2_next(struct floats *floats, size_t at)
{
    struct mrd_msb_reader *reader = &floats->reader;
    if (at == 0) {
        floats->time_ms = mrd_msb_read_zigzag(reader);
        const uint64_t value = mrd_msb_read(reader, 64);
        floats->value = value == MRD_STALE_NAN_BITS ? 0 : value;
        return value;
    }
    if (at == 1) {
        time_advance(floats, mrd_msb_read_varint(reader));
        return read_value2(floats);
    }
    return read_joint(floats);
}

static enum mrd_status xor2_samples_decode(struct floats *floats, struct float_arrays *arrays,
                                           struct mrd_error *err)
{
    struct mrd_start_state starts = {.header = (uint8_t)mrd_msb_read(&floats->reader, 8)};
    for (size_t i = 0; i < arrays->count; i++) {
        const mrd_time_ms before_ms = floats->time_ms;
        arrays->values[i] = mrd_double_from_bits(xor2_next(floats, i));
        arrays->times_ms[i] = floats->time_ms;
        arrays->starts_ms[i] = mrd_start_read(&floats->reader, &starts,
                                              (struct mrd_start_at){i, floats->time_ms, before_ms});
        arrays->any_start |= arrays->starts_ms[i] != 0;
        MRD_TRY(sample_check(floats, arrays, i, err));
    }
    return MRD_OK;
}

static enum mrd_status xor2_decode(struct mrd_bytes bytes, struct mrd_arena *arena,
                                   struct mrd_samples *out, struct mrd_error *err)
{
    struct floats floats = {.reader = mrd_msb_reader_of(bytes)};
    struct float_arrays arrays;
    size_t count;
    MRD_TRY(count_read(&floats.reader, 1, &count, err));
    MRD_TRY(arrays_make(arena, count, true, &arrays, err));
    MRD_TRY(xor2_samples_decode(&floats, &arrays, err));
    *out = (struct mrd_samples){arrays.times_ms, arrays.values, count,
                                arrays.any_start ? arrays.starts_ms : NULL};
    return MRD_OK;
}

/* ---- any ---- */

enum mrd_status mrd_prometheus_chunk_decode(unsigned encoding, struct mrd_bytes bytes,
                                            struct mrd_arena *arena,
                                            struct mrd_prometheus_chunk *out, struct mrd_error *err)
{
    struct mrd_prometheus_chunk chunk = {0};
    switch (encoding) {
    case MRD_PROMETHEUS_XOR:
        MRD_TRY(xor_decode(bytes, arena, &chunk.samples, err));
        break;
    case MRD_PROMETHEUS_XOR2:
        MRD_TRY(xor2_decode(bytes, arena, &chunk.samples, err));
        break;
    case MRD_PROMETHEUS_HISTOGRAM:
    case MRD_PROMETHEUS_FLOAT_HISTOGRAM:
    case MRD_PROMETHEUS_HISTOGRAM_ST:
    case MRD_PROMETHEUS_FLOAT_HISTOGRAM_ST: {
        const bool starts = encoding >= MRD_PROMETHEUS_HISTOGRAM_ST;
        const bool is_float = encoding == MRD_PROMETHEUS_FLOAT_HISTOGRAM ||
                              encoding == MRD_PROMETHEUS_FLOAT_HISTOGRAM_ST;
        MRD_TRY(mrd_prometheus_histograms_decode(bytes, is_float, starts, arena, &chunk.histograms,
                                                 err));
        break;
    }
    default:
        return mrd_fail(err, MRD_E_UNSUPPORTED, "chunk encoding %u: 1 to 6 are known", encoding);
    }
    *out = chunk;
    return MRD_OK;
}
