#include "rollup/evaluate_internal.h"

static const struct {
    const char *name;
    enum mrd_rollup_function function;
} functions[] = {
    {"",                      MRD_ROLLUP_INSTANT    },
    {"timestamp",             MRD_ROLLUP_TIMESTAMP  },
    {"rate",                  MRD_ROLLUP_RATE       },
    {"increase",              MRD_ROLLUP_INCREASE   },
    {"delta",                 MRD_ROLLUP_DELTA      },
    {"changes",               MRD_ROLLUP_CHANGES    },
    {"resets",                MRD_ROLLUP_RESETS     },
    {"sum_over_time",         MRD_ROLLUP_SUM        },
    {"avg_over_time",         MRD_ROLLUP_AVG        },
    {"min_over_time",         MRD_ROLLUP_MIN        },
    {"max_over_time",         MRD_ROLLUP_MAX        },
    {"count_over_time",       MRD_ROLLUP_COUNT      },
    {"first_over_time",       MRD_ROLLUP_FIRST      },
    {"last_over_time",        MRD_ROLLUP_LAST       },
    {"present_over_time",     MRD_ROLLUP_PRESENT    },
    {"ts_of_first_over_time", MRD_ROLLUP_TS_OF_FIRST},
    {"ts_of_last_over_time",  MRD_ROLLUP_TS_OF_LAST },
};

enum mrd_rollup_function mrd_rollup_function_find(struct mrd_bytes name)
{
    for (size_t i = 0; i < MRD_ARRAY_LEN(functions); i++) {
        if (mrd_bytes_equal(name, mrd_bytes_of(functions[i].name))) {
            return functions[i].function;
        }
    }
    return MRD_ROLLUP_NO_FUNCTION;
}

/* ---- extrapolation: Prometheus 3.14, promql/functions.go (extrapolatedRate) ---- */

struct mrd_rollup_shape mrd_rollup_shape_of(const struct mrd_rollup_question *question,
                                            struct mrd_span first, struct mrd_span last,
                                            uint64_t count)
{
    return (struct mrd_rollup_shape){
        .to_start = (double)(first.time_ms - question->begin_ms) / 1000,
        .sampled = (double)(last.time_ms - first.time_ms) / 1000,
        .to_end = (double)(question->end_ms - last.time_ms) / 1000,
        .count = count,
    };
}

double mrd_rollup_stretch(const struct mrd_rollup_shape *shape, double to_zero)
{
    const double average = shape->sampled / (double)(shape->count - 1);
    const double stretched = mrd_rollup_reach(shape->to_start, average);
    const double to_start = to_zero < stretched ? to_zero : stretched;
    const double to_end = mrd_rollup_reach(shape->to_end, average);
    return (shape->sampled + to_start + to_end) / shape->sampled;
}

double mrd_rollup_stretch_from_zero(const struct mrd_rollup_question *question,
                                    struct mrd_span first, struct mrd_span last, uint64_t count)
{
    const struct mrd_rollup_shape shape = mrd_rollup_shape_of(question, first, last, count);
    const double average = count == 1 ? 0 : shape.sampled / (double)(count - 1);
    const double counted = (double)(last.time_ms - first.start_ms) / 1000;
    return (counted + mrd_rollup_reach(shape.to_end, average)) / counted;
}

/* ---- floats ---- */

static double per_second(const struct mrd_rollup_question *question, double factor)
{
    return question->function == MRD_ROLLUP_RATE
               ? factor / mrd_rollup_range_seconds(question->end_ms - question->begin_ms)
               : factor;
}

static struct mrd_rollup_answer float_change(const struct mrd_rollup_question *question,
                                             const struct mrd_rollup_floats *floats)
{
    const enum mrd_rollup_reset_by kind = mrd_rollup_reset_kind(question);
    const bool counter = question->function != MRD_ROLLUP_DELTA;
    const double first = floats->first;
    double difference = floats->last - first;
    double to_zero = INFINITY;
    if (counter && floats->resets[kind] > 1 &&
        !mrd_rollup_sum_is_safe(floats->min, floats->max, floats->resets[kind] + 2)) {
        return mrd_rollup_raw(MRD_ROLLUP_LOST_MAY_OVERFLOW);
    }
    if (counter && floats->resets[kind] > 0) {
        difference += floats->lost[kind];
    }
    if (mrd_rollup_starts_inside(question, floats->first_at)) {
        const double factor = mrd_rollup_stretch_from_zero(question, floats->first_at,
                                                           floats->last_at, floats->count);
        return mrd_rollup_float((difference + first) * per_second(question, factor));
    }
    if (floats->count < 2) {
        return (struct mrd_rollup_answer){.outcome = MRD_ROLLUP_NOTHING};
    }
    const struct mrd_rollup_shape shape =
        mrd_rollup_shape_of(question, floats->first_at, floats->last_at, floats->count);
    if (counter && difference > 0 && first >= 0) {
        to_zero = shape.sampled * (first / difference);
    }
    return mrd_rollup_float(difference * per_second(question, mrd_rollup_stretch(&shape, to_zero)));
}

static struct mrd_rollup_answer float_sum(const struct mrd_rollup_floats *floats, double by)
{
    if (!mrd_rollup_sum_is_safe(floats->min, floats->max, floats->count)) {
        return mrd_rollup_raw(MRD_ROLLUP_SUM_MAY_OVERFLOW);
    }
    return mrd_rollup_float(mrd_rollup_sum_by(&floats->sum, by));
}

