/* A commit from the current metadata to the next, and the places of its objects. */
#include "iceberg/commit_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- names ---- */

void ice_names_add(struct ice_names *names, const char *name)
{
    mrd_buf_append(&names->items, &name, sizeof(name));
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void ice_names_sort(struct ice_names *names)
{
    if (ice_names_count(names) > 1) {
        qsort(names->items.data, ice_names_count(names), sizeof(const char *), compare_names);
    }
}

ptrdiff_t ice_names_find(const struct ice_names *names, const char *name)
{
    const char *const *items = ice_names_at(names);
    const size_t count = ice_names_count(names);
    const char *const *found =
        count == 0 ? NULL : bsearch(&name, items, count, sizeof(*items), compare_names);
    return found == NULL ? -1 : found - items;
}

/* ---- places ---- */

enum mrd_status ice_uri_of(const struct mrd_iceberg_table *table, const char *key,
                           struct mrd_arena *arena, const char **out, struct mrd_error *err)
{
    MRD_TRY(mrd_objstore_key_check(key, err));
    *out = mrd_arena_printf(arena, "%s/%s", table->root, key);
    return *out == NULL ? mrd_arena_fail(arena, err) : MRD_OK;
}

enum mrd_status ice_key_of(const struct mrd_iceberg_table *table, const char *uri,
                           const char **out_key, struct mrd_error *err)
{
    const size_t size = strlen(table->root);
    if (strncmp(uri, table->root, size) != 0 || uri[size] != '/' ||
        !mrd_objstore_key_valid(mrd_bytes_of(uri + size + 1))) {
        return mrd_fail(err, MRD_E_CORRUPT, "%.300s is not in the store %.100s", uri, table->root);
    }
    *out_key = uri + size + 1;
    return MRD_OK;
}

enum mrd_status ice_version_of(const struct mrd_iceberg_table *table, const char *metadata_key,
                               uint64_t *out_version, struct mrd_error *err)
{
    enum { DIGITS_MAX = 15 };
    static const char folder[] = "/metadata/", end[] = ".metadata.json";
    const size_t path_size = strlen(table->path), size = strlen(metadata_key);
    const size_t prefix = path_size + strlen(folder);
    const bool ours = size > prefix + strlen(end) &&
                      strncmp(metadata_key, table->path, path_size) == 0 &&
                      strncmp(metadata_key + path_size, folder, strlen(folder)) == 0 &&
                      strcmp(metadata_key + size - strlen(end), end) == 0;
    const size_t digits = ours ? strspn(metadata_key + prefix, "0123456789") : 0;
    if (digits == 0 || digits > DIGITS_MAX || metadata_key[prefix + digits] != '-') {
        return mrd_fail(err, MRD_E_INVALID,
                        "%.300s is no metadata key of the table: %.100s%s<N>-<uuid>%s",
                        metadata_key, table->path, folder, end);
    }
    *out_version = strtoull(metadata_key + prefix, NULL, 10);
    return MRD_OK;
}

enum mrd_status ice_copy_of(const struct mrd_iceberg_table *table, const char *metadata_uri,
                            struct mrd_arena *arena, const char **out, struct mrd_error *err)
{
    const char *key;
    uint64_t version;
    MRD_TRY(ice_key_of(table, metadata_uri, &key, err));
    MRD_TRY(ice_version_of(table, key, &version, err));
    *out = mrd_arena_printf(arena, "%s/%s/metadata/v%" PRIu64 ".metadata.json", table->root,
                            table->path, version);
    return *out == NULL ? mrd_arena_fail(arena, err) : MRD_OK;
}

static enum mrd_status check_table(const struct mrd_iceberg_table *table, struct mrd_error *err)
{
    enum { ROOT_SIZE_MAX = 1024 };
    const size_t size = strlen(table->root);
    if (strstr(table->root, "://") == NULL || table->root[size - 1] == '/' ||
        size > ROOT_SIZE_MAX) {
        return mrd_fail(err, MRD_E_INVALID,
                        "\"%.300s\" is no URI of up to %d bytes without a '/' at its end",
                        table->root, ROOT_SIZE_MAX);
    }
    return mrd_objstore_key_check(table->path, err);
}

/* ---- loading ---- */

static enum mrd_status load_bytes(const struct mrd_iceberg_table *table, const char *uri,
                                  size_t size_max, struct mrd_buf *out, struct mrd_error *err)
{
    const char *key;
    MRD_TRY(ice_key_of(table, uri, &key, err));
    return mrd_objstore_get(table->store, key, size_max, table->control, out, err);
}

enum mrd_status mrd_iceberg_load(const struct mrd_iceberg_table *table, const char *metadata_key,
                                 struct mrd_arena *arena, struct mrd_iceberg_metadata **out,
                                 struct mrd_error *err)
{
    MRD_TRY(check_table(table, err));
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text = {0};
    MRD_TRY(mrd_objstore_get(table->store, metadata_key, MRD_ICEBERG_METADATA_SIZE_MAX,
                             table->control, &text, err));
    struct mrd_iceberg_metadata *metadata;
    const enum mrd_status status =
        mrd_iceberg_metadata_read(mrd_buf_view(&text), arena, &metadata, err);
    if (status != MRD_OK) {
        return mrd_fail_prefix(err, status, "%.200s", metadata_key);
    }
    const char *location;
    MRD_TRY(ice_uri_of(table, table->path, arena, &location, err));
    if (strcmp(location, metadata->location) != 0) {
        return mrd_fail(err, MRD_E_CORRUPT, "%.150s is of a table at %.150s, not at %.150s",
                        metadata_key, metadata->location, location);
    }
    *out = metadata;
    return MRD_OK;
}

static bool sum_is(const struct mrd_iceberg_snapshot *snapshot, const char *key, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%" PRIu64, value);
    const char *said = mrd_iceberg_property_find(snapshot->summary, snapshot->summary_count, key);
    return said != NULL && strcmp(said, text) == 0;
}

enum mrd_status ice_list_load(const struct mrd_iceberg_table *table,
                              const struct mrd_iceberg_metadata *metadata,
                              const struct mrd_iceberg_snapshot *snapshot, struct mrd_arena *arena,
                              struct mrd_iceberg_manifest **out, size_t *out_count,
                              struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    MRD_TRY(load_bytes(table, snapshot->manifest_list, MRD_ICEBERG_MANIFEST_SIZE_MAX, &bytes, err));
    MRD_TRY(mrd_iceberg_list_read(mrd_buf_view(&bytes), metadata, arena, out, out_count, err));
    uint64_t files = 0, rows = 0;
    for (size_t i = 0; i < *out_count; i++) {
        files += (*out)[i].added_files + (*out)[i].existing_files;
        rows += (*out)[i].added_rows + (*out)[i].existing_rows;
    }
    if (!sum_is(snapshot, "total-data-files", files) || !sum_is(snapshot, "total-records", rows)) {
        return mrd_fail(err, MRD_E_CORRUPT,
                        "manifest list %.300s has not the files of its snapshot's summary",
                        snapshot->manifest_list);
    }
    return MRD_OK;
}

enum mrd_status ice_manifest_load(const struct mrd_iceberg_table *table,
                                  const struct mrd_iceberg_metadata *metadata,
                                  const struct mrd_iceberg_manifest *manifest,
                                  struct mrd_arena *arena, struct mrd_iceberg_entry **out,
                                  size_t *out_count, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    MRD_TRY(load_bytes(table, manifest->path, MRD_ICEBERG_MANIFEST_SIZE_MAX, &bytes, err));
    return mrd_iceberg_manifest_read(mrd_buf_view(&bytes), manifest, metadata, arena, out,
                                     out_count, err);
}

static enum mrd_status append_live(const struct mrd_iceberg_table *table,
                                   const struct mrd_iceberg_entry *entries, size_t count,
                                   struct mrd_buf *files, struct mrd_error *err)
{
    for (size_t i = 0; i < count; i++) {
        struct mrd_iceberg_file file = entries[i].file;
        if (entries[i].status != MRD_ICEBERG_DELETED) {
            MRD_TRY(ice_key_of(table, file.path, &file.path, err));
            mrd_buf_append(files, &file, sizeof(file));
        }
    }
    return MRD_OK;
}

/* Manifests and their entries. */
static enum mrd_status load_entries(const struct mrd_iceberg_table *table,
                                    const struct mrd_iceberg_metadata *metadata,
                                    const struct mrd_iceberg_snapshot *snapshot,
                                    struct mrd_arena *arena, struct mrd_iceberg_contents *out,
                                    struct mrd_error *err)
{
    struct mrd_iceberg_manifest *manifests;
    MRD_TRY(ice_list_load(table, metadata, snapshot, arena, &manifests, &out->manifest_count, err));
    const struct mrd_iceberg_entry **entries = mrd_arena_alloc_array(
        arena, out->manifest_count + 1, sizeof(const struct mrd_iceberg_entry *));
    size_t *counts = mrd_arena_alloc_array(arena, out->manifest_count + 1, sizeof(*counts));
    if (entries == NULL || counts == NULL) {
        return mrd_arena_fail(arena, err);
    }
    for (size_t i = 0; i < out->manifest_count; i++) {
        struct mrd_iceberg_entry *loaded;
        MRD_TRY(ice_manifest_load(table, metadata, &manifests[i], arena, &loaded, &counts[i], err));
        entries[i] = loaded;
    }
    out->manifests = manifests;
    out->entries = entries;
    out->entry_counts = counts;
    return MRD_OK;
}

enum mrd_status mrd_iceberg_contents_load(const struct mrd_iceberg_table *table,
                                          const struct mrd_iceberg_metadata *metadata,
                                          int64_t snapshot_id, struct mrd_arena *arena,
                                          struct mrd_iceberg_contents *out, struct mrd_error *err)
{
    const struct mrd_iceberg_snapshot *snapshot = mrd_iceberg_snapshot_find(metadata, snapshot_id);
    if (snapshot == NULL) {
        return mrd_fail(err, MRD_E_NOT_FOUND, "the table has no snapshot %" PRId64, snapshot_id);
    }
    struct mrd_iceberg_contents contents = {.snapshot_id = snapshot_id};
    MRD_TRY(load_entries(table, metadata, snapshot, arena, &contents, err));
    mrd_auto(mrd_buf_fini)
    struct mrd_buf files = {.limit = mrd_arena_limit(arena)};
    for (size_t i = 0; i < contents.manifest_count; i++) {
        MRD_TRY(append_live(table, contents.entries[i], contents.entry_counts[i], &files, err));
    }
    contents.files = files.failed ? NULL : mrd_arena_alloc(arena, MRD_MAX(files.size, (size_t)1));
    if (contents.files == NULL) {
        return mrd_arena_fail(arena, err);
    }
    if (files.size > 0) {
        memcpy(contents.files, files.data, files.size);
    }
    contents.file_count = files.size / sizeof(*contents.files);
    *out = contents;
    return MRD_OK;
}

/* ---- the change ---- */

static enum mrd_status check_change(const struct mrd_iceberg_change *change, struct mrd_error *err)
{
    static const bool adds[] = {false, true, true, true, false};
    static const bool removes[] = {false, false, true, true, true};
    if ((change->added_count > 0 && !adds[change->operation]) ||
        (change->removed_count > 0 && !removes[change->operation]) ||
        (change->operation != MRD_ICEBERG_NOTHING &&
         change->added_count + change->removed_count == 0) ||
        MRD_MAX(change->added_count, change->removed_count) > MRD_ICEBERG_CHANGE_FILES_MAX) {
        return mrd_fail(
            err, MRD_E_INVALID,
            "%zu files added and %zu removed do not fit the operation, or are more than "
            "%d",
            change->added_count, change->removed_count, MRD_ICEBERG_CHANGE_FILES_MAX);
    }
    if (change->time_ms < 0) {
        return mrd_fail(err, MRD_E_INVALID, "a change at %" PRId64 " ms, before 1970",
                        change->time_ms);
    }
    for (size_t i = 0; i < change->summary_count; i++) {
        if (strncmp(change->summary[i].key, "meridian.", strlen("meridian.")) != 0 ||
            change->summary[i].value[0] == '\0') {
            return mrd_fail(err, MRD_E_INVALID,
                            "summary \"%.100s\" does not begin with \"meridian.\" or is empty",
                            change->summary[i].key);
        }
    }
    return mrd_iceberg_definition_check(change->definition, err);
}

static enum mrd_status begin_next(struct ice_commit *commit, const char *metadata_key)
{
    struct mrd_iceberg_metadata *next = mrd_arena_alloc(commit->arena, sizeof(*next));
    char *uuid = mrd_arena_alloc(commit->arena, MRD_ICEBERG_UUID_TEXT_SIZE);
    if (next == NULL || uuid == NULL) {
        return mrd_arena_fail(commit->arena, commit->err);
    }
    mrd_iceberg_uuid_format(commit->change->uuid, uuid);
    commit->uuid = uuid;
    commit->next = next;
    if (metadata_key != NULL) {
        const struct mrd_iceberg_metadata *current = commit->change->current;
        if (current == NULL) {
            struct mrd_iceberg_metadata *loaded;
            MRD_TRY(
                mrd_iceberg_load(commit->table, metadata_key, commit->arena, &loaded, commit->err));
            current = loaded;
        }
        commit->current = current;
        *next = *current;
        next->updated_ms = MRD_MAX(commit->change->time_ms, current->updated_ms);
        return MRD_OK;
    }
    memcpy(next->uuid, uuid, MRD_ICEBERG_UUID_TEXT_SIZE);
    next->updated_ms = commit->change->time_ms;
    return ice_uri_of(commit->table, commit->table->path, commit->arena, &next->location,
                      commit->err);
}

/* The version before goes into the log; what falls out of it is nobody's any more, its published copy neither. */
static enum mrd_status log_metadata(struct ice_commit *commit, const char *metadata_key)
{
    struct mrd_iceberg_metadata *next = commit->next;
    const size_t had = next->metadata_log_count;
    const size_t dropped =
        had >= MRD_ICEBERG_METADATA_LOG_KEPT ? had + 1 - MRD_ICEBERG_METADATA_LOG_KEPT : 0;
    const size_t kept = had - dropped;
    struct mrd_iceberg_metadata_entry *log =
        mrd_arena_alloc(commit->arena, (kept + 1) * sizeof(*log));
    if (log == NULL) {
        return mrd_arena_fail(commit->arena, commit->err);
    }
    for (size_t i = 0; i < dropped; i++) {
        const char *copy;
        MRD_TRY(ice_copy_of(commit->table, next->metadata_log[i].file, commit->arena, &copy,
                            commit->err));
        ice_names_add(&commit->unreferenced, next->metadata_log[i].file);
        ice_names_add(&commit->unreferenced, copy);
    }
    if (kept > 0) {
        memcpy(log, next->metadata_log + dropped, kept * sizeof(*log));
    }
    log[kept].time_ms = commit->current->updated_ms;
    MRD_TRY(ice_uri_of(commit->table, metadata_key, commit->arena, &log[kept].file, commit->err));
    next->metadata_log = log;
    next->metadata_log_count = kept + 1;
    return MRD_OK;
}

/* What cannot be read back would be the end of the table. */
static enum mrd_status check_readable(struct ice_commit *commit, struct mrd_bytes json)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create_within(commit->arena);
    struct mrd_iceberg_metadata *unused;
    const enum mrd_status status = mrd_iceberg_metadata_read(json, arena, &unused, commit->err);
    return status == MRD_OK || status == MRD_E_LIMIT
               ? status
               : mrd_fail_prefix(commit->err, MRD_E_INVALID, "the change would make");
}

