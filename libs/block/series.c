#include "block/series.h"

int mrd_block_series_compare(const struct mrd_block_series *a, const struct mrd_block_series *b)
{
    int order = mrd_bytes_compare(a->tenant, b->tenant);
    if (order != 0) {
        return order;
    }
    const struct mrd_bytes name = MRD_BYTES(MRD_METRIC_NAME);
    order = mrd_bytes_compare(mrd_labels_get(a->labels, name), mrd_labels_get(b->labels, name));
    return order != 0 ? order : mrd_labels_compare(a->labels, b->labels);
}
