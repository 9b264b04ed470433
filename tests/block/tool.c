/* block_tool: lets tests in other languages write blocks and hear what their entries say.
 *
 *   block_tool write FOLDER < COMMANDS    writes FOLDER/block.parquet and .mbx, checks them, prints the entry
 *
 * Commands, a line each, words separated by single spaces:
 *   options LEVEL KEEP_HLC SPLIT_VALUES COMPACT NAME:FIELD_ID...   promoted labels
 *   series TENANT NAME VALUE ...                           texts as x and hexadecimal digits
 *   sample TIME_MS START_MS HLC BITS                       of the series before; bits of the double as an integer
 *   histogram TIME_MS START_MS HLC COUNT SUM_BITS          of integers, all of them in the zero bucket
 * Series come in the order of blocks. Printed: "column FIELD_ID STORED VALUES NULLS NANS MIN MAX" with bounds like texts or -,
 * then "counts SERIES SAMPLES HISTOGRAMS MIN_MS MAX_MS", or "error STATUS TEXT".
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "block/reader.h"
#include "block/writer.h"
#include "objstore/file_store.h"

enum { PROMOTED_MAX = 18, LABELS_MAX = 64 };

struct script {
    struct mrd_objstore *store;
    struct mrd_arena *arena;
    struct mrd_block_writer *writer;
    struct mrd_block_promoted promoted[PROMOTED_MAX];
    struct mrd_block_writer_options options;

    /* the open series */
    struct mrd_block_series series;
    struct mrd_label labels[LABELS_MAX];
    struct mrd_buf times, values, starts, hlcs;
    struct mrd_buf h_times, h_items, h_starts, h_hlcs;
    bool open;
};

_Noreturn static void stop(const struct mrd_error *err)
{
    printf("error %s %s\n", mrd_status_name(err->status), err->text);
    exit(3);
}

static void must(enum mrd_status status, const struct mrd_error *err)
{
    if (status != MRD_OK) {
        stop(err);
    }
}

_Noreturn static void misuse(const char *what)
{
    fprintf(stderr, "block_tool: %s\n", what);
    exit(2);
}

/* ---- words ---- */

static char *next_word(char **at)
{
    char *word = strsep(at, " ");
    if (word == NULL) {
        misuse("a command ends too early");
    }
    return word;
}

static int64_t next_number(char **at)
{
    const char *word = next_word(at);
    char *end;
    errno = 0;
    const long long value = strtoll(word, &end, 10);
    if (errno != 0 || *word == '\0' || *end != '\0') {
        misuse("a number is none");
    }
    return value;
}

static unsigned digit(char c)
{
    return c >= '0' && c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a' + 10);
}

static struct mrd_bytes next_text(struct script *script, char **at)
{
    const char *word = next_word(at);
    const size_t size = strlen(word) / 2;
    uint8_t *bytes = mrd_arena_alloc_array(script->arena, size + 1, 1);
    mrd_assert(bytes != NULL && word[0] == 'x');
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(digit(word[1 + 2 * i]) << 4 | digit(word[2 + 2 * i]));
    }
    return (struct mrd_bytes){bytes, size};
}

/* ---- commands ---- */

static void end_series(struct script *script)
{
    if (!script->open) {
        return;
    }
    struct mrd_error err;
    script->series.samples = (struct mrd_samples){
        (const mrd_time_ms *)(const void *)script->times.data,
        (const double *)(const void *)script->values.data,
        script->times.size / sizeof(mrd_time_ms),
        (const mrd_time_ms *)(const void *)script->starts.data,
    };
    script->series.histograms = (struct mrd_histograms){
        (const mrd_time_ms *)(const void *)script->h_times.data,
        (const struct mrd_histogram *)(const void *)script->h_items.data,
        script->h_times.size / sizeof(mrd_time_ms),
        (const mrd_time_ms *)(const void *)script->h_starts.data,
    };
    script->series.sample_hlcs = (const mrd_hlc *)(const void *)script->hlcs.data;
    script->series.histogram_hlcs = (const mrd_hlc *)(const void *)script->h_hlcs.data;
    must(mrd_block_writer_add(script->writer, &script->series, &err), &err);
    struct mrd_buf *bufs[] = {&script->times,    &script->values,  &script->starts,
                              &script->hlcs,     &script->h_times, &script->h_items,
                              &script->h_starts, &script->h_hlcs};
    for (size_t i = 0; i < MRD_ARRAY_LEN(bufs); i++) {
        mrd_buf_clear(bufs[i]);
    }
    script->open = false;
}

static void take_options(struct script *script, char *at)
{
    struct mrd_error err;
    struct mrd_block_writer_options options = {.store = script->store,
                                               .stem = "block",
                                               .id = MRD_BYTES("tested"),
                                               .promoted = script->promoted,
                                               .memory_bytes_max = 256 << 20};
    options.level = (unsigned)next_number(&at);
    options.keep_hlc = next_number(&at) != 0;
    options.split_values = next_number(&at) != 0;
    options.compact = next_number(&at) != 0;
    while (at != NULL && options.promoted_count < PROMOTED_MAX) {
        char *id = next_word(&at);
        const char *label = strsep(&id, ":");
        script->promoted[options.promoted_count++] =
            (struct mrd_block_promoted){label, (int32_t)next_number(&id)};
    }
    must(mrd_block_writer_create(&options, &script->writer, &err), &err);
}

