#include "parquet/rle.h"

#include "parquet/bitpack.h"

enum {
    RUN_MIN = 8,      /* shorter runs cost more than packing them */
    GROUP = 8,        /* packed values come in groups of eight */
    GROUPS_MAX = 512, /* of one packed run, so that its header is known when it begins */
};

/* Values of one or four bytes; `item_size` is a constant where this is called. */
static MRD_ALWAYS_INLINE uint32_t value_at(const void *values, size_t item_size, size_t i)
{
    return item_size == 1 ? ((const uint8_t *)values)[i] : ((const uint32_t *)values)[i];
}

/* ---- encoding ---- */

static void put_run(struct mrd_buf *out, uint32_t value, size_t count, unsigned width)
{
    mrd_buf_append_varint(out, (uint64_t)count << 1);
    mrd_buf_append(out, &value, (width + 7) / 8);
}

static MRD_ALWAYS_INLINE void put_packed(struct mrd_buf *out, const void *values, size_t item_size,
                                         size_t from, size_t to, unsigned width)
{
    while (from < to) {
        uint64_t group[GROUP * GROUPS_MAX];
        const size_t count = MRD_MIN(to - from, MRD_ARRAY_LEN(group));
        const size_t groups = (count + GROUP - 1) / GROUP;
        for (size_t i = 0; i < groups * GROUP; i++) {
            group[i] = i < count ? value_at(values, item_size, from + i) : 0;
        }
        mrd_buf_append_varint(out, (uint64_t)groups << 1 | 1);
        uint8_t *place = mrd_buf_reserve(out, groups * width);
        if (place == NULL) {
            return;
        }
        mrd_pq_pack(group, groups * GROUP, width, place);
        out->size += groups * width;
        from += count;
    }
}

static MRD_ALWAYS_INLINE size_t run_size(const void *values, size_t item_size, size_t from,
                                         size_t count)
{
    const uint32_t value = value_at(values, item_size, from);
    size_t to = from + 1;
    while (to < count && value_at(values, item_size, to) == value) {
        to++;
    }
    return to - from;
}

/* Values wait to be packed from `pending` on. A run may only end them where they fill their groups, so
 * it gives them its first values. */
static MRD_ALWAYS_INLINE void encode(const void *values, size_t item_size, size_t count,
                                     unsigned width, struct mrd_buf *out)
{
    size_t pending = 0;
    size_t at = 0;
    while (at < count) {
        const size_t run = run_size(values, item_size, at, count);
        const size_t filling = (GROUP - (at - pending) % GROUP) % GROUP;
        if (run >= filling + RUN_MIN) {
            put_packed(out, values, item_size, pending, at + filling, width);
            put_run(out, value_at(values, item_size, at), run - filling, width);
            pending = at + run;
        }
        at += run;
    }
    put_packed(out, values, item_size, pending, count, width);
}

void mrd_pq_rle_encode8(const uint8_t *values, size_t count, unsigned width, struct mrd_buf *out)
{
    encode(values, 1, count, width, out);
}

void mrd_pq_rle_encode32(const uint32_t *values, size_t count, unsigned width, struct mrd_buf *out)
{
    encode(values, 4, count, width, out);
}

/* ---- decoding ---- */

static uint32_t read_run_value(struct mrd_reader *in, unsigned width)
{
    uint32_t value = 0;
    const struct mrd_bytes bytes = mrd_read_bytes(in, (width + 7) / 8);
    if (bytes.size > 0) {
        memcpy(&value, bytes.data, bytes.size);
    }
    return value;
}

static void fill(void *out, size_t item_size, size_t at, uint32_t value, size_t count)
{
    if (item_size == 1) {
        memset((uint8_t *)out + at, (int)value, count);
        return;
    }
    uint32_t *to = (uint32_t *)out + at;
    for (size_t i = 0; i < count; i++) {
        to[i] = value;
    }
}

static void unpack(struct mrd_bytes in, unsigned width, void *out, size_t item_size, size_t at,
                   size_t count)
{
    if (width == 0) {
        fill(out, item_size, at, 0, count);
        return;
    }
    if (item_size == 4) {
        mrd_pq_unpack32(in, width, (uint32_t *)out + at, count);
        return;
    }
    uint8_t *to = (uint8_t *)out + at;
    uint32_t part[256]; /* a multiple of eight, so that each part begins at a byte */
    for (size_t done = 0; done < count; done += MRD_ARRAY_LEN(part)) {
        const size_t n = MRD_MIN(count - done, MRD_ARRAY_LEN(part));
        const size_t skipped = done / 8 * width;
        mrd_pq_unpack32((struct mrd_bytes){in.data + skipped, in.size - skipped}, width, part, n);
        for (size_t i = 0; i < n; i++) {
            to[done + i] = (uint8_t)part[i];
        }
    }
}

/* Bytes of a packed run: some writers leave out what the last group does not need. */
static struct mrd_bytes read_packed(struct mrd_reader *in, uint64_t groups, unsigned width,
                                    size_t wanted)
{
    const size_t left = mrd_reader_left(in);
    if (width == 0) {
        return MRD_BYTES_NONE;
    }
    if (groups <= left / width) {
        return mrd_read_bytes(in, groups * width);
    }
    if (mrd_pq_packed_size(wanted, width) > left) {
        mrd_reader_fail(in);
        return MRD_BYTES_NONE;
    }
    return mrd_read_bytes(in, left);
}

static bool decode(struct mrd_reader *in, unsigned width, void *out, size_t item_size, size_t count)
{
    const uint64_t limit = UINT64_C(1) << width;
    size_t at = 0;
    while (at < count) {
        const uint64_t header = mrd_read_varint(in);
        const uint64_t run = header >> 1;
        if (in->failed || run == 0) {
            return mrd_reader_fail(in);
        }
        if ((header & 1) == 0) {
            const size_t n = (size_t)MRD_MIN(run, (uint64_t)(count - at));
            const uint32_t value = read_run_value(in, width);
            if (in->failed || value >= limit) {
                return mrd_reader_fail(in);
            }
            fill(out, item_size, at, value, n);
            at += n;
        } else {
            const uint64_t groups_needed = (count - at + GROUP - 1) / GROUP;
            const size_t n = run >= groups_needed ? count - at : (size_t)run * GROUP;
            const struct mrd_bytes packed = read_packed(in, run, width, n);
            if (in->failed) {
                return false;
            }
            unpack(packed, width, out, item_size, at, n);
            at += n;
        }
    }
    return true;
}

bool mrd_pq_rle_decode8(struct mrd_reader *in, unsigned width, uint8_t *out, size_t count)
{
    return decode(in, width, out, 1, count);
}

bool mrd_pq_rle_decode32(struct mrd_reader *in, unsigned width, uint32_t *out, size_t count)
{
    return decode(in, width, out, 4, count);
}

bool mrd_pq_rle_is_one_run(struct mrd_bytes in, unsigned width, uint32_t value, size_t count)
{
    struct mrd_reader reader = mrd_reader_of(in);
    const uint64_t header = mrd_read_varint(&reader);
    return (header & 1) == 0 && header >> 1 >= count && read_run_value(&reader, width) == value &&
           !reader.failed;
}
