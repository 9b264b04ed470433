/* fragment.h: a part of a query's plan that is evaluated where the series are.
 *
 * A fragment is an aggregation over one selector that the planner found fit (plan_fragment.c), named by the
 * whole query and its place in it: whoever runs it parses and plans the same text with the same code, so
 * numbers, errors and the positions in annotations are the same. What comes back is not the answer but
 * the states of the groups of one segment, which the engine merges with those of other segments just as it
 * does with segments that it folds itself. docs/formats/fragment.md has the bytes of both.
 *
 * Versions: two processes whose MRD_FRAGMENT_VERSION differs do not understand each other (MRD_E_UNSUPPORTED),
 * and the asker selects the series instead. Raise it with the layout and with any change of what an
 * aggregation or a function computes.
 *
 * Threads: plain values; a run is the calling thread's.
 */
#ifndef MRD_PROMQL_FRAGMENT_H
#define MRD_PROMQL_FRAGMENT_H

#include "promql/engine.h"

enum { MRD_FRAGMENT_VERSION = 3 };

struct mrd_fragment {
    struct mrd_promql_request request; /* the whole query's */
    struct mrd_promql_options options;
    uint64_t node; /* the aggregation: its number in the order of evaluation */
};

void mrd_fragment_encode(const struct mrd_fragment *fragment, struct mrd_buf *out);

/* The text points into `bytes`. MRD_E_UNSUPPORTED: of another version; MRD_E_INVALID: malformed. */
MRD_MUST_CHECK enum mrd_status mrd_fragment_decode(struct mrd_bytes bytes, struct mrd_fragment *out,
                                                   struct mrd_error *err);

/* Runs a fragment over all that the source yields for its selector, as one segment, and appends the states
 * to *out (whose limit is MRD_E_LIMIT). Fails as the query would: MRD_E_INVALID is the query's own error, in the same words.
 * MRD_E_UNSUPPORTED where the text is no query to this process, or its plan has no aggregation that may be pushed down in this
 * place. */
MRD_MUST_CHECK enum mrd_status mrd_fragment_run(const struct mrd_fragment *fragment,
                                                const struct mrd_source *source,
                                                const struct mrd_query_control *control,
                                                struct mrd_arena *arena, struct mrd_buf *out,
                                                struct mrd_error *err);

#endif
