#include "querier/fanout.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { RETRY_PAUSE_MS = 50 };

/* Where a partition's answer stands. */
enum part_state { PART_WAITING /* no replica to ask yet */, PART_RUNNING, PART_DONE };

struct part {
    enum part_state state;
    size_t call;
    size_t attempts;
    int64_t waiting_since_ns; /* first time that nobody was there to ask, 0: not waiting */
    struct mrd_error last_error;
};

struct qry_fanout {
    struct qry_fanout_options options;
    struct mrd_query_scope scope;
    struct mrd_query_request request; /* what differs per partition is set before encoding */
    struct mrd_buf encoded;           /* the request without sequence_min */
    struct mrd_rpc_fan *fan;
    struct part *parts;
    uint32_t current; /* the partition whose answer is read */
};

static int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

/* Asks the next replica of a partition; without one the part waits. */
static enum mrd_status part_start(struct qry_fanout *fanout, uint32_t partition,
                                  struct mrd_error *err)
{
    struct part *part = &fanout->parts[partition];
    struct qry_replicas replicas;
    qry_cluster_replicas(fanout->options.cluster, partition, fanout->options.salt, &replicas);
    part->state = PART_WAITING;
    if (replicas.count == 0) {
        return MRD_OK;
    }
    const char *instance = replicas.names[part->attempts++ % replicas.count];
    char subject[MRD_QUERY_SUBJECT_MAX];
    const enum mrd_status status =
        mrd_rpc_fan_start(fanout->fan, mrd_query_subject(partition, instance, subject),
                          mrd_buf_view(&fanout->encoded), &part->call, err);
    if (status == MRD_OK) {
        part->state = PART_RUNNING;
    }
    return status;
}

/* Strong reads have a sequence of their own for each partition. */
static void encode_for(struct qry_fanout *fanout, const struct mrd_query_request *request,
                       uint32_t partition)
{
    struct mrd_query_request mine = *request;
    if (fanout->options.sequences_min != NULL) {
        mine.sequence_min = fanout->options.sequences_min[partition];
    }
    mrd_buf_clear(&fanout->encoded);
    mrd_query_request_encode(&mine, &fanout->encoded);
}

enum mrd_status qry_fanout_create(const struct qry_fanout_options *options,
                                  struct qry_fanout **out_fanout, struct mrd_error *err)
{
    const uint32_t count = options->cluster->partition_count;
    mrd_auto(qry_fanout_destroy)
    struct qry_fanout *fanout = calloc(1, sizeof(*fanout));
    mrd_assert(fanout != NULL);
    fanout->options = *options;
    fanout->scope = *options->scope;
    fanout->options.scope = &fanout->scope; /* the caller's is lent for this call only */
    fanout->request = *options->request;
    fanout->options.request = &fanout->request;
    fanout->parts = calloc(count, sizeof(*fanout->parts));
    mrd_assert(fanout->parts != NULL);
    const struct mrd_query_control *control = options->scope->control;
    fanout->fan = mrd_rpc_fan_create(
        options->cluster->rpc, &(struct mrd_rpc_fan_options){.deadline_ns = control->deadline_ns,
                                                             .canceled = control->canceled});
    for (uint32_t p = 0; p < count; p++) {
        encode_for(fanout, &fanout->request, p);
        MRD_TRY(part_start(fanout, p, err));
    }
    *out_fanout = MRD_MOVE(fanout);
    return MRD_OK;
}

/* Another replica may do better where this one was away, slow or had lost its state. */
static bool is_retryable(enum mrd_status status)
{
    return status == MRD_E_UNAVAILABLE || status == MRD_E_CORRUPT || status == MRD_E_NOT_FOUND ||
           status == MRD_E_CANCELED || status == MRD_E_TIMEOUT;
}

