/* build.h: the role "build": the partitions' logs into blocks of level 0.
 *
 * Each partition is built by one compactor at a time: rendezvous hashing over the live compactors says which one is to try for its
 * lease. The lease saves double work only; that nothing is built twice or left out is the catalog's doing: a commit names from where
 * to where it has built, and whoever finds that the log is built further than where he began drops his range.
 *
 * A round looks at each of its partitions and builds it when what waits has grown to build_bytes or to an eighth of what the log may hold, when it is older
 * than build_age, or when somebody waits for it (cmp_build_want). All that the log held at that moment is built then, in as many
 * ranges as memory asks for.
 *
 * Sequences mean something in one log only. The catalog says which log it has blocks of, and when that took the entry that was built last
 * (docs/decisions/0013-identity-of-a-log.md). Of another log, of one that ends before what is built, and of one that has another entry there nothing is
 * built: somebody has to decide (logs.h).
 *
 * After a commit the log is trimmed, if that is on: what blocks have, was received before the head window, and is not needed
 * to resolve references that may still come. Nothing else may drop anything then, so an age limit of the stream is taken from it. While
 * a querier says that it reads no blocks, the window is as long as the age limit would be. Where trimming is off, what comes near
 * the stream's age limit without being built is told.
 *
 * Owner:   whoever created it; destroyed after the jobs (jobs.h). What the options point to outlives it.
 * Threads: the round: one. cmp_build_want and cmp_build_owner: any.
 */
#ifndef CMP_BUILD_H
#define CMP_BUILD_H

#include "bus/members.h"
#include "compactor/builder.h"
#include "compactor/jobs.h"

struct cmp_build;

struct cmp_build_options {
    struct mrd_members *members;
    const char *instance; /* ours among the members */
    uint32_t partition_count;
    struct cmp_build_limits limits;
    uint64_t build_bytes; /* of the log, about */
    mrd_time_ms build_age_ms;
    bool trim;
    mrd_time_ms log_window_ms;
    mrd_time_ms
        log_age_ms; /* the window where queriers read no blocks (log.max_age); 0: without end */
    mrd_time_ms references_kept_ms;
    struct mrd_metrics *metrics;
    const struct mrd_clock *clock;
};

#define CMP_BUILD_ROLE "build"

struct cmp_build *cmp_build_create(const struct cmp_build_options *options);
void cmp_build_destroy(struct cmp_build **build);

/* The role, to be added to the jobs. */
struct cmp_role cmp_build_role(struct cmp_build *build);

/* Somebody waits until the partition is built up to `sequence`. It is done with the next round in which the partition is ours. */
void cmp_build_want(struct cmp_build *build, uint32_t partition, uint64_t sequence);

/* The instance of the compactor that is to build the partition; NULL: there is none. A view of the snapshot. */
const char *cmp_build_owner(const struct mrd_members_snapshot *snapshot, uint32_t partition);

#endif
