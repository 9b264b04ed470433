/* Start times in the head; that they are the winner's, whatever comes in which order, is head_model_test.c's to show. */
#include "head/testing_internal.h"

enum { MINUTE_MS = 60000 };

static void expect_starts(struct mrd_head *head, const mrd_time_ms (*want)[2], size_t count)
{
    struct testing_results results;
    const struct mrd_head_query query = everything("t");
    testing_select(head, &query, SIZE_MAX, &results);
    assert_int_equal(results.count, 1);
    assert_int_equal(results.items[0].count, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(results.items[0].times_ms[i], T0 + want[i][0]);
        assert_int_equal(results.items[0].start_times_ms[i], want[i][1]);
    }
    testing_results_fini(&results);
}

/* Samples of one series in order; pattern 0: without start times, 1: a counter, 2: deltas. Bytes per sample. */
static double bytes_per_sample(int pattern, size_t count)
{
    struct mrd_head *head = make_head(0);
    const uint32_t a = testing_need_series(head, "t", "__name__=a", hlc_of(0));
    mrd_time_ms last_ms = T0 - MINUTE_MS;
    for (size_t i = 0; i < count; i++) {
        const mrd_time_ms time_ms = T0 + (mrd_time_ms)i * MINUTE_MS + (mrd_time_ms)(i * 7919 % 40);
        const mrd_time_ms start_ms = pattern == 0 ? 0 : pattern == 1 ? T0 - 1 : last_ms;
        testing_append_started(head, a, time_ms, start_ms, (double)i, hlc_of((int64_t)i), 1, NULL);
        last_ms = time_ms;
    }
    const struct mrd_head_stats stats = stats_of(head);
    assert_int_equal(stats.sample_count, count);
    const size_t bytes =
        stats.memory_bytes[MRD_HEAD_MEMORY_OPEN] + stats.memory_bytes[MRD_HEAD_MEMORY_SEALED];
    assert_int_equal(stats.memory_bytes[MRD_HEAD_MEMORY_OVERLAY], 0);
    mrd_head_destroy(&head);
    return (double)bytes / (double)count;
}

static void counters_and_deltas_cost_little_more_than_their_samples(void **state)
{
    (void)state;
    const double plain = bytes_per_sample(0, 2000);
    const double counter = bytes_per_sample(1, 2000);
    const double delta = bytes_per_sample(2, 2000);
    print_message("%.3f bytes a sample, as a counter %.3f, as deltas %.3f\n", plain, counter,
                  delta);
    assert_true(counter < plain + 0.2);
    assert_true(delta < plain + 0.2);
}

static void another_start_time_is_another_value(void **state)
{
    (void)state;
    struct mrd_head *head = make_head(0);
    const uint32_t a = testing_need_series(head, "t", "__name__=a", hlc_of(0));
    struct mrd_head_append_result result = {0};
    testing_append_started(head, a, T0, 5, 1, hlc_of(10), 1, &result);
    testing_append_started(head, a, T0, 5, 1, hlc_of(11), 1, &result);
    assert_int_equal(result.duplicates, 1);
    testing_append_started(head, a, T0, 6, 1, hlc_of(12), 1, &result);
    assert_int_equal(result.overrides, 1);
    expect_starts(head,
                  (const mrd_time_ms[][2]){
                      {0, 6}
    },
                  1);
    testing_append_started(head, a, T0, 7, 1, hlc_of(11), 1, &result);
    assert_int_equal(result.outdated, 1);
    testing_append(head, a, T0, 1, hlc_of(13), 1, &result); /* unknown is one too */
    assert_int_equal(result.overrides, 2);
    expect_starts(head,
                  (const mrd_time_ms[][2]){
                      {0, 0}
    },
                  1);
    testing_append_started(head, a, T0 + 9, 8, 1, hlc_of(14), 1, &result);
    testing_append_started(head, a, T0 + 9, 9, 1, hlc_of(14), 1, &result);
    assert_int_equal(result.contested, 1);
    assert_int_equal(mrd_head_contested_count(head), 1);
    mrd_head_destroy(&head);
}

