/* table_internal.h: hash tables of 32-bit values by 32-bit hashes, 8 bytes a slot.
 *
 * Open addressing, linear probing, at most 3/4 full, removal by shifting back. A slot holds hash and
 * value together, so that a probe that meets another key seldom has to look at it, and growing need
 * not look at any.
 */
#ifndef MRD_HEAD_TABLE_INTERNAL_H
#define MRD_HEAD_TABLE_INTERNAL_H

#include <stdlib.h>

#include "base/bytes.h"

struct head_table {
    uint64_t *slots; /* hash << 32 | value; a value of 0 marks a free slot */
    uint32_t mask;   /* slots - 1; 0 with slots == NULL at first */
    uint32_t count;
};

enum { HEAD_TABLE_SLOTS_MIN = 64 };

static inline size_t head_table_bytes(const struct head_table *table)
{
    return table->slots == NULL ? 0 : ((size_t)table->mask + 1) * sizeof(*table->slots);
}

static inline void head_table_fini(struct head_table *table)
{
    free(table->slots);
    *table = (struct head_table){0};
}

/* Walks the values that stand under `hash`: start with *at = hash; 0 ends. */
static inline uint32_t head_table_next(const struct head_table *table, uint32_t hash, uint32_t *at)
{
    if (table->slots == NULL) {
        return 0;
    }
    for (;;) {
        const uint64_t slot = table->slots[*at & table->mask];
        *at += 1;
        if ((uint32_t)slot == 0) {
            return 0;
        }
        if ((uint32_t)(slot >> 32) == hash) {
            return (uint32_t)slot;
        }
    }
}

static inline void head_table_put(struct head_table *table, uint64_t slot)
{
    uint32_t at = (uint32_t)(slot >> 32);
    while ((uint32_t)table->slots[at & table->mask] != 0) {
        at++;
    }
    table->slots[at & table->mask] = slot;
}

static inline void head_table_resize(struct head_table *table, size_t slot_count)
{
    const struct head_table old = *table;
    table->slots = calloc(slot_count, sizeof(*table->slots));
    mrd_assert(table->slots != NULL);
    table->mask = (uint32_t)(slot_count - 1);
    for (size_t i = 0; old.slots != NULL && i <= old.mask; i++) {
        if ((uint32_t)old.slots[i] != 0) {
            head_table_put(table, old.slots[i]);
        }
    }
    free(old.slots);
}

/* Adds a value (not 0) that is not in the table. */
static inline void head_table_add(struct head_table *table, uint32_t hash, uint32_t value)
{
    if (table->slots == NULL) {
        head_table_resize(table, HEAD_TABLE_SLOTS_MIN);
    } else if ((uint64_t)table->count * 4 >= ((uint64_t)table->mask + 1) * 3) {
        head_table_resize(table, ((size_t)table->mask + 1) * 2);
    }
    head_table_put(table, (uint64_t)hash << 32 | value);
    table->count++;
}

/* Removes a value that is in the table. */
static inline void head_table_remove(struct head_table *table, uint32_t hash, uint32_t value)
{
    uint32_t hole = hash;
    while (table->slots[hole & table->mask] != ((uint64_t)hash << 32 | value)) {
        mrd_assert((uint32_t)table->slots[hole & table->mask] != 0);
        hole++;
    }
    for (uint32_t at = hole + 1;; at++) {
        const uint64_t slot = table->slots[at & table->mask];
        if ((uint32_t)slot == 0) {
            break;
        }
        /* It may move into the hole unless its home lies behind it. */
        if (((at - (uint32_t)(slot >> 32)) & table->mask) >= ((at - hole) & table->mask)) {
            table->slots[hole & table->mask] = slot;
            hole = at;
        }
    }
    table->slots[hole & table->mask] = 0;
    table->count--;
    const size_t slot_count = (size_t)table->mask + 1;
    if (slot_count > HEAD_TABLE_SLOTS_MIN && (uint64_t)table->count * 8 < slot_count) {
        head_table_resize(table, slot_count / 2);
    }
}

#endif
