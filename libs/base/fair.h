/* fair.h: who of those that wait for one of a number of places is next. Places are workers, or whatever else is few.
 *
 * A flow is what some of them have in common: a tenant. The flow that holds the fewest places is next, and of
 * several the one that had its turn the longest ago, so that no flow keeps another waiting for more than the end (or the next
 * checkpoint) of one piece of work. Within a flow those go first that have begun, and of these the oldest.
 * A flow holds no more places than it may, and has no more members.
 *
 * What works for long asks at its checkpoints whether it stands in others' way (mrd_fair_crowds): then its place
 * goes round.
 *
 * Owner:   whoever has the places. It has a lock, under which everything here is called; only `waiting` may be read
 *          without.
 * Memory:  a flow exists while it has members.
 * Cost:    a look at every flow, in next, take, crowds and join.
 */
#ifndef MRD_BASE_FAIR_H
#define MRD_BASE_FAIR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    MRD_FAIR_QUANTUM_MS = 20, /* after which a place goes round among equals */
    /* Holders need not ask more often: each time they hold the lock, and who loses its core meanwhile keeps everybody waiting. */
    MRD_FAIR_LOOK_US = 500,
};

/* One that waits; embedded in what it stands for. */
struct mrd_fair_waiter {
    struct mrd_fair_flow *flow;
    struct mrd_fair_waiter *next;
    bool begun; /* it has had a place before */
};

struct mrd_fair_line {
    struct mrd_fair_waiter *first;
    struct mrd_fair_waiter **last;
};

struct mrd_fair_flow {
    uint64_t key;
    uint32_t members;
    uint32_t places; /* that they hold */
    uint32_t places_max;
    uint64_t turn; /* when one was given a place last */
    struct mrd_fair_line fresh;
    struct mrd_fair_line begun;
    struct mrd_fair_flow *next;
};

struct mrd_fair {
    uint32_t places; /* that there are; whoever owns this sets it, all else begins as 0 */
    uint32_t taken;  /* those that are held */
    uint32_t fresh;  /* that wait */
    uint64_t turn;
    struct mrd_fair_flow *first;
    _Atomic uint32_t waiting; /* fresh or begun; written under the lock, read anywhere (relaxed) */
};

/* What a flow may have at most. */
struct mrd_fair_share {
    uint32_t places;
    uint32_t members;
};

/* One more member of the flow, whose share is the given one from now on. NULL: it has as many as it may. */
struct mrd_fair_flow *mrd_fair_join(struct mrd_fair *fair, uint64_t key,
                                    const struct mrd_fair_share *share);
/* It is over, holds no place and waits for none. */
void mrd_fair_leave(struct mrd_fair *fair, struct mrd_fair_flow *flow);

/* The waiter, whose flow and `begun` are set, gets in line. */
void mrd_fair_wait(struct mrd_fair *fair, struct mrd_fair_waiter *waiter);

/* It does not wait any more. Cost: a look at those of its flow that wait. */
void mrd_fair_withdraw(struct mrd_fair *fair, struct mrd_fair_waiter *waiter);

/* Whose turn it is, if there is a place for it; with begun_only among those that have begun. NULL: nobody's. */
const struct mrd_fair_waiter *mrd_fair_next(const struct mrd_fair *fair, bool begun_only);
/* Gives that one a place. */
struct mrd_fair_waiter *mrd_fair_take(struct mrd_fair *fair, bool begun_only);
void mrd_fair_give(struct mrd_fair *fair, struct mrd_fair_flow *flow);

/* One of the flow that has held its place for held_ms is to give it up: all are taken, and another flow waits that
 * holds fewer, or as many but for this one while this one has had its time. */
bool mrd_fair_crowds(const struct mrd_fair *fair, const struct mrd_fair_flow *flow,
                     int64_t held_ms);

#endif
