#include "bus/log_writer.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/threads.h"
#include "bus/connection_internal.h"
#include "bus/log_names.h"
#include "bus/pub_ack.h"
#include "bus/subscription_internal.h"

/* How it works. Every batch in flight has a slot; the slot's number and a generation are the last
 * token of its reply subject, so an acknowledgement finds it without a search and a late one of an
 * earlier owner of the slot is recognised. A batch is a natsMsg that stays as it is and can be
 * published any number of times.
 *
 * Who frees a batch: it is counted, once for the slot and once for each thread that is publishing
 * it, since an acknowledgement may overtake the return of the publish call.
 *
 * The writer's thread does everything that takes time: publishing again, deadlines. It wakes when
 * something is due, at the latest every TICK_MS.
 */

enum {
    TICK_MS = 50,
    OUTSTANDING_DEFAULT = 1024,
    ACK_WAIT_MS = 4000,
    RETRY_MS = 150,
    FULL_RETRY_MS = 500,
    JS_STREAM_FULL = 10077,
    JS_NO_RESOURCES = 10023,
    JS_NO_STORAGE = 10047,
    JS_MESSAGE_TOO_LARGE = 10054,
};
static const size_t OUTSTANDING_BYTES_DEFAULT = (size_t)256 << 20;
static const int64_t MS = 1000000;

struct batch {
    natsMsg *msg;
    uint64_t order; /* of acceptance */
    uint32_t slot;
    uint32_t partition;
    size_t size;
    int64_t deadline_ns;
    int64_t due_ns;  /* when it is sent (again) unless acknowledged before */
    uint32_t tries;  /* publishes begun */
    uint32_t counts; /* slot + publishers; guarded by the writer's lock */
    bool publishing;
    bool told; /* `done` was called: given up, sent on for the number's sake */
    mrd_log_done_fn done;
    void *context;
};

struct slot {
    struct batch *batch; /* NULL: free */
    uint32_t generation;
    uint32_t next_free;
};

struct mrd_log_writer {
    struct mrd_bus *bus;
    struct mrd_log_writer_options options;
    const struct mrd_clock *clock;
    char inbox[MRD_BUS_INBOX_MAX];
    struct mrd_bus_subscription *acks;
    struct mrd_bus_listener listener;
    _Atomic uint64_t
        renewed; /* part of the generation: release by who has seen another log, acquire by who asks */
    pthread_t thread;

    pthread_mutex_t lock; /* guards all that follows; nothing is called with it held */
    pthread_cond_t wake;  /* for the thread */
    pthread_cond_t empty; /* for drain */
    bool stopping;
    bool reconnected;      /* everything in flight may be lost */
    int64_t away_since_ns; /* 0: connected */
    struct slot *slots;
    uint32_t free_head;
    uint64_t orders;
    bool *full;     /* by partition: the last answer said so */
    size_t telling; /* calls of `done` under way */
    struct mrd_log_writer_stats stats;
};

enum { SLOT_NONE = UINT32_MAX };

/* ---- batches and slots (lock held) ---- */

static void batch_unref(struct batch *batch)
{
    batch->counts--;
    if (batch->counts == 0) {
        natsMsg_Destroy(batch->msg);
        free(batch);
    }
}

/* The slot's share of the batch passes to the caller. */
static void slot_release(struct mrd_log_writer *writer, struct batch *batch)
{
    struct slot *slot = &writer->slots[batch->slot];
    mrd_assert(slot->batch == batch);
    slot->batch = NULL;
    slot->generation++;
    slot->next_free = writer->free_head;
    writer->free_head = batch->slot;
    writer->stats.outstanding--;
    writer->stats.outstanding_bytes -= batch->size;
    writer->stats.given_up -= batch->told ? 1 : 0;
    if (writer->stats.outstanding == 0) {
        pthread_cond_broadcast(&writer->empty);
    }
}

/* A call to `done` that is to be made without the lock. */
struct call {
    mrd_log_done_fn done;
    void *context;
    struct mrd_log_ack ack;
};

/* Makes the call without the lock, which is held before and after. */
static void tell(struct mrd_log_writer *writer, const struct call *call)
{
    writer->telling++;
    pthread_mutex_unlock(&writer->lock);
    call->done(call->context, &call->ack);
    pthread_mutex_lock(&writer->lock);
    writer->telling--;
    if (writer->telling == 0) {
        pthread_cond_broadcast(&writer->empty);
    }
}

