/* state_internal.h: states while they are made. */
#ifndef MRD_CATALOG_STATE_INTERNAL_H
#define MRD_CATALOG_STATE_INTERNAL_H

#include <stdatomic.h>

#include "catalog/record.h"

/* A block, a table, a gone block, a receipt or the name of a block; shared by the states that have it. */
struct cat_item {
    _Atomic uint32_t references;
    struct mrd_arena *arena;  /* NULL: a name */
    struct mrd_bytes key[2];  /* what its list is sorted by: id, or tenant and name */
    struct mrd_bytes encoded; /* of blocks */
    union {
        struct mrd_block_entry block;
        struct mrd_catalog_table table;
        struct mrd_catalog_gone gone;
        struct mrd_catalog_receipt receipt;
    };
};

struct cat_list {
    struct cat_item **items;
    size_t count;
    size_t capacity;
};

/* ---- list.c ---- */

struct cat_item *cat_item_new(void);
/* One that is a key and nothing else: it has no arena. */
struct cat_item *cat_item_name(struct mrd_bytes name);
void cat_item_release(struct cat_item *item);
/* A copy of the text in the item's arena, which takes all that a record may have: it does not fail. */
struct mrd_bytes cat_item_text(struct cat_item *item, struct mrd_bytes text);
size_t cat_item_memory(const struct cat_item *item);

/* Where the key is or belongs. */
size_t cat_list_place(const struct cat_list *list, struct mrd_bytes first, struct mrd_bytes second,
                      bool *out_found);
struct cat_item *cat_list_find(const struct cat_list *list, struct mrd_bytes first,
                               struct mrd_bytes second);
void cat_list_insert(struct cat_list *list, size_t at, struct cat_item *item); /* takes the item */
struct cat_item *cat_list_remove(struct cat_list *list, size_t at);            /* gives it */
struct cat_list cat_list_copy(const struct cat_list *list);
void cat_list_fini(struct cat_list *list);

/* ---- states ---- */

struct cat_erasure {
    struct mrd_catalog_erasure view; /* first: what callers see; its counts are kept up */
    struct cat_item *texts;          /* of the view; shared */
    struct cat_list owed;            /* names of blocks; items shared */
    struct cat_list leaving;
};

struct mrd_catalog_state {
    _Atomic uint32_t references;
    uint64_t number;
    struct cat_list blocks;
    struct cat_list tables;
    struct cat_list gone;
    struct cat_list receipts;      /* by the bytes of the id, high part first */
    struct cat_erasure **erasures; /* by id; each this state's own */
    size_t erasure_count;
    size_t erasure_capacity;
    struct mrd_catalog_built *built;
    size_t built_count;
    size_t built_capacity;
    struct mrd_catalog_grace grace;
    size_t memory;
};

/* An empty state, and one like another; the caller changes it before others see it. */
struct mrd_catalog_state *cat_state_new(void);
struct mrd_catalog_state *cat_state_copy(const struct mrd_catalog_state *state);

/* Takes the item into one of the state's lists. MRD_E_CONFLICT: there is one of its key; MRD_E_LIMIT: over memory_max. */
MRD_MUST_CHECK enum mrd_status cat_state_insert(struct mrd_catalog_state *state,
                                                struct cat_list *list, struct cat_item *item,
                                                size_t memory_max, struct mrd_error *err);

/* Applies a whole record, which must be `number` and of that kind. MRD_E_CONFLICT: what an action demands is not so. MRD_E_LIMIT: over
 * memory_max. Those of the entry's decoding. The state is useless after any of them. */
MRD_MUST_CHECK enum mrd_status cat_state_apply_record(struct mrd_catalog_state *state,
                                                      struct mrd_bytes record,
                                                      enum cat_record_kind kind, uint64_t number,
                                                      size_t memory_max, struct mrd_error *err);

/* The checkpoint of a state. Check out->failed. */
void cat_state_encode(const struct mrd_catalog_state *state, struct mrd_buf *out);

/* The encoded entry of a block, or nothing. */
struct mrd_bytes cat_state_encoded(const struct mrd_catalog_state *state, struct mrd_bytes id);

/* ---- erasures.c: what is owed ---- */

/* The commit that is applied. */
struct cat_moment {
    uint64_t number;
    mrd_time_ms time_ms;
};

void cat_erasures_copy(struct mrd_catalog_state *to, const struct mrd_catalog_state *from);
void cat_erasures_fini(struct mrd_catalog_state *state);
/* ERASING and RECEIPT of a checkpoint. */
void cat_erasures_encode(const struct mrd_catalog_state *state, struct mrd_buf *out);
struct cat_item *cat_receipt_item(const struct mrd_catalog_receipt *receipt);

/* A block comes, goes, has lost its files. MRD_E_CONFLICT: one that goes is owed. */
MRD_MUST_CHECK enum mrd_status cat_erasures_add(struct mrd_catalog_state *state,
                                                const struct mrd_block_entry *block,
                                                size_t memory_max, struct mrd_error *err);
MRD_MUST_CHECK enum mrd_status cat_erasures_remove(const struct mrd_catalog_state *state,
                                                   struct mrd_bytes id, struct mrd_error *err);
void cat_erasures_purge(struct mrd_catalog_state *state, struct mrd_bytes id);
/* A partition's log is built further. */
void cat_erasures_built(struct mrd_catalog_state *state,
                        const struct mrd_catalog_built_change *change,
                        const struct cat_moment *moment);

MRD_MUST_CHECK enum mrd_status cat_erasures_begin(struct mrd_catalog_state *state,
                                                  const struct cat_erasure_action *action,
                                                  const struct cat_moment *moment,
                                                  size_t memory_max, struct mrd_error *err);
MRD_MUST_CHECK enum mrd_status cat_erasures_settle(struct mrd_catalog_state *state,
                                                   const struct mrd_catalog_settled *settled,
                                                   const struct cat_moment *moment,
                                                   size_t memory_max, struct mrd_error *err);
MRD_MUST_CHECK enum mrd_status cat_erasures_end(struct mrd_catalog_state *state,
                                                struct mrd_id128 id,
                                                const struct cat_moment *moment, size_t memory_max,
                                                struct mrd_error *err);
MRD_MUST_CHECK enum mrd_status cat_erasures_restore(struct mrd_catalog_state *state,
                                                    const struct cat_erasing_action *action,
                                                    size_t memory_max, struct mrd_error *err);

#endif