static enum mrd_status part_unavailable(struct qry_fanout *fanout, uint32_t partition,
                                        struct mrd_error *err)
{
    const struct part *part = &fanout->parts[partition];
    struct mrd_error reason;
    (void)mrd_fail(&reason, MRD_E_UNAVAILABLE,
                   "partition %u of %u has no ingester that can answer%s%s", partition,
                   fanout->options.cluster->partition_count,
                   part->attempts > 0 ? "; the last one said: " : "",
                   part->attempts > 0 ? part->last_error.text : "");
    if (!fanout->options.partial) {
        *err = reason;
        return MRD_E_UNAVAILABLE;
    }
    mrd_counter_add(fanout->options.cluster->partial, 1);
    char warning[600];
    const int size = snprintf(warning, sizeof(warning), "partial answer: %s", reason.text);
    mrd_annotations_add(fanout->options.scope->annotations, MRD_ANNOTATION_WARNING,
                        (struct mrd_bytes){(const uint8_t *)warning,
                                           (size_t)MRD_MIN(size, (int)sizeof(warning) - 1)});
    fanout->parts[partition].state = PART_DONE;
    return MRD_OK;
}

/* Pauses, then asks whoever serves the partition now; gives up after unavailable_wait_ms. */
static enum mrd_status part_wait(struct qry_fanout *fanout, uint32_t partition,
                                 struct mrd_error *err)
{
    struct part *part = &fanout->parts[partition];
    MRD_TRY(mrd_query_check(fanout->options.scope->control, err));
    const int64_t now = now_ns();
    if (part->waiting_since_ns == 0) {
        part->waiting_since_ns = now;
    }
    const int64_t waited_ms = (now - part->waiting_since_ns) / 1000000;
    if (waited_ms > fanout->options.cluster->unavailable_wait_ms) {
        return part_unavailable(fanout, partition, err);
    }
    const struct timespec pause = {.tv_nsec = RETRY_PAUSE_MS * 1000000L};
    (void)nanosleep(&pause, NULL);
    encode_for(fanout, &fanout->request, partition);
    return part_start(fanout, partition, err);
}

static enum mrd_status part_failed(struct qry_fanout *fanout, uint32_t partition,
                                   const struct mrd_error *error, struct mrd_error *err)
{
    struct part *part = &fanout->parts[partition];
    if (!is_retryable(error->status)) {
        *err = *error;
        return error->status;
    }
    mrd_counter_add(fanout->options.cluster->retries, 1);
    part->last_error = *error;
    part->state = PART_WAITING;
    return MRD_OK;
}

enum mrd_status qry_fanout_next(struct qry_fanout *fanout, struct qry_fanout_event *out,
                                struct mrd_error *err)
{
    for (;;) {
        const uint32_t partition = fanout->current;
        *out = (struct qry_fanout_event){.partition = partition};
        if (partition == fanout->options.cluster->partition_count) {
            out->kind = QRY_FANOUT_END;
            return MRD_OK;
        }
        struct part *part = &fanout->parts[partition];
        if (part->state == PART_WAITING) {
            MRD_TRY(part_wait(fanout, partition, err));
            continue;
        }
        if (part->state == PART_DONE) {
            fanout->current++;
            out->kind = QRY_FANOUT_PARTITION;
            return MRD_OK;
        }
        struct mrd_rpc_event event;
        MRD_TRY(mrd_rpc_fan_next_of(fanout->fan, part->call, &event, err));
        switch (event.kind) {
        case MRD_RPC_CHUNK:
            out->kind = QRY_FANOUT_CHUNK;
            out->bytes = event.bytes;
            return MRD_OK;
        case MRD_RPC_END:
            part->state = PART_DONE;
            fanout->current++;
            out->kind = QRY_FANOUT_PARTITION;
            out->bytes = event.bytes;
            return MRD_OK;
        case MRD_RPC_FAILED:
            MRD_TRY(part_failed(fanout, partition, &event.error, err));
            out->kind = QRY_FANOUT_RESTART;
            return MRD_OK;
        }
    }
}

void qry_fanout_destroy(struct qry_fanout **fanout)
{
    if (*fanout == NULL) {
        return;
    }
    if ((*fanout)->fan != NULL) {
        mrd_rpc_fan_destroy(&(*fanout)->fan);
    }
    mrd_buf_fini(&(*fanout)->encoded);
    free((*fanout)->parts);
    free(*fanout);
    *fanout = NULL;
}
