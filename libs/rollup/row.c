#include "rollup/row.h"

mrd_time_ms mrd_rollup_row_newest(const struct mrd_rollup_row *row)
{
    mrd_time_ms newest_ms = row->stale_ms;
    if (row->floats.count > 0) {
        newest_ms = MRD_MAX(newest_ms, row->floats.last_at.time_ms);
    }
    if (row->histograms.count > 0) {
        newest_ms = MRD_MAX(newest_ms, row->histograms.last_at.time_ms);
    }
    return newest_ms;
}

/* ---- floats ---- */

void mrd_rollup_join_floats(struct mrd_rollup_floats *floats, const struct mrd_rollup_floats *later)
{
    if (later->count == 0) {
        return;
    }
    if (floats->count == 0) {
        *floats = *later;
        return;
    }
    const double before = floats->last;
    const double now = later->first;
    const bool happened[] = {
        [MRD_ROLLUP_BY_VALUE] = now < before,
        [MRD_ROLLUP_BY_START] = now < before || mrd_span_restarts(floats->last_at, later->first_at),
    };
    for (size_t k = 0; k < MRD_ROLLUP_RESET_KINDS; k++) {
        floats->resets[k] += later->resets[k] + happened[k];
        floats->lost[k] += happened[k] ? before : 0;
        floats->lost[k] += later->lost[k];
    }
    floats->count += later->count;
    floats->sum =
        mrd_kahan_add(mrd_kahan_add(floats->sum, later->sum.sum), later->sum.compensation);
    floats->min = later->min < floats->min || isnan(floats->min) ? later->min : floats->min;
    floats->max = later->max > floats->max || isnan(floats->max) ? later->max : floats->max;
    floats->changes += later->changes + (now != before && !(isnan(now) && isnan(before)) ? 1 : 0);
    floats->overlaps |= later->overlaps || mrd_span_overlaps(floats->last_at, later->first_at);
    floats->last = later->last;
    floats->last_at = later->last_at;
}

/* ---- histograms ---- */

static bool bounds_equal(const struct mrd_float_histogram *a, const struct mrd_float_histogram *b)
{
    return a->custom_value_count == b->custom_value_count &&
           (a->custom_value_count == 0 ||
            memcmp(a->custom_values, b->custom_values,
                   a->custom_value_count * sizeof(*a->custom_values)) == 0);
}

static bool kinds_differ(const struct mrd_float_histogram *a, const struct mrd_float_histogram *b)
{
    return a->schema != b->schema || a->zero_threshold != b->zero_threshold || !bounds_equal(a, b);
}

struct mrd_rollup_histograms mrd_rollup_histogram_row(const struct mrd_float_histogram *histogram,
                                                      struct mrd_span at)
{
    return (struct mrd_rollup_histograms){
        .count = 1,
        .first = histogram,
        .last = histogram,
        .first_at = at,
        .last_at = at,
        .gauges = histogram->reset == MRD_HISTOGRAM_GAUGE,
        .counters = histogram->reset != MRD_HISTOGRAM_GAUGE,
    };
}

/* Adds to what was lost. What does not fit together is uneven and never looked at. */
static enum mrd_status lose(struct mrd_rollup_histograms *histograms, size_t kind,
                            const struct mrd_float_histogram *what, struct mrd_arena *arena,
                            struct mrd_error *err)
{
    struct mrd_float_histogram *total = NULL;
    struct mrd_float_histogram_outcome outcome;
    if (what == NULL || histograms->uneven) {
        return MRD_OK;
    }
    if (histograms->lost[kind] == NULL) {
        histograms->lost[kind] = what;
        return MRD_OK;
    }
    MRD_TRY(mrd_float_histogram_copy(histograms->lost[kind], arena, &total, err));
    MRD_TRY(mrd_float_histogram_add(total, what, arena, &outcome, err));
    histograms->uneven |= outcome.incompatible || outcome.reconciled;
    histograms->lost[kind] = total;
    return MRD_OK;
}

