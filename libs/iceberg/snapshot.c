/* A snapshot: manifests without the removed files, a manifest of the added ones, merged ones where there are many, the list. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "iceberg/commit_internal.h"

enum { MERGED_FILES_MAX = 8192 }; /* of a manifest made by merging; larger ones are left alone */

struct snapshot_work {
    struct ice_commit *commit;
    int64_t id;
    int64_t sequence_number;
    struct mrd_buf
        manifests;          /* struct mrd_iceberg_manifest of the new list: first those made here */
    struct mrd_buf carried; /* those of the list before that stay */
    unsigned made_count;
    struct ice_names added;   /* keys, sorted */
    struct ice_names removed; /* URIs, sorted */
    bool *removed_seen;
    size_t removed_found;
    uint64_t rows_added, bytes_added;
    uint64_t rows_removed, bytes_removed;
};

static void work_fini(struct snapshot_work *work)
{
    mrd_buf_fini(&work->manifests);
    mrd_buf_fini(&work->carried);
    ice_names_fini(&work->added);
    ice_names_fini(&work->removed);
}

/* ---- numbers ---- */

static int64_t id_of(const struct ice_commit *commit)
{
    const struct mrd_bytes uuid = {commit->change->uuid, MRD_ICEBERG_UUID_SIZE};
    int64_t id = (int64_t)(mrd_hash64(uuid, 0) & (uint64_t)MRD_ICEBERG_SNAPSHOT_ID_MAX);
    while (id == 0 || mrd_iceberg_snapshot_find(commit->next, id) != NULL) {
        id = id == MRD_ICEBERG_SNAPSHOT_ID_MAX ? 1 : id + 1;
    }
    return id;
}

/* ---- writing a manifest ---- */

static enum mrd_status put_manifest(struct snapshot_work *work,
                                    const struct mrd_iceberg_entry *entries, size_t count,
                                    uint32_t spec_id)
{
    struct ice_commit *commit = work->commit;
    const struct mrd_iceberg_manifest_options options = {
        .schema = mrd_iceberg_schema_find(commit->next, commit->next->schema_id),
        .specs = commit->next->specs,
        .spec_id = spec_id,
        .snapshot_id = work->id,
        .sequence_number = work->sequence_number,
        .sync = commit->change->uuid,
    };
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {.limit = MRD_ICEBERG_MANIFEST_SIZE_MAX};
    struct mrd_iceberg_manifest manifest;
    MRD_TRY(mrd_iceberg_manifest_write(&options, entries, count, &bytes, &manifest, commit->err));
    const char *key = mrd_arena_printf(commit->arena, "%s/metadata/%s-m%u.avro",
                                       commit->table->path, commit->uuid, work->made_count++);
    if (key == NULL) {
        return mrd_arena_fail(commit->arena, commit->err);
    }
    MRD_TRY(ice_uri_of(commit->table, key, commit->arena, &manifest.path, commit->err));
    MRD_TRY(mrd_objstore_put_if_absent(commit->table->store, key, mrd_buf_view(&bytes),
                                       commit->table->control, commit->err));
    mrd_buf_append(&work->manifests, &manifest, sizeof(manifest));
    return MRD_OK;
}

/* ---- added files ---- */

static enum mrd_status check_added(struct snapshot_work *work)
{
    struct ice_names *paths = &work->added;
    struct ice_commit *commit = work->commit;
    const struct mrd_iceberg_schema *schema =
        mrd_iceberg_schema_find(commit->next, commit->next->schema_id);
    for (size_t i = 0; i < commit->change->added_count; i++) {
        const struct mrd_iceberg_file *file = &commit->change->added[i];
        MRD_TRY(mrd_iceberg_file_check(file, schema, commit->next->specs, commit->next->spec_count,
                                       commit->err));
        if (file->sorted && commit->next->sort_count == 0) {
            return mrd_fail(commit->err, MRD_E_INVALID, "%.300s is sorted, but the table is not",
                            file->path);
        }
        ice_names_add(paths, file->path);
        work->rows_added += file->row_count;
        work->bytes_added += file->size;
    }
    ice_names_sort(paths);
    for (size_t i = 1; i < ice_names_count(paths); i++) {
        if (strcmp(ice_names_at(paths)[i - 1], ice_names_at(paths)[i]) == 0) {
            return mrd_fail(commit->err, MRD_E_INVALID, "%.300s is added twice",
                            ice_names_at(paths)[i]);
        }
    }
    return MRD_OK;
}

