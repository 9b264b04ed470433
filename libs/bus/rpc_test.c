/* Requests and chunked replies over a real nats-server, and over direct connections. */
#include "bus/rpc_rig.h"

static void a_reply_of_fifty_megabytes_comes_whole_and_in_order(void **state)
{
    struct world *world = *state;
    struct service service;
    service_start(&service, world->server_bus, SUBJECT, 2, 0);
    struct mrd_rpc_fan *fan = fan_of(world->client, 60000, 0);
    start(fan, SUBJECT, "chunks 200 262144");
    uint64_t chunks = 0;
    uint64_t bytes = 0;
    read_all(fan, &chunks, &bytes, 1);
    assert_int_equal(chunks, 200);
    assert_int_equal(bytes, 200 * 262144);
    mrd_rpc_fan_destroy(&fan);
    mrd_rpc_server_destroy(&service.server, 1000);
}

static void many_requests_run_at_once(void **state)
{
    struct world *world = *state;
    enum { CALLS = 64 };
    struct service service;
    service_start(&service, world->server_bus, SUBJECT, 4, 0);
    struct mrd_rpc_fan *fan = fan_of(world->client, 60000, 0);
    for (size_t i = 0; i < CALLS; i++) {
        assert_int_equal(start(fan, SUBJECT, "chunks 30 20000"), i);
    }
    uint64_t chunks = 0;
    uint64_t bytes = 0;
    read_all(fan, &chunks, &bytes, CALLS);
    assert_int_equal(chunks, CALLS * 30);
    mrd_rpc_fan_destroy(&fan);
    mrd_rpc_server_destroy(&service.server, 1000);
}

static void one_call_can_be_read_while_others_wait_within_their_windows(void **state)
{
    struct world *world = *state;
    struct service service;
    service_start(&service, world->server_bus, SUBJECT, 4, 0);
    struct mrd_rpc_fan *fan = fan_of(world->client, 60000, 0);
    start(fan, SUBJECT, "chunks 100 1000");
    const size_t second = start(fan, SUBJECT, "chunks 100 1000");
    struct mrd_rpc_event event;
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(mrd_rpc_fan_next_of(fan, second, &event, NULL), MRD_OK);
        assert_int_equal(event.kind, MRD_RPC_CHUNK);
        assert_int_equal(event.call, second);
    }
    assert_int_equal(mrd_rpc_fan_next_of(fan, second, &event, NULL), MRD_OK);
    assert_int_equal(event.kind, MRD_RPC_END);
    struct mrd_rpc_server_stats stats;
    mrd_rpc_server_stats(service.server, &stats);
    assert_true(stats.chunks - service.before.chunks <=
                101 + MRD_RPC_WINDOW); /* the first has had no further credit */
    uint64_t chunks = 0;
    uint64_t bytes = 0;
    read_all(fan, &chunks, &bytes, 2);
    assert_int_equal(chunks, 100);
    mrd_rpc_fan_destroy(&fan);
    mrd_rpc_server_destroy(&service.server, 1000);
}

/* One worker, many answers that their reader does not want yet: read from the last to the first, each comes whole. */
static void calls_that_wait_for_their_reader_hold_up_no_other(void **state)
{
    struct world *world = *state;
    enum { CALLS = 20 };
    struct service service;
    service_start(&service, world->server_bus, SUBJECT, 1, 0);
    struct mrd_rpc_fan *fan = fan_of(world->client, 60000, 0);
    for (size_t i = 0; i < CALLS; i++) {
        start(fan, SUBJECT, "chunks 50 1000");
    }
    for (size_t call = CALLS; call-- > 0;) {
        struct mrd_rpc_event event;
        for (uint64_t i = 0; i < 50; i++) {
            assert_int_equal(mrd_rpc_fan_next_of(fan, call, &event, NULL), MRD_OK);
            assert_int_equal(event.kind, MRD_RPC_CHUNK);
            assert_memory_equal(event.bytes.data, &i, sizeof(i));
        }
        assert_int_equal(mrd_rpc_fan_next_of(fan, call, &event, NULL), MRD_OK);
        assert_int_equal(event.kind, MRD_RPC_END);
    }
    struct mrd_rpc_server_stats stats;
    mrd_rpc_server_stats(service.server, &stats);
    assert_true(by_links || stats.threads > 1); /* a link brings its own */
    assert_true(stats.threads <= CALLS + 1);
    mrd_rpc_fan_destroy(&fan);
    mrd_rpc_server_destroy(&service.server, 1000);
}