/* Takes the right to tell the caller, once. */
static bool batch_tell(struct mrd_log_writer *writer, struct batch *batch, bool stays,
                       struct call *out, const struct mrd_log_ack *ack)
{
    if (batch->told) {
        return false;
    }
    batch->told = stays;
    writer->stats.given_up += stays ? 1 : 0;
    *out = (struct call){batch->done, batch->context, *ack};
    return true;
}

/* ---- sending ---- */

static int64_t now_ns(const struct mrd_log_writer *writer)
{
    return mrd_clock_monotonic_ns(writer->clock);
}

/* Lock held; marks the batch so that no other thread sends it too. */
static void send_begin(struct mrd_log_writer *writer, struct batch *batch)
{
    batch->publishing = true;
    batch->counts++;
    batch->tries++;
    batch->due_ns = now_ns(writer) + writer->options.ack_wait_ms * MS;
    writer->stats.resent += batch->tries > 1 ? 1 : 0;
}

/* Without the lock. A failed call means that the link is in trouble: what happens next is decided by
 * the reconnect or by the acknowledgement that does not come. */
static natsStatus send_run(struct mrd_log_writer *writer, struct batch *batch)
{
    return natsConnection_PublishMsg(mrd_bus_nats(writer->bus), batch->msg);
}

static void send_end(struct mrd_log_writer *writer, struct batch *batch, natsStatus status)
{
    batch->publishing = false;
    if (status != NATS_OK) {
        batch->due_ns = now_ns(writer) + writer->options.retry_ms * MS;
    }
    batch_unref(batch);
}

/* ---- acknowledgements: on the subscription's thread ---- */

static struct batch *batch_of_subject(struct mrd_log_writer *writer, const char *subject)
{
    const char *token = strrchr(subject, '.');
    uint32_t slot = 0;
    uint32_t generation = 0;
    if (token == NULL || sscanf(token, ".%" SCNx32 "-%" SCNx32, &slot, &generation) != 2 ||
        slot >= writer->options.outstanding_max || writer->slots[slot].generation != generation) {
        return NULL;
    }
    return writer->slots[slot].batch;
}

/* A full partition has taken one again: the others need not wait. */
static void partition_not_full(struct mrd_log_writer *writer, uint32_t partition)
{
    if (!writer->full[partition]) {
        return;
    }
    writer->full[partition] = false;
    for (size_t i = 0; i < writer->options.outstanding_max; i++) {
        struct batch *batch = writer->slots[i].batch;
        if (batch != NULL && batch->partition == partition && batch->told) {
            batch->due_ns = 0;
        }
    }
    pthread_cond_signal(&writer->wake);
}

static bool ack_stored(struct mrd_log_writer *writer, struct batch *batch,
                       const struct mrd_pub_ack *ack, struct call *out)
{
    writer->stats.stored++;
    writer->stats.duplicates += ack->duplicate ? 1 : 0;
    partition_not_full(writer, batch->partition);
    const struct mrd_log_ack answer = {.status = MRD_OK,
                                       .stream_sequence = ack->sequence,
                                       .duplicate = ack->duplicate,
                                       .text = ""};
    const bool told_now = batch_tell(writer, batch, false, out, &answer);
    slot_release(writer, batch);
    batch_unref(batch);
    return told_now;
}

static bool ack_full(struct mrd_log_writer *writer, struct batch *batch,
                     const struct mrd_pub_ack *ack, struct call *out)
{
    writer->stats.refused_full++;
    writer->full[batch->partition] = true;
    batch->due_ns = now_ns(writer) + writer->options.full_retry_ms * MS;
    const struct mrd_log_ack answer = {.status = MRD_E_LIMIT, .text = ack->text};
    return batch_tell(writer, batch, true, out, &answer);
}

static bool ack_refused(struct mrd_log_writer *writer, struct batch *batch,
                        const struct mrd_pub_ack *ack, struct call *out)
{
    writer->stats.refused_other++;
    if (ack->error_code != JS_MESSAGE_TOO_LARGE) {
        batch->due_ns = now_ns(writer) + writer->options.retry_ms * MS;
        return false;
    }
    const struct mrd_log_ack answer = {.status = MRD_E_INVALID, .text = ack->text};
    const bool told_now = batch_tell(writer, batch, false, out, &answer);
    slot_release(writer, batch);
    batch_unref(batch);
    return told_now;
}

