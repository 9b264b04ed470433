/* doubts.h: the series of one write that may be new where their tenant may not simply have more: the ingesters are asked about them.
 *
 * A write is taken in once; what is in doubt is left out, and the rest goes on. When the answers are there it is taken in
 * again, for those series alone. If more are in doubt than one question may name, the first pass ends there, and the second goes on
 * from that place once it has come to it.
 *
 * Owner:   its write.
 * Threads: one at a time, as the write: its shard's, then the asker's.
 * Memory:  48 bytes a series, DST_DOUBTS_MAX of them.
 */
#ifndef DST_DOUBTS_H
#define DST_DOUBTS_H

#include "model/labels.h"

enum { DST_DOUBTS_MAX = 8192 }; /* their ids fit into a message that a batch fits into */

enum dst_verdict {
    DST_DOUBT_OPEN,
    DST_DOUBT_ACTIVE,     /* an ingester has it */
    DST_DOUBT_GRANTED,    /* it is new, and there is room for it */
    DST_DOUBT_REFUSED,    /* it is new, and there is none */
    DST_DOUBT_UNANSWERED, /* nobody said anything: it is let through */
    DST_VERDICTS
};

struct dst_doubt {
    struct mrd_id128 key; /* as the series cache has it */
    mrd_series_id id;
    uint32_t partition;
    enum dst_verdict verdict;
    bool done; /* what was decided has been done, for all entries that were come to */
};

struct dst_doubts {
    struct dst_doubt *items;
    uint32_t *index; /* by key: number of the item + 1; 0: free */
    size_t count;
    size_t open;     /* of them */
    size_t capacity; /* of the index, a power of two; half is used at most */
    size_t
        entries; /* entries of the write, from the first on, of which nothing is left but what is here */
    /* How far the first pass had come, for the next. */
    uint64_t metadata;
    bool finished; /* it had come to the end */
};

struct dst_doubts *dst_doubts_create(void);
void dst_doubts_destroy(struct dst_doubts **doubts);

/* The doubt about the series with that key, or NULL. Valid until the next add. */
struct dst_doubt *dst_doubts_find(const struct dst_doubts *doubts, struct mrd_id128 key);

/* How many more may be added. */
static inline size_t dst_doubts_room(const struct dst_doubts *doubts)
{
    return DST_DOUBTS_MAX - (doubts->open == 0 ? 0 : doubts->count);
}

/* Adds an open one, whose key is not there and for which there is room. Where none is open, those that were answered go. */
void dst_doubts_add(struct dst_doubts *doubts, const struct dst_doubt *doubt);

/* Decides an open one. */
static inline void dst_doubts_decide(struct dst_doubts *doubts, size_t item,
                                     enum dst_verdict verdict)
{
    mrd_assert(doubts->items[item].verdict == DST_DOUBT_OPEN && verdict != DST_DOUBT_OPEN);
    doubts->items[item].verdict = verdict;
    doubts->open--;
}

/* True if there are open ones: the ingesters are to be asked. */
static inline bool dst_doubts_are_open(const struct dst_doubts *doubts)
{
    return doubts != NULL && doubts->open > 0;
}

#endif
