/* A metadata file as JSON, in the order of the specification. */
#include <inttypes.h>
#include <stdio.h>

#include "iceberg/json_internal.h"

void mrd_iceberg_uuid_format(const uint8_t uuid[MRD_ICEBERG_UUID_SIZE],
                             char out[MRD_ICEBERG_UUID_TEXT_SIZE])
{
    size_t at = 0;
    for (size_t i = 0; i < MRD_ICEBERG_UUID_SIZE; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            out[at++] = '-';
        }
        (void)snprintf(out + at, 3, "%02x", uuid[i]);
        at += 2;
    }
}

int32_t ice_partition_id(const struct mrd_iceberg_spec *specs, size_t spec_index)
{
    int32_t id = MRD_ICEBERG_PARTITION_ID_FIRST;
    for (size_t i = 0; i < spec_index; i++) {
        id += (int32_t)specs[i].field_count;
    }
    return id;
}

static json_t *type_json(const struct mrd_iceberg_field *field)
{
    if (field->type != MRD_ICEBERG_STRING_MAP) {
        return json_string(mrd_iceberg_type_name(field->type));
    }
    return json_pack("{s:s, s:i, s:s, s:i, s:s, s:b}", "type", "map", "key-id", field->key_id,
                     "key", "string", "value-id", field->value_id, "value", "string",
                     "value-required", field->value_required);
}

/* json_array_append_new fails for NULL, so a text that is no UTF-8 shows at the end. */
static json_t *append_or_release(json_t *array, json_t *item)
{
    if (array != NULL && json_array_append_new(array, item) != 0) {
        json_decref(array);
        return NULL;
    }
    if (array == NULL) {
        json_decref(item);
    }
    return array;
}

static json_t *field_json(const struct mrd_iceberg_field *field)
{
    json_t *json = json_pack("{s:i, s:s, s:b, s:o}", "id", field->id, "name", field->name,
                             "required", field->required, "type", type_json(field));
    if (json != NULL && field->doc != NULL &&
        json_object_set_new(json, "doc", json_string(field->doc)) != 0) {
        json_decref(json);
        return NULL;
    }
    return json;
}

json_t *ice_schema_json(const struct mrd_iceberg_schema *schema)
{
    json_t *fields = json_array();
    for (size_t i = 0; i < schema->field_count; i++) {
        fields = append_or_release(fields, field_json(&schema->fields[i]));
    }
    return fields == NULL ? NULL
                          : json_pack("{s:s, s:i, s:o}", "type", "struct", "schema-id", schema->id,
                                      "fields", fields);
}

json_t *ice_spec_fields_json(const struct mrd_iceberg_spec *specs, size_t spec_index)
{
    const struct mrd_iceberg_spec *spec = &specs[spec_index];
    json_t *fields = json_array();
    int32_t id = ice_partition_id(specs, spec_index);
    for (size_t i = 0; i < spec->field_count; i++) {
        const struct mrd_iceberg_partition_field *field = &spec->fields[i];
        json_t *json = json_pack("{s:i, s:i, s:s, s:s}", "source-id", field->source_id, "field-id",
                                 id++, "name", field->name, "transform",
                                 mrd_iceberg_transform_name(field->transform));
        fields = append_or_release(fields, json);
    }
    return fields;
}

static json_t *schemas_json(const struct mrd_iceberg_metadata *metadata)
{
    json_t *array = json_array();
    for (size_t i = 0; i < metadata->schema_count; i++) {
        array = append_or_release(array, ice_schema_json(&metadata->schemas[i]));
    }
    return array;
}

static json_t *specs_json(const struct mrd_iceberg_metadata *metadata)
{
    json_t *array = json_array();
    for (size_t i = 0; i < metadata->spec_count; i++) {
        json_t *fields = ice_spec_fields_json(metadata->specs, i);
        array = append_or_release(
            array,
            fields == NULL ? NULL : json_pack("{s:i, s:o}", "spec-id", (int)i, "fields", fields));
    }
    return array;
}

static json_t *sort_orders_json(const struct mrd_iceberg_metadata *metadata)
{
    json_t *fields = json_array();
    for (size_t i = 0; i < metadata->sort_count; i++) {
        const struct mrd_iceberg_sort_field *field = &metadata->sort[i];
        fields = append_or_release(
            fields, json_pack("{s:s, s:i, s:s, s:s}", "transform", "identity", "source-id",
                              field->source_id, "direction", field->descending ? "desc" : "asc",
                              "null-order", field->nulls_last ? "nulls-last" : "nulls-first"));
    }
    return json_pack("[{s:i, s:o}]", "order-id", metadata->sort_count > 0 ? MRD_ICEBERG_SORT_ID : 0,
                     "fields", fields);
}

static json_t *texts_json(const struct mrd_iceberg_property *items, size_t count)
{
    json_t *object = json_object();
    for (size_t i = 0; i < count && object != NULL; i++) {
        if (json_object_set_new(object, items[i].key, json_string(items[i].value)) != 0) {
            json_decref(object);
            object = NULL;
        }
    }
    return object;
}

