/* series_order.h: the order of a partition's series, the same wherever they are stored: by metric name (bytes; a
 * series without one first), of one name by mrd_labels_compare.
 *
 * Sums are compensated in the order in which series come, so an answer is the same to the last bit only if heads, their replicas
 * and blocks yield series in one order. The name comes first because blocks are sorted so: what a selector finds
 * lies together.
 *
 * Threads: plain values.
 */
#ifndef MRD_MODEL_SERIES_ORDER_H
#define MRD_MODEL_SERIES_ORDER_H

#include "model/labels.h"

static inline int mrd_series_order(struct mrd_labels a, struct mrd_labels b)
{
    const int metric = mrd_bytes_compare(mrd_labels_get(a, MRD_BYTES(MRD_METRIC_NAME)),
                                         mrd_labels_get(b, MRD_BYTES(MRD_METRIC_NAME)));
    return metric != 0 ? metric : mrd_labels_compare(a, b);
}

#endif
