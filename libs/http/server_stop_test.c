/* The server stops while connections arrive, and whatever comes with them: that must not take the process along. */
#include "http/server.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/clock.h"
#include "http/raw_client.h"

static bool handlers_wait; /* all is the same, whoever calls the handlers */

static void answer_hello(void *context, struct mrd_http_request *request)
{
    (void)context;
    mrd_http_reply_text(request, 200, "hello");
}

static struct mrd_http_server *start(void)
{
    struct mrd_http_server *server = NULL;
    struct mrd_error err;
    const struct mrd_http_config config = {
        .listen = "127.0.0.1:0", .handlers_wait = handlers_wait, .threads = 2};
    assert_int_equal(mrd_http_server_create(&config, &server, &err), MRD_OK);
    const struct mrd_http_route route = {MRD_HTTP_GET, "/hello", 0, answer_hello, NULL};
    mrd_http_route_add(server, &route);
    assert_int_equal(mrd_http_server_start(server, &err), MRD_OK);
    return server;
}

static const char junk[] = "\x16\x03\x01 hello\r\n\r\n";
static const char hello[] = "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n";

/* ---- one connection ---- */

/* Not a sleep: it ends to the microsecond. */
static void spin_us(int64_t duration_us)
{
    const struct mrd_clock *clock = mrd_clock_system();
    const int64_t end_ns = mrd_clock_monotonic_ns(clock) + duration_us * 1000;
    while (mrd_clock_monotonic_ns(clock) < end_ns) {}
}

/* What can go wrong does so in some microseconds between its arrival and the end: each round tries others. */
static void what_is_no_http_may_come_at_any_moment_of_stopping(void **state)
{
    (void)state;
    enum { ROUNDS = 1000, MOMENTS_US = 200 };
    for (int round = 0; round < ROUNDS; round++) {
        struct mrd_http_server *server = start();
        mrd_auto(raw_close)
        struct raw_client client = raw_connect(mrd_http_server_port(server));
        raw_send(&client, junk);
        spin_us(round * 7 % MOMENTS_US);
        mrd_http_server_destroy(&server);
        assert_true(raw_is_closed(&client));
    }
}

/* ---- many ---- */

struct arrivals {
    unsigned port;
    _Atomic size_t count;
};

/* A request, one and what is none behind it, what is none, and a connection that says nothing. */
static void arrive(struct raw_client *client, size_t kind)
{
    bool answered = false;
    if (kind % 4 < 2 && raw_send(client, hello)) {
        mrd_auto(raw_answer_fini)
        struct raw_answer answer = raw_answer(client, true);
        answered = answer.status != 0;
        mrd_assert(!answered || answer.status == 200 || answer.status == 503);
    }
    if ((kind % 4 == 1 && answered) || kind % 4 == 2) {
        (void)raw_send(client, junk);
        mrd_assert(raw_is_closed(client));
    }
}

static void *arrive_main(void *context)
{
    struct arrivals *arrivals = context;
    for (;;) {
        mrd_auto(raw_close)
        struct raw_client client = raw_open();
        if (!raw_try_connect(&client, arrivals->port)) {
            return NULL; /* nobody listens any more */
        }
        arrive(&client, atomic_fetch_add(&arrivals->count, 1));
    }
}

static void connections_may_arrive_while_it_stops(void **state)
{
    (void)state;
    enum { CLIENTS = 8, ROUNDS = 60 };
    for (size_t round = 0; round < ROUNDS; round++) {
        struct mrd_http_server *server = start();
        struct arrivals arrivals = {.port = mrd_http_server_port(server)};
        pthread_t threads[CLIENTS];
        for (size_t i = 0; i < CLIENTS; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, arrive_main, &arrivals), 0);
        }
        while (atomic_load(&arrivals.count) < CLIENTS + round) {
            (void)sched_yield(); /* ctest's limit is the bound */
        }
        mrd_http_server_destroy(&server);
        for (size_t i = 0; i < CLIENTS; i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_http_may_come_at_any_moment_of_stopping),
        cmocka_unit_test(connections_may_arrive_while_it_stops),
    };
    const int failed = cmocka_run_group_tests_name("threads for all", tests, NULL, NULL);
    handlers_wait = true;
    return failed + cmocka_run_group_tests_name("a thread a connection", tests, NULL, NULL);
}
