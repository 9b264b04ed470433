#include "bus/log_reader.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "bus/connection_internal.h"
#include "bus/log_admin.h"
#include "bus/log_names.h"
#include "bus/subscription_internal.h"

/* One thread does everything: it makes a consumer ("attach"), asks for messages, takes them from a
 * synchronous inbox subscription and delivers them. Whenever anything looks wrong (new connection,
 * number out of turn, silence, consumer gone) it forgets the consumer and the inbox and attaches
 * again behind `position`. Since each attach has an inbox of its own, nothing of an old consumer can be taken
 * for something of the new one.
 *
 * Accounting: `wanted` counts messages asked for and not yet come. A request ends by being filled or by a
 * status message that says how many of it will not come.
 */

enum {
    REQUEST_MESSAGES = 128,
    REQUEST_BYTES = 4 << 20,
    REQUEST_BYTES_MAX = 128 << 20,
    EXPIRES_MS = 3000,
    SILENCE_MS = EXPIRES_MS + 2000,
    LOOK_MS = 250,             /* how often an idle reader looks at connection and stop flag */
    STANDSTILL_MS = 5000,      /* without a message: is there really none? */
    LOG_LOOK_MS = 5000,        /* is it still the log that it was? */
    CONSUMER_IDLE_MS = 120000, /* the server forgets a consumer that nobody asks */
    API_MS = 5000,
    RETRY_MS_MIN = 100,
    RETRY_MS_MAX = 2000,
    ACK_TOKENS_MAX = 16,
};
static const int64_t MS = 1000000;

struct mrd_log_reader {
    struct mrd_bus *bus;
    struct mrd_log_reader_options options;
    char stream[MRD_LOG_NAME_MAX];
    pthread_t thread;
    _Atomic bool stopping;

    /* of the thread */
    jsCtx *js;
    natsSubscription *inbox;
    char inbox_subject[MRD_BUS_INBOX_MAX];
    char next_subject[2 * MRD_LOG_NAME_MAX + 64];
    char consumer[MRD_LOG_NAME_MAX];
    uint64_t generation;         /* of the connection that we are attached by */
    struct mrd_log_identity log; /* that we are attached to */
    struct mrd_log_map map;
    uint64_t position; /* last delivered, or what stands before the first wanted; see positioned */
    uint64_t at;       /* the same as a sequence of the stream */
    mrd_time_ms at_ms; /* when that entry was stored; 0: not known */
    bool positioned;   /* position means something */
    uint64_t consumer_number; /* last number of this consumer's own count */
    uint64_t catch_up_to;
    int64_t wanted;
    int64_t request_bytes;
    bool data_since_request;
    int64_t heard_ns;
    int64_t standstill_ns; /* when to ask the log itself whether it has more */
    int64_t log_look_ns;   /* when to look whether it is another */

    pthread_mutex_t lock; /* guards stats */
    struct mrd_log_reader_stats stats;
};

struct mrd_log_entry_memory {
    natsMsg *msg;
};

void mrd_log_entry_fini(struct mrd_log_entry *entry)
{
    natsMsg_Destroy((natsMsg *)entry->memory);
    entry->memory = NULL;
    entry->payload = MRD_BYTES_NONE;
}

static int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

static void reader_event(struct mrd_log_reader *reader, enum mrd_log_event event, const char *text)
{
    if (reader->options.on_event != NULL) {
        reader->options.on_event(reader->options.context, event, text);
    }
}

/* All up to there was handed out, or is not in the log (any more). */
static void passed(const struct mrd_log_reader *reader, uint64_t sequence)
{
    if (reader->options.on_passed != NULL) {
        reader->options.on_passed(reader->options.context, reader->log, sequence);
    }
}

static bool stopping(const struct mrd_log_reader *reader)
{
    return atomic_load_explicit(&reader->stopping, memory_order_relaxed);
}

/* Nothing has come yet, and what is wanted is said by a time. */
static bool is_from_time(const struct mrd_log_reader *reader)
{
    return !reader->positioned && reader->options.time_start_ms > 0;
}

