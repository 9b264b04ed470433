#include "tsdb/tombstones.h"

#include <stdlib.h>

#include "tsdb/tsdb_internal.h"

enum { HEAD_SIZE = 5, VERSION = 1 };

static int by_series(const void *a, const void *b)
{
    const uint64_t left = ((const struct mrd_tsdb_tombstone *)a)->series;
    const uint64_t right = ((const struct mrd_tsdb_tombstone *)b)->series;
    return left < right ? -1 : left > right;
}

static enum mrd_status entries_read(struct mrd_bytes entries, struct mrd_buf *out,
                                    struct mrd_error *err)
{
    struct mrd_reader reader = mrd_reader_of(entries);
    while (mrd_reader_left(&reader) > 0) {
        struct mrd_tsdb_tombstone one;
        one.series = mrd_read_varint(&reader);
        one.min_ms = mrd_read_zigzag(&reader);
        one.max_ms = mrd_read_zigzag(&reader);
        if (reader.failed) {
            return mrd_fail(err, MRD_E_CORRUPT, "tombstones: malformed entry");
        }
        mrd_buf_append(out, &one, sizeof(one));
        if (out->failed) {
            return mrd_fail(err, MRD_E_LIMIT, "more than %d tombstones", MRD_TSDB_TOMBSTONES_MAX);
        }
    }
    return MRD_OK;
}

enum mrd_status mrd_tsdb_tombstones_read(struct mrd_bytes bytes, struct mrd_tsdb_tombstones *out,
                                         struct mrd_error *err)
{
    struct mrd_reader reader = mrd_reader_of(bytes);
    if (bytes.size < HEAD_SIZE + MRD_TSDB_CRC_SIZE) {
        return mrd_fail(err, MRD_E_CORRUPT, "tombstones: %zu bytes are too few", bytes.size);
    }
    if (mrd_tsdb_read_u32(&reader) != MRD_TSDB_TOMBSTONES_MAGIC ||
        mrd_read_u8(&reader) != VERSION) {
        return mrd_fail(err, MRD_E_CORRUPT, "tombstones: not such a file, or not of version 1");
    }
    const struct mrd_bytes entries =
        mrd_read_bytes(&reader, bytes.size - HEAD_SIZE - MRD_TSDB_CRC_SIZE);
    if (!mrd_tsdb_crc_fits(&reader, entries)) {
        return mrd_fail(err, MRD_E_CORRUPT, "tombstones: the checksum is wrong");
    }
    mrd_auto(mrd_buf_fini)
    struct mrd_buf items;
    mrd_buf_init(&items, sizeof(struct mrd_tsdb_tombstone) * MRD_TSDB_TOMBSTONES_MAX);
    MRD_TRY(entries_read(entries, &items, err));
    *out = (struct mrd_tsdb_tombstones){.items = (void *)items.data,
                                        .count = items.size / sizeof(*out->items)};
    items = (struct mrd_buf){0}; /* the caller's now */
    if (out->count > 0) {
        qsort(out->items, out->count, sizeof(*out->items), by_series);
    }
    return MRD_OK;
}

void mrd_tsdb_tombstones_fini(struct mrd_tsdb_tombstones *tombstones)
{
    free(tombstones->items);
    *tombstones = (struct mrd_tsdb_tombstones){0};
}

struct mrd_tsdb_tombstones mrd_tsdb_tombstones_of(const struct mrd_tsdb_tombstones *tombstones,
                                                  uint64_t series)
{
    size_t low = 0;
    for (size_t high = tombstones->count; low < high;) {
        const size_t middle = low + (high - low) / 2;
        if (tombstones->items[middle].series < series) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    size_t end = low;
    while (end < tombstones->count && tombstones->items[end].series == series) {
        end++;
    }
    return end == low ? (struct mrd_tsdb_tombstones){0}
                      : (struct mrd_tsdb_tombstones){tombstones->items + low, end - low};
}

bool mrd_tsdb_tombstones_cover(const struct mrd_tsdb_tombstones *of_series, mrd_time_ms time_ms)
{
    for (size_t i = 0; i < of_series->count; i++) {
        if (of_series->items[i].min_ms <= time_ms && time_ms <= of_series->items[i].max_ms) {
            return true;
        }
    }
    return false;
}

void mrd_tsdb_tombstones_write_none(struct mrd_buf *out)
{
    mrd_tsdb_append_u32(out, MRD_TSDB_TOMBSTONES_MAGIC);
    mrd_buf_append_u8(out, VERSION);
    mrd_tsdb_append_u32(out, 0); /* the checksum of nothing */
}
