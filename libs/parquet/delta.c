#include "parquet/delta.h"

#include "parquet/bitpack.h"

enum { BLOCK = 128, MINIBLOCKS = 4, MINIBLOCK = BLOCK / MINIBLOCKS };

/* What hostile headers may ask for. DuckDB writes blocks of 2,048. */
enum { BLOCK_MAX = 1 << 20, MINIBLOCKS_MAX = 512 };

/* ---- encoding ---- */

static int64_t least_of(const int64_t *deltas, size_t count)
{
    int64_t least = deltas[0];
    for (size_t i = 1; i < count; i++) {
        least = MRD_MIN(least, deltas[i]);
    }
    return least;
}

/* `deltas` holds the block's differences, the rest of the last miniblock filled by the least one. */
static void put_block(struct mrd_buf *out, const int64_t *deltas, size_t count, uint64_t mask,
                      enum mrd_pq_delta_widths of)
{
    const int64_t least = least_of(deltas, count);
    uint64_t above[BLOCK] = {0};
    for (size_t i = 0; i < count; i++) {
        above[i] = ((uint64_t)deltas[i] - (uint64_t)least) & mask;
    }
    mrd_buf_append_zigzag(out, least);
    uint8_t widths[MINIBLOCKS];
    size_t size = 0;
    for (size_t m = 0; m < MINIBLOCKS; m++) {
        uint64_t all = 0;
        for (size_t i = 0; i < MINIBLOCK; i++) {
            all |= above[m * MINIBLOCK + i];
        }
        const unsigned bits = mrd_pq_bit_width(all);
        widths[m] = (uint8_t)(of == MRD_PQ_DELTA_BYTES ? (bits + 7) / 8 * 8 : bits);
        size += widths[m] * (MINIBLOCK / 8);
    }
    mrd_buf_append(out, widths, sizeof(widths));
    uint8_t *place = mrd_buf_reserve(out, size);
    if (place == NULL) {
        return;
    }
    out->size += size;
    /* A miniblock that begins behind the last value has width 0, so it takes no bytes. */
    for (size_t m = 0; m < MINIBLOCKS; m++) {
        mrd_pq_pack(above + m * MINIBLOCK, MINIBLOCK, widths[m], place);
        place += widths[m] * (MINIBLOCK / 8);
    }
}

static void put_header(struct mrd_buf *out, size_t count, int64_t first)
{
    mrd_buf_append_varint(out, BLOCK);
    mrd_buf_append_varint(out, MINIBLOCKS);
    mrd_buf_append_varint(out, count);
    mrd_buf_append_zigzag(out, first);
}

MRD_SIMD_CLONES void mrd_pq_delta_encode64(const int64_t *values, size_t count,
                                           enum mrd_pq_delta_widths widths, struct mrd_buf *out)
{
    put_header(out, count, count == 0 ? 0 : values[0]);
    for (size_t at = 1; at < count; at += BLOCK) {
        const size_t n = MRD_MIN(count - at, (size_t)BLOCK);
        int64_t deltas[BLOCK];
        for (size_t i = 0; i < n; i++) {
            deltas[i] = (int64_t)((uint64_t)values[at + i] - (uint64_t)values[at + i - 1]);
        }
        put_block(out, deltas, n, UINT64_MAX, widths);
    }
}

MRD_SIMD_CLONES void mrd_pq_delta_encode32(const int32_t *values, size_t count,
                                           enum mrd_pq_delta_widths widths, struct mrd_buf *out)
{
    put_header(out, count, count == 0 ? 0 : values[0]);
    for (size_t at = 1; at < count; at += BLOCK) {
        const size_t n = MRD_MIN(count - at, (size_t)BLOCK);
        int64_t deltas[BLOCK];
        for (size_t i = 0; i < n; i++) {
            deltas[i] = (int32_t)((uint32_t)values[at + i] - (uint32_t)values[at + i - 1]);
        }
        put_block(out, deltas, n, UINT32_MAX, widths);
    }
}

/* ---- decoding ---- */

struct delta_header {
    size_t miniblocks;
    size_t miniblock_values;
    uint64_t first;
};

static bool read_header(struct mrd_reader *in, size_t count, struct delta_header *out)
{
    const uint64_t block = mrd_read_varint(in);
    const uint64_t miniblocks = mrd_read_varint(in);
    const uint64_t total = mrd_read_varint(in);
    out->first = (uint64_t)mrd_read_zigzag(in);
    if (in->failed || block == 0 || block > BLOCK_MAX || block % 128 != 0 || miniblocks == 0 ||
        miniblocks > MINIBLOCKS_MAX || block % miniblocks != 0 || (block / miniblocks) % 32 != 0 ||
        total != count) {
        return mrd_reader_fail(in);
    }
    out->miniblocks = (size_t)miniblocks;
    out->miniblock_values = (size_t)(block / miniblocks);
    return true;
}

/* Where decoded values go: the running value and the next place, in the width of the type. */
struct delta_sink {
    uint64_t value;
    size_t at;
    size_t count;
    int64_t *out64;
    int32_t *out32;
};

