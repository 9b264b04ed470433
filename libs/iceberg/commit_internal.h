/* commit_internal.h: what the steps of a commit share. */
#ifndef MRD_ICEBERG_COMMIT_INTERNAL_H
#define MRD_ICEBERG_COMMIT_INTERNAL_H

#include "iceberg/avro.h"
#include "iceberg/commit.h"

/* A growing list of texts that lie in an arena; the list itself is the caller's (mrd_buf_fini). */
struct ice_names {
    struct mrd_buf items; /* const char * */
};
static inline void ice_names_fini(struct ice_names *names) { mrd_buf_fini(&names->items); }
static inline size_t ice_names_count(const struct ice_names *names)
{
    return names->items.size / sizeof(const char *);
}
static inline const char *const *ice_names_at(const struct ice_names *names)
{
    return (const char *const *)(const void *)names->items.data;
}
void ice_names_add(struct ice_names *names, const char *name);
void ice_names_sort(struct ice_names *names);

/* In a sorted list; the index, or -1. */
ptrdiff_t ice_names_find(const struct ice_names *names, const char *name);

/* One commit under way. */
struct ice_commit {
    const struct mrd_iceberg_table *table;
    const struct mrd_iceberg_change *change;
    struct mrd_arena *arena;
    struct mrd_error *err;
    const char *uuid;                           /* as text */
    const struct mrd_iceberg_metadata *current; /* NULL: none yet */
    struct mrd_iceberg_metadata *next;
    struct ice_names unreferenced; /* URIs */
};

/* URI of a key, and the key of a URI in this store (MRD_E_CORRUPT for others). */
MRD_MUST_CHECK enum mrd_status ice_uri_of(const struct mrd_iceberg_table *table, const char *key,
                                          struct mrd_arena *arena, const char **out,
                                          struct mrd_error *err);
MRD_MUST_CHECK enum mrd_status ice_key_of(const struct mrd_iceberg_table *table, const char *uri,
                                          const char **out_key, struct mrd_error *err);

/* "<path>/metadata/<N>-<uuid>.metadata.json" -> N. MRD_E_INVALID for other keys. */
MRD_MUST_CHECK enum mrd_status ice_version_of(const struct mrd_iceberg_table *table,
                                              const char *metadata_key, uint64_t *out_version,
                                              struct mrd_error *err);

/* URI of the published copy of a version, which is named by its URI. */
MRD_MUST_CHECK enum mrd_status ice_copy_of(const struct mrd_iceberg_table *table,
                                           const char *metadata_uri, struct mrd_arena *arena,
                                           const char **out, struct mrd_error *err);

/* The manifests of a snapshot, their sums held against its summary. */
MRD_MUST_CHECK enum mrd_status
ice_list_load(const struct mrd_iceberg_table *table, const struct mrd_iceberg_metadata *metadata,
              const struct mrd_iceberg_snapshot *snapshot, struct mrd_arena *arena,
              struct mrd_iceberg_manifest **out, size_t *out_count, struct mrd_error *err);
MRD_MUST_CHECK enum mrd_status ice_manifest_load(const struct mrd_iceberg_table *table,
                                                 const struct mrd_iceberg_metadata *metadata,
                                                 const struct mrd_iceberg_manifest *manifest,
                                                 struct mrd_arena *arena,
                                                 struct mrd_iceberg_entry **out, size_t *out_count,
                                                 struct mrd_error *err);

/* The next version's columns, specs, order and properties. evolve.c */
MRD_MUST_CHECK enum mrd_status ice_evolve(struct ice_commit *commit, bool *out_changed);

/* Writes manifests and list of the change, and adds the snapshot to commit->next. snapshot.c */
MRD_MUST_CHECK enum mrd_status ice_snapshot(struct ice_commit *commit);

/* Takes old snapshots out of commit->next and adds what only they had to commit->unreferenced. expire.c */
MRD_MUST_CHECK enum mrd_status ice_expire(struct ice_commit *commit, bool *out_changed);

#endif
