/* Metadata files from hostile bytes: what is accepted is written to the same bytes again. */
#include "iceberg/metadata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mrd_iceberg_metadata *read_back(struct mrd_bytes json, struct mrd_arena *arena)
{
    struct mrd_iceberg_metadata *metadata = NULL;
    return mrd_iceberg_metadata_read(json, arena, &metadata, NULL) == MRD_OK ? metadata : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("fuzz", 8 << 20);
    const struct mrd_iceberg_metadata *first = read_back((struct mrd_bytes){data, size}, arena);
    if (first == NULL) {
        return 0;
    }
    mrd_auto(mrd_buf_fini)
    struct mrd_buf json = {0}, again = {0};
    mrd_assert(mrd_iceberg_metadata_write(first, &json, NULL) == MRD_OK);
    const struct mrd_iceberg_metadata *second = read_back(mrd_buf_view(&json), arena);
    if (second != NULL) { /* the arena may be full */
        mrd_assert(mrd_iceberg_metadata_write(second, &again, NULL) == MRD_OK);
        mrd_assert(mrd_bytes_equal(mrd_buf_view(&json), mrd_buf_view(&again)));
    }
    return 0;
}
