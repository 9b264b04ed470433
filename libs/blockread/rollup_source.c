#include "blockread/rollup_source.h"

#include <stdlib.h>

#include "blockread/rollup_set.h"

/* ---- which blocks ---- */

/* The tenant's blocks of samples, and those of many tenants. */
static void sample_lists(const struct mrd_rollup_source *source,
                         struct mrd_block_list out[MRD_BLOCK_LISTS])
{
    const struct mrd_block_source_options *blocks = &source->options.blocks->options;
    mrd_block_index_lists(blocks->index, blocks->tenant, out);
}

static struct mrd_block_list rollup_list(const struct mrd_rollup_source *source)
{
    const struct mrd_block_source_options *blocks = &source->options.blocks->options;
    return mrd_block_index_rollups(blocks->index, blocks->tenant);
}

/* Ids, sorted. */
struct ids {
    struct mrd_buf items; /* struct mrd_bytes */
};

static int compare_ids(const void *a, const void *b)
{
    return mrd_bytes_compare(*(const struct mrd_bytes *)a, *(const struct mrd_bytes *)b);
}

static void ids_add(struct ids *ids, struct mrd_bytes id)
{
    mrd_buf_append(&ids->items, &id, sizeof(id));
}

static void ids_sort(struct ids *ids)
{
    if (ids->items.size > 0) {
        qsort(ids->items.data, ids->items.size / sizeof(struct mrd_bytes), sizeof(struct mrd_bytes),
              compare_ids);
    }
}

static bool ids_have(const struct ids *ids, struct mrd_bytes id)
{
    return ids->items.size > 0 && bsearch(&id, ids->items.data, ids->items.size / sizeof(id),
                                          sizeof(id), compare_ids) != NULL;
}

static bool owes(const struct mrd_rollup_source *source, struct mrd_bytes block)
{
    return mrd_block_index_owed(source->options.blocks->options.index, block).count > 0;
}

/* All of its parents are there, or none, and nothing is to be left out of it. */
static bool is_usable(const struct mrd_rollup_source *source, const struct mrd_block_entry *rollup,
                      const struct ids *live)
{
    size_t found = 0;
    if (owes(source, rollup->id)) {
        return false;
    }
    for (size_t i = 0; i < rollup->origin.parent_count; i++) {
        found += ids_have(live, rollup->origin.parents[i]);
        if (owes(source, rollup->origin.parents[i])) {
            return false;
        }
    }
    return rollup->origin.parent_count > 0 && (found == 0 || found == rollup->origin.parent_count);
}

/* The rollups of a resolution that may be used, of any time and labels. */
static void find_rollups(const struct mrd_rollup_source *source, mrd_time_ms resolution_ms,
                         struct mrd_rollup_list *out)
{
    const struct mrd_block_list rollups = rollup_list(source);
    struct mrd_block_list lists[MRD_BLOCK_LISTS];
    struct ids live = {0};
    sample_lists(source, lists);
    for (size_t i = 0; i < lists[0].count; i++) {
        ids_add(&live, lists[0].items[i].entry->id);
    }
    ids_sort(&live);
    for (size_t i = 0; i < rollups.count; i++) {
        const struct mrd_block_entry *entry = rollups.items[i].entry;
        if (entry->resolution_ms == resolution_ms && is_usable(source, entry, &live)) {
            mrd_rollup_list_add(out, entry);
        }
    }
    mrd_buf_fini(&live.items);
    mrd_rollup_list_sort(out);
}

/* ---- spans ---- */

/* The times of what a block has of the tenant. */
static struct mrd_block_counts counts_of(const struct mrd_rollup_source *source,
                                         const struct mrd_block_entry *entry)
{
    const struct mrd_bytes tenant = source->options.blocks->options.tenant;
    for (uint64_t i = 0; entry->tenants != NULL && i < entry->tenant_count; i++) {
        if (mrd_bytes_equal(entry->tenants[i].name, tenant)) {
            return entry->tenants[i].counts;
        }
    }
    return entry->counts;
}