static bool ack_apply(struct mrd_log_writer *writer, struct batch *batch,
                      const struct mrd_pub_ack *ack, struct call *out)
{
    if (ack->stored) {
        return ack_stored(writer, batch, ack, out);
    }
    if (ack->error_code == JS_STREAM_FULL || ack->error_code == JS_NO_RESOURCES ||
        ack->error_code == JS_NO_STORAGE) {
        return ack_full(writer, batch, ack, out);
    }
    return ack_refused(writer, batch, ack, out);
}

static void on_ack(natsConnection *nats, natsSubscription *subscription, natsMsg *msg,
                   void *closure)
{
    (void)nats;
    (void)subscription;
    struct mrd_log_writer *writer = closure;
    struct mrd_pub_ack ack = {.code = 503, .text = "no responders"};
    const struct mrd_bytes data = {(const uint8_t *)natsMsg_GetData(msg),
                                   (size_t)natsMsg_GetDataLength(msg)};
    if (!natsMsg_IsNoResponders(msg) && !mrd_pub_ack_parse(data, &ack)) {
        ack = (struct mrd_pub_ack){.code = 500, .text = "unreadable acknowledgement"};
    }
    struct call call;
    pthread_mutex_lock(&writer->lock);
    struct batch *batch = batch_of_subject(writer, natsMsg_GetSubject(msg));
    if (batch != NULL && ack_apply(writer, batch, &ack, &call)) {
        tell(writer, &call);
    }
    pthread_mutex_unlock(&writer->lock);
    natsMsg_Destroy(msg);
}

/* ---- the writer's thread ---- */

static void on_bus_event(void *context, enum mrd_bus_event event, const char *text)
{
    (void)text;
    struct mrd_log_writer *writer = context;
    pthread_mutex_lock(&writer->lock);
    if (event == MRD_BUS_CONNECTED) {
        writer->reconnected = true;
        writer->away_since_ns = 0;
    } else if (event == MRD_BUS_DISCONNECTED) {
        writer->away_since_ns = now_ns(writer);
    }
    pthread_cond_signal(&writer->wake);
    pthread_mutex_unlock(&writer->lock);
}

static bool tell_one_late(struct mrd_log_writer *writer)
{
    const int64_t now = now_ns(writer);
    for (size_t i = 0; i < writer->options.outstanding_max; i++) {
        struct batch *batch = writer->slots[i].batch;
        const struct mrd_log_ack answer = {.status = MRD_E_TIMEOUT,
                                           .text = "no acknowledgement by the deadline"};
        struct call call;
        if (batch != NULL && batch->deadline_ns <= now &&
            batch_tell(writer, batch, true, &call, &answer)) {
            writer->stats.timeouts++;
            tell(writer, &call);
            return true;
        }
    }
    return false;
}

/* The oldest batch that is due. Of a full partition only the oldest of all is tried. */
static struct batch *oldest_due(struct mrd_log_writer *writer, int64_t now)
{
    struct batch *best = NULL;
    for (size_t i = 0; i < writer->options.outstanding_max; i++) {
        struct batch *batch = writer->slots[i].batch;
        if (batch != NULL && !batch->publishing && batch->due_ns <= now &&
            (best == NULL || batch->order < best->order)) {
            best = batch;
        }
    }
    return best;
}

/* Pushes back the others of a full partition when one of it is tried. */
static void hold_back(struct mrd_log_writer *writer, const struct batch *tried)
{
    if (!writer->full[tried->partition]) {
        return;
    }
    const int64_t later = now_ns(writer) + writer->options.full_retry_ms * MS;
    for (size_t i = 0; i < writer->options.outstanding_max; i++) {
        struct batch *batch = writer->slots[i].batch;
        if (batch != NULL && batch != tried && batch->partition == tried->partition) {
            batch->due_ns = MRD_MAX(batch->due_ns, later);
        }
    }
}

static bool send_one_due(struct mrd_log_writer *writer)
{
    if (!mrd_bus_connected(writer->bus)) {
        return false;
    }
    struct batch *batch = oldest_due(writer, now_ns(writer));
    if (batch == NULL) {
        return false;
    }
    hold_back(writer, batch);
    send_begin(writer, batch);
    pthread_mutex_unlock(&writer->lock);
    const natsStatus status = send_run(writer, batch);
    pthread_mutex_lock(&writer->lock);
    send_end(writer, batch, status);
    return true;
}

