/* Subscriptions that end while messages for them arrive, from a real nats-server. Run under ASan: the
 * fault that this guards against is a look at freed memory. */
#include "bus/subscription_internal.h"

#include "base/testing_rounds.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>

#include <cmocka.h>

#include "bus/nats_fixture.h"

#define SUBJECT "mrd.test.flood"

enum { ROUNDS = 400, MESSAGE_BYTES = 256 << 10, WAIT_MS = 10000 };

struct flood {
    struct mrd_bus *bus;
    pthread_t thread;
    _Atomic bool stop;
};

/* Large messages: nats.c copies each between finding its subscription and locking it. */
static void *flood_run(void *context)
{
    struct flood *flood = context;
    uint8_t *payload = calloc(1, MESSAGE_BYTES);
    while (!atomic_load(&flood->stop)) {
        (void)natsConnection_Publish(mrd_bus_nats(flood->bus), SUBJECT, payload, MESSAGE_BYTES);
    }
    free(payload);
    nats_ReleaseThreadMemory();
    return NULL;
}

static void flood_start(struct flood *flood, const struct nats_fixture *nats)
{
    *flood = (struct flood){.bus = nats_fixture_connect(nats)};
    assert_int_equal(pthread_create(&flood->thread, NULL, flood_run, flood), 0);
}

static void flood_end(struct flood *flood)
{
    atomic_store(&flood->stop, true);
    pthread_join(flood->thread, NULL);
    mrd_bus_close(&flood->bus);
}

static void an_inbox_may_end_while_messages_pour_in(void **state)
{
    (void)state;
    struct nats_fixture nats;
    nats_fixture_start(&nats);
    struct flood flood;
    flood_start(&flood, &nats);
    struct mrd_bus *bus = nats_fixture_connect(&nats);
    for (size_t i = 0; i < testing_rounds(ROUNDS); i++) {
        natsSubscription *inbox = NULL;
        assert_int_equal(natsConnection_SubscribeSync(&inbox, mrd_bus_nats(bus), SUBJECT), NATS_OK);
        natsMsg *msg = NULL;
        assert_int_equal(natsSubscription_NextMsg(&msg, inbox, WAIT_MS), NATS_OK);
        natsMsg_Destroy(msg);
        mrd_bus_retire(bus, &inbox);
        assert_null(inbox);
    }
    flood_end(&flood);
    mrd_bus_close(&bus);
    nats_fixture_stop(&nats);
}

static void on_message(natsConnection *nats, natsSubscription *subscription, natsMsg *msg,
                       void *closure)
{
    (void)nats;
    (void)subscription;
    atomic_fetch_add((_Atomic size_t *)closure, 1);
    natsMsg_Destroy(msg);
}

static void no_callback_runs_after_the_end_of_a_subscription(void **state)
{
    (void)state;
    struct nats_fixture nats;
    nats_fixture_start(&nats);
    struct flood flood;
    flood_start(&flood, &nats);
    struct mrd_bus *bus = nats_fixture_connect(&nats);
    for (size_t i = 0; i < testing_rounds(ROUNDS / 4); i++) {
        _Atomic size_t *count = calloc(1, sizeof(*count)); /* freed: a late callback would show */
        struct mrd_bus_subscription *subscription = NULL;
        assert_int_equal(mrd_bus_subscribe(bus, SUBJECT, on_message, count, &subscription, NULL),
                         MRD_OK);
        while (atomic_load(count) == 0) {
            usleep(100);
        }
        mrd_bus_unsubscribe(&subscription);
        free(count);
    }
    flood_end(&flood);
    mrd_bus_close(&bus);
    nats_fixture_stop(&nats);
}

static void a_subscription_ends_without_a_server_too(void **state)
{
    (void)state;
    struct nats_fixture nats;
    nats_fixture_start(&nats);
    struct mrd_bus *bus = nats_fixture_connect(&nats);
    _Atomic size_t count = 0;
    struct mrd_bus_subscription *subscription = NULL;
    natsSubscription *inbox = NULL;
    assert_int_equal(mrd_bus_subscribe(bus, SUBJECT, on_message, &count, &subscription, NULL),
                     MRD_OK);
    assert_int_equal(natsConnection_SubscribeSync(&inbox, mrd_bus_nats(bus), SUBJECT), NATS_OK);
    nats_fixture_freeze(&nats);
    mrd_bus_retire(bus, &inbox); /* no answer: the connection keeps it */
    assert_non_null(mrd_bus_retired(bus)->first);
    nats_fixture_thaw(&nats);
    assert_int_equal(mrd_bus_wait_connected(bus, WAIT_MS, NULL), MRD_OK);
    assert_int_equal(mrd_bus_flush(bus, WAIT_MS, NULL), MRD_OK);
    nats_fixture_kill(&nats);
    mrd_bus_unsubscribe(&subscription);
    mrd_bus_close(&bus); /* destroys what was kept; LeakSanitizer is the judge */
    nats_fixture_stop(&nats);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_inbox_may_end_while_messages_pour_in),
        cmocka_unit_test(no_callback_runs_after_the_end_of_a_subscription),
        cmocka_unit_test(a_subscription_ends_without_a_server_too),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mrd_bus_library_close();
    return failed;
}
