#include "upkeep/sweep.h"

#include <stdio.h>
#include <stdlib.h>

#include "catalog/request.h"

enum {
    BATCH_KEYS = 512,
    PATH_SIZE = 512,
    EXPIRED_MAX = 4096 /* in one commit */,
    COMMIT_TRIES = 5
};

/* ---- lists ---- */

static int compare_bytes(const void *a, const void *b)
{
    return mrd_bytes_compare(*(const struct mrd_bytes *)a, *(const struct mrd_bytes *)b);
}

/* Sorted texts of others. */
struct names {
    struct mrd_bytes *items;
    size_t count;
};

static bool names_have(const struct names *names, struct mrd_bytes name)
{
    return names->count > 0 &&
           bsearch(&name, names->items, names->count, sizeof(name), compare_bytes) != NULL;
}

/* What the catalog names: files of blocks that are there, or have gone and are not swept. */
static void names_of_state(struct names *names, const struct mrd_catalog_state *state)
{
    const size_t blocks = mrd_catalog_block_count(state);
    const size_t gone = mrd_catalog_gone_count(state);
    *names = (struct names){calloc(3 * blocks + 2 * gone + 1, sizeof(*names->items)), 0};
    mrd_assert(names->items != NULL);
    for (size_t i = 0; i < blocks; i++) {
        names->items[names->count++] = mrd_catalog_block(state, i)->data.key;
        names->items[names->count++] = mrd_catalog_block(state, i)->sidecar.key;
        names->items[names->count++] =
            mrd_catalog_block(state, i)->series_file.file.key; /* or empty */
    }
    for (size_t i = 0; i < gone; i++) {
        names->items[names->count++] = mrd_catalog_gone_at(state, i)->data_key;
        names->items[names->count++] = mrd_catalog_gone_at(state, i)->sidecar_key;
    }
    qsort(names->items, names->count, sizeof(*names->items), compare_bytes);
}

/* Files of blocks that have gone. */
static void names_of_gone(struct names *names, const struct mrd_catalog_state *state)
{
    const size_t gone = mrd_catalog_gone_count(state);
    *names = (struct names){calloc(gone + 1, sizeof(*names->items)), gone};
    mrd_assert(names->items != NULL);
    for (size_t i = 0; i < gone; i++) {
        names->items[i] = mrd_catalog_gone_at(state, i)->data_key;
    }
    qsort(names->items, names->count, sizeof(*names->items), compare_bytes);
}

/* Where tables lie: "<region>/<tenant>/<table>/", sorted. */
struct place {
    const char *path;
    const struct mrd_catalog_table *table;
};
struct places {
    struct place *items;
    size_t count;
};

static int compare_places(const void *a, const void *b)
{
    return strcmp(((const struct place *)a)->path, ((const struct place *)b)->path);
}

static void places_init(struct places *places, const struct mrd_catalog_state *state,
                        const char *region)
{
    const size_t count = mrd_catalog_table_count(state);
    *places = (struct places){calloc(count + 1, sizeof(*places->items)), count};
    mrd_assert(places->items != NULL);
    for (size_t i = 0; i < count; i++) {
        struct mrd_buf path = {0};
        char name[MRD_CATALOG_NAME_SIZE_MAX + 2];
        const struct mrd_catalog_table *table = mrd_catalog_table_at(state, i);
        (void)snprintf(name, sizeof(name), "%.*s/", MRD_FMT(table->name));
        mrd_upkeep_table_path(region, table->tenant, name, &path);
        mrd_buf_append_u8(&path, 0);
        places->items[i] = (struct place){(const char *)path.data, table}; /* takes the text */
    }
    qsort(places->items, places->count, sizeof(*places->items), compare_places);
}

static void places_fini(struct places *places)
{
    for (size_t i = 0; i < places->count; i++) {
        struct mrd_buf path = {.data = (uint8_t *)(uintptr_t)places->items[i].path};
        mrd_buf_fini(&path);
    }
    free(places->items);
}

/* ---- a sweep ---- */

struct sweep {
    const struct mrd_upkeep_sweep_options *options;
    struct mrd_catalog *catalog;
    struct mrd_catalog_state *state;
    struct names named;
    struct names gone;
    struct places places;
    mrd_time_ms old_before_ms;
    struct mrd_upkeep_swept *out;
    struct mrd_error *err;
    enum mrd_status status; /* of the listing */

    /* the table at hand: "<region>/<tenant>/<table>/", or whatever stands there */
    char path[PATH_SIZE];
    bool is_table;
    bool is_safe; /* what is needed is known */
    struct mrd_arena *arena;
    const char *const *needed; /* sorted keys */
    size_t needed_count;
    const char *made; /* the version that this sweep has made; NULL: none */

