/* progress.h: what a query is at and what it has taken so far, for whoever looks at it from outside.
 *
 * Owner:   whoever runs the query.
 * Threads: written by the query's thread only, read by any, relaxed: figures for people, of which none is made to fit another.
 */
#ifndef MRD_PROMQL_PROGRESS_H
#define MRD_PROMQL_PROGRESS_H

#include <stdatomic.h>
#include <stdint.h>

enum mrd_query_doing {
    MRD_QUERY_QUEUED,
    MRD_QUERY_WORKS,
    MRD_QUERY_WAITS_INGESTERS,
    MRD_QUERY_WAITS_BLOCKS,
    MRD_QUERY_WRITES, /* its answer, which is on its way to the client */
    MRD_QUERY_DOING_COUNT
};

struct mrd_query_progress {
    _Atomic int doing;
    _Atomic int64_t waited_ns[MRD_QUERY_DOING_COUNT]; /* in waits that have ended */
    _Atomic uint64_t series;                          /* that storage handed over */
    _Atomic uint64_t samples;
    _Atomic uint64_t memory_bytes; /* of the query's arena, the most so far */
    _Atomic uint64_t questions;    /* to ingesters */
    _Atomic uint64_t retries;      /* partitions asked for again */
    _Atomic uint64_t fragments;    /* plan fragments that ingesters were asked to run */
    _Atomic uint64_t blocks;       /* to be read, merged ones once for each partition */
};

/* The query's thread alone writes, so no read-modify-write is needed. */
static inline void mrd_progress_add(_Atomic uint64_t *figure, uint64_t more)
{
    atomic_store_explicit(figure, atomic_load_explicit(figure, memory_order_relaxed) + more,
                          memory_order_relaxed);
}
static inline void mrd_progress_raise(_Atomic uint64_t *figure, uint64_t value)
{
    if (value > atomic_load_explicit(figure, memory_order_relaxed)) {
        atomic_store_explicit(figure, value, memory_order_relaxed);
    }
}
static inline uint64_t mrd_progress_get(const _Atomic uint64_t *figure)
{
    return atomic_load_explicit(figure, memory_order_relaxed);
}

/* Around a wait. `progress` may be NULL: nobody looks. */
struct mrd_query_wait {
    int before;
    int64_t since_ns;
};
struct mrd_query_wait mrd_query_wait_begin(struct mrd_query_progress *progress,
                                           enum mrd_query_doing what);
void mrd_query_wait_end(struct mrd_query_progress *progress, struct mrd_query_wait wait);

#endif
