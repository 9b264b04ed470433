#include "bus/lease.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/threads.h"
#include "bus/connection_internal.h"
#include "bus/log_names.h"

#define LEASE_SUBJECT "$KV." MRD_LEASES_BUCKET "."

enum {
    API_MS = 2000,
    RENEWALS = 3,            /* per ttl */
    MARGIN = 8,              /* one part in so many of the ttl, for clocks of different speed */
    FORGET_MS = 3600 * 1000, /* keys that nobody holds vanish from the bucket */
    VALUE_MAX = 128,
    WRONG_SEQUENCE = 10071, /* JetStream: the key's revision is another one */
};
static const int64_t MS = 1000000;

/* A lease of somebody else. */
struct seen {
    char key[MRD_LEASE_KEY_MAX];
    uint64_t revision;
    int64_t since_ns;  /* first seen with this revision */
    int64_t looked_ns; /* last looked at */
};

struct mrd_leases {
    struct mrd_bus *bus;
    const struct mrd_clock *clock;
    char holder[64];
    int64_t ttl_ns;
    uint32_t replicas;
    uint64_t salt; /* of this process; with the count of tries it makes each value unique */
    pthread_t thread;

    pthread_mutex_t lock; /* guards all that follows; not held in calls to NATS */
    pthread_cond_t wake;
    bool stopping;
    uint64_t tries;
    struct mrd_lease *held;
    struct seen *seen;
    size_t seen_count;
    size_t seen_capacity;
};

struct mrd_lease {
    struct mrd_leases *leases;
    struct mrd_lease *next;
    char key[MRD_LEASE_KEY_MAX];
    char value[VALUE_MAX];
    uint64_t token;
    _Atomic int64_t until_ns; /* relaxed: a time by itself; 0: lost */

    /* Under the lock. */
    uint64_t revision;
    int64_t renew_ns;
    bool renewing;
};

static int64_t now_ns(const struct mrd_leases *leases)
{
    return mrd_clock_monotonic_ns(leases->clock);
}

/* ---- the bucket ---- */

struct store {
    jsCtx *js;
    kvStore *kv;
};

static void store_close(struct store *store)
{
    kvStore_Destroy(store->kv);
    jsCtx_Destroy(store->js);
}

/* Everybody makes the bucket the same way, so it does not matter who was first. */
static natsStatus bucket_create(const struct mrd_leases *leases, struct store *store)
{
    kvConfig config;
    kvConfig_Init(&config);
    config.Bucket = MRD_LEASES_BUCKET;
    config.Description = "Meridian: who does which piece of work";
    config.History = 1;
    config.TTL = MRD_MAX(FORGET_MS * MS, 4 * leases->ttl_ns);
    config.StorageType = js_FileStorage;
    config.Replicas = (int)leases->replicas;
    const natsStatus status = js_CreateKeyValue(&store->kv, store->js, &config);
    return status == NATS_OK ? NATS_OK : js_KeyValue(&store->kv, store->js, MRD_LEASES_BUCKET);
}

static enum mrd_status store_open(const struct mrd_leases *leases, struct store *out,
                                  struct mrd_error *err)
{
    jsOptions options;
    jsOptions_Init(&options);
    options.Wait = API_MS;
    natsStatus status = natsConnection_JetStream(&out->js, mrd_bus_nats(leases->bus), &options);
    if (status == NATS_OK) {
        status = js_KeyValue(&out->kv, out->js, MRD_LEASES_BUCKET);
    }
    if (status == NATS_NOT_FOUND) {
        status = bucket_create(leases, out);
    }
    return status == NATS_OK ? MRD_OK : mrd_bus_fail(err, status, 0, "KV " MRD_LEASES_BUCKET);
}

/* What a key holds now; revision 0: nothing. */
struct content {
    uint64_t revision;
    char value[VALUE_MAX]; /* empty: released; cut if longer, which none of ours is */
};

static enum mrd_status content_get(const struct store *store, const char *key, struct content *out,
                                   struct mrd_error *err)
{
    *out = (struct content){0};
    kvEntry *entry = NULL;
    const natsStatus status = kvStore_Get(&entry, store->kv, key);
    if (status == NATS_NOT_FOUND) {
        return MRD_OK;
    }
    if (status != NATS_OK) {
        return mrd_bus_fail(err, status, 0, "KV " MRD_LEASES_BUCKET "/%s", key);
    }
    out->revision = kvEntry_Revision(entry);
    const int size = MRD_MIN(kvEntry_ValueLen(entry), VALUE_MAX - 1);
    if (size > 0) {
        memcpy(out->value, kvEntry_Value(entry), (size_t)size);
    }
    kvEntry_Destroy(entry);
    return MRD_OK;
}

