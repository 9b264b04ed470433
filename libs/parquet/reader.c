#include "parquet/reader.h"

#include <stdlib.h>

#include "parquet/decode.h"
#include "parquet/page_header.h"

enum {
    TAIL_SIZE = 8,            /* length of the footer and the magic */
    TAIL_GUESS = 64 << 10,    /* what is read at first: most footers are in it */
    HEADER_GUESS = 4 << 10,   /* of a page, where no index says its size */
    HEADER_SIZE_MAX = 1 << 20 /* statistics in headers have bounds of any length */
};

struct mrd_pq_file {
    struct mrd_pq_source source;
    struct mrd_arena *arena;
    struct mrd_pq_footer *footer;
};

struct mrd_pq_column_reader {
    const struct mrd_pq_file *file;
    const struct mrd_pq_leaf *leaf;
    const struct mrd_pq_chunk *chunk;
    uint64_t rows;
    struct mrd_arena *arena;
    struct mrd_pq_decoder *decoder;
    struct mrd_buf bytes; /* of the page at hand */
    struct mrd_pq_page_location *pages;
    size_t page_count;
    struct mrd_pq_page_bounds *bounds;
    uint64_t dictionary_offset; /* 0: none */
    uint32_t dictionary_size;
    bool dictionary_read;
};

/* ---- files ---- */

/* Reads a range into `buf`, replacing what is there. */
static enum mrd_status read_range(const struct mrd_pq_source *source, uint64_t offset, size_t size,
                                  struct mrd_buf *buf, struct mrd_error *err)
{
    mrd_buf_clear(buf);
    if (offset > source->size || size > source->size - offset) {
        return mrd_fail(err, MRD_E_CORRUPT, "%zu bytes at %llu are outside the file", size,
                        (unsigned long long)offset);
    }
    uint8_t *place = mrd_buf_reserve(buf, size);
    if (place == NULL) {
        return mrd_fail(err, MRD_E_LIMIT, "%zu bytes of a file are more than the limit of %zu",
                        size, buf->limit);
    }
    MRD_TRY(source->read_at(source->context, offset, size, place, err));
    buf->size = size;
    return MRD_OK;
}

/* Finds the footer in the tail; reads again if it is longer. */
static enum mrd_status read_footer(struct mrd_pq_file *file, struct mrd_buf *tail,
                                   struct mrd_error *err)
{
    const struct mrd_pq_source *source = &file->source;
    if (source->size < TAIL_SIZE + 4) {
        return mrd_fail(err, MRD_E_CORRUPT, "a file of %llu bytes is not Parquet",
                        (unsigned long long)source->size);
    }
    size_t size = (size_t)MRD_MIN(source->size, (uint64_t)TAIL_GUESS);
    MRD_TRY(read_range(source, source->size - size, size, tail, err));
    const uint8_t *end = tail->data + tail->size - TAIL_SIZE;
    if (memcmp(end + 4, "PAR1", 4) != 0) {
        return memcmp(end + 4, "PARE", 4) == 0
                   ? mrd_fail(err, MRD_E_UNSUPPORTED, "the footer is encrypted")
                   : mrd_fail(err, MRD_E_CORRUPT, "the file does not end with PAR1");
    }
    uint32_t footer_size;
    memcpy(&footer_size, end, sizeof(footer_size));
    if (footer_size > source->size - TAIL_SIZE - 4) {
        return mrd_fail(err, MRD_E_CORRUPT, "a footer of %u bytes in a file of %llu", footer_size,
                        (unsigned long long)source->size);
    }
    if (footer_size > size - TAIL_SIZE) {
        size = (size_t)footer_size + TAIL_SIZE;
        MRD_TRY(read_range(source, source->size - size, size, tail, err));
    }
    const struct mrd_bytes footer = {tail->data + tail->size - TAIL_SIZE - footer_size,
                                     footer_size};
    return mrd_pq_footer_read(footer, source->size, file->arena, &file->footer, err);
}

enum mrd_status mrd_pq_file_open(const struct mrd_pq_source *source, size_t limit_bytes,
                                 struct mrd_pq_file **out_file, struct mrd_error *err)
{
    mrd_auto(mrd_pq_file_close)
    struct mrd_pq_file *file = calloc(1, sizeof(*file));
    mrd_assert(file != NULL);
    file->source = *source;
    file->arena = mrd_arena_create("parquet footer", limit_bytes);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf tail;
    mrd_buf_init(&tail, MRD_MAX(limit_bytes, (size_t)TAIL_GUESS));
    MRD_TRY(read_footer(file, &tail, err));
    *out_file = MRD_MOVE(file);
    return MRD_OK;
}

void mrd_pq_file_close(struct mrd_pq_file **file)
{
    if (*file != NULL) {
        mrd_arena_destroy(&(*file)->arena);
        free(*file);
        *file = NULL;
    }
}

const struct mrd_pq_footer *mrd_pq_file_footer(const struct mrd_pq_file *file)
{
    return file->footer;
}

