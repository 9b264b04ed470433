/* Manifests and manifest lists: structs to Avro files. */
#include <inttypes.h>
#include <stdio.h>

#include "iceberg/manifest_internal.h"

/* ---- check ---- */

static enum mrd_status bad_file(const struct mrd_iceberg_file *file, const char *what, int32_t id,
                                struct mrd_error *err)
{
    return mrd_fail(err, MRD_E_INVALID, "data file %.200s: %s (column %" PRId32 ")",
                    file->path == NULL ? "without a path" : file->path, what, id);
}

static bool bound_fits(bool present, struct mrd_bytes bound, enum mrd_iceberg_type type)
{
    const size_t size = mrd_iceberg_type_size(type);
    return !present || (size == 0 ? bound.size <= MRD_ICEBERG_BOUND_SIZE_MAX : bound.size == size);
}

static enum mrd_status check_column(const struct mrd_iceberg_file *file,
                                    const struct mrd_iceberg_column *column,
                                    const struct mrd_iceberg_schema *schema, struct mrd_error *err)
{
    enum mrd_iceberg_type type = MRD_ICEBERG_STRING_MAP;
    const struct mrd_iceberg_field *field =
        mrd_iceberg_field_find(schema->fields, schema->field_count, column->field_id, &type);
    if (field == NULL || type == MRD_ICEBERG_STRING_MAP) {
        return bad_file(file, "the table has no such leaf", column->field_id, err);
    }
    const bool flat = field->type != MRD_ICEBERG_STRING_MAP;
    if (column->null_count > column->value_count ||
        column->nan_count > column->value_count - column->null_count ||
        (column->nan_count > 0 && type != MRD_ICEBERG_DOUBLE) ||
        (flat && column->value_count != file->row_count) ||
        (flat && field->required && column->null_count > 0) ||
        MRD_MAX(column->value_count, column->stored_size) > INT64_MAX) {
        return bad_file(file, "its counts contradict each other", column->field_id, err);
    }
    if (!bound_fits(column->has_min, column->min, type) ||
        !bound_fits(column->has_max, column->max, type)) {
        return bad_file(file, "a bound has not the size of its type", column->field_id, err);
    }
    return MRD_OK;
}

enum mrd_status mrd_iceberg_file_check(const struct mrd_iceberg_file *file,
                                       const struct mrd_iceberg_schema *schema,
                                       const struct mrd_iceberg_spec *specs, size_t spec_count,
                                       struct mrd_error *err)
{
    (void)specs;
    if (file->path == NULL || file->size == 0 || MRD_MAX(file->size, file->row_count) > INT64_MAX ||
        file->spec_id >= spec_count || file->column_count > MRD_ICEBERG_FILE_COLUMNS_MAX ||
        file->split_count > MRD_ICEBERG_SPLITS_MAX) {
        return bad_file(file, "no path or size, no such spec, or too many columns", 0, err);
    }
    for (size_t i = 0; i < file->column_count; i++) {
        MRD_TRY(check_column(file, &file->columns[i], schema, err));
        for (size_t j = 0; j < i; j++) {
            if (file->columns[j].field_id == file->columns[i].field_id) {
                return bad_file(file, "twice there", file->columns[i].field_id, err);
            }
        }
    }
    for (size_t i = 0; i < file->split_count; i++) {
        if (file->split_offsets[i] >= file->size ||
            (i > 0 && file->split_offsets[i] <= file->split_offsets[i - 1])) {
            return bad_file(file, "its split offsets do not rise within it", 0, err);
        }
    }
    return MRD_OK;
}

/* ---- manifests ---- */

/* Few entries are a small part of the file, whose schemas no codec packs, and not worth setting one up. Most tables have few files. */
static enum mrd_avro_codec codec_of(size_t entries)
{
    enum { PLAIN_ENTRIES_MAX = 4 };
    return entries <= PLAIN_ENTRIES_MAX ? MRD_AVRO_NULL : MRD_AVRO_DEFLATE;
}

enum count_kind { STORED, VALUES, NULLS, NANS };

