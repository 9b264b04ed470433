/* Metadata files from hostile bytes: what is accepted is written to the same bytes again, and has a view. */
#include "iceberg/json_internal.h"
#include "iceberg/view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mrd_iceberg_metadata *read_back(struct mrd_bytes json, struct mrd_arena *arena)
{
    struct mrd_iceberg_metadata *metadata = NULL;
    return mrd_iceberg_metadata_read(json, arena, &metadata, NULL) == MRD_OK ? metadata : NULL;
}

/* Names may be any text there. */
static void show(const struct mrd_iceberg_metadata *metadata, struct mrd_arena *arena)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf json = {0};
    mrd_auto(ice_document_fini)
    struct ice_document document = {0};
    struct ice_json_writer writer = {.out = &json};
    const struct mrd_iceberg_view view = {metadata, MRD_BYTES("acme"), MRD_BYTES("lake")};
    ice_put_view(&writer, NULL, &view);
    mrd_assert(ice_put_end(&writer, NULL) == MRD_OK);
    const enum mrd_status status =
        ice_json_parse("view", mrd_buf_view(&json), arena, &document, NULL);
    mrd_assert(status == MRD_OK || status == MRD_E_LIMIT);
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
    show(first, arena);
    return 0;
}
