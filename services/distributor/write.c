#include "distributor/write.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

const char *dst_kind_name(enum dst_kind kind)
{
    static const char *const names[DST_KINDS] = {
        [DST_KIND_SAMPLES] = "samples",     [DST_KIND_HISTOGRAMS] = "histograms",
        [DST_KIND_EXEMPLARS] = "exemplars", [DST_KIND_METADATA] = "metadata",
        [DST_KIND_SERIES] = "series",
    };
    return names[kind];
}

const char *dst_reason_name(enum dst_reason reason)
{
    static const char *const names[DST_REASONS] = {
        [DST_REASON_LABELS] = "labels",
        [DST_REASON_LABEL_LIMIT] = "label_limit",
        [DST_REASON_SERIES_LIMIT] = "series_limit",
        [DST_REASON_FUTURE] = "future",
        [DST_REASON_TIME] = "timestamp",
        [DST_REASON_HISTOGRAM] = "histogram",
        [DST_REASON_HISTOGRAM_LIMIT] = "histogram_limit",
        [DST_REASON_EXEMPLAR] = "exemplar",
        [DST_REASON_EXEMPLAR_LIMIT] = "exemplar_limit",
        [DST_REASON_METADATA] = "metadata",
        [DST_REASON_METADATA_LIMIT] = "metadata_limit",
        [DST_REASON_EMPTY] = "empty",
    };
    return names[reason];
}

void dst_write_reject(struct dst_write *write, enum dst_kind kind, enum dst_reason reason,
                      uint64_t count, const struct mrd_error *why)
{
    if (count == 0) {
        return;
    }
    if (write->rejected[reason] == 0) {
        write->first[reason] = *why;
    }
    write->rejected[reason] += count;
    write->refused[kind] += count;
}

/* "2 of 5 samples, 1 of 1 histograms" */
static void refused_text(const struct dst_write *write, struct mrd_buf *out)
{
    const char *separator = "";
    for (int kind = 0; kind < DST_KINDS; kind++) {
        if (write->refused[kind] > 0) {
            mrd_buf_printf(out, "%s%" PRIu64 " of %" PRIu64 " %s", separator, write->refused[kind],
                           write->asked[kind], dst_kind_name((enum dst_kind)kind));
            separator = ", ";
        }
    }
}

static void answer_rejected(struct dst_write *write)
{
    struct mrd_buf text = {0};
    refused_text(write, &text);
    mrd_buf_printf(&text, " were not written, the others were:");
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

/* Remote write 2.0, "Required Written Response Headers". */
void dst_tell_written(struct mrd_http_request *request, const uint64_t written[DST_KINDS])
{
    static const struct {
        enum dst_kind kind;
        const char *name;
    } headers[] = {
        {DST_KIND_SAMPLES,    "X-Prometheus-Remote-Write-Samples-Written"   },
        {DST_KIND_HISTOGRAMS, "X-Prometheus-Remote-Write-Histograms-Written"},
        {DST_KIND_EXEMPLARS,  "X-Prometheus-Remote-Write-Exemplars-Written" },
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(headers); i++) {
        char count[24];
        (void)snprintf(count, sizeof(count), "%" PRIu64, written[headers[i].kind]);
        mrd_http_header_set(request, headers[i].name, count);
    }
}

static void write_free(struct dst_write **write)
{
    dst_doubts_destroy(&(*write)->doubts);
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
    if (mine->is_v2) {
        dst_tell_written(mine->request, mine->written);
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
        answer_rejected(mine);
    } else {
        mrd_http_reply(mine->request, 204, NULL);
    }
    write_free(write);
}
