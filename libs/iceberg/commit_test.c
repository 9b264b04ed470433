#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "iceberg/commit.h"
#include "iceberg/tables.h"
#include "objstore/fault_store.h"
#include "objstore/folder_fixture.h"

enum { LIMIT = 64 << 20, DAY = 19700 };

static char folder[FOLDER_FIXTURE_PATH_MAX];
static struct mrd_objstore *files, *faults;
static struct mrd_iceberg_table table;
static struct mrd_block_schema schema;
static struct mrd_iceberg_table_definition samples;

static int make(void **state)
{
    (void)state;
    files = folder_fixture_open(folder, NULL);
    faults = mrd_fault_store_create(files);
    table = (struct mrd_iceberg_table){
        .store = faults, .root = "file:///blocks", .path = "eu/t/samples"};
    const struct mrd_block_schema_options options = {.level = 1};
    assert_int_equal(mrd_block_schema_init(&options, &schema, NULL), MRD_OK);
    mrd_iceberg_samples_table(&schema, &samples);
    return 0;
}

static int drop(void **state)
{
    (void)state;
    mrd_objstore_close(&faults);
    mrd_objstore_close(&files);
    folder_fixture_remove(folder);
    return 0;
}

static struct mrd_iceberg_file file_at(const char *key, uint64_t rows)
{
    static const struct mrd_iceberg_column none;
    return (struct mrd_iceberg_file){.path = key,
                                     .size = 1000,
                                     .row_count = rows,
                                     .partition = {DAY},
                                     .sorted = true,
                                     .columns = &none,
                                     .column_count = 0};
}

struct step {
    uint8_t uuid;
    enum mrd_iceberg_operation operation;
    const char *add[2];
    const char *remove[2];
    mrd_time_ms expire_before_ms;
};

static enum mrd_status run(const struct step *step, const char *from, struct mrd_arena *arena,
                           struct mrd_iceberg_version *out, struct mrd_error *err)
{
    struct mrd_iceberg_file added[2];
    struct mrd_iceberg_change change = {
        .time_ms = 1000 * step->uuid,
        .definition = &samples.definition,
        .operation = step->operation,
        .added = added,
        .removed = step->remove,
        .expire_before_ms = step->expire_before_ms,
    };
    memset(change.uuid, step->uuid, sizeof(change.uuid));
    for (; change.added_count < 2 && step->add[change.added_count] != NULL; change.added_count++) {
        added[change.added_count] = file_at(step->add[change.added_count], 10 + step->uuid);
    }
    for (; change.removed_count < 2 && step->remove[change.removed_count] != NULL;) {
        change.removed_count++;
    }
    return mrd_iceberg_commit(&table, from, &change, arena, out, err);
}

#define A "eu/t/samples/data/a.parquet"
#define B "eu/t/samples/data/b.parquet"
#define M "eu/t/samples/data/m.parquet"

static const struct step history[] = {
    {.uuid = 1,                        .operation = MRD_ICEBERG_APPEND, .add = {A}              },
    {         .uuid = 2, .operation = MRD_ICEBERG_APPEND,                      .add = {B}                        },
    { .uuid = 3,
     .operation = MRD_ICEBERG_REPLACE,
     .add = {M},
     .remove = {A, B},
     .expire_before_ms = 2500},
    {                                                                            .uuid = 4, .operation = MRD_ICEBERG_DELETE,                   .remove = {M}, .expire_before_ms = 3500},
};

/* The files of the version under a key, as "a,b,". */
static void files_of(const char *key, char *out, size_t size)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("files", LIMIT);
    struct mrd_iceberg_metadata *metadata;
    struct mrd_iceberg_contents found;
    struct mrd_error err;
    if (mrd_iceberg_load(&table, key, arena, &metadata, &err) != MRD_OK ||
        mrd_iceberg_contents_load(&table, metadata, metadata->snapshot_id, arena, &found, &err) !=
            MRD_OK) {
        fail_msg("%s", err.text);
    }
    out[0] = '\0';
    for (size_t i = 0; i < found.file_count; i++) {
        const size_t at = strlen(out);
        (void)snprintf(out + at, size - at, "%s,", strrchr(found.files[i].path, '/') + 1);
    }
}

/* Runs the history up to `count` steps without faults; the key of the last is kept in `key`. */
static void run_history(size_t count, char *key, size_t size)
{
    key[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("step", LIMIT);
        struct mrd_iceberg_version version;
        struct mrd_error err;
        if (run(&history[i], key[0] == '\0' ? NULL : key, arena, &version, &err) != MRD_OK) {
            fail_msg("step %zu: %s", i, err.text);
        }
        (void)snprintf(key, size, "%s", version.key);
    }
}