static void a_call_that_pauses_lets_others_work(void **state)
{
    struct world *world = *state;
    struct service service;
    service_start(&service, world->server_bus, SUBJECT, 1, 0);
    struct mrd_rpc_fan *fan = fan_of(world->client, 60000, 0);
    const size_t first = start(fan, SUBJECT, "pause");
    start(fan, SUBJECT, "pause");
    while (atomic_load(&service.hanging) <
           2) { /* one that is canceled before it begins never ends here */
        usleep(1000);
    }
    const size_t third = start(fan, SUBJECT, "chunks 30 1000");
    struct mrd_rpc_event event = {.kind = MRD_RPC_CHUNK};
    while (event.kind == MRD_RPC_CHUNK) {
        assert_int_equal(mrd_rpc_fan_next_of(fan, third, &event, NULL), MRD_OK);
    }
    assert_int_equal(event.kind, MRD_RPC_END);
    mrd_rpc_fan_cancel(fan, first); /* perhaps before it said how: then a sign of life tells it */
    while (atomic_load(&service.ended) < 2) {
        usleep(1000);
    }
    assert_int_equal(atomic_load(&service.last_status), MRD_E_CANCELED);
    mrd_rpc_fan_destroy(&fan);
    mrd_rpc_server_destroy(&service.server, 1000);
}

/* The bytes of an event stay while other calls are read. */
static void a_small_answer_is_one_message_and_outlives_events_of_others(void **state)
{
    struct world *world = *state;
    struct service service;
    service_start(&service, world->server_bus, SUBJECT, 4, 0);
    struct mrd_rpc_fan *fan = fan_of(world->client, 60000, 0);
    const size_t first = start(fan, SUBJECT, "chunks 0 8");
    const size_t second = start(fan, SUBJECT, "chunks 0 8");
    struct mrd_rpc_event end;
    struct mrd_rpc_event other;
    assert_int_equal(mrd_rpc_fan_next_of(fan, first, &end, NULL), MRD_OK);
    assert_int_equal(end.kind, MRD_RPC_END);
    assert_int_equal(mrd_rpc_fan_next_of(fan, second, &other, NULL), MRD_OK);
    mrd_rpc_fan_cancel(fan, second);
    assert_true(mrd_bytes_equal(end.bytes, MRD_BYTES("done")));
    struct mrd_rpc_server_stats stats = {.running = 1};
    while (stats.running > 0) {
        mrd_rpc_server_stats(service.server, &stats);
    }
    assert_int_equal(stats.chunks - service.before.chunks, 2);
    mrd_rpc_fan_destroy(&fan);
    mrd_rpc_server_destroy(&service.server, 1000);
}

static void an_error_keeps_its_status_and_text(void **state)
{
    struct world *world = *state;
    struct service service;
    service_start(&service, world->server_bus, SUBJECT, 1, 0);
    struct mrd_rpc_fan *fan = fan_of(world->client, 10000, 0);
    start(fan, SUBJECT, "fail");
    struct mrd_rpc_event event;
    assert_string_equal(expect_failure(fan, &event, MRD_E_LIMIT), "too many of something");
    assert_int_equal(mrd_rpc_fan_next(fan, &event, NULL), MRD_E_NOT_FOUND);
    mrd_rpc_fan_destroy(&fan);
    mrd_rpc_server_destroy(&service.server, 1000);
}

static void nobody_there_is_known_without_waiting(void **state)
{
    struct world *world = *state;
    struct mrd_rpc_fan *fan = fan_of(world->client, 600000, 600000); /* no timeout can help */
    start(fan, SUBJECT, "x");
    struct mrd_rpc_event event;
    assert_non_null(strstr(expect_failure(fan, &event, MRD_E_UNAVAILABLE), "nobody listens"));
    mrd_rpc_fan_destroy(&fan);
}

static void a_call_canceled_by_the_client_ends_on_the_server(void **state)
{
    struct world *world = *state;
    struct service service;
    service_start(&service, world->server_bus, SUBJECT, 1, 0);
    struct mrd_rpc_fan *fan = fan_of(world->client, 60000, 0);
    start(fan, SUBJECT, "hang");
    while (atomic_load(&service.hanging) == 0) {
        usleep(1000);
    }
    mrd_rpc_fan_destroy(&fan);
    while (atomic_load(&service.ended) == 0) {
        usleep(1000);
    }
    assert_int_equal(atomic_load(&service.last_status), MRD_E_CANCELED);
    mrd_rpc_server_destroy(&service.server, 1000);
}

