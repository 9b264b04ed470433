/* kept.h: how long the region's compactors keep announcements in the log after their last use: the least that any has told with its
 * membership (compactor.references_kept) since this process runs. One that is gone may have trimmed before it went.
 *
 * Threads: any.
 */
#ifndef DST_KEPT_H
#define DST_KEPT_H

#include <stdatomic.h>

#include "bus/members.h"

struct dst_kept {
    struct mrd_members *members; /* lent */
    _Atomic int64_t least_ms;    /* relaxed: a figure by itself; 0: none was told */
};

/* Takes in what compactors tell, and returns the least so far; 0: none was told. */
mrd_time_ms dst_kept_note(struct dst_kept *kept, const struct mrd_members_snapshot *snapshot);

/* The same of the members of now; `kept` is a struct dst_kept. For dst_batcher_options. */
mrd_time_ms dst_kept_now(void *kept);

#endif
