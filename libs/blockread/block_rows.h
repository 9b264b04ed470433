/* block_rows.h: rollup blocks read side by side by the pool's threads: part of rollup_source.h, made of what block_source.h has.
 *
 * Owner, threads, memory, errors: as of block_source.h.
 */
#ifndef MRD_BLOCKREAD_BLOCK_ROWS_H
#define MRD_BLOCKREAD_BLOCK_ROWS_H

#include "blockread/block_source.h"
#include "rollup/windows.h"

struct mrd_block_rows {
    const struct mrd_block_entry *const *entries; /* lent for the set's life */
    size_t count;
    unsigned columns;              /* wanted (rollup/columns.h) */
    struct mrd_rollup_grid grid;   /* the windows that are wanted */
    struct mrd_rollup_edges edges; /* between which rows may come as one; lent for the set's life */
    struct mrd_rollup_asked asked; /* rows come with the answers of each */
};

/* Opens all of them; reading begins at once. */
MRD_MUST_CHECK enum mrd_status
mrd_block_rows_open(struct mrd_block_source *source, const struct mrd_block_rows *rows,
                    const struct mrd_select *select, const struct mrd_query_scope *scope,
                    struct mrd_source_set **out_set, struct mrd_error *err);

/* The next series of one of them, NULL at its end; it lives until the next call for the same, its labels as long as the set. It has no id. */
MRD_MUST_CHECK enum mrd_status mrd_block_rows_next(struct mrd_source_set *set, size_t index,
                                                   const struct mrd_block_series **out,
                                                   struct mrd_error *err);

void mrd_block_rows_close(struct mrd_source_set *set);

#endif
