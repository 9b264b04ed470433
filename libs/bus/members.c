#include "bus/members.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/threads.h"
#include "bus/connection_internal.h"
#include "bus/log_names.h"
#include "bus/member_record.h"
#include "bus/subscription_internal.h"

/* Beats are published to the bucket's subjects, so JetStream keeps the last one of each member for
 * whoever looks with other tools, while members see them as plain messages. Someone new says hello on
 * HELLO_SUBJECT and everybody beats at once, so a newcomer knows all within a round trip.
 */

#define KV_SUBJECT "$KV." MRD_MEMBERS_BUCKET "."
#define HELLO_SUBJECT "mrd.members.hello"

enum {
    SETTLE_BEATS = 2, /* after connecting: whoever is alive has been heard */
    PAUSE_MS = 2000,  /* our own thread stood still for longer: others may have beaten unheard */
    BUCKET_RETRY_MS = 5000,
    API_MS = 2000,
};
static const int64_t MS = 1000000;

/* What is known of another member. */
struct peer {
    struct mrd_member_record record;
    int64_t heard_ns;
};

/* A snapshot with its memory. */
struct snapshot {
    struct mrd_members_snapshot view; /* first: the caller's pointer is ours */
    _Atomic size_t references;        /* acq_rel on release: the last one frees */
    struct mrd_member *members;
    struct mrd_member_partition *partitions;
};

struct mrd_members {
    struct mrd_bus *bus;
    struct mrd_members_options options;
    const struct mrd_clock *clock;
    struct mrd_bus_subscription *beats;
    struct mrd_bus_subscription *hellos;
    struct mrd_bus_listener listener;
    pthread_t thread;

    pthread_mutex_t lock; /* guards all that follows; not held in calls to the outside */
    pthread_cond_t wake;
    bool stopping;
    bool has_self;
    struct mrd_member_record self;
    bool beat_now;
    bool hello_now;
    bool reconnected;
    bool bucket_ready;
    int64_t bucket_try_ns;
    int64_t next_beat_ns;
    int64_t own_sent_ns;  /* when the oldest beat was sent that has not come back; 0: all have */
    int64_t own_heard_ns; /* when the last was sent that has; 0: none has */
    uint64_t lapses;
    int64_t settled_ns; /* when the picture is complete; INT64_MAX: not connected yet */
    struct peer *peers[MRD_MEMBERS_MAX];
    size_t peer_count;
    uint64_t version;
    uint64_t reported;         /* version of the last on_change */
    struct snapshot *snapshot; /* of now, or NULL: to be made */
};

static int64_t now_ns(const struct mrd_members *members)
{
    return mrd_clock_monotonic_ns(members->clock);
}

/* ---- the table (lock held) ---- */

static void snapshot_drop(struct mrd_members *members)
{
    const struct mrd_members_snapshot *view =
        members->snapshot == NULL ? NULL : &members->snapshot->view;
    members->snapshot = NULL;
    mrd_members_release(&view);
}

static void changed(struct mrd_members *members)
{
    members->version++;
    snapshot_drop(members);
    pthread_cond_signal(&members->wake);
}

static void peer_free(struct peer *peer)
{
    mrd_member_record_fini(&peer->record);
    free(peer);
}

static size_t peer_find(const struct mrd_members *members, const char *instance)
{
    for (size_t i = 0; i < members->peer_count; i++) {
        if (strcmp(members->peers[i]->record.member.instance, instance) == 0) {
            return i;
        }
    }
    return SIZE_MAX;
}

static void peer_remove(struct mrd_members *members, size_t index)
{
    peer_free(members->peers[index]);
    members->peers[index] = members->peers[--members->peer_count];
    changed(members);
}

/* Takes the record. */
static void peer_heard(struct mrd_members *members, struct mrd_member_record *record)
{
    const size_t index = peer_find(members, record->member.instance);
    if (index == SIZE_MAX && members->peer_count == MRD_MEMBERS_MAX) {
        mrd_member_record_fini(record);
        return;
    }
    struct peer *peer;
    bool differs = true;
    if (index == SIZE_MAX) {
        peer = calloc(1, sizeof(*peer));
        mrd_assert(peer != NULL);
        members->peers[members->peer_count++] = peer;
    } else {
        peer = members->peers[index];
        differs = mrd_member_record_differs(&peer->record, record);
        mrd_member_record_fini(&peer->record);
    }
    peer->record = *record;
    peer->heard_ns = now_ns(members);
    if (differs) {
        changed(members);
    } else {
        snapshot_drop(members); /* sequences moved on */
    }
}

