#include "block/schema.h"

#include <strings.h>

static void add(struct mrd_block_schema *schema, const char *name, int32_t field_id,
                enum mrd_block_column_type type, bool required)
{
    mrd_assert(schema->column_count < MRD_BLOCK_COLUMNS_MAX);
    schema->columns[schema->column_count++] = (struct mrd_block_column){
        .name = name, .field_id = field_id, .type = type, .required = required};
}

static void add_promoted(struct mrd_block_schema *schema,
                         const struct mrd_block_schema_options *options)
{
    for (size_t i = 0; i < options->promoted_count; i++) {
        add(schema, options->promoted[i].label, options->promoted[i].field_id, MRD_BLOCK_STRING,
            false);
        schema->columns[schema->column_count - 1].promoted = true;
    }
}

static void add_values(struct mrd_block_schema *schema, bool compact)
{
    add(schema, "series_id", MRD_BLOCK_FIELD_SERIES_ID, MRD_BLOCK_LONG, true);
    add(schema, "ts", MRD_BLOCK_FIELD_TS, MRD_BLOCK_TIMESTAMPTZ, true);
    add(schema, "value", MRD_BLOCK_FIELD_VALUE, MRD_BLOCK_DOUBLE, false);
    if (compact) {
        add(schema, "value_i", MRD_BLOCK_FIELD_VALUE_I, MRD_BLOCK_LONG, false);
        add(schema, "value_e", MRD_BLOCK_FIELD_VALUE_E, MRD_BLOCK_INT, false);
    }
    add(schema, "st", MRD_BLOCK_FIELD_ST, MRD_BLOCK_TIMESTAMPTZ, false);
    add(schema, "h_count", MRD_BLOCK_FIELD_H_COUNT, MRD_BLOCK_DOUBLE, false);
    add(schema, "h_sum", MRD_BLOCK_FIELD_H_SUM, MRD_BLOCK_DOUBLE, false);
    add(schema, "h_schema", MRD_BLOCK_FIELD_H_SCHEMA, MRD_BLOCK_INT, false);
    add(schema, "h_zero_threshold", MRD_BLOCK_FIELD_H_ZERO_THRESHOLD, MRD_BLOCK_DOUBLE, false);
    add(schema, "h_zero_count", MRD_BLOCK_FIELD_H_ZERO_COUNT, MRD_BLOCK_DOUBLE, false);
    add(schema, "h_chunk", MRD_BLOCK_FIELD_H_CHUNK, MRD_BLOCK_BINARY, false);
    add(schema, "hlc", MRD_BLOCK_FIELD_HLC, MRD_BLOCK_LONG, false);
}

/* What only the files of rollups have. */
static const struct mrd_block_column rollup_columns[] = {
    {"count",      MRD_BLOCK_FIELD_COUNT,      MRD_BLOCK_LONG,        true,  0, 0, false},
    {"sum",        MRD_BLOCK_FIELD_SUM,        MRD_BLOCK_DOUBLE,      false, 0, 0, false},
    {"min",        MRD_BLOCK_FIELD_MIN,        MRD_BLOCK_DOUBLE,      false, 0, 0, false},
    {"max",        MRD_BLOCK_FIELD_MAX,        MRD_BLOCK_DOUBLE,      false, 0, 0, false},
    {"first",      MRD_BLOCK_FIELD_FIRST,      MRD_BLOCK_DOUBLE,      false, 0, 0, false},
    {"last",       MRD_BLOCK_FIELD_LAST,       MRD_BLOCK_DOUBLE,      false, 0, 0, false},
    {"first_ts",   MRD_BLOCK_FIELD_FIRST_TS,   MRD_BLOCK_TIMESTAMPTZ, false, 0, 0, false},
    {"last_ts",    MRD_BLOCK_FIELD_LAST_TS,    MRD_BLOCK_TIMESTAMPTZ, false, 0, 0, false},
    {"increase",   MRD_BLOCK_FIELD_INCREASE,   MRD_BLOCK_DOUBLE,      false, 0, 0, false},
    {"resets",     MRD_BLOCK_FIELD_RESETS,     MRD_BLOCK_LONG,        false, 0, 0, false},
    {"changes",    MRD_BLOCK_FIELD_CHANGES,    MRD_BLOCK_LONG,        false, 0, 0, false},
    {"sum_error",  MRD_BLOCK_FIELD_SUM_ERROR,  MRD_BLOCK_DOUBLE,      false, 0, 0, false},
    {"lost",       MRD_BLOCK_FIELD_LOST,       MRD_BLOCK_DOUBLE,      false, 0, 0, false},
    {"first_st",   MRD_BLOCK_FIELD_FIRST_ST,   MRD_BLOCK_TIMESTAMPTZ, false, 0, 0, false},
    {"last_st",    MRD_BLOCK_FIELD_LAST_ST,    MRD_BLOCK_TIMESTAMPTZ, false, 0, 0, false},
    {"stale_ts",   MRD_BLOCK_FIELD_STALE_TS,   MRD_BLOCK_TIMESTAMPTZ, false, 0, 0, false},
    {"histograms", MRD_BLOCK_FIELD_HISTOGRAMS, MRD_BLOCK_LONG,        false, 0, 0, false},
    {"state",      MRD_BLOCK_FIELD_STATE,      MRD_BLOCK_BINARY,      false, 0, 0, false},
};

