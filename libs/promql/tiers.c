#include "promql/tiers.h"

#include <stdlib.h>

struct mrd_source_set {
    const struct mrd_tiers *tiers;
    struct mrd_source_set *head; /* the head's set alone, or NULL: `merge` */
    struct mrd_series_merge *merge;
};

static enum mrd_status needs_blocks(const struct mrd_tiers *tiers, const struct mrd_select *select,
                                    const struct mrd_query_scope *scope, bool *out_needed,
                                    struct mrd_error *err)
{
    *out_needed = tiers->blocks != NULL;
    return *out_needed && tiers->needs_blocks != NULL
               ? tiers->needs_blocks(tiers->context, select, scope, out_needed, err)
               : MRD_OK;
}

static enum mrd_status list_needs_blocks(const struct mrd_tiers *tiers,
                                         const struct mrd_label_query *query,
                                         const struct mrd_query_scope *scope, bool *out_needed,
                                         struct mrd_error *err)
{
    const struct mrd_select range = {.min_ms = query->min_ms, .max_ms = query->max_ms};
    return needs_blocks(tiers, &range, scope, out_needed, err);
}

/* ---- selects ---- */

static void tiers_close(struct mrd_source_set *set)
{
    if (set->head != NULL) {
        set->tiers->head->close(set->head);
    }
    mrd_series_merge_destroy(&set->merge);
    free(set);
}

static struct mrd_source_set *set_create(const struct mrd_tiers *tiers)
{
    struct mrd_source_set *set = calloc(1, sizeof(*set));
    mrd_assert(set != NULL);
    set->tiers = tiers;
    return set;
}

/* The blocks, then the head: the later input counts. */
static enum mrd_status open_merged(struct mrd_source_set *set, const struct mrd_select *select,
                                   const struct mrd_query_scope *scope, struct mrd_error *err)
{
    const struct mrd_source *head = set->tiers->head;
    const struct mrd_source *blocks = set->tiers->blocks;
    struct mrd_series_input inputs[2] = {
        {NULL, blocks->next, blocks->close},
        {NULL, head->next,   head->close  },
    };
    MRD_TRY(head->open(head->context, select, scope, &inputs[1].set, err));
    const enum mrd_status status =
        blocks->open(blocks->context, select, scope, &inputs[0].set, err);
    if (status != MRD_OK) {
        head->close(inputs[1].set);
        return status;
    }
    struct mrd_series_merge_options options = set->tiers->merge;
    options.look = mrd_query_look(scope->control);
    set->merge = mrd_series_merge_create(inputs, MRD_ARRAY_LEN(inputs), &options);
    return MRD_OK;
}

static enum mrd_status tiers_open(void *context, const struct mrd_select *select,
                                  const struct mrd_query_scope *scope,
                                  struct mrd_source_set **out_set, struct mrd_error *err)
{
    const struct mrd_tiers *tiers = context;
    bool needed = false;
    MRD_TRY(needs_blocks(tiers, select, scope, &needed, err));
    struct mrd_source_set *set = set_create(tiers);
    const enum mrd_status status =
        needed ? open_merged(set, select, scope, err)
               : tiers->head->open(tiers->head->context, select, scope, &set->head, err);
    if (status != MRD_OK) {
        tiers_close(set);
        return status;
    }
    *out_set = set;
    return MRD_OK;
}

static enum mrd_status tiers_next(struct mrd_source_set *set, struct mrd_source_series *out,
                                  bool *out_more, struct mrd_error *err)
{
    return set->head != NULL ? set->tiers->head->next(set->head, out, out_more, err)
                             : mrd_series_merge_next(set->merge, out, out_more, err);
}

static enum mrd_status tiers_open_fragment(void *context, const struct mrd_select *select,
                                           const struct mrd_fragment *fragment,
                                           const struct mrd_query_scope *scope,
                                           struct mrd_source_set **out_set, struct mrd_error *err)
{
    const struct mrd_tiers *tiers = context;
    struct mrd_source_set *head = NULL;
    bool needed = false;
    if (tiers->head->open_fragment == NULL) {
        return MRD_OK;
    }
    MRD_TRY(needs_blocks(tiers, select, scope, &needed, err));
    if (needed) {
        return MRD_OK;
    }
    MRD_TRY(tiers->head->open_fragment(tiers->head->context, select, fragment, scope, &head, err));
    if (head != NULL) {
        *out_set = set_create(tiers);
        (*out_set)->head = head;
    }
    return MRD_OK;
}

static enum mrd_status tiers_next_states(struct mrd_source_set *set, struct mrd_bytes *out,
                                         bool *out_more, struct mrd_error *err)
{
    return set->tiers->head->next_states(set->head, out, out_more, err);
}

/* ---- names, values and series for the API: the union of both ---- */