    struct mrd_buf old; /* char *: keys to delete */
    struct mrd_buf
        expired; /* struct mrd_catalog_table_change: tables' versions without old snapshots; their keys are owned */
    struct mrd_buf
        needed_gone; /* struct mrd_bytes: data files of blocks gone of which snapshots have a file */
};

/* ---- one table ---- */

/* The table whose files begin with the path; NULL: the catalog has none there. */
static const struct mrd_catalog_table *find_table(const struct sweep *sweep)
{
    const struct place key = {.path = sweep->path};
    const struct place *found =
        sweep->places.count == 0
            ? NULL
            : bsearch(&key, sweep->places.items, sweep->places.count, sizeof(key), compare_places);
    return found == NULL ? NULL : found->table;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_needed(const struct sweep *sweep, const char *key)
{
    return sweep->needed_count > 0 &&
           bsearch(&key, sweep->needed, sweep->needed_count, sizeof(key), compare_texts) != NULL;
}

/* Whether the error says that the table is broken, rather than that the store is away. */
static bool is_of_table(enum mrd_status status)
{
    return status == MRD_E_CORRUPT || status == MRD_E_UNSUPPORTED || status == MRD_E_LIMIT ||
           status == MRD_E_NOT_FOUND || status == MRD_E_INVALID;
}

/* What the table's version needs. Whoever reads by the version of this moment finds all of it until the next sweep, though
 * snapshots may be forgotten below. */
static enum mrd_status load_needed(struct sweep *sweep, const struct mrd_catalog_table *table,
                                   struct mrd_error *err)
{
    char path[PATH_SIZE];
    char key[MRD_OBJSTORE_KEY_SIZE_MAX + 1];
    (void)snprintf(path, sizeof(path), "%.*s", (int)strlen(sweep->path) - 1, sweep->path);
    (void)snprintf(key, sizeof(key), "%.*s", MRD_FMT(table->metadata_key));
    const struct mrd_iceberg_table iceberg = {.store = sweep->options->catalog.store,
                                              .control = sweep->options->control,
                                              .root = sweep->options->tables->root,
                                              .path = path};
    return mrd_iceberg_references(&iceberg, key, sweep->arena, &sweep->needed, &sweep->needed_count,
                                  err);
}

/* Makes the version without old snapshots; which is the catalog's with the next commit of such versions. */
static enum mrd_status expire(struct sweep *sweep, const struct mrd_catalog_table *table,
                              struct mrd_error *err)
{
    const char *key;
    MRD_TRY(mrd_upkeep_table_expire(sweep->options->tables, table, sweep->arena, &key, err));
    if (key == NULL) {
        return MRD_OK;
    }
    char *kept = strdup(key);
    mrd_assert(kept != NULL);
    const struct mrd_catalog_table_change change = {.tenant = table->tenant,
                                                    .name = table->name,
                                                    .from_key = table->metadata_key,
                                                    .to_key = mrd_bytes_of(kept)};
    mrd_buf_append(&sweep->expired, (const void *)&change, sizeof(change));
    sweep->made = key;
    return MRD_OK;
}

static void drop_expired(struct sweep *sweep)
{
    const struct mrd_catalog_table_change *changes = (const void *)sweep->expired.data;
    for (size_t i = 0; i < sweep->expired.size / sizeof(*changes); i++) {
        free((void *)(uintptr_t)changes[i].to_key.data);
    }
    mrd_buf_clear(&sweep->expired);
}

/* Those whose table is still what it was. If others have changed one meanwhile, the next sweep will. */
static size_t keep_current(struct sweep *sweep, struct mrd_catalog_table_change *out)
{
    const struct mrd_catalog_table_change *changes = (const void *)sweep->expired.data;
    struct mrd_catalog_state *state = mrd_catalog_pin(sweep->catalog);
    size_t kept = 0;
    for (size_t i = 0; i < sweep->expired.size / sizeof(*changes); i++) {
        if (mrd_bytes_equal(mrd_catalog_table(state, changes[i].tenant, changes[i].name),
                            changes[i].from_key)) {
            out[kept++] = changes[i];
        }
    }
    mrd_catalog_unpin(&state);
    return kept;
}

/* In one commit. It is refused if one of the tables has become another after it was looked at: then without that. */
static enum mrd_status commit_expired(struct sweep *sweep)
{
    const struct mrd_objstore_control *control = sweep->options->control;
    enum mrd_status status = MRD_E_CONFLICT;
    size_t count = 0;
    if (sweep->expired.size == 0) {
        return MRD_OK;
    }
    struct mrd_catalog_table_change *changes = malloc(sweep->expired.size);
    mrd_assert(changes != NULL);
    for (int tries = 0; status == MRD_E_CONFLICT && tries < COMMIT_TRIES; tries++) {
        status = mrd_catalog_refresh(sweep->catalog, control, sweep->err);
        count = status == MRD_OK ? keep_current(sweep, changes) : 0;
        if (count > 0) {
            const struct mrd_catalog_change commit = {.tables = changes, .table_count = count};
            status = mrd_catalog_commit(sweep->catalog, &commit, control, sweep->err);
        }
    }
    free(changes);
    drop_expired(sweep);
    sweep->out->snapshots += status == MRD_OK ? count : 0;
    return status == MRD_E_CONFLICT ? MRD_OK : status;
}

/* Where the blocks lie whose files the table has: its own folder, but that files of series have the names of the blocks of samples that they
 * were written with. A block that is gone is not purged before its file of series: that is how long its labels are there. */
static void blocks_path(const struct sweep *sweep, char out[PATH_SIZE])
{
    static const char series[] = "/" MRD_UPKEEP_SERIES "/";
    const size_t size = strlen(sweep->path);
    const size_t tenant =
        size < sizeof(series) ? 0 : size - (sizeof(series) - 1); /* up to the table */
    const bool of_series = tenant > 0 && strcmp(sweep->path + tenant, series) == 0;
    (void)snprintf(out, PATH_SIZE, "%.*s%s", (int)(of_series ? tenant : size), sweep->path,
                   of_series ? "/" MRD_UPKEEP_SAMPLES "/" : "");
}

/* Notes which blocks gone have files that a snapshot still has. */
static void note_gone(struct sweep *sweep)
{
    char of[PATH_SIZE];
    blocks_path(sweep, of);
    const struct mrd_bytes path = mrd_bytes_of(of);
    size_t low = 0;
    size_t high = sweep->gone.count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (mrd_bytes_compare(sweep->gone.items[middle], path) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (size_t i = low; i < sweep->gone.count; i++) {
        const struct mrd_bytes gone = sweep->gone.items[i];
        char key[PATH_SIZE + MRD_BLOCK_KEY_SIZE_MAX];
        if (gone.size < path.size || memcmp(gone.data, path.data, path.size) != 0) {
            break;
        }
        (void)snprintf(key, sizeof(key), "%s%.*s", sweep->path, (int)(gone.size - path.size),
                       (const char *)gone.data + path.size);
        if (!sweep->is_safe || is_needed(sweep, key)) {
            mrd_buf_append(&sweep->needed_gone, &gone, sizeof(gone));
        }
    }
}

static enum mrd_status begin_table(struct sweep *sweep)
{
    struct mrd_error why = {0};
    const struct mrd_catalog_table *table = find_table(sweep);
    mrd_arena_reset(sweep->arena);
    sweep->made = NULL;
    sweep->needed = NULL;
    sweep->needed_count = 0;
    sweep->is_table = table != NULL;
    sweep->is_safe = table == NULL;
    if (table == NULL) {
        return MRD_OK;
    }
    enum mrd_status status = MRD_E_UNSUPPORTED;
    if (sweep->options->tables == NULL) {
        (void)mrd_fail(&why, status, "no tables are kept here");
    } else {
        status = load_needed(sweep, table, &why);
        sweep->is_safe = status == MRD_OK;
        status = status == MRD_OK ? expire(sweep, table, &why) : status;
    }
    if (status != MRD_OK && is_of_table(status)) {
        sweep->out->tables_failed += sweep->options->tables != NULL;
        sweep->out->table_error = why;
        status = MRD_OK;
    }
    note_gone(sweep);
    return status == MRD_OK ? MRD_OK : mrd_fail(sweep->err, status, "%s", why.text);
}

/* ---- deleting ---- */

static void drop_old(struct sweep *sweep)
{
    char **keys = (void *)sweep->old.data;
    for (size_t i = 0; i < sweep->old.size / sizeof(*keys); i++) {
        free(keys[i]);
    }
    mrd_buf_clear(&sweep->old);
}

static enum mrd_status delete_old(struct sweep *sweep)
{
    const char *const *keys = (const void *)sweep->old.data;
    const size_t count = sweep->old.size / sizeof(*keys);
    const enum mrd_status status =
        count == 0 ? MRD_OK
                   : mrd_objstore_delete_many(sweep->options->catalog.store, keys, count,
                                              sweep->options->control, sweep->err);
    sweep->out->table_files += status == MRD_OK ? count : 0;
    drop_old(sweep);
    return status;
}

/* ---- the region's keys ---- */

/* "eu/acme/samples/data/1.parquet" is at "eu/acme/samples/"; what lies less deep is at its folder. */
static size_t path_size(const char *key)
{
    const char *at = key;
    size_t size = 0;
    for (size_t i = 0; i < 3; i++) {
        at = strchr(at, '/');
        if (at == NULL) {
            break;
        }
        at++;
        size = (size_t)(at - key);
    }
    return size;
}

/* What the table's versions do not name themselves: the newest, and where readers without a catalog begin. */
static bool is_start(const struct sweep *sweep, const char *key)
{
    return sweep->is_table &&
           ((sweep->made != NULL && strcmp(key, sweep->made) == 0) ||
            strcmp(key + strlen(sweep->path), "metadata/version-hint.text") == 0);
}

/* What a table that cannot be read needs of its metadata is not known. */
static void tell_unnamed(const struct sweep *sweep, const struct mrd_objstore_entry *entry)
{
    const struct mrd_upkeep_unnamed *unnamed = sweep->options->unnamed;
    if (unnamed != NULL &&
        (sweep->is_safe || strncmp(entry->key + strlen(sweep->path), "data/", 5) == 0)) {
        unnamed->take(unnamed->context, entry->key, entry->info.modified_ms);
    }
}

static enum mrd_status look_at(struct sweep *sweep, const struct mrd_objstore_entry *entry)
{
    const size_t size = MRD_MIN(path_size(entry->key), sizeof(sweep->path) - 1);
    if (strlen(sweep->path) != size || memcmp(sweep->path, entry->key, size) != 0) {
        MRD_TRY(delete_old(sweep));
        if (sweep->expired.size / sizeof(struct mrd_catalog_table_change) >= EXPIRED_MAX) {
            MRD_TRY(commit_expired(sweep));
        }
        memcpy(sweep->path, entry->key, size);
        sweep->path[size] = '\0';
        MRD_TRY(begin_table(sweep));
    }
    const bool is_named = is_needed(sweep, entry->key) || is_start(sweep, entry->key) ||
                          names_have(&sweep->named, mrd_bytes_of(entry->key));
    const bool keep =
        is_named || !sweep->is_safe || entry->info.modified_ms >= sweep->old_before_ms;
    if (keep && !is_named) {
        tell_unnamed(sweep, entry);
    }
    if (!keep) {
        char *key = strdup(entry->key);
        mrd_assert(key != NULL);
        mrd_buf_append(&sweep->old, (const void *)&key, sizeof(key));
    }
    return sweep->old.size / sizeof(char *) < BATCH_KEYS ? MRD_OK : delete_old(sweep);
}

static bool visit(void *context, const struct mrd_objstore_entry *entry)
{
    struct sweep *sweep = context;
    sweep->status = look_at(sweep, entry);
    return sweep->status == MRD_OK;
}

static enum mrd_status sweep_region(struct sweep *sweep)
{
    char prefix[PATH_SIZE];
    (void)snprintf(prefix, sizeof(prefix), "%s/", sweep->options->region);
    MRD_TRY(mrd_objstore_list(sweep->options->catalog.store, prefix, "", visit, sweep,
                              sweep->options->control, sweep->err));
    MRD_TRY(sweep->status);
    MRD_TRY(delete_old(sweep));
    return commit_expired(sweep);
}

/* ---- the rest ---- */

/* What the sweep of the catalog has to leave, and whom it tells what it leaves. */
struct rest {
    struct names needed;
    const struct mrd_upkeep_unnamed *unnamed;
};

static bool is_needed_gone(void *context, struct mrd_bytes data_key)
{
    return names_have(&((const struct rest *)context)->needed, data_key);
}

static void take_unnamed(void *context, const char *key, mrd_time_ms modified_ms)
{
    const struct mrd_upkeep_unnamed *unnamed = ((const struct rest *)context)->unnamed;
    unnamed->take(unnamed->context, key, modified_ms);
}

static enum mrd_status sweep_catalog(struct sweep *sweep)
{
    struct rest rest = {
        .needed = {(void *)sweep->needed_gone.data,
                   sweep->needed_gone.size / sizeof(struct mrd_bytes)},
        .unnamed = sweep->options->unnamed
    };
    const struct names *needed = &rest.needed;
    const struct mrd_catalog_needed except = {is_needed_gone,
                                              rest.unnamed == NULL ? NULL : take_unnamed, &rest};
    if (needed->count > 0) {
        qsort(needed->items, needed->count, sizeof(*needed->items), compare_bytes);
    }
    return mrd_catalog_sweep_except(sweep->catalog, sweep->options->blocks_prefix, &except,
                                    sweep->options->control, &sweep->out->catalog, sweep->err);
}

/* Records about blocks that are not there any more: somebody has removed them. */
static enum mrd_status sweep_quarantine(struct sweep *sweep)
{
    struct mrd_objstore *store = sweep->options->catalog.store;
    struct mrd_upkeep_quarantine quarantine;
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("quarantine", MRD_UPKEEP_TABLE_BYTES_MAX);
    MRD_TRY(
        mrd_upkeep_quarantine_load(store, sweep->options->control, arena, &quarantine, sweep->err));
    for (size_t i = 0; i < quarantine.count; i++) {
        const struct mrd_upkeep_record *record = &quarantine.records[i];
        if (record->block.size > 0 && record->since_ms < sweep->old_before_ms &&
            mrd_catalog_find(sweep->state, record->block) == NULL) {
            MRD_TRY(mrd_objstore_delete(store, record->key, sweep->options->control, sweep->err));
            sweep->out->records++;
        }
    }
    return MRD_OK;
}

/* ---- requests to erase ---- */

static bool is_named_request(const struct mrd_catalog_state *state, const char *key)
{
    for (size_t i = 0; i < mrd_catalog_erasure_count(state); i++) {
        if (mrd_bytes_equal(mrd_catalog_erasure_at(state, i)->request_key, mrd_bytes_of(key))) {
            return true;
        }
    }
    return false;
}

static bool visit_request(void *context, const struct mrd_objstore_entry *entry)
{
    struct sweep *sweep = context;
    if (entry->info.modified_ms < sweep->old_before_ms &&
        !is_named_request(sweep->state, entry->key)) {
        sweep->status = mrd_objstore_delete(sweep->options->catalog.store, entry->key,
                                            sweep->options->control, sweep->err);
        sweep->out->requests += sweep->status == MRD_OK;
    }
    return sweep->status == MRD_OK;
}

/* Those that no erasure has which is not done. One that the catalog takes a grace after it was stored is refused by nobody, but whoever asks
 * commits it at once. */
static enum mrd_status sweep_requests(struct sweep *sweep)
{
    MRD_TRY(mrd_objstore_list(sweep->options->catalog.store, MRD_CATALOG_REQUEST_PREFIX, "",
                              visit_request, sweep, sweep->options->control, sweep->err));
    return sweep->status;
}

static enum mrd_status run(struct sweep *sweep, mrd_time_ms grace_ms)
{
    MRD_TRY(sweep_region(sweep));
    MRD_TRY(sweep_catalog(sweep));
    MRD_TRY(sweep_quarantine(sweep));
    MRD_TRY(sweep_requests(sweep));
    return mrd_objstore_sweep(sweep->options->catalog.store, grace_ms, sweep->options->control,
                              sweep->err);
}

enum mrd_status mrd_upkeep_sweep(const struct mrd_upkeep_sweep_options *options,
                                 struct mrd_upkeep_swept *out, struct mrd_error *err)
{
    const struct mrd_clock *clock =
        options->catalog.clock == NULL ? mrd_clock_system() : options->catalog.clock;
    struct sweep sweep = {.options = options, .out = out, .err = err};
    *out = (struct mrd_upkeep_swept){0};
    MRD_TRY(mrd_catalog_open(&options->catalog, options->control, &sweep.catalog, err));
    const mrd_time_ms grace_ms = mrd_catalog_kept_ms(sweep.catalog);
    sweep.old_before_ms = mrd_clock_now_ms(clock) - grace_ms;
    sweep.state = mrd_catalog_pin(sweep.catalog);
    sweep.arena = mrd_arena_create("table", MRD_UPKEEP_TABLE_BYTES_MAX);
    names_of_state(&sweep.named, sweep.state);
    names_of_gone(&sweep.gone, sweep.state);
    places_init(&sweep.places, sweep.state, options->region);
    const enum mrd_status status = run(&sweep, grace_ms);
    drop_old(&sweep);
    mrd_buf_fini(&sweep.old);
    drop_expired(&sweep);
    mrd_buf_fini(&sweep.expired);
    mrd_buf_fini(&sweep.needed_gone);
    mrd_arena_destroy(&sweep.arena);
    places_fini(&sweep.places);
    free(sweep.gone.items);
    free(sweep.named.items);
    mrd_catalog_unpin(&sweep.state);
    mrd_catalog_close(&sweep.catalog);
    return status;
}
