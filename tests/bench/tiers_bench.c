/* tiers_bench: what it costs a query that needs no blocks that there are some: pinning aside, the look at heads and at the catalog, as
 * two selectors' plan fragments and selects have it.
 *
 *   tiers_bench [PARTITIONS INGESTERS]
 *
 * A line for each number of blocks: half are of one tenant each, half of 64; all are older than what is asked for. Microseconds of CPU.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "querier/tiers.h"

enum { TENANTS = 64, ROUNDS = 2000, LOOKS = 4, BLOCK_MS = 86400000, APART_MS = 100000 };

static double cpu_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* ---- blocks and members ---- */

static const struct mrd_block_entry *entry_at(const void *entries, size_t index)
{
    return &((const struct mrd_block_entry *)entries)[index];
}

static struct mrd_block_entry *blocks_make(struct mrd_arena *arena, size_t count,
                                           uint32_t partitions)
{
    struct mrd_block_entry *entries = mrd_arena_alloc_array(arena, count + 1, sizeof(*entries));
    mrd_assert(entries != NULL);
    for (size_t i = 0; i < count; i++) {
        const bool own = i % 2 == 1;
        const size_t tenant_count = own ? 1 : TENANTS;
        const mrd_time_ms min_ms = (mrd_time_ms)i * APART_MS;
        const struct mrd_block_counts counts = {
            .series = 1, .samples = 1, .min_ms = min_ms, .max_ms = min_ms + BLOCK_MS};
        struct mrd_block_tenant *tenants =
            mrd_arena_alloc_array(arena, tenant_count, sizeof(*tenants));
        mrd_assert(tenants != NULL);
        for (size_t k = 0; k < tenant_count; k++) {
            const char *name = mrd_arena_printf(arena, "tenant-%03zu", own ? i / 2 % TENANTS : k);
            tenants[k] = (struct mrd_block_tenant){mrd_bytes_of(name), counts};
        }
        const struct mrd_block_origin origin = {.partition = (uint32_t)i % partitions,
                                                .first_sequence = i * 10 + 1,
                                                .last_sequence = i * 10 + 10};
        entries[i] = (struct mrd_block_entry){
            .id = mrd_bytes_of(mrd_arena_printf(arena, "block-%zu", i)),
            .level = own ? 1 : 0,
            .origin = origin,
            .counts = counts,
            .tenant_count = tenant_count,
            .tenants = tenants,
        };
    }
    return entries;
}

static struct mrd_members_snapshot members_make(struct mrd_arena *arena, uint32_t partitions,
                                                size_t count)
{
    struct mrd_member *members = mrd_arena_alloc_array(arena, count, sizeof(*members));
    mrd_assert(members != NULL);
    for (size_t i = 0; i < count; i++) {
        struct mrd_member_partition *served =
            mrd_arena_alloc_array(arena, partitions, sizeof(*served));
        mrd_assert(served != NULL);
        for (uint32_t p = 0; p < partitions; p++) {
            served[p] = (struct mrd_member_partition){.partition = p,
                                                      .state = MRD_PARTITION_SERVING,
                                                      .sequence = 1000000,
                                                      .sequence_first = 1};
        }
        members[i] = (struct mrd_member){
            .kind = MRD_MEMBER_INGESTER, .partitions = served, .partition_count = partitions};
    }
    return (struct mrd_members_snapshot){.members = members, .count = count};
}

/* ---- measuring ---- */

/* One query's looks; what it needs of the arena is of the query's. */
static void look(const struct mrd_members_snapshot *members, const struct mrd_block_index *index,
                 const struct qry_cluster *cluster, mrd_time_ms now_ms, struct mrd_arena *arena)
{
    struct qry_remote remote = {
        .options = {.cluster = cluster, .tenant = MRD_BYTES("tenant-007"), .floor_ms = INT64_MIN}
    };
    struct qry_tiers tiers = {.remote = &remote, .pin = {.index = index}};
    struct mrd_source source;
    struct mrd_error err;
    const struct mrd_select select = {.min_ms = now_ms - 7200000, .max_ms = now_ms};
    const struct mrd_query_scope scope = {.arena = arena};
    mrd_assert(qry_tiers_init(&tiers, members, true, arena, &source, &err) == MRD_OK);
    for (int i = 0; i < LOOKS; i++) {
        bool needed = true;
        mrd_assert(tiers.tiers.needs_blocks(tiers.tiers.context, &select, &scope, &needed, &err) ==
                   MRD_OK);
        mrd_assert(!needed);
    }
}

static void measure(size_t count, uint32_t partitions, size_t ingesters)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("bench", SIZE_MAX);
    const struct mrd_block_entry *entries = blocks_make(arena, count, partitions);
    const struct mrd_members_snapshot members = members_make(arena, partitions, ingesters);
    const struct qry_cluster cluster = {.partition_count = partitions};
    const double begun_us = cpu_us();
    struct mrd_block_index *index = mrd_block_index_create(entry_at, entries, count, NULL, 0);
    const double index_us = cpu_us() - begun_us;
    const mrd_time_ms now_ms = (mrd_time_ms)count * APART_MS + BLOCK_MS + 7200001;
    double query_us = 0;
    for (int i = 0; i < ROUNDS; i++) {
        struct mrd_arena *query = mrd_arena_create("query", 1 << 20);
        const double from_us = cpu_us();
        look(&members, index, &cluster, now_ms, query);
        query_us += cpu_us() - from_us;
        mrd_arena_destroy(&query);
    }
    printf("%zu blocks: index %.0f us, a query %.1f us\n", count, index_us, query_us / ROUNDS);
    mrd_block_index_destroy(&index);
}

int main(int argc, char **argv)
{
    const uint32_t partitions = argc > 2 ? (uint32_t)strtoul(argv[1], NULL, 10) : 64;
    const size_t ingesters = argc > 2 ? strtoul(argv[2], NULL, 10) : 8;
    static const size_t counts[] = {0, 100, 1000, 10000, 100000};
    if (partitions == 0 || ingesters == 0) {
        (void)fprintf(stderr, "tiers_bench: partitions and ingesters must be numbers above 0\n");
        return 2;
    }
    for (size_t i = 0; i < MRD_ARRAY_LEN(counts); i++) {
        measure(counts[i], partitions, ingesters);
    }
    return 0;
}
