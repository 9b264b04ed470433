/* cooling.h: the role "cool": data files of old blocks into a cheaper storage class (upkeep/cool.h), once per interval in the region
 * (periodic.h). Does nothing where compactor.cold_class is empty.
 *
 * Owner:   whoever created it; destroyed after the jobs.
 * Threads: the round: one. The functions below: any.
 */
#ifndef CMP_COOLING_H
#define CMP_COOLING_H

#include "base/config.h"
#include "compactor/jobs.h"

#define CMP_COOLING_ROLE "cool"

struct cmp_cooling;

struct cmp_cooling *cmp_cooling_create(const struct mrd_config *config,
                                       struct mrd_metrics *metrics);
void cmp_cooling_destroy(struct cmp_cooling **cooling);

/* False: files do not change their class here. */
bool cmp_cooling_is_on(const struct cmp_cooling *cooling);

struct cmp_role cmp_cooling_role(struct cmp_cooling *cooling);

/* It is due now; nudge the role then. */
void cmp_cooling_want(struct cmp_cooling *cooling);

#endif
