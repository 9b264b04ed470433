/* histogram_check.h: whether a native histogram can be one, by Prometheus' rules and in its words.
 *
 * Source: Prometheus model/histogram/histogram.go, float_histogram.go (Validate) and generic.go. One rule is ours:
 * bucket indexes fit into 31 bits, and one histogram has at most MRD_HISTOGRAM_PARTS_MAX buckets, spans and custom
 * bounds, so that whatever reads it later has a bound.
 */
#ifndef MRD_MODEL_HISTOGRAM_CHECK_H
#define MRD_MODEL_HISTOGRAM_CHECK_H

#include "base/status.h"
#include "model/histogram.h"

enum {
    MRD_HISTOGRAM_PARTS_MAX = 8192, /* buckets; likewise spans, custom bounds */
    MRD_HISTOGRAM_SCHEMA_FINER_MAX =
        52, /* what senders may use; mrd_histogram_coarsen makes it 8 */
};

/* The check for staleness markers too, whose fields are all 0. Integer buckets are looked at as signed: what a
 * sender's differences took below 0 is "negative". MRD_E_INVALID says what is wrong; MRD_E_LIMIT, that it has too
 * many parts. Cost: a pass over spans, buckets and bounds. */
MRD_MUST_CHECK enum mrd_status mrd_histogram_check(const struct mrd_histogram *histogram,
                                                   struct mrd_error *err);

/* Room for one side that has been made coarser. */
struct mrd_histogram_side_room {
    struct mrd_histogram_span *spans;   /* as many as the side has buckets */
    union mrd_histogram_count *buckets; /* likewise */
};

/* Brings an exponential histogram of schema 9 to MRD_HISTOGRAM_SCHEMA_FINER_MAX, whose spans fit their buckets, to
 * schema 8, as Prometheus does with what is finer than it stores: neighbours are added up. Others stay as they are. */
void mrd_histogram_coarsen(struct mrd_histogram *histogram,
                           const struct mrd_histogram_side_room *positive,
                           const struct mrd_histogram_side_room *negative);

#endif
