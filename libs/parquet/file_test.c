/* Whole files: what the writer writes the reader reads, for random schemas, options and data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/hash.h"
#include "parquet/reader.h"
#include "parquet/values.h"
#include "parquet/writer.h"

enum { COLUMNS_MAX = 6, LEAVES_MAX = 2 * COLUMNS_MAX, LIMIT = 64 << 20, BYTES_MAX = 100 };

static uint64_t chance_state;

static uint64_t chance(void)
{
    chance_state ^= chance_state << 13; /* xorshift64 */
    chance_state ^= chance_state >> 7;
    chance_state ^= chance_state << 17;
    return chance_state >> 8;
}

/* ---- memory as a sink and as a source ---- */

static enum mrd_status sink_write(void *context, struct mrd_bytes bytes, struct mrd_error *err)
{
    (void)err;
    mrd_buf_append_bytes(context, bytes);
    return MRD_OK;
}

static enum mrd_status source_read(void *context, uint64_t offset, size_t size, uint8_t *out,
                                   struct mrd_error *err)
{
    (void)err;
    const struct mrd_buf *buf = context;
    mrd_assert(offset <= buf->size && size <= buf->size - offset);
    memcpy(out, buf->data + offset, size);
    return MRD_OK;
}

static struct mrd_pq_source source_of(struct mrd_buf *buf)
{
    return (struct mrd_pq_source){buf, buf->size, source_read};
}

/* ---- a file and what must be in it ---- */

/* Everything appended to a leaf, values as bytes with their sizes before them. */
struct expected {
    struct mrd_buf def;
    struct mrd_buf rep;
    struct mrd_buf values;
    size_t pages;
};

struct made {
    struct mrd_buf file;
    struct expected leaves[LEAVES_MAX];
    struct mrd_buf pages; /* struct mrd_pq_page_info, as they were reported */
};

static void made_fini(struct made *made)
{
    for (size_t i = 0; i < LEAVES_MAX; i++) {
        mrd_buf_fini(&made->leaves[i].def);
        mrd_buf_fini(&made->leaves[i].rep);
        mrd_buf_fini(&made->leaves[i].values);
    }
    mrd_buf_fini(&made->file);
    mrd_buf_fini(&made->pages);
}

static struct mrd_pq_node random_node(void)
{
    static const enum mrd_pq_type types[] = {MRD_PQ_BOOLEAN, MRD_PQ_INT32,      MRD_PQ_INT64,
                                             MRD_PQ_DOUBLE,  MRD_PQ_BYTE_ARRAY, MRD_PQ_FIXED};
    struct mrd_pq_node node = {
        .type = types[chance() % MRD_ARRAY_LEN(types)],
        .optional = chance() % 2,
        .field_id = (int32_t)(chance() % 100) - 1,
        .or_plain = chance() % 2,
    };
    if (node.type == MRD_PQ_FIXED) {
        node.fixed_size = 1 + (uint32_t)(chance() % 20);
    }
    do {
        node.encoding = (enum mrd_pq_encoding)(chance() % MRD_PQ_ENCODING_COUNT);
    } while (!mrd_pq_encoding_fits(node.type, node.encoding));
    if (node.type != MRD_PQ_BOOLEAN && chance() % 2 == 0) {
        node.dictionary_size_max = 1 + chance() % 3000;
    }
    return node;
}

static void random_columns(struct mrd_pq_column *columns, size_t count)
{
    static const char *const names[COLUMNS_MAX] = {"a", "b.with.dots", "c", "d", "e", "f"};
    for (size_t i = 0; i < count; i++) {
        columns[i] = (struct mrd_pq_column){
            .name = names[i],
            .shape = (enum mrd_pq_shape)(chance() % 3),
            .optional = chance() % 2,
            .field_id = -1,
            .key = random_node(),
            .value = random_node(),
        };
    }
}

