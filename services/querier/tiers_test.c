/* Which blocks a query needs, and whom it may ask, as members and catalog have it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "objstore/folder_fixture.h"
#include "querier/tiers.h"

enum { PARTITIONS = 2, STORED_MS = 4711 };

static const struct mrd_log_identity THE_LOG = {.created_ns = 1700000000000000000};
static const struct mrd_log_identity ANOTHER = {.created_ns = 1700000000000000001};
static const struct mrd_log_identity ADOPTED = {.created_ns = 1700000000000000000, .base = 1000};

static struct mrd_member_partition serving(uint32_t partition, uint64_t applied, uint64_t first)
{
    return (struct mrd_member_partition){partition, MRD_PARTITION_SERVING, applied, first, THE_LOG};
}

static struct mrd_member ingester(const struct mrd_member_partition partitions[PARTITIONS])
{
    return (struct mrd_member){
        .kind = MRD_MEMBER_INGESTER, .partitions = partitions, .partition_count = PARTITIONS};
}

/* ---- states of a catalog ---- */

static char folder[FOLDER_FIXTURE_PATH_MAX];
static struct mrd_objstore *store;
static struct mrd_catalog *catalog;
static struct mrd_catalog_state *state_now;

static int begin(void **state)
{
    (void)state;
    store = folder_fixture_open(folder, NULL);
    assert_int_equal(
        mrd_catalog_open(&(struct mrd_catalog_options){.store = store}, NULL, &catalog, NULL),
        MRD_OK);
    return 0;
}

static int end(void **state)
{
    (void)state;
    mrd_catalog_unpin(&state_now);
    mrd_catalog_close(&catalog);
    mrd_objstore_close(&store);
    folder_fixture_remove(folder);
    return 0;
}

/* Commits, and pins what comes of it. */
static const struct mrd_catalog_state *commit(const struct mrd_catalog_change *change)
{
    struct mrd_error err = {0};
    if (mrd_catalog_commit(catalog, change, NULL, &err) != MRD_OK) {
        fail_msg("%s", err.text);
    }
    mrd_catalog_unpin(&state_now);
    state_now = mrd_catalog_pin(catalog);
    return state_now;
}

static const struct mrd_catalog_state *build(uint32_t partition, uint64_t to)
{
    struct mrd_catalog_state *before = mrd_catalog_pin(catalog);
    const struct mrd_catalog_built_change built = {partition, mrd_catalog_built(before, partition),
                                                   to, THE_LOG, STORED_MS};
    mrd_catalog_unpin(&before);
    if (built.from == to) {
        return state_now;
    }
    return commit(&(struct mrd_catalog_change){.built = &built, .built_count = 1});
}

/* A block in the place of the last one; its files are of no interest. */
static const struct mrd_catalog_state *block(uint32_t partition, uint64_t first, uint64_t last)
{
    static unsigned number;
    static char id[32];
    static struct mrd_bytes last_id;
    static char last_text[32];
    const bool any =
        last_id.size > 0 && state_now != NULL && mrd_catalog_find(state_now, last_id) != NULL;
    (void)snprintf(id, sizeof(id), "b%u", number++);
    const struct mrd_block_counts counts = {
        .series = 1, .samples = 1, .min_ms = 1000, .max_ms = 2000};
    const struct mrd_block_tenant tenant = {.name = MRD_BYTES("t"), .counts = counts};
    const struct mrd_block_origin origin = {.partition = partition,
                                            .first_sequence = first,
                                            .last_sequence = last,
                                            .residency_class = MRD_BYTES("eu")};
    const struct mrd_block_file data = {.key = mrd_bytes_of(id), .size = 100};
    const struct mrd_block_file sidecar = {.key = MRD_BYTES("sidecar"), .size = 100};
    const struct mrd_block_entry entry = {
        .id = mrd_bytes_of(id),
        .data = data,
        .sidecar = sidecar,
        .origin = origin,
        .counts = counts,
        .tenant_count = 1,
        .tenants = &tenant,
    };
    const struct mrd_catalog_state *after = commit(&(struct mrd_catalog_change){
        .add = &entry, .add_count = 1, .remove = &last_id, .remove_count = any ? 1 : 0});
    (void)snprintf(last_text, sizeof(last_text), "%s", id);
    last_id = mrd_bytes_of(last_text);
    return after;
}