MRD_SIMD_CLONES static void add_up(struct delta_sink *sink, const uint64_t *above, size_t count,
                                   uint64_t least)
{
    uint64_t value = sink->value;
    if (sink->out64 != NULL) {
        int64_t *out = sink->out64 + sink->at;
        for (size_t i = 0; i < count; i++) {
            value += above[i] + least;
            out[i] = (int64_t)value;
        }
    } else {
        int32_t *out = sink->out32 + sink->at;
        for (size_t i = 0; i < count; i++) {
            value += above[i] + least;
            out[i] = (int32_t)(uint32_t)value;
        }
    }
    sink->value = value;
    sink->at += count;
}

/* Values that all lie equally far apart: what regular times and constants are. */
MRD_SIMD_CLONES static void add_ramp(struct delta_sink *sink, size_t count, uint64_t step)
{
    uint64_t value = sink->value;
    if (sink->out64 != NULL) {
        int64_t *out = sink->out64 + sink->at;
        for (size_t i = 0; i < count; i++) {
            value += step;
            out[i] = (int64_t)value;
        }
    } else {
        int32_t *out = sink->out32 + sink->at;
        for (size_t i = 0; i < count; i++) {
            value += step;
            out[i] = (int32_t)(uint32_t)value;
        }
    }
    sink->value = value;
    sink->at += count;
}

/* Whether so many packed values are one, over and over: its bits come again after so many bytes as eight of them take, or fewer. What is the
 * same everywhere but where one series ends and the next begins is packed so, as a block has one least difference. */
static bool is_one_value(const uint8_t *packed, unsigned width, size_t count, uint64_t *out)
{
    const unsigned periods = width % 8 == 0 ? 8 : width % 4 == 0 ? 4 : width % 2 == 0 ? 2 : 1;
    const size_t period = width / periods;
    const size_t size = mrd_pq_packed_size(count, width);
    uint64_t values[8];
    /* of others eight bytes are more than a value's, or not all of its bits */
    if (count % 32 != 0 || width < 4 || width > 56 ||
        memcmp(packed, packed + period, size - period) != 0) {
        return false;
    }
    uint64_t others = 0;
    for (unsigned i = 0; i < 8 / periods; i++) {
        memcpy(&values[i], packed + i * width / 8, 8);
        values[i] = values[i] >> (i * width % 8) & ((UINT64_C(1) << width) - 1);
        others |= values[i] ^ values[0];
    }
    *out = values[0];
    return others == 0;
}

/* Miniblocks are padded to their full size; the padding of the last one may be missing. */
static bool read_miniblock(struct mrd_reader *in, const struct delta_header *header, unsigned width,
                           uint64_t least, struct delta_sink *sink)
{
    const size_t wanted = MRD_MIN(header->miniblock_values, sink->count - sink->at);
    const size_t size =
        MRD_MIN(mrd_pq_packed_size(header->miniblock_values, width), mrd_reader_left(in));
    if (mrd_pq_packed_size(wanted, width) > size) {
        return mrd_reader_fail(in);
    }
    if (width == 0) {
        add_ramp(sink, wanted, least);
        return true;
    }
    /* Bits are taken in words: what follows may be read with them, and is masked away. */
    struct mrd_bytes packed = mrd_read_bytes(in, size);
    uint64_t same;
    if (is_one_value(packed.data, width, wanted, &same)) {
        add_ramp(sink, wanted, least + same);
        return true;
    }
    packed.size += mrd_reader_left(in);
    uint64_t above[256];
    for (size_t done = 0; done < wanted; done += MRD_ARRAY_LEN(above)) {
        const size_t n = MRD_MIN(wanted - done, MRD_ARRAY_LEN(above));
        const size_t skipped = done / 8 * width;
        mrd_pq_unpack64((struct mrd_bytes){packed.data + skipped, packed.size - skipped}, width,
                        above, n);
        add_up(sink, above, n, least);
    }
    return true;
}

/* Differences of INT32 need 32 bits, but DuckDB has them in 64 and writes up to 33. */
static bool read_block(struct mrd_reader *in, const struct delta_header *header,
                       struct delta_sink *sink)
{
    const uint64_t least = (uint64_t)mrd_read_zigzag(in);
    const struct mrd_bytes widths = mrd_read_bytes(in, header->miniblocks);
    if (in->failed) {
        return false;
    }
    for (size_t m = 0; m < header->miniblocks && sink->at < sink->count; m++) {
        if (widths.data[m] > 64) {
            return mrd_reader_fail(in);
        }
        if (!read_miniblock(in, header, widths.data[m], least, sink)) {
            return false;
        }
    }
    return true;
}

static bool decode(struct mrd_reader *in, struct delta_sink *sink)
{
    struct delta_header header;
    if (!read_header(in, sink->count, &header)) {
        return false;
    }
    if (sink->count == 0) {
        return true;
    }
    const uint64_t none = 0;
    sink->value = header.first;
    add_up(sink, &none, 1, 0);
    while (sink->at < sink->count) {
        if (!read_block(in, &header, sink)) {
            return false;
        }
    }
    return true;
}

bool mrd_pq_delta_decode64(struct mrd_reader *in, int64_t *out, size_t count)
{
    struct delta_sink sink = {.out64 = out, .count = count};
    return decode(in, &sink);
}

bool mrd_pq_delta_decode32(struct mrd_reader *in, int32_t *out, size_t count)
{
    struct delta_sink sink = {.out32 = out, .count = count};
    return decode(in, &sink);
}
