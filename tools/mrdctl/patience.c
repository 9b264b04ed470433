#include "mrdctl/patience.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { WAIT_FIRST_MS = 500, WAIT_MOST_MS = 30000, ASKED_MOST_MS = 300000 };

void ctl_patience_init(struct ctl_patience *patience, mrd_time_ms patience_ms)
{
    *patience = (struct ctl_patience){
        .end_ns = mrd_clock_monotonic_ns(mrd_clock_system()) + patience_ms * 1000000,
        .wait_ms = WAIT_FIRST_MS,
    };
}

static void sleep_ms(int64_t ms)
{
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {}
}

bool ctl_patience_wait(struct ctl_patience *patience, int64_t asked_ms, const char *why)
{
    const int64_t pause_ms = MRD_MAX(asked_ms, patience->wait_ms);
    if (mrd_clock_monotonic_ns(mrd_clock_system()) + pause_ms * 1000000 > patience->end_ns) {
        return false;
    }
    if (patience->waits++ % 10 == 0) {
        (void)fprintf(stderr, "%s; again in %" PRId64 " ms\n", why, pause_ms);
    }
    sleep_ms(pause_ms);
    patience->wait_ms = MRD_MIN(2 * patience->wait_ms, (int64_t)WAIT_MOST_MS);
    return true;
}

bool ctl_header_count(struct mrd_http_client *client, const char *name, uint64_t *out)
{
    const char *text = mrd_http_client_header(client, name);
    char *end;
    if (text == NULL || text[0] < '0' || text[0] > '9') {
        return false;
    }
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && *end == 0;
}

int64_t ctl_retry_after_ms(struct mrd_http_client *client)
{
    uint64_t seconds;
    if (!ctl_header_count(client, "Retry-After", &seconds)) {
        return 0;
    }
    return seconds > ASKED_MOST_MS / 1000 ? ASKED_MOST_MS : (int64_t)seconds * 1000;
}
