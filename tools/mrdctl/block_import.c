/* mrdctl block import: blocks of Prometheus sent to a distributor as remote write. */
#include <inttypes.h>
#include <stdio.h>

#include "mrdctl/added_labels.h"
#include "mrdctl/blocks.h"
#include "mrdctl/command.h"
#include "mrdctl/connection.h"
#include "mrdctl/progress.h"
#include "mrdctl/sender.h"

enum {
    SERIES_BYTES_MAX = 256 << 20, /* labels and list of chunks of one series */
    CHUNK_BYTES_MAX = 1 << 30,    /* one chunk, decoded */
    SAVE_EVERY_MS = 2000,
    TELL_EVERY_MS = 5000,
};

struct import {
    const struct ctl_added_labels *added;
    mrd_time_ms from_ms;
    mrd_time_ms to_ms; /* excluded */
    struct ctl_sender sender;
    struct ctl_progress progress;
    const struct ctl_block *block;
    struct mrd_tsdb_block open;
    struct mrd_arena *series_arena;
    struct mrd_arena *chunk_arena;
    uint64_t deleted; /* left out for tombstones */
    uint64_t series_done;
    int64_t saved_ns;
    int64_t told_ns;
};

/* ---- one chunk ---- */

/* Whether a sample goes; counts those that tombstones keep back. */
static bool is_wanted(struct import *import, const struct mrd_tsdb_tombstones *deleted,
                      mrd_time_ms time_ms)
{
    if (time_ms < import->from_ms || time_ms >= import->to_ms) {
        return false;
    }
    const bool covered = mrd_tsdb_tombstones_cover(deleted, time_ms);
    import->deleted += covered;
    return !covered;
}

static mrd_time_ms start_of(const mrd_time_ms *starts_ms, size_t at)
{
    return starts_ms == NULL ? 0 : starts_ms[at];
}

static enum mrd_status floats_send(struct import *import, struct mrd_labels labels,
                                   const struct mrd_samples *samples,
                                   const struct mrd_tsdb_tombstones *deleted, struct mrd_error *err)
{
    for (size_t i = 0; i < samples->count; i++) {
        const struct mrd_sample sample = {samples->times_ms[i], samples->values[i]};
        if (is_wanted(import, deleted, sample.time_ms)) {
            MRD_TRY(ctl_sender_sample(&import->sender, labels, sample,
                                      start_of(samples->start_times_ms, i), err));
        }
    }
    return MRD_OK;
}

static enum mrd_status histograms_send(struct import *import, struct mrd_labels labels,
                                       const struct mrd_histograms *histograms,
                                       const struct mrd_tsdb_tombstones *deleted,
                                       struct mrd_error *err)
{
    for (size_t i = 0; i < histograms->count; i++) {
        const mrd_time_ms time_ms = histograms->times_ms[i];
        if (is_wanted(import, deleted, time_ms)) {
            MRD_TRY(ctl_sender_histogram(&import->sender, labels, time_ms,
                                         start_of(histograms->start_times_ms, i),
                                         &histograms->items[i], err));
        }
    }
    return MRD_OK;
}

static enum mrd_status chunk_send(struct import *import, const struct mrd_tsdb_series *series,
                                  size_t at, const struct mrd_tsdb_tombstones *deleted,
                                  struct mrd_error *err)
{
    struct mrd_prometheus_chunk chunk;
    if (series->chunks[at].max_ms < import->from_ms || series->chunks[at].min_ms >= import->to_ms) {
        return MRD_OK;
    }
    mrd_arena_reset(import->chunk_arena);
    MRD_TRY(
        mrd_tsdb_block_chunk(&import->open, &series->chunks[at], import->chunk_arena, &chunk, err));
    MRD_TRY(floats_send(import, series->labels, &chunk.samples, deleted, err));
    return histograms_send(import, series->labels, &chunk.histograms, deleted, err);
}

/* ---- how far it is ---- */

