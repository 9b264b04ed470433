#include "ingester/ownership.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const int64_t MS = 1000000;

enum { MEMBERS = 4, PARTITIONS = 64 };

struct cast {
    struct mrd_member members[MEMBERS];
    struct mrd_member_partition partitions[MEMBERS][PARTITIONS];
    struct mrd_members_snapshot snapshot;
};

static void cast_init(struct cast *cast, size_t count)
{
    *cast = (struct cast){0};
    for (size_t i = 0; i < count; i++) {
        struct mrd_member *member = &cast->members[i];
        member->kind = MRD_MEMBER_INGESTER;
        snprintf(member->instance, sizeof(member->instance), "i%zu", i);
        snprintf(member->zone, sizeof(member->zone), "z");
        member->partitions = cast->partitions[i];
    }
    cast->snapshot =
        (struct mrd_members_snapshot){.members = cast->members, .count = count, .settled = true};
}

static void cast_serve(struct cast *cast, size_t member, uint32_t partition)
{
    cast->partitions[member][cast->members[member].partition_count++] =
        (struct mrd_member_partition){
            .partition = partition, .state = MRD_PARTITION_SERVING, .sequence = 1};
}

static struct ing_situation look(const struct cast *cast, size_t self, uint32_t partition,
                                 bool leaving)
{
    const struct ing_self me = {cast->members[self].instance, "z", 2, leaving};
    return ing_ownership_look(&cast->snapshot, &me, partition);
}

static void every_partition_has_exactly_its_replicas(void **state)
{
    (void)state;
    struct cast cast;
    cast_init(&cast, MEMBERS);
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        size_t owners = 0;
        for (size_t i = 0; i < MEMBERS; i++) {
            owners += look(&cast, i, p, false).owner ? 1 : 0;
        }
        assert_int_equal(owners, 2);
    }
}

static void other_zones_other_kinds_and_those_who_leave_own_nothing(void **state)
{
    (void)state;
    struct cast cast;
    cast_init(&cast, MEMBERS);
    cast.members[1].kind = MRD_MEMBER_QUERIER;
    cast.members[2].leaving = true;
    snprintf(cast.members[3].zone, sizeof(cast.members[3].zone), "other");
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        const struct ing_situation situation = look(&cast, 0, p, false);
        assert_true(situation.owner);
        assert_false(situation.others);
        assert_false(situation.others_serving);
        assert_false(look(&cast, 0, p, true).owner);
    }
}

static uint32_t partition_not_of(const struct cast *cast, size_t self)
{
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        if (!look(cast, self, p, false).owner) {
            return p;
        }
    }
    fail_msg("member %zu owns everything", self);
    return 0;
}

static void a_partition_is_given_up_only_when_all_its_owners_serve_it_for_a_while(void **state)
{
    (void)state;
    struct cast cast;
    cast_init(&cast, MEMBERS);
    const uint32_t p = partition_not_of(&cast, 0);
    struct ing_tenure tenure = {.state = ING_SERVING};
    struct ing_situation situation = look(&cast, 0, p, false);
    assert_int_equal(ing_ownership_decide(&tenure, &situation, true, 1), ING_KEEP);
    size_t served = 0;
    for (size_t i = 1; i < MEMBERS && served < 2; i++) {
        if (look(&cast, i, p, false).owner) {
            assert_false(look(&cast, 0, p, false).others_serving); /* one is not enough */
            cast_serve(&cast, i, p);
            served++;
        }
    }
    situation = look(&cast, 0, p, false);
    assert_true(situation.others_serving);
    assert_int_equal(ing_ownership_decide(&tenure, &situation, true, 10), ING_KEEP);
    assert_int_equal(ing_ownership_decide(&tenure, &situation, true, 10 + ING_GIVE_UP_MS * MS - 1),
                     ING_KEEP);
    assert_int_equal(ing_ownership_decide(&tenure, &situation, true, 10 + ING_GIVE_UP_MS * MS),
                     ING_RETIRE);
    tenure.state = ING_RETIRING;
    tenure.retired_ns = 100;
    assert_int_equal(ing_ownership_decide(&tenure, &situation, true, 100 + ING_RETIRE_MS * MS - 1),
                     ING_KEEP);
    assert_int_equal(ing_ownership_decide(&tenure, &situation, true, 100 + ING_RETIRE_MS * MS),
                     ING_CLOSE);
}

static void the_wait_starts_over_when_an_owner_goes(void **state)
{
    (void)state;
    struct ing_tenure tenure = {.state = ING_SERVING};
    const struct ing_situation served = {.others = true, .others_serving = true};
    const struct ing_situation alone = {.others = true};
    assert_int_equal(ing_ownership_decide(&tenure, &served, true, 1), ING_KEEP);
    assert_int_equal(ing_ownership_decide(&tenure, &alone, true, 2), ING_KEEP);
    assert_int_equal(ing_ownership_decide(&tenure, &served, true, ING_GIVE_UP_MS * MS + 1),
                     ING_KEEP);
}

static const struct {
    enum ing_state state;
    struct ing_situation situation;
    bool ready;
    enum ing_action want;
} decisions[] = {
    {ING_CLOSED,   {.owner = true},                          false, ING_OPEN },
    {ING_CLOSED,   {.others = true, .others_serving = true}, false, ING_KEEP },
    {ING_LOADING,  {.owner = true},                          false, ING_KEEP },
    {ING_LOADING,  {.owner = true},                          true,  ING_SERVE},
    {ING_LOADING,  {.others = true},                         true,  ING_CLOSE},
    {ING_SERVING,  {.owner = true},                          false, ING_KEEP }, /* lag is no reason */
    {ING_SERVING,  {.others = false},                        true,  ING_KEEP }, /* leaving, alone */
    {ING_RETIRING, {.owner = true},                          true,  ING_SERVE},
};

static void each_state_has_its_decision(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(decisions); i++) {
        struct ing_tenure tenure = {.state = decisions[i].state, .retired_ns = 1};
        const enum ing_action got =
            ing_ownership_decide(&tenure, &decisions[i].situation, decisions[i].ready, 2);
        if (got != decisions[i].want) {
            fail_msg("case %zu: action %d", i, (int)got);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_partition_has_exactly_its_replicas),
        cmocka_unit_test(other_zones_other_kinds_and_those_who_leave_own_nothing),
        cmocka_unit_test(a_partition_is_given_up_only_when_all_its_owners_serve_it_for_a_while),
        cmocka_unit_test(the_wait_starts_over_when_an_owner_goes),
        cmocka_unit_test(each_state_has_its_decision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