static void all_due(struct mrd_log_writer *writer)
{
    writer->reconnected = false;
    for (size_t i = 0; i < writer->options.outstanding_max; i++) {
        if (writer->slots[i].batch != NULL) {
            writer->slots[i].batch->due_ns = 0;
        }
    }
}

static void *writer_run(void *context)
{
    struct mrd_log_writer *writer = context;
    pthread_mutex_lock(&writer->lock);
    while (!writer->stopping) {
        if (writer->reconnected) {
            all_due(writer);
        }
        if (writer->stats.outstanding > 0 && (tell_one_late(writer) || send_one_due(writer))) {
            continue;
        }
        const struct timespec until =
            mrd_cond_time(mrd_clock_monotonic_ns(mrd_clock_system()) + (int64_t)TICK_MS * MS);
        pthread_cond_timedwait(&writer->wake, &writer->lock, &until);
    }
    pthread_mutex_unlock(&writer->lock);
    nats_ReleaseThreadMemory();
    return NULL;
}

/* ---- publishing ---- */

/* Lock held. */
static enum mrd_status room_check(struct mrd_log_writer *writer, uint32_t partition, size_t size,
                                  struct mrd_error *err)
{
    const struct mrd_log_writer_options *options = &writer->options;
    if (writer->full[partition]) {
        return mrd_fail(err, MRD_E_LIMIT, "the log of partition %" PRIu32 " is full", partition);
    }
    if (writer->away_since_ns != 0 &&
        now_ns(writer) - writer->away_since_ns > options->ack_wait_ms * MS) {
        return mrd_fail(err, MRD_E_UNAVAILABLE, "the log cannot be reached");
    }
    if (writer->free_head == SLOT_NONE) {
        return mrd_fail(err, MRD_E_UNAVAILABLE,
                        "%zu batches wait for the log's acknowledgement, the limit",
                        writer->stats.outstanding);
    }
    if (writer->stats.outstanding > 0 &&
        writer->stats.outstanding_bytes + size > options->outstanding_bytes_max) {
        return mrd_fail(err, MRD_E_UNAVAILABLE,
                        "%zu bytes wait for the log's acknowledgement, the limit is %zu",
                        writer->stats.outstanding_bytes, options->outstanding_bytes_max);
    }
    return MRD_OK;
}

enum mrd_status mrd_log_writer_ready(struct mrd_log_writer *writer, uint32_t partition,
                                     size_t payload_size, struct mrd_error *err)
{
    mrd_assert(partition < writer->options.partition_count);
    pthread_mutex_lock(&writer->lock);
    const enum mrd_status status = room_check(writer, partition, payload_size, err);
    pthread_mutex_unlock(&writer->lock);
    return status;
}

static enum mrd_status batch_check(struct mrd_log_writer *writer, const struct mrd_log_batch *batch,
                                   struct mrd_error *err)
{
    mrd_assert(batch->partition < writer->options.partition_count && batch->done != NULL);
    if (!mrd_bus_token_valid(batch->residency_class, MRD_LOG_CLASS_MAX)) {
        return mrd_fail(err, MRD_E_INVALID, "residency class is not a subject token");
    }
    if (!mrd_bus_token_valid(batch->id, MRD_LOG_ID_MAX)) {
        return mrd_fail(err, MRD_E_INVALID, "batch id is not a token of under %d bytes",
                        MRD_LOG_ID_MAX);
    }
    const int64_t payload_max = mrd_bus_payload_max(writer->bus);
    const size_t overhead = 256; /* the id's header */
    if (batch->payload.size > INT32_MAX / 2 ||
        (payload_max > 0 && batch->payload.size + overhead > (size_t)payload_max)) {
        return mrd_fail(err, MRD_E_INVALID,
                        "batch of %zu bytes: the server takes at most %" PRId64
                        " (max_payload), headers included",
                        batch->payload.size, payload_max);
    }
    return MRD_OK;
}

/* Lock held, room checked. */
static void slot_take(struct mrd_log_writer *writer, struct batch *batch)
{
    batch->slot = writer->free_head;
    writer->free_head = writer->slots[batch->slot].next_free;
    writer->slots[batch->slot].batch = batch;
    batch->order = writer->orders++;
    batch->counts = 1;
    writer->stats.outstanding++;
    writer->stats.outstanding_bytes += batch->size;
    writer->stats.accepted++;
}

