/* Which blocks a query needs, and whom it may ask, as members and catalog have it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "querier/tiers.h"

enum { PARTITIONS = 2 };

static struct mrd_member_partition serving(uint32_t partition, uint64_t applied, uint64_t first)
{
    return (struct mrd_member_partition){partition, MRD_PARTITION_SERVING, applied, first};
}

static struct mrd_member ingester(const struct mrd_member_partition partitions[PARTITIONS])
{
    return (struct mrd_member){
        .kind = MRD_MEMBER_INGESTER, .partitions = partitions, .partition_count = PARTITIONS};
}

static struct mrd_block_entry block(uint32_t partition, uint64_t first, uint64_t last)
{
    return (struct mrd_block_entry){
        .id = MRD_BYTES("b"),
        .origin = {.partition = partition, .first_sequence = first, .last_sequence = last},
        .counts = { .series = 1,          .samples = 1,          .min_ms = 1000,        .max_ms = 2000},
        .tenant_count = 1,
    };
}

struct world {
    struct qry_cluster cluster;
    struct qry_remote remote;
    struct qry_tiers tiers;
    struct mrd_arena *arena;
    struct mrd_source source;
};

static enum mrd_status init(struct world *world, const struct mrd_members_snapshot *members,
                            const struct qry_block_view *view, bool gaps_known,
                            struct mrd_error *err)
{
    *world = (struct world){.cluster = {.partition_count = PARTITIONS}};
    world->remote.options =
        (struct qry_remote_options){.cluster = &world->cluster, .tenant = MRD_BYTES("t")};
    world->tiers.remote = &world->remote;
    world->arena = mrd_arena_create("query", 1 << 20);
    return qry_tiers_init(&world->tiers, members, view, gaps_known, world->arena, &world->source,
                          err);
}

static bool needs_blocks(struct world *world)
{
    bool needed = false;
    assert_int_equal(mrd_block_source_needed(&world->tiers.blocks, 0, 5000, &needed, NULL), MRD_OK);
    return needed;
}

/* Two ingesters for partition 0, one of which has begun later and applied less; partition 1 has none that says where it begins. */
static void what_every_head_holds_needs_no_block(void **state)
{
    (void)state;
    const struct mrd_member_partition one[PARTITIONS] = {serving(0, 500, 100), serving(1, 9, 0)};
    const struct mrd_member_partition two[PARTITIONS] = {
        serving(0, 450, 200), {1, MRD_PARTITION_LOADING, 9, 1}
    };
    const struct mrd_member members[] = {ingester(one), ingester(two)};
    const struct mrd_members_snapshot snapshot = {.members = members, .count = 2};
    const uint64_t next[PARTITIONS] = {451, 10};
    static const struct {
        uint32_t partition;
        uint64_t first;
        uint64_t last;
        bool needed;
    } cases[] = {
        {0, 200, 450, false},
        {0, 199, 300, true }, /* the second head has begun behind it */
        {0, 400, 451, true }, /* and has not applied its end */
        {1, 5,   9,   true },
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        const struct mrd_block_entry entry =
            block(cases[i].partition, cases[i].first, cases[i].last);
        const struct qry_block_view view = {&entry, 1, next};
        struct world world;
        assert_int_equal(init(&world, &snapshot, &view, false, NULL), MRD_OK);
        assert_int_equal(needs_blocks(&world), cases[i].needed);
        assert_int_equal(world.remote.options.sequences_first_max[0], 200);
        assert_true(world.remote.options.sequences_first_max[1] == UINT64_MAX);
        assert_true(world.remote.options.in_order);
        mrd_arena_destroy(&world.arena);
    }
}

/* The log was trimmed for blocks that this state does not have yet: to go on would be silently short. */
static void a_state_older_than_the_trimming_is_refused(void **state)
{
    (void)state;
    const struct mrd_member_partition one[PARTITIONS] = {serving(0, 500, 300), serving(1, 9, 1)};
    const struct mrd_member members[] = {ingester(one)};
    const struct mrd_members_snapshot snapshot = {.members = members, .count = 1};
    static const struct {
        uint64_t next;
        bool gaps_known;
        enum mrd_status want;
    } cases[] = {
        {300, false, MRD_OK        },
        {299, false, MRD_E_CONFLICT},
        {0,   false, MRD_E_CONFLICT},
        {299, true,  MRD_OK        },
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        const uint64_t next[PARTITIONS] = {cases[i].next, 0};
        const struct qry_block_view view = {NULL, 0, next};
        struct world world;
        struct mrd_error err = {0};
        assert_int_equal(init(&world, &snapshot, &view, cases[i].gaps_known, &err), cases[i].want);
        if (cases[i].want != MRD_OK) {
            assert_non_null(strstr(err.text, "partition 0 begins at sequence 300"));
        }
        mrd_arena_destroy(&world.arena);
    }
}

/* Nobody is there: blocks answer for what they have, the heads' absence is found out when they are asked. */
static void without_heads_all_blocks_are_needed(void **state)
{
    (void)state;
    const struct mrd_members_snapshot snapshot = {.members = NULL, .count = 0};
    const uint64_t next[PARTITIONS] = {0};
    const struct mrd_block_entry entry = block(0, 1, 5);
    const struct qry_block_view view = {&entry, 1, next};
    struct world world;
    assert_int_equal(init(&world, &snapshot, &view, false, NULL), MRD_OK);
    assert_true(needs_blocks(&world));
    mrd_arena_destroy(&world.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_every_head_holds_needs_no_block),
        cmocka_unit_test(a_state_older_than_the_trimming_is_refused),
        cmocka_unit_test(without_heads_all_blocks_are_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
