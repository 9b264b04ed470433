/* mrdctl block export: what a querier has, as blocks of Prometheus, by remote read. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "codec/snappy_block.h"
#include "mrdctl/command.h"
#include "mrdctl/connection.h"
#include "mrdctl/patience.h"
#include "mrdctl/rechunk.h"
#include "promql/parse.h"
#include "tsdb/series_spool.h"
#include "wire/remote_read_client.h"

enum {
    SELECTOR_BYTES_MAX = 1 << 20,
    ARENA_BYTES_MAX = 1 << 30, /* the series of a frame; one chunk, decoded */
};

#define VERSION_HEADER "X-Prometheus-Remote-Read-Version: 0.1.0"
#define STRONG_HEADER "X-Read-Consistency: strong" /* all that was acknowledged before */
#define ORDER_HEADER "X-Read-Order: any"           /* the spool sorts */
#define READ_PATH "/api/v1/read"
#define STREAM_TYPE "application/x-streamed-protobuf"

struct options {
    struct ctl_connection_options connection;
    const char *match;
    mrd_time_ms from_ms;
    mrd_time_ms to_ms;
    mrd_time_ms block_ms;
    mrd_time_ms patience_ms;
    bool starts;
    uint64_t memory;
};

struct export
{
    const struct options *options;
    const char *folder;
    struct ctl_connection connection;
    struct mrd_arena *selector_arena;
    struct mrd_ast selector;
    struct mrd_arena *arena; /* of a frame, then of a chunk */
    uint64_t blocks;
    struct mrd_tsdb_stats total;

    /* Of the block under construction. */
    struct ctl_window window;
    struct mrd_tsdb_spool *spool;
    struct mrd_read_frames frames;
    bool looked; /* at the kind of the answer */
};

/* ---- what is read ---- */

static enum mrd_status on_frame(void *context, struct mrd_bytes message, struct mrd_error *err)
{
    struct export *export = context;
    struct mrd_read_frame frame;
    mrd_arena_reset(export->arena);
    MRD_TRY(mrd_read_frame_decode(message, export->arena, &frame, err));
    MRD_TRY(mrd_tsdb_spool_series(export->spool, frame.labels, err));
    for (size_t i = 0; i < frame.chunk_count; i++) {
        if (frame.chunks[i].encoding > UINT8_MAX) {
            return mrd_fail(err, MRD_E_CORRUPT, "a chunk of encoding %u", frame.chunks[i].encoding);
        }
        mrd_tsdb_spool_chunk(export->spool, frame.chunks[i].encoding, frame.chunks[i].bytes);
    }
    return MRD_OK;
}

static enum mrd_status on_bytes(void *context, struct mrd_bytes bytes, struct mrd_error *err)
{
    struct export *export = context;
    if (!export->looked) {
        const char *type = mrd_http_client_header(export->connection.client, "Content-Type");
        if (type == NULL || strncmp(type, STREAM_TYPE, strlen(STREAM_TYPE)) != 0) {
            return mrd_fail(err, MRD_E_INVALID,
                            "the answer is %s, not %s: no server of remote read that streams",
                            type == NULL ? "of no type" : type, STREAM_TYPE);
        }
        export->looked = true;
    }
    return mrd_read_frames_take(&export->frames, bytes, on_frame, export, err);
}

static void request_make(const struct export *export, struct mrd_buf *out)
{
    const struct mrd_selector *selector = &export->selector.root->selector;
    const struct mrd_read_query query = {
        .min_ms = export->window.min_ms,
        .max_ms = export->window.max_ms,
        .matchers = (struct mrd_matcher *)(uintptr_t)selector->matchers,
        .matcher_count = selector->matcher_count,
    };
    mrd_auto(mrd_buf_fini)
    struct mrd_buf plain = {0};
    mrd_read_request_append(&query, &plain);
    mrd_snappy_encode(mrd_buf_view(&plain), out);
}

