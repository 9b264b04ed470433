/* The server's greeting, read over a plain socket: nats.c keeps the version to itself. */
#include "bus/connection_internal.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { INFO_LINE_MAX = 16384, ADDRESS_MAX = 256 };

static void fd_close(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}

/* "nats://user:pass@host:4222" into host and port. */
static bool url_parse(const char *url, size_t size, char host[ADDRESS_MAX], char port[16])
{
    char text[ADDRESS_MAX];
    if (size >= sizeof(text)) {
        return false;
    }
    memcpy(text, url, size);
    text[size] = '\0';
    char *at = strstr(text, "://");
    char *start = at == NULL ? text : at + 3;
    at = strrchr(start, '@');
    start = at == NULL ? start : at + 1;
    snprintf(port, 16, "4222");
    char *colon = strrchr(start, ':');
    if (colon != NULL && strchr(colon, ']') == NULL) {
        *colon = '\0';
        snprintf(port, 16, "%.15s", colon + 1);
    }
    if (start[0] == '[') { /* an IPv6 address */
        start[strlen(start) - 1] = '\0';
        start++;
    }
    snprintf(host, ADDRESS_MAX, "%s", start);
    return host[0] != '\0';
}

static int dial(const char *host, const char *port, int64_t timeout_ms)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    if (getaddrinfo(host, port, &hints, &list) != 0) {
        return -1;
    }
    int fd = -1;
    for (const struct addrinfo *at = list; at != NULL && fd < 0; at = at->ai_next) {
        fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0) {
            continue;
        }
        if (connect(fd, at->ai_addr, at->ai_addrlen) != 0) {
            struct pollfd wait = {.fd = fd, .events = POLLOUT};
            int error = errno == EINPROGRESS ? 0 : errno;
            socklen_t error_size = sizeof(error);
            if (error != 0 || poll(&wait, 1, (int)timeout_ms) != 1 ||
                getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_size) != 0 || error != 0) {
                close(fd);
                fd = -1;
            }
        }
    }
    freeaddrinfo(list);
    return fd;
}

static bool read_line(int fd, int64_t timeout_ms, char *line, size_t capacity)
{
    size_t size = 0;
    while (size + 1 < capacity) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, 1, (int)timeout_ms) != 1) {
            return false;
        }
        const ssize_t got = read(fd, line + size, capacity - 1 - size);
        if (got <= 0) {
            return false;
        }
        size += (size_t)got;
        line[size] = '\0';
        if (strchr(line, '\n') != NULL) {
            return true;
        }
    }
    return false;
}

/* INFO is flat JSON but for lists of URLs, and none of its names occurs within a value. */
static bool info_parse(const char *line, struct mrd_bus_server *out)
{
    if (strncmp(line, "INFO ", 5) != 0) {
        return false;
    }
    const char *version = strstr(line, "\"version\":\"");
    const char *payload = strstr(line, "\"max_payload\":");
    if (version == NULL || payload == NULL) {
        return false;
    }
    version += strlen("\"version\":\"");
    const size_t size = strcspn(version, "\"");
    if (size >= sizeof(out->version)) {
        return false;
    }
    memcpy(out->version, version, size);
    out->version[size] = '\0';
    out->payload_max = strtoll(payload + strlen("\"max_payload\":"), NULL, 10);
    out->jetstream = strstr(line, "\"jetstream\":true") != NULL;
    return true;
}

enum mrd_status mrd_bus_server_info(const char *urls, int64_t timeout_ms,
                                    struct mrd_bus_server *out, struct mrd_error *err)
{
    for (const char *at = urls; *at != '\0';) {
        const size_t size = strcspn(at, ", ");
        char host[ADDRESS_MAX];
        char port[16];
        if (size > 0 && url_parse(at, size, host, port)) {
            mrd_auto(fd_close)
            int fd = dial(host, port, timeout_ms);
            char line[INFO_LINE_MAX];
            if (fd >= 0 && read_line(fd, timeout_ms, line, sizeof(line)) && info_parse(line, out)) {
                return MRD_OK;
            }
        }
        at += size;
        at += strspn(at, ", ");
    }
    char *shown = mrd_bus_urls_shown(urls);
    const enum mrd_status status =
        mrd_fail(err, MRD_E_UNAVAILABLE, "nats %s: no server answers", shown);
    free(shown);
    return status;
}

int mrd_bus_version_compare(const char *a, const char *b)
{
    for (;;) {
        char *a_end = NULL;
        char *b_end = NULL;
        const long a_part = isdigit((unsigned char)*a) ? strtol(a, &a_end, 10) : -1;
        const long b_part = isdigit((unsigned char)*b) ? strtol(b, &b_end, 10) : -1;
        if (a_part != b_part) {
            return a_part < b_part ? -1 : 1;
        }
        if (a_part < 0) {
            return 0;
        }
        a = *a_end == '.' ? a_end + 1 : "";
        b = *b_end == '.' ? b_end + 1 : "";
    }
}
