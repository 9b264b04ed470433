#include "parquet/bitpack.h"
#include "parquet/delta.h"
#include "parquet/rle.h"
#include "parquet/values.h"

bool mrd_pq_encoding_fits(enum mrd_pq_type type, unsigned encoding)
{
    switch (encoding) {
    case MRD_PQ_PLAIN:
        return type != MRD_PQ_INT96;
    case MRD_PQ_RLE:
        return type == MRD_PQ_BOOLEAN;
    case MRD_PQ_DELTA_BINARY_PACKED:
        return type == MRD_PQ_INT32 || type == MRD_PQ_INT64;
    case MRD_PQ_DELTA_LENGTH_BYTE_ARRAY:
        return type == MRD_PQ_BYTE_ARRAY;
    case MRD_PQ_DELTA_BYTE_ARRAY:
        return type == MRD_PQ_BYTE_ARRAY || type == MRD_PQ_FIXED;
    case MRD_PQ_BYTE_STREAM_SPLIT:
        return type == MRD_PQ_INT32 || type == MRD_PQ_INT64 || type == MRD_PQ_FLOAT ||
               type == MRD_PQ_DOUBLE || type == MRD_PQ_FIXED;
    default:
        return false;
    }
}

static void plain_booleans(const struct mrd_pq_raw *values, struct mrd_buf *out)
{
    const size_t size = mrd_pq_packed_size(values->count, 1);
    uint8_t *place = mrd_buf_reserve(out, size);
    if (place == NULL || size == 0) {
        return;
    }
    memset(place, 0, size);
    for (size_t i = 0; i < values->count; i++) {
        place[i / 8] = (uint8_t)(place[i / 8] | (values->raw.data[i] & 1) << (i % 8));
    }
    out->size += size;
}

static void plain_byte_arrays(const struct mrd_pq_raw *values, struct mrd_buf *out)
{
    const size_t size = values->raw.size + values->count * 4;
    uint8_t *place = mrd_buf_reserve(out, size);
    if (place == NULL) {
        return;
    }
    const uint8_t *from = values->raw.data;
    for (size_t i = 0; i < values->count; i++) {
        const size_t n = (size_t)values->sizes[i];
        memcpy(place, &values->sizes[i], 4);
        if (n > 0) {
            memcpy(place + 4, from, n);
        }
        place += 4 + n;
        from += n;
    }
    out->size += size;
}

static void rle_booleans(const struct mrd_pq_raw *values, struct mrd_buf *out)
{
    const size_t at = out->size;
    mrd_buf_append_u32(out, 0);
    mrd_pq_rle_encode8(values->raw.data, values->count, 1, out);
    if (!out->failed) {
        const uint32_t size = (uint32_t)(out->size - at - 4);
        memcpy(out->data + at, &size, sizeof(size));
    }
}

/* Sizes of four and eight bytes are constants to the compiler, which makes vectors of them. */
static MRD_ALWAYS_INLINE void split(const uint8_t *in, size_t count, size_t width, uint8_t *out)
{
    for (size_t k = 0; k < width; k++) {
        uint8_t *stream = out + k * count;
        for (size_t i = 0; i < count; i++) {
            stream[i] = in[i * width + k];
        }
    }
}

/* A loop over words that are shifted is one that compilers can pack. */
MRD_SIMD_CLONES static void split8(const uint8_t *in, size_t count, uint8_t *out)
{
    for (size_t k = 0; k < 8; k++) {
        uint8_t *stream = out + k * count;
        for (size_t i = 0; i < count; i++) {
            uint64_t word;
            memcpy(&word, in + i * 8, 8);
            stream[i] = (uint8_t)(word >> (8 * k));
        }
    }
}

static void stream_split(const struct mrd_pq_raw *values, struct mrd_buf *out)
{
    const size_t width = mrd_pq_value_size(values->type, values->fixed_size);
    const size_t size = values->count * width;
    uint8_t *place = mrd_buf_reserve(out, size);
    if (place == NULL) {
        return;
    }
    if (width == 8) {
        split8(values->raw.data, values->count, place);
    } else if (width == 4) {
        split(values->raw.data, values->count, 4, place);
    } else {
        split(values->raw.data, values->count, width, place);
    }
    out->size += size;
}

/* The length of what value i begins with as value i - 1 does. */
static int32_t shared_prefix(const uint8_t *before, size_t before_size, const uint8_t *value,
                             size_t size)
{
    const size_t limit = MRD_MIN(before_size, size);
    size_t n = 0;
    while (n < limit && before[n] == value[n]) {
        n++;
    }
    return (int32_t)n;
}

static void delta_byte_array(const struct mrd_pq_raw *values, struct mrd_buf *out)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf lengths = {.limit = out->limit};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf suffixes = {.limit = out->limit};
    int32_t *prefix_sizes =
        (int32_t *)(void *)mrd_buf_reserve(&lengths, values->count * 2 * sizeof(int32_t));
    if (prefix_sizes == NULL) {
        out->failed = true;
        return;
    }
    int32_t *suffix_sizes = prefix_sizes + values->count;
    const uint8_t *value = values->raw.data;
    const uint8_t *before = value;
    size_t before_size = 0;
    for (size_t i = 0; i < values->count; i++) {
        const size_t size =
            values->type == MRD_PQ_FIXED ? values->fixed_size : (size_t)values->sizes[i];
        const int32_t prefix = shared_prefix(before, before_size, value, size);
        prefix_sizes[i] = prefix;
        suffix_sizes[i] = (int32_t)size - prefix;
        mrd_buf_append(&suffixes, value + prefix, size - (size_t)prefix);
        before = value;
        before_size = size;
        value += size;
    }
    mrd_pq_delta_encode32(prefix_sizes, values->count, values->widths, out);
    mrd_pq_delta_encode32(suffix_sizes, values->count, values->widths, out);
    mrd_buf_append_bytes(out, mrd_buf_view(&suffixes));
    out->failed |= suffixes.failed;
}

void mrd_pq_values_encode(const struct mrd_pq_raw *values, enum mrd_pq_encoding encoding,
                          struct mrd_buf *out)
{
    mrd_assert(mrd_pq_encoding_fits(values->type, encoding));
    if (encoding == MRD_PQ_RLE) {
        rle_booleans(values, out);
    } else if (encoding == MRD_PQ_DELTA_BINARY_PACKED && values->type == MRD_PQ_INT32) {
        mrd_pq_delta_encode32((const int32_t *)(const void *)values->raw.data, values->count,
                              values->widths, out);
    } else if (encoding == MRD_PQ_DELTA_BINARY_PACKED) {
        mrd_pq_delta_encode64((const int64_t *)(const void *)values->raw.data, values->count,
                              values->widths, out);
    } else if (encoding == MRD_PQ_DELTA_LENGTH_BYTE_ARRAY) {
        mrd_pq_delta_encode32(values->sizes, values->count, values->widths, out);
        mrd_buf_append_bytes(out, values->raw);
    } else if (encoding == MRD_PQ_DELTA_BYTE_ARRAY) {
        delta_byte_array(values, out);
    } else if (encoding == MRD_PQ_BYTE_STREAM_SPLIT) {
        stream_split(values, out);
    } else if (values->type == MRD_PQ_BOOLEAN) {
        plain_booleans(values, out);
    } else if (values->type == MRD_PQ_BYTE_ARRAY) {
        plain_byte_arrays(values, out);
    } else {
        mrd_buf_append_bytes(out, values->raw);
    }
}
