/* The server over real sockets: what it answers, in which order, from which threads. */
#include "http/server.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/shard.h"
#include "http/raw_client.h"

static bool handlers_wait; /* all is the same, whoever calls the handlers */

struct fixture {
    struct mrd_http_server *server;
    struct mrd_shard *worker;
    struct mrd_metrics *metrics;
    unsigned port;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct mrd_http_request *held; /* by /hold */
    size_t held_count;
    size_t released; /* streams */
};

/* ---- handlers ---- */

static void echo(void *context, struct mrd_http_request *request)
{
    (void)context;
    struct mrd_buf body;
    mrd_http_body_take(request, &body);
    mrd_http_reply(request, 200, &body);
}

static void nothing(void *context, struct mrd_http_request *request)
{
    (void)context;
    mrd_http_reply(request, 204, NULL);
}

/* Says what it was asked, one thing a line. */
static void describe(void *context, struct mrd_http_request *request)
{
    (void)context;
    struct mrd_buf text = {0};
    mrd_buf_printf(&text, "path=%.*s param=%.*s\n", MRD_FMT(mrd_http_path(request)),
                   MRD_FMT(mrd_http_path_param(request)));
    const struct mrd_bytes tenant = mrd_http_header(request, "x-scope-orgid");
    mrd_buf_printf(&text, "tenant=%.*s from=%s\n", MRD_FMT(tenant), mrd_http_remote(request));
    struct mrd_http_params params;
    struct mrd_error err;
    if (mrd_http_params_parse(request, &params, &err) != MRD_OK) {
        mrd_buf_fini(&text);
        mrd_http_reply_text(request, mrd_http_status_of(err.status), "%s", err.text);
        return;
    }
    for (size_t i = 0; i < params.count; i++) {
        mrd_buf_printf(&text, "%.*s=%.*s\n", MRD_FMT(params.items[i].name),
                       MRD_FMT(params.items[i].value));
    }
    mrd_http_header_set(request, "X-Seen", "yes\r\nInjected: no");
    mrd_http_reply(request, 200, &text);
}

struct later {
    struct mrd_shard_message message;
    struct mrd_http_request *request;
};

static void later_run(struct mrd_shard *shard, struct mrd_shard_message *message)
{
    (void)shard;
    struct later *later = MRD_CONTAINER_OF(message, struct later, message);
    struct mrd_buf body;
    mrd_http_body_take(later->request, &body);
    mrd_http_reply(later->request, 200, &body);
    free(later);
}

static void later(void *context, struct mrd_http_request *request)
{
    struct fixture *fixture = context;
    struct later *later = calloc(1, sizeof(*later));
    later->message.run = later_run;
    later->request = request;
    mrd_assert(mrd_shard_post(fixture->worker, &later->message));
}

static void hold(void *context, struct mrd_http_request *request)
{
    struct fixture *fixture = context;
    pthread_mutex_lock(&fixture->lock);
    fixture->held = request;
    fixture->held_count++;
    pthread_cond_broadcast(&fixture->changed);
    pthread_mutex_unlock(&fixture->lock);
}

static struct mrd_http_request *wait_held(struct fixture *fixture, size_t count)
{
    pthread_mutex_lock(&fixture->lock);
    while (fixture->held_count < count) {
        pthread_cond_wait(&fixture->changed, &fixture->lock);
    }
    struct mrd_http_request *request = fixture->held;
    pthread_mutex_unlock(&fixture->lock);
    return request;
}

struct counting {
    struct fixture *fixture;
    size_t next;
    size_t end;
    size_t broken_at; /* SIZE_MAX: never */
};

/* Lines "0\n", "1\n", ... */
static ssize_t counting_pull(void *context, uint8_t *out, size_t size_max)
{
    struct counting *counting = context;
    size_t size = 0;
    while (counting->next < counting->end && size_max - size > 32) {
        if (counting->next == counting->broken_at) {
            return size > 0 ? (ssize_t)size : -1;
        }
        size += (size_t)snprintf((char *)out + size, size_max - size, "%zu\n", counting->next++);
    }
    return (ssize_t)size;
}

