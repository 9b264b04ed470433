#include "promql/coarse.h"

static void drop_span(struct mrd_coarse_spans *spans, size_t at)
{
    spans->count--;
    memmove(&spans->items[at], &spans->items[at + 1],
            (spans->count - at) * sizeof(spans->items[0]));
}

static mrd_time_ms length_of(const struct mrd_coarse_span *span)
{
    return span->end_ms - span->begin_ms;
}

/* Makes the span at `at` two: what is before and after the hole. */
static void split(struct mrd_coarse_spans *spans, size_t at, struct mrd_coarse_span before,
                  struct mrd_coarse_span after)
{
    if (length_of(&before) <= 0 && length_of(&after) <= 0) {
        drop_span(spans, at);
        return;
    }
    if (length_of(&before) <= 0 || length_of(&after) <= 0) {
        spans->items[at] = length_of(&before) <= 0 ? after : before;
        return;
    }
    if (spans->count == MRD_COARSE_SPANS_MAX) {
        size_t shortest = at == 0 ? 1 : 0;
        for (size_t i = 0; i < spans->count; i++) {
            if (i != at && length_of(&spans->items[i]) < length_of(&spans->items[shortest])) {
                shortest = i;
            }
        }
        const bool before_is_shorter = length_of(&before) < length_of(&after);
        const mrd_time_ms shorter = before_is_shorter ? length_of(&before) : length_of(&after);
        if (shorter <= length_of(&spans->items[shortest])) {
            spans->items[at] = before_is_shorter ? after : before;
            return;
        }
        drop_span(spans, shortest);
        at -= shortest < at;
    }
    memmove(&spans->items[at + 1], &spans->items[at],
            (spans->count - at) * sizeof(spans->items[0]));
    spans->items[at] = before;
    spans->items[at + 1] = after;
    spans->count++;
}

void mrd_coarse_spans_cut(struct mrd_coarse_spans *spans, mrd_time_ms begin_ms, mrd_time_ms end_ms,
                          mrd_time_ms resolution_ms)
{
    if (begin_ms >= end_ms) {
        return;
    }
    const mrd_time_ms to_ms = mrd_rollup_window_end(end_ms, resolution_ms);
    const mrd_time_ms after_ms = mrd_rollup_window_end(begin_ms, resolution_ms);
    const mrd_time_ms from_ms = after_ms == begin_ms ? begin_ms : after_ms - resolution_ms;
    for (size_t i = spans->count; i > 0; i--) { /* a cut may drop or add some, behind or before */
        size_t at = MRD_MIN(i, spans->count);
        if (at == 0) {
            return;
        }
        const struct mrd_coarse_span span = spans->items[--at];
        if (span.begin_ms < to_ms && span.end_ms > from_ms) {
            split(spans, at, (struct mrd_coarse_span){span.begin_ms, MRD_MIN(span.end_ms, from_ms)},
                  (struct mrd_coarse_span){MRD_MAX(span.begin_ms, to_ms), span.end_ms});
        }
    }
}

void mrd_coarse_spans_divide(struct mrd_coarse_spans *spans, mrd_time_ms time_ms)
{
    for (size_t i = 0; i < spans->count; i++) {
        const struct mrd_coarse_span span = spans->items[i];
        if (span.begin_ms < time_ms && time_ms < span.end_ms) {
            split(spans, i, (struct mrd_coarse_span){span.begin_ms, time_ms},
                  (struct mrd_coarse_span){time_ms, span.end_ms});
            return;
        }
    }
}

mrd_time_ms mrd_coarse_spans_length(const struct mrd_coarse_spans *spans)
{
    mrd_time_ms length = 0;
    for (size_t i = 0; i < spans->count; i++) {
        length += length_of(&spans->items[i]);
    }
    return length;
}
