#include "iceberg/view.h"

#include <inttypes.h>

#include "base/hash.h"
#include "block/schema.h"
#include "iceberg/json_internal.h"

static const struct mrd_iceberg_schema *schema_of(const struct mrd_iceberg_view *view)
{
    return mrd_iceberg_schema_find(view->table, view->table->schema_id);
}

/* 1 and up, as Iceberg's own libraries count. */
static int64_t version_of(const struct mrd_iceberg_view *view)
{
    return (int64_t)view->table->schema_id + 1;
}

/* A UUID of the application's own making (RFC 9562, version 8): the same as long as the table is the same. */
static void make_uuid(const struct mrd_iceberg_view *view, char out[MRD_ICEBERG_UUID_TEXT_SIZE])
{
    uint8_t bytes[MRD_ICEBERG_UUID_SIZE];
    const struct mrd_id128 id =
        mrd_hash128(mrd_bytes_of(view->table->uuid), mrd_hash64(MRD_BYTES(MRD_ICEBERG_VIEW), 0));
    memcpy(bytes, &id.low, sizeof(id.low));
    memcpy(bytes + sizeof(id.low), &id.high, sizeof(id.high));
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x80);
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
    mrd_iceberg_uuid_format(bytes, out);
}

/* The folder beside the table's. */
static void put_folder(const struct mrd_iceberg_view *view, struct mrd_buf *out)
{
    const char *slash = strrchr(view->table->location, '/');
    const size_t size = slash == NULL ? 0 : (size_t)(slash - view->table->location) + 1;
    mrd_buf_append(out, view->table->location, size);
    mrd_buf_append_text(out, MRD_ICEBERG_VIEW);
}

void mrd_iceberg_view_location(const struct mrd_iceberg_view *view, struct mrd_buf *out)
{
    char uuid[MRD_ICEBERG_UUID_TEXT_SIZE];
    make_uuid(view, uuid);
    put_folder(view, out);
    mrd_buf_printf(out, "/metadata/%05" PRId64 "-%s.metadata.json", version_of(view), uuid);
}

/* ---- the query ---- */

static void put_name(const char *name, char quote, struct mrd_buf *out)
{
    mrd_buf_append_u8(out, (uint8_t)quote);
    for (; *name != '\0'; name++) {
        if (*name == quote) {
            mrd_buf_append_u8(out, (uint8_t)quote);
        }
        mrd_buf_append_u8(out, (uint8_t)*name);
    }
    mrd_buf_append_u8(out, (uint8_t)quote);
}

static const struct mrd_iceberg_field *field_of(const struct mrd_iceberg_schema *schema, int32_t id)
{
    enum mrd_iceberg_type type;
    return mrd_iceberg_field_find(schema->fields, schema->field_count, id, &type);
}

static bool is_shown(const struct mrd_iceberg_field *field)
{
    return field->id != MRD_BLOCK_FIELD_VALUE_I && field->id != MRD_BLOCK_FIELD_VALUE_E;
}

/* NULL in all three is a staleness marker or a histogram: NULL again. The casts leave nothing to what engines take a number
 * to be. */
static void put_value(const struct mrd_iceberg_field *value, const struct mrd_iceberg_field *scaled,
                      const struct mrd_iceberg_field *digits, char quote, struct mrd_buf *out)
{
    mrd_buf_append_text(out, "coalesce(");
    put_name(value->name, quote, out);
    mrd_buf_append_text(out, ", CAST(");
    put_name(scaled->name, quote, out);
    mrd_buf_append_text(out, " AS DOUBLE) / power(CAST(10 AS DOUBLE), ");
    put_name(digits->name, quote, out);
    mrd_buf_append_text(out, ")) AS ");
    put_name(value->name, quote, out);
}

