/* The index against a look at every block: random blocks of one tenant, of several, and of more than are listed. */
#include "blockread/block_index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "blockread/block_source.h"

enum { ENTRIES = 300, TENANTS = 5, PARTITIONS = 3, QUESTIONS = 2000 };

static const char *const names[TENANTS] = {"", "a", "aa", "b", "c"}; /* sorted */

struct named {
    char id[16];
    struct mrd_block_tenant tenants[TENANTS];
    struct mrd_block_entry entry;
};

static struct named blocks[ENTRIES];
static struct mrd_block_cover covers[PARTITIONS];

static size_t below(size_t limit) { return (size_t)random() % limit; }

static void make(struct named *out, size_t number)
{
    const mrd_time_ms min_ms = (mrd_time_ms)below(1000);
    const struct mrd_block_counts counts = {
        .series = 1, .samples = 1, .min_ms = min_ms, .max_ms = min_ms + (mrd_time_ms)below(100)};
    const size_t kind = below(10); /* most are of one tenant, some of several, some tell none */
    const size_t first = below(TENANTS);
    const size_t count = kind < 7 ? 1 : kind < 9 ? 1 + below(TENANTS - first) : 0;
    (void)snprintf(out->id, sizeof(out->id), "b%zu", number);
    for (size_t i = 0; i < count; i++) {
        out->tenants[i] = (struct mrd_block_tenant){mrd_bytes_of(names[first + i]), counts};
    }
    const uint64_t sequence = 1 + below(1000);
    const struct mrd_block_origin origin = {.partition = (uint32_t)below(PARTITIONS),
                                            .first_sequence = sequence,
                                            .last_sequence = sequence + below(50)};
    out->entry = (struct mrd_block_entry){.id = mrd_bytes_of(out->id),
                                          .level = kind == 0 ? 1 : 0,
                                          .resolution_ms = below(8) == 0 ? 300000 : 0,
                                          .origin = origin,
                                          .counts = counts,
                                          .tenant_count = count == 0 ? 5000 : count,
                                          .tenants = count == 0 ? NULL : out->tenants};
}

static const struct mrd_block_entry *entry_at(const void *entries, size_t index)
{
    return &((const struct named *)entries)[index].entry;
}

/* What a look at every block says. */
static bool is_needed(struct mrd_bytes tenant, mrd_time_ms min_ms, mrd_time_ms max_ms)
{
    for (size_t i = 0; i < ENTRIES; i++) {
        const struct mrd_block_entry *entry = &blocks[i].entry;
        const struct mrd_block_cover *cover = &covers[entry->origin.partition];
        const bool covered = entry->level == 0 &&
                             entry->origin.first_sequence >= cover->sequence_first &&
                             entry->origin.last_sequence <= cover->sequence_last;
        if (entry->resolution_ms == 0 && !covered &&
            mrd_block_entry_may_match(entry, tenant, NULL, 0, min_ms, max_ms)) {
            return true;
        }
    }
    return false;
}

static void it_says_what_a_look_at_every_block_does(void **state)
{
    (void)state;
    size_t needed = 0;
    srandom(20261127);
    for (size_t i = 0; i < ENTRIES; i++) {
        make(&blocks[i], i);
    }
    struct mrd_block_index *index = mrd_block_index_create(entry_at, blocks, ENTRIES, NULL, 0);
    for (size_t i = 0; i < QUESTIONS; i++) {
        for (size_t p = 0; p < PARTITIONS; p++) {
            covers[p] = (struct mrd_block_cover){1 + below(20), 1000 + below(60)};
        }
        const mrd_time_ms min_ms = (mrd_time_ms)below(1200);
        const mrd_time_ms max_ms = min_ms + (mrd_time_ms)below(5);
        const char *tenant = below(6) == 0 ? "nobody" : names[below(TENANTS)];
        const struct mrd_block_source source = {
            .options = {.index = index,
                        .covers = covers,
                        .partition_count = PARTITIONS,
                        .tenant = mrd_bytes_of(tenant),
                        .floor_ms = INT64_MIN}
        };
        const bool want = is_needed(mrd_bytes_of(tenant), min_ms, max_ms);
        assert_int_equal(mrd_block_source_needed(&source, NULL, 0, min_ms, max_ms), want);
        needed += want ? 1 : 0;
    }
    assert_in_range(needed, QUESTIONS / 20, QUESTIONS - QUESTIONS / 20);
    mrd_block_index_destroy(&index);
}

static void of_no_blocks_there_is_none(void **state)
{
    (void)state;
    struct mrd_block_index *index = mrd_block_index_create(entry_at, NULL, 0, NULL, 0);
    struct mrd_block_list lists[MRD_BLOCK_LISTS];
    mrd_block_index_lists(index, MRD_BYTES("a"), lists);
    assert_int_equal(lists[0].count + lists[1].count, 0);
    mrd_block_index_destroy(&index);
    mrd_block_index_destroy(&index); /* NULL by now */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_says_what_a_look_at_every_block_does),
        cmocka_unit_test(of_no_blocks_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
