#include "parquet/thrift.h"

/* ---- writing ---- */

static void put_header(struct mrd_thrift_writer *w, int16_t id, enum mrd_thrift_type type)
{
    mrd_assert(w->depth > 0);
    int16_t *last = &w->last_id[w->depth - 1];
    const int delta = id - *last;
    mrd_assert(delta > 0);
    if (delta <= 15) {
        mrd_buf_append_u8(w->out, (uint8_t)(delta << 4 | (int)type));
    } else {
        mrd_buf_append_u8(w->out, (uint8_t)type);
        mrd_buf_append_zigzag(w->out, id);
    }
    *last = id;
}

void mrd_thrift_put_bool(struct mrd_thrift_writer *w, int16_t id, bool value)
{
    put_header(w, id, value ? MRD_THRIFT_TRUE : MRD_THRIFT_FALSE);
}

void mrd_thrift_put_i16(struct mrd_thrift_writer *w, int16_t id, int16_t value)
{
    put_header(w, id, MRD_THRIFT_I16);
    mrd_buf_append_zigzag(w->out, value);
}

void mrd_thrift_put_i32(struct mrd_thrift_writer *w, int16_t id, int32_t value)
{
    put_header(w, id, MRD_THRIFT_I32);
    mrd_buf_append_zigzag(w->out, value);
}

void mrd_thrift_put_i64(struct mrd_thrift_writer *w, int16_t id, int64_t value)
{
    put_header(w, id, MRD_THRIFT_I64);
    mrd_buf_append_zigzag(w->out, value);
}

void mrd_thrift_put_binary(struct mrd_thrift_writer *w, int16_t id, struct mrd_bytes value)
{
    put_header(w, id, MRD_THRIFT_BINARY);
    mrd_thrift_element_binary(w, value);
}

void mrd_thrift_put_struct(struct mrd_thrift_writer *w, int16_t id)
{
    put_header(w, id, MRD_THRIFT_STRUCT);
    mrd_thrift_begin(w);
}

void mrd_thrift_put_list(struct mrd_thrift_writer *w, int16_t id, enum mrd_thrift_type element,
                         size_t count)
{
    put_header(w, id, MRD_THRIFT_LIST);
    if (count < 15) {
        mrd_buf_append_u8(w->out, (uint8_t)(count << 4 | (size_t)element));
    } else {
        mrd_buf_append_u8(w->out, (uint8_t)(0xf0 | (unsigned)element));
        mrd_buf_append_varint(w->out, count);
    }
}

void mrd_thrift_element_binary(struct mrd_thrift_writer *w, struct mrd_bytes value)
{
    mrd_buf_append_varint(w->out, value.size);
    mrd_buf_append_bytes(w->out, value);
}

void mrd_thrift_element_int(struct mrd_thrift_writer *w, int64_t value)
{
    mrd_buf_append_zigzag(w->out, value);
}

void mrd_thrift_element_bool(struct mrd_thrift_writer *w, bool value)
{
    mrd_buf_append_u8(w->out, value ? MRD_THRIFT_TRUE : MRD_THRIFT_FALSE);
}

void mrd_thrift_begin(struct mrd_thrift_writer *w)
{
    mrd_assert(w->depth < MRD_THRIFT_DEPTH_MAX);
    w->last_id[w->depth++] = 0;
}

void mrd_thrift_end(struct mrd_thrift_writer *w)
{
    mrd_assert(w->depth > 0);
    w->depth--;
    mrd_buf_append_u8(w->out, MRD_THRIFT_STOP);
}

/* ---- reading ---- */

struct mrd_thrift_reader mrd_thrift_reader_of(struct mrd_bytes bytes)
{
    return (struct mrd_thrift_reader){mrd_reader_of(bytes), 0};
}

bool mrd_thrift_next(struct mrd_thrift_reader *r, struct mrd_thrift_field *field)
{
    const uint8_t byte = mrd_read_u8(&r->in);
    const unsigned type = byte & 0x0f;
    if (r->in.failed || byte == MRD_THRIFT_STOP) {
        return false;
    }
    const int64_t id = byte >> 4 != 0 ? field->id + (byte >> 4) : mrd_read_zigzag(&r->in);
    if (r->in.failed || type == MRD_THRIFT_STOP || type > MRD_THRIFT_STRUCT || id < INT16_MIN ||
        id > INT16_MAX) {
        return mrd_reader_fail(&r->in);
    }
    *field = (struct mrd_thrift_field){(int16_t)id, (enum mrd_thrift_type)type};
    return true;
}

bool mrd_thrift_get_bool(struct mrd_thrift_reader *r, const struct mrd_thrift_field *field)
{
    if (field->type != MRD_THRIFT_TRUE && field->type != MRD_THRIFT_FALSE) {
        return mrd_reader_fail(&r->in);
    }
    return field->type == MRD_THRIFT_TRUE;
}

int64_t mrd_thrift_get_i64(struct mrd_thrift_reader *r, const struct mrd_thrift_field *field)
{
    if (field->type == MRD_THRIFT_I8) {
        return (int8_t)mrd_read_u8(&r->in);
    }
    if (field->type != MRD_THRIFT_I16 && field->type != MRD_THRIFT_I32 &&
        field->type != MRD_THRIFT_I64) {
        mrd_reader_fail(&r->in);
        return 0;
    }
    return mrd_read_zigzag(&r->in);
}

