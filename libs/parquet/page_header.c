#include "parquet/page_header.h"

#include "parquet/thrift.h"

/* An integer that must not be negative. */
static uint32_t get_size(struct mrd_thrift_reader *r, const struct mrd_thrift_field *field)
{
    const int32_t value = mrd_thrift_get_i32(r, field);
    if (value < 0) {
        mrd_reader_fail(&r->in);
        return 0;
    }
    return (uint32_t)value;
}

static void read_data_page(struct mrd_thrift_reader *r, struct mrd_pq_page_header *header)
{
    struct mrd_thrift_field field = {0};
    while (mrd_thrift_next(r, &field)) {
        switch (field.id) {
        case 1:
            header->entries = get_size(r, &field);
            break;
        case 2:
            header->encoding = get_size(r, &field);
            break;
        case 3:
            header->def_encoding = get_size(r, &field);
            break;
        case 4:
            header->rep_encoding = get_size(r, &field);
            break;
        default:
            mrd_thrift_skip(r, &field);
        }
    }
}

static void read_dictionary_page(struct mrd_thrift_reader *r, struct mrd_pq_page_header *header)
{
    struct mrd_thrift_field field = {0};
    while (mrd_thrift_next(r, &field)) {
        if (field.id == 1) {
            header->entries = get_size(r, &field);
        } else if (field.id == 2) {
            header->encoding = get_size(r, &field);
        } else {
            mrd_thrift_skip(r, &field);
        }
    }
}

static void read_data_page_v2(struct mrd_thrift_reader *r, struct mrd_pq_page_header *header)
{
    uint32_t *const numbers[] = {
        [1] = &header->entries,  [2] = &header->nulls,    [3] = &header->rows,
        [4] = &header->encoding, [5] = &header->def_size, [6] = &header->rep_size,
    };
    header->is_compressed = true;
    struct mrd_thrift_field field = {0};
    while (mrd_thrift_next(r, &field)) {
        if (field.id >= 1 && field.id <= 6) {
            *numbers[field.id] = get_size(r, &field);
        } else if (field.id == 7) {
            header->is_compressed = mrd_thrift_get_bool(r, &field);
        } else {
            mrd_thrift_skip(r, &field);
        }
    }
}

/* The struct that goes with a type of page; returns false for fields that are none of these. */
static bool read_part(struct mrd_thrift_reader *r, const struct mrd_thrift_field *field,
                      struct mrd_pq_page_header *header)
{
    static void (*const readers[])(struct mrd_thrift_reader *, struct mrd_pq_page_header *) = {
        [5] = read_data_page, [7] = read_dictionary_page, [8] = read_data_page_v2};
    if (field->id < 5 || field->id > 8 || readers[field->id] == NULL) {
        return false;
    }
    mrd_thrift_enter_field(r, field);
    readers[field->id](r, header);
    mrd_thrift_leave(r);
    return true;
}

static unsigned read_fields(struct mrd_thrift_reader *r, struct mrd_pq_page_header *header)
{
    unsigned seen = 0;
    struct mrd_thrift_field field = {0};
    while (mrd_thrift_next(r, &field)) {
        if (field.id >= 1 && field.id <= 8) {
            seen |= 1U << field.id;
        }
        if (field.id == 1) {
            header->type = mrd_thrift_get_i32(r, &field);
        } else if (field.id == 2) {
            header->plain_size = get_size(r, &field);
        } else if (field.id == 3) {
            header->stored_size = get_size(r, &field);
        } else if (field.id == 4) {
            header->crc = (uint32_t)mrd_thrift_get_i32(r, &field);
            header->has_crc = true;
        } else if (!read_part(r, &field, header)) {
            mrd_thrift_skip(r, &field);
        }
    }
    return seen;
}

static bool is_whole(const struct mrd_pq_page_header *header, unsigned seen)
{
    static const unsigned parts[] = {[MRD_PQ_DATA_PAGE] = 1U << 5,
                                     [MRD_PQ_DICTIONARY_PAGE] = 1U << 7,
                                     [MRD_PQ_DATA_PAGE_V2] = 1U << 8};
    const unsigned needed = 1U << 1 | 1U << 2 | 1U << 3;
    if ((seen & needed) != needed || header->type < 0 ||
        (size_t)header->type >= MRD_ARRAY_LEN(parts) || parts[header->type] == 0 ||
        (seen & parts[header->type]) == 0) {
        return false;
    }
    const uint64_t levels = (uint64_t)header->def_size + header->rep_size;
    return header->type != MRD_PQ_DATA_PAGE_V2 ||
           (levels <= header->plain_size && levels <= header->stored_size &&
            header->nulls <= header->entries && header->rows <= header->entries);
}

enum mrd_status mrd_pq_page_header_read(struct mrd_bytes bytes, struct mrd_pq_page_header *out,
                                        size_t *out_size, struct mrd_error *err)
{
    struct mrd_thrift_reader r = mrd_thrift_reader_of(bytes);
    struct mrd_pq_page_header header = {0};
    const unsigned seen = read_fields(&r, &header);
    if (r.in.failed || !is_whole(&header, seen)) {
        return mrd_fail(err, MRD_E_CORRUPT, "no page header in %zu bytes", bytes.size);
    }
    *out = header;
    *out_size = (size_t)(r.in.at - bytes.data);
    return MRD_OK;
}

static void write_part(struct mrd_thrift_writer *w, const struct mrd_pq_page_header *header)
{
    if (header->type == MRD_PQ_DATA_PAGE) {
        mrd_thrift_put_struct(w, 5);
        mrd_thrift_put_i32(w, 1, (int32_t)header->entries);
        mrd_thrift_put_i32(w, 2, (int32_t)header->encoding);
        mrd_thrift_put_i32(w, 3, MRD_PQ_RLE);
        mrd_thrift_put_i32(w, 4, MRD_PQ_RLE);
    } else if (header->type == MRD_PQ_DICTIONARY_PAGE) {
        mrd_thrift_put_struct(w, 7);
        mrd_thrift_put_i32(w, 1, (int32_t)header->entries);
        mrd_thrift_put_i32(w, 2, (int32_t)header->encoding);
    } else {
        mrd_thrift_put_struct(w, 8);
        mrd_thrift_put_i32(w, 1, (int32_t)header->entries);
        mrd_thrift_put_i32(w, 2, (int32_t)header->nulls);
        mrd_thrift_put_i32(w, 3, (int32_t)header->rows);
        mrd_thrift_put_i32(w, 4, (int32_t)header->encoding);
        mrd_thrift_put_i32(w, 5, (int32_t)header->def_size);
        mrd_thrift_put_i32(w, 6, (int32_t)header->rep_size);
        mrd_thrift_put_bool(w, 7, header->is_compressed);
    }
    mrd_thrift_end(w);
}

void mrd_pq_page_header_write(const struct mrd_pq_page_header *header, struct mrd_buf *out)
{
    struct mrd_thrift_writer w = {.out = out};
    mrd_thrift_begin(&w);
    mrd_thrift_put_i32(&w, 1, header->type);
    mrd_thrift_put_i32(&w, 2, (int32_t)header->plain_size);
    mrd_thrift_put_i32(&w, 3, (int32_t)header->stored_size);
    if (header->has_crc) {
        mrd_thrift_put_i32(&w, 4, (int32_t)header->crc);
    }
    write_part(&w, header);
    mrd_thrift_end(&w);
}
