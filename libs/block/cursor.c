#include <stdlib.h>

#include "block/cursor_internal.h"

/* ---- where a cursor is ---- */

static const struct mbx_tenant *tenant_at(const struct mrd_block_cursor *cursor,
                                          const struct mbx_position *at)
{
    return &cursor->part->part->tenants[at->tenant];
}

static size_t series_count(const struct mrd_block_cursor *cursor, const struct mbx_position *at)
{
    return cursor->scan ? tenant_at(cursor, at)->series_count : cursor->chosen.count;
}

static const struct mbx_series *series_at(const struct mrd_block_cursor *cursor,
                                          const struct mbx_position *at)
{
    const size_t ordinal = cursor->scan ? at->series : cursor->chosen.items[at->series];
    return &tenant_at(cursor, at)->series[ordinal];
}

static const struct mbx_segment *segment_at(const struct mrd_block_cursor *cursor,
                                            const struct mbx_position *at)
{
    return &tenant_at(cursor, at)->segments[series_at(cursor, at)->segments_first + at->segment];
}

/* Moves a position that is behind a series or a tenant to what follows. False at the part's end. */
static bool settle(const struct mrd_block_cursor *cursor, struct mbx_position *at)
{
    while (at->tenant < cursor->tenants_end) {
        if (at->series == series_count(cursor, at)) {
            *at = (struct mbx_position){.tenant = at->tenant + 1};
        } else if (at->segment == series_at(cursor, at)->segments_count) {
            *at = (struct mbx_position){.tenant = at->tenant, .series = at->series + 1};
        } else {
            return true;
        }
    }
    return false;
}

static bool is_before(const struct mbx_position *a, const struct mbx_position *b)
{
    if (a->tenant != b->tenant) {
        return a->tenant < b->tenant;
    }
    return a->series != b->series ? a->series < b->series : a->segment < b->segment;
}

/* ---- windows ---- */

static uint64_t cost_of(const struct mrd_block_cursor *cursor, const struct mbx_segment *segment)
{
    const unsigned leaves = mbx_segment_leaves(cursor, segment);
    uint64_t cost = 0;
    for (unsigned leaf = 0; leaf < MBX_LEAVES_MAX; leaf++) {
        if ((leaves >> leaf & 1) != 0) {
            cost += mbx_pages_cost(&cursor->pages, (enum mbx_leaf)leaf, segment->page);
        }
    }
    return cost;
}

static void want(struct mrd_block_cursor *cursor, const struct mbx_segment *segment)
{
    const unsigned leaves = mbx_segment_leaves(cursor, segment);
    for (unsigned leaf = 0; leaf < MBX_LEAVES_MAX; leaf++) {
        if ((leaves >> leaf & 1) != 0) {
            mbx_pages_want(&cursor->pages, (enum mbx_leaf)leaf, segment->page);
        }
    }
}

/* Whether all pages from the cursor's position on are in the window, or decoded when their turn comes. */
static bool is_at_hand(const struct mrd_block_cursor *cursor)
{
    int64_t decoded[MBX_LEAVES_MAX];
    for (unsigned leaf = 0; leaf < MBX_LEAVES_MAX; leaf++) {
        decoded[leaf] = cursor->pages.columns[leaf].page;
    }
    for (struct mbx_position at = cursor->at; settle(cursor, &at); at.segment++) {
        const struct mbx_segment *segment = segment_at(cursor, &at);
        const unsigned leaves =
            mbx_segment_wanted(cursor, segment) ? mbx_segment_leaves(cursor, segment) : 0;
        for (unsigned leaf = 0; leaf < MBX_LEAVES_MAX; leaf++) {
            if ((leaves >> leaf & 1) == 0 || decoded[leaf] == (int64_t)segment->page) {
                continue;
            }
            if (!mbx_pages_have(&cursor->pages, (enum mbx_leaf)leaf, segment->page)) {
                return false;
            }
            decoded[leaf] = segment->page;
        }
    }
    return true;
}

