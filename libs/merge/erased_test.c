/* Merges of blocks that owe requests to erase. */
#include "merge/testing_internal.h"

#include "base/testing_rounds.h"

/* Whatever blocks owe, in one pass or several, in the whole time or a part. */
static void what_is_owed_is_left_out(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    uint64_t erased = 0;
    for (uint64_t seed = 201; seed <= 200 + testing_rounds(12); seed++) {
        struct world world;
        make_world(&world, seed, 1 + seed % BLOCKS_MAX, seed % 3 != 0, seed % 4 == 0 ? 3000 : 200);
        make_requests(&world);
        struct mrd_merge_options options = options_of(&world);
        struct mrd_merge_result without;
        struct mrd_merge_result result;
        options.keep_hlc = seed % 2 == 0;
        options.fan_in_max = seed % 5 == 0 ? 0 : 2 + seed % 4;
        options.shard_bytes_max = seed % 3 == 1 ? 2000 : 0;
        if (seed % 4 == 1) {
            options.min_ms = INT64_C(1700000000000);
            options.max_ms = options.min_ms + 400000;
        }
        must(mrd_merge_run(&options, testing_arena, &without, &err), &err);
        const struct mrd_merge_erasures erasures = {owed, REQUESTS, &world};
        options.erasures = &erasures;
        must(mrd_merge_run(&options, testing_arena, &result, &err), &err);
        assert_int_equal(result.bad_count, 0);
        assert_int_equal(result.samples_in, without.samples_in);
        expect_outputs(&world, &options, &result, SIZE_MAX);
        const bool other = result.erased > 0 && result.output_count > 0 && without.output_count > 0;
        assert_false(other && mrd_bytes_equal(result.outputs[0].id, without.outputs[0].id));
        erased += result.erased;
        drop_requests();
        testing_set_fini(&world.all);
    }
    assert_true(erased > 1000 / testing_share());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_owed_is_left_out),
    };
    return cmocka_run_group_tests(tests, testing_open, testing_close);
}