/* A batch with its own memory. */
struct batch_memory {
    uint8_t def[1000];
    uint8_t rep[1000];
    union {
        uint8_t raw[1000 * 20];
        uint64_t words[1000];
        struct mrd_bytes bytes[1000];
    };
    uint8_t blob[BYTES_MAX * 100];
};

static void random_values(const struct mrd_pq_leaf *leaf, size_t count, uint64_t spread,
                          struct batch_memory *memory)
{
    const size_t size = mrd_pq_value_size(leaf->type, leaf->fixed_size);
    for (size_t i = 0; i < count; i++) {
        const uint64_t number = chance() % spread;
        if (leaf->type == MRD_PQ_BOOLEAN) {
            memory->raw[i] = number & 1;
        } else if (leaf->type == MRD_PQ_BYTE_ARRAY) {
            memory->bytes[i] =
                (struct mrd_bytes){memory->blob + number % (99 * BYTES_MAX), number % BYTES_MAX};
        } else {
            memset(memory->raw + i * size, (int)number, size);
            memcpy(memory->raw + i * size, &number, MRD_MIN(size, sizeof(number)));
        }
    }
}

/* Lists of up to five elements, some of them missing; `shape` makes keys and values alike. */
static size_t random_lists(const struct mrd_pq_column *column, const struct mrd_pq_leaf *leaf,
                           size_t rows, struct batch_memory *memory, struct mrd_pq_batch *batch)
{
    const uint8_t list_def = (uint8_t)(1 + column->optional);
    size_t n = 0;
    for (size_t row = 0; row < rows; row++) {
        const size_t elements = chance() % 6;
        const size_t entries = MRD_MAX(elements, (size_t)1);
        const uint8_t missing = column->optional && chance() % 2 == 0 ? 0 : (uint8_t)(list_def - 1);
        for (size_t e = 0; e < entries; e++, n++) {
            memory->rep[n] = e > 0;
            memory->def[n] = elements == 0 ? missing : list_def;
        }
    }
    batch->rep = memory->rep;
    (void)leaf;
    return n;
}

static size_t fill_levels(const struct mrd_pq_column *column, const struct mrd_pq_leaf *leaf,
                          size_t rows, uint64_t shape, struct batch_memory *memory,
                          struct mrd_pq_batch *batch)
{
    const uint64_t state = chance_state;
    chance_state = shape;
    size_t n = rows;
    if (column->shape == MRD_PQ_FLAT) {
        memset(memory->def, 0, rows);
    } else {
        n = random_lists(column, leaf, rows, memory, batch);
    }
    chance_state = state;
    const uint8_t above = column->shape == MRD_PQ_FLAT ? 0 : (uint8_t)(1 + column->optional);
    size_t values = 0;
    for (size_t i = 0; i < n; i++) {
        if (memory->def[i] == above && leaf->def_max > above) {
            memory->def[i] = (uint8_t)(above + (chance() % 8 != 0));
        }
        values += memory->def[i] == leaf->def_max;
    }
    batch->entries = n;
    batch->values = values;
    batch->def = leaf->def_max > 0 ? memory->def : NULL;
    batch->any = memory->raw;
    return values;
}

static void expect_later(struct expected *expected, const struct mrd_pq_leaf *leaf,
                         const struct mrd_pq_batch *batch, size_t times)
{
    const size_t size = mrd_pq_value_size(leaf->type, leaf->fixed_size);
    for (; times > 0; times--) {
        for (size_t i = 0; i < batch->entries; i++) {
            mrd_buf_append_u8(&expected->def, batch->def == NULL ? leaf->def_max : batch->def[i]);
            mrd_buf_append_u8(&expected->rep, batch->rep == NULL ? 0 : batch->rep[i]);
        }
        for (size_t i = 0; i < batch->values; i++) {
            const struct mrd_bytes value =
                leaf->type == MRD_PQ_BYTE_ARRAY
                    ? batch->bytes[i]
                    : (struct mrd_bytes){(const uint8_t *)batch->any + i * size, size};
            mrd_buf_append_u32(&expected->values, (uint32_t)value.size);
            mrd_buf_append_bytes(&expected->values, value);
        }
    }
}