static void counting_release(void *context)
{
    struct counting *counting = context;
    pthread_mutex_lock(&counting->fixture->lock);
    counting->fixture->released++;
    pthread_cond_broadcast(&counting->fixture->changed);
    pthread_mutex_unlock(&counting->fixture->lock);
    free(counting);
}

static void stream(void *context, struct mrd_http_request *request)
{
    struct counting *counting = calloc(1, sizeof(*counting));
    counting->fixture = context;
    counting->end = 200000;
    counting->broken_at = mrd_http_method_of(request) == MRD_HTTP_POST ? 100000 : SIZE_MAX;
    const struct mrd_http_stream reply = {counting_pull, counting_release, counting};
    mrd_http_reply_stream(request, 200, &reply);
}

/* ---- fixture ---- */

static void start(struct fixture *fixture, struct mrd_http_config config)
{
    struct mrd_error err;
    *fixture = (struct fixture){.metrics = mrd_metrics_create()};
    pthread_mutex_init(&fixture->lock, NULL);
    pthread_cond_init(&fixture->changed, NULL);
    const struct mrd_shard_config shard = {.name = "worker"};
    assert_int_equal(mrd_shard_create(&shard, &fixture->worker, &err), MRD_OK);
    config.listen = "127.0.0.1:0";
    config.handlers_wait = handlers_wait;
    config.metrics = fixture->metrics;
    assert_int_equal(mrd_http_server_create(&config, &fixture->server, &err), MRD_OK);
    const struct mrd_http_route routes[] = {
        {MRD_HTTP_POST,                "/echo",                1 << 20, echo,     fixture},
        {MRD_HTTP_GET | MRD_HTTP_POST, "/nothing",             0,       nothing,  fixture},
        {MRD_HTTP_POST,                "/later",               0,       later,    fixture},
        {MRD_HTTP_GET | MRD_HTTP_POST, "/hold",                0,       hold,     fixture},
        {MRD_HTTP_GET | MRD_HTTP_POST, "/stream",              0,       stream,   fixture},
        {MRD_HTTP_GET | MRD_HTTP_POST, "/describe",            0,       describe, fixture},
        {MRD_HTTP_GET,                 "/label/{name}/values", 0,       describe, fixture},
        {MRD_HTTP_GET,                 "/files/*",             0,       describe, fixture},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(routes); i++) {
        mrd_http_route_add(fixture->server, &routes[i]);
    }
    assert_int_equal(mrd_http_server_start(fixture->server, &err), MRD_OK);
    fixture->port = mrd_http_server_port(fixture->server);
}

static void finish(struct fixture *fixture)
{
    mrd_http_server_destroy(&fixture->server);
    mrd_shard_destroy(&fixture->worker);
    mrd_metrics_destroy(&fixture->metrics);
    pthread_mutex_destroy(&fixture->lock);
    pthread_cond_destroy(&fixture->changed);
}

static void expect(struct raw_client *client, unsigned status, const char *body)
{
    mrd_auto(raw_answer_fini)
    struct raw_answer answer = raw_answer(client, true);
    assert_int_equal(answer.status, status);
    assert_true(answer.complete);
    if (body != NULL) {
        assert_int_equal(answer.body.size, strlen(body));
        assert_memory_equal(answer.body.data, body, answer.body.size);
    }
}

#define POST(path, size, body)                                                                     \
    "POST " path " HTTP/1.1\r\nHost: h\r\nContent-Length: " size "\r\n\r\n" body
#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"

/* ---- tests ---- */

static void a_connection_serves_one_request_after_another(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, (struct mrd_http_config){0});
    mrd_auto(raw_close)
    struct raw_client client = raw_connect(fixture.port);
    for (int i = 0; i < 50; i++) {
        raw_send(&client, POST("/echo", "5", "hello"));
        expect(&client, 200, "hello");
        raw_send(&client, POST("/later", "5", "later"));
        expect(&client, 200, "later");
        raw_send(&client, GET("/nothing"));
        expect(&client, 204, "");
    }
    finish(&fixture);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, (struct mrd_http_config){0});
    mrd_auto(raw_close)
    struct raw_client client = raw_connect(fixture.port);
    raw_send(&client, POST("/later", "1", "1") POST("/echo", "1", "2") POST("/later", "1", "3")
                          GET("/absent") POST("/echo", "1", "4"));
    expect(&client, 200, "1");
    expect(&client, 200, "2");
    expect(&client, 200, "3");
    expect(&client, 404, NULL);
    expect(&client, 200, "4");
    finish(&fixture);
}

