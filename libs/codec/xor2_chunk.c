#include "codec/xor2_chunk.h"

#include "codec/start_bits_internal.h"

enum { HEADER_AT = 2 };

struct chunk {
    struct mrd_bit_writer writer;
    struct mrd_xor_window window;
    struct mrd_start_state starts;
    uint64_t delta;
    uint64_t value; /* the bits of the last that was no staleness marker */
};

static void put_varint(struct mrd_bit_writer *writer, uint64_t value)
{
    uint8_t bytes[MRD_VARINT_SIZE_MAX];
    const size_t size = mrd_varint_put(bytes, value);
    for (size_t i = 0; i < size; i++) {
        mrd_bits_put(writer, bytes[i], 8);
    }
}

/* ---- values ---- */

struct mark {
    uint64_t bits;
    unsigned width;
};

/* A change, marked by where it lies. */
static void put_change(struct chunk *chunk, uint64_t value, struct mark same, struct mark own)
{
    const uint64_t change = value ^ chunk->value;
    const unsigned leading = MRD_MIN((unsigned)__builtin_clzll(change), 31U);
    const unsigned trailing = (unsigned)__builtin_ctzll(change);
    struct mrd_xor_window *window = &chunk->window;
    struct mrd_bit_writer *writer = &chunk->writer;
    chunk->value = value;
    if (window->set && leading >= window->leading && trailing >= window->trailing) {
        mrd_bits_put(writer, same.bits, same.width);
        mrd_bits_put(writer, change >> window->trailing, 64U - window->leading - window->trailing);
        return;
    }
    const unsigned width = 64 - leading - trailing;
    *window = (struct mrd_xor_window){true, (uint8_t)leading, (uint8_t)trailing};
    mrd_bits_put(writer, own.bits, own.width);
    mrd_bits_put(writer, leading, 5);
    mrd_bits_put(writer, width & 63, 6);
    mrd_bits_put(writer, change >> trailing, width);
}

static void put_value(struct chunk *chunk, uint64_t value)
{
    if (value == MRD_STALE_NAN_BITS) {
        mrd_bits_put(&chunk->writer, 7, 3);
    } else if (value == chunk->value) {
        mrd_bits_put(&chunk->writer, 0, 1);
    } else {
        put_change(chunk, value, (struct mark){2, 2}, (struct mark){6, 3});
    }
}

/* ---- samples ---- */

static void put_on_time(struct chunk *chunk, uint64_t value)
{
    if (value == MRD_STALE_NAN_BITS) {
        mrd_bits_put(&chunk->writer, 0x1f, 5);
    } else if (value == chunk->value) {
        mrd_bits_put(&chunk->writer, 0, 1);
    } else {
        mrd_bits_put(&chunk->writer, 2, 2);
        put_change(chunk, value, (struct mark){0, 1}, (struct mark){1, 1});
    }
}

static bool fits(int64_t number, unsigned width)
{
    const int64_t half = (int64_t)1 << (width - 1);
    return number >= -half && number < half;
}

static void put_joint(struct chunk *chunk, uint64_t delta_change, uint64_t value)
{
    struct mrd_bit_writer *writer = &chunk->writer;
    const int64_t change = (int64_t)delta_change;
    if (change == 0) {
        put_on_time(chunk, value);
        return;
    }
    if (fits(change, 13)) {
        mrd_bits_put(writer, 6, 3);
        mrd_bits_put(writer, delta_change, 13);
    } else if (fits(change, 20)) {
        mrd_bits_put(writer, 14, 4);
        mrd_bits_put(writer, delta_change, 20);
    } else {
        mrd_bits_put(writer, 30, 5);
        mrd_bits_put(writer, delta_change, 64);
    }
    put_value(chunk, value);
}

static void put_first(struct chunk *chunk, mrd_time_ms time_ms, uint64_t value)
{
    put_varint(&chunk->writer, mrd_zigzag_encode(time_ms));
    mrd_bits_put(&chunk->writer, value, 64);
    chunk->value = value == MRD_STALE_NAN_BITS ? 0 : value;
}

static void put_sample(struct chunk *chunk, const struct mrd_samples *samples, size_t at)
{
    const mrd_time_ms time_ms = samples->times_ms[at];
    const mrd_time_ms before_ms = at == 0 ? 0 : samples->times_ms[at - 1];
    const uint64_t delta = (uint64_t)time_ms - (uint64_t)before_ms;
    const uint64_t value = mrd_double_bits(samples->values[at]);
    if (at == 0) {
        put_first(chunk, time_ms, value);
    } else if (at == 1) {
        put_varint(&chunk->writer, delta);
        put_value(chunk, value);
    } else {
        put_joint(chunk, delta - chunk->delta, value);
    }
    chunk->delta = delta;
    mrd_start_put(&chunk->writer, &chunk->starts, (struct mrd_start_at){at, time_ms, before_ms},
                  samples->start_times_ms == NULL ? 0 : samples->start_times_ms[at]);
}

void mrd_xor2_chunk_encode(const struct mrd_samples *samples, struct mrd_buf *out)
{
    mrd_assert(samples->count >= 1 && samples->count <= MRD_XOR2_CHUNK_SAMPLES_MAX);
    const size_t begin = out->size;
    struct chunk chunk = {.writer = {.out = out}};
    mrd_bits_put(&chunk.writer, samples->count, 16);
    mrd_bits_put(&chunk.writer, 0, 8);
    for (size_t i = 0; i < samples->count; i++) {
        put_sample(&chunk, samples, i);
    }
    mrd_bit_writer_flush(&chunk.writer);
    if (!out->failed) {
        out->data[begin + HEADER_AT] = chunk.starts.header;
    }
}
