/* Written replies over real sockets: a thread of the test's own, or a handler that may wait, writes while a client
 * reads, or not. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "http/raw_client.h"
#include "http/server.h"

enum { PIECE_SIZE = 10007, QUEUE_SIZE = 64 << 10 };

static bool handlers_wait; /* then it is the handler that writes */

/* One reply that is written: by whom, how much, and what came of it. */
struct writing {
    size_t pieces;
    bool whole;
    bool pause; /* between begin and the first piece, so that the connection waits for bytes */
    pthread_t thread;
    _Atomic bool started;
    struct mrd_http_request *request;
    enum mrd_status status; /* after the thread has been joined */
    size_t written;
};

struct fixture {
    struct mrd_metrics *metrics;
    struct mrd_http_server *server;
    struct writing writing;
};

static uint8_t byte_at(size_t at) { return (uint8_t)(at * 2654435761U >> 13); }

static void *write_main(void *context)
{
    struct writing *writing = context;
    struct mrd_http_writer *writer = mrd_http_reply_begin(writing->request, 200, QUEUE_SIZE);
    if (writing->pause) {
        usleep(20000);
    }
    uint8_t piece[PIECE_SIZE];
    for (size_t i = 0; i < writing->pieces && writing->status == MRD_OK; i++) {
        for (size_t k = 0; k < PIECE_SIZE; k++) {
            piece[k] = byte_at(i * PIECE_SIZE + k);
        }
        struct mrd_error err;
        writing->status =
            mrd_http_writer_write(writer, (struct mrd_bytes){piece, PIECE_SIZE}, &err);
        writing->written += writing->status == MRD_OK ? PIECE_SIZE : 0;
    }
    mrd_http_writer_end(&writer, writing->whole && writing->status == MRD_OK);
    assert_null(writer);
    return NULL;
}

static void written(void *context, struct mrd_http_request *request)
{
    struct fixture *fixture = context;
    fixture->writing.request = request;
    if (handlers_wait) {
        (void)write_main(&fixture->writing);
        fixture->writing.started = true; /* and ended */
        return;
    }
    mrd_assert(pthread_create(&fixture->writing.thread, NULL, write_main, &fixture->writing) == 0);
    fixture->writing.started = true;
}

static void join(struct fixture *fixture)
{
    while (!fixture->writing.started) { /* the server thread is about to say so */
        usleep(1000);
    }
    if (!handlers_wait) {
        pthread_join(fixture->writing.thread, NULL);
    }
    fixture->writing.started = false;
}

static void start(struct fixture *fixture, mrd_time_ms stall_ms_max, struct writing writing)
{
    struct mrd_error err;
    *fixture = (struct fixture){.metrics = mrd_metrics_create(), .writing = writing};
    const struct mrd_http_config config = {
        .listen = "127.0.0.1:0",
        .handlers_wait = handlers_wait,
        .metrics = fixture->metrics,
        .stall_ms_max = stall_ms_max,
    };
    assert_int_equal(mrd_http_server_create(&config, &fixture->server, &err), MRD_OK);
    mrd_http_route_add(fixture->server, &(struct mrd_http_route){.methods = MRD_HTTP_GET,
                                                                 .path = "/written",
                                                                 .handler = written,
                                                                 .context = fixture});
    assert_int_equal(mrd_http_server_start(fixture->server, &err), MRD_OK);
}

static void finish(struct fixture *fixture)
{
    mrd_http_server_destroy(&fixture->server);
    if (fixture->writing.started) {
        join(fixture);
    }
    mrd_metrics_destroy(&fixture->metrics);
}

static struct raw_client ask(struct fixture *fixture)
{
    struct raw_client client = raw_connect(mrd_http_server_port(fixture->server));
    assert_true(raw_send(&client, "GET /written HTTP/1.1\r\nHost: h\r\n\r\n"));
    return client;
}

