/* tables.h: the tables of a tenant, and blocks as their files.
 *
 *   samples                    rows as block/schema.h says, level 1 and above
 *   samples_5m, _1h, _6h, _1d  a row per series and window (left-open, right-closed) in which it has anything
 *   series                     a row per series of each file of samples: which labels it has, from when to when, how many samples
 *
 * A file lies in one UTC day (spec MRD_ICEBERG_BY_DAY: level 1) or one month (MRD_ICEBERG_BY_MONTH: level 2) of `ts`, or for
 * series of `first_ts`. Rollups are not partitioned: the last window of a day ends where the next day begins, and belongs to both;
 * bounds of `ts` let engines pass files over. Field ids of what all tables have are those of samples; docs/formats/iceberg.md lists all.
 *
 * Owner:   plain values; names point into the schema's and static storage.
 * Threads: pure functions.
 */
#ifndef MRD_ICEBERG_TABLES_H
#define MRD_ICEBERG_TABLES_H

#include "block/entry.h"
#include "block/schema.h"
#include "iceberg/manifest.h"

enum {
    MRD_ICEBERG_BY_DAY = 0, /* index of the spec in samples and series */
    MRD_ICEBERG_BY_MONTH = 1,
    MRD_ICEBERG_ROLLUP_WHOLE = 0, /* in rollups */
};

/* A definition and what it points to: must not be copied or moved. */
struct mrd_iceberg_table_definition {
    struct mrd_iceberg_definition definition;
    struct mrd_iceberg_field fields[MRD_BLOCK_COLUMNS_MAX];
    struct mrd_iceberg_spec specs[2];
    struct mrd_iceberg_sort_field sort[1];
    struct mrd_iceberg_property properties[4];
};

/* `schema` is that of level 1, for rollups with its option `rollup`, for series with `series`. It is lent as long as *out is used. */
void mrd_iceberg_samples_table(const struct mrd_block_schema *schema,
                               struct mrd_iceberg_table_definition *out);
void mrd_iceberg_rollup_table(const struct mrd_block_schema *schema,
                              struct mrd_iceberg_table_definition *out);
void mrd_iceberg_series_table(const struct mrd_block_schema *schema,
                              struct mrd_iceberg_table_definition *out);

/* A block as a file of the samples table, or of its rollups': views of the entry, the path and the columns in the arena. MRD_E_INVALID if its
 * samples are not all in one partition of the spec (that of a rollup is MRD_ICEBERG_ROLLUP_WHOLE). */
MRD_MUST_CHECK enum mrd_status mrd_iceberg_file_of_block(const struct mrd_block_entry *entry,
                                                         uint32_t spec_id, struct mrd_arena *arena,
                                                         struct mrd_iceberg_file *out,
                                                         struct mrd_error *err);

/* Its file of series, which it must have, as a file of the table of series. */
MRD_MUST_CHECK enum mrd_status mrd_iceberg_series_of_block(const struct mrd_block_entry *entry,
                                                           uint32_t spec_id,
                                                           struct mrd_arena *arena,
                                                           struct mrd_iceberg_file *out,
                                                           struct mrd_error *err);

#endif