static void append_rows(struct mrd_pq_writer *writer, const struct mrd_pq_column *columns,
                        size_t column_count, size_t rows, size_t times, struct made *made)
{
    static struct batch_memory memory;
    for (size_t i = 0; i < sizeof(memory.blob); i++) {
        memory.blob[i] = (uint8_t)(i * 7 + i / 256);
    }
    size_t leaf_index = 0;
    for (size_t c = 0; c < column_count; c++) {
        const uint64_t shape = chance() | 1;
        const size_t leaves = columns[c].shape == MRD_PQ_MAP ? 2 : 1;
        for (size_t l = 0; l < leaves; l++, leaf_index++) {
            const struct mrd_pq_leaf *leaf = mrd_pq_writer_leaf(writer, leaf_index);
            struct mrd_pq_batch batch = {0};
            const size_t values = fill_levels(&columns[c], leaf, rows, shape, &memory, &batch);
            random_values(leaf, values, UINT64_C(1) << chance() % 50, &memory);
            struct mrd_error err;
            if (mrd_pq_writer_append(writer, leaf_index, &batch, times, &err) != MRD_OK) {
                fail_msg("%s", err.text);
            }
            expect_later(&made->leaves[leaf_index], leaf, &batch, times);
        }
    }
}

static void cut_pages(struct mrd_pq_writer *writer)
{
    const bool together = chance() % 2;
    for (size_t i = 0; i < mrd_pq_writer_leaf_count(writer); i++) {
        if (together || chance() % 2) {
            assert_int_equal(mrd_pq_writer_cut_page(writer, i, NULL), MRD_OK);
        }
    }
}

static enum mrd_status made_write(void *context, struct mrd_bytes bytes, struct mrd_error *err)
{
    return sink_write(&((struct made *)context)->file, bytes, err);
}

static void made_page(void *context, const struct mrd_pq_page_info *page)
{
    mrd_buf_append(&((struct made *)context)->pages, page, sizeof(*page));
}

/* Pages are where the writer said they are. */
static void expect_pages(const struct made *made)
{
    const struct mrd_pq_page_info *pages =
        (const struct mrd_pq_page_info *)(const void *)made->pages.data;
    for (size_t i = 0; i < made->pages.size / sizeof(pages[0]); i++) {
        assert_true(pages[i].offset + pages[i].size <= made->file.size);
        const struct mrd_bytes bytes = {made->file.data + pages[i].offset, pages[i].size};
        assert_int_equal(pages[i].crc32c, mrd_crc32c(0, bytes));
        assert_int_equal(pages[i].rows == 0, pages[i].dictionary);
    }
}

static void make_file(uint64_t seed, struct made *made)
{
    static const enum mrd_pq_codec codecs[] = {MRD_PQ_NONE, MRD_PQ_SNAPPY, MRD_PQ_ZSTD};
    chance_state = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    struct mrd_pq_column columns[COLUMNS_MAX];
    const size_t column_count = 1 + chance() % COLUMNS_MAX;
    random_columns(columns, column_count);
    const struct mrd_pq_writer_options options = {
        .columns = columns,
        .column_count = column_count,
        .codec = codecs[chance() % MRD_ARRAY_LEN(codecs)],
        .level = 1 + (int)(chance() % 5),
        .page_version = 1 + (int)(chance() % 2),
        .memory_bytes_max = LIMIT,
    };
    const struct mrd_pq_sink sink = {made, made_write, made_page};
    mrd_auto(mrd_pq_writer_destroy)
    struct mrd_pq_writer *writer = NULL;
    struct mrd_error err;
    if (mrd_pq_writer_create(&options, &sink, &writer, &err) != MRD_OK) {
        fail_msg("%s", err.text);
    }
    for (uint64_t step = chance() % 30; step > 0; step--) {
        append_rows(writer, columns, column_count, chance() % 100, 1 + chance() % 4, made);
        if (chance() % 3 == 0) {
            cut_pages(writer);
        }
        if (chance() % 8 == 0) {
            assert_int_equal(mrd_pq_writer_end_row_group(writer, NULL), MRD_OK);
        }
    }
    struct mrd_pq_written written;
    if (mrd_pq_writer_close(writer, &written, &err) != MRD_OK) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(written.size, made->file.size);
    assert_int_equal(written.crc32c, mrd_crc32c(0, mrd_buf_view(&made->file)));
    expect_pages(made);
}

