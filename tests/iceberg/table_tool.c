/* table_tool: lets tests in other languages make Iceberg tables of samples with our code, in a folder.
 *
 *   table_tool make FOLDER TABLE_PATH < COMMANDS
 *
 * Commands, a line each, words separated by single spaces:
 *   promote LABEL...                     columns of their own from now on, besides those before
 *   file KEY SPEC                        begins a data file; SPEC is 0 (day) or 1 (month)
 *   series ID METRIC NAME=VALUE,...|-    a series of it
 *   sample TS_MS VALUE_BITS|-            a row of the series
 *   end                                  ends the file
 *   commit UUID TIME_MS OPERATION EXPIRE_BEFORE_MS PINNED|0 +KEY|-KEY...
 *                                        prints "version KEY SNAPSHOT_ID" and "unreferenced KEY" lines
 *   load KEY                             the current version is this one from now on
 *   publish                              copies for readers without a catalog
 *   files SNAPSHOT_ID                    prints "file KEY ROWS SIZE" lines
 * An error is a line "error STATUS TEXT", and the next command follows.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "iceberg/commit.h"
#include "iceberg/tables.h"
#include "objstore/file_store.h"
#include "parquet/writer.h"

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

    struct mrd_block_promoted promoted[MRD_BLOCK_PROMOTED_MAX];
    size_t promoted_count;
    struct mrd_block_schema schema;

    /* The file being written. */
    struct mrd_pq_writer *writer;
    struct mrd_buf bytes;
    char *key;
    unsigned spec;
    struct mrd_bytes metric, names[LABELS_MAX], values[LABELS_MAX];
    size_t label_count;
    int64_t series_id;
    int64_t *ts;
    double *value;
    uint8_t *value_def;
    size_t rows, values_count;
    int64_t ts_min_ms;

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

static void make_schema(struct maker *maker)
{
    struct mrd_error err;
    must(mrd_block_schema_init(
             &(struct mrd_block_schema_options){1, maker->promoted, maker->promoted_count},
             &maker->schema, &err),
         &err);
}

/* ---- data files ---- */

static struct mrd_pq_column pq_column(const struct mrd_block_column *column)
{
    struct mrd_pq_column out = {
        .name = column->name,
        .optional = !column->required,
        .field_id = column->field_id,
        .value = {.field_id = -1, .dictionary_size_max = 1 << 16}
    };
    switch (column->type) {
    case MRD_BLOCK_STRING:
        out.value.type = MRD_PQ_BYTE_ARRAY;
        out.value.meaning = MRD_PQ_STRING;
        break;
    case MRD_BLOCK_BINARY:
        out.value.type = MRD_PQ_BYTE_ARRAY;
        break;
    case MRD_BLOCK_INT:
        out.value.type = MRD_PQ_INT32;
        break;
    case MRD_BLOCK_LONG:
    case MRD_BLOCK_TIMESTAMPTZ:
        out.value.type = MRD_PQ_INT64;
        out.value.meaning = column->type == MRD_BLOCK_LONG ? MRD_PQ_RAW : MRD_PQ_TIMESTAMP_US;
        out.value.encoding = MRD_PQ_DELTA_BINARY_PACKED;
        out.value.dictionary_size_max = 0;
        break;
    case MRD_BLOCK_DOUBLE:
        out.value.type = MRD_PQ_DOUBLE;
        out.value.dictionary_size_max = 0;
        break;
    case MRD_BLOCK_STRING_MAP:
        out.shape = MRD_PQ_MAP;
        out.value.type = MRD_PQ_BYTE_ARRAY;
        out.value.meaning = MRD_PQ_STRING;
        out.key = out.value;
        out.key.field_id = column->key_id;
        out.value.field_id = column->value_id;
        break;
    }
    return out;
}

static enum mrd_status take_bytes(void *context, struct mrd_bytes bytes, struct mrd_error *err)
{
    (void)err;
    mrd_buf_append_bytes(context, bytes);
    return MRD_OK;
}

static void begin_file(struct maker *maker, char *key, unsigned spec)
{
    struct mrd_pq_column columns[MRD_BLOCK_COLUMNS_MAX];
    for (size_t i = 0; i < maker->schema.column_count; i++) {
        columns[i] = pq_column(&maker->schema.columns[i]);
    }
    const struct mrd_pq_sorting sorting = {0, false, true};
    const struct mrd_pq_writer_options options = {
        .columns = columns,
        .column_count = maker->schema.column_count,
        .sorting = &sorting,
        .sorting_count = 1,
        .codec = MRD_PQ_ZSTD,
        .level = 3,
        .page_version = 2,
        .memory_bytes_max = LIMIT,
    };
    const struct mrd_pq_sink sink = {&maker->bytes, take_bytes, NULL};
    struct mrd_error err;
    mrd_buf_clear(&maker->bytes);
    must(mrd_pq_writer_create(&options, &sink, &maker->writer, &err), &err);
    maker->key = keep(maker, key);
    maker->spec = spec;
    maker->rows = 0;
    maker->label_count = SIZE_MAX;
    maker->ts_min_ms = INT64_MAX;
}

