/* metadata.h: a version of an Iceberg table: its metadata file (version 2 of the table specification) as a struct.
 *
 * The file is JSON. We are the only writer of our tables, so reading is strict: what this version does not know is
 * MRD_E_UNSUPPORTED by name, because the next commit would lose it; what contradicts itself is MRD_E_CORRUPT.
 * Of refs there is `main` alone, and it is the current snapshot.
 *
 * Owner:   everything lies in the arena that it was read or made in; immutable by convention, a commit makes another.
 * Threads: pure functions.
 * Limits:  MRD_ICEBERG_METADATA_SIZE_MAX bytes and MRD_ICEBERG_JSON_VALUES_MAX values are parsed (some 10 MB of memory at
 *          worst, for the call), and the arena bounds what is kept.
 */
#ifndef MRD_ICEBERG_METADATA_H
#define MRD_ICEBERG_METADATA_H

#include "base/arena.h"
#include "base/clock.h"
#include "iceberg/definition.h"

enum {
    MRD_ICEBERG_UUID_SIZE = 16,
    MRD_ICEBERG_UUID_TEXT_SIZE = 37, /* with the NUL */
    MRD_ICEBERG_METADATA_SIZE_MAX = 8 << 20,
    MRD_ICEBERG_JSON_VALUES_MAX = 200000,
    MRD_ICEBERG_SCHEMAS_MAX = 256,
    MRD_ICEBERG_SNAPSHOTS_MAX = 4096,
    MRD_ICEBERG_LOG_MAX = 8192,
    MRD_ICEBERG_SUMMARY_MAX = 64,
    MRD_ICEBERG_SORT_ID = 1, /* of the one order; 0 means unsorted */
};

/* JavaScript readers round larger ones. */
#define MRD_ICEBERG_SNAPSHOT_ID_MAX (((int64_t)1 << 53) - 1)

struct mrd_iceberg_schema {
    int32_t id;
    const struct mrd_iceberg_field *fields;
    size_t field_count;
};

struct mrd_iceberg_snapshot {
    int64_t id;        /* above 0 */
    int64_t parent_id; /* 0: none */
    int64_t sequence_number;
    mrd_time_ms time_ms;
    const char *manifest_list; /* URI */
    int32_t schema_id;
    const struct mrd_iceberg_property *summary; /* `operation` is the first */
    size_t summary_count;
};

/* Which snapshot was the current one from a time on. */
struct mrd_iceberg_snapshot_entry {
    mrd_time_ms time_ms;
    int64_t snapshot_id;
};

/* An earlier metadata file. */
struct mrd_iceberg_metadata_entry {
    mrd_time_ms time_ms;
    const char *file; /* URI */
};

struct mrd_iceberg_metadata {
    char uuid[MRD_ICEBERG_UUID_TEXT_SIZE];
    const char *location; /* URI of the table's folder, without a '/' at its end */
    int64_t last_sequence_number;
    mrd_time_ms updated_ms;
    int32_t last_column_id;
    int32_t last_partition_id;
    int32_t schema_id; /* the current one */
    const struct mrd_iceberg_schema *schemas;
    size_t schema_count;
    const struct mrd_iceberg_spec *specs; /* the last is the default */
    size_t spec_count;
    const struct mrd_iceberg_sort_field *sort;
    size_t sort_count;
    const struct mrd_iceberg_property *properties;
    size_t property_count;
    int64_t snapshot_id;                          /* the current one; 0: none */
    const struct mrd_iceberg_snapshot *snapshots; /* by sequence number */
    size_t snapshot_count;
    const struct mrd_iceberg_snapshot_entry *snapshot_log; /* oldest first */
    size_t snapshot_log_count;
    const struct mrd_iceberg_metadata_entry *metadata_log; /* oldest first */
    size_t metadata_log_count;
};

/* MRD_E_CORRUPT, MRD_E_UNSUPPORTED, MRD_E_LIMIT. What it accepts is written to the same struct's bytes again. */
MRD_MUST_CHECK enum mrd_status mrd_iceberg_metadata_read(struct mrd_bytes json,
                                                         struct mrd_arena *arena,
                                                         struct mrd_iceberg_metadata **out,
                                                         struct mrd_error *err);

/* Appends the JSON; equal structs make equal bytes. MRD_E_LIMIT from the limit of `out`, MRD_E_INVALID for texts that are
 * no UTF-8. */
MRD_MUST_CHECK enum mrd_status
mrd_iceberg_metadata_write(const struct mrd_iceberg_metadata *metadata, struct mrd_buf *out,
                           struct mrd_error *err);

/* NULL if there is none. */
const struct mrd_iceberg_schema *
mrd_iceberg_schema_find(const struct mrd_iceberg_metadata *metadata, int32_t id);
const struct mrd_iceberg_snapshot *
mrd_iceberg_snapshot_find(const struct mrd_iceberg_metadata *metadata, int64_t id);
const char *mrd_iceberg_property_find(const struct mrd_iceberg_property *properties, size_t count,
                                      const char *key);

/* 8-4-4-4-12 hexadecimal digits. */
void mrd_iceberg_uuid_format(const uint8_t uuid[MRD_ICEBERG_UUID_SIZE],
                             char out[MRD_ICEBERG_UUID_TEXT_SIZE]);

#endif
