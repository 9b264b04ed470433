#include "querier/tiers.h"

#include <inttypes.h>

#include "codec/resets.h"

/* What heads hold, and whom to ask so that this holds. A head that does not say where it begins, or a partition without a head, needs
 * all blocks and excludes nobody. */
static enum mrd_status look_at_heads(const struct mrd_members_snapshot *members,
                                     const struct qry_block_view *view, bool gaps_known,
                                     uint32_t partition_count, struct mrd_block_cover *covers,
                                     uint64_t *firsts, struct mrd_error *err)
{
    for (uint32_t p = 0; p < partition_count; p++) {
        struct mrd_block_cover *cover = &covers[p];
        qry_cluster_held(members, p, &cover->sequence_first, &cover->sequence_last);
        firsts[p] = cover->sequence_first;
        const uint64_t next = MRD_MAX(view->sequences_next[p], (uint64_t)1);
        if (!gaps_known && cover->sequence_first != UINT64_MAX && cover->sequence_first > next) {
            return mrd_fail(err, MRD_E_CONFLICT,
                            "the head of partition %" PRIu32 " begins at sequence %" PRIu64
                            " of the log, the blocks of the catalog end before %" PRIu64,
                            p, cover->sequence_first, next);
        }
    }
    return MRD_OK;
}

enum mrd_status qry_tiers_init(struct qry_tiers *tiers, const struct mrd_members_snapshot *members,
                               const struct qry_block_view *view, bool gaps_known,
                               struct mrd_arena *arena, struct mrd_source *out,
                               struct mrd_error *err)
{
    struct qry_remote_options *remote = &tiers->remote->options;
    const uint32_t count = remote->cluster->partition_count;
    struct mrd_block_cover *covers = mrd_arena_alloc_array(arena, count, sizeof(*covers));
    uint64_t *firsts = mrd_arena_alloc_array(arena, count, sizeof(*firsts));
    if (covers == NULL || firsts == NULL) {
        return mrd_arena_fail(arena, err);
    }
    MRD_TRY(look_at_heads(members, view, gaps_known, count, covers, firsts, err));
    remote->in_order = true;
    remote->sequences_first_max = firsts;
    struct mrd_block_source_options *blocks = &tiers->blocks.options;
    blocks->entries = view->entries;
    blocks->entry_count = view->entry_count;
    blocks->covers = covers;
    blocks->partition_count = count;
    blocks->tenant = remote->tenant;
    blocks->series_max = remote->series_max;
    blocks->samples_max = remote->samples_max;
    blocks->partial = remote->partial;
    blocks->floor_ms = remote->floor_ms;
    tiers->head_source = qry_remote_source(tiers->remote);
    tiers->block_source = mrd_block_source_get(&tiers->blocks);
    tiers->tiers = (struct mrd_tiers){
        .head = &tiers->head_source,
        .blocks = &tiers->block_source,
        .needs_blocks = mrd_block_source_needed,
        .context = &tiers->blocks,
        .merge = {.samples_max = remote->samples_max, .find_resets = mrd_histograms_find_resets}
    };
    *out = mrd_tiers_source(&tiers->tiers);
    return MRD_OK;
}
