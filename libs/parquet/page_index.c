#include "parquet/footer.h"
#include "parquet/thrift.h"

static enum mrd_status corrupt(struct mrd_error *err, const char *what)
{
    return mrd_fail(err, MRD_E_CORRUPT, "page index: %s", what);
}

/* ---- offset index ---- */

static struct mrd_pq_page_location read_location(struct mrd_thrift_reader *r)
{
    struct mrd_pq_page_location page = {.rows_known = true};
    int64_t offset = -1;
    int64_t first_row = -1;
    int32_t size = -1;
    struct mrd_thrift_field field = {0};
    mrd_thrift_enter(r);
    while (mrd_thrift_next(r, &field)) {
        if (field.id == 1) {
            offset = mrd_thrift_get_i64(r, &field);
        } else if (field.id == 2) {
            size = mrd_thrift_get_i32(r, &field);
        } else if (field.id == 3) {
            first_row = mrd_thrift_get_i64(r, &field);
        } else {
            mrd_thrift_skip(r, &field);
        }
    }
    mrd_thrift_leave(r);
    if (offset < 0 || size < 0 || first_row < 0) {
        mrd_reader_fail(&r->in);
        return page;
    }
    page.offset = (uint64_t)offset;
    page.size = (uint32_t)size;
    page.first_row = (uint64_t)first_row;
    return page;
}

/* Also fills the number of rows, which is the distance to the next page. */
static enum mrd_status check_locations(struct mrd_pq_page_location *pages, size_t count,
                                       const struct mrd_pq_chunk *chunk, uint64_t rows,
                                       struct mrd_error *err)
{
    const uint64_t end = chunk->offset + chunk->size;
    uint64_t at = chunk->data_offset;
    for (size_t i = 0; i < count; i++) {
        const uint64_t next_row = i + 1 < count ? pages[i + 1].first_row : rows;
        if (pages[i].offset < at || pages[i].offset > end ||
            pages[i].size > end - pages[i].offset) {
            return corrupt(err, "a page is outside its column chunk");
        }
        if (pages[i].first_row > next_row || (i == 0 && pages[i].first_row != 0)) {
            return corrupt(err, "the rows of pages do not rise to those of the row group");
        }
        at = pages[i].offset + pages[i].size;
        pages[i].rows = next_row - pages[i].first_row;
    }
    return count > 0 || rows == 0 ? MRD_OK : corrupt(err, "no pages");
}

enum mrd_status mrd_pq_offset_index_read(struct mrd_bytes bytes, const struct mrd_pq_chunk *chunk,
                                         uint64_t rows, struct mrd_arena *arena,
                                         struct mrd_pq_page_location **out_pages, size_t *out_count,
                                         struct mrd_error *err)
{
    struct mrd_thrift_reader r = mrd_thrift_reader_of(bytes);
    struct mrd_pq_page_location *pages = NULL;
    size_t count = 0;
    struct mrd_thrift_field field = {0};
    while (mrd_thrift_next(&r, &field)) {
        if (field.id != 1) {
            mrd_thrift_skip(&r, &field);
            continue;
        }
        count = mrd_thrift_get_list(&r, &field, MRD_THRIFT_STRUCT);
        pages = mrd_arena_alloc(arena, (count + 1) * sizeof(pages[0]));
        if (pages == NULL) {
            return mrd_arena_fail(arena, err);
        }
        for (size_t i = 0; i < count && !r.in.failed; i++) {
            pages[i] = read_location(&r);
        }
    }
    if (r.in.failed || pages == NULL) {
        return corrupt(err, "the offset index is not in Thrift's compact protocol");
    }
    MRD_TRY(check_locations(pages, count, chunk, rows, err));
    *out_pages = pages;
    *out_count = count;
    return MRD_OK;
}

/* ---- column index ---- */

/* One list of the index; a count other than that of the pages is a fault. */
static void read_bounds_list(struct mrd_thrift_reader *r, const struct mrd_thrift_field *field,
                             struct mrd_pq_page_bounds *bounds, size_t count)
{
    const enum mrd_thrift_type element = field->id == 1   ? MRD_THRIFT_TRUE
                                         : field->id == 5 ? MRD_THRIFT_I64
                                                          : MRD_THRIFT_BINARY;
    if (mrd_thrift_get_list(r, field, element) != count) {
        mrd_reader_fail(&r->in);
        return;
    }
    for (size_t i = 0; i < count && !r->in.failed; i++) {
        if (field->id == 1) {
            bounds[i].all_null = mrd_thrift_element_is_true(r);
        } else if (field->id == 5) {
            const int64_t nulls = mrd_read_zigzag(&r->in);
            bounds[i].has_nulls = nulls >= 0;
            bounds[i].nulls = nulls >= 0 ? (uint64_t)nulls : 0;
        } else {
            struct mrd_bytes *bound = field->id == 2 ? &bounds[i].min : &bounds[i].max;
            *bound = mrd_read_bytes(&r->in, mrd_read_varint(&r->in));
        }
    }
}

static bool bounds_fit(const struct mrd_pq_page_bounds *bounds, size_t count,
                       const struct mrd_pq_leaf *leaf)
{
    const size_t size = mrd_pq_value_size(leaf->type, leaf->fixed_size);
    if (leaf->type == MRD_PQ_BYTE_ARRAY || leaf->type == MRD_PQ_FIXED) {
        return true;
    }
    for (size_t i = 0; i < count; i++) {
        if (!bounds[i].all_null && (bounds[i].min.size != size || bounds[i].max.size != size)) {
            return false;
        }
    }
    return true;
}

enum mrd_status mrd_pq_column_index_read(struct mrd_bytes bytes, const struct mrd_pq_leaf *leaf,
                                         size_t page_count, struct mrd_arena *arena,
                                         struct mrd_pq_page_bounds **out_bounds,
                                         struct mrd_error *err)
{
    const struct mrd_bytes copy = mrd_arena_copy(arena, bytes);
    struct mrd_pq_page_bounds *bounds = NULL;
    if (copy.data == NULL || page_count > copy.size ||
        (bounds = mrd_arena_alloc(arena, (page_count + 1) * sizeof(bounds[0]))) == NULL) {
        return copy.data != NULL && page_count > copy.size
                   ? corrupt(err, "the column index has fewer pages than the chunk")
                   : mrd_arena_fail(arena, err);
    }
    struct mrd_thrift_reader r = mrd_thrift_reader_of(copy);
    unsigned seen = 0;
    struct mrd_thrift_field field = {0};
    while (mrd_thrift_next(&r, &field)) {
        if (field.id == 1 || field.id == 2 || field.id == 3 || field.id == 5) {
            read_bounds_list(&r, &field, bounds, page_count);
            seen |= 1U << field.id;
        } else {
            mrd_thrift_skip(&r, &field);
        }
    }
    if (r.in.failed || (seen & 0xe) != 0xe || !bounds_fit(bounds, page_count, leaf)) {
        return corrupt(err, "the column index does not fit its chunk");
    }
    *out_bounds = bounds;
    return MRD_OK;
}
