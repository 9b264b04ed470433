/* Rollups of what a merge writes, as blocks of their own, one writer for each resolution. */
#include <inttypes.h>
#include <stdlib.h>

#include "merge/merge_internal.h"
#include "merge/rollups.h"

struct level {
    struct mrd_block_writer *writer; /* NULL between blocks */
    mrd_series_id series;            /* whose rows it had last; valid with a writer */
    size_t count;                    /* of blocks that are finished */
};

struct mrd_merge_rollup_output {
    const struct mrd_merge_options *options;
    const struct mrd_block_origin *origin;
    struct mrd_arena *arena; /* of the entries */
    const char *name;
    size_t writer_bytes;
    struct mrd_block_writer_kit *kit;
    struct mrd_merge_rollups *rows;
    struct level levels[MRD_ROLLUP_LEVELS_MAX];
    struct mrd_buf entries; /* struct mrd_block_entry, in the order in which they are finished */
};

/* ---- blocks ---- */

static enum mrd_status open_writer(struct mrd_merge_rollup_output *output, size_t index,
                                   struct mrd_error *err)
{
    const struct mrd_merge_options *options = output->options;
    struct level *level = &output->levels[index];
    const mrd_time_ms resolution_ms = options->resolutions_ms[index];
    const char *id = mrd_arena_printf(output->arena, "%s-r%" PRId64 "-%04zu", output->name,
                                      resolution_ms, level->count);
    if (id == NULL) {
        return mrd_arena_fail(output->arena, err);
    }
    const char *stem = mrd_arena_printf(output->arena, "%s%s", options->rollup_prefixes[index], id);
    if (stem == NULL) {
        return mrd_arena_fail(output->arena, err);
    }
    if (output->entries.size / sizeof(struct mrd_block_entry) == MRD_MERGE_OUTPUTS_MAX) {
        return mrd_fail(err, MRD_E_LIMIT, "merge %s: more than %d rollups: raise shard_bytes_max",
                        output->name, MRD_MERGE_OUTPUTS_MAX);
    }
    const struct mrd_block_writer_options writer = {
        .store = options->store,
        .control = options->control,
        .stem = stem,
        .id = mrd_bytes_of(id),
        .level = options->level,
        .promoted = options->promoted,
        .promoted_count = options->promoted_count,
        .zstd_level = options->zstd_level,
        .resolution_ms = resolution_ms,
        .memory_bytes_max = output->writer_bytes,
        .kit = output->kit,
    };
    return mrd_block_writer_create(&writer, &level->writer, err);
}

static enum mrd_status end_writer(struct mrd_merge_rollup_output *output, struct level *level,
                                  struct mrd_error *err)
{
    /* What the rows stand for is not known yet: its ids come with the result. */
    const struct mrd_block_origin origin = {.residency_class = output->origin->residency_class,
                                            .hlc_min = output->origin->hlc_min,
                                            .hlc_fence = output->origin->hlc_fence};
    struct mrd_block_entry entry;
    MRD_TRY(mrd_block_writer_finish(level->writer, &origin, output->arena, &entry, err));
    mrd_buf_append(&output->entries, &entry, sizeof(entry));
    mrd_block_writer_destroy(&level->writer);
    level->count++;
    return MRD_OK;
}

/* Before another series: a block that is large has ended. */
static enum mrd_status end_large(struct mrd_merge_rollup_output *output, struct level *level,
                                 struct mrd_error *err)
{
    const uint64_t most = output->options->shard_bytes_max;
    const struct mrd_block_writer_size size = mrd_block_writer_size(level->writer);
    const bool is_large = size.data_size >= (most == 0 ? (uint64_t)512 << 20 : most);
    return is_large || size.full ? end_writer(output, level, err) : MRD_OK;
}

/* ---- rows ---- */

static enum mrd_status take_row(void *context, const struct mrd_block_series *series, size_t index,
                                const struct mrd_rollup_row *row, struct mrd_error *err)
{
    struct mrd_merge_rollup_output *output = context;
    struct level *level = &output->levels[index];
    if (level->writer != NULL && !mrd_id128_equal(level->series, series->id)) {
        MRD_TRY(end_large(output, level, err));
    }
    if (level->writer == NULL) {
        MRD_TRY(open_writer(output, index, err));
    }
    level->series = series->id;
    return mrd_block_writer_add_rows(level->writer, series, row, 1, err);
}

static enum mrd_status cannot_restart(void *context, struct mrd_error *err)
{
    (void)context;
    (void)err;
    mrd_assert(false); /* another attempt has another output */
    return MRD_OK;
}

/* ---- life ---- */

struct mrd_merge_rollup_output *
mrd_merge_rollup_output_create(const struct mrd_merge_options *options,
                               const struct mrd_block_origin *origin, const char *name,
                               size_t writer_bytes, struct mrd_block_writer_kit *kit,
                               struct mrd_arena *arena)
{
    struct mrd_merge_rollup_output *output = calloc(1, sizeof(*output));
    mrd_assert(output != NULL);
    output->options = options;
    output->origin = origin;
    output->arena = arena;
    output->name = name;
    output->writer_bytes = writer_bytes;
    output->kit = kit;
    const struct mrd_merge_rollups_sink sink = {take_row, cannot_restart, output};
    output->rows =
        mrd_merge_rollups_create(options->resolutions_ms, options->resolution_count, &sink);
    return output;
}

void mrd_merge_rollup_output_destroy(struct mrd_merge_rollup_output **output)
{
    if (*output == NULL) {
        return;
    }
    mrd_merge_rollups_destroy(&(*output)->rows);
    for (size_t i = 0; i < MRD_ROLLUP_LEVELS_MAX; i++) {
        mrd_block_writer_destroy(&(*output)->levels[i].writer);
    }
    mrd_buf_fini(&(*output)->entries);
    free(*output);
    *output = NULL;
}

enum mrd_status mrd_merge_rollup_output_take(struct mrd_merge_rollup_output *output,
                                             const struct mrd_block_series *piece,
                                             struct mrd_error *err)
{
    const struct mrd_merge_tap *tap = mrd_merge_rollups_tap(output->rows);
    return tap->take(tap->context, piece, err);
}

enum mrd_status mrd_merge_rollup_output_end(struct mrd_merge_rollup_output *output,
                                            const struct mrd_block_entry **out_entries,
                                            size_t *out_count, struct mrd_error *err)
{
    MRD_TRY(mrd_merge_rollups_end(output->rows, err));
    for (size_t i = 0; i < output->options->resolution_count; i++) {
        if (output->levels[i].writer != NULL) {
            MRD_TRY(end_writer(output, &output->levels[i], err));
        }
    }
    *out_entries = (const struct mrd_block_entry *)(const void *)output->entries.data;
    *out_count = output->entries.size / sizeof(struct mrd_block_entry);
    return MRD_OK;
}
