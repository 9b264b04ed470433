/* texts.h: a set of byte strings, each with a number: the next from 0 on.
 *
 * Owner:   mrd_texts_fini frees. Views of texts hold until the next put. Threads: one at a time.
 * Limits:  2^32 - 1 texts; the caller bounds memory: mrd_texts_memory.
 */
#ifndef MRD_BASE_TEXTS_H
#define MRD_BASE_TEXTS_H

#include "base/bytes.h"

struct mrd_texts {
    struct mrd_buf bytes;  /* one after the other */
    struct mrd_buf places; /* where in `bytes` each ends */
    struct mrd_buf slots;  /* hash table of number + 1 */
    uint32_t count;
};

/* Zero-initialise to begin. */
void mrd_texts_fini(struct mrd_texts *texts);

/* Forgets all, keeps the memory. */
void mrd_texts_clear(struct mrd_texts *texts);

/* The number of a text, which is put in if it is not there. Cost: a hash and a look. */
uint32_t mrd_texts_put(struct mrd_texts *texts, struct mrd_bytes text);

struct mrd_bytes mrd_texts_at(const struct mrd_texts *texts, uint32_t number);

/* Bytes that are taken. */
static inline size_t mrd_texts_memory(const struct mrd_texts *texts)
{
    return texts->bytes.capacity + texts->places.capacity + texts->slots.capacity;
}

#endif