/* Takes out where blocks have samples that no row stands for. */
static void cut_blocks(const struct mrd_rollup_source *source, const struct mrd_select *select,
                       mrd_time_ms resolution_ms, const struct mrd_rollup_list *rollups,
                       struct mrd_coarse_spans *spans)
{
    const struct mrd_block_source_options *blocks = &source->options.blocks->options;
    struct ids covered = {0};
    for (size_t i = 0; i < rollups->count; i++) {
        const struct mrd_block_origin *origin = &rollups->items[i]->origin;
        for (size_t k = 0; k < origin->parent_count; k++) {
            ids_add(&covered, origin->parents[k]);
        }
    }
    ids_sort(&covered);
    struct mrd_block_list lists[MRD_BLOCK_LISTS];
    sample_lists(source, lists);
    for (size_t k = 0; k < MRD_BLOCK_LISTS; k++) {
        for (size_t i = 0;
             i < lists[k].count && lists[k].items[i].max_ms >= select->min_ms && spans->count > 0;
             i++) {
            const struct mrd_block_entry *entry = lists[k].items[i].entry;
            if (!ids_have(&covered, entry->id) &&
                mrd_block_entry_may_match(entry, blocks->tenant, select->matchers,
                                          select->matcher_count, select->min_ms, select->max_ms)) {
                const struct mrd_block_counts counts = counts_of(source, entry);
                mrd_coarse_spans_cut(spans, counts.min_ms - 1, counts.max_ms, resolution_ms);
            }
        }
    }
    mrd_buf_fini(&covered.items);
}

static bool same_parents(const struct mrd_block_entry *a, const struct mrd_block_entry *b)
{
    return a->origin.parent_count == b->origin.parent_count &&
           mrd_bytes_equal(a->origin.parents[0], b->origin.parents[0]);
}

/* Takes out where rows of different merges lie beside each other: which samples came first is not known there. */
static void cut_overlaps(mrd_time_ms resolution_ms, const struct mrd_rollup_list *rollups,
                         struct mrd_coarse_spans *spans)
{
    for (size_t i = 0; i < rollups->count; i++) {
        const struct mrd_block_counts *a = &rollups->items[i]->counts;
        for (size_t k = i + 1; k < rollups->count; k++) { /* which begin later */
            const struct mrd_block_counts *b = &rollups->items[k]->counts;
            const bool one_window = b->min_ms == a->max_ms && a->min_ms < b->max_ms;
            if (b->min_ms > a->max_ms) {
                break;
            }
            if (!one_window && !same_parents(rollups->items[i], rollups->items[k])) {
                mrd_coarse_spans_cut(spans, b->min_ms - resolution_ms,
                                     MRD_MIN(a->max_ms, b->max_ms), resolution_ms);
            }
        }
    }
}

static void cut_times(const mrd_time_ms *times_ms, size_t count, mrd_time_ms resolution_ms,
                      struct mrd_coarse_spans *spans)
{
    for (size_t i = 0; i < count && spans->count > 0;) {
        const mrd_time_ms end_ms = mrd_rollup_window_end(times_ms[i], resolution_ms);
        mrd_coarse_spans_cut(spans, end_ms - resolution_ms, end_ms, resolution_ms);
        while (i < count && times_ms[i] <= end_ms) {
            i++;
        }
    }
}

