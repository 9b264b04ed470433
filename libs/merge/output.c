#include "merge/merge_internal.h"

/* ---- blocks ---- */

static enum mrd_status open_writer(struct mrd_merge_output *output, struct mrd_error *err)
{
    const struct mrd_merge_options *options = output->options;
    const char *id = NULL;
    const char *stem = NULL;
    const char *series_key = NULL;
    const size_t number = output->entries.size / sizeof(struct mrd_block_entry);
    if (number == MRD_MERGE_OUTPUTS_MAX) {
        return mrd_fail(err, MRD_E_LIMIT, "merge %s: more than %d outputs: raise shard_bytes_max",
                        output->name, MRD_MERGE_OUTPUTS_MAX);
    }
    id = mrd_arena_printf(output->arena, "%s-%04zu", output->name, number);
    stem = mrd_arena_printf(output->arena, "%s%s-%04zu", options->prefix, output->name, number);
    if (output->series_prefix != NULL) {
        series_key = mrd_arena_printf(output->arena, "%s%s.parquet", output->series_prefix, id);
    }
    if (id == NULL || stem == NULL || (output->series_prefix != NULL && series_key == NULL)) {
        return mrd_arena_fail(output->arena, err);
    }
    const struct mrd_block_writer_options writer = {
        .store = options->store,
        .control = options->control,
        .stem = stem,
        .id = mrd_bytes_of(id),
        .level = options->level,
        .promoted = options->promoted,
        .promoted_count = options->promoted_count,
        .compact = output->compact,
        .keep_hlc = output->keep_hlc,
        .split_values = true,
        .series_key = series_key,
        .zstd_level = output->zstd_level,
        .memory_bytes_max = output->writer_bytes,
        .kit = output->kit,
    };
    return mrd_block_writer_create(&writer, &output->writer, err);
}

enum mrd_status mrd_merge_output_end(struct mrd_merge_output *output, struct mrd_error *err)
{
    if (output->writer == NULL) {
        return MRD_OK;
    }
    struct mrd_block_entry entry;
    MRD_TRY(mrd_block_writer_finish(output->writer, output->origin, output->arena, &entry, err));
    mrd_buf_append(&output->entries, &entry, sizeof(entry));
    mrd_block_writer_destroy(&output->writer);
    return MRD_OK;
}

/* ---- series ---- */

static enum mrd_status copy_text(struct mrd_arena *arena, struct mrd_bytes *text,
                                 struct mrd_error *err)
{
    *text = mrd_arena_copy(arena, *text);
    return text->data == NULL ? mrd_arena_fail(arena, err) : MRD_OK;
}

enum mrd_status mrd_merge_output_series(struct mrd_merge_output *output,
                                        const struct mrd_block_series *series,
                                        struct mrd_error *err)
{
    struct mrd_arena *arena = output->series_arena;
    const size_t count = series->labels.count;
    mrd_arena_reset(arena);
    struct mrd_label *items =
        mrd_arena_alloc_array(arena, MRD_MAX(count, (size_t)1), sizeof(*items));
    if (items == NULL) {
        return mrd_arena_fail(arena, err);
    }
    for (size_t i = 0; i < count; i++) {
        items[i] = series->labels.items[i];
        MRD_TRY(copy_text(arena, &items[i].name, err));
        MRD_TRY(copy_text(arena, &items[i].value, err));
    }
    output->series = (struct mrd_block_series){
        .tenant = output->options->tenant, .labels = {items, count},
             .id = series->id
    };
    return output->writer == NULL ? open_writer(output, err) : MRD_OK;
}

enum mrd_status mrd_merge_output_flush(struct mrd_merge_output *output, struct mrd_error *err)
{
    struct mrd_block_series piece = output->series;
    if (output->f + output->h == 0) {
        return MRD_OK;
    }
    piece.samples = (struct mrd_samples){output->times_ms, output->values, output->f,
                                         output->any_start ? output->starts_ms : NULL};
    piece.histograms = (struct mrd_histograms){output->h_times_ms, output->h_items, output->h,
                                               output->any_start ? output->h_starts_ms : NULL};
    piece.sample_hlcs = output->hlcs;
    piece.histogram_hlcs = output->h_hlcs;
    output->f = 0;
    output->h = 0;
    output->any_start = false;
    MRD_TRY(mrd_block_writer_add(output->writer, &piece, err));
    if (output->rollups != NULL) {
        MRD_TRY(mrd_merge_rollup_output_take(output->rollups, &piece, err));
    }
    return output->tap == NULL ? MRD_OK : output->tap->take(output->tap->context, &piece, err);
}

