/* Who is next, without threads. */
#include "base/fair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { A = 10, B = 20, C = 30 };

static struct mrd_fair_waiter joined(struct mrd_fair *flows, const struct mrd_fair_share *share,
                                     uint64_t key)
{
    const struct mrd_fair_waiter waiter = {.flow = mrd_fair_join(flows, key, share)};
    assert_non_null(waiter.flow);
    return waiter;
}

/* Gives the next place and says to which flow; 0: nobody gets one. */
static uint64_t take(struct mrd_fair *flows)
{
    const struct mrd_fair_waiter *waiter = mrd_fair_take(flows, false);
    return waiter == NULL ? 0 : waiter->flow->key;
}

static void end(struct mrd_fair *flows, struct mrd_fair_waiter *waiters, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        while (waiters[i].flow->places > 0) {
            mrd_fair_give(flows, waiters[i].flow);
        }
        mrd_fair_leave(flows, waiters[i].flow);
    }
    assert_null(flows->first);
    assert_int_equal(flows->taken, 0);
}

static void the_flow_with_the_fewest_places_is_next(void **state)
{
    (void)state;
    struct mrd_fair flows = {.places = 4};
    const struct mrd_fair_share share = {4, 10};
    struct mrd_fair_waiter waiters[6];
    for (size_t i = 0; i < 6; i++) {
        waiters[i] = joined(&flows, &share, i < 4 ? A : i == 4 ? B : C);
        mrd_fair_wait(&flows, &waiters[i]);
    }
    /* Four of A came first, and yet B and C have theirs before A has a second one. */
    uint64_t got[3] = {take(&flows), take(&flows), take(&flows)};
    assert_int_equal(got[0] + got[1] + got[2], A + B + C);
    assert_int_equal(take(&flows), A);
    assert_int_equal(take(&flows), 0); /* all are taken */
    assert_int_equal(flows.waiting, 2);
    assert_int_equal(take(&flows), 0);
    mrd_fair_give(&flows, waiters[5].flow);
    assert_int_equal(take(&flows), A);
    mrd_fair_give(&flows, waiters[0].flow);
    assert_int_equal(take(&flows), A);
    assert_int_equal(flows.waiting, 0);
    end(&flows, waiters, 6);
}

static void equals_take_turns(void **state)
{
    (void)state;
    struct mrd_fair flows = {.places = 1};
    const struct mrd_fair_share share = {1, 10};
    struct mrd_fair_waiter waiters[6];
    for (size_t i = 0; i < 6; i++) {
        waiters[i] = joined(&flows, &share, i < 3 ? A : B);
        mrd_fair_wait(&flows, &waiters[i]);
    }
    uint64_t before = 0;
    for (size_t i = 0; i < 6; i++) {
        const struct mrd_fair_waiter *waiter = mrd_fair_take(&flows, false);
        assert_non_null(waiter);
        assert_true(waiter->flow->key != before);
        before = waiter->flow->key;
        mrd_fair_give(&flows, waiter->flow);
    }
    end(&flows, waiters, 6);
}

static void a_flow_has_its_share_of_places_and_of_calls(void **state)
{
    (void)state;
    struct mrd_fair flows = {.places = 3};
    const struct mrd_fair_share share = {2, 3};
    struct mrd_fair_waiter waiters[4];
    for (size_t i = 0; i < 3; i++) {
        waiters[i] = joined(&flows, &share, A);
        mrd_fair_wait(&flows, &waiters[i]);
    }
    assert_null(mrd_fair_join(&flows, A, &share));
    assert_int_equal(take(&flows), A);
    assert_int_equal(take(&flows), A);
    assert_int_equal(take(&flows), 0); /* the third place is for others */
    waiters[3] = joined(&flows, &share, B);
    mrd_fair_wait(&flows, &waiters[3]);
    assert_int_equal(take(&flows), B);
    mrd_fair_give(&flows, waiters[0].flow);
    assert_int_equal(take(&flows), A);
    end(&flows, waiters, 4);
}