/* One manifest for each spec that added files have. */
static enum mrd_status put_added(struct snapshot_work *work)
{
    struct ice_commit *commit = work->commit;
    const size_t total = commit->change->added_count;
    if (total == 0) {
        return MRD_OK;
    }
    struct mrd_iceberg_entry *entries = mrd_arena_alloc(commit->arena, total * sizeof(*entries));
    if (entries == NULL) {
        return mrd_arena_fail(commit->arena, commit->err);
    }
    for (uint32_t spec = 0; spec < commit->next->spec_count; spec++) {
        size_t count = 0;
        for (size_t i = 0; i < total; i++) {
            const struct mrd_iceberg_file *file = &commit->change->added[i];
            if (file->spec_id == spec) {
                struct mrd_iceberg_entry *entry = &entries[count++];
                *entry = (struct mrd_iceberg_entry){.status = MRD_ICEBERG_ADDED, .file = *file};
                MRD_TRY(ice_uri_of(commit->table, file->path, commit->arena, &entry->file.path,
                                   commit->err));
            }
        }
        if (count > 0) {
            MRD_TRY(put_manifest(work, entries, count, spec));
        }
    }
    return MRD_OK;
}

/* ---- removed files ---- */

static enum mrd_status name_removed(struct snapshot_work *work)
{
    struct ice_commit *commit = work->commit;
    for (size_t i = 0; i < commit->change->removed_count; i++) {
        const char *uri;
        MRD_TRY(ice_uri_of(commit->table, commit->change->removed[i], commit->arena, &uri,
                           commit->err));
        ice_names_add(&work->removed, uri);
    }
    ice_names_sort(&work->removed);
    const size_t count = ice_names_count(&work->removed);
    work->removed_seen = mrd_arena_alloc(commit->arena, MRD_MAX(count, (size_t)1));
    return work->removed_seen == NULL ? mrd_arena_fail(commit->arena, commit->err) : MRD_OK;
}

/* Marks the removed among the entries and drops what was deleted before; returns how many are removed now. */
static size_t mark_removed(struct snapshot_work *work, struct mrd_iceberg_entry *entries,
                           size_t *count)
{
    size_t kept = 0, marked = 0;
    for (size_t i = 0; i < *count; i++) {
        struct mrd_iceberg_entry entry = entries[i];
        if (entry.status == MRD_ICEBERG_DELETED) {
            continue;
        }
        const ptrdiff_t at = ice_names_find(&work->removed, entry.file.path);
        entry.status = MRD_ICEBERG_EXISTING;
        if (at >= 0 && !work->removed_seen[at]) {
            work->removed_seen[at] = true;
            entry.status = MRD_ICEBERG_DELETED;
            entry.snapshot_id = work->id;
            /* Their bounds are values of what was removed; nobody plans with them any more, and it may be gone for good. */
            entry.file.columns = NULL;
            entry.file.column_count = 0;
            work->rows_removed += entry.file.row_count;
            work->bytes_removed += entry.file.size;
            marked++;
        }
        entries[kept++] = entry;
    }
    *count = kept;
    work->removed_found += marked;
    return marked;
}

/* Whether one of the added files could be in the manifest: it lies in one partition of its spec. */
static bool may_have_added(const struct snapshot_work *work,
                           const struct mrd_iceberg_manifest *manifest)
{
    const struct mrd_iceberg_change *change = work->commit->change;
    const struct mrd_iceberg_spec *spec = &work->commit->next->specs[manifest->spec_id];
    for (size_t i = 0; i < change->added_count; i++) {
        const struct mrd_iceberg_file *file = &change->added[i];
        bool within = file->spec_id == manifest->spec_id;
        for (size_t k = 0; within && k < spec->field_count; k++) {
            within = file->partition[k] >= manifest->partition_min[k] &&
                     file->partition[k] <= manifest->partition_max[k];
        }
        if (within) {
            return true;
        }
    }
    return false;
}

