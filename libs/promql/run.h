/* run.h: executes a plan. */
#ifndef MRD_PROMQL_RUN_H
#define MRD_PROMQL_RUN_H

#include "promql/exec_fold.h"

/* The options with what is left out filled in. */
struct mrd_promql_options pql_with_defaults(const struct mrd_promql_options *options);

/* Text to checked and preprocessed tree; the caller frees it. The options are filled. */
MRD_MUST_CHECK enum mrd_status pql_prepare(const struct mrd_promql_options *options,
                                           const struct mrd_promql_request *request,
                                           struct mrd_arena *arena, struct mrd_ast *ast,
                                           struct mrd_error *err);

/* Tree to plan. */
MRD_MUST_CHECK enum mrd_status pql_make_plan(struct pql_exec *exec, const struct mrd_expr *root,
                                             struct pql_plan *out, struct mrd_error *err);

/* Opens the only selector of an aggregation that may be pushed down, folds all its series as one segment,
 * closes it again and hands the operator to `done`, which may write its state. */
MRD_MUST_CHECK enum mrd_status
pql_run_fold(struct pql_exec *exec, const struct pql_node *node,
             enum mrd_status (*done)(void *context, struct pql_fold_op *op, struct mrd_error *err),
             void *context, struct mrd_error *err);

/* Opens the plan's selectors, evaluates, closes them again and fills the answer in *out (type, series,
 * scalar, string). */
MRD_MUST_CHECK enum mrd_status pql_run(struct pql_exec *exec, const struct pql_plan *plan,
                                       struct mrd_promql_result *out, struct mrd_error *err);

#endif
