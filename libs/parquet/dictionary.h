/* dictionary.h: the distinct values of a column chunk while it is written, bounded.
 *
 * Owner: the writer of a leaf. Threads: one at a time.
 */
#ifndef MRD_PARQUET_DICTIONARY_H
#define MRD_PARQUET_DICTIONARY_H

#include "base/bytes.h"

enum { MRD_PQ_DICTIONARY_VALUES_MAX = 1 << 20 };

struct mrd_pq_dictionary {
    size_t size_max;      /* of the values and 4 bytes each, as a dictionary page has them */
    struct mrd_buf bytes; /* values end to end */
    struct mrd_buf ends;  /* uint32_t per value: where it ends in `bytes` */
    uint32_t *slots;      /* open addressing: index + 1, 0 for an empty one */
    size_t slot_count;    /* a power of two, at least twice the values */
    uint32_t count;
};

void mrd_pq_dictionary_init(struct mrd_pq_dictionary *dictionary, size_t size_max);
void mrd_pq_dictionary_fini(struct mrd_pq_dictionary *dictionary);

/* Forgets the values, keeps the memory. */
void mrd_pq_dictionary_clear(struct mrd_pq_dictionary *dictionary);

/* The index of a value, which is added if it is new. False if it does not fit any more. */
MRD_MUST_CHECK bool mrd_pq_dictionary_index(struct mrd_pq_dictionary *dictionary,
                                            struct mrd_bytes value, uint32_t *out_index);

struct mrd_bytes mrd_pq_dictionary_value(const struct mrd_pq_dictionary *dictionary,
                                         uint32_t index);

/* Memory in use. */
size_t mrd_pq_dictionary_memory(const struct mrd_pq_dictionary *dictionary);

#endif
