#include "merge/rewrite.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 256 /* handed to the writer at once */, MEMORY_BYTES_MAX = 512 << 20 };

struct rewrite {
    const struct mrd_merge_rewrite_options *options;
    struct mrd_arena *arena; /* of the result */
    char name[40];
    struct mrd_block *block;
    struct mrd_block_cursor *cursor;
    struct mrd_block_writer *writer; /* NULL between blocks */
    mrd_series_id series;            /* whose rows it had last; valid with a writer */
    struct mrd_buf entries;          /* struct mrd_block_entry */
    uint64_t *erased;                /* of each request; of the arena */
    bool *selected;                  /* whether it selects the series at hand; of the arena */
    uint64_t rows_in;
    uint64_t rows_out;
    struct mrd_rollup_row rows[ROWS];
    size_t count;
};

/* ---- names ---- */

/* Of everything that what is left follows from. */
static void set_name(struct rewrite *rewrite)
{
    const struct mrd_merge_rewrite_options *options = rewrite->options;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    mrd_buf_append_text(&bytes, "rewrite:");
    mrd_buf_append_bytes(&bytes, options->rollup->id);
    mrd_buf_append_u32(&bytes, (uint32_t)options->zstd_level);
    mrd_buf_append_u64(&bytes, options->memory_bytes_max);
    for (size_t i = 0; i < options->erasure_count; i++) {
        mrd_buf_append_u64(&bytes, options->erasures[i]->id.high);
        mrd_buf_append_u64(&bytes, options->erasures[i]->id.low);
    }
    const struct mrd_id128 hash = mrd_hash128(mrd_buf_view(&bytes), 0);
    (void)snprintf(rewrite->name, sizeof(rewrite->name), "%016" PRIx64 "%016" PRIx64, hash.high,
                   hash.low);
}

static size_t memory_of(const struct rewrite *rewrite)
{
    const size_t most = rewrite->options->memory_bytes_max;
    return most == 0 ? MEMORY_BYTES_MAX : most;
}

/* ---- writing ---- */

static enum mrd_status open_writer(struct rewrite *rewrite, struct mrd_error *err)
{
    const struct mrd_merge_rewrite_options *options = rewrite->options;
    const size_t number = rewrite->entries.size / sizeof(struct mrd_block_entry);
    const char *id = mrd_arena_printf(rewrite->arena, "%s-r%" PRId64 "-%04zu", rewrite->name,
                                      options->rollup->resolution_ms, number);
    if (id == NULL) {
        return mrd_arena_fail(rewrite->arena, err);
    }
    const char *stem = mrd_arena_printf(rewrite->arena, "%s%s", options->prefix, id);
    if (stem == NULL) {
        return mrd_arena_fail(rewrite->arena, err);
    }
    const struct mrd_block_writer_options writer = {
        .store = options->store,
        .control = options->control,
        .stem = stem,
        .id = mrd_bytes_of(id),
        .level = options->rollup->level,
        .promoted = options->promoted,
        .promoted_count = options->promoted_count,
        .zstd_level = options->zstd_level,
        .resolution_ms = options->rollup->resolution_ms,
        .memory_bytes_max = memory_of(rewrite) / 2,
    };
    return mrd_block_writer_create(&writer, &rewrite->writer, err);
}

static enum mrd_status end_writer(struct rewrite *rewrite, struct mrd_error *err)
{
    struct mrd_block_entry entry;
    if (rewrite->writer == NULL) {
        return MRD_OK;
    }
    MRD_TRY(mrd_block_writer_finish(rewrite->writer, &rewrite->options->rollup->origin,
                                    rewrite->arena, &entry, err));
    mrd_buf_append(&rewrite->entries, &entry, sizeof(entry));
    mrd_block_writer_destroy(&rewrite->writer);
    return MRD_OK;
}

/* Before rows of a series: a block that is full has ended with the series before. */
static enum mrd_status see_to_writer(struct rewrite *rewrite, const struct mrd_block_series *series,
                                     struct mrd_error *err)
{
    if (rewrite->writer != NULL && !mrd_id128_equal(rewrite->series, series->id) &&
        mrd_block_writer_size(rewrite->writer).full) {
        MRD_TRY(end_writer(rewrite, err));
    }
    rewrite->series = series->id;
    return rewrite->writer == NULL ? open_writer(rewrite, err) : MRD_OK;
}

static enum mrd_status flush(struct rewrite *rewrite, const struct mrd_block_series *series,
                             struct mrd_error *err)
{
    if (rewrite->count == 0) {
        return MRD_OK;
    }
    MRD_TRY(see_to_writer(rewrite, series, err));
    MRD_TRY(mrd_block_writer_add_rows(rewrite->writer, series, rewrite->rows, rewrite->count, err));
    rewrite->rows_out += rewrite->count;
    rewrite->count = 0;
    return MRD_OK;
}

/* ---- what goes and what stays ---- */

