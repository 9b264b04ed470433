#include "parquet/writer.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "parquet/values.h"
#include "parquet/writer_internal.h"

static const struct mrd_bytes magic = {(const uint8_t *)"PAR1", 4};

/* ---- declarations ---- */

static enum mrd_status check_node(const char *name, const struct mrd_pq_node *node,
                                  struct mrd_error *err)
{
    const bool text = node->meaning == MRD_PQ_STRING && node->type == MRD_PQ_BYTE_ARRAY;
    const bool time = node->meaning == MRD_PQ_TIMESTAMP_US && node->type == MRD_PQ_INT64;
    if ((unsigned)node->type >= MRD_PQ_TYPE_COUNT || node->type == MRD_PQ_INT96 ||
        node->type == MRD_PQ_FLOAT || (node->meaning != MRD_PQ_RAW && !text && !time)) {
        return mrd_fail(err, MRD_E_INVALID, "column %s: type %d with meaning %d cannot be written",
                        name, (int)node->type, (int)node->meaning);
    }
    if ((node->type == MRD_PQ_FIXED) != (node->fixed_size > 0) || node->fixed_size > 1024) {
        return mrd_fail(err, MRD_E_INVALID, "column %s: values of a fixed size of %u bytes", name,
                        node->fixed_size);
    }
    if (!mrd_pq_encoding_fits(node->type, node->encoding)) {
        return mrd_fail(err, MRD_E_INVALID, "column %s: encoding %s does not fit its type", name,
                        mrd_pq_encoding_name(node->encoding));
    }
    if (node->dictionary_size_max > INT32_MAX ||
        (node->dictionary_size_max > 0 && node->type == MRD_PQ_BOOLEAN)) {
        return mrd_fail(err, MRD_E_INVALID, "column %s: a dictionary of up to %zu bytes", name,
                        node->dictionary_size_max);
    }
    return MRD_OK;
}

static enum mrd_status check_column(const struct mrd_pq_column *column, struct mrd_error *err)
{
    if (column->name == NULL || column->name[0] == '\0') {
        return mrd_fail(err, MRD_E_INVALID, "a column without a name");
    }
    MRD_TRY(check_node(column->name, &column->value, err));
    return column->shape == MRD_PQ_MAP ? check_node(column->name, &column->key, err) : MRD_OK;
}

static enum mrd_status check_options(const struct mrd_pq_writer_options *options,
                                     struct mrd_error *err)
{
    if (options->column_count == 0) {
        return mrd_fail(err, MRD_E_INVALID, "a file without columns");
    }
    if (options->codec != MRD_PQ_NONE && options->codec != MRD_PQ_SNAPPY &&
        options->codec != MRD_PQ_ZSTD) {
        return mrd_fail(err, MRD_E_INVALID, "compression %d cannot be written: none, snappy, zstd",
                        (int)options->codec);
    }
    if (options->codec == MRD_PQ_ZSTD && (options->level < 1 || options->level > 19)) {
        return mrd_fail(err, MRD_E_INVALID, "zstd level %d is not within 1 to 19", options->level);
    }
    if (options->page_version != 1 && options->page_version != 2) {
        return mrd_fail(err, MRD_E_INVALID, "data pages of version %d: 1 or 2",
                        options->page_version);
    }
    for (size_t i = 0; i < options->column_count; i++) {
        MRD_TRY(check_column(&options->columns[i], err));
    }
    return MRD_OK;
}

static void *take(size_t count, size_t size)
{
    void *memory = calloc(MRD_MAX(count, (size_t)1), size);
    mrd_assert(memory != NULL);
    return memory;
}

static void add_leaf(struct mrd_pq_writer *writer, const struct mrd_pq_column *column,
                     const struct mrd_pq_node *node, const char *suffix)
{
    struct pq_leaf *leaf = &writer->leaves[writer->leaf_count++];
    const size_t size = strlen(column->name) + strlen(suffix) + 1;
    leaf->path = take(size, 1);
    (void)snprintf(leaf->path, size, "%s%s", column->name, suffix);
    leaf->node = *node;
    const bool flat = column->shape == MRD_PQ_FLAT;
    const bool optional_value = !flat && node != &column->key && node->optional;
    leaf->in_map = column->shape == MRD_PQ_MAP;
    leaf->list_def = flat ? 0 : (uint8_t)(1 + column->optional);
    leaf->leaf = (struct mrd_pq_leaf){
        .path = mrd_bytes_of(leaf->path),
        .type = node->type,
        .meaning = node->meaning,
        .fixed_size = node->fixed_size,
        .def_max = flat ? column->optional : (uint8_t)(leaf->list_def + optional_value),
        .rep_max = flat ? 0 : 1,
        .field_id = flat ? column->field_id : node->field_id,
    };
    mrd_pq_dictionary_init(&leaf->dictionary, node->dictionary_size_max);
    leaf->dictionary_full = node->dictionary_size_max == 0;
}

