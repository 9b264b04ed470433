/* manifest.h: manifests (which files a table has, with their figures) and manifest lists (which manifests a snapshot has):
 * the Avro files of Iceberg's table specification, version 2.
 *
 * Reading is strict: the Avro schema in the file must be the one that we write, the counts in a manifest list those of
 * its manifests. So a manifest of another writer is MRD_E_UNSUPPORTED, and one that is cut off MRD_E_CORRUPT.
 *
 * Owner:   what is read lies in the arena.
 * Threads: pure functions.
 * Limits:  files of MRD_ICEBERG_MANIFEST_SIZE_MAX bytes, blocks of as much uncompressed; the arena bounds what is kept.
 */
#ifndef MRD_ICEBERG_MANIFEST_H
#define MRD_ICEBERG_MANIFEST_H

#include "iceberg/metadata.h"

enum {
    MRD_ICEBERG_MANIFEST_SIZE_MAX = 64 << 20,
    MRD_ICEBERG_MANIFEST_FILES_MAX = 65536, /* entries of one manifest */
    MRD_ICEBERG_MANIFESTS_MAX = 65536,      /* of one list */
    MRD_ICEBERG_FILE_COLUMNS_MAX = 2 * MRD_ICEBERG_FIELDS_MAX,
    MRD_ICEBERG_SPLITS_MAX = 65536,
    MRD_ICEBERG_BOUND_SIZE_MAX = 256,
};

/* What is known of one leaf of a data file. Engines answer queries from it: exact, or not there. */
struct mrd_iceberg_column {
    int32_t field_id; /* map keys and values have theirs */
    uint64_t stored_size;
    uint64_t value_count; /* nulls and NaNs included; of maps, entries */
    uint64_t null_count;
    uint64_t nan_count; /* of doubles; 0 for others */
    bool has_min, has_max;
    struct mrd_bytes min; /* single-value bytes; of strings possibly cut, then they bound */
    struct mrd_bytes max;
};

struct mrd_iceberg_file {
    const char *path; /* URI */
    uint64_t size;
    uint64_t row_count;
    uint32_t spec_id;
    int32_t partition[MRD_ICEBERG_PARTITION_FIELDS_MAX];
    bool sorted; /* in the table's order */
    const struct mrd_iceberg_column *columns;
    size_t column_count;
    const uint64_t *split_offsets; /* of row groups, rising */
    size_t split_count;
};

enum mrd_iceberg_entry_status {
    MRD_ICEBERG_EXISTING = 0,
    MRD_ICEBERG_ADDED = 1,
    MRD_ICEBERG_DELETED = 2
};

struct mrd_iceberg_entry {
    enum mrd_iceberg_entry_status status;
    int64_t snapshot_id; /* that added it, or deleted it */
    int64_t
        sequence_number; /* of the snapshot that added it; 0 while writing: the manifest's own */
    struct mrd_iceberg_file file;
};

/* One line of a manifest list. */
struct mrd_iceberg_manifest {
    const char *path; /* URI */
    uint64_t size;
    uint32_t spec_id;
    int64_t sequence_number;
    int64_t min_sequence_number; /* of live files */
    int64_t added_snapshot_id;
    uint32_t added_files, existing_files, deleted_files;
    uint64_t added_rows, existing_rows, deleted_rows;
    /* Least and greatest of each partition field. */
    int32_t partition_min[MRD_ICEBERG_PARTITION_FIELDS_MAX];
    int32_t partition_max[MRD_ICEBERG_PARTITION_FIELDS_MAX];
};

/* MRD_E_INVALID unless the figures fit each other and the columns of the schema. */
MRD_MUST_CHECK enum mrd_status mrd_iceberg_file_check(const struct mrd_iceberg_file *file,
                                                      const struct mrd_iceberg_schema *schema,
                                                      const struct mrd_iceberg_spec *specs,
                                                      size_t spec_count, struct mrd_error *err);

/* Appends a manifest of entries of one spec (at least one entry), and fills *out but for path. sequence_number and
 * snapshot_id are those of the snapshot that the manifest is made for; `sync` makes the bytes this writer's own. */
struct mrd_iceberg_manifest_options {
    const struct mrd_iceberg_schema *schema;
    const struct mrd_iceberg_spec *specs;
    uint32_t spec_id;
    int64_t snapshot_id;
    int64_t sequence_number;
    const uint8_t *sync; /* MRD_AVRO_SYNC_SIZE bytes */
};
MRD_MUST_CHECK enum mrd_status
mrd_iceberg_manifest_write(const struct mrd_iceberg_manifest_options *options,
                           const struct mrd_iceberg_entry *entries, size_t count,
                           struct mrd_buf *out_bytes, struct mrd_iceberg_manifest *out,
                           struct mrd_error *err);

/* The entries of the manifest that this line of a list names, with what they inherit filled in. */
MRD_MUST_CHECK enum mrd_status
mrd_iceberg_manifest_read(struct mrd_bytes bytes, const struct mrd_iceberg_manifest *manifest,
                          const struct mrd_iceberg_metadata *metadata, struct mrd_arena *arena,
                          struct mrd_iceberg_entry **out_entries, size_t *out_count,
                          struct mrd_error *err);

/* Appends a manifest list. */
struct mrd_iceberg_list_options {
    const struct mrd_iceberg_spec *specs;
    int64_t snapshot_id;
    int64_t parent_id; /* 0: none */
    int64_t sequence_number;
    const uint8_t *sync;
};
MRD_MUST_CHECK enum mrd_status
mrd_iceberg_list_write(const struct mrd_iceberg_list_options *options,
                       const struct mrd_iceberg_manifest *manifests, size_t count,
                       struct mrd_buf *out, struct mrd_error *err);

MRD_MUST_CHECK enum mrd_status mrd_iceberg_list_read(struct mrd_bytes bytes,
                                                     const struct mrd_iceberg_metadata *metadata,
                                                     struct mrd_arena *arena,
                                                     struct mrd_iceberg_manifest **out_manifests,
                                                     size_t *out_count, struct mrd_error *err);

#endif
