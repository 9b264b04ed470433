/* Every block is read to its end, wherever a scrub begins; what is bad is put into quarantine. */
#include "upkeep/scrub.h"
#include "upkeep/testing_internal.h"

enum { BLOCKS = 40 };

static struct region region;

static struct mrd_upkeep_examiner examiner_of(struct mrd_objstore *store)
{
    return (struct mrd_upkeep_examiner){
        .store = store, .catalog = region.catalog, .clock = &region.clock, .holder = "scrub"};
}

static void all_blocks_are_read_and_bad_ones_found(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    static const uint64_t starts[] = {0, 1, 17, BLOCKS - 1, BLOCKS, UINT64_MAX};
    uint64_t bytes = 0;
    region_open(&region, 1);
    region.tenants = 1;
    region.times = 4;
    for (size_t i = 0; i < BLOCKS; i++) {
        const struct mrd_block_entry *entry = region_write(&region, 90, region.now_ms);
        bytes += entry->data.size + entry->sidecar.size;
    }
    for (size_t i = 0; i < MRD_ARRAY_LEN(starts); i++) {
        struct mrd_upkeep_progress progress = {0};
        const struct mrd_upkeep_examiner examiner = examiner_of(region.store);
        region_must(mrd_upkeep_scrub(&examiner, 0, starts[i], &progress, &err), &err);
        assert_int_equal(progress.blocks, BLOCKS);
        assert_int_equal(progress.bytes, bytes);
        assert_int_equal(progress.bad, 0);
    }
    folder_fixture_flip(region.folder, "blocks/l0-7.parquet", 100, 1);
    region_must(mrd_objstore_delete(region.files, "blocks/l0-31.parquet", NULL, &err), &err);
    struct mrd_upkeep_progress progress = {0};
    const struct mrd_upkeep_examiner examiner = examiner_of(region.store);
    region_must(mrd_upkeep_scrub(&examiner, 0, 3, &progress, &err), &err);
    assert_int_equal(progress.blocks, BLOCKS);
    assert_int_equal(progress.bad, 2);
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("records", REGION_CHECK_BYTES);
    struct mrd_upkeep_quarantine quarantine;
    region_must(mrd_upkeep_quarantine_load(region.files, NULL, arena, &quarantine, &err), &err);
    assert_int_equal(quarantine.count, 2);
    assert_true(mrd_upkeep_quarantine_has(&quarantine, MRD_BYTES("l0-7")));
    assert_true(mrd_upkeep_quarantine_has(&quarantine, MRD_BYTES("l0-31")));
    mrd_auto(mrd_buf_fini)
    struct mrd_buf json = {0};
    region_must(mrd_upkeep_quarantine_json(&quarantine, &json, &err), &err);
    mrd_buf_append_u8(&json, 0);
    assert_non_null(strstr((const char *)json.data, "\"block\":\"l0-7\""));
    region_close(&region);
}

/* Its files are gone because it was merged meanwhile, as the catalog says: that is no fault. */
static void a_block_that_has_left_the_catalog_is_not_bad(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    bool bad = true;
    region_open(&region, 2);
    const struct mrd_block_entry *entry = region_write(&region, 90, region.now_ms);
    const struct mrd_catalog_change change = {.remove = &entry->id, .remove_count = 1};
    region_must(mrd_catalog_commit(region.catalog, &change, NULL, &err), &err);
    region_must(mrd_objstore_delete(region.files, "blocks/l0-1.mbx", NULL, &err), &err);
    const struct mrd_upkeep_examiner examiner = examiner_of(region.store);
    region_must(mrd_upkeep_examine(&examiner, entry, &bad, &err), &err);
    assert_false(bad);
    region_close(&region);
}

/* A store that fails says nothing about blocks. */
static void a_store_that_fails_convicts_nobody(void **state)
{
    (void)state;
    region_open(&region, 3);
    (void)region_write(&region, 90, region.now_ms);
    (void)region_write(&region, 90, region.now_ms);
    bool came = true;
    for (uint64_t nth = 1; came; nth++) {
        struct mrd_error err = {0};
        struct mrd_upkeep_progress progress = {0};
        const struct mrd_fault fault = {.nth = nth, .when = MRD_FAULT_BEFORE};
        const struct mrd_upkeep_examiner examiner = examiner_of(region.store);
        mrd_fault_store_arm(region.store, &fault);
        const enum mrd_status status = mrd_upkeep_scrub(&examiner, 0, 0, &progress, &err);
        came = mrd_fault_store_disarm(region.store);
        assert_int_equal(status, came ? MRD_E_UNAVAILABLE : MRD_OK);
        assert_int_equal(progress.bad, 0);
    }
    region_close(&region);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_blocks_are_read_and_bad_ones_found),
        cmocka_unit_test(a_block_that_has_left_the_catalog_is_not_bad),
        cmocka_unit_test(a_store_that_fails_convicts_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
