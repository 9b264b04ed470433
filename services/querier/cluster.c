#include "querier/cluster.h"

/* The member's record of a partition that it serves, or NULL. */
static const struct mrd_member_partition *served(const struct mrd_member *member,
                                                 uint32_t partition)
{
    if (member->kind != MRD_MEMBER_INGESTER) {
        return NULL;
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
                   member->partitions[low].state == MRD_PARTITION_SERVING
               ? &member->partitions[low]
               : NULL;
}

/* An ingester that does not say from where on it holds the log may hold nothing of what blocks have. */
static uint64_t first_of(const struct mrd_member_partition *record)
{
    return record->sequence_first == 0 ? UINT64_MAX : record->sequence_first;
}

static bool is_fit(const struct mrd_member *member, const struct qry_replica_choice *choice)
{
    const struct mrd_member_partition *record = served(member, choice->partition);
    return record != NULL && first_of(record) <= choice->sequence_first_max;
}

static size_t replica_of(const struct mrd_members_snapshot *snapshot,
                         const struct qry_replica_choice *choice, size_t *out_member)
{
    size_t count = 0;
    for (size_t i = 0; i < snapshot->count; i++) {
        count += is_fit(&snapshot->members[i], choice) ? 1 : 0;
    }
    size_t left = count == 0 ? 0 : choice->attempt % count + 1;
    for (size_t i = choice->salt % MRD_MAX(snapshot->count, (size_t)1); left > 0;
         i = (i + 1) % snapshot->count) {
        if (is_fit(&snapshot->members[i], choice) && --left == 0) {
            *out_member = i;
        }
    }
    return count;
}

size_t qry_cluster_replica(const struct mrd_members_snapshot *snapshot,
                           const struct qry_replica_choice *choice, size_t *out_member)
{
    struct qry_replica_choice any = *choice;
    any.sequence_first_max = UINT64_MAX;
    const size_t count = replica_of(snapshot, choice, out_member);
    return count > 0 ? count : replica_of(snapshot, &any, out_member);
}

void qry_cluster_held(const struct mrd_members_snapshot *snapshot, uint32_t partition,
                      struct mrd_log_identity log, struct qry_held *out)
{
    const bool any_log = !mrd_log_identity_known(log);
    bool any = false;
    struct qry_held held = {.first = 0, .last = UINT64_MAX};
    for (size_t i = 0; i < snapshot->count; i++) {
        const struct mrd_member_partition *record = served(&snapshot->members[i], partition);
        if (record == NULL) {
            continue;
        }
        const bool same = any_log || mrd_log_identity_equal(record->log, log);
        any = true;
        held.first = MRD_MAX(held.first, same ? first_of(record) : UINT64_MAX);
        held.last = MRD_MIN(held.last, record->sequence);
        held.another = same ? held.another : mrd_log_identity_tag(record->log);
    }
    const bool known = any && held.first != UINT64_MAX;
    *out = known ? held : (struct qry_held){.first = UINT64_MAX, .another = held.another};
}
