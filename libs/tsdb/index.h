/* index.h: reads a block's index (Prometheus tsdb/docs/format/index.md, versions 2 and 3).
 *
 * Series are taken by their place in the list of all series, in the order of their labels. What is found by label pairs is not
 * needed here and not read. Bytes are hostile: each section, list and series is checked against its checksum and its
 * place before it is used.
 *
 * Owner:   mrd_tsdb_index_fini frees; the bytes are the caller's and live longer (tsdb/map.h).
 * Threads: any, once open.
 * Limits:  memory is 8 bytes for 32 symbols; a series' labels and chunks come from the caller's arena.
 */
#ifndef MRD_TSDB_INDEX_H
#define MRD_TSDB_INDEX_H

#include "base/arena.h"
#include "base/clock.h"
#include "model/labels.h"

struct mrd_tsdb_index {
    struct mrd_bytes bytes;
    struct mrd_bytes symbols; /* without count and checksum */
    uint64_t symbol_count;
    uint64_t *symbol_places;      /* in `symbols`, of each 32nd */
    struct mrd_bytes series_refs; /* 4 bytes each */
    uint64_t series_at;           /* where their section begins */
    size_t series_count;
};

struct mrd_tsdb_chunk_meta {
    mrd_time_ms min_ms;
    mrd_time_ms max_ms; /* both included */
    uint64_t ref;       /* for mrd_tsdb_segments_read */
};

struct mrd_tsdb_series {
    uint64_t ref; /* what tombstones name */
    struct mrd_labels labels;
    const struct mrd_tsdb_chunk_meta *chunks; /* in the order of time */
    size_t chunk_count;
};

/* MRD_E_CORRUPT: not an index; MRD_E_UNSUPPORTED: of another version. Cost: a pass over symbols and label pairs. */
MRD_MUST_CHECK enum mrd_status mrd_tsdb_index_init(struct mrd_tsdb_index *index,
                                                   struct mrd_bytes bytes, struct mrd_error *err);
void mrd_tsdb_index_fini(struct mrd_tsdb_index *index);

/* Series `at` of series_count: texts point into the bytes, arrays come from the arena. MRD_E_CORRUPT; MRD_E_LIMIT from the
 * arena. */
MRD_MUST_CHECK enum mrd_status mrd_tsdb_index_series(const struct mrd_tsdb_index *index, size_t at,
                                                     struct mrd_arena *arena,
                                                     struct mrd_tsdb_series *out,
                                                     struct mrd_error *err);

#endif
