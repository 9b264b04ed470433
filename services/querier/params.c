#include "querier/params.h"

#include <math.h>
#include <stdlib.h>

#include "base/duration.h"
#include "base/number.h"
#include "base/quote.h"
#include "base/time_text.h"

/* What client_golang writes for the ends of time; years of more than four digits are no RFC 3339. */
#define TIME_MIN_TEXT "-292273086-05-16T16:47:06Z"
#define TIME_MAX_TEXT "292277025-08-18T07:12:54.999999999Z"

static enum mrd_status cannot_parse(struct mrd_bytes text, const char *what, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf quoted = {0};
    mrd_quote_append((struct mrd_bytes){text.data, MRD_MIN(text.size, (size_t)128)}, &quoted);
    return mrd_fail(err, MRD_E_INVALID, "cannot parse %.*s to a valid %s", MRD_FMT(quoted), what);
}

enum mrd_status qry_time_parse(struct mrd_bytes text, mrd_time_ms *out_ms, struct mrd_error *err)
{
    if (mrd_bytes_equal(text, MRD_BYTES(TIME_MIN_TEXT))) {
        *out_ms = QRY_TIME_MIN_MS;
        return MRD_OK;
    }
    if (mrd_bytes_equal(text, MRD_BYTES(TIME_MAX_TEXT))) {
        *out_ms = QRY_TIME_MAX_MS;
        return MRD_OK;
    }
    return mrd_time_parse(text, out_ms) ? MRD_OK : cannot_parse(text, "timestamp", err);
}

enum mrd_status qry_duration_parse(struct mrd_bytes text, mrd_time_ms *out_ms,
                                   struct mrd_error *err)
{
    double seconds;
    if (mrd_double_parse((const char *)text.data, text.size, &seconds)) {
        const double ns = seconds * 1e9;
        if (!(fabs(ns) <= 9.2e18)) {
            return mrd_fail(err, MRD_E_INVALID,
                            "cannot parse \"%.*s\" to a valid duration. It overflows int64",
                            (int)MRD_MIN(text.size, (size_t)128), (const char *)text.data);
        }
        *out_ms = (int64_t)ns / 1000000;
        return MRD_OK;
    }
    mrd_time_ms ms;
    if (mrd_duration_parse(text, &ms, NULL) != MRD_OK || ms > INT64_MAX / 1000000) {
        return cannot_parse(text, "duration", err); /* Go counts nanoseconds */
    }
    *out_ms = ms;
    return MRD_OK;
}

static enum mrd_status not_a_number(struct mrd_bytes text, const char *why, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf quoted = {0};
    mrd_quote_append((struct mrd_bytes){text.data, MRD_MIN(text.size, (size_t)64)}, &quoted);
    return mrd_fail(err, MRD_E_INVALID, "strconv.Atoi: parsing %.*s: %s", MRD_FMT(quoted), why);
}

enum mrd_status qry_limit_parse(struct mrd_bytes text, size_t *out_limit, struct mrd_error *err)
{
    int64_t value = 0;
    bool overflow = false;
    const bool sign = text.size > 1 && (text.data[0] == '-' || text.data[0] == '+');
    for (size_t i = sign ? 1 : 0; i < text.size; i++) {
        const uint8_t c = text.data[i];
        if (c < '0' || c > '9') {
            return not_a_number(text, "invalid syntax", err);
        }
        overflow = overflow || __builtin_mul_overflow(value, 10, &value) ||
                   __builtin_add_overflow(value, c - '0', &value);
    }
    if (text.size == 0) {
        return not_a_number(text, "invalid syntax", err);
    }
    if (overflow) {
        return not_a_number(text, "value out of range", err);
    }
    if (value != 0 && text.data[0] == '-') {
        return mrd_fail(err, MRD_E_INVALID, "limit must be non-negative");
    }
    *out_limit = (size_t)value;
    return MRD_OK;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    const uint8_t letter = c | 0x20;
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

static void append_code_point(uint32_t code, struct mrd_buf *out)
{
    if (code < 0x80) {
        mrd_buf_append_u8(out, (uint8_t)code);
    } else if (code < 0x800) {
        mrd_buf_append_u8(out, (uint8_t)(0xc0 | (code >> 6)));
        mrd_buf_append_u8(out, (uint8_t)(0x80 | (code & 0x3f)));
    } else if (code < 0x10000) {
        mrd_buf_append_u8(out, (uint8_t)(0xe0 | (code >> 12)));
        mrd_buf_append_u8(out, (uint8_t)(0x80 | ((code >> 6) & 0x3f)));
        mrd_buf_append_u8(out, (uint8_t)(0x80 | (code & 0x3f)));
    } else {
        mrd_buf_append_u8(out, (uint8_t)(0xf0 | (code >> 18)));
        mrd_buf_append_u8(out, (uint8_t)(0x80 | ((code >> 12) & 0x3f)));
        mrd_buf_append_u8(out, (uint8_t)(0x80 | ((code >> 6) & 0x3f)));
        mrd_buf_append_u8(out, (uint8_t)(0x80 | (code & 0x3f)));
    }
}

/* Reads the hexadecimal digits (five at most) and the closing '_' of an escape; the code point, or -1. */
static int64_t read_escape(struct mrd_bytes name, size_t *at)
{
    int64_t code = 0;
    for (size_t digits = 0; *at < name.size && digits < 6; digits++) {
        const uint8_t c = name.data[(*at)++];
        if (c == '_') {
            return code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? -1 : code;
        }
        const int digit = hex_digit(c);
        if (digit < 0) {
            return -1;
        }
        code = code * 16 + digit;
    }
    return -1;
}

/* False if some escape is none. */
static bool unescape(struct mrd_bytes name, struct mrd_buf *out)
{
    size_t at = 0;
    while (at < name.size) {
        const uint8_t c = name.data[at++];
        if (c != '_') {
            mrd_buf_append_u8(out, c);
        } else if (at < name.size && name.data[at] == '_') {
            mrd_buf_append_u8(out, '_');
            at++;
        } else {
            const int64_t code = read_escape(name, &at);
            if (code < 0) {
                return false;
            }
            append_code_point((uint32_t)code, out);
        }
    }
    return true;
}

void qry_label_name_unescape(struct mrd_bytes name, struct mrd_buf *out)
{
    const size_t start = out->size;
    const bool escaped = name.size >= 3 && memcmp(name.data, "U__", 3) == 0;
    if (!escaped || !unescape((struct mrd_bytes){name.data + 3, name.size - 3}, out)) {
        out->size = start;
        mrd_buf_append_bytes(out, name);
    }
}
