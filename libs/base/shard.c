#include "base/shard.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"

enum {
    SHARD_QUEUE_MAX_DEFAULT = 65536,
    URGENT_DEPTH_MAX = 4, /* of urgent messages that let others in */
};

/* `waiting` counts messages from before they are pushed until they are taken; its top bit says that
 * the shard stops. A post that has been counted before the bit was set is still pushed and run, so the
 * thread ends only when the bit stands alone. */
#define SHARD_STOPPING ((uint64_t)1 << 63)

/* How whoever is the shard holds its state at the moment. */
enum shard_hold { HOLD_NONE, HOLD_SHARED, HOLD_ALONE };

struct timer_heap {
    struct mrd_shard_timer **items; /* [0] is unused; the earliest deadline is [1] */
    size_t count;
    size_t capacity;
};

struct mrd_shard {
    struct mrd_shard_config config;

    /* Written by posters. */
    _Alignas(64) _Atomic(struct mrd_shard_message *) newest; /* a stack; the shard reverses it */
    _Atomic(struct mrd_shard_message *) newest_urgent;       /* the same */
    _Atomic(struct mrd_shard_message *) newest_patient;
    _Atomic uint64_t waiting;

    /* Written by the shard before it sleeps, cleared by the poster that wakes it. */
    _Alignas(64) _Atomic bool sleeping;
    int wake_fd;

    /* Of whoever is the shard at the moment: its thread in a batch, or a caller that it is lent to. */
    _Alignas(64) pthread_mutex_t turn; /* guards the following */
    struct timer_heap timers;
    int64_t now_ns;
    bool started; /* on_start has run */
    unsigned urgent_depth;
    struct mrd_shard_message *patient; /* taken and not run, oldest first; of the shard's thread */
    bool passed_over;                  /* something else went before the oldest patient one */
    int64_t stood_back_ns;
    enum shard_hold hold;
    pthread_t runner;
    _Atomic(pthread_t *) thread_id; /* points to runner; NULL before it starts */
    bool stepped;

    pthread_rwlock_t state; /* taken inside the turn, and by those that read */
    _Atomic bool
        changing; /* it is held alone or to be: nobody begins to read; relaxed, a mere courtesy */

    pthread_t thread;
    bool joined;
};

struct mrd_shard_role mrd_shard_thread;

/* ---- timers: a binary min-heap of intrusive entries ---- */

static void heap_put(struct timer_heap *heap, size_t index, struct mrd_shard_timer *timer)
{
    heap->items[index] = timer;
    timer->heap_index = index;
}

static void heap_up(struct timer_heap *heap, size_t index)
{
    struct mrd_shard_timer *timer = heap->items[index];
    for (; index > 1 && heap->items[index / 2]->deadline_ns > timer->deadline_ns; index /= 2) {
        heap_put(heap, index, heap->items[index / 2]);
    }
    heap_put(heap, index, timer);
}

static void heap_down(struct timer_heap *heap, size_t index)
{
    struct mrd_shard_timer *timer = heap->items[index];
    for (;;) {
        size_t child = index * 2;
        if (child > heap->count) {
            break;
        }
        if (child < heap->count &&
            heap->items[child + 1]->deadline_ns < heap->items[child]->deadline_ns) {
            child++;
        }
        if (heap->items[child]->deadline_ns >= timer->deadline_ns) {
            break;
        }
        heap_put(heap, index, heap->items[child]);
        index = child;
    }
    heap_put(heap, index, timer);
}

static void heap_add(struct timer_heap *heap, struct mrd_shard_timer *timer)
{
    if (heap->count + 1 >= heap->capacity) {
        heap->capacity = heap->capacity == 0 ? 16 : heap->capacity * 2;
        heap->items = realloc(heap->items, heap->capacity * sizeof(struct mrd_shard_timer *));
        mrd_assert(heap->items != NULL);
    }
    heap->count++;
    heap_put(heap, heap->count, timer);
    heap_up(heap, heap->count);
}

static void heap_remove(struct timer_heap *heap, struct mrd_shard_timer *timer)
{
    const size_t index = timer->heap_index;
    struct mrd_shard_timer *last = heap->items[heap->count];
    heap->count--;
    timer->heap_index = 0;
    if (last == timer) {
        return;
    }
    heap_put(heap, index, last);
    heap_up(heap, index);
    heap_down(heap, last->heap_index);
}

