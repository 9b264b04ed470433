/* builder.h: makes the rows of a series of one or more resolutions while its samples come by.
 *
 *     mrd_rollup_builder_create -> { mrd_rollup_builder_add ... -> mrd_rollup_builder_end }... -> _destroy
 *
 * A row is emitted once a sample after its window has come, or the series has ended: those of a finer resolution before the coarser
 * one that they are in. Coarser rows are joined from the finer ones. The rows depend on the samples alone, not on the pieces that they
 * come in. A window without anything has no row.
 *
 * A window that only part of the samples was given for makes a row of that part: who reads joins the parts. So days
 * can be built each by itself although a window that ends at midnight has one sample in the next day.
 *
 * Owner:   whoever made it.
 * Threads: one at a time.
 * Memory:  floats none beyond the builder itself; histograms six of a size per resolution, below memory_bytes_max (MRD_E_LIMIT).
 */
#ifndef MRD_ROLLUP_BUILDER_H
#define MRD_ROLLUP_BUILDER_H

#include "rollup/row.h"

enum { MRD_ROLLUP_LEVELS_MAX = 4 };

struct mrd_rollup_builder;

/* Takes a row; `level` is the index of its resolution. The row is lent for the call. What it fails with, the call that led
 * to it fails with. */
typedef enum mrd_status mrd_rollup_emit(void *context, size_t level,
                                        const struct mrd_rollup_row *row, struct mrd_error *err);

struct mrd_rollup_builder_options {
    const mrd_time_ms
        *resolutions_ms;     /* ascending, each a multiple of the one before (asserts); copied */
    size_t resolution_count; /* 1 to MRD_ROLLUP_LEVELS_MAX */
    size_t memory_bytes_max; /* of histograms; 0: 64 MiB */
    mrd_rollup_emit *emit;
    void *context;
};

struct mrd_rollup_builder *
mrd_rollup_builder_create(const struct mrd_rollup_builder_options *options);
void mrd_rollup_builder_destroy(struct mrd_rollup_builder **builder);

/* The next samples and histograms of the series: disjoint, each ascending, all later than those before (asserts).
 * Cost: about 5 ns a float. After a failure only destroy is left. */
MRD_MUST_CHECK enum mrd_status mrd_rollup_builder_add(struct mrd_rollup_builder *builder,
                                                      const struct mrd_samples *samples,
                                                      const struct mrd_histograms *histograms,
                                                      struct mrd_error *err);

/* The series has no more: emits what is open. Another series may begin. */
MRD_MUST_CHECK enum mrd_status mrd_rollup_builder_end(struct mrd_rollup_builder *builder,
                                                      struct mrd_error *err);

#endif
