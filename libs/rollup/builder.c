#include "rollup/builder.h"

#include <stdlib.h>

enum { MEMORY_BYTES_MAX = 64 << 20 };

/* One resolution. Its histograms are in one of two arenas: whenever one of them has changed, all move to the other, so what
 * they were does not add up. */
struct level {
    mrd_time_ms resolution_ms;
    struct mrd_rollup_row row;
    bool open;
    struct mrd_arena *arenas[2];
    unsigned at;
};

struct mrd_rollup_builder {
    mrd_rollup_emit *emit;
    void *context;
    struct level levels[MRD_ROLLUP_LEVELS_MAX];
    size_t level_count;
    struct mrd_arena *all;     /* of which the others are part */
    struct mrd_arena *scratch; /* the histogram at hand */
    mrd_time_ms last_ms;       /* of the series */
};

struct mrd_rollup_builder *
mrd_rollup_builder_create(const struct mrd_rollup_builder_options *options)
{
    struct mrd_rollup_builder *builder = calloc(1, sizeof(*builder));
    mrd_assert(builder != NULL);
    mrd_assert(options->resolution_count > 0);
    mrd_assert(options->resolution_count <= MRD_ROLLUP_LEVELS_MAX);
    builder->emit = options->emit;
    builder->context = options->context;
    builder->level_count = options->resolution_count;
    builder->last_ms = INT64_MIN;
    builder->all = mrd_arena_create(
        "rollup", options->memory_bytes_max == 0 ? MEMORY_BYTES_MAX : options->memory_bytes_max);
    builder->scratch = mrd_arena_create_within(builder->all);
    for (size_t i = 0; i < builder->level_count; i++) {
        struct level *level = &builder->levels[i];
        level->resolution_ms = options->resolutions_ms[i];
        mrd_assert(level->resolution_ms > 0);
        mrd_assert(i == 0 || level->resolution_ms > level[-1].resolution_ms);
        mrd_assert(i == 0 || level->resolution_ms % level[-1].resolution_ms == 0);
        level->arenas[0] = mrd_arena_create_within(builder->all);
        level->arenas[1] = mrd_arena_create_within(builder->all);
    }
    return builder;
}

void mrd_rollup_builder_destroy(struct mrd_rollup_builder **builder)
{
    if (*builder == NULL) {
        return;
    }
    for (size_t i = 0; i < (*builder)->level_count; i++) {
        mrd_arena_destroy(&(*builder)->levels[i].arenas[0]);
        mrd_arena_destroy(&(*builder)->levels[i].arenas[1]);
    }
    mrd_arena_destroy(&(*builder)->scratch);
    mrd_arena_destroy(&(*builder)->all);
    free(*builder);
    *builder = NULL;
}

/* ---- rows ---- */

static enum mrd_status level_take(struct mrd_rollup_builder *builder, size_t index,
                                  const struct mrd_rollup_row *row, struct mrd_error *err);

/* Emits the open row of a level and passes it on to the next one. */
static enum mrd_status level_close(struct mrd_rollup_builder *builder, size_t index,
                                   struct mrd_error *err)
{
    struct level *level = &builder->levels[index];
    if (!level->open) {
        return MRD_OK;
    }
    level->open = false;
    MRD_TRY(builder->emit(builder->context, index, &level->row, err));
    if (index + 1 < builder->level_count) {
        MRD_TRY(level_take(builder, index + 1, &level->row, err));
    }
    return MRD_OK;
}

/* Makes the row of the window that a time lies in the open one. */
static enum mrd_status level_open(struct mrd_rollup_builder *builder, size_t index,
                                  mrd_time_ms time_ms, struct mrd_error *err)
{
    struct level *level = &builder->levels[index];
    const mrd_time_ms end_ms = mrd_rollup_window_end(time_ms, level->resolution_ms);
    if (level->open && level->row.end_ms == end_ms) {
        return MRD_OK;
    }
    MRD_TRY(level_close(builder, index, err));
    level->row = mrd_rollup_row_empty(end_ms);
    level->open = true;
    return MRD_OK;
}

