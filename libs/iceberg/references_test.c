/* Random histories of a table: at every version the snapshots have the files that a model says, and of all objects each is
 * needed, or was named as unreferenced, but never both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "iceberg/commit.h"
#include "iceberg/tables.h"
#include "objstore/folder_fixture.h"

enum {
    LIMIT = 256 << 20,
    SEEDS = 4,
    STEPS = 90,
    FILES_MAX = 1024,
    SNAPSHOTS_MAX = STEPS + 1,
    NAME_SIZE = 200
};

/* What is known of a table without looking at it. */
struct model {
    char folder[FOLDER_FIXTURE_PATH_MAX];
    struct mrd_objstore *store;
    struct mrd_iceberg_table table;
    struct mrd_block_schema schema;
    struct mrd_iceberg_table_definition samples;
    uint32_t random;

    char names[FILES_MAX][NAME_SIZE];
    size_t file_count;
    bool live[FILES_MAX];

    char current[NAME_SIZE];
    struct {
        int64_t id;
        mrd_time_ms time_ms;
        bool files[FILES_MAX];
    } snapshots[SNAPSHOTS_MAX];
    size_t snapshot_count;

    char gone[16384][NAME_SIZE];
    size_t gone_count;
};

static uint32_t next_random(struct model *model)
{
    model->random = model->random * 1664525 + 1013904223;
    return model->random >> 8;
}

static void open_model(struct model *model, uint32_t seed)
{
    memset(model, 0, sizeof(*model));
    model->random = seed;
    model->store = folder_fixture_open(model->folder, NULL);
    model->table = (struct mrd_iceberg_table){
        .store = model->store, .root = "file:///blocks", .path = "eu/t/samples"};
    const struct mrd_block_schema_options options = {.level = 1};
    assert_int_equal(mrd_block_schema_init(&options, &model->schema, NULL), MRD_OK);
    mrd_iceberg_samples_table(&model->schema, &model->samples);
}

static void close_model(struct model *model)
{
    mrd_objstore_close(&model->store);
    folder_fixture_remove(model->folder);
}

/* ---- a step ---- */

static size_t add_files(struct model *model, struct mrd_iceberg_file *added)
{
    const size_t count = 1 + next_random(model) % 3;
    for (size_t i = 0; i < count; i++) {
        const size_t file = model->file_count++;
        assert_true(file < FILES_MAX);
        (void)snprintf(model->names[file], NAME_SIZE, "eu/t/samples/data/%zu.parquet", file);
        assert_int_equal(
            mrd_objstore_put(model->store, model->names[file], MRD_BYTES("data"), NULL, NULL),
            MRD_OK);
        model->live[file] = true;
        added[i] = (struct mrd_iceberg_file){.path = model->names[file],
                                             .size = 4,
                                             .row_count = 1 + file,
                                             .spec_id = next_random(model) % 2,
                                             .partition = {(int32_t)(file % 7)}};
    }
    return count;
}

static size_t remove_files(struct model *model, const char **removed, size_t files_before)
{
    size_t count = 0;
    for (size_t file = 0; file < files_before && count < 3; file++) {
        if (model->live[file] && next_random(model) % 4 == 0) {
            model->live[file] = false;
            removed[count++] = model->names[file];
        }
    }
    return count;
}

static void note_version(struct model *model, const struct mrd_iceberg_version *version,
                         bool snapshot)
{
    memmove(model->current, version->key, strlen(version->key) + 1); /* may be itself */
    for (size_t i = 0; i < version->unreferenced_count; i++) {
        assert_true(model->gone_count < MRD_ARRAY_LEN(model->gone));
        (void)snprintf(model->gone[model->gone_count++], NAME_SIZE, "%s", version->unreferenced[i]);
    }
    if (snapshot) {
        const struct mrd_iceberg_metadata *metadata = version->metadata;
        model->snapshots[model->snapshot_count].id = metadata->snapshot_id;
        model->snapshots[model->snapshot_count].time_ms = metadata->updated_ms;
        memcpy(model->snapshots[model->snapshot_count++].files, model->live, sizeof(model->live));
    }
}

/* Forgets what the commit is to forget. */
static void expire_model(struct model *model, mrd_time_ms before_ms, int64_t pinned)
{
    size_t kept = 0;
    for (size_t i = 0; i < model->snapshot_count; i++) {
        const bool ended =
            i + 1 < model->snapshot_count && model->snapshots[i + 1].time_ms < before_ms;
        if (!ended || model->snapshots[i].id == pinned) {
            model->snapshots[kept++] = model->snapshots[i];
        }
    }
    model->snapshot_count = kept;
}

