#include "ingester/partition.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "base/shard.h"
#include "base/threads.h"
#include "bus/log_admin.h"

enum {
    QUEUE_MAX = 4096,
    TIDY_MS = 1000,
    RETRY_MS = 1000, /* while over the memory budget */
    SWEEP_SERIES =
        500, /* at once, half a millisecond at most, for nobody reads meanwhile; then a pause */
    SWEEP_PAUSE_MS = 20,
    WAIT_LOOK_MS = 20,
    LOG_STATE_TIMEOUT_MS = 500,
};
static const int64_t MS = 1000000;

/* An entry on its way from the reader to the shard. */
struct entry_message {
    struct mrd_shard_message message; /* first */
    struct ing_partition *partition;
    struct mrd_log_entry entry;
    struct entry_message *next;
};

struct ing_partition {
    struct ing_partition_options options;
    struct ing_store *store; /* of the shard */
    struct mrd_shard *shard;
    struct mrd_log_reader *reader;

    /* of the shard */
    struct mrd_shard_timer tidy;
    struct mrd_shard_timer retry;
    struct entry_message *held; /* entries that wait for memory, in order */
    struct entry_message **held_last;

    _Atomic uint64_t applied; /* release after the store has it; acquire by strong reads */
    _Atomic uint64_t
        passed; /* by the reader: what was not handed out up to here is not in the log */
    _Atomic bool over_budget;
    _Atomic bool caught_up;
    _Atomic uint64_t rewinds;
    _Atomic uint64_t log_first; /* relaxed: a figure by itself, and so the next */
    _Atomic mrd_time_ms log_age_ms;

    pthread_mutex_t gate_lock; /* guards the gate; and the sleep of those who wait for `applied` */
    pthread_cond_t gate_open;
    pthread_cond_t applied_changed;
    size_t gate_entries;
    size_t gate_bytes;
    size_t waiters;
    bool closing;
    struct mrd_log_limit quarantine_limit;
};

/* ---- the gate: how far the reader may run ahead ---- */

static bool gate_enter(struct ing_partition *partition, size_t bytes)
{
    pthread_mutex_lock(&partition->gate_lock);
    while (!partition->closing && partition->gate_entries > 0 &&
           (partition->gate_entries >= ING_ENTRIES_MAX ||
            partition->gate_bytes + bytes > ING_ENTRY_BYTES_MAX)) {
        pthread_cond_wait(&partition->gate_open, &partition->gate_lock);
    }
    const bool open = !partition->closing;
    partition->gate_entries += open ? 1 : 0;
    partition->gate_bytes += open ? bytes : 0;
    pthread_mutex_unlock(&partition->gate_lock);
    return open;
}

static void gate_leave(struct ing_partition *partition, size_t bytes)
{
    pthread_mutex_lock(&partition->gate_lock);
    partition->gate_entries--;
    partition->gate_bytes -= bytes;
    pthread_cond_signal(&partition->gate_open);
    if (partition->waiters > 0) {
        pthread_cond_broadcast(&partition->applied_changed);
    }
    pthread_mutex_unlock(&partition->gate_lock);
}

/* ---- on the shard ---- */

static void entry_free(struct entry_message *message)
{
    const size_t bytes = message->entry.payload.size;
    mrd_log_entry_fini(&message->entry);
    gate_leave(message->partition, bytes);
    free(message);
}

static void raise_applied(struct ing_partition *partition, uint64_t sequence)
{
    uint64_t have = atomic_load_explicit(&partition->applied, memory_order_relaxed);
    while (have < sequence &&
           !atomic_compare_exchange_weak_explicit(&partition->applied, &have, sequence,
                                                  memory_order_release, memory_order_relaxed)) {}
}

/* What the log does not have any more counts as applied, once all that came before is: else who waits for a log's end would wait for
 * ever where the log was trimmed to its end. On the shard's or the reader's thread. */
static void pass_over(struct ing_partition *partition)
{
    const uint64_t passed = atomic_load_explicit(&partition->passed, memory_order_acquire);
    pthread_mutex_lock(&partition->gate_lock);
    if (partition->gate_entries == 0) {
        raise_applied(partition, passed);
        pthread_cond_broadcast(&partition->applied_changed);
    }
    pthread_mutex_unlock(&partition->gate_lock);
}

