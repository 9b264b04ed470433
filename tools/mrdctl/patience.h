/* patience.h: waiting for a server that cannot now: as long as it asks for, else 0.5 s and then twice as long each time up to 30 s.
 */
#ifndef CTL_PATIENCE_H
#define CTL_PATIENCE_H

#include "base/clock.h"
#include "http/client.h"

struct ctl_patience {
    int64_t end_ns; /* monotonic */
    int64_t wait_ms;
    uint64_t waits;
};

void ctl_patience_init(struct ctl_patience *patience, mrd_time_ms patience_ms);

/* Waits and says why on standard error. False, at once, if patience would end meanwhile. asked_ms 0: nothing was asked for. */
MRD_MUST_CHECK bool ctl_patience_wait(struct ctl_patience *patience, int64_t asked_ms,
                                      const char *why);

/* What Retry-After of the last answer asks for: 0 if nothing, 5 minutes at most. */
int64_t ctl_retry_after_ms(struct mrd_http_client *client);

/* A header of the last answer that is a count. */
MRD_MUST_CHECK bool ctl_header_count(struct mrd_http_client *client, const char *name,
                                     uint64_t *out);

#endif
