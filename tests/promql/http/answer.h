/* answer.h: answers of Prometheus' HTTP API as results of a query.
 *
 * A native histogram in a result has the shape that an answer can tell (promqltest/script_shape.h).
 */
#ifndef MRD_PROMQL_HTTP_ANSWER_H
#define MRD_PROMQL_HTTP_ANSWER_H

#include "promql/engine.h"

/* Reads the answer of /api/v1/query or /api/v1/query_range that came with an HTTP status. An error in it becomes the returned
 * status: MRD_E_INVALID for 400 with bad_data and 422 with execution, with the text of the query's error alone; MRD_E_UNAVAILABLE
 * for all others, and for what is no answer of the API. */
MRD_MUST_CHECK enum mrd_status answer_read(long http_status, struct mrd_bytes body,
                                           struct mrd_arena *arena, struct mrd_promql_result *out,
                                           struct mrd_error *err);

#endif
