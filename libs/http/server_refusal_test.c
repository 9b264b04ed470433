/* What the server refuses or cuts off: malformed, oversized, slow and too many requests. */
#include "http/server.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "http/raw_client.h"

static bool handlers_wait; /* all is the same, whoever calls the handlers */

static void echo(void *context, struct mrd_http_request *request)
{
    (void)context;
    struct mrd_buf body;
    mrd_http_body_take(request, &body);
    mrd_http_reply(request, 200, &body);
}

static struct mrd_http_server *start(struct mrd_http_config config)
{
    struct mrd_http_server *server = NULL;
    struct mrd_error err;
    config.listen = "127.0.0.1:0";
    config.handlers_wait = handlers_wait;
    assert_int_equal(mrd_http_server_create(&config, &server, &err), MRD_OK);
    const struct mrd_http_route routes[] = {
        {MRD_HTTP_POST, "/echo", 1000,      echo, NULL},
        {MRD_HTTP_POST, "/big",  100 << 20, echo, NULL},
        {MRD_HTTP_GET,  "/get",  0,         echo, NULL},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(routes); i++) {
        mrd_http_route_add(server, &routes[i]);
    }
    assert_int_equal(mrd_http_server_start(server, &err), MRD_OK);
    return server;
}

static struct raw_client connect_to(const struct mrd_http_server *server)
{
    return raw_connect(mrd_http_server_port(server));
}

static void expect(struct raw_client *client, unsigned status)
{
    mrd_auto(raw_answer_fini)
    struct raw_answer answer = raw_answer(client, true);
    assert_int_equal(answer.status, status);
    assert_true(answer.complete);
}

/* ---- malformed ---- */