static void copy_columns(struct mrd_pq_writer *writer, const struct mrd_pq_writer_options *options)
{
    writer->columns = take(options->column_count, sizeof(writer->columns[0]));
    writer->column_count = options->column_count;
    writer->leaves = take(options->column_count * 2, sizeof(writer->leaves[0]));
    for (size_t i = 0; i < options->column_count; i++) {
        struct mrd_pq_column *column = &writer->columns[i];
        *column = options->columns[i];
        column->name = strdup(column->name);
        mrd_assert(column->name != NULL);
        if (column->shape == MRD_PQ_MAP) {
            add_leaf(writer, column, &column->key, ".key_value.key");
            add_leaf(writer, column, &column->value, ".key_value.value");
        } else {
            add_leaf(writer, column, &column->value,
                     column->shape == MRD_PQ_LIST ? ".list.element" : "");
        }
    }
}

enum mrd_status mrd_pq_writer_create(const struct mrd_pq_writer_options *options,
                                     const struct mrd_pq_sink *sink,
                                     struct mrd_pq_writer **out_writer, struct mrd_error *err)
{
    MRD_TRY(check_options(options, err));
    mrd_auto(mrd_pq_writer_destroy)
    struct mrd_pq_writer *writer = take(1, sizeof(*writer));
    writer->sink = *sink;
    writer->codec = options->codec;
    writer->page_version = options->page_version;
    writer->memory_max = options->memory_bytes_max;
    if (options->compressor == NULL) {
        writer->own = mrd_pq_compressor_create(options->codec, options->level);
    }
    writer->compressor = options->compressor == NULL ? writer->own : options->compressor;
    writer->column_indexes.limit = options->memory_bytes_max;
    writer->offset_indexes.limit = options->memory_bytes_max;
    copy_columns(writer, options);
    writer->sorting = take(options->sorting_count, sizeof(writer->sorting[0]));
    writer->sorting_count = options->sorting_count;
    for (size_t i = 0; i < options->sorting_count; i++) {
        writer->sorting[i] = options->sorting[i];
        if (options->sorting[i].leaf >= writer->leaf_count) {
            return mrd_fail(err, MRD_E_INVALID, "sorted by leaf %u of %zu",
                            options->sorting[i].leaf, writer->leaf_count);
        }
    }
    MRD_TRY(pq_emit(writer, magic, err));
    *out_writer = MRD_MOVE(writer);
    return MRD_OK;
}

static void leaf_fini(struct pq_leaf *leaf)
{
    mrd_buf_fini(&leaf->raw);
    mrd_buf_fini(&leaf->sizes);
    mrd_buf_fini(&leaf->indices);
    mrd_buf_fini(&leaf->def);
    mrd_buf_fini(&leaf->rep);
    mrd_buf_fini(&leaf->pages);
    mrd_buf_fini(&leaf->page_table);
    mrd_pq_dictionary_fini(&leaf->dictionary);
    free(leaf->path);
}

void mrd_pq_writer_destroy(struct mrd_pq_writer **writer_at)
{
    struct mrd_pq_writer *writer = MRD_MOVE(*writer_at);
    if (writer == NULL) {
        return;
    }
    for (size_t i = 0; i < writer->leaf_count; i++) {
        leaf_fini(&writer->leaves[i]);
    }
    for (size_t i = 0; i < writer->column_count; i++) {
        union {
            const char *lent;
            char *ours;
        } name = {writer->columns[i].name}; /* from strdup */
        free(name.ours);
    }
    struct mrd_buf *bufs[] = {&writer->groups,         &writer->chunks, &writer->column_indexes,
                              &writer->offset_indexes, &writer->levels, &writer->metadata,
                              &writer->body,           &writer->stored, &writer->other_body,
                              &writer->other_stored};
    for (size_t i = 0; i < MRD_ARRAY_LEN(bufs); i++) {
        mrd_buf_fini(bufs[i]);
    }
    mrd_pq_compressor_destroy(&writer->own);
    free(writer->columns);
    free(writer->sorting);
    free(writer->leaves);
    free(writer);
}

