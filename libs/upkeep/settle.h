/* settle.h: what a commit has to say of the erasures that its blocks owe (catalog/catalog.h), and looking for what they have of them.
 *
 * A block leaves the catalog only in a commit that says what was done about each erasure that it owes then. What a merge has left out it
 * knows of its own; of rollups that go with the blocks that they stand for, the rows are counted that they have of it. An erasure that came
 * while the merge ran is no obstacle if the block has nothing of it; else the merge is overtaken: it has written what is
 * to be erased, and must be done again.
 *
 * Owner:   results lie in the caller's arena.
 * Threads: on the calling thread.
 * Memory:  a block's sidecar part at a time.
 */
#ifndef MRD_UPKEEP_SETTLE_H
#define MRD_UPKEEP_SETTLE_H

#include "catalog/request.h"
#include "merge/merge.h"
#include "upkeep/index.h"
#include "upkeep/plan.h"

enum { MRD_UPKEEP_SETTLED_MAX = 4096 /* without a merge, in one commit */ };

struct mrd_upkeep_settling {
    struct mrd_objstore *store;
    const struct mrd_objstore_control *control;
    const struct mrd_catalog_requests *requests; /* that the merge knew; may be NULL */
    const struct mrd_merge_erased *done; /* by it, in the order of ids; 0 samples: nothing */
    size_t done_count;
    bool
        keeps_rows; /* rollups that leave are written anew: it is no obstacle only if they have nothing */
};

/* The order of `done`: by block, then request. */
int mrd_upkeep_done_compare(const void *a, const void *b);

/* What is to be said of the blocks `removed`, all of which the state has. *out_overtaken: it cannot be said; then *out is not
 * written. MRD_E_NOT_FOUND: a request is gone, so the state is out of date. */
MRD_MUST_CHECK enum mrd_status
mrd_upkeep_settle(const struct mrd_upkeep_settling *settling, struct mrd_catalog_state *state,
                  const struct mrd_bytes *removed, size_t removed_count, struct mrd_arena *arena,
                  const struct mrd_catalog_settled **out, size_t *out_count, bool *out_overtaken,
                  struct mrd_error *err);

/* What the blocks of a unit of erasing (plan.h) that has some, of samples or rollups, have nothing of, and those that have something. A block that
 * cannot be read counts among the latter: merging tells what is wrong with it. */
struct mrd_upkeep_looked {
    const struct mrd_block_entry **blocks; /* that have something */
    size_t block_count;
    struct mrd_catalog_settled *settled; /* that have nothing */
    size_t settled_count;
};
MRD_MUST_CHECK enum mrd_status
mrd_upkeep_look(const struct mrd_upkeep_settling *settling, const struct mrd_upkeep_unit *unit,
                struct mrd_arena *arena, struct mrd_upkeep_looked *out, struct mrd_error *err);

/* Likewise of rollups: those of a unit without blocks. Their rows are made of blocks that are there and owe nothing, so they have nothing. */
MRD_MUST_CHECK enum mrd_status
mrd_upkeep_look_at_rollups(struct mrd_catalog_state *state, const struct mrd_upkeep_index *index,
                           const struct mrd_upkeep_unit *unit, struct mrd_arena *arena,
                           struct mrd_upkeep_looked *out, struct mrd_error *err);

/* Whether all that the rollup stands for is in the state, and owes the erasure no more. */
bool mrd_upkeep_rollup_is_free(const struct mrd_catalog_state *state,
                               const struct mrd_block_entry *rollup,
                               const struct mrd_catalog_erasure *erasure);

/* Whether some of what the rollup stands for is gone, and what is there of it owes nothing: its rows cannot be made anew, and no merge will take it
 * away. */
bool mrd_upkeep_rollup_is_alone(const struct mrd_catalog_state *state,
                                const struct mrd_block_entry *rollup);

/* Commits what of `settled` is still owed. *out_count: how much that was. */
MRD_MUST_CHECK enum mrd_status mrd_upkeep_settle_nothing(struct mrd_catalog *catalog,
                                                         const struct mrd_objstore_control *control,
                                                         struct mrd_catalog_settled *settled,
                                                         size_t settled_count, size_t *out_count,
                                                         struct mrd_error *err);

#endif
