#include "base/fiber.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { STACK_BYTES = 1 << 20 };

struct counting {
    struct mrd_fiber *fiber;
    int next;
    int end;
};

/* Yields within calls, so that more than one frame stands still. */
static void count_down_from(struct counting *counting, int depth)
{
    volatile char frame[1000];
    memset((void *)(uintptr_t)frame, depth, sizeof(frame));
    if (depth > 0) {
        count_down_from(counting, depth - 1);
    } else {
        counting->next++;
        mrd_fiber_yield(counting->fiber);
    }
    for (size_t i = 0; i < sizeof(frame); i++) {
        if (frame[i] != (char)depth) {
            fail_msg("frame %d was written to", depth);
        }
    }
}

static void count(void *context)
{
    struct counting *counting = context;
    while (counting->next < counting->end) {
        count_down_from(counting, 20);
    }
}

static void a_fiber_goes_on_where_it_yielded(void **state)
{
    (void)state;
    struct mrd_fiber *fiber = mrd_fiber_create(STACK_BYTES);
    assert_non_null(fiber);
    for (int again = 0; again < 3; again++) { /* it can be started again when it has ended */
        struct counting counting = {.fiber = fiber, .end = 10};
        bool ended = mrd_fiber_start(fiber, count, &counting);
        for (int i = 1; i <= 10; i++) {
            assert_false(ended);
            assert_int_equal(counting.next, i);
            ended = mrd_fiber_resume(fiber);
        }
        assert_true(ended);
    }
    mrd_fiber_destroy(&fiber);
    assert_null(fiber);
}

static void two_fibers_of_a_thread_do_not_mix(void **state)
{
    (void)state;
    struct counting countings[2] = {{.end = 5}, {.end = 7}};
    bool ended[2];
    for (size_t i = 0; i < 2; i++) {
        countings[i].fiber = mrd_fiber_create(STACK_BYTES);
        assert_non_null(countings[i].fiber);
        ended[i] = mrd_fiber_start(countings[i].fiber, count, &countings[i]);
    }
    for (size_t turn = 0; !ended[0] || !ended[1]; turn++) {
        const size_t i = turn % 2;
        ended[i] = ended[i] || mrd_fiber_resume(countings[i].fiber);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(countings[i].next, countings[i].end);
        mrd_fiber_destroy(&countings[i].fiber);
    }
}

static void *run_to_the_end(void *context)
{
    struct counting *counting = context;
    bool ended = mrd_fiber_start(counting->fiber, count, counting);
    while (!ended) {
        ended = mrd_fiber_resume(counting->fiber);
    }
    return NULL;
}

static void another_thread_may_start_it_again(void **state)
{
    (void)state;
    struct mrd_fiber *fiber = mrd_fiber_create(STACK_BYTES);
    assert_non_null(fiber);
    for (int i = 0; i < 3; i++) {
        struct counting counting = {.fiber = fiber, .end = 5};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, run_to_the_end, &counting), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(counting.next, 5);
    }
    mrd_fiber_destroy(&fiber);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fiber_goes_on_where_it_yielded),
        cmocka_unit_test(two_fibers_of_a_thread_do_not_mix),
        cmocka_unit_test(another_thread_may_start_it_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
