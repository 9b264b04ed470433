/* Rollups written anew without what requests have of them: what goes, and that all else stays bit for bit. */
#include "merge/rewrite.h"
#include "merge/testing_internal.h"
#include "rollup/codec.h"

static struct world world;

/* A row: whose, when, and what. */
struct row {
    mrd_series_id series;
    mrd_time_ms end_ms;
    struct mrd_id128 content;
};

static void list_series(const struct mrd_block_entry *rollup, const struct mrd_block_series *series,
                        uint32_t without, struct mrd_buf *out)
{
    for (size_t i = 0; i < series->rows->count; i++) {
        mrd_auto(mrd_buf_fini)
        struct mrd_buf bytes = {0};
        struct mrd_rollup_row row;
        bool goes = false;
        for (size_t r = 0; r < REQUESTS; r++) {
            const mrd_time_ms end_ms = series->rows->ends_ms[i];
            const mrd_time_ms first_ms =
                MRD_MAX(end_ms - rollup->resolution_ms + 1, requests[r].time_min_ms);
            const bool meets = mrd_erasure_has_time(&requests[r], first_ms) && first_ms <= end_ms;
            goes |= (without >> r & 1) != 0 && meets &&
                    mrd_bytes_equal(requests[r].tenant, series->tenant) &&
                    mrd_erasure_selects(&requests[r], series->labels);
        }
        if (!goes) {
            mrd_rollup_columns_row(series->rows, i, &row);
            mrd_rollup_encode(&row, 1, rollup->resolution_ms, &bytes);
            const struct row one = {series->id, row.end_ms, mrd_hash128(mrd_buf_view(&bytes), 0)};
            mrd_buf_append(out, &one, sizeof(one));
        }
    }
}

/* The rows of a rollup but those that the requests have. */
static void list_rows(const struct mrd_block_entry *rollup, uint32_t without, struct mrd_buf *out)
{
    struct mrd_error err = {0};
    struct mrd_block *block = NULL;
    struct mrd_block_cursor *cursor = NULL;
    const struct mrd_block_series *series = NULL;
    must(mrd_block_verify(testing_store, rollup, &(struct mrd_block_verify_options){0}, &err),
         &err);
    must(mrd_block_open(testing_store, rollup, &(struct mrd_block_open_options){0}, &block, &err),
         &err);
    must(mrd_block_scan(block, &(struct mrd_block_cursor_options){0}, &cursor, &err), &err);
    must(mrd_block_cursor_next(cursor, &series, &err), &err);
    while (series != NULL) {
        list_series(rollup, series, without, out);
        must(mrd_block_cursor_next(cursor, &series, &err), &err);
    }
    mrd_block_cursor_close(&cursor);
    mrd_block_close(&block);
}

/* Merges a world; rollups of tenant-01. */
static struct mrd_merge_result make_rollups(uint64_t seed)
{
    struct mrd_error err = {0};
    struct mrd_merge_result result;
    make_world(&world, seed, 3, true, 60);
    make_requests(&world);
    world.request_count = 0; /* the merge knows none */
    struct mrd_merge_options options = options_of(&world);
    add_rollups(&options);
    must(mrd_merge_run(&options, testing_arena, &result, &err), &err);
    assert_true(result.rollup_count >= LEVELS);
    return result;
}

static struct mrd_merge_rewrite_options rewrite_of(const struct mrd_block_entry *rollup,
                                                   uint32_t without,
                                                   const struct mrd_erasure **erasures)
{
    static const struct mrd_block_promoted promoted[] = {
        {"job", 2}
    };
    size_t count = 0;
    for (size_t r = 0; r < REQUESTS; r++) {
        if ((without >> r & 1) != 0) {
            erasures[count++] = &requests[r];
        }
    }
    return (struct mrd_merge_rewrite_options){.store = testing_store,
                                              .rollup = rollup,
                                              .erasures = erasures,
                                              .erasure_count = count,
                                              .prefix = "again/",
                                              .promoted = promoted,
                                              .promoted_count = 1,
                                              .memory_bytes_max = MRD_MERGE_MEMORY_MIN};
}

static void expect_origin(const struct mrd_block_entry *got, const struct mrd_block_entry *of)
{
    assert_int_equal(got->level, of->level);
    assert_int_equal(got->resolution_ms, of->resolution_ms);
    assert_int_equal(got->origin.hlc_min, of->origin.hlc_min);
    assert_int_equal(got->origin.hlc_fence, of->origin.hlc_fence);
    assert_true(mrd_bytes_equal(got->origin.residency_class, of->origin.residency_class));
    assert_int_equal(got->origin.parent_count, of->origin.parent_count);
    for (size_t i = 0; i < of->origin.parent_count; i++) {
        assert_true(mrd_bytes_equal(got->origin.parents[i], of->origin.parents[i]));
    }
    assert_false(mrd_bytes_equal(got->id, of->id));
}

