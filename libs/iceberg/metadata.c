/* A metadata file read back: strict, so that nothing is lost by the next commit. */
#include "iceberg/metadata.h"

#include <inttypes.h>

#include "iceberg/json_internal.h"

const struct mrd_iceberg_schema *
mrd_iceberg_schema_find(const struct mrd_iceberg_metadata *metadata, int32_t id)
{
    for (size_t i = 0; i < metadata->schema_count; i++) {
        if (metadata->schemas[i].id == id) {
            return &metadata->schemas[i];
        }
    }
    return NULL;
}

const struct mrd_iceberg_snapshot *
mrd_iceberg_snapshot_find(const struct mrd_iceberg_metadata *metadata, int64_t id)
{
    for (size_t i = 0; i < metadata->snapshot_count; i++) {
        if (metadata->snapshots[i].id == id) {
            return &metadata->snapshots[i];
        }
    }
    return NULL;
}

const char *mrd_iceberg_property_find(const struct mrd_iceberg_property *properties, size_t count,
                                      const char *key)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(properties[i].key, key) == 0) {
            return properties[i].value;
        }
    }
    return NULL;
}

static bool is(const char *text, const char *word)
{
    return text != NULL && strcmp(text, word) == 0;
}

/* ---- schemas ---- */

static void read_map(struct ice_json *in, const struct ice_value *type,
                     struct mrd_iceberg_field *out)
{
    static const char *const keys[] = {"type",  "key-id",         "key", "value-id",
                                       "value", "value-required", NULL};
    if (!ice_json_object(in, type, keys)) {
        return;
    }
    out->type = MRD_ICEBERG_STRING_MAP;
    out->key_id = (int32_t)ice_json_int(in, type, "key-id", 1, INT32_MAX);
    out->value_id = (int32_t)ice_json_int(in, type, "value-id", 1, INT32_MAX);
    out->value_required = ice_json_bool(in, type, "value-required");
    const char *texts[] = {ice_json_text(in, type, "type"), ice_json_text(in, type, "key"),
                           ice_json_text(in, type, "value")};
    if (!is(texts[0], "map") || !is(texts[1], "string") || !is(texts[2], "string")) {
        (void)ice_json_fail(in, MRD_E_UNSUPPORTED, "a nested type that is no map of strings");
    }
}

static void read_type(struct ice_json *in, const struct ice_value *field,
                      struct mrd_iceberg_field *out)
{
    const struct ice_value *type = ice_json_member(field, "type");
    if (type != NULL && type->kind == ICE_OBJECT) {
        read_map(in, type, out);
        return;
    }
    const char *name = ice_json_text(in, field, "type");
    for (unsigned i = 0; i < MRD_ICEBERG_TYPE_COUNT; i++) {
        const char *word = mrd_iceberg_type_name((enum mrd_iceberg_type)i);
        if (word != NULL && is(name, word)) {
            out->type = (enum mrd_iceberg_type)i;
            return;
        }
    }
    (void)ice_json_fail(in, MRD_E_UNSUPPORTED, "type \"%.64s\"", name == NULL ? "" : name);
}

static void read_field(struct ice_json *in, const struct ice_value *json,
                       struct mrd_iceberg_field *out)
{
    static const char *const keys[] = {"id", "name", "required", "type", "doc", NULL};
    if (!ice_json_object(in, json, keys)) {
        return;
    }
    out->id = (int32_t)ice_json_int(in, json, "id", 1, INT32_MAX);
    out->name = ice_json_text(in, json, "name");
    out->required = ice_json_bool(in, json, "required");
    out->doc = ice_json_text_maybe(in, json, "doc");
    read_type(in, json, out);
}

static void read_schema(struct ice_json *in, const struct ice_value *json,
                        struct mrd_iceberg_schema *out)
{
    static const char *const keys[] = {"type", "schema-id", "fields", NULL};
    if (!ice_json_object(in, json, keys)) {
        return;
    }
    if (!is(ice_json_text(in, json, "type"), "struct")) {
        (void)ice_json_fail(in, MRD_E_CORRUPT, "a schema that is no struct");
    }
    out->id = (int32_t)ice_json_int(in, json, "schema-id", 0, INT32_MAX);
    const struct ice_value *item =
        ice_json_array(in, json, "fields", false, MRD_ICEBERG_FIELDS_MAX, &out->field_count);
    struct mrd_iceberg_field *fields = ice_json_keep(in, out->field_count, sizeof(*fields));
    for (size_t i = 0; i < out->field_count && in->status == MRD_OK;
         i++, item = ice_json_next(item)) {
        read_field(in, item, &fields[i]);
    }
    out->fields = fields;
}