/* ---- what all parts use ---- */

enum mrd_status pq_out_of_memory(struct mrd_pq_writer *writer, struct mrd_error *err)
{
    writer->broken = true;
    return mrd_fail(err, MRD_E_LIMIT,
                    "a row group, or the index of all pages, takes more than the limit of %zu "
                    "bytes: end row groups earlier",
                    writer->memory_max);
}

enum mrd_status pq_emit(struct mrd_pq_writer *writer, struct mrd_bytes bytes, struct mrd_error *err)
{
    const enum mrd_status status = writer->sink.write(writer->sink.context, bytes, err);
    if (status != MRD_OK) {
        writer->broken = true;
        return status;
    }
    writer->offset += bytes.size;
    writer->crc32c = mrd_crc32c(writer->crc32c, bytes);
    return MRD_OK;
}

size_t mrd_pq_writer_memory(const struct mrd_pq_writer *writer) { return writer->memory; }

size_t mrd_pq_writer_leaf_count(const struct mrd_pq_writer *writer) { return writer->leaf_count; }

const struct mrd_pq_leaf *mrd_pq_writer_leaf(const struct mrd_pq_writer *writer, size_t leaf)
{
    mrd_assert(leaf < writer->leaf_count);
    return &writer->leaves[leaf].leaf;
}

enum mrd_status mrd_pq_writer_set(struct mrd_pq_writer *writer, struct mrd_bytes key,
                                  struct mrd_bytes value, struct mrd_error *err)
{
    if (key.size == 0 || key.size > INT32_MAX || value.size > INT32_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "metadata with a key of %zu and a value of %zu bytes",
                        key.size, value.size);
    }
    mrd_buf_append_u32(&writer->metadata, (uint32_t)key.size);
    mrd_buf_append_bytes(&writer->metadata, key);
    mrd_buf_append_u32(&writer->metadata, (uint32_t)value.size);
    mrd_buf_append_bytes(&writer->metadata, value);
    writer->metadata_count++;
    return writer->metadata.failed ? pq_out_of_memory(writer, err) : MRD_OK;
}

static enum mrd_status write_end(struct mrd_pq_writer *writer, uint32_t *out_footer_size,
                                 struct mrd_error *err)
{
    const uint64_t column_index_base = writer->offset;
    const uint64_t offset_index_base = column_index_base + writer->column_indexes.size;
    MRD_TRY(pq_emit(writer, mrd_buf_view(&writer->column_indexes), err));
    MRD_TRY(pq_emit(writer, mrd_buf_view(&writer->offset_indexes), err));
    mrd_auto(mrd_buf_fini)
    struct mrd_buf footer = {0};
    pq_write_footer(writer, column_index_base, offset_index_base, &footer);
    mrd_buf_append_u32(&footer, (uint32_t)footer.size);
    mrd_buf_append_bytes(&footer, magic);
    if (footer.failed || footer.size > INT32_MAX) {
        return pq_out_of_memory(writer, err);
    }
    *out_footer_size = (uint32_t)footer.size;
    return pq_emit(writer, mrd_buf_view(&footer), err);
}

enum mrd_status mrd_pq_writer_close(struct mrd_pq_writer *writer,
                                    struct mrd_pq_written *out_written, struct mrd_error *err)
{
    MRD_TRY(mrd_pq_writer_end_row_group(writer, err));
    uint32_t footer_size = 0;
    MRD_TRY(write_end(writer, &footer_size, err));
    writer->broken = true; /* nothing may follow */
    *out_written = (struct mrd_pq_written){
        .size = writer->offset,
        .crc32c = writer->crc32c,
        .rows = writer->rows,
        .row_groups = (uint32_t)(writer->groups.size / sizeof(struct pq_group)),
        .footer_size = footer_size,
    };
    return MRD_OK;
}

struct mrd_pq_totals mrd_pq_writer_totals(const struct mrd_pq_writer *writer, size_t leaf)
{
    mrd_assert(leaf < writer->leaf_count);
    const struct pq_leaf *of = &writer->leaves[leaf];
    return (struct mrd_pq_totals){of->stored_size, of->file_stats,
                                  mrd_pq_stats_bounds(&of->file_stats, &of->leaf)};
}

uint64_t mrd_pq_writer_row_group_offset(const struct mrd_pq_writer *writer, size_t row_group)
{
    mrd_assert(row_group < writer->groups.size / sizeof(struct pq_group));
    return ((const struct pq_group *)(const void *)writer->groups.data)[row_group].offset;
}
