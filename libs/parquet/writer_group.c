#include "base/hash.h"
#include "parquet/thrift.h"
#include "parquet/writer_internal.h"

/* ---- the page index ---- */

/* Bounds of all pages, in the order of pages. */
struct page_bounds {
    const struct pq_page *pages;
    struct mrd_pq_bounds *bounds;
    size_t count;
};

/* A page that has values but no bounds (NaN alone, or a run of the greatest byte) cannot be said in a
 * column index, so such a chunk has none. */
static bool can_be_indexed(const struct page_bounds *table)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct mrd_pq_stats *stats = &table->pages[i].stats;
        if (stats->entries > stats->nulls &&
            (!table->bounds[i].min.present || !table->bounds[i].max.present)) {
            return false;
        }
    }
    return true;
}

enum boundary_order { UNORDERED = 0, ASCENDING = 1, DESCENDING = 2 };

static enum boundary_order order_of(const struct page_bounds *table, const struct mrd_pq_leaf *leaf)
{
    bool rising = true;
    bool falling = true;
    const struct mrd_pq_bounds *before = NULL;
    for (size_t i = 0; i < table->count; i++) {
        const struct mrd_pq_bounds *now = &table->bounds[i];
        if (!now->min.present) {
            continue; /* null pages stand outside the order */
        }
        if (before != NULL) {
            const int min = mrd_pq_bound_compare(&before->min, &now->min, leaf);
            const int max = mrd_pq_bound_compare(&before->max, &now->max, leaf);
            rising = rising && min <= 0 && max <= 0;
            falling = falling && min >= 0 && max >= 0;
        }
        before = now;
    }
    return rising ? ASCENDING : falling ? DESCENDING : UNORDERED;
}

static void write_bounds(struct mrd_thrift_writer *w, int16_t id, const struct page_bounds *table,
                         bool upper)
{
    mrd_thrift_put_list(w, id, MRD_THRIFT_BINARY, table->count);
    for (size_t i = 0; i < table->count; i++) {
        const struct mrd_pq_bound *bound = upper ? &table->bounds[i].max : &table->bounds[i].min;
        mrd_thrift_element_binary(
            w, (struct mrd_bytes){bound->data, bound->present ? bound->size : (size_t)0});
    }
}

static void write_column_index(const struct page_bounds *table, const struct mrd_pq_leaf *leaf,
                               struct mrd_buf *out)
{
    struct mrd_thrift_writer w = {.out = out};
    mrd_thrift_begin(&w);
    mrd_thrift_put_list(&w, 1, MRD_THRIFT_TRUE, table->count);
    for (size_t i = 0; i < table->count; i++) {
        mrd_thrift_element_bool(&w, table->pages[i].stats.entries == table->pages[i].stats.nulls);
    }
    write_bounds(&w, 2, table, false);
    write_bounds(&w, 3, table, true);
    mrd_thrift_put_i32(&w, 4, (int32_t)order_of(table, leaf));
    mrd_thrift_put_list(&w, 5, MRD_THRIFT_I64, table->count);
    for (size_t i = 0; i < table->count; i++) {
        mrd_thrift_element_int(&w, (int64_t)table->pages[i].stats.nulls);
    }
    mrd_thrift_end(&w);
}

static void write_offset_index(const struct pq_page *pages, size_t count, uint64_t data_offset,
                               struct mrd_buf *out)
{
    struct mrd_thrift_writer w = {.out = out};
    mrd_thrift_begin(&w);
    mrd_thrift_put_list(&w, 1, MRD_THRIFT_STRUCT, count);
    for (size_t i = 0; i < count; i++) {
        mrd_thrift_begin(&w);
        mrd_thrift_put_i64(&w, 1, (int64_t)(data_offset + pages[i].at));
        mrd_thrift_put_i32(&w, 2, (int32_t)pages[i].size);
        mrd_thrift_put_i64(&w, 3, (int64_t)pages[i].first_row);
        mrd_thrift_end(&w);
    }
    mrd_thrift_end(&w);
}