enum mrd_status mrd_merge_output_series_end(struct mrd_merge_output *output, struct mrd_error *err)
{
    const uint64_t most = output->options->shard_bytes_max;
    MRD_TRY(mrd_merge_output_flush(output, err));
    const struct mrd_block_writer_size size = mrd_block_writer_size(output->writer);
    const bool is_large = size.data_size >= (most == 0 ? (uint64_t)512 << 20 : most);
    return is_large || size.full ? mrd_merge_output_end(output, err) : MRD_OK;
}

/* ---- rows ---- */

enum mrd_status mrd_merge_output_row(struct mrd_merge_output *output, mrd_time_ms time_ms,
                                     const struct mrd_merge_row *row, struct mrd_error *err)
{
    if (output->f == MRD_MERGE_PIECE_ROWS || output->h == MRD_MERGE_PIECE_HISTOGRAMS) {
        MRD_TRY(mrd_merge_output_flush(output, err));
    }
    output->any_start |= row->start_ms != 0;
    if (row->histogram == NULL) {
        output->times_ms[output->f] = time_ms;
        output->starts_ms[output->f] = row->start_ms;
        output->hlcs[output->f] = row->hlc;
        output->values[output->f++] = row->value;
        return MRD_OK;
    }
    output->h_times_ms[output->h] = time_ms;
    output->h_starts_ms[output->h] = row->start_ms;
    output->h_hlcs[output->h] = row->hlc;
    output->h_items[output->h++] = *row->histogram;
    return MRD_OK;
}

/* Floats from the source's position on that are before a time, at most `room`. */
static size_t count_before(const mrd_time_ms *times_ms, size_t at, size_t count, size_t room,
                           mrd_time_ms before_ms)
{
    const size_t end = MRD_MIN(count, at + room);
    if (end > at && times_ms[end - 1] < before_ms) {
        return end - at; /* all, mostly */
    }
    size_t low = at;
    size_t high = end;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (times_ms[middle] < before_ms) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low - at;
}

static void copy_floats(struct mrd_merge_output *output, struct mrd_merge_source *source,
                        size_t count)
{
    const struct mrd_block_series *piece = source->piece;
    const struct mrd_samples *samples = &piece->samples;
    const size_t at = source->f;
    memcpy(output->times_ms + output->f, samples->times_ms + at, count * sizeof(mrd_time_ms));
    memcpy(output->values + output->f, samples->values + at, count * sizeof(double));
    for (size_t i = 0; i < count; i++) {
        output->starts_ms[output->f + i] =
            samples->start_times_ms == NULL ? 0 : samples->start_times_ms[at + i];
        output->hlcs[output->f + i] = piece->sample_hlcs == NULL ? source->entry->origin.hlc_fence
                                                                 : piece->sample_hlcs[at + i];
    }
    output->any_start |= samples->start_times_ms != NULL;
    output->f += count;
    source->f += count;
}

/* The run of floats before the next histogram of the source and before a time; false if there is no room. */
enum mrd_status mrd_merge_output_run(struct mrd_merge_output *output,
                                     struct mrd_merge_source *source, mrd_time_ms before_ms,
                                     struct mrd_error *err)
{
    const struct mrd_samples *samples = &source->piece->samples;
    const struct mrd_histograms *histograms = &source->piece->histograms;
    while (mrd_merge_source_time(source) < before_ms) {
        const mrd_time_ms histogram_ms =
            source->h < histograms->count ? histograms->times_ms[source->h] : INT64_MAX;
        if (output->f == MRD_MERGE_PIECE_ROWS) {
            MRD_TRY(mrd_merge_output_flush(output, err));
        }
        const size_t count =
            source->f == samples->count
                ? 0
                : count_before(samples->times_ms, source->f, samples->count,
                               MRD_MERGE_PIECE_ROWS - output->f, MRD_MIN(histogram_ms, before_ms));
        if (count > 0) {
            copy_floats(output, source, count);
            continue;
        }
        const struct mrd_merge_row row = mrd_merge_source_row(source);
        MRD_TRY(mrd_merge_output_row(output, histogram_ms, &row, err));
        source->h++;
    }
    return MRD_OK;
}
