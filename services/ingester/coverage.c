#include "ingester/coverage.h"

#include <string.h>

#include "base/macros.h"

/* Puts neighbours together, two by two: half as many spans. */
static void coarsen(struct ing_coverage *coverage)
{
    size_t kept = 0;
    for (size_t i = 0; i < coverage->count; i += 2) {
        struct ing_coverage_span span = coverage->spans[i];
        if (i + 1 < coverage->count) {
            span.stamp_min_ms = MRD_MIN(span.stamp_min_ms, coverage->spans[i + 1].stamp_min_ms);
        }
        coverage->spans[kept++] = span;
    }
    coverage->count = kept;
}

void ing_coverage_restart(struct ing_coverage *coverage, uint64_t sequence)
{
    coverage->count = 0;
    coverage->next = sequence;
    coverage->rewound = false;
}

void ing_coverage_add(struct ing_coverage *coverage, uint64_t sequence, mrd_time_ms stamp_ms)
{
    coverage->rewound |= sequence < coverage->next;
    coverage->next = sequence + 1;
    struct ing_coverage_span *last =
        coverage->count == 0 ? NULL : &coverage->spans[coverage->count - 1];
    if (last != NULL && stamp_ms < last->begun_ms + coverage->span_ms) {
        last->stamp_min_ms = MRD_MIN(last->stamp_min_ms, stamp_ms);
        return;
    }
    if (coverage->count == ING_COVERAGE_SPANS) {
        coarsen(coverage);
    }
    coverage->spans[coverage->count++] = (struct ing_coverage_span){sequence, stamp_ms, stamp_ms};
}

void ing_coverage_lost(struct ing_coverage *coverage, uint64_t sequence)
{
    coverage->count = 0;
    coverage->next = MRD_MAX(coverage->next, sequence);
}

void ing_coverage_forget(struct ing_coverage *coverage, mrd_time_ms stamp_ms)
{
    size_t gone = coverage->count;
    while (gone > 0 && coverage->spans[gone - 1].stamp_min_ms > stamp_ms) {
        gone--;
    }
    coverage->count -= gone;
    memmove(coverage->spans, coverage->spans + gone, coverage->count * sizeof(coverage->spans[0]));
}

mrd_time_ms ing_coverage_stamp_before(const struct ing_coverage *coverage, uint64_t sequence)
{
    if (coverage->rewound || coverage->count == 0) {
        return INT64_MIN;
    }
    /* The last span counts in any case: more may come to it. */
    size_t at = coverage->count - 1;
    mrd_time_ms least_ms = coverage->spans[at].stamp_min_ms;
    for (; at > 0 && coverage->spans[at].first > sequence; at--) {
        least_ms = MRD_MIN(least_ms, coverage->spans[at - 1].stamp_min_ms);
    }
    return least_ms - 1;
}

uint64_t ing_coverage_first(const struct ing_coverage *coverage)
{
    return coverage->rewound ? 0 : coverage->count == 0 ? coverage->next : coverage->spans[0].first;
}