static void a_server_without_credit_gives_up_at_its_deadline(void **state)
{
    struct world *world = *state;
    struct service service;
    service_start(&service, world->server_bus, SUBJECT, 1, 0);
    struct mrd_rpc_fan *fan = fan_of(world->client, 300, 0);
    start(fan, SUBJECT, "chunks 1000 10000"); /* and nobody reads */
    while (atomic_load(&service.ended) == 0) {
        usleep(1000);
    }
    assert_int_equal(atomic_load(&service.last_status), MRD_E_TIMEOUT);
    struct mrd_rpc_event event = {0};
    enum mrd_status status = MRD_OK;
    size_t chunks = 0;
    while ((status = mrd_rpc_fan_next(fan, &event, NULL)) == MRD_OK &&
           event.kind == MRD_RPC_CHUNK) {
        chunks++;
    }
    /* Whoever's deadline came first: an error, and no more chunks than were granted. */
    assert_true(status == MRD_E_TIMEOUT || event.error.status == MRD_E_TIMEOUT);
    assert_true(chunks <= MRD_RPC_WINDOW + MRD_RPC_WINDOW / 2);
    mrd_rpc_fan_destroy(&fan);
    mrd_rpc_server_destroy(&service.server, 1000);
}

static void a_long_running_call_stays_alive_by_its_pulse(void **state)
{
    struct world *world = *state;
    struct service service;
    service_start(&service, world->server_bus, SUBJECT, 1, 0);
    struct mrd_rpc_fan *fan = fan_of(world->client, 2500, 1200);
    start(fan, SUBJECT, "hang");
    struct mrd_rpc_event event = {0};
    struct mrd_error err = {0};
    const enum mrd_status status = mrd_rpc_fan_next(fan, &event, &err);
    /* The deadline ended it, here or there, not silence. */
    const bool deadline =
        status == MRD_E_TIMEOUT || (status == MRD_OK && event.error.status == MRD_E_TIMEOUT);
    if (!deadline) {
        fail_msg("%s %s", err.text, event.error.text);
    }
    mrd_rpc_fan_destroy(&fan);
    mrd_rpc_server_destroy(&service.server, 1000);
}

static void more_requests_than_the_queue_takes_are_refused_at_once(void **state)
{
    struct world *world = *state;
    struct service service;
    service_start(&service, world->server_bus, SUBJECT, 1, 1);
    struct mrd_rpc_fan *fan = fan_of(world->client, 60000, 0);
    for (int i = 0; i < 4; i++) {
        start(fan, SUBJECT, "hang");
    }
    struct mrd_rpc_event event;
    for (int i = 0; i < 2; i++) {
        assert_non_null(strstr(expect_failure(fan, &event, MRD_E_UNAVAILABLE), "too many"));
    }
    mrd_rpc_fan_destroy(&fan);
    mrd_rpc_server_destroy(&service.server, 10);
}

