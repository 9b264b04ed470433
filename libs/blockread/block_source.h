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
 * What a block owes to erasures (block_index.h), and what is hidden of all blocks, is left out of it in every way of reading: samples, names,
 * values and series.
 *
 * Segments are partitions, as a head's are. A block of level 0 is of one; one of a higher level has series of all, and is read once for
 * each, yielding those of the partition at hand; others are not decoded, unless something is erased or hidden.
 *
 * Blocks are read by the pool's threads, each a batch ahead of what is consumed; all blocks of the present partition and some of
 * the next ones at the same time. A cold block costs two round trips after each other: its sidecar (four for one above 4 MiB, of which
 * only the directory and the tenant's part are read), and the pages, neighbours in one range.
 *
 * Owner:   the query; the struct and what the options point to live as long as the source and its sets.
 * Threads: the query's thread; the pool's threads work for it.
 * Memory:  for each block that is read at the same time pages read ahead, the batch made and the batch read, each
 *          of which one series and one page a column may pass. They are such that a select takes an eighth of what is left of
 *          memory_max at its opening, and gives it back when it is closed; where that does not do for the blocks of one partition,
 *          MRD_E_LIMIT says that there are too many. Sidecars are the cache's; the part of one that a select needs may take memory_max.
 * Errors:  MRD_E_UNAVAILABLE, naming the block, where object storage fails or an object is gone; with `partial` a warning, and the block's
 *          samples are missing. MRD_E_CORRUPT, MRD_E_LIMIT, MRD_E_TIMEOUT, MRD_E_CANCELED. Cancelling ends reads within 100 ms.
 */
#ifndef MRD_BLOCKREAD_BLOCK_SOURCE_H
#define MRD_BLOCKREAD_BLOCK_SOURCE_H

#include "block/reader.h"
#include "blockread/block_index.h"
#include "blockread/read_pool.h"
#include "promql/source.h"

/* What a partition's head holds: every batch of the log in [first, last]. */
struct mrd_block_cover {
    uint64_t sequence_first; /* UINT64_MAX: not known, or nothing */
    uint64_t sequence_last;  /* applied */
};

/* What a query's selects have come to; counted by the pool's threads, too (relaxed). A block counts once for each select that
 * looks at it. */
struct mrd_block_source_figures {
    _Atomic uint64_t considered;     /* the tenant's, and those of many tenants */
    _Atomic uint64_t skipped_time;   /* left alone: they have nothing in the range */
    _Atomic uint64_t covered;        /* heads hold what they have */
    _Atomic uint64_t skipped_tenant; /* nothing of the tenant in the range */
    _Atomic uint64_t skipped_labels; /* nothing that the matchers accept, says the Bloom filter */
    _Atomic uint64_t read;           /* blocks opened, of higher levels once for each partition */
    _Atomic uint64_t bytes;          /* of pages */
    _Atomic uint64_t missing;        /* left out of partial answers */
};

struct mrd_block_source_options {
    struct mrd_objstore *store;
    struct mrd_block_cache *cache; /* may be NULL */
    struct mrd_read_pool *pool;
    const struct mrd_block_index *index;  /* of one state of the catalog */
    const struct mrd_block_cover *covers; /* one for each partition */
    uint32_t partition_count;
    struct mrd_bytes tenant;
    mrd_time_ms floor_ms; /* nothing before it is read; INT64_MIN: no floor */
    const struct mrd_erasure
        *hidden; /* what rules of retention hide of the tenant's samples in all blocks */
    size_t hidden_count;
    size_t memory_max;  /* of all selects that are open at the same time; 0: 256 MiB */
    size_t series_max;  /* of one select, 0: none */
    size_t samples_max; /* of one select, 0: none */
    bool partial;       /* leave out blocks that cannot be read, with a warning */
    struct mrd_block_source_figures *figures; /* may be NULL */
};

struct mrd_block_source {
    struct mrd_block_source_options options;
    size_t memory_used; /* of the selects that are open */
};

struct mrd_source mrd_block_source_get(struct mrd_block_source *source);

/* Whether some block has something of the tenant in the range that heads have not, and that the matchers may accept. No access to
 * storage, nothing is counted. Cost: some ns for each block of the tenant, or of many, that is not older than the range; 100 ns a matcher for
 * those of the range that heads do not hold. */
bool mrd_block_source_needed(const struct mrd_block_source *source,
                             const struct mrd_matcher *matchers, size_t matcher_count,
                             mrd_time_ms min_ms, mrd_time_ms max_ms);

#endif
