/* parquet_tool: lets tests in other languages use the Parquet writer and reader.
 *
 *   parquet_tool write FILE < COMMANDS    prints a line for every page and for the file
 *   parquet_tool read FILE                prints every entry of every leaf
 *
 * Commands, a line each, words separated by single spaces:
 *   options CODEC LEVEL PAGE_VERSION MEMORY_BYTES
 *   column NAME SHAPE OPTIONAL FIELD_ID, then one NODE line (two for maps, the key first)
 *   node TYPE MEANING FIXED_SIZE OPTIONAL FIELD_ID ENCODING OR_PLAIN DICTIONARY_SIZE
 *   sort LEAF DESCENDING NULLS_FIRST
 *   begin
 *   batch LEAF TIMES DEF REP VALUE...     levels as digits, or -
 *   cut LEAF | group | set KEY VALUE
 * Values are integers; bits of doubles and floats as integers; bytes as x and hexadecimal digits.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "parquet/reader.h"
#include "parquet/writer.h"

enum { COLUMNS_MAX = 64, SORTING_MAX = 8, LIMIT = 256 << 20 };

_Noreturn static void stop(const struct mrd_error *err)
{
    printf("error %s %s\n", mrd_status_name(err->status), err->text);
    exit(3);
}

_Noreturn static void misuse(const char *what)
{
    fprintf(stderr, "parquet_tool: %s\n", what);
    exit(2);
}

/* ---- writing ---- */

struct script {
    struct mrd_pq_column columns[COLUMNS_MAX];
    size_t column_count;
    size_t nodes_wanted;
    struct mrd_pq_sorting sorting[SORTING_MAX];
    size_t sorting_count;
    struct mrd_pq_writer_options options;
    struct mrd_pq_writer *writer;
    FILE *file;
};

static char *next_word(char **at)
{
    char *word = strsep(at, " ");
    if (word == NULL) {
        misuse("a command ends too early");
    }
    return word;
}

static int64_t next_number(char **at) { return (int64_t)strtoull(next_word(at), NULL, 10); }

static enum mrd_status sink_write(void *context, struct mrd_bytes bytes, struct mrd_error *err)
{
    if (fwrite(bytes.data, 1, bytes.size, context) != bytes.size) {
        return mrd_fail_errno(err, MRD_E_UNAVAILABLE, "write");
    }
    return MRD_OK;
}

static void sink_page(void *context, const struct mrd_pq_page_info *page)
{
    (void)context;
    printf("page %u %u %" PRIu64 " %" PRIu64 " %" PRIu64 " %u %d\n", page->leaf, page->row_group,
           page->first_row, page->rows, page->offset, page->size, page->dictionary);
}

static void read_node(struct script *script, char *at)
{
    if (script->nodes_wanted == 0) {
        misuse("a node without a column");
    }
    struct mrd_pq_column *column = &script->columns[script->column_count - 1];
    struct mrd_pq_node *node = script->nodes_wanted == 2 ? &column->key : &column->value;
    script->nodes_wanted--;
    node->type = (enum mrd_pq_type)next_number(&at);
    node->meaning = (enum mrd_pq_meaning)next_number(&at);
    node->fixed_size = (uint32_t)next_number(&at);
    node->optional = next_number(&at) != 0;
    node->field_id = (int32_t)next_number(&at);
    node->encoding = (enum mrd_pq_encoding)next_number(&at);
    node->or_plain = next_number(&at) != 0;
    node->dictionary_size_max = (size_t)next_number(&at);
}

static void read_column(struct script *script, char *at)
{
    if (script->column_count == COLUMNS_MAX) {
        misuse("too many columns");
    }
    struct mrd_pq_column *column = &script->columns[script->column_count++];
    column->name = strdup(next_word(&at)); /* lives as long as the process */
    column->shape = (enum mrd_pq_shape)next_number(&at);
    column->optional = next_number(&at) != 0;
    column->field_id = (int32_t)next_number(&at);
    script->nodes_wanted = column->shape == MRD_PQ_MAP ? 2 : 1;
}

static void read_options(struct script *script, char *at)
{
    script->options.codec = (enum mrd_pq_codec)next_number(&at);
    script->options.level = (int)next_number(&at);
    script->options.page_version = (int)next_number(&at);
    script->options.memory_bytes_max = (size_t)next_number(&at);
}

static void begin(struct script *script)
{
    struct mrd_error err;
    script->options.columns = script->columns;
    script->options.column_count = script->column_count;
    script->options.sorting = script->sorting;
    script->options.sorting_count = script->sorting_count;
    const struct mrd_pq_sink sink = {script->file, sink_write, sink_page};
    if (mrd_pq_writer_create(&script->options, &sink, &script->writer, &err) != MRD_OK) {
        stop(&err);
    }
}

static uint8_t *levels_of(char *word)
{
    if (word[0] == '-') {
        return NULL;
    }
    for (char *c = word; *c != '\0'; c++) {
        *c = (char)(*c - '0');
    }
    return (uint8_t *)word;
}

