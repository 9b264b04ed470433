#include "promql/dates.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

enum { DAY_SECONDS = 86400 };

struct date {
    int64_t year;
    int month;       /* 1..12 */
    int day;         /* 1..31 */
    int day_of_year; /* 1..366 */
};

/* Go's conversion of what does not fit (NaN and infinities too) on amd64. */
static int64_t whole_seconds(double seconds)
{
    if (!(seconds >= -0x1p63 && seconds < 0x1p63)) {
        return INT64_MIN;
    }
    return (int64_t)seconds;
}

/* Go counts unsigned seconds from a year far in the past, so the one time before that (what does not
 * fit above) wraps around into the far future. 106751991073400 days lie before 1970. */
#define DAYS_BEFORE_EPOCH INT64_C(106751991073400)

static uint64_t absolute_seconds(double seconds)
{
    return (uint64_t)whole_seconds(seconds) + (uint64_t)DAYS_BEFORE_EPOCH * DAY_SECONDS;
}

static int64_t days_of(double seconds)
{
    return (int64_t)(absolute_seconds(seconds) / DAY_SECONDS) - DAYS_BEFORE_EPOCH;
}

static int second_of_day(double seconds) { return (int)(absolute_seconds(seconds) % DAY_SECONDS); }

static bool is_leap(int64_t year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

static int month_days(int64_t year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && is_leap(year) ? 1 : 0);
}

/* Days since 1970-01-01 to a date, counting years from March so that leap days come last (the
 * "civil from days" arithmetic of 400-year eras). */
static struct date date_of(double seconds)
{
    const int64_t days = days_of(seconds) + 719468; /* since 0000-03-01 */
    const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    const int64_t day_of_era = days - era * 146097;
    const int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    const int64_t day_of_year =
        day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int64_t month_index = (5 * day_of_year + 2) / 153;
    struct date date;
    date.day = (int)(day_of_year - (153 * month_index + 2) / 5 + 1);
    date.month = (int)(month_index < 10 ? month_index + 3 : month_index - 9);
    date.year = year_of_era + era * 400 + (date.month <= 2);
    date.day_of_year = date.day;
    for (int month = 1; month < date.month; month++) {
        date.day_of_year += month_days(date.year, month);
    }
    return date;
}

double pql_minute(double seconds) { return second_of_day(seconds) / 60 % 60; }

double pql_hour(double seconds) { return second_of_day(seconds) / 3600; }

double pql_day_of_week(double seconds)
{
    const int64_t weekday = (days_of(seconds) + 4) % 7; /* 1970-01-01 was a Thursday */
    return (double)(weekday < 0 ? weekday + 7 : weekday);
}

double pql_day_of_month(double seconds) { return date_of(seconds).day; }

double pql_day_of_year(double seconds) { return date_of(seconds).day_of_year; }

double pql_days_in_month(double seconds)
{
    const struct date date = date_of(seconds);
    return month_days(date.year, date.month);
}

double pql_month(double seconds) { return date_of(seconds).month; }

double pql_year(double seconds) { return (double)date_of(seconds).year; }