static bool is_double(const struct mrd_iceberg_schema *schema, int32_t id)
{
    enum mrd_iceberg_type type = MRD_ICEBERG_STRING;
    (void)mrd_iceberg_field_find(schema->fields, schema->field_count, id, &type);
    return type == MRD_ICEBERG_DOUBLE;
}

static void put_counts(struct mrd_buf *out, const struct mrd_iceberg_file *file,
                       const struct mrd_iceberg_schema *schema, enum count_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < file->column_count; i++) {
        count += kind != NANS || is_double(schema, file->columns[i].field_id);
    }
    mrd_avro_put_long(out, 1); /* not null */
    mrd_avro_put_items(out, count);
    for (size_t i = 0; i < file->column_count; i++) {
        const struct mrd_iceberg_column *column = &file->columns[i];
        const uint64_t values[] = {column->stored_size, column->value_count, column->null_count,
                                   column->nan_count};
        if (kind != NANS || is_double(schema, column->field_id)) {
            mrd_avro_put_long(out, column->field_id);
            mrd_avro_put_long(out, (int64_t)values[kind]);
        }
    }
    mrd_avro_put_end(out);
}

static void put_bounds(struct mrd_buf *out, const struct mrd_iceberg_file *file, bool upper)
{
    size_t count = 0;
    for (size_t i = 0; i < file->column_count; i++) {
        count += upper ? file->columns[i].has_max : file->columns[i].has_min;
    }
    mrd_avro_put_long(out, 1);
    mrd_avro_put_items(out, count);
    for (size_t i = 0; i < file->column_count; i++) {
        const struct mrd_iceberg_column *column = &file->columns[i];
        if (upper ? column->has_max : column->has_min) {
            mrd_avro_put_long(out, column->field_id);
            mrd_avro_put_bytes(out, upper ? column->max : column->min);
        }
    }
    mrd_avro_put_end(out);
}

static void put_maybe(struct mrd_buf *out, bool present, int64_t value)
{
    mrd_avro_put_long(out, present);
    if (present) {
        mrd_avro_put_long(out, value);
    }
}

static void put_file(struct mrd_buf *out, const struct mrd_iceberg_file *file,
                     const struct mrd_iceberg_manifest_options *options)
{
    mrd_avro_put_long(out, 0); /* content: data */
    mrd_avro_put_bytes(out, mrd_bytes_of(file->path));
    mrd_avro_put_bytes(out, MRD_BYTES("PARQUET"));
    for (size_t i = 0; i < options->specs[options->spec_id].field_count; i++) {
        put_maybe(out, true, file->partition[i]);
    }
    mrd_avro_put_long(out, (int64_t)file->row_count);
    mrd_avro_put_long(out, (int64_t)file->size);
    for (int kind = STORED; kind <= NANS; kind++) {
        put_counts(out, file, options->schema, (enum count_kind)kind);
    }
    put_bounds(out, file, false);
    put_bounds(out, file, true);
    mrd_avro_put_long(out, file->split_count > 0);
    if (file->split_count > 0) {
        mrd_avro_put_items(out, file->split_count);
        for (size_t i = 0; i < file->split_count; i++) {
            mrd_avro_put_long(out, (int64_t)file->split_offsets[i]);
        }
        mrd_avro_put_end(out);
    }
    put_maybe(out, true, file->sorted ? MRD_ICEBERG_SORT_ID : 0);
}

/* A file that this snapshot adds inherits its numbers, others have them written out. */
static void put_entry(struct mrd_buf *out, const struct mrd_iceberg_entry *entry,
                      const struct mrd_iceberg_manifest_options *options)
{
    const bool own = entry->status == MRD_ICEBERG_ADDED;
    mrd_avro_put_long(out, (int64_t)entry->status);
    put_maybe(out, true, own ? options->snapshot_id : entry->snapshot_id);
    put_maybe(out, !own, entry->sequence_number);
    put_maybe(out, !own, entry->sequence_number);
    put_file(out, &entry->file, options);
}

