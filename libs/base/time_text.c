#include "base/time_text.h"

#include <math.h>

#include "base/number.h"

static const int64_t NS_PER_SECOND = 1000000000;

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

/* The nanoseconds of ".123456789" (or ",1") at *at, cut, not rounded, as Go's time does it. */
static bool read_fraction(struct mrd_bytes text, size_t *at, int *out_ns)
{
    *out_ns = 0;
    if (*at >= text.size || (text.data[*at] != '.' && text.data[*at] != ',')) {
        return true;
    }
    (*at)++;
    size_t digits = 0;
    int scale = 100000000;
    for (; *at < text.size && text.data[*at] >= '0' && text.data[*at] <= '9'; (*at)++, digits++) {
        *out_ns += (text.data[*at] - '0') * scale;
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

/* Seconds since the epoch, and nanoseconds of the one that has begun. */
static bool rfc3339_parse(struct mrd_bytes text, int64_t *out_seconds, int *out_ns)
{
    size_t at = 0;
    int year;
    int month;
    int day;
    int hour;
    int minute;
    int second;
    int ns;
    int zone_minutes;
    const bool read = read_digits(text, &at, 4, &year) && read_byte(text, &at, '-') &&
                      read_digits(text, &at, 2, &month) && read_byte(text, &at, '-') &&
                      read_digits(text, &at, 2, &day) && read_byte(text, &at, 'T') &&
                      read_digits(text, &at, 2, &hour) && read_byte(text, &at, ':') &&
                      read_digits(text, &at, 2, &minute) && read_byte(text, &at, ':') &&
                      read_digits(text, &at, 2, &second) && read_fraction(text, &at, &ns) &&
                      read_zone(text, &at, &zone_minutes) && at == text.size;
    if (!read || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) ||
        hour > 23 || minute > 59 || second > 59) {
        return false;
    }
    const int64_t minutes =
        days_from_civil(year, month, day) * 1440 + hour * 60 + minute - zone_minutes;
    *out_seconds = minutes * 60 + second;
    *out_ns = ns;
    return true;
}

bool mrd_time_parse_ns(struct mrd_bytes text, int64_t *out_ns)
{
    int64_t seconds;
    int ns;
    if (!rfc3339_parse(text, &seconds, &ns) || seconds > INT64_MAX / NS_PER_SECOND - 1 ||
        seconds < INT64_MIN / NS_PER_SECOND + 1) {
        return false;
    }
    *out_ns = seconds * NS_PER_SECOND + ns;
    return true;
}

bool mrd_time_parse(struct mrd_bytes text, mrd_time_ms *out_ms)
{
    double seconds;
    double whole;
    if (!mrd_double_parse((const char *)text.data, text.size, &seconds)) {
        int64_t since_epoch;
        int ns;
        const bool fine = rfc3339_parse(text, &since_epoch, &ns);
        *out_ms = fine ? since_epoch * 1000 + ns / 1000000 : *out_ms;
        return fine;
    }
    const double fraction = modf(seconds, &whole);
    if (!isfinite(seconds) || fabs(whole) > (double)(INT64_MAX / 4000)) {
        return false;
    }
    *out_ms = (int64_t)whole * 1000 + (int64_t)round(fraction * 1000);
    return true;
}
