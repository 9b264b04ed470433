/* sort.h: sorting what may be long, for whom may lose interest meanwhile.
 *
 * Threads: none of its own.
 * Memory:  as much again as the items, of the heap, while it runs; nothing for up to MRD_SORT_RUN items.
 */
#ifndef MRD_BASE_SORT_H
#define MRD_BASE_SORT_H

#include <stddef.h>

#include "base/look.h"

enum {
    MRD_SORT_RUN =
        2048 /* items, or comparisons, from one look to the next: a few hundred microseconds */
};

typedef int mrd_order(const void *a, const void *b, void *context);

/* Stable. What ends it early is the look, whose status is returned, or memory (MRD_E_LIMIT): then all items are still
 * there, in any order. */
MRD_MUST_CHECK enum mrd_status mrd_sort(void *items, size_t count, size_t item_size,
                                        mrd_order *order, void *context,
                                        const struct mrd_look *look, struct mrd_error *err);

#endif