/* ---- messages ---- */

static int64_t heard_for_ns(const struct mrd_members *members)
{
    return (members->options.expire_ms - members->options.beat_ms) * MS;
}

/* One of our beats has come back: it may be any that is under way, so it counts as the oldest. */
static void own_heard(struct mrd_members *members)
{
    if (members->own_sent_ns == 0) {
        return;
    }
    members->lapses += members->own_heard_ns != 0 &&
                       members->own_sent_ns - members->own_heard_ns > heard_for_ns(members);
    members->own_heard_ns = members->own_sent_ns;
    members->own_sent_ns = 0;
}

static void on_beat(natsConnection *nats, natsSubscription *subscription, natsMsg *msg,
                    void *closure)
{
    (void)nats;
    (void)subscription;
    struct mrd_members *members = closure;
    const char *instance = natsMsg_GetSubject(msg) + strlen(KV_SUBJECT);
    const char *operation = NULL;
    const bool gone = natsMsgHeader_Get(msg, "KV-Operation", &operation) == NATS_OK;
    struct mrd_member_record record = {0};
    const struct mrd_bytes data = {(const uint8_t *)natsMsg_GetData(msg),
                                   (size_t)natsMsg_GetDataLength(msg)};
    pthread_mutex_lock(&members->lock);
    const bool own = members->has_self && strcmp(instance, members->self.member.instance) == 0;
    if (own) {
        own_heard(members);
    } else if (gone) {
        const size_t index = peer_find(members, instance);
        if (index != SIZE_MAX) {
            peer_remove(members, index);
        }
    } else if (mrd_member_record_decode(data, &record, NULL) == MRD_OK) {
        if (strcmp(record.member.instance, instance) == 0) {
            peer_heard(members, &record);
        } else {
            mrd_member_record_fini(&record);
        }
    }
    pthread_mutex_unlock(&members->lock);
    natsMsg_Destroy(msg);
}

static void on_hello(natsConnection *nats, natsSubscription *subscription, natsMsg *msg,
                     void *closure)
{
    (void)nats;
    (void)subscription;
    struct mrd_members *members = closure;
    pthread_mutex_lock(&members->lock);
    members->beat_now = true;
    pthread_cond_signal(&members->wake);
    pthread_mutex_unlock(&members->lock);
    natsMsg_Destroy(msg);
}

static void on_bus_event(void *context, enum mrd_bus_event event, const char *text)
{
    (void)text;
    struct mrd_members *members = context;
    if (event == MRD_BUS_CONNECTED) {
        pthread_mutex_lock(&members->lock);
        members->reconnected = true;
        pthread_cond_signal(&members->wake);
        pthread_mutex_unlock(&members->lock);
    }
}

/* ---- the thread ---- */

/* Lock held, dropped within. The bucket is for those who look from outside; without it beats work all the
 * same, so a failure is only tried again. */
static void bucket_ensure(struct mrd_members *members)
{
    const int64_t now = now_ns(members);
    if (members->bucket_ready || !mrd_bus_connected(members->bus) || now < members->bucket_try_ns) {
        return;
    }
    members->bucket_try_ns = now + BUCKET_RETRY_MS * MS;
    pthread_mutex_unlock(&members->lock);
    jsCtx *js = NULL;
    kvStore *kv = NULL;
    jsOptions options;
    jsOptions_Init(&options);
    options.Wait = API_MS;
    natsStatus status = natsConnection_JetStream(&js, mrd_bus_nats(members->bus), &options);
    if (status == NATS_OK) {
        status = js_KeyValue(&kv, js, MRD_MEMBERS_BUCKET);
    }
    if (status == NATS_NOT_FOUND) {
        kvConfig config;
        kvConfig_Init(&config);
        config.Bucket = MRD_MEMBERS_BUCKET;
        config.Description = "Meridian: who is alive";
        config.History = 1;
        config.TTL = members->options.expire_ms * MS;
        config.StorageType = js_MemoryStorage;
        config.Replicas = (int)members->options.replicas;
        status = js_CreateKeyValue(&kv, js, &config);
    }
    kvStore_Destroy(kv);
    jsCtx_Destroy(js);
    pthread_mutex_lock(&members->lock);
    members->bucket_ready = status == NATS_OK;
}

