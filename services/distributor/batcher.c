#include "distributor/batcher.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    /* A row of one sample counts 11 bytes against the target and takes at most 51 (columns of ten-byte
     * varints); an announcement counts its labels and 18 and takes at most its labels and 49. */
    GROWTH_MAX = 5,
    /* What the last row and its announcement may add to a batch that was nearly full. */
    OVERSHOOT_MAX = MRD_BATCH_LABELS_SIZE_MAX + DST_ROW_SAMPLES_MAX * 64 + 1024,
};
static const int64_t PUBLISH_SLOW_NS = 900000000; /* the write deadline is a second */
static const int64_t STALL_NS = 2000000000;
static const int64_t LOOK_NS_MAX = 1000000000;
static const mrd_time_ms KEPT_MS_MAX =
    (mrd_time_ms)2 * MRD_BATCH_EPOCH_MS; /* announced anew in the next epoch anyway */

/* A write that waits for a batch, and what that batch holds of it. */
struct waiter {
    struct dst_write *write;
    uint64_t counts[DST_KINDS];
};

struct waiters {
    struct waiter *items;
    size_t count;
    size_t capacity;
};

/* The batch of one partition under construction, and the partition's numbering. */
struct part {
    struct mrd_batch_builder *builder;
    struct waiters waiters;
    struct mrd_shard_timer linger;
    struct dst_batcher *batcher;
    uint32_t partition;
    uint64_t number_next; /* of the next batch that the log takes */
    uint32_t reference_next;
    uint32_t serial; /* of the batch under construction, from 1 in each epoch */
    size_t in_flight;
    struct mrd_bytes tenant; /* the builder's last one */
    uint32_t tenant_index;

    /* Bit s: the batch of serial s in this epoch is acknowledged. */
    uint8_t *acknowledged;
    size_t acknowledged_size;
    int64_t used_ns;        /* when the last batch was sent that is acknowledged */
    uint64_t sequence_last; /* the greatest of the stream that an acknowledgement has named */
};

struct dst_batcher {
    struct dst_batcher_options options;
    struct part *parts;
    uint64_t epoch;
    uint64_t
        generation; /* of the connection by which all that counts as announced was acknowledged */
    size_t in_flight;
    struct mrd_buf message;
    struct dst_batcher_stats stats;
    int64_t look_ns;          /* when to look next for partitions that were not used for long */
    int64_t stalled_until_ns; /* publishing held the shard up: until then batches are given up */
};

/* A batch that the log has: becomes a message to the shard when it is acknowledged. */
struct flight {
    struct mrd_shard_message message;
    struct part *part;
    uint64_t epoch;
    uint64_t generation;
    int64_t sent_ns;
    uint64_t sequence_before; /* the part's sequence_last when it was sent */
    uint64_t sequence;        /* in the stream, if it is stored */
    bool duplicate;
    uint32_t serial;
    struct waiters waiters;
    enum mrd_status status;
    char text[256];
};

static void waiters_grow(struct waiters *waiters)
{
    waiters->capacity = MRD_MAX(waiters->capacity * 2, (size_t)8);
    waiters->items = realloc(waiters->items, waiters->capacity * sizeof(*waiters->items));
    mrd_assert(waiters->items != NULL);
}

static void waiters_add(struct waiters *waiters, struct dst_write *write, enum dst_kind kind,
                        size_t count)
{
    if (waiters->count == 0 || waiters->items[waiters->count - 1].write != write) {
        if (waiters->count == waiters->capacity) {
            waiters_grow(waiters);
        }
        waiters->items[waiters->count++] = (struct waiter){.write = write};
        write->pending++;
    }
    waiters->items[waiters->count - 1].counts[kind] += count;
}

/* Tells every waiting write what became of the batch and completes those that wait for no other. */
static void waiters_finish(struct dst_batcher *batcher, struct waiters *waiters,
                           enum mrd_status status, const char *text)
{
    for (size_t i = 0; i < waiters->count; i++) {
        struct dst_write *write = waiters->items[i].write;
        for (int kind = 0; status == MRD_OK && kind < DST_KINDS; kind++) {
            write->written[kind] += waiters->items[i].counts[kind];
        }
        if (status != MRD_OK && write->status == MRD_OK) {
            write->status = MRD_E_UNAVAILABLE;
            (void)mrd_fail(&write->error, MRD_E_UNAVAILABLE,
                           "the log did not take the samples (%s): send them again", text);
        }
        if (--write->pending == 0) {
            batcher->options.on_complete(batcher->options.context, write);
        }
    }
    waiters->count = 0;
}

