/* usage.h: who uses more than its share of something lately: processor time, by tenant.
 *
 * What was used counts half of it after each MRD_USAGE_HALF_MS, so a steady use of one core is a level of
 * MRD_USAGE_HALF_MS / ln 2. A member is there while it was seen within MRD_USAGE_THERE_MS, whether it uses much or next to
 * nothing. One is heavy that uses a tenth of a core or more, and a quarter more than those that are there do on average, while all
 * together use a fifth of a core: never where it is alone, or all use the same, or nothing goes on; and of several heavy ones
 * beside a light one up to four.
 *
 * Owner:   whoever shares out. It has a lock, under which everything here is called. Zero-initialise.
 * Memory:  of its own size; of more members than MRD_USAGE_MEMBERS_MAX those that use the least are forgotten.
 * Cost:    a look at every member, some 100 ns.
 */
#ifndef MRD_BASE_USAGE_H
#define MRD_BASE_USAGE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    MRD_USAGE_HALF_MS = 500,
    MRD_USAGE_THERE_MS = 60 * 1000,
    MRD_USAGE_MEMBERS_MAX = 64,
};

struct mrd_usage_member {
    uint64_t key;
    double level;    /* ns, as of the usage's since_ns */
    int64_t seen_ns; /* monotonic */
};

struct mrd_usage {
    int64_t since_ns; /* monotonic */
    uint32_t count;
    struct mrd_usage_member members[MRD_USAGE_MEMBERS_MAX];
};

/* The member is there and has used so much more, perhaps nothing. */
void mrd_usage_add(struct mrd_usage *usage, uint64_t key, int64_t used_ns, int64_t now_ns);
bool mrd_usage_is_heavy(const struct mrd_usage *usage, uint64_t key, int64_t now_ns);

#endif
