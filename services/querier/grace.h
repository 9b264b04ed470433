/* grace.h: whether what this querier reads is still there: files of blocks that have left the catalog stay as long as the compactors' grace, and a
 * querier that cannot read the catalog goes by its last state as long as querier.block_stale_max. Each is configured in a service of its own, so
 * compactors tell theirs with their membership.
 *
 * Threads: pure functions.
 */
#ifndef QRY_GRACE_H
#define QRY_GRACE_H

#include "bus/members.h"

/* How many compactors keep files no longer than stale_ms_max; *out_least is the one that keeps them least. Those that do not say are none. */
size_t qry_grace_conflicts(const struct mrd_members_snapshot *snapshot, mrd_time_ms stale_ms_max,
                           const struct mrd_member **out_least);

#endif