/* Of the pages behind `page`, those of the columns in `leaves` that the window has room for. */
static void want_ahead(struct mrd_block_cursor *cursor, unsigned leaves, uint32_t page,
                       uint64_t bytes)
{
    for (uint32_t next = page + 1; next < cursor->part->part->page_count; next++) {
        for (unsigned leaf = 0; leaf < MBX_LEAVES_MAX; leaf++) {
            if ((leaves >> leaf & 1) != 0) {
                bytes += mbx_pages_cost(&cursor->pages, (enum mbx_leaf)leaf, next);
            }
        }
        if (bytes > cursor->options.window_bytes) {
            return;
        }
        for (unsigned leaf = 0; leaf < MBX_LEAVES_MAX; leaf++) {
            if ((leaves >> leaf & 1) != 0) {
                mbx_pages_want(&cursor->pages, (enum mbx_leaf)leaf, next);
            }
        }
    }
}

/* Plans from the cursor's position on what fits into a window, one run at least, and reads it. */
static enum mrd_status fetch_window(struct mrd_block_cursor *cursor, struct mrd_error *err)
{
    struct mbx_position at = cursor->at;
    uint64_t bytes = 0;
    unsigned leaves = 0;
    uint32_t page = 0;
    bool whole = true;
    if (cursor->options.ahead && is_at_hand(cursor)) {
        cursor->window_end = (struct mbx_position){.tenant = cursor->tenants_end};
        return MRD_OK;
    }
    mbx_pages_clear(&cursor->pages);
    const struct mrd_look look = mrd_objstore_look(cursor->block->control);
    struct mrd_pace pace = {.look = &look};
    for (bool first = true; settle(cursor, &at); at.segment++) {
        const struct mbx_segment *segment = segment_at(cursor, &at);
        MRD_TRY(mrd_pace(&pace, 2, err));
        mbx_erased_ranges(&cursor->erased, at.series, &cursor->erased_planned);
        if (!mbx_segment_wanted(cursor, segment) ||
            mbx_segment_gone(cursor, &cursor->erased_planned, segment)) {
            continue;
        }
        const uint64_t cost = cost_of(cursor, segment);
        if (!first && bytes + cost > cursor->options.window_bytes) {
            whole = false;
            break;
        }
        want(cursor, segment);
        bytes += cost;
        leaves |= mbx_segment_leaves(cursor, segment);
        page = segment->page;
        first = false;
    }
    cursor->window_end = at;
    if (cursor->options.ahead && whole) {
        want_ahead(cursor, leaves, page, bytes);
    }
    return mbx_pages_fetch(&cursor->pages, err);
}

/* ---- life ---- */

static struct mrd_block_cursor *create(struct mrd_block *block,
                                       const struct mrd_block_cursor_options *options)
{
    struct mrd_block_cursor *cursor = malloc(sizeof(*cursor));
    mrd_assert(cursor != NULL);
    memset(cursor, 0, offsetof(struct mrd_block_cursor, ts));
    cursor->block = block;
    cursor->options = *options;
    cursor->min_ms = INT64_MIN;
    cursor->histograms_min_ms = INT64_MIN;
    cursor->max_ms = INT64_MAX;
    cursor->options.columns = mbx_rollup_columns(&block->entry, options->columns);
    if (options->window_bytes == 0) {
        cursor->options.window_bytes = (size_t)16 << 20;
    }
    cursor->out.bytes_max =
        options->series_bytes_max == 0 ? (size_t)256 << 20 : options->series_bytes_max;
    cursor->out.arena = mrd_arena_create("histograms of a series", cursor->out.bytes_max);
    mbx_pages_init(&cursor->pages, block);
    return cursor;
}

