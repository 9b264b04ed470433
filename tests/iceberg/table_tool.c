/* table_tool: lets tests in other languages make Iceberg tables of samples with our code, in a folder or
 * a bucket (tool_store.h).
 *
 *   table_tool make STORE TABLE_PATH TENANT < COMMANDS
 *
 * Commands, a line each, words separated by single spaces:
 *   promote LABEL...                     columns of their own from now on, besides those before
 *   file STEM SPEC                       begins a block, whose data file is STEM.parquet; SPEC is 0 (day) or 1 (month)
 *   series METRIC NAME=VALUE,...|-       a series of it, in the order of blocks
 *   sample TS_MS VALUE_BITS|-            a row of the series; of a rollup, a sample of the hours that are its rows
 *   end                                  ends the file
 *   table samples|rollup|series          whose definition commits have from now on; samples at first
 *   register KEY SPEC PARTITION ROWS     a data file that somebody else has put there
 *   commit UUID TIME_MS OPERATION EXPIRE_BEFORE_MS PINNED|0 +KEY|-KEY...
 *                                        prints "version KEY SNAPSHOT_ID" and "unreferenced KEY" lines
 *   load KEY                             the current version is this one from now on
 *   publish                              copies for readers without a catalog
 *   point                                names the current version to rest_tool
 *   files SNAPSHOT_ID                    prints "file KEY ROWS SIZE" lines
 * An error is a line "error STATUS TEXT", and the next command follows.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "block/writer.h"
#include "iceberg/commit.h"
#include "iceberg/tables.h"
#include "model/sample.h"
#include "rollup/builder.h"
#include "tool_store.h"

enum {
    FILES_MAX = 16384,
    LABELS_MAX = 32,
    ROWS_MAX = 1 << 20,
    LIMIT = 256 << 20,
    WORDS_MAX = 8192
};

struct maker {
    struct mrd_iceberg_table table;
    struct mrd_arena *arena;
    char *current; /* key, or NULL */
    char *kind;    /* NULL: samples */

    struct mrd_block_promoted promoted[MRD_BLOCK_PROMOTED_MAX];
    size_t promoted_count;
    struct mrd_block_schema schema;

    /* The block being written, and its last series. */
    struct mrd_block_writer *writer;
    char *stem;
    unsigned spec;
    struct mrd_bytes tenant;
    struct mrd_label labels[LABELS_MAX];
    size_t label_count;
    mrd_time_ms *times;
    double *values;
    size_t rows;

    struct mrd_iceberg_file files[FILES_MAX]; /* all that were written; path is the key */
    size_t file_count;
};

_Noreturn static void misuse(const char *what)
{
    fprintf(stderr, "table_tool: %s\n", what);
    exit(2);
}

static void must(enum mrd_status status, const struct mrd_error *err)
{
    if (status != MRD_OK) {
        misuse(err->text);
    }
}

static char *keep(struct maker *maker, const char *text)
{
    char *copy = mrd_arena_printf(maker->arena, "%s", text);
    if (copy == NULL) {
        misuse("too much text");
    }
    return copy;
}

static bool is_rollup(const struct maker *maker)
{
    return maker->kind != NULL && strcmp(maker->kind, "rollup") == 0;
}

static bool is_series(const struct maker *maker)
{
    return maker->kind != NULL && strcmp(maker->kind, "series") == 0;
}

static void make_schema(struct maker *maker)
{
    struct mrd_error err;
    must(mrd_block_schema_init(
             &(struct mrd_block_schema_options){.level = 1,
                                                .promoted = maker->promoted,
                                                .promoted_count = maker->promoted_count,
                                                .rollup = is_rollup(maker),
                                                .series = is_series(maker)},
             &maker->schema, &err),
         &err);
}

/* ---- data files: blocks ---- */

