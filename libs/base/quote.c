#include "base/quote.h"

static const char *short_escape(uint8_t c)
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\a':
        return "\\a";
    case '\b':
        return "\\b";
    case '\f':
        return "\\f";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    case '\v':
        return "\\v";
    default:
        return NULL;
    }
}

/* Length of the well-formed sequence at text.data[at], or 0; its code point goes to *out. */
static size_t sequence_at(struct mrd_bytes text, size_t at, uint32_t *out)
{
    const uint8_t first = text.data[at];
    const size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (at + size > text.size || !mrd_bytes_utf8_valid((struct mrd_bytes){text.data + at, size})) {
        return 0;
    }
    uint32_t code = first & (0xffU >> (size + 1));
    for (size_t i = 1; i < size; i++) {
        code = code << 6 | (text.data[at + i] & 0x3f);
    }
    *out = code;
    return size;
}

static bool is_hidden(uint32_t code)
{
    return code <= 0xa0 || code == 0xad || (code >= 0x2000 && code <= 0x200f) ||
           (code >= 0x2028 && code <= 0x202f) || (code >= 0x205f && code <= 0x206f) ||
           code == 0x3000 || (code >= 0xe000 && code <= 0xf8ff) || code == 0xfeff ||
           (code >= 0xfff0 && code <= 0xfffb) || (code & 0xfffe) == 0xfffe;
}

void mrd_quote_append(struct mrd_bytes text, struct mrd_buf *out)
{
    mrd_buf_append_u8(out, '"');
    for (size_t i = 0; i < text.size;) {
        const uint8_t c = text.data[i];
        const char *escape = short_escape(c);
        uint32_t code = c;
        const size_t size = c < 0x80 ? 1 : sequence_at(text, i, &code);
        if (escape != NULL) {
            mrd_buf_append_text(out, escape);
        } else if (size == 0 || (size == 1 && (c < 0x20 || c == 0x7f))) {
            mrd_buf_printf(out, "\\x%02x", c);
        } else if (size > 1 && is_hidden(code)) {
            mrd_buf_printf(out, code > 0xffff ? "\\U%08x" : "\\u%04x", code);
        } else {
            mrd_buf_append(out, text.data + i, size);
        }
        i += MRD_MAX(size, (size_t)1);
    }
    mrd_buf_append_u8(out, '"');
}
