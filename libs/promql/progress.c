#include "promql/progress.h"

#include "base/clock.h"

static int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

struct mrd_query_wait mrd_query_wait_begin(struct mrd_query_progress *progress,
                                           enum mrd_query_doing what)
{
    if (progress == NULL) {
        return (struct mrd_query_wait){0};
    }
    const struct mrd_query_wait wait = {
        atomic_load_explicit(&progress->doing, memory_order_relaxed), now_ns()};
    atomic_store_explicit(&progress->doing, (int)what, memory_order_relaxed);
    return wait;
}

void mrd_query_wait_end(struct mrd_query_progress *progress, struct mrd_query_wait wait)
{
    if (progress == NULL) {
        return;
    }
    const int what = atomic_load_explicit(&progress->doing, memory_order_relaxed);
    _Atomic int64_t *waited_ns = &progress->waited_ns[what];
    atomic_store_explicit(
        waited_ns, atomic_load_explicit(waited_ns, memory_order_relaxed) + now_ns() - wait.since_ns,
        memory_order_relaxed);
    atomic_store_explicit(&progress->doing, wait.before, memory_order_relaxed);
}
