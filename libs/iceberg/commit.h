/* commit.h: makes the next version of a table: its manifests, its manifest list and `<N+1>-<uuid>.metadata.json`.
 *
 * Nothing here is the commit point. Which metadata file is the table is what the region's catalog says, so a version that
 * the catalog never names is a few objects that nobody looks at. The caller
 *
 *   1. puts the data files, durable and verified, under keys that were never used: one that has left the table must not come
 *      back, for expiry takes it for gone
 *   2. calls mrd_iceberg_commit with the metadata that the catalog names now; it puts manifests, then the list, then the metadata
 *   3. names the new metadata in its own commit; if that loses, it reads the catalog and begins at 2 with a fresh uuid
 *   4. may call mrd_iceberg_publish, for readers without a catalog
 *   5. deletes what `unreferenced` names when no reader is left that began before 3 (the grace of the catalog's versions);
 *      sidecars, which no table knows, go with their data files
 *
 * Same arguments, same bytes, also those of names: after a crash or a lost reply between 2 and 3 the call is made again with
 * the same uuid and time, and finds or finishes what it had begun. All objects are put with put_if_absent.
 *
 * Keys, under the table's path:
 *   metadata/<N, 5 digits or more>-<uuid>.metadata.json      a version
 *   metadata/snap-<snapshot id>-<uuid>.avro                  the manifest list of a snapshot
 *   metadata/<uuid>-m<k>.avro                                manifests
 *   metadata/v<N>.metadata.json, metadata/version-hint.text  copies by mrd_iceberg_publish
 *
 * Owner:   results lie in the arena.
 * Threads: pure functions but for the store; one committer per table at a time is a matter of speed, not of safety.
 * Memory:  the arena's limit bounds what is kept at once (64 MiB is enough for tables of some 10,000 files); beside it one
 *          manifest and its bytes.
 * Errors:  MRD_E_INVALID (the change is wrong), MRD_E_CONFLICT (a file to be removed is not in the table, one to be added is, or
 *          another object has a key of ours: the same uuid was used for something else), MRD_E_CORRUPT, MRD_E_UNSUPPORTED, MRD_E_LIMIT, and the store's.
 */
#ifndef MRD_ICEBERG_COMMIT_H
#define MRD_ICEBERG_COMMIT_H

#include "iceberg/manifest.h"
#include "objstore/store.h"

struct mrd_iceberg_table {
    struct mrd_objstore *store;
    const struct mrd_objstore_control *control; /* may be NULL */
    const char
        *root; /* URI of the store's root: "s3://bucket", "file:///var/lib/meridian/blocks" */
    const char *path; /* key of the table's folder: "eu/acme/samples" */
};

enum mrd_iceberg_operation {
    MRD_ICEBERG_NOTHING,   /* no snapshot: definition and expiry only */
    MRD_ICEBERG_APPEND,    /* files are added */
    MRD_ICEBERG_REPLACE,   /* files are exchanged for others with the same rows: a merge */
    MRD_ICEBERG_OVERWRITE, /* files are exchanged for others with other rows: late samples, erasure */
    MRD_ICEBERG_DELETE     /* files are removed: retention */
};

enum {
    MRD_ICEBERG_CHANGE_FILES_MAX = 8192, /* added, and removed */
    MRD_ICEBERG_MANIFESTS_KEPT = 50,     /* of one spec; more are merged by the next snapshot */
    MRD_ICEBERG_METADATA_LOG_KEPT = 32,
};

/* What a snapshot has, read once: for whoever compares it with what is to be, and for the commit that follows. */
struct mrd_iceberg_contents {
    int64_t snapshot_id;
    const struct mrd_iceberg_manifest *manifests; /* in the order of the list */
    size_t manifest_count;
    const struct mrd_iceberg_entry *const *entries; /* of each; `path` is a URI */
    const size_t *entry_counts;
    struct mrd_iceberg_file *files; /* those that are there, in that order; `path` is a key */
    size_t file_count;
};

struct mrd_iceberg_change {
    uint8_t uuid[MRD_ICEBERG_UUID_SIZE]; /* of this attempt, random */
    mrd_time_ms time_ms;                 /* now; a later version never has an earlier time */

    /* What mrd_iceberg_load gives for the version before, if the caller has it; the result points into it. NULL: it is read. */
    const struct mrd_iceberg_metadata *current;
    const struct mrd_iceberg_contents *contents; /* likewise, of its current snapshot */

