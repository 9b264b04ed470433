/* expiring.h: the role "expire": what is out of its tenant's retention leaves the catalog (upkeep/expire.h), once per interval in the region
 * (periodic.h). The tenants' retentions are this process's configuration; the same in all compactors.
 *
 * Owner:   whoever created it; destroyed after the jobs.
 * Threads: the round: one. The functions below: any.
 */
#ifndef CMP_EXPIRING_H
#define CMP_EXPIRING_H

#include "base/config.h"
#include "compactor/jobs.h"
#include "upkeep/tables.h"

#define CMP_EXPIRING_ROLE "expire"

struct cmp_expiring;

/* As cmp_merging_create. */
struct cmp_expiring *cmp_expiring_create(const struct mrd_config *config,
                                         const struct mrd_upkeep_tables *tables,
                                         struct mrd_metrics *metrics);
void cmp_expiring_destroy(struct cmp_expiring **expiring);

/* The tenants' retentions may be others from now on. */
void cmp_expiring_reload(struct cmp_expiring *expiring, const struct mrd_config *config);

struct cmp_role cmp_expiring_role(struct cmp_expiring *expiring);

/* It is due now; nudge the role then. */
void cmp_expiring_want(struct cmp_expiring *expiring);

#endif
