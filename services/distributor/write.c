#include "distributor/write.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

const char *dst_reason_name(enum dst_reason reason)
{
    static const char *const names[DST_REASONS] = {
        [DST_REASON_LABELS] = "labels",       [DST_REASON_LABEL_LIMIT] = "label_limit",
        [DST_REASON_FUTURE] = "future",       [DST_REASON_TIME] = "timestamp",
        [DST_REASON_HISTOGRAM] = "histogram",
    };
    return names[reason];
}

void dst_write_reject(struct dst_write *write, enum dst_reason reason, uint64_t count,
                      const struct mrd_error *why)
{
    if (write->rejected[reason] == 0) {
        write->first[reason] = *why;
    }
    write->rejected[reason] += count;
}

static void answer_rejected(struct dst_write *write, uint64_t rejected)
{
    struct mrd_buf text = {0};
    mrd_buf_printf(&text, "%" PRIu64 " of %" PRIu64 " samples were not written, the others were:",
                   rejected, write->samples);
    for (int i = 0; i < DST_REASONS; i++) {
        if (write->rejected[i] > 0) {
            mrd_buf_printf(&text, "\n%" PRIu64 " %s: %s", write->rejected[i],
                           dst_reason_name((enum dst_reason)i), write->first[i].text);
        }
    }
    mrd_buf_append_u8(&text, '\n');
    mrd_http_reply(write->request, 400, &text);
    mrd_buf_fini(&text);
}

static void write_free(struct dst_write **write)
{
    mrd_buf_fini(&(*write)->body);
    free(*write);
    *write = NULL;
}

void dst_write_answer(struct dst_write **write)
{
    struct dst_write *mine = *write;
    uint64_t rejected = 0;
    for (int i = 0; i < DST_REASONS; i++) {
        rejected += mine->rejected[i];
    }
    if (mine->status == MRD_E_INVALID) {
        mrd_http_reply_text(mine->request, 400, "%s\n", mine->error.text);
    } else if (mine->status == MRD_E_LIMIT) {
        char seconds[24];
        (void)snprintf(seconds, sizeof(seconds), "%" PRId64, mine->retry_ms / 1000 + 1);
        mrd_http_header_set(mine->request, "Retry-After", seconds);
        mrd_http_reply_text(mine->request, 429, "%s\n", mine->error.text);
    } else if (mine->status != MRD_OK) {
        mrd_http_header_set(mine->request, "Retry-After", "1");
        mrd_http_reply_text(mine->request, 503, "%s\n", mine->error.text);
    } else if (rejected > 0) {
        answer_rejected(mine, rejected);
    } else {
        mrd_http_reply(mine->request, 204, NULL);
    }
    write_free(write);
}