static void tell(struct import *import, uint64_t series, int64_t now_ns)
{
    if (now_ns - import->told_ns < TELL_EVERY_MS * INT64_C(1000000)) {
        return;
    }
    import->told_ns = now_ns;
    (void)fprintf(stderr,
                  "block %s: series %" PRIu64 " of %zu; %" PRIu64 " samples and %" PRIu64
                  " histograms written in all\n",
                  import->block->meta.ulid, series, import->open.index.series_count,
                  import->sender.written.samples, import->sender.written.histograms);
}

/* Everything before `position` is acknowledged, unless some waits. */
static enum mrd_status note(struct import *import, struct ctl_position position,
                            struct mrd_error *err)
{
    const int64_t now_ns = mrd_clock_monotonic_ns(mrd_clock_system());
    tell(import, position.series, now_ns);
    if (ctl_sender_is_well_filled(&import->sender)) {
        ctl_sender_end(&import->sender);
        MRD_TRY(ctl_sender_flush(&import->sender, err));
    }
    if (!ctl_sender_is_empty(&import->sender)) {
        return MRD_OK;
    }
    ctl_progress_set(&import->progress, import->block->meta.ulid, position);
    if (now_ns - import->saved_ns < SAVE_EVERY_MS * INT64_C(1000000)) {
        return MRD_OK;
    }
    import->saved_ns = now_ns;
    return ctl_progress_save(&import->progress, err);
}

/* ---- one block ---- */

static enum mrd_status series_send(struct import *import, size_t at, size_t first_chunk,
                                   struct mrd_error *err)
{
    struct mrd_tsdb_series series;
    mrd_arena_reset(import->series_arena);
    MRD_TRY(mrd_tsdb_index_series(&import->open.index, at, import->series_arena, &series, err));
    MRD_TRY(ctl_added_labels_put(import->added, series.labels, import->series_arena, &series.labels,
                                 err));
    const struct mrd_tsdb_tombstones deleted =
        mrd_tsdb_tombstones_of(&import->open.tombstones, series.ref);
    for (size_t i = first_chunk; i < series.chunk_count; i++) {
        const enum mrd_status status = chunk_send(import, &series, i, &deleted, err);
        if (status != MRD_OK) {
            mrd_auto(mrd_buf_fini)
            struct mrd_buf name = {0};
            mrd_labels_format(series.labels, &name);
            return mrd_fail_prefix(err, status, "series %.*s", (int)MRD_MIN(name.size, (size_t)200),
                                   (const char *)name.data);
        }
        MRD_TRY(note(import, (struct ctl_position){.series = at, .chunk = i + 1}, err));
    }
    ctl_sender_end(&import->sender);
    import->series_done++;
    return MRD_OK;
}

static enum mrd_status series_all_send(struct import *import, struct ctl_position from,
                                       struct mrd_error *err)
{
    for (size_t i = (size_t)from.series; i < import->open.index.series_count; i++) {
        MRD_TRY(series_send(import, i, i == from.series ? (size_t)from.chunk : 0, err));
    }
    MRD_TRY(ctl_sender_flush(&import->sender, err));
    ctl_progress_set(&import->progress, import->block->meta.ulid,
                     (struct ctl_position){.done = true});
    return ctl_progress_save(&import->progress, err);
}

static enum mrd_status block_send(struct import *import, const struct ctl_block *block,
                                  struct mrd_error *err)
{
    const struct ctl_position from = ctl_progress_get(&import->progress, block->meta.ulid);
    const struct ctl_sent before = import->sender.written;
    const uint64_t deleted = import->deleted;
    const uint64_t series = import->series_done;
    if (from.done) {
        printf("block %s: done before\n", block->meta.ulid);
        return MRD_OK;
    }
    import->block = block;
    MRD_TRY(mrd_tsdb_block_open(&import->open, block->folder, err));
    const enum mrd_status status = series_all_send(import, from, err);
    mrd_tsdb_block_close(&import->open);
    if (status != MRD_OK) {
        return mrd_fail_prefix(err, status, "block %s", block->meta.ulid);
    }
    printf("block %s: %" PRIu64 " series, %" PRIu64 " samples, %" PRIu64
           " histograms written; %" PRIu64 " deleted ones left out\n",
           block->meta.ulid, import->series_done - series,
           import->sender.written.samples - before.samples,
           import->sender.written.histograms - before.histograms, import->deleted - deleted);
    return MRD_OK;
}

