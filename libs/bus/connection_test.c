/* One connection to a real nats-server. */
#include "bus/connection.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>

#include <cmocka.h>

#include "bus/connection_internal.h"
#include "bus/nats_fixture.h"

static const struct {
    const char *a;
    const char *b;
    int want;
} versions[] = {
    {"2.9.10",  "2.10.0",  -1},
    {"2.10.0",  "2.9.10",  1 },
    {"2.12.15", "2.12.15", 0 },
    {"2.12",    "2.12.0",  -1},
    {"2.14.5",  "2.12.15", 1 },
    {"",        "",        0 },
};

static void versions_compare_by_their_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(versions); i++) {
        if (mrd_bus_version_compare(versions[i].a, versions[i].b) != versions[i].want) {
            fail_msg("%s against %s", versions[i].a, versions[i].b);
        }
    }
}

static void the_server_tells_its_version(void **state)
{
    (void)state;
    struct nats_fixture nats;
    nats_fixture_start(&nats);
    char urls[160];
    /* The first of the list does not answer. */
    snprintf(urls, sizeof(urls), "nats://127.0.0.1:1,nats://user:p@127.0.0.1:%d", nats.port);
    struct mrd_bus_server server;
    assert_int_equal(mrd_bus_server_info(urls, 2000, &server, NULL), MRD_OK);
    assert_true(mrd_bus_version_compare(server.version, "2.2.0") > 0);
    assert_int_equal(server.payload_max, 8 << 20);
    assert_true(server.jetstream);
    nats_fixture_stop(&nats);
    struct mrd_error err = {0};
    assert_int_equal(mrd_bus_server_info(nats.url, 500, &server, &err), MRD_E_UNAVAILABLE);
}

struct events {
    _Atomic size_t connected;
    _Atomic size_t disconnected;
};

static void on_event(void *context, enum mrd_bus_event event, const char *text)
{
    (void)text;
    struct events *events = context;
    if (event == MRD_BUS_CONNECTED) {
        atomic_fetch_add(&events->connected, 1);
    } else if (event == MRD_BUS_DISCONNECTED) {
        atomic_fetch_add(&events->disconnected, 1);
    }
}

static void a_connection_comes_up_whenever_the_server_does(void **state)
{
    (void)state;
    struct nats_fixture nats;
    nats_fixture_start(&nats);
    nats_fixture_kill(&nats);
    struct mrd_bus *bus = NULL;
    const struct mrd_bus_options options = {.urls = nats.url};
    assert_int_equal(mrd_bus_open(&options, &bus, NULL), MRD_OK); /* nobody is there */
    struct events events = {0};
    struct mrd_bus_listener listener = {.on_event = on_event, .context = &events};
    mrd_bus_listen(bus, &listener);
    struct mrd_error err = {0};
    assert_int_equal(mrd_bus_wait_connected(bus, 50, &err), MRD_E_UNAVAILABLE);
    assert_int_equal(mrd_bus_payload_max(bus), 0);
    nats_fixture_launch(&nats);
    assert_int_equal(mrd_bus_wait_connected(bus, 20000, NULL), MRD_OK);
    assert_int_equal(mrd_bus_generation(bus), 1);
    assert_int_equal(mrd_bus_payload_max(bus), 8 << 20);
    nats_fixture_kill(&nats);
    while (atomic_load(&events.disconnected) == 0) {
        usleep(1000);
    }
    nats_fixture_launch(&nats);
    assert_int_equal(mrd_bus_wait_connected(bus, 20000, NULL), MRD_OK);
    assert_int_equal(mrd_bus_generation(bus), 2);
    while (atomic_load(&events.connected) < 2) {
        usleep(1000);
    }
    mrd_bus_unlisten(bus, &listener);
    mrd_bus_close(&bus);
    assert_null(bus);
    nats_fixture_stop(&nats);
}

