/* series_merge.h: several sets of series as one, series by series.
 *
 * Where several sets have the same series, its samples are put together. Of samples with the same time, the one of the
 * later input counts, whatever their kinds: a histogram takes a float's place and the other way round. So inputs come in
 * the order of their writing, the oldest first. The sets need not know each other's stamps for that; what
 * it cannot see is a write that was stamped before another and yet came into a later input. Who splits the data decides whether that can be.
 *
 * All sets must yield in one order: by segment, within it by model/series_order.h, none twice. A set that does not is MRD_E_CORRUPT: going on
 * would yield a series in two pieces.
 *
 * Owner:   whoever created it; it closes its inputs' sets.
 * Threads: one, the query's.
 * Memory:  one series of each input (theirs), the samples of one series put together (ours, at most samples_max; histograms are
 *          copied flat, their buckets stay with the input), some tens of bytes an input.
 */
#ifndef MRD_PROMQL_SERIES_MERGE_H
#define MRD_PROMQL_SERIES_MERGE_H

#include "model/series_order.h"
#include "promql/source.h"

struct mrd_series_input {
    struct mrd_source_set *set;
    enum mrd_status (*next)(struct mrd_source_set *set, struct mrd_source_series *out,
                            bool *out_more, struct mrd_error *err);
    void (*close)(struct mrd_source_set *set);
};

struct mrd_series_merge_options {
    size_t samples_max;   /* of one series put together; 0: none */
    struct mrd_look look; /* asked where a series is long; its context lives as long as the merge */
    /* Finds out anew what is known of resets where histograms of several inputs were put together; NULL: there, nothing is
     * known. items[0] has none before it; arena is for the call. */
    void (*find_resets)(struct mrd_histogram *items, size_t first, size_t count,
                        struct mrd_arena *arena);
};

struct mrd_series_merge;

/* The inputs are copied, their sets are the merge's from now on. */
struct mrd_series_merge *mrd_series_merge_create(const struct mrd_series_input *inputs,
                                                 size_t count,
                                                 const struct mrd_series_merge_options *options);

/* The next series, as mrd_source.next: valid until the next call. */
MRD_MUST_CHECK enum mrd_status mrd_series_merge_next(struct mrd_series_merge *merge,
                                                     struct mrd_source_series *out, bool *out_more,
                                                     struct mrd_error *err);

void mrd_series_merge_destroy(struct mrd_series_merge **merge);

#endif