/* ---- the command ---- */

static void import_fini(struct import *import)
{
    ctl_sender_fini(&import->sender);
    ctl_progress_close(&import->progress);
    mrd_arena_destroy(&import->series_arena);
    mrd_arena_destroy(&import->chunk_arena);
}

/* Saves how far it came, whatever became of it. */
static enum mrd_status blocks_send(struct import *import, const struct ctl_blocks *blocks,
                                   struct mrd_error *err)
{
    enum mrd_status status = MRD_OK;
    for (size_t i = 0; i < blocks->count && status == MRD_OK; i++) {
        status = block_send(import, &blocks->items[i], err);
    }
    const enum mrd_status saved =
        ctl_progress_save(&import->progress, status == MRD_OK ? err : NULL);
    return status == MRD_OK ? saved : status;
}

static enum ctl_exit report(const struct import *import, bool checked_only)
{
    const struct ctl_sender *sender = &import->sender;
    printf("total: %" PRIu64 " series, %" PRIu64 " samples, %" PRIu64 " histograms %s; %" PRIu64
           " refused; %" PRIu64 " deleted ones left out; %" PRIu64 " requests, %" PRIu64
           " sent again\n",
           import->series_done, sender->written.samples, sender->written.histograms,
           checked_only ? "read, nothing was sent" : "written", sender->refused, import->deleted,
           sender->requests, sender->retries);
    return sender->refused == 0 ? CTL_EXIT_DONE : CTL_EXIT_FAILED;
}

struct options {
    struct ctl_connection_options connection;
    const char *progress;
    struct ctl_added_labels added;
    mrd_time_ms from_ms;
    mrd_time_ms to_ms;
    uint64_t samples_max;
    uint64_t bytes_max;
    mrd_time_ms patience_ms;
    bool keep_going;
    bool dry_run;
};

/* Which samples go, and as what, as a text. */
static void options_describe(const struct options *options, struct mrd_buf *out)
{
    mrd_buf_printf(out, "from %" PRId64 " to %" PRId64 " ms", options->from_ms, options->to_ms);
    for (size_t i = 0; i < options->added.count; i++) {
        mrd_buf_printf(out, ", %.*s=%.*s", MRD_FMT(options->added.items[i].name),
                       MRD_FMT(options->added.items[i].value));
    }
    mrd_buf_append_u8(out, 0);
}

static enum mrd_status progress_open(struct import *import, const struct options *options,
                                     const char *url, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text = {0};
    options_describe(options, &text);
    const struct ctl_progress_of of = {url, options->connection.tenant, (const char *)text.data};
    return ctl_progress_open(&import->progress, options->dry_run ? NULL : options->progress, &of,
                             err);
}

static enum ctl_exit import_run(const struct ctl_command *command, const struct options *options,
                                const struct ctl_list *folders)
{
    struct mrd_error err;
    mrd_auto(ctl_blocks_fini)
    struct ctl_blocks blocks = {0};
    mrd_auto(ctl_connection_close)
    struct ctl_connection connection = {0};
    mrd_auto(import_fini)
    struct import import = {
        .added = &options->added,
        .from_ms = options->from_ms,
        .to_ms = options->to_ms,
        .sender = {.connection = options->dry_run ? NULL : &connection,
                   .samples_max = options->samples_max,
                   .bytes_max = options->bytes_max,
                   .patience_ms = options->patience_ms,
                   .keep_going = options->keep_going},
        .series_arena = mrd_arena_create("a series of a block", SERIES_BYTES_MAX),
        .chunk_arena = mrd_arena_create("a chunk of a block", CHUNK_BYTES_MAX),
    };
    ctl_sender_init(&import.sender);
    import.told_ns = import.saved_ns = mrd_clock_monotonic_ns(mrd_clock_system());
    enum mrd_status status = ctl_blocks_find(folders, &blocks, &err);
    if (status == MRD_OK) {
        status = ctl_connection_open(&connection, &options->connection, &err);
    }
    if (status == MRD_OK) {
        status = progress_open(&import, options, connection.base, &err);
    }
    if (status != MRD_OK) {
        return ctl_fail(command, status, &err);
    }
    status = blocks_send(&import, &blocks, &err);
    const enum ctl_exit code = report(&import, options->dry_run);
    return status == MRD_OK ? code : ctl_fail(command, status, &err);
}

