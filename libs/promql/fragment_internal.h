/* fragment_internal.h: what comes back from a fragment, for the operator that merges it. */
#ifndef MRD_PROMQL_FRAGMENT_INTERNAL_H
#define MRD_PROMQL_FRAGMENT_INTERNAL_H

#include "promql/exec_fold.h"

/* Reads the states of one segment into the operator as its segment at hand, adds what was counted to the
 * query's statistics and what was said to its annotations. MRD_E_CORRUPT for bytes that are no such states. */
MRD_MUST_CHECK enum mrd_status pql_states_read(struct pql_fold_op *op, struct mrd_bytes states,
                                               struct mrd_error *err);

#endif
