/* tidying.h: the roles "sweep" (removing what nobody needs, upkeep/sweep.h) and "scrub" (reading all blocks, upkeep/scrub.h): each done
 * by one compactor at a time, once per interval in the region (periodic.h).
 *
 * Owner:   whoever created it; destroyed after the jobs.
 * Threads: the rounds: one each. The functions below: any.
 */
#ifndef CMP_TIDYING_H
#define CMP_TIDYING_H

#include "base/config.h"
#include "compactor/jobs.h"
#include "upkeep/sweep.h"

#define CMP_SWEEP_ROLE "sweep"
#define CMP_SCRUB_ROLE "scrub"

struct cmp_tidying;

/* As cmp_merging_create. */
struct cmp_tidying *cmp_tidying_create(const struct mrd_config *config, const char *holder,
                                       const struct mrd_upkeep_tables *tables,
                                       struct mrd_metrics *metrics);
void cmp_tidying_destroy(struct cmp_tidying **tidying);

struct cmp_role cmp_tidying_sweep_role(struct cmp_tidying *tidying);
struct cmp_role cmp_tidying_scrub_role(struct cmp_tidying *tidying);

/* Sweeps, whoever else is at it: for who needs it to be done now, or to know what is left (`unnamed` may be NULL). */
MRD_MUST_CHECK enum mrd_status cmp_tidying_sweep(struct cmp_tidying *tidying,
                                                 const struct mrd_upkeep_unnamed *unnamed,
                                                 const struct cmp_environment *environment,
                                                 struct mrd_error *err);

/* It is due now; nudge the role then. */
void cmp_tidying_want_sweep(struct cmp_tidying *tidying);
void cmp_tidying_want_scrub(struct cmp_tidying *tidying);

#endif
