/* log_identity.h: which log a position is of.
 *
 * A partition's log is a stream of NATS, which may be lost and made anew, or restored from a copy: then the same sequences name
 * other messages. So whoever speaks of positions in a log says of which one, and whoever compares positions compares that
 * first (docs/decisions/0013-identity-of-a-log.md).
 *
 * Threads: plain values.
 */
#ifndef MRD_MODEL_LOG_IDENTITY_H
#define MRD_MODEL_LOG_IDENTITY_H

#include "base/clock.h"
#include "base/hash.h"

struct mrd_log_identity {
    int64_t created_ns; /* when the stream was made, the server's clock; 0: the log is not known */
    uint64_t base;      /* what is added to the stream's newest sequences to make positions */
};

static inline bool mrd_log_identity_known(struct mrd_log_identity log)
{
    return log.created_ns != 0;
}

/* Two that are not known are not the same. */
static inline bool mrd_log_identity_equal(struct mrd_log_identity a, struct mrd_log_identity b)
{
    return a.created_ns != 0 && a.created_ns == b.created_ns && a.base == b.base;
}

/* In few bytes, for questions: 0 of one that is not known, never 0 of another. */
static inline uint64_t mrd_log_identity_tag(struct mrd_log_identity log)
{
    const struct mrd_bytes bytes = {(const uint8_t *)&log, sizeof(log)};
    return log.created_ns == 0 ? 0 : mrd_hash64(bytes, 0) | 1;
}
_Static_assert(sizeof(struct mrd_log_identity) == 16, "it is hashed as it lies, without holes");

/* An entry of a log and when the log took it, the server's clock: a log that has another entry there is another. */
struct mrd_log_mark {
    uint64_t sequence; /* position; 0: none */
    mrd_time_ms stored_ms;
};

#endif
