/* merge.h: many blocks into few: one tenant's samples of one range of time, from any number of blocks that may overlap, in any
 * order of arrival, each (series, timestamp) once.
 *
 * Of what several blocks say about one time of a series the greatest (stamp, value bits, start time) wins, so the outcome does not depend on
 * the order of the blocks, nor on whether they are merged at once or some first (given that what is merged first keeps its stamps). The stamp of a sample
 * is its own where its block keeps them, else the block's fence: a block without stamps may only meet blocks that are
 * wholly before or after it (their stamps' ranges are disjoint); `unordered` counts the pairs for which that does not hold. Blocks of
 * level 0 of two partitions are no such pair: a series is in one partition.
 *
 * Deterministic: the names and bytes of the outputs follow from the inputs (whatever their order) and the options. Who does it again, after a
 * crash or because a lease was lost, writes the same objects.
 *
 * A bad input (a page or sidecar that fails its checks, an object that is gone) is left out as a whole: its reason is told, the
 * rest is merged without it, under other names. The input itself is not touched.
 *
 * What a request to erase has of an input that owes it is left out, whatever its stamp; other inputs keep theirs. So a sample that was written
 * again after the request, and lies in a block that does not owe it, is there though one of the same time goes.
 *
 * Accounting: every sample that was read from a block is in an output, or a duplicate (the same value and start time won), or
 * overridden, or erased; and an input that lies wholly in the range has given just what its entry says. If this does not add up, nothing is
 * returned: MRD_E_CORRUPT.
 *
 * Rollups (docs/formats/rollup.md) of what is merged are made in the same pass, if asked for: blocks of their own, whose `parents` are the
 * outputs that their rows stand for, all of them. Rows are always made anew from the samples: whoever replaces
 * a block of samples takes the rollups that stand for it away in the same commit (mrd_merge_stands_for). Those whose samples have left by retention are
 * another matter (rewrite.h).
 *
 * Owner:   results lie in the caller's arena. Outputs count once the caller's catalog names them; until then they are unreferenced objects.
 * Threads: a merge runs on the calling thread; merges share nothing.
 * Memory:  memory_bytes_max whatever is merged: inputs are read in windows, as many at a time as fit (more make further passes
 *          over temporary blocks, which are deleted), and outputs end when their index has grown to its share.
 */
#ifndef MRD_MERGE_MERGE_H
#define MRD_MERGE_MERGE_H

#include "block/cache.h"
#include "block/entry.h"
#include "block/reader.h"
#include "block/schema.h"
#include "block/series.h"
#include "block/writer.h"
#include "model/erasure.h"
#include "objstore/store.h"
#include "rollup/builder.h"

enum {
    MRD_MERGE_FAN_IN_MAX = 64, /* blocks read side by side */
    MRD_MERGE_OUTPUTS_MAX = 4096,
};

/* Takes what is merged, in order: a series or a piece of one, lent for the call. For what is made along the way (rollups). A
 * merge that begins again, because an input is bad, calls `restart` first. */
struct mrd_merge_tap {
    enum mrd_status (*take)(void *context, const struct mrd_block_series *piece,
                            struct mrd_error *err);
    enum mrd_status (*restart)(void *context, struct mrd_error *err);
    void *context;
};

/* What merges of one thread hand on to each other, so that the next need not make it anew: buffers, contexts of zstd. A few MB. What is
 * written does not depend on it. */
struct mrd_merge_workspace;
struct mrd_merge_workspace *mrd_merge_workspace_create(void); /* never NULL */
void mrd_merge_workspace_destroy(struct mrd_merge_workspace **workspace);

/* A block that many merges read, one after the other, each a tenant: it stays open, and what one has read of it serves the next. Its
 * memory is not that of the merges. */
struct mrd_merge_reader {
    struct mrd_block *block; /* lent; NULL: the merges open it themselves */
    size_t window_bytes;
    size_t piece_bytes;
    struct mrd_block_cursor
        *cursor; /* NULL at first; whoever has the reader closes it before the block */
};

/* Which requests to erase a block has to follow. */
struct mrd_merge_erasures {
    /* Puts those of a block into out, `most` at most; returns how many. They live as long as the merge. */
    size_t (*owed)(void *context, struct mrd_bytes block_id, const struct mrd_erasure **out,
                   size_t most);
    size_t most; /* that is enough for any block */
    void *context;
};