static void rows_that_no_request_has_stay_as_they_are(void **state)
{
    (void)state;
    uint64_t gone = 0;
    uint64_t kept = 0;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        const struct mrd_merge_result merged = make_rollups(seed);
        for (size_t i = 0; i < merged.rollup_count; i++) {
            const uint32_t without = (uint32_t)testing_below(8); /* of this tenant */
            const struct mrd_erasure *erasures[REQUESTS];
            struct mrd_error err = {0};
            struct mrd_merge_rewritten made;
            struct mrd_buf want = {0};
            struct mrd_buf got = {0};
            const struct mrd_merge_rewrite_options options =
                rewrite_of(&merged.rollups[i], without, erasures);
            must(mrd_merge_rewrite(&options, testing_arena, &made, &err), &err);
            list_rows(&merged.rollups[i], without, &want);
            for (size_t k = 0; k < made.output_count; k++) {
                expect_origin(&made.outputs[k], &merged.rollups[i]);
                list_rows(&made.outputs[k], 0, &got);
            }
            assert_int_equal(made.rows_in, merged.rollups[i].counts.samples);
            assert_int_equal(made.rows_out, want.size / sizeof(struct row));
            assert_true(mrd_bytes_equal(mrd_buf_view(&got), mrd_buf_view(&want)));
            gone += made.rows_in - made.rows_out;
            kept += made.rows_out;
            for (size_t r = 0; r < options.erasure_count; r++) {
                assert_true(made.erased[r] <= made.rows_in - made.rows_out);
            }
            mrd_buf_fini(&want);
            mrd_buf_fini(&got);
        }
        drop_requests();
        testing_set_fini(&world.all);
    }
    assert_true(gone > 100);
    assert_true(kept > 100);
}

static void nothing_is_written_of_what_has_nothing_left(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    struct mrd_merge_rewritten made;
    const struct mrd_merge_result merged = make_rollups(3);
    const struct mrd_erasure *erasures[REQUESTS];
    requests[0].selectors = &request_selectors[4]; /* any name */
    for (size_t i = 0; i < merged.rollup_count; i++) {
        const struct mrd_merge_rewrite_options options =
            rewrite_of(&merged.rollups[i], 1, erasures);
        must(mrd_merge_rewrite(&options, testing_arena, &made, &err), &err);
        assert_int_equal(made.output_count, 0);
        assert_int_equal(made.rows_out, 0);
        assert_int_equal(made.erased[0], merged.rollups[i].counts.samples);
    }
    drop_requests();
    testing_set_fini(&world.all);
}

/* Whoever does it again after any failure writes the same. */
static void any_call_may_fail(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    struct mrd_merge_rewritten want;
    const struct mrd_merge_result merged = make_rollups(5);
    const struct mrd_erasure *erasures[REQUESTS];
    struct mrd_merge_rewrite_options options = rewrite_of(&merged.rollups[0], 7, erasures);
    must(mrd_merge_rewrite(&options, testing_arena, &want, &err), &err);
    assert_int_equal(want.output_count, 1);
    options.store = mrd_fault_store_create(testing_store);
    uint64_t nth = 1;
    for (bool came = true; came; nth++) {
        struct mrd_merge_rewritten got = {0};
        mrd_fault_store_arm(options.store, &(struct mrd_fault){.nth = nth});
        const enum mrd_status status = mrd_merge_rewrite(&options, testing_arena, &got, &err);
        came = mrd_fault_store_disarm(options.store);
        assert_int_equal(status, came ? MRD_E_UNAVAILABLE : MRD_OK);
        assert_int_equal(got.output_count, came ? 0 : 1);
        if (!came) {
            assert_true(mrd_bytes_equal(got.outputs->id, want.outputs->id));
            assert_int_equal(got.outputs->data.crc32c, want.outputs->data.crc32c);
            assert_int_equal(got.outputs->sidecar.crc32c, want.outputs->sidecar.crc32c);
        }
    }
    assert_true(nth > 8);
    mrd_objstore_close(&options.store);
    drop_requests();
    testing_set_fini(&world.all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_that_no_request_has_stay_as_they_are),
        cmocka_unit_test(nothing_is_written_of_what_has_nothing_left),
        cmocka_unit_test(any_call_may_fail),
    };
    return cmocka_run_group_tests(tests, testing_open, testing_close);
}
