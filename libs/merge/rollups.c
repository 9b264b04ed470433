#include "merge/rollups.h"

#include <stdlib.h>

#include "rollup/builder.h"

enum { LABELS_BYTES_MAX = 4 << 20 };

struct mrd_merge_rollups {
    struct mrd_merge_rollups_sink sink;
    struct mrd_merge_tap tap;
    mrd_time_ms resolutions_ms[MRD_ROLLUP_LEVELS_MAX];
    size_t resolution_count;
    struct mrd_rollup_builder *builder;
    struct mrd_arena *arena; /* tenant and labels of the series at hand */
    struct mrd_block_series series;
    bool open;
};

static enum mrd_status emit(void *context, size_t level, const struct mrd_rollup_row *row,
                            struct mrd_error *err)
{
    struct mrd_merge_rollups *rollups = context;
    return rollups->sink.row(rollups->sink.context, &rollups->series, level, row, err);
}

static void make_builder(struct mrd_merge_rollups *rollups)
{
    const struct mrd_rollup_builder_options options = {.resolutions_ms = rollups->resolutions_ms,
                                                       .resolution_count =
                                                           rollups->resolution_count,
                                                       .emit = emit,
                                                       .context = rollups};
    rollups->builder = mrd_rollup_builder_create(&options);
}

enum mrd_status mrd_merge_rollups_end(struct mrd_merge_rollups *rollups, struct mrd_error *err)
{
    if (!rollups->open) {
        return MRD_OK;
    }
    rollups->open = false;
    return mrd_rollup_builder_end(rollups->builder, err);
}

/* ---- what the merge calls ---- */

static enum mrd_status copy_series(struct mrd_merge_rollups *rollups,
                                   const struct mrd_block_series *from, struct mrd_error *err)
{
    const size_t count = from->labels.count;
    mrd_arena_reset(rollups->arena);
    struct mrd_label *items =
        mrd_arena_alloc_array(rollups->arena, MRD_MAX(count, (size_t)1), sizeof(*items));
    const struct mrd_bytes tenant = mrd_arena_copy(rollups->arena, from->tenant);
    bool full = items == NULL || tenant.data == NULL;
    for (size_t i = 0; !full && i < count; i++) {
        items[i] = (struct mrd_label){mrd_arena_copy(rollups->arena, from->labels.items[i].name),
                                      mrd_arena_copy(rollups->arena, from->labels.items[i].value)};
        full = items[i].name.data == NULL || items[i].value.data == NULL;
    }
    rollups->series = (struct mrd_block_series){
        .tenant = tenant, .labels = {items, count},
             .id = from->id
    };
    return full ? mrd_arena_fail(rollups->arena, err) : MRD_OK;
}

static enum mrd_status take(void *context, const struct mrd_block_series *piece,
                            struct mrd_error *err)
{
    struct mrd_merge_rollups *rollups = context;
    if (!rollups->open || mrd_block_series_compare(&rollups->series, piece) != 0) {
        MRD_TRY(mrd_merge_rollups_end(rollups, err));
        MRD_TRY(copy_series(rollups, piece, err));
        rollups->open = true;
    }
    return mrd_rollup_builder_add(rollups->builder, &piece->samples, &piece->histograms, err);
}

static enum mrd_status restart(void *context, struct mrd_error *err)
{
    struct mrd_merge_rollups *rollups = context;
    rollups->open = false;
    mrd_rollup_builder_destroy(&rollups->builder);
    make_builder(rollups);
    return rollups->sink.restart(rollups->sink.context, err);
}

/* ---- life ---- */

struct mrd_merge_rollups *mrd_merge_rollups_create(const mrd_time_ms *resolutions_ms,
                                                   size_t resolution_count,
                                                   const struct mrd_merge_rollups_sink *sink)
{
    struct mrd_merge_rollups *rollups = calloc(1, sizeof(*rollups));
    mrd_assert(rollups != NULL);
    mrd_assert(resolution_count > 0);
    mrd_assert(resolution_count <= MRD_ROLLUP_LEVELS_MAX);
    memcpy(rollups->resolutions_ms, resolutions_ms, resolution_count * sizeof(*resolutions_ms));
    rollups->resolution_count = resolution_count;
    rollups->sink = *sink;
    rollups->tap = (struct mrd_merge_tap){take, restart, rollups};
    rollups->arena = mrd_arena_create("labels of a series", LABELS_BYTES_MAX);
    make_builder(rollups);
    return rollups;
}

void mrd_merge_rollups_destroy(struct mrd_merge_rollups **rollups)
{
    if (*rollups != NULL) {
        mrd_rollup_builder_destroy(&(*rollups)->builder);
        mrd_arena_destroy(&(*rollups)->arena);
        free(*rollups);
        *rollups = NULL;
    }
}

const struct mrd_merge_tap *mrd_merge_rollups_tap(struct mrd_merge_rollups *rollups)
{
    return &rollups->tap;
}