void mrd_block_cursor_close(struct mrd_block_cursor **cursor_at)
{
    struct mrd_block_cursor *cursor = MRD_MOVE(*cursor_at);
    if (cursor == NULL) {
        return;
    }
    mbx_pages_fini(&cursor->pages);
    mbx_shared_unref(&cursor->part);
    mbx_numbers_fini(&cursor->chosen);
    mbx_erased_fini(&cursor->erased);
    mbx_ranges_fini(&cursor->erased_planned);
    mbx_ranges_fini(&cursor->erased_now);
    mrd_buf_fini(&cursor->labels);
    mrd_buf_fini(&cursor->canonical);
    mbx_output_fini(&cursor->out);
    mbx_fold_destroy(&cursor->fold);
    free(cursor->ends_ms);
    free(cursor);
}

static enum mrd_status limit_series(const struct mrd_block_cursor *cursor, struct mrd_error *err)
{
    const uint64_t most = cursor->options.series_max;
    return most == 0 || cursor->series_count <= most
               ? MRD_OK
               : mrd_fail(err, MRD_E_LIMIT,
                          "block %.*s: %llu series match, more than the limit of %llu",
                          MRD_FMT(cursor->block->entry.id),
                          (unsigned long long)cursor->series_count, (unsigned long long)most);
}

enum mrd_status mrd_block_select(struct mrd_block *block, const struct mrd_block_select *select,
                                 const struct mrd_block_cursor_options *options,
                                 struct mrd_block_cursor **out_cursor, struct mrd_error *err)
{
    mrd_auto(mrd_block_cursor_close)
    struct mrd_block_cursor *cursor = create(block, options);
    MRD_TRY(mrd_block_cursor_aim(cursor, select, err));
    *out_cursor = MRD_MOVE(cursor);
    return MRD_OK;
}

/* Another selection is told of other erasures, and counts for itself what they have. */
static void forget_erased(struct mrd_block_cursor *cursor)
{
    mbx_erased_fini(&cursor->erased);
    mbx_ranges_fini(&cursor->erased_planned);
    mbx_ranges_fini(&cursor->erased_now);
    cursor->erased = (struct mbx_erased){0};
    cursor->erased_planned = (struct mbx_ranges){0};
    cursor->erased_now = (struct mbx_ranges){0};
    cursor->pages.stats.erased = 0;
}

/* Turns to the part that has the tenant; NULL if none has: the cursor stays at its part. */
static enum mrd_status find_tenant(struct mrd_block_cursor *cursor, struct mrd_bytes name,
                                   const struct mbx_tenant **out, struct mrd_error *err)
{
    *out = cursor->part == NULL ? NULL : mbx_part_find(cursor->part->part, name);
    if (*out != NULL) {
        return MRD_OK;
    }
    struct mbx_shared *part;
    MRD_TRY(mbx_block_tenant(cursor->block, name, &part, out, err));
    if (*out != NULL) {
        mbx_shared_unref(&cursor->part);
        cursor->part = part;
        mbx_pages_part(&cursor->pages, part->part);
    }
    return MRD_OK;
}

static void set_labels(struct mrd_block_cursor *cursor)
{
    const struct mbx_tenant *tenant = tenant_at(cursor, &cursor->at);
    const struct mbx_series *series = series_at(cursor, &cursor->at);
    mrd_buf_clear(&cursor->labels);
    struct mrd_label *items = (struct mrd_label *)(void *)mrd_buf_reserve(
        &cursor->labels, series->refs_count * sizeof(*items));
    mrd_assert(items != NULL);
    cursor->series = (struct mrd_block_series){.tenant = tenant->name,
                                               .labels = mbx_labels(tenant, series, items)};
    mrd_buf_clear(&cursor->canonical);
    mrd_labels_encode(cursor->series.labels, &cursor->canonical);
    cursor->series.id =
        mrd_series_id_of(mrd_tenant_seed(tenant->name), mrd_buf_view(&cursor->canonical));
}