static void a_chunked_body_arrives_whole(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, (struct mrd_http_config){0});
    mrd_auto(raw_close)
    struct raw_client client = raw_connect(fixture.port);
    raw_send(&client, "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                      "5\r\nhello\r\n1\r\n \r\n");
    raw_send(&client, "5\r\nworld\r\n0\r\n\r\n");
    expect(&client, 200, "hello world");
    raw_send(&client, POST("/echo", "2", "ok"));
    expect(&client, 200, "ok");
    finish(&fixture);
}

static void a_large_body_comes_back_bit_by_bit_the_same(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, (struct mrd_http_config){0});
    mrd_auto(raw_close)
    struct raw_client client = raw_connect(fixture.port);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf body = {0};
    for (uint32_t i = 0; i < (1 << 20) / 4; i++) {
        mrd_buf_append_u32(&body, i * 2654435761U);
    }
    raw_send(&client, "POST /later HTTP/1.1\r\nHost: h\r\nContent-Length: 1048576\r\n\r\n");
    assert_true(raw_send_bytes(&client, mrd_buf_view(&body)));
    mrd_auto(raw_answer_fini)
    struct raw_answer answer = raw_answer(&client, true);
    assert_int_equal(answer.status, 200);
    assert_true(mrd_bytes_equal(mrd_buf_view(&answer.body), mrd_buf_view(&body)));
    finish(&fixture);
}

static void handlers_see_path_headers_and_parameters(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, (struct mrd_http_config){0});
    mrd_auto(raw_close)
    struct raw_client client = raw_connect(fixture.port);
    raw_send(&client, "POST /describe?a=2&match%5B%5D=%7Bb%3D%22c+d%22%7D HTTP/1.1\r\nHost: h\r\n"
                      "X-Scope-OrgID: farm\r\nContent-Length: 17\r\n"
                      "Content-Type: application/x-www-form-urlencoded\r\n\r\na=1&match%5B%5D=x");
    expect(&client, 200,
           "path=/describe param=\ntenant=farm from=127.0.0.1\n"
           "a=1\nmatch[]=x\na=2\nmatch[]={b=\"c d\"}\n");
    finish(&fixture);
}

static void a_path_parameter_is_one_decoded_segment(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, (struct mrd_http_config){0});
    mrd_auto(raw_close)
    struct raw_client client = raw_connect(fixture.port);
    raw_send(&client, GET("/label/a%2Fb%20c/values?x=%26"));
    expect(&client, 200, "path=/label/a%2Fb%20c/values param=a/b c\ntenant= from=127.0.0.1\nx=&\n");
    raw_send(&client, GET("/files/deep/er.txt"));
    expect(&client, 200, "path=/files/deep/er.txt param=deep/er.txt\ntenant= from=127.0.0.1\n");
    raw_send(&client, GET("/label//values") GET("/label/a/b/values") GET("/label/%zz/values"));
    expect(&client, 404, NULL);
    expect(&client, 404, NULL);
    expect(&client, 400, NULL);
    raw_send(&client, GET("/describe?a=%2") GET("/describe?a=1;b=2") GET("/describe?&&a&=&"));
    expect(&client, 400, "invalid URL escape \"%2\"");
    expect(&client, 400, "invalid semicolon separator in query");
    expect(&client, 200, "path=/describe param=\ntenant= from=127.0.0.1\na=\n=\n");
    finish(&fixture);
}

static void a_header_value_cannot_inject_lines(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, (struct mrd_http_config){0});
    mrd_auto(raw_close)
    struct raw_client client = raw_connect(fixture.port);
    raw_send(&client, GET("/describe"));
    mrd_auto(raw_answer_fini)
    struct raw_answer answer = raw_answer(&client, true);
    char value[64];
    assert_true(raw_header(&answer, "X-Seen", value, sizeof(value)));
    assert_string_equal(value, "yes  Injected: no");
    assert_true(raw_header(&answer, "Content-Type", value, sizeof(value)));
    assert_string_equal(value, "text/plain; charset=utf-8");
    finish(&fixture);
}

