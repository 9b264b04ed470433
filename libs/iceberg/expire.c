/* Old snapshots: which go, and what nobody needs when they have gone.
 *
 * A table's history is a line and a manifest or file that has left it never comes back. So what a snapshot has is in a later
 * one only if it is in the next one, and in an earlier one that stays only if it is in the nearest of those: two look-ups
 * in place of one through all snapshots. */
#include <inttypes.h>

#include "iceberg/commit_internal.h"

static bool is_pinned(const struct mrd_iceberg_change *change, int64_t id)
{
    for (size_t i = 0; i < change->pinned_count; i++) {
        if (change->pinned[i] == id) {
            return true;
        }
    }
    return false;
}

/* It ended when the next one was made. */
static bool has_expired(const struct ice_commit *commit, size_t index)
{
    const struct mrd_iceberg_metadata *next = commit->next;
    return index + 1 < next->snapshot_count &&
           next->snapshots[index + 1].time_ms < commit->change->expire_before_ms &&
           next->snapshots[index].id != next->snapshot_id &&
           !is_pinned(commit->change, next->snapshots[index].id);
}

/* What a snapshot has, while two are compared. */
struct contents {
    struct mrd_iceberg_manifest *manifests;
    size_t count;
    struct ice_names names; /* of the manifests, sorted */
};

static void contents_fini(struct contents *contents) { ice_names_fini(&contents->names); }

static enum mrd_status contents_load(const struct ice_commit *commit, size_t index,
                                     struct mrd_arena *arena, struct contents *out)
{
    MRD_TRY(ice_list_load(commit->table, commit->next, &commit->next->snapshots[index], arena,
                          &out->manifests, &out->count, commit->err));
    for (size_t i = 0; i < out->count; i++) {
        ice_names_add(&out->names, out->manifests[i].path);
    }
    ice_names_sort(&out->names);
    return MRD_OK;
}

/* The live files of those manifests of `of` that `without` does not have. */
static enum mrd_status add_files(const struct ice_commit *commit, const struct contents *of,
                                 const struct contents *without, struct mrd_arena *arena,
                                 struct ice_names *out)
{
    for (size_t i = 0; i < of->count; i++) {
        if (without != NULL && ice_names_find(&without->names, of->manifests[i].path) >= 0) {
            continue;
        }
        struct mrd_iceberg_entry *entries;
        size_t count;
        MRD_TRY(ice_manifest_load(commit->table, commit->next, &of->manifests[i], arena, &entries,
                                  &count, commit->err));
        for (size_t j = 0; j < count; j++) {
            if (entries[j].status != MRD_ICEBERG_DELETED) {
                ice_names_add(out, entries[j].file.path);
            }
        }
    }
    ice_names_sort(out);
    return MRD_OK;
}

static enum mrd_status keep_name(const struct ice_commit *commit, const char *name,
                                 struct ice_names *out)
{
    const char *kept = (const char *)mrd_arena_copy(commit->arena, mrd_bytes_of(name)).data;
    if (kept == NULL) {
        return mrd_arena_fail(commit->arena, commit->err);
    }
    ice_names_add(out, kept);
    return MRD_OK;
}

/* What snapshot `index` has and the next one has not. */
static enum mrd_status find_dropped(const struct ice_commit *commit, size_t index,
                                    struct ice_names *out)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create_within(commit->arena);
    mrd_auto(contents_fini)
    struct contents old = {0}, new = {0};
    mrd_auto(ice_names_fini)
    struct ice_names old_files = {0}, new_files = {0};
    MRD_TRY(contents_load(commit, index, arena, &old));
    MRD_TRY(contents_load(commit, index + 1, arena, &new));
    MRD_TRY(add_files(commit, &old, &new, arena, &old_files));
    MRD_TRY(add_files(commit, &new, &old, arena, &new_files));
    for (size_t i = 0; i < ice_names_count(&old_files); i++) {
        const char *name = ice_names_at(&old_files)[i];
        if (ice_names_find(&new_files, name) < 0) {
            MRD_TRY(keep_name(commit, name, out));
        }
    }
    for (size_t i = 0; i < old.count; i++) {
        if (ice_names_find(&new.names, old.manifests[i].path) < 0) {
            MRD_TRY(keep_name(commit, old.manifests[i].path, out));
        }
    }
    return MRD_OK;
}

