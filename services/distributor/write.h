/* write.h: one remote-write request on its way: from the HTTP thread to a shard, into batches, and back
 * as an answer when every batch that holds a sample of it is acknowledged.
 *
 * Owner:   whoever the post handed it to: the HTTP thread, then its shard.
 * Threads: one at a time, as owned.
 */
#ifndef DST_WRITE_H
#define DST_WRITE_H

#include "base/shard.h"
#include "distributor/doubts.h"
#include "distributor/limits.h"
#include "distributor/tallies.h"
#include "http/server.h"
#include "model/tenant.h"

/* What a write brings. */
enum dst_kind {
    DST_KIND_SAMPLES,
    DST_KIND_HISTOGRAMS,
    DST_KIND_EXEMPLARS,
    DST_KIND_METADATA,
    DST_KIND_SERIES, /* entries that bring nothing, where that is against the rules */
    DST_KINDS
};

/* Why something was not written. Order is that of the answer's text. */
enum dst_reason {
    DST_REASON_LABELS,          /* labels that no series can have */
    DST_REASON_LABEL_LIMIT,     /* labels beyond a limit */
    DST_REASON_SERIES_LIMIT,    /* a new series of a tenant that has as many as it may */
    DST_REASON_FUTURE,          /* a timestamp too far in the future */
    DST_REASON_TIME,            /* a timestamp that cannot be stored */
    DST_REASON_HISTOGRAM,       /* a native histogram that is none */
    DST_REASON_HISTOGRAM_LIMIT, /* more buckets than a limit allows */
    DST_REASON_EXEMPLAR,        /* an exemplar that is none */
    DST_REASON_EXEMPLAR_LIMIT,  /* more exemplars than a limit allows */
    DST_REASON_METADATA,        /* metadata that is none */
    DST_REASON_METADATA_LIMIT,  /* more, or longer, than a limit allows */
    DST_REASON_EMPTY,           /* a 2.0 series with nothing */
    DST_REASONS
};

struct dst_intake;

struct dst_write {
    struct mrd_shard_message message;
    struct mrd_http_request *request;
    struct mrd_buf body; /* as received */
    bool is_v2;          /* remote write 2.0: wants to be told what was written */
    struct mrd_bytes tenant;
    char tenant_text[MRD_TENANT_SIZE_MAX];
    struct dst_limits limits; /* the tenant's, when it came */
    int64_t deadline_ns;

    struct dst_intake *intake; /* whose shard has it */

    /* Of series that are in doubt; the shard's, or the asker's while it has the write. */
    struct dst_tally *tally;   /* borrowed; NULL: nothing was introduced, or without limit */
    struct dst_doubts *doubts; /* NULL: none */
    struct dst_write *next_asked;
    int64_t ask_after_ns;
    int64_t waiting_bytes;
    uint32_t waits; /* rounds that said: later */

    /* The shard's, once posted. */
    uint32_t pending; /* batches that hold samples of it, and one while it is being taken in */
    enum mrd_status status; /* the worst that a batch has come to */
    struct mrd_error error;
    mrd_time_ms retry_ms;        /* with MRD_E_LIMIT: when to come again */
    uint64_t asked[DST_KINDS];   /* what the sender asked to be written */
    uint64_t written[DST_KINDS]; /* what the log is known to have */
    uint64_t refused[DST_KINDS];
    uint64_t rejected[DST_REASONS];      /* the same by reason */
    struct mrd_error first[DST_REASONS]; /* the first of each reason, for the sender */
};

/* Notes that `count` items are not written, and why. */
void dst_write_reject(struct dst_write *write, enum dst_kind kind, enum dst_reason reason,
                      uint64_t count, const struct mrd_error *why);

/* Answers as the remote-write specification says and frees the write:
 *   all written 204; something can never be written 400 with the counts; the log cannot take it 503
 *   (whatever was rejected besides: the sender tries all again); over the tenant's rate 429.
 * A write of 2.0 is told with each of them how many samples, histograms and exemplars the log has. */
void dst_write_answer(struct dst_write **write);

/* Sets the headers by which remote write 2.0 is told what was written. */
void dst_tell_written(struct mrd_http_request *request, const uint64_t written[DST_KINDS]);

/* "samples", "histograms", ... */
const char *dst_kind_name(enum dst_kind kind);

/* "labels", "label_limit", ... for metrics. */
const char *dst_reason_name(enum dst_reason reason);

#endif
