/* The *_over_time functions: aggregates of the samples of a window. */
#include "promql/kahan.h"
#include "promql/quantile.h"
#include "promql/window.h"

/* Defines pql_<name>: `expression` over the window's `values` (`count` > 0 of them) and `times_ms`,
 * for the step `i`. */
#define WINDOW_FUNCTION(name, expression)                                                          \
    void pql_##name(const struct pql_windows *windows, double *out)                                \
    {                                                                                              \
        for (size_t i = 0; i < windows->steps; i++) {                                              \
            const double *values = windows->values + windows->from[i];                             \
            const mrd_time_ms *times_ms = windows->times_ms + windows->from[i];                    \
            const size_t count = windows->to[i] - windows->from[i];                                \
            (void)values;                                                                          \
            (void)times_ms;                                                                        \
            out[i] = count == 0 ? pql_none() : (expression);                                       \
        }                                                                                          \
    }

/* The compensated sum without a look at infinities: as long as the sum is finite in the end, it was
 * finite all along, and this is mrd_kahan_add over and over. */
static inline struct mrd_kahan window_total(const struct mrd_look *look, const double *values,
                                            size_t count)
{
    double sum = 0;
    double compensation = 0;
    PQL_WINDOW_PARTS(look, i, until, 0, count)
    {
        for (; i < until; i++) {
            const bool swap = fabs(sum) < fabs(values[i]);
            const double large = swap ? values[i] : sum;
            const double small = swap ? sum : values[i];
            sum += values[i];
            compensation += (large - sum) + small;
        }
    }
    return (struct mrd_kahan){sum, compensation};
}

static inline double window_sum(const struct mrd_look *look, const double *values, size_t count)
{
    const struct mrd_kahan total = window_total(look, values, count);
    return isinf(total.sum) ? total.sum : total.sum + total.compensation;
}

static double window_mean_checked(const struct mrd_look *look, const double *values, size_t count)
{
    struct mrd_mean mean = {0};
    PQL_WINDOW_PARTS(look, i, until, 0, count)
    {
        for (; i < until; i++) {
            mrd_mean_add(&mean, values[i]);
        }
    }
    return mrd_mean_value(&mean);
}

static inline double window_mean(const struct mrd_look *look, const double *values, size_t count)
{
    const struct mrd_kahan total = window_total(look, values, count);
    if (!isfinite(total.sum)) {
        return window_mean_checked(look, values, count);
    }
    return total.sum / (double)count + total.compensation / (double)count;
}

/* Index of the extreme value; NaN only wins where there is nothing else. */
static inline size_t window_min_index(const struct mrd_look *look, const double *values,
                                      size_t count, bool latest)
{
    size_t best = 0;
    PQL_WINDOW_PARTS(look, i, until, latest ? 0 : 1, count)
    {
        for (; i < until; i++) {
            const bool better = latest ? values[i] <= values[best] : values[i] < values[best];
            if (better || isnan(values[best])) {
                best = i;
            }
        }
    }
    return best;
}
static inline size_t window_max_index(const struct mrd_look *look, const double *values,
                                      size_t count, bool latest)
{
    size_t best = 0;
    PQL_WINDOW_PARTS(look, i, until, latest ? 0 : 1, count)
    {
        for (; i < until; i++) {
            const bool better = latest ? values[i] >= values[best] : values[i] > values[best];
            if (better || isnan(values[best])) {
                best = i;
            }
        }
    }
    return best;
}

/* The extreme value as the index functions find it, without a branch per value. The first comparison is
 * false for NaN, so NaN is passed over; the four chains may meet equal values in another order, which shows
 * in the sign of a zero only, and a window without any value beyond the start is looked at with care. */
