/* Ranges of native histograms. Source: Prometheus 3.14, promql/functions.go (histogramRate). */
#include "rollup/evaluate_internal.h"

static struct mrd_rollup_answer histogram_answer(const struct mrd_float_histogram *histogram)
{
    return (struct mrd_rollup_answer){.outcome = MRD_ROLLUP_HISTOGRAM, .histogram = histogram};
}

/* ---- rate, increase, delta ---- */

/* Last minus first, resets added. Fits: the row is even. */
static enum mrd_status difference_of(const struct mrd_rollup_question *question,
                                     const struct mrd_rollup_histograms *histograms,
                                     struct mrd_arena *arena, struct mrd_float_histogram **out,
                                     struct mrd_error *err)
{
    const struct mrd_float_histogram *last = histograms->last;
    const enum mrd_rollup_reset_by kind = mrd_rollup_reset_kind(question);
    const bool counter = mrd_rollup_is_rate(question);
    const struct mrd_float_histogram empty = {.schema = last->schema,
                                              .custom_values = last->custom_values,
                                              .custom_value_count = last->custom_value_count};
    const bool from_empty = counter && histograms->second_reset[kind];
    struct mrd_float_histogram_outcome outcome;
    struct mrd_float_histogram *total = NULL;
    MRD_TRY(mrd_float_histogram_copy(last, arena, &total, err));
    MRD_TRY(mrd_float_histogram_subtract(total, from_empty ? &empty : histograms->first, arena,
                                         &outcome, err));
    if (counter && histograms->lost[kind] != NULL) {
        MRD_TRY(mrd_float_histogram_add(total, histograms->lost[kind], arena, &outcome, err));
    }
    total->reset = MRD_HISTOGRAM_GAUGE;
    *out = total;
    return mrd_float_histogram_compact(total, arena, err);
}

static double seconds_of(const struct mrd_rollup_question *question)
{
    return (double)(question->end_ms - question->begin_ms) / 1000;
}

static double factor_of(const struct mrd_rollup_question *question,
                        const struct mrd_rollup_histograms *histograms,
                        const struct mrd_float_histogram *difference)
{
    const struct mrd_rollup_shape shape =
        mrd_rollup_shape_of(question, histograms->first_at, histograms->last_at, histograms->count);
    double to_zero = INFINITY;
    if (mrd_rollup_is_rate(question) && difference->count > 0 && histograms->first->count >= 0) {
        to_zero = shape.sampled * (histograms->first->count / difference->count);
    }
    return mrd_rollup_stretch(&shape, to_zero);
}

/* The whole of a counter that began with nothing in the range. */
static enum mrd_status from_zero(const struct mrd_rollup_question *question,
                                 const struct mrd_rollup_histograms *histograms,
                                 struct mrd_arena *arena, struct mrd_float_histogram **total,
                                 double *factor, struct mrd_error *err)
{
    struct mrd_float_histogram_outcome outcome;
    *factor = mrd_rollup_stretch_from_zero(question, histograms->first_at, histograms->last_at,
                                           histograms->count);
    return *total == NULL
               ? mrd_float_histogram_copy(histograms->first, arena, total, err)
               : mrd_float_histogram_add(*total, histograms->first, arena, &outcome, err);
}

/* Why the row does not know the change, or NULL. */
static const char *change_is_unknown(const struct mrd_rollup_question *question,
                                     const struct mrd_rollup_histograms *histograms)
{
    if (histograms->uneven) {
        return "histograms of several schemas, zero thresholds or bounds";
    }
    if (mrd_rollup_is_rate(question) && histograms->gauges) {
        return "gauges among the histograms of a counter";
    }
    if (!mrd_rollup_is_rate(question) && histograms->counters) {
        return "counters among the histograms of a gauge";
    }
    return NULL;
}

static enum mrd_status change(const struct mrd_rollup_question *question,
                              const struct mrd_rollup_histograms *histograms,
                              struct mrd_arena *arena, struct mrd_rollup_answer *out,
                              struct mrd_error *err)
{
    const bool began_inside = mrd_rollup_starts_inside(question, histograms->first_at);
    const char *unknown = change_is_unknown(question, histograms);
    struct mrd_float_histogram *total = NULL;
    double factor = 1;
    *out = (struct mrd_rollup_answer){.outcome = MRD_ROLLUP_NOTHING};
    if (histograms->count < 2 && !began_inside) {
        return MRD_OK;
    }
    if (unknown != NULL) {
        *out = mrd_rollup_raw(unknown);
        return MRD_OK;
    }
    if (histograms->count >= 2) {
        MRD_TRY(difference_of(question, histograms, arena, &total, err));
        factor = factor_of(question, histograms, total);
    }
    if (began_inside) {
        MRD_TRY(from_zero(question, histograms, arena, &total, &factor, err));
    }
    if (question->function == MRD_ROLLUP_RATE) {
        factor /= seconds_of(question);
    }
    mrd_float_histogram_multiply(total, factor);
    *out = histogram_answer(total);
    return MRD_OK;
}

/* ---- all ---- */

enum mrd_status mrd_rollup_of_histograms(const struct mrd_rollup_question *question,
                                         const struct mrd_rollup_histograms *histograms,
                                         struct mrd_arena *arena, struct mrd_rollup_answer *out,
                                         struct mrd_error *err)
{
    switch (question->function) {
    case MRD_ROLLUP_RATE:
    case MRD_ROLLUP_INCREASE:
    case MRD_ROLLUP_DELTA:
        MRD_TRY(change(question, histograms, arena, out, err));
        out->overlaps = mrd_rollup_is_rate(question) && question->use_start_timestamps &&
                        histograms->overlaps && histograms->count >= 2;
        return MRD_OK;
    case MRD_ROLLUP_CHANGES:
        *out = mrd_rollup_float((double)histograms->changes);
        return MRD_OK;
    case MRD_ROLLUP_RESETS:
        *out = mrd_rollup_float((double)histograms->resets[mrd_rollup_reset_kind(question)]);
        return MRD_OK;
    case MRD_ROLLUP_SUM:
    case MRD_ROLLUP_AVG:
        *out = mrd_rollup_raw("the sum of histograms is not kept");
        return MRD_OK;
    case MRD_ROLLUP_MIN:
    case MRD_ROLLUP_MAX:
        *out = (struct mrd_rollup_answer){.outcome = MRD_ROLLUP_NOTHING}; /* of floats alone */
        return MRD_OK;
    case MRD_ROLLUP_COUNT:
        *out = mrd_rollup_float((double)histograms->count);
        return MRD_OK;
    case MRD_ROLLUP_FIRST:
        *out = histogram_answer(histograms->first);
        return MRD_OK;
    case MRD_ROLLUP_INSTANT:
    case MRD_ROLLUP_LAST:
        *out = histogram_answer(histograms->last);
        return MRD_OK;
    case MRD_ROLLUP_PRESENT:
        *out = mrd_rollup_float(1);
        return MRD_OK;
    case MRD_ROLLUP_TS_OF_FIRST:
        *out = mrd_rollup_float((double)histograms->first_at.time_ms / 1000);
        return MRD_OK;
    case MRD_ROLLUP_TS_OF_LAST:
    case MRD_ROLLUP_TIMESTAMP:
        *out = mrd_rollup_float((double)histograms->last_at.time_ms / 1000);
        return MRD_OK;
    case MRD_ROLLUP_NO_FUNCTION:
        break;
    }
    mrd_assert(false);
    return MRD_OK;
}
