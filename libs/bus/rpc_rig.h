/* rpc_rig.h: a service, a client and a real nats-server between them, for tests of rpc. Test programs include it; nothing else
 * does. */
#ifndef MRD_BUS_RPC_RIG_H
#define MRD_BUS_RPC_RIG_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "base/threads.h"
#include "bus/nats_fixture.h"
#include "bus/rpc.h"
#include "bus/rpc_frame.h"
#include "bus/rpc_server_internal.h"
#include "bus/subscription_internal.h"

static const int64_t MS = 1000000;
#define SUBJECT "mrd.query.one"

static inline int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

/* Whether tests are about a flow that uses more than its share; the server, which is told again with each request: what
 * was used long ago does not count. */
static bool heavily;
static struct mrd_rpc_server *heavily_used;

/* The only flow, 0, and another one is there. */
static inline void heavy_again(void)
{
    if (heavily) {
        pthread_mutex_lock(&heavily_used->lock);
        mrd_usage_add(&heavily_used->usage, 1, 0, now_ns());
        mrd_usage_add(&heavily_used->usage, 0, INT64_MAX / 2, now_ns());
        pthread_mutex_unlock(&heavily_used->lock);
    }
}

/* ---- a server that does what the request says ----
 * "chunks N SIZE": N chunks of SIZE bytes, each starting with its number, and "done" with the end; "fail": an error;
 * "work MS": is busy; "long N": is busy until its thread is in the background, then as "chunks N 8"; "pause": waits without a worker's place until the call has ended; "hang": with it. */

struct service {
    struct mrd_rpc_server *server;
    struct mrd_link link; /* where it takes direct connections; empty: nowhere */
    _Atomic size_t hanging;
    _Atomic size_t ended;
    _Atomic int last_status;
    struct mrd_rpc_server_stats before; /* tests begin after links are there */
};

static inline enum mrd_status send_chunks(struct mrd_rpc_call *call, uint64_t count, size_t size,
                                          struct mrd_error *err)
{
    uint8_t *chunk = calloc(1, size);
    enum mrd_status status = MRD_OK;
    for (uint64_t i = 0; i < count && status == MRD_OK; i++) {
        memcpy(chunk, &i, sizeof(i));
        status = mrd_rpc_call_send(call, (struct mrd_bytes){chunk, size}, err);
    }
    free(chunk);
    struct mrd_buf last = {0};
    mrd_buf_append_text(&last, "done");
    mrd_rpc_call_last_take(call, &last);
    return status;
}

static inline void work(struct mrd_rpc_call *call, int64_t ms)
{
    for (const int64_t end_ns = now_ns() + ms * MS; now_ns() < end_ns;) {
        mrd_rpc_call_yield(call);
    }
}

static inline enum mrd_status on_call(void *context, struct mrd_rpc_call *call,
                                      struct mrd_error *err)
{
    struct service *service = context;
    char text[64];
    const struct mrd_bytes request = mrd_rpc_call_request(call);
    snprintf(text, sizeof(text), "%.*s", MRD_FMT(request));
    uint64_t count = 0;
    size_t size = 0;
    enum mrd_status status = MRD_OK;
    assert_true(!heavily || mrd_thread_in_background());
    if (sscanf(text, "chunks %lu %zu", &count, &size) == 2) {
        status = send_chunks(call, count, size, err);
    } else if (sscanf(text, "work %lu", &count) == 1) {
        work(call, (int64_t)count);
    } else if (sscanf(text, "long %lu", &count) == 1) {
        while (!mrd_thread_in_background()) {
            mrd_rpc_call_yield(call);
        }
        status = send_chunks(call, count, 8, err);
    } else if (strcmp(text, "fail") == 0) {
        status = mrd_fail(err, MRD_E_LIMIT, "too many of something");
    } else {
        const bool pause = strcmp(text, "pause") == 0;
        assert_true(!pause || mrd_rpc_call_pause(call, err) == MRD_OK);
        atomic_fetch_add(&service->hanging, 1);
        while ((status = mrd_rpc_call_check(call, err)) == MRD_OK) {
            usleep(1000);
        }
        if (pause) {
            mrd_rpc_call_resume(call);
        }
    }
    atomic_store(&service->last_status, (int)status);
    atomic_fetch_add(&service->ended, 1);
    return status;
}