/* ---- attaching ---- */

static void detach(struct mrd_log_reader *reader)
{
    mrd_bus_retire(reader->bus, &reader->inbox);
    if (reader->consumer[0] != '\0' && mrd_bus_connected(reader->bus)) {
        /* Nobody waits for the answer: what is not deleted is forgotten by the server itself. */
        char subject[2 * MRD_LOG_NAME_MAX + 64];
        snprintf(subject, sizeof(subject), "$JS.API.CONSUMER.DELETE.%s.%s", reader->stream,
                 reader->consumer);
        (void)natsConnection_Publish(mrd_bus_nats(reader->bus), subject, NULL, 0);
    }
    reader->consumer[0] = '\0';
    pthread_mutex_lock(&reader->lock);
    reader->stats.attached = false;
    pthread_mutex_unlock(&reader->lock);
}

/* Whether the log that we have read so far has gone on differently. */
static enum mrd_status is_another(const struct mrd_log_reader *reader,
                                  const struct mrd_log_state *log, bool *out_another,
                                  struct mrd_error *err)
{
    *out_another = reader->position > log->sequence_last;
    if (*out_another || reader->at_ms == 0 || reader->at < log->stream_first) {
        return MRD_OK;
    }
    const struct mrd_log_mark mark = {reader->position, reader->at_ms};
    struct mrd_error ignored;
    bool has;
    MRD_TRY(mrd_log_has_mark(reader->bus, reader->options.partition, log, mark, API_MS, &has,
                             &ignored, err));
    *out_another = !has;
    return MRD_OK;
}

static void rewind_to(struct mrd_log_reader *reader, const struct mrd_log_state *log)
{
    char text[MRD_LOG_NAME_MAX + 256];
    snprintf(text, sizeof(text),
             "log %s, made at %" PRId64 " ns, ends at %" PRIu64 ", we had read up to %" PRIu64
             " of one made at %" PRId64 " ns: it was restored or made anew",
             reader->stream, log->identity.created_ns, log->sequence_last, reader->position,
             mrd_log_identity_known(reader->log) ? reader->log.created_ns
                                                 : log->identity.created_ns);
    reader->position = log->sequence_first - 1;
    reader_event(reader, MRD_LOG_REWOUND, text);
}

/* Where the log stands, and where in it we go on. In a log that was adopted since, and whose new positions begin behind ours, what it has
 * behind ours is what follows. */
static enum mrd_status check_position(struct mrd_log_reader *reader, struct mrd_log_state *log,
                                      struct mrd_error *err)
{
    MRD_TRY(mrd_log_state_read(reader->bus, reader->options.partition, API_MS, log, err));
    const bool same =
        !mrd_log_identity_known(reader->log) || mrd_log_identity_equal(reader->log, log->identity);
    bool another = false;
    if (reader->positioned && same) {
        MRD_TRY(is_another(reader, log, &another, err));
    } else if (reader->positioned) {
        another = reader->position >= mrd_log_map_start(&log->map);
    }
    if (another) {
        rewind_to(reader, log);
    }
    if (another || !same) {
        reader->at_ms = 0;
    }
    reader->log = log->identity;
    reader->map = log->map;
    reader->at = reader->positioned ? mrd_log_map_sequence(&log->map, reader->position + 1) - 1 : 0;
    return MRD_OK;
}

/* nats.c writes fractions of a second without the zeros that they begin with: 7 ms as ".7". Entries of the up to 99 ms
 * before are left out when they come. */
static int64_t start_ms_for_nats(mrd_time_ms time_ms)
{
    const int64_t fraction_ms = time_ms % 1000;
    return fraction_ms < 100 ? time_ms - fraction_ms : time_ms;
}