/* Writes if the key still has the revision `before` (0: does not exist). *out_revision 0: it has another. */
static enum mrd_status content_put(const struct store *store, const char *key, const char *value,
                                   uint64_t before, uint64_t *out_revision, struct mrd_error *err)
{
    char subject[MRD_LEASE_KEY_MAX + sizeof(LEASE_SUBJECT)];
    snprintf(subject, sizeof(subject), LEASE_SUBJECT "%s", key);
    jsPubOptions options;
    jsPubOptions_Init(&options);
    options.MaxWait = API_MS;
    options.ExpectLastSubjectSeq = before;
    options.ExpectNoMessage = before == 0;
    jsPubAck *ack = NULL;
    jsErrCode code = 0;
    const natsStatus status =
        js_Publish(&ack, store->js, subject, value, (int)strlen(value), &options, &code);
    *out_revision = status == NATS_OK ? ack->Sequence : 0;
    jsPubAck_Destroy(ack);
    return status == NATS_OK || (int)code == WRONG_SEQUENCE
               ? MRD_OK
               : mrd_bus_fail(err, status, (int)code, "KV " MRD_LEASES_BUCKET "/%s", key);
}

/* ---- others' leases (lock held) ---- */

static struct seen *seen_find(const struct mrd_leases *leases, const char *key)
{
    for (size_t i = 0; i < leases->seen_count; i++) {
        if (strcmp(leases->seen[i].key, key) == 0) {
            return &leases->seen[i];
        }
    }
    return NULL;
}

/* A place for one more; when all are taken, that of the one looked at longest ago. */
static struct seen *seen_place(struct mrd_leases *leases)
{
    if (leases->seen_count == MRD_LEASE_SEEN_MAX) {
        struct seen *oldest = &leases->seen[0];
        for (size_t i = 1; i < leases->seen_count; i++) {
            oldest = leases->seen[i].looked_ns < oldest->looked_ns ? &leases->seen[i] : oldest;
        }
        return oldest;
    }
    if (leases->seen_count == leases->seen_capacity) {
        leases->seen_capacity = MRD_MAX(leases->seen_capacity * 2, (size_t)8);
        leases->seen = reallocarray(leases->seen, leases->seen_capacity, sizeof(*leases->seen));
        mrd_assert(leases->seen != NULL);
    }
    return &leases->seen[leases->seen_count++];
}

static void seen_forget(struct mrd_leases *leases, const char *key)
{
    struct seen *seen = seen_find(leases, key);
    if (seen != NULL) {
        *seen = leases->seen[--leases->seen_count];
    }
}

/* Takes note of what somebody else's key holds; true when it has stood still for a ttl. */
static bool seen_expired(struct mrd_leases *leases, const char *key, uint64_t revision)
{
    const int64_t now = now_ns(leases);
    struct seen *seen = seen_find(leases, key);
    if (seen == NULL) {
        seen = seen_place(leases);
        *seen = (struct seen){0};
        snprintf(seen->key, sizeof(seen->key), "%s", key);
    }
    if (seen->revision != revision) {
        seen->revision = revision;
        seen->since_ns = now;
    }
    seen->looked_ns = now;
    return now - seen->since_ns >= leases->ttl_ns;
}

/* ---- trying ---- */

static bool key_valid(const char *key)
{
    const size_t size = strlen(key);
    return size > 0 && size < MRD_LEASE_KEY_MAX && key[0] != '.' && key[size - 1] != '.' &&
           strstr(key, "..") == NULL &&
           strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_/=.") ==
               size;
}

static struct mrd_lease *lease_create(struct mrd_leases *leases, const char *key)
{
    struct mrd_lease *lease = calloc(1, sizeof(*lease));
    mrd_assert(lease != NULL);
    lease->leases = leases;
    snprintf(lease->key, sizeof(lease->key), "%s", key);
    snprintf(lease->value, sizeof(lease->value), "%s %016" PRIx64 " %" PRIu64, leases->holder,
             leases->salt, ++leases->tries);
    return lease;
}

