/* preprocess.h: makes a tree independent of how the query is asked: evaluates duration expressions and
 * turns @ start() and @ end() into times.
 */
#ifndef MRD_PROMQL_PREPROCESS_H
#define MRD_PROMQL_PREPROCESS_H

#include "promql/ast.h"

struct mrd_query_range {
    mrd_time_ms start_ms;
    mrd_time_ms end_ms;
    mrd_time_ms step_ms; /* 0 if instant */
};

/* Fills `ms` of all ranges, steps and offsets (their expr becomes NULL) and `at` of all timings, in
 * place. MRD_E_INVALID ("4:12: duration must be greater than 0", first and last byte as Prometheus
 * prints them), an HTTP 400. */
MRD_MUST_CHECK enum mrd_status mrd_promql_preprocess(struct mrd_ast *ast,
                                                     const struct mrd_query_range *range,
                                                     struct mrd_error *err);

#endif
