/* protobuf_write_internal.h: fields of protobuf's wire format, appended to a buffer. */
#ifndef MRD_WIRE_PROTOBUF_WRITE_INTERNAL_H
#define MRD_WIRE_PROTOBUF_WRITE_INTERNAL_H

#include "wire/protobuf_internal.h"

static inline size_t mrd_pb_varint_size(uint64_t value)
{
    uint8_t bytes[MRD_VARINT_SIZE_MAX];
    return mrd_varint_put(bytes, value);
}

/* Tag and size of a field of bytes. */
static inline void mrd_pb_head_append(unsigned field, size_t size, struct mrd_buf *out)
{
    mrd_buf_append_varint(out, MRD_PB_TAG(field, MRD_PB_BYTES));
    mrd_buf_append_varint(out, size);
}

static inline void mrd_pb_bytes_append(unsigned field, struct mrd_bytes bytes, struct mrd_buf *out)
{
    mrd_pb_head_append(field, bytes.size, out);
    mrd_buf_append_bytes(out, bytes);
}

static inline void mrd_pb_varint_append(unsigned field, uint64_t value, struct mrd_buf *out)
{
    mrd_buf_append_varint(out, MRD_PB_TAG(field, MRD_PB_VARINT));
    mrd_buf_append_varint(out, value);
}

static inline void mrd_pb_double_append(unsigned field, double value, struct mrd_buf *out)
{
    mrd_buf_append_varint(out, MRD_PB_TAG(field, MRD_PB_FIXED64));
    mrd_buf_append_u64(out, mrd_double_bits(value));
}

#endif
