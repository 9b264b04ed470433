#include "blockread/read_pool.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/threads.h"

struct mrd_read_pool {
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t posted;
    struct mrd_fair fair;
    bool closing;
    pthread_t *threads;
    unsigned thread_count;
};

/* Runs the next job, if it is anybody's turn; lock held, but not while it runs. */
static bool run_next(struct mrd_read_pool *pool)
{
    struct mrd_fair_waiter *waiter = mrd_fair_take(&pool->fair, false);
    if (waiter == NULL) {
        return false;
    }
    struct mrd_fair_flow *flow =
        waiter->flow; /* the job may be posted again, or gone, once it has run */
    struct mrd_read_job *job = MRD_CONTAINER_OF(waiter, struct mrd_read_job, waiter);
    pthread_mutex_unlock(&pool->lock);
    job->run(job);
    pthread_mutex_lock(&pool->lock);
    mrd_fair_give(&pool->fair, flow);
    mrd_fair_leave(&pool->fair, flow);
    return true;
}

static void *work(void *context)
{
    struct mrd_read_pool *pool = context;
    mrd_thread_name_set("block-read");
    pthread_mutex_lock(&pool->lock);
    while (!pool->closing) {
        if (!run_next(pool)) {
            pthread_cond_wait(&pool->posted, &pool->lock);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

enum mrd_status mrd_read_pool_create(unsigned threads, struct mrd_read_pool **out,
                                     struct mrd_error *err)
{
    mrd_auto(mrd_read_pool_destroy)
    struct mrd_read_pool *pool = calloc(1, sizeof(*pool));
    mrd_assert(pool != NULL);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->posted, NULL);
    pool->fair.places = threads;
    pool->threads = calloc(threads, sizeof(*pool->threads));
    mrd_assert(pool->threads != NULL);
    for (; pool->thread_count < threads; pool->thread_count++) {
        const int error = pthread_create(&pool->threads[pool->thread_count], NULL, work, pool);
        if (error != 0) {
            return mrd_fail(err, MRD_E_UNAVAILABLE, "cannot start a thread: %s", strerror(error));
        }
    }
    *out = MRD_MOVE(pool);
    return MRD_OK;
}

void mrd_read_pool_post(struct mrd_read_pool *pool, struct mrd_read_job *job)
{
    const struct mrd_fair_share share = {.places = MRD_MAX(pool->fair.places - 1, 1U),
                                         .members = UINT32_MAX};
    job->waiter.begun = false;
    pthread_mutex_lock(&pool->lock);
    job->waiter.flow = mrd_fair_join(&pool->fair, job->tenant, &share);
    mrd_assert(job->waiter.flow != NULL);
    mrd_fair_wait(&pool->fair, &job->waiter);
    pthread_cond_signal(&pool->posted);
    pthread_mutex_unlock(&pool->lock);
}

void mrd_read_pool_destroy(struct mrd_read_pool **pool_pointer)
{
    struct mrd_read_pool *pool = *pool_pointer;
    if (pool == NULL) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    mrd_assert(atomic_load_explicit(&pool->fair.waiting, memory_order_relaxed) == 0);
    pool->closing = true;
    pthread_cond_broadcast(&pool->posted);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->thread_count; i++) {
        (void)pthread_join(pool->threads[i], NULL);
    }
    pthread_cond_destroy(&pool->posted);
    pthread_mutex_destroy(&pool->lock);
    free(pool->threads);
    free(pool);
    *pool_pointer = NULL;
}
