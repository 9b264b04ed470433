/* asker.h: a thread that settles writes' doubts: asks about their series, and decides which may be introduced.
 *
 * Writes that wait are asked about in rounds, all that wait at once together. Nobody else waits for them: a
 * shard that hands one over goes on with others. Where the room that is left depends on series that were introduced a moment ago, and
 * may be counted twice or not at all, a write waits for another round, twice at most.
 *
 * A question that nobody answers lets its series through, and for some seconds all of that tenant's (tallies.h), so that a
 * limit never stops writes because an ingester is away.
 *
 * Owner:   main; tallies, and the shards that it posts to, outlive it.
 * Threads: post from any; one thread of its own.
 * Limits:  bytes of writes that wait, by tenant: waiting_bytes_max; one may always.
 */
#ifndef DST_ASKER_H
#define DST_ASKER_H

#include "base/metrics.h"
#include "distributor/doubts.h"
#include "distributor/tallies.h"

struct dst_write;

/* What is asked for one write, and what came of it. */
struct dst_question {
    struct mrd_bytes tenant;
    const struct dst_doubts *doubts;
    /* The places of the open doubts, by partition: those of partition p are order[starts[p]] to order[starts[p + 1] - 1]. */
    const uint32_t *order;
    const uint32_t *starts;
    /* Filled by whoever asks. By partition: it was answered. By place in `order`: the series is active. */
    bool *answered;
    bool *active;
    uint64_t series;       /* the tenant's, in the partitions that were answered */
    uint32_t distributors; /* 0: not known */
};

struct dst_asker_metrics {
    struct mrd_counter *series[DST_VERDICTS]; /* asked about, by verdict */
    struct mrd_counter *questions;
};
void dst_asker_metrics_init(struct dst_asker_metrics *metrics, struct mrd_metrics *registry);

struct dst_asker_options {
    struct dst_tallies *tallies;
    uint32_t partition_count;
    int64_t waiting_bytes_max; /* of one tenant */
    const struct mrd_clock *clock;
    struct dst_asker_metrics *metrics;
    /* Asks all of these at once, and returns within a second or so. */
    void (*ask)(void *context, struct dst_question *questions, size_t count);
    void *context;
    /* The write's doubts are answered; what is open still is to be posted again, after all else was taken in. False: the call is
     * to be made again in a moment. */
    bool (*done)(void *context, struct dst_write *write);
};

struct dst_asker;

struct dst_asker *dst_asker_create(const struct dst_asker_options *options);

enum dst_asker_post {
    DST_ASKER_TAKEN,   /* until `done` */
    DST_ASKER_BUSY,    /* too much of the tenant waits */
    DST_ASKER_STOPPED, /* it asks no more: all doubts are decided, everything is let through */
};
/* The write's doubts are open. */
MRD_MUST_CHECK enum dst_asker_post dst_asker_post(struct dst_asker *asker, struct dst_write *write);

/* Lets all that wait through unasked, and all that come. */
void dst_asker_stop(struct dst_asker *asker);

/* Nobody posts any more. Stops it, if that was not done. */
void dst_asker_destroy(struct dst_asker **asker);

#endif
