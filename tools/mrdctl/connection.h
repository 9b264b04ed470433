/* connection.h: a service that a command talks to: its address, the tenant, credentials.
 *
 * A bearer token comes from --token-file or the environment (MRDCTL_TOKEN), a password for --user from --password-file or
 * MRDCTL_PASSWORD. Neither is printed anywhere.
 *
 * Owner: ctl_connection_close. Threads: one at a time.
 */
#ifndef CTL_CONNECTION_H
#define CTL_CONNECTION_H

#include "http/client.h"
#include "mrdctl/options.h"

struct ctl_connection_options {
    const char *url; /* http://host:7201, without the path of a call */
    const char *tenant;
    const char *token_file;
    const char *user;
    const char *password_file;
    const char *ca_file;
};

/* The rows of a table of options, for a command that has them all. */
#define CTL_CONNECTION_ROWS(options_, url_help_)                                                   \
    CTL_REQUIRED_ROW("url", CTL_TEXT, "URL", url_help_, &(options_)->url),                         \
        CTL_ROW("user", CTL_TEXT, "NAME",                                                          \
                "basic authentication; the password: --password-file or MRDCTL_PASSWORD",          \
                &(options_)->user),                                                                \
        CTL_ROW("password-file", CTL_TEXT, "FILE", "file with the password",                       \
                &(options_)->password_file),                                                       \
        CTL_ROW("token-file", CTL_TEXT, "FILE",                                                    \
                "file with a bearer token (or the environment: MRDCTL_TOKEN)",                     \
                &(options_)->token_file),                                                          \
        CTL_ROW("ca-file", CTL_TEXT, "FILE",                                                       \
                "certificates to trust instead of the system's (PEM)", &(options_)->ca_file)

#define CTL_TENANT_ROW(options_)                                                                   \
    CTL_ROW("tenant", CTL_TEXT, "NAME", "the tenant (X-Scope-OrgID); without it: anonymous",       \
            &(options_)->tenant)

enum { CTL_URL_SIZE = 2048, CTL_SECRET_SIZE = 8192 };

struct ctl_connection {
    struct mrd_http_client *client;
    char base[CTL_URL_SIZE];
    char tenant_header[256];
    char authorization[CTL_SECRET_SIZE + 32];
};

/* MRD_E_INVALID: options that do not go together, a URL that is none, no such tenant; MRD_E_NOT_FOUND,
 * MRD_E_UNAVAILABLE: a file cannot be read. */
MRD_MUST_CHECK enum mrd_status ctl_connection_open(struct ctl_connection *connection,
                                                   const struct ctl_connection_options *options,
                                                   struct mrd_error *err);
void ctl_connection_close(struct ctl_connection *connection);

/* Sends a call whose `url` is a path, with the headers that every call has added to its own (at most
 * MRD_HTTP_CALL_HEADERS_MAX - 2). As mrd_http_client_send. */
MRD_MUST_CHECK enum mrd_status ctl_connection_send(struct ctl_connection *connection,
                                                   const struct mrd_http_call *call,
                                                   struct mrd_http_answer *out,
                                                   struct mrd_error *err);

/* What an answer says, for a message: the first 300 bytes without line ends behind them. */
struct mrd_bytes ctl_answer_text(const struct mrd_http_answer *answer);

#endif
