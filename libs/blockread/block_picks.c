#include "blockread/block_picks.h"

#include <stdlib.h>

/* Whether the partition's head holds all that the block has. */
static bool is_covered(const struct mrd_block_source_options *options,
                       const struct mrd_block_brief *brief)
{
    if (brief->level > 0 || brief->partition >= options->partition_count) {
        return false;
    }
    const struct mrd_block_cover *cover = &options->covers[brief->partition];
    return brief->sequence_first >= cover->sequence_first &&
           brief->sequence_last <= cover->sequence_last;
}

/* The cheapest questions first: most blocks are of other times, and of the recent past heads have all. */
bool mrd_block_source_needed(const struct mrd_block_source *source,
                             const struct mrd_matcher *matchers, size_t matcher_count,
                             mrd_time_ms min_ms, mrd_time_ms max_ms)
{
    const struct mrd_block_source_options *options = &source->options;
    struct mrd_block_list lists[MRD_BLOCK_LISTS];
    min_ms = MRD_MAX(min_ms, options->floor_ms);
    mrd_block_index_lists(options->index, options->tenant, lists);
    for (size_t k = 0; k < MRD_BLOCK_LISTS; k++) {
        for (size_t i = 0; i < lists[k].count && lists[k].items[i].max_ms >= min_ms; i++) {
            const struct mrd_block_brief *brief = &lists[k].items[i];
            if (brief->min_ms <= max_ms && !is_covered(options, brief) &&
                mrd_block_entry_may_match(brief->entry, options->tenant, matchers, matcher_count,
                                          min_ms, max_ms)) {
                return true;
            }
        }
    }
    return false;
}

/* Histograms before the range are looked for in blocks that have any. */
static mrd_time_ms wanted_from(const struct mrd_block_entry *entry,
                               const struct mrd_block_select *select)
{
    return entry->counts.histograms > 0
               ? mrd_time_earlier(select->min_ms, select->histograms_before_ms)
               : select->min_ms;
}

static bool is_read(const struct mrd_block_source_options *options,
                    const struct mrd_block_brief *brief, const struct mrd_block_select *select)
{
    const mrd_time_ms min_ms = wanted_from(brief->entry, select);
    if (brief->min_ms > select->max_ms || brief->max_ms < min_ms) {
        MRD_BLOCK_FIGURE_ADD(options->figures, skipped_time, 1);
    } else if (is_covered(options, brief)) {
        MRD_BLOCK_FIGURE_ADD(options->figures, covered, 1);
    } else if (!mrd_block_entry_may_match(brief->entry, select->tenant, NULL, 0, min_ms,
                                          select->max_ms)) {
        MRD_BLOCK_FIGURE_ADD(options->figures, skipped_tenant, 1);
    } else if (!mrd_block_entry_may_match(brief->entry, select->tenant, select->matchers,
                                          select->matcher_count, min_ms, select->max_ms)) {
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
                   const struct mrd_block_select *select, bool by_partition,
                   const struct mrd_block_list *list, struct mrd_buf *picks)
{
    const mrd_time_ms min_ms = mrd_time_earlier(select->min_ms, select->histograms_before_ms);
    size_t at = 0;
    for (; at < list->count && list->items[at].max_ms >= min_ms; at++) {
        const struct mrd_block_brief *brief = &list->items[at];
        if (!is_read(options, brief, select)) {
            continue;
        }
        const bool once = brief->level == 0 || !by_partition;
        for (uint32_t p = 0; p < (once ? 1U : options->partition_count); p++) {
            add(picks, brief->entry, brief->level == 0 ? brief->partition : p);
        }
    }
    MRD_BLOCK_FIGURE_ADD(options->figures, considered, list->count);
    MRD_BLOCK_FIGURE_ADD(options->figures, skipped_time, list->count - at);
}

enum mrd_status mrd_block_picks_make(const struct mrd_block_source_options *options,
                                     const struct mrd_block_select *select, bool by_partition,
                                     struct mrd_arena *arena, struct mrd_block_picks *out,
                                     struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf picks;
    struct mrd_block_list lists[MRD_BLOCK_LISTS];
    mrd_buf_init(&picks, mrd_arena_limit(arena));
    mrd_block_index_lists(options->index, select->tenant, lists);
    for (size_t i = 0; i < MRD_BLOCK_LISTS; i++) {
        gather(options, select, by_partition, &lists[i], &picks);
    }
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

const struct mrd_erasure **mrd_block_left_out(const struct mrd_block_source_options *options,
                                              const struct mrd_block_entry *entry, bool rows,
                                              struct mrd_block_select *select)
{
    const struct mrd_block_owed owed = mrd_block_index_owed(options->index, entry->id);
    select->erasures = owed.erasures;
    select->erasure_count = owed.count;
    if (options->hidden_count == 0 || rows) {
        return NULL;
    }
    const struct mrd_erasure **left =
        calloc(owed.count + options->hidden_count, sizeof(const struct mrd_erasure *));
    mrd_assert(left != NULL);
    for (size_t i = 0; i < owed.count; i++) {
        left[i] = owed.erasures[i];
    }
    for (size_t i = 0; i < options->hidden_count; i++) {
        const struct mrd_erasure *hidden = &options->hidden[i];
        if (hidden->time_max_ms >= wanted_from(entry, select) &&
            hidden->time_max_ms >= entry->counts.min_ms) {
            left[select->erasure_count++] = hidden;
        }
    }
    select->erasures = left;
    return left;
}
