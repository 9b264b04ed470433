/* shard.h: one thread with a message queue and timers; the only way state is shared is by message.
 *
 * A shard owns its state; nobody else touches it. Others hand it messages, whose ownership moves whole
 * with the post. A message is intrusive: embed struct mrd_shard_message in a struct of your own and
 * get back to it with MRD_CONTAINER_OF in the run function.
 *
 * Order:   messages of one poster run in the order in which it posted them; urgent ones go before all others.
 * Urgency: what must not wait for long work is posted as urgent. It runs before the next other message, and in the middle
 *          of one that lets it in (mrd_shard_let_urgent): long work does so wherever its state is whole.
 * Patience: what has all the time is posted as patient. One at a time runs, when nothing else waits at its beginning; where something
 *          always does, behind every second batch of it.
 * Lending: a shard that has nothing to do may lend its place to a caller for one message
 *          (mrd_shard_try_run), which saves both of them a wake-up. Then the caller is the shard.
 * Reading: others may read the shard's state on threads of their own, at once and several of them, while nothing changes it
 *          (mrd_shard_try_read): that is, beside messages that say of themselves that they only read.
 * Limits:  queue_max messages wait at most; a post beyond that is refused and the poster keeps the
 *          message. The shard takes all that wait as one batch, so as many again may be under way.
 * Cost:    a post is two atomic operations; it makes a system call only if the shard sleeps. A batch, and a message run in
 *          the shard's place, is a lock that is hardly ever contended.
 * Time:    timers use the shard's clock; a shard without a thread is stepped by its test.
 * Threads: each function says who may call it.
 */
#ifndef MRD_BASE_SHARD_H
#define MRD_BASE_SHARD_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/clock.h"
#include "base/threads.h"

enum { MRD_SHARD_STAND_BACK_US = 100 };

struct mrd_shard;

/* The role of any shard's own thread. */
struct MRD_ROLE_TYPE("shard thread") mrd_shard_role {
    char unused;
};
extern struct mrd_shard_role mrd_shard_thread;

struct mrd_shard_message {
    struct mrd_shard_message *next; /* the queue's while posted */
    void (*run)(struct mrd_shard *shard, struct mrd_shard_message *message);
    bool shared; /* nothing of what mrd_shard_try_read looks at is changed by run */
};

/* A timer belongs to its owner and must be stopped before it goes away. Zero-initialise. */
struct mrd_shard_timer {
    void (*fire)(struct mrd_shard *shard, struct mrd_shard_timer *timer);
    int64_t deadline_ns; /* monotonic; the shard's while started */
    size_t heap_index;   /* 1-based; 0: not started */
};

struct mrd_shard_config {
    const char *name; /* of the thread; static storage */
    size_t queue_max; /* messages waiting at most; 0: 65536 */
    const struct mrd_clock *clock;
    void *context; /* mrd_shard_context() */

    /* Optional, on the shard's thread. on_batch runs after each batch of messages and due timers,
     * before the shard looks at its queue again: the place to flush what the batch has gathered. It changes nothing that
     * mrd_shard_try_read looks at.
     * on_stop runs once, after the last message. */
    void (*on_start)(struct mrd_shard *shard);
    void (*on_batch)(struct mrd_shard *shard);
    void (*on_stop)(struct mrd_shard *shard);
};

/* Starts the thread. MRD_E_UNAVAILABLE if the system gives none. */
MRD_MUST_CHECK enum mrd_status mrd_shard_create(const struct mrd_shard_config *config,
                                                struct mrd_shard **out_shard,
                                                struct mrd_error *err);

/* A shard without a thread, for tests with a clock of their own: whoever calls mrd_shard_step is its
 * thread. */
MRD_MUST_CHECK enum mrd_status mrd_shard_create_stepped(const struct mrd_shard_config *config,
                                                        struct mrd_shard **out_shard,
                                                        struct mrd_error *err);

/* Runs all due timers and the messages that wait now (and on_batch); returns how many ran. Only for a
 * stepped shard. */
size_t mrd_shard_step(struct mrd_shard *shard);

