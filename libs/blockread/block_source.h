/* block_source.h: the engine's source over blocks in object storage.
 *
 * A query gives it the blocks of one state of the catalog, which it reads however the catalog goes on: a merge or an expiry
 * meanwhile takes nothing from it as long as the objects stay (their removal has a grace longer than any query).
 *
 * Which blocks are read: those that have the tenant and the range, whose Bloom filter does not rule the matchers out, and that have
 * something that the partition's head has not: a block whose log sequences the head holds wholly (struct mrd_block_cover) is left
 * alone. Blocks of one partition are merged series by series (promql/series_merge.h); of samples with the same time the one
 * of the later sequences counts.
 *
 * Segments are partitions, as a head's are. A block of level 0 is of one; one of a higher level has series of all, and is read once for
 * each, yielding those of the partition at hand.
 *
 * Blocks are read by the pool's threads, each a batch ahead of what is consumed; all blocks of the present partition and some of
 * the next ones at the same time. A cold block costs two round trips after each other: its sidecar (four for one above 4 MiB, of which
 * only the directory and the tenant's part are read), and the pages, neighbours in one range.
 *
 * Owner:   the query; the struct and what the options point to live as long as the source and its sets.
 * Threads: the query's thread; the pool's threads work for it.
 * Memory:  for each block that is read at the same time three times the window (pages read ahead, the batch made and the batch read), each
 *          of which one series and one page a column may pass; the window is what makes this memory_max for all, or MRD_E_LIMIT
 *          says that there are too many blocks. Sidecars are the cache's.
 * Errors:  MRD_E_UNAVAILABLE, naming the block, where object storage fails or an object is gone; with `partial` a warning, and the block's
 *          samples are missing. MRD_E_CORRUPT, MRD_E_LIMIT, MRD_E_TIMEOUT, MRD_E_CANCELED. Cancelling ends reads within 100 ms.
 */
#ifndef MRD_BLOCKREAD_BLOCK_SOURCE_H
#define MRD_BLOCKREAD_BLOCK_SOURCE_H

#include "block/reader.h"
#include "blockread/read_pool.h"
#include "promql/source.h"

/* What a partition's head holds: every batch of the log in [first, last]. */
struct mrd_block_cover {
    uint64_t sequence_first; /* UINT64_MAX: not known, or nothing */
    uint64_t sequence_last;  /* applied */
};

/* All may be NULL. */
struct mrd_block_source_metrics {
    struct mrd_counter *covered; /* blocks left alone since heads hold what they have */
    struct mrd_counter *skipped; /* blocks ruled out by time, tenant or Bloom filter */
    struct mrd_counter *read;    /* blocks opened */
    struct mrd_counter *bytes;   /* of pages */
    struct mrd_counter *missing; /* blocks left out of partial answers */
};

struct mrd_block_source_options {
    struct mrd_objstore *store;
    struct mrd_block_cache *cache; /* may be NULL */
    struct mrd_read_pool *pool;
    const struct mrd_block_entry *entries; /* of one state of the catalog */
    size_t entry_count;
    const struct mrd_block_cover *covers; /* one for each partition */
    uint32_t partition_count;
    struct mrd_bytes tenant;
    mrd_time_ms floor_ms; /* nothing before it is read; INT64_MIN: no floor */
    size_t memory_max;    /* of one select; 0: 256 MiB */
    size_t series_max;    /* of one select, 0: none */
    size_t samples_max;   /* of one select, 0: none */
    bool partial;         /* leave out blocks that cannot be read, with a warning */
    struct mrd_block_source_metrics metrics;
};

struct mrd_block_source {
    struct mrd_block_source_options options;
};

struct mrd_source mrd_block_source_get(struct mrd_block_source *source);

/* For mrd_tiers.needs_blocks (context: the struct mrd_block_source): whether some block has something of the tenant in the
 * range that heads have not. No access to storage. */
enum mrd_status mrd_block_source_needed(void *context, mrd_time_ms min_ms, mrd_time_ms max_ms,
                                        bool *out_needed, struct mrd_error *err);

#endif
