/* The Avro schemas of manifests and manifest lists: field ids and names of Iceberg's specification. */
#include "iceberg/manifest_internal.h"

#include <inttypes.h>

#define OPTIONAL(type_) "[\"null\"," type_ "],\"default\":null"
#define MAP_OF(key_, value_, type_)                                                                \
    OPTIONAL("{\"type\":\"array\",\"logicalType\":\"map\",\"items\":{\"type\":\"record\","         \
             "\"name\":\"k" key_ "_v" value_ "\",\"fields\":["                                     \
             "{\"name\":\"key\",\"type\":\"int\",\"field-id\":" key_ "},"                          \
             "{\"name\":\"value\",\"type\":" type_ ",\"field-id\":" value_ "}]}}")

static const char entry_begin[] =
    "{\"type\":\"record\",\"name\":\"manifest_entry\",\"fields\":["
    "{\"name\":\"status\",\"type\":\"int\",\"field-id\":0},"
    "{\"name\":\"snapshot_id\",\"type\":" OPTIONAL(
        "\"long\"") ",\"field-id\":1},"
                    "{\"name\":\"sequence_number\",\"type\":" OPTIONAL(
                        "\"long\"") ",\"field-id\":3},"
                                    "{\"name\":\"file_sequence_number\",\"type\":" OPTIONAL(
                                        "\"long\"") ",\"field-id\":4},"
                                                    "{\"name\":\"data_file\",\"field-id\":2,"
                                                    "\"type\":{\"type\":\"record\",\"name\":\"r2\","
                                                    "\"fields\":["
                                                    "{\"name\":\"content\",\"type\":\"int\","
                                                    "\"field-id\":134},"
                                                    "{\"name\":\"file_path\",\"type\":\"string\","
                                                    "\"field-id\":100},"
                                                    "{\"name\":\"file_format\",\"type\":\"string\","
                                                    "\"field-id\":101},"
                                                    "{\"name\":\"partition\",\"field-id\":102,"
                                                    "\"type\":{\"type\":\"record\",\"name\":"
                                                    "\"r102\",\"fields\":[";

static const char entry_end[] =
    "]}},"
    "{\"name\":\"record_count\",\"type\":\"long\",\"field-id\":103},"
    "{\"name\":\"file_size_in_bytes\",\"type\":\"long\",\"field-id\":104},"
    "{\"name\":\"column_sizes\",\"type\":" MAP_OF(
        "117", "118",
        "\"long\"") ",\"field-id\":108},"
                    "{\"name\":\"value_counts\",\"type\":" MAP_OF(
                        "119", "120",
                        "\"long\"") ",\"field-id\":109},"
                                    "{\"name\":\"null_value_counts\",\"type\":" MAP_OF(
                                        "121", "122",
                                        "\"long\"") ",\"field-id\":110},"
                                                    "{\"name\":\"nan_value_counts\","
                                                    "\"type\":" MAP_OF(
                                                        "138", "139",
                                                        "\"long\"") ",\"field-id\":137},"
                                                                    "{\"name\":\"lower_bounds\","
                                                                    "\"type\":" MAP_OF(
                                                                        "126", "127",
                                                                        "\"bytes\"") ",\"field-"
                                                                                     "id\":125},"
                                                                                     "{\"name\":"
                                                                                     "\"upper_"
                                                                                     "bounds\","
                                                                                     "\"type\""
                                                                                     ":" MAP_OF(
                                                                                         "129",
                                                                                         "130",
                                                                                         "\"bytes"
                                                                                         "\"") ",\""
                                                                                               "fie"
                                                                                               "ld-"
                                                                                               "id"
                                                                                               "\":"
                                                                                               "128"
                                                                                               "},"
                                                                                               "{\""
                                                                                               "nam"
                                                                                               "e\""
                                                                                               ":\""
                                                                                               "spl"
                                                                                               "it_"
                                                                                               "off"
                                                                                               "set"
                                                                                               "s\""
                                                                                               ",\""
                                                                                               "typ"
                                                                                               "e\""
                                                                                               ":" OPTIONAL(
                                                                                                   "{\"type\":\"array\",\"items\":\"long\",\"element-id\":133}") ",\"field-id\":132},"
                                                                                                                                                                 "{\"name\":\"sort_order_id\",\"type\":" OPTIONAL(
                                                                                                                                                                     "\"int\"") ",\"field-id\":140}"
                                                                                                                                                                                "]}}]}";

static const char list_schema[] =
    "{\"type\":\"record\",\"name\":\"manifest_file\",\"fields\":["
    "{\"name\":\"manifest_path\",\"type\":\"string\",\"field-id\":500},"
    "{\"name\":\"manifest_length\",\"type\":\"long\",\"field-id\":501},"
    "{\"name\":\"partition_spec_id\",\"type\":\"int\",\"field-id\":502},"
    "{\"name\":\"content\",\"type\":\"int\",\"field-id\":517},"
    "{\"name\":\"sequence_number\",\"type\":\"long\",\"field-id\":515},"
    "{\"name\":\"min_sequence_number\",\"type\":\"long\",\"field-id\":516},"
    "{\"name\":\"added_snapshot_id\",\"type\":\"long\",\"field-id\":503},"
    "{\"name\":\"added_files_count\",\"type\":\"int\",\"field-id\":504},"
    "{\"name\":\"existing_files_count\",\"type\":\"int\",\"field-id\":505},"
    "{\"name\":\"deleted_files_count\",\"type\":\"int\",\"field-id\":506},"
    "{\"name\":\"added_rows_count\",\"type\":\"long\",\"field-id\":512},"
    "{\"name\":\"existing_rows_count\",\"type\":\"long\",\"field-id\":513},"
    "{\"name\":\"deleted_rows_count\",\"type\":\"long\",\"field-id\":514},"
    "{\"name\":\"partitions\",\"field-id\":507,\"type\":" OPTIONAL(
        "{\"type\":\"array\",\"element-id\":508,\"items\":{\"type\":\"record\",\"name\":\"r508\","
        "\"fields\":["
        "{\"name\":\"contains_null\",\"type\":\"boolean\",\"field-id\":509},"
        "{\"name\":\"contains_nan\",\"type\":[\"null\",\"boolean\"],\"default\":null,\"field-id\":"
        "518},"
        "{\"name\":\"lower_bound\",\"type\":[\"null\",\"bytes\"],\"default\":null,\"field-id\":510}"
        ","
        "{\"name\":\"upper_bound\",\"type\":[\"null\",\"bytes\"],\"default\":null,\"field-id\":511}"
        "]}}") "}]}";

struct mrd_bytes ice_list_schema(void) { return MRD_BYTES(list_schema); }

/* A day is a date, a month a number of months. */
void ice_entry_schema(const struct mrd_iceberg_spec *specs, size_t spec_id, struct mrd_buf *out)
{
    const struct mrd_iceberg_spec *spec = &specs[spec_id];
    int32_t id = ice_partition_id(specs, spec_id);
    mrd_buf_append_text(out, entry_begin);
    for (size_t i = 0; i < spec->field_count; i++) {
        const char *type = spec->fields[i].transform == MRD_ICEBERG_DAY
                               ? "{\"type\":\"int\",\"logicalType\":\"date\"}"
                               : "\"int\"";
        mrd_buf_printf(
            out,
            "%s{\"name\":\"%s\",\"type\":[\"null\",%s],\"default\":null,\"field-id\":%" PRId32 "}",
            i == 0 ? "" : ",", spec->fields[i].name, type, id++);
    }
    mrd_buf_append_text(out, entry_end);
}
