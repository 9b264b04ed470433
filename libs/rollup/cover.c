#include "rollup/cover.h"

/* What is in the way of an answer, or NULL. */
static const char *obstacle(const struct mrd_rollup_use *use, mrd_time_ms resolution_ms)
{
    const enum mrd_rollup_function function = mrd_rollup_function_find(use->function);
    const bool instant = function == MRD_ROLLUP_INSTANT || function == MRD_ROLLUP_TIMESTAMP;
    if (function == MRD_ROLLUP_NO_FUNCTION) {
        return "the function needs every sample";
    }
    if (use->moves_edges) {
        return "anchored and smoothed ranges need the samples around their edges";
    }
    if (use->end_ms % resolution_ms != 0) {
        return "a range does not end where a window does";
    }
    if (use->step_ms % resolution_ms != 0) {
        return "the step is no multiple of the resolution";
    }
    if (!instant && (use->range_ms <= 0 || use->range_ms % resolution_ms != 0)) {
        return "the range is no multiple of the resolution";
    }
    return NULL;
}

bool mrd_rollup_suits(const struct mrd_rollup_use *use, mrd_time_ms resolution_ms,
                      const char **out_why)
{
    const char *why = obstacle(use, resolution_ms);
    if (why != NULL && out_why != NULL) {
        *out_why = why;
    }
    return why == NULL;
}

int mrd_rollup_choose(const struct mrd_rollup_use *use, const mrd_time_ms *resolutions_ms,
                      size_t count)
{
    for (size_t i = count; i > 0; i--) {
        if (mrd_rollup_suits(use, resolutions_ms[i - 1], NULL)) {
            return (int)(i - 1);
        }
    }
    return -1;
}

static size_t add_part(mrd_time_ms resolution_ms, mrd_time_ms begin_ms, mrd_time_ms end_ms,
                       struct mrd_rollup_part *out)
{
    if (begin_ms >= end_ms) {
        return 0;
    }
    *out = (struct mrd_rollup_part){resolution_ms, begin_ms, end_ms};
    return 1;
}

size_t mrd_rollup_cover(mrd_time_ms begin_ms, mrd_time_ms end_ms, const mrd_time_ms *resolutions_ms,
                        size_t count, struct mrd_rollup_part *out)
{
    if (count == 0) {
        return add_part(0, begin_ms, end_ms, out);
    }
    const mrd_time_ms resolution_ms = resolutions_ms[count - 1];
    const mrd_time_ms first_ms = mrd_rollup_window_end(begin_ms, resolution_ms);
    const mrd_time_ms ceiling_ms = mrd_rollup_window_end(end_ms, resolution_ms);
    const mrd_time_ms last_ms = ceiling_ms == end_ms ? end_ms : ceiling_ms - resolution_ms;
    if (first_ms >= last_ms) { /* no whole window: the next finer ones */
        return mrd_rollup_cover(begin_ms, end_ms, resolutions_ms, count - 1, out);
    }
    size_t made = mrd_rollup_cover(begin_ms, first_ms, resolutions_ms, count - 1, out);
    made += add_part(resolution_ms, first_ms, last_ms, out + made);
    return made + mrd_rollup_cover(last_ms, end_ms, resolutions_ms, count - 1, out + made);
}
