/* pieces.h: the rows of a series that lie in several places, put one behind the other.
 *
 * Owner:   the struct has the memory that it needs, and keeps it for the next series; what is looked at lives until it is cleared. States
 *          are those of the pieces.
 * Threads: one at a time.
 */
#ifndef MRD_ROLLUP_PIECES_H
#define MRD_ROLLUP_PIECES_H

#include "rollup/columns.h"

struct mrd_rollup_pieces { /* all zero: empty */
    struct mrd_buf ends_ms;
    struct mrd_buf columns[MRD_ROW_COLUMNS];
    struct mrd_buf states;
    struct mrd_rollup_columns view;
};

void mrd_rollup_pieces_clear(struct mrd_rollup_pieces *pieces);

/* Rows from `from` on, which end after all that are there. */
void mrd_rollup_pieces_add(struct mrd_rollup_pieces *pieces, const struct mrd_rollup_columns *rows,
                           size_t from);

/* Row 0, which ends where the last one does: they become one, in the arena. MRD_E_LIMIT from that. */
MRD_MUST_CHECK enum mrd_status mrd_rollup_pieces_join(struct mrd_rollup_pieces *pieces,
                                                      const struct mrd_rollup_columns *rows,
                                                      struct mrd_arena *arena,
                                                      struct mrd_error *err);

/* All of them; lives until the next change. */
const struct mrd_rollup_columns *mrd_rollup_pieces_view(struct mrd_rollup_pieces *pieces);

void mrd_rollup_pieces_fini(struct mrd_rollup_pieces *pieces);

#endif
