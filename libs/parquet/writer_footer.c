#include "parquet/thrift.h"
#include "parquet/writer_internal.h"

enum { REQUIRED = 0, OPTIONAL = 1, REPEATED = 2 };

/* ---- the schema ---- */

struct element {
    const char *name;
    int32_t repetition; /* -1: none, the root */
    int32_t children;   /* 0: a leaf */
    int32_t field_id;   /* -1: none */
    int32_t converted;  /* -1: none */
    int16_t logical;    /* of union LogicalType; 0: none */
};

enum { LOGICAL_STRING = 1, LOGICAL_MAP = 2, LOGICAL_LIST = 3, LOGICAL_TIMESTAMP = 8 };
enum { CONVERTED_UTF8 = 0, CONVERTED_MAP = 1, CONVERTED_LIST = 3, CONVERTED_TIMESTAMP_US = 10 };

static void write_logical(struct mrd_thrift_writer *w, int16_t logical)
{
    mrd_thrift_put_struct(w, 10);
    mrd_thrift_put_struct(w, logical);
    if (logical == LOGICAL_TIMESTAMP) {
        mrd_thrift_put_bool(w, 1, true); /* UTC */
        mrd_thrift_put_struct(w, 2);
        mrd_thrift_put_struct(w, 2); /* microseconds */
        mrd_thrift_end(w);
        mrd_thrift_end(w);
    }
    mrd_thrift_end(w);
    mrd_thrift_end(w);
}

static void write_element(struct mrd_thrift_writer *w, const struct element *element,
                          const struct mrd_pq_node *node)
{
    mrd_thrift_begin(w);
    if (node != NULL) {
        mrd_thrift_put_i32(w, 1, (int32_t)node->type);
        if (node->type == MRD_PQ_FIXED) {
            mrd_thrift_put_i32(w, 2, (int32_t)node->fixed_size);
        }
    }
    if (element->repetition >= 0) {
        mrd_thrift_put_i32(w, 3, element->repetition);
    }
    mrd_thrift_put_binary(w, 4, mrd_bytes_of(element->name));
    if (node == NULL) {
        mrd_thrift_put_i32(w, 5, element->children);
    }
    if (element->converted >= 0) {
        mrd_thrift_put_i32(w, 6, element->converted);
    }
    if (element->field_id >= 0) {
        mrd_thrift_put_i32(w, 9, element->field_id);
    }
    if (element->logical != 0) {
        write_logical(w, element->logical);
    }
    mrd_thrift_end(w);
}

static void write_leaf(struct mrd_thrift_writer *w, const char *name, bool optional,
                       int32_t field_id, const struct mrd_pq_node *node)
{
    struct element element = {name, optional ? OPTIONAL : REQUIRED, 0, field_id, -1, 0};
    if (node->meaning == MRD_PQ_STRING) {
        element.converted = CONVERTED_UTF8;
        element.logical = LOGICAL_STRING;
    } else if (node->meaning == MRD_PQ_TIMESTAMP_US) {
        element.converted = CONVERTED_TIMESTAMP_US;
        element.logical = LOGICAL_TIMESTAMP;
    }
    write_element(w, &element, node);
}

static void write_column(struct mrd_thrift_writer *w, const struct mrd_pq_column *column)
{
    if (column->shape == MRD_PQ_FLAT) {
        write_leaf(w, column->name, column->optional, column->field_id, &column->value);
        return;
    }
    const bool map = column->shape == MRD_PQ_MAP;
    const struct element outer = {
        column->name,     column->optional ? OPTIONAL : REQUIRED, 1,
        column->field_id, map ? CONVERTED_MAP : CONVERTED_LIST,   map ? LOGICAL_MAP : LOGICAL_LIST};
    const struct element inner = {map ? "key_value" : "list", REPEATED, map ? 2 : 1, -1, -1, 0};
    write_element(w, &outer, NULL);
    write_element(w, &inner, NULL);
    if (map) {
        write_leaf(w, "key", false, column->key.field_id, &column->key);
    }
    write_leaf(w, map ? "value" : "element", column->value.optional, column->value.field_id,
               &column->value);
}