/* Takes out the windows in which heads have something: it may be newer than the blocks. */
static enum mrd_status cut_heads(const struct mrd_rollup_source *source,
                                 const struct mrd_select *select, mrd_time_ms resolution_ms,
                                 const struct mrd_query_scope *scope,
                                 struct mrd_coarse_spans *spans, struct mrd_error *err)
{
    const struct mrd_source *heads = source->options.heads;
    struct mrd_source_set *set = NULL;
    enum mrd_status status = MRD_OK;
    bool more = true;
    if (heads == NULL || spans->count == 0) {
        return MRD_OK;
    }
    struct mrd_select asked = {.matchers = select->matchers,
                               .matcher_count = select->matcher_count,
                               .min_ms = spans->items[0].begin_ms + 1,
                               .max_ms = spans->items[spans->count - 1].end_ms};
    MRD_TRY(heads->open(heads->context, &asked, scope, &set, err));
    while (status == MRD_OK && more && spans->count > 0) {
        struct mrd_source_series series = {0};
        status = mrd_query_check(scope->control, err);
        if (status == MRD_OK) {
            status = heads->next(set, &series, &more, err);
        }
        if (status == MRD_OK && more) {
            cut_times(series.samples.times_ms, series.samples.count, resolution_ms, spans);
            cut_times(series.histograms.times_ms, series.histograms.count, resolution_ms, spans);
        }
    }
    heads->close(set);
    return status;
}

/* Of the windows that end at that time or before. */
static mrd_time_ms last_window_end(mrd_time_ms time_ms, mrd_time_ms resolution_ms)
{
    const mrd_time_ms end_ms = mrd_rollup_window_end(time_ms, resolution_ms);
    return end_ms == time_ms ? end_ms : end_ms - resolution_ms;
}

/* The whole windows of the range, from the floor on. */
static void whole_windows(const struct mrd_rollup_source *source, const struct mrd_select *select,
                          mrd_time_ms resolution_ms, struct mrd_coarse_spans *out)
{
    const struct mrd_rollup_source_options *options = &source->options;
    const mrd_time_ms floor_ms = options->floor_ms == NULL
                                     ? options->blocks->options.floor_ms
                                     : options->floor_ms(options->floor_context, resolution_ms);
    const mrd_time_ms first_ms = MRD_MAX(select->min_ms, floor_ms);
    out->count = 0;
    if (!mrd_block_time_fits(first_ms) || !mrd_block_time_fits(select->max_ms)) {
        return;
    }
    const mrd_time_ms begin_ms = mrd_rollup_window_end(first_ms - 1, resolution_ms);
    const mrd_time_ms end_ms = last_window_end(select->max_ms, resolution_ms);
    if (begin_ms < end_ms) {
        out->items[out->count++] = (struct mrd_coarse_span){begin_ms, end_ms};
    }
}

/* What comes after all blocks is the heads' alone: no need to ask them. */
static void cut_recent(const struct mrd_rollup_list *rollups, mrd_time_ms resolution_ms,
                       struct mrd_coarse_spans *spans)
{
    mrd_time_ms last_ms = INT64_MIN;
    for (size_t i = 0; i < rollups->count; i++) {
        last_ms = MRD_MAX(last_ms, rollups->items[i]->counts.max_ms);
    }
    if (rollups->count == 0) {
        spans->count = 0;
    } else if (spans->count > 0) {
        mrd_coarse_spans_cut(spans, last_ms, spans->items[spans->count - 1].end_ms, resolution_ms);
    }
}

/* Before which time rows of a rule's series are hidden: where samples are hidden later or rows are, the other one answers. */
static mrd_time_ms rows_before(const struct mrd_rollup_source *source, size_t rule,
                               mrd_time_ms resolution_ms)
{
    const struct mrd_rollup_source_options *options = &source->options;
    return options->hidden_ms(options->hidden_context, rule, resolution_ms);
}

/* Takes out where a rule keeps samples of a series and no rows. Where it keeps rows for longer, other series may have nothing else before
 * that time: rows stay, on either side of it, so that none is joined of what is hidden and what is not. */
