/* What a version needs. */
#include <stdlib.h>

#include "iceberg/commit_internal.h"

struct reference_walk {
    const struct mrd_iceberg_table *table;
    const struct mrd_iceberg_metadata *metadata;
    struct mrd_arena *arena;
    struct mrd_error *err;
    struct mrd_buf manifests; /* struct mrd_iceberg_manifest, of all snapshots */
    struct ice_names names;   /* URIs */
};

/* Copies a name that lies in an arena for a while only. */
static enum mrd_status add_copy(struct reference_walk *walk, const char *name)
{
    const char *kept = (const char *)mrd_arena_copy(walk->arena, mrd_bytes_of(name)).data;
    if (kept == NULL) {
        return mrd_arena_fail(walk->arena, walk->err);
    }
    ice_names_add(&walk->names, kept);
    return MRD_OK;
}

static enum mrd_status add_versions(struct reference_walk *walk, const char *metadata_key)
{
    const char *uri, *copy;
    MRD_TRY(ice_uri_of(walk->table, metadata_key, walk->arena, &uri, walk->err));
    for (size_t i = 0; i <= walk->metadata->metadata_log_count; i++) {
        const char *name = i == 0 ? uri : walk->metadata->metadata_log[i - 1].file;
        MRD_TRY(ice_copy_of(walk->table, name, walk->arena, &copy, walk->err));
        ice_names_add(&walk->names, name);
        ice_names_add(&walk->names, copy);
    }
    return MRD_OK;
}

static enum mrd_status add_lists(struct reference_walk *walk)
{
    for (size_t i = 0; i < walk->metadata->snapshot_count; i++) {
        const struct mrd_iceberg_snapshot *snapshot = &walk->metadata->snapshots[i];
        struct mrd_iceberg_manifest *manifests;
        size_t count;
        MRD_TRY(ice_list_load(walk->table, walk->metadata, snapshot, walk->arena, &manifests,
                              &count, walk->err));
        ice_names_add(&walk->names, snapshot->manifest_list);
        mrd_buf_append(&walk->manifests, manifests, count * sizeof(*manifests));
    }
    return MRD_OK;
}

static enum mrd_status add_files(struct reference_walk *walk,
                                 const struct mrd_iceberg_manifest *manifest)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create_within(walk->arena);
    struct mrd_iceberg_entry *entries;
    size_t count;
    MRD_TRY(ice_manifest_load(walk->table, walk->metadata, manifest, arena, &entries, &count,
                              walk->err));
    ice_names_add(&walk->names, manifest->path);
    for (size_t i = 0; i < count; i++) {
        if (entries[i].status != MRD_ICEBERG_DELETED) {
            MRD_TRY(add_copy(walk, entries[i].file.path));
        }
    }
    return MRD_OK;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(((const struct mrd_iceberg_manifest *)a)->path,
                  ((const struct mrd_iceberg_manifest *)b)->path);
}

/* Most are in many snapshots: each is read once. */
static enum mrd_status add_manifests(struct reference_walk *walk)
{
    struct mrd_iceberg_manifest *all = (void *)walk->manifests.data;
    const size_t count = walk->manifests.size / sizeof(*all);
    if (count > 0) {
        qsort(all, count, sizeof(*all), compare_paths);
    }
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(all[i - 1].path, all[i].path) != 0) {
            MRD_TRY(add_files(walk, &all[i]));
        }
    }
    return MRD_OK;
}

/* Sorted, each once, as keys. */
static enum mrd_status finish(struct reference_walk *walk, const char *const **out_keys,
                              size_t *out_count)
{
    const size_t total = ice_names_count(&walk->names);
    const char **keys = mrd_arena_alloc(walk->arena, total * sizeof(*keys));
    size_t count = 0;
    if (keys == NULL) {
        return mrd_arena_fail(walk->arena, walk->err);
    }
    ice_names_sort(&walk->names);
    for (size_t i = 0; i < total; i++) {
        const char *const *name = &ice_names_at(&walk->names)[i];
        if (i == 0 || strcmp(name[-1], *name) != 0) {
            MRD_TRY(ice_key_of(walk->table, *name, &keys[count++], walk->err));
        }
    }
    *out_keys = keys;
    *out_count = count;
    return MRD_OK;
}

static enum mrd_status run(struct reference_walk *walk, const char *metadata_key,
                           const char *const **out_keys, size_t *out_count)
{
    struct mrd_iceberg_metadata *metadata;
    MRD_TRY(mrd_iceberg_load(walk->table, metadata_key, walk->arena, &metadata, walk->err));
    walk->metadata = metadata;
    MRD_TRY(add_versions(walk, metadata_key));
    MRD_TRY(add_lists(walk));
    MRD_TRY(add_manifests(walk));
    return finish(walk, out_keys, out_count);
}

enum mrd_status mrd_iceberg_references(const struct mrd_iceberg_table *table,
                                       const char *metadata_key, struct mrd_arena *arena,
                                       const char *const **out_keys, size_t *out_count,
                                       struct mrd_error *err)
{
    struct reference_walk walk = {.table = table, .arena = arena, .err = err};
    const enum mrd_status status = run(&walk, metadata_key, out_keys, out_count);
    mrd_buf_fini(&walk.manifests);
    ice_names_fini(&walk.names);
    return status;
}
