#include "bus/connection_internal.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/threads.h"
#include "bus/request_internal.h"

enum {
    RECONNECT_WAIT_MS = 100,
    RECONNECT_JITTER_MS = 150,
    CONNECT_TIMEOUT_MS = 2000,
    WRITE_DEADLINE_MS = 1000,
    PING_MS = 5000,
    RECONNECT_BUFFER_BYTES = 1 << 20,
    IO_BUFFER_BYTES = 64 * 1024,
    CLOSE_FLUSH_MS = 2000,
    LIBRARY_CLOSE_MS = 5000,
    SERVERS_MAX = 32,
};

struct mrd_bus {
    natsConnection *nats;
    natsOptions *options;
    char *urls;                  /* as they may be shown */
    _Atomic bool connected;      /* relaxed: a hint, the next write tells */
    _Atomic uint64_t generation; /* release after `connected`, acquire by readers */
    _Atomic uint64_t errors;
    pthread_mutex_t lock; /* guards what follows; taken within no other lock of ours */
    pthread_cond_t changed;
    bool closed;
    char last_error[256];
    pthread_mutex_t listener_lock; /* held while listeners run; guards the list */
    struct mrd_bus_listener *listeners;
    struct mrd_retired retired;
    struct mrd_requests *requests;
};

natsConnection *mrd_bus_nats(struct mrd_bus *bus) { return bus->nats; }
struct mrd_retired *mrd_bus_retired(struct mrd_bus *bus) { return &bus->retired; }
struct mrd_requests *mrd_bus_requests(struct mrd_bus *bus) { return bus->requests; }

/* ---- helpers of the lib ---- */

enum mrd_status mrd_bus_status_of(natsStatus status)
{
    /* One of many: the default is what most of them are, a server that is away or slow. */
    if (status == NATS_OK) {
        return MRD_OK;
    }
    if (status == NATS_NOT_FOUND) {
        return MRD_E_NOT_FOUND;
    }
    if (status == NATS_MAX_PAYLOAD || status == NATS_INVALID_ARG ||
        status == NATS_INVALID_SUBJECT || status == NATS_NOT_PERMITTED ||
        status == NATS_CONNECTION_AUTH_FAILED) {
        return MRD_E_INVALID;
    }
    return MRD_E_UNAVAILABLE;
}

enum mrd_status mrd_bus_fail(struct mrd_error *err, natsStatus status, int js_code,
                             const char *format, ...)
{
    char what[256];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    natsStatus last_status = NATS_OK;
    const char *detail = nats_GetLastError(&last_status);
    if (detail == NULL || last_status != status) {
        detail = "";
    }
    const enum mrd_status mapped = mrd_bus_status_of(status);
    if (js_code != 0) {
        return mrd_fail(err, mapped, "%s: %s (%s, JetStream error %d)", what,
                        natsStatus_GetText(status), detail, js_code);
    }
    return mrd_fail(err, mapped, "%s: %s%s%s", what, natsStatus_GetText(status),
                    detail[0] == '\0' ? "" : ": ", detail);
}

enum mrd_status mrd_bus_jetstream(struct mrd_bus *bus, int64_t timeout_ms, jsCtx **out,
                                  struct mrd_error *err)
{
    jsOptions options;
    jsOptions_Init(&options);
    options.Wait = timeout_ms;
    const natsStatus status = natsConnection_JetStream(out, mrd_bus_nats(bus), &options);
    return status == NATS_OK ? MRD_OK : mrd_bus_fail(err, status, 0, "JetStream context");
}

bool mrd_bus_token_valid(const char *text, size_t size_max)
{
    if (text == NULL) {
        return false;
    }
    const size_t size = strlen(text);
    const size_t good = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "0123456789-_");
    return size > 0 && size < size_max && good == size;
}

/* ---- events ---- */

static void bus_notify(struct mrd_bus *bus, enum mrd_bus_event event, const char *text)
{
    pthread_mutex_lock(&bus->listener_lock);
    for (struct mrd_bus_listener *at = bus->listeners; at != NULL; at = at->next) {
        at->on_event(at->context, event, text);
    }
    pthread_mutex_unlock(&bus->listener_lock);
}

