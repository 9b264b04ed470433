#include "rollup/columns.h"

#include "rollup/evaluate_internal.h"

enum {
    EDGES = 1U << MRD_ROW_COUNT | 1U << MRD_ROW_FIRST | 1U << MRD_ROW_LAST |
            1U << MRD_ROW_FIRST_TS | 1U << MRD_ROW_LAST_TS,
    LOSSES = 1U << MRD_ROW_RESETS | 1U << MRD_ROW_LOST,
    NEWEST =
        1U << MRD_ROW_COUNT | 1U << MRD_ROW_LAST | 1U << MRD_ROW_LAST_TS | 1U << MRD_ROW_STALE_TS,
};

static unsigned without_starts(enum mrd_rollup_function function)
{
    const unsigned count = 1U << MRD_ROW_COUNT;
    switch (function) {
    case MRD_ROLLUP_INSTANT:
    case MRD_ROLLUP_TIMESTAMP:
        return NEWEST;
    case MRD_ROLLUP_RATE:
    case MRD_ROLLUP_INCREASE:
        return EDGES | LOSSES | MRD_ROW_EXTREMES_OF_RESETS;
    case MRD_ROLLUP_DELTA:
        return EDGES;
    case MRD_ROLLUP_CHANGES:
        return count | 1U << MRD_ROW_CHANGES | 1U << MRD_ROW_FIRST | 1U << MRD_ROW_LAST;
    case MRD_ROLLUP_RESETS:
        return count | 1U << MRD_ROW_RESETS | 1U << MRD_ROW_FIRST | 1U << MRD_ROW_LAST;
    case MRD_ROLLUP_SUM:
    case MRD_ROLLUP_AVG:
        return count | 1U << MRD_ROW_SUM | 1U << MRD_ROW_COMPENSATION |
               MRD_ROW_EXTREMES_OF_SUMS; /* sums that may have overflowed are refused */
    case MRD_ROLLUP_MIN:
        return count | 1U << MRD_ROW_MIN;
    case MRD_ROLLUP_MAX:
        return count | 1U << MRD_ROW_MAX;
    case MRD_ROLLUP_COUNT:
    case MRD_ROLLUP_PRESENT:
        return count;
    case MRD_ROLLUP_FIRST:
        return count | 1U << MRD_ROW_FIRST;
    case MRD_ROLLUP_LAST:
        return count | 1U << MRD_ROW_LAST;
    case MRD_ROLLUP_TS_OF_FIRST:
        return count | 1U << MRD_ROW_FIRST_TS;
    case MRD_ROLLUP_TS_OF_LAST:
        return count | 1U << MRD_ROW_LAST_TS;
    case MRD_ROLLUP_NO_FUNCTION:
        break;
    }
    mrd_assert(false);
    return 0;
}

unsigned mrd_rollup_columns_of(enum mrd_rollup_function function, bool use_start_timestamps)
{
    const unsigned columns = without_starts(function);
    const bool counter = function == MRD_ROLLUP_RATE || function == MRD_ROLLUP_INCREASE ||
                         function == MRD_ROLLUP_RESETS;
    return !counter || !use_start_timestamps
               ? columns
               : columns | EDGES | 1U << MRD_ROW_FIRST_ST | 1U << MRD_ROW_LAST_ST;
}

/* No extreme is beyond what is known to be among the values. */
static void widen(struct mrd_rollup_floats *floats, double value)
{
    floats->min = value < floats->min ? value : floats->min;
    floats->max = value > floats->max ? value : floats->max;
}

struct mrd_rollup_floats mrd_rollup_columns_floats(const struct mrd_rollup_columns *columns,
                                                   size_t i)
{
    struct mrd_rollup_floats floats = {.count =
                                           (uint64_t)mrd_rollup_integer(columns, MRD_ROW_COUNT, i)};
    const uint64_t resets = (uint64_t)mrd_rollup_integer(columns, MRD_ROW_RESETS, i);
    floats.sum.sum = mrd_rollup_real(columns, MRD_ROW_SUM, i);
    floats.sum.compensation = mrd_rollup_real(columns, MRD_ROW_COMPENSATION, i);
    floats.min = mrd_rollup_real(columns, MRD_ROW_MIN, i);
    floats.max = mrd_rollup_real(columns, MRD_ROW_MAX, i);
    floats.first = mrd_rollup_real(columns, MRD_ROW_FIRST, i);
    floats.last = mrd_rollup_real(columns, MRD_ROW_LAST, i);
    floats.first_at.time_ms = mrd_rollup_integer(columns, MRD_ROW_FIRST_TS, i);
    floats.first_at.start_ms = mrd_rollup_integer(columns, MRD_ROW_FIRST_ST, i);
    floats.last_at.time_ms = mrd_rollup_integer(columns, MRD_ROW_LAST_TS, i);
    floats.last_at.start_ms = mrd_rollup_integer(columns, MRD_ROW_LAST_ST, i);
    floats.changes = (uint64_t)mrd_rollup_integer(columns, MRD_ROW_CHANGES, i);
    for (size_t k = 0; k < MRD_ROLLUP_RESET_KINDS; k++) {
        floats.resets[k] = resets;
        floats.lost[k] = mrd_rollup_real(columns, MRD_ROW_LOST, i);
    }
    if (columns->items[MRD_ROW_FIRST] != NULL && columns->items[MRD_ROW_LAST] != NULL) {
        widen(&floats, floats.first);
        widen(&floats, floats.last);
    }
    return floats;
}

