/* rechunk.h: chunks of Prometheus put into a block: as they are where they lie in the block's time, else cut. */
#ifndef CTL_RECHUNK_H
#define CTL_RECHUNK_H

#include "base/arena.h"
#include "tsdb/block_writer.h"

struct ctl_window {
    mrd_time_ms min_ms;
    mrd_time_ms max_ms; /* both included */
};

/* Decodes a chunk, which checks it, and writes what of it lies in the window to the series that has begun. MRD_E_CORRUPT,
 * MRD_E_UNSUPPORTED: the chunk; else as the writer. */
MRD_MUST_CHECK enum mrd_status ctl_rechunk(struct mrd_tsdb_writer *writer, unsigned encoding,
                                           struct mrd_bytes bytes, struct ctl_window window,
                                           struct mrd_arena *arena, struct mrd_error *err);

#endif
