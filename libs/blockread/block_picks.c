#include "blockread/block_picks.h"

#include <stdlib.h>

/* Whether the partition's head holds all that the block has. */
static bool is_covered(const struct mrd_block_source_options *options,
                       const struct mrd_block_entry *entry)
{
    if (entry->level > 0 || entry->origin.partition >= options->partition_count) {
        return false;
    }
    const struct mrd_block_cover *cover = &options->covers[entry->origin.partition];
    return entry->origin.first_sequence >= cover->sequence_first &&
           entry->origin.last_sequence <= cover->sequence_last;
}

/* The cheapest question first: most blocks are of other times. Rollups have no samples. */
static bool is_in_range(const struct mrd_block_entry *entry, mrd_time_ms min_ms, mrd_time_ms max_ms)
{
    return entry->resolution_ms == 0 && entry->counts.min_ms <= max_ms &&
           entry->counts.max_ms >= min_ms;
}

bool mrd_block_source_needed(const struct mrd_block_source *source,
                             const struct mrd_matcher *matchers, size_t matcher_count,
                             mrd_time_ms min_ms, mrd_time_ms max_ms)
{
    const struct mrd_block_source_options *options = &source->options;
    min_ms = MRD_MAX(min_ms, options->floor_ms);
    for (size_t i = 0; i < options->entry_count; i++) {
        const struct mrd_block_entry *entry = options->entry_at(options->entries, i);
        if (is_in_range(entry, min_ms, max_ms) && !is_covered(options, entry) &&
            mrd_block_entry_may_match(entry, options->tenant, matchers, matcher_count, min_ms,
                                      max_ms)) {
            return true;
        }
    }
    return false;
}

static bool is_read(const struct mrd_block_source_options *options,
                    const struct mrd_block_entry *entry, const struct mrd_block_select *select)
{
    if (!is_in_range(entry, select->min_ms, select->max_ms)) {
        MRD_BLOCK_FIGURE_ADD(options->figures, skipped_time, 1);
    } else if (is_covered(options, entry)) {
        MRD_BLOCK_FIGURE_ADD(options->figures, covered, 1);
    } else if (!mrd_block_entry_may_match(entry, select->tenant, NULL, 0, select->min_ms,
                                          select->max_ms)) {
        MRD_BLOCK_FIGURE_ADD(options->figures, skipped_tenant, 1);
    } else if (!mrd_block_entry_may_match(entry, select->tenant, select->matchers,
                                          select->matcher_count, select->min_ms, select->max_ms)) {
        MRD_BLOCK_FIGURE_ADD(options->figures, skipped_labels, 1);
    } else {
        return true;
    }
    return false;
}

/* The oldest first: what was merged was written before what was not. */
static int compare_picks(const void *a, const void *b)
{
    const struct mrd_block_pick *x = a;
    const struct mrd_block_pick *y = b;
    if (x->partition != y->partition) {
        return x->partition < y->partition ? -1 : 1;
    }
    if (x->entry->level != y->entry->level) {
        return x->entry->level > y->entry->level ? -1 : 1;
    }
    const struct mrd_block_origin *p = &x->entry->origin;
    const struct mrd_block_origin *q = &y->entry->origin;
    if (x->entry->level == 0 && p->last_sequence != q->last_sequence) {
        return p->last_sequence < q->last_sequence ? -1 : 1;
    }
    if (p->hlc_fence != q->hlc_fence) {
        return p->hlc_fence < q->hlc_fence ? -1 : 1;
    }
    return mrd_bytes_compare(x->entry->id, y->entry->id);
}

static void add(struct mrd_buf *picks, const struct mrd_block_entry *entry, uint32_t partition)
{
    const struct mrd_block_pick pick = {entry, partition};
    mrd_buf_append(picks, &pick, sizeof(pick));
}

static void gather(const struct mrd_block_source_options *options,
                   const struct mrd_block_select *select, bool by_partition, struct mrd_buf *picks)
{
    MRD_BLOCK_FIGURE_ADD(options->figures, considered, options->entry_count);
    for (size_t i = 0; i < options->entry_count; i++) {
        const struct mrd_block_entry *entry = options->entry_at(options->entries, i);
        if (!is_read(options, entry, select)) {
            continue;
        }
        const bool once = entry->level == 0 || !by_partition;
        for (uint32_t p = 0; p < (once ? 1U : options->partition_count); p++) {
            add(picks, entry, entry->level == 0 ? entry->origin.partition : p);
        }
    }
}

enum mrd_status mrd_block_picks_make(const struct mrd_block_source_options *options,
                                     const struct mrd_block_select *select, bool by_partition,
                                     struct mrd_arena *arena, struct mrd_block_picks *out,
                                     struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf picks;
    mrd_buf_init(&picks, mrd_arena_limit(arena));
    gather(options, select, by_partition, &picks);
    const struct mrd_bytes copy = mrd_arena_copy(arena, mrd_buf_view(&picks));
    if (picks.failed || copy.data == NULL) {
        return mrd_arena_fail(arena, err);
    }
    out->items = (struct mrd_block_pick *)(uintptr_t)copy.data;
    out->count = copy.size / sizeof(struct mrd_block_pick);
    if (out->count > 0) {
        qsort(out->items, out->count, sizeof(*out->items), compare_picks);
    }
    return MRD_OK;
}
