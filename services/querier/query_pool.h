/* query_pool.h: places in which queries run, and the bounded queues before them.
 *
 * A query runs on the thread of its connection (http/server.h, handlers_wait), from its parsing to the sending of its answer, so
 * that nobody has to be woken in between; but first it gets a place, or waits for one. Tenants have queues of their own and share the
 * places fairly (base/fair.h): a free one goes to the tenant that has the fewest, so that no tenant's queries, nor its clients that
 * read slowly, keep the others waiting for long. A job for which its tenant's queue or all of them are full is not taken (the
 * caller answers 429).
 *
 * A job that works for long gives its place up at its checkpoints where other tenants have fewer. Jobs that have begun are at
 * most twice as many as places. Its thread lets others that wake up have its core (base/threads.h), and gives it up every tenth of a
 * millisecond while its tenant uses more processor time than its share (base/usage.h). (It does not go into
 * the background as an ingester's does: a thread that waits for replies over NATS takes those of others too, bus/rpc_client.c, and
 * has to have a core for that; and the next query of its connection may be another tenant's.)
 *
 * A job knows when nobody waits for its answer any more: a watcher looks at the requests a hundred times a
 * second and sets the job's flag. It also ends the wait for a place of those whose time is up.
 *
 * Owner:   main.
 * Threads: any, each of which runs what it brings.
 */
#ifndef QRY_QUERY_POOL_H
#define QRY_QUERY_POOL_H

#include "base/metrics.h"
#include "http/server.h"

struct qry_pool;

struct qry_pool_options {
    unsigned places;  /* queries that run at once */
    size_t queue_max; /* jobs that wait at most, of all tenants */
    struct mrd_metrics *metrics;
};

/* Whose a job is, and how much of the pool that tenant may have. */
struct qry_share {
    uint64_t tenant; /* stands for the tenant: a hash of its name */
    unsigned places; /* that it may hold; 0: all but one (of more than one) */
    size_t jobs_max; /* that run or wait; 0: no limit */
    int64_t
        deadline_ns; /* monotonic: the job waits no longer for a place, and ends without; 0: none */
};

/* What a job answers: a status and a body, or a reply that it has begun and that the pool ends. Headers
 * are set by the job. */
struct qry_answer {
    unsigned status;
    struct mrd_buf body;
    struct mrd_http_writer *writer;
    bool whole; /* all was written */
};

/* Works on the request and fills the answer, which the pool sends. `canceled` is set when nobody
 * waits any more; the job then ends as soon as it can, with any answer. */
typedef void qry_job_fn(void *context, struct mrd_http_request *request,
                        const _Atomic bool *canceled, struct qry_answer *out);

MRD_MUST_CHECK enum mrd_status qry_pool_create(const struct qry_pool_options *options,
                                               struct qry_pool **out_pool, struct mrd_error *err);

enum qry_pool_verdict { QRY_POOL_TAKEN, QRY_POOL_FULL, QRY_POOL_TENANT_FULL, QRY_POOL_STOPPING };

/* Waits for a place, runs the job in it and sends its answer. Unless it is taken the request is still the caller's, and
 * nothing was run. Cost: a look at every tenant that has jobs, twice. */
MRD_MUST_CHECK enum qry_pool_verdict qry_pool_run(struct qry_pool *pool,
                                                  struct mrd_http_request *request,
                                                  const struct qry_share *share, qry_job_fn *run,
                                                  void *context);

/* Ends the job of a request, which has not been answered: its `canceled` is set. One that waits for a place goes on at once,
 * without any, to end what it has under way and to say that it is canceled. One that is not there yet has to be told in another way. Any thread. Cost: a look
 * at all jobs. */
void qry_pool_cancel(struct qry_pool *pool, const struct mrd_http_request *request);

/* To be called by a job, every few hundred microseconds of work: others may go first. Does nothing where there
 * is none. */
void qry_pool_checkpoint(void);

/* Whether the job of this thread is to let others' go first, here and elsewhere: its tenant uses more than its share. False where
 * there is none. */
bool qry_pool_stands_back(void);

/* Lets running and waiting jobs finish. New ones are refused from now on. */
void qry_pool_stop(struct qry_pool *pool);

void qry_pool_destroy(struct qry_pool **pool);

#endif
