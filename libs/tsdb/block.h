/* block.h: an open block of Prometheus, series by series.
 *
 * Owner:   mrd_tsdb_block_close. What it returns points into the block or the caller's arena.
 * Threads: any, once open.
 * Limits:  the files are mapped, not held (tsdb/map.h); memory is the index's and the tombstones'.
 */
#ifndef MRD_TSDB_BLOCK_H
#define MRD_TSDB_BLOCK_H

#include "codec/prometheus_chunk.h"
#include "tsdb/index.h"
#include "tsdb/meta.h"
#include "tsdb/segments.h"
#include "tsdb/tombstones.h"

struct mrd_tsdb_block {
    struct mrd_tsdb_meta meta;
    struct mrd_tsdb_map index_map;
    struct mrd_tsdb_index index;
    struct mrd_tsdb_segments segments;
    struct mrd_tsdb_tombstones tombstones;
};

/* Reads <folder>/meta.json alone. MRD_E_NOT_FOUND: there is none, so the folder is no block. */
MRD_MUST_CHECK enum mrd_status mrd_tsdb_block_meta(const char *folder, struct mrd_tsdb_meta *out,
                                                   struct mrd_error *err);

/* MRD_E_NOT_FOUND, MRD_E_CORRUPT, MRD_E_UNAVAILABLE; MRD_E_UNSUPPORTED: downsampled, or an old index. */
MRD_MUST_CHECK enum mrd_status mrd_tsdb_block_open(struct mrd_tsdb_block *block, const char *folder,
                                                   struct mrd_error *err);
void mrd_tsdb_block_close(struct mrd_tsdb_block *block);

/* Reads one chunk of a series; the decoded samples must lie in the time that the index says. MRD_E_CORRUPT,
 * MRD_E_UNSUPPORTED, MRD_E_LIMIT. Tombstones are not applied. */
MRD_MUST_CHECK enum mrd_status mrd_tsdb_block_chunk(const struct mrd_tsdb_block *block,
                                                    const struct mrd_tsdb_chunk_meta *meta,
                                                    struct mrd_arena *arena,
                                                    struct mrd_prometheus_chunk *out,
                                                    struct mrd_error *err);

#endif
