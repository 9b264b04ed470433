#include "querier/query_pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "base/fair.h"
#include "base/threads.h"
#include "base/usage.h"

enum {
    WATCH_MS = 10,       /* from one look at the requests of jobs under way to the next */
    WATCH_IDLE_MS = 50,  /* while there are none */
    BEGUN_PER_PLACE = 2, /* jobs that may have begun */
    USE_MS = 4,          /* from one count of what a job uses to the next */
    YIELD_US = 100,      /* likewise of what a heavy tenant's job gives its core up */
};
static const int64_t MS = 1000000;
static const int64_t US = 1000;

/* On the stack of its thread. */
struct job {
    struct qry_pool *pool;
    struct mrd_http_request *request;
    uint64_t tenant;

    /* Guarded by the pool's lock. */
    struct mrd_fair_waiter waiter;
    pthread_cond_t place; /* it has been given one, or is withdrawn */
    bool placed;
    bool withdrawn;      /* it has stopped waiting for a place, and ends without */
    int64_t deadline_ns; /* 0: none; never changes */
    struct job *next;
    struct job *previous;

    /* Of its thread. */
    int64_t placed_ns;
    struct mrd_thread_work work;
    int64_t counted_ns; /* when what it uses was counted last */
    int64_t used_ns;    /* the thread's processor time of then */
    bool heavy;         /* its tenant uses more than its share (base/usage.h) */
    int64_t yielded_ns;
    int64_t looked_ns; /* when it asked last whether it stands in others' way */

    _Atomic bool canceled; /* relaxed, a mere flag */
};

struct qry_pool {
    pthread_mutex_t lock; /* guards the fields down to stopping, and what says so */
    pthread_cond_t watch; /* stopping, or all jobs are done */
    struct mrd_fair fair;
    struct mrd_usage usage; /* of processor time, by tenant */
    struct job *jobs;       /* all, but for those that are being answered */
    size_t begun;           /* jobs that have begun and not ended */
    size_t queued;          /* jobs that have not begun */
    bool stopping;

    size_t queue_max;
    unsigned tenant_places; /* of tenants that say nothing */
    pthread_t watcher;
    bool watching;
    struct mrd_gauge *running;
    struct mrd_gauge *waiting;
    struct mrd_counter *refused;
    struct mrd_counter *yields;
    struct mrd_counter *core_yields;
};

/* The job that this thread runs; NULL: none. */
static _Thread_local struct job *self;

static int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

/* ---- places (the lock is held) ---- */

/* Hands out the places that are free: to jobs that go on, and to new ones as far as these may begin. */
static void places_offer(struct qry_pool *pool)
{
    for (;;) {
        const bool begun_only = pool->begun >= (size_t)pool->fair.places * BEGUN_PER_PLACE;
        const struct mrd_fair_waiter *next = mrd_fair_next(&pool->fair, begun_only);
        if (next == NULL) {
            return;
        }
        const bool fresh = !next->begun;
        struct job *job =
            MRD_CONTAINER_OF(mrd_fair_take(&pool->fair, begun_only), struct job, waiter);
        if (fresh) {
            pool->begun++;
            mrd_gauge_set(pool->waiting, (int64_t)--pool->queued);
        }
        job->placed = true;
        pthread_cond_signal(&job->place);
    }
}

static void place_wait(struct job *job)
{
    while (!job->placed && !job->withdrawn) {
        pthread_cond_wait(&job->place, &job->pool->lock);
    }
}

/* The job's place goes to whoever is next, and it waits for another one. */
static void place_pass_on(struct job *job)
{
    struct qry_pool *pool = job->pool;
    mrd_counter_add(pool->yields, 1);
    job->placed = false;
    mrd_fair_give(&pool->fair, job->waiter.flow);
    mrd_fair_wait(&pool->fair, &job->waiter);
    places_offer(pool);
    place_wait(job);
}

/* Adds up what the job has used since it was looked at last, on its thread (the lock is held: whoever loses its core with it keeps all
 * others waiting, so clocks are read before). */
static void use_count(struct job *job, int64_t used_ns, int64_t now)
{
    mrd_usage_add(&job->pool->usage, job->tenant, used_ns - job->used_ns, now);
    job->heavy = mrd_usage_is_heavy(&job->pool->usage, job->tenant, now);
    job->used_ns = used_ns;
    job->counted_ns = now;
}

/* Queries of a tenant that uses more than its share let whoever wakes up have their core. A thread that has entered the background could
 * not come back for the next query of its connection, so it is given up again and again. */