static void begin_file(struct maker *maker, const char *stem, unsigned spec)
{
    struct mrd_error err;
    char key[1024];
    char block[1024];
    maker->stem = keep(maker, stem);
    (void)snprintf(key, sizeof(key), "%s.parquet", stem);
    (void)snprintf(block, sizeof(block), "%s-block", stem); /* of the file of series */
    maker->spec = spec;
    maker->rows = 0;
    maker->label_count = 0;
    const struct mrd_block_writer_options options = {
        .store = maker->table.store,
        .stem = is_series(maker) ? block : maker->stem,
        .series_key = is_series(maker) ? key : NULL,
        .id = MRD_BYTES("block"),
        .level = spec == MRD_ICEBERG_BY_DAY ? 1 : 2,
        .promoted = maker->promoted,
        .promoted_count = maker->promoted_count,
        .memory_bytes_max = LIMIT,
        .resolution_ms = is_rollup(maker) ? MRD_ROLLUP_1H_MS : 0,
    };
    must(mrd_block_writer_create(&options, &maker->writer, &err), &err);
}

/* What rows of a rollup go to. */
struct row_sink {
    struct mrd_block_writer *writer;
    const struct mrd_block_series *series;
};

static enum mrd_status add_row(void *context, size_t level, const struct mrd_rollup_row *row,
                               struct mrd_error *err)
{
    const struct row_sink *sink = context;
    (void)level;
    return mrd_block_writer_add_rows(sink->writer, sink->series, row, 1, err);
}

static void add_hours(struct maker *maker, const struct mrd_block_series *series)
{
    static const mrd_time_ms hour_ms = MRD_ROLLUP_1H_MS;
    struct mrd_error err;
    struct row_sink sink = {maker->writer, series};
    const struct mrd_rollup_builder_options options = {
        .resolutions_ms = &hour_ms, .resolution_count = 1, .emit = add_row, .context = &sink};
    struct mrd_rollup_builder *builder = mrd_rollup_builder_create(&options);
    must(mrd_rollup_builder_add(builder, &series->samples, &series->histograms, &err), &err);
    must(mrd_rollup_builder_end(builder, &err), &err);
    mrd_rollup_builder_destroy(&builder);
}

static void end_series(struct maker *maker)
{
    if (maker->rows == 0) {
        return;
    }
    struct mrd_error err;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf canonical = {0};
    const struct mrd_labels labels = {maker->labels, maker->label_count};
    mrd_labels_encode(labels, &canonical);
    const struct mrd_block_series series = {
        .tenant = maker->tenant,
        .labels = labels,
        .id = mrd_series_id_of(mrd_tenant_seed(maker->tenant), mrd_buf_view(&canonical)),
        .samples = {.times_ms = maker->times, .values = maker->values, .count = maker->rows},
    };
    if (is_rollup(maker)) {
        add_hours(maker, &series);
    } else {
        must(mrd_block_writer_add(maker->writer, &series, &err), &err);
    }
    maker->rows = 0;
}

static void begin_series(struct maker *maker, const char *metric, const char *labels)
{
    end_series(maker);
    maker->labels[0] =
        (struct mrd_label){MRD_BYTES(MRD_METRIC_NAME), mrd_bytes_of(keep(maker, metric))};
    maker->label_count = 1;
    char *at = strcmp(labels, "-") == 0 ? NULL : keep(maker, labels);
    for (char *pair; (pair = strsep(&at, ",")) != NULL; maker->label_count++) {
        if (maker->label_count == LABELS_MAX) {
            misuse("too many labels");
        }
        maker->labels[maker->label_count].name = mrd_bytes_of(strsep(&pair, "="));
        maker->labels[maker->label_count].value = mrd_bytes_of(pair);
    }
    mrd_labels_sort(maker->labels, maker->label_count);
}

static void add_sample(struct maker *maker, const char *time_ms, const char *bits)
{
    if (maker->rows == ROWS_MAX) {
        misuse("too many rows in a series");
    }
    maker->times[maker->rows] = strtoll(time_ms, NULL, 10);
    maker->values[maker->rows++] =
        strcmp(bits, "-") == 0 ? mrd_stale_nan() : mrd_double_from_bits(strtoull(bits, NULL, 10));
}

