#include "wire/references.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const mrd_time_ms T0 = 1700000000000;

struct holes {
    size_t count;
    uint64_t first;
    uint64_t last;
};

static void on_hole(void *context, const struct mrd_number_hole *hole)
{
    struct holes *holes = context;
    holes->count++;
    holes->first = hole->first;
    holes->last = hole->last;
}

static void a_reference_names_what_was_announced_in_its_epoch(void **state)
{
    (void)state;
    struct mrd_references *references = mrd_references_create();
    struct mrd_reference_instance *one = mrd_references_instance(references, MRD_BYTES("one"));
    mrd_reference_table_set(references, mrd_reference_instance_table(references, one, 7), 3, 33);
    mrd_reference_table_set(references, mrd_reference_instance_table(references, one, 8), 3, 44);
    struct mrd_reference_instance *two = mrd_references_instance(references, MRD_BYTES("two"));
    mrd_reference_table_set(references, mrd_reference_instance_table(references, two, 7), 0, 55);
    assert_ptr_equal(mrd_references_instance(references, MRD_BYTES("one")), one);
    const struct mrd_reference_table *table = mrd_reference_instance_table(references, one, 7);
    assert_int_equal(mrd_reference_table_get(table, 3), 33);
    assert_int_equal(mrd_reference_table_get(table, 2), MRD_REFERENCE_NONE);
    assert_int_equal(mrd_reference_table_get(table, 4000000), MRD_REFERENCE_NONE);
    assert_int_equal(mrd_reference_table_get(mrd_reference_instance_table(references, one, 8), 3),
                     44);
    assert_int_equal(mrd_reference_table_get(mrd_reference_instance_table(references, one, 9), 3),
                     MRD_REFERENCE_NONE);
    assert_int_equal(mrd_reference_table_get(mrd_reference_instance_table(references, two, 7), 0),
                     55);
    mrd_references_destroy(&references);
}

static void old_epochs_are_dropped_with_their_memory(void **state)
{
    (void)state;
    struct mrd_references *references = mrd_references_create();
    struct mrd_reference_instance *one = mrd_references_instance(references, MRD_BYTES("one"));
    for (uint64_t epoch = 10; epoch > 0; epoch--) { /* in any order */
        mrd_reference_table_set(references, mrd_reference_instance_table(references, one, epoch),
                                100000, 1);
    }
    const size_t full = mrd_references_memory(references);
    struct holes holes = {0};
    assert_int_equal(mrd_references_expire(references, 6, T0, on_hole, &holes), 0);
    assert_int_equal(mrd_references_memory(references), full / 2);
    one = mrd_references_instance(references, MRD_BYTES("one"));
    assert_int_equal(
        mrd_reference_table_get(mrd_reference_instance_table(references, one, 6), 100000), 1);
    assert_int_equal(
        mrd_reference_table_get(mrd_reference_instance_table(references, one, 5), 100000),
        MRD_REFERENCE_NONE);
    mrd_references_destroy(&references);
    assert_null(references);
}

static void a_number_that_never_comes_is_a_hole_after_a_while(void **state)
{
    (void)state;
    struct mrd_references *references = mrd_references_create();
    struct mrd_reference_instance *one = mrd_references_instance(references, MRD_BYTES("one"));
    mrd_reference_instance_number(one, 1, T0, true);
    mrd_reference_instance_number(one, 5, T0, true);
    struct holes holes = {0};
    assert_int_equal(
        mrd_references_expire(references, 0, T0 + MRD_REFERENCES_HOLE_MS, on_hole, &holes), 0);
    assert_true(mrd_reference_instance_number(one, 3, T0 + 10, true).late);
    assert_int_equal(
        mrd_references_expire(references, 0, T0 + MRD_REFERENCES_HOLE_MS + 1, on_hole, &holes),
        2); /* 2 and 4 */
    assert_int_equal(holes.count, 2);
    assert_int_equal(
        mrd_references_expire(references, 0, T0 + 2 * MRD_REFERENCES_HOLE_MS, on_hole, &holes),
        0); /* once only */
    mrd_references_destroy(&references);
}

static void late_and_repeated_numbers_are_no_holes(void **state)
{
    (void)state;
    struct mrd_references *references = mrd_references_create();
    struct mrd_reference_instance *one = mrd_references_instance(references, MRD_BYTES("one"));
    static const uint64_t order[] = {1, 4, 2, 3, 3, 1, 9, 5, 7, 6, 8};
    size_t late = 0;
    size_t duplicates = 0;
    for (size_t i = 0; i < MRD_ARRAY_LEN(order); i++) {
        const struct mrd_number_result result =
            mrd_reference_instance_number(one, order[i], T0, true);
        late += result.late ? 1 : 0;
        duplicates += result.duplicate ? 1 : 0;
    }
    assert_int_equal(late, 6);
    assert_int_equal(duplicates, 2);
    struct holes holes = {0};
    assert_int_equal(
        mrd_references_expire(references, 0, T0 + 2 * MRD_REFERENCES_HOLE_MS, on_hole, &holes), 0);
    mrd_references_destroy(&references);
}

