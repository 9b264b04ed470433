/* Who is heavy, by a clock of the test's own. */
#include "base/usage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { A = 10, B = 20, C = 30, L = 40 };
static const int64_t MS = 1000000;
static const int64_t BEGIN_NS = (int64_t)1 << 50;

/* For so long each of the members uses so much of a core, in pieces of 10 ms; returns the time of the end. */
static int64_t run(struct mrd_usage *usage, int64_t now_ns, int64_t for_ms, const uint64_t *keys,
                   const double *cores, size_t count)
{
    const int64_t end_ns = now_ns + for_ms * MS;
    for (; now_ns < end_ns; now_ns += 10 * MS) {
        for (size_t i = 0; i < count; i++) {
            mrd_usage_add(usage, keys[i], (int64_t)(cores[i] * 10 * (double)MS), now_ns);
        }
    }
    return now_ns;
}

static void who_is_alone_is_never_heavy(void **state)
{
    (void)state;
    struct mrd_usage usage = {0};
    assert_false(mrd_usage_is_heavy(&usage, A, BEGIN_NS));
    const int64_t now_ns =
        run(&usage, BEGIN_NS, 10000, (const uint64_t[]){A}, (const double[]){30}, 1);
    assert_false(mrd_usage_is_heavy(&usage, A, now_ns));
    assert_false(mrd_usage_is_heavy(&usage, B, now_ns)); /* nobody has seen it */
}

static void more_than_the_others_is_heavy_while_they_are_there(void **state)
{
    (void)state;
    struct mrd_usage usage = {0};
    const uint64_t keys[] = {A, L};
    int64_t now_ns = run(&usage, BEGIN_NS, 3000, keys, (const double[]){0.8, 0.01}, 2);
    assert_true(mrd_usage_is_heavy(&usage, A, now_ns));
    assert_false(mrd_usage_is_heavy(&usage, L, now_ns));

    now_ns = run(&usage, now_ns, MRD_USAGE_THERE_MS - 1000, keys, (const double[]){0.8}, 1);
    assert_true(mrd_usage_is_heavy(&usage, A, now_ns)); /* the other one may come back any time */
    now_ns = run(&usage, now_ns, 2000, keys, (const double[]){0.8}, 1);
    assert_false(mrd_usage_is_heavy(&usage, A, now_ns)); /* it has gone */

    mrd_usage_add(&usage, L, 0, now_ns);
    assert_true(mrd_usage_is_heavy(&usage, A, now_ns));
    assert_false(mrd_usage_is_heavy(&usage, A, now_ns + 3000 * MS)); /* that was long ago */
}

static void equals_are_not_heavy_nor_is_anybody_where_little_goes_on(void **state)
{
    (void)state;
    struct mrd_usage usage = {0};
    const uint64_t keys[] = {A, B, C, L};
    int64_t now_ns = run(&usage, BEGIN_NS, 5000, keys, (const double[]){0.5, 0.5, 0.5}, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_false(mrd_usage_is_heavy(&usage, keys[i], now_ns));
    }
    now_ns = run(&usage, now_ns, 5000, keys, (const double[]){0.5, 0.5, 0.5, 0.01}, 4);
    for (size_t i = 0; i < 3; i++) { /* but all of them beside a light one */
        assert_true(mrd_usage_is_heavy(&usage, keys[i], now_ns));
    }
    assert_false(mrd_usage_is_heavy(&usage, L, now_ns));
    now_ns = run(&usage, now_ns, 5000, keys, (const double[]){0.15, 0.01, 0.01}, 3);
    assert_false(mrd_usage_is_heavy(&usage, A, now_ns));
}

static void of_very_many_those_are_remembered_that_use_the_most(void **state)
{
    (void)state;
    struct mrd_usage usage = {0};
    int64_t now_ns = BEGIN_NS;
    for (uint64_t i = 0; i < 5000; i++) {
        mrd_usage_add(&usage, A, 9 * MS, now_ns);
        mrd_usage_add(&usage, 1000 + i, MS / 100, now_ns);
        now_ns += 10 * MS;
    }
    assert_int_equal(usage.count, MRD_USAGE_MEMBERS_MAX);
    assert_true(mrd_usage_is_heavy(&usage, A, now_ns));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_alone_is_never_heavy),
        cmocka_unit_test(more_than_the_others_is_heavy_while_they_are_there),
        cmocka_unit_test(equals_are_not_heavy_nor_is_anybody_where_little_goes_on),
        cmocka_unit_test(of_very_many_those_are_remembered_that_use_the_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
