/* Ranges to requests and back: neighbours that lie close are asked for together, long ones in pieces. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "objstore/s3_internal.h"

/* Bytes first..last of the object, for the ranges from..to. */
struct span {
    uint64_t first, last;
    size_t from, to;
};

struct plan {
    const struct s3 *s3;
    const struct mrd_objstore_range *ranges;
    size_t count;
    size_t at;       /* the range that comes next */
    uint64_t cut_at; /* of it, what earlier spans have: an offset into it */
};

static uint64_t end_of(const struct mrd_objstore_range *range)
{
    return range->offset + range->size;
}

/* A piece of a range that is longer than a request may be. */
static void take_piece(struct plan *plan, struct span *out)
{
    const struct mrd_objstore_range *range = &plan->ranges[plan->at];
    const uint64_t first = range->offset + plan->cut_at;
    const uint64_t end = MRD_MIN(first + S3_SPAN_BYTES_MAX, end_of(range));
    *out = (struct span){first, end - 1, plan->at, plan->at};
    plan->cut_at += end - first;
    if (end == end_of(range)) {
        plan->at++;
        plan->cut_at = 0;
    }
}

static bool take_span(struct plan *plan, struct span *out)
{
    if (plan->at == plan->count) {
        return false;
    }
    const struct mrd_objstore_range *range = &plan->ranges[plan->at];
    if (plan->cut_at > 0 || range->size > S3_SPAN_BYTES_MAX) {
        take_piece(plan, out);
        return true;
    }
    uint64_t end = end_of(range);
    *out = (struct span){.first = range->offset, .from = plan->at};
    for (plan->at++; plan->at < plan->count; plan->at++) {
        const struct mrd_objstore_range *next = &plan->ranges[plan->at];
        const uint64_t longer = MRD_MAX(end, end_of(next));
        if (next->offset < out->first || next->offset > end + plan->s3->gap_max ||
            longer - out->first > S3_SPAN_BYTES_MAX) {
            break;
        }
        end = longer;
    }
    out->last = end - 1;
    out->to = plan->at - 1;
    return true;
}

struct scatter {
    const struct mrd_objstore_range *ranges;
    struct span span;
};

/* Copies what has come to all ranges that have a part in it. */
static enum mrd_status on_bytes(struct s3_call *call, uint64_t at, struct mrd_bytes bytes)
{
    const struct scatter *scatter = call->sink_context;
    const uint64_t begin = scatter->span.first + at;
    const uint64_t end = begin + bytes.size;
    for (size_t i = scatter->span.from; i <= scatter->span.to; i++) {
        const struct mrd_objstore_range *range = &scatter->ranges[i];
        const uint64_t from = MRD_MAX(begin, range->offset);
        const uint64_t to = MRD_MIN(end, end_of(range));
        if (from < to) {
            memcpy((uint8_t *)range->data + (from - range->offset), bytes.data + (from - begin),
                   (size_t)(to - from));
        }
    }
    return MRD_OK;
}

enum { BATCH = 64 }; /* requests that are planned at a time: bounds the memory of a read */

struct batch {
    struct s3_call calls[BATCH];
    struct scatter scatters[BATCH];
    size_t count;
};

static void batch_fill(struct batch *batch, struct plan *plan, const char *key)
{
    struct span span;
    for (batch->count = 0; batch->count < BATCH && take_span(plan, &span); batch->count++) {
        struct s3_call *call = &batch->calls[batch->count];
        struct scatter *scatter = &batch->scatters[batch->count];
        *scatter = (struct scatter){plan->ranges, span};
        s3_call_init(call, "GET", key);
        s3_call_range(call, span.first, span.last);
        call->sink = on_bytes;
        call->sink_context = scatter;
    }
}

enum mrd_status s3_read(struct mrd_objstore *base, const char *key,
                        const struct mrd_objstore_range *ranges, size_t range_count,
                        const struct mrd_objstore_control *control, struct mrd_error *err)
{
    struct s3 *s3 = s3_of(base);
    struct plan plan = {.s3 = s3, .ranges = ranges, .count = range_count};
    struct batch *batch = calloc(1, sizeof(*batch));
    mrd_assert(batch != NULL);
    enum mrd_status status = MRD_OK;
    while (status == MRD_OK && plan.at < plan.count) {
        batch_fill(batch, &plan, key);
        status = s3_exchange(s3, batch->calls, batch->count, s3->ranges_max, control, err);
        for (size_t i = 0; i < batch->count; i++) {
            s3_call_fini(&batch->calls[i]);
        }
    }
    free(batch);
    return status;
}