static void head_is_answered_as_get_without_a_body(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, (struct mrd_http_config){0});
    mrd_auto(raw_close)
    struct raw_client client = raw_connect(fixture.port);
    raw_send(&client, "HEAD /describe HTTP/1.1\r\nHost: h\r\n\r\n" GET("/nothing"));
    mrd_auto(raw_answer_fini)
    struct raw_answer answer = raw_answer(&client, false);
    assert_int_equal(answer.status, 200);
    expect(&client, 204, "");
    finish(&fixture);
}

static void a_stream_is_sent_piece_by_piece(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, (struct mrd_http_config){0});
    mrd_auto(raw_close)
    struct raw_client client = raw_connect(fixture.port);
    raw_send(&client, GET("/stream"));
    mrd_auto(raw_answer_fini)
    struct raw_answer answer = raw_answer(&client, true);
    assert_true(answer.complete);
    size_t lines = 0;
    for (size_t i = 0; i < answer.body.size; i++) {
        lines += answer.body.data[i] == '\n';
    }
    assert_int_equal(lines, 200000);
    assert_memory_equal(answer.body.data + answer.body.size - 7, "199999\n", 7);
    raw_send(&client, GET("/nothing"));
    expect(&client, 204, "");
    finish(&fixture);
    assert_int_equal(fixture.released, 1);
}

static void a_stream_that_fails_does_not_look_complete(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, (struct mrd_http_config){0});
    mrd_auto(raw_close)
    struct raw_client client = raw_connect(fixture.port);
    raw_send(&client, POST("/stream", "0", ""));
    mrd_auto(raw_answer_fini)
    struct raw_answer answer = raw_answer(&client, true);
    assert_int_equal(answer.status, 200);
    assert_false(answer.complete);
    assert_true(raw_is_closed(&client));
    finish(&fixture);
    assert_int_equal(fixture.released, 1);
}

/* ---- many at once ---- */

enum { CROWD_THREADS = 8, CROWD_REQUESTS = 100 };

static void *crowd_main(void *context)
{
    const struct fixture *fixture = context;
    mrd_auto(raw_close)
    struct raw_client client = raw_connect(fixture->port);
    for (int i = 0; i < CROWD_REQUESTS; i++) {
        char request[200];
        char body[32];
        const int size = snprintf(body, sizeof(body), "%p-%d", (void *)&client, i);
        (void)snprintf(request, sizeof(request),
                       "POST /%s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s",
                       i % 3 == 0 ? "echo" : "later", size, body);
        raw_send(&client, request);
        mrd_auto(raw_answer_fini)
        struct raw_answer answer = raw_answer(&client, true);
        mrd_assert(answer.status == 200);
        mrd_assert(mrd_bytes_equal(mrd_buf_view(&answer.body), mrd_bytes_of(body)));
    }
    return NULL;
}

static void everyone_gets_their_own_answer(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, (struct mrd_http_config){.threads = 2});
    pthread_t threads[CROWD_THREADS];
    for (int i = 0; i < CROWD_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, crowd_main, &fixture), 0);
    }
    for (int i = 0; i < CROWD_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    finish(&fixture);
}

static void a_thousand_idle_connections_are_in_nobodys_way(void **state)
{
    (void)state;
    enum { IDLE = 1000 };
    struct fixture fixture;
    start(&fixture, (struct mrd_http_config){0});
    static struct raw_client idle[IDLE];
    for (size_t i = 0; i < IDLE; i++) {
        idle[i] = raw_connect(fixture.port);
        if (i % 2 == 0) { /* half of them in the middle of a request */
            raw_send(&idle[i], "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345");
        }
    }
    (void)crowd_main(&fixture);
    for (size_t i = 0; i < IDLE; i++) {
        if (i % 2 == 0) {
            raw_send(&idle[i], "67890");
            expect(&idle[i], 200, "1234567890");
        }
        raw_close(&idle[i]);
    }
    finish(&fixture);
}

/* ---- deadlines, clients that go, stopping ---- */