static void stand_back(struct job *job, int64_t now)
{
    if (now - job->counted_ns >= USE_MS * MS) {
        const int64_t used_ns = mrd_thread_cpu_ns();
        if (pthread_mutex_trylock(&job->pool->lock) == 0) { /* else the next time */
            use_count(job, used_ns, now);
            pthread_mutex_unlock(&job->pool->lock);
        }
    }
    if (job->heavy && now - job->yielded_ns >= YIELD_US * US) {
        job->yielded_ns = now;
        mrd_counter_add(job->pool->core_yields, 1);
        (void)sched_yield();
    }
}

bool qry_pool_stands_back(void) { return self != NULL && self->heavy; }

void qry_pool_checkpoint(void)
{
    struct job *job = self;
    if (job == NULL || job->withdrawn) {
        return;
    }
    struct qry_pool *pool = job->pool;
    const int64_t now = now_ns();
    mrd_thread_work_look_at_slices(&job->work, now);
    stand_back(job, now);
    if (atomic_load_explicit(&pool->fair.waiting, memory_order_relaxed) == 0 ||
        now - job->looked_ns < MRD_FAIR_LOOK_US * (int64_t)1000) {
        return;
    }
    job->looked_ns = now;
    pthread_mutex_lock(&pool->lock);
    if (mrd_fair_crowds(&pool->fair, job->waiter.flow, (now - job->placed_ns) / MS) &&
        pool->begun < (size_t)pool->fair.places * BEGUN_PER_PLACE) {
        place_pass_on(job);
        job->placed_ns = now_ns();
    }
    pthread_mutex_unlock(&pool->lock);
}

/* ---- jobs (the lock is held) ---- */

static void list_add(struct qry_pool *pool, struct job *job)
{
    job->next = pool->jobs;
    if (job->next != NULL) {
        job->next->previous = job;
    }
    pool->jobs = job;
}

static void list_remove(struct qry_pool *pool, struct job *job)
{
    *(job->previous != NULL ? &job->previous->next : &pool->jobs) = job->next;
    if (job->next != NULL) {
        job->next->previous = job->previous;
    }
}

