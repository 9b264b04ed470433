/* dates.h: the parts of a date in UTC of Unix seconds, as the date functions give them. The fraction of
 * a second is cut towards zero; the calendar is the proleptic Gregorian one. */
#ifndef MRD_PROMQL_DATES_H
#define MRD_PROMQL_DATES_H

double pql_minute(double seconds);
double pql_hour(double seconds);
double pql_day_of_week(double seconds); /* 0 is Sunday */
double pql_day_of_month(double seconds);
double pql_day_of_year(double seconds); /* from 1 */
double pql_days_in_month(double seconds);
double pql_month(double seconds);
double pql_year(double seconds);

#endif