static enum mrd_status message_create(struct mrd_log_writer *writer, struct batch *batch,
                                      const struct mrd_log_batch *from, uint32_t generation,
                                      struct mrd_error *err)
{
    char subject[MRD_LOG_NAME_MAX];
    char reply[MRD_BUS_INBOX_MAX + 32];
    snprintf(reply, sizeof(reply), "%s.%" PRIx32 "-%" PRIx32, writer->inbox, batch->slot,
             generation);
    natsStatus status = natsMsg_Create(
        &batch->msg, mrd_log_subject(from->partition, from->residency_class, subject), reply,
        (const char *)from->payload.data, (int)from->payload.size);
    if (status == NATS_OK) {
        status = natsMsgHeader_Set(batch->msg, "Nats-Msg-Id", from->id);
    }
    return status == NATS_OK ? MRD_OK : mrd_bus_fail(err, status, 0, "batch %s", from->id);
}

static struct batch *batch_create(const struct mrd_log_batch *from)
{
    struct batch *batch = calloc(1, sizeof(*batch));
    mrd_assert(batch != NULL);
    batch->partition = from->partition;
    batch->size = from->payload.size;
    batch->deadline_ns = from->deadline_ns;
    batch->done = from->done;
    batch->context = from->context;
    return batch;
}

enum mrd_status mrd_log_writer_publish(struct mrd_log_writer *writer,
                                       const struct mrd_log_batch *from, struct mrd_error *err)
{
    MRD_TRY(batch_check(writer, from, err));
    struct batch *batch = batch_create(from);
    pthread_mutex_lock(&writer->lock);
    enum mrd_status status = room_check(writer, from->partition, batch->size, err);
    if (status == MRD_OK) {
        slot_take(writer, batch);
        /* Publishing from here on, so that nobody else touches the batch until the message is made. */
        send_begin(writer, batch);
        const uint32_t generation = writer->slots[batch->slot].generation;
        pthread_mutex_unlock(&writer->lock);
        status = message_create(writer, batch, from, generation, err);
        const bool send = status == MRD_OK && mrd_bus_connected(writer->bus);
        const natsStatus sent = send ? send_run(writer, batch) : NATS_CONNECTION_DISCONNECTED;
        pthread_mutex_lock(&writer->lock);
        if (status != MRD_OK) {
            writer->stats.accepted--;
            slot_release(writer, batch);
            batch_unref(batch);
        }
        send_end(writer, batch, sent);
    } else {
        free(batch);
    }
    pthread_mutex_unlock(&writer->lock);
    return status;
}

/* ---- life ---- */

static void options_complete(struct mrd_log_writer_options *options)
{
    if (options->outstanding_max == 0) {
        options->outstanding_max = OUTSTANDING_DEFAULT;
    }
    if (options->outstanding_bytes_max == 0) {
        options->outstanding_bytes_max = OUTSTANDING_BYTES_DEFAULT;
    }
    options->ack_wait_ms = options->ack_wait_ms == 0 ? ACK_WAIT_MS : options->ack_wait_ms;
    options->retry_ms = options->retry_ms == 0 ? RETRY_MS : options->retry_ms;
    options->full_retry_ms = options->full_retry_ms == 0 ? FULL_RETRY_MS : options->full_retry_ms;
    if (options->clock == NULL) {
        options->clock = mrd_clock_system();
    }
}

static void writer_free(struct mrd_log_writer *writer)
{
    pthread_cond_destroy(&writer->wake);
    pthread_cond_destroy(&writer->empty);
    pthread_mutex_destroy(&writer->lock);
    free(writer->slots);
    free(writer->full);
    free(writer);
}

static struct mrd_log_writer *writer_alloc(struct mrd_bus *bus,
                                           const struct mrd_log_writer_options *options)
{
    struct mrd_log_writer *writer = calloc(1, sizeof(*writer));
    mrd_assert(writer != NULL);
    writer->bus = bus;
    writer->options = *options;
    options_complete(&writer->options);
    writer->clock = writer->options.clock;
    mrd_assert(writer->options.outstanding_max < SLOT_NONE);
    writer->slots = calloc(writer->options.outstanding_max, sizeof(*writer->slots));
    writer->full = calloc(options->partition_count, sizeof(*writer->full));
    mrd_assert(writer->slots != NULL && writer->full != NULL);
    writer->free_head = SLOT_NONE;
    for (size_t i = writer->options.outstanding_max; i-- > 0;) {
        writer->slots[i].next_free = writer->free_head;
        writer->free_head = (uint32_t)i;
    }
    pthread_mutex_init(&writer->lock, NULL);
    mrd_cond_init(&writer->wake);
    mrd_cond_init(&writer->empty);
    return writer;
}