static void cut_hidden(const struct mrd_rollup_source *source, const struct mrd_select *select,
                       mrd_time_ms resolution_ms, struct mrd_coarse_spans *spans)
{
    const struct mrd_hidden_rules *rules = &source->options.hidden;
    for (size_t i = 0; i < rules->count && spans->count > 0; i++) {
        const mrd_time_ms rows_ms = rows_before(source, i, resolution_ms);
        const mrd_time_ms samples_ms = rules->items[i].before_ms;
        if (rows_ms <= select->min_ms ||
            !mrd_hidden_meets(&rules->items[i], select->matchers, select->matcher_count)) {
            continue;
        }
        if (rows_ms >= samples_ms) {
            const mrd_time_ms from_ms = MRD_MAX(samples_ms, spans->items[0].begin_ms + 1);
            mrd_coarse_spans_cut(spans, from_ms - 1, rows_ms, resolution_ms);
        } else {
            mrd_coarse_spans_divide(spans, mrd_rollup_window_end(rows_ms - 1, resolution_ms));
        }
    }
}

static enum mrd_status source_spans(void *context, const struct mrd_select *select,
                                    mrd_time_ms resolution_ms, const struct mrd_query_scope *scope,
                                    struct mrd_coarse_spans *out, struct mrd_error *err);

/* Takes the windows that meet (begin, end] out, as far as the finer rows answer for whole ones. */
static void cut_to_finer(const struct mrd_coarse_spans *finer, struct mrd_coarse_span hidden,
                         mrd_time_ms resolution_ms, struct mrd_coarse_spans *spans)
{
    for (size_t i = 0; i < finer->count; i++) {
        const mrd_time_ms from_ms = mrd_rollup_window_end(finer->items[i].begin_ms, resolution_ms);
        const mrd_time_ms until_ms = last_window_end(finer->items[i].end_ms, resolution_ms);
        const mrd_time_ms begin_ms = MRD_MAX(hidden.begin_ms, from_ms);
        const mrd_time_ms end_ms = MRD_MIN(hidden.end_ms, until_ms);
        if (begin_ms < end_ms) {
            mrd_coarse_spans_cut(spans, begin_ms, end_ms, resolution_ms);
        }
    }
}

/* Takes out where a rule keeps finer rows of a series and not these, if the finer ones are there: other series may have nothing else. */
static enum mrd_status leave_to_finer(const struct mrd_rollup_source *source,
                                      const struct mrd_select *select, mrd_time_ms resolution_ms,
                                      mrd_time_ms finer_ms, const struct mrd_query_scope *scope,
                                      struct mrd_coarse_spans *spans, struct mrd_error *err)
{
    const struct mrd_hidden_rules *rules = &source->options.hidden;
    struct mrd_coarse_spans finer = {.count = 0};
    bool known = false;
    for (size_t i = 0; i < rules->count && spans->count > 0; i++) {
        const struct mrd_coarse_span hidden = {rows_before(source, i, finer_ms),
                                               rows_before(source, i, resolution_ms)};
        if (hidden.begin_ms >= hidden.end_ms || hidden.end_ms <= select->min_ms ||
            !mrd_hidden_meets(&rules->items[i], select->matchers, select->matcher_count)) {
            continue;
        }
        if (!known) {
            MRD_TRY(source_spans((void *)(uintptr_t)source, select, finer_ms, scope, &finer, err));
            known = true;
        }
        cut_to_finer(&finer, hidden, resolution_ms, spans);
    }
    return MRD_OK;
}

/* What of the rows of a resolution is hidden. *out is in the query's arena. */
static enum mrd_status hide_rows(const struct mrd_rollup_source *source, mrd_time_ms resolution_ms,
                                 struct mrd_arena *arena, struct mrd_hidden_rules *out,
                                 struct mrd_error *err)
{
    const struct mrd_hidden_rules *rules = &source->options.hidden;
    *out = (struct mrd_hidden_rules){0};
    if (rules->count == 0) {
        return MRD_OK;
    }
    struct mrd_hidden_rule *items = mrd_arena_alloc_array(arena, rules->count, sizeof(*items));
    if (items == NULL) {
        return mrd_arena_fail(arena, err);
    }
    for (size_t i = 0; i < rules->count; i++) {
        items[i] = rules->items[i];
        items[i].before_ms = MRD_MIN(items[i].before_ms, rows_before(source, i, resolution_ms));
    }
    *out = (struct mrd_hidden_rules){items, rules->count};
    return MRD_OK;
}

