/* span.h: since when and until when a sample counts, and what two of them in a row say of each other.
 *
 * Source: Prometheus 3.14, promql/functions.go (isStartTimestampReset).
 */
#ifndef MRD_MODEL_SPAN_H
#define MRD_MODEL_SPAN_H

#include "base/clock.h"

#include <stdbool.h>

/* A sample without its value. */
struct mrd_span {
    mrd_time_ms time_ms;
    mrd_time_ms start_ms; /* 0: unknown */
};

/* Whether start times tell that a counter was reset between two samples. One that is the time of the sample before
 * is a delta's, if that was one too: it may also be the first of a counter whose start was not known before. */
static inline bool mrd_span_restarts(struct mrd_span before, struct mrd_span now)
{
    if (now.start_ms == 0 || now.start_ms >= now.time_ms || now.start_ms < before.time_ms) {
        return false;
    }
    return now.start_ms > before.time_ms ||
           (before.start_ms != 0 && before.start_ms < before.time_ms);
}

/* Whether a sample counts from before the time of the one before, and from elsewhere than that. */
static inline bool mrd_span_overlaps(struct mrd_span before, struct mrd_span now)
{
    return now.start_ms != 0 && now.start_ms < before.time_ms && now.start_ms != before.start_ms;
}

#endif
