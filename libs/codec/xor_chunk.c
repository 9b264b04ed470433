#include "codec/xor_chunk.h"

#include "codec/bit_writer_internal.h"

static void put_varint(struct mrd_bit_writer *writer, uint64_t value)
{
    uint8_t bytes[MRD_VARINT_SIZE_MAX];
    const size_t size = mrd_varint_put(bytes, value);
    for (size_t i = 0; i < size; i++) {
        mrd_bits_put(writer, bytes[i], 8);
    }
}

/* ---- times ---- */

static void put_delta_of_delta(struct mrd_bit_writer *writer, int64_t value)
{
    static const struct {
        unsigned width;
        unsigned mark;
        unsigned mark_width;
    } classes[] = {
        {14, 2,  2},
        {17, 6,  3},
        {20, 14, 4},
    };
    if (value == 0) {
        mrd_bits_put(writer, 0, 1);
        return;
    }
    for (size_t i = 0; i < MRD_ARRAY_LEN(classes); i++) {
        if (mrd_bits_fit(value, classes[i].width)) {
            mrd_bits_put(writer, classes[i].mark, classes[i].mark_width);
            mrd_bits_put(writer, (uint64_t)value, classes[i].width);
            return;
        }
    }
    mrd_bits_put(writer, 15, 4);
    mrd_bits_put(writer, (uint64_t)value, 64);
}

/* ---- the chunk ---- */

void mrd_xor_chunk_encode(const struct mrd_samples *samples, struct mrd_buf *out)
{
    const size_t count = samples->count;
    mrd_assert(count >= 1 && count <= MRD_XOR_CHUNK_SAMPLES_MAX);
    struct mrd_bit_writer writer = {.out = out};
    struct mrd_xor_window window = {0};
    uint64_t delta = 0;
    mrd_bits_put(&writer, count, 16);
    put_varint(&writer, mrd_zigzag_encode(samples->times_ms[0]));
    mrd_bits_put(&writer, mrd_double_bits(samples->values[0]), 64);
    for (size_t i = 1; i < count; i++) {
        /* Unsigned: the distance of any two times has its place, and wraps as the reader's sums do. */
        const uint64_t next = (uint64_t)samples->times_ms[i] - (uint64_t)samples->times_ms[i - 1];
        if (i == 1) {
            put_varint(&writer, next);
        } else {
            put_delta_of_delta(&writer, (int64_t)(next - delta));
        }
        delta = next;
        mrd_bits_put_xor(
            &writer, mrd_double_bits(samples->values[i]) ^ mrd_double_bits(samples->values[i - 1]),
            &window);
    }
    mrd_bit_writer_flush(&writer);
}