enum mrd_status mrd_log_writer_create(struct mrd_bus *bus,
                                      const struct mrd_log_writer_options *options,
                                      struct mrd_log_writer **out_writer, struct mrd_error *err)
{
    mrd_assert(options->partition_count > 0);
    struct mrd_log_writer *writer = writer_alloc(bus, options);
    enum mrd_status status = mrd_bus_inbox(writer->inbox, err);
    if (status == MRD_OK) {
        char subject[MRD_BUS_INBOX_MAX + 2];
        snprintf(subject, sizeof(subject), "%s.*", writer->inbox);
        status = mrd_bus_subscribe(bus, subject, on_ack, writer, &writer->acks, err);
    }
    if (status != MRD_OK) {
        writer_free(writer);
        return status;
    }
    writer->listener = (struct mrd_bus_listener){.on_event = on_bus_event, .context = writer};
    mrd_bus_listen(bus, &writer->listener);
    if (!mrd_bus_connected(bus)) {
        pthread_mutex_lock(&writer->lock);
        writer->away_since_ns = now_ns(writer);
        pthread_mutex_unlock(&writer->lock);
        if (mrd_bus_connected(bus)) { /* it came in between, and the event before our note of it */
            on_bus_event(writer, MRD_BUS_CONNECTED, "");
        }
    }
    mrd_assert(pthread_create(&writer->thread, NULL, writer_run, writer) == 0);
    *out_writer = writer;
    return MRD_OK;
}

uint64_t mrd_log_writer_generation(const struct mrd_log_writer *writer)
{
    return mrd_bus_generation(writer->bus) +
           atomic_load_explicit(&writer->renewed, memory_order_acquire);
}

void mrd_log_writer_renew(struct mrd_log_writer *writer)
{
    atomic_fetch_add_explicit(&writer->renewed, 1, memory_order_release);
}

void mrd_log_writer_stats(struct mrd_log_writer *writer, struct mrd_log_writer_stats *out)
{
    pthread_mutex_lock(&writer->lock);
    *out = writer->stats;
    pthread_mutex_unlock(&writer->lock);
}

enum mrd_status mrd_log_writer_drain(struct mrd_log_writer *writer, int64_t timeout_ms,
                                     struct mrd_error *err)
{
    const struct timespec until =
        mrd_cond_time(mrd_clock_monotonic_ns(mrd_clock_system()) + timeout_ms * MS);
    int waited = 0;
    pthread_mutex_lock(&writer->lock);
    while ((writer->stats.outstanding > 0 || writer->telling > 0) && waited == 0) {
        waited = pthread_cond_timedwait(&writer->empty, &writer->lock, &until);
    }
    const size_t left = writer->stats.outstanding;
    pthread_mutex_unlock(&writer->lock);
    return left == 0 ? MRD_OK
                     : mrd_fail(err, MRD_E_TIMEOUT,
                                "%zu batches are not acknowledged after %" PRId64 " ms", left,
                                timeout_ms);
}

void mrd_log_writer_destroy(struct mrd_log_writer **writer)
{
    if (*writer == NULL) {
        return;
    }
    struct mrd_log_writer *self = MRD_MOVE(*writer);
    mrd_bus_unlisten(self->bus, &self->listener);
    mrd_bus_unsubscribe(&self->acks);
    pthread_mutex_lock(&self->lock);
    self->stopping = true;
    pthread_cond_signal(&self->wake);
    pthread_mutex_unlock(&self->lock);
    pthread_join(self->thread, NULL);
    for (size_t i = 0; i < self->options.outstanding_max; i++) { /* we are alone now */
        struct batch *batch = self->slots[i].batch;
        if (batch == NULL) {
            continue;
        }
        if (!batch->told) {
            const struct mrd_log_ack answer = {.status = MRD_E_CANCELED,
                                               .text = "the writer is shut down"};
            batch->done(batch->context, &answer);
        }
        batch_unref(batch);
    }
    writer_free(self);
}
