#include "codec/chunk.h"

#include "codec/bitstream.h"
#include "codec/chunk_internal.h"
#include "codec/decimal.h"

/* ---- sealed: reading ---- */

/* Reads miniblocks one at a time, so that the work of a decode stays in 512 bytes. */
struct miniblocks {
    struct mrd_reader *reader;
    size_t left; /* integers not yet read */
};

/* The next at most 64 integers, minimum added. Returns how many; 0 at the end or on failure. */
static inline size_t read_miniblock(struct miniblocks *blocks, uint64_t *out)
{
    const size_t count = MRD_MIN(blocks->left, (size_t)MINIBLOCK);
    const uint64_t minimum = (uint64_t)mrd_read_zigzag(blocks->reader);
    const unsigned width = mrd_read_u8(blocks->reader);
    if (width > 64) {
        mrd_reader_fail(blocks->reader);
    }
    const size_t available = mrd_reader_left(blocks->reader);
    const struct mrd_bytes packed =
        mrd_read_bytes(blocks->reader, mrd_bits_packed_size(count, width));
    if (blocks->reader->failed) {
        return 0;
    }
    mrd_bits_unpack(packed.data, available, count, width, out);
    for (size_t i = 0; i < count; i++) {
        out[i] += minimum;
    }
    blocks->left -= count;
    return count;
}

static void decode_times(struct mrd_reader *reader, enum time_kind kind, size_t count,
                         mrd_time_ms *times_ms)
{
    const uint64_t first = (uint64_t)mrd_read_zigzag(reader);
    times_ms[0] = (int64_t)first;
    if (count == 1) {
        return;
    }
    const uint64_t step = kind == TIME_DELTA ? 0 : mrd_read_varint(reader);
    if (kind == TIME_REGULAR) {
        for (size_t i = 1; i < count; i++) {
            times_ms[i] = (int64_t)(first + i * step);
        }
        return;
    }
    struct miniblocks blocks = {reader, count - 1};
    uint64_t fields[MINIBLOCK];
    uint64_t base = first;
    mrd_time_ms *out = times_ms + 1;
    for (size_t got; blocks.left > 0 && (got = read_miniblock(&blocks, fields)) > 0; out += got) {
        if (kind == TIME_RESIDUAL) {
            for (size_t i = 0; i < got; i++) {
                base += step;
                out[i] = (int64_t)(base + fields[i]);
            }
        } else {
            for (size_t i = 0; i < got; i++) {
                base += fields[i];
                out[i] = (int64_t)base;
            }
        }
    }
}

/* The predictor's state between miniblocks. */
struct sums {
    uint64_t value;
    uint64_t delta;
};

static inline void undo_prediction(enum value_kind kind, struct sums *sums, uint64_t *fields,
                                   size_t count)
{
    if (kind == VALUE_DELTA) {
        for (size_t i = 0; i < count; i++) {
            sums->value += fields[i];
            fields[i] = sums->value;
        }
    } else if (kind == VALUE_DELTA2) {
        for (size_t i = 0; i < count; i++) {
            sums->delta += fields[i];
            sums->value += sums->delta;
            fields[i] = sums->value;
        }
    }
}

static inline double bits_value(int64_t ordered, unsigned shift)
{
    const uint64_t sign = ordered < 0 ? (uint64_t)1 << 63 : 0;
    const uint64_t magnitude = (uint64_t)(ordered < 0 ? ~ordered : ordered) << shift;
    return mrd_double_from_bits((magnitude & INT64_MAX) | sign);
}

/* How integers become doubles. */
struct transform {
    unsigned digits; /* or TRANSFORM_BITS */
    unsigned shift;
};

/* (double)integer for |integer| <= 2^51, which is all that a writer makes of decimals: added to the
 * bits of 1.5 * 2^52 it is the fraction. Unlike the conversion, every SIMD unit can do that. */
static inline double small_value(uint64_t integer)
{
    return mrd_double_from_bits(integer + 0x4338000000000000ULL) - 0x1.8p52;
}

static inline void undo_transform(struct transform how, const uint64_t *fields, size_t count,
                                  double *out)
{
    if (how.digits == TRANSFORM_BITS) {
        for (size_t i = 0; i < count; i++) {
            out[i] = bits_value((int64_t)fields[i], how.shift);
        }
    } else if (how.digits == 0) {
        for (size_t i = 0; i < count; i++) {
            out[i] = small_value(fields[i] << how.shift);
        }
    } else {
        const double power = mrd_decimal_powers[how.digits];
        for (size_t i = 0; i < count; i++) {
            out[i] = small_value(fields[i] << how.shift) / power;
        }
    }
}

