/* bytes.h: borrowed views, owned growing buffers and bounded cursors over bytes.
 *
 * struct mrd_bytes is lent and passed by value. struct mrd_buf owns its memory and has a limit.
 * struct mrd_reader decodes outside bytes field by field and can never leave its view: a read past
 * the end sets `failed`, returns zero, and every later read does the same, so a decoder checks once.
 * Little-endian integers and LEB128 varints as in protobuf ("Encoding" in its documentation).
 */
#ifndef MRD_BASE_BYTES_H
#define MRD_BASE_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"

struct mrd_bytes {
    const uint8_t *data;
    size_t size;
};

/* A view of a C string, of a literal, and of nothing. */
static inline struct mrd_bytes mrd_bytes_of(const char *text)
{
    return (struct mrd_bytes){(const uint8_t *)text, strlen(text)};
}
#define MRD_BYTES(literal) ((struct mrd_bytes){(const uint8_t *)(literal), sizeof(literal) - 1})
#define MRD_BYTES_NONE ((struct mrd_bytes){NULL, 0})

/* For printf's "%.*s". */
#define MRD_FMT(bytes) (int)(bytes).size, (const char *)(bytes).data

static inline bool mrd_bytes_equal(struct mrd_bytes a, struct mrd_bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* The text without spaces and tabs around it. */
struct mrd_bytes mrd_bytes_trim(struct mrd_bytes text);

/* Byte-wise order, shorter first on a common prefix: the order of Go strings. */
static inline int mrd_bytes_compare(struct mrd_bytes a, struct mrd_bytes b)
{
    const size_t size = a.size < b.size ? a.size : b.size;
    const int order = size == 0 ? 0 : memcmp(a.data, b.data, size);
    if (order != 0) {
        return order;
    }
    return a.size < b.size ? -1 : a.size > b.size;
}

/* A copy as a C string, which the caller frees. It ends at the first NUL, if the text has one. */
char *mrd_bytes_text(struct mrd_bytes text);

/* True if bytes are well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool mrd_bytes_utf8_valid(struct mrd_bytes bytes);

/* ---- buffers ---- */

/* Owned, growing bytes. Zero-initialise, or mrd_buf_init for a limit; mrd_buf_fini frees. A failed
 * append (limit) leaves the buffer unchanged and sets `failed`, so a writer may check once. */
struct mrd_buf {
    uint8_t *data;
    size_t size;
    size_t capacity;
    size_t limit; /* 0: no limit */
    bool failed;
};

void mrd_buf_init(struct mrd_buf *buf, size_t limit_bytes);
void mrd_buf_fini(struct mrd_buf *buf);
static inline void mrd_buf_clear(struct mrd_buf *buf)
{
    buf->size = 0;
    buf->failed = false;
}
static inline struct mrd_bytes mrd_buf_view(const struct mrd_buf *buf)
{
    return (struct mrd_bytes){buf->data, buf->size};
}

/* Makes room for size_bytes more and returns where they go, or NULL (limit; `failed` is set). The
 * caller writes there and adds what it wrote to buf->size. */
MRD_MUST_CHECK uint8_t *mrd_buf_reserve(struct mrd_buf *buf, size_t size_bytes);

void mrd_buf_append(struct mrd_buf *buf, const void *data, size_t size_bytes);
void mrd_buf_printf(struct mrd_buf *buf, const char *format, ...) MRD_PRINTF(2, 3);

static inline void mrd_buf_append_bytes(struct mrd_buf *buf, struct mrd_bytes bytes)
{
    mrd_buf_append(buf, bytes.data, bytes.size);
}
static inline void mrd_buf_append_text(struct mrd_buf *buf, const char *text)
{
    mrd_buf_append(buf, text, strlen(text));
}
void mrd_buf_append_u8(struct mrd_buf *buf, uint8_t value);
void mrd_buf_append_u32(struct mrd_buf *buf, uint32_t value);
void mrd_buf_append_u64(struct mrd_buf *buf, uint64_t value);
void mrd_buf_append_varint(struct mrd_buf *buf, uint64_t value);
void mrd_buf_append_zigzag(struct mrd_buf *buf, int64_t value);

/* ---- varints on raw memory ---- */

enum { MRD_VARINT_SIZE_MAX = 10 };

static inline uint64_t mrd_zigzag_encode(int64_t value)
{
    return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}
static inline int64_t mrd_zigzag_decode(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

/* Writes at most MRD_VARINT_SIZE_MAX bytes at `out`; returns how many. */
static inline size_t mrd_varint_put(uint8_t *out, uint64_t value)
{
    size_t size = 0;
    while (value >= 0x80) {
        out[size++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[size++] = (uint8_t)value;
    return size;
}

/* ---- readers ---- */

struct mrd_reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

static inline struct mrd_reader mrd_reader_of(struct mrd_bytes bytes)
{
    return (struct mrd_reader){bytes.data, bytes.size == 0 ? bytes.data : bytes.data + bytes.size,
                               false};
}
static inline size_t mrd_reader_left(const struct mrd_reader *reader)
{
    return (size_t)(reader->end - reader->at);
}
static inline bool mrd_reader_fail(struct mrd_reader *reader)
{
    reader->failed = true;
    reader->at = reader->end;
    return false;
}

/* A view of the next size_bytes bytes; empty and failed if there are fewer. */
static inline struct mrd_bytes mrd_read_bytes(struct mrd_reader *reader, uint64_t size_bytes)
{
    if (size_bytes > mrd_reader_left(reader)) {
        mrd_reader_fail(reader);
        return MRD_BYTES_NONE;
    }
    const struct mrd_bytes bytes = {reader->at, (size_t)size_bytes};
    reader->at += size_bytes;
    return bytes;
}

static inline uint8_t mrd_read_u8(struct mrd_reader *reader)
{
    if (reader->at == reader->end) {
        mrd_reader_fail(reader);
        return 0;
    }
    return *reader->at++;
}

static inline uint32_t mrd_read_u32(struct mrd_reader *reader)
{
    const struct mrd_bytes bytes = mrd_read_bytes(reader, 4);
    uint32_t value = 0;
    if (bytes.size == 4) {
        memcpy(&value, bytes.data, 4);
    }
    return value;
}

static inline uint64_t mrd_read_u64(struct mrd_reader *reader)
{
    const struct mrd_bytes bytes = mrd_read_bytes(reader, 8);
    uint64_t value = 0;
    if (bytes.size == 8) {
        memcpy(&value, bytes.data, 8);
    }
    return value;
}

/* Refuses more than 10 bytes and bits beyond 64. */
static inline uint64_t mrd_read_varint(struct mrd_reader *reader)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (reader->at == reader->end) {
            break;
        }
        const uint8_t byte = *reader->at++;
        if (shift == 63 && byte > 1) {
            break;
        }
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return value;
        }
    }
    mrd_reader_fail(reader);
    return 0;
}

static inline int64_t mrd_read_zigzag(struct mrd_reader *reader)
{
    return mrd_zigzag_decode(mrd_read_varint(reader));
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "formats are read in place, little-endian");

#endif