/* Those of the partition stay: pages of others are not to be read and decoded once for each. */
static enum mrd_status keep_partition(struct mrd_block_cursor *cursor,
                                      const struct mrd_block_select *select,
                                      const struct mrd_look *look, struct mrd_error *err)
{
    struct mbx_numbers *chosen = &cursor->chosen;
    struct mrd_pace pace = {.look = look};
    size_t kept = 0;
    for (cursor->at.series = 0; cursor->at.series < chosen->count; cursor->at.series++) {
        MRD_TRY(mrd_pace(&pace, 16, err));
        set_labels(cursor);
        if (mrd_series_partition(cursor->series.id, select->partition_count) == select->partition) {
            chosen->items[kept++] = chosen->items[cursor->at.series];
        }
    }
    cursor->at.series = 0;
    chosen->count = kept;
    return MRD_OK;
}

/* Whole series of samples, and nothing else. */
static bool yields_samples(const struct mrd_block_cursor *cursor)
{
    const struct mrd_block_cursor_options *options = &cursor->options;
    return cursor->block->entry.resolution_ms == 0 && !options->want_hlc && !options->pieces &&
           !options->labels_only;
}

enum mrd_status mrd_block_cursor_aim(struct mrd_block_cursor *cursor,
                                     const struct mrd_block_select *select, struct mrd_error *err)
{
    const struct mbx_tenant *tenant;
    mrd_assert(!cursor->scan);
    mrd_assert(select->erasure_count == 0 || cursor->block->entry.resolution_ms == 0);
    mbx_numbers_fini(&cursor->chosen);
    forget_erased(cursor);
    mrd_assert(select->histograms_before_ms == 0 || yields_samples(cursor));
    cursor->min_ms = select->min_ms;
    cursor->histograms_min_ms = mrd_time_earlier(select->min_ms, select->histograms_before_ms);
    cursor->max_ms = select->max_ms;
    cursor->series_count = 0;
    cursor->at = (struct mbx_position){0};
    cursor->window_end = (struct mbx_position){0};
    cursor->tenants_end = 0;
    MRD_TRY(find_tenant(cursor, select->tenant, &tenant, err));
    if (tenant == NULL) {
        return MRD_OK;
    }
    struct mrd_block_select wide = *select;
    wide.min_ms = cursor->histograms_min_ms;
    const struct mbx_query query = {select->matchers, select->matcher_count, select->min_ms,
                                    select->max_ms, wide.min_ms};
    const struct mrd_look look = mrd_objstore_look(cursor->block->control);
    MRD_TRY(mbx_match(tenant, &query, &look, &cursor->chosen, err));
    MRD_TRY(mbx_erased_init(&cursor->erased, tenant, &wide, cursor->options.labels_only, &look,
                            &cursor->chosen, &cursor->pages.stats.erased, err));
    cursor->series_count = cursor->chosen.count;
    cursor->at.tenant = (uint32_t)(tenant - cursor->part->part->tenants);
    MRD_TRY(limit_series(cursor, err));
    if (select->partition_count > 1 && select->erasure_count == 0) {
        MRD_TRY(keep_partition(cursor, select, &look, err));
        cursor->series_count = cursor->chosen.count;
    }
    cursor->window_end = cursor->at; /* nothing is read yet */
    cursor->tenants_end = cursor->at.tenant + 1;
    return MRD_OK;
}

enum mrd_status mrd_block_scan(struct mrd_block *block,
                               const struct mrd_block_cursor_options *options,
                               struct mrd_block_cursor **out_cursor, struct mrd_error *err)
{
    mrd_auto(mrd_block_cursor_close)
    struct mrd_block_cursor *cursor = create(block, options);
    cursor->scan = true;
    const struct mbx_directory *directory = block->directory->directory;
    for (size_t i = 0; i < directory->tenant_count; i++) {
        cursor->series_count += directory->tenants[i].counts.series;
    }
    MRD_TRY(limit_series(cursor, err));
    *out_cursor = MRD_MOVE(cursor);
    return MRD_OK;
}

uint64_t mrd_block_cursor_series(const struct mrd_block_cursor *cursor)
{
    return cursor->series_count;
}

