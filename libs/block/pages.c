#include "block/pages_internal.h"

#include <stdlib.h>

#include "block/writer.h"

static const struct mrd_pq_page_format formats[MBX_LEAF_COUNT] = {
    [MBX_TS] = {.type = MRD_PQ_INT64, .codec = MRD_PQ_ZSTD},
    [MBX_VALUE] = { .type = MRD_PQ_DOUBLE,        .def_max = 1, .codec = MRD_PQ_ZSTD},
    [MBX_ST] = { .type = MRD_PQ_INT64,        .def_max = 1, .codec = MRD_PQ_ZSTD},
    [MBX_HISTOGRAM] = { .type = MRD_PQ_BYTE_ARRAY,        .def_max = 1, .codec = MRD_PQ_ZSTD},
    [MBX_VALUE_I] = { .type = MRD_PQ_INT64,        .def_max = 1, .codec = MRD_PQ_ZSTD},
    [MBX_HLC] = { .type = MRD_PQ_INT64,        .def_max = 1, .codec = MRD_PQ_ZSTD},
};

static struct mrd_pq_page_format format_of(const struct mrd_block *block, enum mbx_leaf leaf)
{
    if (block->entry.resolution_ms == 0 || leaf == MBX_TS) {
        return formats[leaf];
    }
    if ((int)leaf == MBX_STATE) {
        return formats[MBX_HISTOGRAM];
    }
    const enum mrd_rollup_column column = (enum mrd_rollup_column)(leaf - MBX_ROW);
    return (struct mrd_pq_page_format){
        .type = mrd_rollup_column_is_real(column) ? MRD_PQ_DOUBLE : MRD_PQ_INT64,
        .def_max = column != MRD_ROW_COUNT,
        .codec = MRD_PQ_ZSTD,
    };
}

/* What decoding one page may take: 8,192 rows, or a chunk of the largest histograms. */
enum { DECODE_BYTES_MAX = 256 << 20 };

void mbx_pages_init(struct mbx_pages *pages, const struct mrd_block *block)
{
    *pages = (struct mbx_pages){.block = block};
    mbx_pages_part(pages, NULL);
}

void mbx_pages_fini(struct mbx_pages *pages)
{
    for (unsigned i = 0; i < MBX_LEAVES_MAX; i++) {
        mrd_pq_decoder_destroy(&pages->columns[i].decoder);
    }
    mbx_stamps_fini(&pages->stamps);
    mrd_buf_fini(&pages->wanted);
    free(pages->bytes);
}

void mbx_pages_part(struct mbx_pages *pages, const struct mbx_part *part)
{
    pages->part = part;
    pages->span = -1;
    for (unsigned i = 0; i < MBX_LEAVES_MAX; i++) {
        pages->columns[i].page = -1;
    }
    mbx_pages_clear(pages);
}

void mbx_pages_clear(struct mbx_pages *pages)
{
    mrd_buf_clear(&pages->wanted);
    pages->wanted_bytes = 0;
    for (unsigned i = 0; i < MBX_LEAVES_MAX; i++) {
        pages->columns[i].wanted = -1;
    }
}

uint64_t mbx_pages_cost(const struct mbx_pages *pages, enum mbx_leaf leaf, uint32_t page)
{
    const struct mbx_column *column = &pages->columns[leaf];
    /* The page that is decoded is there as long as no other has been wanted, which would take its place. */
    const bool here =
        column->wanted == (int64_t)page || (column->wanted < 0 && column->page == (int64_t)page);
    return here ? 0 : pages->part->pages[page].leaves[leaf].size;
}

void mbx_pages_want(struct mbx_pages *pages, enum mbx_leaf leaf, uint32_t page)
{
    const struct mbx_page_at *at = &pages->part->pages[page].leaves[leaf];
    if (mbx_pages_cost(pages, leaf, page) == 0) {
        return;
    }
    const struct mbx_wanted wanted = {
        .offset = at->offset, .size = at->size, .page = page, .leaf = (uint8_t)leaf};
    mrd_buf_append(&pages->wanted, &wanted, sizeof(wanted));
    pages->wanted_bytes += at->size;
    pages->columns[leaf].wanted = page;
}

