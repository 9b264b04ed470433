/* evaluate_internal.h: what the answers about floats and about histograms share. */
#ifndef MRD_ROLLUP_EVALUATE_INTERNAL_H
#define MRD_ROLLUP_EVALUATE_INTERNAL_H

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
