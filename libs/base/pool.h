/* pool.h: many small blocks of long-lived state, named by 32-bit handles.
 *
 * A block is a multiple of 8 bytes (sizes are rounded up: by 8 up to 128, 16 up to 1024, 64 up to
 * 4096) and has no header: who frees it knows its size. Blocks of one size share pages of 64 KiB; a
 * page whose last block is freed serves any size again, and beyond a few spare ones its memory goes
 * back to the system. Larger blocks take whole pages.
 *
 * Owner:   whoever initialised it. Threads: one at a time.
 * Limits:  32 GiB; running out of memory asserts, so bound what you put in (mrd_pool.used_bytes).
 */
#ifndef MRD_BASE_POOL_H
#define MRD_BASE_POOL_H

#include "base/region.h"

typedef uint32_t mrd_pool_handle; /* 0 names no block */

enum {
    MRD_POOL_UNIT = 8,
    MRD_POOL_SMALL_MAX = 4096,
    MRD_POOL_CLASS_COUNT = 16 + 56 + 48,
};

struct mrd_pool {
    struct mrd_region memory;
    struct mrd_region pages; /* of struct pool_page */
    uint32_t page_count;
    uint32_t page_spare;                      /* list of pages without blocks; 0: none */
    uint32_t page_spare_usable;               /* of them, not given back to the system */
    uint32_t page_open[MRD_POOL_CLASS_COUNT]; /* lists of pages with room */
    size_t used_bytes;                        /* of blocks in use, rounded */
    size_t held_bytes;                        /* touched: used blocks and free ones between them */
};

MRD_MUST_CHECK enum mrd_status mrd_pool_init(struct mrd_pool *pool, struct mrd_error *err);
void mrd_pool_fini(struct mrd_pool *pool);

/* A block of at least size_bytes (not 0), not zeroed. Cost: about 5 ns. */
mrd_pool_handle mrd_pool_alloc(struct mrd_pool *pool, size_t size_bytes);

/* size_bytes as given to mrd_pool_alloc (or anything that rounds to the same). */
void mrd_pool_free(struct mrd_pool *pool, mrd_pool_handle handle, size_t size_bytes);

/* What a block of size_bytes really has. */
size_t mrd_pool_rounded(size_t size_bytes);

static inline void *mrd_pool_at(const struct mrd_pool *pool, mrd_pool_handle handle)
{
    return pool->memory.base + (size_t)handle * MRD_POOL_UNIT;
}

#endif
