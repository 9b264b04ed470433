/* avro_tool: lets tests in other languages use the Avro writer and reader, for records of one schema:
 * long, boolean, double, string, ["null", "bytes"], array of records of int and long, map of strings.
 *
 *   avro_tool write FILE null|deflate < LINES    the first line is the schema
 *   avro_tool read FILE                          prints such lines
 *
 * Lines: "meta KEY VALUE", then "record LONG BOOLEAN DOUBLE_BITS STRING BYTES|- PAIRS|- PAIRS|-"; strings and bytes
 * are x and hexadecimal digits, pairs are A:B with a comma after each.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "iceberg/avro.h"

enum { META_MAX = 16, LIMIT = 64 << 20 };

_Noreturn static void stop(const struct mrd_error *err)
{
    printf("error %s %s\n", mrd_status_name(err->status), err->text);
    exit(3);
}

_Noreturn static void misuse(const char *what)
{
    fprintf(stderr, "avro_tool: %s\n", what);
    exit(2);
}

/* ---- writing ---- */

static char *next_word(char **at, const char *ends)
{
    char *word = strsep(at, ends);
    if (word == NULL) {
        misuse("a line ends too early");
    }
    return word;
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

static size_t count_of(const char *pairs)
{
    size_t count = 0;
    for (; *pairs != '\0'; pairs++) {
        count += *pairs == ',';
    }
    return count;
}

static void put_numbers(char *pairs, struct mrd_buf *out)
{
    mrd_avro_put_items(out, count_of(pairs));
    while (*pairs != '-' && *pairs != '\0') {
        mrd_avro_put_long(out, strtoll(next_word(&pairs, ":"), NULL, 10));
        mrd_avro_put_long(out, strtoll(next_word(&pairs, ","), NULL, 10));
    }
    mrd_avro_put_end(out);
}

static void put_texts(char *pairs, struct mrd_buf *out)
{
    mrd_avro_put_items(out, count_of(pairs));
    while (*pairs != '-' && *pairs != '\0') {
        mrd_avro_put_bytes(out, bytes_of(next_word(&pairs, ":")));
        mrd_avro_put_bytes(out, bytes_of(next_word(&pairs, ",")));
    }
    mrd_avro_put_end(out);
}

static void put_record(char *at, struct mrd_avro_writer *writer)
{
    struct mrd_buf *out = &writer->block;
    mrd_avro_put_long(out, strtoll(next_word(&at, " "), NULL, 10));
    mrd_avro_put_boolean(out, next_word(&at, " ")[0] == '1');
    const uint64_t bits = strtoull(next_word(&at, " "), NULL, 10);
    double value;
    memcpy(&value, &bits, sizeof(value));
    mrd_avro_put_double(out, value);
    mrd_avro_put_bytes(out, bytes_of(next_word(&at, " ")));
    char *blob = next_word(&at, " ");
    mrd_avro_put_long(out, blob[0] != '-');
    if (blob[0] != '-') {
        mrd_avro_put_bytes(out, bytes_of(blob));
    }
    put_numbers(next_word(&at, " "), out);
    put_texts(next_word(&at, " "), out);
    mrd_avro_writer_end_record(writer);
}

/* The next line, or NULL: `at` goes through the text of all lines. */
static char *next_line(char **at) { return *at == NULL || **at == '\0' ? NULL : strsep(at, "\n"); }

static void read_input(struct mrd_buf *text)
{
    char part[4096];
    for (size_t n; (n = fread(part, 1, sizeof(part), stdin)) > 0;) {
        mrd_buf_append(text, part, n);
    }
    mrd_buf_append_u8(text, 0);
}

static void save(const char *path, struct mrd_bytes bytes)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes.data, 1, bytes.size, file) != bytes.size ||
        fclose(file) != 0) {
        misuse(path);
    }
}