static void read_schemas(struct ice_json *in, const struct ice_value *json,
                         struct mrd_iceberg_metadata *out)
{
    out->schema_id = (int32_t)ice_json_int(in, json, "current-schema-id", 0, INT32_MAX);
    const struct ice_value *item =
        ice_json_array(in, json, "schemas", false, MRD_ICEBERG_SCHEMAS_MAX, &out->schema_count);
    struct mrd_iceberg_schema *schemas = ice_json_keep(in, out->schema_count, sizeof(*schemas));
    for (size_t i = 0; i < out->schema_count && in->status == MRD_OK;
         i++, item = ice_json_next(item)) {
        read_schema(in, item, &schemas[i]);
        for (size_t j = 0; j < i; j++) {
            if (schemas[j].id == schemas[i].id) {
                (void)ice_json_fail(in, MRD_E_CORRUPT, "two schemas have id %" PRId32,
                                    schemas[i].id);
            }
        }
    }
    out->schemas = schemas;
}

/* ---- partition specs and sort order ---- */

static void read_partition_field(struct ice_json *in, const struct ice_value *json, int32_t id,
                                 struct mrd_iceberg_partition_field *out)
{
    static const char *const keys[] = {"source-id", "field-id", "name", "transform", NULL};
    if (!ice_json_object(in, json, keys)) {
        return;
    }
    out->source_id = (int32_t)ice_json_int(in, json, "source-id", 1, INT32_MAX);
    out->name = ice_json_text(in, json, "name");
    (void)ice_json_int(in, json, "field-id", id, id); /* ours are consecutive */
    const char *transform = ice_json_text(in, json, "transform");
    out->transform = is(transform, "month") ? MRD_ICEBERG_MONTH : MRD_ICEBERG_DAY;
    if (!is(transform, "month") && !is(transform, "day")) {
        (void)ice_json_fail(in, MRD_E_UNSUPPORTED, "transform \"%.64s\"",
                            transform == NULL ? "" : transform);
    }
}

static void read_specs(struct ice_json *in, const struct ice_value *json,
                       struct mrd_iceberg_metadata *out)
{
    static const char *const keys[] = {"spec-id", "fields", NULL};
    const struct ice_value *item =
        ice_json_array(in, json, "partition-specs", false, MRD_ICEBERG_SPECS_MAX, &out->spec_count);
    struct mrd_iceberg_spec *specs = ice_json_keep(in, out->spec_count, sizeof(*specs));
    out->specs = specs;
    for (size_t i = 0; i < out->spec_count; i++, item = ice_json_next(item)) {
        if (!ice_json_object(in, item, keys)) {
            return;
        }
        (void)ice_json_int(in, item, "spec-id", (int64_t)i, (int64_t)i);
        const struct ice_value *field = ice_json_array(
            in, item, "fields", false, MRD_ICEBERG_PARTITION_FIELDS_MAX, &specs[i].field_count);
        const int32_t first = ice_partition_id(specs, i);
        for (size_t j = 0; j < specs[i].field_count; j++, field = ice_json_next(field)) {
            read_partition_field(in, field, first + (int32_t)j, &specs[i].fields[j]);
        }
    }
    const int64_t last = ice_partition_id(specs, out->spec_count) - 1;
    out->last_partition_id = (int32_t)ice_json_int(in, json, "last-partition-id", last, last);
    const int64_t newest = (int64_t)out->spec_count - 1;
    (void)ice_json_int(in, json, "default-spec-id", newest, newest);
}

static void read_sort_field(struct ice_json *in, const struct ice_value *json,
                            struct mrd_iceberg_sort_field *out)
{
    static const char *const keys[] = {"transform", "source-id", "direction", "null-order", NULL};
    if (!ice_json_object(in, json, keys)) {
        return;
    }
    out->source_id = (int32_t)ice_json_int(in, json, "source-id", 1, INT32_MAX);
    const char *direction = ice_json_text(in, json, "direction");
    const char *nulls = ice_json_text(in, json, "null-order");
    out->descending = is(direction, "desc");
    out->nulls_last = is(nulls, "nulls-last");
    if (!is(ice_json_text(in, json, "transform"), "identity") ||
        (!out->descending && !is(direction, "asc")) ||
        (!out->nulls_last && !is(nulls, "nulls-first"))) {
        (void)ice_json_fail(in, MRD_E_UNSUPPORTED,
                            "a sort order that is not by columns as they are");
    }
}