static void write_schema(struct mrd_thrift_writer *w, const struct mrd_pq_writer *writer)
{
    size_t elements = 1 + writer->column_count;
    for (size_t i = 0; i < writer->column_count; i++) {
        const enum mrd_pq_shape shape = writer->columns[i].shape;
        elements += shape == MRD_PQ_MAP ? 3 : shape == MRD_PQ_LIST ? 2 : 0;
    }
    mrd_thrift_put_list(w, 2, MRD_THRIFT_STRUCT, elements);
    const struct element root = {"schema", -1, (int32_t)writer->column_count, -1, -1, 0};
    write_element(w, &root, NULL);
    for (size_t i = 0; i < writer->column_count; i++) {
        write_column(w, &writer->columns[i]);
    }
}

/* ---- column chunks ---- */

static void write_encodings(struct mrd_thrift_writer *w, const struct pq_chunk *chunk,
                            bool has_levels)
{
    bool used[MRD_PQ_ENCODING_COUNT] = {false};
    size_t count = 0;
    for (size_t e = 0; e < MRD_PQ_ENCODING_COUNT; e++) {
        used[e] = chunk->pages_of[e] > 0 || (e == MRD_PQ_PLAIN && chunk->has_dictionary) ||
                  (e == MRD_PQ_RLE && has_levels);
        count += used[e];
    }
    mrd_thrift_put_list(w, 2, MRD_THRIFT_I32, count);
    for (size_t e = 0; e < MRD_PQ_ENCODING_COUNT; e++) {
        if (used[e]) {
            mrd_thrift_element_int(w, (int64_t)e);
        }
    }
}

static void write_path(struct mrd_thrift_writer *w, struct mrd_bytes path, bool nested)
{
    /* Names of ours may have dots; only lists and maps have parts, and those two are known. */
    struct mrd_bytes parts[3] = {path, MRD_BYTES_NONE, MRD_BYTES_NONE};
    size_t count = 1;
    for (size_t part = 2; nested && part > 0; part--) {
        size_t at = parts[0].size - 1;
        while (parts[0].data[at] != '.') {
            at--;
        }
        parts[part] = (struct mrd_bytes){parts[0].data + at + 1, parts[0].size - at - 1};
        parts[0].size = at;
        count++;
    }
    mrd_thrift_put_list(w, 3, MRD_THRIFT_BINARY, count);
    for (size_t i = 0; i < count; i++) {
        mrd_thrift_element_binary(w, parts[i]);
    }
}

static void write_statistics(struct mrd_thrift_writer *w, const struct pq_leaf *leaf,
                             const struct mrd_pq_stats *stats)
{
    const struct mrd_pq_bounds bounds = mrd_pq_stats_bounds(stats, &leaf->leaf);
    mrd_thrift_put_struct(w, 12);
    mrd_thrift_put_i64(w, 3, (int64_t)stats->nulls);
    if (bounds.max.present) {
        mrd_thrift_put_binary(w, 5, (struct mrd_bytes){bounds.max.data, bounds.max.size});
    }
    if (bounds.min.present) {
        mrd_thrift_put_binary(w, 6, (struct mrd_bytes){bounds.min.data, bounds.min.size});
    }
    if (bounds.max.present) {
        mrd_thrift_put_bool(w, 7, bounds.max.exact);
    }
    if (bounds.min.present) {
        mrd_thrift_put_bool(w, 8, bounds.min.exact);
    }
    mrd_thrift_end(w);
}

static void write_encoding_stat(struct mrd_thrift_writer *w, int32_t page_type, int32_t encoding,
                                int32_t count)
{
    mrd_thrift_begin(w);
    mrd_thrift_put_i32(w, 1, page_type);
    mrd_thrift_put_i32(w, 2, encoding);
    mrd_thrift_put_i32(w, 3, count);
    mrd_thrift_end(w);
}