static enum mrd_status source_spans(void *context, const struct mrd_select *select,
                                    mrd_time_ms resolution_ms, const struct mrd_query_scope *scope,
                                    struct mrd_coarse_spans *out, struct mrd_error *err)
{
    const struct mrd_rollup_source *source = context;
    struct mrd_rollup_list rollups = {0};
    whole_windows(source, select, resolution_ms, out);
    find_rollups(source, resolution_ms, &rollups);
    cut_recent(&rollups, resolution_ms, out);
    cut_overlaps(resolution_ms, &rollups, out);
    cut_blocks(source, select, resolution_ms, &rollups, out);
    cut_hidden(source, select, resolution_ms, out);
    mrd_rollup_list_fini(&rollups);
    for (size_t i = 0;
         i < source->coarse.resolution_count && source->resolutions_ms[i] < resolution_ms; i++) {
        MRD_TRY(leave_to_finer(source, select, resolution_ms, source->resolutions_ms[i], scope, out,
                               err));
    }
    return cut_heads(source, select, resolution_ms, scope, out, err);
}

/* ---- rows ---- */

static enum mrd_status source_open(void *context, const struct mrd_select *select,
                                   const struct mrd_coarse_wanted *wanted,
                                   const struct mrd_query_scope *scope,
                                   struct mrd_coarse_set **out_set, struct mrd_error *err)
{
    const struct mrd_rollup_source *source = context;
    const struct mrd_bytes tenant = source->options.blocks->options.tenant;
    struct mrd_rollup_list rollups = {0};
    struct mrd_hidden_rules hidden;
    size_t kept = 0;
    MRD_TRY(hide_rows(source, wanted->resolution_ms, scope->arena, &hidden, err));
    find_rollups(source, wanted->resolution_ms, &rollups);
    for (size_t i = 0; i < rollups.count; i++) {
        if (mrd_block_entry_may_match(rollups.items[i], tenant, select->matchers,
                                      select->matcher_count, select->min_ms, select->max_ms)) {
            rollups.items[kept++] = rollups.items[i];
        }
    }
    rollups.count = kept;
    return mrd_rollup_set_open(source->options.blocks, &rollups, &hidden, select, wanted, scope,
                               out_set, err);
}

const struct mrd_coarse *mrd_rollup_source_init(struct mrd_rollup_source *source)
{
    const struct mrd_block_list rollups = rollup_list(source);
    size_t found = 0;
    for (size_t i = 0; i < rollups.count; i++) {
        const mrd_time_ms resolution_ms = rollups.items[i].entry->resolution_ms;
        size_t at = 0;
        while (at < found && source->resolutions_ms[at] < resolution_ms) {
            at++;
        }
        const bool known = at < found && source->resolutions_ms[at] == resolution_ms;
        if (known || found == MRD_ROLLUP_SOURCE_RESOLUTIONS_MAX) {
            continue;
        }
        memmove(&source->resolutions_ms[at + 1], &source->resolutions_ms[at],
                (found - at) * sizeof(source->resolutions_ms[0]));
        source->resolutions_ms[at] = resolution_ms;
        found++;
    }
    source->coarse = (struct mrd_coarse){.context = source,
                                         .resolutions_ms = source->resolutions_ms,
                                         .resolution_count = found,
                                         .spans = source_spans,
                                         .open = source_open,
                                         .next = mrd_rollup_set_next,
                                         .close = mrd_rollup_set_close};
    return &source->coarse;
}