static void the_verdict_brings_its_start_time(void **state)
{
    (void)state;
    struct mrd_head *head = make_head(0);
    const uint32_t a = testing_need_series(head, "t", "__name__=a", hlc_of(0));
    struct mrd_head_contested sample;
    testing_append_started(head, a, T0, 5, 1, hlc_of(10), 1, NULL);
    testing_append_started(head, a, T0, 6, 1, hlc_of(10), 2, NULL);
    expect_starts(head,
                  (const mrd_time_ms[][2]){
                      {0, 5}
    },
                  1);
    assert_int_equal(mrd_head_contested_take(head, &sample, 1), 1);
    mrd_head_settle(head, &sample, &(struct mrd_head_verdict){hlc_of(10), 2, 1, 6});
    expect_starts(head,
                  (const mrd_time_ms[][2]){
                      {0, 6}
    },
                  1);
    mrd_head_destroy(&head);
}

/* A tail that learns start times late, is sealed, gets late samples before and inside, and grows on without any. */
static void start_times_outlive_sealing_and_merging(void **state)
{
    (void)state;
    enum { COUNT = 400 };
    static mrd_time_ms want[COUNT][2];
    struct mrd_head *head = make_head(0);
    const uint32_t a = testing_need_series(head, "t", "__name__=a", hlc_of(0));
    for (size_t i = 0; i < COUNT; i++) {
        want[i][0] = (mrd_time_ms)i * 1000;
        want[i][1] = i < 30 || i >= 300 ? 0 : i < 150 ? 77 : T0 + (mrd_time_ms)i * 1000 - 400;
    }
    for (size_t i = 0; i < COUNT; i++) {
        if (i % 3 != 1) {
            testing_append_started(head, a, T0 + want[i][0], want[i][1], (double)i,
                                   hlc_of((int64_t)i), 1, NULL);
        }
    }
    for (size_t i = 1; i < COUNT; i += 3) {
        testing_append_started(head, a, T0 + want[i][0], want[i][1], (double)i,
                               hlc_of(COUNT + (int64_t)i), 1, NULL);
    }
    expect_starts(head, (const mrd_time_ms(*)[2])want, COUNT);
    mrd_head_destroy(&head);
}

/* Nothing may be left over of what samples had. */
static void memory_goes_with_the_samples(void **state)
{
    (void)state;
    struct mrd_head *head = make_head(0);
    const uint32_t a = testing_need_series(head, "t", "__name__=a", hlc_of(0));
    for (int i = 0; i < 500; i++) {
        const mrd_time_ms time_ms = T0 + (i * 7919 % 1000) * 1000;
        testing_append_started(head, a, time_ms, 1 + i * 31 % 50, i, hlc_of(i), 1, NULL);
    }
    const struct mrd_head_sweep sweep = {INT64_MAX, UINT64_MAX, UINT64_MAX, 100};
    struct mrd_head_sweep_result result = {0};
    mrd_head_sweep(head, &sweep, &result);
    assert_int_equal(result.dead_count, 1);
    const struct mrd_head_stats stats = stats_of(head);
    assert_int_equal(stats.sample_count, 0);
    assert_int_equal(stats.memory_bytes[MRD_HEAD_MEMORY_OPEN], 0);
    assert_int_equal(stats.memory_bytes[MRD_HEAD_MEMORY_SEALED], 0);
    assert_int_equal(stats.memory_bytes[MRD_HEAD_MEMORY_OVERLAY], 0);
    mrd_head_destroy(&head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_and_deltas_cost_little_more_than_their_samples),
        cmocka_unit_test(another_start_time_is_another_value),
        cmocka_unit_test(the_verdict_brings_its_start_time),
        cmocka_unit_test(start_times_outlive_sealing_and_merging),
        cmocka_unit_test(memory_goes_with_the_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