/* Exceptions stand between the header and the integers and are put in place last. */
static struct mrd_reader skip_patches(struct mrd_reader *reader, size_t count)
{
    const struct mrd_reader patches = *reader;
    const uint64_t patch_count = mrd_read_varint(reader);
    if (patch_count > count) {
        mrd_reader_fail(reader);
    }
    for (uint64_t i = 0; i < patch_count && !reader->failed; i++) {
        (void)mrd_read_varint(reader);
        (void)mrd_read_bytes(reader, 8);
    }
    return patches;
}

static void apply_patches(struct mrd_reader patches, struct mrd_reader *reader, size_t count,
                          double *values)
{
    const uint64_t patch_count = mrd_read_varint(&patches);
    size_t index = 0;
    for (uint64_t i = 0; i < patch_count; i++) {
        const uint64_t gap = mrd_read_varint(&patches);
        if (gap >= count - index) {
            mrd_reader_fail(reader);
            return;
        }
        index += (size_t)gap;
        values[index] = mrd_double_from_bits(mrd_read_u64(&patches));
    }
}

static void decode_integers(struct mrd_reader *reader, enum value_kind kind, struct transform how,
                            size_t count, double *values)
{
    struct sums sums = {0, 0};
    uint64_t fields[MINIBLOCK];
    size_t done = 0;
    if (kind >= VALUE_DELTA) {
        sums.value = (uint64_t)mrd_read_zigzag(reader);
        fields[done++] = sums.value;
    }
    if (kind == VALUE_DELTA2 && count > 1) {
        sums.delta = (uint64_t)mrd_read_zigzag(reader);
        sums.value += sums.delta;
        fields[done++] = sums.value;
    }
    undo_transform(how, fields, done, values);
    struct miniblocks blocks = {reader, count - done};
    for (size_t got; blocks.left > 0 && (got = read_miniblock(&blocks, fields)) > 0; done += got) {
        undo_prediction(kind, &sums, fields, got);
        undo_transform(how, fields, got, values + done);
    }
}

static void decode_values(struct mrd_reader *reader, enum value_kind kind, size_t count,
                          double *values)
{
    if (kind == VALUE_CONSTANT) {
        const double value = mrd_double_from_bits(mrd_read_u64(reader));
        for (size_t i = 0; i < count; i++) {
            values[i] = value;
        }
        return;
    }
    const uint8_t flags = mrd_read_u8(reader);
    const bool shifted = (flags & TRANSFORM_SHIFTED) != 0;
    const bool patched = (flags & TRANSFORM_PATCHED) != 0;
    const struct transform how = {flags & TRANSFORM_DIGITS_MASK, shifted ? mrd_read_u8(reader) : 0};
    if (how.shift > 63 || (flags & 0x30) != 0) {
        mrd_reader_fail(reader);
    }
    const struct mrd_reader patches = patched ? skip_patches(reader, count) : *reader;
    if (reader->failed) {
        return;
    }
    decode_integers(reader, kind, how, count, values);
    if (patched && !reader->failed) {
        apply_patches(patches, reader, count, values);
    }
}

bool mrd_chunk_sealed_decode(uint8_t encoding, struct mrd_bytes bytes, size_t count,
                             mrd_time_ms *times_ms, double *values)
{
    const unsigned kinds = encoding - (unsigned)MRD_CHUNK_SEALED;
    if (kinds >= TIME_KIND_COUNT << 2) {
        return false;
    }
    struct mrd_reader reader = mrd_reader_of(bytes);
    decode_times(&reader, (enum time_kind)(kinds >> 2), count, times_ms);
    if (!reader.failed) {
        decode_values(&reader, (enum value_kind)(kinds & 3), count, values);
    }
    return !reader.failed && mrd_reader_left(&reader) == 0;
}

/* ---- all encodings ---- */

static bool raw_decode(struct mrd_bytes bytes, size_t count, mrd_time_ms *times_ms, double *values)
{
    if (bytes.size != count * 16) {
        return false;
    }
    memcpy(times_ms, bytes.data, count * 8);
    memcpy(values, bytes.data + count * 8, count * 8);
    return true;
}