struct mrd_rollup_answer mrd_rollup_of_floats(const struct mrd_rollup_question *question,
                                              const struct mrd_rollup_floats *floats)
{
    struct mrd_rollup_answer answer = {.outcome = MRD_ROLLUP_NOTHING};
    switch (question->function) {
    case MRD_ROLLUP_RATE:
    case MRD_ROLLUP_INCREASE:
        answer = float_change(question, floats);
        answer.overlaps = question->use_start_timestamps && floats->overlaps &&
                          answer.outcome == MRD_ROLLUP_FLOAT;
        return answer;
    case MRD_ROLLUP_DELTA:
        return float_change(question, floats);
    case MRD_ROLLUP_CHANGES:
        return mrd_rollup_float((double)floats->changes);
    case MRD_ROLLUP_RESETS:
        return mrd_rollup_float((double)floats->resets[mrd_rollup_reset_kind(question)]);
    case MRD_ROLLUP_SUM:
        return float_sum(floats, 1);
    case MRD_ROLLUP_AVG:
        return float_sum(floats, (double)floats->count);
    case MRD_ROLLUP_MIN:
        return mrd_rollup_float(floats->min);
    case MRD_ROLLUP_MAX:
        return mrd_rollup_float(floats->max);
    case MRD_ROLLUP_COUNT:
        return mrd_rollup_float((double)floats->count);
    case MRD_ROLLUP_FIRST:
        return mrd_rollup_float(floats->first);
    case MRD_ROLLUP_INSTANT:
    case MRD_ROLLUP_LAST:
        return mrd_rollup_float(floats->last);
    case MRD_ROLLUP_PRESENT:
        return mrd_rollup_float(1);
    case MRD_ROLLUP_TS_OF_FIRST:
        return mrd_rollup_float((double)floats->first_at.time_ms / 1000);
    case MRD_ROLLUP_TS_OF_LAST:
        return mrd_rollup_float((double)MRD_MAX(floats->last_at.time_ms, (mrd_time_ms)0) / 1000);
    case MRD_ROLLUP_TIMESTAMP:
        return mrd_rollup_float((double)floats->last_at.time_ms / 1000);
    case MRD_ROLLUP_NO_FUNCTION:
        break;
    }
    mrd_assert(false);
    return answer;
}

/* ---- both ---- */

/* Which of the two is newest decides (oldest: what comes first); with none of them there is nothing. */
static enum mrd_status of_one(const struct mrd_rollup_question *question,
                              const struct mrd_rollup_row *row, bool take_float,
                              struct mrd_arena *arena, struct mrd_rollup_answer *out,
                              struct mrd_error *err)
{
    if (take_float) {
        *out = mrd_rollup_of_floats(question, &row->floats);
        return MRD_OK;
    }
    return mrd_rollup_of_histograms(question, &row->histograms, arena, out, err);
}

static enum mrd_status of_mixed(const struct mrd_rollup_question *question,
                                const struct mrd_rollup_row *row, struct mrd_arena *arena,
                                struct mrd_rollup_answer *out, struct mrd_error *err)
{
    const bool float_first = row->floats.first_at.time_ms < row->histograms.first_at.time_ms;
    const bool float_last = row->floats.last_at.time_ms > row->histograms.last_at.time_ms;
    switch (question->function) {
    case MRD_ROLLUP_COUNT:
        *out = mrd_rollup_float((double)(row->floats.count + row->histograms.count));
        return MRD_OK;
    case MRD_ROLLUP_PRESENT:
        *out = mrd_rollup_float(1);
        return MRD_OK;
    case MRD_ROLLUP_FIRST:
    case MRD_ROLLUP_TS_OF_FIRST:
        return of_one(question, row, float_first, arena, out, err);
    case MRD_ROLLUP_INSTANT:
    case MRD_ROLLUP_TIMESTAMP:
    case MRD_ROLLUP_LAST:
    case MRD_ROLLUP_TS_OF_LAST:
        return of_one(question, row, float_last, arena, out, err);
    case MRD_ROLLUP_RATE:
    case MRD_ROLLUP_INCREASE:
    case MRD_ROLLUP_DELTA:
    case MRD_ROLLUP_CHANGES:
    case MRD_ROLLUP_RESETS:
    case MRD_ROLLUP_SUM:
    case MRD_ROLLUP_AVG:
    case MRD_ROLLUP_MIN:
    case MRD_ROLLUP_MAX:
    case MRD_ROLLUP_NO_FUNCTION:
        break;
    }
    *out = mrd_rollup_raw("floats and histograms in one range");
    return MRD_OK;
}

enum mrd_status mrd_rollup_evaluate(const struct mrd_rollup_question *question,
                                    const struct mrd_rollup_row *row, struct mrd_arena *arena,
                                    struct mrd_rollup_answer *out, struct mrd_error *err)
{
    const bool instant =
        question->function == MRD_ROLLUP_INSTANT || question->function == MRD_ROLLUP_TIMESTAMP;
    const mrd_time_ms newest_ms = mrd_rollup_row_newest(row);
    const bool gone = newest_ms == row->stale_ms || newest_ms <= question->begin_ms;
    mrd_assert(question->function != MRD_ROLLUP_NO_FUNCTION);
    if ((row->floats.count == 0 && row->histograms.count == 0) || (instant && gone)) {
        *out = (struct mrd_rollup_answer){.outcome = MRD_ROLLUP_NOTHING};
        return MRD_OK;
    }
    if (row->floats.count > 0 && row->histograms.count > 0) {
        return of_mixed(question, row, arena, out, err);
    }
    return of_one(question, row, row->floats.count > 0, arena, out, err);
}