/* MRD_E_UNAVAILABLE: another attempt may succeed. */
static enum mrd_status answer_judge(const struct mrd_http_answer *answer, struct mrd_error *err)
{
    const struct mrd_bytes text = ctl_answer_text(answer);
    const unsigned code = answer->status;
    enum mrd_status status = MRD_E_INVALID;
    if (code == 200) {
        return MRD_OK;
    }
    if (code == 401 || code == 403) {
        status = MRD_E_DENIED;
    } else if (code == 429 || code >= 500) {
        status = MRD_E_UNAVAILABLE;
    }
    return mrd_fail(err, status, "the server answers %u: %.*s", code, MRD_FMT(text));
}

static enum mrd_status window_read(struct export *export, struct mrd_error *err)
{
    struct mrd_http_answer answer;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf body = {0};
    request_make(export, &body);
    const struct mrd_http_call call = {
        .method = "POST",
        .url = READ_PATH,
        .headers = {"Content-Type: application/x-protobuf", "Content-Encoding: snappy",
                    VERSION_HEADER, STRONG_HEADER, ORDER_HEADER,
                    export->options->starts ? "X-Read-Start-Times: true" : NULL},
        .body = mrd_buf_view(&body),
        .sink = on_bytes,
        .sink_context = export,
    };
    MRD_TRY(ctl_connection_send(&export->connection, &call, &answer, err));
    MRD_TRY(answer_judge(&answer, err));
    return mrd_read_frames_end(&export->frames, err);
}

/* ---- one block ---- */

static enum mrd_status ulid_make(char out[MRD_ULID_LENGTH + 1], struct mrd_error *err)
{
    uint8_t chance[MRD_ULID_CHANCE];
    if (getrandom(chance, sizeof(chance), 0) != (ssize_t)sizeof(chance)) {
        return mrd_fail_errno(err, MRD_E_UNAVAILABLE, "no random numbers");
    }
    mrd_ulid_make(mrd_clock_now_ms(mrd_clock_system()), chance, out);
    return MRD_OK;
}

static void totals_add(struct export *export, const struct mrd_tsdb_stats *stats)
{
    export->blocks++;
    export->total.series += stats->series;
    export->total.chunks += stats->chunks;
    export->total.floats += stats->floats;
    export->total.histograms += stats->histograms;
}

static enum mrd_status series_write(struct export *export, struct mrd_tsdb_writer *writer,
                                    struct mrd_tsdb_spooled *series, struct mrd_error *err)
{
    unsigned encoding;
    struct mrd_bytes bytes;
    MRD_TRY(mrd_tsdb_writer_series(writer, series->labels, err));
    while (mrd_tsdb_spooled_chunk(&series->chunks, &encoding, &bytes)) {
        mrd_arena_reset(export->arena);
        MRD_TRY(ctl_rechunk(writer, encoding, bytes, export->window, export->arena, err));
    }
    return MRD_OK;
}

/* Writes what the spool has. */
static enum mrd_status block_write(struct export *export, struct mrd_tsdb_writer *writer,
                                   struct mrd_error *err)
{
    struct mrd_tsdb_meta meta;
    MRD_TRY(mrd_tsdb_spool_turn(export->spool, err));
    for (;;) {
        struct mrd_tsdb_spooled series;
        bool more;
        MRD_TRY(mrd_tsdb_spool_next(export->spool, &series, &more, err));
        if (!more) {
            break;
        }
        MRD_TRY(series_write(export, writer, &series, err));
    }
    MRD_TRY(mrd_tsdb_writer_finish(writer, &meta, err));
    if (meta.stats.series > 0) {
        totals_add(export, &meta.stats);
        printf("block %s: %" PRId64 " to %" PRId64 " ms, %" PRIu64 " series, %" PRIu64
               " samples, %" PRIu64 " histograms\n",
               meta.ulid, meta.min_ms, meta.max_ms, meta.stats.series, meta.stats.floats,
               meta.stats.histograms);
    }
    return MRD_OK;
}

