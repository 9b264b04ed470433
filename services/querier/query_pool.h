/* query_pool.h: threads that run queries, and the bounded queue before them.
 *
 * HTTP threads only enqueue; a pool thread parses, evaluates and replies. A job that waits in a full
 * queue is not taken (the caller answers 503). Once in the pool a job knows when nobody waits for its
 * answer any more: a watcher looks at the requests a few dozen times a second and sets the job's flag.
 *
 * Owner:   main.
 * Threads: submit from any; `run` is called on a pool thread.
 */
#ifndef QRY_QUERY_POOL_H
#define QRY_QUERY_POOL_H

#include "base/metrics.h"
#include "http/server.h"

struct qry_pool;

struct qry_pool_options {
    unsigned threads; /* queries that run at once */
    size_t queue_max; /* jobs that wait at most */
    struct mrd_metrics *metrics;
};

/* What a job answers: HTTP status and JSON body. */
struct qry_answer {
    unsigned status;
    struct mrd_buf body;
};

/* Works on the request and fills the answer, which the pool sends. `canceled` is set when nobody
 * waits any more; the job then ends as soon as it can, with any answer. */
typedef void qry_job_fn(void *context, struct mrd_http_request *request,
                        const _Atomic bool *canceled, struct qry_answer *out);

MRD_MUST_CHECK enum mrd_status qry_pool_create(const struct qry_pool_options *options,
                                               struct qry_pool **out_pool, struct mrd_error *err);

/* False if the queue is full or the pool stops; the request is still the caller's then. */
MRD_MUST_CHECK bool qry_pool_submit(struct qry_pool *pool, struct mrd_http_request *request,
                                    qry_job_fn *run, void *context);

/* Lets running and waiting jobs finish, then joins the threads. Submitting is refused from now on. */
void qry_pool_stop(struct qry_pool *pool);

void qry_pool_destroy(struct qry_pool **pool);

#endif