/* ---- reading it back ---- */

/* How far a leaf has been compared. */
struct progress {
    size_t entries;
    struct mrd_reader values;
};

static void expect_batch(const struct expected *expected, const struct mrd_pq_leaf *leaf,
                         const struct mrd_pq_batch *batch, struct progress *at)
{
    const size_t size = mrd_pq_value_size(leaf->type, leaf->fixed_size);
    assert_true(at->entries + batch->entries <= expected->def.size);
    for (size_t i = 0; i < batch->entries; i++, at->entries++) {
        const uint8_t def = batch->def == NULL ? leaf->def_max : batch->def[i];
        const uint8_t rep = batch->rep == NULL ? 0 : batch->rep[i];
        assert_int_equal(def, expected->def.data[at->entries]);
        assert_int_equal(rep, expected->rep.data[at->entries]);
    }
    for (size_t i = 0; i < batch->values; i++) {
        const struct mrd_bytes got =
            leaf->type == MRD_PQ_BYTE_ARRAY
                ? batch->bytes[i]
                : (struct mrd_bytes){(const uint8_t *)batch->any + i * size, size};
        const struct mrd_bytes want = mrd_read_bytes(&at->values, mrd_read_u32(&at->values));
        assert_true(mrd_bytes_equal(got, want));
    }
}

static void expect_column(const struct mrd_pq_file *file, size_t group, size_t leaf_index,
                          const struct expected *expected, struct progress *at)
{
    const struct mrd_pq_leaf *leaf = &mrd_pq_file_footer(file)->leaves[leaf_index];
    mrd_auto(mrd_pq_column_close)
    struct mrd_pq_column_reader *column = NULL;
    struct mrd_error err;
    if (mrd_pq_column_open(file, group, leaf_index, LIMIT, &column, &err) != MRD_OK) {
        fail_msg("%s", err.text);
    }
    size_t pages;
    (void)mrd_pq_column_pages(column, &pages);
    for (size_t i = 0; i < pages; i++) {
        struct mrd_pq_batch batch;
        if (mrd_pq_column_read(column, i, &batch, &err) != MRD_OK) {
            fail_msg("%s", err.text);
        }
        expect_batch(expected, leaf, &batch, at);
    }
    const struct mrd_pq_page_bounds *bounds;
    assert_int_equal(mrd_pq_column_bounds(column, &bounds, &err), MRD_OK);
}

static void expect_file(struct made *made)
{
    const struct mrd_pq_source source = source_of(&made->file);
    mrd_auto(mrd_pq_file_close)
    struct mrd_pq_file *file = NULL;
    struct mrd_error err;
    if (mrd_pq_file_open(&source, LIMIT, &file, &err) != MRD_OK) {
        fail_msg("%s", err.text);
    }
    const struct mrd_pq_footer *footer = mrd_pq_file_footer(file);
    for (size_t leaf = 0; leaf < footer->leaf_count; leaf++) {
        const struct expected *expected = &made->leaves[leaf];
        struct progress at = {0, mrd_reader_of(mrd_buf_view(&expected->values))};
        for (size_t group = 0; group < footer->row_group_count; group++) {
            expect_column(file, group, leaf, expected, &at);
        }
        assert_int_equal(at.entries, expected->def.size);
        assert_int_equal(mrd_reader_left(&at.values), 0);
    }
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct made made = {0};
        make_file(seed, &made);
        expect_file(&made);
        struct made again = {0};
        make_file(seed, &again);
        assert_true(mrd_bytes_equal(mrd_buf_view(&made.file), mrd_buf_view(&again.file)));
        made_fini(&made);
        made_fini(&again);
    }
}