/* A file that is there twice would be counted twice, and one that comes back deleted too early (expire.c). */
static enum mrd_status check_not_there(const struct snapshot_work *work,
                                       const struct mrd_iceberg_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *key;
        MRD_TRY(ice_key_of(work->commit->table, entries[i].file.path, &key, work->commit->err));
        if (ice_names_find(&work->added, key) >= 0) {
            return mrd_fail(work->commit->err, MRD_E_CONFLICT,
                            "%.300s is to be added, but is in the table already: read the catalog "
                            "again",
                            key);
        }
    }
    return MRD_OK;
}

/* The entries of a manifest of the current snapshot, which the caller may change. */
static enum mrd_status entries_of(const struct snapshot_work *work,
                                  const struct mrd_iceberg_manifest *manifest, size_t index,
                                  struct mrd_arena *arena, struct mrd_iceberg_entry **out,
                                  size_t *out_count)
{
    const struct ice_commit *commit = work->commit;
    const struct mrd_iceberg_contents *contents = commit->change->contents;
    if (contents == NULL) {
        return ice_manifest_load(commit->table, commit->current, manifest, arena, out, out_count,
                                 commit->err);
    }
    const size_t count = contents->entry_counts[index];
    struct mrd_iceberg_entry *copy = mrd_arena_alloc_array(arena, count + 1, sizeof(*copy));
    if (copy == NULL) {
        return mrd_arena_fail(arena, commit->err);
    }
    if (count > 0) {
        memcpy(copy, contents->entries[index], count * sizeof(*copy));
    }
    *out = copy;
    *out_count = count;
    return MRD_OK;
}

/* Carries a manifest over as it is, or rewrites it without the removed files. */
static enum mrd_status take_manifest(struct snapshot_work *work,
                                     const struct mrd_iceberg_manifest *manifest, size_t index,
                                     struct mrd_arena *arena)
{
    if (manifest->added_files + manifest->existing_files == 0) {
        return MRD_OK; /* it told what the snapshot before has removed */
    }
    size_t marked = 0, count = 0;
    struct mrd_iceberg_entry *entries = NULL;
    if (work->removed_found < ice_names_count(&work->removed) || may_have_added(work, manifest)) {
        MRD_TRY(entries_of(work, manifest, index, arena, &entries, &count));
        marked = mark_removed(work, entries, &count);
        MRD_TRY(check_not_there(work, entries, count));
    }
    if (marked == 0) {
        mrd_buf_append(&work->carried, manifest, sizeof(*manifest));
        return MRD_OK;
    }
    return put_manifest(work, entries, count, manifest->spec_id);
}

static enum mrd_status take_manifests(struct snapshot_work *work,
                                      const struct mrd_iceberg_manifest *manifests, size_t count)
{
    struct ice_commit *commit = work->commit;
    MRD_TRY(name_removed(work));
    for (size_t i = 0; i < count; i++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create_within(commit->arena);
        MRD_TRY(take_manifest(work, &manifests[i], i, arena));
    }
    for (size_t i = 0; i < ice_names_count(&work->removed); i++) {
        if (!work->removed_seen[i]) {
            return mrd_fail(
                commit->err, MRD_E_CONFLICT,
                "%.300s is to be removed, but is not in the table, or named twice: read "
                "the catalog again",
                ice_names_at(&work->removed)[i]);
        }
    }
    return MRD_OK;
}

/* ---- merging ---- */

static size_t live_files(const struct mrd_iceberg_manifest *manifest)
{
    return (size_t)manifest->added_files + manifest->existing_files;
}

/* Appends the live entries of a manifest, as existing ones. */
static enum mrd_status load_live(struct snapshot_work *work,
                                 const struct mrd_iceberg_manifest *manifest,
                                 struct mrd_arena *arena, struct mrd_buf *out)
{
    struct ice_commit *commit = work->commit;
    struct mrd_iceberg_entry *entries;
    size_t count;
    MRD_TRY(ice_manifest_load(commit->table, commit->current, manifest, arena, &entries, &count,
                              commit->err));
    for (size_t i = 0; i < count; i++) {
        if (entries[i].status != MRD_ICEBERG_DELETED) {
            entries[i].status = MRD_ICEBERG_EXISTING;
            mrd_buf_append(out, &entries[i], sizeof(entries[i]));
        }
    }
    return MRD_OK;
}

