/* interner.h: a set of byte strings, each with a number: the next from 0 on.
 *
 * Owner:   mrd_interner_fini frees. Views of texts hold until the next put. Threads: one at a time.
 * Limits:  2^32 - 1 texts; the caller bounds memory: mrd_interner_memory.
 */
#ifndef MRD_BASE_INTERNER_H
#define MRD_BASE_INTERNER_H

#include "base/bytes.h"

struct mrd_interner {
    struct mrd_buf bytes;  /* one after the other */
    struct mrd_buf places; /* where in `bytes` each ends */
    struct mrd_buf slots;  /* hash table of number + 1 */
    uint32_t count;
};

/* Zero-initialise to begin. */
void mrd_interner_fini(struct mrd_interner *texts);

/* Forgets all, keeps the memory. */
void mrd_interner_clear(struct mrd_interner *texts);

/* The number of a text, which is put in if it is not there. Cost: a hash and a look. */
uint32_t mrd_interner_put(struct mrd_interner *texts, struct mrd_bytes text);

struct mrd_bytes mrd_interner_at(const struct mrd_interner *texts, uint32_t number);

/* Bytes that are taken. */
static inline size_t mrd_interner_memory(const struct mrd_interner *texts)
{
    return texts->bytes.capacity + texts->places.capacity + texts->slots.capacity;
}

#endif
