/* rollups.h: the rollup rows of what a merge writes, made in the same pass: a tap for mrd_merge_options.
 *
 * Owner:   whoever made it, until after the merge.
 * Threads: the merge's.
 * Memory:  that of a rollup builder (rollup/builder.h), and the labels of the series at hand.
 */
#ifndef MRD_MERGE_ROLLUPS_H
#define MRD_MERGE_ROLLUPS_H

#include "merge/merge.h"
#include "rollup/row.h"

struct mrd_merge_rollups;

/* Takes rows: series in the order of blocks, the rows of a series and resolution in the order of time. All is lent for the call. */
struct mrd_merge_rollups_sink {
    enum mrd_status (*row)(void *context, const struct mrd_block_series *series, size_t level,
                           const struct mrd_rollup_row *row, struct mrd_error *err);
    /* The merge begins again without a bad input: forget all rows. */
    enum mrd_status (*restart)(void *context, struct mrd_error *err);
    void *context;
};

/* The resolutions as of struct mrd_rollup_builder_options. */
struct mrd_merge_rollups *mrd_merge_rollups_create(const mrd_time_ms *resolutions_ms,
                                                   size_t resolution_count,
                                                   const struct mrd_merge_rollups_sink *sink);
void mrd_merge_rollups_destroy(struct mrd_merge_rollups **rollups);

/* To be given to the merge. Lives as long as the rollups. */
const struct mrd_merge_tap *mrd_merge_rollups_tap(struct mrd_merge_rollups *rollups);

/* After the merge: hands out the rows of the last series. */
MRD_MUST_CHECK enum mrd_status mrd_merge_rollups_end(struct mrd_merge_rollups *rollups,
                                                     struct mrd_error *err);

#endif