static void consumer_config(const struct mrd_log_reader *reader, jsConsumerConfig *config)
{
    jsConsumerConfig_Init(config);
    config->AckPolicy = js_AckNone;
    config->ReplayPolicy = js_ReplayInstant;
    config->InactiveThreshold = CONSUMER_IDLE_MS * MS;
    config->MemoryStorage = true;
    config->Replicas = 1;
    if (reader->positioned) {
        config->DeliverPolicy = js_DeliverByStartSequence;
        config->OptStartSeq = reader->at + 1;
    } else if (is_from_time(reader)) {
        config->DeliverPolicy = js_DeliverByStartTime;
        config->OptStartTime = start_ms_for_nats(reader->options.time_start_ms) * MS;
    } else {
        config->DeliverPolicy = js_DeliverAll;
    }
}

/* *out_pending: what the consumer has to deliver. */
static enum mrd_status consumer_create(struct mrd_log_reader *reader, uint64_t *out_pending,
                                       struct mrd_error *err)
{
    jsConsumerConfig config;
    consumer_config(reader, &config);
    jsConsumerInfo *info = NULL;
    jsErrCode code = 0;
    const natsStatus status =
        js_AddConsumer(&info, reader->js, reader->stream, &config, NULL, &code);
    if (status != NATS_OK) {
        return mrd_bus_fail(err, status, (int)code, "consumer of %s", reader->stream);
    }
    snprintf(reader->consumer, sizeof(reader->consumer), "%s", info->Name);
    *out_pending = info->NumPending;
    jsConsumerInfo_Destroy(info);
    snprintf(reader->next_subject, sizeof(reader->next_subject), "$JS.API.CONSUMER.MSG.NEXT.%s.%s",
             reader->stream, reader->consumer);
    return MRD_OK;
}

static enum mrd_status inbox_open(struct mrd_log_reader *reader, struct mrd_error *err)
{
    MRD_TRY(mrd_bus_inbox(reader->inbox_subject, err));
    natsStatus status = natsConnection_SubscribeSync(&reader->inbox, mrd_bus_nats(reader->bus),
                                                     reader->inbox_subject);
    if (status == NATS_OK) { /* what may come is bounded by what we ask for */
        status = natsSubscription_SetPendingLimits(reader->inbox, -1, -1);
    }
    return status == NATS_OK ? MRD_OK : mrd_bus_fail(err, status, 0, "inbox of the log reader");
}

static enum mrd_status js_ensure(struct mrd_log_reader *reader, struct mrd_error *err)
{
    if (reader->js != NULL) {
        return MRD_OK;
    }
    return mrd_bus_jetstream(reader->bus, API_MS, &reader->js, err);
}

static void caught_up_check(struct mrd_log_reader *reader, uint64_t sequence)
{
    pthread_mutex_lock(&reader->lock);
    const bool first = !reader->stats.caught_up && sequence >= reader->catch_up_to;
    reader->stats.caught_up |= first;
    pthread_mutex_unlock(&reader->lock);
    if (first) {
        reader_event(reader, MRD_LOG_CAUGHT_UP, "");
    }
}

/* How much is to come, by the log itself: a consumer may stand on a replica that lags. Only what lies behind a
 * time nobody else knows. */
static uint64_t pending_of(const struct mrd_log_reader *reader, const struct mrd_log_state *log,
                           uint64_t consumer_pending)
{
    if (is_from_time(reader)) {
        return consumer_pending;
    }
    const uint64_t next = MRD_MAX(reader->at + 1, log->stream_first);
    return log->messages == 0 || next > log->stream_last ? 0 : log->stream_last + 1 - next;
}

static void attached(struct mrd_log_reader *reader, const struct mrd_log_state *log,
                     uint64_t pending)
{
    char text[MRD_LOG_NAME_MAX + 128];
    snprintf(text, sizeof(text), "reading %s behind %" PRIu64 " of %" PRIu64, reader->stream,
             reader->position, log->sequence_last);
    reader->wanted = 0;
    reader->consumer_number = 0;
    reader->heard_ns = now_ns();
    reader->standstill_ns = reader->heard_ns + STANDSTILL_MS * MS;
    reader->log_look_ns = reader->heard_ns + LOG_LOOK_MS * MS;
    pthread_mutex_lock(&reader->lock);
    reader->stats.attached = true;
    reader->stats.consumers++;
    reader->stats.pending = pending;
    pthread_mutex_unlock(&reader->lock);
    reader_event(reader, MRD_LOG_RESUMED, text);
    reader->catch_up_to = log->stream_last;
    if (pending == 0) {
        passed(reader, log->sequence_last);
        caught_up_check(reader, UINT64_MAX);
    }
}

