/* Blocks of random rows, merged, against a model that keeps the greatest of what was said about each time. */
#include "merge/testing_internal.h"

#include "base/testing_rounds.h"
static size_t temporary_objects;
static bool count_temporary(void *context, const struct mrd_objstore_entry *entry)
{
    (void)context;
    temporary_objects += strstr(entry->key, "tmp-") != NULL;
    return true;
}

static void merges_keep_the_greatest_of_each_time(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    for (uint64_t seed = 1; seed <= testing_rounds(12); seed++) {
        struct world world;
        make_world(&world, seed, 1 + seed % BLOCKS_MAX, seed % 3 != 0, seed % 4 == 0 ? 3000 : 200);
        struct mrd_merge_options options = options_of(&world);
        struct mrd_merge_result result;
        options.keep_hlc = seed % 2 == 0;
        options.fan_in_max = seed % 5 == 0 ? 0 : 2 + seed % 4;
        options.shard_bytes_max = seed % 3 == 1 ? 2000 : 0;
        if (seed % 4 == 1) { /* a day, as the outputs have it */
            options.min_ms = INT64_C(1700000000000);
            options.max_ms = options.min_ms + 400000;
        }
        must(mrd_merge_run(&options, testing_arena, &result, &err), &err);
        assert_int_equal(result.bad_count, 0);
        assert_int_equal(result.unordered, 0);
        expect_outputs(&world, &options, &result, SIZE_MAX);
        testing_set_fini(&world.all);
    }
    assert_int_equal(
        mrd_objstore_list(testing_store, "out/", "", count_temporary, NULL, NULL, &err), MRD_OK);
    assert_int_equal(temporary_objects, 0);
}

static void expect_same_entries(const struct mrd_block_entry *a, const struct mrd_block_entry *b,
                                size_t count)
{
    struct mrd_error err = {0};
    for (size_t i = 0; i < count; i++) {
        mrd_auto(mrd_buf_fini)
        struct mrd_buf x = {0};
        mrd_auto(mrd_buf_fini)
        struct mrd_buf y = {0};
        must(mrd_block_entry_encode(&a[i], &x, &err), &err);
        must(mrd_block_entry_encode(&b[i], &y, &err), &err);
        assert_true(mrd_bytes_equal(mrd_buf_view(&x), mrd_buf_view(&y)));
    }
}

static void expect_same_outputs(const struct mrd_merge_result *a, const struct mrd_merge_result *b)
{
    assert_int_equal(a->output_count, b->output_count);
    assert_int_equal(a->rollup_count, b->rollup_count);
    expect_same_entries(a->outputs, b->outputs, a->output_count);
    expect_same_entries(a->rollups, b->rollups, a->rollup_count);
}

static void the_order_of_inputs_changes_nothing(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    struct world world;
    make_world(&world, 77, 7, true, 300);
    struct mrd_merge_options options = options_of(&world);
    struct mrd_merge_result first;
    struct mrd_merge_result again;
    must(mrd_merge_run(&options, testing_arena, &first, &err), &err);
    for (size_t i = 0; i < world.count / 2; i++) {
        const struct mrd_block_entry *kept = world.inputs[i];
        world.inputs[i] = world.inputs[world.count - 1 - i];
        world.inputs[world.count - 1 - i] = kept;
    }
    options.fan_in_max = 2; /* nor does merging some of them first, or what is cached */
    const struct mrd_block_cache_options cached = {.memory_bytes_max = 64 << 20};
    must(mrd_block_cache_create(&cached, &options.cache, &err), &err);
    must(mrd_merge_run(&options, testing_arena, &again, &err), &err);
    expect_same_outputs(&first, &again);
    must(mrd_merge_run(&options, testing_arena, &again, &err), &err);
    assert_true(mrd_block_cache_stats(options.cache).memory_hits > 0);
    mrd_block_cache_destroy(&options.cache);
    expect_same_outputs(&first, &again);
    testing_set_fini(&world.all);
}

/* Merges the outputs of a merge with the blocks that it did not have. */
static void what_was_merged_merges_on(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    struct world world;
    make_world(&world, 5, 6, true, 300);
    struct mrd_merge_options options = options_of(&world);
    struct mrd_merge_result some;
    struct mrd_merge_result rest;
    const struct mrd_block_entry *inputs[64];
    options.keep_hlc = true;
    options.input_count = 3;
    options.shard_bytes_max = 3000;
    must(mrd_merge_run(&options, testing_arena, &some, &err), &err);
    assert_in_range(some.output_count, 2, 60);
    for (size_t i = 0; i < some.output_count; i++) {
        inputs[i] = &some.outputs[i];
    }
    for (size_t i = 3; i < 6; i++) {
        inputs[some.output_count + i - 3] = world.inputs[i];
    }
    options.inputs = inputs;
    options.input_count = some.output_count + 3;
    must(mrd_merge_run(&options, testing_arena, &rest, &err), &err);
    rest.samples_in += some.samples_in - some.samples_out;
    rest.duplicates += some.duplicates;
    rest.overridden += some.overridden;
    rest.passes++;
    expect_outputs(&world, &options, &rest, SIZE_MAX);
    testing_set_fini(&world.all);
}

