#include "bus/log_watch.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/threads.h"
#include "bus/connection_internal.h"
#include "bus/log_admin.h"

enum { CALL_MS = 1000 };
static const int64_t MS = 1000000;

struct mrd_log_watch {
    struct mrd_bus *bus;
    struct mrd_log_watch_options options;
    struct mrd_log_identity
        *known; /* of the partitions, by the thread; not known before the first answer */
    pthread_t thread;

    pthread_mutex_t lock; /* guards stopping */
    pthread_cond_t wake;
    bool stopping;
};

static bool is_stopping(struct mrd_log_watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    const bool stopping = watch->stopping;
    pthread_mutex_unlock(&watch->lock);
    return stopping;
}

static void look(struct mrd_log_watch *watch, uint32_t partition)
{
    struct mrd_log_state log;
    struct mrd_log_identity *known = &watch->known[partition];
    if (mrd_log_state_read(watch->bus, partition, CALL_MS, &log, NULL) != MRD_OK) {
        return; /* who writes to it hears of that */
    }
    const bool another =
        mrd_log_identity_known(*known) && !mrd_log_identity_equal(*known, log.identity);
    *known = log.identity;
    if (another) {
        watch->options.on_another(watch->options.context, partition);
    }
}

static void pause_between(struct mrd_log_watch *watch)
{
    const struct timespec until =
        mrd_cond_time(mrd_clock_monotonic_ns(mrd_clock_system()) + watch->options.interval_ms * MS);
    pthread_mutex_lock(&watch->lock);
    while (!watch->stopping && pthread_cond_timedwait(&watch->wake, &watch->lock, &until) == 0) {}
    pthread_mutex_unlock(&watch->lock);
}

static void *run(void *context)
{
    struct mrd_log_watch *watch = context;
    mrd_thread_name_set("log-watch");
    while (!is_stopping(watch)) {
        for (uint32_t p = 0; p < watch->options.partition_count && !is_stopping(watch); p++) {
            look(watch, p);
        }
        pause_between(watch);
    }
    return NULL;
}

static void watch_free(struct mrd_log_watch *watch)
{
    pthread_cond_destroy(&watch->wake);
    pthread_mutex_destroy(&watch->lock);
    free(watch->known);
    free(watch);
}

enum mrd_status mrd_log_watch_create(struct mrd_bus *bus,
                                     const struct mrd_log_watch_options *options,
                                     struct mrd_log_watch **out_watch, struct mrd_error *err)
{
    struct mrd_log_watch *watch = calloc(1, sizeof(*watch));
    mrd_assert(watch != NULL);
    watch->bus = bus;
    watch->options = *options;
    if (options->interval_ms == 0) {
        watch->options.interval_ms = MRD_LOG_WATCH_MS;
    }
    watch->known = calloc(options->partition_count, sizeof(*watch->known));
    mrd_assert(watch->known != NULL);
    pthread_mutex_init(&watch->lock, NULL);
    mrd_cond_init(&watch->wake);
    const int error = pthread_create(&watch->thread, NULL, run, watch);
    if (error != 0) {
        watch_free(watch);
        return mrd_fail(err, MRD_E_UNAVAILABLE, "cannot start a thread: %s", strerror(error));
    }
    *out_watch = watch;
    return MRD_OK;
}

void mrd_log_watch_destroy(struct mrd_log_watch **watch)
{
    if (*watch == NULL) {
        return;
    }
    struct mrd_log_watch *self = MRD_MOVE(*watch);
    pthread_mutex_lock(&self->lock);
    self->stopping = true;
    pthread_cond_signal(&self->wake);
    pthread_mutex_unlock(&self->lock);
    (void)pthread_join(self->thread, NULL);
    watch_free(self);
}
