/* Small objects that are kept back: seen at once by who writes them, stored together, and none of it is durable before the flush says so. */
#include "objstore/batch_store.h"

#include "objstore/fault_store.h"
#include "objstore/folder_fixture.h"
#include "objstore/suite.h"

static char folder[FOLDER_FIXTURE_PATH_MAX];
static struct mrd_objstore *files, *faults;

static int open_all(void **state)
{
    (void)state;
    metrics = mrd_metrics_create();
    files = folder_fixture_open_small(folder);
    faults = mrd_fault_store_create(files);
    store = mrd_batch_store_create(faults);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    mrd_objstore_close(&store);
    mrd_objstore_close(&faults);
    mrd_objstore_close(&files);
    mrd_metrics_destroy(&metrics);
    folder_fixture_remove(folder);
    return 0;
}

static enum mrd_status flush(void) { return mrd_batch_store_flush(store, NULL, err); }

static bool is_stored(const char *key)
{
    struct mrd_objstore_info info;
    const enum mrd_status status = mrd_objstore_head(files, key, NULL, &info, NULL);
    assert_true(status == MRD_OK || status == MRD_E_NOT_FOUND);
    return status == MRD_OK;
}

static enum mrd_status upload(const char *key, struct mrd_bytes bytes)
{
    mrd_auto(mrd_objstore_upload_destroy)
    struct mrd_objstore_upload *begun = NULL;
    MRD_TRY(mrd_objstore_upload_begin(store, key, NULL, &begun, err));
    MRD_TRY(mrd_objstore_upload_write(begun, bytes, err));
    return mrd_objstore_upload_finish(begun, err);
}

static void small_objects_are_stored_by_the_flush(void **state)
{
    (void)state;
    static const char *const keys[] = {"small/put", "small/once", "small/upload"};
    assert_ok(mrd_objstore_put(store, keys[0], MRD_BYTES("small/put"), NULL, err));
    assert_ok(mrd_objstore_put_if_absent(store, keys[1], MRD_BYTES("small/once"), NULL, err));
    assert_ok(upload(keys[2], MRD_BYTES("small/upload")));
    for (size_t i = 0; i < MRD_ARRAY_LEN(keys); i++) {
        assert_holds(keys[i], mrd_bytes_of(keys[i]));
        assert_false(is_stored(keys[i]));
    }
    assert_ok(flush());
    for (size_t i = 0; i < MRD_ARRAY_LEN(keys); i++) {
        assert_true(is_stored(keys[i]));
        assert_holds(keys[i], mrd_bytes_of(keys[i]));
    }
    assert_ok(flush()); /* of nothing */
}

static void large_objects_are_stored_at_once(void **state)
{
    (void)state;
    static const char *const keys[] = {"large/put", "large/once", "large/upload"};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = suite_bytes(MRD_BATCH_STORE_OBJECT_MAX + 1);
    const struct mrd_bytes view = mrd_buf_view(&bytes);
    for (size_t i = 0; i < MRD_ARRAY_LEN(keys); i++) { /* over small ones that are kept still */
        assert_ok(i == 1 ? MRD_OK
                         : mrd_objstore_put(store, keys[i], MRD_BYTES("small"), NULL, err));
    }
    assert_ok(mrd_objstore_put(store, keys[0], view, NULL, err));
    assert_ok(mrd_objstore_put_if_absent(store, keys[1], view, NULL, err));
    assert_ok(upload(keys[2], view));
    for (size_t i = 0; i < 2 * MRD_ARRAY_LEN(keys); i++) {
        const char *key = keys[i % MRD_ARRAY_LEN(keys)];
        assert_true(is_stored(key));
        assert_holds(key, view);
        assert_ok(flush());
    }
}

static void a_key_that_is_written_again_has_what_was_written_last(void **state)
{
    (void)state;
    assert_ok(mrd_objstore_put(store, "again/x", MRD_BYTES("1"), NULL, err));
    assert_ok(mrd_objstore_put(store, "again/x", MRD_BYTES("2"), NULL, err));
    assert_holds("again/x", MRD_BYTES("2"));
    assert_ok(mrd_objstore_delete(store, "again/x", NULL, err));
    assert_absent("again/x");
    assert_ok(flush());
    assert_absent("again/x");
    assert_ok(mrd_objstore_put(store, "again/x", MRD_BYTES("3"), NULL, err));
    assert_ok(mrd_objstore_put_if_absent(store, "again/x", MRD_BYTES("3"), NULL, err));
    assert_ok(flush());
    assert_holds("again/x", MRD_BYTES("3"));
}

