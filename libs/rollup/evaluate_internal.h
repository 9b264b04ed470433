/* evaluate_internal.h: what the answers about floats and about histograms share. */
#ifndef MRD_ROLLUP_EVALUATE_INTERNAL_H
#define MRD_ROLLUP_EVALUATE_INTERNAL_H

#include <float.h>
#include <math.h>

#include "rollup/evaluate.h"

/* Where the samples of a range lie in it, in seconds. */
struct mrd_rollup_shape {
    double to_start; /* from the begin to the first sample, or from the first's start time to it */
    double sampled;
    double to_end;
    uint64_t count; /* of samples */
};

struct mrd_rollup_shape mrd_rollup_shape_of(const struct mrd_rollup_question *question,
                                            struct mrd_span first, struct mrd_span last,
                                            uint64_t count);

/* By how much a difference is stretched to the range. `to_zero`: seconds before the first sample at which the counter was
 * zero, INFINITY if it need not have been. */
double mrd_rollup_stretch(const struct mrd_rollup_shape *shape, double to_zero);

/* The same where what was counted began with nothing at the start time of the first sample. */
double mrd_rollup_stretch_from_zero(const struct mrd_rollup_question *question,
                                    struct mrd_span first, struct mrd_span last, uint64_t count);

static inline bool mrd_rollup_is_rate(const struct mrd_rollup_question *question)
{
    return question->function == MRD_ROLLUP_RATE || question->function == MRD_ROLLUP_INCREASE;
}

static inline enum mrd_rollup_reset_by
mrd_rollup_reset_kind(const struct mrd_rollup_question *question)
{
    return question->use_start_timestamps ? MRD_ROLLUP_BY_START : MRD_ROLLUP_BY_VALUE;
}

/* Whether the first sample began to count inside the range. */
static inline bool mrd_rollup_starts_inside(const struct mrd_rollup_question *question,
                                            struct mrd_span first)
{
    return question->use_start_timestamps && mrd_rollup_is_rate(question) && first.start_ms != 0 &&
           first.start_ms > question->begin_ms && first.start_ms < first.time_ms;
}

/* ---- what answers about floats, one by one and many at once, are made of ---- */

#define MRD_ROLLUP_LOST_MAY_OVERFLOW "what was lost in resets may overflow"
#define MRD_ROLLUP_SUM_MAY_OVERFLOW "a sum may overflow"

/* Sums that may have passed the range of a double on their way depend on the order in which they were made. */
static inline bool mrd_rollup_sum_is_safe(double min, double max, uint64_t terms)
{
    const double greatest = fmax(fabs(min), fabs(max));
    return !(greatest * (double)terms > DBL_MAX / 4);
}

/* A sum, or with the number of its values their average. */
static inline double mrd_rollup_sum_by(const struct mrd_kahan *sum, double by)
{
    return by == 1 ? sum->sum + sum->compensation : sum->sum / by + sum->compensation / by;
}

/* Go's time.Duration.Seconds. */
static inline double mrd_rollup_range_seconds(mrd_time_ms range_ms)
{
    return (double)(range_ms / 1000) + (double)(range_ms % 1000 * 1000000) / 1e9;
}

/* Up to the edge if the next sample could have been just beyond it, else half an average interval. */
static inline double mrd_rollup_reach(double to_edge, double average)
{
    return to_edge >= average * 1.1 ? average / 2 : to_edge;
}

/* What the change of a range is stretched by; distances in seconds, as in struct mrd_rollup_shape. */
struct mrd_rollup_change {
    double difference; /* with what was lost */
    double first;
    double to_start;
    double sampled;
    double to_end;
    double steps; /* samples but one, at least 1 */
};

/* The same operations in the same order as float_change and mrd_rollup_stretch have them; range_s is 1 where nothing is to be divided by it:
 * that leaves no trace. */
static inline double mrd_rollup_change_of(const struct mrd_rollup_change *change, bool counter,
                                          double range_s)
{
    const double average = change->sampled / change->steps;
    const double stretched = mrd_rollup_reach(change->to_start, average);
    const double zero = change->sampled * (change->first / change->difference);
    const bool bounded =
        counter && change->difference > 0 && change->first >= 0 && zero < stretched;
    const double before = bounded ? zero : stretched;
    const double factor =
        (change->sampled + before + mrd_rollup_reach(change->to_end, average)) / change->sampled;
    return change->difference * (factor / range_s);
}

static inline struct mrd_rollup_answer mrd_rollup_float(double value)
{
    return (struct mrd_rollup_answer){.outcome = MRD_ROLLUP_FLOAT, .value = value};
}
static inline struct mrd_rollup_answer mrd_rollup_raw(const char *why)
{
    return (struct mrd_rollup_answer){.outcome = MRD_ROLLUP_RAW, .why = why};
}

/* Of a range with floats only (at least one). */
struct mrd_rollup_answer mrd_rollup_of_floats(const struct mrd_rollup_question *question,
                                              const struct mrd_rollup_floats *floats);
/* Of a range with histograms only. */
MRD_MUST_CHECK enum mrd_status
mrd_rollup_of_histograms(const struct mrd_rollup_question *question,
                         const struct mrd_rollup_histograms *histograms, struct mrd_arena *arena,
                         struct mrd_rollup_answer *out, struct mrd_error *err);

#endif