static bool is_ascending(const mrd_time_ms *times_ms, size_t count)
{
    bool ascending = true;
    for (size_t i = 1; i < count; i++) {
        ascending &= times_ms[i - 1] < times_ms[i];
    }
    return ascending;
}

bool mrd_chunk_split(uint8_t encoding, struct mrd_bytes bytes, struct mrd_chunk_parts *out)
{
    struct mrd_reader reader = mrd_reader_of(bytes);
    *out = (struct mrd_chunk_parts){.samples = bytes, .encoding = encoding};
    if (mrd_chunk_has_starts(encoding)) {
        out->starts = mrd_read_bytes(&reader, mrd_read_varint(&reader));
        out->samples = mrd_read_bytes(&reader, mrd_reader_left(&reader));
        out->encoding = (uint8_t)(encoding - MRD_CHUNK_STARTED);
    }
    return !reader.failed;
}

static bool decode_samples(uint8_t encoding, struct mrd_bytes bytes, size_t count,
                           mrd_time_ms *times_ms, double *values)
{
    if (encoding == MRD_CHUNK_RAW) {
        return raw_decode(bytes, count, times_ms, values);
    }
    if (encoding == MRD_CHUNK_OPEN) {
        return mrd_chunk_open_decode(bytes, count, times_ms, values);
    }
    return encoding >= MRD_CHUNK_SEALED &&
           mrd_chunk_sealed_decode(encoding, bytes, count, times_ms, values);
}

enum mrd_status mrd_chunk_decode(uint8_t encoding, struct mrd_bytes bytes, size_t count,
                                 mrd_time_ms *times_ms, double *values, struct mrd_error *err)
{
    struct mrd_chunk_parts parts;
    if (count == 0 || count > MRD_CHUNK_SAMPLES_MAX) {
        return mrd_fail(err, MRD_E_CORRUPT, "chunk: claims %zu samples, 1 to %d are possible",
                        count, MRD_CHUNK_SAMPLES_MAX);
    }
    if (!mrd_chunk_split(encoding, bytes, &parts) ||
        !decode_samples(parts.encoding, parts.samples, count, times_ms, values) ||
        !is_ascending(times_ms, count)) {
        return mrd_fail(err, MRD_E_CORRUPT,
                        "chunk: %zu bytes of encoding %u are not %zu samples in order", bytes.size,
                        encoding, count);
    }
    return MRD_OK;
}

/* ---- start times ---- */

enum mrd_status mrd_chunk_decode_starts(uint8_t encoding, struct mrd_bytes bytes, size_t count,
                                        const mrd_time_ms *times_ms, mrd_time_ms *start_times_ms,
                                        struct mrd_error *err)
{
    struct mrd_chunk_parts parts;
    if (!mrd_chunk_has_starts(encoding)) {
        memset(start_times_ms, 0, count * sizeof(*start_times_ms));
        return MRD_OK;
    }
    if (!mrd_chunk_split(encoding, bytes, &parts) ||
        !mrd_starts_decode(parts.starts, times_ms, count, start_times_ms)) {
        return mrd_fail(err, MRD_E_CORRUPT, "chunk: not the start times of %zu samples", count);
    }
    return MRD_OK;
}

static bool any_known(const mrd_time_ms *start_times_ms, size_t count)
{
    for (size_t i = 0; start_times_ms != NULL && i < count; i++) {
        if (start_times_ms[i] != 0) {
            return true;
        }
    }
    return false;
}

size_t mrd_chunk_encode_started(const mrd_time_ms *times_ms, const double *values,
                                const mrd_time_ms *start_times_ms, size_t count, uint8_t *out,
                                uint8_t *out_encoding)
{
    uint8_t varint[MRD_VARINT_SIZE_MAX];
    if (!any_known(start_times_ms, count)) {
        return mrd_chunk_encode(times_ms, values, count, out, out_encoding);
    }
    const size_t starts =
        mrd_starts_encode(times_ms, start_times_ms, count, out + MRD_VARINT_SIZE_MAX);
    const size_t head = mrd_varint_put(varint, starts);
    memcpy(out, varint, head);
    memmove(out + head, out + MRD_VARINT_SIZE_MAX, starts);
    const size_t samples =
        mrd_chunk_encode(times_ms, values, count, out + head + starts, out_encoding);
    *out_encoding |= MRD_CHUNK_STARTED;
    return head + starts + samples;
}
