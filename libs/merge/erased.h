/* erased.h: whether a block has any of what a request to erase is about.
 *
 * Threads: that of the block.
 * Memory:  the block's.
 */
#ifndef MRD_MERGE_ERASED_H
#define MRD_MERGE_ERASED_H

#include "block/reader.h"
#include "model/erasure.h"

/* Whether a block of samples has a run of a series that the request selects, in its time and [min_ms, max_ms]; the run may have no sample in it.
 * Cost: the sidecar's part with the tenant; nothing of the data file is read. */
MRD_MUST_CHECK enum mrd_status mrd_merge_has_erased(struct mrd_block *block,
                                                    const struct mrd_erasure *erasure,
                                                    mrd_time_ms min_ms, mrd_time_ms max_ms,
                                                    bool *out, struct mrd_error *err);

#endif