void mrd_rollup_columns_row(const struct mrd_rollup_columns *columns, size_t i,
                            struct mrd_rollup_row *out)
{
    if (columns->states != NULL && columns->states[i] != NULL) {
        *out = *columns->states[i];
        return;
    }
    *out = mrd_rollup_row_empty(columns->ends_ms[i]);
    if (columns->borders != NULL) {
        mrd_assert(i == 0 || i == columns->count - 1);
        out->floats = columns->borders[i == columns->count - 1];
        return;
    }
    out->stale_ms = mrd_rollup_integer(columns, MRD_ROW_STALE_TS, i);
    if (mrd_rollup_integer(columns, MRD_ROW_COUNT, i) > 0) {
        out->floats = mrd_rollup_columns_floats(columns, i);
    }
}

struct mrd_rollup_answer mrd_rollup_columns_answer(const struct mrd_rollup_question *question,
                                                   const struct mrd_rollup_columns *columns,
                                                   size_t i)
{
    const bool instant =
        question->function == MRD_ROLLUP_INSTANT || question->function == MRD_ROLLUP_TIMESTAMP;
    mrd_assert(columns->states == NULL || columns->states[i] == NULL);
    if (mrd_rollup_integer(columns, MRD_ROW_COUNT, i) == 0) {
        return (struct mrd_rollup_answer){.outcome = MRD_ROLLUP_NOTHING};
    }
    if (instant) {
        const mrd_time_ms last_ms = mrd_rollup_integer(columns, MRD_ROW_LAST_TS, i);
        const mrd_time_ms stale_ms = mrd_rollup_integer(columns, MRD_ROW_STALE_TS, i);
        if (last_ms <= stale_ms || last_ms <= question->begin_ms) {
            return (struct mrd_rollup_answer){.outcome = MRD_ROLLUP_NOTHING};
        }
    }
    const struct mrd_rollup_floats floats = mrd_rollup_columns_floats(columns, i);
    return mrd_rollup_of_floats(question, &floats);
}

bool mrd_rollup_row_needs_state(const struct mrd_rollup_row *row)
{
    const struct mrd_rollup_floats *floats = &row->floats;
    return row->histograms.count > 0 ||
           (floats->count > 0 &&
            (floats->overlaps ||
             floats->resets[MRD_ROLLUP_BY_VALUE] != floats->resets[MRD_ROLLUP_BY_START] ||
             mrd_double_bits(floats->lost[MRD_ROLLUP_BY_VALUE]) !=
                 mrd_double_bits(floats->lost[MRD_ROLLUP_BY_START])));
}

void mrd_rollup_row_column(const struct mrd_rollup_row *row, enum mrd_rollup_column column,
                           double *out_real, int64_t *out_integer)
{
    const struct mrd_rollup_floats *floats = &row->floats;
    const double reals[MRD_ROW_COLUMNS] = {
        [MRD_ROW_SUM] = floats->sum.sum,
        [MRD_ROW_COMPENSATION] = floats->sum.compensation,
        [MRD_ROW_MIN] = floats->min,
        [MRD_ROW_MAX] = floats->max,
        [MRD_ROW_FIRST] = floats->first,
        [MRD_ROW_LAST] = floats->last,
        [MRD_ROW_LOST] = floats->lost[MRD_ROLLUP_BY_VALUE],
    };
    const int64_t integers[MRD_ROW_COLUMNS] = {
        [MRD_ROW_COUNT] = (int64_t)floats->count,
        [MRD_ROW_FIRST_TS] = floats->first_at.time_ms,
        [MRD_ROW_LAST_TS] = floats->last_at.time_ms,
        [MRD_ROW_CHANGES] = (int64_t)floats->changes,
        [MRD_ROW_RESETS] = (int64_t)floats->resets[MRD_ROLLUP_BY_VALUE],
        [MRD_ROW_FIRST_ST] = floats->first_at.start_ms,
        [MRD_ROW_LAST_ST] = floats->last_at.start_ms,
        [MRD_ROW_STALE_TS] = row->stale_ms,
    };
    *out_real = reals[column];
    *out_integer = integers[column];
}
