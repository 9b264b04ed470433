/* run.h: executes a plan. */
#ifndef MRD_PROMQL_RUN_H
#define MRD_PROMQL_RUN_H

#include "promql/exec.h"

/* Opens the plan's selectors, evaluates, closes them again and fills the answer in *out (type, series,
 * scalar, string). */
MRD_MUST_CHECK enum mrd_status pql_run(struct pql_exec *exec, const struct pql_plan *plan,
                                       struct mrd_promql_result *out, struct mrd_error *err);

#endif
