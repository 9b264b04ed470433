/* series.h: what goes into a block and comes out of it: series with their samples, in the one order that all
 * blocks have.
 *
 * Order: tenant (bytes), then metric name (bytes; a series without one first), then mrd_labels_compare. Within a series
 * by time. Writers are given series in it, cursors yield them in it, so blocks merge by walking them side by side.
 */
#ifndef MRD_BLOCK_SERIES_H
#define MRD_BLOCK_SERIES_H

#include "model/histogram.h"
#include "model/labels.h"
#include "model/sample.h"

struct mrd_rollup_columns; /* rollup/columns.h */

/* A series, or a piece of one: some consecutive samples of it. Borrowed views throughout. */
struct mrd_block_series {
    struct mrd_bytes tenant;
    struct mrd_labels labels;
    mrd_series_id id; /* mrd_series_id_of(mrd_tenant_seed(tenant), canonical labels) */
    struct mrd_samples samples;
    struct mrd_histograms histograms; /* no time is in both */
    const mrd_hlc *sample_hlcs;       /* stamp of the write of each; NULL: not kept */
    const mrd_hlc *histogram_hlcs;
    const struct mrd_rollup_columns *rows; /* of a rollup: instead of samples; else NULL */
};

/* Times that a block can hold: the heads' bound, and well within 64 bits of microseconds. */
#define MRD_BLOCK_TIME_MAX ((mrd_time_ms)1 << 52)

static inline bool mrd_block_time_fits(mrd_time_ms time_ms)
{
    return time_ms >= -MRD_BLOCK_TIME_MAX && time_ms <= MRD_BLOCK_TIME_MAX;
}

/* Below, equal to or above 0, as a comes before, is, or comes after b. Looks at tenant and labels only. */
int mrd_block_series_compare(const struct mrd_block_series *a, const struct mrd_block_series *b);

#endif
