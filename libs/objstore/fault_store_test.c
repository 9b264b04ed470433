/* The walk through all crash points, done once on a small commit of the kind that blocks make. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "objstore/fault_store.h"
#include "objstore/folder_fixture.h"

struct fixture {
    char folder[FOLDER_FIXTURE_PATH_MAX];
    struct mrd_objstore *inner;
    struct mrd_objstore *store;
};

static void fixture_open(struct fixture *fixture)
{
    fixture->inner = folder_fixture_open(fixture->folder, NULL);
    fixture->store = mrd_fault_store_create(fixture->inner);
}

static void fixture_close(struct fixture *fixture)
{
    mrd_objstore_close(&fixture->store);
    mrd_objstore_close(&fixture->inner);
    folder_fixture_remove(fixture->folder);
}

static enum mrd_status upload(struct mrd_objstore *store, const char *key)
{
    mrd_auto(mrd_objstore_upload_destroy)
    struct mrd_objstore_upload *upload = NULL;
    MRD_TRY(mrd_objstore_upload_begin(store, key, NULL, &upload, NULL));
    MRD_TRY(mrd_objstore_upload_write(upload, MRD_BYTES("block"), NULL));
    return mrd_objstore_upload_finish(upload, NULL);
}

/* Data, then the commit that names it; a doubtful commit is asked again, as its header says. */
static enum mrd_status commit(struct mrd_objstore *store, const char *nonce)
{
    MRD_TRY(upload(store, "data/1"));
    enum mrd_status status = MRD_E_UNAVAILABLE;
    for (int i = 0; i < 2 && status == MRD_E_UNAVAILABLE; i++) {
        status = mrd_objstore_put_if_absent(store, "catalog/1", mrd_bytes_of(nonce), NULL, NULL);
    }
    return status;
}

static bool exists(struct mrd_objstore *store, const char *key)
{
    struct mrd_objstore_info info;
    const enum mrd_status status = mrd_objstore_head(store, key, NULL, &info, NULL);
    assert_true(status == MRD_OK || status == MRD_E_NOT_FOUND);
    return status == MRD_OK;
}

/* Calls it took until nothing failed any more. */
static uint64_t walk(enum mrd_fault_when when, bool crash)
{
    for (uint64_t nth = 1;; nth++) {
        struct fixture fixture;
        fixture_open(&fixture);
        mrd_fault_store_arm(fixture.store,
                            &(struct mrd_fault){.nth = nth, .when = when, .crash = crash});
        const enum mrd_status status = commit(fixture.store, "ours");
        const uint64_t calls = mrd_fault_store_calls(fixture.store);
        const bool happened = mrd_fault_store_disarm(fixture.store);
        assert_true(happened == (nth <= calls));
        /* A commit is never there without its data, and never denied when it is there and we live. */
        assert_true(exists(fixture.store, "data/1") || !exists(fixture.store, "catalog/1"));
        assert_true(status != MRD_OK || exists(fixture.store, "catalog/1"));
        assert_true(crash || happened || status == MRD_OK);
        if (!crash && status != MRD_OK) {
            assert_false(exists(fixture.store, "catalog/1"));
        }
        /* The next process does it again and is told the truth. */
        assert_int_equal(mrd_objstore_sweep(fixture.store, 0, NULL, NULL), MRD_OK);
        const bool committed = exists(fixture.store, "catalog/1");
        assert_int_equal(commit(fixture.store, "theirs"), committed ? MRD_E_CONFLICT : MRD_OK);
        fixture_close(&fixture);
        if (!happened) {
            return nth;
        }
    }
}

static void every_crash_point_of_a_commit_is_reached(void **state)
{
    (void)state;
    /* Begin, write, finish, put: the fifth call does not come where the fourth succeeds. */
    assert_int_equal(walk(MRD_FAULT_BEFORE, true), 5);
    assert_int_equal(walk(MRD_FAULT_AFTER, true), 5);
    assert_int_equal(walk(MRD_FAULT_BEFORE, false), 5);
    assert_int_equal(walk(MRD_FAULT_AFTER, false), 5);
}

static void a_fault_has_the_status_that_was_asked_for(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    mrd_fault_store_arm(fixture.store, &(struct mrd_fault){.nth = 2, .status = MRD_E_TIMEOUT});
    assert_int_equal(mrd_objstore_put(fixture.store, "a", MRD_BYTES("1"), NULL, NULL), MRD_OK);
    struct mrd_error err;
    assert_int_equal(mrd_objstore_put(fixture.store, "b", MRD_BYTES("1"), NULL, &err),
                     MRD_E_TIMEOUT);
    assert_non_null(strstr(err.text, "injected"));
    assert_int_equal(mrd_objstore_put(fixture.store, "c", MRD_BYTES("1"), NULL, NULL), MRD_OK);
    assert_true(exists(fixture.store, "a") && !exists(fixture.store, "b"));
    assert_true(mrd_fault_store_disarm(fixture.store));
    assert_false(mrd_fault_store_disarm(fixture.store));
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_crash_point_of_a_commit_is_reached),
        cmocka_unit_test(a_fault_has_the_status_that_was_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