static enum mrd_status is_no_more(const struct mrd_log_reader *reader, struct mrd_error *err)
{
    return mrd_fail(err, MRD_E_UNAVAILABLE, "log %s was made anew or adopted", reader->stream);
}

/* A stream takes its consumers with it: one that is there before and after the consumer was made is the one that it reads. */
static enum mrd_status check_same(const struct mrd_log_reader *reader, struct mrd_error *err)
{
    struct mrd_log_state log;
    MRD_TRY(mrd_log_state_read(reader->bus, reader->options.partition, API_MS, &log, err));
    return mrd_log_identity_equal(log.identity, reader->log) ? MRD_OK : is_no_more(reader, err);
}

static enum mrd_status attach(struct mrd_log_reader *reader, struct mrd_error *err)
{
    if (!mrd_bus_connected(reader->bus)) {
        return mrd_fail(err, MRD_E_UNAVAILABLE, "not connected");
    }
    reader->generation = mrd_bus_generation(reader->bus);
    MRD_TRY(js_ensure(reader, err));
    struct mrd_log_state log;
    MRD_TRY(check_position(reader, &log, err));
    MRD_TRY(inbox_open(reader, err));
    uint64_t pending = 0;
    MRD_TRY(consumer_create(reader, &pending, err));
    MRD_TRY(check_same(reader, err));
    attached(reader, &log, pending_of(reader, &log, pending));
    return MRD_OK;
}

static void pause_ms(const struct mrd_log_reader *reader, int64_t ms)
{
    for (int64_t left = ms; left > 0 && !stopping(reader); left -= 50) {
        nats_Sleep(MRD_MIN(left, 50));
    }
}

/* ---- asking ---- */

/* Keeps between one and two requests' worth on order. */
static enum mrd_status ask(struct mrd_log_reader *reader, struct mrd_error *err)
{
    const int64_t batch = reader->options.request_messages;
    if (reader->wanted > batch / 2) {
        return MRD_OK;
    }
    char request[128];
    const int size =
        snprintf(request, sizeof(request),
                 "{\"batch\":%" PRId64 ",\"max_bytes\":%" PRId64 ",\"expires\":%" PRId64 "}", batch,
                 reader->request_bytes, (int64_t)EXPIRES_MS * MS);
    const natsStatus status = natsConnection_PublishRequest(
        mrd_bus_nats(reader->bus), reader->next_subject, reader->inbox_subject, request, size);
    if (status != NATS_OK) {
        return mrd_bus_fail(err, status, 0, "request to the consumer of %s", reader->stream);
    }
    reader->wanted += batch;
    reader->data_since_request = false;
    return MRD_OK;
}

/* ---- taking ---- */

/* Numbers out of the reply subject, $JS.ACK.<stream>.<consumer>.<delivered>.<stream sequence>
 * .<consumer sequence>.<time>.<pending>; newer servers put <domain>.<account> before the stream. */
struct delivery {
    uint64_t sequence;
    uint64_t number;
    int64_t time_ns;
    uint64_t pending;
};

static bool delivery_parse(const char *reply, struct delivery *out)
{
    const char *tokens[ACK_TOKENS_MAX];
    size_t count = 0;
    for (const char *at = reply; at != NULL && count < ACK_TOKENS_MAX;) {
        tokens[count++] = at;
        at = strchr(at, '.');
        at = at == NULL ? NULL : at + 1;
    }
    if (count < 9 || strncmp(reply, "$JS.ACK.", 8) != 0) {
        return false;
    }
    const size_t base = count == 9 ? 5 : 7;
    if (base + 3 >= count) {
        return false;
    }
    out->sequence = strtoull(tokens[base], NULL, 10);
    out->number = strtoull(tokens[base + 1], NULL, 10);
    out->time_ns = strtoll(tokens[base + 2], NULL, 10);
    out->pending = strtoull(tokens[base + 3], NULL, 10);
    return out->sequence > 0 && out->number > 0;
}

