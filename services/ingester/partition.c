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
    REFERENCES_KEPT_MS = 155 * 60 * 1000, /* compactor.references_kept, where it is safe */
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
        log_tag; /* whose sequence that is; release after it, acquire before it; 0: none's */
    _Atomic bool over_budget;
    _Atomic bool caught_up;
    _Atomic uint64_t rewinds;
    _Atomic mrd_time_ms log_age_ms; /* relaxed: a figure by itself, and so are the next three */
    _Atomic uint64_t readings;      /* times that the reader has begun to read */
    _Atomic uint64_t sure;     /* the last of them for which the log was found to have a mark */
    _Atomic uint64_t doubtful; /* and to have not */

    pthread_mutex_t gate_lock; /* guards the gate; and the sleep of those who wait for `applied` */
    pthread_cond_t gate_open;
    pthread_cond_t applied_changed;
    size_t gate_entries;
    size_t gate_bytes;
    size_t waiters;
    struct mrd_log_identity log; /* that was applied last; the shard alone changes it */
    struct { /* by the reader: what was not handed out of the log up to there is not in it */
        struct mrd_log_identity log;
        uint64_t sequence;
    } passed;
    struct { /* where the log begins, by the owner */
        struct mrd_log_identity log;
        uint64_t first;
    } begins;
    bool closing;
    struct mrd_log_limit quarantine_limit;
};

/* ---- the gate: how far the reader may run ahead ---- */

static bool is_same(struct mrd_log_identity a, struct mrd_log_identity b)
{
    return a.created_ns == b.created_ns && a.base == b.base;
}

