#include "promql/function_table.h"

#include "promql/dates.h"

#include <math.h>

static double sign_of(double value)
{
    if (value < 0) {
        return -1;
    }
    return value > 0 ? 1 : value; /* keeps NaN and the sign of zero */
}
static double degrees(double value) { return value * 180 / M_PI; }
static double radians(double value) { return value * M_PI / 180; }

#define MAP(text, function)                                                                        \
    {                                                                                              \
        .name = text, .kind = PQL_CALL_MAP, .map = function                                        \
    }
#define DATE(text, function)                                                                       \
    {                                                                                              \
        .name = text, .kind = PQL_CALL_DATE, .map = function, .time_dependent = true               \
    }
#define WINDOW(text, function, ...)                                                                \
    {                                                                                              \
        .name = text, .kind = PQL_CALL_WINDOW, .window = function, ##__VA_ARGS__                   \
    }
#define CALL(text, what, ...)                                                                      \
    {                                                                                              \
        .name = text, .kind = what, ##__VA_ARGS__                                                  \
    }

/* clang-format off */
static const struct pql_function functions[] = {
    /* ranges */
    WINDOW("rate", pql_rate, .counter = true, .heeds_starts = true, .checks_overlap = true),
    WINDOW("increase", pql_increase, .counter = true, .heeds_starts = true, .checks_overlap = true),
    WINDOW("delta", pql_delta),
    WINDOW("irate", pql_irate, .heeds_starts = true),
    WINDOW("idelta", pql_idelta),
    WINDOW("changes", pql_changes),
    WINDOW("resets", pql_resets, .heeds_starts = true),
    WINDOW("deriv", pql_deriv),
    WINDOW("predict_linear", pql_predict_linear, .time_dependent = true),
    WINDOW("avg_over_time", pql_avg_over_time, .adds_up = true),
    WINDOW("min_over_time", pql_min_over_time),
    WINDOW("max_over_time", pql_max_over_time),
    WINDOW("sum_over_time", pql_sum_over_time, .adds_up = true),
    WINDOW("count_over_time", pql_count_over_time),
    WINDOW("stddev_over_time", pql_stddev_over_time),
    WINDOW("stdvar_over_time", pql_stdvar_over_time),
    WINDOW("last_over_time", pql_last_over_time, .keeps_name = true),
    WINDOW("first_over_time", pql_first_over_time, .keeps_name = true),
    WINDOW("present_over_time", pql_present_over_time),
    WINDOW("quantile_over_time", pql_quantile_over_time, .range_arg = 1, .checks_quantile = true),
    WINDOW("mad_over_time", pql_mad_over_time),
    WINDOW("ts_of_first_over_time", pql_ts_of_first_over_time),
    WINDOW("ts_of_last_over_time", pql_ts_of_last_over_time),
    WINDOW("ts_of_min_over_time", pql_ts_of_min_over_time),
    WINDOW("ts_of_max_over_time", pql_ts_of_max_over_time),
    WINDOW("double_exponential_smoothing", pql_double_exponential_smoothing,
           .checks_smoothing = true),
    CALL("absent_over_time", PQL_CALL_ABSENT_OVER_TIME),
    /* one value at a time */
    MAP("abs", fabs), MAP("ceil", ceil), MAP("floor", floor), MAP("exp", exp), MAP("ln", log),
    MAP("log2", log2), MAP("log10", log10), MAP("sqrt", sqrt), MAP("sgn", sign_of),
    MAP("sin", sin), MAP("cos", cos), MAP("tan", tan), MAP("asin", asin), MAP("acos", acos),
    MAP("atan", atan), MAP("sinh", sinh), MAP("cosh", cosh), MAP("tanh", tanh),
    MAP("asinh", asinh), MAP("acosh", acosh), MAP("atanh", atanh),
    MAP("deg", degrees), MAP("rad", radians),
    CALL("round", PQL_CALL_ROUND),
    CALL("clamp", PQL_CALL_CLAMP),
    CALL("clamp_min", PQL_CALL_CLAMP_MIN),
    CALL("clamp_max", PQL_CALL_CLAMP_MAX),
    /* dates */
    DATE("minute", pql_minute), DATE("hour", pql_hour), DATE("day_of_week", pql_day_of_week),
    DATE("day_of_month", pql_day_of_month), DATE("day_of_year", pql_day_of_year),
    DATE("days_in_month", pql_days_in_month), DATE("month", pql_month), DATE("year", pql_year),
    CALL("timestamp", PQL_CALL_TIMESTAMP, .time_dependent = true),
    CALL("start_timestamp", PQL_CALL_START_TIMESTAMP),
    /* vectors */
    CALL("absent", PQL_CALL_ABSENT),
    CALL("vector", PQL_CALL_VECTOR),
    CALL("sort", PQL_CALL_SORT),
    CALL("sort_desc", PQL_CALL_SORT, .descending = true),
    CALL("sort_by_label", PQL_CALL_SORT_BY_LABEL),
    CALL("sort_by_label_desc", PQL_CALL_SORT_BY_LABEL, .descending = true),
    CALL("label_replace", PQL_CALL_LABEL_REPLACE),
    CALL("label_join", PQL_CALL_LABEL_JOIN),
    CALL("info", PQL_CALL_INFO),
    CALL("histogram_quantile", PQL_CALL_HISTOGRAM_QUANTILE),
    CALL("histogram_quantiles", PQL_CALL_HISTOGRAM_QUANTILES),
    CALL("histogram_fraction", PQL_CALL_HISTOGRAM_FRACTION),
    CALL("histogram_count", PQL_CALL_HISTOGRAM_ONLY),
    CALL("histogram_sum", PQL_CALL_HISTOGRAM_ONLY),
    CALL("histogram_avg", PQL_CALL_HISTOGRAM_ONLY),
    CALL("histogram_stddev", PQL_CALL_HISTOGRAM_ONLY, .reads_buckets = true),
    CALL("histogram_stdvar", PQL_CALL_HISTOGRAM_ONLY, .reads_buckets = true),
    /* scalars */
    CALL("scalar", PQL_CALL_SCALAR),
    CALL("time", PQL_CALL_TIME, .time_dependent = true),
    CALL("pi", PQL_CALL_PI),
    CALL("start", PQL_CALL_START, .time_dependent = true),
    CALL("end", PQL_CALL_END, .time_dependent = true),
    CALL("step", PQL_CALL_STEP, .time_dependent = true),
    CALL("range", PQL_CALL_RANGE, .time_dependent = true),
    CALL("min_of", PQL_CALL_MIN_OF),
    CALL("max_of", PQL_CALL_MAX_OF),
};
/* clang-format on */

const struct pql_function *pql_function_find(const char *name, size_t size)
{
    for (size_t i = 0; i < MRD_ARRAY_LEN(functions); i++) {
        if (strlen(functions[i].name) == size && memcmp(functions[i].name, name, size) == 0) {
            return &functions[i];
        }
    }
    return NULL;
}
