/* protobuf_internal.h: a bounded cursor over protobuf's wire format, for messages that are read in place.
 *
 * Works on two pointers, so that the compiler keeps them in registers. Every function returns false at
 * malformed input, and then nothing of its outputs may be used.
 */
#ifndef MRD_WIRE_PROTOBUF_INTERNAL_H
#define MRD_WIRE_PROTOBUF_INTERNAL_H

#include "base/bytes.h"

enum mrd_pb_type {
    MRD_PB_VARINT = 0,
    MRD_PB_FIXED64 = 1,
    MRD_PB_BYTES = 2,
    MRD_PB_FIXED32 = 5,
};

/* The tag of a field as it stands on the wire. */
#define MRD_PB_TAG(field, type) (((field) << 3) | (type))

struct mrd_pb_field {
    uint64_t tag;
    uint64_t scalar;        /* VARINT, FIXED64, FIXED32 */
    struct mrd_bytes bytes; /* BYTES */
};

static inline bool mrd_pb_varint_slow(const uint8_t **at, const uint8_t *end, uint64_t *out)
{
    uint64_t value = 0;
    const uint8_t *p = *at;
    for (unsigned shift = 0; shift < 64 && p != end; shift += 7) {
        const uint8_t byte = *p++;
        if (shift == 63 && byte > 1) {
            return false;
        }
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *at = p;
            *out = value;
            return true;
        }
    }
    return false;
}

static inline bool mrd_pb_varint(const uint8_t **at, const uint8_t *end, uint64_t *out)
{
    const uint8_t *p = *at;
    if (mrd_likely(end - p >= 2)) {
        if (mrd_likely(p[0] < 0x80)) {
            *out = p[0];
            *at = p + 1;
            return true;
        }
        if (mrd_likely(p[1] < 0x80)) {
            *out = (uint64_t)(p[0] & 0x7f) | (uint64_t)p[1] << 7;
            *at = p + 2;
            return true;
        }
    }
    return mrd_pb_varint_slow(at, end, out);
}

/* A length and that many bytes. */
static inline bool mrd_pb_bytes(const uint8_t **at, const uint8_t *end, struct mrd_bytes *out)
{
    uint64_t size;
    if (mrd_unlikely(!mrd_pb_varint(at, end, &size) || size > (uint64_t)(end - *at))) {
        return false;
    }
    *out = (struct mrd_bytes){*at, (size_t)size};
    *at += size;
    return true;
}

/* The next field with its content. Refuses field number 0 (and beyond 2^29), groups and unknown types. */
static inline bool mrd_pb_field_read(const uint8_t **at, const uint8_t *end,
                                     struct mrd_pb_field *out)
{
    if (!mrd_pb_varint(at, end, &out->tag) || out->tag < 8 || out->tag > UINT32_MAX) {
        return false;
    }
    switch (out->tag & 7) {
    case MRD_PB_VARINT:
        return mrd_pb_varint(at, end, &out->scalar);
    case MRD_PB_FIXED64:
        if (end - *at < 8) {
            return false;
        }
        memcpy(&out->scalar, *at, 8);
        *at += 8;
        return true;
    case MRD_PB_BYTES:
        return mrd_pb_bytes(at, end, &out->bytes);
    case MRD_PB_FIXED32: {
        uint32_t value;
        if (end - *at < 4) {
            return false;
        }
        memcpy(&value, *at, 4);
        out->scalar = value;
        *at += 4;
        return true;
    }
    default:
        return false;
    }
}

#endif