static struct mbx_wanted *wanted_of(const struct mbx_pages *pages, size_t *out_count)
{
    *out_count = pages->wanted.size / sizeof(struct mbx_wanted);
    return (struct mbx_wanted *)(void *)pages->wanted.data;
}

/* By offset, and as a broken sidecar may have two pages there, by column and page. */
static int compare_wanted(const void *a, const void *b)
{
    const struct mbx_wanted *left = a;
    const struct mbx_wanted *right = b;
    if (left->offset != right->offset) {
        return left->offset < right->offset ? -1 : 1;
    }
    if (left->leaf != right->leaf) {
        return left->leaf < right->leaf ? -1 : 1;
    }
    return left->page < right->page ? -1 : left->page > right->page;
}

/* Pages that lie back to back become one range. */
static size_t make_ranges(struct mbx_pages *pages, struct mrd_objstore_range *ranges)
{
    size_t count;
    struct mbx_wanted *wanted = wanted_of(pages, &count);
    size_t range_count = 0;
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        struct mrd_objstore_range *last = range_count == 0 ? NULL : &ranges[range_count - 1];
        wanted[i].at = at;
        if (last != NULL && last->offset + last->size == wanted[i].offset) {
            last->size += wanted[i].size;
        } else {
            ranges[range_count++] =
                (struct mrd_objstore_range){wanted[i].offset, wanted[i].size, pages->bytes + at};
        }
        at += wanted[i].size;
    }
    return range_count;
}

enum mrd_status mbx_pages_fetch(struct mbx_pages *pages, struct mrd_error *err)
{
    size_t count;
    struct mbx_wanted *wanted = wanted_of(pages, &count);
    if (count == 0) {
        return MRD_OK;
    }
    qsort(wanted, count, sizeof(*wanted), compare_wanted);
    if (pages->bytes_capacity < pages->wanted_bytes) {
        free(pages->bytes);
        pages->bytes = malloc((size_t)pages->wanted_bytes);
        mrd_assert(pages->bytes != NULL);
        pages->bytes_capacity = (size_t)pages->wanted_bytes;
    }
    struct mrd_objstore_range *ranges = calloc(count, sizeof(*ranges));
    mrd_assert(ranges != NULL);
    const size_t range_count = make_ranges(pages, ranges);
    const struct mrd_block *block = pages->block;
    const enum mrd_status status =
        mrd_objstore_read(block->store, block->data_key, ranges, range_count, block->control, err);
    free(ranges);
    pages->stats.ranges += range_count;
    pages->stats.bytes += pages->wanted_bytes;
    if (status != MRD_OK) {
        mbx_pages_clear(pages);
        return mrd_fail_prefix(err, status, "%s", block->data_key);
    }
    return MRD_OK;
}

static const struct mbx_wanted *find_wanted(const struct mbx_pages *pages, enum mbx_leaf leaf,
                                            uint32_t page)
{
    const struct mbx_wanted key = {.offset = pages->part->pages[page].leaves[leaf].offset,
                                   .page = page,
                                   .leaf = (uint8_t)leaf};
    size_t count;
    const struct mbx_wanted *wanted = wanted_of(pages, &count);
    return count == 0 ? NULL : bsearch(&key, wanted, count, sizeof(key), compare_wanted);
}

bool mbx_pages_have(const struct mbx_pages *pages, enum mbx_leaf leaf, uint32_t page)
{
    return pages->part->pages[page].leaves[leaf].size == 0 ||
           find_wanted(pages, leaf, page) != NULL;
}

