/* What nobody needs any more goes. Each step may be broken off and repeated, here or elsewhere. */
#include <stdlib.h>

#include "catalog/catalog_internal.h"

static mrd_time_ms old_before_ms(struct mrd_catalog *catalog)
{
    return mrd_clock_now_ms(catalog->options.clock) - mrd_catalog_kept_ms(catalog);
}

/* ---- keys to delete ---- */

struct keys {
    char **items;
    size_t count;
    size_t capacity;
};

static void keys_add(struct keys *keys, const char *key)
{
    if (keys->count == keys->capacity) {
        keys->capacity = MRD_MAX(2 * keys->capacity, (size_t)64);
        keys->items = realloc(keys->items, keys->capacity * sizeof(char *));
        mrd_assert(keys->items != NULL);
    }
    keys->items[keys->count] = strdup(key);
    mrd_assert(keys->items[keys->count] != NULL);
    keys->count++;
}

static void keys_add_bytes(struct keys *keys, struct mrd_bytes key)
{
    char text[MRD_BLOCK_KEY_SIZE_MAX + 1];
    mrd_assert(key.size < sizeof(text));
    memcpy(text, key.data, key.size);
    text[key.size] = '\0';
    keys_add(keys, text);
}

static void keys_fini(struct keys *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        free(keys->items[i]);
    }
    free(keys->items);
}

/* Drops those that have been written anew since they were listed: a file of which an earlier attempt was abandoned. */
static enum mrd_status keys_keep_old(struct mrd_catalog *catalog, struct keys *keys,
                                     mrd_time_ms before_ms,
                                     const struct mrd_objstore_control *control,
                                     struct mrd_error *err)
{
    size_t kept = 0;
    enum mrd_status status = MRD_OK;
    for (size_t i = 0; i < keys->count; i++) {
        struct mrd_objstore_info info = {0};
        if (status == MRD_OK) {
            status = mrd_objstore_head(catalog->options.store, keys->items[i], control, &info, err);
            status = status == MRD_E_NOT_FOUND ? MRD_OK : status;
        }
        if (status != MRD_OK || info.modified_ms >= before_ms) {
            free(keys->items[i]);
        } else {
            keys->items[kept++] = keys->items[i];
        }
    }
    keys->count = kept;
    return status;
}

static enum mrd_status keys_delete(struct mrd_catalog *catalog, const struct keys *keys,
                                   const struct mrd_objstore_control *control,
                                   struct mrd_error *err)
{
    return keys->count == 0
               ? MRD_OK
               : mrd_objstore_delete_many(catalog->options.store, (const char *const *)keys->items,
                                          keys->count, control, err);
}

/* ---- old commits ---- */

struct commits {
    mrd_time_ms old_before_ms;
    uint64_t
        checkpoint;  /* the latest one that is older than the grace: everything before it may go */
    uint64_t before; /* of the second pass */
    struct keys keys;
};

static bool find_checkpoint(void *context, const struct mrd_objstore_entry *entry)
{
    struct commits *commits = context;
    uint64_t number;
    bool checkpoint;
    if (cat_key_parse(entry->key, &number, &checkpoint) && checkpoint &&
        entry->info.modified_ms < commits->old_before_ms) {
        commits->checkpoint = MRD_MAX(commits->checkpoint, number);
    }
    return true;
}

static bool take_older(void *context, const struct mrd_objstore_entry *entry)
{
    struct commits *commits = context;
    uint64_t number;
    bool checkpoint;
    if (!cat_key_parse(entry->key, &number, &checkpoint)) {
        return true;
    }
    if (number < commits->before) {
        keys_add(&commits->keys, entry->key);
    }
    return number < commits->before;
}