void pq_write_indexes(struct mrd_pq_writer *writer, const struct pq_leaf *leaf,
                      struct pq_chunk *chunk)
{
    struct page_bounds table = {0};
    table.pages = pq_pages(leaf, &table.count);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bounds = {0};
    table.bounds = (struct mrd_pq_bounds *)(void *)mrd_buf_reserve(
        &bounds, table.count * sizeof(table.bounds[0]));
    if (table.bounds == NULL) {
        writer->column_indexes.failed = true;
        return;
    }
    for (size_t i = 0; i < table.count; i++) {
        table.bounds[i] = mrd_pq_stats_bounds(&table.pages[i].stats, &leaf->leaf);
    }
    chunk->column_index_at = writer->column_indexes.size;
    if (can_be_indexed(&table)) {
        write_column_index(&table, &leaf->leaf, &writer->column_indexes);
    }
    chunk->column_index_size = writer->column_indexes.size - chunk->column_index_at;
    chunk->offset_index_at = writer->offset_indexes.size;
    write_offset_index(table.pages, table.count, chunk->data_offset, &writer->offset_indexes);
    chunk->offset_index_size = writer->offset_indexes.size - chunk->offset_index_at;
}

/* ---- column chunks ---- */

static void report(const struct mrd_pq_writer *writer, const struct mrd_pq_page_info *page)
{
    if (writer->sink.page != NULL) {
        writer->sink.page(writer->sink.context, page);
    }
}

static void report_pages(const struct mrd_pq_writer *writer, const struct pq_leaf *leaf,
                         const struct pq_chunk *chunk)
{
    struct mrd_pq_page_info info = {
        .leaf = (uint32_t)(leaf - writer->leaves),
        .row_group = (uint32_t)(writer->groups.size / sizeof(struct pq_group)),
        .offset = chunk->offset,
        .size = (uint32_t)(chunk->data_offset - chunk->offset),
        .crc32c = chunk->dictionary_crc32c,
        .dictionary = true,
    };
    if (chunk->has_dictionary) {
        report(writer, &info);
    }
    info.dictionary = false;
    size_t count;
    const struct pq_page *pages = pq_pages(leaf, &count);
    for (size_t i = 0; i < count; i++) {
        info.first_row = pages[i].first_row;
        info.rows = pages[i].rows;
        info.offset = chunk->data_offset + pages[i].at;
        info.size = pages[i].size;
        info.crc32c =
            mrd_crc32c(0, (struct mrd_bytes){leaf->pages.data + pages[i].at, pages[i].size});
        report(writer, &info);
    }
}

static enum mrd_status write_dictionary(struct mrd_pq_writer *writer, struct pq_leaf *leaf,
                                        struct pq_chunk *chunk, struct mrd_error *err)
{
    mrd_buf_clear(&writer->levels);
    chunk->plain_size += pq_encode_dictionary(writer, leaf, &writer->levels);
    if (writer->levels.failed) {
        return pq_out_of_memory(writer, err);
    }
    chunk->has_dictionary = true;
    chunk->dictionary_crc32c = mrd_crc32c(0, mrd_buf_view(&writer->levels));
    return pq_emit(writer, mrd_buf_view(&writer->levels), err);
}

static enum mrd_status write_chunk(struct mrd_pq_writer *writer, struct pq_leaf *leaf,
                                   struct mrd_error *err)
{
    struct pq_chunk chunk = {.offset = writer->offset, .plain_size = leaf->group_plain_size};
    size_t count;
    const struct pq_page *pages = pq_pages(leaf, &count);
    for (size_t i = 0; i < count; i++) {
        chunk.pages_of[pages[i].encoding]++;
        mrd_pq_stats_merge(&chunk.stats, &leaf->leaf, &pages[i].stats);
    }
    /* A dictionary without values (nulls alone) is written too: its pages name it. */
    if (chunk.pages_of[MRD_PQ_RLE_DICTIONARY] > 0) {
        MRD_TRY(write_dictionary(writer, leaf, &chunk, err));
    }
    chunk.data_offset = writer->offset;
    MRD_TRY(pq_emit(writer, mrd_buf_view(&leaf->pages), err));
    chunk.stored_size = writer->offset - chunk.offset;
    pq_write_indexes(writer, leaf, &chunk);
    mrd_buf_append(&writer->chunks, &chunk, sizeof(chunk));
    if (writer->column_indexes.failed || writer->offset_indexes.failed || writer->chunks.failed) {
        return pq_out_of_memory(writer, err);
    }
    report_pages(writer, leaf, &chunk);
    leaf->stored_size += chunk.stored_size;
    mrd_pq_stats_merge(&leaf->file_stats, &leaf->leaf, &chunk.stats);
    return MRD_OK;
}

