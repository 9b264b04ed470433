/* intake.h: a shard of the distributor: decodes writes, resolves their series, fills batches, answers.
 *
 * One thread with its own series cache, references and batches: its own name space in the log. HTTP
 * threads post complete requests (struct dst_write) and do nothing else.
 *
 * Owner:   main.
 * Threads: post from any; everything else happens on the shard's thread.
 */
#ifndef DST_INTAKE_H
#define DST_INTAKE_H

#include "base/metrics.h"
#include "distributor/asker.h"
#include "distributor/batcher.h"
#include "distributor/limits.h"
#include "distributor/write.h"

struct dst_intake;

enum { DST_KINDS_COUNTED = DST_KIND_METADATA + 1 };

#define DST_REFUSED_NAME "meridian_distributor_requests_refused_total"
#define DST_REFUSED_HELP                                                                           \
    "Requests refused as a whole: too many at once, their headers, or their body."

/* Counters that all shards share. By kind: samples, histograms, exemplars, metadata. */
struct dst_intake_metrics {
    struct mrd_counter *requests[2];                 /* of remote write 1.0 and 2.0 */
    struct mrd_counter *accepted[DST_KINDS_COUNTED]; /* acknowledged to their sender */
    struct mrd_counter *failed[DST_KINDS_COUNTED];   /* of requests answered with 503 */
    struct mrd_counter *limited[DST_KINDS_COUNTED];  /* of requests answered with 429 */
    struct mrd_counter *refused_body;                /* requests answered with 400 as a whole */
    struct mrd_counter *rejected[DST_KINDS][DST_REASONS];       /* NULL where that cannot be */
    struct mrd_counter_vec *tenant_accepted[DST_KINDS_COUNTED]; /* the same by tenant, bounded */
    struct mrd_counter_vec *tenant_rejected[DST_KINDS_COUNTED];
    struct mrd_counter *series_hits;
    struct mrd_counter *series_misses;
    struct mrd_counter *batches;
    struct mrd_counter *batch_bytes;
    struct mrd_counter *announcements;
    struct mrd_counter *batches_failed;
    struct mrd_metrics_histogram *ack_seconds;
};
void dst_intake_metrics_init(struct dst_intake_metrics *metrics, struct mrd_metrics *registry);

struct dst_intake_options {
    struct dst_batcher_options batcher; /* shard, on_complete and context are filled in */
    struct dst_rates *rates;
    struct dst_tallies *tallies; /* both outlive the intake; */
    struct dst_asker *asker;     /* NULL: limits.active_series_max is not looked at */
    struct dst_asker_metrics *asker_metrics;
    struct dst_intake_metrics *metrics;
    size_t cache_bytes_max;
    _Atomic int64_t *bytes_in_flight; /* counted down by a body's size when its write is answered */
};

MRD_MUST_CHECK enum mrd_status dst_intake_create(const struct dst_intake_options *options,
                                                 struct dst_intake **out_intake,
                                                 struct mrd_error *err);

/* Hands the write over; false (the write is still the caller's) if the shard cannot take more. */
MRD_MUST_CHECK bool dst_intake_post(struct dst_intake *intake, struct dst_write *write);

/* For dst_asker_options.done: takes a write of any shard in again. */
MRD_MUST_CHECK bool dst_intake_resume(void *context, struct dst_write *write);

/* Sends off every batch under construction and waits until that is done. */
void dst_intake_flush(struct dst_intake *intake);

/* The log writer has been destroyed: all batches have landed. Stops the thread and frees. */
void dst_intake_destroy(struct dst_intake **intake);

#endif
