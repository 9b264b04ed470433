/* A metadata file as JSON, in the order of the specification. */
#include "iceberg/json_internal.h"

void mrd_iceberg_uuid_format(const uint8_t uuid[MRD_ICEBERG_UUID_SIZE],
                             char out[MRD_ICEBERG_UUID_TEXT_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    size_t at = 0;
    for (size_t i = 0; i < MRD_ICEBERG_UUID_SIZE; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            out[at++] = '-';
        }
        out[at++] = digits[uuid[i] >> 4];
        out[at++] = digits[uuid[i] & 15];
    }
    out[at] = '\0';
}

int32_t ice_partition_id(const struct mrd_iceberg_spec *specs, size_t spec_index)
{
    int32_t id = MRD_ICEBERG_PARTITION_ID_FIRST;
    for (size_t i = 0; i < spec_index; i++) {
        id += (int32_t)specs[i].field_count;
    }
    return id;
}

static void put_type(struct ice_json_writer *writer, const struct mrd_iceberg_field *field)
{
    if (field->type != MRD_ICEBERG_STRING_MAP) {
        ice_put_text(writer, "type", mrd_iceberg_type_name(field->type));
        return;
    }
    ice_put_open(writer, "type", '{');
    ice_put_text(writer, "type", "map");
    ice_put_int(writer, "key-id", field->key_id);
    ice_put_text(writer, "key", "string");
    ice_put_int(writer, "value-id", field->value_id);
    ice_put_text(writer, "value", "string");
    ice_put_bool(writer, "value-required", field->value_required);
    ice_put_close(writer, '}');
}

void ice_put_fields(struct ice_json_writer *writer, const char *key,
                    const struct mrd_iceberg_field *fields, size_t count)
{
    ice_put_open(writer, key, '[');
    for (size_t i = 0; i < count; i++) {
        const struct mrd_iceberg_field *field = &fields[i];
        ice_put_open(writer, NULL, '{');
        ice_put_int(writer, "id", field->id);
        ice_put_text(writer, "name", field->name);
        ice_put_bool(writer, "required", field->required);
        put_type(writer, field);
        if (field->doc != NULL) {
            ice_put_text(writer, "doc", field->doc);
        }
        ice_put_close(writer, '}');
    }
    ice_put_close(writer, ']');
}

void ice_put_schema(struct ice_json_writer *writer, const char *key,
                    const struct mrd_iceberg_schema *schema)
{
    ice_put_open(writer, key, '{');
    ice_put_text(writer, "type", "struct");
    ice_put_int(writer, "schema-id", schema->id);
    ice_put_fields(writer, "fields", schema->fields, schema->field_count);
    ice_put_close(writer, '}');
}

void ice_put_spec_fields(struct ice_json_writer *writer, const char *key,
                         const struct mrd_iceberg_spec *specs, size_t spec_index)
{
    const struct mrd_iceberg_spec *spec = &specs[spec_index];
    int32_t id = ice_partition_id(specs, spec_index);
    ice_put_open(writer, key, '[');
    for (size_t i = 0; i < spec->field_count; i++) {
        const struct mrd_iceberg_partition_field *field = &spec->fields[i];
        ice_put_open(writer, NULL, '{');
        ice_put_int(writer, "source-id", field->source_id);
        ice_put_int(writer, "field-id", id++);
        ice_put_text(writer, "name", field->name);
        ice_put_text(writer, "transform", mrd_iceberg_transform_name(field->transform));
        ice_put_close(writer, '}');
    }
    ice_put_close(writer, ']');
}

static void put_specs(struct ice_json_writer *writer, const struct mrd_iceberg_metadata *metadata)
{
    ice_put_open(writer, "partition-specs", '[');
    for (size_t i = 0; i < metadata->spec_count; i++) {
        ice_put_open(writer, NULL, '{');
        ice_put_int(writer, "spec-id", (int64_t)i);
        ice_put_spec_fields(writer, "fields", metadata->specs, i);
        ice_put_close(writer, '}');
    }
    ice_put_close(writer, ']');
}

static void put_sort_orders(struct ice_json_writer *writer,
                            const struct mrd_iceberg_metadata *metadata, int64_t id)
{
    ice_put_open(writer, "sort-orders", '[');
    ice_put_open(writer, NULL, '{');
    ice_put_int(writer, "order-id", id);
    ice_put_open(writer, "fields", '[');
    for (size_t i = 0; i < metadata->sort_count; i++) {
        const struct mrd_iceberg_sort_field *field = &metadata->sort[i];
        ice_put_open(writer, NULL, '{');
        ice_put_text(writer, "transform", "identity");
        ice_put_int(writer, "source-id", field->source_id);
        ice_put_text(writer, "direction", field->descending ? "desc" : "asc");
        ice_put_text(writer, "null-order", field->nulls_last ? "nulls-last" : "nulls-first");
        ice_put_close(writer, '}');
    }
    ice_put_close(writer, ']');
    ice_put_close(writer, '}');
    ice_put_close(writer, ']');
}

