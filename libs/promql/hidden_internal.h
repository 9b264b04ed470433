/* hidden_internal.h: lists of a source without what is hidden, for mrd_hidden_source.
 *
 * Threads: the query's thread.
 */
#ifndef MRD_PROMQL_HIDDEN_INTERNAL_H
#define MRD_PROMQL_HIDDEN_INTERNAL_H

#include "promql/hidden.h"

/* As those of struct mrd_source; context is a struct mrd_hidden. */
enum mrd_status mrd_hidden_label_names(void *context, const struct mrd_label_query *query,
                                       const struct mrd_query_scope *scope, struct mrd_texts *out,
                                       struct mrd_error *err);
enum mrd_status mrd_hidden_label_values(void *context, struct mrd_bytes name,
                                        const struct mrd_label_query *query,
                                        const struct mrd_query_scope *scope, struct mrd_texts *out,
                                        struct mrd_error *err);
enum mrd_status mrd_hidden_series(void *context, const struct mrd_label_query *query,
                                  const struct mrd_query_scope *scope, struct mrd_label_sets *out,
                                  struct mrd_error *err);

#endif
