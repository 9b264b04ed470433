/* ownership.h: which partitions this ingester should have, and what to do about it now.
 *
 * Every live ingester of a zone computes the same owners of each partition by rendezvous hashing; nobody
 * coordinates. A partition is taken at once (and announced when it serves) but given up only when all
 * its owners have been serving it for ING_GIVE_UP_MS, so that there is always somebody to ask.
 *
 * Threads: pure functions.
 */
#ifndef ING_OWNERSHIP_H
#define ING_OWNERSHIP_H

#include "bus/members.h"

enum {
    ING_GIVE_UP_MS = 3000, /* queriers see the new owners before the old one goes */
    ING_RETIRE_MS = 3000,  /* after it is no longer announced: questions already on their way */
};

enum ing_state {
    ING_CLOSED = 0,
    ING_LOADING,  /* replaying, announced as such */
    ING_SERVING,  /* announced */
    ING_RETIRING, /* no longer announced, still answers */
    ING_STATE_COUNT
};

enum ing_action { ING_KEEP, ING_OPEN, ING_SERVE, ING_RETIRE, ING_CLOSE };

struct ing_self {
    const char *instance;
    const char *zone;
    size_t replicas;
    bool leaving; /* takes nothing, gives up what others serve */
};

struct ing_situation {
    bool owner;          /* rendezvous says that it is ours */
    bool others_serving; /* every owner (at least one) but ourselves is serving */
    bool others;         /* there is an owner other than ourselves */
};

/* What the members say of one partition. */
struct ing_situation ing_ownership_look(const struct mrd_members_snapshot *snapshot,
                                        const struct ing_self *self, uint32_t partition);

/* One of our partitions. */
struct ing_tenure {
    enum ing_state state;
    int64_t unneeded_since_ns; /* others serve it and it is not ours; 0: not so */
    int64_t retired_ns;
};

/* What to do with it at now_ns; `ready`: it has applied what the log held when it was opened. Updates unneeded_since_ns
 * only; the caller carries out the action and then assigns the state. */
enum ing_action ing_ownership_decide(struct ing_tenure *tenure,
                                     const struct ing_situation *situation, bool ready,
                                     int64_t now_ns);

#endif
