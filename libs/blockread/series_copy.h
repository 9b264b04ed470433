/* series_copy.h: a series of a block copied into an arena, so that it outlives the cursor's next step.
 *
 * Threads: the arena's.
 */
#ifndef MRD_BLOCKREAD_SERIES_COPY_H
#define MRD_BLOCKREAD_SERIES_COPY_H

#include "base/arena.h"
#include "block/series.h"

/* Copies labels, samples, histograms, start times and rows; not the tenant and no stamps. MRD_E_LIMIT from the arena. */
MRD_MUST_CHECK enum mrd_status mrd_series_copy(const struct mrd_block_series *from,
                                               struct mrd_arena *arena,
                                               struct mrd_block_series *out, struct mrd_error *err);

#endif