int32_t mrd_thrift_get_i32(struct mrd_thrift_reader *r, const struct mrd_thrift_field *field)
{
    const int64_t value = mrd_thrift_get_i64(r, field);
    if (value < INT32_MIN || value > INT32_MAX) {
        mrd_reader_fail(&r->in);
        return 0;
    }
    return (int32_t)value;
}

struct mrd_bytes mrd_thrift_get_binary(struct mrd_thrift_reader *r,
                                       const struct mrd_thrift_field *field)
{
    if (field->type != MRD_THRIFT_BINARY) {
        mrd_reader_fail(&r->in);
        return MRD_BYTES_NONE;
    }
    return mrd_read_bytes(&r->in, mrd_read_varint(&r->in));
}

/* The header of a list or set: the type goes to *out_type. */
static size_t read_list(struct mrd_thrift_reader *r, unsigned *out_type)
{
    const uint8_t byte = mrd_read_u8(&r->in);
    uint64_t count = byte >> 4;
    if (count == 15) {
        count = mrd_read_varint(&r->in);
    }
    *out_type = byte & 0x0f;
    /* Every element takes a byte at least. */
    if (count > mrd_reader_left(&r->in) || *out_type > MRD_THRIFT_STRUCT) {
        mrd_reader_fail(&r->in);
        return 0;
    }
    return (size_t)count;
}

size_t mrd_thrift_get_list(struct mrd_thrift_reader *r, const struct mrd_thrift_field *field,
                           enum mrd_thrift_type element)
{
    if (field->type != MRD_THRIFT_LIST) {
        mrd_reader_fail(&r->in);
        return 0;
    }
    unsigned type;
    const size_t count = read_list(r, &type);
    const bool same = element == MRD_THRIFT_TRUE
                          ? type == MRD_THRIFT_TRUE || type == MRD_THRIFT_FALSE
                          : type == (unsigned)element;
    if (count > 0 && !same) {
        mrd_reader_fail(&r->in);
        return 0;
    }
    return count;
}

bool mrd_thrift_element_is_true(struct mrd_thrift_reader *r)
{
    return mrd_read_u8(&r->in) == MRD_THRIFT_TRUE;
}

void mrd_thrift_enter(struct mrd_thrift_reader *r)
{
    if (++r->depth > MRD_THRIFT_DEPTH_MAX) {
        mrd_reader_fail(&r->in);
    }
}

void mrd_thrift_enter_field(struct mrd_thrift_reader *r, const struct mrd_thrift_field *field)
{
    if (field->type != MRD_THRIFT_STRUCT) {
        mrd_reader_fail(&r->in);
    }
    mrd_thrift_enter(r);
}

void mrd_thrift_leave(struct mrd_thrift_reader *r)
{
    mrd_assert(r->depth > 0);
    r->depth--;
}

static void skip_value(struct mrd_thrift_reader *r, unsigned type, bool in_list);

static void skip_struct(struct mrd_thrift_reader *r)
{
    mrd_thrift_enter(r);
    struct mrd_thrift_field field = {0};
    while (mrd_thrift_next(r, &field)) {
        skip_value(r, field.type, false);
    }
    mrd_thrift_leave(r);
}

static void skip_list(struct mrd_thrift_reader *r)
{
    mrd_thrift_enter(r);
    unsigned type;
    const size_t count = read_list(r, &type);
    for (size_t i = 0; i < count && !r->in.failed; i++) {
        skip_value(r, type, true);
    }
    mrd_thrift_leave(r);
}

static void skip_map(struct mrd_thrift_reader *r)
{
    const uint64_t count = mrd_read_varint(&r->in);
    if (count == 0) {
        return;
    }
    mrd_thrift_enter(r);
    const uint8_t types = mrd_read_u8(&r->in);
    for (uint64_t i = 0; i < count && !r->in.failed; i++) {
        skip_value(r, types >> 4, true);
        skip_value(r, types & 0x0f, true);
    }
    mrd_thrift_leave(r);
}

static void skip_value(struct mrd_thrift_reader *r, unsigned type, bool in_list)
{
    switch (type) {
    case MRD_THRIFT_TRUE:
    case MRD_THRIFT_FALSE: /* a field's boolean is in its header */
        (void)(in_list ? mrd_read_u8(&r->in) : 0);
        break;
    case MRD_THRIFT_I8:
        (void)mrd_read_u8(&r->in);
        break;
    case MRD_THRIFT_I16:
    case MRD_THRIFT_I32:
    case MRD_THRIFT_I64:
        (void)mrd_read_varint(&r->in);
        break;
    case MRD_THRIFT_DOUBLE:
        (void)mrd_read_u64(&r->in);
        break;
    case MRD_THRIFT_BINARY:
        (void)mrd_read_bytes(&r->in, mrd_read_varint(&r->in));
        break;
    case MRD_THRIFT_LIST:
    case MRD_THRIFT_SET:
        skip_list(r);
        break;
    case MRD_THRIFT_MAP:
        skip_map(r);
        break;
    case MRD_THRIFT_STRUCT:
        skip_struct(r);
        break;
    default:
        mrd_reader_fail(&r->in);
    }
}

void mrd_thrift_skip(struct mrd_thrift_reader *r, const struct mrd_thrift_field *field)
{
    skip_value(r, field->type, false);
}