static void a_frozen_server_does_not_hold_a_publisher_for_ever(void **state)
{
    (void)state;
    struct nats_fixture nats;
    nats_fixture_start(&nats);
    struct mrd_bus *bus = NULL;
    const struct mrd_bus_options options = {.urls = nats.url, .write_deadline_ms = 100};
    assert_int_equal(mrd_bus_open(&options, &bus, NULL), MRD_OK);
    assert_int_equal(mrd_bus_wait_connected(bus, 20000, NULL), MRD_OK);
    nats_fixture_freeze(&nats);
    enum { SIZE = 1 << 20 };
    uint8_t *payload = calloc(1, SIZE);
    natsStatus status = NATS_OK;
    for (int i = 0; i < 100 && status == NATS_OK; i++) { /* until the socket is full */
        status = natsConnection_Publish(mrd_bus_nats(bus), "mrd.test", payload, SIZE);
    }
    assert_int_not_equal(status, NATS_OK); /* it returned: the test itself is the proof */
    nats_fixture_thaw(&nats);
    assert_int_equal(mrd_bus_wait_connected(bus, 20000, NULL), MRD_OK);
    free(payload);
    mrd_bus_close(&bus);
    nats_fixture_stop(&nats);
}

static void options_that_cannot_work_are_refused(void **state)
{
    (void)state;
    struct mrd_bus *bus = NULL;
    struct mrd_error err = {0};
    assert_int_equal(mrd_bus_open(&(struct mrd_bus_options){.urls = ""}, &bus, &err),
                     MRD_E_INVALID);
    assert_int_equal(mrd_bus_open(&(struct mrd_bus_options){.urls = " , "}, &bus, &err),
                     MRD_E_INVALID);
    const struct mrd_bus_options halves[] = {
        {.urls = "nats://127.0.0.1:1", .cert_file = "/dev/null"        },
        {.urls = "nats://127.0.0.1:1", .key_file = "/dev/null"         },
        {.urls = "nats://127.0.0.1:1", .nkey = "UA"                    },
        {.urls = "nats://127.0.0.1:1", .ca_file = "/nonexistent/ca.pem"},
        {.urls = "nats://127.0.0.1:1", .ca_file = "/dev/null"          },
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(halves); i++) {
        assert_int_equal(mrd_bus_open(&halves[i], &bus, &err), MRD_E_INVALID);
        assert_int_not_equal(mrd_bus_try(&halves[i], &err), MRD_OK);
    }
    assert_null(bus);
}

static void errors_name_servers_without_passwords(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    const struct mrd_bus_options options = {
        .urls = "nats://me:secret@127.0.0.1:1,127.0.0.1:2, s3cret@127.0.0.1:3"};
    struct mrd_bus_server server;
    assert_int_not_equal(mrd_bus_server_info(options.urls, 1000, &server, &err), MRD_OK);
    assert_null(strstr(err.text, "cret"));
    assert_int_not_equal(mrd_bus_try(&options, &err), MRD_OK);
    assert_non_null(strstr(err.text, "nats nats://127.0.0.1:1,127.0.0.1:2, 127.0.0.1:3: "));
    assert_null(strstr(err.text, "cret"));
}

static void a_try_says_whether_there_is_a_server(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    struct nats_fixture nats;
    nats_fixture_start(&nats);
    const struct mrd_bus_options options = {.urls = nats.url};
    assert_int_equal(mrd_bus_try(&options, &err), MRD_OK);
    nats_fixture_kill(&nats);
    assert_int_equal(mrd_bus_try(&options, &err), MRD_E_UNAVAILABLE);
    nats_fixture_stop(&nats);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_compare_by_their_numbers),
        cmocka_unit_test(the_server_tells_its_version),
        cmocka_unit_test(a_connection_comes_up_whenever_the_server_does),
        cmocka_unit_test(a_frozen_server_does_not_hold_a_publisher_for_ever),
        cmocka_unit_test(options_that_cannot_work_are_refused),
        cmocka_unit_test(errors_name_servers_without_passwords),
        cmocka_unit_test(a_try_says_whether_there_is_a_server),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mrd_bus_library_close();
    return failed;
}