/* A process of its own that serves until killed. */
static pid_t server_process(const struct nats_fixture *nats)
{
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        static struct service service;
        struct mrd_bus *bus = nats_fixture_connect(nats);
        const struct mrd_rpc_server_options options = {
            .subject = SUBJECT, .handle = on_call, .context = &service};
        if (mrd_rpc_server_create(bus, &options, &service.server, NULL) != MRD_OK ||
            mrd_bus_flush(bus, 5000, NULL) != MRD_OK || write(ready[1], "x", 1) != 1) {
            _exit(1);
        }
        for (;;) {
            pause();
        }
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

static void a_server_killed_in_the_middle_is_an_error_not_a_short_answer(void **state)
{
    /* The child is forked before this process has any thread of the library. */
    (void)state;
    struct nats_fixture nats;
    nats_fixture_start(&nats);
    const pid_t pid = server_process(&nats);
    struct mrd_bus *bus = nats_fixture_connect(&nats);
    struct mrd_rpc_client *client = NULL;
    assert_int_equal(mrd_rpc_client_create(bus, &client, NULL), MRD_OK);
    struct mrd_rpc_fan *fan = fan_of(client, 600000, 500);
    start(fan, SUBJECT, "chunks 100000 1000");
    struct mrd_rpc_event event;
    assert_int_equal(mrd_rpc_fan_next(fan, &event, NULL), MRD_OK);
    assert_int_equal(event.kind, MRD_RPC_CHUNK);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    while (mrd_rpc_fan_next(fan, &event, NULL) == MRD_OK && event.kind == MRD_RPC_CHUNK) {}
    assert_int_equal(event.kind, MRD_RPC_FAILED);
    assert_int_equal(event.error.status, MRD_E_UNAVAILABLE);
    assert_non_null(strstr(event.error.text, "silent"));
    mrd_rpc_fan_destroy(&fan);
    mrd_rpc_client_destroy(&client);
    mrd_bus_close(&bus);
    nats_fixture_stop(&nats);
}

static void a_lost_connection_fails_the_running_calls(void **state)
{
    struct world *world = *state;
    struct service service;
    service_start(&service, world->server_bus, SUBJECT, 1, 0);
    struct mrd_rpc_fan *fan = fan_of(world->client, 600000, 600000);
    start(fan, SUBJECT, "hang");
    while (atomic_load(&service.hanging) == 0) {
        usleep(1000);
    }
    nats_fixture_kill(&world->nats);
    struct mrd_rpc_event event;
    expect_failure(fan, &event, MRD_E_UNAVAILABLE);
    while (atomic_load(&service.ended) == 0) {
        usleep(1000);
    }
    nats_fixture_launch(&world->nats);
    assert_int_equal(mrd_bus_wait_connected(world->client_bus, 20000, NULL), MRD_OK);
    assert_int_equal(mrd_bus_wait_connected(world->server_bus, 20000, NULL), MRD_OK);
    assert_int_equal(mrd_bus_flush(world->server_bus, 5000, NULL), MRD_OK);
    mrd_rpc_fan_destroy(&fan);
    fan = fan_of(world->client, 60000, 0);
    start(fan, SUBJECT, "chunks 3 100"); /* and all is well again */
    uint64_t chunks = 0;
    uint64_t bytes = 0;
    read_all(fan, &chunks, &bytes, 1);
    assert_int_equal(chunks, 3);
    mrd_rpc_fan_destroy(&fan);
    mrd_rpc_server_destroy(&service.server, 1000);
}

/* ---- a peer that breaks the protocol ---- */

/* Where a peer's own messages go. */
static const char *answer_subject(const natsMsg *msg)
{
    static char subject[MRD_RPC_SUBJECT_MAX];
    snprintf(subject, sizeof(subject), "%s" MRD_RPC_ANSWER_SUFFIX, natsMsg_GetReply(msg));
    return subject;
}

static void on_old_request(natsConnection *nats, natsSubscription *subscription, natsMsg *msg,
                           void *closure)
{
    (void)subscription;
    (void)closure;
    (void)natsConnection_Publish(nats, answer_subject(msg), "\x01\x02\0\0\0\0\0\0", 8);
    natsMsg_Destroy(msg);
}

static void a_peer_of_another_version_is_named(void **state)
{
    struct world *world = *state;
    struct mrd_bus_subscription *raw = NULL;
    assert_int_equal(
        mrd_bus_subscribe(world->server_bus, SUBJECT, on_old_request, NULL, &raw, NULL), MRD_OK);
    assert_int_equal(mrd_bus_flush(world->server_bus, 5000, NULL), MRD_OK);
    struct mrd_rpc_fan *fan = fan_of(world->client, 600000, 600000);
    start(fan, SUBJECT, "x");
    struct mrd_rpc_event event;
    assert_non_null(strstr(expect_failure(fan, &event, MRD_E_UNAVAILABLE), "version 1"));
    mrd_rpc_fan_destroy(&fan);
    mrd_bus_unsubscribe(&raw);
}

static void on_raw_request(natsConnection *nats, natsSubscription *subscription, natsMsg *msg,
                           void *closure)
{
    (void)subscription;
    const uint32_t *numbers = closure;
    for (size_t i = 0; numbers[i] != UINT32_MAX; i++) {
        uint8_t frame[MRD_RPC_FRAME_BYTES + 1] = {0};
        mrd_rpc_frame_put(frame, MRD_RPC_FRAME_DATA, MRD_OK, numbers[i]);
        (void)natsConnection_PublishRequest(nats, answer_subject(msg), "mrd.nowhere", frame,
                                            sizeof(frame));
    }
    natsMsg_Destroy(msg);
}

static void a_missing_number_is_an_error(void **state)
{
    struct world *world = *state;
    static uint32_t numbers[] = {0, 1, 3, 4, UINT32_MAX};
    struct mrd_bus_subscription *raw = NULL;
    assert_int_equal(
        mrd_bus_subscribe(world->server_bus, SUBJECT, on_raw_request, numbers, &raw, NULL), MRD_OK);
    assert_int_equal(mrd_bus_flush(world->server_bus, 5000, NULL), MRD_OK);
    struct mrd_rpc_fan *fan = fan_of(world->client, 600000, 600000);
    start(fan, SUBJECT, "x");
    struct mrd_rpc_event event;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(mrd_rpc_fan_next(fan, &event, NULL), MRD_OK);
        assert_int_equal(event.kind, MRD_RPC_CHUNK);
    }
    assert_non_null(strstr(expect_failure(fan, &event, MRD_E_UNAVAILABLE), "lost"));
    mrd_rpc_fan_destroy(&fan);
    mrd_bus_unsubscribe(&raw);
}

