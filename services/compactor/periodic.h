/* periodic.h: work that the region needs once in a while, done by whichever compactor comes first: under a lease, and with the time of
 * its last end in the store (upkeep/<name>), so that neither the number of compactors nor their restarts change how often it is done.
 *
 * Threads: the round of the role that it belongs to; cmp_periodic_want: any.
 */
#ifndef CMP_PERIODIC_H
#define CMP_PERIODIC_H

#include <stdatomic.h>

#include "compactor/jobs.h"

struct cmp_periodic {
    const char *name;        /* static: of the lease and the object */
    mrd_time_ms interval_ms; /* 0: never, unless wanted */
    _Atomic bool wanted;     /* relaxed: a wish */
};

/* Asks for it now. Nudge the role then. */
void cmp_periodic_want(struct cmp_periodic *periodic);

/* How often to look whether it is due: the interval of its role. */
mrd_time_ms cmp_periodic_look_ms(const struct cmp_periodic *periodic);

/* Does `work` if it is due and nobody else is at it. A wish stays until the work was done, here or by others after the wish. */
MRD_MUST_CHECK enum mrd_status
cmp_periodic_run(struct cmp_periodic *periodic, const struct cmp_environment *environment,
                 enum mrd_status (*work)(void *context, const struct cmp_environment *environment,
                                         struct mrd_error *err),
                 void *context, struct mrd_error *err);

#endif
