#include "distributor/tallies.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static int64_t fake_ns(void *context) { return *(int64_t *)context; }

struct world {
    int64_t now_ns;
    struct mrd_clock clock;
    struct dst_tallies *tallies;
};

static void world_init(struct world *world)
{
    *world = (struct world){.now_ns = 1000000000};
    world->clock = (struct mrd_clock){NULL, fake_ns, &world->now_ns};
    world->tallies = dst_tallies_create(&world->clock);
}

static void pass_ms(struct world *world, int64_t ms) { world->now_ns += ms * 1000000; }

static struct dst_tally *borrow(struct world *world, const char *tenant, uint64_t limit)
{
    return dst_tallies_borrow(world->tallies, mrd_bytes_of(tenant), limit);
}

/* How many may be taken before something else is said. */
static uint64_t take_all(struct dst_tally *tally, enum dst_tally_answer *out_answer)
{
    uint64_t count = 0;
    while ((*out_answer = dst_tally_take(tally)) == DST_TALLY_TAKEN) {
        count++;
    }
    return count;
}

static void expect_taken(struct dst_tally *tally, uint64_t want)
{
    enum dst_tally_answer answer;
    assert_int_equal(take_all(tally, &answer), want);
    assert_int_equal(answer, DST_TALLY_ASK);
}

static void report(struct world *world, struct dst_tally *tally, uint64_t series,
                   uint32_t distributors)
{
    const struct dst_tally_report report = {dst_tally_mark(world->tallies, tally), series,
                                            distributors};
    dst_tally_report(world->tallies, tally, &report);
}

static void a_share_of_what_is_left_may_be_taken_after_a_report(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    struct dst_tally *tally = borrow(&world, "t", 100);
    expect_taken(tally, 0); /* nobody was asked yet */
    report(&world, tally, 40, 3);
    expect_taken(tally, 20);
    report(&world, tally, 40, 3); /* which may have been counted before the 20 arrived */
    expect_taken(tally, 0);
    pass_ms(&world, 2 * DST_TALLY_SETTLE_MS);
    report(&world, tally, 60, 3); /* the slot of the 20 is over, but not the one after it */
    expect_taken(tally, 0);
    pass_ms(&world, DST_TALLY_SETTLE_MS);
    report(&world, tally, 60, 3);
    expect_taken(tally, 14);
    report(&world, tally, 200, 3);
    expect_taken(tally, 0);
    dst_tallies_give_back(world.tallies, &tally);
    assert_null(tally);
    dst_tallies_destroy(&world.tallies);
}

static void a_lease_ends_sooner_where_the_limit_is_near(void **state)
{
    (void)state;
    static const struct {
        uint64_t series;
        int64_t lease_ms;
    } cases[] = {
        {0,  DST_TALLY_FAR_LEASE_MS},
        {49, DST_TALLY_FAR_LEASE_MS},
        {50, DST_TALLY_LEASE_MS    },
        {99, DST_TALLY_LEASE_MS    }
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        struct world world;
        world_init(&world);
        struct dst_tally *tally = borrow(&world, "t", 100);
        report(&world, tally, cases[i].series, 1);
        dst_tallies_give_back(world.tallies, &tally);
        pass_ms(&world, cases[i].lease_ms - 1);
        tally = borrow(&world, "t", 100);
        expect_taken(tally, 100 - cases[i].series);
        dst_tallies_give_back(world.tallies, &tally);
        report(&world, tally = borrow(&world, "t", 100), cases[i].series, 1);
        pass_ms(&world, cases[i].lease_ms);
        dst_tallies_give_back(world.tallies, &tally);
        tally = borrow(&world, "t", 100);
        expect_taken(tally, 0);
        dst_tallies_give_back(world.tallies, &tally);
        dst_tallies_destroy(&world.tallies);
    }
}

static void a_write_that_has_asked_may_have_all_that_is_left(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    struct dst_tally *tally = borrow(&world, "t", 100);
    report(&world, tally, 40, 4);
    expect_taken(tally, 15);
    assert_int_equal(dst_tally_grant(world.tallies, tally, 30), 30);
    assert_int_equal(dst_tally_grant(world.tallies, tally, 30),
                     15); /* 60 are left, 45 were taken */
    assert_int_equal(dst_tally_grant(world.tallies, tally, 30), 0);
    report(&world, tally, 101, 4);
    assert_int_equal(dst_tally_grant(world.tallies, tally, 1), 0);
    dst_tallies_give_back(world.tallies, &tally);
    dst_tallies_destroy(&world.tallies);
}