static void read_sort(struct ice_json *in, const struct ice_value *json,
                      struct mrd_iceberg_metadata *out)
{
    static const char *const keys[] = {"order-id", "fields", NULL};
    size_t count;
    const struct ice_value *orders = ice_json_array(in, json, "sort-orders", false, 1, &count);
    const struct ice_value *order = count == 0 ? NULL : orders;
    if (!ice_json_object(in, order, keys)) {
        return;
    }
    const struct ice_value *item =
        ice_json_array(in, order, "fields", false, MRD_ICEBERG_SORT_FIELDS_MAX, &out->sort_count);
    const int64_t id = out->sort_count > 0 ? MRD_ICEBERG_SORT_ID : 0;
    (void)ice_json_int(in, order, "order-id", id, id);
    (void)ice_json_int(in, json, "default-sort-order-id", id, id);
    struct mrd_iceberg_sort_field *fields = ice_json_keep(in, out->sort_count, sizeof(*fields));
    for (size_t i = 0; i < out->sort_count && in->status == MRD_OK;
         i++, item = ice_json_next(item)) {
        read_sort_field(in, item, &fields[i]);
    }
    out->sort = fields;
}

/* ---- snapshots and logs ---- */

static void read_snapshot(struct ice_json *in, const struct ice_value *json,
                          struct mrd_iceberg_snapshot *out)
{
    static const char *const keys[] = {"sequence-number",    "snapshot-id", "timestamp-ms",
                                       "parent-snapshot-id", "summary",     "manifest-list",
                                       "schema-id",          NULL};
    if (!ice_json_object(in, json, keys)) {
        return;
    }
    out->id = ice_json_int(in, json, "snapshot-id", 1, MRD_ICEBERG_SNAPSHOT_ID_MAX);
    out->sequence_number = ice_json_int(in, json, "sequence-number", 1, INT64_MAX);
    out->time_ms = ice_json_int(in, json, "timestamp-ms", 0, INT64_MAX);
    if (ice_json_member(json, "parent-snapshot-id") != NULL) {
        out->parent_id =
            ice_json_int(in, json, "parent-snapshot-id", 1, MRD_ICEBERG_SNAPSHOT_ID_MAX);
    }
    out->manifest_list = ice_json_text(in, json, "manifest-list");
    out->schema_id = (int32_t)ice_json_int(in, json, "schema-id", 0, INT32_MAX);
    out->summary = ice_json_texts(in, ice_json_member(json, "summary"), MRD_ICEBERG_SUMMARY_MAX,
                                  &out->summary_count);
    if (in->status == MRD_OK &&
        (out->summary_count == 0 || !is(out->summary[0].key, "operation"))) {
        (void)ice_json_fail(in, MRD_E_CORRUPT, "a snapshot without an operation");
    }
}

static void read_snapshots(struct ice_json *in, const struct ice_value *json,
                           struct mrd_iceberg_metadata *out)
{
    if (ice_json_member(json, "current-snapshot-id") != NULL) {
        out->snapshot_id =
            ice_json_int(in, json, "current-snapshot-id", 1, MRD_ICEBERG_SNAPSHOT_ID_MAX);
    }
    const struct ice_value *item = ice_json_array(in, json, "snapshots", false,
                                                  MRD_ICEBERG_SNAPSHOTS_MAX, &out->snapshot_count);
    struct mrd_iceberg_snapshot *snapshots =
        ice_json_keep(in, out->snapshot_count, sizeof(*snapshots));
    for (size_t i = 0; i < out->snapshot_count && in->status == MRD_OK;
         i++, item = ice_json_next(item)) {
        read_snapshot(in, item, &snapshots[i]);
    }
    out->snapshots = snapshots;
}

static void read_refs(struct ice_json *in, const struct ice_value *json,
                      const struct mrd_iceberg_metadata *metadata)
{
    static const char *const keys[] = {"main", NULL};
    static const char *const ref_keys[] = {"snapshot-id", "type", NULL};
    const struct ice_value *refs = ice_json_member(json, "refs");
    const struct ice_value *branch = ice_json_member(refs, "main");
    if (!ice_json_object(in, refs, keys) || (branch == NULL && metadata->snapshot_id == 0)) {
        return;
    }
    if (ice_json_object(in, branch, ref_keys)) {
        (void)ice_json_int(in, branch, "snapshot-id", MRD_MAX(metadata->snapshot_id, (int64_t)1),
                           metadata->snapshot_id);
        if (!is(ice_json_text(in, branch, "type"), "branch")) {
            (void)ice_json_fail(in, MRD_E_CORRUPT, "main is no branch");
        }
    }
}