static void a_handler_that_is_late_does_not_keep_the_client_waiting(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, (struct mrd_http_config){.deadline_ms = 50});
    mrd_auto(raw_close)
    struct raw_client client = raw_connect(fixture.port);
    raw_send(&client, GET("/hold"));
    struct mrd_http_request *request = wait_held(&fixture, 1);
    expect(&client, 503, "no answer in time; try again\n");
    assert_true(mrd_http_canceled(request));
    assert_true(mrd_bytes_equal(mrd_http_header(request, "Host"), MRD_BYTES("h")));
    mrd_http_reply_text(request, 200, "too late");
    finish(&fixture);
}

static void a_handler_learns_that_its_client_has_gone(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, (struct mrd_http_config){0});
    struct raw_client client = raw_connect(fixture.port);
    raw_send(&client, GET("/hold"));
    struct mrd_http_request *request = wait_held(&fixture, 1);
    assert_false(mrd_http_canceled(request));
    raw_close(&client);
    while (!mrd_http_canceled(request)) { /* ctest's limit is the bound */
        (void)usleep(1000);
    }
    mrd_http_reply_text(request, 200, "to nobody");
    mrd_auto(raw_close)
    struct raw_client next = raw_connect(fixture.port);
    raw_send(&next, GET("/nothing"));
    expect(&next, 204, "");
    finish(&fixture);
}

struct stopping {
    struct fixture *fixture;
    mrd_time_ms grace_ms;
};

static void *stop_main(void *context)
{
    const struct stopping *stopping = context;
    mrd_http_server_stop(stopping->fixture->server, stopping->grace_ms);
    return NULL;
}

static void stopping_waits_for_answers(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, (struct mrd_http_config){0});
    mrd_auto(raw_close)
    struct raw_client client = raw_connect(fixture.port);
    raw_send(&client, GET("/hold"));
    struct mrd_http_request *request = wait_held(&fixture, 1);
    struct stopping stopping = {&fixture, RAW_TIMEOUT_MS};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stop_main, &stopping), 0);
    mrd_http_reply_text(request, 200, "done");
    expect(&client, 200, "done");
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(raw_is_closed(&client));
    finish(&fixture);
}

static void stopping_without_grace_answers_what_waits_with_503(void **state)
{
    (void)state;
    enum { HELD = 20 };
    struct fixture fixture;
    start(&fixture, (struct mrd_http_config){0});
    struct raw_client clients[HELD];
    struct mrd_http_request *requests[HELD];
    for (size_t i = 0; i < HELD; i++) {
        clients[i] = raw_connect(fixture.port);
        raw_send(&clients[i], GET("/hold"));
        requests[i] = wait_held(&fixture, i + 1);
    }
    mrd_http_server_stop(fixture.server, 0);
    for (size_t i = 0; i < HELD; i++) {
        expect(&clients[i], 503, NULL);
        assert_true(raw_is_closed(&clients[i]));
        raw_close(&clients[i]);
        assert_true(mrd_http_canceled(requests[i]));
        mrd_http_reply_text(requests[i], 200, "too late"); /* after the daemon is gone */
    }
    finish(&fixture);
}

static void *knock_main(void *context)
{
    const struct fixture *fixture = context;
    for (;;) {
        struct raw_client client = raw_open();
        bool served = raw_try_connect(&client, fixture->port);
        const bool refused = !served;
        for (int i = 0; served && i < 10; i++) {
            mrd_auto(raw_answer_fini)
            struct raw_answer answer = {0};
            served = raw_send(&client, POST("/later", "3", "abc"));
            if (served) {
                answer = raw_answer(&client, true);
                served = answer.status == 200;
            }
        }
        raw_close(&client);
        if (refused) {
            return NULL; /* nobody listens any more */
        }
    }
}

static void stopping_under_load_leaves_nothing_behind(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, (struct mrd_http_config){0});
    pthread_t threads[CROWD_THREADS];
    for (int i = 0; i < CROWD_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, knock_main, &fixture), 0);
    }
    mrd_auto(raw_close)
    struct raw_client client = raw_connect(fixture.port);
    for (int i = 0; i < 100; i++) {
        raw_send(&client, POST("/later", "3", "abc"));
        expect(&client, 200, "abc");
    }
    mrd_http_server_stop(fixture.server, 1000);
    for (int i = 0; i < CROWD_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    finish(&fixture);
}

