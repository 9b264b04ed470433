/* clock.h: wall time, monotonic time and the hybrid logical clock.
 *
 * A clock is an argument, so a test owns time: pass mrd_clock_system() in services.
 *
 * The HLC stamps every batch (Kulkarni et al., "Logical Physical Clocks", 2014): 48 bits of Unix
 * milliseconds above 16 bits of counter. Two stamps compare as integers; ties between origins are
 * broken by the origin's id. A stamp never goes backwards within one clock, whatever the wall does.
 */
#ifndef MRD_BASE_CLOCK_H
#define MRD_BASE_CLOCK_H

#include <stdatomic.h>

#include "base/status.h"

typedef int64_t mrd_time_ms; /* milliseconds since the Unix epoch */
typedef uint64_t mrd_hlc;    /* 48 bits of milliseconds, 16 bits of counter */

/* The time that is `by_ms` (not negative) earlier; INT64_MIN where there is none. */
static inline mrd_time_ms mrd_time_earlier(mrd_time_ms time_ms, mrd_time_ms by_ms)
{
    return time_ms < INT64_MIN + by_ms ? INT64_MIN : time_ms - by_ms;
}

struct mrd_clock {
    mrd_time_ms (*now_ms)(void *context);   /* wall clock */
    int64_t (*monotonic_ns)(void *context); /* never goes back; for durations and deadlines */
    void *context;
};

/* The machine's clocks. Thread-safe. */
const struct mrd_clock *mrd_clock_system(void);

static inline mrd_time_ms mrd_clock_now_ms(const struct mrd_clock *clock)
{
    return clock->now_ms(clock->context);
}
static inline int64_t mrd_clock_monotonic_ns(const struct mrd_clock *clock)
{
    return clock->monotonic_ns(clock->context);
}

static inline mrd_hlc mrd_hlc_make(mrd_time_ms time_ms, uint16_t counter)
{
    return ((uint64_t)time_ms << 16) | counter;
}
static inline mrd_time_ms mrd_hlc_time_ms(mrd_hlc hlc) { return (mrd_time_ms)(hlc >> 16); }

/* One process' hybrid logical clock. Thread-safe. */
struct mrd_hlc_clock {
    const struct mrd_clock *clock;
    mrd_time_ms skew_ms_max; /* a foreign stamp further ahead than this is refused */
    _Atomic uint64_t last;
};

void mrd_hlc_init(struct mrd_hlc_clock *hlc, const struct mrd_clock *clock,
                  mrd_time_ms skew_ms_max);

/* A stamp greater than all stamps given out or merged before. */
mrd_hlc mrd_hlc_next(struct mrd_hlc_clock *hlc);

/* Takes note of a foreign stamp, so that later ones of ours are greater. MRD_E_INVALID if it is more
 * than skew_ms_max ahead of our wall clock; the clock is unchanged then. */
MRD_MUST_CHECK enum mrd_status mrd_hlc_merge(struct mrd_hlc_clock *hlc, mrd_hlc foreign,
                                             struct mrd_error *err);

#endif