#define WINDOW_EXTREME(name, start, beyond, index)                                                 \
    static inline double name(const struct mrd_look *look, const double *values, size_t count)     \
    {                                                                                              \
        double best[4] = {(start), (start), (start), (start)};                                     \
        PQL_WINDOW_PARTS(look, i, until, 0, count)                                                 \
        {                                                                                          \
            for (; i + 4 <= until; i += 4) {                                                       \
                for (size_t k = 0; k < 4; k++) {                                                   \
                    best[k] = values[i + k] beyond best[k] ? values[i + k] : best[k];              \
                }                                                                                  \
            }                                                                                      \
            for (; i < until; i++) {                                                               \
                best[0] = values[i] beyond best[0] ? values[i] : best[0];                          \
            }                                                                                      \
        }                                                                                          \
        for (size_t k = 1; k < 4; k++) {                                                           \
            best[0] = best[k] beyond best[0] ? best[k] : best[0];                                  \
        }                                                                                          \
        const bool plain = best[0] != 0 && best[0] != (start);                                     \
        return plain ? best[0] : values[index(look, values, count, false)];                        \
    }
WINDOW_EXTREME(window_min, INFINITY, <, window_min_index)
WINDOW_EXTREME(window_max, -INFINITY, >, window_max_index)

static inline double window_variance(const struct mrd_look *look, const double *values,
                                     size_t count)
{
    struct mrd_kahan mean = {0};
    struct mrd_kahan squares = {0};
    PQL_WINDOW_PARTS(look, i, until, 0, count)
    {
        for (; i < until; i++) {
            const double delta = values[i] - (mean.sum + mean.compensation);
            mean = mrd_kahan_add(mean, delta / (double)(i + 1));
            squares = mrd_kahan_add(squares, delta * (values[i] - (mean.sum + mean.compensation)));
        }
    }
    return (squares.sum + squares.compensation) / (double)count;
}

/* NaN if it was ended, which the caller of the function finds out with its next pql_work. */
static double sorted_quantile(const struct pql_windows *windows, size_t count, double q)
{
    return pql_sort_doubles(windows->scratch, count, &windows->look, NULL) == MRD_OK
               ? pql_quantile_sorted(q, windows->scratch, count)
               : NAN;
}

static double window_quantile(const struct pql_windows *windows, const double *values, size_t count,
                              double q)
{
    memcpy(windows->scratch, values, count * sizeof(values[0]));
    return sorted_quantile(windows, count, q);
}

static double window_mad(const struct pql_windows *windows, const double *values, size_t count)
{
    double *scratch = windows->scratch;
    PQL_WINDOW_PARTS(&windows->look, i, until, 0, count)
    {
        for (; i < until; i++) {
            if (isnan(values[i])) {
                return NAN;
            }
        }
    }
    const double median = window_quantile(windows, values, count, 0.5);
    PQL_WINDOW_PARTS(&windows->look, i, until, 0, count)
    {
        for (; i < until; i++) {
            scratch[i] = fabs(values[i] - median);
        }
    }
    return sorted_quantile(windows, count, 0.5);
}

WINDOW_FUNCTION(sum_over_time, window_sum(&windows->look, values, count))
WINDOW_FUNCTION(avg_over_time, window_mean(&windows->look, values, count))
WINDOW_FUNCTION(min_over_time, window_min(&windows->look, values, count))
WINDOW_FUNCTION(max_over_time, window_max(&windows->look, values, count))
WINDOW_FUNCTION(count_over_time, (double)count)
WINDOW_FUNCTION(stdvar_over_time, window_variance(&windows->look, values, count))
WINDOW_FUNCTION(stddev_over_time, sqrt(window_variance(&windows->look, values, count)))
WINDOW_FUNCTION(last_over_time, values[count - 1])
WINDOW_FUNCTION(first_over_time, values[0])
WINDOW_FUNCTION(present_over_time, 1)
WINDOW_FUNCTION(quantile_over_time, window_quantile(windows, values, count, windows->args[0][i]))
WINDOW_FUNCTION(mad_over_time, window_mad(windows, values, count))
WINDOW_FUNCTION(ts_of_first_over_time, (double)times_ms[0] / 1000)
/* Prometheus takes the later of a float's and a histogram's time, and 0 where there is none. */
WINDOW_FUNCTION(ts_of_last_over_time, (double)MRD_MAX(times_ms[count - 1], (mrd_time_ms)0) / 1000)
WINDOW_FUNCTION(ts_of_min_over_time,
                (double)times_ms[window_min_index(&windows->look, values, count, true)] / 1000)
WINDOW_FUNCTION(ts_of_max_over_time,
                (double)times_ms[window_max_index(&windows->look, values, count, true)] / 1000)