/* ---- bad days ---- */

static void a_bad_input_is_left_out_and_named(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    static const struct {
        const char *key;
        size_t at; /* 0: the middle of the data file, where samples are */
    } damages[] = {
        {"in/2.mbx",     9},
        {"in/2.parquet", 0},
        {NULL,           0},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(damages); i++) {
        struct world world;
        make_world(&world, 31 + i, 5, true, 400);
        struct mrd_merge_options options = options_of(&world);
        struct mrd_merge_result result;
        options.fan_in_max = 2 + i;
        if (damages[i].key == NULL) {
            must(mrd_objstore_delete(testing_store, "in/2.parquet", NULL, &err), &err);
        } else {
            folder_fixture_flip(testing_folder, damages[i].key,
                                damages[i].at == 0 ? world.entries[2].data.size / 2 : damages[i].at,
                                0x10);
        }
        for (size_t t = 0; t < 3; t++) { /* whichever tenant's page it is */
            options.tenant = mrd_bytes_of(mrd_arena_printf(testing_arena, "tenant-%02zu", t));
            must(mrd_merge_run(&options, testing_arena, &result, &err), &err);
            if (result.bad_count > 0) {
                break;
            }
        }
        assert_int_equal(result.bad_count, 1);
        assert_ptr_equal(result.bad[0].input, &world.entries[2]);
        assert_int_equal(result.bad[0].status,
                         damages[i].key == NULL ? MRD_E_NOT_FOUND : MRD_E_CORRUPT);
        assert_true(strlen(result.bad[0].reason) > 10);
        assert_int_equal(result.input_samples[2], 0);
        expect_outputs(&world, &options, &result, 2);
        for (size_t k = 0; k < result.output_count; k++) {
            assert_int_equal(result.outputs[k].origin.parent_count, 4);
        }
        testing_set_fini(&world.all);
    }
}

/* Fails each call of the store in turn: the merge says so, and made again it writes the same. */
static void any_call_may_fail(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    struct world world;
    make_world(&world, 9, 5, true, 100);
    struct mrd_objstore *faults = mrd_fault_store_create(testing_store);
    struct mrd_merge_options options = options_of(&world);
    struct mrd_merge_result want;
    struct mrd_merge_result got;
    options.fan_in_max = 2;
    add_rollups(&options);
    must(mrd_merge_run(&options, testing_arena, &want, &err), &err);
    options.store = faults;
    uint64_t failures = 0;
    for (uint64_t nth = 1;;
         nth += testing_stride() + nth * 7 % 5) { /* a third of all calls, or less */
        mrd_fault_store_arm(
            faults, &(struct mrd_fault){.nth = nth,
                                        .when = nth % 2 == 0 ? MRD_FAULT_AFTER : MRD_FAULT_BEFORE,
                                        .crash = nth % 3 == 0});
        struct mrd_arena *arena = mrd_arena_create("test", 64 << 20);
        const enum mrd_status status = mrd_merge_run(&options, arena, &got, &err);
        const bool happened = mrd_fault_store_disarm(faults);
        assert_true(status == MRD_OK || status == MRD_E_UNAVAILABLE);
        failures += status != MRD_OK;
        if (status == MRD_OK) {
            expect_same_outputs(&want, &got);
        } else {
            must(mrd_merge_run(&options, arena, &got, &err), &err);
            expect_same_outputs(&want, &got);
        }
        mrd_arena_destroy(&arena);
        if (!happened) {
            break;
        }
    }
    assert_true(failures > 10 / testing_share());
    mrd_objstore_close(&faults);
    testing_set_fini(&world.all);
}

