#include "querier/params.h"

#include <math.h>
#include <stdlib.h>

#include "base/duration.h"
#include "base/number.h"
#include "base/quote.h"

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

/* Reads exactly `digits` digits at *at. */
static bool read_digits(struct mrd_bytes text, size_t *at, size_t digits, int *out)
{
    if (text.size - *at < digits) {
        return false;
    }
    int value = 0;
    for (size_t i = 0; i < digits; i++) {
        const uint8_t c = text.data[*at + i];
        if (c < '0' || c > '9') {
            return false;
        }
        value = value * 10 + (c - '0');
    }
    *at += digits;
    *out = value;
    return true;
}

static bool read_byte(struct mrd_bytes text, size_t *at, uint8_t want)
{
    if (*at >= text.size || (text.data[*at] | 0x20) != (want | 0x20)) {
        return false;
    }
    (*at)++;
    return true;
}

/* Days from 1970-01-01 of a proleptic Gregorian date (Hinnant, "chrono-compatible date algorithms"). */
static int64_t days_from_civil(int year, int month, int day)
{
    const int y = year - (month <= 2);
    const int era = (y >= 0 ? y : y - 399) / 400;
    const int year_of_era = y - era * 400;
    const int day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    const int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return (int64_t)era * 146097 + day_of_era - 719468;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

/* The milliseconds of ".123456789" (or ",1") at *at, cut, not rounded, as Go's time does it. */
static bool read_fraction(struct mrd_bytes text, size_t *at, int *out_ms)
{
    *out_ms = 0;
    if (*at >= text.size || (text.data[*at] != '.' && text.data[*at] != ',')) {
        return true;
    }
    (*at)++;
    size_t digits = 0;
    int scale = 100;
    for (; *at < text.size && text.data[*at] >= '0' && text.data[*at] <= '9'; (*at)++, digits++) {
        *out_ms += (text.data[*at] - '0') * scale;
        scale /= 10;
    }
    return digits > 0;
}

/* "Z", "+02:00", "-07:30": minutes east of UTC. */
static bool read_zone(struct mrd_bytes text, size_t *at, int *out_minutes)
{
    *out_minutes = 0;
    if (*at < text.size && text.data[*at] == 'Z') {
        (*at)++;
        return true;
    }
    if (*at >= text.size || (text.data[*at] != '+' && text.data[*at] != '-')) {
        return false;
    }
    const int sign = text.data[*at] == '-' ? -1 : 1;
    (*at)++;
    int hours;
    int minutes;
    if (!read_digits(text, at, 2, &hours) || !read_byte(text, at, ':') ||
        !read_digits(text, at, 2, &minutes) || hours > 24 ||
        minutes > 59) { /* 24 is what Go takes */
        return false;
    }
    *out_minutes = sign * (hours * 60 + minutes);
    return true;
}

static bool rfc3339_parse(struct mrd_bytes text, mrd_time_ms *out_ms)
{
    size_t at = 0;
    int year;
    int month;
    int day;
    int hour;
    int minute;
    int second;
    int ms;
    int zone_minutes;
    const bool read = read_digits(text, &at, 4, &year) && read_byte(text, &at, '-') &&
                      read_digits(text, &at, 2, &month) && read_byte(text, &at, '-') &&
                      read_digits(text, &at, 2, &day) && read_byte(text, &at, 'T') &&
                      read_digits(text, &at, 2, &hour) && read_byte(text, &at, ':') &&
                      read_digits(text, &at, 2, &minute) && read_byte(text, &at, ':') &&
                      read_digits(text, &at, 2, &second) && read_fraction(text, &at, &ms) &&
                      read_zone(text, &at, &zone_minutes) && at == text.size;
    if (!read || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) ||
        hour > 23 || minute > 59 || second > 59) {
        return false;
    }
    const int64_t minutes =
        days_from_civil(year, month, day) * 1440 + hour * 60 + minute - zone_minutes;
    *out_ms = minutes * 60000 + second * 1000 + ms;
    return true;
}

enum mrd_status qry_time_parse(struct mrd_bytes text, mrd_time_ms *out_ms, struct mrd_error *err)
{
    double seconds;
    if (mrd_double_parse((const char *)text.data, text.size, &seconds)) {
        double whole;
        const double fraction = modf(seconds, &whole);
        if (!isfinite(seconds) || fabs(whole) > (double)(INT64_MAX / 4000)) {
            return cannot_parse(text, "timestamp", err);
        }
        *out_ms = (int64_t)whole * 1000 + (int64_t)round(fraction * 1000);
        return MRD_OK;
    }
    if (mrd_bytes_equal(text, MRD_BYTES(TIME_MIN_TEXT))) {
        *out_ms = QRY_TIME_MIN_MS;
        return MRD_OK;
    }
    if (mrd_bytes_equal(text, MRD_BYTES(TIME_MAX_TEXT))) {
        *out_ms = QRY_TIME_MAX_MS;
        return MRD_OK;
    }
    return rfc3339_parse(text, out_ms) ? MRD_OK : cannot_parse(text, "timestamp", err);
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
