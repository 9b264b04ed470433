#include "ingester/resolver.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "base/threads.h"
#include "ingester/log_scan.h"

enum {
    LOOK_MS = 1000,
    SAMPLES_MAX = 65536, /* of one scan */
    SETTLE_MAX = 2048,   /* in one go on the shard: some milliseconds */
    REST_FACTOR = 10,
    SCAN_MS_MAX = 10 * 60 * 1000,
    /* A write lies in the log after its sample's time, but for how far a sender's clock may be ahead; its
     * label epoch began before, and a batch may have been stored late. */
    LEAD_MS = 60 * 60 * 1000,
    EPOCH_MS = MRD_BATCH_EPOCH_MS + 5 * 60 * 1000,
};
static const int64_t MS = 1000000;

struct ing_resolver {
    struct ing_resolver_options options;
    pthread_t thread;
    pthread_mutex_t lock; /* for the sleep */
    pthread_cond_t wake;
    _Atomic bool stop;
    struct ing_scanned *scanned; /* SAMPLES_MAX, of the thread */
    struct mrd_counter *scans;
    struct mrd_counter *failures;
};

static int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

static bool stopping(const struct ing_resolver *resolver)
{
    return atomic_load_explicit(&resolver->stop, memory_order_relaxed);
}

static void rest(struct ing_resolver *resolver, int64_t rest_ns)
{
    const int64_t until_ns = now_ns() + rest_ns;
    const struct timespec until = {until_ns / 1000000000, until_ns % 1000000000};
    int waited = 0;
    pthread_mutex_lock(&resolver->lock);
    while (!stopping(resolver) && waited == 0) {
        waited = pthread_cond_timedwait(&resolver->wake, &resolver->lock, &until);
    }
    pthread_mutex_unlock(&resolver->lock);
}

/* ---- on the shard ---- */

struct take_ask {
    struct ing_ask ask; /* first */
    struct ing_scanned *scanned;
    size_t count;
};

static enum mrd_status take_run(struct ing_ask *base, struct mrd_head *head, struct mrd_error *err)
{
    (void)err;
    struct take_ask *ask = (struct take_ask *)base;
    while (ask->count < SAMPLES_MAX) {
        struct ing_scanned *next = &ask->scanned[ask->count];
        *next = (struct ing_scanned){0};
        if (mrd_head_contested_take(head, &next->sample, 1) == 0) {
            break;
        }
        ask->count++;
    }
    return MRD_OK;
}

struct settle_ask {
    struct ing_ask ask; /* first */
    const struct ing_scanned *scanned;
    size_t count;
    bool known; /* the scan was complete */
};

static enum mrd_status settle_run(struct ing_ask *base, struct mrd_head *head,
                                  struct mrd_error *err)
{
    (void)err;
    const struct settle_ask *ask = (const struct settle_ask *)base;
    for (size_t i = 0; i < ask->count; i++) {
        const struct ing_scanned *from = &ask->scanned[i];
        if (ask->known && from->values == 0) {
            mrd_head_contested_forget(head, &from->sample); /* the log no longer has its writes */
        } else {
            mrd_head_settle(head, &from->sample, ask->known ? &from->verdict : NULL);
        }
    }
    return MRD_OK;
}

/* What was taken must be settled, so a full queue is waited for; the borrowed partition cannot close. */
static void ask(struct ing_partition *partition, struct ing_ask *question)
{
    struct mrd_error ignored;
    while (ing_partition_ask(partition, question, &ignored) != MRD_OK) {
        const struct timespec pause = {.tv_nsec = 10 * MS};
        nanosleep(&pause, NULL);
    }
}

static void settle(struct ing_resolver *resolver, struct ing_partition *partition, size_t count,
                   bool known)
{
    for (size_t i = 0; i < count; i += SETTLE_MAX) {
        struct settle_ask question = {.ask = {.run = settle_run},
                                      .scanned = &resolver->scanned[i],
                                      .count = MRD_MIN(count - i, (size_t)SETTLE_MAX),
                                      .known = known};
        ask(partition, &question.ask);
    }
}

/* ---- the thread ---- */

static mrd_time_ms start_of(const struct ing_scanned *scanned, size_t count)
{
    mrd_time_ms oldest_ms = INT64_MAX;
    for (size_t i = 0; i < count; i++) {
        oldest_ms = MRD_MIN(oldest_ms, scanned[i].sample.time_ms);
    }
    return MRD_MAX(oldest_ms - LEAD_MS - EPOCH_MS, (mrd_time_ms)1);
}