static const char *class_of(const char *subject)
{
    const char *dot = strrchr(subject, '.');
    return dot == NULL ? subject : dot + 1;
}

/* What the log has dropped before an entry that has come: it says so before it drops it, so it is asked now. What was left out for its time, or is missing for
 * another reason than trimming, nobody knows. */
static enum mrd_status look_behind(const struct mrd_log_reader *reader, uint64_t position,
                                   struct mrd_log_entry *entry, struct mrd_error *err)
{
    struct mrd_log_state log;
    MRD_TRY(mrd_log_state_read(reader->bus, reader->options.partition, API_MS, &log, err));
    if (!mrd_log_identity_equal(log.identity, reader->log)) {
        return is_no_more(reader, err);
    }
    entry->erased_known = log.map.erased_known && log.sequence_first >= position;
    entry->erased = entry->erased_known ? log.map.erased : 0;
    return MRD_OK;
}

/* An entry from before the time that reading begins at. */
static void leave_out(struct mrd_log_reader *reader, const struct delivery *delivery)
{
    reader->wanted--;
    reader->data_since_request = true;
    reader->standstill_ns = now_ns() + STANDSTILL_MS * MS;
    reader->consumer_number = delivery->number;
    if (delivery->sequence >= reader->catch_up_to) {
        passed(reader, mrd_log_map_position(&reader->map, delivery->sequence));
    }
    caught_up_check(reader, delivery->sequence);
}

static enum mrd_status deliver(struct mrd_log_reader *reader, natsMsg **msg, struct mrd_error *err)
{
    struct delivery delivery;
    const char *reply = natsMsg_GetReply(*msg);
    if (reply == NULL || !delivery_parse(reply, &delivery)) {
        return mrd_fail(err, MRD_E_UNAVAILABLE, "message without JetStream's numbers");
    }
    if (delivery.number != reader->consumer_number + 1 ||
        (reader->positioned && delivery.sequence <= reader->at)) {
        pthread_mutex_lock(&reader->lock);
        reader->stats.losses++;
        pthread_mutex_unlock(&reader->lock);
        return mrd_fail(err, MRD_E_UNAVAILABLE,
                        "message %" PRIu64 " of the consumer came after %" PRIu64, delivery.number,
                        reader->consumer_number);
    }
    if (is_from_time(reader) && delivery.time_ns / MS < reader->options.time_start_ms) {
        leave_out(reader, &delivery);
        return MRD_OK;
    }
    const uint64_t position = mrd_log_map_position(&reader->map, delivery.sequence);
    struct mrd_log_entry entry = {
        .log = reader->log,
        .sequence = position,
        .missing_before = reader->positioned ? position - reader->position - 1 : 0,
        .pending = delivery.pending,
        .stored_ms = delivery.time_ns / MS,
        .payload = {(const uint8_t *)natsMsg_GetData(*msg), (size_t)natsMsg_GetDataLength(*msg)},
        .residency_class = class_of(natsMsg_GetSubject(*msg)),
    };
    if (reader->positioned ? entry.missing_before > 0 : position > 1) {
        MRD_TRY(look_behind(reader, position, &entry, err));
    }
    entry.memory = (struct mrd_log_entry_memory *)MRD_MOVE(*msg);
    reader->wanted--;
    reader->data_since_request = true;
    reader->standstill_ns = now_ns() + STANDSTILL_MS * MS;
    reader->consumer_number = delivery.number;
    reader->position = position;
    reader->at = delivery.sequence;
    reader->at_ms = entry.stored_ms;
    reader->positioned = true;
    pthread_mutex_lock(&reader->lock);
    reader->stats.sequence = entry.sequence;
    reader->stats.pending = entry.pending;
    reader->stats.entries++;
    reader->stats.bytes += entry.payload.size;
    reader->stats.missing += entry.missing_before;
    pthread_mutex_unlock(&reader->lock);
    reader->options.on_entry(reader->options.context, &entry);
    caught_up_check(reader, delivery.sequence);
    return MRD_OK;
}