static uint8_t digit_of(char c) { return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10); }

/* "x0a1b" to bytes, in place. */
static struct mrd_bytes bytes_of(char *word)
{
    const size_t size = strlen(word + 1) / 2;
    uint8_t *to = (uint8_t *)word;
    for (size_t i = 0; i < size; i++) {
        to[i] = (uint8_t)(digit_of(word[1 + 2 * i]) << 4 | digit_of(word[2 + 2 * i]));
    }
    return (struct mrd_bytes){to, size};
}

static void add_value(const struct mrd_pq_leaf *leaf, char *word, struct mrd_buf *values)
{
    const int64_t number = word[0] == 'x' ? 0 : (int64_t)strtoull(word, NULL, 10);
    if (leaf->type == MRD_PQ_BYTE_ARRAY) {
        const struct mrd_bytes bytes = bytes_of(word);
        mrd_buf_append(values, &bytes, sizeof(bytes));
    } else if (leaf->type == MRD_PQ_FIXED) {
        mrd_buf_append_bytes(values, bytes_of(word));
    } else {
        mrd_buf_append(values, &number, mrd_pq_value_size(leaf->type, 0));
    }
}

static void append(struct script *script, char *at)
{
    const size_t leaf_index = (size_t)next_number(&at);
    const size_t times = (size_t)next_number(&at);
    char *def = next_word(&at);
    char *rep = next_word(&at);
    const size_t def_count = strlen(def);
    const struct mrd_pq_leaf *leaf = mrd_pq_writer_leaf(script->writer, leaf_index);
    struct mrd_buf values = {0};
    struct mrd_pq_batch batch = {.def = levels_of(def), .rep = levels_of(rep)};
    while (at != NULL) {
        add_value(leaf, next_word(&at), &values);
        batch.values++;
    }
    batch.entries = batch.def == NULL ? batch.values : def_count;
    batch.any = values.data;
    struct mrd_error err;
    if (mrd_pq_writer_append(script->writer, leaf_index, &batch, times, &err) != MRD_OK) {
        stop(&err);
    }
    mrd_buf_fini(&values);
}

static void sort(struct script *script, char *at)
{
    if (script->sorting_count == SORTING_MAX) {
        misuse("sorted by too many");
    }
    struct mrd_pq_sorting *sorting = &script->sorting[script->sorting_count++];
    sorting->leaf = (uint32_t)next_number(&at);
    sorting->descending = next_number(&at) != 0;
    sorting->nulls_first = next_number(&at) != 0;
}

static void run_command(struct script *script, char *line)
{
    char *at = line;
    const char *command = next_word(&at);
    struct mrd_error err;
    enum mrd_status status = MRD_OK;
    if (strcmp(command, "options") == 0) {
        read_options(script, at);
    } else if (strcmp(command, "column") == 0) {
        read_column(script, at);
    } else if (strcmp(command, "node") == 0) {
        read_node(script, at);
    } else if (strcmp(command, "sort") == 0) {
        sort(script, at);
    } else if (strcmp(command, "begin") == 0) {
        begin(script);
    } else if (strcmp(command, "batch") == 0) {
        append(script, at);
    } else if (strcmp(command, "cut") == 0) {
        status = mrd_pq_writer_cut_page(script->writer, (size_t)next_number(&at), &err);
    } else if (strcmp(command, "group") == 0) {
        status = mrd_pq_writer_end_row_group(script->writer, &err);
    } else if (strcmp(command, "set") == 0) {
        const struct mrd_bytes key = mrd_bytes_of(next_word(&at));
        status = mrd_pq_writer_set(script->writer, key, mrd_bytes_of(next_word(&at)), &err);
    } else {
        misuse(command);
    }
    if (status != MRD_OK) {
        stop(&err);
    }
}

static int write_file(const char *path)
{
    static struct script script;
    script.file = fopen(path, "wb");
    if (script.file == NULL) {
        misuse(path);
    }
    char *line = NULL;
    size_t capacity = 0;
    for (ssize_t n; (n = getline(&line, &capacity, stdin)) > 0;) {
        line[n - 1] = '\0';
        run_command(&script, line);
    }
    free(line);
    struct mrd_error err;
    struct mrd_pq_written written;
    if (mrd_pq_writer_close(script.writer, &written, &err) != MRD_OK) {
        stop(&err);
    }
    printf("file %" PRIu64 " %08x %" PRIu64 " %u %u\n", written.size, written.crc32c, written.rows,
           written.row_groups, written.footer_size);
    mrd_pq_writer_destroy(&script.writer);
    for (size_t i = 0; i < script.column_count; i++) {
        union {
            const char *lent;
            char *ours;
        } name = {script.columns[i].name};
        free(name.ours);
    }
    return fclose(script.file) == 0 ? 0 : 1;
}

/* ---- reading ---- */

