/* values.h: the values of a page in each of Parquet's encodings but for dictionaries; whole columns a
 * call. Levels are not its concern: it sees only entries that have a value.
 *
 * Threads: pure functions; scratch memory belongs to the caller.
 */
#ifndef MRD_PARQUET_VALUES_H
#define MRD_PARQUET_VALUES_H

#include "parquet/delta.h"
#include "parquet/format.h"

/* Values as the writer keeps them: `raw` is PLAIN for types of fixed size, one byte each for booleans;
 * byte arrays lie end to end in `raw`, `sizes` has their lengths. */
struct mrd_pq_raw {
    enum mrd_pq_type type;
    uint32_t fixed_size;
    size_t count;
    struct mrd_bytes raw;
    const int32_t *sizes;
    enum mrd_pq_delta_widths widths; /* of encodings by differences */
};

/* True if values of this type can be written in this encoding (by us) and read in it (by anyone). */
bool mrd_pq_encoding_fits(enum mrd_pq_type type, unsigned encoding);

/* Appends the encoded values; mrd_pq_encoding_fits must hold. `out->failed` tells of its limit. */
void mrd_pq_values_encode(const struct mrd_pq_raw *values, enum mrd_pq_encoding encoding,
                          struct mrd_buf *out);

/* Scratch memory that grows to what was needed most; the sum is bounded. */
struct mrd_pq_scratch {
    size_t limit_bytes;
    size_t used_bytes;
};
struct mrd_pq_space {
    void *data;
    size_t capacity;
};

/* Makes room for size_bytes, contents undefined; MRD_E_LIMIT if all spaces together would pass the limit. */
MRD_MUST_CHECK enum mrd_status mrd_pq_space_take(struct mrd_pq_scratch *scratch,
                                                 struct mrd_pq_space *space, size_t size_bytes,
                                                 struct mrd_error *err);
void mrd_pq_space_fini(struct mrd_pq_scratch *scratch, struct mrd_pq_space *space);

/* Decodes `count` values from `bytes` to `values`, in the shape of struct mrd_pq_batch. Byte arrays
 * point into `bytes`, or into `blob` when they had to be put together. `sizes` is scratch. MRD_E_CORRUPT
 * where the bytes do not fit, MRD_E_UNSUPPORTED for an encoding that does not go with the type. */
struct mrd_pq_decode_spaces {
    struct mrd_pq_scratch *scratch;
    struct mrd_pq_space *values;
    struct mrd_pq_space *sizes;
    struct mrd_pq_space *blob;
};
MRD_MUST_CHECK enum mrd_status mrd_pq_values_decode(struct mrd_bytes bytes, unsigned encoding,
                                                    enum mrd_pq_type type, uint32_t fixed_size,
                                                    size_t count,
                                                    const struct mrd_pq_decode_spaces *spaces,
                                                    struct mrd_error *err);

#endif
