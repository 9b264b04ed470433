#include "base/parallel.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/threads.h"

struct run {
    const struct mrd_parallel *parallel;
    pthread_mutex_t lock;
    size_t next; /* to begin */
    enum mrd_status status;
    size_t failed; /* the piece; valid with status */
    struct mrd_error error;
};

struct worker {
    struct run *run;
    size_t index;
    pthread_t thread;
    bool started;
};

static bool begin(struct run *run, size_t *out_piece)
{
    pthread_mutex_lock(&run->lock);
    const bool any = run->status == MRD_OK && run->next < run->parallel->pieces;
    *out_piece = run->next;
    run->next += any;
    pthread_mutex_unlock(&run->lock);
    return any;
}

static void fail(struct run *run, size_t piece, enum mrd_status status,
                 const struct mrd_error *error)
{
    pthread_mutex_lock(&run->lock);
    if (run->status == MRD_OK || piece < run->failed) {
        run->status = status;
        run->failed = piece;
        run->error = *error;
    }
    pthread_mutex_unlock(&run->lock);
}

static void work(struct run *run, size_t worker)
{
    const struct mrd_parallel *parallel = run->parallel;
    size_t piece;
    while (begin(run, &piece)) {
        struct mrd_error error = {0};
        const enum mrd_status status = parallel->piece(parallel->context, worker, piece, &error);
        if (status != MRD_OK) {
            fail(run, piece, status, &error);
        }
    }
}

static void *work_thread(void *argument)
{
    const struct worker *worker = argument;
    mrd_thread_name_set(worker->run->parallel->name);
    work(worker->run, worker->index);
    return NULL;
}

enum mrd_status mrd_parallel_run(const struct mrd_parallel *parallel, struct mrd_error *err)
{
    const size_t count = MRD_MAX(MRD_MIN(parallel->workers, parallel->pieces), (size_t)1);
    struct run run = {.parallel = parallel, .lock = PTHREAD_MUTEX_INITIALIZER};
    struct worker *others = calloc(count, sizeof(*others));
    mrd_assert(others != NULL);
    for (size_t i = 1; i < count; i++) {
        others[i] = (struct worker){.run = &run, .index = i};
        /* Without another thread the work takes longer, that is all. */
        others[i].started = pthread_create(&others[i].thread, NULL, work_thread, &others[i]) == 0;
    }
    work(&run, 0);
    for (size_t i = 1; i < count; i++) {
        if (others[i].started) {
            pthread_join(others[i].thread, NULL);
        }
    }
    free(others);
    pthread_mutex_destroy(&run.lock);
    if (run.status != MRD_OK && err != NULL) {
        *err = run.error;
    }
    return run.status;
}
