/* Whole files from hostile bytes, everything in them read. */
#include "parquet/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LIMIT = 2 << 20, PAGES_MAX = 200 };

static enum mrd_status source_read(void *context, uint64_t offset, size_t size, uint8_t *out,
                                   struct mrd_error *err)
{
    (void)err;
    const struct mrd_bytes *file = context;
    mrd_assert(offset <= file->size && size <= file->size - offset);
    if (size > 0) {
        memcpy(out, file->data + offset, size);
    }
    return MRD_OK;
}

static void read_column(const struct mrd_pq_file *file, size_t group, size_t leaf)
{
    mrd_auto(mrd_pq_column_close)
    struct mrd_pq_column_reader *column = NULL;
    struct mrd_error err = {0};
    if (mrd_pq_column_open(file, group, leaf, LIMIT, &column, &err) != MRD_OK) {
        mrd_assert(err.text[0] != '\0');
        return;
    }
    const struct mrd_pq_page_bounds *bounds;
    (void)!mrd_pq_column_bounds(column, &bounds, NULL);
    size_t count;
    (void)mrd_pq_column_pages(column, &count);
    for (size_t i = 0; i < MRD_MIN(count, (size_t)PAGES_MAX); i++) {
        struct mrd_pq_batch batch;
        (void)!mrd_pq_column_read(column, i, &batch, NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mrd_bytes bytes = {data, size};
    const struct mrd_pq_source source = {&bytes, size, source_read};
    mrd_auto(mrd_pq_file_close)
    struct mrd_pq_file *file = NULL;
    struct mrd_error err = {0};
    if (mrd_pq_file_open(&source, LIMIT, &file, &err) != MRD_OK) {
        mrd_assert(err.text[0] != '\0');
        return 0;
    }
    const struct mrd_pq_footer *footer = mrd_pq_file_footer(file);
    for (size_t g = 0; g < MRD_MIN(footer->row_group_count, (size_t)8); g++) {
        for (size_t i = 0; i < MRD_MIN(footer->leaf_count, (size_t)16); i++) {
            read_column(file, g, i);
        }
    }
    return 0;
}
