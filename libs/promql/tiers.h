/* tiers.h: one source over two: the head of now, and the blocks of before.
 *
 * Both have parts of the same map (series, time) -> value. Of a time that both have, the head's value counts: a head holds
 * every write from a position of the log on, and blocks hold what was written before it, so the head's is the later write. The
 * limit of that rule: two writes of different values to one sample, a moment apart by different writers, which
 * the log holds in the other order than their stamps, with the head's first position just between them; and a write that comes, or comes once more, when
 * the log has dropped the one that overrode it. Within a head, and within a block, stamps decide.
 *
 * Whether a select needs blocks is asked once, when it is opened. One that does not is the head's alone, plan fragments
 * included, at no cost; one that does is merged series by series (series_merge.h), and fragments are declined: its series are
 * folded by the engine, in the same segments and order, so that the answer is the same to the last bit wherever
 * the border between the tiers lies.
 *
 * Owner:   the query; the struct and what it points to live as long as the source.
 * Threads: the query's thread.
 * Memory:  the two sources', and one series put together, within merge.samples_max.
 */
#ifndef MRD_PROMQL_TIERS_H
#define MRD_PROMQL_TIERS_H

#include "promql/series_merge.h"

struct mrd_tiers {
    const struct mrd_source *head;
    const struct mrd_source *blocks; /* NULL: there are none */
    /* Whether blocks may have samples that the select finds and the head has not; of lists of labels, which have no matchers
     * here, only the range is known. May not wait; may add annotations. MRD_E_UNAVAILABLE: that cannot be known. NULL: always. */
    enum mrd_status (*needs_blocks)(void *context, const struct mrd_select *select,
                                    const struct mrd_query_scope *scope, bool *out_needed,
                                    struct mrd_error *err);
    void *context;
    struct mrd_series_merge_options merge;
};

struct mrd_source mrd_tiers_source(struct mrd_tiers *tiers);

#endif