/* ---- acknowledged serials ---- */

static bool is_acknowledged(const struct part *part, uint32_t serial)
{
    const size_t byte = serial / 8;
    return byte < part->acknowledged_size && (part->acknowledged[byte] & (1U << (serial % 8))) != 0;
}

static void acknowledge(struct part *part, uint32_t serial)
{
    const size_t byte = serial / 8;
    if (byte >= part->acknowledged_size) {
        const size_t size = MRD_MAX(part->acknowledged_size * 2, byte + 64);
        part->acknowledged = realloc(part->acknowledged, size);
        mrd_assert(part->acknowledged != NULL);
        memset(part->acknowledged + part->acknowledged_size, 0, size - part->acknowledged_size);
        part->acknowledged_size = size;
    }
    part->acknowledged[byte] = (uint8_t)(part->acknowledged[byte] | (1U << (serial % 8)));
}

static void forget_announced(struct part *part)
{
    if (part->acknowledged_size > 0) {
        memset(part->acknowledged, 0, part->acknowledged_size);
    }
}

static int64_t now_ns(const struct dst_batcher *batcher)
{
    return mrd_clock_monotonic_ns(batcher->options.clock);
}

/* What nobody has named for long the log may have lost. Looked at every so often; the next write looks in any case where that was long ago. */
static void forget_unused(struct dst_batcher *batcher)
{
    enum { USED_WITHIN = 2, LOOKS = 8 };
    const struct dst_batcher_options *options = &batcher->options;
    const int64_t now = now_ns(batcher);
    if (options->references_kept_ms == NULL || now < batcher->look_ns) {
        return;
    }
    const mrd_time_ms kept_ms = options->references_kept_ms(options->kept_context);
    batcher->look_ns = now + LOOK_NS_MAX;
    if (kept_ms == 0 || kept_ms > KEPT_MS_MAX) {
        return;
    }
    const int64_t kept_ns = kept_ms * 1000000;
    batcher->look_ns = now + MRD_MIN(kept_ns / LOOKS, LOOK_NS_MAX);
    for (uint32_t p = 0; p < options->partition_count; p++) {
        if (now - batcher->parts[p].used_ns > kept_ns / USED_WITHIN - kept_ns / LOOKS) {
            forget_announced(&batcher->parts[p]);
        }
    }
}

/* ---- sending ---- */

static void linger_fired(struct mrd_shard *shard, struct mrd_shard_timer *timer);

static void flight_landed(struct mrd_shard *shard, struct mrd_shard_message *message);

/* On a library thread: carries the news to the shard. A shard that stops has refused posts only after
 * the batcher saw its last batch land. */
static void on_ack(void *context, const struct mrd_log_ack *ack)
{
    struct flight *flight = context;
    flight->status = ack->status;
    flight->sequence = ack->stream_sequence;
    flight->duplicate = ack->duplicate;
    (void)strncpy(flight->text, ack->text == NULL ? "" : ack->text, sizeof(flight->text) - 1);
    const bool posted = mrd_shard_post(flight->part->batcher->options.shard, &flight->message);
    mrd_assert(posted);
}

static bool part_empty(const struct part *part) { return mrd_batch_builder_empty(part->builder); }

static void part_restart(struct part *part)
{
    mrd_batch_builder_reset(part->builder);
    part->tenant = MRD_BYTES_NONE;
    part->serial++;
}

/* Nothing was sent: the writes are told, the announcements are forgotten with the serial. */
static void give_up(struct part *part, const struct mrd_error *why)
{
    struct dst_batcher *batcher = part->batcher;
    batcher->stats.failed++;
    part_restart(part);
    waiters_finish(batcher, &part->waiters, MRD_E_UNAVAILABLE, why->text);
}

