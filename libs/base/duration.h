/* duration.h: Prometheus' durations ("1h30m", "15s", "500ms") as milliseconds.
 *
 * Source: prometheus/common model.ParseDuration: units y w d h m s ms, each at most once and in this
 * order, whole numbers, a year of 365 days. "0" alone needs no unit.
 */
#ifndef MRD_BASE_DURATION_H
#define MRD_BASE_DURATION_H

#include "base/bytes.h"
#include "base/clock.h"

/* MRD_E_INVALID for any other text and for what does not fit; *out_ms is unchanged then. */
MRD_MUST_CHECK enum mrd_status mrd_duration_parse(struct mrd_bytes text, mrd_time_ms *out_ms,
                                                  struct mrd_error *err);

enum { MRD_DURATION_TEXT_MAX = 64 };

/* The shortest such text ("90s" becomes "1m30s", 0 becomes "0s"; a leading '-' if negative). */
const char *mrd_duration_format(mrd_time_ms duration_ms, char out[MRD_DURATION_TEXT_MAX]);

#endif
