#include "querier/query_pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/fair.h"
#include "base/threads.h"

enum {
    WATCH_MS = 10,       /* from one look at the requests of jobs under way to the next */
    WATCH_IDLE_MS = 50,  /* while there are none */
    BEGUN_PER_PLACE = 2, /* jobs that may have begun */
};
static const int64_t MS = 1000000;

struct job {
    struct mrd_fair_waiter waiter; /* guarded by the pool's lock */
    struct job *next;              /* in `ready` */
    bool placed; /* it has been given the place that it waits for; the same lock */
    pthread_cond_t place;
    struct mrd_http_request *request;
    qry_job_fn *run;
    void *context;
};

enum worker_state { WORKER_NONE, WORKER_RUNS };

/* One pool thread and what it works on. */
struct worker {
    struct qry_pool *pool;
    pthread_t thread;
    enum worker_state state;     /* guarded by the pool's lock */
    struct job *job;             /* NULL: none, or being answered. The same lock */
    int64_t placed_ns;           /* of the thread */
    struct mrd_thread_work work; /* the job's; of the thread */
    bool slices_long;            /* the same */
    _Atomic bool canceled;       /* set by the watcher, read by the job; relaxed, a mere flag */
};

struct qry_pool {
    pthread_mutex_t lock; /* guards the fields down to stopping, and what says so */
    pthread_cond_t work;  /* a job is ready, or stopping */
    pthread_cond_t watch; /* threads are to be made, or all jobs are done */
    struct mrd_fair fair;
    struct job *ready; /* jobs that have a place and no thread yet; at most `looking` */
    struct job **ready_last;
    size_t ready_count;
    size_t looking; /* threads that look for a job, or are to be made for it */
    size_t owed;    /* threads to be made by the watcher */
    size_t begun;   /* jobs that have begun and not ended */
    size_t queued;  /* jobs that have not begun */
    bool stopping;

    size_t queue_max;
    unsigned tenant_threads; /* of tenants that say nothing */
    size_t places;
    size_t worker_count; /* slots */
    struct worker *workers;
    pthread_t watcher;
    bool watching;
    struct mrd_gauge *running;
    struct mrd_gauge *waiting;
    struct mrd_counter *refused;
    struct mrd_counter *yields;
};

/* The worker whose thread this is; NULL on others. */
static _Thread_local struct worker *self;

static int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

/* ---- places (the lock is held) ---- */

/* A thread for one more job: the watcher makes it. */
static bool thread_ask(struct qry_pool *pool)
{
    if (pool->begun + pool->ready_count >= pool->places * BEGUN_PER_PLACE) {
        return false;
    }
    pool->owed++;
    pool->looking++;
    pthread_cond_signal(&pool->watch);
    return true;
}

static void ready_add(struct qry_pool *pool, struct job *job)
{
    job->next = NULL;
    *pool->ready_last = job;
    pool->ready_last = &job->next;
    pool->ready_count++;
    pthread_cond_signal(&pool->work);
}

/* Hands out the places that are free: to jobs that go on, and to new ones as far as there are threads. */
static void places_offer(struct qry_pool *pool)
{
    bool threads = true;
    for (const struct mrd_fair_waiter *next;
         (next = mrd_fair_next(&pool->fair, !threads)) != NULL;) {
        const bool fresh = !next->begun;
        if (fresh && pool->ready_count == pool->looking && !thread_ask(pool)) {
            threads = false;
            continue;
        }
        struct job *job =
            MRD_CONTAINER_OF(mrd_fair_take(&pool->fair, !threads), struct job, waiter);
        if (fresh) {
            ready_add(pool, job);
        } else {
            job->placed = true;
            pthread_cond_signal(&job->place);
        }
    }
}

/* The job's place goes to whoever is next, and it waits for another one. */
static void place_pass_on(struct qry_pool *pool, struct job *job)
{
    mrd_counter_add(pool->yields, 1);
    job->placed = false;
    mrd_fair_give(&pool->fair, job->waiter.flow);
    mrd_fair_wait(&pool->fair, &job->waiter);
    places_offer(pool);
    while (!job->placed) {
        pthread_cond_wait(&job->place, &pool->lock);
    }
}

