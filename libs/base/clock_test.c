#include "base/clock.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static mrd_time_ms fake_now_ms(void *context) { return *(mrd_time_ms *)context; }

static void stamps_rise_whatever_the_wall_clock_does(void **state)
{
    (void)state;
    mrd_time_ms now = 1000;
    const struct mrd_clock clock = {fake_now_ms, NULL, &now};
    struct mrd_hlc_clock hlc;
    mrd_hlc_init(&hlc, &clock, 60000);
    static const mrd_time_ms walls[] = {1000, 1000, 1001, 900, 900, 2000, 0, 2000};
    mrd_hlc last = 0;
    for (size_t i = 0; i < MRD_ARRAY_LEN(walls); i++) {
        now = walls[i];
        const mrd_hlc stamp = mrd_hlc_next(&hlc);
        assert_true(stamp > last);
        assert_true(mrd_hlc_time_ms(stamp) >= walls[i]);
        last = stamp;
    }
    assert_int_equal(mrd_hlc_time_ms(last), 2000);
}

static void a_full_counter_runs_over_into_the_next_millisecond(void **state)
{
    (void)state;
    mrd_time_ms now = 5;
    const struct mrd_clock clock = {fake_now_ms, NULL, &now};
    struct mrd_hlc_clock hlc;
    mrd_hlc_init(&hlc, &clock, 60000);
    mrd_hlc last = mrd_hlc_next(&hlc);
    for (int i = 0; i < 70000; i++) {
        const mrd_hlc stamp = mrd_hlc_next(&hlc);
        assert_true(stamp == last + 1);
        last = stamp;
    }
    assert_int_equal(mrd_hlc_time_ms(last), 6);
}

static void a_foreign_stamp_pushes_ours_forward_within_the_bound(void **state)
{
    (void)state;
    mrd_time_ms now = 100000;
    const struct mrd_clock clock = {fake_now_ms, NULL, &now};
    struct mrd_hlc_clock hlc;
    mrd_hlc_init(&hlc, &clock, 60000);
    assert_int_equal(mrd_hlc_merge(&hlc, mrd_hlc_make(160000, 9), NULL), MRD_OK);
    assert_true(mrd_hlc_next(&hlc) == mrd_hlc_make(160000, 10));
    struct mrd_error err;
    assert_int_equal(mrd_hlc_merge(&hlc, mrd_hlc_make(160001, 0), &err), MRD_E_INVALID);
    assert_true(mrd_hlc_next(&hlc) == mrd_hlc_make(160000, 11)); /* unchanged by the refusal */
    assert_int_equal(mrd_hlc_merge(&hlc, mrd_hlc_make(1, 0), NULL), MRD_OK);
    assert_true(mrd_hlc_next(&hlc) == mrd_hlc_make(160000, 12)); /* the past changes nothing */
}

enum { STAMPS_PER_THREAD = 20000, THREADS = 4 };
static mrd_hlc stamps[THREADS][STAMPS_PER_THREAD];
static struct mrd_hlc_clock shared_hlc;

static void *take_stamps(void *out)
{
    mrd_hlc *mine = out;
    for (int i = 0; i < STAMPS_PER_THREAD; i++) {
        mine[i] = mrd_hlc_next(&shared_hlc);
    }
    return NULL;
}

static int compare_stamps(const void *a, const void *b)
{
    const mrd_hlc left = *(const mrd_hlc *)a;
    const mrd_hlc right = *(const mrd_hlc *)b;
    return left < right ? -1 : left > right;
}

static void no_two_threads_get_the_same_stamp(void **state)
{
    (void)state;
    mrd_hlc_init(&shared_hlc, mrd_clock_system(), 60000);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, take_stamps, stamps[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    mrd_hlc *all = &stamps[0][0];
    qsort(all, THREADS * STAMPS_PER_THREAD, sizeof(*all), compare_stamps);
    for (size_t i = 1; i < THREADS * STAMPS_PER_THREAD; i++) {
        assert_true(all[i - 1] < all[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stamps_rise_whatever_the_wall_clock_does),
        cmocka_unit_test(a_full_counter_runs_over_into_the_next_millisecond),
        cmocka_unit_test(a_foreign_stamp_pushes_ours_forward_within_the_bound),
        cmocka_unit_test(no_two_threads_get_the_same_stamp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
