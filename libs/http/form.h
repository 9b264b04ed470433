/* form.h: percent-decoding and application/x-www-form-urlencoded parameters.
 *
 * Source: WHATWG URL, section 5.1, with the refusals of Go's net/url (a broken escape and ';' are
 * errors), since that is what clients of the Prometheus API have been tested against.
 */
#ifndef MRD_HTTP_FORM_H
#define MRD_HTTP_FORM_H

#include "base/bytes.h"

struct mrd_http_param {
    struct mrd_bytes name;  /* decoded; a NUL byte stands behind it */
    struct mrd_bytes value; /* likewise */
};

enum { MRD_HTTP_PARAMS_MAX = 10000 };

/* Decodes percent escapes, and '+' as a space if plus_is_space, into `out`, which has room for
 * text.size bytes. False: an escape is broken. */
MRD_MUST_CHECK bool mrd_percent_decode(struct mrd_bytes text, bool plus_is_space, uint8_t *out,
                                       size_t *out_size);

/* Appends the parameters of `text` ("a=1&b=2") to *params, an array of *count that grows by realloc.
 * Names and values are decoded into *storage_out, one block that the caller frees after them.
 * MRD_E_INVALID: a broken escape or a ';'; the other pairs are appended all the same, as Go does.
 * MRD_E_LIMIT: more than MRD_HTTP_PARAMS_MAX, nothing is appended. */
MRD_MUST_CHECK enum mrd_status mrd_form_parse(struct mrd_bytes text, struct mrd_http_param **params,
                                              size_t *count, uint8_t **storage_out,
                                              struct mrd_error *err);

#endif