static void read_snapshot_log(struct ice_json *in, const struct ice_value *json,
                              struct mrd_iceberg_metadata *out)
{
    static const char *const keys[] = {"timestamp-ms", "snapshot-id", NULL};
    const struct ice_value *item = ice_json_array(in, json, "snapshot-log", true,
                                                  MRD_ICEBERG_LOG_MAX, &out->snapshot_log_count);
    struct mrd_iceberg_snapshot_entry *entries =
        ice_json_keep(in, out->snapshot_log_count, sizeof(*entries));
    for (size_t i = 0; i < out->snapshot_log_count; i++, item = ice_json_next(item)) {
        if (!ice_json_object(in, item, keys)) {
            return;
        }
        entries[i].time_ms = ice_json_int(in, item, "timestamp-ms", 0, INT64_MAX);
        entries[i].snapshot_id =
            ice_json_int(in, item, "snapshot-id", 1, MRD_ICEBERG_SNAPSHOT_ID_MAX);
    }
    out->snapshot_log = entries;
}

static void read_metadata_log(struct ice_json *in, const struct ice_value *json,
                              struct mrd_iceberg_metadata *out)
{
    static const char *const keys[] = {"timestamp-ms", "metadata-file", NULL};
    const struct ice_value *item = ice_json_array(in, json, "metadata-log", true,
                                                  MRD_ICEBERG_LOG_MAX, &out->metadata_log_count);
    struct mrd_iceberg_metadata_entry *entries =
        ice_json_keep(in, out->metadata_log_count, sizeof(*entries));
    for (size_t i = 0; i < out->metadata_log_count; i++, item = ice_json_next(item)) {
        if (!ice_json_object(in, item, keys)) {
            return;
        }
        entries[i].time_ms = ice_json_int(in, item, "timestamp-ms", 0, INT64_MAX);
        entries[i].file = ice_json_text(in, item, "metadata-file");
    }
    out->metadata_log = entries;
}

/* ---- whole ---- */

/* Every schema must be one that could be written, the current one with specs and sort order. */
static void check_schemas(struct ice_json *in, const struct mrd_iceberg_metadata *metadata)
{
    static const struct mrd_iceberg_spec none = {.field_count = 0};
    for (size_t i = 0; i < metadata->schema_count && in->status == MRD_OK; i++) {
        const struct mrd_iceberg_schema *schema = &metadata->schemas[i];
        const bool current = schema->id == metadata->schema_id;
        const struct mrd_iceberg_definition definition = {
            .fields = schema->fields,
            .field_count = schema->field_count,
            .specs = current ? metadata->specs : &none,
            .spec_count = current ? metadata->spec_count : 1,
            .sort = metadata->sort,
            .sort_count = current ? metadata->sort_count : 0,
            .properties = metadata->properties,
            .property_count = current ? metadata->property_count : 0,
        };
        struct mrd_error wrong;
        if (mrd_iceberg_definition_check(&definition, &wrong) != MRD_OK) {
            (void)ice_json_fail(in, MRD_E_CORRUPT, "%.200s", wrong.text);
        }
    }
}

static void check_snapshots(struct ice_json *in, const struct mrd_iceberg_metadata *metadata)
{
    int64_t last = 0;
    for (size_t i = 0; i < metadata->snapshot_count && in->status == MRD_OK; i++) {
        const struct mrd_iceberg_snapshot *snapshot = &metadata->snapshots[i];
        if (snapshot->sequence_number <= last ||
            snapshot->sequence_number > metadata->last_sequence_number ||
            mrd_iceberg_snapshot_find(metadata, snapshot->id) != snapshot ||
            mrd_iceberg_schema_find(metadata, snapshot->schema_id) == NULL) {
            (void)ice_json_fail(in, MRD_E_CORRUPT,
                                "snapshot %" PRId64 " is out of order, double or without schema",
                                snapshot->id);
        }
        last = snapshot->sequence_number;
    }
    if (in->status == MRD_OK && metadata->snapshot_id != 0 &&
        mrd_iceberg_snapshot_find(metadata, metadata->snapshot_id) == NULL) {
        (void)ice_json_fail(in, MRD_E_CORRUPT, "the current snapshot is missing");
    }
    const size_t entries = metadata->snapshot_log_count;
    if (in->status == MRD_OK && entries > 0 &&
        metadata->snapshot_log[entries - 1].snapshot_id != metadata->snapshot_id) {
        (void)ice_json_fail(in, MRD_E_CORRUPT, "the log does not end with the current snapshot");
    }
}