static void the_first_number_is_the_base_only_when_the_log_begins_later(void **state)
{
    (void)state;
    struct mrd_references *references = mrd_references_create();
    struct holes holes = {0};
    mrd_reference_instance_number(mrd_references_instance(references, MRD_BYTES("a")), 50, T0,
                                  false);
    assert_int_equal(
        mrd_references_expire(references, 0, T0 + 2 * MRD_REFERENCES_HOLE_MS, on_hole, &holes), 0);
    mrd_reference_instance_number(mrd_references_instance(references, MRD_BYTES("b")), 50, T0,
                                  true);
    assert_int_equal(
        mrd_references_expire(references, 0, T0 + 2 * MRD_REFERENCES_HOLE_MS, on_hole, &holes), 49);
    assert_int_equal(holes.first, 1);
    assert_int_equal(holes.last, 49);
    mrd_references_destroy(&references);
}

/* Any order in which all numbers come leaves no gap; leaving one out leaves exactly that one. */
static void shuffled_numbers_leave_exactly_what_is_missing(void **state)
{
    (void)state;
    enum { COUNT = 200 };
    for (unsigned seed = 1; seed <= 50; seed++) {
        srandom(seed);
        uint64_t numbers[COUNT];
        for (size_t i = 0; i < COUNT; i++) {
            numbers[i] = i + 1;
        }
        for (size_t i = COUNT - 1; i > 0; i--) {
            const size_t j = (size_t)random() % (i + 1);
            const uint64_t moved = numbers[i];
            numbers[i] = numbers[j];
            numbers[j] = moved;
        }
        struct mrd_references *references = mrd_references_create();
        struct mrd_reference_instance *one = mrd_references_instance(references, MRD_BYTES("one"));
        const uint64_t left_out = numbers[(size_t)random() % COUNT];
        for (size_t i = 0; i < COUNT; i++) {
            if (numbers[i] != left_out) {
                mrd_reference_instance_number(one, numbers[i], T0, true);
            }
        }
        struct holes holes = {0};
        const uint64_t missing =
            mrd_references_expire(references, 0, T0 + 2 * MRD_REFERENCES_HOLE_MS, on_hole, &holes);
        const uint64_t want = left_out == COUNT ? 0 : 1; /* the last one is not missed yet */
        if (missing != want || (want == 1 && holes.first != left_out)) {
            fail_msg("seed %u: %lu missing", seed, (unsigned long)missing);
        }
        mrd_references_destroy(&references);
    }
}

static void what_tables_of_late_name_begins_with_the_oldest_of_them(void **state)
{
    (void)state;
    struct mrd_references *references = mrd_references_create();
    assert_true(mrd_references_sequence_first(references, 0) == UINT64_MAX);
    struct mrd_reference_instance *one = mrd_references_instance(references, MRD_BYTES("one"));
    (void)mrd_reference_instance_table(references, one, 6); /* no batch came with it */
    mrd_reference_table_heard(mrd_reference_instance_table(references, one, 7), 11, T0);
    mrd_reference_table_heard(mrd_reference_instance_table(references, one, 8), 15, T0 + 5);
    mrd_reference_table_heard(mrd_reference_instance_table(references, one, 7), 17, T0 + 7);
    mrd_reference_table_heard(mrd_reference_instance_table(references, one, 7), 18, T0 + 3);
    assert_int_equal(mrd_references_sequence_first(references, T0), 11);
    assert_int_equal(mrd_references_sequence_first(references, T0 + 7), 11);
    assert_true(mrd_references_sequence_first(references, T0 + 8) == UINT64_MAX);
    mrd_reference_table_heard(mrd_reference_instance_table(references, one, 8), 19, T0 + 9);
    assert_int_equal(mrd_references_sequence_first(references, T0 + 8), 15);
    mrd_references_destroy(&references);
}

static uint32_t times_ten(void *context, uint32_t ordinal)
{
    ++*(size_t *)context;
    return ordinal * 10;
}

static void ordinals_are_exchanged_in_all_tables(void **state)
{
    (void)state;
    struct mrd_references *references = mrd_references_create();
    struct mrd_reference_instance *one = mrd_references_instance(references, MRD_BYTES("one"));
    mrd_reference_table_set(references, mrd_reference_instance_table(references, one, 7), 2, 3);
    struct mrd_reference_instance *two = mrd_references_instance(references, MRD_BYTES("two"));
    mrd_reference_table_set(references, mrd_reference_instance_table(references, two, 7), 0, 4);
    size_t calls = 0;
    mrd_references_renumber(references, times_ten, &calls);
    assert_int_equal(calls, 2);
    const struct mrd_reference_table *table = mrd_reference_instance_table(references, two, 7);
    assert_int_equal(mrd_reference_table_get(table, 0), 40);
    one = mrd_references_instance(references, MRD_BYTES("one"));
    table = mrd_reference_instance_table(references, one, 7);
    assert_int_equal(mrd_reference_table_get(table, 2), 30);
    assert_int_equal(mrd_reference_table_get(table, 1), MRD_REFERENCE_NONE);
    mrd_references_destroy(&references);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_tables_of_late_name_begins_with_the_oldest_of_them),
        cmocka_unit_test(ordinals_are_exchanged_in_all_tables),
        cmocka_unit_test(a_reference_names_what_was_announced_in_its_epoch),
        cmocka_unit_test(old_epochs_are_dropped_with_their_memory),
        cmocka_unit_test(a_number_that_never_comes_is_a_hole_after_a_while),
        cmocka_unit_test(late_and_repeated_numbers_are_no_holes),
        cmocka_unit_test(the_first_number_is_the_base_only_when_the_log_begins_later),
        cmocka_unit_test(shuffled_numbers_leave_exactly_what_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