static void a_limit_that_changes_counts_at_once(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    struct dst_tally *tally = borrow(&world, "t", 100);
    report(&world, tally, 90, 1);
    expect_taken(tally, 10);
    struct dst_tally *more = borrow(&world, "t", 130);
    assert_ptr_equal(more, tally);
    expect_taken(more, 30);
    struct dst_tally *less = borrow(&world, "t", 20);
    expect_taken(less, 0);
    assert_int_equal(dst_tally_grant(world.tallies, less, 5), 0);
    assert_int_equal(dst_tally_state(world.tallies, less).series, 90);
    assert_int_equal(dst_tally_state(world.tallies, less).limit, 20);
    dst_tallies_give_back(world.tallies, &tally);
    dst_tallies_give_back(world.tallies, &more);
    dst_tallies_give_back(world.tallies, &less);
    dst_tallies_destroy(&world.tallies);
}

static void without_an_answer_everything_goes_for_a_while(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    struct dst_tally *tally = borrow(&world, "t", 10);
    struct dst_tally *other = borrow(&world, "u", 10);
    dst_tally_open(world.tallies, tally);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(dst_tally_take(tally), DST_TALLY_UNCHECKED);
    }
    expect_taken(other, 0);
    dst_tallies_give_back(world.tallies, &tally);
    pass_ms(&world, DST_TALLY_OPEN_MS);
    tally = borrow(&world, "t", 10);
    expect_taken(tally, 0);
    dst_tally_open(world.tallies, tally);
    report(&world, tally, 4, 1);
    expect_taken(tally, 6);
    dst_tallies_give_back(world.tallies, &tally);
    dst_tallies_give_back(world.tallies, &other);
    dst_tallies_destroy(&world.tallies);
}

/* Many tenants come and go: those that are in use, or whose lease runs, are not forgotten. */
static void tenants_in_use_or_with_a_lease_are_not_forgotten(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    struct dst_tally *used = borrow(&world, "used", 100);
    report(&world, used, 0, 1);
    for (int i = 0; i < 20000; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "t%d", i);
        struct dst_tally *tally = borrow(&world, name, 10);
        report(&world, tally, 5, 1);
        assert_int_equal(dst_tally_take(tally), DST_TALLY_TAKEN);
        dst_tallies_give_back(world.tallies, &tally);
        pass_ms(&world, 100);
    }
    struct dst_tally *last = borrow(&world, "t19999", 10);
    expect_taken(last, 4);
    struct dst_tally *first = borrow(&world, "t0", 10);
    expect_taken(first, 0);
    assert_ptr_equal(used, borrow(&world, "used", 100));
    dst_tallies_give_back(world.tallies, &last);
    dst_tallies_give_back(world.tallies, &first);
    dst_tallies_destroy(&world.tallies);
}

static void one_write_may_wait_whatever_its_size(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    struct dst_tally *tally = borrow(&world, "t", 10);
    assert_true(dst_tally_wait_begin(tally, 1000, 100));
    assert_false(dst_tally_wait_begin(tally, 1, 100));
    dst_tally_wait_end(tally, 1000);
    assert_true(dst_tally_wait_begin(tally, 60, 100));
    assert_true(dst_tally_wait_begin(tally, 40, 100));
    assert_false(dst_tally_wait_begin(tally, 1, 100));
    dst_tallies_give_back(world.tallies, &tally);
    dst_tallies_destroy(&world.tallies);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_share_of_what_is_left_may_be_taken_after_a_report),
        cmocka_unit_test(a_lease_ends_sooner_where_the_limit_is_near),
        cmocka_unit_test(a_write_that_has_asked_may_have_all_that_is_left),
        cmocka_unit_test(a_limit_that_changes_counts_at_once),
        cmocka_unit_test(without_an_answer_everything_goes_for_a_while),
        cmocka_unit_test(tenants_in_use_or_with_a_lease_are_not_forgotten),
        cmocka_unit_test(one_write_may_wait_whatever_its_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
