#include "codec/resets.h"

#include "model/float_histogram.h"

static bool sides_alike(const struct mrd_histogram_side *a, const struct mrd_histogram_side *b)
{
    return a->span_count == b->span_count && a->bucket_count == b->bucket_count &&
           (a->spans == b->spans || a->span_count == 0 ||
            memcmp(a->spans, b->spans, a->span_count * sizeof(*a->spans)) == 0);
}

static bool bounds_alike(const struct mrd_histogram *a, const struct mrd_histogram *b)
{
    return a->custom_value_count == b->custom_value_count &&
           (a->custom_values == b->custom_values || a->custom_value_count == 0 ||
            memcmp(a->custom_values, b->custom_values,
                   a->custom_value_count * sizeof(*a->custom_values)) == 0);
}

/* Bounds of the same kind; others begin anew, as Prometheus' storage has it. */
static bool is_of_kind(const struct mrd_histogram *a, const struct mrd_histogram *b)
{
    return a->is_float == b->is_float && a->schema == b->schema &&
           a->zero_threshold == b->zero_threshold && bounds_alike(a, b);
}

static bool layouts_alike(const struct mrd_histogram *a, const struct mrd_histogram *b)
{
    return sides_alike(&a->positive, &b->positive) && sides_alike(&a->negative, &b->negative);
}

static bool fell(bool is_float, union mrd_histogram_count now, union mrd_histogram_count before)
{
    return is_float ? now.real < before.real : now.integer < before.integer;
}

static bool side_fell(bool is_float, const struct mrd_histogram_side *now,
                      const struct mrd_histogram_side *before)
{
    bool any = false;
    for (size_t i = 0; i < now->bucket_count; i++) {
        any |= fell(is_float, now->buckets[i], before->buckets[i]);
    }
    return any;
}

/* Of two layouts: the question is the engine's. */
static bool was_reset(const struct mrd_histogram *now, const struct mrd_histogram *before,
                      struct mrd_arena *arena)
{
    struct mrd_float_histogram *a = NULL;
    struct mrd_float_histogram *b = NULL;
    bool reset = true;
    if (mrd_float_histogram_from(now, arena, &a, NULL) != MRD_OK ||
        mrd_float_histogram_from(before, arena, &b, NULL) != MRD_OK) {
        return true;
    }
    a->reset = MRD_HISTOGRAM_RESET_UNKNOWN;
    return mrd_float_histogram_was_reset(a, b, arena, &reset, NULL) != MRD_OK || reset;
}

static bool is_reset(const struct mrd_histogram *now, const struct mrd_histogram *before,
                     struct mrd_arena *arena)
{
    if (!is_of_kind(now, before)) {
        return true;
    }
    if (!layouts_alike(now, before)) {
        return was_reset(now, before, arena);
    }
    return fell(now->is_float, now->count, before->count) ||
           fell(now->is_float, now->zero_count, before->zero_count) ||
           side_fell(now->is_float, &now->positive, &before->positive) ||
           side_fell(now->is_float, &now->negative, &before->negative);
}

static enum mrd_histogram_reset reset_of(const struct mrd_histogram *items, size_t i,
                                         struct mrd_arena *arena)
{
    if (items[i].reset == MRD_HISTOGRAM_GAUGE) {
        return MRD_HISTOGRAM_GAUGE;
    }
    const bool follows = i > 0 && items[i - 1].reset != MRD_HISTOGRAM_GAUGE &&
                         !mrd_histogram_is_stale(&items[i - 1]) &&
                         !mrd_histogram_is_stale(&items[i]);
    return follows && !is_reset(&items[i], &items[i - 1], arena) ? MRD_HISTOGRAM_NO_RESET
                                                                 : MRD_HISTOGRAM_RESET_UNKNOWN;
}

void mrd_histograms_find_resets(struct mrd_histogram *items, size_t first, size_t count,
                                struct mrd_arena *arena)
{
    for (size_t i = first; i < count; i++) {
        items[i].reset = reset_of(items, i, arena);
    }
}
