/* cache.h: sidecars of blocks that are read again and again: parsed in memory, as bytes in a folder.
 *
 * Blocks never change, so what is kept never goes stale; it is dropped to make room, the least recently used first, and when the block is no
 * more (mrd_block_cache_retain): sidecars have label values, which may have to be nowhere. Bytes from the
 * folder are checked like those from the object store; what fails is removed and fetched again. The folder may be emptied at
 * any time, and may be that of the process before.
 *
 * Owner:   whoever made it; destroyed after all blocks that use it are closed.
 * Threads: every function from any thread.
 * Limits:  memory_bytes_max of what nobody is reading at the moment; what open blocks use counts for them and is kept
 *          as long as they need it. folder_bytes_max of files.
 */
#ifndef MRD_BLOCK_CACHE_H
#define MRD_BLOCK_CACHE_H

#include "base/bytes.h"
#include "base/metrics.h"
#include "base/status.h"

struct mrd_block_cache;

struct mrd_block_cache_options {
    size_t memory_bytes_max;
    const char *folder; /* NULL: memory only. Made if it is missing; must be this cache's alone */
    uint64_t folder_bytes_max;
    struct mrd_metrics *metrics; /* may be NULL; outlives the cache */
};

MRD_MUST_CHECK enum mrd_status mrd_block_cache_create(const struct mrd_block_cache_options *options,
                                                      struct mrd_block_cache **out_cache,
                                                      struct mrd_error *err);
void mrd_block_cache_destroy(struct mrd_block_cache **cache);

/* What tells a block from others here. */
uint64_t mrd_block_cache_mark(struct mrd_bytes block_id, uint32_t sidecar_crc32c);

/* Drops what is kept of all blocks but these, which are sorted. A reader that has an older state may bring one back, until the next
 * call. Cost: a look at all that is kept. */
void mrd_block_cache_retain(struct mrd_block_cache *cache, uint64_t *marks, size_t mark_count);

struct mrd_block_cache_stats {
    uint64_t memory_hits;
    uint64_t folder_hits;
    uint64_t misses;
    uint64_t refused; /* files of the folder that failed their checks */
    size_t memory_bytes;
    uint64_t folder_bytes;
};
struct mrd_block_cache_stats mrd_block_cache_stats(struct mrd_block_cache *cache);

#endif