static void log_quarantined(struct ing_partition *partition, const struct mrd_log_entry *entry,
                            const struct mrd_error *err)
{
    uint64_t suppressed = 0;
    if (mrd_log_limit_pass(&partition->quarantine_limit, 1000, &suppressed)) {
        MRD_LOG_ERROR("a batch of the log is unreadable and was left out",
                      mrd_log_uint("partition", partition->options.store.partition),
                      mrd_log_uint("sequence", entry->sequence), mrd_log_error(err),
                      mrd_log_uint("suppressed", suppressed));
    }
}

/* False: over the budget, the entry stays. */
static bool entry_apply(struct ing_partition *partition, struct entry_message *message)
{
    struct mrd_error err = {0};
    const struct mrd_log_entry *entry = &message->entry;
    const struct ing_position position = {.sequence = entry->sequence,
                                          .missing_before = entry->missing_before,
                                          .stored_ms = entry->stored_ms};
    const enum mrd_status status =
        ing_store_apply(partition->store, entry->payload, &position, &err);
    if (status == MRD_E_LIMIT) {
        if (!atomic_exchange_explicit(&partition->over_budget, true, memory_order_relaxed)) {
            MRD_LOG_ERROR("out of memory budget: the partition stops applying its log",
                          mrd_log_uint("partition", partition->options.store.partition),
                          mrd_log_uint("sequence", entry->sequence), mrd_log_error(&err));
        }
        return false;
    }
    if (status != MRD_OK) {
        log_quarantined(partition, entry, &err);
    }
    if (entry->missing_before > 0) {
        MRD_LOG_WARN("the log no longer has a part that was not read",
                     mrd_log_uint("partition", partition->options.store.partition),
                     mrd_log_uint("sequence", entry->sequence),
                     mrd_log_uint("missing", entry->missing_before));
    }
    raise_applied(partition, entry->sequence);
    return true;
}

static void hold(struct ing_partition *partition, struct entry_message *message)
{
    message->next = NULL;
    *partition->held_last = message;
    partition->held_last = &message->next;
}

static void entry_run(struct mrd_shard *shard, struct mrd_shard_message *base)
{
    mrd_shard_assert_on(shard);
    struct entry_message *message = (struct entry_message *)base;
    struct ing_partition *partition = message->partition;
    if (partition->held != NULL || !entry_apply(partition, message)) {
        hold(partition, message);
        if (!mrd_shard_timer_started(&partition->retry)) {
            mrd_shard_timer_start(shard, &partition->retry,
                                  mrd_shard_now_ns(shard) + RETRY_MS * MS);
        }
        return;
    }
    entry_free(message);
}

static void on_retry(struct mrd_shard *shard, struct mrd_shard_timer *timer)
{
    mrd_shard_assert_on(shard);
    struct ing_partition *partition = mrd_shard_context(shard);
    while (partition->held != NULL) {
        struct entry_message *message = partition->held;
        if (!entry_apply(partition, message)) {
            mrd_shard_timer_start(shard, timer, mrd_shard_now_ns(shard) + RETRY_MS * MS);
            return;
        }
        partition->held = message->next;
        entry_free(message);
    }
    partition->held_last = &partition->held;
    atomic_store_explicit(&partition->over_budget, false, memory_order_relaxed);
    MRD_LOG_INFO("memory is within budget again: the partition applies its log",
                 mrd_log_uint("partition", partition->options.store.partition));
}

static void on_hole(void *context, const struct mrd_number_hole *hole)
{
    const struct ing_partition *partition = context;
    MRD_LOG_ERROR("batches are missing in the log",
                  mrd_log_uint("partition", partition->options.store.partition),
                  mrd_log_bytes("writer", hole->instance), mrd_log_uint("first", hole->first),
                  mrd_log_uint("last", hole->last));
}

static void on_tidy(struct mrd_shard *shard, struct mrd_shard_timer *timer)
{
    mrd_shard_assert_on(shard);
    struct ing_partition *partition = mrd_shard_context(shard);
    const bool live = atomic_load_explicit(&partition->caught_up, memory_order_relaxed);
    pass_over(partition);
    const mrd_time_ms now_ms = live ? mrd_clock_now_ms(partition->options.clock) : 0;
    ing_store_trimmed(partition->store,
                      atomic_load_explicit(&partition->log_first, memory_order_relaxed));
    ing_store_age(partition->store,
                  atomic_load_explicit(&partition->log_age_ms, memory_order_relaxed));
    const bool more = ing_store_tidy(partition->store, now_ms, SWEEP_SERIES, on_hole, partition);
    mrd_shard_timer_start(shard, timer,
                          mrd_shard_now_ns(shard) + (more ? SWEEP_PAUSE_MS : TIDY_MS) * MS);
}