/* Lock held: the write that was sent at sent_ns has made it ours, or kept it. */
static void lease_renewed(struct mrd_lease *lease, uint64_t revision, int64_t sent_ns)
{
    const int64_t ttl_ns = lease->leases->ttl_ns;
    lease->revision = revision;
    lease->renew_ns = sent_ns + ttl_ns / RENEWALS;
    atomic_store_explicit(&lease->until_ns, sent_ns + ttl_ns - ttl_ns / MARGIN,
                          memory_order_relaxed);
}

/* Lock held. */
static void lease_begin(struct mrd_lease *lease, uint64_t revision, int64_t sent_ns)
{
    struct mrd_leases *leases = lease->leases;
    lease->token = revision;
    lease_renewed(lease, revision, sent_ns);
    lease->next = leases->held;
    leases->held = lease;
    seen_forget(leases, lease->key);
    pthread_cond_broadcast(&leases->wake);
}

/* May the key be written over? Free, released, or left standing by whoever held it. */
static bool is_free(struct mrd_leases *leases, const char *key, const struct content *content)
{
    if (content->value[0] == '\0') {
        return true;
    }
    pthread_mutex_lock(&leases->lock);
    const bool expired = seen_expired(leases, key, content->revision);
    pthread_mutex_unlock(&leases->lock);
    return expired;
}

static enum mrd_status try_in(struct mrd_leases *leases, const struct store *store,
                              struct mrd_lease *lease, bool *out_held, struct mrd_error *err)
{
    struct content content;
    MRD_TRY(content_get(store, lease->key, &content, err));
    if (!is_free(leases, lease->key, &content)) {
        return MRD_OK;
    }
    const int64_t sent_ns = now_ns(leases);
    uint64_t revision;
    MRD_TRY(content_put(store, lease->key, lease->value, content.revision, &revision, err));
    *out_held = revision != 0;
    if (*out_held) {
        pthread_mutex_lock(&leases->lock);
        lease_begin(lease, revision, sent_ns);
        pthread_mutex_unlock(&leases->lock);
    }
    return MRD_OK;
}

enum mrd_status mrd_lease_try(struct mrd_leases *leases, const char *key,
                              struct mrd_lease **out_lease, struct mrd_error *err)
{
    *out_lease = NULL;
    if (!key_valid(key)) {
        return mrd_fail(err, MRD_E_INVALID, "\"%s\" can not be the name of a lease", key);
    }
    mrd_auto(store_close)
    struct store store = {0};
    MRD_TRY(store_open(leases, &store, err));
    pthread_mutex_lock(&leases->lock);
    struct mrd_lease *lease = lease_create(leases, key);
    pthread_mutex_unlock(&leases->lock);
    bool held = false;
    const enum mrd_status status = try_in(leases, &store, lease, &held, err);
    if (held) {
        *out_lease = lease;
    } else {
        free(lease);
    }
    return status;
}

bool mrd_lease_held(const struct mrd_lease *lease)
{
    return now_ns(lease->leases) < atomic_load_explicit(&lease->until_ns, memory_order_relaxed);
}

uint64_t mrd_lease_token(const struct mrd_lease *lease) { return lease->token; }

/* ---- renewing ---- */

/* A write whose answer was lost may have been done: then the key holds our value at a revision unknown to us. */
static enum mrd_status renew_in(const struct store *store, const struct mrd_lease *lease,
                                uint64_t before, uint64_t *out_revision, struct mrd_error *err)
{
    MRD_TRY(content_put(store, lease->key, lease->value, before, out_revision, err));
    if (*out_revision != 0) {
        return MRD_OK;
    }
    struct content content;
    MRD_TRY(content_get(store, lease->key, &content, err));
    if (strcmp(content.value, lease->value) != 0) {
        return MRD_OK;
    }
    return content_put(store, lease->key, lease->value, content.revision, out_revision, err);
}

/* Lock held, dropped within. A failure to reach NATS is tried again until the time is over. */
static void lease_renew(struct mrd_lease *lease)
{
    struct mrd_leases *leases = lease->leases;
    const uint64_t before = lease->revision;
    lease->renewing = true;
    pthread_mutex_unlock(&leases->lock);
    const int64_t sent_ns = now_ns(leases);
    uint64_t revision = 0;
    struct store store = {0};
    struct mrd_error err;
    enum mrd_status status = store_open(leases, &store, &err);
    if (status == MRD_OK) {
        status = renew_in(&store, lease, before, &revision, &err);
    }
    store_close(&store);
    pthread_mutex_lock(&leases->lock);
    if (status != MRD_OK) {
        lease->renew_ns = now_ns(leases) + leases->ttl_ns / (RENEWALS * 4);
    } else if (revision == 0) {
        atomic_store_explicit(&lease->until_ns, 0, memory_order_relaxed);
    } else if (mrd_lease_held(lease)) {
        lease_renewed(lease, revision, sent_ns);
    }
    lease->renewing = false;
    pthread_cond_broadcast(&leases->wake);
}