static void what_cannot_be_merged_is_refused(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    struct world world;
    make_world(&world, 3, 3, true, 20);
    struct mrd_merge_result result;
    struct mrd_merge_options options = options_of(&world);
    options.level = 0;
    assert_int_equal(mrd_merge_run(&options, testing_arena, &result, &err), MRD_E_INVALID);
    options = options_of(&world);
    options.input_count = 0;
    assert_int_equal(mrd_merge_run(&options, testing_arena, &result, &err), MRD_E_INVALID);
    options = options_of(&world);
    options.memory_bytes_max = MRD_MERGE_MEMORY_MIN - 1;
    assert_int_equal(mrd_merge_run(&options, testing_arena, &result, &err), MRD_E_INVALID);
    add_rollups(&options);
    options.memory_bytes_max--;
    assert_int_equal(mrd_merge_run(&options, testing_arena, &result, &err), MRD_E_INVALID);
    add_rollups(&options);
    options.resolutions_ms = (const mrd_time_ms[]){60000, 90000};
    assert_int_equal(mrd_merge_run(&options, testing_arena, &result, &err), MRD_E_INVALID);
    options = options_of(&world);
    world.entries[1].resolution_ms = 60000;
    assert_int_equal(mrd_merge_run(&options, testing_arena, &result, &err), MRD_E_INVALID);
    assert_non_null(strstr(err.text, "made anew"));
    world.entries[1].resolution_ms = 0;
    world.inputs[1] = world.inputs[0];
    assert_int_equal(mrd_merge_run(&options, testing_arena, &result, &err), MRD_E_INVALID);
    world.inputs[1] = &world.entries[1];
    world.entries[1].origin.residency_class = MRD_BYTES("us");
    assert_int_equal(mrd_merge_run(&options, testing_arena, &result, &err), MRD_E_INVALID);
    assert_non_null(strstr(err.text, "must not meet"));
    testing_set_fini(&world.all);
}

/* Blocks without stamps that may have been written at the same time. */
static void blocks_without_order_are_counted(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    struct world world;
    make_world(&world, 6, 3, false, 50);
    struct mrd_merge_options options = options_of(&world);
    struct mrd_merge_result result;
    must(mrd_merge_run(&options, testing_arena, &result, &err), &err);
    assert_int_equal(result.unordered, 0);
    world.entries[2].origin.hlc_min = 5;
    must(mrd_merge_run(&options, testing_arena, &result, &err), &err);
    assert_int_equal(result.unordered, 2);
    testing_set_fini(&world.all);
}

/* ---- rollups on the way ---- */

/* A digest of rows: what each says, in order. */
struct digest {
    size_t rows[LEVELS];
    size_t restarts;
    uint64_t samples[LEVELS];
    uint64_t hash[LEVELS];
};

static void digest_number(uint64_t *hash, uint64_t number)
{
    *hash = (*hash ^ number) * 0x9e3779b97f4a7c15ULL;
    *hash ^= *hash >> 29;
}

static enum mrd_status digest_row(void *context, const struct mrd_block_series *series,
                                  size_t level, const struct mrd_rollup_row *row,
                                  struct mrd_error *err)
{
    struct digest *digest = context;
    uint64_t *hash = &digest->hash[level];
    (void)err;
    digest->rows[level]++;
    digest->samples[level] += row->floats.count + row->histograms.count;
    digest_number(hash, series->id.low);
    digest_number(hash, (uint64_t)row->end_ms);
    digest_number(hash, (uint64_t)row->stale_ms);
    if (row->floats.count > 0) {
        digest_number(hash, row->floats.count);
        digest_number(hash, mrd_double_bits(row->floats.first));
        digest_number(hash, mrd_double_bits(row->floats.last));
        digest_number(hash, row->floats.resets[MRD_ROLLUP_BY_START]);
        digest_number(hash, row->floats.changes);
        digest_number(hash, mrd_double_bits(row->floats.sum.sum));
    }
    if (row->histograms.count > 0) {
        digest_number(hash, row->histograms.count);
        digest_number(hash, mrd_double_bits(row->histograms.last->sum));
        digest_number(hash, mrd_double_bits(row->histograms.first->count));
        digest_number(hash, row->histograms.resets[MRD_ROLLUP_BY_VALUE]);
    }
    return MRD_OK;
}

static enum mrd_status digest_restart(void *context, struct mrd_error *err)
{
    struct digest *digest = context;
    (void)err;
    *digest = (struct digest){.restarts = digest->restarts + 1};
    return MRD_OK;
}

static struct mrd_merge_rollups *digest_rollups(struct digest *digest)
{
    const struct mrd_merge_rollups_sink sink = {digest_row, digest_restart, digest};
    return mrd_merge_rollups_create(level_ms, LEVELS, &sink);
}

/* The same rows, made of whole series read from the outputs. */
static struct digest digest_outputs(const struct mrd_merge_result *result)
{
    struct mrd_error err = {0};
    struct digest digest = {0};
    struct mrd_merge_rollups *rollups = digest_rollups(&digest);
    const struct mrd_merge_tap *tap = mrd_merge_rollups_tap(rollups);
    struct output_reader reader = {.result = result};
    for (next_series(&reader); reader.series != NULL; next_series(&reader)) {
        must(tap->take(tap->context, reader.series, &err), &err);
    }
    must(mrd_merge_rollups_end(rollups, &err), &err);
    mrd_merge_rollups_destroy(&rollups);
    return digest;
}