static enum mrd_status block_try(struct export *export, struct mrd_error *err)
{
    char ulid[MRD_ULID_LENGTH + 1];
    mrd_auto(mrd_tsdb_writer_destroy)
    struct mrd_tsdb_writer *writer = NULL;
    MRD_TRY(ulid_make(ulid, err));
    const struct mrd_tsdb_writer_options options = {export->folder, ulid,
                                                    (size_t) export->options->memory};
    mrd_read_frames_fini(&export->frames);
    export->looked = false;
    MRD_TRY(mrd_tsdb_spool_create(export->folder, &export->spool, err));
    enum mrd_status status = window_read(export, err);
    if (status == MRD_OK) {
        status = mrd_tsdb_writer_create(&options, &writer, err);
    }
    if (status == MRD_OK) {
        status = block_write(export, writer, err); /* a block that is not finished will be gone */
    }
    mrd_tsdb_spool_destroy(&export->spool);
    return status;
}

/* Again from the block's beginning if the server cannot now, or the answer breaks off. */
static enum mrd_status block_export(struct export *export, struct mrd_error *err)
{
    struct ctl_patience patience;
    ctl_patience_init(&patience, export->options->patience_ms);
    for (;;) {
        const enum mrd_status status = block_try(export, err);
        if (status != MRD_E_UNAVAILABLE ||
            !ctl_patience_wait(&patience, ctl_retry_after_ms(export->connection.client),
                               err->text)) {
            return status;
        }
    }
}

/* ---- all ---- */

static mrd_time_ms floor_to(mrd_time_ms time_ms, mrd_time_ms step_ms)
{
    const mrd_time_ms rest = time_ms % step_ms;
    return time_ms - (rest < 0 ? rest + step_ms : rest);
}

static enum mrd_status blocks_export(struct export *export, struct mrd_error *err)
{
    const struct options *options = export->options;
    for (mrd_time_ms at_ms = options->from_ms; at_ms < options->to_ms;) {
        const mrd_time_ms next_ms = floor_to(at_ms, options->block_ms) + options->block_ms;
        export->window = (struct ctl_window){at_ms, MRD_MIN(next_ms, options->to_ms) - 1};
        MRD_TRY(block_export(export, err));
        at_ms = next_ms;
    }
    return MRD_OK;
}

/* Makes the folder; one that has something is refused, for its blocks would overlap with ours. */
static enum mrd_status folder_take(const char *path, struct mrd_error *err)
{
    if (mkdir(path, 0755) == 0) {
        return MRD_OK;
    }
    DIR *folder = errno == EEXIST ? opendir(path) : NULL;
    if (folder == NULL) {
        return mrd_fail_errno(err, MRD_E_INVALID, "%s", path);
    }
    bool empty = true;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        empty &= strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    }
    (void)closedir(folder);
    return empty ? MRD_OK
                 : mrd_fail(err, MRD_E_INVALID,
                            "%s is not empty: name a new folder, or remove what an earlier export "
                            "left there",
                            path);
}

static enum mrd_status options_check(const struct options *options, struct mrd_error *err)
{
    const mrd_time_ms bound_ms = INT64_C(1) << 52;
    if (options->from_ms >= options->to_ms) {
        return mrd_fail(err, MRD_E_INVALID, "--from is not before --to");
    }
    return options->from_ms > -bound_ms && options->to_ms < bound_ms
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID, "--from or --to is out of range");
}

static enum mrd_status export_open(struct export *export, struct mrd_error *err)
{
    const struct options *options = export->options;
    MRD_TRY(options_check(options, err));
    const enum mrd_status status = mrd_promql_parse_selector(
        mrd_bytes_of(options->match), export->selector_arena, &export->selector, err);
    if (status != MRD_OK) {
        return mrd_fail_prefix(err, status, "--match");
    }
    MRD_TRY(ctl_connection_open(&export->connection, &options->connection, err));
    return folder_take(export->folder, err);
}