static bool gate_enter(struct ing_partition *partition, const struct mrd_log_entry *entry)
{
    const size_t bytes = entry->payload.size;
    pthread_mutex_lock(&partition->gate_lock);
    while (!partition->closing && partition->gate_entries > 0 &&
           (partition->gate_entries >= ING_ENTRIES_MAX ||
            partition->gate_bytes + bytes > ING_ENTRY_BYTES_MAX)) {
        pthread_cond_wait(&partition->gate_open, &partition->gate_lock);
    }
    const bool open = !partition->closing;
    partition->gate_entries += open ? 1 : 0;
    partition->gate_bytes += open ? bytes : 0;
    if (!is_same(partition->passed.log, entry->log)) { /* it was of a log before this one */
        partition->passed.sequence = 0;
    }
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

/* On the shard: all up to there of this log is applied. No longer 0 as a tag before the sequence is of this log. */
static void set_applied(struct ing_partition *partition, struct mrd_log_identity log,
                        uint64_t sequence)
{
    if (!is_same(partition->log, log)) {
        atomic_store_explicit(&partition->log_tag, 0, memory_order_release);
        atomic_store_explicit(&partition->applied, sequence, memory_order_release);
        atomic_store_explicit(&partition->log_tag, mrd_log_identity_tag(log), memory_order_release);
        partition->log = log;
    } else {
        atomic_store_explicit(&partition->applied, sequence, memory_order_release);
    }
}

/* What the log does not have any more counts as applied, once all that came before is: else who waits for a log's end would wait for
 * ever where the log was trimmed to its end. On the shard's or the reader's thread; that the log has become another is the shard's
 * to say. */
static void pass_over(struct ing_partition *partition, bool on_shard)
{
    pthread_mutex_lock(&partition->gate_lock);
    const struct mrd_log_identity log = partition->passed.log;
    const uint64_t passed = partition->passed.sequence;
    const bool same = is_same(partition->log, log);
    if (partition->gate_entries == 0 && passed > 0) {
        if (same && passed > ing_partition_applied(partition)) {
            atomic_store_explicit(&partition->applied, passed, memory_order_release);
        } else if (!same && on_shard) {
            ing_store_begin(partition->store, log, passed + 1);
            set_applied(partition, log, passed);
        }
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

/* ing_position.unknown_before_ms. A log that forgets by age is one without blocks; one of which nothing is known yet is not taken for one. */
static mrd_time_ms unknown_before_ms(const struct ing_partition *partition)
{
    const mrd_time_ms now_ms = mrd_clock_now_ms(partition->options.clock);
    if (atomic_load_explicit(&partition->log_age_ms, memory_order_relaxed) > 0) {
        return 0;
    }
    return now_ms - REFERENCES_KEPT_MS;
}

/* False: over the budget, the entry stays. */
static bool entry_apply(struct ing_partition *partition, struct entry_message *message)
{
    struct mrd_error err = {0};
    const struct mrd_log_entry *entry = &message->entry;
    const struct ing_position position = {.log = entry->log,
                                          .sequence = entry->sequence,
                                          .missing_before = entry->missing_before,
                                          .stored_ms = entry->stored_ms,
                                          .erased_known = entry->erased_known,
                                          .erased = entry->erased,
                                          .unknown_before_ms = unknown_before_ms(partition)};
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
    pthread_mutex_lock(&partition->gate_lock);
    set_applied(partition, entry->log, entry->sequence);
    pthread_mutex_unlock(&partition->gate_lock);
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

/* Where the log that the head has read begins; 0: not known. */
static uint64_t log_begins(struct ing_partition *partition)
{
    pthread_mutex_lock(&partition->gate_lock);
    const uint64_t first =
        is_same(partition->begins.log, partition->log) ? partition->begins.first : 0;
    pthread_mutex_unlock(&partition->gate_lock);
    return first;
}

static void on_tidy(struct mrd_shard *shard, struct mrd_shard_timer *timer)
{
    mrd_shard_assert_on(shard);
    struct ing_partition *partition = mrd_shard_context(shard);
    const bool live = atomic_load_explicit(&partition->caught_up, memory_order_relaxed);
    pass_over(partition, true);
    const mrd_time_ms now_ms = live ? mrd_clock_now_ms(partition->options.clock) : 0;
    ing_store_trimmed(partition->store, log_begins(partition));
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
    if (!gate_enter(partition, entry)) {
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

static void on_passed(void *context, struct mrd_log_identity log, uint64_t sequence)
{
    struct ing_partition *partition = context;
    pthread_mutex_lock(&partition->gate_lock);
    partition->passed.log = log;
    partition->passed.sequence = sequence;
    pthread_mutex_unlock(&partition->gate_lock);
    pass_over(partition, false);
}

static void on_event(void *context, enum mrd_log_event event, const char *text)
{
    struct ing_partition *partition = context;
    const struct mrd_log_field number =
        mrd_log_uint("partition", partition->options.store.partition);
    switch (event) {
    case MRD_LOG_RESUMED:
        atomic_fetch_add_explicit(&partition->readings, 1, memory_order_relaxed);
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

/* One that waits for its turn in the shard's queue. Its caller may leave it there, until it has begun; then the shard frees it and touches
 * nothing else. */
struct posted_ask {
    struct ask_message ask; /* first */
    pthread_mutex_t lock;   /* guards the state */
    pthread_cond_t changed;
    enum { ASK_WAITS, ASK_RUNS, ASK_DONE, ASK_LEFT } state;
};

static struct posted_ask *posted_create(const struct ask_message *ask)
{
    struct posted_ask *posted = calloc(1, sizeof(*posted));
    mrd_assert(posted != NULL);
    posted->ask = *ask;
    pthread_mutex_init(&posted->lock, NULL);
    mrd_cond_init(&posted->changed);
    return posted;
}

static void posted_destroy(struct posted_ask *posted)
{
    pthread_cond_destroy(&posted->changed);
    pthread_mutex_destroy(&posted->lock);
    free(posted);
}

static void posted_run(struct mrd_shard *shard, struct mrd_shard_message *base)
{
    struct posted_ask *posted = (struct posted_ask *)base;
    pthread_mutex_lock(&posted->lock);
    const bool left = posted->state == ASK_LEFT;
    posted->state = ASK_RUNS;
    pthread_mutex_unlock(&posted->lock);
    if (left) {
        posted_destroy(posted);
        return;
    }
    ask_here_run(shard, base);
    pthread_mutex_lock(&posted->lock);
    posted->state = ASK_DONE;
    pthread_cond_signal(&posted->changed);
    pthread_mutex_unlock(&posted->lock);
}

/* True: it has been done. False: it is time to look; *out_waits: it has not begun. */
static bool posted_wait(struct posted_ask *posted, bool *out_waits)
{
    const int64_t until_ns = mrd_clock_monotonic_ns(mrd_clock_system()) + WAIT_LOOK_MS * MS;
    const struct timespec until = mrd_cond_time(until_ns);
    int waited = 0;
    pthread_mutex_lock(&posted->lock);
    while (posted->state != ASK_DONE && waited == 0) {
        waited = pthread_cond_timedwait(&posted->changed, &posted->lock, &until);
    }
    const bool done = posted->state == ASK_DONE;
    *out_waits = posted->state == ASK_WAITS;
    pthread_mutex_unlock(&posted->lock);
    return done;
}

/* True: it had not begun, and is the shard's from now on. */
static bool posted_leave(struct posted_ask *posted)
{
    pthread_mutex_lock(&posted->lock);
    const bool left = posted->state == ASK_WAITS;
    posted->state = left ? ASK_LEFT : posted->state;
    pthread_mutex_unlock(&posted->lock);
    return left;
}

/* What reads in the background has all the time; what does not yet is short, or lets others in. */
static bool post(struct mrd_shard *shard, struct mrd_shard_message *message, bool reads)
{
    return !reads                       ? mrd_shard_post(shard, message)
           : mrd_thread_in_background() ? mrd_shard_post_patient(shard, message)
                                        : mrd_shard_post_urgent(shard, message);
}

static enum mrd_status ask_posted(const struct ask_message *message)
{
    struct posted_ask *posted = posted_create(message);
    posted->ask.message.run = posted_run;
    if (!post(message->partition->shard, &posted->ask.message, message->ask->reads)) {
        posted_destroy(posted);
        return mrd_fail(message->err, MRD_E_UNAVAILABLE,
                        "partition %" PRIu32 ": too many questions wait, or it closes",
                        message->partition->options.store.partition);
    }
    bool waits = false;
    while (!posted_wait(posted, &waits)) {
        const enum mrd_status look =
            waits ? mrd_look(&message->ask->look, message->err) : MRD_OK; /* else its run looks */
        if (look != MRD_OK && posted_leave(posted)) {
            return look;
        }
    }
    const enum mrd_status status = posted->ask.status;
    posted_destroy(posted);
    return status;
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

struct close_message {
    struct mrd_shard_message message; /* first */
    struct mrd_head_cursor *cursor;
    bool posted;
};

static void close_run(struct mrd_shard *shard, struct mrd_shard_message *base)
{
    (void)shard;
    struct close_message *message = (struct close_message *)base;
    mrd_head_cursor_destroy(&message->cursor);
    if (message->posted) {
        free(message);
    }
}

void ing_partition_cursor_close(struct ing_partition *partition, struct mrd_head_cursor **cursor)
{
    struct close_message here = {
        .message = {.run = close_run, .shared = true},
          .cursor = MRD_MOVE(*cursor)
    };
    if (!mrd_thread_in_background() && mrd_shard_try_run(partition->shard, &here.message)) {
        return;
    }
    struct close_message *posted = malloc(sizeof(*posted));
    mrd_assert(posted != NULL);
    *posted = here;
    posted->posted = true;
    while (!post(partition->shard, &posted->message, true)) {
        const struct timespec pause = {.tv_nsec = 10 * MS};
        nanosleep(&pause, NULL); /* the queue is full; the partition cannot close under us */
    }
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

void ing_partition_stand_back(struct ing_partition *partition)
{
    mrd_shard_stand_back(partition->shard);
}

uint64_t ing_partition_applied(const struct ing_partition *partition)
{
    return atomic_load_explicit(&partition->applied, memory_order_acquire);
}

bool ing_partition_reached(const struct ing_partition *partition, uint64_t tag, uint64_t sequence)
{
    const bool of_log =
        tag == 0 || atomic_load_explicit(&partition->log_tag, memory_order_acquire) == tag;
    return of_log && ing_partition_applied(partition) >= sequence;
}

enum mrd_status ing_partition_wait(struct ing_partition *partition, uint64_t tag, uint64_t sequence,
                                   int64_t deadline_ns, bool (*ended)(const void *context),
                                   const void *context, struct mrd_error *err)
{
    pthread_mutex_lock(&partition->gate_lock);
    partition->waiters++;
    bool stop = false;
    while (!ing_partition_reached(partition, tag, sequence) && !stop && !partition->closing) {
        const int64_t now_ns = mrd_clock_monotonic_ns(mrd_clock_system());
        const int64_t until_ns = MRD_MIN(deadline_ns, now_ns + WAIT_LOOK_MS * MS);
        const struct timespec until = mrd_cond_time(until_ns);
        pthread_cond_timedwait(&partition->applied_changed, &partition->gate_lock, &until);
        stop = ended(context) || now_ns >= deadline_ns;
    }
    partition->waiters--;
    const bool reached = ing_partition_reached(partition, tag, sequence);
    const uint64_t have = ing_partition_applied(partition);
    const bool another = tag != 0 && tag != mrd_log_identity_tag(partition->log);
    pthread_mutex_unlock(&partition->gate_lock);
    if (reached) {
        return MRD_OK;
    }
    return mrd_fail(err, MRD_E_TIMEOUT,
                    "strong read: partition %" PRIu32 " has applied its log up to %" PRIu64
                    ", asked for is %" PRIu64 "%s",
                    partition->options.store.partition, have, sequence,
                    another ? " of another log" : "");
}

/* ---- what is held of which log ---- */

/* A log that has the mark has had all that was built before, and what is built of it later is looked up by the builder. So once is enough, as long
 * as the reader stays where it is: a log that is restored takes its consumer away. */
static enum mrd_status check_mark(struct ing_partition *partition, struct mrd_log_mark mark,
                                  const struct mrd_look *look, struct mrd_error *err)
{
    const uint64_t reading = atomic_load_explicit(&partition->readings, memory_order_relaxed);
    const uint64_t sure = atomic_load_explicit(&partition->sure, memory_order_relaxed);
    if (mark.sequence == 0 || (reading > 0 && sure == reading)) {
        return MRD_OK;
    }
    struct mrd_error why;
    bool has;
    const enum mrd_status status =
        mrd_log_mark_check(partition->options.bus, partition->options.store.partition, mark,
                           LOG_STATE_TIMEOUT_MS, look, &has, &why, err);
    if (status == MRD_E_CANCELED || status == MRD_E_TIMEOUT) {
        return status;
    }
    if (status != MRD_OK) {
        return mrd_fail_prefix(err, MRD_E_UNAVAILABLE, "partition %" PRIu32,
                               partition->options.store.partition);
    }
    atomic_store_explicit(has ? &partition->sure : &partition->doubtful, reading,
                          memory_order_relaxed);
    if (has) {
        return MRD_OK;
    }
    MRD_LOG_EVERY(1000, MRD_LEVEL_ERROR, "the log is not the one that blocks were built of",
                  mrd_log_uint("partition", partition->options.store.partition),
                  mrd_log_error(&why));
    return mrd_fail(err, MRD_E_UNAVAILABLE, "partition %" PRIu32 ": %s (mrdctl log status)",
                    partition->options.store.partition, why.text);
}

enum mrd_status ing_partition_held(struct ing_partition *partition, uint64_t tag,
                                   struct mrd_log_mark mark, const struct mrd_look *look,
                                   uint64_t *out_held, struct mrd_error *err)
{
    const struct ing_held held = ing_store_held(ing_partition_figures(partition));
    if (tag != 0 && tag != mrd_log_identity_tag(held.log)) {
        return mrd_fail(err, MRD_E_UNAVAILABLE,
                        "the head of partition %" PRIu32
                        " has read another log than what is asked for goes by (mrdctl log status)",
                        partition->options.store.partition);
    }
    MRD_TRY(check_mark(partition, mark, look, err));
    *out_held = held.held;
    return MRD_OK;
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

static enum mrd_status let_in_run(void *context, struct mrd_error *err)
{
    (void)err;
    ing_partition_let_urgent(context);
    return MRD_OK;
}

/* An empty log has no entry that would say where the head begins. What cannot be read is found out with the first entry. */
static void look_at_log(struct ing_partition *partition)
{
    struct mrd_log_state log;
    if (mrd_log_state_read(partition->options.bus, partition->options.store.partition,
                           LOG_STATE_TIMEOUT_MS, &log, NULL) != MRD_OK) {
        return;
    }
    ing_partition_log(partition, &log);
    if (log.messages == 0) {
        ing_store_begin(partition->store, log.identity, log.sequence_first);
        set_applied(partition, log.identity, log.sequence_last);
    }
}

enum mrd_status ing_partition_create(const struct ing_partition_options *options,
                                     struct ing_partition **out_partition, struct mrd_error *err)
{
    struct ing_partition *partition = calloc(1, sizeof(*partition));
    mrd_assert(partition != NULL);
    partition->options = *options;
    partition->held_last = &partition->held;
    pthread_mutex_init(&partition->gate_lock, NULL);
    pthread_cond_init(&partition->gate_open, NULL);
    mrd_cond_init(&partition->applied_changed);
    partition->options.store.let_in = (struct mrd_look){let_in_run, partition};
    enum mrd_status status = ing_store_create(&partition->options.store, &partition->store, err);
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
    pthread_mutex_lock(&partition->gate_lock);
    partition->begins.log = log->identity;
    partition->begins.first = log->sequence_first;
    pthread_mutex_unlock(&partition->gate_lock);
    atomic_store_explicit(&partition->log_age_ms, log->age_ms_max, memory_order_relaxed);
}

void ing_partition_progress(struct ing_partition *partition, struct ing_partition_progress *out)
{
    struct mrd_log_reader_stats reader;
    mrd_log_reader_stats(partition->reader, &reader);
    struct ing_held held = ing_store_held(ing_partition_figures(partition));
    const uint64_t doubtful = atomic_load_explicit(&partition->doubtful, memory_order_relaxed);
    pthread_mutex_lock(&partition->gate_lock);
    const size_t queued = partition->gate_entries;
    const uint64_t applied = ing_partition_applied(partition);
    if (!is_same(held.log, partition->log)) { /* the store is one entry ahead */
        held = (struct ing_held){0};
    } else if (doubtful != 0 &&
               doubtful == atomic_load_explicit(&partition->readings, memory_order_relaxed)) {
        held.first = 0;
    }
    pthread_mutex_unlock(&partition->gate_lock);
    *out = (struct ing_partition_progress){
        .log = held.log,
        .applied = applied,
        .sequence_first = held.first,
        .lag = reader.pending + queued,
        .caught_up = atomic_load_explicit(&partition->caught_up, memory_order_relaxed),
        .attached = reader.attached,
        .over_budget = atomic_load_explicit(&partition->over_budget, memory_order_relaxed),
        .rewinds = atomic_load_explicit(&partition->rewinds, memory_order_relaxed),
        .sequences_missing = reader.missing,
    };
}
