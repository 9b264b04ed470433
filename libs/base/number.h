/* number.h: doubles and their text, locale-free, both ways exact.
 *
 * Formatting is the shortest text that reads back to the same double, laid out as Go's strconv does
 * it, since that is what Prometheus prints. Source: strconv.FormatFloat of the Go standard library.
 * The implementation is the C face of C++17's <charconv>; C has neither shortest output nor
 * locale-free input.
 */
#ifndef MRD_BASE_NUMBER_H
#define MRD_BASE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MRD_DOUBLE_TEXT_MAX = 1100 }; /* 'f' of the smallest subnormal, sign and NUL included */

/* Go's 'f', precision -1: never an exponent. "NaN", "+Inf", "-Inf". Returns the length; `out` holds
 * MRD_DOUBLE_TEXT_MAX bytes and is terminated. */
size_t mrd_double_format_f(double value, char *out);

/* Prometheus' JSON form (util/jsonutil MarshalFloat): 'f' for 1e-6 <= |value| < 1e21 and for 0, else
 * 'e' with at least two exponent digits ("1e-07"). Without quotes. */
size_t mrd_double_format_json(double value, char *out);

/* Go's 'g', precision -1: 'e' for exponents below -4 or from 6 on, as %v and %g print a float64
 * ("1e+06"). */
size_t mrd_double_format_g(double value, char *out);

/* Reads all of text[0..size) as a decimal float: sign, digits, point, exponent; "inf", "infinity",
 * "nan" in any case. Overflow gives an infinity, underflow zero. False if anything else is there;
 * *out is unchanged then. */
bool mrd_double_parse(const char *text, size_t size, double *out);

#ifdef __cplusplus
}
#endif

#endif