static void take_series(struct script *script, char *at)
{
    end_series(script);
    script->series = (struct mrd_block_series){.tenant = next_text(script, &at)};
    size_t count = 0;
    while (at != NULL && count < LABELS_MAX) {
        script->labels[count].name = next_text(script, &at);
        script->labels[count++].value = next_text(script, &at);
    }
    script->series.labels = (struct mrd_labels){script->labels, count};
    struct mrd_buf canonical = {0};
    mrd_labels_encode(script->series.labels, &canonical);
    script->series.id =
        mrd_series_id_of(mrd_tenant_seed(script->series.tenant), mrd_buf_view(&canonical));
    mrd_buf_fini(&canonical);
    script->open = true;
}

static void put(struct mrd_buf *buf, int64_t value) { mrd_buf_append(buf, &value, sizeof(value)); }

static void take_sample(struct script *script, char *at)
{
    put(&script->times, next_number(&at));
    put(&script->starts, next_number(&at));
    put(&script->hlcs, next_number(&at));
    put(&script->values, next_number(&at));
}

static void take_histogram(struct script *script, char *at)
{
    put(&script->h_times, next_number(&at));
    put(&script->h_starts, next_number(&at));
    put(&script->h_hlcs, next_number(&at));
    struct mrd_histogram histogram = {.schema = 3, .zero_threshold = 0.001};
    histogram.count.integer = histogram.zero_count.integer = (uint64_t)next_number(&at);
    histogram.sum = mrd_double_from_bits((uint64_t)next_number(&at));
    mrd_buf_append(&script->h_items, &histogram, sizeof(histogram));
}

static void take_line(struct script *script, char *line)
{
    char *at = line;
    const char *command = next_word(&at);
    if (strcmp(command, "options") == 0) {
        take_options(script, at);
    } else if (strcmp(command, "series") == 0) {
        take_series(script, at);
    } else if (strcmp(command, "sample") == 0) {
        take_sample(script, at);
    } else if (strcmp(command, "histogram") == 0) {
        take_histogram(script, at);
    } else {
        misuse("no such command");
    }
}

/* ---- what the entry says ---- */

static void print_bound(bool has, struct mrd_bytes bound)
{
    printf(has ? " x" : " -");
    for (size_t i = 0; has && i < bound.size; i++) {
        printf("%02x", bound.data[i]);
    }
}

static void print_entry(const struct mrd_block_entry *entry)
{
    for (size_t i = 0; i < entry->column_count; i++) {
        const struct mrd_block_file_column *column = &entry->columns[i];
        printf("column %" PRId32 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, column->field_id,
               column->stored_size, column->value_count, column->null_count, column->nan_count);
        print_bound(column->has_min, column->min);
        print_bound(column->has_max, column->max);
        printf("\n");
    }
    printf("counts %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64 "\n",
           entry->counts.series, entry->counts.samples, entry->counts.histograms,
           entry->counts.min_ms, entry->counts.max_ms);
}

static void finish(struct script *script)
{
    const struct mrd_block_origin origin = {.residency_class = MRD_BYTES("eu"), .hlc_fence = 9};
    struct mrd_error err;
    struct mrd_block_entry entry;
    end_series(script);
    must(mrd_block_writer_finish(script->writer, &origin, script->arena, &entry, &err), &err);
    must(mrd_block_verify(script->store, &entry, &(struct mrd_block_verify_options){0}, &err),
         &err);
    print_entry(&entry);
}

static void fini(struct script *script)
{
    struct mrd_buf *bufs[] = {&script->times,    &script->values,  &script->starts,
                              &script->hlcs,     &script->h_times, &script->h_items,
                              &script->h_starts, &script->h_hlcs};
    for (size_t i = 0; i < MRD_ARRAY_LEN(bufs); i++) {
        mrd_buf_fini(bufs[i]);
    }
    mrd_block_writer_destroy(&script->writer);
    mrd_objstore_close(&script->store);
    mrd_arena_destroy(&script->arena);
}

int main(int argc, char **argv)
{
    struct script script = {.arena = mrd_arena_create("tool", (size_t)1 << 30)};
    struct mrd_error err;
    if (argc != 3 || strcmp(argv[1], "write") != 0) {
        misuse("usage: block_tool write FOLDER");
    }
    must(mrd_file_store_open(argv[2], NULL, &script.store, &err), &err);
    char *line = NULL;
    size_t capacity = 0;
    for (ssize_t size; (size = getline(&line, &capacity, stdin)) > 0;) {
        line[strcspn(line, "\n")] = '\0';
        take_line(&script, line);
    }
    free(line);
    finish(&script);
    fini(&script);
    return 0;
}
