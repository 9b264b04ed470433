/* block_internal.h: an open block: its directory, and parts as they are asked for. */
#ifndef MRD_BLOCK_BLOCK_INTERNAL_H
#define MRD_BLOCK_BLOCK_INTERNAL_H

#include "block/cache_internal.h"
#include "block/reader.h"

struct mrd_block {
    struct mrd_objstore *store;
    const struct mrd_objstore_control *control;
    struct mrd_block_cache *cache;
    const struct mrd_block *first; /* whose twin it is: entry and keys are that one's; or NULL */
    struct mrd_arena *arena;       /* the entry's copy */
    struct mrd_block_entry entry;
    char *data_key;
    char *sidecar_key;
    size_t whole_max;
    size_t memory_max;
    struct mrd_buf whole; /* the sidecar's bytes, if it is small and was read */
    struct mbx_shared *directory;
};

/* A reference to a part, which the caller lets go. */
MRD_MUST_CHECK enum mrd_status mbx_block_part(struct mrd_block *block, size_t index,
                                              struct mbx_shared **out_part, struct mrd_error *err);

/* The part that has the tenant; *out_part is NULL if none has. */
MRD_MUST_CHECK enum mrd_status mbx_block_tenant(struct mrd_block *block, struct mrd_bytes name,
                                                struct mbx_shared **out_part,
                                                const struct mbx_tenant **out_tenant,
                                                struct mrd_error *err);

#endif