static json_t *snapshot_json(const struct mrd_iceberg_snapshot *snapshot)
{
    json_t *json = json_pack(
        "{s:I, s:I, s:I}", "sequence-number", (json_int_t)snapshot->sequence_number, "snapshot-id",
        (json_int_t)snapshot->id, "timestamp-ms", (json_int_t)snapshot->time_ms);
    int failed = json == NULL;
    if (snapshot->parent_id != 0) {
        failed |= json_object_set_new(json, "parent-snapshot-id",
                                      json_integer((json_int_t)snapshot->parent_id));
    }
    failed |= json_object_set_new(json, "summary",
                                  texts_json(snapshot->summary, snapshot->summary_count));
    failed |= json_object_set_new(json, "manifest-list", json_string(snapshot->manifest_list));
    failed |= json_object_set_new(json, "schema-id", json_integer(snapshot->schema_id));
    if (failed != 0) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static json_t *snapshots_json(const struct mrd_iceberg_metadata *metadata)
{
    json_t *array = json_array();
    for (size_t i = 0; i < metadata->snapshot_count; i++) {
        array = append_or_release(array, snapshot_json(&metadata->snapshots[i]));
    }
    return array;
}

static json_t *refs_json(const struct mrd_iceberg_metadata *metadata)
{
    if (metadata->snapshot_id == 0) {
        return json_object();
    }
    return json_pack("{s:{s:I, s:s}}", "main", "snapshot-id", (json_int_t)metadata->snapshot_id,
                     "type", "branch");
}

static json_t *snapshot_log_json(const struct mrd_iceberg_metadata *metadata)
{
    json_t *array = json_array();
    for (size_t i = 0; i < metadata->snapshot_log_count; i++) {
        const struct mrd_iceberg_snapshot_entry *entry = &metadata->snapshot_log[i];
        array = append_or_release(array, json_pack("{s:I, s:I}", "timestamp-ms",
                                                   (json_int_t)entry->time_ms, "snapshot-id",
                                                   (json_int_t)entry->snapshot_id));
    }
    return array;
}

static json_t *metadata_log_json(const struct mrd_iceberg_metadata *metadata)
{
    json_t *array = json_array();
    for (size_t i = 0; i < metadata->metadata_log_count; i++) {
        const struct mrd_iceberg_metadata_entry *entry = &metadata->metadata_log[i];
        array = append_or_release(array, json_pack("{s:I, s:s}", "timestamp-ms",
                                                   (json_int_t)entry->time_ms, "metadata-file",
                                                   entry->file));
    }
    return array;
}

json_t *ice_metadata_json(const struct mrd_iceberg_metadata *metadata)
{
    json_t *json =
        json_pack("{s:i, s:s, s:s, s:I, s:I, s:i}", "format-version", 2, "table-uuid",
                  metadata->uuid, "location", metadata->location, "last-sequence-number",
                  (json_int_t)metadata->last_sequence_number, "last-updated-ms",
                  (json_int_t)metadata->updated_ms, "last-column-id", metadata->last_column_id);
    int failed = json == NULL;
    failed |= json_object_set_new(json, "current-schema-id", json_integer(metadata->schema_id));
    failed |= json_object_set_new(json, "schemas", schemas_json(metadata));
    failed |= json_object_set_new(json, "default-spec-id",
                                  json_integer((json_int_t)metadata->spec_count - 1));
    failed |= json_object_set_new(json, "partition-specs", specs_json(metadata));
    failed |=
        json_object_set_new(json, "last-partition-id", json_integer(metadata->last_partition_id));
    failed |= json_object_set_new(json, "default-sort-order-id",
                                  json_integer(metadata->sort_count > 0 ? MRD_ICEBERG_SORT_ID : 0));
    failed |= json_object_set_new(json, "sort-orders", sort_orders_json(metadata));
    failed |= json_object_set_new(json, "properties",
                                  texts_json(metadata->properties, metadata->property_count));
    if (metadata->snapshot_id != 0) {
        failed |= json_object_set_new(json, "current-snapshot-id",
                                      json_integer((json_int_t)metadata->snapshot_id));
    }
    failed |= json_object_set_new(json, "refs", refs_json(metadata));
    failed |= json_object_set_new(json, "snapshots", snapshots_json(metadata));
    failed |= json_object_set_new(json, "snapshot-log", snapshot_log_json(metadata));
    failed |= json_object_set_new(json, "metadata-log", metadata_log_json(metadata));
    if (failed != 0) {
        json_decref(json);
        return NULL;
    }
    return json;
}

enum mrd_status mrd_iceberg_metadata_write(const struct mrd_iceberg_metadata *metadata,
                                           struct mrd_buf *out, struct mrd_error *err)
{
    return ice_json_write_take(ice_metadata_json(metadata), out, err);
}