/* Lock held, dropped within. */
static void beat_send(struct mrd_members *members)
{
    members->beat_now = false;
    members->next_beat_ns = now_ns(members) + members->options.beat_ms * MS;
    if (!members->has_self || !mrd_bus_connected(members->bus)) {
        return;
    }
    struct mrd_buf buf = {0};
    char subject[MRD_MEMBER_TEXT_MAX + 32];
    members->own_sent_ns = members->own_sent_ns == 0 ? now_ns(members) : members->own_sent_ns;
    mrd_member_record_encode(&members->self.member, &buf);
    snprintf(subject, sizeof(subject), KV_SUBJECT "%s", members->self.member.instance);
    pthread_mutex_unlock(&members->lock);
    (void)natsConnection_Publish(mrd_bus_nats(members->bus), subject, buf.data, (int)buf.size);
    mrd_buf_fini(&buf);
    pthread_mutex_lock(&members->lock);
}

static void hello_send(struct mrd_members *members)
{
    members->hello_now = false;
    pthread_mutex_unlock(&members->lock);
    (void)natsConnection_Publish(mrd_bus_nats(members->bus), HELLO_SUBJECT, NULL, 0);
    pthread_mutex_lock(&members->lock);
}

/* Silence that was ours says nothing about others. */
static void forgive(struct mrd_members *members)
{
    for (size_t i = 0; i < members->peer_count; i++) {
        members->peers[i]->heard_ns = now_ns(members);
    }
}

static void expire(struct mrd_members *members)
{
    const int64_t before = now_ns(members) - members->options.expire_ms * MS;
    for (size_t i = members->peer_count; i-- > 0;) {
        if (members->peers[i]->heard_ns < before) {
            peer_remove(members, i);
        }
    }
}

static void connected_again(struct mrd_members *members)
{
    members->reconnected = false;
    members->own_sent_ns = 0; /* what was under way may be lost */
    forgive(members);
    members->beat_now = true;
    members->hello_now = true;
    members->bucket_ready = false; /* a memory bucket may be gone with its server */
    members->bucket_try_ns = 0;
    if (members->settled_ns == INT64_MAX) {
        members->settled_ns = now_ns(members) + SETTLE_BEATS * members->options.beat_ms * MS;
    }
}

static void settle(struct mrd_members *members)
{
    if (members->settled_ns != INT64_MAX && members->settled_ns != 0 &&
        now_ns(members) >= members->settled_ns) {
        members->settled_ns = 0;
        changed(members);
    }
}

static void report(struct mrd_members *members)
{
    if (members->reported == members->version) {
        return;
    }
    members->reported = members->version;
    if (members->options.on_change != NULL) {
        pthread_mutex_unlock(&members->lock);
        members->options.on_change(members->options.context);
        pthread_mutex_lock(&members->lock);
    }
}

static void round_of_work(struct mrd_members *members)
{
    if (members->reconnected) {
        connected_again(members);
    }
    if (mrd_bus_connected(members->bus)) {
        expire(members);
        settle(members);
    } else {
        forgive(members);
    }
    bucket_ensure(members);
    if (members->hello_now) {
        hello_send(members);
    }
    if (members->beat_now || now_ns(members) >= members->next_beat_ns) {
        beat_send(members);
    }
    report(members);
}