void mrd_shard_timer_start(struct mrd_shard *shard, struct mrd_shard_timer *timer,
                           int64_t deadline_ns)
{
    mrd_assert(timer->fire != NULL);
    mrd_shard_timer_stop(shard, timer);
    timer->deadline_ns = deadline_ns;
    heap_add(&shard->timers, timer);
}

void mrd_shard_timer_stop(struct mrd_shard *shard, struct mrd_shard_timer *timer)
{
    if (timer->heap_index != 0) {
        mrd_assert(timer->heap_index <= shard->timers.count);
        mrd_assert(shard->timers.items[timer->heap_index] == timer);
        heap_remove(&shard->timers, timer);
    }
}

/* ---- the state: the turn is held ---- */

static void hold_set(struct mrd_shard *shard, enum shard_hold hold)
{
    if (shard->hold != HOLD_NONE) {
        pthread_rwlock_unlock(&shard->state);
    }
    if (hold == HOLD_ALONE) {
        atomic_store_explicit(&shard->changing, true, memory_order_relaxed);
        pthread_rwlock_wrlock(&shard->state);
    } else if (hold == HOLD_SHARED) {
        pthread_rwlock_rdlock(&shard->state);
    }
    if (hold != HOLD_ALONE && shard->hold == HOLD_ALONE) {
        atomic_store_explicit(&shard->changing, false, memory_order_relaxed);
    }
    shard->hold = hold;
}

static size_t timers_fire(struct mrd_shard *shard)
{
    const size_t fired_max = shard->timers.count; /* one that starts itself anew waits its turn */
    size_t fired = 0;
    while (fired < fired_max && shard->timers.count > 0 &&
           shard->timers.items[1]->deadline_ns <= shard->now_ns) {
        struct mrd_shard_timer *timer = shard->timers.items[1];
        heap_remove(&shard->timers, timer);
        hold_set(shard, HOLD_ALONE);
        timer->fire(shard, timer);
        hold_set(shard, HOLD_NONE);
        fired++;
    }
    return fired;
}

/* ---- messages ---- */

static void shard_wake(struct mrd_shard *shard)
{
    const uint64_t one = 1;
    ssize_t written;
    do {
        written = write(shard->wake_fd, &one, sizeof(one));
    } while (written < 0 && errno == EINTR);
}

/* False: the queue is full or the shard stops. */
static bool post_count(struct mrd_shard *shard)
{
    const uint64_t waiting = atomic_fetch_add_explicit(&shard->waiting, 1, memory_order_relaxed);
    if (mrd_unlikely(waiting >= shard->config.queue_max)) { /* full, or the stopping bit is set */
        atomic_fetch_sub_explicit(&shard->waiting, 1, memory_order_relaxed);
        if ((waiting & SHARD_STOPPING) != 0) {
            shard_wake(shard); /* it may have seen our count and wait for a message */
        }
        return false;
    }
    return true;
}

static bool post_to(struct mrd_shard *shard, _Atomic(struct mrd_shard_message *) *stack,
                    struct mrd_shard_message *message)
{
    if (!post_count(shard)) {
        return false;
    }
    struct mrd_shard_message *newest = atomic_load_explicit(stack, memory_order_relaxed);
    do {
        message->next = newest;
        /* Release: pairs with the acquire in stack_take. Sequentially consistent with `sleeping`:
         * either we see that the shard sleeps, or it sees our message before it does. */
    } while (!atomic_compare_exchange_weak_explicit(stack, &newest, message, memory_order_seq_cst,
                                                    memory_order_relaxed));
    if (newest == NULL && atomic_load_explicit(&shard->sleeping, memory_order_seq_cst) &&
        atomic_exchange_explicit(&shard->sleeping, false, memory_order_relaxed)) {
        shard_wake(shard);
    }
    return true;
}

bool mrd_shard_post(struct mrd_shard *shard, struct mrd_shard_message *message)
{
    return post_to(shard, &shard->newest, message);
}

bool mrd_shard_post_urgent(struct mrd_shard *shard, struct mrd_shard_message *message)
{
    return post_to(shard, &shard->newest_urgent, message);
}

bool mrd_shard_post_patient(struct mrd_shard *shard, struct mrd_shard_message *message)
{
    return post_to(shard, &shard->newest_patient, message);
}

