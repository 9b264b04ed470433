#include "codec/xor_chunk.h"

/* ---- bits, most significant first ---- */

struct bit_writer {
    struct mrd_buf *out;
    uint64_t pending;      /* the low `pending_bits` bits are not written yet */
    unsigned pending_bits; /* 0 to 7 between calls */
};

static void put_bits_56(struct bit_writer *writer, uint64_t value, unsigned width)
{
    const uint64_t mask = ((uint64_t)1 << width) - 1;
    writer->pending = writer->pending << width | (value & mask);
    writer->pending_bits += width;
    while (writer->pending_bits >= 8) {
        writer->pending_bits -= 8;
        mrd_buf_append_u8(writer->out, (uint8_t)(writer->pending >> writer->pending_bits));
    }
}

static void put_bits(struct bit_writer *writer, uint64_t value, unsigned width)
{
    if (width > 32) {
        put_bits_56(writer, value >> 32, width - 32);
        width = 32;
    }
    put_bits_56(writer, value, width);
}

static void put_varint(struct bit_writer *writer, uint64_t value)
{
    uint8_t bytes[MRD_VARINT_SIZE_MAX];
    const size_t size = mrd_varint_put(bytes, value);
    for (size_t i = 0; i < size; i++) {
        put_bits(writer, bytes[i], 8);
    }
}

static void flush(struct bit_writer *writer)
{
    if (writer->pending_bits > 0) {
        put_bits(writer, 0, 8 - writer->pending_bits);
    }
}

/* ---- times ---- */

/* Whether `value` lies in the range that Prometheus gives to `width` bits: one more above than two's
 * complement has, one less below. */
static bool fits(int64_t value, unsigned width)
{
    const int64_t half = (int64_t)1 << (width - 1);
    return value > -half && value <= half;
}

static void put_delta_of_delta(struct bit_writer *writer, int64_t value)
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
        put_bits(writer, 0, 1);
        return;
    }
    for (size_t i = 0; i < MRD_ARRAY_LEN(classes); i++) {
        if (fits(value, classes[i].width)) {
            put_bits(writer, classes[i].mark, classes[i].mark_width);
            put_bits(writer, (uint64_t)value, classes[i].width);
            return;
        }
    }
    put_bits(writer, 15, 4);
    put_bits(writer, (uint64_t)value, 64);
}

/* ---- values ---- */

/* Where the bits that change lie. */
struct window {
    bool set;
    unsigned leading;
    unsigned trailing;
};

static void put_xor(struct bit_writer *writer, uint64_t change, struct window *window)
{
    if (change == 0) {
        put_bits(writer, 0, 1);
        return;
    }
    unsigned leading = (unsigned)__builtin_clzll(change);
    const unsigned trailing = (unsigned)__builtin_ctzll(change);
    leading = MRD_MIN(leading, 31U);
    if (window->set && leading >= window->leading && trailing >= window->trailing) {
        put_bits(writer, 2, 2);
        put_bits(writer, change >> window->trailing, 64 - window->leading - window->trailing);
        return;
    }
    const unsigned width = 64 - leading - trailing;
    *window = (struct window){true, leading, trailing};
    put_bits(writer, 3, 2);
    put_bits(writer, leading, 5);
    put_bits(writer, width & 63, 6);
    put_bits(writer, change >> trailing, width);
}

/* ---- the chunk ---- */

void mrd_xor_chunk_encode(const struct mrd_samples *samples, struct mrd_buf *out)
{
    const size_t count = samples->count;
    mrd_assert(count >= 1 && count <= MRD_XOR_CHUNK_SAMPLES_MAX);
    struct bit_writer writer = {.out = out};
    struct window window = {0};
    uint64_t delta = 0;
    put_bits(&writer, count, 16);
    put_varint(&writer, mrd_zigzag_encode(samples->times_ms[0]));
    put_bits(&writer, mrd_double_bits(samples->values[0]), 64);
    for (size_t i = 1; i < count; i++) {
        /* Unsigned: the distance of any two times has its place, and wraps as the reader's sums do. */
        const uint64_t next = (uint64_t)samples->times_ms[i] - (uint64_t)samples->times_ms[i - 1];
        if (i == 1) {
            put_varint(&writer, next);
        } else {
            put_delta_of_delta(&writer, (int64_t)(next - delta));
        }
        delta = next;
        put_xor(&writer,
                mrd_double_bits(samples->values[i]) ^ mrd_double_bits(samples->values[i - 1]),
                &window);
    }
    flush(&writer);
}
