#include "objstore/file_store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "objstore/file_internal.h"
#include "objstore/folder_fixture.h"
#include "objstore/suite.h"

static char folder[FOLDER_FIXTURE_PATH_MAX];

static int open_all(void **state)
{
    (void)state;
    metrics = mrd_metrics_create();
    store = folder_fixture_open(folder, metrics);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    mrd_objstore_close(&store);
    mrd_metrics_destroy(&metrics);
    folder_fixture_remove(folder);
    return 0;
}

static const char *path_of(const char *name)
{
    static char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static size_t count_temporaries(void)
{
    char command[128];
    (void)snprintf(command, sizeof(command), "ls -A %s/.mrd-tmp | wc -l", folder);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t count = 0;
    assert_int_equal(fscanf(pipe, "%zu", &count), 1);
    assert_int_equal(pclose(pipe), 0);
    return count;
}

static void a_key_is_a_path_below_the_folder(void **state)
{
    (void)state;
    assert_ok(mrd_objstore_put(store, "path/a=1/x.parquet", MRD_BYTES("bytes"), NULL, err));
    char text[8] = "";
    const int fd = open(path_of("path/a=1/x.parquet"), O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, text, sizeof(text)), 5);
    close(fd);
    assert_string_equal(text, "bytes");
}

static void nothing_is_left_among_the_temporaries(void **state)
{
    (void)state;
    assert_int_equal(count_temporaries(),
                     0); /* after the whole suite: losers and the abandoned too */
}

static void a_key_cannot_be_the_folder_of_another(void **state)
{
    (void)state;
    assert_ok(mrd_objstore_put(store, "both/a", MRD_BYTES("1"), NULL, err));
    assert_ok(mrd_objstore_put(store, "both/b/c", MRD_BYTES("1"), NULL, err));
    assert_int_equal(mrd_objstore_put(store, "both/a/x", MRD_BYTES("2"), NULL, NULL),
                     MRD_E_INVALID);
    assert_int_equal(mrd_objstore_put(store, "both/b", MRD_BYTES("2"), NULL, NULL), MRD_E_INVALID);
    assert_int_not_equal(mrd_objstore_put_if_absent(store, "both/b", MRD_BYTES("2"), NULL, NULL),
                         MRD_OK);
    assert_ok(mrd_objstore_delete(store, "both/a/x", NULL, err));
    assert_absent("both/a/x");
    assert_lists("both/", "", 0, "both/a both/b/c ");
    assert_int_equal(count_temporaries(), 0);
}

static void foreign_files_are_no_objects(void **state)
{
    (void)state;
    assert_ok(mrd_objstore_put(store, "foreign/x", MRD_BYTES("1"), NULL, err));
    close(open(path_of("foreign/.hidden"), O_CREAT | O_WRONLY, 0600));
    close(open(path_of("foreign/a b"), O_CREAT | O_WRONLY, 0600));
    assert_int_equal(mkfifo(path_of("foreign/fifo"), 0600), 0);
    assert_int_equal(symlink("/etc/passwd", path_of("foreign/link")), 0);
    assert_lists("foreign/", "", 0, "foreign/x ");
    assert_absent("foreign/fifo"); /* and does not wait for a writer */
    struct mrd_buf got = {0};
    assert_int_not_equal(mrd_objstore_get(store, "foreign/link", 100000, NULL, &got, NULL), MRD_OK);
    mrd_buf_fini(&got);
}

static void what_a_killed_process_left_is_swept_by_age(void **state)
{
    (void)state;
    struct mrd_objstore_upload *upload = NULL;
    assert_ok(mrd_objstore_upload_begin(store, "swept/x", NULL, &upload, err));
    assert_ok(mrd_objstore_upload_write(upload, MRD_BYTES("1"), err));
    file_upload_destroy(upload, false);
    assert_int_equal(count_temporaries(), 1);
    assert_lists("", "swept", 1, "upload/big ");
    assert_ok(mrd_objstore_sweep(store, 3600000, NULL, err));
    assert_int_equal(count_temporaries(), 1);
    assert_ok(mrd_objstore_sweep(store, 0, NULL, err));
    assert_int_equal(count_temporaries(), 0);
}

