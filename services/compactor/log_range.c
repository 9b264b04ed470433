#include "compactor/log_range.h"

#include <inttypes.h>
#include <pthread.h>
#include <time.h>

#include "base/threads.h"

enum { LOOK_MS = 50, READER_LOOK_MS = 10 };
static const int64_t MS = 1000000;

struct reading {
    const struct cmp_log_range *range;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    bool done;
    bool rewound;
    int64_t heard_ns;
};

static void note(struct reading *reading, bool done, bool rewound)
{
    pthread_mutex_lock(&reading->lock);
    reading->done |= done;
    reading->rewound |= rewound;
    reading->heard_ns = mrd_clock_monotonic_ns(mrd_clock_system());
    if (reading->done) {
        pthread_cond_signal(&reading->changed);
    }
    pthread_mutex_unlock(&reading->lock);
}

static bool is_done(struct reading *reading)
{
    pthread_mutex_lock(&reading->lock);
    const bool done = reading->done;
    pthread_mutex_unlock(&reading->lock);
    return done;
}

static void on_entry(void *context, struct mrd_log_entry *entry)
{
    struct reading *reading = context;
    const struct cmp_log_range *range = reading->range;
    if (!is_done(reading)) {
        const bool wanted = entry->sequence <= range->sequence_end;
        const bool goes_on = wanted && range->take(range->context, entry);
        note(reading, !goes_on || entry->sequence >= range->sequence_end, false);
    }
    mrd_log_entry_fini(entry);
}

static void on_event(void *context, enum mrd_log_event event, const char *text)
{
    (void)text;
    if (event == MRD_LOG_REWOUND || event == MRD_LOG_CAUGHT_UP) {
        note(context, true, event == MRD_LOG_REWOUND);
    }
}

static enum mrd_status await(struct reading *reading, struct mrd_error *err)
{
    const struct cmp_log_range *range = reading->range;
    enum mrd_status status = MRD_OK;
    pthread_mutex_lock(&reading->lock);
    while (!reading->done && status == MRD_OK) {
        const int64_t now_ns = mrd_clock_monotonic_ns(mrd_clock_system());
        const int64_t until_ns = now_ns + LOOK_MS * MS;
        const struct timespec until = {until_ns / 1000000000, until_ns % 1000000000};
        pthread_cond_timedwait(&reading->changed, &reading->lock, &until);
        if (atomic_load_explicit(range->stopping, memory_order_relaxed)) {
            status = mrd_fail(err, MRD_E_CANCELED, "log of partition %" PRIu32 ": stopped",
                              range->partition);
        } else if (now_ns - reading->heard_ns > range->idle_ms_max * MS) {
            status = mrd_fail(err, MRD_E_UNAVAILABLE,
                              "log of partition %" PRIu32 ": nothing came for %" PRId64 " ms",
                              range->partition, range->idle_ms_max);
        }
    }
    if (status == MRD_OK && reading->rewound) {
        status = mrd_fail(err, MRD_E_UNAVAILABLE, "the log of partition %" PRIu32 " went backwards",
                          range->partition);
    }
    reading->done = true; /* whatever comes now is not taken */
    pthread_mutex_unlock(&reading->lock);
    return status;
}

enum mrd_status cmp_log_range_read(const struct cmp_log_range *range, struct mrd_error *err)
{
    struct reading reading = {.range = range,
                              .heard_ns = mrd_clock_monotonic_ns(mrd_clock_system())};
    pthread_mutex_init(&reading.lock, NULL);
    mrd_cond_init(&reading.changed);
    const struct mrd_log_reader_options options = {
        .partition = range->partition,
        .sequence_start = range->sequence_start,
        .time_start_ms = range->time_start_ms,
        .look_ms = READER_LOOK_MS,
        .on_entry = on_entry,
        .on_event = on_event,
        .context = &reading,
    };
    struct mrd_log_reader *reader = NULL;
    enum mrd_status status = mrd_log_reader_create(range->bus, &options, &reader, err);
    if (status == MRD_OK) {
        status = await(&reading, err);
        mrd_log_reader_destroy(&reader);
    }
    pthread_cond_destroy(&reading.changed);
    pthread_mutex_destroy(&reading.lock);
    return status;
}