static void bus_set_connected(struct mrd_bus *bus)
{
    atomic_store_explicit(&bus->connected, true, memory_order_relaxed);
    atomic_fetch_add_explicit(&bus->generation, 1, memory_order_release);
    pthread_mutex_lock(&bus->lock);
    pthread_cond_broadcast(&bus->changed);
    pthread_mutex_unlock(&bus->lock);
}

static void on_connected(natsConnection *nats, void *closure)
{
    (void)nats;
    bus_set_connected(closure);
    bus_notify(closure, MRD_BUS_CONNECTED, "connected");
}

static void on_disconnected(natsConnection *nats, void *closure)
{
    struct mrd_bus *bus = closure;
    const char *text = NULL;
    natsConnection_GetLastError(nats, &text);
    atomic_store_explicit(&bus->connected, false, memory_order_relaxed);
    bus_notify(bus, MRD_BUS_DISCONNECTED, text == NULL ? "disconnected" : text);
}

static void on_closed(natsConnection *nats, void *closure)
{
    struct mrd_bus *bus = closure;
    const char *text = NULL;
    natsConnection_GetLastError(nats, &text);
    atomic_store_explicit(&bus->connected, false, memory_order_relaxed);
    pthread_mutex_lock(&bus->lock);
    bus->closed = true;
    if (text != NULL && text[0] != '\0') {
        snprintf(bus->last_error, sizeof(bus->last_error), "%s", text);
    }
    pthread_cond_broadcast(&bus->changed);
    pthread_mutex_unlock(&bus->lock);
}

/* The subscription may be gone already (nats.c before 3.7): it is not looked at. */
static void on_error(natsConnection *nats, natsSubscription *subscription, natsStatus status,
                     void *closure)
{
    (void)nats;
    (void)subscription;
    struct mrd_bus *bus = closure;
    const char *text = natsStatus_GetText(status);
    atomic_fetch_add_explicit(&bus->errors, 1, memory_order_relaxed);
    pthread_mutex_lock(&bus->lock);
    snprintf(bus->last_error, sizeof(bus->last_error), "%s", text);
    pthread_mutex_unlock(&bus->lock);
    bus_notify(bus, MRD_BUS_ERROR, text);
}

void mrd_bus_listen(struct mrd_bus *bus, struct mrd_bus_listener *listener)
{
    pthread_mutex_lock(&bus->listener_lock);
    listener->next = bus->listeners;
    bus->listeners = listener;
    pthread_mutex_unlock(&bus->listener_lock);
}

void mrd_bus_unlisten(struct mrd_bus *bus, struct mrd_bus_listener *listener)
{
    pthread_mutex_lock(&bus->listener_lock);
    for (struct mrd_bus_listener **at = &bus->listeners; *at != NULL; at = &(*at)->next) {
        if (*at == listener) {
            *at = listener->next;
            break;
        }
    }
    pthread_mutex_unlock(&bus->listener_lock);
}

/* ---- opening and closing ---- */

/* Splits "a,b" in place into servers; returns how many. */
static int split_urls(char *urls, const char *servers[SERVERS_MAX])
{
    int count = 0;
    char *save = NULL;
    for (char *url = strtok_r(urls, ", ", &save); url != NULL && count < SERVERS_MAX;
         url = strtok_r(NULL, ", ", &save)) {
        servers[count++] = url;
    }
    return count;
}

char *mrd_bus_urls_shown(const char *urls)
{
    char *shown = strdup(urls);
    mrd_assert(shown != NULL);
    char *to = shown;
    for (const char *from = urls; *from != '\0';) {
        const size_t size = strcspn(from, ", ");
        const char *scheme = memmem(from, size, "://", 3);
        const char *host = memrchr(from, '@', size);
        if (host != NULL) {
            const size_t kept = scheme == NULL ? 0 : (size_t)(scheme + 3 - from);
            memmove(to, from, kept);
            to += kept;
            host++;
        } else {
            host = from;
        }
        const size_t rest = (size_t)(from + size - host) + strspn(from + size, ", ");
        memmove(to, host, rest);
        to += rest;
        from = host + rest;
    }
    *to = '\0';
    return shown;
}

