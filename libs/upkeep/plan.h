/* plan.h: what is to be merged next, of what the catalog and the quarantine say.
 *
 *   days    blocks of level 0 of a residency class, many tenants each, to files of one tenant and UTC day. They leave the
 *           catalog all at once, when every tenant's rows are in files; so this is one unit of work for a class.
 *   month   a tenant's files of days of a month that is over, to files of the month; again, when late samples have opened it.
 *           Whole or not at all: not while one of them is in quarantine.
 *   erase   a tenant's files of days in a month, or of the month, that owe erasures: those of the same period are merged into the same level
 *           without what is to be erased. Without blocks: rollups that have nothing of what they owe. With blocks that are rollups: those of a
 *           tenant's month that owe, and whose samples have left by retention. They are written anew by themselves (merge/rewrite.h).
 *   retain  likewise, what rules of retention have let go (retain.h): files, and rollups whose samples have left, that have passed a rule and may have
 *           something of it.
 *
 * What owes erasures is due at once: blocks of level 0 make the days of their class due. A block in quarantine goes on owing.
 *
 * How often level 0 is merged is a matter of cost: each merge writes the tenants' files of the day anew. So it is done early when
 * there is much for each tenant (one large tenant: minutes), and as late as age_ms_max when there is little (many small ones). What is
 * written early is bounded: at most MRD_UPKEEP_REWRITE times what is new.
 *
 * Owner:   units lie in the arena and point into the state and the index.
 * Threads: pure functions.
 * Memory:  a pointer a block.
 */
#ifndef MRD_UPKEEP_PLAN_H
#define MRD_UPKEEP_PLAN_H

#include "upkeep/index.h"
#include "upkeep/quarantine.h"
#include "upkeep/retain.h"

enum mrd_upkeep_kind { MRD_UPKEEP_DAYS, MRD_UPKEEP_MONTH, MRD_UPKEEP_ERASE, MRD_UPKEEP_RETAIN };

/* "days", "month", "erase", "retain". */
const char *mrd_upkeep_kind_name(enum mrd_upkeep_kind kind);

enum {
    MRD_UPKEEP_REWRITE = 4,
    MRD_UPKEEP_LEASE_SIZE = 64,
};

struct mrd_upkeep_unit {
    enum mrd_upkeep_kind kind;
    char lease[MRD_UPKEEP_LEASE_SIZE]; /* key of the lease that it is done under */
    struct mrd_bytes residency_class;
    struct mrd_bytes tenant;                     /* not of days */
    struct mrd_merge_range range;                /* of a month, or a month of files that owe */
    unsigned level;                              /* of erasing and retaining: of the blocks */
    const struct mrd_block_entry *const *blocks; /* up to MRD_MERGE_BATCH_MAX */
    size_t block_count;
    uint64_t samples;
};

struct mrd_upkeep_plan_options {
    mrd_time_ms now_ms;
    mrd_time_ms age_ms_max;   /* level 0 is merged when its oldest block was received so long ago */
    uint64_t tenant_rows_min; /* earlier only if there are so many rows for each tenant */
    mrd_time_ms
        month_delay_ms; /* from the end of a month, and from the receipt of late samples, to its merge */
    const struct mrd_upkeep_quarantine *quarantine; /* may be NULL */
    const struct mrd_upkeep_retain *retain;         /* NULL: no rules */
};

/* What is due: what erases, then what retains, then days, then months, the oldest first. */
MRD_MUST_CHECK enum mrd_status
mrd_upkeep_plan(const struct mrd_catalog_state *state, const struct mrd_upkeep_index *index,
                const struct mrd_upkeep_plan_options *options, struct mrd_arena *arena,
                const struct mrd_upkeep_unit **out_units, size_t *out_count, struct mrd_error *err);

/* Blocks of level 0 that are not in quarantine, and when the oldest was received (now_ms if there are none): how far merging is
 * behind. */
struct mrd_upkeep_backlog {
    uint64_t blocks;
    uint64_t samples;
    mrd_time_ms oldest_ms;
};
struct mrd_upkeep_backlog mrd_upkeep_backlog(const struct mrd_catalog_state *state,
                                             const struct mrd_upkeep_plan_options *options);

#endif