static void a_peer_that_never_answers_is_found_out_by_silence(void **state)
{
    struct world *world = *state;
    static uint32_t numbers[] = {UINT32_MAX};
    struct mrd_bus_subscription *raw = NULL;
    assert_int_equal(
        mrd_bus_subscribe(world->server_bus, SUBJECT, on_raw_request, numbers, &raw, NULL), MRD_OK);
    assert_int_equal(mrd_bus_flush(world->server_bus, 5000, NULL), MRD_OK);
    struct mrd_rpc_fan *fan = fan_of(world->client, 600000, 200);
    start(fan, SUBJECT, "x");
    struct mrd_rpc_event event;
    assert_non_null(strstr(expect_failure(fan, &event, MRD_E_UNAVAILABLE), "silent"));
    mrd_rpc_fan_destroy(&fan);
    mrd_bus_unsubscribe(&raw);
}

int main(void)
{
#define RPC_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
#define LINK_TEST(name) cmocka_unit_test_setup_teardown(name, links_setup, world_teardown)
#define HEAVY_TEST(name) cmocka_unit_test_setup_teardown(name, heavy_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_killed_in_the_middle_is_an_error_not_a_short_answer),
        RPC_TEST(a_reply_of_fifty_megabytes_comes_whole_and_in_order),
        RPC_TEST(many_requests_run_at_once),
        RPC_TEST(one_call_can_be_read_while_others_wait_within_their_windows),
        RPC_TEST(calls_that_wait_for_their_reader_hold_up_no_other),
        RPC_TEST(a_call_that_pauses_lets_others_work),
        RPC_TEST(a_small_answer_is_one_message_and_outlives_events_of_others),
        RPC_TEST(an_error_keeps_its_status_and_text),
        RPC_TEST(nobody_there_is_known_without_waiting),
        RPC_TEST(a_call_canceled_by_the_client_ends_on_the_server),
        RPC_TEST(a_server_without_credit_gives_up_at_its_deadline),
        RPC_TEST(a_long_running_call_stays_alive_by_its_pulse),
        RPC_TEST(more_requests_than_the_queue_takes_are_refused_at_once),
        RPC_TEST(a_lost_connection_fails_the_running_calls),
        RPC_TEST(a_peer_of_another_version_is_named),
        RPC_TEST(a_missing_number_is_an_error),
        RPC_TEST(a_peer_that_never_answers_is_found_out_by_silence),
        LINK_TEST(a_reply_of_fifty_megabytes_comes_whole_and_in_order),
        LINK_TEST(many_requests_run_at_once),
        LINK_TEST(one_call_can_be_read_while_others_wait_within_their_windows),
        LINK_TEST(calls_that_wait_for_their_reader_hold_up_no_other),
        LINK_TEST(a_call_that_pauses_lets_others_work),
        LINK_TEST(a_small_answer_is_one_message_and_outlives_events_of_others),
        LINK_TEST(an_error_keeps_its_status_and_text),
        LINK_TEST(nobody_there_is_known_without_waiting),
        LINK_TEST(a_call_canceled_by_the_client_ends_on_the_server),
        LINK_TEST(a_server_without_credit_gives_up_at_its_deadline),
        LINK_TEST(a_long_running_call_stays_alive_by_its_pulse),
        LINK_TEST(more_requests_than_the_queue_takes_are_refused_at_once),
        HEAVY_TEST(a_reply_of_fifty_megabytes_comes_whole_and_in_order),
        HEAVY_TEST(many_requests_run_at_once),
        HEAVY_TEST(one_call_can_be_read_while_others_wait_within_their_windows),
        HEAVY_TEST(calls_that_wait_for_their_reader_hold_up_no_other),
        HEAVY_TEST(a_call_that_pauses_lets_others_work),
        HEAVY_TEST(an_error_keeps_its_status_and_text),
        HEAVY_TEST(a_call_canceled_by_the_client_ends_on_the_server),
        HEAVY_TEST(a_long_running_call_stays_alive_by_its_pulse),
        HEAVY_TEST(more_requests_than_the_queue_takes_are_refused_at_once),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mrd_bus_library_close();
    return failed;
}
