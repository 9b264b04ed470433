/* state_internal.h: states while they are made. */
#ifndef MRD_CATALOG_STATE_INTERNAL_H
#define MRD_CATALOG_STATE_INTERNAL_H

#include <stdatomic.h>

#include "catalog/record.h"

/* A block, a table or a gone block; shared by the states that have it. */
struct cat_item {
    _Atomic uint32_t references;
    struct mrd_arena *arena;
    struct mrd_bytes key[2];  /* what its list is sorted by: id, or tenant and name */
    struct mrd_bytes encoded; /* of blocks */
    union {
        struct mrd_block_entry block;
        struct mrd_catalog_table table;
        struct mrd_catalog_gone gone;
    };
};

struct cat_list {
    struct cat_item **items;
    size_t count;
    size_t capacity;
};

struct mrd_catalog_state {
    _Atomic uint32_t references;
    uint64_t number;
    struct cat_list blocks;
    struct cat_list tables;
    struct cat_list gone;
    struct mrd_catalog_built *built;
    size_t built_count;
    size_t built_capacity;
    size_t memory;
};

/* An empty state, and one like another; the caller changes it before others see it. */
struct mrd_catalog_state *cat_state_new(void);
struct mrd_catalog_state *cat_state_copy(const struct mrd_catalog_state *state);

/* MRD_E_CONFLICT: what the action demands is not so. MRD_E_LIMIT: over memory_max. Those of the entry's decoding. The state is
 * useless after any of them. */
MRD_MUST_CHECK enum mrd_status cat_state_apply(struct mrd_catalog_state *state,
                                               const struct cat_action *action, mrd_time_ms time_ms,
                                               size_t memory_max, struct mrd_error *err);

/* Applies a whole record, which must be `number` and of that kind. */
MRD_MUST_CHECK enum mrd_status cat_state_apply_record(struct mrd_catalog_state *state,
                                                      struct mrd_bytes record,
                                                      enum cat_record_kind kind, uint64_t number,
                                                      size_t memory_max, struct mrd_error *err);

/* The checkpoint of a state. Check out->failed. */
void cat_state_encode(const struct mrd_catalog_state *state, struct mrd_buf *out);

/* The encoded entry of a block, or nothing. */
struct mrd_bytes cat_state_encoded(const struct mrd_catalog_state *state, struct mrd_bytes id);

#endif
