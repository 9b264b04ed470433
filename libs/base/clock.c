#include "base/clock.h"

#include <inttypes.h>
#include <time.h>

static mrd_time_ms system_now_ms(void *context)
{
    (void)context;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (mrd_time_ms)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t system_monotonic_ns(void *context)
{
    (void)context;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

const struct mrd_clock *mrd_clock_system(void)
{
    static const struct mrd_clock clock = {system_now_ms, system_monotonic_ns, NULL};
    return &clock;
}

void mrd_hlc_init(struct mrd_hlc_clock *hlc, const struct mrd_clock *clock, mrd_time_ms skew_ms_max)
{
    hlc->clock = clock;
    hlc->skew_ms_max = skew_ms_max;
    atomic_init(&hlc->last, 0);
}

mrd_hlc mrd_hlc_next(struct mrd_hlc_clock *hlc)
{
    const mrd_hlc wall = mrd_hlc_make(mrd_clock_now_ms(hlc->clock), 0);
    /* Relaxed: only this one word is agreed on; the stamp travels with its batch otherwise. */
    uint64_t last = atomic_load_explicit(&hlc->last, memory_order_relaxed);
    uint64_t next;
    do {
        next = wall > last ? wall : last + 1; /* a full counter runs over into the milliseconds */
    } while (!atomic_compare_exchange_weak_explicit(&hlc->last, &last, next, memory_order_relaxed,
                                                    memory_order_relaxed));
    return next;
}

enum mrd_status mrd_hlc_merge(struct mrd_hlc_clock *hlc, mrd_hlc foreign, struct mrd_error *err)
{
    const mrd_time_ms ahead_ms = mrd_hlc_time_ms(foreign) - mrd_clock_now_ms(hlc->clock);
    if (ahead_ms > hlc->skew_ms_max) {
        return mrd_fail(err, MRD_E_INVALID,
                        "clock stamp is %" PRId64
                        " ms ahead of this machine's clock, more than the "
                        "%" PRId64 " ms allowed",
                        ahead_ms, hlc->skew_ms_max);
    }
    uint64_t last = atomic_load_explicit(&hlc->last, memory_order_relaxed);
    while (foreign > last &&
           !atomic_compare_exchange_weak_explicit(&hlc->last, &last, foreign, memory_order_relaxed,
                                                  memory_order_relaxed)) {}
    return MRD_OK;
}