/* How many messages of a request will not come; all that we wait for if the server does not say. */
static int64_t request_rest(struct mrd_log_reader *reader, natsMsg *msg)
{
    const char *text = NULL;
    if (natsMsgHeader_Get(msg, "Nats-Pending-Messages", &text) != NATS_OK || text == NULL) {
        return reader->wanted;
    }
    return MRD_MIN(strtoll(text, NULL, 10), reader->wanted);
}

static enum mrd_status take_status(struct mrd_log_reader *reader, natsMsg *msg, const char *status,
                                   struct mrd_error *err)
{
    const char *text = NULL;
    if (natsMsgHeader_Get(msg, "Description", &text) != NATS_OK || text == NULL) {
        text = "";
    }
    if (strcmp(status, "100") == 0) {
        return MRD_OK; /* a sign of life */
    }
    const bool too_large = strcmp(status, "409") == 0 && strstr(text, "MaxBytes") != NULL;
    if (strcmp(status, "408") == 0 || strcmp(status, "404") == 0 || too_large) {
        reader->wanted -= request_rest(reader, msg);
        if (too_large && !reader->data_since_request) {
            reader->request_bytes = MRD_MIN(reader->request_bytes * 2, (int64_t)REQUEST_BYTES_MAX);
        }
        return MRD_OK;
    }
    return mrd_fail(err, MRD_E_UNAVAILABLE, "consumer of %s: %s %s", reader->stream, status, text);
}

static enum mrd_status take(struct mrd_log_reader *reader, natsMsg **msg, struct mrd_error *err)
{
    const char *status = NULL;
    reader->heard_ns = now_ns();
    if (natsMsg_GetDataLength(*msg) == 0 && natsMsgHeader_Get(*msg, "Status", &status) == NATS_OK &&
        status != NULL) {
        return take_status(reader, *msg, status, err);
    }
    return deliver(reader, msg, err);
}

/* A consumer on a replica that fell behind its leader answers every request, "nothing new", for ever. So
 * a reader that got nothing for a while asks the leader where the log ends. */
static enum mrd_status standstill_check(struct mrd_log_reader *reader,
                                        const struct mrd_log_state *log, struct mrd_error *err)
{
    if (is_from_time(reader)) { /* all may be older */
        return MRD_OK;
    }
    if (log->messages == 0) {
        passed(reader, log->sequence_last);
    }
    return log->messages == 0 || log->stream_last <= reader->at
               ? MRD_OK
               : mrd_fail(err, MRD_E_UNAVAILABLE,
                          "the consumer stands still at %" PRIu64 ", the log ends at %" PRIu64,
                          reader->position, log->sequence_last);
}

/* A stream that is made anew takes its consumers with it, one that is adopted does not. */
static enum mrd_status log_look(struct mrd_log_reader *reader, struct mrd_error *err)
{
    const int64_t now = now_ns();
    const bool standing = now >= reader->standstill_ns;
    if ((now < reader->log_look_ns && !standing) || !mrd_bus_connected(reader->bus)) {
        return MRD_OK;
    }
    struct mrd_log_state log;
    const enum mrd_status status =
        mrd_log_state_read(reader->bus, reader->options.partition, API_MS, &log, err);
    reader->log_look_ns = now_ns() + LOG_LOOK_MS * MS;
    if (status != MRD_OK) { /* while entries come there is no hurry */
        return standing ? status : MRD_OK;
    }
    if (!mrd_log_identity_equal(log.identity, reader->log)) {
        return is_no_more(reader, err);
    }
    if (!standing) {
        return MRD_OK;
    }
    reader->standstill_ns = reader->log_look_ns;
    return standstill_check(reader, &log, err);
}

/* Nothing came for look_ms. */
static enum mrd_status idle(struct mrd_log_reader *reader, struct mrd_error *err)
{
    if (!mrd_bus_connected(reader->bus)) {
        return MRD_OK; /* a new connection is noticed by its generation */
    }
    if (now_ns() - reader->heard_ns > SILENCE_MS * MS) {
        return mrd_fail(err, MRD_E_UNAVAILABLE, "requests are not answered");
    }
    return log_look(reader, err);
}

