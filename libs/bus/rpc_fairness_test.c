/* How the workers of a server are shared among flows, over a real nats-server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/threads.h"
#include "bus/nats_fixture.h"
#include "bus/rpc.h"
#include "bus/rpc_server_internal.h"

#define SUBJECT "mrd.query.fair"
static const int64_t MS = 1000000;

/* Requests are "FLOW WORD": "hold" keeps its worker and never looks whether others wait; "work" looks all the time; "burn" uses
 * the processor until its thread is in the background; "nice" tells the priority of its thread. */
struct world {
    struct nats_fixture nats;
    struct mrd_bus *server_bus;
    struct mrd_bus *client_bus;
    struct mrd_rpc_client *client;
    struct mrd_rpc_server *server;
    struct mrd_rpc_fan *fan;
    _Atomic size_t begun[128];     /* by flow: "hold" and "work" */
    _Atomic uint32_t workers_of_v; /* the share of flow "v"; 0: as the others */
};

static void flow_of(void *context, struct mrd_bytes request, struct mrd_rpc_flow *out)
{
    const struct world *world = context;
    out->key = request.size == 0 ? 0 : request.data[0];
    out->workers = out->key == 'v' ? atomic_load(&world->workers_of_v) : 0;
    out->queue_max = out->key == 'v' ? 1 : 2;
    out->urgent = out->key == 'u';
    out->patient = out->key == 'p';
}

/* What it was started with. */
static int nice_of_process(void) { return getpriority(PRIO_PROCESS, (id_t)getpid()); }

static int nice_now(void) { return getpriority(PRIO_PROCESS, (id_t)mrd_thread_kernel_id()); }

static enum mrd_status on_call(void *context, struct mrd_rpc_call *call, struct mrd_error *err)
{
    struct world *world = context;
    const struct mrd_bytes request = mrd_rpc_call_request(call);
    const uint8_t kind = request.data[2];
    enum mrd_status status = MRD_OK;
    if (kind == 'h' || kind == 'w') {
        world->begun[request.data[0]]++;
        while ((status = mrd_rpc_call_check(call, err)) == MRD_OK) {
            usleep(500);
            if (kind == 'w') {
                mrd_rpc_call_yield(call);
            }
        }
        return status;
    }
    while (kind == 'b' && !mrd_thread_in_background() && status == MRD_OK) {
        mrd_rpc_call_yield(call);
        status = mrd_rpc_call_check(call, err);
    }
    struct mrd_buf last = {0};
    mrd_buf_printf(&last, "%d", nice_now());
    mrd_rpc_call_last_take(call, &last);
    return status;
}

static struct world *world_start(uint32_t workers)
{
    struct world *world = calloc(1, sizeof(*world));
    nats_fixture_start(&world->nats);
    world->server_bus = nats_fixture_connect(&world->nats);
    world->client_bus = nats_fixture_connect(&world->nats);
    assert_int_equal(mrd_rpc_client_create(world->client_bus, &world->client, NULL), MRD_OK);
    const struct mrd_rpc_server_options options = {.subject = SUBJECT,
                                                   .workers = workers,
                                                   .queue_max = 6,
                                                   .flow = flow_of,
                                                   .flow_full = "the flow is full",
                                                   .handle = on_call,
                                                   .context = world};
    assert_int_equal(mrd_rpc_server_create(world->server_bus, &options, &world->server, NULL),
                     MRD_OK);
    assert_int_equal(mrd_bus_flush(world->server_bus, 5000, NULL), MRD_OK);
    const struct mrd_rpc_fan_options fan = {
        .deadline_ns = mrd_clock_monotonic_ns(mrd_clock_system()) + 60000 * MS};
    world->fan = mrd_rpc_fan_create(world->client, &fan);
    return world;
}

static void world_stop(struct world *world)
{
    mrd_rpc_fan_destroy(&world->fan);
    mrd_rpc_server_destroy(&world->server, 10);
    mrd_rpc_client_destroy(&world->client);
    mrd_bus_close(&world->client_bus);
    mrd_bus_close(&world->server_bus);
    nats_fixture_stop(&world->nats);
    free(world);
}

static size_t start(struct world *world, const char *request)
{
    size_t call = SIZE_MAX;
    assert_int_equal(mrd_rpc_fan_start(world->fan, SUBJECT, mrd_bytes_of(request), &call, NULL),
                     MRD_OK);
    return call;
}

static void wait_begun(struct world *world, char flow, size_t count)
{
    while (world->begun[(unsigned char)flow] < count) {
        usleep(1000);
    }
}

/* Waits for the end of a call and gives what it says. */
static int number_of(struct world *world, const char *request)
{
    struct mrd_rpc_event event;
    struct mrd_error err = {0};
    const size_t call = start(world, request);
    assert_int_equal(mrd_rpc_fan_next_of(world->fan, call, &event, &err), MRD_OK);
    if (event.kind != MRD_RPC_END) {
        fail_msg("%s: %s", request, event.error.text);
    }
    char text[16] = "";
    memcpy(text, event.bytes.data, MRD_MIN(event.bytes.size, sizeof(text) - 1));
    return atoi(text);
}

static void a_flow_leaves_a_worker_to_the_others(void **state)
{
    (void)state;
    struct world *world = world_start(2);
    start(world, "a hold");
    start(world, "a hold");
    start(world, "a hold");
    wait_begun(world, 'a', 1);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(number_of(world, "b nice"), nice_of_process());
    }
    assert_int_equal(world->begun['a'], 1); /* one more worker was free all the time */
    world_stop(world);
}