static void end_file(struct maker *maker)
{
    static const struct mrd_block_origin origin = {
        .residency_class = {(const uint8_t *)"eu", 2}
    };
    struct mrd_error err;
    struct mrd_block_entry entry;
    end_series(maker);
    must(mrd_block_writer_finish(maker->writer, &origin, maker->arena, &entry, &err), &err);
    if (maker->file_count == FILES_MAX) {
        misuse("too many files");
    }
    struct mrd_iceberg_file *file = &maker->files[maker->file_count++];
    must(is_series(maker)
             ? mrd_iceberg_series_of_block(&entry, maker->spec, maker->arena, file, &err)
             : mrd_iceberg_file_of_block(&entry, maker->spec, maker->arena, file, &err),
         &err);
    mrd_block_writer_destroy(&maker->writer);
}

/* ---- commits ---- */

static enum mrd_iceberg_operation operation_of(const char *word)
{
    static const char *const names[] = {"nothing", "append", "replace", "overwrite", "delete"};
    for (size_t i = 0; i < MRD_ARRAY_LEN(names); i++) {
        if (strcmp(word, names[i]) == 0) {
            return (enum mrd_iceberg_operation)i;
        }
    }
    misuse("unknown operation");
}

static const struct mrd_iceberg_file *file_of(const struct maker *maker, const char *key)
{
    for (size_t i = 0; i < maker->file_count; i++) {
        if (strcmp(maker->files[i].path, key) == 0) {
            return &maker->files[i];
        }
    }
    misuse("no such file was written");
}

static void print_error(const struct mrd_error *err)
{
    printf("error %s %s\n", mrd_status_name(err->status), err->text);
}

static void define(const struct maker *maker, struct mrd_iceberg_table_definition *out)
{
    if (maker->kind == NULL || strcmp(maker->kind, "samples") == 0) {
        mrd_iceberg_samples_table(&maker->schema, out);
    } else if (is_rollup(maker)) {
        mrd_iceberg_rollup_table(&maker->schema, out);
    } else {
        mrd_iceberg_series_table(&maker->schema, out);
    }
}

static void commit(struct maker *maker, char **words, size_t count)
{
    static struct mrd_iceberg_file added[WORDS_MAX];
    static const char *removed[WORDS_MAX];
    static const struct mrd_iceberg_property note = {"meridian.catalog-version", "7"};
    struct mrd_iceberg_table_definition definition;
    define(maker, &definition);
    const int64_t pinned = strtoll(words[4], NULL, 10);
    struct mrd_iceberg_change change = {
        .time_ms = strtoll(words[1], NULL, 10),
        .definition = &definition.definition,
        .operation = operation_of(words[2]),
        .added = added,
        .removed = removed,
        .summary = &note,
        .summary_count = 1,
        .expire_before_ms = strtoll(words[3], NULL, 10),
        .pinned = &pinned,
        .pinned_count = 1,
    };
    for (size_t i = 0; i < MRD_ICEBERG_UUID_SIZE; i++) {
        const char digits[] = {words[0][2 * i], words[0][2 * i + 1], 0};
        change.uuid[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    for (size_t i = 5; i < count; i++) {
        if (words[i][0] == '+') {
            added[change.added_count++] = *file_of(maker, words[i] + 1);
        } else {
            removed[change.removed_count++] = words[i] + 1;
        }
    }
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("commit", LIMIT);
    struct mrd_iceberg_version version;
    struct mrd_error err;
    if (mrd_iceberg_commit(&maker->table, maker->current, &change, arena, &version, &err) !=
        MRD_OK) {
        print_error(&err);
        return;
    }
    maker->current = keep(maker, version.key);
    printf("version %s %" PRId64 "\n", version.key, version.metadata->snapshot_id);
    for (size_t i = 0; i < version.unreferenced_count; i++) {
        printf("unreferenced %s\n", version.unreferenced[i]);
    }
}

static void print_files(struct maker *maker, int64_t snapshot_id)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("files", LIMIT);
    struct mrd_iceberg_metadata *metadata;
    struct mrd_iceberg_contents contents;
    struct mrd_error err;
    if (mrd_iceberg_load(&maker->table, maker->current, arena, &metadata, &err) != MRD_OK ||
        mrd_iceberg_contents_load(&maker->table, metadata, snapshot_id, arena, &contents, &err) !=
            MRD_OK) {
        print_error(&err);
        return;
    }
    for (size_t i = 0; i < contents.file_count; i++) {
        const struct mrd_iceberg_file *file = &contents.files[i];
        printf("file %s %" PRIu64 " %" PRIu64 "\n", file->path, file->row_count, file->size);
    }
}

static void publish(struct maker *maker)
{
    struct mrd_error err;
    if (mrd_iceberg_publish(&maker->table, maker->current, MRD_BYTES_NONE, &err) != MRD_OK) {
        print_error(&err);
    }
}

static void point(struct maker *maker)
{
    struct mrd_error err;
    char key[MRD_OBJSTORE_KEY_SIZE_MAX];
    (void)snprintf(key, sizeof(key), "%s/current", maker->table.path);
    must(mrd_objstore_put(maker->table.store, key, mrd_bytes_of(maker->current), NULL, &err), &err);
}

/* ---- commands ---- */

static void promote(struct maker *maker, char **words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const size_t index = maker->promoted_count++;
        maker->promoted[index] = (struct mrd_block_promoted){
            keep(maker, words[i]), maker->current == NULL
                                       ? MRD_BLOCK_FIELD_PROMOTED + (int32_t)index
                                       : MRD_BLOCK_FIELD_EVOLVED + (int32_t)index};
    }
    make_schema(maker);
}

