/* block_picks.h: which blocks a select reads, in which order, and what it leaves out of each: part of block_source.h, which says the rule.
 *
 * Threads: the query's thread.
 */
#ifndef MRD_BLOCKREAD_BLOCK_PICKS_H
#define MRD_BLOCKREAD_BLOCK_PICKS_H

#include "blockread/block_source.h"

#define MRD_BLOCK_FIGURE_ADD(figures_, name_, by_)                                                 \
    do {                                                                                           \
        if ((figures_) != NULL) {                                                                  \
            atomic_fetch_add_explicit(&(figures_)->name_, (by_), memory_order_relaxed);            \
        }                                                                                          \
    } while (0)

struct mrd_block_picks {
    struct mrd_block_pick {
        const struct mrd_block_entry *entry;
        uint32_t partition;
    } * items; /* from the arena: by partition, of one the oldest first */
    size_t count;
};

/* by_partition: blocks of higher levels are there once for each partition; else once, under 0. Counts what it leaves out.
 * MRD_E_LIMIT from the arena. */
MRD_MUST_CHECK enum mrd_status mrd_block_picks_make(const struct mrd_block_source_options *options,
                                                    const struct mrd_block_select *select,
                                                    bool by_partition, struct mrd_arena *arena,
                                                    struct mrd_block_picks *out,
                                                    struct mrd_error *err);

/* Lets the select of the block leave out what the block owes, and what is hidden of all blocks and may be in it; not the latter of rows, which are
 * cut by whoever asks for them. The list is the caller's, to be freed after the select's cursor; NULL: it is the index'. */
const struct mrd_erasure **mrd_block_left_out(const struct mrd_block_source_options *options,
                                              const struct mrd_block_entry *entry, bool rows,
                                              struct mrd_block_select *select);

#endif
