#include "base/usage.h"

#include <math.h>
#include <stddef.h>

static const double half_ns = MRD_USAGE_HALF_MS * 1e6;
static const int64_t there_ns = MRD_USAGE_THERE_MS * (int64_t)1000000;
static const double heavy_cores = 0.1;
static const double heavy_share = 1.25; /* of the average */
static const double busy_cores = 0.2;

enum { HALVES_MAX = 64 }; /* that levels may be behind */

/* What one ns used now counts as of since_ns. */
static double weight_of(const struct mrd_usage *usage, int64_t now_ns)
{
    return exp2((double)(now_ns - usage->since_ns) / half_ns);
}

static bool is_there(const struct mrd_usage_member *member, int64_t now_ns)
{
    return now_ns - member->seen_ns < there_ns;
}

/* Brings the levels up to date, and forgets who has gone. */
static void renew(struct mrd_usage *usage, int64_t now_ns)
{
    const double weight = weight_of(usage, now_ns);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < usage->count; i++) {
        const struct mrd_usage_member *member = &usage->members[i];
        if (is_there(member, now_ns)) {
            usage->members[kept] = *member;
            usage->members[kept++].level /= weight;
        }
    }
    usage->count = kept;
    usage->since_ns = now_ns;
}

static struct mrd_usage_member *find(struct mrd_usage *usage, uint64_t key)
{
    for (uint32_t i = 0; i < usage->count; i++) {
        if (usage->members[i].key == key) {
            return &usage->members[i];
        }
    }
    return NULL;
}

/* A place for one more, if need be that of who uses the least. */
static struct mrd_usage_member *place_make(struct mrd_usage *usage)
{
    if (usage->count < MRD_USAGE_MEMBERS_MAX) {
        return &usage->members[usage->count++];
    }
    struct mrd_usage_member *least = &usage->members[0];
    for (uint32_t i = 1; i < usage->count; i++) {
        if (usage->members[i].level < least->level) {
            least = &usage->members[i];
        }
    }
    return least;
}

void mrd_usage_add(struct mrd_usage *usage, uint64_t key, int64_t used_ns, int64_t now_ns)
{
    if ((double)(now_ns - usage->since_ns) > half_ns * HALVES_MAX) {
        renew(usage, now_ns);
    }
    struct mrd_usage_member *member = find(usage, key);
    if (member == NULL) {
        member = place_make(usage);
        *member = (struct mrd_usage_member){.key = key};
    }
    member->level += (double)used_ns * weight_of(usage, now_ns);
    member->seen_ns = now_ns;
}

bool mrd_usage_is_heavy(const struct mrd_usage *usage, uint64_t key, int64_t now_ns)
{
    double own = 0;
    double total = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < usage->count; i++) {
        const struct mrd_usage_member *member = &usage->members[i];
        if (member->key == key) {
            own = member->level;
        }
        if (is_there(member, now_ns)) {
            total += member->level;
            count++;
        }
    }
    const double core = half_ns / M_LN2 * weight_of(usage, now_ns);
    return own >= heavy_cores * core && total >= busy_cores * core &&
           own * count > heavy_share * total;
}
