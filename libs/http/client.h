/* client.h: requests over HTTP/1.1, one after the other over a connection that stays open (libcurl).
 *
 * For whoever asks one server one thing at a time. Object storage has its own (objstore/s3_internal.h): many at once,
 * signed, ranges checked on the way. A redirect is an answer like any other, and no proxy is used: what is
 * asked is what was named.
 *
 * Owner:   whoever made it. Threads: one at a time.
 * Limits:  an answer that is not given to a sink has `reply_bytes_max` bytes at most; an error's text is cut there.
 */
#ifndef MRD_HTTP_CLIENT_H
#define MRD_HTTP_CLIENT_H

#include "base/bytes.h"

enum { MRD_HTTP_CALL_HEADERS_MAX = 16 };

struct mrd_http_client;

struct mrd_http_client_options {
    const char *user_agent;
    const char *ca_file; /* NULL: the system's */
    const char *user;    /* NULL: no basic authentication */
    const char *password;
    int64_t connect_timeout_ms;
    int64_t stall_timeout_ms; /* without a byte in either direction */
    size_t reply_bytes_max;
};

/* MRD_E_UNAVAILABLE: libcurl cannot be started. Texts are copied. */
MRD_MUST_CHECK enum mrd_status mrd_http_client_create(const struct mrd_http_client_options *options,
                                                      struct mrd_http_client **out,
                                                      struct mrd_error *err);
void mrd_http_client_destroy(struct mrd_http_client **client);

struct mrd_http_call {
    const char *method;
    const char *url;
    const char *headers[MRD_HTTP_CALL_HEADERS_MAX]; /* "Name: value"; the first NULL ends them */
    struct mrd_bytes body;                          /* sent unless the method is GET */

    /* Where the body of a 2xx goes, piece by piece; NULL: into the reply. What it returns but MRD_OK ends the call,
     * and is returned from it. */
    enum mrd_status (*sink)(void *context, struct mrd_bytes bytes, struct mrd_error *err);
    void *sink_context;
};

struct mrd_http_answer {
    unsigned status;
    struct mrd_bytes body; /* until the next call; without one that went to the sink */
};

/* MRD_OK: there is an answer, of whatever status. MRD_E_UNAVAILABLE: there is none, or it broke off; MRD_E_INVALID:
 * the URL cannot be one; MRD_E_DENIED: the certificate is not trusted; MRD_E_LIMIT: the reply is too large; else the sink's. */
MRD_MUST_CHECK enum mrd_status mrd_http_client_send(struct mrd_http_client *client,
                                                    const struct mrd_http_call *call,
                                                    struct mrd_http_answer *out,
                                                    struct mrd_error *err);

/* A header of the last answer, or NULL; until the next call. */
const char *mrd_http_client_header(struct mrd_http_client *client, const char *name);

#endif
