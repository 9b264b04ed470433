#include "base/hash.h"
#include "bus/members.h"

struct score {
    uint64_t value;
    size_t index;
};

/* Equal hashes are decided by name, so that all members see the same order. */
static bool better(const char *const *names, struct score a, struct score b)
{
    return a.value != b.value ? a.value > b.value : strcmp(names[a.index], names[b.index]) < 0;
}

size_t mrd_ring_owners(const char *const *names, size_t count, uint32_t partition, size_t replicas,
                       size_t out[MRD_RING_REPLICAS_MAX])
{
    mrd_assert(replicas <= MRD_RING_REPLICAS_MAX);
    struct score best[MRD_RING_REPLICAS_MAX];
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct score score = {mrd_hash64(mrd_bytes_of(names[i]), (uint64_t)partition + 1), i};
        for (size_t at = 0; at < kept; at++) {
            if (better(names, score, best[at])) {
                const struct score moved = best[at];
                best[at] = score;
                score = moved;
            }
        }
        if (kept < replicas) {
            best[kept++] = score;
        }
    }
    for (size_t i = 0; i < kept; i++) {
        out[i] = best[i].index;
    }
    return kept;
}
