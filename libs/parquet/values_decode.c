#include <stdlib.h>

#include "parquet/bitpack.h"
#include "parquet/delta.h"
#include "parquet/rle.h"
#include "parquet/values.h"

enum mrd_status mrd_pq_space_take(struct mrd_pq_scratch *scratch, struct mrd_pq_space *space,
                                  size_t size_bytes, struct mrd_error *err)
{
    if (size_bytes <= space->capacity) {
        return MRD_OK;
    }
    const size_t others = scratch->used_bytes - space->capacity;
    if (size_bytes > scratch->limit_bytes || others > scratch->limit_bytes - size_bytes) {
        return mrd_fail(err, MRD_E_LIMIT, "a page needs more than the limit of %zu bytes",
                        scratch->limit_bytes);
    }
    mrd_pq_space_fini(scratch, space);
    space->data = malloc(size_bytes);
    if (space->data == NULL) {
        return mrd_fail(err, MRD_E_LIMIT, "no memory for %zu bytes of a page", size_bytes);
    }
    space->capacity = size_bytes;
    scratch->used_bytes += size_bytes;
    return MRD_OK;
}

void mrd_pq_space_fini(struct mrd_pq_scratch *scratch, struct mrd_pq_space *space)
{
    scratch->used_bytes -= space->capacity;
    free(space->data);
    *space = (struct mrd_pq_space){0};
}

static enum mrd_status wrong(unsigned encoding, struct mrd_error *err)
{
    return mrd_fail(err, MRD_E_CORRUPT, "a page's values are not %s",
                    mrd_pq_encoding_name(encoding));
}

/* Room for `count` items, whose number comes from outside. */
static enum mrd_status take_items(const struct mrd_pq_decode_spaces *spaces,
                                  struct mrd_pq_space *space, size_t count, size_t size,
                                  struct mrd_error *err)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        return mrd_fail(err, MRD_E_CORRUPT, "a page of %zu values", count);
    }
    return mrd_pq_space_take(spaces->scratch, space, bytes, err);
}

static enum mrd_status decode_plain(struct mrd_bytes bytes, enum mrd_pq_type type, size_t size,
                                    size_t count, void *out, struct mrd_error *err)
{
    if (type == MRD_PQ_BOOLEAN) {
        if (bytes.size < mrd_pq_packed_size(count, 1)) {
            return wrong(MRD_PQ_PLAIN, err);
        }
        uint8_t *booleans = out;
        for (size_t i = 0; i < count; i++) {
            booleans[i] = (bytes.data[i / 8] >> (i % 8)) & 1;
        }
        return MRD_OK;
    }
    if (bytes.size / size < count) {
        return wrong(MRD_PQ_PLAIN, err);
    }
    if (count > 0) {
        memcpy(out, bytes.data, count * size);
    }
    return MRD_OK;
}

static enum mrd_status decode_plain_byte_arrays(struct mrd_bytes bytes, size_t count,
                                                struct mrd_bytes *out, struct mrd_error *err)
{
    struct mrd_reader in = mrd_reader_of(bytes);
    for (size_t i = 0; i < count; i++) {
        out[i] = mrd_read_bytes(&in, mrd_read_u32(&in));
    }
    return in.failed ? wrong(MRD_PQ_PLAIN, err) : MRD_OK;
}

static enum mrd_status decode_rle_booleans(struct mrd_bytes bytes, size_t count, uint8_t *out,
                                           struct mrd_error *err)
{
    struct mrd_reader in = mrd_reader_of(bytes);
    struct mrd_reader runs = mrd_reader_of(mrd_read_bytes(&in, mrd_read_u32(&in)));
    if (in.failed || !mrd_pq_rle_decode8(&runs, 1, out, count)) {
        return wrong(MRD_PQ_RLE, err);
    }
    return MRD_OK;
}

/* Sixteen values from sixteen bytes of each of the eight streams: bytes of two streams are laid side by side, then pairs, then fours. */
typedef uint8_t lanes8 __attribute__((vector_size(16)));
typedef uint16_t lanes16 __attribute__((vector_size(16)));
typedef uint32_t lanes32 __attribute__((vector_size(16)));

static inline void zip8(lanes8 a, lanes8 b, lanes16 out[2])
{
    out[0] = (lanes16)__builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22,
                                              7, 23);
    out[1] = (lanes16)__builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29,
                                              14, 30, 15, 31);
}