static enum mrd_status sweep_commits(struct mrd_catalog *catalog,
                                     const struct mrd_objstore_control *control,
                                     struct mrd_catalog_swept *out, struct mrd_error *err)
{
    struct mrd_objstore *store = catalog->options.store;
    struct commits commits = {.old_before_ms = old_before_ms(catalog)};
    MRD_TRY(mrd_objstore_list(store, CAT_PREFIX, "", find_checkpoint, &commits, control, err));
    commits.before = commits.checkpoint;
    enum mrd_status status =
        mrd_objstore_list(store, CAT_PREFIX, "", take_older, &commits, control, err);
    if (status == MRD_OK) {
        status = keys_delete(catalog, &commits.keys, control, err);
    }
    out->commits += status == MRD_OK ? commits.keys.count : 0;
    keys_fini(&commits.keys);
    return status;
}

/* ---- files of removed blocks ---- */

struct purge {
    struct mrd_catalog_state *state; /* what the ids point into */
    struct mrd_bytes *ids;
    size_t count;
};

static bool purge_done(const void *context, const struct mrd_catalog_state *state)
{
    const struct purge *purge = context;
    for (size_t i = 0; i < mrd_catalog_gone_count(state); i++) {
        const struct mrd_catalog_gone *gone = mrd_catalog_gone_at(state, i);
        for (size_t j = 0; j < purge->count; j++) {
            if (mrd_bytes_equal(gone->id, purge->ids[j])) {
                return false;
            }
        }
    }
    return true;
}

static enum mrd_status purge_commit(struct mrd_catalog *catalog, const struct purge *purge,
                                    const struct mrd_objstore_control *control,
                                    struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf actions = {0};
    for (size_t i = 0; i < purge->count; i++) {
        cat_record_add(&actions, &(struct cat_action){.kind = CAT_PURGED, .id = purge->ids[i]});
    }
    const struct cat_wish wish = {.actions = &actions, .done = purge_done, .context = purge};
    const enum mrd_status status = cat_commit(catalog, &wish, control, err);
    return status == MRD_E_CONFLICT ? MRD_OK : status; /* another sweep has done some of it */
}

/* Files first: what is purged is never looked at again. Once more afterwards: a copy of a file onto itself that ran while it was deleted brings it back. Whoever made the
 * copy looks at the catalog then (upkeep/cool.h): if it finds the block among those gone still, what it has brought back is deleted here. */
static enum mrd_status sweep_gone(struct mrd_catalog *catalog,
                                  const struct mrd_catalog_needed *needed,
                                  const struct mrd_objstore_control *control,
                                  struct mrd_catalog_swept *out, struct mrd_error *err)
{
    struct purge purge = {.state = mrd_catalog_pin(catalog)};
    struct keys keys = {0};
    const size_t gone_count = mrd_catalog_gone_count(purge.state);
    purge.ids = calloc(gone_count + 1, sizeof(*purge.ids));
    mrd_assert(purge.ids != NULL);
    for (size_t i = 0; i < gone_count; i++) {
        const struct mrd_catalog_gone *gone = mrd_catalog_gone_at(purge.state, i);
        if (gone->since_ms < old_before_ms(catalog) &&
            (needed == NULL || !needed->is_needed(needed->context, gone->data_key))) {
            purge.ids[purge.count++] = gone->id;
            keys_add_bytes(&keys, gone->data_key);
            keys_add_bytes(&keys, gone->sidecar_key);
        }
    }
    enum mrd_status status = keys_delete(catalog, &keys, control, err);
    if (status == MRD_OK && purge.count > 0) {
        status = purge_commit(catalog, &purge, control, err);
        status = status == MRD_OK ? keys_delete(catalog, &keys, control, err) : status;
    }
    out->gone += status == MRD_OK ? purge.count : 0;
    keys_fini(&keys);
    free(purge.ids);
    mrd_catalog_unpin(&purge.state);
    return status;
}

/* ---- files that no commit names ---- */

static int key_order(const void *a, const void *b)
{
    return mrd_bytes_compare(*(const struct mrd_bytes *)a, *(const struct mrd_bytes *)b);
}

struct named {
    struct mrd_bytes *keys; /* sorted */
    size_t count;
    mrd_time_ms old_before_ms;
    const struct mrd_catalog_needed *needed; /* who is told of others; or NULL */
    struct keys abandoned;
};

