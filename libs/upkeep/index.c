#include "upkeep/index.h"

#include <stdlib.h>

struct mrd_bytes mrd_upkeep_tenant_of(const struct mrd_block_entry *block)
{
    return block->tenant_count == 1 && block->tenants != NULL ? block->tenants[0].name
                                                              : MRD_BYTES_NONE;
}

struct mrd_merge_range mrd_upkeep_period_of(const struct mrd_block_entry *block)
{
    const mrd_time_ms last_ms = block->counts.max_ms - (block->resolution_ms > 0);
    return mrd_merge_period_of(block->level == 1 ? MRD_MERGE_DAY : MRD_MERGE_MONTH, last_ms);
}

struct place {
    struct mrd_bytes residency_class;
    struct mrd_bytes tenant;
    unsigned level;
};

static struct place place_of(const struct mrd_block_entry *block)
{
    return (struct place){block->origin.residency_class, mrd_upkeep_tenant_of(block), block->level};
}

static int compare_places(const struct place *a, const struct place *b)
{
    int order = mrd_bytes_compare(a->residency_class, b->residency_class);
    order = order == 0 ? mrd_bytes_compare(a->tenant, b->tenant) : order;
    return order == 0 ? (a->level > b->level) - (a->level < b->level) : order;
}

static int compare_blocks(const void *a, const void *b)
{
    const struct mrd_block_entry *x = *(const struct mrd_block_entry *const *)a;
    const struct mrd_block_entry *y = *(const struct mrd_block_entry *const *)b;
    const struct place x_place = place_of(x);
    const struct place y_place = place_of(y);
    const int order = compare_places(&x_place, &y_place);
    if (order != 0) {
        return order;
    }
    if (x->counts.min_ms != y->counts.min_ms) {
        return x->counts.min_ms < y->counts.min_ms ? -1 : 1;
    }
    return mrd_bytes_compare(x->id, y->id);
}

void mrd_upkeep_index_init(struct mrd_upkeep_index *index, const struct mrd_catalog_state *state)
{
    const size_t all = mrd_catalog_block_count(state);
    *index = (struct mrd_upkeep_index){
        .blocks = calloc(all + 1, sizeof(const struct mrd_block_entry *)),
        .rollups = calloc(all + 1, sizeof(const struct mrd_block_entry *)),
    };
    mrd_assert(index->blocks != NULL && index->rollups != NULL);
    for (size_t i = 0; i < all; i++) {
        const struct mrd_block_entry *block = mrd_catalog_block(state, i);
        if (block->level > 0 && block->resolution_ms == 0) {
            index->blocks[index->count++] = block;
        } else if (block->level > 0) {
            index->rollups[index->rollup_count++] = block;
        }
    }
    qsort(index->blocks, index->count, sizeof(const struct mrd_block_entry *), compare_blocks);
    qsort(index->rollups, index->rollup_count, sizeof(const struct mrd_block_entry *),
          compare_blocks);
}

void mrd_upkeep_index_fini(struct mrd_upkeep_index *index)
{
    free(index->blocks);
    free(index->rollups);
    *index = (struct mrd_upkeep_index){0};
}

/* The first block that is not before the place, or, with `after`, the first behind it. */
static size_t bound(const struct mrd_block_entry *const *blocks, size_t count,
                    const struct place *place, bool after)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const struct place at = place_of(blocks[middle]);
        const int order = compare_places(&at, place);
        if (order < 0 || (after && order == 0)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct mrd_upkeep_span find(const struct mrd_block_entry *const *blocks, size_t count,
                                   const struct place *place)
{
    const size_t first = bound(blocks, count, place, false);
    return (struct mrd_upkeep_span){blocks + first, bound(blocks, count, place, true) - first};
}

struct mrd_upkeep_span mrd_upkeep_index_find(const struct mrd_upkeep_index *index,
                                             struct mrd_bytes residency_class,
                                             struct mrd_bytes tenant, unsigned level)
{
    const struct place place = {residency_class, tenant, level};
    return find(index->blocks, index->count, &place);
}

struct mrd_upkeep_span mrd_upkeep_index_rollups(const struct mrd_upkeep_index *index,
                                                struct mrd_bytes residency_class,
                                                struct mrd_bytes tenant, unsigned level)
{
    const struct place place = {residency_class, tenant, level};
    return find(index->rollups, index->rollup_count, &place);
}

/* The first block whose class comes after; NULL: none. */
static const struct mrd_block_entry *first_behind(const struct mrd_block_entry *const *blocks,
                                                  size_t count, struct mrd_bytes residency_class)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (mrd_bytes_compare(blocks[middle]->origin.residency_class, residency_class) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == count ? NULL : blocks[low];
}

bool mrd_upkeep_index_next_class(const struct mrd_upkeep_index *index,
                                 struct mrd_bytes *residency_class)
{
    const struct mrd_block_entry *const found[] = {
        first_behind(index->blocks, index->count, *residency_class),
        first_behind(index->rollups, index->rollup_count, *residency_class)};
    const struct mrd_bytes before = *residency_class;
    for (size_t i = 0; i < MRD_ARRAY_LEN(found); i++) {
        if (found[i] != NULL &&
            (mrd_bytes_equal(*residency_class, before) ||
             mrd_bytes_compare(found[i]->origin.residency_class, *residency_class) < 0)) {
            *residency_class = found[i]->origin.residency_class;
        }
    }
    return !mrd_bytes_equal(*residency_class, before);
}
