/* Footers from hostile bytes: thrift, schema, row groups. What is taken must keep its promises. */
#include "parquet/footer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_SIZE = 1 << 20 };

static void expect_promises(const struct mrd_pq_footer *footer)
{
    uint64_t rows = 0;
    for (size_t g = 0; g < footer->row_group_count; g++) {
        const struct mrd_pq_row_group *group = &footer->row_groups[g];
        mrd_assert(group->first_row == rows);
        rows += group->rows;
        for (size_t i = 0; i < footer->leaf_count; i++) {
            const struct mrd_pq_chunk *chunk = &group->chunks[i];
            mrd_assert(chunk->offset <= FILE_SIZE && chunk->size <= FILE_SIZE - chunk->offset);
            mrd_assert(chunk->data_offset >= chunk->offset);
            mrd_assert(footer->leaves[i].rep_max > 0 || chunk->entries == group->rows);
        }
    }
    mrd_assert(rows == footer->rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("footer", 4 << 20);
    struct mrd_pq_footer *footer = NULL;
    struct mrd_error err = {0};
    const enum mrd_status status =
        mrd_pq_footer_read((struct mrd_bytes){data, size}, FILE_SIZE, arena, &footer, &err);
    if (status == MRD_OK) {
        expect_promises(footer);
    } else {
        mrd_assert(err.text[0] != '\0' && footer == NULL);
    }
    return 0;
}