static void count_partition(struct mrd_iceberg_manifest *out, const struct mrd_iceberg_file *file,
                            bool first)
{
    for (size_t i = 0; i < MRD_ICEBERG_PARTITION_FIELDS_MAX; i++) {
        const int32_t value = file->partition[i];
        out->partition_min[i] = first ? value : MRD_MIN(out->partition_min[i], value);
        out->partition_max[i] = first ? value : MRD_MAX(out->partition_max[i], value);
    }
}

static void count_entry(struct mrd_iceberg_manifest *out, const struct mrd_iceberg_entry *entry)
{
    switch (entry->status) {
    case MRD_ICEBERG_ADDED:
        out->added_files++;
        out->added_rows += entry->file.row_count;
        break;
    case MRD_ICEBERG_EXISTING:
        out->existing_files++;
        out->existing_rows += entry->file.row_count;
        break;
    case MRD_ICEBERG_DELETED:
        out->deleted_files++;
        out->deleted_rows += entry->file.row_count;
        return;
    }
    const int64_t sequence =
        entry->status == MRD_ICEBERG_ADDED ? out->sequence_number : entry->sequence_number;
    out->min_sequence_number = MRD_MIN(out->min_sequence_number, sequence);
}

static enum mrd_status write_entries(const struct mrd_iceberg_manifest_options *options,
                                     const struct mrd_iceberg_entry *entries, size_t count,
                                     struct mrd_avro_writer *writer, struct mrd_error *err)
{
    for (size_t i = 0; i < count; i++) {
        put_entry(&writer->block, &entries[i], options);
        mrd_avro_writer_end_record(writer);
    }
    return mrd_avro_writer_close(writer, err);
}

enum mrd_status mrd_iceberg_manifest_write(const struct mrd_iceberg_manifest_options *options,
                                           const struct mrd_iceberg_entry *entries, size_t count,
                                           struct mrd_buf *out_bytes,
                                           struct mrd_iceberg_manifest *out, struct mrd_error *err)
{
    mrd_assert(count > 0 && count <= MRD_ICEBERG_MANIFEST_FILES_MAX);
    struct mrd_iceberg_manifest manifest = {.spec_id = options->spec_id,
                                            .sequence_number = options->sequence_number,
                                            .min_sequence_number = options->sequence_number,
                                            .added_snapshot_id = options->snapshot_id};
    for (size_t i = 0; i < count; i++) {
        mrd_assert(entries[i].file.spec_id == options->spec_id);
        count_entry(&manifest, &entries[i]);
        count_partition(&manifest, &entries[i].file, i == 0);
    }
    mrd_auto(mrd_buf_fini)
    struct mrd_buf avro = {0};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf schema = {0};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf spec = {0};
    char ids[2][16];
    (void)snprintf(ids[0], sizeof(ids[0]), "%" PRId32, options->schema->id);
    (void)snprintf(ids[1], sizeof(ids[1]), "%" PRIu32, options->spec_id);
    ice_entry_schema(options->specs, options->spec_id, &avro);
    struct ice_json_writer schema_json = {.out = &schema};
    struct ice_json_writer spec_json = {.out = &spec};
    ice_put_schema(&schema_json, NULL, options->schema);
    ice_put_spec_fields(&spec_json, NULL, options->specs, options->spec_id);
    MRD_TRY(ice_put_end(&schema_json, err));
    MRD_TRY(ice_put_end(&spec_json, err));
    const struct mrd_avro_pair pairs[] = {
        {MRD_BYTES("schema"),            mrd_buf_view(&schema)},
        {MRD_BYTES("schema-id"),         mrd_bytes_of(ids[0]) },
        {MRD_BYTES("partition-spec"),    mrd_buf_view(&spec)  },
        {MRD_BYTES("partition-spec-id"), mrd_bytes_of(ids[1]) },
        {MRD_BYTES("format-version"),    MRD_BYTES("2")       },
        {MRD_BYTES("content"),           MRD_BYTES("data")    },
    };
    const size_t before = out_bytes->size;
    mrd_auto(mrd_avro_writer_fini)
    struct mrd_avro_writer writer;
    mrd_avro_writer_init(&writer, out_bytes, codec_of(count), mrd_buf_view(&avro), pairs,
                         MRD_ARRAY_LEN(pairs), options->sync);
    MRD_TRY(write_entries(options, entries, count, &writer, err));
    manifest.size = out_bytes->size - before;
    *out = manifest;
    return MRD_OK;
}

