/* An index from hostile bytes. The checksums are made right first, where there is one, so that what stands behind them is
 * reached; the first byte says whether they are. */
#include "tsdb/index.h"

#include <stdlib.h>

#include "tsdb/tsdb_internal.h"

enum { ARENA_BYTES = 16 << 20, HEAD_SIZE = 5, TOC_SIZE = 52, SERIES_MAX = 1000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint64_t fuzz_sink; /* so that what is read counts */

static void put_u32(uint8_t *at, uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(at, &value, sizeof(value));
}

static uint64_t get_u64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return __builtin_bswap64(value);
}

/* Makes the checksum behind `size` bytes at `at` right, if there is room for it. */
static void mend(uint8_t *bytes, size_t whole, uint64_t at, uint64_t size)
{
    if (at <= whole && size <= whole - at && whole - at - size >= MRD_TSDB_CRC_SIZE) {
        put_u32(bytes + at + size, mrd_crc32c(0, (struct mrd_bytes){bytes + at, (size_t)size}));
    }
}

static void mend_section(uint8_t *bytes, size_t whole, uint64_t at)
{
    uint32_t size;
    if (at > whole || whole - at < sizeof(size)) {
        return;
    }
    memcpy(&size, bytes + at, sizeof(size));
    mend(bytes, whole, at + sizeof(size), __builtin_bswap32(size));
}

static void mend_head(uint8_t *bytes, size_t size)
{
    uint8_t *toc = bytes + size - TOC_SIZE;
    put_u32(bytes, MRD_TSDB_INDEX_MAGIC);
    bytes[4] = MRD_TSDB_FORMAT_2;
    mend_section(bytes, size, get_u64(toc + sizeof(uint64_t) * MRD_TSDB_SYMBOLS));
    mend_section(bytes, size, get_u64(toc + sizeof(uint64_t) * MRD_TSDB_POSTINGS));
    mend_section(bytes, size, get_u64(toc + sizeof(uint64_t) * MRD_TSDB_POSTINGS_TABLE));
    mend(bytes, size, size - TOC_SIZE, TOC_SIZE - MRD_TSDB_CRC_SIZE);
}

static void mend_series(uint8_t *bytes, size_t size, const struct mrd_tsdb_index *index, size_t at)
{
    struct mrd_reader refs = mrd_reader_of(index->series_refs);
    (void)mrd_read_bytes(&refs, at * sizeof(uint32_t));
    struct mrd_reader reader = mrd_reader_of((struct mrd_bytes){bytes, size});
    (void)mrd_read_bytes(&reader, (uint64_t)mrd_tsdb_read_u32(&refs) * MRD_TSDB_SERIES_ALIGN);
    const uint64_t length = mrd_read_varint(&reader);
    if (!reader.failed) {
        mend(bytes, size, (uint64_t)(reader.at - bytes), length);
    }
}

static uint64_t sum_of(const struct mrd_tsdb_series *series)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < series->labels.count; i++) {
        sum += mrd_hash64(series->labels.items[i].name, 0);
        sum += mrd_hash64(series->labels.items[i].value, 0);
    }
    for (size_t i = 0; i < series->chunk_count; i++) {
        sum += series->chunks[i].ref;
    }
    return sum;
}

static void read_all(uint8_t *bytes, size_t size, bool mended)
{
    mrd_auto(mrd_tsdb_index_fini)
    struct mrd_tsdb_index index = {0};
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("fuzz", ARENA_BYTES);
    if (mrd_tsdb_index_init(&index, (struct mrd_bytes){bytes, size}, NULL) != MRD_OK) {
        return;
    }
    for (size_t i = 0; i < MRD_MIN(index.series_count, (size_t)SERIES_MAX); i++) {
        struct mrd_tsdb_series series;
        mrd_arena_reset(arena);
        if (mended) {
            mend_series(bytes, size, &index, i);
        }
        if (mrd_tsdb_index_series(&index, i, arena, &series, NULL) == MRD_OK) {
            fuzz_sink += sum_of(&series);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 + HEAD_SIZE + TOC_SIZE) {
        return 0;
    }
    uint8_t *bytes = malloc(size - 1);
    mrd_assert(bytes != NULL);
    memcpy(bytes, data + 1, size - 1);
    const bool mended = data[0] != 0;
    if (mended) {
        mend_head(bytes, size - 1);
    }
    read_all(bytes, size - 1, mended);
    free(bytes);
    return 0;
}