static void files_come_and_go(void **state)
{
    (void)state;
    static const char *const want[] = {"a.parquet,", "b.parquet,a.parquet,", "m.parquet,", ""};
    for (size_t i = 0; i < MRD_ARRAY_LEN(history); i++) {
        char key[256], found[256];
        run_history(i + 1, key, sizeof(key));
        files_of(key, found, sizeof(found));
        assert_string_equal(found, want[i]);
    }
}

/* Whichever call fails or ends the process, before or after its effect: the version before stays whole, and the same call
 * made again ends in the very version that it would have made at once. */
static void a_commit_survives_a_fault_at_every_call(void **state)
{
    for (size_t step = 0; step < MRD_ARRAY_LEN(history); step++) {
        for (int mode = 0; mode < 4; mode++) {
            bool done = false;
            for (uint64_t nth = 1; !done; nth++) {
                assert_int_equal(make(state), 0);
                char before[256], after[256], found[256];
                run_history(step, before, sizeof(before));
                mrd_auto(mrd_arena_destroy)
                struct mrd_arena *arena = mrd_arena_create("t", LIMIT);
                struct mrd_iceberg_version version;
                struct mrd_error err;
                const struct mrd_fault fault = {.nth = nth,
                                                .when =
                                                    mode & 1 ? MRD_FAULT_AFTER : MRD_FAULT_BEFORE,
                                                .crash = mode & 2};
                mrd_fault_store_arm(faults, &fault);
                const char *from = before[0] == '\0' ? NULL : before;
                const enum mrd_status status = run(&history[step], from, arena, &version, &err);
                done = !mrd_fault_store_disarm(faults);
                assert_int_equal(status, done ? MRD_OK : MRD_E_UNAVAILABLE);
                if (from != NULL) {
                    files_of(from, found, sizeof(found));
                }
                run_history(step + 1, after, sizeof(after));
                files_of(after, found, sizeof(found));
                drop(state);
            }
        }
    }
}

static bool names(const struct mrd_iceberg_version *version, const char *key)
{
    for (size_t i = 0; i < version->unreferenced_count; i++) {
        if (strcmp(version->unreferenced[i], key) == 0) {
            return true;
        }
    }
    return false;
}

static void what_expired_snapshots_alone_had_is_named(void **state)
{
    (void)state;
    char key[256];
    run_history(2, key, sizeof(key));
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("t", LIMIT);
    struct mrd_iceberg_version third, fourth;
    assert_int_equal(run(&history[2], key, arena, &third, NULL), MRD_OK);
    /* The first ended at 2000: it goes. a is in the second still. */
    assert_int_equal(third.metadata->snapshot_count, 2);
    assert_int_equal(third.unreferenced_count, 1); /* its list; its manifest is in the second too */
    assert_false(names(&third, A));
    assert_int_equal(run(&history[3], third.key, arena, &fourth, NULL), MRD_OK);
    assert_int_equal(fourth.metadata->snapshot_count,
                     2); /* the third stays until it has ended long enough ago */
    assert_true(names(&fourth, A));
    assert_true(names(&fourth, B));
    assert_false(names(&fourth, M));
}

static void nothing_to_change_writes_nothing(void **state)
{
    (void)state;
    char key[256];
    run_history(2, key, sizeof(key));
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("t", LIMIT);
    struct mrd_iceberg_version version;
    const struct step nothing = {.uuid = 9, .operation = MRD_ICEBERG_NOTHING};
    assert_int_equal(run(&nothing, key, arena, &version, NULL), MRD_OK);
    assert_string_equal(version.key, key);
}

static void what_is_not_there_cannot_be_removed(void **state)
{
    (void)state;
    char key[256];
    run_history(3, key, sizeof(key));
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("t", LIMIT);
    struct mrd_iceberg_version version;
    struct mrd_error err;
    const struct step gone = {
        .uuid = 9, .operation = MRD_ICEBERG_DELETE, .remove = {M, A}
    };
    assert_int_equal(run(&gone, key, arena, &version, &err), MRD_E_CONFLICT);
    assert_non_null(strstr(err.text, A));
    const struct step twice = {
        .uuid = 9, .operation = MRD_ICEBERG_DELETE, .remove = {M, M}
    };
    assert_int_equal(run(&twice, key, arena, &version, &err), MRD_E_CONFLICT);
}