/* Neither by number nor by size. */
static void no_more_is_kept_than_fits(void **state)
{
    (void)state;
    char key[64];
    for (size_t i = 0; i <= MRD_BATCH_STORE_OBJECTS_MAX; i++) {
        (void)snprintf(key, sizeof(key), "number/%zu", i);
        assert_false(is_stored("number/0"));
        assert_ok(mrd_objstore_put(store, key, MRD_BYTES("x"), NULL, err));
    }
    assert_true(is_stored("number/0"));
    assert_false(is_stored(key));
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = suite_bytes(MRD_BATCH_STORE_OBJECT_MAX);
    const size_t fit = MRD_BATCH_STORE_BYTES_MAX / MRD_BATCH_STORE_OBJECT_MAX;
    assert_ok(flush());
    for (size_t i = 0; i <= fit; i++) {
        (void)snprintf(key, sizeof(key), "size/%zu", i);
        assert_false(is_stored("size/0"));
        assert_ok(mrd_objstore_put(store, key, mrd_buf_view(&bytes), NULL, err));
    }
    assert_true(is_stored("size/0"));
    assert_false(is_stored(key));
    assert_ok(flush());
}

/* A store over `files`, of one test: after a failure nothing more can be written to it. */
static struct mrd_objstore *replace_store(void)
{
    mrd_objstore_close(&store);
    store = mrd_batch_store_create(faults);
    return store;
}

static void a_conflict_is_told_by_the_flush_at_the_latest(void **state)
{
    (void)state;
    assert_ok(mrd_objstore_put(files, "conflict/x", MRD_BYTES("theirs"), NULL, err));
    assert_ok(mrd_objstore_put_if_absent(store, "conflict/x", MRD_BYTES("ours"), NULL, err));
    assert_int_equal(flush(), MRD_E_CONFLICT);
    assert_int_equal(flush(), MRD_E_CONFLICT);
    assert_int_equal(mrd_objstore_put(store, "conflict/y", MRD_BYTES("1"), NULL, NULL),
                     MRD_E_CONFLICT);
    assert_holds("conflict/x", MRD_BYTES("theirs"));
    (void)replace_store();
}

static void damage(void *context)
{
    assert_ok(mrd_objstore_put(files, context, MRD_BYTES("damaged"), NULL, err));
}

/* What was looked at before it was stored is looked at again; what was not costs nothing more. */
static void what_was_read_before_is_read_back(void **state)
{
    (void)state;
    for (size_t read = 0; read < 2; read++) {
        char key[] = "read/x";
        assert_ok(mrd_objstore_put(store, key, MRD_BYTES("written"), NULL, err));
        if (read == 1) {
            assert_holds(key, MRD_BYTES("written"));
        }
        /* After the end of put_many. */
        const struct mrd_fault fault = {
            .nth = 2, .when = MRD_FAULT_AFTER, .meanwhile = damage, .context = key};
        mrd_fault_store_arm(faults, &fault);
        const enum mrd_status status = flush();
        assert_int_equal(mrd_fault_store_calls(faults), 2 + read);
        assert_true(mrd_fault_store_disarm(faults));
        assert_int_equal(status, read == 1 ? MRD_E_CORRUPT : MRD_OK);
    }
    (void)replace_store();
}

