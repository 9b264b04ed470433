/* remote_ask.h: a question of a query to all partitions (fanout.h), with what the query's source was told.
 *
 * Threads: the query's thread.
 */
#ifndef QRY_REMOTE_ASK_H
#define QRY_REMOTE_ASK_H

#include "querier/fanout.h"
#include "querier/remote_source.h"

/* Both are kept by who uses the options. */
struct qry_fanout_options qry_remote_fanout(const struct qry_remote *remote,
                                            const struct mrd_query_request *request,
                                            const struct mrd_query_scope *scope);

/* Asks and hands all events but the end to `visit`, whose failure ends it. Waits. */
typedef enum mrd_status qry_visit_event(void *context, const struct qry_fanout_event *event,
                                        struct mrd_error *err);
MRD_MUST_CHECK enum mrd_status qry_remote_ask(const struct qry_remote *remote,
                                              const struct mrd_query_request *request,
                                              const struct mrd_query_scope *scope,
                                              qry_visit_event *visit, void *context,
                                              struct mrd_error *err);

#endif
