/* slow_log.h: one line for each query that took long: whose, what, how it ended, and where its time went.
 *
 * Strings of the query (label values, regular expressions) are masked unless querier.slow_query_log_values says otherwise; error
 * texts are not logged, since they name series.
 *
 * Threads: the job's.
 */
#ifndef QRY_SLOW_LOG_H
#define QRY_SLOW_LOG_H

#include "querier/call.h"

/* When the answer is complete. False: it was not slow. `outcome` is that of meridian_querier_answers_total. */
bool qry_slow_log(const struct qry_call *call, const char *outcome);

#endif