/* Refuses further posts, lets the thread run everything that waits, runs on_stop and joins the
 * thread. Timers that are not due do not fire. Any thread but the shard's own; calling it again does
 * nothing. The shard object stays valid (posts are refused) until mrd_shard_destroy. */
void mrd_shard_stop(struct mrd_shard *shard);

/* Stops if need be, frees, sets *shard to NULL. Nobody may post any more. *shard may be NULL. */
void mrd_shard_destroy(struct mrd_shard **shard);

/* Hands the message over; any thread. False if the queue is full or the shard stops: the caller still
 * owns the message then. */
MRD_MUST_CHECK bool mrd_shard_post(struct mrd_shard *shard, struct mrd_shard_message *message);

/* As mrd_shard_post, but it goes before all that is not urgent, and into the middle of work that lets it in. It must do with
 * what such work leaves it: by convention it only reads. */
MRD_MUST_CHECK bool mrd_shard_post_urgent(struct mrd_shard *shard,
                                          struct mrd_shard_message *message);

/* As mrd_shard_post, but everything else that waits goes first, whoever has posted it when. */
MRD_MUST_CHECK bool mrd_shard_post_patient(struct mrd_shard *shard,
                                           struct mrd_shard_message *message);

/* In the middle of a message: runs the urgent ones that wait. What the caller holds of the shard's state must be whole and bear
 * to be read, before and after. They may let others in themselves, a few deep. Cost: an atomic load, if there are none. */
void mrd_shard_let_urgent(struct mrd_shard *shard);

/* In the middle of a patient message: lets other threads have the core, if no other message waits and what it holds of the state is
 * shared, and not more often than every MRD_SHARD_STAND_BACK_US. Whoever wants the core may get it for some milliseconds then, and what is posted meanwhile
 * waits. Cost: a look at the clock. */
void mrd_shard_stand_back(struct mrd_shard *shard);

/* Runs the message at once, on the caller's thread in the shard's place, if the shard is idle; on_batch runs after it. False:
 * nothing has happened, post it. Who waits at the shard is never overtaken, so asking again and again starves nobody. Any
 * thread but the shard's own. */
MRD_MUST_CHECK bool mrd_shard_try_run(struct mrd_shard *shard, struct mrd_shard_message *message);

/* Runs `read` at once on the caller's thread, which does not become the shard: it may only look, and that briefly, for all that is
 * to change something waits for it. False: something is being changed or is to be, or the shard has not started; it was not
 * run. Any thread but the shard's own. Cost: two atomic operations. */
MRD_MUST_CHECK bool mrd_shard_try_read(struct mrd_shard *shard, void (*read)(void *context),
                                       void *context);

/* Messages waiting; any thread, a snapshot. */
size_t mrd_shard_queue_size(const struct mrd_shard *shard);

void *mrd_shard_context(const struct mrd_shard *shard);
const struct mrd_clock *mrd_shard_clock(const struct mrd_shard *shard);

/* The monotonic time at which the present batch began: cheap, for timers and ages. */
int64_t mrd_shard_now_ns(const struct mrd_shard *shard) MRD_ON(mrd_shard_thread);

/* Starts a timer that fires once at the monotonic time deadline_ns, or moves a started one. */
void mrd_shard_timer_start(struct mrd_shard *shard, struct mrd_shard_timer *timer,
                           int64_t deadline_ns) MRD_ON(mrd_shard_thread);

/* Does nothing if the timer is not started. */
void mrd_shard_timer_stop(struct mrd_shard *shard, struct mrd_shard_timer *timer)
    MRD_ON(mrd_shard_thread);

static inline bool mrd_shard_timer_started(const struct mrd_shard_timer *timer)
{
    return timer->heap_index != 0;
}

/* Fails an assertion unless the caller is the shard's thread, and tells clang that it is. Every run
 * and fire function that calls MRD_ON(mrd_shard_thread) functions begins with it. */
void mrd_shard_assert_on(const struct mrd_shard *shard) MRD_ASSERTS_ON(mrd_shard_thread);

#endif