/* ---- damaged files ---- */

/* Reads all there is; whatever happens must be a status. */
static enum mrd_status read_all(struct mrd_buf *bytes, size_t limit, struct mrd_error *err)
{
    const struct mrd_pq_source source = source_of(bytes);
    mrd_auto(mrd_pq_file_close)
    struct mrd_pq_file *file = NULL;
    MRD_TRY(mrd_pq_file_open(&source, limit, &file, err));
    const struct mrd_pq_footer *footer = mrd_pq_file_footer(file);
    for (size_t group = 0; group < footer->row_group_count; group++) {
        for (size_t leaf = 0; leaf < footer->leaf_count; leaf++) {
            mrd_auto(mrd_pq_column_close)
            struct mrd_pq_column_reader *column = NULL;
            MRD_TRY(mrd_pq_column_open(file, group, leaf, limit, &column, err));
            const struct mrd_pq_page_bounds *bounds;
            MRD_TRY(mrd_pq_column_bounds(column, &bounds, err));
            size_t pages;
            (void)mrd_pq_column_pages(column, &pages);
            for (size_t i = 0; i < pages; i++) {
                struct mrd_pq_batch batch;
                MRD_TRY(mrd_pq_column_read(column, i, &batch, err));
            }
        }
    }
    return MRD_OK;
}

static void damage_is_a_status(void **state)
{
    (void)state;
    size_t refused = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct made made = {0};
        make_file(seed, &made);
        for (int i = 0; i < 60; i++) {
            const size_t at = chance() % made.file.size;
            const uint8_t was = made.file.data[at];
            made.file.data[at] = (uint8_t)(was ^ (1 + chance() % 255));
            struct mrd_error err = {0};
            const enum mrd_status status = read_all(&made.file, 1 << 20, &err);
            if (status != MRD_OK && err.text[0] == '\0') {
                fail_msg("seed %llu: status %d without a text", (unsigned long long)seed, status);
            }
            refused += status != MRD_OK;
            made.file.data[at] = was;
        }
        made_fini(&made);
    }
    assert_true(refused >
                60 * 60 / 2); /* but for names, statistics and the like everything is checked */
}

/* A body that is changed without its CRC: nothing but the checksum may notice first. */
static void every_change_of_a_body_is_seen(void **state)
{
    (void)state;
    const struct mrd_pq_column column = {
        .name = "a", .field_id = -1, .value = {.type = MRD_PQ_INT64}};
    const struct mrd_pq_writer_options options = {
        .columns = &column, .column_count = 1, .page_version = 1, .memory_bytes_max = LIMIT};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    const struct mrd_pq_sink sink = {&bytes, sink_write, NULL};
    mrd_auto(mrd_pq_writer_destroy)
    struct mrd_pq_writer *writer = NULL;
    assert_int_equal(mrd_pq_writer_create(&options, &sink, &writer, NULL), MRD_OK);
    const int64_t values[100] = {1, 2, 3};
    const struct mrd_pq_batch batch = {.entries = 100, .values = 100, .i64 = values};
    assert_int_equal(mrd_pq_writer_append(writer, 0, &batch, 1, NULL), MRD_OK);
    struct mrd_pq_written written;
    assert_int_equal(mrd_pq_writer_close(writer, &written, NULL), MRD_OK);
    for (size_t at = 100; at < 800; at++) {
        struct mrd_error err;
        bytes.data[at] ^= 0x10;
        assert_int_equal(read_all(&bytes, LIMIT, &err), MRD_E_CORRUPT);
        assert_non_null(strstr(err.text, "CRC"));
        bytes.data[at] ^= 0x10;
    }
    assert_int_equal(read_all(&bytes, LIMIT, NULL), MRD_OK);
}

