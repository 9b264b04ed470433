/* read_pool.h: threads that read blocks for queries: they wait for object storage and decode, so that a query's own thread
 * need not, and many blocks are read at once.
 *
 * Tenants share the threads fairly (base/fair.h), so that one that reads a thousand blocks does not keep another waiting for one: the next job is
 * one of the tenant that has the fewest running, and no tenant has all threads. Of one tenant, jobs run in the order in which they were
 * posted. A job never waits for another one, so the pool cannot lock up.
 *
 * Owner:   whoever created it; destroyed when no job is posted and none runs.
 * Threads: post from any thread.
 * Limits:  as many reads at once as there are threads; the queue is bounded by who posts (one job a block).
 * Cost:    a look at every tenant that has jobs, for each job.
 */
#ifndef MRD_BLOCKREAD_READ_POOL_H
#define MRD_BLOCKREAD_READ_POOL_H

#include "base/fair.h"
#include "base/status.h"

struct mrd_read_pool;

struct mrd_read_job {
    void (*run)(struct mrd_read_job *job);
    uint64_t tenant; /* mrd_tenant_seed, or whatever stands for who is to have a share */
    struct mrd_fair_waiter waiter; /* the pool's */
};

MRD_MUST_CHECK enum mrd_status mrd_read_pool_create(unsigned threads, struct mrd_read_pool **out,
                                                    struct mrd_error *err);

/* The job is the pool's until run is called, and may be posted again from then on. */
void mrd_read_pool_post(struct mrd_read_pool *pool, struct mrd_read_job *job);

void mrd_read_pool_destroy(struct mrd_read_pool **pool);

#endif
