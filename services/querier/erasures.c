#include "querier/erasures.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "bus/log_admin.h"
#include "bus/log_writer.h"
#include "bus/notice.h"
#include "wire/batch.h"
#include "wire/erasure_notice.h"

static const int64_t MS = 1000000;

enum {
    SKEW_MS_MAX = 60000, /* of the distributors' stamps, as theirs of each other */
    LEARN_TRIES = 30,
    LEARN_PAUSE_MS = 1000,
    LOG_TIMEOUT_MS = 5000,
    FULL_PAUSE_MS = 50,
};

struct qry_erasures {
    struct qry_erasures_options options;
    struct mrd_notice_listener *listener;
    struct mrd_log_writer *writer; /* NULL: requests may not be made here */
    struct mrd_hlc_clock hlc;
    _Atomic uint64_t *floors; /* per partition; only rise */
    _Atomic bool any;         /* set after the floors, read before them */
    struct mrd_counter *requests;
    struct mrd_counter *failed;
};

/* ---- floors ---- */

static void raise_floor(struct qry_erasures *erasures, uint32_t partition, uint64_t sequence)
{
    uint64_t have = atomic_load(&erasures->floors[partition]);
    while (have < sequence &&
           !atomic_compare_exchange_weak(&erasures->floors[partition], &have, sequence)) {}
}

static void raise_floors(struct qry_erasures *erasures, const uint64_t *sequences)
{
    for (uint32_t p = 0; p < erasures->options.partition_count; p++) {
        raise_floor(erasures, p, sequences[p]);
    }
    atomic_store(&erasures->any, true);
}

enum mrd_status qry_erasures_floor(const struct qry_erasures *erasures, struct mrd_arena *arena,
                                   const uint64_t **sequences, struct mrd_error *err)
{
    if (!atomic_load(&erasures->any)) {
        return MRD_OK;
    }
    const uint32_t count = erasures->options.partition_count;
    uint64_t *raised = mrd_arena_alloc_array(arena, count, sizeof(*raised));
    if (raised == NULL) {
        return mrd_arena_fail(arena, err);
    }
    for (uint32_t p = 0; p < count; p++) {
        const uint64_t asked = *sequences == NULL ? 0 : (*sequences)[p];
        raised[p] = MRD_MAX(asked, atomic_load(&erasures->floors[p]));
    }
    *sequences = raised;
    return MRD_OK;
}

static enum mrd_status on_notice(void *context, struct mrd_bytes notice, struct mrd_error *err)
{
    struct qry_erasures *erasures = context;
    const uint32_t count = erasures->options.partition_count;
    uint64_t *sequences = calloc(count, sizeof(*sequences));
    mrd_assert(sequences != NULL);
    mrd_hlc hlc;
    enum mrd_status status = mrd_erasure_notice_decode(notice, count, &hlc, sequences, err);
    if (status == MRD_OK) {
        raise_floors(erasures, sequences);
        status = mrd_hlc_merge(&erasures->hlc, hlc, err);
    }
    free(sequences);
    return status;
}

/* ---- beginning and end ---- */

enum mrd_status qry_erasures_create(const struct qry_erasures_options *options,
                                    struct qry_erasures **out_erasures, struct mrd_error *err)
{
    static const char requests_help[] = "Requests to erase samples, by outcome.";
    static const char requests_name[] = "meridian_querier_erasures_total";
    struct qry_erasures *erasures = calloc(1, sizeof(*erasures));
    mrd_assert(erasures != NULL);
    erasures->options = *options;
    erasures->floors = calloc(options->partition_count, sizeof(*erasures->floors));
    mrd_assert(erasures->floors != NULL);
    mrd_hlc_init(&erasures->hlc, mrd_clock_system(), SKEW_MS_MAX);
    erasures->requests = mrd_metrics_counter(options->metrics, requests_name, requests_help,
                                             MRD_LABELS({"outcome", "done"}));
    erasures->failed = mrd_metrics_counter(options->metrics, requests_name, requests_help,
                                           MRD_LABELS({"outcome", "failed"}));
    enum mrd_status status = mrd_notice_listen(options->bus, options->instance, on_notice, erasures,
                                               &erasures->listener, err);
    if (status == MRD_OK && options->enabled) {
        const struct mrd_log_writer_options writer = {.partition_count = options->partition_count};
        status = mrd_log_writer_create(options->bus, &writer, &erasures->writer, err);
    }
    if (status != MRD_OK) {
        qry_erasures_destroy(&erasures);
        return status;
    }
    *out_erasures = erasures;
    return MRD_OK;
}

