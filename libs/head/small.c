/* Small answers, read beside other readers: nothing of the head is written, not even scratch. So lists are not sorted, matchers
 * look at the labels of each series, and what needs scratch to be read is left to selects. */
#include "head/head_internal.h"

/* Copies the list that is to be looked through. False: it is long. */
static bool candidates_take(struct mrd_head *head, uint32_t tenant,
                            const struct mrd_head_query *query, struct head_numbers *out)
{
    const size_t matchers = head_tenant(head, tenant)->indexed ? query->matcher_count : 0;
    struct head_list *least =
        tenant == 0 ? NULL : head_shortest_list(head, tenant, query->matchers, matchers);
    const uint32_t count = least == NULL ? 0 : least->count;
    if (count > HEAD_SMALL_SERIES) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        head_numbers_add(out, head_list_items(head, least)[i]);
    }
    return true;
}

static bool is_plain(const struct mrd_head *head, uint32_t ordinal)
{
    return head_series(head, ordinal)->late == 0 && head_starts(head, ordinal) == NULL &&
           head_histograms(head, ordinal) == NULL;
}

/* The cursor has its series; false: they are too much, or not plain. */
static bool read_small(struct mrd_head_cursor *cursor, size_t bytes_max,
                       struct mrd_head_selection *out)
{
    for (; cursor->at < cursor->count; cursor->at++) {
        const uint32_t ordinal = cursor->ordinals[cursor->at];
        if (!is_plain(cursor->head, ordinal)) {
            return false;
        }
        head_append_series(cursor, ordinal, out);
        if (out->frames.size > bytes_max ||
            (cursor->samples_max != 0 && out->sample_count > cursor->samples_max)) {
            return false;
        }
    }
    mrd_assert(!out->frames.failed);
    return true;
}

/* False: not small. */
static bool series_read(struct mrd_head *head, const struct mrd_head_query *query, size_t bytes_max,
                        const struct head_numbers *found, struct mrd_head_selection *out)
{
    struct head_numbers chain = {0};
    struct mrd_head_cursor cursor = {
        .head = head,
        .time_min_ms = query->time_min_ms,
        .time_max_ms = query->time_max_ms,
        .histograms_before_ms = query->histograms_before_ms,
        .samples_max = query->samples_max,
        .labels_only = query->labels_only,
        .chain = &chain,
        .ordinals = found->items,
        .count = found->count,
    };
    const bool small = read_small(&cursor, bytes_max, out);
    head_numbers_fini(&chain);
    return small;
}

/* False: not small. */
static bool find(struct mrd_head *head, const struct mrd_head_query *query,
                 struct head_numbers *out)
{
    const uint32_t tenant = head_tenant_find(head, query->tenant);
    if (!candidates_take(head, tenant, query, out)) {
        return false;
    }
    if (out->count > 0) {
        head_match_few(head, tenant, query, out);
    }
    if (query->in_order) {
        mrd_assert(head_order(head, out->items, out->count, NULL, NULL) == MRD_OK);
    }
    return query->series_max == 0 || out->count <= query->series_max;
}

bool mrd_head_select_small(struct mrd_head *head, const struct mrd_head_query *query,
                           size_t bytes_max, struct mrd_head_selection **out_selection)
{
    struct mrd_head_query unpaused = *query;
    unpaused.pause = (struct mrd_head_pause){0};
    struct head_numbers found = {0};
    mrd_auto(mrd_head_selection_destroy)
    struct mrd_head_selection *selection = calloc(1, sizeof(*selection));
    mrd_assert(selection != NULL);
    const bool small =
        find(head, &unpaused, &found) && series_read(head, query, bytes_max, &found, selection);
    head_numbers_fini(&found);
    if (small) {
        *out_selection = selection->series_count == 0 ? NULL : MRD_MOVE(selection);
    }
    return small;
}
