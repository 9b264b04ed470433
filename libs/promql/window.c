#include "promql/window.h"

void pql_windows_slide(struct pql_windows *windows)
{
    const mrd_time_ms *times_ms = windows->times_ms;
    const uint32_t count = (uint32_t)windows->count;
    uint32_t from = 0;
    uint32_t to = 0;
    mrd_time_ms end_ms = windows->end0_ms;
    for (size_t i = 0; i < windows->steps; i++) {
        const mrd_time_ms begin_ms = end_ms - windows->range_ms;
        while (to < count && times_ms[to] <= end_ms) {
            to++;
        }
        while (from < to && times_ms[from] <= begin_ms) {
            from++;
        }
        windows->from[i] = from;
        windows->to[i] = to;
        end_ms += windows->end_step_ms;
    }
}