static void add_rows(struct mrd_block_schema *schema)
{
    add(schema, "series_id", MRD_BLOCK_FIELD_SERIES_ID, MRD_BLOCK_LONG, true);
    add(schema, "ts", MRD_BLOCK_FIELD_TS, MRD_BLOCK_TIMESTAMPTZ, true);
    for (size_t i = 0; i < MRD_ARRAY_LEN(rollup_columns); i++) {
        const struct mrd_block_column *column = &rollup_columns[i];
        add(schema, column->name, column->field_id, column->type, column->required);
    }
}

static void add_series(struct mrd_block_schema *schema)
{
    add(schema, "series_id", MRD_BLOCK_FIELD_SERIES_ID, MRD_BLOCK_LONG, true);
    add(schema, "first_ts", MRD_BLOCK_FIELD_FIRST_TS, MRD_BLOCK_TIMESTAMPTZ, true);
    add(schema, "last_ts", MRD_BLOCK_FIELD_LAST_TS, MRD_BLOCK_TIMESTAMPTZ, true);
    add(schema, "samples", MRD_BLOCK_FIELD_SAMPLES, MRD_BLOCK_LONG, true);
}

static bool is_column_name(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    static const char all[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    return name != NULL && name[0] != '\0' && strchr(letters, name[0]) != NULL &&
           name[strspn(name, all)] == '\0';
}

/* Also against the columns that this file does not have, so that every table of the tenant can have the label. */
static enum mrd_status check_promoted(const struct mrd_block_schema *schema,
                                      const struct mrd_block_column *column, struct mrd_error *err)
{
    if (!is_column_name(column->name)) {
        return mrd_fail(err, MRD_E_INVALID,
                        "label \"%s\" cannot have a column: its name must be letters, digits and _",
                        column->name == NULL ? "" : column->name);
    }
    bool taken = column->field_id < MRD_BLOCK_FIELD_PROMOTED ||
                 (column->field_id >= MRD_BLOCK_FIELD_LABELS &&
                  column->field_id <= MRD_BLOCK_FIELD_OWN_LAST);
    static const char *const others[] = {"labels", "tenant", "value_i", "value_e", "samples"};
    bool same_name = false;
    for (size_t i = 0; i < MRD_ARRAY_LEN(others); i++) {
        same_name |= strcasecmp(column->name, others[i]) == 0;
    }
    for (size_t i = 0; i < MRD_ARRAY_LEN(rollup_columns); i++) {
        same_name |= strcasecmp(column->name, rollup_columns[i].name) == 0;
    }
    for (size_t i = 0; i < schema->column_count; i++) {
        const struct mrd_block_column *other = &schema->columns[i];
        taken |= other != column && other->field_id == column->field_id;
        same_name |= other != column && strcasecmp(other->name, column->name) == 0;
    }
    if (taken || same_name) {
        return mrd_fail(err, MRD_E_INVALID,
                        "label \"%s\" cannot have column %d: another column has %s", column->name,
                        column->field_id, same_name ? "its name" : "this field id");
    }
    return MRD_OK;
}

enum mrd_status mrd_block_schema_init(const struct mrd_block_schema_options *options,
                                      struct mrd_block_schema *out, struct mrd_error *err)
{
    if (options->promoted_count > MRD_BLOCK_PROMOTED_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "%zu labels with a column of their own, at most %d",
                        options->promoted_count, MRD_BLOCK_PROMOTED_MAX);
    }
    struct mrd_block_schema schema = {.column_count = 0};
    if (options->level == 0) {
        add(&schema, "tenant", MRD_BLOCK_FIELD_TENANT, MRD_BLOCK_STRING, true);
    }
    add(&schema, "metric", MRD_BLOCK_FIELD_METRIC, MRD_BLOCK_STRING, true);
    add_promoted(&schema, options);
    if (options->level > 0) {
        add(&schema, "labels", MRD_BLOCK_FIELD_LABELS, MRD_BLOCK_STRING_MAP, true);
        schema.columns[schema.column_count - 1].key_id = MRD_BLOCK_FIELD_LABELS_KEY;
        schema.columns[schema.column_count - 1].value_id = MRD_BLOCK_FIELD_LABELS_VALUE;
    }
    if (options->series) {
        mrd_assert(options->level > 0);
        add_series(&schema);
    } else if (options->rollup) {
        mrd_assert(options->level > 0);
        mrd_assert(!options->compact);
        add_rows(&schema);
    } else {
        add_values(&schema, options->compact);
    }
    for (size_t i = 0; i < schema.column_count; i++) {
        if (schema.columns[i].promoted) {
            MRD_TRY(check_promoted(&schema, &schema.columns[i], err));
        }
    }
    *out = schema;
    return MRD_OK;
}

int mrd_block_schema_find(const struct mrd_block_schema *schema, int32_t field_id)
{
    for (size_t i = 0; i < schema->column_count; i++) {
        if (schema->columns[i].field_id == field_id) {
            return (int)i;
        }
    }
    return -1;
}