static void msg_close(natsMsg **msg) { natsMsg_Destroy(*msg); }

/* One round: ask if needed, take one message or notice that something is wrong. */
static enum mrd_status step(struct mrd_log_reader *reader, struct mrd_error *err)
{
    if (mrd_bus_generation(reader->bus) != reader->generation) {
        return mrd_fail(err, MRD_E_UNAVAILABLE, "reconnected");
    }
    MRD_TRY(ask(reader, err));
    mrd_auto(msg_close)
    natsMsg *msg = NULL;
    const natsStatus status =
        natsSubscription_NextMsg(&msg, reader->inbox, reader->options.look_ms);
    if (status == NATS_TIMEOUT) {
        return idle(reader, err);
    }
    if (status != NATS_OK) {
        return mrd_bus_fail(err, status, 0, "inbox of the log reader");
    }
    MRD_TRY(take(reader, &msg, err));
    reader->heard_ns = now_ns(); /* on_entry may have taken long */
    return log_look(reader, err);
}

static void *reader_run(void *context)
{
    struct mrd_log_reader *reader = context;
    int64_t retry_ms = RETRY_MS_MIN;
    while (!stopping(reader)) {
        struct mrd_error err = {0};
        enum mrd_status status = attach(reader, &err);
        if (status == MRD_OK) {
            retry_ms = RETRY_MS_MIN;
        }
        while (status == MRD_OK && !stopping(reader)) {
            status = step(reader, &err);
        }
        detach(reader);
        if (status != MRD_OK && !stopping(reader)) {
            reader_event(reader, MRD_LOG_LOST, err.text);
            pause_ms(reader, retry_ms);
            retry_ms = MRD_MIN(retry_ms * 2, (int64_t)RETRY_MS_MAX);
        }
    }
    jsCtx_Destroy(reader->js);
    nats_ReleaseThreadMemory();
    return NULL;
}

/* ---- life ---- */

enum mrd_status mrd_log_reader_create(struct mrd_bus *bus,
                                      const struct mrd_log_reader_options *options,
                                      struct mrd_log_reader **out_reader, struct mrd_error *err)
{
    mrd_assert(options->on_entry != NULL);
    struct mrd_log_reader *reader = calloc(1, sizeof(*reader));
    mrd_assert(reader != NULL);
    reader->bus = bus;
    reader->options = *options;
    if (reader->options.request_messages == 0) {
        reader->options.request_messages = REQUEST_MESSAGES;
    }
    if (reader->options.look_ms == 0) {
        reader->options.look_ms = LOOK_MS;
    }
    reader->request_bytes = options->request_bytes == 0 ? REQUEST_BYTES : options->request_bytes;
    reader->positioned = options->sequence_start > 0;
    reader->position = options->sequence_start > 0 ? options->sequence_start - 1 : 0;
    mrd_log_stream_name(options->partition, reader->stream);
    pthread_mutex_init(&reader->lock, NULL);
    if (pthread_create(&reader->thread, NULL, reader_run, reader) != 0) {
        pthread_mutex_destroy(&reader->lock);
        free(reader);
        return mrd_fail(err, MRD_E_UNAVAILABLE, "log reader: no thread");
    }
    *out_reader = reader;
    return MRD_OK;
}

void mrd_log_reader_stats(struct mrd_log_reader *reader, struct mrd_log_reader_stats *out)
{
    pthread_mutex_lock(&reader->lock);
    *out = reader->stats;
    pthread_mutex_unlock(&reader->lock);
}

void mrd_log_reader_destroy(struct mrd_log_reader **reader)
{
    if (*reader == NULL) {
        return;
    }
    struct mrd_log_reader *self = MRD_MOVE(*reader);
    atomic_store_explicit(&self->stopping, true, memory_order_relaxed);
    pthread_join(self->thread, NULL);
    pthread_mutex_destroy(&self->lock);
    free(self);
}
