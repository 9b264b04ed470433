/* merge.h: one unit of merging, from the catalog to the catalog: reads the blocks of a unit (plan.h), writes their successors, and
 * commits those, the going of the inputs and the tables that fit them at once.
 *
 * Until the commit nothing has changed; what was written lies under keys that nobody else has used or will use, and is swept if it is
 * never committed. So a merge may be killed anywhere, be done twice, or run beside others: of several that have
 * read the same block one commits, the others lose (`lost`) and have wasted work.
 *
 * Rollups are made with the blocks that they stand for and committed with them; those of blocks that go, go with them.
 *
 * What erasures have of the blocks is left out, and the commit says so (settle.h). If one came meanwhile that has something of what was
 * written, the merge is lost likewise (`overtaken`).
 *
 * Rollups whose samples have left by retention are written anew by themselves (merge/rewrite.h) when they owe an erasure.
 *
 * A block that turns out bad is read once more as a whole; if it is bad indeed, it goes into quarantine (quarantine.h) and stays in the
 * catalog. The rest of the unit is merged without it, but for months, which wait.
 *
 * It ends after half of the catalog's grace, whatever happens: files that old cannot be committed any more. So it is known when those that
 * began before a request to erase have ended.
 *
 * Owner:   plain values.
 * Threads: the calling thread, and `workers` - 1 more for as long as it takes: merge/batch.h. `is_compact` is called by all of them. Merges
 *          share the catalog and the store.
 * Memory:  memory_bytes_max for merging, and MRD_UPKEEP_RESULT_BYTES_MAX for what the catalog is to say of it.
 */
#ifndef MRD_UPKEEP_MERGE_H
#define MRD_UPKEEP_MERGE_H

#include "upkeep/settle.h"
#include "upkeep/tables.h"

enum { MRD_UPKEEP_ATTEMPTS = 8 /* to commit */ };
#define MRD_UPKEEP_RESULT_BYTES_MAX ((size_t)1 << 30)

struct mrd_upkeep_merge_options {
    struct mrd_objstore *store;
    struct mrd_catalog *catalog;
    const struct mrd_objstore_control *control; /* may be NULL */
    const struct mrd_clock *clock;
    const char *region;
    const char *holder;                             /* who does it, for records of bad blocks */
    const struct mrd_upkeep_tables *tables;         /* NULL: no tables are kept */
    const struct mrd_upkeep_quarantine *quarantine; /* may be NULL */
    const struct mrd_catalog_requests *requests;    /* of the state; NULL: no block owes any */
    const struct mrd_upkeep_retain *retain;         /* what rules of retention let go is left out;
                                                       NULL: there are none */
    size_t memory_bytes_max;                        /* 0: 512 MiB */
    size_t workers;                                 /* threads, which share the memory; 0 is 1 */
    uint64_t shard_bytes_max;                       /* 0: 512 MiB */
    int zstd_level_month;                           /* 0: 9 */
    /* Rollups that are made of all that is written: as of merge/merge.h, and such as have tables. */
    const mrd_time_ms *resolutions_ms;
    size_t resolution_count;
    /* Whether a tenant's values are stored as scaled integers; NULL: no tenant's. */
    bool (*is_compact)(void *context, struct mrd_bytes tenant);
    void *context;
};

struct mrd_upkeep_merged {
    bool committed; /* something has changed */
    bool lost;      /* others were faster: look at the catalog again */
    bool overtaken; /* likewise, and it was an erasure */
    size_t blocks_in;
    size_t blocks_out;
    size_t rollups_out; /* beside these; bytes_out has them */
    size_t quarantined;
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t merges; /* of a tenant and a period */
    uint64_t samples_in;
    uint64_t samples_out;
    uint64_t duplicates;
    uint64_t overridden;
    uint64_t erased;
    uint64_t rows_erased; /* of rollups that were written anew */
    uint64_t unordered;
    size_t settled; /* pairs of a block and an erasure of which nothing is owed any more */
    size_t tables;  /* that have a new version */
    struct mrd_error
        publish_error; /* copies for readers without a catalog are behind; MRD_OK: they are not */
};

/* `state` is what the unit was planned of, `index` its index. *out is written on success, and on failure too if anything is committed
 * (then `committed`). MRD_E_UNAVAILABLE and the like: try again later. MRD_E_LIMIT: memory,
 * or the time, does not suffice. MRD_E_CORRUPT: the figures do not add up and no block is found
 * bad by itself: nothing is changed, a human must look. */
MRD_MUST_CHECK enum mrd_status
mrd_upkeep_merge(const struct mrd_upkeep_merge_options *options, struct mrd_catalog_state *state,
                 const struct mrd_upkeep_index *index, const struct mrd_upkeep_unit *unit,
                 struct mrd_upkeep_merged *out, struct mrd_error *err);

#endif