static void on_shard_start(struct mrd_shard *shard)
{
    mrd_shard_assert_on(shard);
    struct ing_partition *partition = mrd_shard_context(shard);
    partition->tidy.fire = on_tidy;
    partition->retry.fire = on_retry;
    mrd_shard_timer_start(shard, &partition->tidy, mrd_shard_now_ns(shard) + TIDY_MS * MS);
}

static void on_shard_batch(struct mrd_shard *shard)
{
    struct ing_partition *partition = mrd_shard_context(shard);
    ing_store_publish(partition->store);
}

static void on_shard_stop(struct mrd_shard *shard)
{
    struct ing_partition *partition = mrd_shard_context(shard);
    mrd_shard_assert_on(shard);
    mrd_shard_timer_stop(shard, &partition->tidy);
    mrd_shard_timer_stop(shard, &partition->retry);
    while (partition->held != NULL) {
        struct entry_message *message = partition->held;
        partition->held = message->next;
        entry_free(message);
    }
}

/* ---- on the reader's thread ---- */

static void on_entry(void *context, struct mrd_log_entry *entry)
{
    struct ing_partition *partition = context;
    if (!gate_enter(partition, entry->payload.size)) {
        mrd_log_entry_fini(entry); /* closing */
        return;
    }
    struct entry_message *message = calloc(1, sizeof(*message));
    mrd_assert(message != NULL);
    message->message.run = entry_run;
    message->partition = partition;
    message->entry = *entry;
    if (!mrd_shard_post(partition->shard, &message->message)) {
        /* The gate lets in fewer than the queue takes; questions may have filled it. */
        while (!mrd_shard_post(partition->shard, &message->message)) {
            pthread_mutex_lock(&partition->gate_lock);
            const bool closing = partition->closing;
            pthread_mutex_unlock(&partition->gate_lock);
            if (closing) {
                entry_free(message);
                return;
            }
            const struct timespec pause = {.tv_nsec = MS};
            nanosleep(&pause, NULL);
        }
    }
}

static void on_passed(void *context, uint64_t sequence)
{
    struct ing_partition *partition = context;
    atomic_store_explicit(&partition->passed, sequence, memory_order_release);
    pass_over(partition);
}

static void on_event(void *context, enum mrd_log_event event, const char *text)
{
    struct ing_partition *partition = context;
    const struct mrd_log_field number =
        mrd_log_uint("partition", partition->options.store.partition);
    switch (event) {
    case MRD_LOG_RESUMED:
        MRD_LOG_INFO("reading the log", number, mrd_log_str("text", text));
        break;
    case MRD_LOG_LOST:
        MRD_LOG_EVERY(1000, MRD_LEVEL_WARN, "cannot read the log, trying again", number,
                      mrd_log_str("text", text));
        break;
    case MRD_LOG_REWOUND:
        atomic_fetch_add_explicit(&partition->rewinds, 1, memory_order_relaxed);
        MRD_LOG_ERROR("the log has gone backwards: acknowledged data may be lost", number,
                      mrd_log_str("text", text));
        break;
    case MRD_LOG_CAUGHT_UP:
        atomic_store_explicit(&partition->caught_up, true, memory_order_relaxed);
        break;
    }
}

/* ---- questions ---- */

