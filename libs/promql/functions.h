/* functions.h: the functions and aggregations of PromQL as the language knows them: names, argument
 * types, what is experimental. What they compute is the engine's business.
 */
#ifndef MRD_PROMQL_FUNCTIONS_H
#define MRD_PROMQL_FUNCTIONS_H

#include <stdbool.h>

#include "base/bytes.h"

enum mrd_value_type {
    MRD_VALUE_NONE,
    MRD_VALUE_SCALAR,
    MRD_VALUE_STRING,
    MRD_VALUE_VECTOR, /* instant vector */
    MRD_VALUE_MATRIX, /* range vector */
};

/* "scalar", "instant vector", ... as in error texts. */
const char *mrd_value_type_text(enum mrd_value_type type);

/* X(id, name): the 90 functions of Prometheus 3.14. */
#define MRD_FUNCTIONS(X)                                                                           \
    X(ABS, abs)                                                                                    \
    X(ABSENT, absent)                                                                              \
    X(ABSENT_OVER_TIME, absent_over_time)                                                          \
    X(ACOS, acos)                                                                                  \
    X(ACOSH, acosh)                                                                                \
    X(ASIN, asin)                                                                                  \
    X(ASINH, asinh)                                                                                \
    X(ATAN, atan)                                                                                  \
    X(ATANH, atanh)                                                                                \
    X(AVG_OVER_TIME, avg_over_time)                                                                \
    X(CEIL, ceil)                                                                                  \
    X(CHANGES, changes)                                                                            \
    X(CLAMP, clamp)                                                                                \
    X(CLAMP_MAX, clamp_max)                                                                        \
    X(CLAMP_MIN, clamp_min)                                                                        \
    X(COS, cos)                                                                                    \
    X(COSH, cosh)                                                                                  \
    X(COUNT_OVER_TIME, count_over_time)                                                            \
    X(DAYS_IN_MONTH, days_in_month)                                                                \
    X(DAY_OF_MONTH, day_of_month)                                                                  \
    X(DAY_OF_WEEK, day_of_week)                                                                    \
    X(DAY_OF_YEAR, day_of_year)                                                                    \
    X(DEG, deg)                                                                                    \
    X(DELTA, delta)                                                                                \
    X(DERIV, deriv)                                                                                \
    X(DOUBLE_EXPONENTIAL_SMOOTHING, double_exponential_smoothing)                                  \
    X(END, end)                                                                                    \
    X(EXP, exp)                                                                                    \
    X(FIRST_OVER_TIME, first_over_time)                                                            \
    X(FLOOR, floor)                                                                                \
    X(HISTOGRAM_AVG, histogram_avg)                                                                \
    X(HISTOGRAM_COUNT, histogram_count)                                                            \
    X(HISTOGRAM_FRACTION, histogram_fraction)                                                      \
    X(HISTOGRAM_QUANTILE, histogram_quantile)                                                      \
    X(HISTOGRAM_QUANTILES, histogram_quantiles)                                                    \
    X(HISTOGRAM_STDDEV, histogram_stddev)                                                          \
    X(HISTOGRAM_STDVAR, histogram_stdvar)                                                          \
    X(HISTOGRAM_SUM, histogram_sum)                                                                \
    X(HOUR, hour)                                                                                  \
    X(IDELTA, idelta)                                                                              \
    X(INCREASE, increase)                                                                          \
    X(INFO, info)                                                                                  \
    X(IRATE, irate)                                                                                \
    X(LABEL_JOIN, label_join)                                                                      \
    X(LABEL_REPLACE, label_replace)                                                                \
    X(LAST_OVER_TIME, last_over_time)                                                              \
    X(LN, ln)                                                                                      \
    X(LOG10, log10)                                                                                \
    X(LOG2, log2)                                                                                  \
    X(MAD_OVER_TIME, mad_over_time)                                                                \
    X(MAX_OF, max_of)                                                                              \
    X(MAX_OVER_TIME, max_over_time)                                                                \
    X(MINUTE, minute)                                                                              \
    X(MIN_OF, min_of)                                                                              \
    X(MIN_OVER_TIME, min_over_time)                                                                \
    X(MONTH, month)                                                                                \
    X(PI, pi)                                                                                      \
    X(PREDICT_LINEAR, predict_linear)                                                              \
    X(PRESENT_OVER_TIME, present_over_time)                                                        \
    X(QUANTILE_OVER_TIME, quantile_over_time)                                                      \
    X(RAD, rad)                                                                                    \
    X(RANGE, range)                                                                                \
    X(RATE, rate)                                                                                  \
    X(RESETS, resets)                                                                              \
    X(ROUND, round)                                                                                \
    X(SCALAR, scalar)                                                                              \
    X(SGN, sgn)                                                                                    \
    X(SIN, sin)                                                                                    \
    X(SINH, sinh)                                                                                  \
    X(SORT, sort)                                                                                  \
    X(SORT_BY_LABEL, sort_by_label)                                                                \
    X(SORT_BY_LABEL_DESC, sort_by_label_desc)                                                      \
    X(SORT_DESC, sort_desc)                                                                        \
    X(SQRT, sqrt)                                                                                  \
    X(START, start)                                                                                \
    X(START_TIMESTAMP, start_timestamp)                                                            \
    X(STDDEV_OVER_TIME, stddev_over_time)                                                          \
    X(STDVAR_OVER_TIME, stdvar_over_time)                                                          \
    X(STEP, step)                                                                                  \
    X(SUM_OVER_TIME, sum_over_time)                                                                \
    X(TAN, tan)                                                                                    \
    X(TANH, tanh)                                                                                  \
    X(TIME, time)                                                                                  \
    X(TIMESTAMP, timestamp)                                                                        \
    X(TS_OF_FIRST_OVER_TIME, ts_of_first_over_time)                                                \
    X(TS_OF_LAST_OVER_TIME, ts_of_last_over_time)                                                  \
    X(TS_OF_MAX_OVER_TIME, ts_of_max_over_time)                                                    \
    X(TS_OF_MIN_OVER_TIME, ts_of_min_over_time)                                                    \
    X(VECTOR, vector)                                                                              \
    X(YEAR, year)