static void take_step(struct model *model, int step)
{
    struct mrd_iceberg_file added[3];
    const char *removed[3];
    const size_t before = model->file_count;
    const int64_t pinned = model->snapshot_count == 0
                               ? 0
                               : model->snapshots[next_random(model) % model->snapshot_count].id;
    struct mrd_iceberg_change change = {
        .time_ms = 1000 * step,
        .definition = &model->samples.definition,
        .added = added,
        .removed = removed,
        .pinned = &pinned,
        .pinned_count = 1,
    };
    memset(change.uuid, step, sizeof(change.uuid));
    change.added_count = next_random(model) % 4 == 0 ? 0 : add_files(model, added);
    change.removed_count = next_random(model) % 2 == 0 ? 0 : remove_files(model, removed, before);
    change.operation = change.removed_count == 0 ? MRD_ICEBERG_APPEND : MRD_ICEBERG_OVERWRITE;
    if (change.added_count == 0) {
        change.operation = change.removed_count == 0 ? MRD_ICEBERG_NOTHING : MRD_ICEBERG_DELETE;
    }
    change.expire_before_ms =
        next_random(model) % 3 == 0 ? 1000 * (step - (int)(next_random(model) % 20)) : 0;
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("step", LIMIT);
    struct mrd_iceberg_version version;
    struct mrd_error err;
    const char *from = model->current[0] == '\0' ? NULL : model->current;
    if (mrd_iceberg_commit(&model->table, from, &change, arena, &version, &err) != MRD_OK) {
        fail_msg("step %d: %s", step, err.text);
    }
    note_version(model, &version, change.operation != MRD_ICEBERG_NOTHING);
    expire_model(model, change.expire_before_ms, pinned);
    if (next_random(model) % 2 == 0) {
        assert_int_equal(mrd_iceberg_publish(&model->table, model->current, MRD_BYTES_NONE, NULL),
                         MRD_OK);
    }
}

/* ---- judgement ---- */

static void check_snapshot(struct model *model, const struct mrd_iceberg_metadata *metadata,
                           size_t index)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("files", LIMIT);
    struct mrd_iceberg_contents contents;
    size_t want = 0;
    struct mrd_error err;
    if (mrd_iceberg_contents_load(&model->table, metadata, model->snapshots[index].id, arena,
                                  &contents, &err) != MRD_OK) {
        fail_msg("%s", err.text);
    }
    for (size_t i = 0; i < model->file_count; i++) {
        want += model->snapshots[index].files[i];
    }
    assert_int_equal(contents.file_count, want);
    for (size_t i = 0; i < contents.file_count; i++) {
        const size_t file = strtoull(strrchr(contents.files[i].path, '/') + 1, NULL, 10);
        assert_true(model->snapshots[index].files[file]);
        assert_int_equal(contents.files[i].row_count, 1 + file);
    }
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, *(const char *const *)b);
}

struct audit {
    struct model *model;
    const char *const *keys;
    size_t key_count;
    int step;
};

static bool check_object(void *context, const struct mrd_objstore_entry *entry)
{
    const struct audit *audit = context;
    const bool needed = bsearch(entry->key, audit->keys, audit->key_count, sizeof(*audit->keys),
                                compare_names) != NULL;
    bool gone = false;
    for (size_t i = 0; i < audit->model->gone_count && !gone; i++) {
        gone = strcmp(audit->model->gone[i], entry->key) == 0;
    }
    if (needed == gone && strstr(entry->key, "version-hint") == NULL) {
        fail_msg("step %d: %s is %s", audit->step, entry->key,
                 needed ? "needed and was given up" : "forgotten");
    }
    return true;
}

static void judge(struct model *model, int step)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("judge", LIMIT);
    struct mrd_iceberg_metadata *metadata;
    struct audit audit = {.model = model, .step = step};
    struct mrd_error err;
    if (mrd_iceberg_load(&model->table, model->current, arena, &metadata, &err) != MRD_OK ||
        mrd_iceberg_references(&model->table, model->current, arena, &audit.keys, &audit.key_count,
                               &err) != MRD_OK) {
        fail_msg("step %d: %s", step, err.text);
    }
    assert_int_equal(metadata->snapshot_count, model->snapshot_count);
    for (size_t i = 0; i < model->snapshot_count; i++) {
        assert_true(metadata->snapshots[i].id == model->snapshots[i].id);
        check_snapshot(model, metadata, i);
    }
    assert_int_equal(
        mrd_objstore_list(model->store, "eu/t/samples/", "", check_object, &audit, NULL, NULL),
        MRD_OK);
}

static void every_object_is_needed_or_given_up(void **state)
{
    (void)state;
    struct model *model = malloc(sizeof(*model));
    assert_non_null(model);
    for (uint32_t seed = 1; seed <= SEEDS; seed++) {
        print_message("seed %u\n", seed);
        open_model(model, seed);
        for (int step = 1; step <= STEPS; step++) {
            take_step(model, step);
            if (step % 9 == 0) {
                judge(model, step);
            }
        }
        close_model(model);
    }
    free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_object_is_needed_or_given_up)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