static void append(struct maker *maker, size_t leaf, const struct mrd_pq_batch *batch, size_t times)
{
    struct mrd_error err;
    must(mrd_pq_writer_append(maker->writer, leaf, batch, times, &err), &err);
}

static void append_labels(struct maker *maker, size_t leaf)
{
    static const uint8_t ones[LABELS_MAX] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                             1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    static const uint8_t zero = 0;
    uint8_t rep[LABELS_MAX];
    memcpy(rep, ones, sizeof(rep));
    rep[0] = 0;
    const bool none = maker->label_count == 0;
    for (size_t i = 0; i < 2; i++) {
        const struct mrd_pq_batch batch = {
            .entries = none ? 1 : maker->label_count,
            .values = maker->label_count,
            .def = none ? &zero : ones,
            .rep = rep,
            .bytes = i == 0 ? maker->names : maker->values,
        };
        append(maker, leaf + i, &batch, maker->rows);
    }
}

static void append_text(struct maker *maker, size_t leaf, const struct mrd_bytes *text,
                        bool optional)
{
    static const uint8_t levels[] = {0, 1};
    const struct mrd_pq_batch batch = {.entries = 1,
                                       .values = text != NULL,
                                       .def = optional ? &levels[text != NULL] : NULL,
                                       .bytes = text};
    append(maker, leaf, &batch, maker->rows);
}

static void append_column(struct maker *maker, size_t leaf, const struct mrd_block_column *column)
{
    static const uint8_t zero = 0;
    const struct mrd_pq_batch none = {.entries = 1, .def = &zero};
    const struct mrd_bytes *text = NULL;
    switch (column->field_id) {
    case MRD_BLOCK_FIELD_METRIC:
        append_text(maker, leaf, &maker->metric, false);
        break;
    case MRD_BLOCK_FIELD_LABELS:
        append_labels(maker, leaf);
        break;
    case MRD_BLOCK_FIELD_SERIES_ID:
        append(maker, leaf,
               &(struct mrd_pq_batch){.entries = 1, .values = 1, .i64 = &maker->series_id},
               maker->rows);
        break;
    case MRD_BLOCK_FIELD_TS:
        append(
            maker, leaf,
            &(struct mrd_pq_batch){.entries = maker->rows, .values = maker->rows, .i64 = maker->ts},
            1);
        break;
    case MRD_BLOCK_FIELD_VALUE:
        append(maker, leaf,
               &(struct mrd_pq_batch){.entries = maker->rows,
                                      .values = maker->values_count,
                                      .def = maker->value_def,
                                      .f64 = maker->value},
               1);
        break;
    default:
        for (size_t i = 0; column->promoted && i < maker->label_count; i++) {
            if (mrd_bytes_equal(maker->names[i], mrd_bytes_of(column->name))) {
                text = &maker->values[i];
            }
        }
        if (column->promoted) {
            append_text(maker, leaf, text, true);
        } else {
            append(maker, leaf, &none, maker->rows);
        }
    }
}

static void end_series(struct maker *maker)
{
    size_t leaf = 0;
    for (size_t i = 0; i < maker->schema.column_count && maker->rows > 0; i++) {
        append_column(maker, leaf, &maker->schema.columns[i]);
        leaf += maker->schema.columns[i].type == MRD_BLOCK_STRING_MAP ? 2 : 1;
    }
    maker->rows = maker->values_count = 0;
}

static void begin_series(struct maker *maker, char *id, char *metric, char *labels)
{
    end_series(maker);
    maker->series_id = strtoll(id, NULL, 10);
    maker->metric = mrd_bytes_of(keep(maker, metric));
    maker->label_count = 0;
    char *at = strcmp(labels, "-") == 0 ? NULL : keep(maker, labels);
    for (char *pair; (pair = strsep(&at, ",")) != NULL; maker->label_count++) {
        maker->names[maker->label_count] = mrd_bytes_of(strsep(&pair, "="));
        maker->values[maker->label_count] = mrd_bytes_of(pair);
    }
}

static void add_sample(struct maker *maker, const char *ts_ms, const char *bits_text)
{
    if (maker->rows == ROWS_MAX) {
        misuse("too many rows in a series");
    }
    const int64_t time_ms = strtoll(ts_ms, NULL, 10);
    const uint64_t bits = strtoull(bits_text, NULL, 10);
    const bool stale = strcmp(bits_text, "-") == 0;
    maker->ts_min_ms = MRD_MIN(maker->ts_min_ms, time_ms);
    maker->ts[maker->rows] = time_ms * 1000;
    maker->value_def[maker->rows++] = !stale;
    if (!stale) {
        memcpy(&maker->value[maker->values_count++], &bits, sizeof(bits));
    }
}