#define HOST "Host: h\r\n"
static const struct {
    const char *request;
    unsigned status;
    bool closes; /* where nobody can be sure where the request ends */
} malformed[] = {
    {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",  400, true },
    {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\na",   400, true },
    {"POST /echo HTTP/1.1\r\n" HOST
     "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",            400, true },
    {"POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, true },
    {"POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n",               501, true },
    {"POST /echo HTTP/1.1\r\n" HOST
     "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",   501, true },
    {"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",               501, true },
    {"POST /echo HTTP/1.1\r\n" HOST "Content-Length : 5\r\n\r\nhello",                   400, true },
    {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\nhello",                   400, true },
    {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5x\r\n\r\nhello",                   400, true },
    {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n",                        400, true },
    {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999999\r\n\r\n",   0,   true },
    {"GET /get HTTP/1.1\r\n\r\n",                                                        400, true },
    {"GET /get HTTP/1.1\r\n" HOST HOST "\r\n",                                           400, true },
    {"GET /absent HTTP/1.1\r\n" HOST "\r\n",                                             404, false},
    {"BREW /get HTTP/1.1\r\n" HOST "\r\n",                                               405, false},
    {"POST /get HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\na",                         405, false},
};

static void what_could_be_read_in_two_ways_is_refused(void **state)
{
    (void)state;
    struct mrd_http_server *server = start((struct mrd_http_config){0});
    for (size_t i = 0; i < MRD_ARRAY_LEN(malformed); i++) {
        mrd_auto(raw_close)
        struct raw_client client = connect_to(server);
        raw_send(&client, malformed[i].request);
        mrd_auto(raw_answer_fini)
        struct raw_answer answer = raw_answer(&client, true);
        const bool refused =
            malformed[i].status == 0 ? answer.status >= 400 : answer.status == malformed[i].status;
        if (!refused) {
            fail_msg("%s answered %u", malformed[i].request, answer.status);
        }
        if (malformed[i].closes) {
            assert_true(raw_is_closed(&client));
        } else {
            raw_send(&client, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nok");
            expect(&client, 200);
        }
    }
    mrd_http_server_destroy(&server);
}

static void a_405_says_what_is_allowed(void **state)
{
    (void)state;
    struct mrd_http_server *server = start((struct mrd_http_config){0});
    mrd_auto(raw_close)
    struct raw_client client = connect_to(server);
    raw_send(&client, "DELETE /get HTTP/1.1\r\n" HOST "\r\n");
    mrd_auto(raw_answer_fini)
    struct raw_answer answer = raw_answer(&client, true);
    char allow[64];
    assert_true(raw_header(&answer, "Allow", allow, sizeof(allow)));
    assert_string_equal(allow, "GET, HEAD");
    mrd_http_server_destroy(&server);
}

static void http_1_0_needs_no_host(void **state)
{
    (void)state;
    struct mrd_http_server *server = start((struct mrd_http_config){0});
    mrd_auto(raw_close)
    struct raw_client client = connect_to(server);
    raw_send(&client, "GET /get HTTP/1.0\r\n\r\n");
    expect(&client, 200);
    assert_true(raw_is_closed(&client));
    mrd_http_server_destroy(&server);
}

static void headers_of_more_than_64_kib_are_refused(void **state)
{
    (void)state;
    struct mrd_http_server *server = start((struct mrd_http_config){0});
    mrd_auto(raw_close)
    struct raw_client client = connect_to(server);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf request = {0};
    mrd_buf_append_text(&request, "GET /get HTTP/1.1\r\n" HOST);
    for (int i = 0; i < 1500; i++) {
        mrd_buf_printf(&request, "X-Header-%d: %050d\r\n", i, i);
    }
    mrd_buf_append_text(&request, "\r\n");
    (void)raw_send_bytes(&client, mrd_buf_view(&request));
    mrd_auto(raw_answer_fini)
    struct raw_answer answer = raw_answer(&client, true);
    assert_int_equal(answer.status, 431);
    mrd_http_server_destroy(&server);
}

/* ---- oversized ---- */

static void too_large_a_body_is_refused_before_it_is_sent(void **state)
{
    (void)state;
    struct mrd_http_server *server = start((struct mrd_http_config){0});
    mrd_auto(raw_close)
    struct raw_client client = connect_to(server);
    raw_send(&client,
             "POST /echo HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 1001\r\n\r\n");
    expect(&client, 413);
    mrd_auto(raw_close)
    struct raw_client fits = connect_to(server);
    raw_send(&fits,
             "POST /echo HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    expect(&fits, 100);
    raw_send(&fits, "ok");
    expect(&fits, 200);
    mrd_http_server_destroy(&server);
}

static void send_zeros(struct raw_client *client, size_t size)
{
    static const uint8_t zeros[1 << 16];
    for (size_t sent = 0; sent < size; sent += sizeof(zeros)) {
        const size_t next = MRD_MIN(sizeof(zeros), size - sent);
        if (!raw_send_bytes(client, (struct mrd_bytes){zeros, next})) {
            return;
        }
    }
}

static void a_client_that_sends_too_much_still_gets_its_413(void **state)
{
    (void)state;
    struct mrd_http_server *server = start((struct mrd_http_config){0});
    mrd_auto(raw_close)
    struct raw_client client = connect_to(server);
    raw_send(&client, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 8000000\r\n\r\n");
    send_zeros(&client, 8000000);
    mrd_auto(raw_answer_fini)
    struct raw_answer answer = raw_answer(&client, true);
    assert_int_equal(answer.status, 413);
    assert_non_null(memmem(answer.body.data, answer.body.size, "1000 bytes", 10));
    raw_send(&client, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nok");
    expect(&client, 200);
    mrd_http_server_destroy(&server);
}

static void the_limit_is_exact_for_declared_and_chunked_bodies(void **state)
{
    (void)state;
    struct mrd_http_server *server = start((struct mrd_http_config){0});
    mrd_auto(raw_close)
    struct raw_client client = connect_to(server);
    raw_send(&client, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\n");
    send_zeros(&client, 1000);
    expect(&client, 200);
    raw_send(&client, "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3e8\r\n");
    send_zeros(&client, 1000);
    raw_send(&client, "\r\n0\r\n\r\n");
    expect(&client, 200);
    raw_send(&client, "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3e8\r\n");
    send_zeros(&client, 1000);
    raw_send(&client, "\r\n1\r\nx\r\n0\r\n\r\n");
    expect(&client, 413);
    raw_send(&client, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 1001\r\n\r\n");
    send_zeros(&client, 1001);
    expect(&client, 413);
    mrd_http_server_destroy(&server);
}

static void a_body_without_end_is_cut_off(void **state)
{
    (void)state;
    struct mrd_http_server *server = start((struct mrd_http_config){0});
    mrd_auto(raw_close)
    struct raw_client client = connect_to(server);
    raw_send(&client, "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
    static char chunk[65536 + 16];
    const int start_size = snprintf(chunk, sizeof(chunk), "10000\r\n");
    memset(chunk + start_size, 'x', 65536);
    memcpy(chunk + start_size + 65536, "\r\n", 2);
    const struct mrd_bytes bytes = {(const uint8_t *)chunk, (size_t)start_size + 65538};
    size_t sent = 0;
    while (raw_send_bytes(&client, bytes)) {
        sent += 65536;
        assert_true(sent < (64 << 20)); /* the server's bound and what the sockets hold */
    }
    mrd_http_server_destroy(&server);
}

static bool metrics_say(struct mrd_metrics *metrics, const char *line)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text = {0};
    mrd_metrics_write(metrics, &text);
    return memmem(text.data, text.size, line, strlen(line)) != NULL;
}

static void bodies_together_have_a_bound(void **state)
{
    (void)state;
    mrd_auto(mrd_metrics_destroy)
    struct mrd_metrics *metrics = mrd_metrics_create();
    struct mrd_http_server *server =
        start((struct mrd_http_config){.bodies_size_max = 1 << 20, .metrics = metrics});
    mrd_auto(raw_close)
    struct raw_client first = connect_to(server);
    raw_send(&first, "POST /big HTTP/1.1\r\n" HOST "Content-Length: 1000000\r\n\r\n");
    send_zeros(&first, 999999);
    while (!metrics_say(metrics, "\nmeridian_http_bodies_bytes 999999\n")) {
        (void)usleep(1000); /* ctest's limit is the bound */
    }
    mrd_auto(raw_close)
    struct raw_client second = connect_to(server);
    raw_send(&second, "POST /big HTTP/1.1\r\n" HOST "Content-Length: 100000\r\n\r\n");
    send_zeros(&second, 100000);
    expect(&second, 503);
    raw_send(&first, "x");
    expect(&first, 200);
    raw_send(&second, "POST /big HTTP/1.1\r\n" HOST "Content-Length: 100000\r\n\r\n");
    send_zeros(&second, 100000);
    expect(&second, 200);
    mrd_http_server_destroy(&server);
    assert_false(metrics_say(metrics, "meridian_http_bodies_bytes"));
}

/* ---- slow ---- */

/* Sends `drip` again and again, a byte at a time, until the server has closed the connection: a
 * timeout that restarts with each byte would never end this (ctest's does). */
static void drip_until_closed(struct raw_client *client, const char *drip)
{
    struct pollfd closed = {.fd = client->fd, .events = POLLIN | POLLRDHUP};
    for (size_t i = 0; poll(&closed, 1, 10) == 0; i++) {
        (void)raw_send_bytes(client,
                             (struct mrd_bytes){(const uint8_t *)drip + i % strlen(drip), 1});
    }
    assert_true((closed.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0);
}

static const struct mrd_http_config impatient = {
    .head_ms_max = 200, .body_ms_max = 200, .idle_ms_max = 60000};

static void headers_that_drip_are_cut_off(void **state)
{
    (void)state;
    struct mrd_http_server *server = start(impatient);
    mrd_auto(raw_close)
    struct raw_client line = connect_to(server);
    drip_until_closed(&line, "GET /g");
    mrd_auto(raw_close)
    struct raw_client headers = connect_to(server);
    raw_send(&headers, "GET /get HTTP/1.1\r\n");
    drip_until_closed(&headers, "X: y\r\n");
    mrd_http_server_destroy(&server);
}

static void a_body_that_drips_is_cut_off(void **state)
{
    (void)state;
    struct mrd_http_server *server = start(impatient);
    mrd_auto(raw_close)
    struct raw_client client = connect_to(server);
    raw_send(&client, "POST /big HTTP/1.1\r\n" HOST "Content-Length: 1000000\r\n\r\n");
    drip_until_closed(&client, "x");
    mrd_http_server_destroy(&server);
}

static void a_second_request_that_drips_is_cut_off(void **state)
{
    (void)state;
    struct mrd_http_server *server = start(impatient);
    mrd_auto(raw_close)
    struct raw_client client = connect_to(server);
    raw_send(&client, "GET /get HTTP/1.1\r\n" HOST "\r\n");
    expect(&client, 200);
    (void)usleep(1200000); /* it must be seen idle first: two rounds of the sweeper */
    drip_until_closed(&client, "GET /g");
    mrd_http_server_destroy(&server);
}

static void silence_is_cut_off(void **state)
{
    (void)state;
    struct mrd_http_server *server =
        start((struct mrd_http_config){.idle_ms_max = 1000, .head_ms_max = 60000});
    mrd_auto(raw_close)
    struct raw_client client = connect_to(server);
    assert_true(raw_is_closed(&client));
    mrd_http_server_destroy(&server);
}

/* ---- too many ---- */

static void one_address_gets_so_many_connections(void **state)
{
    (void)state;
    struct mrd_http_server *server =
        start((struct mrd_http_config){.connections_per_ip_max = 2, .connections_max = 3});
    mrd_auto(raw_close)
    struct raw_client first = connect_to(server);
    mrd_auto(raw_close)
    struct raw_client second = connect_to(server);
    raw_send(&first, "GET /get HTTP/1.1\r\n" HOST "\r\n");
    raw_send(&second, "GET /get HTTP/1.1\r\n" HOST "\r\n");
    expect(&first, 200);
    expect(&second, 200);
    for (int i = 0; i < 10; i++) { /* which take nobody's place */
        mrd_auto(raw_close)
        struct raw_client third = connect_to(server);
        assert_true(raw_is_closed(&third));
    }
    raw_send(&first, "GET /get HTTP/1.1\r\n" HOST "\r\n");
    expect(&first, 200);
    mrd_http_server_destroy(&server);
}

static void beyond_the_limit_connections_wait_their_turn(void **state)
{
    (void)state;
    mrd_auto(mrd_metrics_destroy)
    struct mrd_metrics *metrics = mrd_metrics_create();
    struct mrd_http_server *server =
        start((struct mrd_http_config){.connections_max = 2, .threads = 2, .metrics = metrics});
    mrd_auto(raw_close)
    struct raw_client first = connect_to(server);
    mrd_auto(raw_close)
    struct raw_client second = connect_to(server);
    mrd_auto(raw_close)
    struct raw_client third = connect_to(server);
    raw_send(&third, "GET /get HTTP/1.1\r\n" HOST "\r\n");
    for (int i = 0; i < 10; i++) {
        raw_send(&first, "GET /get HTTP/1.1\r\n" HOST "\r\n");
        raw_send(&second, "GET /get HTTP/1.1\r\n" HOST "\r\n");
        expect(&first, 200);
        expect(&second, 200);
    }
    assert_true(metrics_say(metrics, "\nmeridian_http_connections_total 2\n"));
    raw_close(&first);
    expect(&third, 200);
    mrd_http_server_destroy(&server);
}

static void whoever_waits_when_it_stops_is_turned_away(void **state)
{
    (void)state;
    struct mrd_http_server *server = start((struct mrd_http_config){.connections_max = 1});
    mrd_auto(raw_close)
    struct raw_client first = connect_to(server);
    mrd_auto(raw_close)
    struct raw_client second = connect_to(server);
    raw_send(&first, "GET /get HTTP/1.1\r\n" HOST "\r\n");
    raw_send(&second, "GET /get HTTP/1.1\r\n" HOST "\r\n");
    expect(&first, 200);
    mrd_http_server_destroy(&server);
    assert_true(raw_is_closed(&first));
    assert_true(raw_is_closed(&second));
}

/* The process may open no descriptor more, from here on. */
static struct rlimit descriptors_use_up(void)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(lowest >= 0);
    close(lowest);
    const struct rlimit none = {.rlim_cur = (rlim_t)lowest, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    return limit;
}

static void without_descriptors_connections_wait(void **state)
{
    (void)state;
    mrd_auto(mrd_metrics_destroy)
    struct mrd_metrics *metrics = mrd_metrics_create();
    struct mrd_http_server *server = start((struct mrd_http_config){.metrics = metrics});
    mrd_auto(raw_close)
    struct raw_client client = raw_open();
    const struct rlimit limit = descriptors_use_up();
    assert_true(raw_try_connect(&client, mrd_http_server_port(server)));
    raw_send(&client, "GET /get HTTP/1.1\r\n" HOST "\r\n");
    while (metrics_say(metrics, "\nmeridian_http_accept_failures_total 0\n")) {
        (void)usleep(1000); /* ctest's limit is the bound */
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    expect(&client, 200);
    mrd_http_server_destroy(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_could_be_read_in_two_ways_is_refused),
        cmocka_unit_test(a_405_says_what_is_allowed),
        cmocka_unit_test(http_1_0_needs_no_host),
        cmocka_unit_test(headers_of_more_than_64_kib_are_refused),
        cmocka_unit_test(too_large_a_body_is_refused_before_it_is_sent),
        cmocka_unit_test(a_client_that_sends_too_much_still_gets_its_413),
        cmocka_unit_test(the_limit_is_exact_for_declared_and_chunked_bodies),
        cmocka_unit_test(a_body_without_end_is_cut_off),
        cmocka_unit_test(bodies_together_have_a_bound),
        cmocka_unit_test(headers_that_drip_are_cut_off),
        cmocka_unit_test(a_body_that_drips_is_cut_off),
        cmocka_unit_test(a_second_request_that_drips_is_cut_off),
        cmocka_unit_test(silence_is_cut_off),
        cmocka_unit_test(one_address_gets_so_many_connections),
        cmocka_unit_test(beyond_the_limit_connections_wait_their_turn),
        cmocka_unit_test(whoever_waits_when_it_stops_is_turned_away),
        cmocka_unit_test(without_descriptors_connections_wait),
    };
    const int failed = cmocka_run_group_tests_name("threads for all", tests, NULL, NULL);
    handlers_wait = true;
    return failed + cmocka_run_group_tests_name("a thread a connection", tests, NULL, NULL);
}
