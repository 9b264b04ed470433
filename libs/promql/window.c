#include "promql/window.h"

/* The number of times that are not after `bound_ms`, from `at` on. Series are mostly regular, so it is
 * mostly as far from the last one as that was from the one before: `stride` is tried first. */
static inline uint32_t seek(const mrd_time_ms *times_ms, uint32_t count, uint32_t at,
                            uint32_t *stride, mrd_time_ms bound_ms)
{
    const uint32_t guess = at + *stride;
    if (guess > 0 && guess < count && times_ms[guess - 1] <= bound_ms &&
        times_ms[guess] > bound_ms) {
        return guess;
    }
    const uint32_t found = (uint32_t)pql_times_seek(times_ms, count, at, bound_ms);
    *stride = found - at;
    return found;
}

void pql_windows_slide(struct pql_windows *windows)
{
    const mrd_time_ms *times_ms = windows->times_ms;
    const uint32_t count = (uint32_t)windows->count;
    uint32_t from = 0;
    uint32_t to = 0;
    uint32_t from_stride = 0;
    uint32_t to_stride = 0;
    mrd_time_ms end_ms = windows->end0_ms;
    for (size_t i = 0; i < windows->steps; i++) {
        to = seek(times_ms, count, to, &to_stride, end_ms);
        from = seek(times_ms, count, from, &from_stride, end_ms - windows->range_ms);
        windows->from[i] = from;
        windows->to[i] = to;
        end_ms += windows->end_step_ms;
    }
}