static inline void zip16(lanes16 a, lanes16 b, lanes32 out[2])
{
    out[0] = (lanes32)__builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
    out[1] = (lanes32)__builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

static inline void zip32(lanes32 a, lanes32 b, lanes32 out[2])
{
    out[0] = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    out[1] = __builtin_shufflevector(a, b, 2, 6, 3, 7);
}

static inline void join_sixteen(const uint8_t *in, size_t count, uint64_t *out)
{
    lanes16 pairs[4][2];
    for (size_t k = 0; k < 4; k++) {
        lanes8 low;
        lanes8 high;
        memcpy(&low, in + 2 * k * count, sizeof(low));
        memcpy(&high, in + (2 * k + 1) * count, sizeof(high));
        zip8(low, high, pairs[k]);
    }
    for (size_t half = 0; half < 2; half++) {
        lanes32 low[2];
        lanes32 high[2];
        zip16(pairs[0][half], pairs[1][half], low);
        zip16(pairs[2][half], pairs[3][half], high);
        for (size_t k = 0; k < 2; k++) {
            lanes32 values[2];
            zip32(low[k], high[k], values);
            memcpy(out + 8 * half + 4 * k, values, sizeof(values));
        }
    }
}

static void join8(const uint8_t *in, size_t count, uint64_t *out)
{
    size_t i = 0;
    for (; count - i >= 16; i += 16) {
        join_sixteen(in + i, count, out + i);
    }
    for (; i < count; i++) {
        uint64_t word = 0;
        for (size_t k = 0; k < 8; k++) {
            word |= (uint64_t)in[k * count + i] << (8 * k);
        }
        out[i] = word;
    }
}

static enum mrd_status decode_split(struct mrd_bytes bytes, size_t size, size_t count, void *out,
                                    struct mrd_error *err)
{
    /* Streams lie `count` values apart, so more bytes than that would be another page. */
    if (count * size != bytes.size) {
        return wrong(MRD_PQ_BYTE_STREAM_SPLIT, err);
    }
    if (size == 8) {
        join8(bytes.data, count, out);
        return MRD_OK;
    }
    uint8_t *to = out;
    for (size_t k = 0; k < size; k++) {
        for (size_t i = 0; i < count; i++) {
            to[i * size + k] = bytes.data[k * count + i];
        }
    }
    return MRD_OK;
}

static enum mrd_status decode_delta_lengths(struct mrd_bytes bytes, size_t count, int32_t *sizes,
                                            struct mrd_bytes *out, struct mrd_error *err)
{
    struct mrd_reader in = mrd_reader_of(bytes);
    if (!mrd_pq_delta_decode32(&in, sizes, count)) {
        return wrong(MRD_PQ_DELTA_LENGTH_BYTE_ARRAY, err);
    }
    for (size_t i = 0; i < count; i++) {
        out[i] = mrd_read_bytes(&in, sizes[i] < 0 ? UINT64_MAX : (uint64_t)sizes[i]);
    }
    return in.failed ? wrong(MRD_PQ_DELTA_LENGTH_BYTE_ARRAY, err) : MRD_OK;
}

/* The sum of all decoded values, each checked against the one before; SIZE_MAX if they do not fit. */
static size_t prefixed_size(const int32_t *prefixes, const int32_t *suffixes, size_t count)
{
    size_t total = 0;
    int64_t before = 0;
    for (size_t i = 0; i < count; i++) {
        if (prefixes[i] < 0 || suffixes[i] < 0 || prefixes[i] > before) {
            return SIZE_MAX;
        }
        before = (int64_t)prefixes[i] + suffixes[i];
        total += (size_t)before;
    }
    return total;
}

/* Values are put together in `blob`; the caller has checked that they fit. */
static bool join_prefixes(struct mrd_reader *in, const int32_t *prefixes, const int32_t *suffixes,
                          size_t count, uint8_t *blob, struct mrd_bytes *out)
{
    const uint8_t *before = blob;
    for (size_t i = 0; i < count; i++) {
        const size_t prefix = (size_t)prefixes[i];
        const struct mrd_bytes suffix = mrd_read_bytes(in, (uint64_t)suffixes[i]);
        if (in->failed) {
            return false;
        }
        memmove(blob, before, prefix);
        if (suffix.size > 0) {
            memcpy(blob + prefix, suffix.data, suffix.size);
        }
        out[i] = (struct mrd_bytes){blob, prefix + suffix.size};
        before = blob;
        blob += out[i].size;
    }
    return true;
}

static enum mrd_status decode_prefixed(struct mrd_bytes bytes, enum mrd_pq_type type,
                                       uint32_t fixed_size, size_t count,
                                       const struct mrd_pq_decode_spaces *spaces,
                                       struct mrd_error *err)
{
    const bool fixed = type == MRD_PQ_FIXED;
    MRD_TRY(take_items(spaces, spaces->sizes, count,
                       2 * sizeof(int32_t) + (fixed ? sizeof(struct mrd_bytes) : 0), err));
    struct mrd_bytes *out = fixed ? spaces->sizes->data : spaces->values->data;
    int32_t *prefixes = fixed ? (int32_t *)(void *)(out + count) : spaces->sizes->data;
    int32_t *suffixes = prefixes + count;
    struct mrd_reader in = mrd_reader_of(bytes);
    if (!mrd_pq_delta_decode32(&in, prefixes, count) ||
        !mrd_pq_delta_decode32(&in, suffixes, count)) {
        return wrong(MRD_PQ_DELTA_BYTE_ARRAY, err);
    }
    const size_t total = prefixed_size(prefixes, suffixes, count);
    if (total == SIZE_MAX || (fixed && total != count * fixed_size)) {
        return wrong(MRD_PQ_DELTA_BYTE_ARRAY, err);
    }
    struct mrd_pq_space *blob = fixed ? spaces->values : spaces->blob;
    MRD_TRY(mrd_pq_space_take(spaces->scratch, blob, total + 1, err));
    if (!join_prefixes(&in, prefixes, suffixes, count, blob->data, out)) {
        return wrong(MRD_PQ_DELTA_BYTE_ARRAY, err);
    }
    for (size_t i = 0; fixed && i < count; i++) {
        if (out[i].size != fixed_size) {
            return wrong(MRD_PQ_DELTA_BYTE_ARRAY, err);
        }
    }
    return MRD_OK;
}

static enum mrd_status decode_delta(struct mrd_bytes bytes, enum mrd_pq_type type, size_t count,
                                    void *out, struct mrd_error *err)
{
    struct mrd_reader in = mrd_reader_of(bytes);
    const bool fine = type == MRD_PQ_INT32 ? mrd_pq_delta_decode32(&in, out, count)
                                           : mrd_pq_delta_decode64(&in, out, count);
    return fine ? MRD_OK : wrong(MRD_PQ_DELTA_BINARY_PACKED, err);
}

enum mrd_status mrd_pq_values_decode(struct mrd_bytes bytes, unsigned encoding,
                                     enum mrd_pq_type type, uint32_t fixed_size, size_t count,
                                     const struct mrd_pq_decode_spaces *spaces,
                                     struct mrd_error *err)
{
    if (!mrd_pq_encoding_fits(type, encoding)) {
        return mrd_fail(err, MRD_E_UNSUPPORTED, "a page of type %d in encoding %u (%s)", (int)type,
                        encoding, mrd_pq_encoding_name(encoding));
    }
    const size_t size = mrd_pq_value_size(type, fixed_size);
    MRD_TRY(take_items(spaces, spaces->values, count, size, err));
    void *out = spaces->values->data;
    if (count == 0) {
        return MRD_OK; /* some writers leave out even the headers of encodings */
    }
    switch (encoding) {
    case MRD_PQ_PLAIN:
        return type == MRD_PQ_BYTE_ARRAY ? decode_plain_byte_arrays(bytes, count, out, err)
                                         : decode_plain(bytes, type, size, count, out, err);
    case MRD_PQ_RLE:
        return decode_rle_booleans(bytes, count, out, err);
    case MRD_PQ_DELTA_BINARY_PACKED:
        return decode_delta(bytes, type, count, out, err);
    case MRD_PQ_DELTA_LENGTH_BYTE_ARRAY:
        MRD_TRY(take_items(spaces, spaces->sizes, count, sizeof(int32_t), err));
        return decode_delta_lengths(bytes, count, spaces->sizes->data, out, err);
    case MRD_PQ_DELTA_BYTE_ARRAY:
        return decode_prefixed(bytes, type, fixed_size, count, spaces, err);
    default:
        return decode_split(bytes, size, count, out, err);
    }
}
