#include "querier/grace.h"

size_t qry_grace_conflicts(const struct mrd_members_snapshot *snapshot, mrd_time_ms stale_ms_max,
                           const struct mrd_member **out_least)
{
    const struct mrd_member *least = NULL;
    size_t conflicts = 0;
    for (size_t i = 0; i < snapshot->count; i++) {
        const struct mrd_member *member = &snapshot->members[i];
        const bool conflicting = member->kind == MRD_MEMBER_COMPACTOR &&
                                 member->block_grace_ms > 0 &&
                                 member->block_grace_ms <= stale_ms_max;
        conflicts += conflicting;
        if (conflicting && (least == NULL || member->block_grace_ms < least->block_grace_ms)) {
            least = member;
        }
    }
    *out_least = least;
    return conflicts;
}