/* ---- fsync ---- */

static _Atomic int syncs_left;

static int failing_sync(int fd)
{
    if (syncs_left-- > 0) {
        return fsync(fd);
    }
    errno = EIO;
    return -1;
}

static enum mrd_status put_once(const char *key)
{
    return mrd_objstore_put(store, key, MRD_BYTES("1"), NULL, NULL);
}
static enum mrd_status put_if_absent_once(const char *key)
{
    return mrd_objstore_put_if_absent(store, key, MRD_BYTES("1"), NULL, NULL);
}
static enum mrd_status upload_once(const char *key)
{
    mrd_auto(mrd_objstore_upload_destroy)
    struct mrd_objstore_upload *upload = NULL;
    MRD_TRY(mrd_objstore_upload_begin(store, key, NULL, &upload, NULL));
    MRD_TRY(mrd_objstore_upload_write(upload, MRD_BYTES("1"), NULL));
    return mrd_objstore_upload_finish(upload, NULL);
}
static enum mrd_status put_many_once(const char *key)
{
    const struct mrd_objstore_item item = {key, MRD_BYTES("1"), MRD_OBJSTORE_ITEM_PUT};
    return mrd_objstore_put_many(store, &item, 1, NULL, NULL);
}
static enum mrd_status delete_once(const char *key)
{
    return mrd_objstore_delete(store, key, NULL, NULL);
}

/* The n-th fsync fails, n = 0, 1, ... until the operation passes: never MRD_OK before, and never a
 * second fsync that might pass after the first has dropped what it should have written. */
static void a_failed_fsync_is_fatal_for_good(void **state)
{
    (void)state;
    enum mrd_status (*const operations[])(const char *key) = {
        put_once, put_if_absent_once, upload_once, put_many_once, delete_once};
    static const int syncs_want[] = {4, 4, 4, 4,
                                     1}; /* the file, two new folders, the object's folder */
    struct file_store *file_store = file_store_of(store);
    file_store->sync = failing_sync;
    for (size_t i = 0; i < MRD_ARRAY_LEN(operations); i++) {
        int nth = 0;
        for (enum mrd_status status = MRD_E_FATAL; status != MRD_OK; nth++) {
            char key[64];
            /* Folders are remembered: each round makes new ones. */
            (void)snprintf(key, sizeof(key), "fsync-%zu-%d/a/x", i, nth);
            if (operations[i] == delete_once) {
                syncs_left = 100;
                assert_int_equal(put_once(key), MRD_OK);
            }
            syncs_left = nth;
            status = operations[i](key);
            if (status != MRD_OK) {
                assert_int_equal(status, MRD_E_FATAL);
                syncs_left = 100; /* the disk works again: too late */
                assert_int_equal(put_once("fsync/y"), MRD_E_FATAL);
                assert_int_equal(delete_once("fsync/y"), MRD_E_FATAL);
                assert_int_equal(syncs_left, 100);
            }
            file_store->broken = false; /* as a new process has it */
        }
        assert_int_equal(nth - 1, syncs_want[i]);
    }
    file_store->sync = fsync;
}

enum { BATCH = 12, BATCH_FILES = 6 /* of a tenant, in two folders */ };

/* The objects of some tenants. A batch is BATCH files, the root, that of the batch, those of tenants, and two of each. */
static void list_batch(int number, char keys[BATCH][64], struct mrd_objstore_item items[BATCH])
{
    for (size_t i = 0; i < BATCH; i++) {
        (void)snprintf(keys[i], 64, "batch-%d/%zu/%s/%zu", number, i / BATCH_FILES,
                       i % 2 == 0 ? "data" : "metadata", i);
        items[i] = (struct mrd_objstore_item){keys[i], mrd_bytes_of(keys[i]),
                                              i % 3 == 0 ? MRD_OBJSTORE_ITEM_PUT_IF_ABSENT
                                                         : MRD_OBJSTORE_ITEM_UPLOAD};
    }
}