/* A call of the flush fails, n = 1, 2, ... until it passes. */
static void a_flush_that_fails_is_never_taken_for_one_that_has_not(void **state)
{
    (void)state;
    enum { OBJECTS = 5 };
    char key[64];
    for (uint64_t nth = 1;; nth++) {
        for (size_t when = 0; when < 2; when++) {
            for (size_t i = 0; i < OBJECTS; i++) {
                (void)snprintf(key, sizeof(key), "fails/%zu-%d-%zu", i, (int)nth, when);
                assert_ok(mrd_objstore_put(store, key, MRD_BYTES("x"), NULL, err));
            }
            const struct mrd_fault fault = {.nth = nth,
                                            .when = when == 0 ? MRD_FAULT_BEFORE : MRD_FAULT_AFTER};
            mrd_fault_store_arm(faults, &fault);
            const enum mrd_status status = flush();
            const bool failed = mrd_fault_store_disarm(faults);
            assert_int_equal(failed, nth <= OBJECTS + 1); /* one for the end */
            assert_int_equal(status, failed ? MRD_E_UNAVAILABLE : MRD_OK);
            if (failed) {
                assert_int_equal(
                    flush(), MRD_E_UNAVAILABLE); /* the next one does not say that all is well */
                assert_int_equal(mrd_objstore_put(store, "fails/y", MRD_BYTES("1"), NULL, NULL),
                                 MRD_E_UNAVAILABLE);
                (void)replace_store();
            } else {
                for (size_t i = 0; i < OBJECTS; i++) {
                    (void)snprintf(key, sizeof(key), "fails/%zu-%d-%zu", i, (int)nth, when);
                    assert_true(is_stored(key));
                }
            }
        }
        if (nth > OBJECTS + 1) {
            return;
        }
    }
}

/* ---- threads ---- */

enum { WRITERS = 4, WRITER_OBJECTS = 3000 };

struct writer {
    pthread_t thread;
    size_t number;
};

/* Enough of them for each to store some while others go on. What a writer has written it can read at any time. */
static void *write_many(void *context)
{
    const struct writer *writer = context;
    for (size_t i = 0; i < WRITER_OBJECTS; i++) {
        char key[64], other[64];
        mrd_auto(mrd_buf_fini)
        struct mrd_buf got = {0};
        (void)snprintf(key, sizeof(key), "writers/%zu/%zu", writer->number, i);
        (void)snprintf(other, sizeof(other), "writers/%zu/%zu", writer->number, i - i % 1000);
        mrd_assert(mrd_objstore_put(store, key, mrd_bytes_of(key), NULL, NULL) == MRD_OK);
        mrd_assert(mrd_objstore_get(store, other, 64, NULL, &got, NULL) == MRD_OK);
        mrd_assert(mrd_bytes_equal(mrd_buf_view(&got), mrd_bytes_of(other)));
    }
    return NULL;
}

static void many_threads_may_write(void **state)
{
    (void)state;
    struct writer writers[WRITERS];
    for (size_t i = 0; i < WRITERS; i++) {
        writers[i].number = i;
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_many, &writers[i]), 0);
    }
    for (size_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
    }
    assert_ok(flush());
    for (size_t i = 0; i < WRITERS * WRITER_OBJECTS; i++) {
        char key[64];
        (void)snprintf(key, sizeof(key), "writers/%zu/%zu", i % WRITERS, i / WRITERS);
        assert_true(is_stored(key));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_comes_back_whole),
        cmocka_unit_test(what_is_not_there_is_not_found),
        cmocka_unit_test(an_object_over_the_limit_is_refused),
        cmocka_unit_test(an_upload_appears_at_its_end),
        cmocka_unit_test(small_and_empty_uploads_are_objects),
        cmocka_unit_test(an_abandoned_upload_leaves_nothing),
        cmocka_unit_test(ranges_come_as_asked),
        cmocka_unit_test(a_range_past_the_end_is_corrupt),
        cmocka_unit_test(keys_are_listed_in_the_order_of_their_bytes),
        cmocka_unit_test(many_keys_are_listed_and_deleted),
        cmocka_unit_test(a_call_that_is_over_does_nothing),
        cmocka_unit_test(bad_keys_are_refused_everywhere),
        cmocka_unit_test(small_objects_are_stored_by_the_flush),
        cmocka_unit_test(large_objects_are_stored_at_once),
        cmocka_unit_test(a_key_that_is_written_again_has_what_was_written_last),
        cmocka_unit_test(no_more_is_kept_than_fits),
        cmocka_unit_test(a_conflict_is_told_by_the_flush_at_the_latest),
        cmocka_unit_test(what_was_read_before_is_read_back),
        cmocka_unit_test(a_flush_that_fails_is_never_taken_for_one_that_has_not),
        cmocka_unit_test(many_threads_may_write),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
