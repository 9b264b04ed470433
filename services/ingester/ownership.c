#include "ingester/ownership.h"

static const int64_t MS = 1000000;

static bool is_candidate(const struct mrd_member *member, const struct ing_self *self)
{
    if (member->kind != MRD_MEMBER_INGESTER || strcmp(member->zone, self->zone) != 0) {
        return false;
    }
    const bool own = strcmp(member->instance, self->instance) == 0;
    return own ? !self->leaving : !member->leaving;
}

static bool is_serving(const struct mrd_member *member, uint32_t partition)
{
    for (size_t i = 0; i < member->partition_count; i++) {
        if (member->partitions[i].partition == partition) {
            return member->partitions[i].state == MRD_PARTITION_SERVING;
        }
    }
    return false;
}

struct ing_situation ing_ownership_look(const struct mrd_members_snapshot *snapshot,
                                        const struct ing_self *self, uint32_t partition)
{
    const char *names[MRD_MEMBERS_MAX + 1];
    const struct mrd_member *members[MRD_MEMBERS_MAX + 1];
    size_t count = 0;
    for (size_t i = 0; i < snapshot->count && count < MRD_ARRAY_LEN(names); i++) {
        if (is_candidate(&snapshot->members[i], self)) {
            members[count] = &snapshot->members[i];
            names[count++] = snapshot->members[i].instance;
        }
    }
    size_t owners[MRD_RING_REPLICAS_MAX];
    const size_t owner_count = mrd_ring_owners(names, count, partition, self->replicas, owners);
    struct ing_situation situation = {.others_serving = true};
    for (size_t i = 0; i < owner_count; i++) {
        const struct mrd_member *member = members[owners[i]];
        if (strcmp(member->instance, self->instance) == 0) {
            situation.owner = true;
        } else {
            situation.others = true;
            situation.others_serving = situation.others_serving && is_serving(member, partition);
        }
    }
    situation.others_serving = situation.others_serving && situation.others;
    return situation;
}

enum ing_action ing_ownership_decide(struct ing_tenure *tenure,
                                     const struct ing_situation *situation, bool ready,
                                     int64_t now_ns)
{
    const bool unneeded = !situation->owner && situation->others_serving;
    if (!unneeded) {
        tenure->unneeded_since_ns = 0;
    } else if (tenure->unneeded_since_ns == 0) {
        tenure->unneeded_since_ns = now_ns;
    }
    const bool give_up = unneeded && now_ns - tenure->unneeded_since_ns >= ING_GIVE_UP_MS * MS;
    switch (tenure->state) {
    case ING_CLOSED:
        return situation->owner ? ING_OPEN : ING_KEEP;
    case ING_LOADING:
        /* Not announced as serving, so nobody asks: it may go as soon as it is not ours. */
        if (!situation->owner && situation->others) {
            return ING_CLOSE;
        }
        return ready ? ING_SERVE : ING_KEEP;
    case ING_SERVING:
        return give_up ? ING_RETIRE : ING_KEEP;
    case ING_RETIRING:
        if (situation->owner) {
            return ING_SERVE; /* it is current, so it can be announced again at once */
        }
        return now_ns - tenure->retired_ns >= ING_RETIRE_MS * MS ? ING_CLOSE : ING_KEEP;
    case ING_STATE_COUNT:
        break;
    }
    return ING_KEEP;
}