/* All messages of the stack, oldest first; they count as waiting no longer. */
static struct mrd_shard_message *stack_take(struct mrd_shard *shard,
                                            _Atomic(struct mrd_shard_message *) *stack)
{
    if (atomic_load_explicit(stack, memory_order_relaxed) == NULL) {
        return NULL;
    }
    struct mrd_shard_message *newest = atomic_exchange_explicit(stack, NULL, memory_order_acquire);
    struct mrd_shard_message *oldest = NULL;
    uint64_t count = 0;
    for (; newest != NULL; count++) {
        struct mrd_shard_message *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    atomic_fetch_sub_explicit(&shard->waiting, count, memory_order_relaxed);
    return oldest;
}

/* In the middle of another one, that one's hold will do, if it is not too weak: then the other one has it again afterwards. */
static void message_run(struct mrd_shard *shard, struct mrd_shard_message *message)
{
    const enum shard_hold before = shard->hold;
    const enum shard_hold need = message->shared ? HOLD_SHARED : HOLD_ALONE;
    if (before < need) {
        hold_set(shard, need);
    }
    message->run(shard, message); /* the message may be gone after this */
    if (before < need) {
        hold_set(shard, before);
    }
}

bool mrd_shard_try_read(struct mrd_shard *shard, void (*read)(void *context), void *context)
{
    if (atomic_load_explicit(&shard->changing, memory_order_relaxed) ||
        pthread_rwlock_tryrdlock(&shard->state) != 0) {
        return false;
    }
    const bool started = shard->started;
    if (started) {
        read(context);
    }
    pthread_rwlock_unlock(&shard->state);
    return started;
}

/* ---- batches ---- */

/* Those that wait now: however many come, what is not urgent goes on after them. */
static size_t urgent_run(struct mrd_shard *shard)
{
    size_t ran = 0;
    shard->urgent_depth++;
    for (struct mrd_shard_message *message = stack_take(shard, &shard->newest_urgent);
         message != NULL; ran++) {
        struct mrd_shard_message *next = message->next;
        message_run(shard, message);
        message = next;
    }
    shard->urgent_depth--;
    return ran;
}

void mrd_shard_let_urgent(struct mrd_shard *shard)
{
    if (mrd_unlikely(atomic_load_explicit(&shard->newest_urgent, memory_order_relaxed) != NULL) &&
        shard->urgent_depth < URGENT_DEPTH_MAX) {
        (void)urgent_run(shard);
    }
}

void mrd_shard_stand_back(struct mrd_shard *shard)
{
    if (shard->hold == HOLD_ALONE || /* nobody can read beside it */
        atomic_load_explicit(&shard->newest, memory_order_relaxed) != NULL ||
        atomic_load_explicit(&shard->newest_urgent, memory_order_relaxed) != NULL) {
        return;
    }
    const int64_t now_ns = mrd_clock_monotonic_ns(shard->config.clock);
    if (now_ns - shard->stood_back_ns >= MRD_SHARD_STAND_BACK_US * (int64_t)1000) {
        shard->stood_back_ns = now_ns;
        (void)sched_yield();
    }
}

/* One at most, so that all others that have come meanwhile go before the next one. What came while the batch ran goes before it
 * too, but once only: a shard that never has nothing to do gets to all of them. */
static size_t patient_run(struct mrd_shard *shard)
{
    if (shard->patient == NULL) {
        shard->patient = stack_take(shard, &shard->newest_patient);
    }
    struct mrd_shard_message *message = shard->patient;
    if (message == NULL) {
        return 0;
    }
    const bool others = atomic_load_explicit(&shard->newest, memory_order_relaxed) != NULL ||
                        atomic_load_explicit(&shard->newest_urgent, memory_order_relaxed) != NULL;
    shard->passed_over = others && !shard->passed_over;
    if (shard->passed_over) {
        return 0;
    }
    shard->patient = message->next;
    message_run(shard, message);
    return 1;
}

static size_t messages_run(struct mrd_shard *shard)
{
    size_t ran = urgent_run(shard);
    for (struct mrd_shard_message *message = stack_take(shard, &shard->newest); message != NULL;
         ran++) {
        struct mrd_shard_message *next = message->next;
        message_run(shard, message);
        ran += urgent_run(shard);
        message = next;
    }
    return ran + patient_run(shard);
}

/* Takes the shard's place, before on_start if need be. */
static void shard_enter(struct mrd_shard *shard)
{
    pthread_mutex_lock(&shard->turn);
    shard->runner = pthread_self();
    atomic_store_explicit(&shard->thread_id, &shard->runner, memory_order_release);
    shard->now_ns = mrd_clock_monotonic_ns(shard->config.clock);
    if (!shard->started) {
        hold_set(shard, HOLD_ALONE);
        shard->started = true;
        if (shard->config.on_start != NULL) {
            shard->config.on_start(shard);
        }
        hold_set(shard, HOLD_NONE);
    }
}

static void shard_leave(struct mrd_shard *shard) { pthread_mutex_unlock(&shard->turn); }

static void batch_end(struct mrd_shard *shard)
{
    if (shard->config.on_batch != NULL) {
        shard->config.on_batch(shard);
    }
}

static size_t shard_run_batch(struct mrd_shard *shard)
{
    shard_enter(shard);
    const size_t ran = timers_fire(shard) + messages_run(shard);
    if (ran > 0) {
        batch_end(shard);
    }
    shard_leave(shard);
    return ran;
}

/* The turn is taken. */
static int64_t earliest_ns(const struct mrd_shard *shard)
{
    return shard->timers.count > 0 ? shard->timers.items[1]->deadline_ns : INT64_MAX;
}

bool mrd_shard_try_run(struct mrd_shard *shard, struct mrd_shard_message *message)
{
    if (atomic_load_explicit(&shard->waiting, memory_order_relaxed) != 0 ||
        pthread_mutex_trylock(&shard->turn) != 0) {
        return false;
    }
    /* Looked at again in the shard's place: messages that wait go first, and one that stops takes no more. */
    const bool lent =
        shard->started && atomic_load_explicit(&shard->waiting, memory_order_relaxed) == 0;
    if (lent) {
        shard->runner = pthread_self();
        shard->now_ns = mrd_clock_monotonic_ns(shard->config.clock);
        const int64_t earliest_before_ns = earliest_ns(shard);
        message_run(shard, message);
        batch_end(shard);
        if (earliest_ns(shard) < earliest_before_ns) {
            shard_wake(shard); /* it sleeps until another time */
        }
    }
    shard_leave(shard);
    return lent;
}

/* ---- the thread ---- */

static bool nothing_waits(const struct mrd_shard *shard, memory_order order)
{
    return shard->patient == NULL && atomic_load_explicit(&shard->newest, order) == NULL &&
           atomic_load_explicit(&shard->newest_urgent, order) == NULL &&
           atomic_load_explicit(&shard->newest_patient, order) == NULL;
}

static bool shard_may_end(const struct mrd_shard *shard)
{
    return atomic_load_explicit(&shard->waiting, memory_order_acquire) == SHARD_STOPPING;
}

/* Sleeps until a message comes or the earliest timer is due. */
static void shard_sleep(struct mrd_shard *shard)
{
    atomic_store_explicit(&shard->sleeping, true, memory_order_seq_cst);
    if (nothing_waits(shard, memory_order_seq_cst) && !shard_may_end(shard)) {
        struct timespec timeout = {0, 0};
        const struct timespec *wait = NULL;
        pthread_mutex_lock(&shard->turn);
        const int64_t deadline_ns = earliest_ns(shard);
        pthread_mutex_unlock(&shard->turn);
        if (deadline_ns != INT64_MAX) {
            const int64_t left_ns = deadline_ns - mrd_clock_monotonic_ns(shard->config.clock);
            if (left_ns > 0) {
                timeout.tv_sec = left_ns / 1000000000;
                timeout.tv_nsec = left_ns % 1000000000;
            }
            wait = &timeout;
        }
        struct pollfd wake = {.fd = shard->wake_fd, .events = POLLIN};
        if (ppoll(&wake, 1, wait, NULL) > 0) {
            uint64_t count;
            const ssize_t got = read(shard->wake_fd, &count, sizeof(count));
            (void)got; /* nothing there is as good */
        }
    }
    atomic_store_explicit(&shard->sleeping, false, memory_order_relaxed);
}

static void shard_stopped(struct mrd_shard *shard)
{
    if (shard->config.on_stop != NULL) {
        shard_enter(shard);
        hold_set(shard, HOLD_ALONE);
        shard->config.on_stop(shard);
        hold_set(shard, HOLD_NONE);
        shard_leave(shard);
    }
}

static void *shard_main(void *argument)
{
    struct mrd_shard *shard = argument;
    mrd_thread_name_set(shard->config.name);
    while (shard_run_batch(shard) > 0 || !shard_may_end(shard)) {
        if (nothing_waits(shard, memory_order_relaxed)) {
            shard_sleep(shard);
        }
    }
    shard_stopped(shard);
    return NULL;
}

void mrd_shard_assert_on(const struct mrd_shard *shard)
{
    /* Acquire: pairs with the release in shard_enter; later changes of `runner` are ordered by the turn. */
    const pthread_t *id = atomic_load_explicit(&shard->thread_id, memory_order_acquire);
    mrd_assert(id != NULL);
    mrd_assert(pthread_equal(*id, pthread_self()));
}

size_t mrd_shard_step(struct mrd_shard *shard)
{
    mrd_assert(shard->stepped);
    return shard_run_batch(shard);
}

/* ---- life ---- */

static enum mrd_status shard_make(const struct mrd_shard_config *config,
                                  struct mrd_shard **out_shard, struct mrd_error *err)
{
    const int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_fd < 0) {
        return mrd_fail_errno(err, MRD_E_UNAVAILABLE, "shard %s: eventfd", config->name);
    }
    struct mrd_shard *shard = aligned_alloc(_Alignof(struct mrd_shard), sizeof(*shard));
    mrd_assert(shard != NULL);
    memset(shard, 0, sizeof(*shard));
    pthread_mutex_init(&shard->turn, NULL);
    pthread_rwlock_init(&shard->state, NULL);
    shard->config = *config;
    shard->wake_fd = wake_fd;
    if (config->queue_max == 0) {
        shard->config.queue_max = SHARD_QUEUE_MAX_DEFAULT;
    }
    if (config->clock == NULL) {
        shard->config.clock = mrd_clock_system();
    }
    shard->now_ns = mrd_clock_monotonic_ns(shard->config.clock);
    *out_shard = shard;
    return MRD_OK;
}