static struct flight *flight_create(struct part *part)
{
    struct flight *flight = calloc(1, sizeof(*flight));
    mrd_assert(flight != NULL);
    flight->message.run = flight_landed;
    flight->part = part;
    flight->epoch = part->batcher->epoch;
    flight->generation = part->batcher->generation;
    flight->sent_ns = now_ns(part->batcher);
    flight->sequence_before = part->sequence_last;
    flight->serial = part->serial;
    flight->waiters = part->waiters;
    part->waiters = (struct waiters){0};
    return flight;
}

static void flight_destroy(struct flight **flight)
{
    free((*flight)->waiters.items);
    free(*flight);
    *flight = NULL;
}

/* The earliest deadline of the writes that wait: later an acknowledgement helps nobody. */
static int64_t deadline_of(const struct waiters *waiters)
{
    int64_t deadline_ns = INT64_MAX;
    for (size_t i = 0; i < waiters->count; i++) {
        deadline_ns = MRD_MIN(deadline_ns, waiters->items[i].write->deadline_ns);
    }
    return deadline_ns;
}

static struct mrd_batch_header header_of(const struct part *part)
{
    const struct dst_batcher_options *options = &part->batcher->options;
    return (struct mrd_batch_header){
        .region = mrd_bytes_of(options->region),
        .residency_class = mrd_bytes_of(options->residency_class),
        .instance = mrd_bytes_of(options->instance),
        .partition = part->partition,
        .epoch = part->batcher->epoch,
        .number = part->number_next,
        .hlc = mrd_hlc_next(options->hlc),
    };
}

/* Labels shrink to a sixth, samples hardly at all (docs/decisions/0001-batch-values-and-codec.md). */
static enum mrd_batch_codec codec_of(const struct part *part)
{
    const struct dst_batcher_options *options = &part->batcher->options;
    const size_t samples = mrd_batch_builder_sample_count(part->builder);
    const size_t other_bytes =
        samples * (sizeof(double) + 1) + mrd_batch_builder_extras_size(part->builder);
    const bool mostly_labels = mrd_batch_builder_size(part->builder) > 2 * other_bytes;
    return mostly_labels ? options->labels_codec : options->codec;
}

/* Would the log take the batch now? A frozen server lets each publish wait for the write deadline:
 * after one such wait the writers hear 503 at once for a while, rather than all of them in turn. */
static enum mrd_status part_may_send(const struct part *part, struct mrd_error *err)
{
    const struct dst_batcher *batcher = part->batcher;
    if (now_ns(batcher) < batcher->stalled_until_ns) {
        return mrd_fail(err, MRD_E_UNAVAILABLE, "it takes batches too slowly");
    }
    return mrd_log_writer_ready(batcher->options.log, part->partition,
                                mrd_batch_builder_size_max(part->builder), err);
}

/* Hands the finished message to the log and notices when that holds the shard up. */
static enum mrd_status part_publish(const struct part *part, struct flight *flight,
                                    const struct mrd_batch_header *header, struct mrd_error *err)
{
    struct dst_batcher *batcher = part->batcher;
    char id[MRD_BATCH_ID_MAX];
    const struct mrd_log_batch batch = {
        .partition = part->partition,
        .residency_class = batcher->options.residency_class,
        .id = mrd_batch_id(header, id),
        .payload = mrd_buf_view(&batcher->message),
        .deadline_ns = deadline_of(&flight->waiters),
        .done = on_ack,
        .context = flight,
    };
    const int64_t begun_ns = now_ns(batcher);
    const enum mrd_status status = mrd_log_writer_publish(batcher->options.log, &batch, err);
    const int64_t ended_ns = now_ns(batcher);
    if (ended_ns - begun_ns > PUBLISH_SLOW_NS) {
        batcher->stalled_until_ns = ended_ns + STALL_NS;
    }
    return status;
}

static void part_send(struct part *part) MRD_ON(mrd_shard_thread);
static void part_send(struct part *part)
{
    struct dst_batcher *batcher = part->batcher;
    if (part_empty(part)) {
        return;
    }
    mrd_shard_timer_stop(batcher->options.shard, &part->linger);
    struct mrd_error err;
    if (part_may_send(part, &err) != MRD_OK) {
        give_up(part, &err);
        return;
    }
    const struct mrd_batch_header header = header_of(part);
    mrd_batch_builder_finish(part->builder, &header, codec_of(part), &batcher->message);
    struct flight *flight = flight_create(part);
    if (part_publish(part, flight, &header, &err) != MRD_OK) {
        part->waiters = flight->waiters;
        flight->waiters = (struct waiters){0};
        flight_destroy(&flight);
        give_up(part, &err);
        return;
    }
    part->number_next++;
    part->in_flight++;
    batcher->in_flight++;
    batcher->stats.batches++;
    batcher->stats.batch_bytes += batcher->message.size;
    part_restart(part);
}

