#include "base/threads.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include <pthread.h>

#include "base/clock.h"

static const int64_t MS = 1000000;

/* What the kernel says of a thread: nice, and in 6.12 and newer its slice in ns. */
struct scheduling {
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t slice_ns;
    uint64_t others[2];
};

static struct scheduling scheduling_now(void)
{
    struct scheduling out = {0};
    assert_int_equal(syscall(SYS_sched_getattr, gettid(), &out, sizeof(out), 0), 0);
    return out;
}

static void burn(int64_t ns)
{
    const int64_t until_ns = mrd_thread_cpu_ns() + ns;
    while (mrd_thread_cpu_ns() < until_ns) {}
}

static void *slices_main(void *context)
{
    (void)context;
    const struct mrd_clock *clock = mrd_clock_system();
    const struct scheduling before = scheduling_now();
    struct mrd_thread_work work = {.since_ns = mrd_clock_monotonic_ns(clock) - 1000 * MS};
    mrd_thread_work_look_at_slices(&work, mrd_clock_monotonic_ns(clock));
    usleep(5000); /* waits, which is no work */
    mrd_thread_work_look_at_slices(&work, mrd_clock_monotonic_ns(clock));
    assert_false(work.slices_long);
    burn(MRD_THREAD_LONG_MS * MS);
    mrd_thread_work_look_at_slices(&work, mrd_clock_monotonic_ns(clock));
    assert_true(work.slices_long);
    assert_false(mrd_thread_in_background());
    const struct scheduling during = scheduling_now();
    mrd_thread_work_end(&work);
    const struct scheduling after = scheduling_now();
    assert_int_equal(during.nice, before.nice);
    assert_int_equal(after.nice, before.nice);
    assert_true(after.slice_ns == before.slice_ns);
    if (before.slice_ns != 0) { /* the kernel knows of slices */
        assert_true(during.slice_ns > before.slice_ns);
    }
    return NULL;
}

static void young_work_is_not_looked_at(void **state)
{
    (void)state;
    struct mrd_thread_work young = {.since_ns = mrd_clock_monotonic_ns(mrd_clock_system())};
    mrd_thread_work_look(&young, young.since_ns);
    assert_int_equal(young.cpu_ns, 0);
}

static void *background_main(void *context)
{
    (void)context;
    const struct mrd_clock *clock = mrd_clock_system();
    struct mrd_thread_work work = {.since_ns = mrd_clock_monotonic_ns(clock) - 1000 * MS};
    const struct scheduling before = scheduling_now();
    mrd_thread_work_look(&work, mrd_clock_monotonic_ns(clock));
    assert_false(mrd_thread_in_background());
    burn(MRD_THREAD_LONG_MS * MS);
    mrd_thread_work_look(&work, mrd_clock_monotonic_ns(clock));
    assert_true(mrd_thread_in_background());
    mrd_thread_work_end(&work); /* there is no way back */
    const struct scheduling after = scheduling_now();
    assert_int_equal(after.nice, MRD_THREAD_BACKGROUND_NICE);
    assert_true(before.slice_ns == 0 || after.slice_ns > before.slice_ns);
    return NULL;
}

static void run_thread(void *(*thread_main)(void *))
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, thread_main, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void long_work_has_long_slices_until_its_end(void **state)
{
    (void)state;
    run_thread(slices_main);
}

static void long_work_goes_into_the_background(void **state)
{
    (void)state;
    run_thread(background_main);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(young_work_is_not_looked_at),
        cmocka_unit_test(long_work_has_long_slices_until_its_end),
        cmocka_unit_test(long_work_goes_into_the_background),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