/* Whether tests are about direct connections, and the link of the service that they ask then. */
static bool by_links;
static struct mrd_link link_asked;
static struct mrd_rpc_client *client_asking;
static struct mrd_counter *links_opened;

static inline struct mrd_link_listener *listener_create(struct mrd_bus *bus, struct mrd_link *out)
{
    struct mrd_link_listener *listener = NULL;
    struct mrd_error err = {0};
    const struct mrd_link_listener_options options = {.listen = "auto:0"};
    if (mrd_link_listen(bus, &options, &listener, &err) != MRD_OK) {
        fail_msg("listen: %s", err.text);
    }
    *out = *mrd_link_listener_address(listener);
    return listener;
}

/* Asks until enough links are open; what else becomes of the questions does not matter. */
static inline void links_await(struct service *service)
{
    enum { LINKS = 8 };
    const uint64_t before = mrd_counter_value(links_opened);
    while (mrd_counter_value(links_opened) < before + LINKS) {
        const struct mrd_rpc_fan_options options = {
            .deadline_ns = mrd_clock_monotonic_ns(mrd_clock_system()) + 10000 * MS};
        struct mrd_rpc_fan *fan = mrd_rpc_fan_create(client_asking, &options);
        size_t call;
        heavy_again();
        for (int i = 0; i < LINKS; i++) {
            assert_int_equal(mrd_rpc_fan_start_at(fan, SUBJECT, &link_asked,
                                                  MRD_BYTES("chunks 0 8"), &call, NULL),
                             MRD_OK);
        }
        struct mrd_rpc_event event;
        while (mrd_rpc_fan_next(fan, &event, NULL) == MRD_OK) {}
        mrd_rpc_fan_destroy(&fan);
        usleep(1000);
    }
    struct mrd_rpc_server_stats stats = {.running = 1};
    while (stats.running + stats.queued > 0) {
        mrd_rpc_server_stats(service->server, &stats);
    }
    atomic_store(&service->ended, 0);
}

static inline void service_start(struct service *service, struct mrd_bus *bus, const char *subject,
                                 uint32_t workers, uint32_t queue_max)
{
    *service = (struct service){0};
    struct mrd_link_listener *listener = by_links ? listener_create(bus, &service->link) : NULL;
    link_asked = service->link;
    const struct mrd_rpc_server_options options = {.subject = subject,
                                                   .workers = workers,
                                                   .queue_max = queue_max,
                                                   .listener_take = listener,
                                                   .handle = on_call,
                                                   .context = service};
    assert_int_equal(mrd_rpc_server_create(bus, &options, &service->server, NULL), MRD_OK);
    assert_int_equal(mrd_bus_flush(bus, 5000, NULL), MRD_OK);
    heavily_used = service->server;
    if (by_links) {
        links_await(service);
    }
    mrd_rpc_server_stats(service->server, &service->before);
}

/* ---- the client's side ---- */

static inline struct mrd_rpc_fan *fan_of(struct mrd_rpc_client *client, int64_t wait_ms,
                                         int64_t silence_ms)
{
    const struct mrd_rpc_fan_options options = {.deadline_ns = now_ns() + wait_ms * MS,
                                                .silence_ms = silence_ms};
    return mrd_rpc_fan_create(client, &options);
}

static inline size_t start(struct mrd_rpc_fan *fan, const char *subject, const char *request)
{
    size_t call = SIZE_MAX;
    heavy_again();
    assert_int_equal(
        mrd_rpc_fan_start_at(fan, subject, &link_asked, mrd_bytes_of(request), &call, NULL),
        MRD_OK);
    return call;
}