struct mrd_block_cursor_stats mrd_block_cursor_stats(const struct mrd_block_cursor *cursor)
{
    return cursor->pages.stats;
}

/* ---- series ---- */

/* Turns a scan to its next part; false after the last. */
static enum mrd_status next_part(struct mrd_block_cursor *cursor, bool *out_any,
                                 struct mrd_error *err)
{
    *out_any = cursor->scan && cursor->part_next < cursor->block->directory->directory->part_count;
    if (!*out_any) {
        return MRD_OK;
    }
    mbx_shared_unref(&cursor->part);
    MRD_TRY(mbx_block_part(cursor->block, cursor->part_next, &cursor->part, err));
    cursor->part_next++;
    cursor->at = (struct mbx_position){0};
    cursor->window_end = (struct mbx_position){0};
    cursor->tenants_end = cursor->part->part->tenant_count;
    mbx_pages_part(&cursor->pages, cursor->part->part);
    return MRD_OK;
}

/* Of the histograms before the range the newest is enough. */
static void drop_early(struct mrd_block_cursor *cursor)
{
    struct mrd_histograms *histograms = &cursor->series.histograms;
    while (histograms->count > 1 && histograms->times_ms[1] < cursor->min_ms) {
        histograms->times_ms++;
        histograms->items++;
        histograms->count--;
        if (histograms->start_times_ms != NULL) {
            histograms->start_times_ms++;
        }
    }
}

static enum mrd_status set_samples(struct mrd_block_cursor *cursor, struct mrd_error *err)
{
    if (cursor->block->entry.resolution_ms != 0) {
        return mbx_rollup_output_view(&cursor->rollup_out, &cursor->options.asked,
                                      &cursor->series.rows, err);
    }
    const struct mbx_output *out = &cursor->out;
    cursor->series.samples = (struct mrd_samples){
        .times_ms = (const mrd_time_ms *)(const void *)out->times.data,
        .values = (const double *)(const void *)out->values.data,
        .count = out->times.size / sizeof(mrd_time_ms),
        .start_times_ms =
            out->any_start ? (const mrd_time_ms *)(const void *)out->starts.data : NULL,
    };
    cursor->series.histograms = (struct mrd_histograms){
        .times_ms = (const mrd_time_ms *)(const void *)out->h_times.data,
        .items = (const struct mrd_histogram *)(const void *)out->h_items.data,
        .count = out->h_times.size / sizeof(mrd_time_ms),
        .start_times_ms =
            out->any_h_start ? (const mrd_time_ms *)(const void *)out->h_starts.data : NULL,
    };
    drop_early(cursor);
    if (out->hlcs.size > 0) {
        cursor->series.sample_hlcs = (const mrd_hlc *)(const void *)out->hlcs.data;
    }
    if (out->h_hlcs.size > 0) {
        cursor->series.histogram_hlcs = (const mrd_hlc *)(const void *)out->h_hlcs.data;
    }
    return MRD_OK;
}

static bool has_rows(const struct mrd_block_cursor *cursor)
{
    return cursor->out.times.size + cursor->out.h_times.size + cursor->rollup_out.count > 0 ||
           cursor->rollup_out.alone != NULL;
}

/* Makes place for the rows of the series at hand that are left. */
static void begin_rows(struct mrd_block_cursor *cursor, struct mrd_arena *arena)
{
    const uint32_t count = series_at(cursor, &cursor->at)->segments_count;
    struct mbx_position at = cursor->at;
    size_t rows = 0;
    for (; at.segment < count; at.segment++) {
        const struct mbx_segment *segment = segment_at(cursor, &at);
        if (mbx_segment_wanted(cursor, segment)) {
            rows += mbx_rollup_rows_max(cursor, segment);
        }
    }
    mbx_rollup_output_begin(&cursor->rollup_out, arena, rows);
}