static void who_has_begun_goes_before_new_ones_of_its_flow_only(void **state)
{
    (void)state;
    struct mrd_fair flows = {.places = 1};
    const struct mrd_fair_share share = {1, 10};
    struct mrd_fair_waiter waiters[3] = {joined(&flows, &share, A), joined(&flows, &share, A),
                                         joined(&flows, &share, B)};
    mrd_fair_wait(&flows, &waiters[0]);
    mrd_fair_wait(&flows, &waiters[1]);
    assert_ptr_equal(mrd_fair_take(&flows, false), &waiters[0]);
    mrd_fair_give(&flows, waiters[0].flow);
    mrd_fair_wait(&flows, &waiters[0]); /* once more, after a wait for its reader */
    mrd_fair_wait(&flows, &waiters[2]);
    assert_ptr_equal(mrd_fair_take(&flows, false), &waiters[2]);
    mrd_fair_give(&flows, waiters[2].flow);
    assert_ptr_equal(mrd_fair_take(&flows, false), &waiters[0]);
    mrd_fair_give(&flows, waiters[0].flow);
    assert_null(mrd_fair_take(&flows, true)); /* the one that is left is new */
    assert_ptr_equal(mrd_fair_take(&flows, false), &waiters[1]);
    end(&flows, waiters, 3);
}

static void places_are_given_up_to_who_has_fewer(void **state)
{
    (void)state;
    struct mrd_fair flows = {.places = 3};
    const struct mrd_fair_share share = {3, 10};
    struct mrd_fair_waiter waiters[6];
    for (size_t i = 0; i < 6; i++) {
        waiters[i] = joined(&flows, &share, i < 3 ? A : B);
    }
    for (size_t i = 0; i < 3; i++) {
        mrd_fair_wait(&flows, &waiters[i]);
        assert_int_equal(take(&flows), A);
    }
    struct mrd_fair_flow *a = waiters[0].flow;
    assert_false(mrd_fair_crowds(&flows, a, 1000)); /* nobody waits */
    mrd_fair_wait(&flows, &waiters[3]);
    assert_true(mrd_fair_crowds(&flows, a, 0)); /* 3 and 0 */
    mrd_fair_give(&flows, a);
    assert_int_equal(take(&flows), B);
    mrd_fair_wait(&flows, &waiters[4]);
    assert_false(mrd_fair_crowds(&flows, a, 0)); /* 2 and 1: that would only turn it round */
    assert_true(mrd_fair_crowds(&flows, a, MRD_FAIR_QUANTUM_MS));
    assert_false(mrd_fair_crowds(&flows, waiters[3].flow, MRD_FAIR_QUANTUM_MS));
    mrd_fair_give(&flows, a);
    assert_int_equal(take(&flows), B);
    end(&flows, waiters, 6);
}

static void who_withdraws_is_passed_over(void **state)
{
    (void)state;
    struct mrd_fair flows = {.places = 4};
    const struct mrd_fair_share share = {4, 10};
    struct mrd_fair_waiter waiters[4];
    for (size_t i = 0; i < 4; i++) {
        waiters[i] = joined(&flows, &share, A);
        mrd_fair_wait(&flows, &waiters[i]);
    }
    mrd_fair_withdraw(&flows, &waiters[3]); /* the last, one in the middle, the first */
    mrd_fair_withdraw(&flows, &waiters[1]);
    mrd_fair_withdraw(&flows, &waiters[0]);
    assert_int_equal(flows.fresh, 1);
    assert_int_equal(flows.waiting, 1);
    mrd_fair_wait(&flows, &waiters[0]); /* the line goes on behind who is left */
    assert_ptr_equal(mrd_fair_take(&flows, false), &waiters[2]);
    assert_ptr_equal(mrd_fair_take(&flows, false), &waiters[0]);
    assert_int_equal(take(&flows), 0);
    mrd_fair_give(&flows, waiters[0].flow); /* who has begun waits in another line */
    mrd_fair_wait(&flows, &waiters[0]);
    mrd_fair_wait(&flows, &waiters[1]);
    mrd_fair_withdraw(&flows, &waiters[0]);
    assert_int_equal(flows.fresh, 1);
    assert_int_equal(flows.waiting, 1);
    assert_ptr_equal(mrd_fair_take(&flows, false), &waiters[1]);
    end(&flows, waiters, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_flow_with_the_fewest_places_is_next),
        cmocka_unit_test(equals_take_turns),
        cmocka_unit_test(a_flow_has_its_share_of_places_and_of_calls),
        cmocka_unit_test(who_has_begun_goes_before_new_ones_of_its_flow_only),
        cmocka_unit_test(places_are_given_up_to_who_has_fewer),
        cmocka_unit_test(who_withdraws_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