/* On QRY_POOL_TAKEN the job has joined its tenant's. */
static enum qry_pool_verdict admit(struct qry_pool *pool, struct job *job,
                                   const struct qry_share *share)
{
    const struct mrd_fair_share fair = {
        .places = share->places != 0 ? share->places : pool->tenant_places,
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

/* Waits until it is the job's turn. */
static void job_enter(struct qry_pool *pool, struct job *job)
{
    list_add(pool, job);
    mrd_gauge_set(pool->waiting, (int64_t)++pool->queued);
    mrd_fair_wait(&pool->fair, &job->waiter);
    places_offer(pool);
    place_wait(job);
}

/* Takes the job out of the watcher's sight, which may not look at an answered request, and frees its place. */
static void job_leave(struct qry_pool *pool, struct job *job)
{
    list_remove(pool, job);
    if (job->waiter.begun) {
        pool->begun--;
    }
    if (job->placed) {
        mrd_fair_give(&pool->fair, job->waiter.flow);
    }
    mrd_fair_leave(&pool->fair, job->waiter.flow);
    places_offer(pool);
}

/* What waits for a place, the first one or another, goes on without, and ends at its next checkpoint: others work for it meanwhile. */
static void job_withdraw(struct qry_pool *pool, struct job *job)
{
    if (job->placed || job->withdrawn) {
        return;
    }
    job->withdrawn = true;
    mrd_fair_withdraw(&pool->fair, &job->waiter);
    if (!job->waiter.begun) {
        mrd_gauge_set(pool->waiting, (int64_t)--pool->queued);
    }
    pthread_cond_signal(&job->place);
}

static void job_cancel(struct qry_pool *pool, struct job *job)
{
    atomic_store_explicit(&job->canceled, true, memory_order_relaxed);
    job_withdraw(pool, job);
}

/* ---- a thread and its job ---- */

static void job_answer(struct mrd_http_request *request, struct qry_answer *answer)
{
    if (answer->writer != NULL) {
        mrd_http_writer_end(&answer->writer, answer->whole);
    } else {
        mrd_http_reply(request, answer->status, &answer->body);
    }
    mrd_buf_fini(&answer->body);
}

static void job_run(struct job *job, qry_job_fn *run, void *context, struct qry_answer *out)
{
    struct qry_pool *pool = job->pool;
    job->placed_ns = now_ns();
    job->work = (struct mrd_thread_work){.since_ns = job->placed_ns};
    self = job;
    mrd_gauge_add(pool->running, 1);
    run(context, job->request, &job->canceled, out);
    mrd_gauge_add(pool->running, -1);
    self = NULL;
    mrd_thread_work_end(&job->work); /* the connection's next one may be short */
}

enum qry_pool_verdict qry_pool_run(struct qry_pool *pool, struct mrd_http_request *request,
                                   const struct qry_share *share, qry_job_fn *run, void *context)
{
    struct job job = {.pool = pool,
                      .request = request,
                      .tenant = share->tenant,
                      .deadline_ns = share->deadline_ns,
                      .used_ns = mrd_thread_cpu_ns()};
    pthread_mutex_lock(&pool->lock);
    const enum qry_pool_verdict verdict = admit(pool, &job, share);
    if (verdict != QRY_POOL_TAKEN) {
        pthread_mutex_unlock(&pool->lock);
        mrd_counter_add(pool->refused, 1);
        return verdict;
    }
    pthread_cond_init(&job.place, NULL);
    job_enter(pool, &job);
    use_count(&job, job.used_ns, now_ns());
    pthread_mutex_unlock(&pool->lock);
    struct qry_answer answer = {.status = 500};
    job_run(&job, run, context, &answer);
    const int64_t used_ns = mrd_thread_cpu_ns();
    const int64_t now = now_ns();
    pthread_mutex_lock(&pool->lock);
    use_count(&job, used_ns, now);
    job_leave(pool, &job);
    pthread_mutex_unlock(&pool->lock);
    pthread_cond_destroy(&job.place);
    job_answer(request, &answer);
    return verdict;
}

void qry_pool_cancel(struct qry_pool *pool, const struct mrd_http_request *request)
{
    pthread_mutex_lock(&pool->lock);
    for (struct job *job = pool->jobs; job != NULL; job = job->next) {
        if (job->request == request) {
            job_cancel(pool, job);
        }
    }
    pthread_mutex_unlock(&pool->lock);
}

/* ---- the watcher ---- */

static void watch_once(struct qry_pool *pool)
{
    const int64_t now = now_ns();
    for (struct job *job = pool->jobs; job != NULL; job = job->next) {
        if (mrd_http_canceled(job->request)) {
            job_cancel(pool, job);
        } else if (job->deadline_ns != 0 && now >= job->deadline_ns) {
            job_withdraw(pool, job);
        }
    }
}

static void *watcher_main(void *context)
{
    struct qry_pool *pool = context;
    mrd_thread_name_set("query-watch");
    pthread_mutex_lock(&pool->lock);
    while (!pool->stopping || pool->jobs != NULL) {
        const int64_t until_ns = now_ns() + (pool->jobs != NULL ? WATCH_MS : WATCH_IDLE_MS) * MS;
        const struct timespec until = mrd_cond_time(until_ns);
        (void)pthread_cond_timedwait(&pool->watch, &pool->lock, &until);
        watch_once(pool);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* ---- life ---- */

static void metrics_init(struct qry_pool *pool, struct mrd_metrics *metrics)
{
    pool->running = mrd_metrics_gauge(metrics, "meridian_querier_queries_running",
                                      "Queries that are being evaluated.", MRD_NO_LABELS);
    pool->waiting = mrd_metrics_gauge(metrics, "meridian_querier_queries_waiting",
                                      "Queries that wait for a place.", MRD_NO_LABELS);
    pool->refused = mrd_metrics_counter(
        metrics, "meridian_querier_queries_refused_total",
        "Queries not taken because the queue or the tenant's share was full.", MRD_NO_LABELS);
    pool->yields = mrd_metrics_counter(
        metrics, "meridian_querier_queries_stood_back_total",
        "Times that a long query let those of other tenants go first.", MRD_NO_LABELS);
    pool->core_yields = mrd_metrics_counter(
        metrics, "meridian_querier_queries_core_yields_total",
        "Times that a query of a tenant that uses more than its share let others have its core.",
        MRD_NO_LABELS);
}

enum mrd_status qry_pool_create(const struct qry_pool_options *options, struct qry_pool **out_pool,
                                struct mrd_error *err)
{
    struct qry_pool *pool = calloc(1, sizeof(*pool));
    mrd_assert(pool != NULL);
    pthread_mutex_init(&pool->lock, NULL);
    mrd_cond_init(&pool->watch);
    pool->queue_max = options->queue_max;
    pool->tenant_places = options->places > 1 ? options->places - 1 : 1;
    pool->fair.places = options->places;
    metrics_init(pool, options->metrics);
    if (pthread_create(&pool->watcher, NULL, watcher_main, pool) != 0) {
        const enum mrd_status status =
            mrd_fail_errno(err, MRD_E_UNAVAILABLE, "query watcher thread");
        qry_pool_destroy(&pool);
        return status;
    }
    pool->watching = true;
    *out_pool = pool;
    return MRD_OK;
}

void qry_pool_stop(struct qry_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_signal(&pool->watch);
    pthread_mutex_unlock(&pool->lock);
    if (pool->watching) { /* it ends when no job is left */
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
    pthread_cond_destroy(&(*pool)->watch);
    pthread_mutex_destroy(&(*pool)->lock);
    free(*pool);
    *pool = NULL;
}