/* Makes one manifest of a group. */
static enum mrd_status put_merged(struct snapshot_work *work,
                                  const struct mrd_iceberg_manifest *const *group, size_t count)
{
    if (count == 1) {
        mrd_buf_append(&work->manifests, group[0], sizeof(*group[0]));
        return MRD_OK;
    }
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create_within(work->commit->arena);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf entries = {0};
    for (size_t i = 0; i < count; i++) {
        MRD_TRY(load_live(work, group[i], arena, &entries));
    }
    return put_manifest(work, (const struct mrd_iceberg_entry *)(const void *)entries.data,
                        entries.size / sizeof(struct mrd_iceberg_entry), group[0]->spec_id);
}

/* Merges neighbours of one spec up to MERGED_FILES_MAX files. */
static enum mrd_status merge_spec(struct snapshot_work *work,
                                  const struct mrd_iceberg_manifest *const *all, size_t count)
{
    size_t first = 0, files = 0;
    for (size_t i = 0; i < count; i++) {
        if (i > first && files + live_files(all[i]) > MERGED_FILES_MAX) {
            MRD_TRY(put_merged(work, all + first, i - first));
            first = i;
            files = 0;
        }
        files += live_files(all[i]);
    }
    return count == 0 ? MRD_OK : put_merged(work, all + first, count - first);
}

/* The manifests that stay, as they are or merged where one spec has many. */
static enum mrd_status carry_over(struct snapshot_work *work)
{
    struct ice_commit *commit = work->commit;
    const struct mrd_iceberg_manifest *carried = (const void *)work->carried.data;
    const size_t total = work->carried.size / sizeof(*carried);
    const struct mrd_iceberg_manifest **group = mrd_arena_alloc(
        commit->arena, MRD_MAX(total, (size_t)1) * sizeof(struct mrd_iceberg_manifest *));
    if (group == NULL) {
        return mrd_arena_fail(commit->arena, commit->err);
    }
    for (uint32_t spec = 0; spec < commit->next->spec_count; spec++) {
        size_t count = 0;
        for (size_t i = 0; i < total; i++) {
            if (carried[i].spec_id == spec) {
                group[count++] = &carried[i];
            }
        }
        if (count > MRD_ICEBERG_MANIFESTS_KEPT) {
            MRD_TRY(merge_spec(work, group, count));
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            mrd_buf_append(&work->manifests, group[i], sizeof(*group[i]));
        }
    }
    return MRD_OK;
}

/* ---- the snapshot ---- */

static const char *operation_name(enum mrd_iceberg_operation operation)
{
    static const char *const names[] = {
        [MRD_ICEBERG_NOTHING] = "",        [MRD_ICEBERG_APPEND] = "append",
        [MRD_ICEBERG_REPLACE] = "replace", [MRD_ICEBERG_OVERWRITE] = "overwrite",
        [MRD_ICEBERG_DELETE] = "delete",
    };
    return names[operation];
}

struct summary {
    struct mrd_iceberg_property *items;
    size_t count;
    struct mrd_arena *arena;
    bool full;
};

static void say(struct summary *summary, const char *key, uint64_t value)
{
    const char *text = mrd_arena_printf(summary->arena, "%" PRIu64, value);
    summary->full |= text == NULL;
    summary->items[summary->count++] = (struct mrd_iceberg_property){key, text};
}

static void say_if(struct summary *summary, const char *key, uint64_t value)
{
    if (value > 0) {
        say(summary, key, value);
    }
}

static const struct mrd_iceberg_snapshot *current_snapshot(const struct ice_commit *commit)
{
    return commit->current == NULL
               ? NULL
               : mrd_iceberg_snapshot_find(commit->current, commit->current->snapshot_id);
}