/* Whether the log that has stored the batch may lack what earlier ones announced: it was sent over another connection than they were, or
 * was given a sequence that had been given away. */
static bool is_of_another_log(const struct flight *flight)
{
    return flight->generation != mrd_log_writer_generation(flight->part->batcher->options.log) ||
           (!flight->duplicate && flight->sequence <= flight->sequence_before);
}

static void check_log(struct flight *flight)
{
    struct part *part = flight->part;
    if (flight->status != MRD_OK) {
        return;
    }
    if (is_of_another_log(flight)) {
        flight->status = MRD_E_UNAVAILABLE;
        (void)snprintf(flight->text, sizeof(flight->text),
                       "the log was away meanwhile, and may lack the labels");
        if (flight->sequence <= flight->sequence_before) {
            forget_announced(part);
            part->sequence_last = flight->sequence;
        }
    }
    part->sequence_last = MRD_MAX(part->sequence_last, flight->sequence);
}

static void flight_landed(struct mrd_shard *shard, struct mrd_shard_message *message)
{
    mrd_shard_assert_on(shard);
    struct flight *flight = MRD_CONTAINER_OF(message, struct flight, message);
    struct part *part = flight->part;
    struct dst_batcher *batcher = part->batcher;
    part->in_flight--;
    batcher->in_flight--;
    check_log(flight);
    if (flight->status != MRD_OK) {
        batcher->stats.failed++;
    } else if (flight->epoch == batcher->epoch && flight->generation == batcher->generation) {
        acknowledge(part, flight->serial);
        part->used_ns = MRD_MAX(part->used_ns, flight->sent_ns);
    }
    waiters_finish(batcher, &flight->waiters, flight->status, flight->text);
    flight_destroy(&flight);
}

static void linger_fired(struct mrd_shard *shard, struct mrd_shard_timer *timer)
{
    mrd_shard_assert_on(shard);
    part_send(MRD_CONTAINER_OF(timer, struct part, linger));
}

/* ---- for the shard ---- */

struct dst_batcher *dst_batcher_create(const struct dst_batcher_options *options)
{
    struct dst_batcher *batcher = calloc(1, sizeof(*batcher));
    mrd_assert(batcher != NULL);
    batcher->options = *options;
    if (options->reference_count_max == 0) {
        batcher->options.reference_count_max = MRD_BATCH_REFERENCE_COUNT_MAX;
    }
    batcher->epoch = mrd_batch_epoch_of(mrd_clock_now_ms(options->clock));
    batcher->generation = mrd_log_writer_generation(options->log);
    batcher->parts = calloc(options->partition_count, sizeof(*batcher->parts));
    mrd_assert(batcher->parts != NULL);
    for (uint32_t p = 0; p < options->partition_count; p++) {
        batcher->parts[p] = (struct part){
            .builder = mrd_batch_builder_create(),
            .linger = {.fire = linger_fired},
            .batcher = batcher,
            .partition = p,
            .number_next = 1,
            .serial = 1,
        };
    }
    return batcher;
}

void dst_batcher_destroy(struct dst_batcher **batcher)
{
    if (*batcher == NULL) {
        return;
    }
    mrd_assert((*batcher)->in_flight == 0);
    for (uint32_t p = 0; p < (*batcher)->options.partition_count; p++) {
        struct part *part = &(*batcher)->parts[p];
        mrd_batch_builder_destroy(&part->builder);
        free(part->waiters.items);
        free(part->acknowledged);
    }
    free((*batcher)->parts);
    mrd_buf_fini(&(*batcher)->message);
    free(*batcher);
    *batcher = NULL;
}