static void write_encoding_stats(struct mrd_thrift_writer *w, const struct mrd_pq_writer *writer,
                                 const struct pq_chunk *chunk)
{
    enum { DATA_PAGE = 0, DICTIONARY_PAGE = 2, DATA_PAGE_V2 = 3 };
    size_t count = chunk->has_dictionary;
    for (size_t e = 0; e < MRD_PQ_ENCODING_COUNT; e++) {
        count += chunk->pages_of[e] > 0;
    }
    mrd_thrift_put_list(w, 13, MRD_THRIFT_STRUCT, count);
    if (chunk->has_dictionary) {
        write_encoding_stat(w, DICTIONARY_PAGE, MRD_PQ_PLAIN, 1);
    }
    for (size_t e = 0; e < MRD_PQ_ENCODING_COUNT; e++) {
        if (chunk->pages_of[e] > 0) {
            write_encoding_stat(w, writer->page_version == 2 ? DATA_PAGE_V2 : DATA_PAGE, (int32_t)e,
                                (int32_t)chunk->pages_of[e]);
        }
    }
}

static void write_chunk_metadata(struct mrd_thrift_writer *w, const struct mrd_pq_writer *writer,
                                 const struct pq_leaf *leaf, const struct pq_chunk *chunk)
{
    mrd_thrift_put_struct(w, 3);
    mrd_thrift_put_i32(w, 1, (int32_t)leaf->leaf.type);
    write_encodings(w, chunk, leaf->leaf.def_max > 0 || leaf->leaf.rep_max > 0);
    write_path(w, leaf->leaf.path, leaf->leaf.rep_max > 0);
    mrd_thrift_put_i32(w, 4, (int32_t)writer->codec);
    mrd_thrift_put_i64(w, 5, (int64_t)chunk->stats.entries);
    mrd_thrift_put_i64(w, 6, (int64_t)chunk->plain_size);
    mrd_thrift_put_i64(w, 7, (int64_t)chunk->stored_size);
    mrd_thrift_put_i64(w, 9, (int64_t)chunk->data_offset);
    if (chunk->has_dictionary) {
        mrd_thrift_put_i64(w, 11, (int64_t)chunk->offset);
    }
    write_statistics(w, leaf, &chunk->stats);
    write_encoding_stats(w, writer, chunk);
    mrd_thrift_end(w);
}

struct index_bases {
    uint64_t column_index;
    uint64_t offset_index;
};

static void write_chunk(struct mrd_thrift_writer *w, const struct mrd_pq_writer *writer,
                        const struct pq_leaf *leaf, const struct pq_chunk *chunk,
                        const struct index_bases *bases)
{
    mrd_thrift_begin(w);
    mrd_thrift_put_i64(w, 2, 0); /* deprecated; the format asks for 0 */
    write_chunk_metadata(w, writer, leaf, chunk);
    mrd_thrift_put_i64(w, 4, (int64_t)(bases->offset_index + chunk->offset_index_at));
    mrd_thrift_put_i32(w, 5, (int32_t)chunk->offset_index_size);
    if (chunk->column_index_size > 0) {
        mrd_thrift_put_i64(w, 6, (int64_t)(bases->column_index + chunk->column_index_at));
        mrd_thrift_put_i32(w, 7, (int32_t)chunk->column_index_size);
    }
    mrd_thrift_end(w);
}

/* ---- row groups ---- */

static void write_sorting(struct mrd_thrift_writer *w, const struct mrd_pq_writer *writer)
{
    if (writer->sorting_count == 0) {
        return;
    }
    mrd_thrift_put_list(w, 4, MRD_THRIFT_STRUCT, writer->sorting_count);
    for (size_t i = 0; i < writer->sorting_count; i++) {
        mrd_thrift_begin(w);
        mrd_thrift_put_i32(w, 1, (int32_t)writer->sorting[i].leaf);
        mrd_thrift_put_bool(w, 2, writer->sorting[i].descending);
        mrd_thrift_put_bool(w, 3, writer->sorting[i].nulls_first);
        mrd_thrift_end(w);
    }
}