/* The n-th fsync fails. No object has its name before the bytes of all are durable, and none is acknowledged before all folders are. */
static void a_batch_has_names_when_all_of_it_is_durable(void **state)
{
    (void)state;
    enum { FOLDERS = 1 + 1 + BATCH / BATCH_FILES * 3 };
    struct file_store *file_store = file_store_of(store);
    file_store->sync = failing_sync;
    int nth = 0;
    for (enum mrd_status status = MRD_E_FATAL; status != MRD_OK; nth++) {
        char keys[BATCH][64];
        struct mrd_objstore_item items[BATCH];
        list_batch(nth, keys, items);
        syncs_left = nth;
        status = mrd_objstore_put_many(store, items, BATCH, NULL, NULL);
        assert_int_equal(status, nth < BATCH + FOLDERS ? MRD_E_FATAL : MRD_OK);
        file_store->broken = false; /* as a new process has it */
        for (size_t i = 0; i < BATCH; i++) {
            if (nth < BATCH) {
                assert_absent(keys[i]);
            } else {
                assert_holds(keys[i], items[i].bytes);
            }
        }
        assert_int_equal(count_temporaries(), 0);
    }
    assert_int_equal(nth - 1, BATCH + FOLDERS);
    file_store->sync = fsync;
}

/* Folders that are known are not synced again, but that of an object is. */
static void a_folder_of_a_batch_is_synced_once(void **state)
{
    (void)state;
    struct file_store *file_store = file_store_of(store);
    char keys[BATCH][64];
    struct mrd_objstore_item items[BATCH];
    list_batch(1000, keys, items);
    assert_ok(mrd_objstore_put_many(store, items, BATCH, NULL, err));
    file_store->sync = failing_sync;
    syncs_left = 100;
    assert_ok(mrd_objstore_put_many(store, items, BATCH, NULL, err));
    assert_int_equal(syncs_left, 100 - BATCH - BATCH / BATCH_FILES * 2);
    file_store->sync = fsync;
    /* Somebody tidies up what is empty. */
    for (size_t i = 0; i < BATCH; i++) {
        assert_ok(mrd_objstore_delete(store, keys[i], NULL, err));
    }
    assert_int_equal(rmdir(path_of("batch-1000/0/data")), 0);
    assert_ok(mrd_objstore_put_many(store, items, BATCH, NULL, err));
    for (size_t i = 0; i < BATCH; i++) {
        assert_holds(keys[i], items[i].bytes);
    }
}

static void a_batch_that_ends_early_leaves_no_temporaries(void **state)
{
    (void)state;
    char keys[BATCH][64];
    struct mrd_objstore_item items[BATCH];
    list_batch(2000, keys, items);
    assert_ok(mrd_objstore_put(store, "batch-2000/1", MRD_BYTES("no folder"), NULL, err));
    assert_int_equal(mrd_objstore_put_many(store, items, BATCH, NULL, NULL), MRD_E_INVALID);
    assert_int_equal(count_temporaries(), 0);
    for (size_t i = 0; i < BATCH_FILES; i++) { /* some are there, whole */
        assert_holds(keys[i], items[i].bytes);
    }
}

static void folders_are_synced_once(void **state)
{
    (void)state;
    struct file_store *file_store = file_store_of(store);
    file_store->sync = failing_sync;
    syncs_left = 100;
    assert_ok(mrd_objstore_put(store, "synced/a/b/1", MRD_BYTES("1"), NULL, err));
    assert_int_equal(syncs_left, 100 - 5); /* file, root, synced, a; then b */
    assert_ok(mrd_objstore_put(store, "synced/a/b/2", MRD_BYTES("1"), NULL, err));
    assert_int_equal(syncs_left, 100 - 7); /* file, b */
    file_store->sync = fsync;
}