void mrd_iceberg_view_sql(const struct mrd_iceberg_view *view, char quote, struct mrd_buf *out)
{
    const struct mrd_iceberg_schema *schema = schema_of(view);
    const struct mrd_iceberg_field *scaled = field_of(schema, MRD_BLOCK_FIELD_VALUE_I);
    const struct mrd_iceberg_field *digits = field_of(schema, MRD_BLOCK_FIELD_VALUE_E);
    const char *separator = "SELECT ";
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct mrd_iceberg_field *field = &schema->fields[i];
        if (!is_shown(field)) {
            continue;
        }
        mrd_buf_append_text(out, separator);
        separator = ", ";
        if (field->id == MRD_BLOCK_FIELD_VALUE && scaled != NULL && digits != NULL) {
            put_value(field, scaled, digits, quote, out);
        } else {
            put_name(field->name, quote, out);
        }
    }
    mrd_buf_append_text(out, " FROM ");
    put_name(MRD_ICEBERG_VIEW_OF, quote, out);
}

/* ---- the metadata ---- */

static void put_schemas(struct ice_json_writer *json, const struct mrd_iceberg_view *view)
{
    const struct mrd_iceberg_schema *schema = schema_of(view);
    struct mrd_iceberg_field fields[MRD_ICEBERG_FIELDS_MAX];
    struct mrd_iceberg_schema shown = {.id = schema->id, .fields = fields};
    for (size_t i = 0; i < schema->field_count; i++) {
        if (is_shown(&schema->fields[i])) {
            fields[shown.field_count++] = schema->fields[i];
        }
    }
    ice_put_open(json, "schemas", '[');
    ice_put_schema(json, NULL, &shown);
    ice_put_close(json, ']');
}

static void put_representations(struct ice_json_writer *json, const struct mrd_iceberg_view *view)
{
    static const struct {
        const char *dialect;
        char quote;
    } dialects[] = {
        {"spark",  '`'},
        {"trino",  '"'},
        {"duckdb", '"'}
    };
    ice_put_open(json, "representations", '[');
    for (size_t i = 0; i < MRD_ARRAY_LEN(dialects); i++) {
        mrd_auto(mrd_buf_fini)
        struct mrd_buf sql = {.limit = json->out->limit};
        mrd_iceberg_view_sql(view, dialects[i].quote, &sql);
        json->out->failed |= sql.failed;
        ice_put_open(json, NULL, '{');
        ice_put_text(json, "type", "sql");
        ice_put_bytes(json, "sql", mrd_buf_view(&sql));
        ice_put_text(json, "dialect", dialects[i].dialect);
        ice_put_close(json, '}');
    }
    ice_put_close(json, ']');
}

static void put_version(struct ice_json_writer *json, const struct mrd_iceberg_view *view)
{
    ice_put_open(json, "versions", '[');
    ice_put_open(json, NULL, '{');
    ice_put_int(json, "version-id", version_of(view));
    ice_put_int(json, "timestamp-ms", view->table->updated_ms);
    ice_put_int(json, "schema-id", view->table->schema_id);
    ice_put_open(json, "summary", '{');
    ice_put_text(json, "engine-name", "meridian");
    ice_put_close(json, '}');
    put_representations(json, view);
    if (view->catalog.size > 0) {
        ice_put_bytes(json, "default-catalog", view->catalog);
    }
    ice_put_open(json, "default-namespace", '[');
    ice_put_bytes(json, NULL, view->tenant);
    ice_put_close(json, ']');
    ice_put_close(json, '}');
    ice_put_close(json, ']');
    ice_put_open(json, "version-log", '[');
    ice_put_open(json, NULL, '{');
    ice_put_int(json, "timestamp-ms", view->table->updated_ms);
    ice_put_int(json, "version-id", version_of(view));
    ice_put_close(json, '}');
    ice_put_close(json, ']');
}

void ice_put_view(struct ice_json_writer *json, const char *key,
                  const struct mrd_iceberg_view *view)
{
    char uuid[MRD_ICEBERG_UUID_TEXT_SIZE];
    mrd_auto(mrd_buf_fini)
    struct mrd_buf folder = {0};
    make_uuid(view, uuid);
    put_folder(view, &folder);
    ice_put_open(json, key, '{');
    ice_put_text(json, "view-uuid", uuid);
    ice_put_int(json, "format-version", 1);
    ice_put_bytes(json, "location", mrd_buf_view(&folder));
    put_schemas(json, view);
    ice_put_int(json, "current-version-id", version_of(view));
    put_version(json, view);
    ice_put_open(json, "properties", '{');
    ice_put_text(json, "comment", "samples, each value as a double however its file stores it");
    ice_put_close(json, '}');
    ice_put_close(json, '}');
}