void qry_erasures_destroy(struct qry_erasures **erasures)
{
    if (*erasures != NULL) {
        struct qry_erasures *self = MRD_MOVE(*erasures);
        mrd_notice_unlisten(&self->listener);
        mrd_log_writer_destroy(&self->writer);
        free(self->floors);
        free(self);
    }
}

bool qry_erasures_enabled(const struct qry_erasures *erasures) { return erasures->options.enabled; }

static void pause_ms(int64_t ms)
{
    (void)nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * MS}, NULL);
}

/* The server may have no leader for a stream for a moment. */
static enum mrd_status learn_partition(struct qry_erasures *erasures, uint32_t partition,
                                       struct mrd_error *err)
{
    for (int tries = 1;; tries++) {
        uint64_t sequence;
        const enum mrd_status status = mrd_log_class_last(
            erasures->options.bus, partition, MRD_ERASURE_CLASS, LOG_TIMEOUT_MS, &sequence, err);
        if (status == MRD_OK) {
            raise_floor(erasures, partition, sequence);
            if (sequence > 0) {
                atomic_store(&erasures->any, true);
            }
            return MRD_OK;
        }
        if (tries == LEARN_TRIES) {
            return mrd_fail_prefix(err, status, "looking for erasures in partition %" PRIu32,
                                   partition);
        }
        pause_ms(LEARN_PAUSE_MS);
    }
}

enum mrd_status qry_erasures_learn(struct qry_erasures *erasures, struct mrd_error *err)
{
    for (uint32_t p = 0; p < erasures->options.partition_count; p++) {
        MRD_TRY(learn_partition(erasures, p, err));
    }
    return MRD_OK;
}

