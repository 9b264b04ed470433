#include "iceberg/tables.h"

static const struct {
    int32_t id;
    const char *doc;
} docs[] = {
    {MRD_BLOCK_FIELD_METRIC,    "name of the metric"                                          },
    {MRD_BLOCK_FIELD_LABELS,    "all labels but the name of the metric"                       },
    {MRD_BLOCK_FIELD_SERIES_ID, "low 64 bits of the series' id"                               },
    {MRD_BLOCK_FIELD_VALUE,     "NULL is a staleness marker, or the row is a native histogram"},
    {MRD_BLOCK_FIELD_ST,        "since when a counter counts, if its sender says so"          },
    {MRD_BLOCK_FIELD_H_COUNT,   "native histogram: number of observations"                    },
    {MRD_BLOCK_FIELD_H_SUM,     "native histogram: sum of observations"                       },
    {MRD_BLOCK_FIELD_H_CHUNK,   "native histograms, encoded; on the first row of each chunk"  },
    {MRD_BLOCK_FIELD_HLC,       "stamp of the write, where blocks are not yet merged"         },
    {MRD_BLOCK_FIELD_SAMPLES,   "rows of the table of samples in the same day or month"       },
    {MRD_BLOCK_FIELD_COUNT,     "samples of the window, without staleness markers"            },
    {MRD_BLOCK_FIELD_INCREASE,  "of a counter from first to last, resets made good"           },
    {MRD_BLOCK_FIELD_SUM_ERROR, "what was lost of the sum in rounding; NULL: nothing"         },
    {MRD_BLOCK_FIELD_LOST,      "values before resets, added up; NULL: no resets"             },
    {MRD_BLOCK_FIELD_STALE_TS,  "time of the last staleness marker"                           },
    {MRD_BLOCK_FIELD_STATE,     "the row, encoded, where its columns do not say it all"       },
};

static enum mrd_iceberg_type type_of(enum mrd_block_column_type type)
{
    switch (type) {
    case MRD_BLOCK_STRING:
        return MRD_ICEBERG_STRING;
    case MRD_BLOCK_BINARY:
        return MRD_ICEBERG_BINARY;
    case MRD_BLOCK_INT:
        return MRD_ICEBERG_INT;
    case MRD_BLOCK_LONG:
        return MRD_ICEBERG_LONG;
    case MRD_BLOCK_DOUBLE:
        return MRD_ICEBERG_DOUBLE;
    case MRD_BLOCK_TIMESTAMPTZ:
        return MRD_ICEBERG_TIMESTAMPTZ;
    case MRD_BLOCK_STRING_MAP:
        return MRD_ICEBERG_STRING_MAP;
    }
    mrd_assert(false);
    return MRD_ICEBERG_STRING;
}

static void add_column(struct mrd_iceberg_table_definition *out,
                       const struct mrd_block_column *column)
{
    struct mrd_iceberg_field *field = &out->fields[out->definition.field_count++];
    *field = (struct mrd_iceberg_field){
        .id = column->field_id,
        .name = column->name,
        .type = type_of(column->type),
        .required = column->required,
        .key_id = column->key_id,
        .value_id = column->value_id,
        .value_required = column->type == MRD_BLOCK_STRING_MAP,
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(docs); i++) {
        if (docs[i].id == field->id && !column->promoted) {
            field->doc = docs[i].doc;
        }
    }
}

/* What all tables have in common: order by metric, nothing else. The order within a metric is that of the labels as they
 * are compared in blocks, for which Iceberg has no word. */
static void begin(struct mrd_iceberg_table_definition *out)
{
    memset(out, 0, sizeof(*out));
    out->sort[0] = (struct mrd_iceberg_sort_field){.source_id = MRD_BLOCK_FIELD_METRIC};
    out->properties[0] = (struct mrd_iceberg_property){"write.format.default", "parquet"};
    /* Those who maintain tables by themselves are told not to: files and snapshots are the catalog's to remove. */
    out->properties[1] = (struct mrd_iceberg_property){"gc.enabled", "false"};
    out->definition.fields = out->fields;
    out->definition.specs = out->specs;
    out->definition.sort = out->sort;
    out->definition.sort_count = 1;
    out->definition.properties = out->properties;
    out->definition.property_count = 2;
}

/* By day and by month of a column, with names as Iceberg gives them. */
static void add_specs(struct mrd_iceberg_table_definition *out, int32_t source_id, const char *day,
                      const char *month)
{
    out->specs[MRD_ICEBERG_BY_DAY] =
        (struct mrd_iceberg_spec){.fields = {{source_id, MRD_ICEBERG_DAY, day}}, .field_count = 1};
    out->specs[MRD_ICEBERG_BY_MONTH] = (struct mrd_iceberg_spec){
        .fields = {{source_id, MRD_ICEBERG_MONTH, month}}, .field_count = 1};
    out->definition.spec_count = 2;
}

void mrd_iceberg_samples_table(const struct mrd_block_schema *schema,
                               struct mrd_iceberg_table_definition *out)
{
    begin(out);
    for (size_t i = 0; i < schema->column_count; i++) {
        add_column(out, &schema->columns[i]);
    }
    add_specs(out, MRD_BLOCK_FIELD_TS, "ts_day", "ts_month");
}