/* Adds a row, whose histograms are lent, to the level's open one. */
static enum mrd_status level_join(struct level *level, const struct mrd_rollup_row *row,
                                  struct mrd_error *err)
{
    const mrd_time_ms end_ms = level->row.end_ms;
    MRD_TRY(mrd_rollup_join(&level->row, row, level->arenas[level->at], err));
    level->row.end_ms = end_ms;
    if (row->histograms.count > 0) {
        const unsigned other = 1 - level->at;
        MRD_TRY(mrd_rollup_histograms_clone(&level->row.histograms, level->arenas[other], err));
        mrd_arena_reset(level->arenas[level->at]);
        level->at = other;
    }
    return MRD_OK;
}

static enum mrd_status level_take(struct mrd_rollup_builder *builder, size_t index,
                                  const struct mrd_rollup_row *row, struct mrd_error *err)
{
    MRD_TRY(level_open(builder, index, row->end_ms, err));
    return level_join(&builder->levels[index], row, err);
}

/* ---- samples ---- */

/* Adds the floats [at, end) that lie in the window of the first, and sets *out to the first that does not. */
static enum mrd_status add_window(struct mrd_rollup_builder *builder,
                                  const struct mrd_samples *samples, size_t at, size_t end,
                                  size_t *out, struct mrd_error *err)
{
    MRD_TRY(level_open(builder, 0, samples->times_ms[at], err));
    struct mrd_rollup_row *row = &builder->levels[0].row;
    for (; at < end && samples->times_ms[at] <= row->end_ms; at++) {
        const mrd_time_ms time_ms = samples->times_ms[at];
        const double value = samples->values[at];
        mrd_assert(time_ms > builder->last_ms);
        builder->last_ms = time_ms;
        if (mrd_is_stale(value)) {
            row->stale_ms = time_ms;
            continue;
        }
        const mrd_time_ms start_ms =
            samples->start_times_ms == NULL ? 0 : samples->start_times_ms[at];
        mrd_rollup_add_float(&row->floats, value, (struct mrd_span){time_ms, start_ms});
    }
    *out = at;
    return MRD_OK;
}

static enum mrd_status add_floats(struct mrd_rollup_builder *builder,
                                  const struct mrd_samples *samples, size_t at, size_t end,
                                  struct mrd_error *err)
{
    while (at < end) {
        MRD_TRY(add_window(builder, samples, at, end, &at, err));
    }
    return MRD_OK;
}

static enum mrd_status add_histogram(struct mrd_rollup_builder *builder,
                                     const struct mrd_histograms *histograms, size_t at,
                                     struct mrd_error *err)
{
    const struct mrd_histogram *histogram = &histograms->items[at];
    const struct mrd_span span = {histograms->times_ms[at], histograms->start_times_ms == NULL
                                                                ? 0
                                                                : histograms->start_times_ms[at]};
    struct mrd_float_histogram *made = NULL;
    mrd_assert(span.time_ms > builder->last_ms);
    builder->last_ms = span.time_ms;
    MRD_TRY(level_open(builder, 0, span.time_ms, err));
    if (mrd_histogram_is_stale(histogram)) {
        builder->levels[0].row.stale_ms = span.time_ms;
        return MRD_OK;
    }
    mrd_arena_reset(builder->scratch);
    MRD_TRY(mrd_float_histogram_from(histogram, builder->scratch, &made, err));
    if (made->reset != MRD_HISTOGRAM_GAUGE) {
        made->reset = MRD_HISTOGRAM_RESET_UNKNOWN; /* it is found out here */
    }
    struct mrd_rollup_row row = mrd_rollup_row_empty(builder->levels[0].row.end_ms);
    row.histograms = mrd_rollup_histogram_row(made, span);
    return level_join(&builder->levels[0], &row, err);
}

enum mrd_status mrd_rollup_builder_add(struct mrd_rollup_builder *builder,
                                       const struct mrd_samples *samples,
                                       const struct mrd_histograms *histograms,
                                       struct mrd_error *err)
{
    size_t at = 0;
    for (size_t h = 0; h < histograms->count; h++) {
        const size_t from = at;
        while (at < samples->count && samples->times_ms[at] < histograms->times_ms[h]) {
            at++;
        }
        MRD_TRY(add_floats(builder, samples, from, at, err));
        MRD_TRY(add_histogram(builder, histograms, h, err));
    }
    return add_floats(builder, samples, at, samples->count, err);
}

enum mrd_status mrd_rollup_builder_end(struct mrd_rollup_builder *builder, struct mrd_error *err)
{
    for (size_t i = 0; i < builder->level_count; i++) {
        MRD_TRY(level_close(builder, i, err));
    }
    builder->last_ms = INT64_MIN;
    return MRD_OK;
}