static natsStatus set_servers(natsOptions *nats, const char *urls)
{
    const char *servers[SERVERS_MAX];
    char *copy = strdup(urls);
    const int count = split_urls(copy, servers);
    const natsStatus status =
        count == 0 ? NATS_INVALID_ARG : natsOptions_SetServers(nats, servers, count);
    free(copy);
    return status;
}

static natsStatus set_identity(natsOptions *nats, const struct mrd_bus_options *options)
{
    natsStatus status =
        natsOptions_SetName(nats, options->name == NULL ? "meridian" : options->name);
    if (status == NATS_OK && options->user != NULL) {
        status = natsOptions_SetUserInfo(nats, options->user,
                                         options->password == NULL ? "" : options->password);
    }
    if (status == NATS_OK && options->token != NULL) {
        status = natsOptions_SetToken(nats, options->token);
    }
    if (status == NATS_OK && options->credentials_file != NULL) {
        status = natsOptions_SetUserCredentialsFromFiles(nats, options->credentials_file, NULL);
    }
    if (status == NATS_OK && options->nkey != NULL) {
        status = natsOptions_SetNKeyFromSeed(nats, options->nkey, options->nkey_seed_file);
    }
    return status;
}

static natsStatus set_tls(natsOptions *nats, const struct mrd_bus_options *options)
{
    natsStatus status = NATS_OK;
    if (options->ca_file != NULL || options->cert_file != NULL) {
        status = natsOptions_SetSecure(nats, true);
    }
    if (status == NATS_OK && options->ca_file != NULL) {
        status = natsOptions_LoadCATrustedCertificates(nats, options->ca_file);
    }
    if (status == NATS_OK && options->cert_file != NULL) {
        status = natsOptions_LoadCertificatesChain(nats, options->cert_file, options->key_file);
    }
    if (status == NATS_OK && options->server_name != NULL) {
        status = natsOptions_SetExpectedHostname(nats, options->server_name);
    }
    return status;
}

/* Whom to connect to, and how both prove who they are. */
static natsStatus set_peer(natsOptions *nats, const struct mrd_bus_options *options)
{
    natsStatus status = set_servers(nats, options->urls);
    if (status == NATS_OK) {
        status = set_identity(nats, options);
    }
    return status == NATS_OK ? set_tls(nats, options) : status;
}

/* What nats.c would find out later, or not tell clearly. */
static enum mrd_status check_options(const struct mrd_bus_options *options, struct mrd_error *err)
{
    if (options->urls == NULL || options->urls[0] == '\0') {
        return mrd_fail(err, MRD_E_INVALID, "nats: no server URL is configured");
    }
    if ((options->cert_file == NULL) != (options->key_file == NULL)) {
        return mrd_fail(err, MRD_E_INVALID,
                        "nats: a certificate and its key (nats.cert_file, nats.key_file) are given "
                        "together, or neither");
    }
    if ((options->nkey == NULL) != (options->nkey_seed_file == NULL)) {
        return mrd_fail(err, MRD_E_INVALID,
                        "nats: an NKey and the file of its seed (nats.nkey, nats.nkey_seed_file) "
                        "are given together, or neither");
    }
    const char *const files[] = {options->ca_file, options->cert_file, options->key_file,
                                 options->nkey_seed_file, options->credentials_file};
    for (size_t i = 0; i < MRD_ARRAY_LEN(files); i++) {
        if (files[i] != NULL && access(files[i], R_OK) != 0) {
            return mrd_fail_errno(err, MRD_E_INVALID, "nats: %s", files[i]);
        }
    }
    return MRD_OK;
}