static int write_file(const char *path, const char *codec)
{
    static const uint8_t sync[MRD_AVRO_SYNC_SIZE] = "0123456789abcde";
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text = {.limit = LIMIT};
    read_input(&text);
    char *lines = (char *)text.data;
    const char *schema = next_line(&lines);
    struct mrd_avro_pair metadata[META_MAX];
    size_t count = 0;
    char *line = next_line(&lines);
    for (; line != NULL && strncmp(line, "meta ", 5) == 0; line = next_line(&lines)) {
        char *at = line + 5;
        if (count == META_MAX) {
            misuse("too much metadata");
        }
        metadata[count].key = mrd_bytes_of(next_word(&at, " "));
        metadata[count++].value = mrd_bytes_of(next_word(&at, " "));
    }
    mrd_auto(mrd_buf_fini)
    struct mrd_buf out = {.limit = LIMIT};
    mrd_auto(mrd_avro_writer_fini)
    struct mrd_avro_writer writer;
    mrd_avro_writer_init(&writer, &out,
                         strcmp(codec, "deflate") == 0 ? MRD_AVRO_DEFLATE : MRD_AVRO_NULL,
                         mrd_bytes_of(schema), metadata, count, sync);
    for (; line != NULL; line = next_line(&lines)) {
        put_record(line + strlen("record "), &writer);
    }
    struct mrd_error err;
    if (mrd_avro_writer_close(&writer, &err) != MRD_OK) {
        stop(&err);
    }
    save(path, mrd_buf_view(&out));
    return 0;
}

/* ---- reading ---- */

static void print_hex(struct mrd_bytes bytes)
{
    putchar('x');
    for (size_t i = 0; i < bytes.size; i++) {
        printf("%02x", bytes.data[i]);
    }
}

static void print_record(struct mrd_reader *in)
{
    printf("record %" PRId64, mrd_avro_get_long(in));
    printf(" %d", mrd_avro_get_boolean(in));
    const double value = mrd_avro_get_double(in);
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    printf(" %" PRIu64 " ", bits);
    print_hex(mrd_avro_get_bytes(in));
    putchar(' ');
    if (mrd_avro_get_branch(in, 2) == 0) {
        putchar('-');
    } else {
        print_hex(mrd_avro_get_bytes(in));
    }
    putchar(' ');
    for (uint64_t left = 0; mrd_avro_next_item(in, &left);) {
        const int64_t key = mrd_avro_get_long(in);
        printf("%" PRId64 ":%" PRId64 ",", key, mrd_avro_get_long(in));
    }
    printf("- ");
    for (uint64_t left = 0; mrd_avro_next_item(in, &left);) {
        print_hex(mrd_avro_get_bytes(in));
        putchar(':');
        print_hex(mrd_avro_get_bytes(in));
        putchar(',');
    }
    printf("-\n");
}

static void print_blocks(struct mrd_avro_file *file)
{
    struct mrd_error err;
    for (;;) {
        uint64_t records;
        struct mrd_reader values;
        if (mrd_avro_file_block(file, &records, &values, &err) != MRD_OK) {
            stop(&err);
        }
        if (records == 0) {
            return;
        }
        for (; records > 0 && !values.failed; records--) {
            print_record(&values);
        }
        if (values.failed || mrd_reader_left(&values) != 0) {
            mrd_fail(&err, MRD_E_CORRUPT, "records that do not fill their block");
            stop(&err);
        }
    }
}

static int read_file(const char *path)
{
    FILE *in = fopen(path, "rb");
    if (in == NULL) {
        misuse(path);
    }
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {.limit = LIMIT};
    uint8_t part[4096];
    for (size_t n; (n = fread(part, 1, sizeof(part), in)) > 0;) {
        mrd_buf_append(&bytes, part, n);
    }
    (void)fclose(in);
    mrd_auto(mrd_avro_file_close)
    struct mrd_avro_file *file = NULL;
    struct mrd_error err;
    if (mrd_avro_file_open(mrd_buf_view(&bytes), LIMIT, &file, &err) != MRD_OK) {
        stop(&err);
    }
    struct mrd_bytes note;
    if (mrd_avro_file_metadata(file, MRD_BYTES("note"), &note)) {
        printf("meta note %.*s\n", MRD_FMT(note));
    }
    print_blocks(file);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "write") == 0) {
        return write_file(argv[2], argv[3]);
    }
    if (argc == 3 && strcmp(argv[1], "read") == 0) {
        return read_file(argv[2]);
    }
    misuse("usage: avro_tool write FILE CODEC | read FILE");
}
