/* What a tenant has in the head, for whoever looks at it. */
#include "head/head_internal.h"

static void see(struct mrd_head_tenant_figures *figures, mrd_time_ms first_ms, mrd_time_ms last_ms)
{
    figures->time_min_ms = MRD_MIN(figures->time_min_ms, first_ms);
    figures->time_max_ms = MRD_MAX(figures->time_max_ms, last_ms);
}

static void add_chunks(const struct mrd_head *head, const struct head_hot *hot,
                       struct mrd_head_tenant_figures *figures)
{
    for (mrd_pool_handle at = hot->chunks; at != 0;) {
        const struct head_chunk *chunk = head_at(head, at);
        const mrd_time_ms first_ms = head_chunk_first_ms(chunk);
        figures->chunks++;
        see(figures, first_ms, first_ms + (mrd_time_ms)chunk->span_ms);
        at = chunk->next;
    }
    if (hot->open.count > 0) {
        figures->chunks++;
        see(figures, head_tail_first_ms(head, hot), hot->open.last_time_ms);
    }
}

/* Samples that stand beside the chunks are a chunk of their own in a selection. */
static void add_late(const struct mrd_head *head, mrd_pool_handle late,
                     struct mrd_head_tenant_figures *figures)
{
    const struct head_late_block *block = late == 0 ? NULL : head_at(head, late);
    bool any = false;
    for (uint32_t i = 0; block != NULL && i < block->count; i++) {
        if (!head_late_is_mark(&block->items[i])) {
            see(figures, block->items[i].time_ms, block->items[i].time_ms);
            any = true;
        }
    }
    figures->chunks += any;
}

static void add_histograms(const struct mrd_head *head, uint32_t ordinal,
                           struct mrd_head_tenant_figures *figures)
{
    const struct head_histograms *histograms = head_histograms(head, ordinal);
    if (histograms == NULL) {
        return;
    }
    for (mrd_pool_handle at = histograms->chunks; at != 0;) {
        const struct head_histogram_chunk *chunk = head_at(head, at);
        figures->chunks++;
        see(figures, chunk->first_ms, chunk->last_ms);
        at = chunk->next;
    }
    add_late(head, histograms->floats, figures);
}

enum mrd_status mrd_head_tenant_figures(struct mrd_head *head, struct mrd_bytes tenant,
                                        const struct mrd_head_pause *pause,
                                        struct mrd_head_tenant_figures *out, struct mrd_error *err)
{
    *out = (struct mrd_head_tenant_figures){.time_min_ms = INT64_MAX, .time_max_ms = INT64_MIN};
    const uint32_t number = head_tenant_find(head, tenant);
    if (number == 0) {
        return MRD_OK;
    }
    struct head_list *list = &head_tenant(head, number)->series;
    const uint32_t *ordinals = head_list_items(head, list);
    for (uint32_t i = 0; i < list->count; i++) {
        if (head_series(head, ordinals[i])->state == SERIES_LIVE) {
            add_chunks(head, head_hot(head, ordinals[i]), out);
            add_late(head, head_series(head, ordinals[i])->late, out);
            add_histograms(head, ordinals[i], out);
        }
        MRD_TRY(head_pause(pause, i, HEAD_PAUSE_SERIES, err));
    }
    return MRD_OK;
}