/* Adds what of `dropped` the nearest earlier snapshot that stays does not have. `kept` is its index, or the number of snapshots
 * if there is none. */
static enum mrd_status add_unreferenced(struct ice_commit *commit, size_t kept,
                                        const struct ice_names *dropped)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create_within(commit->arena);
    mrd_auto(contents_fini)
    struct contents earlier = {0};
    mrd_auto(ice_names_fini)
    struct ice_names files = {0};
    if (kept < commit->next->snapshot_count && ice_names_count(dropped) > 0) {
        MRD_TRY(contents_load(commit, kept, arena, &earlier));
        MRD_TRY(add_files(commit, &earlier, NULL, arena, &files));
    }
    for (size_t i = 0; i < ice_names_count(dropped); i++) {
        const char *name = ice_names_at(dropped)[i];
        if (ice_names_find(&files, name) < 0 && ice_names_find(&earlier.names, name) < 0) {
            ice_names_add(&commit->unreferenced, name);
        }
    }
    return MRD_OK;
}

static enum mrd_status find_unreferenced(struct ice_commit *commit)
{
    const struct mrd_iceberg_metadata *next = commit->next;
    size_t kept = next->snapshot_count;
    for (size_t i = 0; i < next->snapshot_count; i++) {
        if (!has_expired(commit, i)) {
            kept = i;
            continue;
        }
        mrd_auto(ice_names_fini)
        struct ice_names dropped = {0};
        MRD_TRY(find_dropped(commit, i, &dropped));
        MRD_TRY(add_unreferenced(commit, kept, &dropped));
        ice_names_add(&commit->unreferenced, next->snapshots[i].manifest_list);
    }
    return MRD_OK;
}

static bool is_among(const struct mrd_iceberg_snapshot *snapshots, size_t count, int64_t id)
{
    for (size_t i = 0; i < count; i++) {
        if (snapshots[i].id == id) {
            return true;
        }
    }
    return false;
}

static enum mrd_status remove_expired(struct ice_commit *commit)
{
    struct mrd_iceberg_metadata *next = commit->next;
    struct mrd_iceberg_snapshot *snapshots =
        mrd_arena_alloc(commit->arena, next->snapshot_count * sizeof(*snapshots));
    struct mrd_iceberg_snapshot_entry *log =
        mrd_arena_alloc(commit->arena, MRD_MAX(next->snapshot_log_count, (size_t)1) * sizeof(*log));
    if (snapshots == NULL || log == NULL) {
        return mrd_arena_fail(commit->arena, commit->err);
    }
    size_t count = 0, log_count = 0;
    for (size_t i = 0; i < next->snapshot_count; i++) {
        if (!has_expired(commit, i)) {
            snapshots[count++] = next->snapshots[i];
        }
    }
    for (size_t i = 0; i < next->snapshot_log_count; i++) {
        if (is_among(snapshots, count, next->snapshot_log[i].snapshot_id)) {
            log[log_count++] = next->snapshot_log[i];
        }
    }
    next->snapshots = snapshots;
    next->snapshot_count = count;
    next->snapshot_log = log;
    next->snapshot_log_count = log_count;
    return MRD_OK;
}

enum mrd_status ice_expire(struct ice_commit *commit, bool *out_changed)
{
    bool any = false;
    for (size_t i = 0; !any && i < commit->next->snapshot_count; i++) {
        any = has_expired(commit, i);
    }
    if (!any) {
        return MRD_OK;
    }
    if (!commit->change->leaves_to_sweep) {
        MRD_TRY(find_unreferenced(commit));
    }
    *out_changed = true;
    return remove_expired(commit);
}
