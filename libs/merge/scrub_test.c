#include "block/testing_internal.h"
#include "merge/scrub.h"
#include "objstore/fault_store.h"

enum { BLOCKS = 3 };

static struct mrd_block_entry entries[BLOCKS];
static const struct mrd_block_entry *blocks[BLOCKS];

static int write_blocks(void **state)
{
    static const struct testing_shape shape = {
        .tenants = 2, .series = 20, .rows_max = 300, .histograms = true, .starts = true};
    if (testing_open(state) != 0) {
        return 1;
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        testing_state = i + 1;
        struct testing_set set = testing_set_create(&shape);
        struct mrd_block_writer_options options = testing_options(testing_store, 0);
        options.stem = mrd_arena_printf(testing_arena, "b/%zu", i);
        assert_int_equal(testing_write(&options, &set, false, &entries[i], NULL), MRD_OK);
        blocks[i] = &entries[i];
        testing_set_fini(&set);
    }
    return 0;
}

struct found {
    size_t count;
    const struct mrd_block_entry *block;
    enum mrd_status status;
};

static enum mrd_status find(void *context, const struct mrd_block_entry *block,
                            enum mrd_status status, const char *reason, struct mrd_error *err)
{
    struct found *found = context;
    (void)err;
    assert_true(strlen(reason) > 10);
    *found = (struct found){found->count + 1, block, status};
    return MRD_OK;
}

static struct mrd_scrub_options options_of(struct found *found)
{
    return (struct mrd_scrub_options){.store = testing_store,
                                      .blocks = blocks,
                                      .block_count = BLOCKS,
                                      .bad = find,
                                      .context = found};
}

static void whole_blocks_are_whole(void **state)
{
    (void)state;
    struct found found = {0};
    struct mrd_scrub_result result;
    const struct mrd_scrub_options options = options_of(&found);
    assert_int_equal(mrd_scrub_run(&options, &result, NULL), MRD_OK);
    assert_int_equal(found.count, 0);
    assert_int_equal(result.blocks, BLOCKS);
    assert_true(result.bytes > 1000);
}

/* Any byte, of either file. */
static void a_single_bit_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < 60; i++) {
        struct found found = {0};
        struct mrd_scrub_result result;
        const struct mrd_scrub_options options = options_of(&found);
        const struct mrd_block_entry *block = blocks[i % BLOCKS];
        const struct mrd_block_file *file = i % 2 == 0 ? &block->data : &block->sidecar;
        char key[128];
        const size_t at = testing_below(file->size);
        (void)snprintf(key, sizeof(key), "%.*s", MRD_FMT(file->key));
        folder_fixture_flip(testing_folder, key, at, 1);
        assert_int_equal(mrd_scrub_run(&options, &result, NULL), MRD_OK);
        assert_int_equal(found.count, 1);
        assert_ptr_equal(found.block, block);
        assert_int_equal(found.status, MRD_E_CORRUPT);
        assert_int_equal(result.corrupt, 1);
        assert_int_equal(result.blocks, BLOCKS);
        folder_fixture_flip(testing_folder, key, at, 1);
    }
}

static void a_store_that_fails_is_no_bad_block(void **state)
{
    (void)state;
    struct mrd_objstore *faults = mrd_fault_store_create(testing_store);
    for (uint64_t nth = 1;; nth++) {
        struct found found = {0};
        struct mrd_scrub_result result;
        struct mrd_scrub_options options = options_of(&found);
        options.store = faults;
        mrd_fault_store_arm(faults, &(struct mrd_fault){.nth = nth});
        const enum mrd_status status = mrd_scrub_run(&options, &result, NULL);
        const bool happened = mrd_fault_store_disarm(faults);
        assert_int_equal(status, happened ? MRD_E_UNAVAILABLE : MRD_OK);
        assert_int_equal(found.count, 0);
        if (!happened) {
            break;
        }
        assert_true(result.blocks < BLOCKS);
    }
    mrd_objstore_close(&faults);
}

static void what_is_gone_is_missing(void **state)
{
    (void)state;
    struct found found = {0};
    struct mrd_scrub_result result;
    const struct mrd_scrub_options options = options_of(&found);
    assert_int_equal(mrd_objstore_delete(testing_store, "b/1.mbx", NULL, NULL), MRD_OK);
    assert_int_equal(mrd_scrub_run(&options, &result, NULL), MRD_OK);
    assert_int_equal(found.count, 1);
    assert_int_equal(found.status, MRD_E_NOT_FOUND);
    assert_int_equal(result.missing, 1);
}

/* ---- pace ---- */

static int64_t clock_now_ns;
static int64_t clock_asked;

static int64_t clock_monotonic(void *context)
{
    (void)context;
    clock_asked++;
    return clock_now_ns += 1000 * 1000 * 1000; /* every look takes a second */
}

static void bytes_take_their_time(void **state)
{
    (void)state;
    struct found found = {0};
    struct mrd_scrub_result result;
    struct mrd_scrub_options options = options_of(&found);
    const struct mrd_clock clock = {NULL, clock_monotonic, NULL};
    const uint64_t bytes = entries[0].data.size + entries[0].sidecar.size;
    options.clock = &clock;
    options.block_count = 1;
    options.bytes_per_second = bytes / 4 + 1;
    assert_int_equal(mrd_scrub_run(&options, &result, NULL), MRD_OK);
    assert_in_range(clock_asked, 4, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_blocks_are_whole),
        cmocka_unit_test(a_single_bit_is_found),
        cmocka_unit_test(a_store_that_fails_is_no_bad_block),
        cmocka_unit_test(bytes_take_their_time),
        cmocka_unit_test(what_is_gone_is_missing),
    };
    return cmocka_run_group_tests(tests, write_blocks, testing_close);
}
