/* batch_store.h: a store over another that keeps small objects back and stores them together, for writers of very many: blocks and tables
 * of thousands of tenants, which one commit names. What costs a folder is an fsync for each file and each of its folders, and S3 a round
 * trip for each; put_many (store.h) has neither.
 *
 * What it promises less than a store: what a put, put_if_absent or upload has answered MRD_OK to is there for calls to this store, but
 * durable, and seen by others, only when mrd_batch_store_flush has answered MRD_OK; only then may a commit name it. That
 * of two objects one is durable before the other, nobody knows before. A conflict (put_if_absent) may be told by the flush. Objects that were read before
 * they were stored (a writer looks at what it has written) are read back by the flush, and must be the same.
 *
 * Large objects (MRD_BATCH_STORE_OBJECT_MAX) are stored at once, as are listings, classes and sweeps, which flush what is kept.
 *
 * Owner:   the caller closes it; the inner store is lent and outlives it. What was not flushed is gone when it is closed.
 * Threads: as every store. A thread whose object is one too many stores what is kept, while others go on.
 * Memory:  MRD_BATCH_STORE_BYTES_MAX of objects, and as much again for each thread that is storing some; MRD_BATCH_STORE_OBJECT_MAX for
 *          each upload under way.
 * Errors:  the inner store's. After a flush has failed, by whichever call, only reads and the end are left.
 */
#ifndef MRD_OBJSTORE_BATCH_STORE_H
#define MRD_OBJSTORE_BATCH_STORE_H

#include "objstore/store.h"

enum {
    MRD_BATCH_STORE_OBJECT_MAX = 256 << 10,
    MRD_BATCH_STORE_BYTES_MAX = 8 << 20,
    MRD_BATCH_STORE_OBJECTS_MAX = 4096
};

struct mrd_objstore *mrd_batch_store_create(struct mrd_objstore *inner);

/* Stores what is kept; MRD_OK: all that was ever written to this store is durable. No write may be running. */
MRD_MUST_CHECK enum mrd_status mrd_batch_store_flush(struct mrd_objstore *batch,
                                                     const struct mrd_objstore_control *control,
                                                     struct mrd_error *err);

#endif