/* ---- manifest lists ---- */

static void put_partition_bound(struct mrd_buf *out, int32_t value)
{
    uint8_t bytes[4];
    memcpy(bytes, &value, sizeof(bytes)); /* little-endian, as all single values */
    mrd_avro_put_long(out, 1);
    mrd_avro_put_bytes(out, (struct mrd_bytes){bytes, sizeof(bytes)});
}

static void put_partitions(struct mrd_buf *out, const struct mrd_iceberg_manifest *manifest,
                           const struct mrd_iceberg_spec *spec)
{
    mrd_avro_put_long(out, 1);
    mrd_avro_put_items(out, spec->field_count);
    for (size_t i = 0; i < spec->field_count; i++) {
        mrd_avro_put_boolean(out, false); /* contains_null */
        mrd_avro_put_long(out, 1);
        mrd_avro_put_boolean(out, false); /* contains_nan */
        put_partition_bound(out, manifest->partition_min[i]);
        put_partition_bound(out, manifest->partition_max[i]);
    }
    mrd_avro_put_end(out);
}

static void put_manifest(struct mrd_buf *out, const struct mrd_iceberg_manifest *manifest,
                         const struct mrd_iceberg_spec *specs)
{
    mrd_avro_put_bytes(out, mrd_bytes_of(manifest->path));
    mrd_avro_put_long(out, (int64_t)manifest->size);
    mrd_avro_put_long(out, manifest->spec_id);
    mrd_avro_put_long(out, 0); /* content: data */
    mrd_avro_put_long(out, manifest->sequence_number);
    mrd_avro_put_long(out, manifest->min_sequence_number);
    mrd_avro_put_long(out, manifest->added_snapshot_id);
    mrd_avro_put_long(out, manifest->added_files);
    mrd_avro_put_long(out, manifest->existing_files);
    mrd_avro_put_long(out, manifest->deleted_files);
    mrd_avro_put_long(out, (int64_t)manifest->added_rows);
    mrd_avro_put_long(out, (int64_t)manifest->existing_rows);
    mrd_avro_put_long(out, (int64_t)manifest->deleted_rows);
    put_partitions(out, manifest, &specs[manifest->spec_id]);
}

enum mrd_status mrd_iceberg_list_write(const struct mrd_iceberg_list_options *options,
                                       const struct mrd_iceberg_manifest *manifests, size_t count,
                                       struct mrd_buf *out, struct mrd_error *err)
{
    char texts[3][24];
    (void)snprintf(texts[0], sizeof(texts[0]), "%" PRId64, options->snapshot_id);
    (void)snprintf(texts[1], sizeof(texts[1]), "%" PRId64, options->parent_id);
    (void)snprintf(texts[2], sizeof(texts[2]), "%" PRId64, options->sequence_number);
    const struct mrd_avro_pair pairs[] = {
        {MRD_BYTES("snapshot-id"),        mrd_bytes_of(texts[0])             },
        {MRD_BYTES("parent-snapshot-id"),
         options->parent_id == 0 ? MRD_BYTES("null") : mrd_bytes_of(texts[1])},
        {MRD_BYTES("sequence-number"),    mrd_bytes_of(texts[2])             },
        {MRD_BYTES("format-version"),     MRD_BYTES("2")                     },
    };
    mrd_auto(mrd_avro_writer_fini)
    struct mrd_avro_writer writer;
    mrd_avro_writer_init(&writer, out, codec_of(count), ice_list_schema(), pairs,
                         MRD_ARRAY_LEN(pairs), options->sync);
    for (size_t i = 0; i < count; i++) {
        put_manifest(&writer.block, &manifests[i], options->specs);
        mrd_avro_writer_end_record(&writer);
    }
    return mrd_avro_writer_close(&writer, err);
}
