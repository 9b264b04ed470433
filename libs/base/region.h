/* region.h: a growing array that never moves: address space is reserved once, memory comes as it is
 * used. For big dense arrays that must neither be copied nor leave holes when they grow.
 *
 * Owner:   whoever initialised it. Threads: as the owner says.
 * Limits:  size_bytes_max is address space only (MAP_NORESERVE), so be generous.
 */
#ifndef MRD_BASE_REGION_H
#define MRD_BASE_REGION_H

#include <stdbool.h>

#include "base/status.h"

struct mrd_region {
    uint8_t *base;
    size_t size_bytes;     /* in use, zeroed when first used */
    size_t reserved_bytes; /* address space */
    size_t usable_bytes;   /* of it, readable and writable */
};

/* MRD_E_LIMIT if the address space is not to be had. */
MRD_MUST_CHECK enum mrd_status mrd_region_init(struct mrd_region *region, size_t size_bytes_max,
                                               struct mrd_error *err);
void mrd_region_fini(struct mrd_region *region);

/* Raises size_bytes; asserts if it would pass the reservation or the system has no memory. */
void mrd_region_grow(struct mrd_region *region, size_t size_bytes);

/* Gives whole pages inside [offset, offset + size_bytes) back; they read as zeros afterwards. */
void mrd_region_discard(struct mrd_region *region, size_t offset, size_t size_bytes);

#endif