static void put_snapshot(struct ice_json_writer *writer,
                         const struct mrd_iceberg_snapshot *snapshot)
{
    ice_put_open(writer, NULL, '{');
    ice_put_int(writer, "sequence-number", snapshot->sequence_number);
    ice_put_int(writer, "snapshot-id", snapshot->id);
    ice_put_int(writer, "timestamp-ms", snapshot->time_ms);
    if (snapshot->parent_id != 0) {
        ice_put_int(writer, "parent-snapshot-id", snapshot->parent_id);
    }
    ice_put_texts(writer, "summary", snapshot->summary, snapshot->summary_count);
    ice_put_text(writer, "manifest-list", snapshot->manifest_list);
    ice_put_int(writer, "schema-id", snapshot->schema_id);
    ice_put_close(writer, '}');
}

static void put_snapshots(struct ice_json_writer *writer,
                          const struct mrd_iceberg_metadata *metadata)
{
    if (metadata->snapshot_id != 0) {
        ice_put_int(writer, "current-snapshot-id", metadata->snapshot_id);
    }
    ice_put_open(writer, "refs", '{');
    if (metadata->snapshot_id != 0) {
        ice_put_open(writer, "main", '{');
        ice_put_int(writer, "snapshot-id", metadata->snapshot_id);
        ice_put_text(writer, "type", "branch");
        ice_put_close(writer, '}');
    }
    ice_put_close(writer, '}');
    ice_put_open(writer, "snapshots", '[');
    for (size_t i = 0; i < metadata->snapshot_count; i++) {
        put_snapshot(writer, &metadata->snapshots[i]);
    }
    ice_put_close(writer, ']');
}

static void put_logs(struct ice_json_writer *writer, const struct mrd_iceberg_metadata *metadata)
{
    ice_put_open(writer, "snapshot-log", '[');
    for (size_t i = 0; i < metadata->snapshot_log_count; i++) {
        ice_put_open(writer, NULL, '{');
        ice_put_int(writer, "timestamp-ms", metadata->snapshot_log[i].time_ms);
        ice_put_int(writer, "snapshot-id", metadata->snapshot_log[i].snapshot_id);
        ice_put_close(writer, '}');
    }
    ice_put_close(writer, ']');
    ice_put_open(writer, "metadata-log", '[');
    for (size_t i = 0; i < metadata->metadata_log_count; i++) {
        ice_put_open(writer, NULL, '{');
        ice_put_int(writer, "timestamp-ms", metadata->metadata_log[i].time_ms);
        ice_put_text(writer, "metadata-file", metadata->metadata_log[i].file);
        ice_put_close(writer, '}');
    }
    ice_put_close(writer, ']');
}

void ice_put_metadata(struct ice_json_writer *writer, const char *key,
                      const struct mrd_iceberg_metadata *metadata)
{
    const int64_t sort_id = metadata->sort_count > 0 ? MRD_ICEBERG_SORT_ID : 0;
    ice_put_open(writer, key, '{');
    ice_put_int(writer, "format-version", 2);
    ice_put_text(writer, "table-uuid", metadata->uuid);
    ice_put_text(writer, "location", metadata->location);
    ice_put_int(writer, "last-sequence-number", metadata->last_sequence_number);
    ice_put_int(writer, "last-updated-ms", metadata->updated_ms);
    ice_put_int(writer, "last-column-id", metadata->last_column_id);
    ice_put_int(writer, "current-schema-id", metadata->schema_id);
    ice_put_open(writer, "schemas", '[');
    for (size_t i = 0; i < metadata->schema_count; i++) {
        ice_put_schema(writer, NULL, &metadata->schemas[i]);
    }
    ice_put_close(writer, ']');
    ice_put_int(writer, "default-spec-id", (int64_t)metadata->spec_count - 1);
    put_specs(writer, metadata);
    ice_put_int(writer, "last-partition-id", metadata->last_partition_id);
    ice_put_int(writer, "default-sort-order-id", sort_id);
    put_sort_orders(writer, metadata, sort_id);
    ice_put_texts(writer, "properties", metadata->properties, metadata->property_count);
    put_snapshots(writer, metadata);
    put_logs(writer, metadata);
    ice_put_close(writer, '}');
}

enum mrd_status mrd_iceberg_metadata_write(const struct mrd_iceberg_metadata *metadata,
                                           struct mrd_buf *out, struct mrd_error *err)
{
    struct ice_json_writer writer = {.out = out};
    ice_put_metadata(&writer, NULL, metadata);
    return ice_put_end(&writer, err);
}