/* Whether a counter was reset between the two, whatever is written on the later one. */
static enum mrd_status fell_between(const struct mrd_float_histogram *before,
                                    const struct mrd_float_histogram *now, struct mrd_arena *arena,
                                    bool *out, struct mrd_error *err)
{
    struct mrd_float_histogram unmarked = *now;
    unmarked.reset = MRD_HISTOGRAM_RESET_UNKNOWN;
    return mrd_float_histogram_was_reset(&unmarked, before, arena, out, err);
}

/* The resets of one kind: what was known of both, and that between them. */
static enum mrd_status join_resets(struct mrd_rollup_histograms *histograms,
                                   const struct mrd_rollup_histograms *later, size_t kind,
                                   bool happened, struct mrd_arena *arena, struct mrd_error *err)
{
    const bool is_second = histograms->count == 1;
    histograms->resets[kind] += later->resets[kind] + happened;
    if (is_second) {
        histograms->second_reset[kind] = happened;
    } else if (happened) {
        MRD_TRY(lose(histograms, kind, histograms->last, arena, err));
    }
    if (later->second_reset[kind]) {
        MRD_TRY(lose(histograms, kind, later->first, arena, err));
    }
    return lose(histograms, kind, later->lost[kind], arena, err);
}

static enum mrd_status join_histograms(struct mrd_rollup_histograms *histograms,
                                       const struct mrd_rollup_histograms *later,
                                       struct mrd_arena *arena, struct mrd_error *err)
{
    bool fell = false;
    if (later->count == 0) {
        return MRD_OK;
    }
    if (histograms->count == 0) {
        *histograms = *later;
        return MRD_OK;
    }
    MRD_TRY(fell_between(histograms->last, later->first, arena, &fell, err));
    const bool restarts = fell || mrd_span_restarts(histograms->last_at, later->first_at);
    histograms->uneven |= later->uneven || kinds_differ(histograms->first, later->first);
    MRD_TRY(join_resets(histograms, later, MRD_ROLLUP_BY_VALUE, fell, arena, err));
    MRD_TRY(join_resets(histograms, later, MRD_ROLLUP_BY_START, restarts, arena, err));
    histograms->changes +=
        later->changes + (mrd_float_histogram_equal(histograms->last, later->first) ? 0 : 1);
    histograms->overlaps |=
        later->overlaps || mrd_span_overlaps(histograms->last_at, later->first_at);
    histograms->count += later->count;
    histograms->gauges |= later->gauges;
    histograms->counters |= later->counters;
    histograms->last = later->last;
    histograms->last_at = later->last_at;
    return MRD_OK;
}

enum mrd_status mrd_rollup_join(struct mrd_rollup_row *row, const struct mrd_rollup_row *later,
                                struct mrd_arena *arena, struct mrd_error *err)
{
    row->end_ms = later->end_ms;
    row->stale_ms = MRD_MAX(row->stale_ms, later->stale_ms);
    mrd_rollup_join_floats(&row->floats, &later->floats);
    return join_histograms(&row->histograms, &later->histograms, arena, err);
}

static enum mrd_status clone(const struct mrd_float_histogram **histogram, struct mrd_arena *arena,
                             struct mrd_error *err)
{
    struct mrd_float_histogram *made = NULL;
    if (*histogram != NULL) {
        MRD_TRY(mrd_float_histogram_clone(*histogram, arena, &made, err));
        *histogram = made;
    }
    return MRD_OK;
}

enum mrd_status mrd_rollup_histograms_clone(struct mrd_rollup_histograms *histograms,
                                            struct mrd_arena *arena, struct mrd_error *err)
{
    for (size_t k = 0; k < MRD_ROLLUP_RESET_KINDS; k++) {
        MRD_TRY(clone(&histograms->lost[k], arena, err));
    }
    MRD_TRY(clone(&histograms->first, arena, err));
    return clone(&histograms->last, arena, err);
}
