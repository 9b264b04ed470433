/* Manifests and manifest lists from hostile bytes: whole files, and records in a file that is right otherwise. */
#include "iceberg/manifest_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum kind { LIST_FILE, MANIFEST_FILE, LIST_RECORDS, MANIFEST_RECORDS };

static const uint8_t sync_marker[MRD_AVRO_SYNC_SIZE] = {7};
static const struct mrd_iceberg_spec specs[] = {
    {.fields = {{2, MRD_ICEBERG_DAY, "ts_day"}},     .field_count = 1},
    {.fields = {{2, MRD_ICEBERG_MONTH, "ts_month"}}, .field_count = 1},
};
static const struct mrd_iceberg_metadata metadata = {
    .last_sequence_number = 1000, .specs = specs, .spec_count = 2};

/* The first byte of the records says how many there are. */
static void wrap(struct mrd_bytes records, enum kind kind, struct mrd_buf *out)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf schema = {0};
    ice_entry_schema(specs, 0, &schema);
    struct mrd_avro_writer writer;
    mrd_avro_writer_init(&writer, out, MRD_AVRO_NULL,
                         kind == LIST_RECORDS ? ice_list_schema() : mrd_buf_view(&schema), NULL, 0,
                         sync_marker);
    if (records.size > 1) {
        mrd_buf_append(&writer.block, records.data + 1, records.size - 1);
        writer.records = records.data[0];
    }
    (void)!mrd_avro_writer_close(&writer, NULL);
    mrd_avro_writer_fini(&writer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    const enum kind kind = (enum kind)(data[0] % 4);
    struct mrd_bytes bytes = {data + 1, size - 1};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf file = {0};
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("fuzz", 8 << 20);
    const uint32_t count = bytes.data[0];
    if (kind == LIST_RECORDS || kind == MANIFEST_RECORDS) {
        wrap(bytes, kind, &file);
        bytes = mrd_buf_view(&file);
    }
    size_t found;
    if (kind == LIST_FILE || kind == LIST_RECORDS) {
        struct mrd_iceberg_manifest *manifests;
        (void)!mrd_iceberg_list_read(bytes, &metadata, arena, &manifests, &found, NULL);
        return 0;
    }
    const struct mrd_iceberg_manifest manifest = {
        .path = "m", .size = bytes.size, .sequence_number = 9, .added_files = count};
    struct mrd_iceberg_entry *entries;
    (void)!mrd_iceberg_manifest_read(bytes, &manifest, &metadata, arena, &entries, &found, NULL);
    return 0;
}
