#include "querier/cluster.h"

static bool serves(const struct mrd_member *member, uint32_t partition)
{
    if (member->kind != MRD_MEMBER_INGESTER) {
        return false;
    }
    size_t low = 0;
    size_t high = member->partition_count; /* they are ascending */
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (member->partitions[middle].partition < partition) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < member->partition_count && member->partitions[low].partition == partition &&
           member->partitions[low].state == MRD_PARTITION_SERVING;
}

size_t qry_cluster_replica(const struct mrd_members_snapshot *snapshot, uint32_t partition,
                           uint64_t salt, size_t attempt, size_t *out_member)
{
    size_t count = 0;
    for (size_t i = 0; i < snapshot->count; i++) {
        count += serves(&snapshot->members[i], partition) ? 1 : 0;
    }
    size_t left = count == 0 ? 0 : attempt % count + 1;
    for (size_t i = salt % MRD_MAX(snapshot->count, (size_t)1); left > 0;
         i = (i + 1) % snapshot->count) {
        if (serves(&snapshot->members[i], partition) && --left == 0) {
            *out_member = i;
        }
    }
    return count;
}
