#include "querier/erasure_log.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bus/log_admin.h"
#include "wire/batch.h"
#include "wire/erasure_notice.h"

static const int64_t MS = 1000000;

enum { FULL_PAUSE_MS = 50, POSITION_MS = 2000 };

/* The acknowledgements of one request. */
struct publication {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t waiting;        /* guarded by the lock, and so is what follows */
    enum mrd_status worst; /* of the partitions that do not have it */
    char text[160];
    struct publication_part {
        struct publication *publication;
        uint32_t partition;
        uint64_t sequence;
    } * parts;
};

static void on_done(void *context, const struct mrd_log_ack *ack)
{
    struct publication_part *part = context;
    struct publication *publication = part->publication;
    pthread_mutex_lock(&publication->lock);
    part->sequence = ack->stream_sequence;
    if (ack->status != MRD_OK && publication->worst == MRD_OK) {
        publication->worst = ack->status;
        (void)snprintf(publication->text, sizeof(publication->text), "partition %" PRIu32 ": %s",
                       part->partition, ack->text == NULL ? "" : ack->text);
    }
    publication->waiting--;
    pthread_cond_signal(&publication->changed);
    pthread_mutex_unlock(&publication->lock);
}

/* The message of one partition. Its writer's name is this request's alone, so it has one number. */
static void build_message(const struct qry_erasure_log *log, const struct mrd_erasure *erasure,
                          struct mrd_bytes encoded, uint32_t partition, char id[MRD_BATCH_ID_MAX],
                          struct mrd_buf *out)
{
    char instance[MRD_BATCH_NAME_MAX + 1];
    (void)snprintf(instance, sizeof(instance), "erasure-%016" PRIx64 "%016" PRIx64,
                   erasure->id.high, erasure->id.low);
    const struct mrd_batch_header header = {
        .region = mrd_bytes_of(log->region),
        .residency_class = MRD_BYTES(MRD_ERASURE_CLASS),
        .instance = mrd_bytes_of(instance),
        .partition = partition,
        .epoch = mrd_batch_epoch_of(mrd_hlc_time_ms(erasure->hlc)),
        .number = 1,
        .hlc = erasure->hlc,
    };
    struct mrd_batch_builder *builder = mrd_batch_builder_create();
    (void)mrd_batch_builder_tenant(builder, erasure->tenant);
    mrd_batch_builder_erasure(builder, encoded);
    mrd_batch_builder_finish(builder, &header, MRD_BATCH_NONE, out);
    mrd_batch_builder_destroy(&builder);
    (void)mrd_batch_id(&header, id);
}

/* Offers one message until it is taken or the time is over. */
static enum mrd_status offer(const struct qry_erasure_log *log, const struct mrd_log_batch *batch,
                             struct mrd_error *err)
{
    for (;;) {
        const enum mrd_status status = mrd_log_writer_publish(log->writer, batch, err);
        const bool again = status == MRD_E_UNAVAILABLE || status == MRD_E_LIMIT;
        if (!again ||
            mrd_clock_monotonic_ns(mrd_clock_system()) + FULL_PAUSE_MS * MS > batch->deadline_ns) {
            return status;
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = FULL_PAUSE_MS * MS}, NULL);
    }
}

static enum mrd_status publish_parts(const struct qry_erasure_log *log,
                                     const struct mrd_erasure *erasure, struct mrd_bytes encoded,
                                     int64_t deadline_ns, struct publication *publication,
                                     struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf message = {0};
    for (uint32_t p = 0; p < log->partition_count; p++) {
        struct publication_part *part = &publication->parts[p];
        *part = (struct publication_part){.publication = publication, .partition = p};
        char id[MRD_BATCH_ID_MAX];
        build_message(log, erasure, encoded, p, id, &message);
        const struct mrd_log_batch batch = {
            .partition = p,
            .residency_class = MRD_ERASURE_CLASS,
            .id = id,
            .payload = mrd_buf_view(&message),
            .deadline_ns = deadline_ns,
            .done = on_done,
            .context = part,
        };
        pthread_mutex_lock(&publication->lock);
        publication->waiting++;
        pthread_mutex_unlock(&publication->lock);
        const enum mrd_status status = offer(log, &batch, err);
        if (status != MRD_OK) {
            pthread_mutex_lock(&publication->lock);
            publication->waiting--;
            pthread_mutex_unlock(&publication->lock);
            return status;
        }
    }
    return MRD_OK;
}

/* Every acknowledgement comes at the deadline at the latest. */
static enum mrd_status await_parts(struct publication *publication, struct mrd_error *err)
{
    pthread_mutex_lock(&publication->lock);
    while (publication->waiting > 0) {
        pthread_cond_wait(&publication->changed, &publication->lock);
    }
    const enum mrd_status worst = publication->worst;
    pthread_mutex_unlock(&publication->lock);
    return worst == MRD_OK
               ? MRD_OK
               : mrd_fail(err, worst == MRD_E_LIMIT ? MRD_E_LIMIT : MRD_E_UNAVAILABLE,
                          "the log has not taken the erasure everywhere: ask again (%s)",
                          publication->text);
}

enum mrd_status qry_erasure_publish(const struct qry_erasure_log *log,
                                    const struct mrd_erasure *erasure, struct mrd_bytes encoded,
                                    int64_t deadline_ns, uint64_t *sequences, struct mrd_error *err)
{
    const uint32_t count = log->partition_count;
    struct publication publication = {.worst = MRD_OK};
    publication.parts = calloc(count, sizeof(*publication.parts));
    mrd_assert(publication.parts != NULL);
    pthread_mutex_init(&publication.lock, NULL);
    pthread_cond_init(&publication.changed, NULL);
    struct mrd_error waiting = {0};
    enum mrd_status status = publish_parts(log, erasure, encoded, deadline_ns, &publication, err);
    const enum mrd_status waited = await_parts(&publication, &waiting);
    if (status == MRD_OK && waited != MRD_OK) {
        status = waited;
        *err = waiting;
    }
    for (uint32_t p = 0; p < count && status == MRD_OK; p++) {
        status = mrd_log_position(log->bus, p, publication.parts[p].sequence, POSITION_MS,
                                  &sequences[p], err);
    }
    pthread_cond_destroy(&publication.changed);
    pthread_mutex_destroy(&publication.lock);
    free(publication.parts);
    return status;
}