/* Merges two sorted lists of items of item_size bytes, cut at the limit. */
static enum mrd_status join_lists(const struct mrd_query_scope *scope,
                                  const struct mrd_bytes lists[2], size_t item_size, size_t limit,
                                  int (*compare)(const void *, const void *), struct mrd_bytes *out,
                                  bool *out_cut, struct mrd_error *err)
{
    const uint8_t *a = lists[0].data;
    const uint8_t *b = lists[1].data;
    const uint8_t *a_end = lists[0].size == 0 ? a : a + lists[0].size;
    const uint8_t *b_end = lists[1].size == 0 ? b : b + lists[1].size;
    uint8_t *items = mrd_arena_alloc(scope->arena, lists[0].size + lists[1].size + 1);
    size_t size = 0;
    const struct mrd_look look = mrd_query_look(scope->control);
    struct mrd_pace pace = {.look = &look};
    if (items == NULL) {
        return mrd_arena_fail(scope->arena, err);
    }
    while ((a < a_end || b < b_end) && (limit == 0 || size < limit * item_size)) {
        const int order = a == a_end ? 1 : b == b_end ? -1 : compare(a, b);
        memcpy(items + size, order <= 0 ? a : b, item_size);
        size += item_size;
        a += order <= 0 ? item_size : 0;
        b += order >= 0 ? item_size : 0;
        MRD_TRY(mrd_pace(&pace, 4, err));
    }
    *out_cut = a < a_end || b < b_end;
    *out = (struct mrd_bytes){items, size};
    return MRD_OK;
}

static int compare_texts(const void *a, const void *b)
{
    return mrd_bytes_compare(*(const struct mrd_bytes *)a, *(const struct mrd_bytes *)b);
}

static int compare_label_sets(const void *a, const void *b)
{
    return mrd_labels_compare(*(const struct mrd_labels *)a, *(const struct mrd_labels *)b);
}

static enum mrd_status join_texts(const struct mrd_query_scope *scope, size_t limit,
                                  const struct mrd_texts lists[2], struct mrd_texts *out,
                                  struct mrd_error *err)
{
    const struct mrd_bytes bytes[2] = {
        {(const uint8_t *)lists[0].items, lists[0].count * sizeof(struct mrd_bytes)},
        {(const uint8_t *)lists[1].items, lists[1].count * sizeof(struct mrd_bytes)},
    };
    struct mrd_bytes items;
    bool cut = false;
    MRD_TRY(join_lists(scope, bytes, sizeof(struct mrd_bytes), limit, compare_texts, &items, &cut,
                       err));
    *out = (struct mrd_texts){(const struct mrd_bytes *)(const void *)items.data,
                              items.size / sizeof(struct mrd_bytes),
                              cut || lists[0].truncated || lists[1].truncated};
    return MRD_OK;
}

static enum mrd_status tiers_label_names(void *context, const struct mrd_label_query *query,
                                         const struct mrd_query_scope *scope, struct mrd_texts *out,
                                         struct mrd_error *err)
{
    const struct mrd_tiers *tiers = context;
    struct mrd_texts lists[2] = {{0}};
    bool needed = false;
    MRD_TRY(list_needs_blocks(tiers, query, scope, &needed, err));
    MRD_TRY(tiers->head->label_names(tiers->head->context, query, scope, &lists[0], err));
    if (!needed) {
        *out = lists[0];
        return MRD_OK;
    }
    MRD_TRY(tiers->blocks->label_names(tiers->blocks->context, query, scope, &lists[1], err));
    return join_texts(scope, query->limit, lists, out, err);
}

static enum mrd_status tiers_label_values(void *context, struct mrd_bytes name,
                                          const struct mrd_label_query *query,
                                          const struct mrd_query_scope *scope,
                                          struct mrd_texts *out, struct mrd_error *err)
{
    const struct mrd_tiers *tiers = context;
    struct mrd_texts lists[2] = {{0}};
    bool needed = false;
    MRD_TRY(list_needs_blocks(tiers, query, scope, &needed, err));
    MRD_TRY(tiers->head->label_values(tiers->head->context, name, query, scope, &lists[0], err));
    if (!needed) {
        *out = lists[0];
        return MRD_OK;
    }
    MRD_TRY(
        tiers->blocks->label_values(tiers->blocks->context, name, query, scope, &lists[1], err));
    return join_texts(scope, query->limit, lists, out, err);
}

static enum mrd_status tiers_series(void *context, const struct mrd_label_query *query,
                                    const struct mrd_query_scope *scope, struct mrd_label_sets *out,
                                    struct mrd_error *err)
{
    const struct mrd_tiers *tiers = context;
    struct mrd_label_sets lists[2] = {{0}};
    bool needed = false;
    MRD_TRY(list_needs_blocks(tiers, query, scope, &needed, err));
    MRD_TRY(tiers->head->series(tiers->head->context, query, scope, &lists[0], err));
    if (!needed) {
        *out = lists[0];
        return MRD_OK;
    }
    MRD_TRY(tiers->blocks->series(tiers->blocks->context, query, scope, &lists[1], err));
    const struct mrd_bytes bytes[2] = {
        {(const uint8_t *)lists[0].items, lists[0].count * sizeof(struct mrd_labels)},
        {(const uint8_t *)lists[1].items, lists[1].count * sizeof(struct mrd_labels)},
    };
    struct mrd_bytes items;
    bool cut = false;
    MRD_TRY(join_lists(scope, bytes, sizeof(struct mrd_labels), query->limit, compare_label_sets,
                       &items, &cut, err));
    *out = (struct mrd_label_sets){(const struct mrd_labels *)(const void *)items.data,
                                   items.size / sizeof(struct mrd_labels),
                                   cut || lists[0].truncated || lists[1].truncated};
    return MRD_OK;
}

struct mrd_source mrd_tiers_source(struct mrd_tiers *tiers)
{
    return (struct mrd_source){
        .context = tiers,
        .open = tiers_open,
        .next = tiers_next,
        .open_fragment = tiers_open_fragment,
        .next_states = tiers_next_states,
        .close = tiers_close,
        .label_names = tiers_label_names,
        .label_values = tiers_label_values,
        .series = tiers_series,
    };
}
