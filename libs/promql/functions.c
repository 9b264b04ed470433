#include "promql/functions.h"

#define S MRD_VALUE_SCALAR
#define T MRD_VALUE_STRING
#define V MRD_VALUE_VECTOR
#define M MRD_VALUE_MATRIX

/* (id, name, result, least and most arguments (-1: no bound), argument types...) */
#define ENTRY(is_experimental, function_id, function_name, type, min, max, ...)                    \
    [MRD_FN_##function_id] = {                                                                     \
        .id = MRD_FN_##function_id,                                                                \
        .name = #function_name,                                                                    \
        .result = type,                                                                            \
        .arg_types = {__VA_ARGS__},                                                                \
        .arg_type_count = sizeof((int[]){0, ##__VA_ARGS__}) / sizeof(int) - 1,                     \
        .arg_count_min = min,                                                                      \
        .arg_count_max = max,                                                                      \
        .experimental = is_experimental,                                                           \
    }
#define STABLE(...) ENTRY(false, __VA_ARGS__)
#define EXPERIMENTAL(...) ENTRY(true, __VA_ARGS__)

/* clang-format off */
static const struct mrd_function functions[MRD_FN_COUNT] = {
    STABLE(ABS, abs, V, 1, 1, V),
    STABLE(ABSENT, absent, V, 1, 1, V),
    STABLE(ABSENT_OVER_TIME, absent_over_time, V, 1, 1, M),
    STABLE(ACOS, acos, V, 1, 1, V),
    STABLE(ACOSH, acosh, V, 1, 1, V),
    STABLE(ASIN, asin, V, 1, 1, V),
    STABLE(ASINH, asinh, V, 1, 1, V),
    STABLE(ATAN, atan, V, 1, 1, V),
    STABLE(ATANH, atanh, V, 1, 1, V),
    STABLE(AVG_OVER_TIME, avg_over_time, V, 1, 1, M),
    STABLE(CEIL, ceil, V, 1, 1, V),
    STABLE(CHANGES, changes, V, 1, 1, M),
    STABLE(CLAMP, clamp, V, 3, 3, V, S, S),
    STABLE(CLAMP_MAX, clamp_max, V, 2, 2, V, S),
    STABLE(CLAMP_MIN, clamp_min, V, 2, 2, V, S),
    STABLE(COS, cos, V, 1, 1, V),
    STABLE(COSH, cosh, V, 1, 1, V),
    STABLE(COUNT_OVER_TIME, count_over_time, V, 1, 1, M),
    STABLE(DAY_OF_MONTH, day_of_month, V, 0, 1, V),
    STABLE(DAY_OF_WEEK, day_of_week, V, 0, 1, V),
    STABLE(DAY_OF_YEAR, day_of_year, V, 0, 1, V),
    STABLE(DAYS_IN_MONTH, days_in_month, V, 0, 1, V),
    STABLE(DEG, deg, V, 1, 1, V),
    STABLE(DELTA, delta, V, 1, 1, M),
    STABLE(DERIV, deriv, V, 1, 1, M),
    EXPERIMENTAL(DOUBLE_EXPONENTIAL_SMOOTHING, double_exponential_smoothing, V, 3, 3, M, S, S),
    EXPERIMENTAL(END, end, S, 0, 0),
    STABLE(EXP, exp, V, 1, 1, V),
    STABLE(FIRST_OVER_TIME, first_over_time, V, 1, 1, M),
    STABLE(FLOOR, floor, V, 1, 1, V),
    STABLE(HISTOGRAM_AVG, histogram_avg, V, 1, 1, V),
    STABLE(HISTOGRAM_COUNT, histogram_count, V, 1, 1, V),
    STABLE(HISTOGRAM_FRACTION, histogram_fraction, V, 3, 3, S, S, V),
    STABLE(HISTOGRAM_QUANTILE, histogram_quantile, V, 2, 2, S, V),
    EXPERIMENTAL(HISTOGRAM_QUANTILES, histogram_quantiles, V, 3, 12, V, T, S, S),
    STABLE(HISTOGRAM_STDDEV, histogram_stddev, V, 1, 1, V),
    STABLE(HISTOGRAM_STDVAR, histogram_stdvar, V, 1, 1, V),
    STABLE(HISTOGRAM_SUM, histogram_sum, V, 1, 1, V),
    STABLE(HOUR, hour, V, 0, 1, V),
    STABLE(IDELTA, idelta, V, 1, 1, M),
    STABLE(INCREASE, increase, V, 1, 1, M),
    EXPERIMENTAL(INFO, info, V, 1, 2, V, V),
    STABLE(IRATE, irate, V, 1, 1, M),
    STABLE(LABEL_JOIN, label_join, V, 3, -1, V, T, T, T),
    STABLE(LABEL_REPLACE, label_replace, V, 5, 5, V, T, T, T, T),
    STABLE(LAST_OVER_TIME, last_over_time, V, 1, 1, M),
    STABLE(LN, ln, V, 1, 1, V),
    STABLE(LOG10, log10, V, 1, 1, V),
    STABLE(LOG2, log2, V, 1, 1, V),
    EXPERIMENTAL(MAD_OVER_TIME, mad_over_time, V, 1, 1, M),
    EXPERIMENTAL(MAX_OF, max_of, S, 2, 2, S, S),
    STABLE(MAX_OVER_TIME, max_over_time, V, 1, 1, M),
    EXPERIMENTAL(MIN_OF, min_of, S, 2, 2, S, S),
    STABLE(MIN_OVER_TIME, min_over_time, V, 1, 1, M),
    STABLE(MINUTE, minute, V, 0, 1, V),
    STABLE(MONTH, month, V, 0, 1, V),
    STABLE(PI, pi, S, 0, 0),
    STABLE(PREDICT_LINEAR, predict_linear, V, 2, 2, M, S),
    STABLE(PRESENT_OVER_TIME, present_over_time, V, 1, 1, M),
    STABLE(QUANTILE_OVER_TIME, quantile_over_time, V, 2, 2, S, M),
    STABLE(RAD, rad, V, 1, 1, V),
    EXPERIMENTAL(RANGE, range, S, 0, 0),
    STABLE(RATE, rate, V, 1, 1, M),
    STABLE(RESETS, resets, V, 1, 1, M),
    STABLE(ROUND, round, V, 1, 2, V, S),
    STABLE(SCALAR, scalar, S, 1, 1, V),
    STABLE(SGN, sgn, V, 1, 1, V),
    STABLE(SIN, sin, V, 1, 1, V),
    STABLE(SINH, sinh, V, 1, 1, V),
    STABLE(SORT, sort, V, 1, 1, V),
    EXPERIMENTAL(SORT_BY_LABEL, sort_by_label, V, 1, -1, V, T),
    EXPERIMENTAL(SORT_BY_LABEL_DESC, sort_by_label_desc, V, 1, -1, V, T),
    STABLE(SORT_DESC, sort_desc, V, 1, 1, V),
    STABLE(SQRT, sqrt, V, 1, 1, V),
    EXPERIMENTAL(START, start, S, 0, 0),
    EXPERIMENTAL(START_TIMESTAMP, start_timestamp, V, 1, 1, V),
    STABLE(STDDEV_OVER_TIME, stddev_over_time, V, 1, 1, M),
    STABLE(STDVAR_OVER_TIME, stdvar_over_time, V, 1, 1, M),
    EXPERIMENTAL(STEP, step, S, 0, 0),
    STABLE(SUM_OVER_TIME, sum_over_time, V, 1, 1, M),
    STABLE(TAN, tan, V, 1, 1, V),
    STABLE(TANH, tanh, V, 1, 1, V),
    STABLE(TIME, time, S, 0, 0),
    STABLE(TIMESTAMP, timestamp, V, 1, 1, V),
    EXPERIMENTAL(TS_OF_FIRST_OVER_TIME, ts_of_first_over_time, V, 1, 1, M),
    EXPERIMENTAL(TS_OF_LAST_OVER_TIME, ts_of_last_over_time, V, 1, 1, M),
    EXPERIMENTAL(TS_OF_MAX_OVER_TIME, ts_of_max_over_time, V, 1, 1, M),
    EXPERIMENTAL(TS_OF_MIN_OVER_TIME, ts_of_min_over_time, V, 1, 1, M),
    STABLE(VECTOR, vector, V, 1, 1, S),
    STABLE(YEAR, year, V, 0, 1, V),
};
/* clang-format on */

const struct mrd_function *mrd_function_get(enum mrd_function_id id) { return &functions[id]; }

const struct mrd_function *mrd_function_find(struct mrd_bytes name)
{
    for (size_t i = 0; i < MRD_FN_COUNT; i++) {
        if (mrd_bytes_equal(name, mrd_bytes_of(functions[i].name))) {
            return &functions[i];
        }
    }
    return NULL;
}

const char *mrd_value_type_text(enum mrd_value_type type)
{
    static const char *const texts[] = {
        [MRD_VALUE_NONE] = "none",           [MRD_VALUE_SCALAR] = "scalar",
        [MRD_VALUE_STRING] = "string",       [MRD_VALUE_VECTOR] = "instant vector",
        [MRD_VALUE_MATRIX] = "range vector",
    };
    return texts[type];
}

const char *mrd_aggregation_text(enum mrd_aggregation op)
{
    static const char *const texts[MRD_AGG_TYPE_COUNT] = {
        [MRD_AGG_SUM] = "sum",
        [MRD_AGG_AVG] = "avg",
        [MRD_AGG_COUNT] = "count",
        [MRD_AGG_MIN] = "min",
        [MRD_AGG_MAX] = "max",
        [MRD_AGG_GROUP] = "group",
        [MRD_AGG_STDDEV] = "stddev",
        [MRD_AGG_STDVAR] = "stdvar",
        [MRD_AGG_TOPK] = "topk",
        [MRD_AGG_BOTTOMK] = "bottomk",
        [MRD_AGG_COUNT_VALUES] = "count_values",
        [MRD_AGG_QUANTILE] = "quantile",
        [MRD_AGG_LIMITK] = "limitk",
        [MRD_AGG_LIMIT_RATIO] = "limit_ratio",
    };
    return texts[op];
}
