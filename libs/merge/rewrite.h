/* rewrite.h: a rollup written anew without what requests to erase have of it: one whose samples have left by retention, so that its rows cannot be
 * made anew of them as all others are (merge.h). What rules of retention have let go is as if a request had erased it.
 *
 * A row is of a window, and nobody can take one sample out of it. So rows of a series that a request selects go whole if their window meets
 * the request's time, with what they say of the rest of the window. All others stay as they are, bit for bit.
 *
 * Deterministic: names and bytes of the outputs follow from the rollup, the requests and the options. They stand for what the rollup stood for.
 *
 * Accounting: a rollup that does not have as many rows as its entry says is MRD_E_CORRUPT.
 *
 * Owner:   results lie in the caller's arena.
 * Threads: on the calling thread.
 * Memory:  memory_bytes_max.
 */
#ifndef MRD_MERGE_REWRITE_H
#define MRD_MERGE_REWRITE_H

#include "merge/merge.h"

struct mrd_merge_rewrite_options {
    struct mrd_objstore *store;
    const struct mrd_objstore_control *control; /* may be NULL */
    const struct mrd_block_entry *rollup;
    const struct mrd_erasure *const *erasures; /* of the rollup's tenant */
    size_t erasure_count;
    const char *prefix; /* of the keys: "<prefix><name>-r<resolution>-<number>.parquet" */
    const struct mrd_block_promoted *promoted;
    size_t promoted_count;
    int zstd_level;          /* 0: 3 */
    size_t memory_bytes_max; /* 0: 512 MiB; at least MRD_MERGE_MEMORY_MIN */
};

struct mrd_merge_rewritten {
    const struct mrd_block_entry *outputs; /* none if no row is left; else one, mostly */
    size_t output_count;
    uint64_t rows_in;
    uint64_t rows_out;
    const uint64_t *
        erased; /* rows of the rollup that each request has; one that several have counts for each */
};

/* *out is written on success only. */
MRD_MUST_CHECK enum mrd_status mrd_merge_rewrite(const struct mrd_merge_rewrite_options *options,
                                                 struct mrd_arena *arena,
                                                 struct mrd_merge_rewritten *out,
                                                 struct mrd_error *err);

#endif
