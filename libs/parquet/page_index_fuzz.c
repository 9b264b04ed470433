/* Page indexes from hostile bytes. The first byte picks the type of the leaf, the second the pages. */
#include "parquet/footer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_offsets(struct mrd_bytes bytes, struct mrd_arena *arena)
{
    const struct mrd_pq_chunk chunk = {.offset = 4, .data_offset = 10, .size = 100000};
    struct mrd_pq_page_location *pages;
    size_t count;
    if (mrd_pq_offset_index_read(bytes, &chunk, 1000, arena, &pages, &count, NULL) != MRD_OK) {
        return;
    }
    uint64_t rows = 0;
    uint64_t at = chunk.data_offset;
    for (size_t i = 0; i < count; i++) {
        mrd_assert(pages[i].offset >= at && pages[i].first_row == rows);
        at = pages[i].offset + pages[i].size;
        rows += pages[i].rows;
    }
    mrd_assert(rows == 1000 && at <= chunk.offset + chunk.size);
}

static void try_bounds(struct mrd_bytes bytes, enum mrd_pq_type type, size_t count,
                       struct mrd_arena *arena)
{
    const struct mrd_pq_leaf leaf = {.type = type, .fixed_size = 4};
    struct mrd_pq_page_bounds *bounds;
    if (mrd_pq_column_index_read(bytes, &leaf, count, arena, &bounds, NULL) != MRD_OK) {
        return;
    }
    uint8_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t b = 0; b < bounds[i].min.size; b++) {
            sum ^= bounds[i].min.data[b];
        }
        for (size_t b = 0; b < bounds[i].max.size; b++) {
            sum ^= bounds[i].max.data[b];
        }
    }
    static volatile uint8_t sink; /* every bound was touched */
    sink = sum;
    (void)sink;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("index", 4 << 20);
    const struct mrd_bytes rest = {data + 2, size - 2};
    if (data[0] == 255) {
        try_offsets(rest, arena);
    } else {
        try_bounds(rest, (enum mrd_pq_type)(data[0] % MRD_PQ_TYPE_COUNT), data[1], arena);
    }
    return 0;
}
