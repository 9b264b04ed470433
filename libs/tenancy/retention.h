/* retention.h: how long a tenant's samples and their rollups are kept (retention.*).
 *
 * Threads: plain values.
 */
#ifndef MRD_TENANCY_RETENTION_H
#define MRD_TENANCY_RETENTION_H

#include "base/clock.h"
#include "base/config.h"

enum { MRD_RETENTION_KINDS = 5 /* samples, rollups of 5 minutes, 1 hour, 6 hours, 1 day */ };

struct mrd_retention {
    mrd_time_ms kept_ms[MRD_RETENTION_KINDS]; /* as configured */
};

/* For mrd_tenancy_settings_create, or a part of what it reads: fills a struct mrd_retention. */
void mrd_retention_read(const struct mrd_config *config, void *out_retention);

/* How long samples (resolution 0) or rollups of a resolution are kept, by their own times; 0: for ever. Rollups without a retention of their own
 * are kept as long as samples, and so are those of resolutions that have no key. */
mrd_time_ms mrd_retention_of(const struct mrd_retention *retention, mrd_time_ms resolution_ms);

/* What is before it is not kept at that moment; INT64_MIN: everything is. */
mrd_time_ms mrd_retention_floor(const struct mrd_retention *retention, mrd_time_ms resolution_ms,
                                mrd_time_ms now_ms);

#endif