static void what_is_there_cannot_be_added_again(void **state)
{
    (void)state;
    char key[256];
    run_history(2, key, sizeof(key));
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("t", LIMIT);
    struct mrd_iceberg_version version;
    struct mrd_error err;
    const struct step again = {
        .uuid = 9, .operation = MRD_ICEBERG_APPEND, .add = {M, A}
    };
    assert_int_equal(run(&again, key, arena, &version, &err), MRD_E_CONFLICT);
    assert_non_null(strstr(err.text, A));
    const struct step back = {
        .uuid = 10, .operation = MRD_ICEBERG_OVERWRITE, .add = {A}, .remove = {A}};
    assert_int_equal(run(&back, key, arena, &version, &err), MRD_E_CONFLICT);
}

static void a_uuid_is_for_one_change(void **state)
{
    (void)state;
    char key[256];
    run_history(2, key, sizeof(key));
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("t", LIMIT);
    struct mrd_iceberg_version version;
    const struct step other = {.uuid = 2, .operation = MRD_ICEBERG_APPEND, .add = {M}};
    char first[256];
    run_history(1, first, sizeof(first));
    assert_int_equal(run(&other, first, arena, &version, NULL), MRD_E_CONFLICT);
}

static enum mrd_status commit_definition(const struct mrd_iceberg_definition *definition,
                                         const char *key, struct mrd_arena *arena,
                                         struct mrd_iceberg_version *out, struct mrd_error *err)
{
    const struct mrd_iceberg_change change = {
        .uuid = {42}, .time_ms = 9000, .definition = definition};
    return mrd_iceberg_commit(&table, key, &change, arena, out, err);
}

/* Nothing is put under a metadata key that could not be read again. */
static void what_could_not_be_read_is_not_written(void **state)
{
    (void)state;
    char key[256];
    run_history(1, key, sizeof(key));
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("t", LIMIT);
    static char text[MRD_ICEBERG_TEXT_SIZE_MAX + 2];
    memset(text, 'x', sizeof(text) - 1);
    const struct mrd_iceberg_property note = {"meridian.note", text};
    const struct mrd_iceberg_file file = file_at(B, 10);
    const struct mrd_iceberg_change change = {.uuid = {9},
                                              .time_ms = 9000,
                                              .definition = &samples.definition,
                                              .operation = MRD_ICEBERG_APPEND,
                                              .added = &file,
                                              .added_count = 1,
                                              .summary = &note,
                                              .summary_count = 1};
    struct mrd_iceberg_version version;
    struct mrd_error err;
    assert_int_equal(mrd_iceberg_commit(&table, key, &change, arena, &version, &err),
                     MRD_E_INVALID);
    assert_non_null(strstr(err.text, "meridian.note"));
    struct mrd_buf nothing = {0};
    assert_int_equal(
        mrd_objstore_get(
            files, "eu/t/samples/metadata/00002-09000000-0000-0000-0000-000000000000.metadata.json",
            LIMIT, NULL, &nothing, NULL),
        MRD_E_NOT_FOUND);
}

static void ids_are_for_one_column_for_good(void **state)
{
    (void)state;
    char key[256];
    run_history(1, key, sizeof(key));
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("t", LIMIT);
    struct mrd_iceberg_version version;
    struct mrd_error err;
    struct mrd_iceberg_field *field = &samples.fields[samples.definition.field_count - 1]; /* hlc */
    field->name = "other";
    assert_int_equal(commit_definition(&samples.definition, key, arena, &version, &err),
                     MRD_E_INVALID);
    assert_non_null(strstr(err.text, "keeps name and type"));
    field->name = "hlc";
    field->type = MRD_ICEBERG_DOUBLE;
    assert_int_equal(commit_definition(&samples.definition, key, arena, &version, &err),
                     MRD_E_INVALID);
    field->type = MRD_ICEBERG_LONG;
    field->id = 500;
    field->required = true;
    assert_int_equal(commit_definition(&samples.definition, key, arena, &version, &err),
                     MRD_E_INVALID);
    assert_non_null(strstr(err.text, "new and required"));
    samples.definition.field_count--; /* it may go ... */
    assert_int_equal(commit_definition(&samples.definition, key, arena, &version, &err), MRD_OK);
    assert_int_equal(version.metadata->schema_count, 2);
    samples.definition.field_count++; /* ... and come back */
    *field = (struct mrd_iceberg_field){
        .id = 40, .name = "hlc", .type = MRD_ICEBERG_LONG, .doc = field->doc};
    char second[256];
    (void)snprintf(second, sizeof(second), "%s", version.key);
    assert_int_equal(commit_definition(&samples.definition, second, arena, &version, &err), MRD_OK);
    assert_int_equal(version.metadata->schema_count, 2);
    assert_int_equal(version.metadata->schema_id, 0);
}