static void requests_are_counted_by_route_and_status(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, (struct mrd_http_config){0});
    mrd_auto(raw_close)
    struct raw_client client = raw_connect(fixture.port);
    raw_send(&client, POST("/echo", "2", "ab") GET("/echo") GET("/absent"));
    expect(&client, 200, "ab");
    expect(&client, 405, NULL);
    expect(&client, 404, NULL);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text = {0};
    mrd_metrics_write(fixture.metrics, &text);
    mrd_buf_append_u8(&text, 0);
    static const char *const wanted[] = {
        "meridian_http_requests_total{route=\"/echo\",code=\"200\"} 1\n",
        "meridian_http_requests_refused_total{reason=\"method\"} 1\n",
        "meridian_http_requests_refused_total{reason=\"path\"} 1\n",
        "meridian_http_request_body_bytes_total 2\n",
        "meridian_http_request_seconds_count{route=\"/echo\"} 1\n",
        "meridian_http_connections 1\n",
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(wanted); i++) {
        if (strstr((const char *)text.data, wanted[i]) == NULL) {
            fail_msg("no %s in\n%s", wanted[i], (const char *)text.data);
        }
    }
    finish(&fixture);
}

static void bad_listen_addresses_are_refused_with_advice(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "7201", "host", "host:", "::1:80", "a:99999", "a:b"};
    for (size_t i = 0; i < MRD_ARRAY_LEN(bad); i++) {
        struct mrd_http_server *server = NULL;
        struct mrd_error err;
        const struct mrd_http_config config = {.listen = bad[i]};
        assert_int_equal(mrd_http_server_create(&config, &server, &err), MRD_E_INVALID);
        assert_non_null(strstr(err.text, "such as"));
        assert_null(server);
    }
    struct mrd_http_server *servers[2] = {NULL, NULL};
    struct mrd_error err;
    struct mrd_http_config config = {.listen = ":0"};
    assert_int_equal(mrd_http_server_create(&config, &servers[0], &err), MRD_OK);
    assert_int_equal(mrd_http_server_start(servers[0], &err), MRD_OK);
    char taken[32];
    (void)snprintf(taken, sizeof(taken), ":%u", mrd_http_server_port(servers[0]));
    config.listen = taken;
    assert_int_equal(mrd_http_server_create(&config, &servers[1], &err), MRD_OK);
    assert_int_equal(mrd_http_server_start(servers[1], &err), MRD_E_UNAVAILABLE);
    assert_non_null(strstr(err.text, "Address already in use"));
    mrd_http_server_destroy(&servers[0]);
    mrd_http_server_destroy(&servers[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_serves_one_request_after_another),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(a_chunked_body_arrives_whole),
        cmocka_unit_test(a_large_body_comes_back_bit_by_bit_the_same),
        cmocka_unit_test(handlers_see_path_headers_and_parameters),
        cmocka_unit_test(a_path_parameter_is_one_decoded_segment),
        cmocka_unit_test(a_header_value_cannot_inject_lines),
        cmocka_unit_test(head_is_answered_as_get_without_a_body),
        cmocka_unit_test(a_stream_is_sent_piece_by_piece),
        cmocka_unit_test(a_stream_that_fails_does_not_look_complete),
        cmocka_unit_test(everyone_gets_their_own_answer),
        cmocka_unit_test(a_thousand_idle_connections_are_in_nobodys_way),
        cmocka_unit_test(a_handler_that_is_late_does_not_keep_the_client_waiting),
        cmocka_unit_test(a_handler_learns_that_its_client_has_gone),
        cmocka_unit_test(stopping_waits_for_answers),
        cmocka_unit_test(stopping_without_grace_answers_what_waits_with_503),
        cmocka_unit_test(stopping_under_load_leaves_nothing_behind),
        cmocka_unit_test(requests_are_counted_by_route_and_status),
        cmocka_unit_test(bad_listen_addresses_are_refused_with_advice),
    };
    const int failed = cmocka_run_group_tests_name("threads for all", tests, NULL, NULL);
    handlers_wait = true;
    return failed + cmocka_run_group_tests_name("a thread a connection", tests, NULL, NULL);
}