struct ask_message {
    struct mrd_shard_message message; /* first */
    struct ing_partition *partition;
    struct ing_ask *ask;
    struct mrd_error *err;
    enum mrd_status status;
    bool done;
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

/* In the caller's thread, which waits for nothing else. */
static void ask_here_run(struct mrd_shard *shard, struct mrd_shard_message *base)
{
    (void)shard;
    struct ask_message *message = (struct ask_message *)base;
    message->ask->store = message->partition->store;
    message->status =
        message->ask->run(message->ask, ing_store_head(message->partition->store), message->err);
}

static void ask_run(struct mrd_shard *shard, struct mrd_shard_message *base)
{
    ask_here_run(shard, base);
    struct ask_message *message = (struct ask_message *)base;
    pthread_mutex_lock(&message->lock);
    message->done = true;
    pthread_cond_signal(&message->changed);
    pthread_mutex_unlock(&message->lock);
}

/* Long work is in the background, or soon will be. */
static bool ask_post(struct ask_message *message)
{
    struct mrd_shard *shard = message->partition->shard;
    return message->ask->reads && !mrd_thread_in_background()
               ? mrd_shard_post_urgent(shard, &message->message)
               : mrd_shard_post(shard, &message->message);
}

static enum mrd_status ask_posted(struct ask_message *message)
{
    message->message.run = ask_run;
    pthread_mutex_init(&message->lock, NULL);
    pthread_cond_init(&message->changed, NULL);
    if (ask_post(message)) {
        pthread_mutex_lock(&message->lock);
        while (!message->done) {
            pthread_cond_wait(&message->changed, &message->lock);
        }
        pthread_mutex_unlock(&message->lock);
    } else {
        message->status = mrd_fail(message->err, MRD_E_UNAVAILABLE,
                                   "partition %" PRIu32 ": too many questions wait, or it closes",
                                   message->partition->options.store.partition);
    }
    pthread_cond_destroy(&message->changed);
    pthread_mutex_destroy(&message->lock);
    return message->status;
}

enum mrd_status ing_partition_ask(struct ing_partition *partition, struct ing_ask *ask,
                                  struct mrd_error *err)
{
    struct ask_message message = {
        .message = {.run = ask_here_run, .shared = ask->shared},
        .partition = partition,
        .ask = ask,
        .err = err
    };
    /* In the background a thread may be without a core for long: not in the shard's place. */
    if (!mrd_thread_in_background() && mrd_shard_try_run(partition->shard, &message.message)) {
        return message.status;
    }
    return ask_posted(&message);
}

static void look_run(void *context)
{
    struct ing_look *look = context;
    look->look(look, ing_store_head(look->partition->store));
}

bool ing_partition_try_read(struct ing_partition *partition, struct ing_look *look)
{
    look->partition = partition;
    return mrd_shard_try_read(partition->shard, look_run, look);
}

void ing_partition_let_urgent(struct ing_partition *partition)
{
    mrd_shard_let_urgent(partition->shard);
}

uint64_t ing_partition_applied(const struct ing_partition *partition)
{
    return atomic_load_explicit(&partition->applied, memory_order_acquire);
}

uint64_t ing_partition_held(const struct ing_partition *partition)
{
    return atomic_load_explicit(&ing_partition_figures(partition)->sequence_held,
                                memory_order_relaxed);
}

enum mrd_status ing_partition_wait(struct ing_partition *partition, uint64_t sequence,
                                   int64_t deadline_ns, bool (*ended)(const void *context),
                                   const void *context, struct mrd_error *err)
{
    pthread_mutex_lock(&partition->gate_lock);
    partition->waiters++;
    bool stop = false;
    while (ing_partition_applied(partition) < sequence && !stop && !partition->closing) {
        const int64_t now_ns = mrd_clock_monotonic_ns(mrd_clock_system());
        const int64_t until_ns = MRD_MIN(deadline_ns, now_ns + WAIT_LOOK_MS * MS);
        const struct timespec until = {.tv_sec = until_ns / 1000000000,
                                       .tv_nsec = until_ns % 1000000000};
        pthread_cond_timedwait(&partition->applied_changed, &partition->gate_lock, &until);
        stop = ended(context) || now_ns >= deadline_ns;
    }
    partition->waiters--;
    const uint64_t have = ing_partition_applied(partition);
    pthread_mutex_unlock(&partition->gate_lock);
    if (have >= sequence) {
        return MRD_OK;
    }
    return mrd_fail(err, MRD_E_TIMEOUT,
                    "strong read: partition %" PRIu32 " has applied its log up to %" PRIu64
                    ", asked for is %" PRIu64,
                    partition->options.store.partition, have, sequence);
}

/* ---- life ---- */

static enum mrd_status start(struct ing_partition *partition, struct mrd_error *err)
{
    const struct mrd_shard_config shard = {
        .name = "partition",
        .queue_max = QUEUE_MAX,
        .clock = mrd_clock_system(),
        .context = partition,
        .on_start = on_shard_start,
        .on_batch = on_shard_batch,
        .on_stop = on_shard_stop,
    };
    MRD_TRY(mrd_shard_create(&shard, &partition->shard, err));
    const mrd_time_ms window_ms = partition->options.window_ms;
    const mrd_time_ms from_ms =
        mrd_clock_now_ms(partition->options.clock) - window_ms - MRD_BATCH_EPOCH_MS - 5 * 60 * 1000;
    const struct mrd_log_reader_options reader = {
        .partition = partition->options.store.partition,
        .time_start_ms = window_ms == 0 ? 0 : from_ms,
        .on_entry = on_entry,
        .on_event = on_event,
        .on_passed = on_passed,
        .context = partition,
    };
    return mrd_log_reader_create(partition->options.bus, &reader, &partition->reader, err);
}

/* An empty log has no entry that would say where the head begins. What cannot be read is found out with the first entry. */
static void look_at_log(struct ing_partition *partition)
{
    struct mrd_log_state log;
    if (mrd_log_state_read(partition->options.bus, partition->options.store.partition,
                           LOG_STATE_TIMEOUT_MS, &log, NULL) == MRD_OK &&
        log.messages == 0) {
        ing_store_begin(partition->store, log.sequence_first);
    }
}

enum mrd_status ing_partition_create(const struct ing_partition_options *options,
                                     struct ing_partition **out_partition, struct mrd_error *err)
{
    struct ing_partition *partition = calloc(1, sizeof(*partition));
    mrd_assert(partition != NULL);
    partition->options = *options;
    partition->held_last = &partition->held;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&partition->gate_lock, NULL);
    pthread_cond_init(&partition->gate_open, NULL);
    pthread_cond_init(&partition->applied_changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    enum mrd_status status = ing_store_create(&options->store, &partition->store, err);
    if (status == MRD_OK) {
        look_at_log(partition);
        status = start(partition, err);
    }
    if (status != MRD_OK) {
        ing_partition_destroy(&partition);
        return status;
    }
    *out_partition = partition;
    return MRD_OK;
}

void ing_partition_destroy(struct ing_partition **partition)
{
    if (*partition == NULL) {
        return;
    }
    struct ing_partition *self = MRD_MOVE(*partition);
    pthread_mutex_lock(&self->gate_lock);
    self->closing = true;
    pthread_cond_broadcast(&self->gate_open);
    pthread_cond_broadcast(&self->applied_changed);
    pthread_mutex_unlock(&self->gate_lock);
    mrd_log_reader_destroy(&self->reader);
    mrd_shard_destroy(&self->shard);
    ing_store_destroy(&self->store);
    pthread_cond_destroy(&self->applied_changed);
    pthread_cond_destroy(&self->gate_open);
    pthread_mutex_destroy(&self->gate_lock);
    free(self);
}

uint32_t ing_partition_number(const struct ing_partition *partition)
{
    return partition->options.store.partition;
}

const struct ing_store_figures *ing_partition_figures(const struct ing_partition *partition)
{
    return ing_store_figures(partition->store);
}

void ing_partition_log(struct ing_partition *partition, const struct mrd_log_state *log)
{
    atomic_store_explicit(&partition->log_first, log->sequence_first, memory_order_relaxed);
    atomic_store_explicit(&partition->log_age_ms, log->age_ms_max, memory_order_relaxed);
}

void ing_partition_progress(struct ing_partition *partition, struct ing_partition_progress *out)
{
    struct mrd_log_reader_stats reader;
    mrd_log_reader_stats(partition->reader, &reader);
    pthread_mutex_lock(&partition->gate_lock);
    const size_t queued = partition->gate_entries;
    pthread_mutex_unlock(&partition->gate_lock);
    *out = (struct ing_partition_progress){
        .applied = ing_partition_applied(partition), /* acquire: first, what follows is no older */
        .sequence_first = atomic_load_explicit(&ing_partition_figures(partition)->sequence_first,
                                               memory_order_relaxed),
        .lag = reader.pending + queued,
        .caught_up = atomic_load_explicit(&partition->caught_up, memory_order_relaxed),
        .attached = reader.attached,
        .over_budget = atomic_load_explicit(&partition->over_budget, memory_order_relaxed),
        .rewinds = atomic_load_explicit(&partition->rewinds, memory_order_relaxed),
        .sequences_missing = reader.missing,
    };
}