static void specs_and_order_stay(void **state)
{
    (void)state;
    char key[256];
    run_history(1, key, sizeof(key));
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("t", LIMIT);
    struct mrd_iceberg_version version;
    struct mrd_iceberg_definition changed = samples.definition;
    changed.spec_count = 1;
    assert_int_equal(commit_definition(&changed, key, arena, &version, NULL), MRD_E_INVALID);
    changed = samples.definition;
    changed.sort_count = 0;
    assert_int_equal(commit_definition(&changed, key, arena, &version, NULL), MRD_E_INVALID);
}

static void figures_that_contradict_each_other_are_refused(void **state)
{
    (void)state;
    const struct mrd_iceberg_column good = {.field_id = MRD_BLOCK_FIELD_VALUE, .value_count = 10};
    struct mrd_iceberg_column wrong[7];
    for (size_t i = 0; i < MRD_ARRAY_LEN(wrong); i++) {
        wrong[i] = good;
    }
    wrong[0].null_count = 11;
    wrong[1].value_count = 9;
    wrong[2].field_id = MRD_BLOCK_FIELD_METRIC; /* which is required */
    wrong[2].null_count = 1;
    wrong[3].field_id = MRD_BLOCK_FIELD_TS; /* which cannot be NaN */
    wrong[3].nan_count = 1;
    wrong[4].field_id = MRD_BLOCK_FIELD_LABELS; /* whose leaves have ids of their own */
    wrong[5].field_id = 999;
    wrong[6].has_min = true;
    wrong[6].min = MRD_BYTES("1234"); /* a double has 8 */
    for (size_t i = 0; i < MRD_ARRAY_LEN(wrong); i++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("t", LIMIT);
        struct mrd_iceberg_file file = file_at(A, 10);
        file.columns = &wrong[i];
        file.column_count = 1;
        const struct mrd_iceberg_change change = {.definition = &samples.definition,
                                                  .operation = MRD_ICEBERG_APPEND,
                                                  .added = &file,
                                                  .added_count = 1};
        struct mrd_iceberg_version version;
        assert_int_equal(mrd_iceberg_commit(&table, NULL, &change, arena, &version, NULL),
                         MRD_E_INVALID);
    }
}

static void memory_is_bounded(void **state)
{
    (void)state;
    char key[256];
    run_history(2, key, sizeof(key));
    enum mrd_status status = MRD_E_LIMIT;
    for (size_t limit = 1; status == MRD_E_LIMIT; limit *= 2) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("t", limit);
        struct mrd_iceberg_version version;
        status = run(&history[2], key, arena, &version, NULL);
    }
    assert_int_equal(status, MRD_OK);
}

struct visited {
    char keys[32][256];
    size_t count;
};

static bool visit(void *context, const struct mrd_objstore_entry *entry)
{
    struct visited *visited = context;
    assert_true(visited->count < MRD_ARRAY_LEN(visited->keys));
    (void)snprintf(visited->keys[visited->count++], sizeof(visited->keys[0]), "%s", entry->key);
    return true;
}

/* A byte of any object of a version is changed, or it is cut: never a crash, never wrong files. */
static void damage_is_a_status(void **state)
{
    (void)state;
    static struct visited visited;
    char key[256], want[256];
    visited.count = 0;
    run_history(3, key, sizeof(key));
    files_of(key, want, sizeof(want));
    assert_int_equal(
        mrd_objstore_list(files, "eu/t/samples/metadata/", "", visit, &visited, NULL, NULL),
        MRD_OK);
    for (size_t i = 0; i < visited.count; i++) {
        mrd_auto(mrd_buf_fini)
        struct mrd_buf bytes = {0};
        assert_int_equal(mrd_objstore_get(files, visited.keys[i], LIMIT, NULL, &bytes, NULL),
                         MRD_OK);
        for (size_t at = 0; at < bytes.size; at += 41) {
            bytes.data[at] ^= 0x15;
            assert_int_equal(
                mrd_objstore_put(files, visited.keys[i], mrd_buf_view(&bytes), NULL, NULL), MRD_OK);
            bytes.data[at] ^= 0x15;
            mrd_auto(mrd_arena_destroy)
            struct mrd_arena *arena = mrd_arena_create("t", LIMIT);
            struct mrd_iceberg_metadata *metadata;
            struct mrd_iceberg_contents found;
            enum mrd_status status = mrd_iceberg_load(&table, key, arena, &metadata, NULL);
            if (status == MRD_OK) {
                status = mrd_iceberg_contents_load(&table, metadata, metadata->snapshot_id, arena,
                                                   &found, NULL);
            }
            if (status == MRD_OK) {
                assert_int_equal(found.file_count, 1);
            }
        }
        assert_int_equal(mrd_objstore_put(files, visited.keys[i], mrd_buf_view(&bytes), NULL, NULL),
                         MRD_OK);
    }
}