static enum mrd_status put_metadata(struct ice_commit *commit, uint64_t version,
                                    struct mrd_iceberg_version *out)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf json = {.limit = MRD_ICEBERG_METADATA_SIZE_MAX};
    MRD_TRY(mrd_iceberg_metadata_write(commit->next, &json, commit->err));
    MRD_TRY(check_readable(commit, mrd_buf_view(&json)));
    const char *key = mrd_arena_printf(commit->arena, "%s/metadata/%05" PRIu64 "-%s.metadata.json",
                                       commit->table->path, version, commit->uuid);
    if (key == NULL) {
        return mrd_arena_fail(commit->arena, commit->err);
    }
    MRD_TRY(mrd_objstore_put_if_absent(commit->table->store, key, mrd_buf_view(&json),
                                       commit->table->control, commit->err));
    out->key = key;
    out->json = mrd_arena_copy(commit->arena, mrd_buf_view(&json));
    return out->json.data == NULL ? mrd_arena_fail(commit->arena, commit->err) : MRD_OK;
}

static enum mrd_status list_unreferenced(struct ice_commit *commit, struct mrd_iceberg_version *out)
{
    const size_t count = ice_names_count(&commit->unreferenced);
    const char **keys = mrd_arena_alloc(commit->arena, MRD_MAX(count, (size_t)1) * sizeof(*keys));
    if (keys == NULL) {
        return mrd_arena_fail(commit->arena, commit->err);
    }
    ice_names_sort(&commit->unreferenced);
    for (size_t i = 0; i < count; i++) {
        MRD_TRY(ice_key_of(commit->table, ice_names_at(&commit->unreferenced)[i], &keys[i],
                           commit->err));
    }
    out->unreferenced = keys;
    out->unreferenced_count = count;
    return MRD_OK;
}

