#include "querier/query_pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/threads.h"

enum {
    WATCH_INTERVAL_MS = 25,
    PICK_LOOK_MAX = 1024 /* waiting jobs that a free thread chooses from */
};

struct queued {
    struct queued *next;
    struct mrd_http_request *request;
    struct qry_share share; /* threads: with the default filled in */
    qry_job_fn *run;
    void *context;
};

/* One pool thread and what it works on. */
struct worker {
    struct qry_pool *pool;
    pthread_t thread;
    struct mrd_http_request
        *request; /* NULL: none, or being answered. Guarded by the pool's lock */
    bool busy;    /* with a job of `tenant`; guarded by the pool's lock */
    uint64_t tenant;
    _Atomic bool canceled; /* set by the watcher, read by the job; relaxed, a mere flag */
};

struct qry_pool {
    pthread_mutex_t lock; /* guards the fields down to stopping, and workers[].request */
    pthread_cond_t work;  /* a job waits, or stopping */
    struct queued *first;
    struct queued **last;
    size_t queued;
    bool stopping;

    size_t queue_max;
    unsigned tenant_threads; /* of tenants that say nothing */
    size_t worker_count;
    struct worker *workers;
    pthread_t watcher;
    bool watching;
    struct mrd_gauge *running;
    struct mrd_gauge *waiting;
    struct mrd_counter *refused;
};

static size_t tenant_running(const struct qry_pool *pool, uint64_t tenant)
{
    size_t count = 0;
    for (size_t i = 0; i < pool->worker_count; i++) {
        count += pool->workers[i].busy && pool->workers[i].tenant == tenant;
    }
    return count;
}

/* Where the job stands that is to run next, NULL if none may. The lock is held. */
static struct queued **pick(struct qry_pool *pool)
{
    struct queued **best = NULL;
    size_t fewest = SIZE_MAX;
    size_t looked = 0;
    for (struct queued **at = &pool->first; *at != NULL && fewest > 0 && looked < PICK_LOOK_MAX;
         at = &(*at)->next, looked++) {
        const size_t running = tenant_running(pool, (*at)->share.tenant);
        if (running < fewest && running < (*at)->share.threads) {
            fewest = running;
            best = at;
        }
    }
    return best;
}

/* Waits for a job and makes it the worker's; NULL when the pool stops and none is left. */
static struct queued *take_job(struct worker *worker)
{
    struct qry_pool *pool = worker->pool;
    pthread_mutex_lock(&pool->lock);
    struct queued **place = pick(pool);
    while (place == NULL && !(pool->stopping && pool->first == NULL)) {
        pthread_cond_wait(&pool->work, &pool->lock);
        place = pick(pool);
    }
    struct queued *job = place == NULL ? NULL : *place;
    if (job == NULL) {
        pthread_cond_broadcast(&pool->work); /* the others end as well */
    } else {
        *place = job->next;
        if (job->next == NULL) {
            pool->last = place;
        }
        mrd_gauge_set(pool->waiting, (int64_t)--pool->queued);
        atomic_store_explicit(&worker->canceled, false, memory_order_relaxed);
        worker->request = job->request;
        worker->tenant = job->share.tenant;
        worker->busy = true;
    }
    pthread_mutex_unlock(&pool->lock);
    return job;
}

/* Takes the request out of the watcher's sight, which may not look at an answered one, and answers. */
static void answer_job(struct worker *worker, struct qry_answer *answer)
{
    pthread_mutex_lock(&worker->pool->lock);
    struct mrd_http_request *request = worker->request;
    worker->request = NULL;
    worker->busy = false;
    const bool wake = worker->pool->first != NULL; /* another one of the tenant may run now */
    pthread_mutex_unlock(&worker->pool->lock);
    if (wake) {
        pthread_cond_signal(&worker->pool->work);
    }
    if (answer->writer != NULL) {
        mrd_http_writer_end(&answer->writer, answer->whole);
    } else {
        mrd_http_reply(request, answer->status, &answer->body);
    }
    mrd_buf_fini(&answer->body);
}

static void *worker_main(void *context)
{
    struct worker *worker = context;
    mrd_thread_name_set("query");
    struct queued *job;
    while ((job = take_job(worker)) != NULL) {
        mrd_gauge_add(worker->pool->running, 1);
        struct qry_answer answer = {.status = 500};
        job->run(job->context, job->request, &worker->canceled, &answer);
        answer_job(worker, &answer);
        mrd_gauge_add(worker->pool->running, -1);
        free(job);
    }
    return NULL;
}

static bool watch_once(struct qry_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    bool busy = pool->first != NULL;
    for (size_t i = 0; i < pool->worker_count; i++) {
        struct worker *worker = &pool->workers[i];
        busy = busy || worker->request != NULL;
        if (worker->request != NULL && mrd_http_canceled(worker->request)) {
            atomic_store_explicit(&worker->canceled, true, memory_order_relaxed);
        }
    }
    const bool stop = pool->stopping && !busy;
    pthread_mutex_unlock(&pool->lock);
    return !stop;
}