/* Of the table before; the list has no sizes. */
static uint64_t size_before(const struct ice_commit *commit)
{
    const struct mrd_iceberg_snapshot *before = current_snapshot(commit);
    const char *text =
        before == NULL
            ? NULL
            : mrd_iceberg_property_find(before->summary, before->summary_count, "total-files-size");
    return text == NULL ? 0 : strtoull(text, NULL, 10);
}

static void say_totals(struct snapshot_work *work, struct summary *summary)
{
    const struct mrd_iceberg_manifest *manifests = (const void *)work->manifests.data;
    uint64_t files = 0, rows = 0;
    for (size_t i = 0; i < work->manifests.size / sizeof(*manifests); i++) {
        files += live_files(&manifests[i]);
        rows += manifests[i].added_rows + manifests[i].existing_rows;
    }
    say(summary, "total-data-files", files);
    say(summary, "total-records", rows);
    say(summary, "total-files-size",
        size_before(work->commit) + work->bytes_added - work->bytes_removed);
    say(summary, "total-delete-files", 0);
    say(summary, "total-position-deletes", 0);
    say(summary, "total-equality-deletes", 0);
}

static enum mrd_status make_summary(struct snapshot_work *work, struct mrd_iceberg_snapshot *out)
{
    enum { OWN = 16 };
    struct ice_commit *commit = work->commit;
    const struct mrd_iceberg_change *change = commit->change;
    if (change->summary_count > MRD_ICEBERG_SUMMARY_MAX - OWN) {
        return mrd_fail(commit->err, MRD_E_INVALID, "%zu texts for a snapshot, at most %d",
                        change->summary_count, MRD_ICEBERG_SUMMARY_MAX - OWN);
    }
    struct summary summary = {.arena = commit->arena};
    summary.items =
        mrd_arena_alloc(commit->arena, (OWN + change->summary_count) * sizeof(*summary.items));
    if (summary.items == NULL) {
        return mrd_arena_fail(commit->arena, commit->err);
    }
    summary.items[summary.count++] =
        (struct mrd_iceberg_property){"operation", operation_name(change->operation)};
    say_if(&summary, "added-data-files", change->added_count);
    say_if(&summary, "added-records", work->rows_added);
    say_if(&summary, "added-files-size", work->bytes_added);
    say_if(&summary, "deleted-data-files", change->removed_count);
    say_if(&summary, "deleted-records", work->rows_removed);
    say_if(&summary, "removed-files-size", work->bytes_removed);
    say_totals(work, &summary);
    for (size_t i = 0; i < change->summary_count; i++) {
        struct mrd_iceberg_property *item = &summary.items[summary.count++];
        item->key =
            (const char *)mrd_arena_copy(commit->arena, mrd_bytes_of(change->summary[i].key)).data;
        item->value =
            (const char *)mrd_arena_copy(commit->arena, mrd_bytes_of(change->summary[i].value))
                .data;
        summary.full |= item->key == NULL || item->value == NULL;
    }
    out->summary = summary.items;
    out->summary_count = summary.count;
    return summary.full ? mrd_arena_fail(commit->arena, commit->err) : MRD_OK;
}

static enum mrd_status put_list(struct snapshot_work *work, struct mrd_iceberg_snapshot *snapshot)
{
    struct ice_commit *commit = work->commit;
    const struct mrd_iceberg_list_options options = {
        .specs = commit->next->specs,
        .snapshot_id = work->id,
        .parent_id = snapshot->parent_id,
        .sequence_number = work->sequence_number,
        .sync = commit->change->uuid,
    };
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {.limit = MRD_ICEBERG_MANIFEST_SIZE_MAX};
    MRD_TRY(mrd_iceberg_list_write(&options, (const void *)work->manifests.data,
                                   work->manifests.size / sizeof(struct mrd_iceberg_manifest),
                                   &bytes, commit->err));
    const char *key = mrd_arena_printf(commit->arena, "%s/metadata/snap-%" PRId64 "-%s.avro",
                                       commit->table->path, work->id, commit->uuid);
    if (key == NULL) {
        return mrd_arena_fail(commit->arena, commit->err);
    }
    MRD_TRY(ice_uri_of(commit->table, key, commit->arena, &snapshot->manifest_list, commit->err));
    return mrd_objstore_put_if_absent(commit->table->store, key, mrd_buf_view(&bytes),
                                      commit->table->control, commit->err);
}