static void *members_run(void *context)
{
    struct mrd_members *members = context;
    pthread_mutex_lock(&members->lock);
    int64_t last_ns = now_ns(members);
    while (!members->stopping) {
        const int64_t now = now_ns(members);
        if (now - last_ns > PAUSE_MS * MS) {
            forgive(members);
        }
        last_ns = now;
        round_of_work(members);
        if (members->stopping || members->beat_now || members->reconnected ||
            members->reported != members->version) {
            continue;
        }
        const int64_t wait_ms = MRD_MAX(members->options.beat_ms / 4, 1);
        const struct timespec until =
            mrd_cond_time(mrd_clock_monotonic_ns(mrd_clock_system()) + wait_ms * MS);
        pthread_cond_timedwait(&members->wake, &members->lock, &until);
    }
    pthread_mutex_unlock(&members->lock);
    nats_ReleaseThreadMemory();
    return NULL;
}

/* ---- snapshots ---- */

static int member_compare(const void *a, const void *b)
{
    return strcmp(((const struct mrd_member *)a)->instance,
                  ((const struct mrd_member *)b)->instance);
}

static void snapshot_add(struct snapshot *snapshot, const struct mrd_member *member,
                         struct mrd_member_partition **partitions)
{
    struct mrd_member *to = &snapshot->members[snapshot->view.count++];
    *to = *member;
    to->partitions = *partitions;
    if (member->partition_count > 0) {
        memcpy(*partitions, member->partitions, member->partition_count * sizeof(**partitions));
    }
    *partitions += member->partition_count;
}

static struct snapshot *snapshot_create(const struct mrd_members *members)
{
    struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
    mrd_assert(snapshot != NULL);
    size_t partitions = members->self.member.partition_count + 1;
    for (size_t i = 0; i < members->peer_count; i++) {
        partitions += members->peers[i]->record.member.partition_count;
    }
    snapshot->members = calloc(members->peer_count + 1, sizeof(*snapshot->members));
    snapshot->partitions = calloc(partitions, sizeof(*snapshot->partitions));
    mrd_assert(snapshot->members != NULL && snapshot->partitions != NULL);
    struct mrd_member_partition *at = snapshot->partitions;
    if (members->has_self) {
        snapshot_add(snapshot, &members->self.member, &at);
    }
    for (size_t i = 0; i < members->peer_count; i++) {
        snapshot_add(snapshot, &members->peers[i]->record.member, &at);
    }
    qsort(snapshot->members, snapshot->view.count, sizeof(*snapshot->members), member_compare);
    snapshot->view.members = snapshot->members;
    snapshot->view.version = members->version;
    snapshot->view.settled = members->settled_ns == 0;
    atomic_init(&snapshot->references, 1);
    return snapshot;
}

struct mrd_members_standing mrd_members_standing(struct mrd_members *members)
{
    pthread_mutex_lock(&members->lock);
    const struct mrd_members_standing standing = {
        .heard = members->own_heard_ns != 0 &&
                 now_ns(members) - members->own_heard_ns <= heard_for_ns(members),
        .lapses = members->lapses,
    };
    pthread_mutex_unlock(&members->lock);
    return standing;
}

const struct mrd_members_snapshot *mrd_members_acquire(struct mrd_members *members)
{
    pthread_mutex_lock(&members->lock);
    if (members->snapshot == NULL) {
        members->snapshot = snapshot_create(members);
    }
    struct snapshot *snapshot = members->snapshot;
    atomic_fetch_add_explicit(&snapshot->references, 1, memory_order_relaxed);
    pthread_mutex_unlock(&members->lock);
    return &snapshot->view;
}

void mrd_members_release(const struct mrd_members_snapshot **view)
{
    if (*view == NULL) {
        return;
    }
    struct snapshot *snapshot = (struct snapshot *)(uintptr_t)*view;
    *view = NULL;
    if (atomic_fetch_sub_explicit(&snapshot->references, 1, memory_order_acq_rel) == 1) {
        free(snapshot->members);
        free(snapshot->partitions);
        free(snapshot);
    }
}

/* ---- life ---- */

void mrd_members_update(struct mrd_members *members, const struct mrd_member *self)
{
    pthread_mutex_lock(&members->lock);
    mrd_assert(members->has_self && strcmp(self->instance, members->self.member.instance) == 0);
    struct mrd_member_record record;
    mrd_member_record_copy(self, &record);
    if (mrd_member_record_differs(&members->self, &record)) {
        members->beat_now = true;
        changed(members);
    } else {
        snapshot_drop(members);
    }
    mrd_member_record_fini(&members->self);
    members->self = record;
    pthread_mutex_unlock(&members->lock);
}