int64_t mrd_pq_file_find_leaf(const struct mrd_pq_file *file, struct mrd_bytes path)
{
    for (size_t i = 0; i < file->footer->leaf_count; i++) {
        if (mrd_bytes_equal(file->footer->leaves[i].path, path)) {
            return (int64_t)i;
        }
    }
    return -1;
}

/* ---- listing pages ---- */

static enum mrd_status list_from_index(struct mrd_pq_column_reader *column, struct mrd_error *err)
{
    const struct mrd_pq_chunk *chunk = column->chunk;
    MRD_TRY(read_range(&column->file->source, chunk->offset_index_offset, chunk->offset_index_size,
                       &column->bytes, err));
    MRD_TRY(mrd_pq_offset_index_read(mrd_buf_view(&column->bytes), chunk, column->rows,
                                     column->arena, &column->pages, &column->page_count, err));
    const uint64_t first = column->page_count > 0 ? column->pages[0].offset : chunk->offset;
    if (first > chunk->offset) { /* what is before the first data page */
        if (first - chunk->offset > UINT32_MAX) {
            return mrd_fail(err, MRD_E_CORRUPT, "a dictionary page of more than 4 GiB");
        }
        column->dictionary_offset = chunk->offset;
        column->dictionary_size = (uint32_t)(first - chunk->offset);
    }
    return MRD_OK;
}

/* The header at an offset, read by growing pieces: nobody says how long it is. */
static enum mrd_status read_header(struct mrd_pq_column_reader *column, uint64_t offset,
                                   uint64_t end, struct mrd_pq_page_header *out_header,
                                   size_t *out_size, struct mrd_error *err)
{
    for (size_t guess = HEADER_GUESS;; guess *= 4) {
        const size_t size = (size_t)MRD_MIN((uint64_t)guess, end - offset);
        MRD_TRY(read_range(&column->file->source, offset, size, &column->bytes, err));
        const enum mrd_status status =
            mrd_pq_page_header_read(mrd_buf_view(&column->bytes), out_header, out_size, err);
        if (status == MRD_OK || size < guess || guess >= HEADER_SIZE_MAX) {
            return status;
        }
    }
}

static enum mrd_status add_page(struct mrd_pq_column_reader *column, struct mrd_buf *table,
                                const struct mrd_pq_page_header *header, uint64_t offset,
                                uint32_t size, uint64_t *row, struct mrd_error *err)
{
    const bool v2 = header->type == MRD_PQ_DATA_PAGE_V2;
    struct mrd_pq_page_location page = {.offset = offset, .size = size};
    page.rows_known = column->leaf->rep_max == 0 || v2;
    if (page.rows_known) {
        page.first_row = *row;
        page.rows = v2 ? header->rows : header->entries;
        *row += page.rows;
    }
    mrd_buf_append(table, &page, sizeof(page));
    return table->failed
               ? mrd_fail(err, MRD_E_LIMIT, "more pages than the limit of %zu bytes", table->limit)
               : MRD_OK;
}

static enum mrd_status list_from_headers(struct mrd_pq_column_reader *column, struct mrd_buf *table,
                                         struct mrd_error *err)
{
    const struct mrd_pq_chunk *chunk = column->chunk;
    const uint64_t end = chunk->offset + chunk->size;
    uint64_t entries = 0;
    uint64_t row = 0;
    for (uint64_t at = chunk->offset; at < end && entries < chunk->entries;) {
        struct mrd_pq_page_header header;
        size_t header_size;
        MRD_TRY(read_header(column, at, end, &header, &header_size, err));
        const uint64_t size = header_size + (uint64_t)header.stored_size;
        if (size > end - at || size > UINT32_MAX) {
            return mrd_fail(err, MRD_E_CORRUPT, "a page goes beyond its column chunk");
        }
        if (header.type == MRD_PQ_DICTIONARY_PAGE) {
            column->dictionary_offset = at;
            column->dictionary_size = (uint32_t)size;
        } else {
            MRD_TRY(add_page(column, table, &header, at, (uint32_t)size, &row, err));
            entries += header.entries;
        }
        at += size;
    }
    if (entries != chunk->entries) {
        return mrd_fail(err, MRD_E_CORRUPT, "pages of %llu entries in a column chunk of %llu",
                        (unsigned long long)entries, (unsigned long long)chunk->entries);
    }
    return MRD_OK;
}

static enum mrd_status list_pages(struct mrd_pq_column_reader *column, struct mrd_error *err)
{
    if (column->chunk->offset_index_offset != 0 && column->chunk->offset_index_size != 0) {
        return list_from_index(column, err);
    }
    mrd_auto(mrd_buf_fini)
    struct mrd_buf table;
    mrd_buf_init(&table, mrd_arena_limit(column->arena));
    MRD_TRY(list_from_headers(column, &table, err));
    const struct mrd_bytes pages = mrd_arena_copy(column->arena, mrd_buf_view(&table));
    if (pages.data == NULL) {
        return mrd_arena_fail(column->arena, err);
    }
    union {
        const uint8_t *bytes;
        struct mrd_pq_page_location *pages;
    } place = {pages.data}; /* the arena's memory, and aligned */
    column->pages = place.pages;
    column->page_count = pages.size / sizeof(column->pages[0]);
    return MRD_OK;
}

