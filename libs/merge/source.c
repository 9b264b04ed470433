#include "merge/merge_internal.h"

#include <inttypes.h>

/* ---- blocks ---- */

static enum mrd_status open_reader(struct mrd_merge_source *source, struct mrd_merge_reader *reader,
                                   const struct mrd_block_select *select, struct mrd_error *err)
{
    const struct mrd_block_cursor_options cursor = {.window_bytes = reader->window_bytes,
                                                    .series_bytes_max = reader->piece_bytes,
                                                    .pieces = true,
                                                    .want_hlc = true,
                                                    .ahead = true};
    source->lent = true;
    source->block = reader->block;
    if (reader->cursor == NULL) {
        MRD_TRY(mrd_block_select(reader->block, select, &cursor, &reader->cursor, err));
    } else {
        MRD_TRY(mrd_block_cursor_aim(reader->cursor, select, err));
    }
    source->cursor = reader->cursor;
    return MRD_OK;
}

static enum mrd_status open_block(struct mrd_merge_source *source, struct mrd_error *err)
{
    const struct mrd_merge_options *options = source->options;
    const struct mrd_merge_share *share = &source->share;
    const struct mrd_block_open_options open = {.control = options->control,
                                                .cache = options->cache,
                                                .whole_bytes_max = share->window_bytes,
                                                .sidecar_bytes_max = share->sidecar_bytes};
    struct mrd_block_select select = {
        .tenant = options->tenant, .min_ms = options->min_ms, .max_ms = options->max_ms};
    if (source->leave != NULL) {
        select.erasures = source->leave->erasures;
        select.erasure_count = source->leave->count;
    }
    const struct mrd_block_cursor_options cursor = {
        .window_bytes = share->window_bytes,
        .series_bytes_max = share->piece_bytes,
        .pieces = true,
        .want_hlc = source->want_hlc,
    };
    struct mrd_merge_reader *reader = source->chain.reader;
    source->entry = &source->chain.entries[source->next++];
    source->samples_before = source->samples;
    if (reader != NULL) {
        return open_reader(source, reader, &select, err);
    }
    MRD_TRY(mrd_block_open(options->store, source->entry, &open, &source->block, err));
    return mrd_block_select(source->block, &select, &cursor, &source->cursor, err);
}

/* What the directory says of the tenant, or NULL. */
static const struct mrd_block_tenant *find_tenant(const struct mrd_merge_source *source)
{
    size_t count = 0;
    const struct mrd_block_tenant *tenants = mrd_block_tenants(source->block, &count);
    size_t low = 0;
    while (low < count) {
        const size_t middle = low + (count - low) / 2;
        const int order = mrd_bytes_compare(tenants[middle].name, source->options->tenant);
        if (order == 0) {
            return &tenants[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            count = middle;
        }
    }
    return NULL;
}

static enum mrd_status close_block(struct mrd_merge_source *source, struct mrd_error *err)
{
    const struct mrd_block_tenant *tenant = find_tenant(source);
    const uint64_t erased = mrd_block_cursor_stats(source->cursor).erased;
    source->samples += erased;
    if (erased > 0) {
        mrd_assert(source->leave != NULL);
        MRD_TRY(mrd_merge_leave_count(source->leave, source->options, source->block, erased, err));
    }
    const uint64_t got = source->samples - source->samples_before;
    if (tenant != NULL && tenant->counts.min_ms >= source->options->min_ms &&
        tenant->counts.max_ms <= source->options->max_ms &&
        tenant->counts.samples + tenant->counts.histograms != got) {
        return mrd_fail(err, MRD_E_CORRUPT,
                        "block %.*s: %" PRIu64
                        " samples of tenant %.*s were read, it says %" PRIu64,
                        MRD_FMT(source->entry->id), got, MRD_FMT(source->options->tenant),
                        tenant->counts.samples + tenant->counts.histograms);
    }
    mrd_merge_source_close(source);
    return MRD_OK;
}

enum mrd_status mrd_merge_source_open(struct mrd_merge_source *source, struct mrd_error *err)
{
    return mrd_merge_source_next(source, err);
}

void mrd_merge_source_close(struct mrd_merge_source *source)
{
    if (source->lent) {
        source->cursor = NULL;
        source->block = NULL;
    }
    mrd_block_cursor_close(&source->cursor);
    mrd_block_close(&source->block);
}

enum mrd_status mrd_merge_source_next(struct mrd_merge_source *source, struct mrd_error *err)
{
    source->piece = NULL;
    source->f = 0;
    source->h = 0;
    for (;;) {
        if (source->cursor == NULL) {
            if (source->next == source->chain.count) {
                return MRD_OK;
            }
            MRD_TRY(open_block(source, err));
        }
        MRD_TRY(mrd_block_cursor_next(source->cursor, &source->piece, err));
        if (source->piece != NULL) {
            source->samples += source->piece->samples.count + source->piece->histograms.count;
            return MRD_OK;
        }
        MRD_TRY(close_block(source, err));
    }
}

/* ---- rows ---- */

static mrd_time_ms float_time(const struct mrd_merge_source *source)
{
    const struct mrd_samples *samples = &source->piece->samples;
    return source->f < samples->count ? samples->times_ms[source->f] : INT64_MAX;
}
static mrd_time_ms histogram_time(const struct mrd_merge_source *source)
{
    const struct mrd_histograms *histograms = &source->piece->histograms;
    return source->h < histograms->count ? histograms->times_ms[source->h] : INT64_MAX;
}

mrd_time_ms mrd_merge_source_time(const struct mrd_merge_source *source)
{
    const mrd_time_ms f_ms = float_time(source);
    const mrd_time_ms h_ms = histogram_time(source);
    return MRD_MIN(f_ms, h_ms);
}

struct mrd_merge_row mrd_merge_source_row(const struct mrd_merge_source *source)
{
    const struct mrd_block_series *piece = source->piece;
    const bool is_float = float_time(source) < histogram_time(source);
    const size_t at = is_float ? source->f : source->h;
    const mrd_hlc *hlcs = is_float ? piece->sample_hlcs : piece->histogram_hlcs;
    const mrd_time_ms *starts_ms =
        is_float ? piece->samples.start_times_ms : piece->histograms.start_times_ms;
    return (struct mrd_merge_row){
        .hlc = hlcs == NULL ? source->entry->origin.hlc_fence : hlcs[at],
        .start_ms = starts_ms == NULL ? 0 : starts_ms[at],
        .value = is_float ? piece->samples.values[at] : 0,
        .histogram = is_float ? NULL : &piece->histograms.items[at],
    };
}

void mrd_merge_source_skip(struct mrd_merge_source *source)
{
    if (float_time(source) < histogram_time(source)) {
        source->f++;
    } else {
        source->h++;
    }
}