/* ---- a query ---- */

struct world {
    struct qry_cluster cluster;
    struct qry_remote remote;
    struct qry_tiers tiers;
    struct mrd_arena *arena;
    struct mrd_block_index *index;
    struct mrd_source source;
};

static const struct mrd_block_entry *entry_at(const void *state, size_t index)
{
    return mrd_catalog_block(state, index);
}

static void fini(struct world *world)
{
    mrd_block_index_destroy(&world->index);
    mrd_arena_destroy(&world->arena);
}

static enum mrd_status init_strong(struct world *world, const struct mrd_members_snapshot *members,
                                   const struct mrd_catalog_state *blocks, bool gaps_known,
                                   const uint64_t *logs, struct mrd_error *err)
{
    *world = (struct world){.cluster = {.partition_count = PARTITIONS}};
    world->remote.options = (struct qry_remote_options){
        .cluster = &world->cluster, .tenant = MRD_BYTES("t"), .logs = logs};
    world->tiers.remote = &world->remote;
    world->arena = mrd_arena_create("query", 1 << 20);
    if (blocks != NULL) {
        world->index =
            mrd_block_index_create(entry_at, blocks, mrd_catalog_block_count(blocks), NULL, 0);
        world->tiers.pin = (struct qry_blocks_pin){.state = blocks, .index = world->index};
    }
    return qry_tiers_init(&world->tiers, members, gaps_known, world->arena, &world->source, err);
}

static enum mrd_status init(struct world *world, const struct mrd_members_snapshot *members,
                            const struct mrd_catalog_state *blocks, bool gaps_known,
                            struct mrd_error *err)
{
    return init_strong(world, members, blocks, gaps_known, NULL, err);
}

/* What the source makes of it, and what it warns of. */
static bool needs_blocks(struct world *world, size_t *out_warnings)
{
    struct mrd_annotations annotations;
    mrd_annotations_init(&annotations, world->arena, MRD_BYTES_NONE);
    const struct mrd_query_scope scope = {.arena = world->arena, .annotations = &annotations};
    const struct mrd_select select = {.min_ms = 0, .max_ms = 5000};
    bool needed = false;
    assert_int_equal(
        world->tiers.tiers.needs_blocks(world->tiers.tiers.context, &select, &scope, &needed, NULL),
        MRD_OK);
    *out_warnings = annotations.count[MRD_ANNOTATION_WARNING];
    return needed;
}

/* Two ingesters for partition 0, one of which has begun later and applied less; partition 1 has none that says where it begins. */
static void what_every_head_holds_needs_no_block(void **state)
{
    (void)state;
    const struct mrd_member_partition one[PARTITIONS] = {serving(0, 500, 100), serving(1, 9, 0)};
    const struct mrd_member_partition two[PARTITIONS] = {
        serving(0, 450, 200), {1, MRD_PARTITION_LOADING, 9, 1, THE_LOG}
    };
    const struct mrd_member members[] = {ingester(one), ingester(two)};
    const struct mrd_members_snapshot snapshot = {.members = members, .count = 2};
    (void)build(0, 450);
    (void)build(1, 9);
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
        struct world world;
        size_t warnings;
        assert_int_equal(init(&world, &snapshot,
                              block(cases[i].partition, cases[i].first, cases[i].last), false,
                              NULL),
                         MRD_OK);
        assert_int_equal(needs_blocks(&world, &warnings), cases[i].needed);
        assert_int_equal(warnings, 0);
        assert_int_equal(world.remote.options.sequences_first_max[0], 200);
        assert_int_equal(world.remote.options.sequences_first_max[1], 10); /* where blocks end */
        assert_true(world.remote.options.in_order);
        fini(&world);
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
        uint64_t built;
        bool gaps_known;
        enum mrd_status want;
    } cases[] = {
        {0,   false, MRD_E_CONFLICT},
        {298, false, MRD_E_CONFLICT},
        {298, true,  MRD_OK        },
        {299, false, MRD_OK        },
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        struct world world;
        struct mrd_error err = {0};
        size_t warnings = 0;
        const struct mrd_catalog_state *blocks =
            cases[i].built == 0 ? NULL : build(0, cases[i].built);
        assert_int_equal(init(&world, &snapshot, blocks, cases[i].gaps_known, &err), cases[i].want);
        if (cases[i].want != MRD_OK) {
            assert_non_null(strstr(err.text, "partition 0 begins at sequence 300"));
        } else {
            assert_false(needs_blocks(&world, &warnings));
        }
        assert_int_equal(warnings, cases[i].gaps_known ? 1 : 0);
        assert_int_equal(world.tiers.gap, cases[i].gaps_known);
        fini(&world);
    }
}