/* ---- into the log ---- */

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
    part->sequence = ack->sequence;
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
static void build_message(const struct qry_erasures *erasures, const struct mrd_erasure *erasure,
                          struct mrd_bytes encoded, uint32_t partition, char id[MRD_BATCH_ID_MAX],
                          struct mrd_buf *out)
{
    char instance[MRD_BATCH_NAME_MAX + 1];
    (void)snprintf(instance, sizeof(instance), "erasure-%016" PRIx64 "%016" PRIx64,
                   erasure->id.high, erasure->id.low);
    const struct mrd_batch_header header = {
        .region = mrd_bytes_of(erasures->options.region),
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
static enum mrd_status offer(struct qry_erasures *erasures, const struct mrd_log_batch *batch,
                             struct mrd_error *err)
{
    for (;;) {
        const enum mrd_status status = mrd_log_writer_publish(erasures->writer, batch, err);
        const bool again = status == MRD_E_UNAVAILABLE || status == MRD_E_LIMIT;
        if (!again ||
            mrd_clock_monotonic_ns(mrd_clock_system()) + FULL_PAUSE_MS * MS > batch->deadline_ns) {
            return status;
        }
        pause_ms(FULL_PAUSE_MS);
    }
}

static enum mrd_status publish_parts(struct qry_erasures *erasures,
                                     const struct mrd_erasure *erasure, struct mrd_bytes encoded,
                                     int64_t deadline_ns, struct publication *publication,
                                     struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf message = {0};
    for (uint32_t p = 0; p < erasures->options.partition_count; p++) {
        struct publication_part *part = &publication->parts[p];
        *part = (struct publication_part){.publication = publication, .partition = p};
        char id[MRD_BATCH_ID_MAX];
        build_message(erasures, erasure, encoded, p, id, &message);
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
        const enum mrd_status status = offer(erasures, &batch, err);
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

/* Into every partition's log; *sequences says where it stands. */
static enum mrd_status publish(struct qry_erasures *erasures, const struct mrd_erasure *erasure,
                               int64_t deadline_ns, uint64_t *sequences, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf encoded = {0};
    MRD_TRY(mrd_erasure_encode(erasure, &encoded, err));
    const uint32_t count = erasures->options.partition_count;
    struct publication publication = {.worst = MRD_OK};
    publication.parts = calloc(count, sizeof(*publication.parts));
    mrd_assert(publication.parts != NULL);
    pthread_mutex_init(&publication.lock, NULL);
    pthread_cond_init(&publication.changed, NULL);
    struct mrd_error waiting = {0};
    enum mrd_status status =
        publish_parts(erasures, erasure, mrd_buf_view(&encoded), deadline_ns, &publication, err);
    const enum mrd_status waited = await_parts(&publication, &waiting);
    if (status == MRD_OK && waited != MRD_OK) {
        status = waited;
        *err = waiting;
    }
    for (uint32_t p = 0; p < count; p++) {
        sequences[p] = publication.parts[p].sequence;
    }
    pthread_cond_destroy(&publication.changed);
    pthread_mutex_destroy(&publication.lock);
    free(publication.parts);
    return status;
}

/* ---- a request ---- */

static enum mrd_status tell(struct qry_erasures *erasures, struct mrd_members *members, mrd_hlc hlc,
                            const uint64_t *sequences, int64_t deadline_ns, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    mrd_erasure_notice_encode(hlc, sequences, erasures->options.partition_count, &bytes);
    const struct mrd_notice notice = {
        .bytes = mrd_buf_view(&bytes),
        .kinds = MRD_NOTICE_TO(MRD_MEMBER_QUERIER) | MRD_NOTICE_TO(MRD_MEMBER_DISTRIBUTOR),
        .except = erasures->options.instance,
        .deadline_ns = deadline_ns,
    };
    const enum mrd_status status = mrd_notice_tell(erasures->options.bus, members, &notice, err);
    return status == MRD_OK ? MRD_OK
                            : mrd_fail_prefix(err, status,
                                              "the erasure is in the log and will be applied, but "
                                              "a query may show the samples until then");
}

static enum mrd_status request(struct qry_erasures *erasures, struct mrd_members *members,
                               const struct mrd_erasure *erasure, struct mrd_error *err)
{
    const int64_t deadline_ns =
        mrd_clock_monotonic_ns(mrd_clock_system()) + erasures->options.wait_ms * MS;
    uint64_t *sequences = calloc(erasures->options.partition_count, sizeof(*sequences));
    mrd_assert(sequences != NULL);
    enum mrd_status status = publish(erasures, erasure, deadline_ns, sequences, err);
    if (status == MRD_OK) {
        raise_floors(erasures, sequences);
        status = tell(erasures, members, erasure->hlc, sequences,
                      deadline_ns + erasures->options.wait_ms * MS, err);
    }
    free(sequences);
    return status;
}

enum mrd_status qry_erasures_request(struct qry_erasures *erasures, struct mrd_members *members,
                                     const struct mrd_erasure *erasure, struct mrd_error *err)
{
    mrd_assert(erasures->writer != NULL);
    struct mrd_erasure stamped = *erasure;
    /* Never fails: a few bytes from an initialised pool (getrandom(2)). */
    mrd_assert(getrandom(&stamped.id, sizeof(stamped.id), 0) == (ssize_t)sizeof(stamped.id));
    stamped.hlc = mrd_hlc_next(&erasures->hlc);
    const enum mrd_status status = request(erasures, members, &stamped, err);
    mrd_counter_add(status == MRD_OK ? erasures->requests : erasures->failed, 1);
    return status;
}
