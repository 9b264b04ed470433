/* Conflicting writes that the head can not decide. head_model_test.c tries them at random. */
#include "head/testing_internal.h"

/* The stamp of the chunk stands for that of the sample, so the head asks. */
static void a_write_that_is_not_later_than_its_chunk_is_contested(void **state)
{
    (void)state;
    static const struct {
        int hlc; /* of the write to the first of two samples, written with 1 and 9 */
        int settled;
        double verdict;
        double want;
    } cases[] = {
        {5,  1, 2, 2},
        {5,  1, 1, 1},
        {9,  1, 2, 2},
        {10, 0, 0, 2}, /* later than all of the chunk: nothing to ask */
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        struct mrd_head *head = make_head(0);
        const uint32_t a = testing_need_series(head, "t", "__name__=a", hlc_of(0));
        struct mrd_head_append_result result = {0};
        testing_append(head, a, T0, 1, hlc_of(1), 1, &result);
        testing_append(head, a, T0 + 1000, 1, hlc_of(9), 1, &result);
        testing_append(head, a, T0, 2, hlc_of(cases[i].hlc), 2, &result);
        assert_int_equal(result.contested, cases[i].settled);
        const double before[][2] = {
            {0,    cases[i].settled ? 1 : 2},
            {1000, 1                       }
        };
        expect_samples(head, "__name__=a", before, 2);
        struct mrd_head_contested sample;
        assert_int_equal(mrd_head_contested_take(head, &sample, 1), cases[i].settled);
        if (cases[i].settled) {
            const struct mrd_head_verdict verdict = {hlc_of(cases[i].hlc), 2, cases[i].verdict, 0};
            mrd_head_settle(head, &sample, &verdict);
        }
        const double after[][2] = {
            {0,    cases[i].want},
            {1000, 1            }
        };
        expect_samples(head, "__name__=a", after, 2);
        assert_int_equal(stats_of(head).sample_count, 2);
        mrd_head_destroy(&head);
    }
}

static void a_write_between_question_and_verdict_asks_again(void **state)
{
    (void)state;
    struct mrd_head *head = make_head(0);
    const uint32_t a = testing_need_series(head, "t", "__name__=a", hlc_of(0));
    testing_append(head, a, T0, 1, hlc_of(1), 1, NULL);
    testing_append(head, a, T0 + 1000, 1, hlc_of(9), 1, NULL);
    testing_append(head, a, T0, 2, hlc_of(5), 1, NULL);
    struct mrd_head_contested sample;
    assert_int_equal(mrd_head_contested_take(head, &sample, 1), 1);
    testing_append(head, a, T0, 1, hlc_of(6), 1, NULL); /* the first value again, later */
    mrd_head_settle(head, &sample, &(struct mrd_head_verdict){hlc_of(5), 1, 2, 0});
    assert_int_equal(mrd_head_contested_count(head), 1);
    assert_int_equal(mrd_head_contested_take(head, &sample, 1), 1);
    mrd_head_settle(head, &sample, &(struct mrd_head_verdict){hlc_of(6), 1, 1, 0});
    assert_int_equal(mrd_head_contested_count(head), 0);
    struct mrd_head_append_result result = {0};
    testing_append(head, a, T0, 3, hlc_of(5), 9, &result); /* the stamp is exact now */
    assert_int_equal(result.outdated, 1);
    const double want[][2] = {
        {0,    1},
        {1000, 1}
    };
    expect_samples(head, "__name__=a", want, 2);
    mrd_head_destroy(&head);
}

static void the_same_value_again_raises_its_stamp(void **state)
{
    (void)state;
    struct mrd_head *head = make_head(0);
    const uint32_t a = testing_need_series(head, "t", "__name__=a", hlc_of(0));
    struct mrd_head_append_result result = {0};
    testing_append(head, a, T0, 1, hlc_of(1), 1, NULL);
    testing_append(head, a, T0, 1, hlc_of(8), 1, NULL);
    testing_append(head, a, T0, 2, hlc_of(5), 1, &result);
    assert_int_equal(result.contested, 1);
    testing_append(head, a, T0 - 1, 1, hlc_of(1), 1, NULL); /* beside the chunk: stamps are exact */
    testing_append(head, a, T0 - 1, 1, hlc_of(8), 1, NULL);
    testing_append(head, a, T0 - 1, 2, hlc_of(5), 1, &result);
    assert_int_equal(result.outdated, 1);
    mrd_head_destroy(&head);
}

static void what_is_contested_beyond_the_bound_is_counted(void **state)
{
    (void)state;
    struct mrd_head *head = make_head(0);
    const uint32_t a = testing_need_series(head, "t", "__name__=a", hlc_of(0));
    enum { COUNT = 1500, BOUND = 1024 };
    for (int i = 0; i < COUNT; i++) {
        testing_append(head, a, T0 + i * 1000, 1, hlc_of(9), 1, NULL);
    }
    for (int i = 0; i < COUNT; i++) {
        testing_append(head, a, T0 + i * 1000, 2, hlc_of(5), 1, NULL);
    }
    struct mrd_head_contested_stats stats;
    mrd_head_contested_stats(head, &stats);
    assert_int_equal(stats.found, COUNT);
    assert_int_equal(stats.dropped, COUNT - BOUND);
    static struct mrd_head_contested samples[BOUND];
    assert_int_equal(mrd_head_contested_take(head, samples, BOUND), BOUND);
    for (int i = 0; i < BOUND; i++) {
        mrd_head_settle(head, &samples[i], &(struct mrd_head_verdict){hlc_of(20), 1, 3, 0});
    }
    static double want[COUNT][2];
    for (int i = 0; i < COUNT; i++) {
        want[i][0] = i * 1000;
        want[i][1] = i < BOUND ? 3 : 1;
    }
    expect_samples(head, "__name__=a", want, COUNT);
    assert_int_equal(stats_of(head).sample_count, COUNT);
    mrd_head_destroy(&head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_that_is_not_later_than_its_chunk_is_contested),
        cmocka_unit_test(a_write_between_question_and_verdict_asks_again),
        cmocka_unit_test(the_same_value_again_raises_its_stamp),
        cmocka_unit_test(what_is_contested_beyond_the_bound_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