static natsStatus set_behaviour(natsOptions *nats, const struct mrd_bus_options *options)
{
    const int64_t deadline =
        options->write_deadline_ms == 0 ? WRITE_DEADLINE_MS : options->write_deadline_ms;
    const int64_t ping = options->ping_ms == 0 ? PING_MS : options->ping_ms;
    const natsStatus steps[] = {
        natsOptions_SetAllowReconnect(nats, true),
        natsOptions_SetMaxReconnect(nats, -1),
        natsOptions_SetReconnectWait(nats, RECONNECT_WAIT_MS),
        natsOptions_SetReconnectJitter(nats, RECONNECT_JITTER_MS, RECONNECT_JITTER_MS),
        natsOptions_SetReconnectBufSize(nats, RECONNECT_BUFFER_BYTES),
        natsOptions_SetTimeout(nats, CONNECT_TIMEOUT_MS),
        natsOptions_SetSendAsap(nats, true),
        natsOptions_SetWriteDeadline(nats, deadline),
        natsOptions_SetPingInterval(nats, ping),
        natsOptions_SetMaxPingsOut(nats, 2),
        natsOptions_SetIOBufSize(nats, IO_BUFFER_BYTES),
        natsOptions_SetFailRequestsOnDisconnect(nats, true),
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(steps); i++) {
        if (steps[i] != NATS_OK) {
            return steps[i];
        }
    }
    return NATS_OK;
}

static natsStatus set_callbacks(natsOptions *nats, struct mrd_bus *bus)
{
    const natsStatus steps[] = {
        natsOptions_SetRetryOnFailedConnect(nats, true, on_connected, bus),
        natsOptions_SetDisconnectedCB(nats, on_disconnected, bus),
        natsOptions_SetReconnectedCB(nats, on_connected, bus),
        natsOptions_SetClosedCB(nats, on_closed, bus),
        natsOptions_SetErrorHandler(nats, on_error, bus),
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(steps); i++) {
        if (steps[i] != NATS_OK) {
            return steps[i];
        }
    }
    return NATS_OK;
}

static void bus_free(struct mrd_bus *bus)
{
    mrd_requests_destroy(&bus->requests);
    natsOptions_Destroy(bus->options);
    pthread_cond_destroy(&bus->changed);
    pthread_mutex_destroy(&bus->lock);
    pthread_mutex_destroy(&bus->listener_lock);
    mrd_retired_fini(&bus->retired);
    free(bus->urls);
    free(bus);
}

enum mrd_status mrd_bus_try(const struct mrd_bus_options *options, struct mrd_error *err)
{
    MRD_TRY(check_options(options, err));
    natsConnection *nats = NULL;
    natsOptions *once = NULL;
    natsStatus status = natsOptions_Create(&once);
    if (status == NATS_OK) {
        status = set_peer(once, options);
    }
    if (status == NATS_OK) {
        status = natsOptions_SetTimeout(once, CONNECT_TIMEOUT_MS);
    }
    if (status == NATS_OK) {
        status = natsConnection_Connect(&nats, once);
    }
    char *urls = mrd_bus_urls_shown(options->urls);
    /* With TLS 1.3 a server refuses it after it has said that all is well, and nats.c knows of a broken connection only. */
    const char *hint = status == NATS_IO_ERROR && options->cert_file != NULL
                           ? " (servers may not take the certificate of nats.cert_file)"
                           : "";
    const enum mrd_status result =
        status == NATS_OK ? MRD_OK : mrd_bus_fail(err, status, 0, "nats %s%s", urls, hint);
    free(urls);
    natsConnection_Destroy(nats);
    natsOptions_Destroy(once);
    return result;
}

enum mrd_status mrd_bus_open(const struct mrd_bus_options *options, struct mrd_bus **out_bus,
                             struct mrd_error *err)
{
    MRD_TRY(check_options(options, err));
    struct mrd_bus *bus = calloc(1, sizeof(*bus));
    mrd_assert(bus != NULL);
    bus->urls = mrd_bus_urls_shown(options->urls);
    pthread_mutex_init(&bus->lock, NULL);
    pthread_mutex_init(&bus->listener_lock, NULL);
    mrd_retired_init(&bus->retired);
    bus->requests = mrd_requests_create(bus);
    mrd_cond_init(&bus->changed);
    natsStatus status = natsOptions_Create(&bus->options);
    if (status == NATS_OK) {
        status = set_peer(bus->options, options);
    }
    if (status == NATS_OK) {
        status = set_behaviour(bus->options, options);
    }
    if (status == NATS_OK) {
        status = set_callbacks(bus->options, bus);
    }
    if (status == NATS_OK) {
        status = natsConnection_Connect(&bus->nats, bus->options);
    }
    if (status == NATS_OK) {
        bus_set_connected(bus); /* the callback is not called for a connection made at once */
    } else if (status != NATS_NOT_YET_CONNECTED) {
        (void)mrd_bus_fail(err, status, 0, "nats %s", bus->urls);
        natsConnection_Destroy(bus->nats);
        bus_free(bus);
        return err == NULL ? MRD_E_INVALID : (err->status = MRD_E_INVALID);
    }
    *out_bus = bus;
    return MRD_OK;
}

