/* retaining.h: what the tenants' rules of retention (tenancy/retention_rules.h) have let go at a moment, as merging takes it (upkeep/retain.h).
 *
 * A rule lets samples go with their rollups, so when the last of those that it keeps has passed: the rollups that are made count. Of rollups whose samples have
 * gone it lets each resolution go when it says. It does so by whole days of UTC.
 *
 * Owner:   whoever created it; a look at it ends before.
 * Threads: reload from any; begin, end: one. What a look gives: any.
 */
#ifndef CMP_RETAINING_H
#define CMP_RETAINING_H

#include "base/config.h"
#include "upkeep/retain.h"

struct cmp_retaining;

struct cmp_retaining *cmp_retaining_create(const struct mrd_config *config);
void cmp_retaining_destroy(struct cmp_retaining **retaining);

/* The rules may be others from now on. */
void cmp_retaining_reload(struct cmp_retaining *retaining, const struct mrd_config *config);

/* The rules as they are now, at that time. NULL: nobody has any. Lives until the end; one at a time. `resolutions_ms`: of the rollups that are made. */
const struct mrd_upkeep_retain *cmp_retaining_begin(struct cmp_retaining *retaining,
                                                    mrd_time_ms now_ms,
                                                    const mrd_time_ms *resolutions_ms,
                                                    size_t resolution_count);
void cmp_retaining_end(struct cmp_retaining *retaining);

#endif
