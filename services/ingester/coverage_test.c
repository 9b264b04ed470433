#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ingester/coverage.h"

static void all_is_covered_from_the_first_batch_on(void **state)
{
    (void)state;
    struct ing_coverage coverage = {.span_ms = 1000};
    assert_int_equal(ing_coverage_first(&coverage), 0);
    ing_coverage_add(&coverage, 17, 5000);
    ing_coverage_add(&coverage, 18, 5001);
    assert_int_equal(ing_coverage_first(&coverage), 17);
}

static void what_is_lost_moves_the_beginning(void **state)
{
    (void)state;
    struct ing_coverage coverage = {.span_ms = 1000};
    ing_coverage_add(&coverage, 17, 5000);
    ing_coverage_lost(&coverage, 19); /* 18 could not be resolved */
    assert_int_equal(ing_coverage_first(&coverage), 19);
    ing_coverage_add(&coverage, 19, 5000);
    ing_coverage_add(&coverage, 20, 9000);
    assert_int_equal(ing_coverage_first(&coverage), 19);
}

static void what_is_forgotten_moves_the_beginning(void **state)
{
    (void)state;
    struct ing_coverage coverage = {.span_ms = 1000};
    for (uint64_t i = 0; i < 10; i++) {
        ing_coverage_add(&coverage, 100 + i, 10000 + (mrd_time_ms)i * 1000);
    }
    ing_coverage_forget(&coverage, 9999);
    assert_int_equal(ing_coverage_first(&coverage), 100);
    ing_coverage_forget(&coverage, 12000);
    assert_int_equal(ing_coverage_first(&coverage), 103);
    ing_coverage_add(&coverage, 110, 13500); /* an early stamp in a late place */
    ing_coverage_forget(&coverage, 13500);
    assert_int_equal(ing_coverage_first(&coverage), 111);
    ing_coverage_forget(&coverage, 99999);
    assert_int_equal(ing_coverage_first(&coverage), 111); /* what comes next is here */
}

static void a_long_log_is_remembered_more_coarsely_and_never_too_well(void **state)
{
    (void)state;
    struct ing_coverage coverage = {.span_ms = 1};
    for (uint64_t i = 1; i <= 10000; i++) {
        ing_coverage_add(&coverage, i, (mrd_time_ms)i * 10);
    }
    assert_int_equal(ing_coverage_first(&coverage), 1);
    for (mrd_time_ms forget_ms = 0; forget_ms < 100000; forget_ms += 777) {
        ing_coverage_forget(&coverage, forget_ms);
        assert_true(ing_coverage_first(&coverage) > (uint64_t)forget_ms / 10);
    }
}

static void sequences_that_go_backwards_say_nothing(void **state)
{
    (void)state;
    struct ing_coverage coverage = {.span_ms = 1000};
    ing_coverage_add(&coverage, 500, 5000);
    ing_coverage_add(&coverage, 3, 6000);
    assert_int_equal(ing_coverage_first(&coverage), 0);
    ing_coverage_lost(&coverage, 9);
    ing_coverage_add(&coverage, 501, 7000);
    assert_int_equal(ing_coverage_first(&coverage), 0);
}

static void what_lies_before_a_sequence_has_stamps_below_all_behind_it(void **state)
{
    (void)state;
    struct ing_coverage coverage = {.span_ms = 1000};
    assert_true(ing_coverage_stamp_before(&coverage, 5) == INT64_MIN);
    for (uint64_t i = 0; i < 10; i++) {
        ing_coverage_add(&coverage, 100 + i, 10000 + (mrd_time_ms)i * 1000);
    }
    assert_int_equal(ing_coverage_stamp_before(&coverage, 100), 9999);
    assert_int_equal(ing_coverage_stamp_before(&coverage, 104), 13999);
    assert_int_equal(ing_coverage_stamp_before(&coverage, 200),
                     18999);                 /* more may come to the last */
    ing_coverage_add(&coverage, 110, 12500); /* an early stamp in a late place */
    assert_int_equal(ing_coverage_stamp_before(&coverage, 104), 12499);
    assert_int_equal(ing_coverage_stamp_before(&coverage, 200), 12499);
    ing_coverage_add(&coverage, 3, 30000);
    assert_true(ing_coverage_stamp_before(&coverage, 104) == INT64_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_is_covered_from_the_first_batch_on),
        cmocka_unit_test(what_is_lost_moves_the_beginning),
        cmocka_unit_test(what_is_forgotten_moves_the_beginning),
        cmocka_unit_test(a_long_log_is_remembered_more_coarsely_and_never_too_well),
        cmocka_unit_test(sequences_that_go_backwards_say_nothing),
        cmocka_unit_test(what_lies_before_a_sequence_has_stamps_below_all_behind_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