/* Lock held: the lease to renew first, or NULL. */
static struct mrd_lease *lease_due(const struct mrd_leases *leases)
{
    struct mrd_lease *due = NULL;
    for (struct mrd_lease *lease = leases->held; lease != NULL; lease = lease->next) {
        if (mrd_lease_held(lease) && (due == NULL || lease->renew_ns < due->renew_ns)) {
            due = lease;
        }
    }
    return due;
}

static void *leases_run(void *context)
{
    struct mrd_leases *leases = context;
    pthread_mutex_lock(&leases->lock);
    while (!leases->stopping) {
        struct mrd_lease *due = lease_due(leases);
        const int64_t now = now_ns(leases);
        if (due != NULL && due->renew_ns <= now) {
            lease_renew(due);
            continue;
        }
        const int64_t wait_ns = due == NULL ? leases->ttl_ns : due->renew_ns - now;
        const struct timespec until =
            mrd_cond_time(mrd_clock_monotonic_ns(mrd_clock_system()) + wait_ns);
        pthread_cond_timedwait(&leases->wake, &leases->lock, &until);
    }
    pthread_mutex_unlock(&leases->lock);
    nats_ReleaseThreadMemory();
    return NULL;
}

/* ---- life ---- */

void mrd_lease_release(struct mrd_lease **lease)
{
    struct mrd_lease *self = MRD_MOVE(*lease);
    if (self == NULL) {
        return;
    }
    struct mrd_leases *leases = self->leases;
    pthread_mutex_lock(&leases->lock);
    while (self->renewing) {
        pthread_cond_wait(&leases->wake, &leases->lock);
    }
    struct mrd_lease **link = &leases->held;
    while (*link != self) {
        link = &(*link)->next;
    }
    *link = self->next;
    pthread_mutex_unlock(&leases->lock);
    struct store store = {0};
    struct mrd_error err;
    uint64_t revision;
    if (mrd_lease_held(self) && store_open(leases, &store, &err) == MRD_OK) {
        /* Should this fail, the others wait for the ttl. */
        (void)content_put(&store, self->key, "", self->revision, &revision, &err);
    }
    store_close(&store);
    free(self);
}

enum mrd_status mrd_leases_create(struct mrd_bus *bus, const struct mrd_leases_options *options,
                                  struct mrd_leases **out_leases, struct mrd_error *err)
{
    struct mrd_leases *leases = calloc(1, sizeof(*leases));
    mrd_assert(leases != NULL);
    if (!mrd_bus_token_valid(options->holder, sizeof(leases->holder) - 1)) {
        free(leases);
        return mrd_fail(err, MRD_E_INVALID, "\"%s\" can not be the name of a holder of leases",
                        options->holder);
    }
    snprintf(leases->holder, sizeof(leases->holder), "%s", options->holder);
    leases->bus = bus;
    leases->clock = options->clock == NULL ? mrd_clock_system() : options->clock;
    leases->ttl_ns = (options->ttl_ms == 0 ? MRD_LEASE_TTL_MS : options->ttl_ms) * MS;
    leases->replicas = MRD_MAX(options->replicas, 1U);
    mrd_assert(getrandom(&leases->salt, sizeof(leases->salt), 0) == sizeof(leases->salt));
    pthread_mutex_init(&leases->lock, NULL);
    mrd_cond_init(&leases->wake);
    mrd_assert(pthread_create(&leases->thread, NULL, leases_run, leases) == 0);
    *out_leases = leases;
    return MRD_OK;
}

void mrd_leases_destroy(struct mrd_leases **leases)
{
    struct mrd_leases *self = MRD_MOVE(*leases);
    if (self == NULL) {
        return;
    }
    mrd_assert(self->held == NULL);
    pthread_mutex_lock(&self->lock);
    self->stopping = true;
    pthread_cond_broadcast(&self->wake);
    pthread_mutex_unlock(&self->lock);
    pthread_join(self->thread, NULL);
    pthread_cond_destroy(&self->wake);
    pthread_mutex_destroy(&self->lock);
    free(self->seen);
    free(self);
}