enum mrd_status mrd_bus_wait_connected(struct mrd_bus *bus, int64_t timeout_ms,
                                       struct mrd_error *err)
{
    const int64_t end_ns = mrd_clock_monotonic_ns(mrd_clock_system()) + timeout_ms * 1000000;
    const struct timespec end = mrd_cond_time(end_ns);
    int waited = 0;
    enum mrd_status status = MRD_OK;
    pthread_mutex_lock(&bus->lock);
    while (!mrd_bus_connected(bus) && !bus->closed && waited == 0) {
        waited = pthread_cond_timedwait(&bus->changed, &bus->lock, &end);
    }
    if (!mrd_bus_connected(bus)) {
        status = mrd_fail(err, MRD_E_UNAVAILABLE, "nats %s: not connected%s%s", bus->urls,
                          bus->last_error[0] == '\0' ? "" : ": ", bus->last_error);
    }
    pthread_mutex_unlock(&bus->lock);
    return status;
}

bool mrd_bus_connected(const struct mrd_bus *bus)
{
    return atomic_load_explicit(&bus->connected, memory_order_relaxed);
}

uint64_t mrd_bus_generation(const struct mrd_bus *bus)
{
    return atomic_load_explicit(&bus->generation, memory_order_acquire);
}

int64_t mrd_bus_payload_max(struct mrd_bus *bus)
{
    return mrd_bus_generation(bus) == 0 ? 0 : natsConnection_GetMaxPayload(bus->nats);
}

enum mrd_status mrd_bus_flush(struct mrd_bus *bus, int64_t timeout_ms, struct mrd_error *err)
{
    const natsStatus status = natsConnection_FlushTimeout(bus->nats, timeout_ms);
    return status == NATS_OK ? MRD_OK : mrd_bus_fail(err, status, 0, "nats %s: flush", bus->urls);
}

void mrd_bus_close(struct mrd_bus **bus)
{
    if (*bus == NULL) {
        return;
    }
    struct mrd_bus *self = MRD_MOVE(*bus);
    mrd_assert(self->listeners == NULL);
    mrd_requests_destroy(&self->requests);
    if (mrd_bus_connected(self)) {
        (void)natsConnection_FlushTimeout(self->nats, CLOSE_FLUSH_MS);
    }
    natsConnection_Close(self->nats);
    pthread_mutex_lock(&self->lock);
    while (!self->closed) { /* the closed callback is the last one that looks at us */
        pthread_cond_wait(&self->changed, &self->lock);
    }
    pthread_mutex_unlock(&self->lock);
    natsConnection_Destroy(self->nats);
    bus_free(self);
    nats_ReleaseThreadMemory();
}

void mrd_bus_library_close(void) { nats_CloseAndWait(LIBRARY_CLOSE_MS); }

void mrd_bus_stats(struct mrd_bus *bus, struct mrd_bus_stats *out)
{
    *out =
        (struct mrd_bus_stats){.errors = atomic_load_explicit(&bus->errors, memory_order_relaxed)};
    natsStatistics *stats = NULL;
    if (natsStatistics_Create(&stats) != NATS_OK) {
        return;
    }
    if (natsConnection_GetStats(bus->nats, stats) == NATS_OK) {
        (void)natsStatistics_GetCounts(stats, &out->messages_in, &out->bytes_in, &out->messages_out,
                                       &out->bytes_out, &out->reconnects);
    }
    natsStatistics_Destroy(stats);
}