static enum mrd_status run_commit(struct ice_commit *commit, const char *metadata_key,
                                  struct mrd_iceberg_version *out)
{
    bool changed = false, expired = false;
    uint64_t version = 0;
    if (metadata_key != NULL) {
        MRD_TRY(ice_version_of(commit->table, metadata_key, &version, commit->err));
    }
    MRD_TRY(begin_next(commit, metadata_key));
    MRD_TRY(ice_evolve(commit, &changed));
    if (commit->change->operation != MRD_ICEBERG_NOTHING) {
        MRD_TRY(ice_snapshot(commit));
        changed = true;
    }
    MRD_TRY(ice_expire(commit, &expired));
    struct mrd_iceberg_version made = {.metadata = commit->next, .key = metadata_key};
    if (commit->current == NULL || changed || expired) {
        if (metadata_key != NULL) {
            MRD_TRY(log_metadata(commit, metadata_key));
        }
        MRD_TRY(put_metadata(commit, version + 1, &made));
    } else {
        made.metadata = commit->current;
    }
    MRD_TRY(list_unreferenced(commit, &made));
    *out = made;
    return MRD_OK;
}

enum mrd_status mrd_iceberg_commit(const struct mrd_iceberg_table *table, const char *metadata_key,
                                   const struct mrd_iceberg_change *change, struct mrd_arena *arena,
                                   struct mrd_iceberg_version *out, struct mrd_error *err)
{
    MRD_TRY(check_table(table, err));
    MRD_TRY(check_change(change, err));
    struct ice_commit commit = {.table = table, .change = change, .arena = arena, .err = err};
    const enum mrd_status status = run_commit(&commit, metadata_key, out);
    ice_names_fini(&commit.unreferenced);
    return status;
}
