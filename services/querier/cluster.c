#include "querier/cluster.h"

static bool serves(const struct mrd_member *member, uint32_t partition)
{
    if (member->kind != MRD_MEMBER_INGESTER) {
        return false;
    }
    for (size_t i = 0; i < member->partition_count; i++) {
        if (member->partitions[i].partition == partition) {
            return member->partitions[i].state == MRD_PARTITION_SERVING;
        }
    }
    return false;
}

void qry_cluster_replicas(const struct qry_cluster *cluster, uint32_t partition, uint64_t salt,
                          struct qry_replicas *out)
{
    const struct mrd_members_snapshot *snapshot = mrd_members_acquire(cluster->members);
    out->count = 0;
    const size_t start = snapshot->count == 0 ? 0 : salt % snapshot->count;
    for (size_t i = 0; i < snapshot->count && out->count < QRY_REPLICAS_MAX; i++) {
        const struct mrd_member *member = &snapshot->members[(start + i) % snapshot->count];
        if (serves(member, partition)) {
            memcpy(out->names[out->count++], member->instance, sizeof(member->instance));
        }
    }
    mrd_members_release(&snapshot);
}
