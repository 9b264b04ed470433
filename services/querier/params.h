/* params.h: the query API's parameters as Prometheus reads them (web/api/v1/api.go, parseTime and
 * parseDuration), with its error texts.
 *
 * Threads: pure functions.
 */
#ifndef QRY_PARAMS_H
#define QRY_PARAMS_H

#include "base/bytes.h"
#include "base/clock.h"

/* Prometheus' minTime and maxTime: what a missing start or end of a metadata call means. */
#define QRY_TIME_MIN_MS (INT64_MIN / 2)
#define QRY_TIME_MAX_MS (INT64_MAX / 2)

/* Float seconds since the epoch ("1435781451.781"), RFC 3339 with up to nanoseconds, or the texts that
 * Prometheus' clients have for its least and greatest time. MRD_E_INVALID:
 * `cannot parse "x" to a valid timestamp`. */
MRD_MUST_CHECK enum mrd_status qry_time_parse(struct mrd_bytes text, mrd_time_ms *out_ms,
                                              struct mrd_error *err);

/* Float seconds ("15", "0.5") or a Prometheus duration ("5m"). MRD_E_INVALID:
 * `cannot parse "x" to a valid duration`. */
MRD_MUST_CHECK enum mrd_status qry_duration_parse(struct mrd_bytes text, mrd_time_ms *out_ms,
                                                  struct mrd_error *err);

/* A count that is at least 0. MRD_E_INVALID: `limit must be non-negative` or what Go's strconv.Atoi
 * says. */
MRD_MUST_CHECK enum mrd_status qry_limit_parse(struct mrd_bytes text, size_t *out_limit,
                                               struct mrd_error *err);

/* Undoes the escaping of UTF-8 label names in a path ("U__foo_2e_bar" is "foo.bar"; other names, and
 * those with an escape that is none, are themselves). Prometheus: model.UnescapeName with
 * ValueEncodingEscaping. Appends to `out`, whatever it is: the caller checks the name. */
void qry_label_name_unescape(struct mrd_bytes name, struct mrd_buf *out);

#endif