static void select_series(struct rewrite *rewrite, const struct mrd_block_series *series)
{
    const struct mrd_merge_rewrite_options *options = rewrite->options;
    for (size_t i = 0; i < options->erasure_count; i++) {
        rewrite->selected[i] = mrd_erasure_selects(options->erasures[i], series->labels);
    }
}

static bool is_erased(struct rewrite *rewrite, mrd_time_ms end_ms)
{
    const struct mrd_merge_rewrite_options *options = rewrite->options;
    bool any = false;
    for (size_t i = 0; i < options->erasure_count; i++) {
        const bool meets =
            rewrite->selected[i] && mrd_rollup_window_meets(end_ms, options->rollup->resolution_ms,
                                                            options->erasures[i]->time_min_ms,
                                                            options->erasures[i]->time_max_ms);
        rewrite->erased[i] += meets;
        any |= meets;
    }
    return any;
}

static enum mrd_status take(struct rewrite *rewrite, const struct mrd_block_series *series,
                            struct mrd_error *err)
{
    const struct mrd_rollup_columns *rows = series->rows;
    select_series(rewrite, series);
    for (size_t i = 0; i < rows->count; i++) {
        if (is_erased(rewrite, rows->ends_ms[i])) {
            continue;
        }
        mrd_rollup_columns_row(rows, i, &rewrite->rows[rewrite->count++]);
        if (rewrite->count == ROWS) {
            MRD_TRY(flush(rewrite, series, err));
        }
    }
    rewrite->rows_in += rows->count;
    return flush(rewrite, series, err);
}

static enum mrd_status walk(struct rewrite *rewrite, struct mrd_error *err)
{
    const struct mrd_merge_rewrite_options *options = rewrite->options;
    const size_t memory = memory_of(rewrite);
    const struct mrd_block_open_options open = {.control = options->control,
                                                .sidecar_bytes_max = memory / 4};
    const struct mrd_block_cursor_options cursor = {
        .window_bytes = memory / 8, .series_bytes_max = memory / 8, .pieces = true};
    const struct mrd_block_series *series = NULL;
    MRD_TRY(mrd_block_open(options->store, options->rollup, &open, &rewrite->block, err));
    MRD_TRY(mrd_block_scan(rewrite->block, &cursor, &rewrite->cursor, err));
    MRD_TRY(mrd_block_cursor_next(rewrite->cursor, &series, err));
    while (series != NULL) {
        MRD_TRY(take(rewrite, series, err));
        MRD_TRY(mrd_block_cursor_next(rewrite->cursor, &series, err));
    }
    return end_writer(rewrite, err);
}

static enum mrd_status conclude(const struct rewrite *rewrite, struct mrd_merge_rewritten *out,
                                struct mrd_error *err)
{
    const struct mrd_block_entry *rollup = rewrite->options->rollup;
    if (rewrite->rows_in != rollup->counts.samples) {
        return mrd_fail(err, MRD_E_CORRUPT,
                        "block %.*s: %" PRIu64 " rows were read, it says %" PRIu64
                        ": nothing is changed",
                        MRD_FMT(rollup->id), rewrite->rows_in, rollup->counts.samples);
    }
    const struct mrd_bytes copy = mrd_arena_copy(rewrite->arena, mrd_buf_view(&rewrite->entries));
    if (copy.data == NULL) {
        return mrd_arena_fail(rewrite->arena, err);
    }
    *out = (struct mrd_merge_rewritten){
        .outputs = (const struct mrd_block_entry *)(const void *)copy.data,
        .output_count = copy.size / sizeof(struct mrd_block_entry),
        .rows_in = rewrite->rows_in,
        .rows_out = rewrite->rows_out,
        .erased = rewrite->erased,
    };
    return MRD_OK;
}

enum mrd_status mrd_merge_rewrite(const struct mrd_merge_rewrite_options *options,
                                  struct mrd_arena *arena, struct mrd_merge_rewritten *out,
                                  struct mrd_error *err)
{
    mrd_assert(options->rollup->resolution_ms > 0);
    struct rewrite *rewrite = calloc(1, sizeof(*rewrite));
    mrd_assert(rewrite != NULL);
    rewrite->options = options;
    rewrite->arena = arena;
    rewrite->erased =
        mrd_arena_alloc_array(arena, options->erasure_count + 1, sizeof(*rewrite->erased));
    rewrite->selected =
        mrd_arena_alloc_array(arena, options->erasure_count + 1, sizeof(*rewrite->selected));
    enum mrd_status status = MRD_OK;
    if (rewrite->erased == NULL || rewrite->selected == NULL) {
        status = mrd_arena_fail(arena, err);
    } else {
        memset(rewrite->erased, 0, options->erasure_count * sizeof(*rewrite->erased));
    }
    set_name(rewrite);
    status = status == MRD_OK ? walk(rewrite, err) : status;
    status = status == MRD_OK ? conclude(rewrite, out, err) : status;
    mrd_block_writer_destroy(&rewrite->writer);
    mrd_block_cursor_close(&rewrite->cursor);
    mrd_block_close(&rewrite->block);
    mrd_buf_fini(&rewrite->entries);
    free(rewrite);
    return status;
}