/* A stream that was made anew counts from 1 again; blocks have other samples of the same numbers. */
static void for_heads_of_another_log_no_block_is_left_out(void **state)
{
    (void)state;
    const struct {
        struct mrd_log_identity head;
        uint64_t strong; /* the log that a strong read has seen; 0: it is none */
        bool needed;
        size_t warnings;
    } cases[] = {
        {THE_LOG, 0,                 false, 0},
        {ANOTHER, 0,                 true,  1},
        {ADOPTED, 0,                 true,  1}, /* the same stream, with other positions */
        {{0},     0,                 true,  0}, /* older than such claims */
        {THE_LOG, UINT64_C(1) << 60, true,  1}, /* and the log that there is now is another */
    };
    (void)build(0, 450);
    const struct mrd_catalog_state *blocks = block(0, 1, 450);
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        struct mrd_member_partition one[PARTITIONS] = {serving(0, 500, 1), serving(1, 9, 1)};
        one[0].log = cases[i].head;
        const struct mrd_member members[] = {ingester(one)};
        const struct mrd_members_snapshot snapshot = {.members = members, .count = 1};
        const uint64_t strong[PARTITIONS] = {cases[i].strong, cases[i].strong};
        struct world world;
        size_t warnings;
        assert_int_equal(init_strong(&world, &snapshot, blocks, false,
                                     cases[i].strong == 0 ? NULL : strong, NULL),
                         MRD_OK);
        assert_int_equal(needs_blocks(&world, &warnings), cases[i].needed);
        assert_int_equal(warnings, cases[i].warnings);
        const struct qry_remote_options *options = &world.remote.options;
        const uint64_t tag = mrd_log_identity_tag(THE_LOG);
        assert_true(options->logs[0] == (cases[i].warnings > 0 ? cases[i].strong : tag));
        assert_true((options->sequences_first_max[0] == UINT64_MAX) == (cases[i].warnings > 0));
        if (!cases[i].needed) { /* the ingester is to see that it has what blocks were built of */
            assert_int_equal(options->marks[0].sequence, 450);
            assert_int_equal(options->marks[0].stored_ms, STORED_MS);
        }
        fini(&world);
    }
}

/* Blocks of a log that nobody knows any more, whatever heads say. */
static void blocks_of_a_log_that_is_not_known_are_all_needed(void **state)
{
    (void)state;
    const struct mrd_member_partition one[PARTITIONS] = {serving(0, 500, 1), serving(1, 9, 1)};
    const struct mrd_member members[] = {ingester(one)};
    const struct mrd_members_snapshot snapshot = {.members = members, .count = 1};
    const struct mrd_catalog_built_change built = {.partition = 0, .to = 450};
    (void)commit(&(struct mrd_catalog_change){.built = &built, .built_count = 1});
    struct world world;
    size_t warnings;
    assert_int_equal(init(&world, &snapshot, block(0, 1, 450), false, NULL), MRD_OK);
    assert_true(needs_blocks(&world, &warnings));
    assert_int_equal(warnings, 0);
    fini(&world);
}

/* Nobody is there: blocks answer for what they have, the heads' absence is found out when they are asked. */
static void without_heads_all_blocks_are_needed(void **state)
{
    (void)state;
    const struct mrd_members_snapshot snapshot = {.members = NULL, .count = 0};
    struct world world;
    size_t warnings;
    assert_int_equal(init(&world, &snapshot, block(0, 1, 5), false, NULL), MRD_OK);
    assert_true(needs_blocks(&world, &warnings));
    assert_int_equal(warnings, 0);
    fini(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_every_head_holds_needs_no_block, begin, end),
        cmocka_unit_test_setup_teardown(a_state_older_than_the_trimming_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(without_heads_all_blocks_are_needed, begin, end),
        cmocka_unit_test_setup_teardown(for_heads_of_another_log_no_block_is_left_out, begin, end),
        cmocka_unit_test_setup_teardown(blocks_of_a_log_that_is_not_known_are_all_needed, begin,
                                        end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