void qry_pool_checkpoint(void)
{
    struct worker *worker = self;
    if (worker == NULL) {
        return;
    }
    struct qry_pool *pool = worker->pool;
    const int64_t now = now_ns();
    if (!worker->slices_long && mrd_thread_work_is_long(&worker->work, now)) {
        worker->slices_long = true;
        mrd_thread_slices_long_set(true);
    }
    if (atomic_load_explicit(&pool->fair.waiting, memory_order_relaxed) == 0) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    struct job *job = worker->job;
    if (mrd_fair_crowds(&pool->fair, job->waiter.flow, (now - worker->placed_ns) / MS) &&
        pool->begun < pool->places * BEGUN_PER_PLACE) {
        place_pass_on(pool, job);
        worker->placed_ns = now_ns();
    }
    pthread_mutex_unlock(&pool->lock);
}

/* ---- jobs ---- */

/* Waits for a job and makes it the worker's; NULL when the pool stops and none is left. The lock is held. */
static struct job *take_job(struct worker *worker)
{
    struct qry_pool *pool = worker->pool;
    while (pool->ready == NULL && !(pool->stopping && pool->fair.fresh == 0)) {
        pthread_cond_wait(&pool->work, &pool->lock);
    }
    pool->looking--;
    struct job *job = pool->ready;
    if (job == NULL) {
        return NULL;
    }
    pool->ready = job->next;
    if (pool->ready == NULL) {
        pool->ready_last = &pool->ready;
    }
    pool->ready_count--;
    pool->begun++;
    mrd_gauge_set(pool->waiting, (int64_t)--pool->queued);
    atomic_store_explicit(&worker->canceled, mrd_http_canceled(job->request), memory_order_relaxed);
    worker->job = job;
    worker->placed_ns = now_ns();
    worker->work = (struct mrd_thread_work){.since_ns = worker->placed_ns};
    return job;
}

/* Takes the job out of the watcher's sight, which may not look at an answered request, and frees its place. The lock is held. */
static void job_leave(struct worker *worker, struct job *job)
{
    struct qry_pool *pool = worker->pool;
    worker->job = NULL;
    pool->begun--;
    pool->looking++;
    mrd_fair_give(&pool->fair, job->waiter.flow);
    mrd_fair_leave(&pool->fair, job->waiter.flow);
    places_offer(pool);
}

static void job_answer(struct mrd_http_request *request, struct qry_answer *answer)
{
    if (answer->writer != NULL) {
        mrd_http_writer_end(&answer->writer, answer->whole);
    } else {
        mrd_http_reply(request, answer->status, &answer->body);
    }
    mrd_buf_fini(&answer->body);
}

static void job_free(struct job *job)
{
    pthread_cond_destroy(&job->place);
    free(job);
}

static void job_run(struct worker *worker, struct job *job)
{
    struct qry_pool *pool = worker->pool;
    struct qry_answer answer = {.status = 500};
    mrd_gauge_add(pool->running, 1);
    job->run(job->context, job->request, &worker->canceled, &answer);
    pthread_mutex_lock(&pool->lock);
    job_leave(worker, job);
    pthread_mutex_unlock(&pool->lock);
    job_answer(job->request, &answer);
    mrd_gauge_add(pool->running, -1);
    job_free(job);
    if (worker->slices_long) { /* the next one may be short */
        worker->slices_long = false;
        mrd_thread_slices_long_set(false);
    }
}