/* A new label epoch: references and serials start anew. */
static void begin_epoch(struct dst_batcher *batcher, uint64_t epoch) MRD_ON(mrd_shard_thread);
static void begin_epoch(struct dst_batcher *batcher, uint64_t epoch)
{
    dst_batcher_flush(batcher);
    batcher->epoch = epoch;
    for (uint32_t p = 0; p < batcher->options.partition_count; p++) {
        struct part *part = &batcher->parts[p];
        part->reference_next = 0;
        part->serial = 1;
        forget_announced(part);
    }
}

/* All that was announced is announced again, under the same references: who knows them skips that. */
static void begin_generation(struct dst_batcher *batcher, uint64_t generation)
    MRD_ON(mrd_shard_thread);
static void begin_generation(struct dst_batcher *batcher, uint64_t generation)
{
    dst_batcher_flush(batcher);
    batcher->generation = generation;
    for (uint32_t p = 0; p < batcher->options.partition_count; p++) {
        forget_announced(&batcher->parts[p]);
        batcher->parts[p].sequence_last = 0;
    }
}

uint32_t dst_batcher_epoch(struct dst_batcher *batcher)
{
    const uint64_t epoch = mrd_batch_epoch_of(mrd_clock_now_ms(batcher->options.clock));
    if (epoch > batcher->epoch) { /* a wall clock that goes back does not bring an old one back */
        begin_epoch(batcher, epoch);
    }
    const uint64_t generation = mrd_log_writer_generation(batcher->options.log);
    if (generation != batcher->generation) {
        begin_generation(batcher, generation);
    }
    forget_unused(batcher);
    return (uint32_t)batcher->epoch;
}

bool dst_batcher_is_announced(const struct dst_batcher *batcher, const struct dst_series *series)
{
    const struct part *part = &batcher->parts[series->partition];
    return series->epoch == (uint32_t)batcher->epoch &&
           (series->serial == part->serial || is_acknowledged(part, series->serial));
}

size_t dst_batcher_target_max(int64_t payload_max)
{
    const int64_t room = payload_max - OVERSHOOT_MAX;
    return room < GROWTH_MAX * 1024 ? 1024 : (size_t)room / GROWTH_MAX;
}

enum mrd_status dst_batcher_announce(struct dst_batcher *batcher, struct dst_series *series,
                                     struct mrd_bytes tenant, mrd_series_id id,
                                     struct mrd_bytes labels, struct mrd_error *err)
{
    struct part *part = &batcher->parts[series->partition];
    if (series->epoch != (uint32_t)batcher->epoch || series->serial == 0) {
        if (part->reference_next == batcher->options.reference_count_max) {
            return mrd_fail(err, MRD_E_UNAVAILABLE,
                            "more than %" PRIu32 " new series in a partition within a label epoch "
                            "of %d minutes",
                            part->reference_next, MRD_BATCH_EPOCH_MS / 60000);
        }
        series->epoch = (uint32_t)batcher->epoch;
        series->reference = part->reference_next++;
    }
    series->serial = part->serial;
    const struct mrd_batch_announcement announcement = {
        .reference = series->reference,
        .tenant = mrd_batch_builder_tenant(part->builder, tenant),
        .id = id,
        .labels = labels,
    };
    mrd_batch_builder_announce(part->builder, &announcement);
    batcher->stats.announcements++;
    return MRD_OK;
}

/* The tenant's index in the batch under construction, remembered from row to row of a write. */
static uint32_t tenant_of(struct part *part, const struct dst_write *write)
{
    if (part->tenant.data != write->tenant.data) {
        part->tenant = write->tenant;
        part->tenant_index = mrd_batch_builder_tenant(part->builder, write->tenant);
    }
    return part->tenant_index;
}

static void send_if_full(struct part *part) MRD_ON(mrd_shard_thread);
static void send_if_full(struct part *part)
{
    if (mrd_batch_builder_size(part->builder) >= part->batcher->options.target_bytes) {
        part_send(part);
    }
}