/* The store remembers which folders it has made; somebody who tidies up removes those that are empty. */
static void a_folder_that_was_removed_is_made_again(void **state)
{
    (void)state;
    struct file_store *file_store = file_store_of(store);
    for (size_t i = 0; i < 3; i++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "tidied/a/b/%zu", i);
        file_store->sync = failing_sync;
        syncs_left = 100;
        if (i % 2 == 0) {
            assert_ok(mrd_objstore_put(store, key, MRD_BYTES("1"), NULL, err));
        } else {
            assert_ok(mrd_objstore_put_if_absent(store, key, MRD_BYTES("1"), NULL, err));
        }
        assert_int_equal(syncs_left, 100 - 5); /* all of them, as the first time */
        file_store->sync = fsync;
        assert_holds(key, MRD_BYTES("1"));
        assert_ok(mrd_objstore_delete(store, key, NULL, err));
        assert_int_equal(rmdir(path_of("tidied/a/b")), 0);
        assert_int_equal(rmdir(path_of("tidied/a")), 0);
        assert_int_equal(rmdir(path_of("tidied")), 0);
    }
}

/* Small ones are kept until there are enough of them for a write(2). */
static void pieces_of_all_sizes_make_an_upload(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 0, 65534, 1, 1, 65535, 65536, 3, 200000, 65537, 7};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    for (size_t i = 0; i < 600000; i++) {
        mrd_buf_append_u8(&bytes, (uint8_t)(i * 31 + i / 256));
    }
    mrd_auto(mrd_objstore_upload_destroy)
    struct mrd_objstore_upload *upload = NULL;
    size_t at = 0;
    assert_ok(mrd_objstore_upload_begin(store, "pieces/x", NULL, &upload, err));
    for (size_t i = 0; i < MRD_ARRAY_LEN(sizes); i++) {
        const struct mrd_bytes piece = {bytes.data + at, sizes[i]};
        assert_ok(mrd_objstore_upload_write(upload, piece, err));
        at += sizes[i];
    }
    assert_ok(mrd_objstore_upload_finish(upload, err));
    assert_holds("pieces/x", ((struct mrd_bytes){bytes.data, at}));
}

static void a_folder_that_cannot_be_is_refused(void **state)
{
    (void)state;
    struct mrd_objstore *other = NULL;
    struct mrd_error told;
    assert_int_equal(mrd_file_store_open("/proc/no/such", NULL, &other, &told), MRD_E_INVALID);
    assert_non_null(strstr(told.text, "/proc/no/such"));
    close(open(path_of("plain"), O_CREAT | O_WRONLY, 0600));
    assert_int_equal(mrd_file_store_open(path_of("plain"), NULL, &other, &told), MRD_E_INVALID);
    assert_null(other);
    assert_int_equal(mrd_file_store_open(path_of("new"), NULL, &other, &told), MRD_OK);
    assert_non_null(strstr(mrd_objstore_name(other), folder));
    mrd_objstore_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SUITE_TESTS,
        cmocka_unit_test(nothing_is_left_among_the_temporaries),
        cmocka_unit_test(a_key_is_a_path_below_the_folder),
        cmocka_unit_test(a_key_cannot_be_the_folder_of_another),
        cmocka_unit_test(foreign_files_are_no_objects),
        cmocka_unit_test(what_a_killed_process_left_is_swept_by_age),
        cmocka_unit_test(a_failed_fsync_is_fatal_for_good),
        cmocka_unit_test(a_batch_has_names_when_all_of_it_is_durable),
        cmocka_unit_test(a_folder_of_a_batch_is_synced_once),
        cmocka_unit_test(a_batch_that_ends_early_leaves_no_temporaries),
        cmocka_unit_test(folders_are_synced_once),
        cmocka_unit_test(a_folder_that_was_removed_is_made_again),
        cmocka_unit_test(pieces_of_all_sizes_make_an_upload),
        cmocka_unit_test(a_folder_that_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
