#include "blockread/read_pool.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/threads.h"

struct mrd_read_pool {
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t posted;
    struct mrd_read_job *first;
    struct mrd_read_job **last;
    bool closing;
    pthread_t *threads;
    unsigned thread_count;
};

static void *work(void *context)
{
    struct mrd_read_pool *pool = context;
    mrd_thread_name_set("block-read");
    pthread_mutex_lock(&pool->lock);
    while (!pool->closing) {
        struct mrd_read_job *job = pool->first;
        if (job == NULL) {
            pthread_cond_wait(&pool->posted, &pool->lock);
            continue;
        }
        pool->first = job->next;
        pool->last = pool->first == NULL ? &pool->first : pool->last;
        pthread_mutex_unlock(&pool->lock);
        job->run(job);
        pthread_mutex_lock(&pool->lock);
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
    pool->last = &pool->first;
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
    job->next = NULL;
    pthread_mutex_lock(&pool->lock);
    *pool->last = job;
    pool->last = &job->next;
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
    mrd_assert(pool->first == NULL);
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