/* A sample is contested between two values: a scan that has not seen both began too late. */
static bool saw_all(const struct ing_scanned *scanned, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (scanned[i].values < 2) {
            return false;
        }
    }
    return true;
}

static void forget_seen(struct ing_scanned *scanned, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        scanned[i].values = 0;
    }
}

static enum mrd_status scan(struct ing_resolver *resolver, struct ing_partition *partition,
                            size_t count, struct mrd_error *err)
{
    struct ing_partition_progress progress;
    ing_partition_progress(partition, &progress);
    struct ing_log_scan_options options = {
        .bus = resolver->options.log_bus,
        .partition = ing_partition_number(partition),
        .time_start_ms = start_of(resolver->scanned, count),
        .sequence_end = progress.applied,
        .deadline_ns = now_ns() + SCAN_MS_MAX * MS,
        .stop = &resolver->stop,
    };
    MRD_TRY(ing_log_scan(&options, resolver->scanned, count, err));
    if (saw_all(resolver->scanned, count)) {
        return MRD_OK;
    }
    forget_seen(resolver->scanned, count);
    options.time_start_ms = 0;
    return ing_log_scan(&options, resolver->scanned, count, err);
}

static void resolve(struct ing_resolver *resolver, struct ing_partition *partition)
{
    struct take_ask take = {.ask = {.run = take_run}, .scanned = resolver->scanned};
    ask(partition, &take.ask);
    if (take.count == 0) {
        return;
    }
    const int64_t started_ns = now_ns();
    struct mrd_error err = {0};
    const enum mrd_status status = scan(resolver, partition, take.count, &err);
    settle(resolver, partition, take.count, status == MRD_OK);
    mrd_counter_add(status == MRD_OK ? resolver->scans : resolver->failures, 1);
    if (status != MRD_OK && status != MRD_E_CANCELED) {
        MRD_LOG_EVERY(10000, MRD_LEVEL_WARN, "contested samples are not settled yet",
                      mrd_log_uint("partition", ing_partition_number(partition)),
                      mrd_log_error(&err));
    }
    rest(resolver, (now_ns() - started_ns) * REST_FACTOR);
}

static void look(struct ing_resolver *resolver, uint32_t number)
{
    struct ing_partition *partition = NULL;
    struct mrd_error ignored;
    if (ing_owner_borrow(resolver->options.owner, number, &partition, &ignored) != MRD_OK) {
        return; /* not here, or not ready */
    }
    const struct ing_store_figures *figures = ing_partition_figures(partition);
    if (atomic_load_explicit(&figures->contested_waiting, memory_order_relaxed) > 0) {
        resolve(resolver, partition);
    }
    ing_owner_give_back(resolver->options.owner, &partition);
}

static void *resolver_run(void *context)
{
    struct ing_resolver *resolver = context;
    while (!stopping(resolver)) {
        for (uint32_t i = 0; i < resolver->options.partition_count && !stopping(resolver); i++) {
            look(resolver, i);
        }
        rest(resolver, LOOK_MS * MS);
    }
    return NULL;
}

/* ---- life ---- */

struct ing_resolver *ing_resolver_create(const struct ing_resolver_options *options)
{
    struct ing_resolver *resolver = calloc(1, sizeof(*resolver));
    mrd_assert(resolver != NULL);
    resolver->options = *options;
    resolver->scanned = calloc(SAMPLES_MAX, sizeof(*resolver->scanned));
    mrd_assert(resolver->scanned != NULL);
    static const char name[] = "meridian_ingester_contested_scans_total";
    static const char help[] = "Looks into the log for the last writes of contested samples.";
    resolver->scans =
        mrd_metrics_counter(options->metrics, name, help, MRD_LABELS({"outcome", "complete"}));
    resolver->failures =
        mrd_metrics_counter(options->metrics, name, help, MRD_LABELS({"outcome", "failed"}));
    pthread_mutex_init(&resolver->lock, NULL);
    mrd_cond_init(&resolver->wake);
    mrd_assert(pthread_create(&resolver->thread, NULL, resolver_run, resolver) == 0);
    return resolver;
}

void ing_resolver_destroy(struct ing_resolver **resolver)
{
    if (*resolver == NULL) {
        return;
    }
    struct ing_resolver *self = MRD_MOVE(*resolver);
    pthread_mutex_lock(&self->lock);
    atomic_store_explicit(&self->stop, true, memory_order_relaxed);
    pthread_cond_signal(&self->wake);
    pthread_mutex_unlock(&self->lock);
    pthread_join(self->thread, NULL);
    pthread_cond_destroy(&self->wake);
    pthread_mutex_destroy(&self->lock);
    free(self->scanned);
    free(self);
}