static void named_collect(struct named *named, const struct mrd_catalog_state *state)
{
    const size_t blocks = mrd_catalog_block_count(state);
    const size_t gone = mrd_catalog_gone_count(state);
    named->keys = calloc(2 * (blocks + gone) + 1, sizeof(*named->keys));
    mrd_assert(named->keys != NULL);
    for (size_t i = 0; i < blocks; i++) {
        named->keys[named->count++] = mrd_catalog_block(state, i)->data.key;
        named->keys[named->count++] = mrd_catalog_block(state, i)->sidecar.key;
    }
    for (size_t i = 0; i < gone; i++) {
        named->keys[named->count++] = mrd_catalog_gone_at(state, i)->data_key;
        named->keys[named->count++] = mrd_catalog_gone_at(state, i)->sidecar_key;
    }
    qsort(named->keys, named->count, sizeof(*named->keys), key_order);
}

static bool take_abandoned(void *context, const struct mrd_objstore_entry *entry)
{
    struct named *named = context;
    const struct mrd_bytes key = mrd_bytes_of(entry->key);
    if (bsearch(&key, named->keys, named->count, sizeof(key), key_order) != NULL) {
        return true;
    }
    if (entry->info.modified_ms < named->old_before_ms) {
        keys_add(&named->abandoned, entry->key);
    } else if (named->needed != NULL && named->needed->unnamed != NULL) {
        named->needed->unnamed(named->needed->context, entry->key, entry->info.modified_ms);
    }
    return true;
}

/* A file that is older than the grace and in no commit by now will be in none: mrd_catalog_commit takes only files that are
 * younger than half of it (mrd_catalog_change.begun_ms). */
static enum mrd_status sweep_abandoned(struct mrd_catalog *catalog, const char *prefix,
                                       const struct mrd_catalog_needed *needed,
                                       const struct mrd_objstore_control *control,
                                       struct mrd_catalog_swept *out, struct mrd_error *err)
{
    struct named named = {.old_before_ms = old_before_ms(catalog), .needed = needed};
    MRD_TRY(cat_refresh(catalog, control, err));
    struct mrd_catalog_state *state = mrd_catalog_pin(catalog);
    named_collect(&named, state);
    enum mrd_status status =
        mrd_objstore_list(catalog->options.store, prefix, "", take_abandoned, &named, control, err);
    if (status == MRD_OK) {
        status = keys_keep_old(catalog, &named.abandoned, named.old_before_ms, control, err);
    }
    if (status == MRD_OK) {
        status = keys_delete(catalog, &named.abandoned, control, err);
    }
    out->abandoned += status == MRD_OK ? named.abandoned.count : 0;
    keys_fini(&named.abandoned);
    free(named.keys);
    mrd_catalog_unpin(&state);
    return status;
}

enum mrd_status mrd_catalog_sweep(struct mrd_catalog *catalog, const char *blocks_prefix,
                                  const struct mrd_objstore_control *control,
                                  struct mrd_catalog_swept *out, struct mrd_error *err)
{
    return mrd_catalog_sweep_except(catalog, blocks_prefix, NULL, control, out, err);
}

enum mrd_status mrd_catalog_sweep_except(struct mrd_catalog *catalog, const char *blocks_prefix,
                                         const struct mrd_catalog_needed *needed,
                                         const struct mrd_objstore_control *control,
                                         struct mrd_catalog_swept *out, struct mrd_error *err)
{
    *out = (struct mrd_catalog_swept){0};
    const size_t common = MRD_MIN(strlen(blocks_prefix), sizeof(CAT_PREFIX) - 1);
    if (strncmp(blocks_prefix, CAT_PREFIX, common) == 0) {
        return mrd_fail(err, MRD_E_INVALID,
                        "blocks below '%s' would be among the catalog's own objects",
                        blocks_prefix);
    }
    pthread_mutex_lock(&catalog->work);
    enum mrd_status status = sweep_commits(catalog, control, out, err);
    if (status == MRD_OK) {
        status = sweep_gone(catalog, needed, control, out, err);
    }
    if (status == MRD_OK) {
        status = sweep_abandoned(catalog, blocks_prefix, needed, control, out, err);
    }
    pthread_mutex_unlock(&catalog->work);
    return status;
}