void mrd_iceberg_rollup_table(const struct mrd_block_schema *schema,
                              struct mrd_iceberg_table_definition *out)
{
    mrd_assert(mrd_block_schema_find(schema, MRD_BLOCK_FIELD_COUNT) >= 0);
    begin(out);
    for (size_t i = 0; i < schema->column_count; i++) {
        add_column(out, &schema->columns[i]);
        if (schema->columns[i].field_id == MRD_BLOCK_FIELD_TS) {
            out->fields[i].doc = "end of the window, which belongs to it; its beginning does not";
        }
    }
    out->definition.spec_count = 1; /* not partitioned */
}

void mrd_iceberg_series_table(const struct mrd_block_schema *schema,
                              struct mrd_iceberg_table_definition *out)
{
    mrd_assert(mrd_block_schema_find(schema, MRD_BLOCK_FIELD_SAMPLES) >= 0);
    begin(out);
    for (size_t i = 0; i < schema->column_count; i++) {
        add_column(out, &schema->columns[i]);
    }
    add_specs(out, MRD_BLOCK_FIELD_FIRST_TS, "first_ts_day", "first_ts_month");
}

/* ---- blocks ---- */

static enum mrd_status columns_of(const struct mrd_block_listed_file *listed,
                                  struct mrd_arena *arena, struct mrd_iceberg_file *out,
                                  struct mrd_error *err)
{
    struct mrd_iceberg_column *columns =
        mrd_arena_alloc(arena, MRD_MAX(listed->column_count, (size_t)1) * sizeof(*columns));
    if (columns == NULL) {
        return mrd_arena_fail(arena, err);
    }
    for (size_t i = 0; i < listed->column_count; i++) {
        const struct mrd_block_file_column *from = &listed->columns[i];
        columns[i] = (struct mrd_iceberg_column){
            .field_id = from->field_id,
            .stored_size = from->stored_size,
            .value_count = from->value_count,
            .null_count = from->null_count,
            .nan_count = from->nan_count,
            .has_min = from->has_min,
            .has_max = from->has_max,
            .min = from->min,
            .max = from->max,
        };
    }
    out->columns = columns;
    out->column_count = listed->column_count;
    return MRD_OK;
}

static enum mrd_status file_of(const struct mrd_block_entry *entry,
                               const struct mrd_block_listed_file *listed, uint64_t rows,
                               uint32_t spec_id, struct mrd_arena *arena,
                               struct mrd_iceberg_file *out, struct mrd_error *err)
{
    const bool rollup = entry->resolution_ms != 0;
    mrd_assert(spec_id <= (rollup ? MRD_ICEBERG_ROLLUP_WHOLE : MRD_ICEBERG_BY_MONTH));
    const enum mrd_iceberg_transform transform =
        spec_id == MRD_ICEBERG_BY_DAY ? MRD_ICEBERG_DAY : MRD_ICEBERG_MONTH;
    const int32_t first = mrd_iceberg_partition_of_ms(transform, entry->counts.min_ms);
    const int32_t last = mrd_iceberg_partition_of_ms(transform, entry->counts.max_ms);
    if (entry->level == 0 || (!rollup && first != last)) {
        return mrd_fail(err, MRD_E_INVALID,
                        "block %.*s cannot be in a table: it is of level %u and goes over %d %ss",
                        MRD_FMT(entry->id), entry->level, last - first + 1,
                        mrd_iceberg_transform_name(transform));
    }
    struct mrd_iceberg_file file = {
        .path = (const char *)mrd_arena_copy(arena, listed->file.key).data,
        .size = listed->file.size,
        .row_count = rows,
        .spec_id = spec_id,
        .partition = {rollup ? 0 : first},
        .sorted = true,
        .split_offsets = listed->row_group_offsets,
        .split_count = listed->row_group_count,
    };
    if (file.path == NULL) {
        return mrd_arena_fail(arena, err);
    }
    MRD_TRY(columns_of(listed, arena, &file, err));
    *out = file;
    return MRD_OK;
}

enum mrd_status mrd_iceberg_file_of_block(const struct mrd_block_entry *entry, uint32_t spec_id,
                                          struct mrd_arena *arena, struct mrd_iceberg_file *out,
                                          struct mrd_error *err)
{
    const struct mrd_block_listed_file data = {entry->data, entry->columns, entry->column_count,
                                               entry->row_group_offsets, entry->row_group_count};
    return file_of(entry, &data, entry->counts.samples + entry->counts.histograms, spec_id, arena,
                   out, err);
}

enum mrd_status mrd_iceberg_series_of_block(const struct mrd_block_entry *entry, uint32_t spec_id,
                                            struct mrd_arena *arena, struct mrd_iceberg_file *out,
                                            struct mrd_error *err)
{
    mrd_assert(entry->series_file.file.key.size > 0);
    return file_of(entry, &entry->series_file, entry->counts.series, spec_id, arena, out, err);
}