/* The snapshot becomes the current one of the next version. */
static enum mrd_status add_snapshot(struct ice_commit *commit,
                                    const struct mrd_iceberg_snapshot *snapshot)
{
    struct mrd_iceberg_metadata *next = commit->next;
    const size_t count = next->snapshot_count, log_count = next->snapshot_log_count;
    struct mrd_iceberg_snapshot *snapshots =
        mrd_arena_alloc(commit->arena, (count + 1) * sizeof(*snapshots));
    struct mrd_iceberg_snapshot_entry *log =
        mrd_arena_alloc(commit->arena, (log_count + 1) * sizeof(*log));
    if (snapshots == NULL || log == NULL) {
        return mrd_arena_fail(commit->arena, commit->err);
    }
    if (count > 0) {
        memcpy(snapshots, next->snapshots, count * sizeof(*snapshots));
    }
    if (log_count > 0) {
        memcpy(log, next->snapshot_log, log_count * sizeof(*log));
    }
    snapshots[count] = *snapshot;
    log[log_count] = (struct mrd_iceberg_snapshot_entry){snapshot->time_ms, snapshot->id};
    next->snapshots = snapshots;
    next->snapshot_count = count + 1;
    next->snapshot_log = log;
    next->snapshot_log_count = log_count + 1;
    next->snapshot_id = snapshot->id;
    next->last_sequence_number = snapshot->sequence_number;
    next->updated_ms = snapshot->time_ms;
    return MRD_OK;
}

static enum mrd_status list_before(const struct ice_commit *commit,
                                   const struct mrd_iceberg_snapshot *before,
                                   const struct mrd_iceberg_manifest **out, size_t *out_count)
{
    const struct mrd_iceberg_contents *contents = commit->change->contents;
    struct mrd_iceberg_manifest *loaded;
    if (contents != NULL) {
        mrd_assert(contents->snapshot_id == before->id);
        *out = contents->manifests;
        *out_count = contents->manifest_count;
        return MRD_OK;
    }
    MRD_TRY(ice_list_load(commit->table, commit->current, before, commit->arena, &loaded, out_count,
                          commit->err));
    *out = loaded;
    return MRD_OK;
}

static enum mrd_status make_snapshot(struct snapshot_work *work)
{
    struct ice_commit *commit = work->commit;
    const struct mrd_iceberg_snapshot *before = current_snapshot(commit);
    struct mrd_iceberg_snapshot snapshot = {
        .id = work->id,
        .parent_id = before == NULL ? 0 : before->id,
        .sequence_number = work->sequence_number,
        /* Later than the one before, or time travel could not tell them apart. */
        .time_ms = before == NULL ? commit->next->updated_ms
                                  : MRD_MAX(commit->next->updated_ms, before->time_ms + 1),
        .schema_id = commit->next->schema_id,
    };
    const struct mrd_iceberg_manifest *manifests = NULL;
    size_t count = 0;
    if (before != NULL) {
        MRD_TRY(list_before(commit, before, &manifests, &count));
    }
    MRD_TRY(check_added(work));
    MRD_TRY(take_manifests(work, manifests, count));
    MRD_TRY(put_added(work));
    MRD_TRY(carry_over(work));
    MRD_TRY(make_summary(work, &snapshot));
    MRD_TRY(put_list(work, &snapshot));
    return add_snapshot(commit, &snapshot);
}

enum mrd_status ice_snapshot(struct ice_commit *commit)
{
    if (commit->next->snapshot_count >= MRD_ICEBERG_SNAPSHOTS_MAX) {
        return mrd_fail(commit->err, MRD_E_LIMIT,
                        "the table has %zu snapshots, at most %d: let old ones expire",
                        commit->next->snapshot_count, MRD_ICEBERG_SNAPSHOTS_MAX);
    }
    struct snapshot_work work = {
        .commit = commit,
        .id = id_of(commit),
        .sequence_number = commit->next->last_sequence_number + 1,
    };
    const enum mrd_status status = make_snapshot(&work);
    work_fini(&work);
    return status;
}