enum mrd_status mrd_shard_create_stepped(const struct mrd_shard_config *config,
                                         struct mrd_shard **out_shard, struct mrd_error *err)
{
    MRD_TRY(shard_make(config, out_shard, err));
    (*out_shard)->stepped = true;
    (*out_shard)->joined = true;
    return MRD_OK;
}

enum mrd_status mrd_shard_create(const struct mrd_shard_config *config,
                                 struct mrd_shard **out_shard, struct mrd_error *err)
{
    mrd_auto(mrd_shard_destroy)
    struct mrd_shard *shard = NULL;
    MRD_TRY(shard_make(config, &shard, err));
    const int failed = pthread_create(&shard->thread, NULL, shard_main, shard);
    if (failed != 0) {
        shard->joined = true;
        errno = failed;
        return mrd_fail_errno(err, MRD_E_UNAVAILABLE, "shard %s: thread", config->name);
    }
    *out_shard = MRD_MOVE(shard);
    return MRD_OK;
}

void mrd_shard_stop(struct mrd_shard *shard)
{
    const uint64_t before =
        atomic_fetch_or_explicit(&shard->waiting, SHARD_STOPPING, memory_order_release);
    if (shard->stepped) {
        if ((before & SHARD_STOPPING) == 0) {
            while (mrd_shard_step(shard) > 0) {}
            shard_stopped(shard);
        }
        return;
    }
    if (!shard->joined) {
        shard_wake(shard);
        mrd_assert(pthread_join(shard->thread, NULL) == 0);
        shard->joined = true;
    }
}

void mrd_shard_destroy(struct mrd_shard **shard)
{
    if (*shard == NULL) {
        return;
    }
    mrd_shard_stop(*shard);
    mrd_assert(nothing_waits(*shard, memory_order_acquire));
    close((*shard)->wake_fd);
    pthread_mutex_destroy(&(*shard)->turn);
    pthread_rwlock_destroy(&(*shard)->state);
    free((*shard)->timers.items);
    free(*shard);
    *shard = NULL;
}

size_t mrd_shard_queue_size(const struct mrd_shard *shard)
{
    return (size_t)(atomic_load_explicit(&shard->waiting, memory_order_relaxed) & ~SHARD_STOPPING);
}

void *mrd_shard_context(const struct mrd_shard *shard) { return shard->config.context; }

const struct mrd_clock *mrd_shard_clock(const struct mrd_shard *shard)
{
    return shard->config.clock;
}

int64_t mrd_shard_now_ns(const struct mrd_shard *shard) { return shard->now_ns; }
