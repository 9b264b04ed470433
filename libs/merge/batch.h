/* batch.h: everything that some blocks have, brought to the next level: for each tenant and UTC day (or month) that they have samples
 * in, one merge of what they have with what that level has there already.
 *
 *   level 0, many tenants and days  ->  level 1, files of one tenant and day
 *   level 1, the days of a month    ->  level 2, files of one tenant and calendar month
 *
 * What it makes is for one commit: `outputs` come, `replaced` go. Until then nothing has changed, and whoever does it again makes the
 * same. The files of many small tenants are stored together (objstore/batch_store.h), and all are when it returns. A block of the batch is among the replaced only if it was read to its last sample: over all tenants and periods it gave what its
 * entry says. A bad block is told, and is not replaced: it stays until somebody has looked at it.
 *
 * Owner:   results lie in the caller's arena.
 * Threads: the calling thread and, while it waits, `workers` - 1 more. Each takes some tenants after the others; a merge is one
 *          thread's. The result is in the order of the tenants, whoever merged which, and what a merge finds bad is so for that
 *          tenant: it does not depend on who was first.
 * Memory:  merge.memory_bytes_max, shared by the workers and by what they keep open of the batch's blocks; beside it the directories of
 *          these, a list of their tenants, and what objstore/batch_store.h keeps back.
 */
#ifndef MRD_MERGE_BATCH_H
#define MRD_MERGE_BATCH_H

#include "merge/merge.h"

enum mrd_merge_period { MRD_MERGE_DAY, MRD_MERGE_MONTH };

enum { MRD_MERGE_BATCH_MAX = 256 };

/* From `first_ms` to `last_ms`, both inclusive: the UTC day or month that a time lies in. */
struct mrd_merge_range {
    mrd_time_ms first_ms;
    mrd_time_ms last_ms;
};
struct mrd_merge_range mrd_merge_period_of(enum mrd_merge_period period, mrd_time_ms time_ms);

struct mrd_merge_batch_options {
    struct mrd_merge_options
        merge; /* inputs, tenant, times and prefixes are set for each merge; the rest counts */
    const struct mrd_block_entry *const *blocks; /* 1 to MRD_MERGE_BATCH_MAX */
    size_t block_count;
    enum mrd_merge_period period;

    /* Threads that merge, as far as the memory allows: of merge.memory_bytes_max each has its share, and what follows here is called by
     * several at once. 0 is 1. */
    size_t workers;

    /* Appends what the outputs' level has of a tenant in a period, const struct mrd_block_entry *: blocks that lie wholly in it. */
    enum mrd_status (*find)(void *context, struct mrd_bytes tenant, struct mrd_merge_range range,
                            struct mrd_buf *out, struct mrd_error *err);
    /* Appends the prefix of the outputs' keys. */
    enum mrd_status (*prefix)(void *context, struct mrd_bytes tenant, struct mrd_merge_range range,
                              struct mrd_buf *out, struct mrd_error *err);
    /* Likewise of the keys of rollups; needed if merge.resolution_count is not 0. */
    enum mrd_status (*rollup_prefix)(void *context, struct mrd_bytes tenant,
                                     struct mrd_merge_range range, mrd_time_ms resolution_ms,
                                     struct mrd_buf *out, struct mrd_error *err);
    /* Likewise of the keys of files of series. May be NULL: there are none. */
    enum mrd_status (*series_prefix)(void *context, struct mrd_bytes tenant,
                                     struct mrd_merge_range range, struct mrd_buf *out,
                                     struct mrd_error *err);
    /* Last changes to the options of a merge: the tenant's layout, a tap. May be NULL. */
    enum mrd_status (*adjust)(void *context, struct mrd_bytes tenant, struct mrd_merge_range range,
                              struct mrd_merge_options *merge, struct mrd_error *err);
    void *context;
};

struct mrd_merge_batch_result {
    const struct mrd_block_entry *const *outputs;
    size_t output_count;
    const struct mrd_block_entry *const *rollups; /* of the outputs; those of the replaced go */
    size_t rollup_count;
    const struct mrd_block_entry *const *replaced; /* of the batch, and what was found */
    size_t replaced_count;
    const struct mrd_merge_bad *bad; /* each once */
    size_t bad_count;
    uint64_t merges;
    uint64_t samples_in;
    uint64_t samples_out;
    uint64_t duplicates;
    uint64_t overridden;
    uint64_t erased;
    uint64_t unordered;
    /* Of each replaced block each request that it owed, in the order of ids; 0: the block had nothing of it. */
    const struct mrd_merge_erased *settled;
    size_t settled_count;
};

/* As mrd_merge_run. */
MRD_MUST_CHECK enum mrd_status mrd_merge_batch(const struct mrd_merge_batch_options *options,
                                               struct mrd_arena *arena,
                                               struct mrd_merge_batch_result *out,
                                               struct mrd_error *err);

#endif