static void members_free(struct mrd_members *members)
{
    for (size_t i = 0; i < members->peer_count; i++) {
        peer_free(members->peers[i]);
    }
    snapshot_drop(members);
    mrd_member_record_fini(&members->self);
    pthread_cond_destroy(&members->wake);
    pthread_mutex_destroy(&members->lock);
    free(members);
}

static struct mrd_members *members_alloc(struct mrd_bus *bus,
                                         const struct mrd_members_options *options)
{
    struct mrd_members *members = calloc(1, sizeof(*members));
    mrd_assert(members != NULL);
    members->bus = bus;
    members->options = *options;
    members->options.beat_ms = options->beat_ms == 0 ? MRD_MEMBERS_BEAT_MS : options->beat_ms;
    members->options.expire_ms =
        options->expire_ms == 0 ? MRD_MEMBERS_EXPIRE_MS : options->expire_ms;
    members->options.replicas = options->replicas == 0 ? 1 : options->replicas;
    members->clock = options->clock == NULL ? mrd_clock_system() : options->clock;
    members->settled_ns = INT64_MAX;
    if (options->self != NULL) {
        members->has_self = true;
        mrd_member_record_copy(options->self, &members->self);
    }
    pthread_mutex_init(&members->lock, NULL);
    mrd_cond_init(&members->wake);
    return members;
}

enum mrd_status mrd_members_create(struct mrd_bus *bus, const struct mrd_members_options *options,
                                   struct mrd_members **out_members, struct mrd_error *err)
{
    if (options->self != NULL &&
        !mrd_bus_token_valid(options->self->instance, MRD_MEMBER_TEXT_MAX)) {
        return mrd_fail(err, MRD_E_INVALID,
                        "instance name \"%s\": 1 to 63 letters, digits, '-' or '_'",
                        options->self->instance);
    }
    struct mrd_members *members = members_alloc(bus, options);
    enum mrd_status status =
        mrd_bus_subscribe(bus, KV_SUBJECT "*", on_beat, members, &members->beats, err);
    if (status == MRD_OK) {
        status = mrd_bus_subscribe(bus, HELLO_SUBJECT, on_hello, members, &members->hellos, err);
    }
    if (status != MRD_OK) {
        mrd_bus_unsubscribe(&members->beats);
        members_free(members);
        return status;
    }
    members->listener = (struct mrd_bus_listener){.on_event = on_bus_event, .context = members};
    mrd_bus_listen(bus, &members->listener);
    if (mrd_bus_connected(bus)) {
        on_bus_event(members, MRD_BUS_CONNECTED, "");
    }
    mrd_assert(pthread_create(&members->thread, NULL, members_run, members) == 0);
    *out_members = members;
    return MRD_OK;
}

static void goodbye(struct mrd_members *members)
{
    if (!members->has_self || !mrd_bus_connected(members->bus)) {
        return;
    }
    char subject[MRD_MEMBER_TEXT_MAX + 32];
    snprintf(subject, sizeof(subject), KV_SUBJECT "%s", members->self.member.instance);
    natsMsg *msg = NULL;
    if (natsMsg_Create(&msg, subject, NULL, NULL, 0) == NATS_OK &&
        natsMsgHeader_Set(msg, "KV-Operation", "DEL") == NATS_OK) {
        (void)natsConnection_PublishMsg(mrd_bus_nats(members->bus), msg);
    }
    natsMsg_Destroy(msg);
}

void mrd_members_destroy(struct mrd_members **members)
{
    if (*members == NULL) {
        return;
    }
    struct mrd_members *self = MRD_MOVE(*members);
    mrd_bus_unlisten(self->bus, &self->listener);
    pthread_mutex_lock(&self->lock);
    self->stopping = true;
    pthread_cond_signal(&self->wake);
    pthread_mutex_unlock(&self->lock);
    pthread_join(self->thread, NULL);
    mrd_bus_unsubscribe(&self->beats);
    mrd_bus_unsubscribe(&self->hellos);
    goodbye(self);
    members_free(self);
}