static void check_ids(struct ice_json *in, const struct mrd_iceberg_metadata *metadata)
{
    for (size_t i = 0; i < metadata->schema_count && in->status == MRD_OK; i++) {
        const struct mrd_iceberg_schema *schema = &metadata->schemas[i];
        for (size_t j = 0; j < schema->field_count; j++) {
            const struct mrd_iceberg_field *field = &schema->fields[j];
            const int32_t inner = MRD_MAX(field->key_id, field->value_id);
            if (MRD_MAX(field->id, inner) > metadata->last_column_id) {
                (void)ice_json_fail(in, MRD_E_CORRUPT, "column \"%.64s\" is above the last id",
                                    field->name);
            }
        }
    }
    if (in->status == MRD_OK && mrd_iceberg_schema_find(metadata, metadata->schema_id) == NULL) {
        (void)ice_json_fail(in, MRD_E_CORRUPT, "the current schema is missing");
    }
}

static void read_uuid(struct ice_json *in, const struct ice_value *json,
                      struct mrd_iceberg_metadata *out)
{
    const char *text = ice_json_text(in, json, "table-uuid");
    bool good = text != NULL && strlen(text) == MRD_ICEBERG_UUID_TEXT_SIZE - 1;
    for (size_t i = 0; good && i < MRD_ICEBERG_UUID_TEXT_SIZE - 1; i++) {
        const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        good = dash ? text[i] == '-' : strchr("0123456789abcdef", text[i]) != NULL;
    }
    if (!good) {
        (void)ice_json_fail(in, MRD_E_CORRUPT, "\"table-uuid\" is none");
        return;
    }
    memcpy(out->uuid, text, MRD_ICEBERG_UUID_TEXT_SIZE);
}

static void read_all(struct ice_json *in, const struct ice_value *json,
                     struct mrd_iceberg_metadata *out)
{
    static const char *const keys[] = {"format-version",
                                       "table-uuid",
                                       "location",
                                       "last-sequence-number",
                                       "last-updated-ms",
                                       "last-column-id",
                                       "current-schema-id",
                                       "schemas",
                                       "default-spec-id",
                                       "partition-specs",
                                       "last-partition-id",
                                       "default-sort-order-id",
                                       "sort-orders",
                                       "properties",
                                       "current-snapshot-id",
                                       "refs",
                                       "snapshots",
                                       "snapshot-log",
                                       "metadata-log",
                                       NULL};
    const struct ice_value *version = ice_json_member(json, "format-version");
    const int64_t number = version == NULL || version->kind != ICE_INT ? 0 : version->number;
    if (json->kind == ICE_OBJECT && number != 2) {
        (void)ice_json_fail(in, MRD_E_UNSUPPORTED, "format version %lld, only 2 is known",
                            (long long)number);
    }
    if (!ice_json_object(in, json, keys)) {
        return;
    }
    read_uuid(in, json, out);
    out->location = ice_json_text(in, json, "location");
    out->last_sequence_number = ice_json_int(in, json, "last-sequence-number", 0, INT64_MAX - 1);
    out->updated_ms = ice_json_int(in, json, "last-updated-ms", 0, INT64_MAX);
    out->last_column_id = (int32_t)ice_json_int(in, json, "last-column-id", 1, INT32_MAX);
    read_schemas(in, json, out);
    read_specs(in, json, out);
    read_sort(in, json, out);
    out->properties = ice_json_texts(in, ice_json_member(json, "properties"),
                                     MRD_ICEBERG_PROPERTIES_MAX, &out->property_count);
    read_snapshots(in, json, out);
    read_refs(in, json, out);
    read_snapshot_log(in, json, out);
    read_metadata_log(in, json, out);
}

enum mrd_status mrd_iceberg_metadata_read(struct mrd_bytes text, struct mrd_arena *arena,
                                          struct mrd_iceberg_metadata **out, struct mrd_error *err)
{
    mrd_auto(ice_document_fini)
    struct ice_document document = {0};
    MRD_TRY(ice_json_parse(ICE_METADATA, text, arena, &document, err));
    struct ice_json in = {.what = ICE_METADATA, .arena = arena, .err = err};
    struct mrd_iceberg_metadata *metadata = ice_json_keep(&in, 1, sizeof(*metadata));
    if (metadata != NULL) {
        read_all(&in, ice_document_root(&document), metadata);
        check_ids(&in, metadata);
        check_schemas(&in, metadata);
        check_snapshots(&in, metadata);
    }
    if (in.status == MRD_OK) {
        *out = metadata;
    }
    return in.status;
}