struct mrd_merge_options {
    struct mrd_objstore *store;
    const struct mrd_objstore_control *control;  /* may be NULL */
    const struct mrd_block_entry *const *inputs; /* all of one residency class */
    size_t input_count;                          /* 1 to MRD_BLOCK_PARENTS_MAX */
    struct mrd_merge_reader *const *readers;     /* of the inputs, each may be NULL; NULL: none */
    struct mrd_bytes tenant;                     /* the others in the inputs are not looked at */
    mrd_time_ms min_ms;                          /* inclusive */
    mrd_time_ms max_ms;                          /* inclusive */
    const char *prefix; /* of the outputs' keys: "<prefix><name>-<shard>.parquet" */
    const char *
        series_prefix; /* likewise of their files of series (block/schema.h); NULL: they have none */
    unsigned level;    /* of the outputs, at least 1 */
    const struct mrd_block_promoted *promoted;
    size_t promoted_count;
    bool compact;   /* values as scaled integers where that is exact (block/writer.h) */
    bool keep_hlc;  /* outputs keep the stamps: where others may still overlap with them */
    int zstd_level; /* 0: 3 */
    uint64_t shard_bytes_max; /* an output ends with the series that passes this; 0: 512 MiB */
    size_t memory_bytes_max;  /* 0: 512 MiB; at least MRD_MERGE_MEMORY_MIN */
    size_t fan_in_max;        /* 0: MRD_MERGE_FAN_IN_MAX */
    struct mrd_block_cache
        *cache; /* of sidecars: for blocks of many tenants, which are merged one after the other. It
                                    * counts for itself; may be NULL */
    struct mrd_merge_workspace *workspace;     /* may be NULL */
    const struct mrd_merge_tap *tap;           /* may be NULL */
    const struct mrd_merge_erasures *erasures; /* NULL: no input owes any */
    /* What all inputs are to lose beside that, of the tenant, whatever tenant stands in it; ids are none of those that are owed. */
    const struct mrd_erasure *also;
    size_t also_count;
    /* Rollups: ascending, each a multiple of the one before; at most MRD_ROLLUP_LEVELS_MAX, none: 0. Their keys are
     * "<prefix of the resolution><name>-r<resolution>-<shard>.parquet". */
    const mrd_time_ms *resolutions_ms;
    const char *const *rollup_prefixes;
    size_t resolution_count;
};

#define MRD_MERGE_MEMORY_MIN ((size_t)48 << 20)
/* More, for each resolution. */
#define MRD_MERGE_ROLLUP_MEMORY_MIN ((size_t)MRD_BLOCK_WRITER_MEMORY_MIN)

struct mrd_merge_bad {
    const struct mrd_block_entry *input;
    enum mrd_status status;
    const char *reason;
};

/* What was left out of an input for a request: more than 0. What several requests have is counted to one of them; a request that selects
 * something in the input counts 1 at least. */
struct mrd_merge_erased {
    struct mrd_bytes input; /* its id */
    struct mrd_id128 erasure;
    uint64_t samples;
};

struct mrd_merge_result {
    const struct mrd_block_entry *outputs; /* none if there is no sample in the range */
    size_t output_count;
    const struct mrd_block_entry *rollups; /* of the outputs */
    size_t rollup_count;
    const struct mrd_merge_bad *bad; /* inputs that were left out */
    size_t bad_count;
    uint64_t
        samples_in; /* floats and histograms, of the inputs that are not bad; with what is erased */
    uint64_t samples_out;
    uint64_t duplicates;
    uint64_t overridden;
    uint64_t erased;
    uint64_t unordered;            /* pairs of inputs */
    const uint64_t *input_samples; /* what each input had, 0 for a bad one */
    const struct mrd_merge_erased *erasures;
    size_t erasure_count;
    unsigned passes;
};

/* MRD_E_INVALID for options that cannot be; MRD_E_LIMIT if memory does not allow two blocks at a time, or the arena is full; errors of the store that may
 * pass (MRD_E_UNAVAILABLE, ...) end the merge. *out is written on success only. */
MRD_MUST_CHECK enum mrd_status mrd_merge_run(const struct mrd_merge_options *options,
                                             struct mrd_arena *arena, struct mrd_merge_result *out,
                                             struct mrd_error *err);

/* Whether a rollup stands for one of these blocks: it goes when they go, unless they have merely expired. */
bool mrd_merge_stands_for(const struct mrd_block_entry *rollup, const struct mrd_bytes *ids,
                          size_t count);

#endif