static void write_group(struct mrd_thrift_writer *w, const struct mrd_pq_writer *writer,
                        size_t index, const struct index_bases *bases)
{
    const struct pq_group *group =
        (const struct pq_group *)(const void *)writer->groups.data + index;
    const struct pq_chunk *chunks =
        (const struct pq_chunk *)(const void *)writer->chunks.data + group->first_chunk;
    uint64_t plain_size = 0;
    uint64_t stored_size = 0;
    mrd_thrift_begin(w);
    mrd_thrift_put_list(w, 1, MRD_THRIFT_STRUCT, writer->leaf_count);
    for (size_t i = 0; i < writer->leaf_count; i++) {
        write_chunk(w, writer, &writer->leaves[i], &chunks[i], bases);
        plain_size += chunks[i].plain_size;
        stored_size += chunks[i].stored_size;
    }
    mrd_thrift_put_i64(w, 2, (int64_t)plain_size);
    mrd_thrift_put_i64(w, 3, (int64_t)group->rows);
    write_sorting(w, writer);
    mrd_thrift_put_i64(w, 5, (int64_t)group->offset);
    mrd_thrift_put_i64(w, 6, (int64_t)stored_size);
    if (index <= INT16_MAX) { /* all that the format's ordinal can say */
        mrd_thrift_put_i16(w, 7, (int16_t)index);
    }
    mrd_thrift_end(w);
}

static void write_metadata(struct mrd_thrift_writer *w, const struct mrd_pq_writer *writer)
{
    if (writer->metadata_count == 0) {
        return;
    }
    struct mrd_reader in = mrd_reader_of(mrd_buf_view(&writer->metadata));
    mrd_thrift_put_list(w, 5, MRD_THRIFT_STRUCT, writer->metadata_count);
    for (uint32_t i = 0; i < writer->metadata_count; i++) {
        mrd_thrift_begin(w);
        mrd_thrift_put_binary(w, 1, mrd_read_bytes(&in, mrd_read_u32(&in)));
        mrd_thrift_put_binary(w, 2, mrd_read_bytes(&in, mrd_read_u32(&in)));
        mrd_thrift_end(w);
    }
}

/* Every leaf is ordered as its type says (TypeDefinedOrder); without this readers ignore the bounds. */
static void write_orders(struct mrd_thrift_writer *w, size_t leaf_count)
{
    mrd_thrift_put_list(w, 7, MRD_THRIFT_STRUCT, leaf_count);
    for (size_t i = 0; i < leaf_count; i++) {
        mrd_thrift_begin(w);
        mrd_thrift_put_struct(w, 1);
        mrd_thrift_end(w);
        mrd_thrift_end(w);
    }
}

void pq_write_footer(const struct mrd_pq_writer *writer, uint64_t column_index_base,
                     uint64_t offset_index_base, struct mrd_buf *out)
{
    const struct index_bases bases = {column_index_base, offset_index_base};
    struct mrd_thrift_writer w = {.out = out};
    const size_t groups = writer->groups.size / sizeof(struct pq_group);
    mrd_thrift_begin(&w);
    mrd_thrift_put_i32(&w, 1, writer->page_version);
    write_schema(&w, writer);
    mrd_thrift_put_i64(&w, 3, (int64_t)writer->rows);
    mrd_thrift_put_list(&w, 4, MRD_THRIFT_STRUCT, groups);
    for (size_t i = 0; i < groups; i++) {
        write_group(&w, writer, i, &bases);
    }
    write_metadata(&w, writer);
    mrd_thrift_put_binary(&w, 6, MRD_BYTES("meridian version " MRD_VERSION));
    write_orders(&w, writer->leaf_count);
    mrd_thrift_end(&w);
}