enum mrd_function_id {
#define MRD_FUNCTION_ID(id, name) MRD_FN_##id,
    MRD_FUNCTIONS(MRD_FUNCTION_ID)
#undef MRD_FUNCTION_ID
        MRD_FN_COUNT
};

enum { MRD_FUNCTION_ARGS_MAX = 5 };

struct mrd_function {
    enum mrd_function_id id;
    const char *name;
    enum mrd_value_type result;
    /* Types of the arguments; those after arg_type_count repeat the last one. */
    enum mrd_value_type arg_types[MRD_FUNCTION_ARGS_MAX];
    int arg_type_count;
    int arg_count_min;
    int arg_count_max; /* -1: no bound */
    bool experimental;
};

/* NULL if there is no such function. Names are case-sensitive. */
const struct mrd_function *mrd_function_find(struct mrd_bytes name);
const struct mrd_function *mrd_function_get(enum mrd_function_id id);

enum mrd_aggregation {
    MRD_AGG_SUM,
    MRD_AGG_AVG,
    MRD_AGG_COUNT,
    MRD_AGG_MIN,
    MRD_AGG_MAX,
    MRD_AGG_GROUP,
    MRD_AGG_STDDEV,
    MRD_AGG_STDVAR,
    MRD_AGG_TOPK,
    MRD_AGG_BOTTOMK,
    MRD_AGG_COUNT_VALUES,
    MRD_AGG_QUANTILE,
    MRD_AGG_LIMITK,
    MRD_AGG_LIMIT_RATIO,
    MRD_AGG_TYPE_COUNT
};

const char *mrd_aggregation_text(enum mrd_aggregation op);
static inline bool mrd_aggregation_has_param(enum mrd_aggregation op) { return op >= MRD_AGG_TOPK; }
static inline bool mrd_aggregation_experimental(enum mrd_aggregation op)
{
    return op >= MRD_AGG_LIMITK;
}

#endif