static enum mrd_status decode(struct mbx_pages *pages, enum mbx_leaf leaf, uint32_t page,
                              struct mrd_error *err)
{
    struct mbx_column *column = &pages->columns[leaf];
    const struct mbx_page *of = &pages->part->pages[page];
    const struct mbx_page_at *at = &of->leaves[leaf];
    const struct mbx_wanted *wanted = find_wanted(pages, leaf, page);
    mrd_assert(wanted != NULL);
    const struct mrd_bytes bytes = {pages->bytes + wanted->at, at->size};
    if (mrd_crc32c(0, bytes) != at->crc32c) {
        return mrd_fail(err, MRD_E_CORRUPT, "the page does not match its CRC in the sidecar");
    }
    if (column->decoder == NULL) {
        column->decoder = mrd_pq_decoder_create(DECODE_BYTES_MAX);
        struct mrd_pq_page_format format = format_of(pages->block, leaf);
        format.checked = true; /* above, header included */
        MRD_TRY(mrd_pq_decoder_begin(column->decoder, &format, err));
    }
    MRD_TRY(mrd_pq_decoder_page(column->decoder, bytes, &column->batch, err));
    if (column->batch.entries != of->rows) {
        return mrd_fail(err, MRD_E_CORRUPT, "the page has %zu rows, the sidecar says %u",
                        column->batch.entries, of->rows);
    }
    pages->stats.pages++;
    return MRD_OK;
}

enum mrd_status mbx_pages_decode(struct mbx_pages *pages, enum mbx_leaf leaf, uint32_t page,
                                 struct mbx_column **out_column, struct mrd_error *err)
{
    struct mbx_column *column = &pages->columns[leaf];
    const struct mbx_page_at *at = &pages->part->pages[page].leaves[leaf];
    if (column->page != (int64_t)page) {
        column->page = -1;
        column->batch = (struct mrd_pq_batch){0};
        const enum mrd_status status = at->size == 0 ? MRD_OK : decode(pages, leaf, page, err);
        if (status != MRD_OK) {
            return mrd_fail_prefix(err, status, "%s, page at %llu", pages->block->data_key,
                                   (unsigned long long)at->offset);
        }
        column->page = page;
        column->row = 0;
        column->value = 0;
    }
    *out_column = column;
    return MRD_OK;
}

static enum mrd_status read_span(struct mbx_pages *pages, const struct mbx_span *span,
                                 struct mrd_error *err)
{
    const struct mrd_block *block = pages->block;
    uint8_t *bytes = malloc(span->size);
    mrd_assert(bytes != NULL);
    const struct mrd_objstore_range range = {span->offset, span->size, bytes};
    enum mrd_status status =
        mrd_objstore_read(block->store, block->data_key, &range, 1, block->control, err);
    pages->stats.ranges++;
    pages->stats.bytes += span->size;
    if (status == MRD_OK) {
        const struct mrd_look look = mrd_objstore_look(block->control);
        status = mbx_stamps_decode(&pages->stamps, span, (struct mrd_bytes){bytes, span->size},
                                   &look, err);
    }
    free(bytes);
    return status == MRD_OK ? MRD_OK : mrd_fail_prefix(err, status, "%s", block->data_key);
}

enum mrd_status mbx_pages_stamps(struct mbx_pages *pages, uint32_t page, struct mrd_error *err)
{
    const uint32_t span = pages->part->pages[page].span;
    if (pages->part->span_count == 0 || pages->span == (int64_t)span) {
        return MRD_OK;
    }
    pages->span = -1;
    MRD_TRY(read_span(pages, &pages->part->spans[span], err));
    pages->span = span;
    return MRD_OK;
}

MRD_SIMD_CLONES static size_t count_known(const uint8_t *def, size_t rows)
{
    size_t known = 0;
    for (size_t i = 0; i < rows; i++) {
        known += def[i];
    }
    return known;
}

size_t mbx_column_seek(struct mbx_column *column, uint32_t row)
{
    if (column->batch.def == NULL) {
        return row;
    }
    mrd_assert(row <= column->batch.entries);
    if (row < column->row) {
        column->row = 0;
        column->value = 0;
    }
    column->value += count_known(column->batch.def + column->row, row - column->row);
    column->row = row;
    return column->value;
}