static enum ctl_exit run(const struct ctl_command *command, int count, char **arguments)
{
    static struct ctl_list folders;
    static struct ctl_list labels;
    enum ctl_exit code;
    struct mrd_error err;
    struct options given = {.from_ms = INT64_MIN,
                            .to_ms = INT64_MAX,
                            .samples_max = 10000,
                            .bytes_max = 2 << 20,
                            .patience_ms = 10 * 60 * 1000};
    const struct ctl_option options[] = {
        CTL_CONNECTION_ROWS(&given.connection, "the distributor, such as http://127.0.0.1:7201"),
        CTL_TENANT_ROW(&given.connection),
        CTL_ROW("progress", CTL_TEXT, "FILE",
                "keeps how far it came; with it a later run goes on from there", &given.progress),
        CTL_ROW("label", CTL_REPEATED, "NAME=VALUE",
                "a label for every series that has none of that name; may come again", &labels),
        CTL_ROW("from", CTL_TIME, "TIME",
                "of the first samples: 2015-07-01T20:10:51Z or seconds since 1970", &given.from_ms),
        CTL_ROW("to", CTL_TIME, "TIME", "before which the last are", &given.to_ms),
        CTL_RANGE_ROW("samples-per-request", CTL_COUNT, "N",
                      "10000 unless limits.ingestion_burst is less", &given.samples_max, 1,
                      1000000),
        CTL_RANGE_ROW("bytes-per-request", CTL_COUNT, "N", "2097152, before compression",
                      &given.bytes_max, 1024, 64 << 20),
        CTL_RANGE_ROW("give-up-after", CTL_DURATION, "TIME",
                      "how long one request is sent again and again; 10m", &given.patience_ms, 0,
                      CTL_TIME_MAX_MS),
        CTL_ROW("keep-going", CTL_FLAG, NULL, "also when nothing of a request is taken",
                &given.keep_going),
        CTL_ROW("dry-run", CTL_FLAG, NULL, "read and check the blocks, send nothing",
                &given.dry_run),
    };
    if (!ctl_options_take(command, options, MRD_ARRAY_LEN(options), count, arguments, &folders,
                          &code)) {
        return code;
    }
    if (folders.count == 0) {
        (void)fprintf(stderr, "mrdctl %s: no folder was named\n", command->words);
        return CTL_EXIT_USAGE;
    }
    if (ctl_added_labels_read(&labels, &given.added, &err) != MRD_OK) {
        (void)fprintf(stderr, "mrdctl %s: %s\n", command->words, err.text);
        return CTL_EXIT_USAGE;
    }
    return import_run(command, &given, &folders);
}

const struct ctl_command ctl_block_import = {
    .words = "block import",
    .summary = "send blocks of Prometheus to a distributor",
    .help = "mrdctl block import --url URL [--tenant NAME] DIR...\n\n"
            "Reads blocks of Prometheus (floats, native histograms, start times; what tombstones "
            "delete is\n"
            "left out) and writes them to a distributor. DIR is a block or a folder of blocks, "
            "such as a\n"
            "copy of a server's data. What is acknowledged is in the partition log. It waits where "
            "the\n"
            "server asks for it, and may be run again: what is there already is not stored twice.",
    .run = run,
};
