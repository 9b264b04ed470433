/* series_ahead_internal.h: series of rows on their way from the reader that has made them to the query's thread.
 *
 * Threads: the query's.
 */
#ifndef MRD_BLOCKREAD_SERIES_AHEAD_INTERNAL_H
#define MRD_BLOCKREAD_SERIES_AHEAD_INTERNAL_H

#include "block/series.h"
#include "rollup/columns.h"

/* Series of many readers are looked at in turns, in memory that other processors have just written: begins to fetch the answers of one, and
 * what comes first of the next. */
static MRD_ALWAYS_INLINE void mrd_series_ahead(const struct mrd_block_series *now,
                                               const struct mrd_block_series *next)
{
    for (size_t i = 0; i < 4; i++) {
        __builtin_prefetch((const void *)((uintptr_t)now->rows->answers + 64 * i));
        __builtin_prefetch((const void *)((uintptr_t)next->rows + 64 * i));
        __builtin_prefetch((const void *)((uintptr_t)next->labels.items + 64 * i));
    }
}

#endif
