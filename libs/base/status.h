/* status.h: what a function that can fail returns, and the text that says what happened.
 *
 * A status tells the caller what to do next; the text in struct mrd_error, made where the facts are,
 * tells a human what happened to what. Libraries never log: the service that ends the request logs
 * once and maps the status to an HTTP or NATS answer.
 */
#ifndef MRD_BASE_STATUS_H
#define MRD_BASE_STATUS_H

#include "base/macros.h"

enum mrd_status {
    MRD_OK = 0,
    MRD_E_INVALID,     /* the input is wrong: say what to change, do not retry */
    MRD_E_LIMIT,       /* a tenant's or process' budget is spent: name the limit and its value */
    MRD_E_UNAVAILABLE, /* a peer or disk is slow or gone: retry with back-off */
    MRD_E_CORRUPT,     /* our own bytes fail their checks: refuse them and page a human */
    MRD_E_NOT_FOUND,   /* what was named does not exist */
    MRD_E_CONFLICT,    /* a compare-and-set lost: read again, decide again */
    MRD_E_TIMEOUT,     /* the caller's deadline passed */
    MRD_E_CANCELED,    /* the caller went away or stopped the work */
    MRD_E_UNSUPPORTED, /* valid input that this build does not implement: say so, do not guess */
    MRD_E_DENIED,      /* a peer refuses our credentials or rights: a human must change something */
    MRD_E_FATAL,       /* what the disk holds is unknown (a failed fsync): stop the process */
    MRD_STATUS_COUNT
};

/* The text of a failure, owned by the caller and usually on its stack. `text` is always terminated;
 * a longer message is cut. */
struct mrd_error {
    enum mrd_status status;
    char text[512];
};

/* Lower-case word for logs and metrics labels: "ok", "invalid", "limit", ... Static storage. */
const char *mrd_status_name(enum mrd_status status);

/* Fills *err (which may be NULL) and returns `status`. */
enum mrd_status mrd_fail(struct mrd_error *err, enum mrd_status status, const char *format, ...)
    MRD_PRINTF(3, 4);

/* Like mrd_fail, and appends ": " and the text of the current errno. */
enum mrd_status mrd_fail_errno(struct mrd_error *err, enum mrd_status status, const char *format,
                               ...) MRD_PRINTF(3, 4);

/* Puts "<prefix>: " before the text of an error that a callee has filled; returns err->status.
 * err may be NULL, then `status` is returned. */
enum mrd_status mrd_fail_prefix(struct mrd_error *err, enum mrd_status status, const char *format,
                                ...) MRD_PRINTF(3, 4);

#endif