/* Decodes runs of the series at hand: all that are left, or as pieces the next one that has a sample. Rows come into the arena. */
static enum mrd_status read_series(struct mrd_block_cursor *cursor, struct mrd_arena *arena,
                                   bool *out_any, struct mrd_error *err)
{
    const uint32_t count = series_at(cursor, &cursor->at)->segments_count;
    mbx_output_clear(&cursor->out);
    if (cursor->block->entry.resolution_ms != 0) {
        begin_rows(cursor, arena);
    }
    mbx_erased_ranges(&cursor->erased, cursor->at.series, &cursor->erased_now);
    for (bool enough = false; cursor->at.segment < count && !enough; cursor->at.segment++) {
        const struct mbx_segment *segment = segment_at(cursor, &cursor->at);
        if (!mbx_segment_wanted(cursor, segment)) {
            continue;
        }
        if (mbx_segment_gone(cursor, &cursor->erased_now, segment)) {
            cursor->pages.stats.erased += segment->rows;
            continue;
        }
        MRD_TRY(mrd_objstore_check(cursor->block->control, err));
        if (!is_before(&cursor->at, &cursor->window_end)) {
            MRD_TRY(fetch_window(cursor, err));
        }
        MRD_TRY(mbx_segment_decode(cursor, segment, err));
        enough = cursor->options.pieces && has_rows(cursor);
    }
    *out_any = has_rows(cursor);
    return MRD_OK;
}

/* Turns to the next series that is left, of whatever part; false after the last. */
static enum mrd_status find_series(struct mrd_block_cursor *cursor, bool *out_any,
                                   struct mrd_error *err)
{
    *out_any = true;
    while (cursor->part == NULL || !settle(cursor, &cursor->at)) {
        MRD_TRY(next_part(cursor, out_any, err));
        if (!*out_any) {
            return MRD_OK;
        }
    }
    return MRD_OK;
}

enum mrd_status mrd_block_cursor_next(struct mrd_block_cursor *cursor,
                                      const struct mrd_block_series **out_series,
                                      struct mrd_error *err)
{
    *out_series = NULL;
    for (;;) {
        bool any;
        MRD_TRY(find_series(cursor, &any, err));
        if (!any) {
            return MRD_OK;
        }
        set_labels(cursor);
        if (cursor->options.labels_only) {
            cursor->at.segment = series_at(cursor, &cursor->at)->segments_count;
            *out_series = &cursor->series;
            return MRD_OK;
        }
        MRD_TRY(read_series(cursor, cursor->out.arena, &any, err));
        if (any) {
            MRD_TRY(set_samples(cursor, err));
            *out_series = &cursor->series;
            return MRD_OK;
        }
    }
}

enum mrd_status mrd_block_cursor_next_rows(struct mrd_block_cursor *cursor, struct mrd_arena *arena,
                                           struct mrd_block_series *out_series, bool *out_more,
                                           struct mrd_error *err)
{
    mrd_assert(!cursor->scan && cursor->block->entry.resolution_ms != 0);
    for (;;) {
        bool any;
        MRD_TRY(find_series(cursor, out_more, err));
        if (!*out_more) {
            return MRD_OK;
        }
        const struct mbx_tenant *tenant = tenant_at(cursor, &cursor->at);
        const struct mbx_series *series = series_at(cursor, &cursor->at);
        MRD_TRY(read_series(cursor, arena, &any, err));
        if (!any) {
            continue;
        }
        struct mrd_label *items = mrd_arena_alloc_array(arena, series->refs_count, sizeof(*items));
        const struct mrd_rollup_columns *rows = NULL;
        if (items == NULL) {
            return mrd_arena_fail(arena, err);
        }
        MRD_TRY(mbx_rollup_output_view(&cursor->rollup_out, &cursor->options.asked, &rows, err));
        *out_series = (struct mrd_block_series){
            .tenant = tenant->name, .labels = mbx_labels(tenant, series, items), .rows = rows};
        return MRD_OK;
    }
}
