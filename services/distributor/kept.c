#include "distributor/kept.h"

mrd_time_ms dst_kept_note(struct dst_kept *kept, const struct mrd_members_snapshot *snapshot)
{
    int64_t told_ms = INT64_MAX;
    for (size_t i = 0; i < snapshot->count; i++) {
        const struct mrd_member *member = &snapshot->members[i];
        if (member->kind == MRD_MEMBER_COMPACTOR && member->references_kept_ms > 0) {
            told_ms = MRD_MIN(told_ms, member->references_kept_ms);
        }
    }
    int64_t least_ms = atomic_load_explicit(&kept->least_ms, memory_order_relaxed);
    while (told_ms != INT64_MAX && (least_ms == 0 || told_ms < least_ms)) {
        if (atomic_compare_exchange_weak_explicit(&kept->least_ms, &least_ms, told_ms,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            least_ms = told_ms;
        }
    }
    return least_ms;
}

mrd_time_ms dst_kept_now(void *context)
{
    struct dst_kept *kept = context;
    const struct mrd_members_snapshot *snapshot = mrd_members_acquire(kept->members);
    const mrd_time_ms ms = dst_kept_note(kept, snapshot);
    mrd_members_release(&snapshot);
    return ms;
}
