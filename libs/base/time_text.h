/* time_text.h: times as Prometheus' API takes them: seconds since the epoch ("1435781451.781"), or RFC 3339 with up to
 * nanoseconds ("2015-07-01T20:10:51.781Z"). */
#ifndef MRD_BASE_TIME_TEXT_H
#define MRD_BASE_TIME_TEXT_H

#include "base/bytes.h"
#include "base/clock.h"

/* False for any other text; *out_ms is unchanged then. */
MRD_MUST_CHECK bool mrd_time_parse(struct mrd_bytes text, mrd_time_ms *out_ms);

/* RFC 3339 alone, to the nanosecond; false as well for years that 64 bits of them do not reach (1678 to 2261). */
MRD_MUST_CHECK bool mrd_time_parse_ns(struct mrd_bytes text, int64_t *out_ns);

#endif