static void refuse_one(struct world *world, const char *request)
{
    struct mrd_rpc_event event;
    const size_t refused = start(world, request);
    assert_int_equal(mrd_rpc_fan_next_of(world->fan, refused, &event, NULL), MRD_OK);
    assert_int_equal(event.kind, MRD_RPC_FAILED);
    assert_int_equal(event.error.status, MRD_E_UNAVAILABLE);
    assert_string_equal(event.error.text, "the flow is full");
}

static void a_flow_has_a_queue_of_its_own(void **state)
{
    (void)state;
    struct world *world = world_start(2);
    start(world, "a hold"); /* works */
    start(world, "a hold"); /* waits, like the next one */
    start(world, "a hold");
    refuse_one(world, "a hold");
    assert_int_equal(number_of(world, "b nice"), nice_of_process());
    world_stop(world);
}

static void a_share_may_differ_by_flow_and_counts_from_its_next_request_on(void **state)
{
    (void)state;
    struct world *world = world_start(4);
    atomic_store(&world->workers_of_v, 1);
    start(world, "v hold"); /* works */
    start(world, "v hold"); /* waits */
    refuse_one(world, "v hold");
    for (size_t i = 0; i < 3; i++) {
        start(world, "a hold");
    }
    wait_begun(world, 'a', 3);
    assert_int_equal(world->begun['v'], 1); /* though a worker was free until now */
    world_stop(world);

    world = world_start(4);
    atomic_store(&world->workers_of_v, 1);
    start(world, "v hold");
    start(world, "v hold");
    refuse_one(world, "v hold");
    atomic_store(&world->workers_of_v, 3);
    start(world, "v hold"); /* and so the one that waits begins, too */
    wait_begun(world, 'v', 3);
    start(world, "v hold");
    refuse_one(world, "v hold");
    world_stop(world);
}

/* Three flows and two workers: none of the calls ever ends, and yet each begins, and short ones come between. */
static void long_calls_take_turns(void **state)
{
    (void)state;
    struct world *world = world_start(2);
    start(world, "a work");
    start(world, "b work");
    wait_begun(world, 'a', 1);
    wait_begun(world, 'b', 1);
    start(world, "c work");
    wait_begun(world, 'c', 1);
    assert_int_equal(number_of(world, "d nice"), nice_of_process());
    struct mrd_rpc_server_stats stats;
    mrd_rpc_server_stats(world->server, &stats);
    assert_true(stats.yields >= 2);
    world_stop(world);
}

static void a_long_call_ends_in_the_background_and_no_other_does(void **state)
{
    (void)state;
    struct world *world = world_start(2);
    struct mrd_rpc_server_stats stats;
    for (int i = 0; i < 5; i++) {
        assert_true(number_of(world, "a burn") >= MRD_THREAD_BACKGROUND_NICE);
        for (int k = 0; k < 3; k++) {
            assert_int_equal(number_of(world, "a nice"), nice_of_process());
        }
    }
    mrd_rpc_server_stats(world->server, &stats);
    assert_true(stats.threads <= 3); /* those that were long have gone */
    world_stop(world);
}

/* It has used much, whatever it does from now on. */
static void use(struct world *world, char flow)
{
    pthread_mutex_lock(&world->server->lock);
    mrd_usage_add(&world->server->usage, (uint64_t)flow, INT64_MAX / 4,
                  mrd_clock_monotonic_ns(mrd_clock_system()));
    pthread_mutex_unlock(&world->server->lock);
}

static void
a_flow_that_uses_more_than_its_share_is_in_the_background_while_others_are_there(void **state)
{
    (void)state;
    struct world *world = world_start(2);
    struct mrd_rpc_server_stats first;
    struct mrd_rpc_server_stats last;
    use(world, 'a');
    assert_int_equal(number_of(world, "a nice"), nice_of_process()); /* it is alone */
    assert_int_equal(number_of(world, "b nice"), nice_of_process());
    assert_true(number_of(world, "a nice") >= MRD_THREAD_BACKGROUND_NICE);
    mrd_rpc_server_stats(world->server, &first);
    for (int i = 0; i < 20; i++) {
        use(world, 'a');
        use(world, 'u');
        assert_true(number_of(world, "a nice") >= MRD_THREAD_BACKGROUND_NICE);
        assert_int_equal(number_of(world, "b nice"), nice_of_process());
        assert_int_equal(number_of(world, "u nice"), nice_of_process());
    }
    mrd_rpc_server_stats(world->server, &last);
    assert_int_equal(last.threads, first.threads); /* it is always the same ones */
    world_stop(world);
}

static void a_patient_call_is_in_the_background_wherever_it_is_alone(void **state)
{
    (void)state;
    struct world *world = world_start(2);
    assert_int_equal(number_of(world, "a nice"), nice_of_process());
    assert_true(number_of(world, "p nice") >= MRD_THREAD_BACKGROUND_NICE);
    assert_int_equal(number_of(world, "a nice"), nice_of_process());
    world_stop(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flow_leaves_a_worker_to_the_others),
        cmocka_unit_test(a_flow_has_a_queue_of_its_own),
        cmocka_unit_test(a_share_may_differ_by_flow_and_counts_from_its_next_request_on),
        cmocka_unit_test(long_calls_take_turns),
        cmocka_unit_test(a_long_call_ends_in_the_background_and_no_other_does),
        cmocka_unit_test(
            a_flow_that_uses_more_than_its_share_is_in_the_background_while_others_are_there),
        cmocka_unit_test(a_patient_call_is_in_the_background_wherever_it_is_alone),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mrd_bus_library_close();
    return failed;
}
