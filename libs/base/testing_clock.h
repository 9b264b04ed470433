/* testing_clock.h: the machine's clock, moved ahead by a test. Test programs include it; nothing else does.
 */
#ifndef MRD_BASE_TESTING_CLOCK_H
#define MRD_BASE_TESTING_CLOCK_H

#include "base/clock.h"

static _Atomic mrd_time_ms ahead_ms; /* of the machine's */

static inline mrd_time_ms shifted_now_ms(void *context)
{
    (void)context;
    return mrd_clock_now_ms(mrd_clock_system()) + ahead_ms;
}

static inline int64_t shifted_monotonic_ns(void *context)
{
    (void)context;
    return mrd_clock_monotonic_ns(mrd_clock_system());
}

static const struct mrd_clock shifted = {shifted_now_ms, shifted_monotonic_ns, NULL};

#endif