static void *watcher_main(void *context)
{
    mrd_thread_name_set("query-watch");
    const struct timespec pause = {.tv_nsec = WATCH_INTERVAL_MS * 1000000L};
    while (watch_once(context)) {
        (void)nanosleep(&pause, NULL);
    }
    return NULL;
}

static enum mrd_status start_threads(struct qry_pool *pool, unsigned threads, struct mrd_error *err)
{
    for (unsigned i = 0; i < threads; i++) {
        struct worker *worker = &pool->workers[i];
        worker->pool = pool;
        if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0) {
            return mrd_fail_errno(err, MRD_E_UNAVAILABLE, "query thread %u", i);
        }
        pthread_mutex_lock(&pool->lock);
        pool->worker_count++;
        pthread_mutex_unlock(&pool->lock);
    }
    if (pthread_create(&pool->watcher, NULL, watcher_main, pool) != 0) {
        return mrd_fail_errno(err, MRD_E_UNAVAILABLE, "query watcher thread");
    }
    pool->watching = true;
    return MRD_OK;
}

enum mrd_status qry_pool_create(const struct qry_pool_options *options, struct qry_pool **out_pool,
                                struct mrd_error *err)
{
    mrd_auto(qry_pool_destroy)
    struct qry_pool *pool = calloc(1, sizeof(*pool));
    mrd_assert(pool != NULL);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pool->last = &pool->first;
    pool->queue_max = options->queue_max;
    pool->tenant_threads = options->threads > 1 ? options->threads - 1 : 1;
    pool->workers = calloc(options->threads, sizeof(*pool->workers));
    mrd_assert(pool->workers != NULL);
    pool->running = mrd_metrics_gauge(options->metrics, "meridian_querier_queries_running",
                                      "Queries that are being evaluated.", MRD_NO_LABELS);
    pool->waiting = mrd_metrics_gauge(options->metrics, "meridian_querier_queries_waiting",
                                      "Queries that wait for a thread.", MRD_NO_LABELS);
    pool->refused = mrd_metrics_counter(
        options->metrics, "meridian_querier_queries_refused_total",
        "Queries not taken because the queue or the tenant's share was full.", MRD_NO_LABELS);
    MRD_TRY(start_threads(pool, options->threads, err));
    *out_pool = MRD_MOVE(pool);
    return MRD_OK;
}

/* Jobs of the tenant that run or wait. The lock is held. */
static size_t tenant_jobs(const struct qry_pool *pool, uint64_t tenant)
{
    size_t count = tenant_running(pool, tenant);
    for (const struct queued *job = pool->first; job != NULL; job = job->next) {
        count += job->share.tenant == tenant;
    }
    return count;
}

/* The lock is held. */
static enum qry_pool_verdict judge(const struct qry_pool *pool, const struct qry_share *share)
{
    if (pool->stopping) {
        return QRY_POOL_STOPPING;
    }
    if (pool->queued >= pool->queue_max) {
        return QRY_POOL_FULL;
    }
    return share->jobs_max != 0 && tenant_jobs(pool, share->tenant) >= share->jobs_max
               ? QRY_POOL_TENANT_FULL
               : QRY_POOL_TAKEN;
}

enum qry_pool_verdict qry_pool_submit(struct qry_pool *pool, struct mrd_http_request *request,
                                      const struct qry_share *share, qry_job_fn *run, void *context)
{
    struct queued *job = malloc(sizeof(*job));
    mrd_assert(job != NULL);
    *job = (struct queued){NULL, request, *share, run, context};
    job->share.threads = share->threads != 0 ? share->threads : pool->tenant_threads;
    pthread_mutex_lock(&pool->lock);
    const enum qry_pool_verdict verdict = judge(pool, share);
    if (verdict == QRY_POOL_TAKEN) {
        *pool->last = job;
        pool->last = &job->next;
        mrd_gauge_set(pool->waiting, (int64_t)++pool->queued);
    }
    pthread_mutex_unlock(&pool->lock);
    if (verdict == QRY_POOL_TAKEN) {
        pthread_cond_signal(&pool->work); /* not before: it would wake up to wait for the lock */
    } else {
        mrd_counter_add(pool->refused, 1);
        free(job);
    }
    return verdict;
}

void qry_pool_stop(struct qry_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    const size_t count = pool->worker_count;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (size_t i = 0; i < count; i++) {
        pthread_join(pool->workers[i].thread, NULL);
    }
    pthread_mutex_lock(&pool->lock);
    pool->worker_count = 0;
    pthread_mutex_unlock(&pool->lock);
    if (pool->watching) {
        pthread_join(pool->watcher, NULL);
        pool->watching = false;
    }
}

void qry_pool_destroy(struct qry_pool **pool)
{
    if (*pool == NULL) {
        return;
    }
    qry_pool_stop(*pool);
    pthread_cond_destroy(&(*pool)->work);
    pthread_mutex_destroy(&(*pool)->lock);
    free((*pool)->workers);
    free(*pool);
    *pool = NULL;
}
