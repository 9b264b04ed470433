#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

char *mrd_bytes_text(struct mrd_bytes text)
{
    char *copy = malloc(text.size + 1);
    mrd_assert(copy != NULL);
    if (text.size > 0) {
        memcpy(copy, text.data, text.size);
    }
    copy[text.size] = '\0';
    return copy;
}

struct mrd_bytes mrd_bytes_trim(struct mrd_bytes text)
{
    while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.size--;
    }
    while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t')) {
        text.size--;
    }
    return text;
}

/* Length of the well-formed sequence at p (1 to 4), or 0. Table 3-7 of the Unicode Standard. */
static size_t utf8_sequence_size(const uint8_t *p, size_t left)
{
    const uint8_t lead = p[0];
    if (lead < 0x80) {
        return 1;
    }
    const size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || left < size) {
        return 0;
    }
    const uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    const uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < size; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return size;
}

bool mrd_bytes_utf8_valid(struct mrd_bytes bytes)
{
    size_t i = 0;
    while (i < bytes.size) {
        uint64_t word;
        if (bytes.size - i >= sizeof(word)) {
            memcpy(&word, bytes.data + i, sizeof(word));
            if ((word & 0x8080808080808080ULL) == 0) {
                i += sizeof(word);
                continue;
            }
        }
        const size_t size = utf8_sequence_size(bytes.data + i, bytes.size - i);
        if (size == 0) {
            return false;
        }
        i += size;
    }
    return true;
}

void mrd_buf_init(struct mrd_buf *buf, size_t limit_bytes)
{
    *buf = (struct mrd_buf){.limit = limit_bytes};
}

void mrd_buf_fini(struct mrd_buf *buf)
{
    free(buf->data);
    *buf = (struct mrd_buf){.limit = buf->limit};
}

uint8_t *mrd_buf_reserve(struct mrd_buf *buf, size_t size_bytes)
{
    if (mrd_likely(size_bytes <= buf->capacity - buf->size)) {
        if (mrd_unlikely(buf->data == NULL)) {
            static uint8_t nothing[1];
            return nothing; /* zero bytes wanted from an empty buffer */
        }
        return buf->data + buf->size;
    }
    size_t needed;
    if (__builtin_add_overflow(buf->size, size_bytes, &needed) ||
        (buf->limit != 0 && needed > buf->limit)) {
        buf->failed = true;
        return NULL;
    }
    size_t capacity = MRD_MAX(buf->capacity * 2, (size_t)256);
    capacity = MRD_MAX(capacity, needed);
    if (buf->limit != 0) {
        capacity = MRD_MIN(capacity, buf->limit);
    }
    uint8_t *data = realloc(buf->data, capacity);
    if (data == NULL) {
        buf->failed = true;
        return NULL;
    }
    buf->data = data;
    buf->capacity = capacity;
    return buf->data + buf->size;
}

void mrd_buf_append(struct mrd_buf *buf, const void *data, size_t size_bytes)
{
    uint8_t *out = mrd_buf_reserve(buf, size_bytes);
    if (out != NULL && size_bytes > 0) {
        memcpy(out, data, size_bytes);
        buf->size += size_bytes;
    }
}

void mrd_buf_printf(struct mrd_buf *buf, const char *format, ...)
{
    char small[256];
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    const int size = vsnprintf(small, sizeof(small), format, args);
    va_end(args);
    if (size >= 0 && (size_t)size < sizeof(small)) {
        mrd_buf_append(buf, small, (size_t)size);
    } else if (size >= 0) {
        uint8_t *out = mrd_buf_reserve(buf, (size_t)size + 1);
        if (out != NULL) {
            (void)vsnprintf((char *)out, (size_t)size + 1, format, again);
            buf->size += (size_t)size;
        }
    }
    va_end(again);
}

void mrd_buf_append_u8(struct mrd_buf *buf, uint8_t value) { mrd_buf_append(buf, &value, 1); }

void mrd_buf_append_u32(struct mrd_buf *buf, uint32_t value) { mrd_buf_append(buf, &value, 4); }

void mrd_buf_append_u64(struct mrd_buf *buf, uint64_t value) { mrd_buf_append(buf, &value, 8); }

void mrd_buf_append_varint(struct mrd_buf *buf, uint64_t value)
{
    uint8_t *out = mrd_buf_reserve(buf, MRD_VARINT_SIZE_MAX);
    if (out != NULL) {
        buf->size += mrd_varint_put(out, value);
    }
}

void mrd_buf_append_zigzag(struct mrd_buf *buf, int64_t value)
{
    mrd_buf_append_varint(buf, mrd_zigzag_encode(value));
}