/* ---- limits ---- */

static void reading_within_too_little_memory_changes_nothing(void **state)
{
    (void)state;
    struct made made = {0};
    make_file(17, &made);
    enum mrd_status status = MRD_E_LIMIT;
    struct mrd_error err = {0};
    size_t limit = 1;
    while ((status = read_all(&made.file, limit, &err)) != MRD_OK) {
        if (status != MRD_E_LIMIT) {
            fail_msg("%zu bytes: %s", limit, err.text);
        }
        assert_true(limit < LIMIT);
        limit *= 2;
    }
    assert_true(limit > 1000);
    made_fini(&made);
}

/* One file within a limit: strings in a dictionary that overflows, a map, a few pages. */
static enum mrd_status write_within(size_t limit, struct mrd_buf *file, struct mrd_error *err)
{
    const struct mrd_pq_node text = {.type = MRD_PQ_BYTE_ARRAY,
                                     .meaning = MRD_PQ_STRING,
                                     .field_id = -1,
                                     .encoding = MRD_PQ_DELTA_BYTE_ARRAY,
                                     .dictionary_size_max = 200};
    const struct mrd_pq_column column = {
        .name = "m", .shape = MRD_PQ_MAP, .field_id = -1, .key = text, .value = text};
    const struct mrd_pq_writer_options options = {.columns = &column,
                                                  .column_count = 1,
                                                  .codec = MRD_PQ_ZSTD,
                                                  .level = 1,
                                                  .page_version = 1,
                                                  .memory_bytes_max = limit};
    const struct mrd_pq_sink sink = {file, sink_write, NULL};
    mrd_auto(mrd_pq_writer_destroy)
    struct mrd_pq_writer *writer = NULL;
    MRD_TRY(mrd_pq_writer_create(&options, &sink, &writer, err));
    for (size_t i = 0; i < 100; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "name-%zu", i);
        const struct mrd_bytes value = mrd_bytes_of(name);
        const struct mrd_pq_batch batch = {.entries = 1, .values = 1, .bytes = &value};
        MRD_TRY(mrd_pq_writer_append(writer, 0, &batch, 10, err));
        MRD_TRY(mrd_pq_writer_append(writer, 1, &batch, 10, err));
        if (i % 40 == 39) {
            MRD_TRY(mrd_pq_writer_cut_page(writer, 0, err));
        }
    }
    struct mrd_pq_written written;
    return mrd_pq_writer_close(writer, &written, err);
}

static void writing_within_too_little_memory_is_a_limit(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    size_t limit = 0;
    for (;; limit = limit == 0 ? 1 : limit * 2) {
        mrd_auto(mrd_buf_fini)
        struct mrd_buf file = {0};
        const enum mrd_status status = write_within(limit, &file, &err);
        if (status == MRD_OK) {
            assert_int_equal(read_all(&file, LIMIT, &err), MRD_OK);
            break;
        }
        if (status != MRD_E_LIMIT) {
            fail_msg("%zu bytes: %s", limit, err.text);
        }
    }
    assert_in_range(limit, 5000, 200000);
}

static enum mrd_status failing_write(void *context, struct mrd_bytes bytes, struct mrd_error *err)
{
    size_t *left = context;
    (void)bytes;
    if (*left == 0) {
        return mrd_fail(err, MRD_E_UNAVAILABLE, "the disk is full");
    }
    --*left;
    return MRD_OK;
}