    /* What the table is to be. Columns, specs and properties that differ from what is there are taken over, as far as
     * definition.h allows. */
    const struct mrd_iceberg_definition *definition;

    enum mrd_iceberg_operation operation;
    const struct mrd_iceberg_file *added; /* `path` is a key of the store here */
    size_t added_count;
    const char *const *removed; /* keys */
    size_t removed_count;
    const struct mrd_iceberg_property
        *summary; /* more of the snapshot's; keys begin with "meridian." */
    size_t summary_count;

    /* Snapshots that ended before this are forgotten: a snapshot ends when the next one is made, so one that was current at that
     * time, or later, stays readable. 0: none are. Those pinned stay too, and so does the current one. */
    mrd_time_ms expire_before_ms;
    const int64_t *pinned; /* snapshot ids */
    size_t pinned_count;
    bool
        leaves_to_sweep; /* `unreferenced` is not asked for, which saves reading what is forgotten */
};

struct mrd_iceberg_version {
    const char *key;       /* of the metadata file */
    struct mrd_bytes json; /* the file; empty if nothing was to be changed */
    const struct mrd_iceberg_metadata *metadata;
    const char *const *
        unreferenced; /* keys that the version before needed and this one does not: data files, manifests, lists, metadata */
    size_t unreferenced_count;
};

/* Makes the version after `metadata_key`, or the first one (NULL). Changes nothing that is there. If nothing is to be
 * changed, out->key is metadata_key. */
MRD_MUST_CHECK enum mrd_status
mrd_iceberg_commit(const struct mrd_iceberg_table *table, const char *metadata_key,
                   const struct mrd_iceberg_change *change, struct mrd_arena *arena,
                   struct mrd_iceberg_version *out, struct mrd_error *err);

/* Reads the version under a key. MRD_E_CORRUPT too if it is of a table at another place. */
MRD_MUST_CHECK enum mrd_status mrd_iceberg_load(const struct mrd_iceberg_table *table,
                                                const char *metadata_key, struct mrd_arena *arena,
                                                struct mrd_iceberg_metadata **out,
                                                struct mrd_error *err);

/* All of a snapshot. MRD_E_NOT_FOUND: the version has none with this id. */
MRD_MUST_CHECK enum mrd_status
mrd_iceberg_contents_load(const struct mrd_iceberg_table *table,
                          const struct mrd_iceberg_metadata *metadata, int64_t snapshot_id,
                          struct mrd_arena *arena, struct mrd_iceberg_contents *out,
                          struct mrd_error *err);

/* All that a version needs: itself, the versions in its log with their copies (which may not be there), and the lists, manifests and
 * data files of all its snapshots; keys, sorted. A sweep keeps what any version that the catalog still names needs, and what
 * is too young to be given up: the rest under the table's path was left by commits that died or lost. */
MRD_MUST_CHECK enum mrd_status mrd_iceberg_references(const struct mrd_iceberg_table *table,
                                                      const char *metadata_key,
                                                      struct mrd_arena *arena,
                                                      const char *const **out_keys,
                                                      size_t *out_count, struct mrd_error *err);

/* For readers that know a folder and no catalog (DuckDB's iceberg_scan, file-system tables of Spark): copies the version to
 * v<N>.metadata.json, then points version-hint.text at it unless that is further already. Only versions that the catalog
 * names, in any order, by anyone, as often as one likes. Nobody may write a table through these copies. `json` is the file, if the
 * caller has it; else it is read. */
MRD_MUST_CHECK enum mrd_status mrd_iceberg_publish(const struct mrd_iceberg_table *table,
                                                   const char *metadata_key, struct mrd_bytes json,
                                                   struct mrd_error *err);

/* Its two steps, for many tables at once: the copy must be there, and durable, before the hint points at it. */
MRD_MUST_CHECK enum mrd_status mrd_iceberg_publish_copy(const struct mrd_iceberg_table *table,
                                                        const char *metadata_key,
                                                        struct mrd_bytes json,
                                                        struct mrd_error *err);
MRD_MUST_CHECK enum mrd_status mrd_iceberg_publish_hint(const struct mrd_iceberg_table *table,
                                                        const char *metadata_key,
                                                        struct mrd_error *err);

#endif
