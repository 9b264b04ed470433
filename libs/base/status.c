#include "base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const status_names[MRD_STATUS_COUNT] = {
    [MRD_OK] = "ok",
    [MRD_E_INVALID] = "invalid",
    [MRD_E_LIMIT] = "limit",
    [MRD_E_UNAVAILABLE] = "unavailable",
    [MRD_E_CORRUPT] = "corrupt",
    [MRD_E_NOT_FOUND] = "not_found",
    [MRD_E_CONFLICT] = "conflict",
    [MRD_E_TIMEOUT] = "timeout",
    [MRD_E_CANCELED] = "canceled",
    [MRD_E_UNSUPPORTED] = "unsupported",
    [MRD_E_DENIED] = "denied",
    [MRD_E_FATAL] = "fatal",
};

void mrd_assert_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, condition);
    abort();
}

const char *mrd_status_name(enum mrd_status status)
{
    return (size_t)status < MRD_STATUS_COUNT ? status_names[status] : "unknown";
}

enum mrd_status mrd_fail(struct mrd_error *err, enum mrd_status status, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        err->status = status;
        (void)vsnprintf(err->text, sizeof(err->text), format, args);
        va_end(args);
    }
    return status;
}

enum mrd_status mrd_fail_errno(struct mrd_error *err, enum mrd_status status, const char *format,
                               ...)
{
    const int saved_errno = errno;
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        err->status = status;
        (void)vsnprintf(err->text, sizeof(err->text), format, args);
        va_end(args);
        const size_t used = strlen(err->text);
        char reason[128];
        (void)snprintf(err->text + used, sizeof(err->text) - used, ": %s",
                       strerror_r(saved_errno, reason, sizeof(reason)));
    }
    return status;
}

enum mrd_status mrd_fail_prefix(struct mrd_error *err, enum mrd_status status, const char *format,
                                ...)
{
    if (err == NULL) {
        return status;
    }
    char tail[sizeof(err->text)];
    memcpy(tail, err->text, sizeof(tail));
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    const size_t used = strlen(err->text);
    (void)snprintf(err->text + used, sizeof(err->text) - used, ": %s", tail);
    err->status = status;
    return status;
}