static void a_sink_that_fails_ends_the_file(void **state)
{
    (void)state;
    const struct mrd_pq_column column = {
        .name = "a", .field_id = -1, .value = {.type = MRD_PQ_INT64}};
    const struct mrd_pq_writer_options options = {
        .columns = &column, .column_count = 1, .page_version = 2, .memory_bytes_max = LIMIT};
    const int64_t value = 5;
    const struct mrd_pq_batch batch = {.entries = 1, .values = 1, .i64 = &value};
    for (size_t nth = 0;; nth++) {
        size_t left = nth;
        const struct mrd_pq_sink sink = {&left, failing_write, NULL};
        mrd_auto(mrd_pq_writer_destroy)
        struct mrd_pq_writer *writer = NULL;
        struct mrd_error err = {0};
        struct mrd_pq_written written;
        enum mrd_status status = mrd_pq_writer_create(&options, &sink, &writer, &err);
        if (status == MRD_OK) {
            assert_int_equal(mrd_pq_writer_append(writer, 0, &batch, 10, &err), MRD_OK);
            status = mrd_pq_writer_close(writer, &written, &err);
        }
        if (status == MRD_OK) {
            assert_true(nth >= 4);
            break;
        }
        assert_int_equal(status, MRD_E_UNAVAILABLE);
        if (writer != NULL) {
            assert_int_equal(mrd_pq_writer_append(writer, 0, &batch, 1, &err), MRD_E_INVALID);
            assert_int_equal(mrd_pq_writer_close(writer, &written, &err), MRD_E_INVALID);
        }
    }
}

static void wrong_batches_change_nothing(void **state)
{
    (void)state;
    const struct mrd_pq_column columns[] = {
        {.name = "a", .field_id = -1, .optional = true,     .value = {.type = MRD_PQ_INT64}},
        {.name = "b", .field_id = -1, .shape = MRD_PQ_LIST, .value = {.type = MRD_PQ_INT64}},
    };
    const struct mrd_pq_writer_options options = {
        .columns = columns, .column_count = 2, .page_version = 1, .memory_bytes_max = LIMIT};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    const struct mrd_pq_sink sink = {&bytes, sink_write, NULL};
    mrd_auto(mrd_pq_writer_destroy)
    struct mrd_pq_writer *writer = NULL;
    assert_int_equal(mrd_pq_writer_create(&options, &sink, &writer, NULL), MRD_OK);
    const int64_t values[4] = {0};
    const uint8_t high[] = {2, 2, 2, 2};
    const uint8_t mixed[] = {1, 0, 1, 1};
    const uint8_t ones[] = {1, 1, 1, 1};
    const uint8_t zeros[] = {0, 0, 0, 0};
    const uint8_t list[] = {0, 1, 1, 0};
    const struct {
        size_t leaf;
        struct mrd_pq_batch batch;
    } wrong[] = {
        {0, {.entries = 4, .values = 0, .def = high, .i64 = values}              },
        {0, {.entries = 4, .values = 4, .def = mixed, .i64 = values}             },
        {0, {.entries = 4, .values = 3, .i64 = values}                           },
        {0, {.entries = 4, .values = 4, .rep = zeros, .i64 = values}             },
        {1, {.entries = 4, .values = 4, .def = ones, .rep = ones, .i64 = values} },
        {1, {.entries = 4, .values = 3, .def = mixed, .rep = list, .i64 = values}},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(wrong); i++) {
        if (mrd_pq_writer_append(writer, wrong[i].leaf, &wrong[i].batch, 1, NULL) !=
            MRD_E_INVALID) {
            fail_msg("batch %zu was taken", i);
        }
    }
    struct mrd_pq_written written;
    assert_int_equal(mrd_pq_writer_close(writer, &written, NULL), MRD_OK);
    assert_int_equal(written.rows, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(damage_is_a_status),
        cmocka_unit_test(every_change_of_a_body_is_seen),
        cmocka_unit_test(reading_within_too_little_memory_changes_nothing),
        cmocka_unit_test(writing_within_too_little_memory_is_a_limit),
        cmocka_unit_test(a_sink_that_fails_ends_the_file),
        cmocka_unit_test(wrong_batches_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
