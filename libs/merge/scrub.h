/* scrub.h: reads every byte of many blocks and says which are not what they were written as: bits that rot in files nobody
 * reads are found before they are needed.
 *
 * Threads: a scrub runs on the calling thread; scrubs share nothing.
 * Memory:  memory_bytes_max for one block at a time.
 */
#ifndef MRD_MERGE_SCRUB_H
#define MRD_MERGE_SCRUB_H

#include "block/entry.h"
#include "objstore/store.h"

struct mrd_scrub_options {
    struct mrd_objstore *store;
    const struct mrd_objstore_control *control; /* may be NULL */
    const struct mrd_block_entry *const *blocks;
    size_t block_count;
    size_t memory_bytes_max;       /* 0: 512 MiB */
    uint64_t bytes_per_second;     /* at most, over the whole; 0: as fast as it goes */
    const struct mrd_clock *clock; /* needed with bytes_per_second */

    /* Called for each bad block: MRD_E_CORRUPT, or MRD_E_NOT_FOUND if an object is gone (look whether the catalog still names it). What it
     * fails with, the scrub fails with. May be NULL. */
    enum mrd_status (*bad)(void *context, const struct mrd_block_entry *block,
                           enum mrd_status status, const char *reason, struct mrd_error *err);
    void *context;
};

struct mrd_scrub_result {
    uint64_t blocks; /* that were read to the end, or found bad */
    uint64_t bytes;
    uint64_t corrupt;
    uint64_t missing;
};

/* *progress is written whatever happens: the blocks so far, which are the first of the list. Fails with what the store fails with for the
 * moment (MRD_E_UNAVAILABLE, ...), MRD_E_CANCELED, MRD_E_LIMIT (a block that needs more memory). */
MRD_MUST_CHECK enum mrd_status mrd_scrub_run(const struct mrd_scrub_options *options,
                                             struct mrd_scrub_result *progress,
                                             struct mrd_error *err);

#endif
