/* mask.h: a query's text without what it says about anyone, for logs and for those who only run the service.
 *
 * Every string becomes '***' whatever it stands for: label values, regular expressions, arguments, quoted names. Numbers,
 * names, operators and durations stay; comments go; white space becomes one space. What is behind the first thing that is
 * no token goes too, and '...' says so, as nobody can tell what it is.
 */
#ifndef MRD_PROMQL_MASK_H
#define MRD_PROMQL_MASK_H

#include "base/bytes.h"

/* Appends the masked text; never longer than five times the query and a few bytes. Cost: one pass of the lexer. */
void mrd_promql_mask(struct mrd_bytes query, struct mrd_buf *out);

/* Stands for all queries that are masked alike. */
uint64_t mrd_promql_fingerprint(struct mrd_bytes query);

#endif