/* ---- row groups ---- */

static enum mrd_status check_rows(const struct mrd_pq_writer *writer, struct mrd_error *err)
{
    const struct pq_leaf *first = &writer->leaves[0];
    for (size_t i = 1; i < writer->leaf_count; i++) {
        const struct pq_leaf *leaf = &writer->leaves[i];
        if (leaf->group_rows + leaf->rows != first->group_rows + first->rows) {
            return mrd_fail(err, MRD_E_INVALID,
                            "column %s has %llu rows in this row group, column %s has %llu",
                            leaf->path, (unsigned long long)(leaf->group_rows + leaf->rows),
                            first->path, (unsigned long long)(first->group_rows + first->rows));
        }
    }
    for (size_t i = 0, leaf = 0; i < writer->column_count; i++) {
        const bool map = writer->columns[i].shape == MRD_PQ_MAP;
        if (map && writer->leaves[leaf].shape != writer->leaves[leaf + 1].shape) {
            return mrd_fail(err, MRD_E_INVALID, "column %s: keys and values have different entries",
                            writer->columns[i].name);
        }
        leaf += map ? 2 : 1;
    }
    return MRD_OK;
}

static void begin_group(struct mrd_pq_writer *writer, struct pq_leaf *leaf)
{
    mrd_buf_clear(&leaf->pages);
    mrd_buf_clear(&leaf->page_table);
    mrd_pq_dictionary_clear(&leaf->dictionary);
    leaf->dictionary_full = leaf->node.dictionary_size_max == 0;
    leaf->group_rows = 0;
    leaf->group_plain_size = 0;
    leaf->shape = 0;
    mrd_assert(pq_account(writer, leaf, NULL) == MRD_OK);
}

enum mrd_status mrd_pq_writer_end_row_group(struct mrd_pq_writer *writer, struct mrd_error *err)
{
    if (writer->broken) {
        return mrd_fail(err, MRD_E_INVALID, "the file is closed or failed before");
    }
    MRD_TRY(check_rows(writer, err));
    for (size_t i = 0; i < writer->leaf_count; i++) {
        MRD_TRY(mrd_pq_writer_cut_page(writer, i, err));
    }
    const uint64_t rows = writer->leaves[0].group_rows;
    if (rows == 0) {
        return MRD_OK;
    }
    const struct pq_group group = {writer->offset, rows,
                                   writer->chunks.size / sizeof(struct pq_chunk)};
    for (size_t i = 0; i < writer->leaf_count; i++) {
        MRD_TRY(write_chunk(writer, &writer->leaves[i], err));
    }
    mrd_buf_append(&writer->groups, &group, sizeof(group));
    if (writer->groups.failed) {
        return pq_out_of_memory(writer, err);
    }
    writer->rows += rows;
    for (size_t i = 0; i < writer->leaf_count; i++) {
        begin_group(writer, &writer->leaves[i]);
    }
    return MRD_OK;
}

enum mrd_status mrd_pq_writer_put_aside(struct mrd_pq_writer *writer, struct mrd_bytes bytes,
                                        uint64_t *out_offset, struct mrd_error *err)
{
    if (writer->broken || writer->leaves[0].group_rows + writer->leaves[0].rows > 0) {
        return mrd_fail(
            err, MRD_E_INVALID,
            "bytes aside of a file that is closed, failed before or has an open row group");
    }
    *out_offset = writer->offset;
    return pq_emit(writer, bytes, err);
}