static void a_written_reply_arrives_whole_and_in_order(void **state)
{
    (void)state;
    for (int pause = 0; pause < 2; pause++) {
        struct fixture fixture;
        start(&fixture, 0, (struct writing){.pieces = 300, .whole = true, .pause = pause != 0});
        mrd_auto(raw_close)
        struct raw_client client = ask(&fixture);
        for (int again = 0; again < 3; again++) { /* the connection goes on afterwards */
            mrd_auto(raw_answer_fini)
            struct raw_answer answer = raw_answer(&client, true);
            assert_int_equal(answer.status, 200);
            assert_true(answer.complete);
            assert_int_equal(answer.body.size, (size_t)300 * PIECE_SIZE);
            for (size_t i = 0; i < answer.body.size; i++) {
                mrd_assert(answer.body.data[i] == byte_at(i));
            }
            join(&fixture);
            assert_int_equal(fixture.writing.status, MRD_OK);
            if (again < 2) {
                assert_true(raw_send(&client, "GET /written HTTP/1.1\r\nHost: h\r\n\r\n"));
            }
        }
        finish(&fixture);
    }
}

static void an_empty_written_reply_is_complete(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, 0, (struct writing){.whole = true});
    mrd_auto(raw_close)
    struct raw_client client = ask(&fixture);
    mrd_auto(raw_answer_fini)
    struct raw_answer answer = raw_answer(&client, true);
    assert_true(answer.complete);
    assert_int_equal(answer.body.size, 0);
    finish(&fixture);
}

static void a_reply_given_up_does_not_look_complete(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, 0, (struct writing){.pieces = 30, .whole = false});
    mrd_auto(raw_close)
    struct raw_client client = ask(&fixture);
    mrd_auto(raw_answer_fini)
    struct raw_answer answer = raw_answer(&client, true);
    assert_int_equal(answer.status, 200);
    assert_false(answer.complete);
    assert_true(raw_is_closed(&client));
    finish(&fixture);
}

/* More than the sockets' buffers hold together. */
enum { ENDLESS = 20000 };

static void a_client_that_goes_ends_the_writing(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, 0, (struct writing){.pieces = ENDLESS, .whole = true});
    struct raw_client client = ask(&fixture);
    while (client.in.size < 100000) {
        assert_true(raw_more(&client));
    }
    raw_close(&client);
    join(&fixture);
    assert_int_equal(fixture.writing.status, MRD_E_CANCELED);
    assert_true(fixture.writing.written < (size_t)ENDLESS * PIECE_SIZE);
    finish(&fixture);
}

static void a_client_that_takes_nothing_is_cut_off(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, 200, (struct writing){.pieces = ENDLESS, .whole = true});
    mrd_auto(raw_close)
    struct raw_client client = ask(&fixture);
    assert_true(raw_more(&client)); /* the writing has begun; nothing is read from here on */
    join(&fixture);
    assert_int_equal(fixture.writing.status, MRD_E_CANCELED);
    mrd_auto(raw_answer_fini)
    struct raw_answer answer = raw_answer(&client, true);
    assert_false(answer.complete);
    finish(&fixture);
}

static void stopping_ends_the_writing(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, 0, (struct writing){.pieces = ENDLESS, .whole = true});
    mrd_auto(raw_close)
    struct raw_client client = ask(&fixture);
    assert_true(raw_more(&client));
    mrd_http_server_stop(fixture.server, 0);
    join(&fixture);
    assert_int_equal(fixture.writing.status, MRD_E_CANCELED);
    finish(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_written_reply_arrives_whole_and_in_order),
        cmocka_unit_test(an_empty_written_reply_is_complete),
        cmocka_unit_test(a_reply_given_up_does_not_look_complete),
        cmocka_unit_test(a_client_that_goes_ends_the_writing),
        cmocka_unit_test(a_client_that_takes_nothing_is_cut_off),
        cmocka_unit_test(stopping_ends_the_writing),
    };
    const int failed = cmocka_run_group_tests_name("a thread that writes", tests, NULL, NULL);
    handlers_wait = true;
    return failed + cmocka_run_group_tests_name("handlers that write", tests, NULL, NULL);
}
