#include "compactor/jobs.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "base/threads.h"

enum { PAUSE_MS_MIN = 1000, PAUSE_MS_MAX = 60 * 1000 };
static const int64_t MS = 1000000;

struct job {
    struct cmp_jobs *jobs;
    struct cmp_role role;
    pthread_t thread;
    bool nudged; /* under the lock */
    struct mrd_counter *rounds;
    struct mrd_counter *failures;
};

struct cmp_jobs {
    struct cmp_jobs_options options;
    struct cmp_environment environment;
    _Atomic bool stopping; /* relaxed: a wish; the lock orders what depends on it */
    pthread_mutex_t lock;  /* guards `nudged`, and the sleep between rounds */
    pthread_cond_t wake;
    size_t role_count; /* and this */
    struct job roles[CMP_ROLES_MAX];
};

struct cmp_jobs *cmp_jobs_create(const struct cmp_jobs_options *options)
{
    struct cmp_jobs *jobs = calloc(1, sizeof(*jobs));
    mrd_assert(jobs != NULL);
    jobs->options = *options;
    jobs->environment = options->environment;
    jobs->environment.control = (struct mrd_objstore_control){.canceled = &jobs->stopping};
    jobs->environment.stopping = &jobs->stopping;
    pthread_mutex_init(&jobs->lock, NULL);
    mrd_cond_init(&jobs->wake);
    return jobs;
}

static bool is_stopping(const struct cmp_jobs *jobs)
{
    return atomic_load_explicit(&jobs->stopping, memory_order_relaxed);
}

/* Sleeps until the next round is due; false: there is none. */
static bool await_next(struct job *job, mrd_time_ms pause_ms)
{
    struct cmp_jobs *jobs = job->jobs;
    const int64_t due_ns = mrd_clock_monotonic_ns(mrd_clock_system()) + pause_ms * MS;
    const struct timespec due = mrd_cond_time(due_ns);
    pthread_mutex_lock(&jobs->lock);
    int waited = 0;
    while (!is_stopping(jobs) && !job->nudged && waited == 0) {
        waited = pthread_cond_timedwait(&jobs->wake, &jobs->lock, &due);
    }
    job->nudged = false;
    const bool goes_on = !is_stopping(jobs);
    pthread_mutex_unlock(&jobs->lock);
    return goes_on;
}

static void report(struct job *job, enum mrd_status status, const struct mrd_error *err)
{
    const struct mrd_log_field role = mrd_log_str("role", job->role.name);
    if (status == MRD_E_CANCELED && is_stopping(job->jobs)) {
        return;
    }
    mrd_counter_add(job->failures, 1);
    if (status == MRD_E_FATAL) {
        MRD_LOG_ERROR("storage may have lost what it was given: the process stops", role,
                      mrd_log_error(err));
        job->jobs->options.on_fatal(job->jobs->options.context, err);
    } else if (status == MRD_E_CONFLICT) {
        MRD_LOG_INFO("a race was lost, to be decided again", role, mrd_log_error(err));
    } else {
        MRD_LOG_ERROR("a round failed and is tried again", role,
                      mrd_log_str("status", mrd_status_name(status)), mrd_log_error(err));
    }
}

static void *run(void *context)
{
    struct job *job = context;
    const struct cmp_environment *environment = &job->jobs->environment;
    mrd_time_ms pause_ms = 0;
    while (await_next(job, pause_ms)) {
        struct mrd_error err = {0};
        const enum mrd_status status = job->role.round(job->role.context, environment, &err);
        mrd_counter_add(job->rounds, 1);
        if (status == MRD_OK) {
            pause_ms = job->role.interval_ms;
            continue;
        }
        report(job, status, &err);
        pause_ms = status == MRD_E_FATAL ? PAUSE_MS_MAX
                                         : MRD_MIN(MRD_MAX(2 * pause_ms, (mrd_time_ms)PAUSE_MS_MIN),
                                                   (mrd_time_ms)PAUSE_MS_MAX);
    }
    if (job->role.end != NULL) {
        job->role.end(job->role.context, environment);
    }
    return NULL;
}

enum mrd_status cmp_jobs_add(struct cmp_jobs *jobs, const struct cmp_role *role,
                             struct mrd_error *err)
{
    mrd_assert(jobs->role_count < CMP_ROLES_MAX);
    struct job *job = &jobs->roles[jobs->role_count];
    job->jobs = jobs;
    job->role = *role;
    job->rounds = mrd_metrics_counter(jobs->environment.metrics, "meridian_compactor_rounds_total",
                                      "Rounds of the compactor's roles that have ended.",
                                      MRD_LABELS({"role", role->name}));
    job->failures =
        mrd_metrics_counter(jobs->environment.metrics, "meridian_compactor_round_failures_total",
                            "Rounds of the compactor's roles that failed, lost races included.",
                            MRD_LABELS({"role", role->name}));
    const int code = pthread_create(&job->thread, NULL, run, job);
    if (code != 0) {
        return mrd_fail(err, MRD_E_UNAVAILABLE, "role %s: no thread: %s", role->name,
                        strerror(code));
    }
    (void)pthread_setname_np(job->thread, role->name);
    pthread_mutex_lock(&jobs->lock);
    jobs->role_count++;
    pthread_mutex_unlock(&jobs->lock);
    return MRD_OK;
}

void cmp_jobs_nudge(struct cmp_jobs *jobs, const char *name)
{
    bool found = false;
    pthread_mutex_lock(&jobs->lock);
    for (size_t i = 0; i < jobs->role_count; i++) {
        if (strcmp(jobs->roles[i].role.name, name) == 0) {
            jobs->roles[i].nudged = true;
            found = true;
        }
    }
    pthread_cond_broadcast(&jobs->wake);
    pthread_mutex_unlock(&jobs->lock);
    mrd_assert(found);
}

void cmp_jobs_destroy(struct cmp_jobs **jobs)
{
    if (*jobs == NULL) {
        return;
    }
    struct cmp_jobs *self = MRD_MOVE(*jobs);
    pthread_mutex_lock(&self->lock);
    atomic_store_explicit(&self->stopping, true, memory_order_relaxed);
    pthread_cond_broadcast(&self->wake);
    pthread_mutex_unlock(&self->lock);
    for (size_t i = 0; i < self->role_count; i++) {
        pthread_join(self->roles[i].thread, NULL);
    }
    pthread_cond_destroy(&self->wake);
    pthread_mutex_destroy(&self->lock);
    free(self);
}