void dst_batcher_row(struct dst_batcher *batcher, struct dst_write *write,
                     const struct dst_series *series, const struct mrd_sample *samples,
                     const mrd_time_ms *start_times_ms, size_t sample_count)
{
    struct part *part = &batcher->parts[series->partition];
    mrd_assert(sample_count >= 1 && sample_count <= DST_ROW_SAMPLES_MAX);
    waiters_add(&part->waiters, write, DST_KIND_SAMPLES, sample_count);
    mrd_batch_builder_row(part->builder, tenant_of(part, write), series->reference,
                          samples[0].time_ms, samples[0].value);
    if (mrd_unlikely(start_times_ms != NULL)) {
        mrd_batch_builder_start_time(part->builder, start_times_ms[0]);
    }
    for (size_t i = 1; i < sample_count; i++) {
        mrd_batch_builder_sample(part->builder, samples[i].time_ms, samples[i].value);
        if (start_times_ms != NULL) {
            mrd_batch_builder_start_time(part->builder, start_times_ms[i]);
        }
    }
    send_if_full(part);
}

void dst_batcher_reserve(struct dst_batcher *batcher, uint32_t partition, size_t size_bytes)
{
    struct part *part = &batcher->parts[partition];
    if (mrd_batch_builder_size(part->builder) + size_bytes > batcher->options.target_bytes ||
        mrd_batch_builder_full(part->builder)) {
        part_send(part);
    }
}

/* After something whose number per batch is bounded. */
static void send_if_full_of_others(struct part *part) MRD_ON(mrd_shard_thread);
static void send_if_full_of_others(struct part *part)
{
    if (mrd_batch_builder_full(part->builder)) {
        part_send(part);
    } else {
        send_if_full(part);
    }
}

void dst_batcher_histogram(struct dst_batcher *batcher, struct dst_write *write,
                           const struct dst_series *series,
                           const struct mrd_rw_histogram *histogram)
{
    struct part *part = &batcher->parts[series->partition];
    waiters_add(&part->waiters, write, DST_KIND_HISTOGRAMS, 1);
    mrd_batch_builder_histogram(part->builder, tenant_of(part, write), series->reference,
                                histogram->time_ms, histogram->start_time_ms,
                                &histogram->histogram);
    send_if_full_of_others(part);
}

void dst_batcher_exemplar(struct dst_batcher *batcher, struct dst_write *write,
                          const struct dst_series *series, const struct mrd_exemplar *exemplar)
{
    struct part *part = &batcher->parts[series->partition];
    waiters_add(&part->waiters, write, DST_KIND_EXEMPLARS, 1);
    mrd_batch_builder_exemplar(part->builder, tenant_of(part, write), series->reference, exemplar);
    send_if_full_of_others(part);
}

void dst_batcher_metadata(struct dst_batcher *batcher, struct dst_write *write,
                          struct dst_series *family, const struct mrd_metadata *metadata)
{
    struct part *part = &batcher->parts[family->partition];
    const bool same_epoch = family->epoch == (uint32_t)batcher->epoch;
    if (same_epoch && is_acknowledged(part, family->serial)) {
        write->written[DST_KIND_METADATA]++;
        return;
    }
    waiters_add(&part->waiters, write, DST_KIND_METADATA, 1);
    if (same_epoch && family->serial == part->serial) {
        return; /* it is in this batch already, for which the write now waits */
    }
    family->epoch = (uint32_t)batcher->epoch;
    family->serial = part->serial;
    mrd_batch_builder_metadata(part->builder, tenant_of(part, write), metadata);
    send_if_full_of_others(part);
}

void dst_batcher_idle(struct dst_batcher *batcher)
{
    struct mrd_shard *shard = batcher->options.shard;
    for (uint32_t p = 0; p < batcher->options.partition_count; p++) {
        struct part *part = &batcher->parts[p];
        if (part_empty(part)) {
            continue;
        }
        if (part->in_flight == 0) {
            part_send(part);
        } else if (!mrd_shard_timer_started(&part->linger)) {
            mrd_shard_timer_start(shard, &part->linger,
                                  mrd_shard_now_ns(shard) +
                                      batcher->options.linger_ms_max * 1000000);
        }
    }
}

void dst_batcher_flush(struct dst_batcher *batcher)
{
    for (uint32_t p = 0; p < batcher->options.partition_count; p++) {
        part_send(&batcher->parts[p]);
    }
}

size_t dst_batcher_in_flight(const struct dst_batcher *batcher) { return batcher->in_flight; }

void dst_batcher_stats(const struct dst_batcher *batcher, struct dst_batcher_stats *out)
{
    *out = batcher->stats;
}
