/* answer.h: answers of Prometheus' HTTP API as results of a query.
 *
 * An answer does not say how a native histogram is laid out, but names its buckets. So its place in a result is taken by one
 * whose custom_values are lower and upper bounds in turns and whose indexes say which bounds are included (as the API does:
 * 0 the upper one, 1 the lower one, 2 none, 3 both). answer_shape brings any histogram into that shape.
 */
#ifndef MRD_PROMQL_HTTP_ANSWER_H
#define MRD_PROMQL_HTTP_ANSWER_H

#include "promql/engine.h"

/* Reads an answer of /api/v1/query or /api/v1/query_range. An error in it becomes the returned status: MRD_E_INVALID for
 * bad_data and execution, with the text of the query's error alone; MRD_E_UNAVAILABLE for all others, and for what is no answer of the API. */
MRD_MUST_CHECK enum mrd_status answer_read(struct mrd_bytes body, struct mrd_arena *arena,
                                           struct mrd_promql_result *out, struct mrd_error *err);

const struct mrd_float_histogram *answer_shape(const struct mrd_float_histogram *histogram,
                                               struct mrd_arena *arena);

/* Both in that shape; numbers as script_numbers_agree compares them. compare_hint is not looked at: answers have none. */
bool answer_same(const struct mrd_float_histogram *want, const struct mrd_float_histogram *got,
                 bool compare_hint);

#endif