static void blocks_are_files_of_one_partition(void **state)
{
    (void)state;
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("t", LIMIT);
    const uint64_t offsets[] = {4};
    struct mrd_block_entry entry = {
        .id = MRD_BYTES("b"),
        .level = 1,
        .data = {MRD_BYTES(A),    500,              0 },
        .counts = { .samples = 7,
                 .histograms = 2,
                 .min_ms = DAY * INT64_C(86400000),
                 .max_ms = DAY * INT64_C(86400000) + 5},
        .row_group_offsets = offsets,
        .row_group_count = 1,
    };
    struct mrd_iceberg_file file;
    assert_int_equal(mrd_iceberg_file_of_block(&entry, MRD_ICEBERG_BY_DAY, arena, &file, NULL),
                     MRD_OK);
    assert_string_equal(file.path, A);
    assert_int_equal(file.row_count, 9);
    assert_int_equal(file.partition[0], DAY);
    entry.counts.max_ms += 86400000;
    assert_int_equal(mrd_iceberg_file_of_block(&entry, MRD_ICEBERG_BY_DAY, arena, &file, NULL),
                     MRD_E_INVALID);
    assert_int_equal(mrd_iceberg_file_of_block(&entry, MRD_ICEBERG_BY_MONTH, arena, &file, NULL),
                     MRD_OK);
    entry.level = 0;
    assert_int_equal(mrd_iceberg_file_of_block(&entry, MRD_ICEBERG_BY_MONTH, arena, &file, NULL),
                     MRD_E_INVALID);
}

static void all_tables_have_good_definitions(void **state)
{
    (void)state;
    const struct mrd_block_promoted promoted[] = {
        {"job",      2},
        {"instance", 3}
    };
    const struct mrd_block_schema_options options = {
        .level = 1, .promoted = promoted, .promoted_count = 2};
    struct mrd_block_schema two;
    assert_int_equal(mrd_block_schema_init(&options, &two, NULL), MRD_OK);
    static struct mrd_iceberg_table_definition made;
    mrd_iceberg_samples_table(&two, &made);
    assert_int_equal(mrd_iceberg_definition_check(&made.definition, NULL), MRD_OK);
    struct mrd_block_schema rows;
    const struct mrd_block_schema_options of_rows = {
        .level = 1, .promoted = promoted, .promoted_count = 2, .rollup = true};
    assert_int_equal(mrd_block_schema_init(&of_rows, &rows, NULL), MRD_OK);
    mrd_iceberg_rollup_table(&rows, &made);
    assert_int_equal(mrd_iceberg_definition_check(&made.definition, NULL), MRD_OK);
    const struct mrd_block_schema_options of_series = {
        .level = 1, .promoted = promoted, .promoted_count = 2, .series = true};
    assert_int_equal(mrd_block_schema_init(&of_series, &rows, NULL), MRD_OK);
    mrd_iceberg_series_table(&rows, &made);
    assert_int_equal(mrd_iceberg_definition_check(&made.definition, NULL), MRD_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_come_and_go, make, drop),
        cmocka_unit_test(a_commit_survives_a_fault_at_every_call),
        cmocka_unit_test_setup_teardown(what_expired_snapshots_alone_had_is_named, make, drop),
        cmocka_unit_test_setup_teardown(nothing_to_change_writes_nothing, make, drop),
        cmocka_unit_test_setup_teardown(what_is_not_there_cannot_be_removed, make, drop),
        cmocka_unit_test_setup_teardown(what_is_there_cannot_be_added_again, make, drop),
        cmocka_unit_test_setup_teardown(a_uuid_is_for_one_change, make, drop),
        cmocka_unit_test_setup_teardown(what_could_not_be_read_is_not_written, make, drop),
        cmocka_unit_test_setup_teardown(ids_are_for_one_column_for_good, make, drop),
        cmocka_unit_test_setup_teardown(specs_and_order_stay, make, drop),
        cmocka_unit_test_setup_teardown(figures_that_contradict_each_other_are_refused, make, drop),
        cmocka_unit_test_setup_teardown(memory_is_bounded, make, drop),
        cmocka_unit_test_setup_teardown(damage_is_a_status, make, drop),
        cmocka_unit_test_setup_teardown(blocks_are_files_of_one_partition, make, drop),
        cmocka_unit_test(all_tables_have_good_definitions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