static void *worker_main(void *context)
{
    struct worker *worker = context;
    struct qry_pool *pool = worker->pool;
    struct job *job;
    mrd_thread_name_set("query");
    self = worker;
    pthread_mutex_lock(&pool->lock);
    while ((job = take_job(worker)) != NULL) {
        pthread_mutex_unlock(&pool->lock);
        job_run(worker, job);
        pthread_mutex_lock(&pool->lock);
    }
    pthread_cond_broadcast(&pool->work); /* stopping: the others may end as well */
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* ---- threads (the lock is held) ---- */

static struct worker *worker_find(struct qry_pool *pool)
{
    for (size_t i = 0; i < pool->worker_count; i++) {
        if (pool->workers[i].state == WORKER_NONE) {
            return &pool->workers[i];
        }
    }
    return NULL;
}

static bool thread_make(struct qry_pool *pool)
{
    struct worker *worker = worker_find(pool);
    if (worker == NULL || pthread_create(&worker->thread, NULL, worker_main, worker) != 0) {
        return false;
    }
    worker->state = WORKER_RUNS;
    return true;
}

static void threads_make_owed(struct qry_pool *pool)
{
    while (pool->owed > 0 && thread_make(pool)) {
        pool->owed--;
    }
}

/* ---- the watcher ---- */

static void watch_once(struct qry_pool *pool)
{
    for (size_t i = 0; i < pool->worker_count; i++) {
        struct worker *worker = &pool->workers[i];
        if (worker->job != NULL && mrd_http_canceled(worker->job->request)) {
            atomic_store_explicit(&worker->canceled, true, memory_order_relaxed);
        }
    }
}

static bool all_done(const struct qry_pool *pool)
{
    return pool->stopping && pool->begun + pool->queued == 0;
}

static void *watcher_main(void *context)
{
    struct qry_pool *pool = context;
    mrd_thread_name_set("query-watch");
    pthread_mutex_lock(&pool->lock);
    while (!all_done(pool)) {
        const int64_t until_ns = now_ns() + (pool->begun > 0 ? WATCH_MS : WATCH_IDLE_MS) * MS;
        const struct timespec until = {.tv_sec = until_ns / 1000000000,
                                       .tv_nsec = until_ns % 1000000000};
        (void)pthread_cond_timedwait(&pool->watch, &pool->lock, &until);
        threads_make_owed(pool);
        watch_once(pool);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* ---- life ---- */

static enum mrd_status start_threads(struct qry_pool *pool, struct mrd_error *err)
{
    bool made = true;
    pthread_mutex_lock(&pool->lock);
    for (size_t i = 0; i < pool->places && made; i++) {
        made = thread_make(pool);
        pool->looking += made ? 1 : 0;
    }
    pthread_mutex_unlock(&pool->lock);
    if (!made) {
        return mrd_fail_errno(err, MRD_E_UNAVAILABLE, "%zu query threads", pool->places);
    }
    if (pthread_create(&pool->watcher, NULL, watcher_main, pool) != 0) {
        return mrd_fail_errno(err, MRD_E_UNAVAILABLE, "query watcher thread");
    }
    pool->watching = true;
    return MRD_OK;
}

static void metrics_init(struct qry_pool *pool, struct mrd_metrics *metrics)
{
    pool->running = mrd_metrics_gauge(metrics, "meridian_querier_queries_running",
                                      "Queries that are being evaluated.", MRD_NO_LABELS);
    pool->waiting = mrd_metrics_gauge(metrics, "meridian_querier_queries_waiting",
                                      "Queries that wait for a thread.", MRD_NO_LABELS);
    pool->refused = mrd_metrics_counter(
        metrics, "meridian_querier_queries_refused_total",
        "Queries not taken because the queue or the tenant's share was full.", MRD_NO_LABELS);
    pool->yields = mrd_metrics_counter(
        metrics, "meridian_querier_queries_stood_back_total",
        "Times that a long query let those of other tenants go first.", MRD_NO_LABELS);
}

/* Threads of jobs that have begun, and one that looks for each place. */
static size_t worker_slots(size_t places) { return places * (BEGUN_PER_PLACE + 1); }

static void sync_init(struct qry_pool *pool)
{
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->watch, &clock);
    pthread_condattr_destroy(&clock);
}

enum mrd_status qry_pool_create(const struct qry_pool_options *options, struct qry_pool **out_pool,
                                struct mrd_error *err)
{
    mrd_auto(qry_pool_destroy)
    struct qry_pool *pool = calloc(1, sizeof(*pool));
    mrd_assert(pool != NULL);
    sync_init(pool);
    pool->ready_last = &pool->ready;
    pool->queue_max = options->queue_max;
    pool->tenant_threads = options->threads > 1 ? options->threads - 1 : 1;
    pool->places = options->threads;
    pool->fair.places = options->threads;
    pool->worker_count = worker_slots(pool->places);
    pool->workers = calloc(pool->worker_count, sizeof(*pool->workers));
    mrd_assert(pool->workers != NULL);
    for (size_t i = 0; i < pool->worker_count; i++) {
        pool->workers[i].pool = pool;
    }
    metrics_init(pool, options->metrics);
    MRD_TRY(start_threads(pool, err));
    *out_pool = MRD_MOVE(pool);
    return MRD_OK;
}

/* The lock is held. On QRY_POOL_TAKEN the job has joined its tenant's. */
static enum qry_pool_verdict admit(struct qry_pool *pool, struct job *job,
                                   const struct qry_share *share)
{
    const struct mrd_fair_share fair = {
        .places = share->threads != 0 ? share->threads : pool->tenant_threads,
        .members = share->jobs_max == 0 ? UINT32_MAX
                                        : (uint32_t)MRD_MIN(share->jobs_max, (size_t)UINT32_MAX),
    };
    if (pool->stopping) {
        return QRY_POOL_STOPPING;
    }
    if (pool->queued >= pool->queue_max) {
        return QRY_POOL_FULL;
    }
    job->waiter.flow = mrd_fair_join(&pool->fair, share->tenant, &fair);
    return job->waiter.flow == NULL ? QRY_POOL_TENANT_FULL : QRY_POOL_TAKEN;
}

enum qry_pool_verdict qry_pool_submit(struct qry_pool *pool, struct mrd_http_request *request,
                                      const struct qry_share *share, qry_job_fn *run, void *context)
{
    struct job *job = calloc(1, sizeof(*job));
    mrd_assert(job != NULL);
    job->request = request;
    job->run = run;
    job->context = context;
    pthread_cond_init(&job->place, NULL);
    pthread_mutex_lock(&pool->lock);
    const enum qry_pool_verdict verdict = admit(pool, job, share);
    if (verdict == QRY_POOL_TAKEN) {
        mrd_gauge_set(pool->waiting, (int64_t)++pool->queued);
        mrd_fair_wait(&pool->fair, &job->waiter);
        places_offer(pool);
    }
    pthread_mutex_unlock(&pool->lock);
    if (verdict != QRY_POOL_TAKEN) {
        mrd_counter_add(pool->refused, 1);
        job_free(job);
    }
    return verdict;
}

/* ---- ending a job early ---- */

/* The job that waits for its first place, if it does. The lock is held. */
static struct job *waiting_find(const struct qry_pool *pool, const struct mrd_http_request *request)
{
    for (const struct mrd_fair_flow *flow = pool->fair.first; flow != NULL; flow = flow->next) {
        for (struct mrd_fair_waiter *at = flow->fresh.first; at != NULL; at = at->next) {
            struct job *job = MRD_CONTAINER_OF(at, struct job, waiter);
            if (job->request == request) {
                return job;
            }
        }
    }
    return NULL;
}

static bool worker_tell(struct qry_pool *pool, const struct mrd_http_request *request)
{
    for (size_t i = 0; i < pool->worker_count; i++) {
        struct worker *worker = &pool->workers[i];
        if (worker->job != NULL && worker->job->request == request) {
            atomic_store_explicit(&worker->canceled, true, memory_order_relaxed);
            return true;
        }
    }
    return false;
}

enum qry_pool_ending qry_pool_cancel(struct qry_pool *pool, const struct mrd_http_request *request)
{
    enum qry_pool_ending ending = QRY_POOL_TOLD;
    pthread_mutex_lock(&pool->lock);
    struct job *job = waiting_find(pool, request);
    if (job != NULL) {
        mrd_fair_withdraw(&pool->fair, &job->waiter);
        mrd_fair_leave(&pool->fair, job->waiter.flow);
        mrd_gauge_set(pool->waiting, (int64_t)--pool->queued);
        ending = QRY_POOL_WITHDRAWN;
    } else if (!worker_tell(pool, request)) {
        ending = QRY_POOL_BEGINS;
    }
    pthread_mutex_unlock(&pool->lock);
    if (job != NULL) {
        job_free(job);
    }
    return ending;
}

static void threads_join(struct qry_pool *pool)
{
    for (size_t i = 0; i < pool->worker_count; i++) {
        if (pool->workers[i].state == WORKER_RUNS) {
            pthread_join(pool->workers[i].thread, NULL);
            pool->workers[i].state = WORKER_NONE;
        }
    }
}

void qry_pool_stop(struct qry_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    if (pool->watching) { /* it ends when no job is left, and no thread is made any more */
        pthread_join(pool->watcher, NULL);
        pool->watching = false;
    }
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    threads_join(pool);
}

void qry_pool_destroy(struct qry_pool **pool)
{
    if (*pool == NULL) {
        return;
    }
    qry_pool_stop(*pool);
    pthread_cond_destroy(&(*pool)->work);
    pthread_cond_destroy(&(*pool)->watch);
    pthread_mutex_destroy(&(*pool)->lock);
    free((*pool)->workers);
    free(*pool);
    *pool = NULL;
}
