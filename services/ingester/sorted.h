/* sorted.h: pointers in the order of a text that each of them has: tenants by name, series by labels.
 *
 * Owner:   the table owns its array, the caller what the pointers point to.
 * Threads: one at a time.
 * Cost:    a binary search; an insert moves the pointers behind it.
 */
#ifndef ING_SORTED_H
#define ING_SORTED_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>

struct ing_sorted {
    struct mrd_bytes (*key)(const void *item); /* the only field to set; the key never changes */
    void **items;
    size_t count;
    size_t capacity;
};

/* The first place whose key is not less than `key`; *out_found: it is equal. */
size_t ing_sorted_place(const struct ing_sorted *table, struct mrd_bytes key, bool *out_found);

/* The item with this key, or NULL. */
void *ing_sorted_find(const struct ing_sorted *table, struct mrd_bytes key);

/* At the place that ing_sorted_place gave for its key. Returns the bytes by which the array grew. */
size_t ing_sorted_insert(struct ing_sorted *table, size_t place, void *item);

/* Takes the item out; it is the caller's again. */
void *ing_sorted_remove(struct ing_sorted *table, size_t place);

/* Frees the array and, with free(), every item. */
void ing_sorted_fini(struct ing_sorted *table);

#endif
