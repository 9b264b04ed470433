/* cache_internal.h: what blocks do with a cache: parsed parts shared between threads, bytes of sidecars by name. */
#ifndef MRD_BLOCK_CACHE_INTERNAL_H
#define MRD_BLOCK_CACHE_INTERNAL_H

#include <stdatomic.h>

#include "base/hash.h"
#include "block/cache.h"
#include "block/sidecar_internal.h"

/* A parsed directory or part, kept as long as anyone refers to it. */
struct mbx_shared {
    _Atomic uint32_t references;
    struct mbx_directory *directory; /* one of the two */
    struct mbx_part *part;
    size_t size;
};

/* Takes directory or part; one reference, the caller's. */
struct mbx_shared *mbx_shared_create(struct mbx_directory *directory, struct mbx_part *part);
struct mbx_shared *mbx_shared_ref(struct mbx_shared *shared);
/* *shared may be NULL. */
void mbx_shared_unref(struct mbx_shared **shared);

/* What is kept of a sidecar. */
enum mbx_piece { MBX_DIRECTORY, MBX_WHOLE, MBX_PART_FIRST };
struct mrd_id128 mbx_cache_key(struct mrd_bytes block_id, uint32_t sidecar_crc32c, uint64_t piece);

/* All of these take a NULL cache for an empty one. A reference, or NULL. */
struct mbx_shared *mbx_cache_find(struct mrd_block_cache *cache, struct mrd_id128 key);
void mbx_cache_keep(struct mrd_block_cache *cache, struct mrd_id128 key, struct mbx_shared *shared);

/* Bytes in the folder; false if there are none, or the look (NULL: none) has ended it. Unchecked: who finds them wrong says so. */
bool mbx_cache_load(struct mrd_block_cache *cache, struct mrd_id128 key, size_t size_max,
                    const struct mrd_look *look, struct mrd_buf *out);
void mbx_cache_refuse(struct mrd_block_cache *cache, struct mrd_id128 key);
void mbx_cache_store(struct mrd_block_cache *cache, struct mrd_id128 key, struct mrd_bytes bytes);

#endif
