/* merging.h: the role "merge": blocks of level 0 to files of tenants and days, these to files of months, the tenants' tables with them
 * (upkeep/merge.h).
 *
 * A round plans on the newest state of the catalog and does what is due and not leased to another compactor, unit by unit, and plans
 * again, until nothing is left. A unit that fails for reasons of its own (its figures do not add up, its memory is too small) is logged and left alone for
 * CMP_MERGING_PAUSE_MS; others go on.
 *
 * Owner:   whoever created it; destroyed after the jobs.
 * Threads: the round: one. The functions below: any.
 */
#ifndef CMP_MERGING_H
#define CMP_MERGING_H

#include "base/config.h"
#include "compactor/jobs.h"
#include "upkeep/merge.h"

#define CMP_MERGING_ROLE "merge"
enum { CMP_MERGING_PAUSE_MS = 10 * 60 * 1000, CMP_MERGING_RELEASES_MAX = 64 };

struct cmp_merging;

/* `config` is lent for the call. Tables are kept if `tables` is not NULL: their root and what else does not change. */
struct cmp_merging *cmp_merging_create(const struct mrd_config *config, const char *holder,
                                       const struct mrd_upkeep_tables *tables,
                                       struct mrd_metrics *metrics);
void cmp_merging_destroy(struct cmp_merging **merging);

/* The tenants' layouts may be others from now on. */
void cmp_merging_reload(struct cmp_merging *merging, const struct mrd_config *config);

struct cmp_role cmp_merging_role(struct cmp_merging *merging);

/* All blocks of level 0 are due with the next plan, whatever their age. Nudge the role then. */
void cmp_merging_want(struct cmp_merging *merging);

/* Whether the block was in quarantine when the last round began. */
bool cmp_merging_is_bad(struct cmp_merging *merging, struct mrd_bytes id);

/* What was in quarantine when the last round began, as a JSON object. */
void cmp_merging_quarantine(struct cmp_merging *merging, struct mrd_buf *out);

/* Lets a block out with the next round. False: too many wait. */
bool cmp_merging_release(struct cmp_merging *merging, struct mrd_bytes id);

#endif