static void obey(struct maker *maker, char **words, size_t count)
{
    if (strcmp(words[0], "promote") == 0) {
        promote(maker, words + 1, count - 1);
    } else if (strcmp(words[0], "file") == 0 && count == 3) {
        begin_file(maker, words[1], (unsigned)strtoul(words[2], NULL, 10));
    } else if (strcmp(words[0], "series") == 0 && count == 3) {
        begin_series(maker, words[1], words[2]);
    } else if (strcmp(words[0], "sample") == 0 && count == 3) {
        add_sample(maker, words[1], words[2]);
    } else if (strcmp(words[0], "end") == 0) {
        end_file(maker);
    } else if (strcmp(words[0], "table") == 0 && count == 2) {
        maker->kind = keep(maker, words[1]);
        make_schema(maker);
    } else if (strcmp(words[0], "commit") == 0 && count >= 6) {
        commit(maker, words + 1, count - 1);
    } else if (strcmp(words[0], "load") == 0 && count == 2) {
        maker->current = keep(maker, words[1]);
    } else if (strcmp(words[0], "publish") == 0) {
        publish(maker);
    } else if (strcmp(words[0], "point") == 0) {
        point(maker);
    } else if (strcmp(words[0], "files") == 0 && count == 2) {
        print_files(maker, strtoll(words[1], NULL, 10));
    } else {
        misuse(words[0]);
    }
}

static size_t split(char *line, char **words)
{
    size_t count = 0;
    line[strcspn(line, "\n")] = '\0';
    for (char *word; (word = strsep(&line, " ")) != NULL && count < WORDS_MAX;) {
        words[count++] = word;
    }
    return count;
}

int main(int argc, char **argv)
{
    if (argc != 5 || strcmp(argv[1], "make") != 0) {
        misuse("usage: table_tool make STORE TABLE_PATH TENANT");
    }
    static struct maker maker;
    static char *words[WORDS_MAX];
    struct mrd_error err;
    char root[TOOL_ROOT_SIZE];
    struct mrd_iceberg_property config[3];
    size_t config_count;
    maker.table = (struct mrd_iceberg_table){.root = root, .path = argv[3]};
    must(tool_store_open(argv[2], root, config, &config_count, &maker.table.store, &err), &err);
    maker.arena = mrd_arena_create("tool", LIMIT);
    maker.tenant = mrd_bytes_of(argv[4]);
    maker.times = calloc(ROWS_MAX, sizeof(*maker.times));
    maker.values = calloc(ROWS_MAX, sizeof(*maker.values));
    make_schema(&maker);
    char *line = NULL;
    size_t line_size = 0;
    while (getline(&line, &line_size, stdin) > 0) {
        obey(&maker, words, split(line, words));
    }
    free(line);
    free(maker.times);
    free(maker.values);
    mrd_arena_destroy(&maker.arena);
    mrd_objstore_close(&maker.table.store);
    return 0;
}