/* ---- columns ---- */

enum mrd_status mrd_pq_column_open(const struct mrd_pq_file *file, size_t row_group, size_t leaf,
                                   size_t limit_bytes, struct mrd_pq_column_reader **out_column,
                                   struct mrd_error *err)
{
    mrd_assert(row_group < file->footer->row_group_count && leaf < file->footer->leaf_count);
    mrd_auto(mrd_pq_column_close)
    struct mrd_pq_column_reader *column = calloc(1, sizeof(*column));
    mrd_assert(column != NULL);
    column->file = file;
    column->leaf = &file->footer->leaves[leaf];
    column->chunk = &file->footer->row_groups[row_group].chunks[leaf];
    column->rows = file->footer->row_groups[row_group].rows;
    column->arena = mrd_arena_create("parquet page index", limit_bytes);
    column->decoder = mrd_pq_decoder_create(limit_bytes);
    mrd_buf_init(&column->bytes, limit_bytes);
    const struct mrd_pq_page_format format = {column->leaf->type,    column->leaf->fixed_size,
                                              column->leaf->def_max, column->leaf->rep_max,
                                              column->chunk->codec,  false};
    enum mrd_status status = mrd_pq_decoder_begin(column->decoder, &format, err);
    status = status != MRD_OK ? status : list_pages(column, err);
    if (status != MRD_OK) {
        return mrd_fail_prefix(err, status, "column %.*s", MRD_FMT(column->leaf->path));
    }
    *out_column = MRD_MOVE(column);
    return MRD_OK;
}

void mrd_pq_column_close(struct mrd_pq_column_reader **column)
{
    if (*column != NULL) {
        mrd_arena_destroy(&(*column)->arena);
        mrd_pq_decoder_destroy(&(*column)->decoder);
        mrd_buf_fini(&(*column)->bytes);
        free(*column);
        *column = NULL;
    }
}

const struct mrd_pq_page_location *mrd_pq_column_pages(const struct mrd_pq_column_reader *column,
                                                       size_t *out_count)
{
    *out_count = column->page_count;
    return column->pages;
}

enum mrd_status mrd_pq_column_bounds(struct mrd_pq_column_reader *column,
                                     const struct mrd_pq_page_bounds **out_bounds,
                                     struct mrd_error *err)
{
    const struct mrd_pq_chunk *chunk = column->chunk;
    if (column->bounds == NULL && chunk->column_index_offset != 0 &&
        chunk->column_index_size != 0) {
        MRD_TRY(read_range(&column->file->source, chunk->column_index_offset,
                           chunk->column_index_size, &column->bytes, err));
        MRD_TRY(mrd_pq_column_index_read(mrd_buf_view(&column->bytes), column->leaf,
                                         column->page_count, column->arena, &column->bounds, err));
    }
    *out_bounds = column->bounds;
    return MRD_OK;
}

static enum mrd_status read_dictionary(struct mrd_pq_column_reader *column, struct mrd_error *err)
{
    if (column->dictionary_read || column->dictionary_size == 0) {
        return MRD_OK;
    }
    MRD_TRY(read_range(&column->file->source, column->dictionary_offset, column->dictionary_size,
                       &column->bytes, err));
    MRD_TRY(mrd_pq_decoder_dictionary(column->decoder, mrd_buf_view(&column->bytes), err));
    column->dictionary_read = true;
    return MRD_OK;
}

static enum mrd_status read_page(struct mrd_pq_column_reader *column,
                                 const struct mrd_pq_page_location *page,
                                 struct mrd_pq_batch *out_batch, struct mrd_error *err)
{
    struct mrd_pq_batch batch;
    MRD_TRY(read_dictionary(column, err));
    MRD_TRY(read_range(&column->file->source, page->offset, page->size, &column->bytes, err));
    MRD_TRY(mrd_pq_decoder_page(column->decoder, mrd_buf_view(&column->bytes), &batch, err));
    if (page->rows_known && mrd_pq_batch_rows(&batch) != page->rows) {
        return mrd_fail(err, MRD_E_CORRUPT, "%zu rows in a page of %llu", mrd_pq_batch_rows(&batch),
                        (unsigned long long)page->rows);
    }
    const bool first = page == &column->pages[0];
    if (first && batch.rep != NULL && batch.entries > 0 && batch.rep[0] != 0) {
        return mrd_fail(err, MRD_E_CORRUPT, "the column chunk does not begin with a row");
    }
    *out_batch = batch;
    return MRD_OK;
}

enum mrd_status mrd_pq_column_read(struct mrd_pq_column_reader *column, size_t page,
                                   struct mrd_pq_batch *out_batch, struct mrd_error *err)
{
    mrd_assert(page < column->page_count);
    const enum mrd_status status = read_page(column, &column->pages[page], out_batch, err);
    return status == MRD_OK ? MRD_OK
                            : mrd_fail_prefix(err, status, "column %.*s, page at %llu",
                                              MRD_FMT(column->leaf->path),
                                              (unsigned long long)column->pages[page].offset);
}