static size_t level_of(const struct mrd_block_entry *rollup)
{
    size_t level = 0;
    while (level < LEVELS && level_ms[level] != rollup->resolution_ms) {
        level++;
    }
    assert_true(level < LEVELS);
    return level;
}

static void digest_rollup(struct digest *digest, const struct mrd_block_entry *rollup)
{
    struct mrd_error err = {0};
    struct mrd_block *block;
    struct mrd_block_cursor *cursor;
    const struct mrd_block_verify_options verify = {0};
    must(mrd_block_verify(testing_store, rollup, &verify, &err), &err);
    must(mrd_block_open(testing_store, rollup, &(struct mrd_block_open_options){0}, &block, &err),
         &err);
    must(mrd_block_scan(block, &(struct mrd_block_cursor_options){0}, &cursor, &err), &err);
    for (;;) {
        const struct mrd_block_series *got;
        must(mrd_block_cursor_next(cursor, &got, &err), &err);
        if (got == NULL) {
            break;
        }
        for (size_t i = 0; i < got->rows->count; i++) {
            struct mrd_rollup_row row;
            mrd_rollup_columns_row(got->rows, i, &row);
            must(digest_row(digest, got, level_of(rollup), &row, &err), &err);
        }
    }
    mrd_block_cursor_close(&cursor);
    mrd_block_close(&block);
}

/* The same rows in files, which stand for all outputs. */
static struct digest digest_rollups_of(const struct mrd_merge_result *result)
{
    struct digest digest = {0};
    for (size_t i = 0; i < result->rollup_count; i++) {
        const struct mrd_block_entry *rollup = &result->rollups[i];
        assert_int_equal(rollup->origin.parent_count, result->output_count);
        for (size_t k = 0; k < result->output_count; k++) {
            assert_true(mrd_bytes_equal(rollup->origin.parents[k], result->outputs[k].id));
            assert_true(mrd_merge_stands_for(rollup, &result->outputs[k].id, 1));
            assert_false(mrd_merge_stands_for(&result->outputs[k], &result->outputs[k].id, 1));
        }
        assert_int_equal(rollup->origin.hlc_fence, result->outputs[0].origin.hlc_fence);
        digest_rollup(&digest, rollup);
    }
    return digest;
}

static void rollup_rows_are_made_of_what_is_written(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    for (uint64_t seed = 50; seed < 54; seed++) {
        struct world world;
        make_world(&world, seed, 5, true, 2000);
        struct mrd_merge_options options = options_of(&world);
        struct mrd_merge_result result;
        struct digest digest = {0};
        struct mrd_merge_rollups *rollups = digest_rollups(&digest);
        const bool bad = seed % 2 == 1;
        if (bad) {
            must(mrd_objstore_delete(testing_store, "in/3.parquet", NULL, &err), &err);
        }
        options.fan_in_max = seed < 52 ? 0 : 2;
        options.tap = mrd_merge_rollups_tap(rollups);
        add_rollups(&options);
        options.shard_bytes_max = seed % 2 == 0 ? 0 : 4096;
        must(mrd_merge_run(&options, testing_arena, &result, &err), &err);
        must(mrd_merge_rollups_end(rollups, &err), &err);
        const struct digest want = digest_outputs(&result);
        assert_int_equal(digest.restarts, bad);
        assert_true(digest.rows[0] > 100 && digest.rows[1] > 10);
        assert_int_equal(digest.rows[0], want.rows[0]);
        assert_int_equal(digest.rows[1], want.rows[1]);
        assert_int_equal(digest.samples[0], digest.samples[1]);
        assert_true(digest.samples[0] <= result.samples_out); /* markers are no samples of rows */
        const struct digest stored = digest_rollups_of(&result);
        assert_int_equal(stored.rows[0], want.rows[0]);
        assert_int_equal(stored.rows[1], want.rows[1]);
        for (size_t i = 0; i < LEVELS; i++) {
            assert_true(digest.hash[i] == want.hash[i]);
            assert_true(stored.hash[i] == want.hash[i]);
        }
        assert_true(result.rollup_count > (seed % 2 == 0 ? 1 : 2));
        mrd_merge_rollups_destroy(&rollups);
        testing_set_fini(&world.all);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_keep_the_greatest_of_each_time),
        cmocka_unit_test(the_order_of_inputs_changes_nothing),
        cmocka_unit_test(what_was_merged_merges_on),
        cmocka_unit_test(a_bad_input_is_left_out_and_named),
        cmocka_unit_test(any_call_may_fail),
        cmocka_unit_test(what_cannot_be_merged_is_refused),
        cmocka_unit_test(blocks_without_order_are_counted),
        cmocka_unit_test(rollup_rows_are_made_of_what_is_written),
    };
    return cmocka_run_group_tests(tests, testing_open, testing_close);
}
