#include "mrdctl/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "model/tenant.h"

enum {
    CONNECT_MS = 10000,
    STALL_MS = 120000, /* longer than any service takes for a request */
    REPLY_BYTES_MAX = 64 << 10,
    TEXT_MAX = 300,
};

/* ---- secrets ---- */

/* The first line of a file. */
static enum mrd_status secret_read(const char *path, char out[CTL_SECRET_SIZE],
                                   struct mrd_error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return mrd_fail_errno(err, errno == ENOENT ? MRD_E_NOT_FOUND : MRD_E_UNAVAILABLE, "%s",
                              path);
    }
    const ssize_t size = read(fd, out, CTL_SECRET_SIZE - 1);
    const enum mrd_status status =
        size < 0 ? mrd_fail_errno(err, MRD_E_UNAVAILABLE, "%s", path) : MRD_OK;
    (void)close(fd);
    MRD_TRY(status);
    out[size] = 0;
    out[strcspn(out, "\r\n")] = 0;
    return out[0] != 0 ? MRD_OK : mrd_fail(err, MRD_E_INVALID, "%s: the first line is empty", path);
}

/* From the file if one is named, else from the environment; "" if there is none. */
static enum mrd_status secret_get(const char *path, const char *variable, char out[CTL_SECRET_SIZE],
                                  struct mrd_error *err)
{
    const char *value = getenv(variable);
    out[0] = 0;
    if (path != NULL) {
        return secret_read(path, out, err);
    }
    if (value != NULL && strlen(value) >= CTL_SECRET_SIZE) {
        return mrd_fail(err, MRD_E_INVALID, "%s is too long", variable);
    }
    if (value != NULL) {
        memcpy(out, value, strlen(value) + 1);
    }
    return strpbrk(out, "\r\n") == NULL
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID, "%s has more than one line", variable);
}

/* The password of --user, or a header with a token. */
static enum mrd_status set_secret(struct ctl_connection *connection,
                                  const struct ctl_connection_options *options, char *secret,
                                  struct mrd_error *err)
{
    if (options->user != NULL && options->token_file != NULL) {
        return mrd_fail(err, MRD_E_INVALID, "--user and --token-file exclude each other");
    }
    if (options->user != NULL) {
        return secret_get(options->password_file, "MRDCTL_PASSWORD", secret, err);
    }
    if (options->password_file != NULL) {
        return mrd_fail(err, MRD_E_INVALID, "--password-file needs --user");
    }
    MRD_TRY(secret_get(options->token_file, "MRDCTL_TOKEN", secret, err));
    if (secret[0] != 0) {
        (void)snprintf(connection->authorization, sizeof(connection->authorization),
                       "Authorization: Bearer %s", secret);
    }
    return MRD_OK;
}

/* ---- the connection ---- */

static enum mrd_status set_base(struct ctl_connection *connection, const char *url,
                                struct mrd_error *err)
{
    size_t size = strlen(url);
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
        return mrd_fail(err, MRD_E_INVALID, "--url %s: it begins with http:// or https://", url);
    }
    if (strpbrk(url, "@?# ") != NULL) {
        return mrd_fail(err, MRD_E_INVALID,
                        "--url: only the address of the service is wanted, without user, password "
                        "or query");
    }
    while (size > 0 && url[size - 1] == '/') {
        size--;
    }
    if (size >= sizeof(connection->base) / 2) {
        return mrd_fail(err, MRD_E_INVALID, "--url is too long");
    }
    memcpy(connection->base, url, size);
    connection->base[size] = 0;
    return MRD_OK;
}

static enum mrd_status set_tenant(struct ctl_connection *connection, const char *tenant,
                                  struct mrd_error *err)
{
    struct mrd_bytes name;
    if (tenant == NULL) {
        return MRD_OK;
    }
    MRD_TRY(mrd_tenant_of_header(mrd_bytes_of(tenant), &name, err));
    (void)snprintf(connection->tenant_header, sizeof(connection->tenant_header),
                   MRD_TENANT_HEADER ": %s", tenant);
    return MRD_OK;
}

enum mrd_status ctl_connection_open(struct ctl_connection *connection,
                                    const struct ctl_connection_options *options,
                                    struct mrd_error *err)
{
    char secret[CTL_SECRET_SIZE];
    *connection = (struct ctl_connection){0};
    MRD_TRY(set_base(connection, options->url, err));
    MRD_TRY(set_tenant(connection, options->tenant, err));
    MRD_TRY(set_secret(connection, options, secret, err));
    const struct mrd_http_client_options client = {
        .user_agent = "mrdctl/" MRD_VERSION,
        .ca_file = options->ca_file,
        .user = options->user,
        .password = secret,
        .connect_timeout_ms = CONNECT_MS,
        .stall_timeout_ms = STALL_MS,
        .reply_bytes_max = REPLY_BYTES_MAX,
    };
    const enum mrd_status status = mrd_http_client_create(&client, &connection->client, err);
    explicit_bzero(secret, sizeof(secret));
    return status;
}

void ctl_connection_close(struct ctl_connection *connection)
{
    mrd_http_client_destroy(&connection->client);
    explicit_bzero(connection->authorization, sizeof(connection->authorization));
}

enum mrd_status ctl_connection_send(struct ctl_connection *connection,
                                    const struct mrd_http_call *call, struct mrd_http_answer *out,
                                    struct mrd_error *err)
{
    char url[CTL_URL_SIZE];
    struct mrd_http_call whole = *call;
    size_t count = 0;
    (void)snprintf(url, sizeof(url), "%s%s", connection->base, call->url);
    whole.url = url;
    while (count < MRD_HTTP_CALL_HEADERS_MAX - 2 && whole.headers[count] != NULL) {
        count++;
    }
    if (connection->tenant_header[0] != 0) {
        whole.headers[count++] = connection->tenant_header;
    }
    if (connection->authorization[0] != 0) {
        whole.headers[count++] = connection->authorization;
    }
    return mrd_http_client_send(connection->client, &whole, out, err);
}

struct mrd_bytes ctl_answer_text(const struct mrd_http_answer *answer)
{
    struct mrd_bytes text = {answer->body.data, MRD_MIN(answer->body.size, (size_t)TEXT_MAX)};
    while (text.size > 0 && text.data[text.size - 1] <= ' ') {
        text.size--;
    }
    return text;
}