/* The first event must be a failure with that status; returns its text. */
static const char *expect_failure(struct mrd_rpc_fan *fan, struct mrd_rpc_event *event,
                                  enum mrd_status want)
{
    struct mrd_error err = {0};
    if (mrd_rpc_fan_next(fan, event, &err) != MRD_OK) {
        fail_msg("next: %s", err.text);
    }
    assert_int_equal(event->kind, MRD_RPC_FAILED);
    if (event->error.status != want) {
        fail_msg("status %s: %s", mrd_status_name(event->error.status), event->error.text);
    }
    return event->error.text;
}

struct world {
    struct mrd_metrics *metrics;
    struct mrd_rpc_link_options links;
    struct nats_fixture nats;
    _Atomic int links_down;
    _Atomic int links_up;
    struct mrd_bus *server_bus;
    struct mrd_bus *client_bus;
    struct mrd_rpc_client *client;
};

static inline int world_setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    nats_fixture_start(&world->nats);
    world->server_bus = nats_fixture_connect(&world->nats);
    world->client_bus = nats_fixture_connect(&world->nats);
    assert_int_equal(mrd_rpc_client_create(world->client_bus, &world->client, NULL), MRD_OK);
    by_links = false;
    heavily = false;
    *state = world;
    return 0;
}

static inline void on_link_change(void *context, const char *address, const struct mrd_error *why)
{
    struct world *world = context;
    assert_true(strchr(address, ':') != NULL);
    atomic_fetch_add(why == NULL ? &world->links_up : &world->links_down, 1);
}

/* The same, and services take direct connections. */
static inline void links_open(struct world *world)
{
    world->metrics = mrd_metrics_create();
    world->links = (struct mrd_rpc_link_options){
        .on_change = on_link_change,
        .context = world,
        .calls_link = mrd_metrics_counter(world->metrics, "direct", "d", MRD_NO_LABELS),
        .calls_nats = mrd_metrics_counter(world->metrics, "nats", "n", MRD_NO_LABELS),
        .opened = mrd_metrics_counter(world->metrics, "opened", "o", MRD_NO_LABELS),
        .failed = mrd_metrics_counter(world->metrics, "failed", "f", MRD_NO_LABELS),
    };
    assert_int_equal(mrd_rpc_client_link(world->client, &world->links, NULL), MRD_OK);
    client_asking = world->client;
    links_opened = world->links.opened;
}

static inline int links_setup(void **state)
{
    (void)world_setup(state);
    links_open(*state);
    by_links = true;
    return 0;
}

/* The same, and all calls are of a flow that uses more than its share. */
static inline int heavy_setup(void **state)
{
    (void)links_setup(state);
    heavily = true;
    return 0;
}

static inline int world_teardown(void **state)
{
    struct world *world = *state;
    mrd_rpc_client_destroy(&world->client);
    mrd_bus_close(&world->client_bus);
    mrd_bus_close(&world->server_bus);
    nats_fixture_stop(&world->nats);
    mrd_metrics_destroy(&world->metrics);
    by_links = false;
    link_asked = (struct mrd_link){0};
    free(world);
    return 0;
}

static inline void read_all(struct mrd_rpc_fan *fan, uint64_t *chunks, uint64_t *bytes,
                            size_t calls)
{
    struct mrd_error err = {0};
    struct mrd_rpc_event event;
    uint64_t *next = calloc(calls, sizeof(*next));
    enum mrd_status status;
    while ((status = mrd_rpc_fan_next(fan, &event, &err)) == MRD_OK) {
        if (event.kind == MRD_RPC_FAILED) {
            fail_msg("call %zu: %s", event.call, event.error.text);
        }
        if (event.kind == MRD_RPC_END) {
            assert_true(mrd_bytes_equal(event.bytes, MRD_BYTES("done")));
            continue;
        }
        uint64_t number;
        memcpy(&number, event.bytes.data, sizeof(number));
        assert_int_equal(number, next[event.call]);
        next[event.call]++;
        *chunks += 1;
        *bytes += event.bytes.size;
    }
    if (status != MRD_E_NOT_FOUND) {
        fail_msg("%s", err.text);
    }
    free(next);
}

#endif