static void export_fini(struct export *export)
{
    mrd_ast_fini(&export->selector);
    mrd_arena_destroy(&export->selector_arena);
    mrd_arena_destroy(&export->arena);
    mrd_read_frames_fini(&export->frames);
    ctl_connection_close(&export->connection);
}

static enum ctl_exit export_run(const struct ctl_command *command, const struct options *options,
                                const char *folder)
{
    struct mrd_error err;
    mrd_auto(export_fini)
    struct export export = {
        .options = options,
        .folder = folder,
        .selector_arena = mrd_arena_create("--match", SELECTOR_BYTES_MAX),
        .arena = mrd_arena_create("a frame or a chunk", ARENA_BYTES_MAX),
    };
    enum mrd_status status = export_open(&export, &err);
    if (status != MRD_OK) {
        return ctl_fail(command, status, &err);
    }
    status = blocks_export(&export, &err);
    printf("total: %" PRIu64 " blocks, %" PRIu64 " samples, %" PRIu64 " histograms, %" PRIu64
           " chunks\n",
           export.blocks, export.total.floats, export.total.histograms, export.total.chunks);
    return status == MRD_OK ? CTL_EXIT_DONE : ctl_fail(command, status, &err);
}

static enum ctl_exit run(const struct ctl_command *command, int count, char **arguments)
{
    static struct ctl_list folders;
    enum ctl_exit code;
    struct options given = {
        .match = "{__name__=~\".+\"}",
        .block_ms = 2 * 3600 * 1000,
        .patience_ms = 10 * 60 * 1000,
        .memory = 1 << 30,
    };
    const struct ctl_option options[] = {
        CTL_CONNECTION_ROWS(&given.connection, "the querier, such as http://127.0.0.1:7204"),
        CTL_TENANT_ROW(&given.connection),
        CTL_ROW("match", CTL_TEXT, "SELECTOR",
                "which series, such as '{job=\"a\"}'; without it: all", &given.match),
        CTL_REQUIRED_ROW("from", CTL_TIME, "TIME",
                         "of the first samples: 2015-07-01T20:10:51Z or seconds since 1970",
                         &given.from_ms),
        CTL_REQUIRED_ROW("to", CTL_TIME, "TIME", "before which the last are", &given.to_ms),
        CTL_ROW("start-times", CTL_FLAG, NULL,
                "with start times, which only Prometheus 3.14 and newer reads", &given.starts),
        CTL_RANGE_ROW("block-duration", CTL_DURATION, "TIME", "2h", &given.block_ms, 60 * 1000,
                      UINT64_C(31) * 86400 * 1000),
        CTL_RANGE_ROW("give-up-after", CTL_DURATION, "TIME",
                      "how long one block is tried again and again; 10m", &given.patience_ms, 0,
                      CTL_TIME_MAX_MS),
        CTL_RANGE_ROW("memory-bytes-max", CTL_COUNT, "N", "for the index of one block; 1073741824",
                      &given.memory, 1 << 20, UINT64_C(1) << 40),
    };
    if (!ctl_options_take(command, options, MRD_ARRAY_LEN(options), count, arguments, &folders,
                          &code)) {
        return code;
    }
    if (folders.count != 1) {
        (void)fprintf(stderr, "mrdctl %s: one folder is to be named\n", command->words);
        return CTL_EXIT_USAGE;
    }
    return export_run(command, &given, folders.items[0]);
}

const struct ctl_command ctl_block_export = {
    .words = "block export",
    .summary = "write what a querier has as blocks of Prometheus",
    .help = "mrdctl block export --url URL [--tenant NAME] --from TIME --to TIME [--match "
            "SELECTOR] OUT_DIR\n\n"
            "Reads series from a querier by remote read and writes blocks of two hours that "
            "Prometheus,\n"
            "promtool and others read. OUT_DIR is made, or is empty. A block is there as a whole "
            "or not at all.",
    .run = run,
};