static struct mrd_iceberg_column column_of(struct maker *maker, size_t leaf)
{
    const struct mrd_pq_totals totals = mrd_pq_writer_totals(maker->writer, leaf);
    struct mrd_iceberg_column out = {
        .field_id = mrd_pq_writer_leaf(maker->writer, leaf)->field_id,
        .stored_size = totals.stored_size,
        .value_count = totals.stats.entries,
        .null_count = totals.stats.nulls,
        .nan_count = totals.stats.nans,
        .has_min = totals.bounds.min.present,
        .has_max = totals.bounds.max.present,
    };
    out.min = mrd_arena_copy(maker->arena,
                             (struct mrd_bytes){totals.bounds.min.data, totals.bounds.min.size});
    out.max = mrd_arena_copy(maker->arena,
                             (struct mrd_bytes){totals.bounds.max.data, totals.bounds.max.size});
    return out;
}

static void end_file(struct maker *maker)
{
    struct mrd_error err;
    struct mrd_pq_written written;
    end_series(maker);
    must(mrd_pq_writer_close(maker->writer, &written, &err), &err);
    const size_t leaves = mrd_pq_writer_leaf_count(maker->writer);
    struct mrd_iceberg_column *columns = mrd_arena_alloc(maker->arena, leaves * sizeof(*columns));
    uint64_t *splits = mrd_arena_alloc(maker->arena, written.row_groups * sizeof(*splits));
    if (columns == NULL || splits == NULL || maker->file_count == FILES_MAX) {
        misuse("too many files");
    }
    for (size_t i = 0; i < leaves; i++) {
        columns[i] = column_of(maker, i);
    }
    for (size_t i = 0; i < written.row_groups; i++) {
        splits[i] = mrd_pq_writer_row_group_offset(maker->writer, i);
    }
    maker->files[maker->file_count++] = (struct mrd_iceberg_file){
        .path = maker->key,
        .size = written.size,
        .row_count = written.rows,
        .spec_id = maker->spec,
        .partition = {mrd_iceberg_partition_of_ms(
            maker->spec == MRD_ICEBERG_BY_DAY ? MRD_ICEBERG_DAY : MRD_ICEBERG_MONTH,
            maker->ts_min_ms)},
        .sorted = true,
        .columns = columns,
        .column_count = leaves,
        .split_offsets = splits,
        .split_count = written.row_groups,
    };
    must(mrd_objstore_put(maker->table.store, maker->key, mrd_buf_view(&maker->bytes), NULL, &err),
         &err);
    mrd_pq_writer_destroy(&maker->writer);
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

static void commit(struct maker *maker, char **words, size_t count)
{
    static struct mrd_iceberg_file added[WORDS_MAX];
    static const char *removed[WORDS_MAX];
    static const struct mrd_iceberg_property note = {"meridian.catalog-version", "7"};
    struct mrd_iceberg_table_definition definition;
    mrd_iceberg_samples_table(&maker->schema, &definition);
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
    struct mrd_iceberg_file *files;
    struct mrd_error err;
    size_t count;
    if (mrd_iceberg_load(&maker->table, maker->current, arena, &metadata, &err) != MRD_OK ||
        mrd_iceberg_files(&maker->table, metadata, snapshot_id, arena, &files, &count, &err) !=
            MRD_OK) {
        print_error(&err);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        printf("file %s %" PRIu64 " %" PRIu64 "\n", files[i].path, files[i].row_count,
               files[i].size);
    }
}

static void publish(struct maker *maker)
{
    struct mrd_error err;
    if (mrd_iceberg_publish(&maker->table, maker->current, &err) != MRD_OK) {
        print_error(&err);
    }
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
    } else if (strcmp(words[0], "series") == 0 && count == 4) {
        begin_series(maker, words[1], words[2], words[3]);
    } else if (strcmp(words[0], "sample") == 0 && count == 3) {
        add_sample(maker, words[1], words[2]);
    } else if (strcmp(words[0], "end") == 0) {
        end_file(maker);
    } else if (strcmp(words[0], "commit") == 0 && count >= 6) {
        commit(maker, words + 1, count - 1);
    } else if (strcmp(words[0], "load") == 0 && count == 2) {
        maker->current = keep(maker, words[1]);
    } else if (strcmp(words[0], "publish") == 0) {
        publish(maker);
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
    if (argc != 4 || strcmp(argv[1], "make") != 0) {
        misuse("usage: table_tool make FOLDER TABLE_PATH");
    }
    static struct maker maker;
    static char *words[WORDS_MAX];
    struct mrd_error err;
    char root[4096];
    (void)snprintf(root, sizeof(root), "file://%s", argv[2]);
    maker.table = (struct mrd_iceberg_table){.root = root, .path = argv[3]};
    must(mrd_file_store_open(argv[2], NULL, &maker.table.store, &err), &err);
    maker.arena = mrd_arena_create("tool", LIMIT);
    maker.ts = calloc(ROWS_MAX, sizeof(*maker.ts));
    maker.value = calloc(ROWS_MAX, sizeof(*maker.value));
    maker.value_def = calloc(ROWS_MAX, 1);
    make_schema(&maker);
    char *line = NULL;
    size_t line_size = 0;
    while (getline(&line, &line_size, stdin) > 0) {
        obey(&maker, words, split(line, words));
    }
    free(line);
    free(maker.ts);
    free(maker.value);
    free(maker.value_def);
    mrd_buf_fini(&maker.bytes);
    mrd_arena_destroy(&maker.arena);
    mrd_objstore_close(&maker.table.store);
    return 0;
}