static enum mrd_status source_read(void *context, uint64_t offset, size_t size, uint8_t *out,
                                   struct mrd_error *err)
{
    const int fd = *(const int *)context;
    for (size_t done = 0; done < size;) {
        const ssize_t n = pread(fd, out + done, size - done, (off_t)(offset + done));
        if (n <= 0) {
            return mrd_fail_errno(err, MRD_E_UNAVAILABLE, "read");
        }
        done += (size_t)n;
    }
    return MRD_OK;
}

static void print_hex(struct mrd_bytes bytes)
{
    putchar('x');
    for (size_t i = 0; i < bytes.size; i++) {
        printf("%02x", bytes.data[i]);
    }
}

static void print_value(const struct mrd_pq_leaf *leaf, const struct mrd_pq_batch *batch, size_t i)
{
    switch (leaf->type) {
    case MRD_PQ_BOOLEAN:
        printf("%u", batch->booleans[i]);
        break;
    case MRD_PQ_INT32:
    case MRD_PQ_FLOAT:
        printf("%" PRId32, batch->i32[i]);
        break;
    case MRD_PQ_INT64:
    case MRD_PQ_DOUBLE:
        printf("%" PRId64, batch->i64[i]);
        break;
    case MRD_PQ_BYTE_ARRAY:
        print_hex(batch->bytes[i]);
        break;
    case MRD_PQ_FIXED:
        print_hex((struct mrd_bytes){batch->fixed + i * leaf->fixed_size, leaf->fixed_size});
        break;
    case MRD_PQ_INT96:
    case MRD_PQ_TYPE_COUNT:
        misuse("a type that the reader refuses");
    }
}

static void print_batch(const struct mrd_pq_leaf *leaf, const struct mrd_pq_batch *batch)
{
    size_t value = 0;
    for (size_t i = 0; i < batch->entries; i++) {
        const unsigned def = batch->def == NULL ? leaf->def_max : batch->def[i];
        printf("%u %u ", batch->rep == NULL ? 0U : batch->rep[i], def);
        if (def == leaf->def_max) {
            print_value(leaf, batch, value++);
        } else {
            putchar('-');
        }
        putchar('\n');
    }
}

static void print_chunk(const struct mrd_pq_file *file, size_t row_group, size_t leaf_index)
{
    struct mrd_error err;
    const struct mrd_pq_footer *footer = mrd_pq_file_footer(file);
    const struct mrd_pq_leaf *leaf = &footer->leaves[leaf_index];
    mrd_auto(mrd_pq_column_close)
    struct mrd_pq_column_reader *column = NULL;
    const struct mrd_pq_page_bounds *bounds;
    if (mrd_pq_column_open(file, row_group, leaf_index, LIMIT, &column, &err) != MRD_OK ||
        mrd_pq_column_bounds(column, &bounds, &err) != MRD_OK) {
        stop(&err);
    }
    size_t pages;
    const struct mrd_pq_page_location *page = mrd_pq_column_pages(column, &pages);
    printf("chunk %zu %zu %zu %d\n", row_group, leaf_index, pages, bounds != NULL);
    for (size_t i = 0; i < pages; i++) {
        struct mrd_pq_batch batch;
        if (mrd_pq_column_read(column, i, &batch, &err) != MRD_OK) {
            stop(&err);
        }
        if (bounds != NULL) {
            printf("bounds %d %" PRIu64 " ", bounds[i].all_null, bounds[i].nulls);
            print_hex(bounds[i].min);
            putchar(' ');
            print_hex(bounds[i].max);
            printf(" %" PRIu64 "\n", page[i].first_row);
        }
        print_batch(leaf, &batch);
    }
}

static int read_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat about;
    if (fd < 0 || fstat(fd, &about) != 0) {
        misuse(path);
    }
    const struct mrd_pq_source source = {&fd, (uint64_t)about.st_size, source_read};
    mrd_auto(mrd_pq_file_close)
    struct mrd_pq_file *file = NULL;
    struct mrd_error err;
    if (mrd_pq_file_open(&source, LIMIT, &file, &err) != MRD_OK) {
        stop(&err);
    }
    const struct mrd_pq_footer *footer = mrd_pq_file_footer(file);
    for (size_t i = 0; i < footer->leaf_count; i++) {
        const struct mrd_pq_leaf *leaf = &footer->leaves[i];
        printf("leaf %.*s %d %d %u %u %u %d\n", MRD_FMT(leaf->path), (int)leaf->type,
               (int)leaf->meaning, leaf->fixed_size, leaf->def_max, leaf->rep_max, leaf->field_id);
    }
    for (size_t i = 0; i < footer->metadata_count; i++) {
        printf("set ");
        print_hex(footer->metadata[i].key);
        putchar(' ');
        print_hex(footer->metadata[i].value);
        putchar('\n');
    }
    for (size_t g = 0; g < footer->row_group_count; g++) {
        for (size_t i = 0; i < footer->leaf_count; i++) {
            print_chunk(file, g, i);
        }
    }
    close(fd);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "write") == 0) {
        return write_file(argv[2]);
    }
    if (argc == 3 && strcmp(argv[1], "read") == 0) {
        return read_file(argv[2]);
    }
    misuse("usage: parquet_tool write|read FILE");
}
