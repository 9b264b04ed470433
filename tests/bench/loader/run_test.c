/* The loader against a scripted server in this process. */
#include "loader/run.h"

#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* What the server does with its n-th request, in order of arrival; the last entry stays. */
enum deed {
    DEED_ACCEPT,
    DEED_REFUSE,  /* 400 */
    DEED_BUSY,    /* 503 */
    DEED_HANG_UP, /* no answer */
    DEED_CLOSE,   /* 204 and Connection: close */
};

struct server {
    const enum deed *deeds;
    size_t deed_count;
    int listener;
    char port[8];
    pthread_t thread;
    size_t requests;
    size_t bytes; /* of bodies */
    char last_head[4096];
};

/* One connection at a time: the tests use one. */
static bool read_request(struct server *server, int fd)
{
    char head[4096];
    size_t size = 0;
    while (size < 4 || memcmp(head + size - 4, "\r\n\r\n", 4) != 0) {
        if (size == sizeof(head) - 1 || recv(fd, head + size, 1, 0) != 1) {
            return false;
        }
        size++;
    }
    head[size] = '\0';
    const char *length = strcasestr(head, "content-length:");
    size_t left = length == NULL ? 0 : strtoull(length + 15, NULL, 10);
    server->bytes += left;
    while (left > 0) {
        char part[65536];
        const ssize_t got = recv(fd, part, MRD_MIN(left, sizeof(part)), 0);
        if (got <= 0) {
            return false;
        }
        left -= (size_t)got;
    }
    memcpy(server->last_head, head, size + 1);
    return true;
}

static const char *const answers[] = {
    [DEED_ACCEPT] = "HTTP/1.1 204 No Content\r\n\r\n",
    [DEED_REFUSE] = "HTTP/1.1 400 Bad\r\nContent-Length: 10\r\n\r\nbad labels",
    [DEED_BUSY] = "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy",
    [DEED_HANG_UP] = NULL,
    [DEED_CLOSE] = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
};

static void serve(struct server *server, int fd)
{
    while (read_request(server, fd)) {
        const size_t at = MRD_MIN(server->requests, server->deed_count - 1);
        const char *answer = answers[server->deeds[at]];
        server->requests++;
        if (answer == NULL || send(fd, answer, strlen(answer), MSG_NOSIGNAL) < 0 ||
            server->deeds[at] == DEED_CLOSE) {
            return;
        }
    }
}

static void *server_thread(void *argument)
{
    struct server *server = argument;
    for (int fd; (fd = accept(server->listener, NULL, NULL)) >= 0;) {
        serve(server, fd);
        close(fd);
    }
    return NULL;
}

static void server_start(struct server *server, const enum deed *deeds, size_t count)
{
    *server = (struct server){.deeds = deeds, .deed_count = count};
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(server->listener, 8), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &size), 0);
    snprintf(server->port, sizeof(server->port), "%u", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&server->thread, NULL, server_thread, server), 0);
}

static void server_stop(struct server *server)
{
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->listener);
}

/* Ten requests of 100 samples over one connection. */
static struct load_results *run_against(struct server *server, const char *option,
                                        const char *value)
{
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%s/api/v1/push", server->port);
    char *arguments[] = {(char[]){"load"},
                         (char[]){"--url"},
                         url,
                         (char[]){"--series"},
                         (char[]){"100"},
                         (char[]){"--scrapes"},
                         (char[]){"10"},
                         (char[]){"--request-samples"},
                         (char[]){"100"},
                         (char[]){"--connections"},
                         (char[]){"1"},
                         (char *)(uintptr_t)option,
                         (char *)(uintptr_t)value,
                         NULL};
    const int count = option == NULL ? 11 : value == NULL ? 12 : 13;
    arguments[count] = NULL;
    struct load_options options;
    struct mrd_error err = {0};
    atomic_bool stop = false;
    struct load_results *results = calloc(1, sizeof(*results));
    assert_non_null(results);
    if (load_options_parse(count, arguments, 1800000000000, &options, &err) != MRD_OK ||
        load_run(&options, mrd_clock_system(), &stop, results, &err) != MRD_OK) {
        fail_msg("%s", err.text);
    }
    server_stop(server);
    return results;
}

static void all_samples_are_accepted_over_one_connection(void **state)
{
    (void)state;
    static const char *const prepare[] = {"0", "10"}; /* made while waiting, and ahead */
    for (size_t i = 0; i < MRD_ARRAY_LEN(prepare); i++) {
        struct server server;
        server_start(&server, (const enum deed[]){DEED_ACCEPT}, 1);
        struct load_results *results = run_against(&server, "--prepare-mib", prepare[i]);
        assert_int_equal(results->samples_accepted, 1000);
        assert_int_equal(results->requests, 10);
        assert_int_equal(results->statuses[204], 10);
        assert_int_equal(results->connects, 1);
        assert_int_equal(results->latency.count, 10);
        assert_int_equal(results->bytes_sent, server.bytes);
        assert_int_equal(server.requests, 10);
        assert_non_null(strstr(server.last_head, "POST /api/v1/push HTTP/1.1\r\n"));
        assert_non_null(strstr(server.last_head, "Content-Encoding: snappy\r\n"));
        assert_null(strstr(server.last_head, "X-Scope-OrgID"));
        free(results);
    }
}

static void refusals_and_failures_are_counted_and_not_sent_again_unless_asked(void **state)
{
    (void)state;
    const enum deed deeds[] = {DEED_ACCEPT, DEED_REFUSE, DEED_BUSY, DEED_HANG_UP, DEED_ACCEPT};
    struct server server;
    server_start(&server, deeds, MRD_ARRAY_LEN(deeds));
    struct load_results *results = run_against(&server, NULL, NULL);
    assert_int_equal(results->samples_accepted, 700);
    assert_int_equal(results->samples_refused, 100);
    assert_int_equal(results->samples_failed, 200);
    assert_int_equal(results->statuses[400], 1);
    assert_int_equal(results->statuses[503], 1);
    assert_int_equal(results->statuses[0], 1);
    assert_int_equal(results->connects, 2);
    assert_string_equal(results->first_failure, "400: bad labels");
    free(results);
}

static void with_retry_everything_but_a_refusal_arrives(void **state)
{
    (void)state;
    const enum deed deeds[] = {DEED_BUSY, DEED_BUSY, DEED_REFUSE, DEED_HANG_UP, DEED_ACCEPT};
    struct server server;
    server_start(&server, deeds, MRD_ARRAY_LEN(deeds));
    struct load_results *results = run_against(&server, "--retry", NULL);
    assert_int_equal(results->samples_accepted, 900);
    assert_int_equal(results->samples_refused, 100);
    assert_int_equal(results->samples_failed, 0);
    assert_int_equal(results->retries, 3);
    assert_int_equal(server.requests, 13);
    free(results);
}

static void a_server_that_closes_after_each_answer_is_connected_to_again(void **state)
{
    (void)state;
    struct server server;
    server_start(&server, (const enum deed[]){DEED_CLOSE}, 1);
    struct load_results *results = run_against(&server, NULL, NULL);
    assert_int_equal(results->samples_accepted, 1000);
    assert_int_equal(results->connects, 10);
    free(results);
}

static void the_open_loop_sends_no_faster_than_asked(void **state)
{
    (void)state;
    struct server server;
    server_start(&server, (const enum deed[]){DEED_ACCEPT}, 1);
    struct load_results *results = run_against(&server, "--rate", "20000"); /* 5 ms a request */
    assert_int_equal(results->samples_accepted, 1000);
    assert_true(results->end_ns - results->begin_ns >= 9 * 5000000LL);
    free(results);
}

static void the_tenant_is_named_in_a_header(void **state)
{
    (void)state;
    struct server server;
    server_start(&server, (const enum deed[]){DEED_ACCEPT}, 1);
    free(run_against(&server, "--tenant", "farm-7"));
    assert_non_null(strstr(server.last_head, "X-Scope-OrgID: farm-7\r\n"));
}

static void a_peer_that_is_not_there_is_a_failure_of_every_request(void **state)
{
    (void)state;
    struct server server;
    server_start(&server, (const enum deed[]){DEED_ACCEPT}, 1);
    server_stop(&server);
    struct load_options options;
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%s/", server.port);
    char *arguments[] = {
        (char[]){"load"}, (char[]){"--url"},     url,           (char[]){"--series"},
        (char[]){"32"},   (char[]){"--scrapes"}, (char[]){"3"}, NULL};
    assert_int_equal(load_options_parse(7, arguments, 1800000000000, &options, NULL), MRD_OK);
    struct load_results *results = calloc(1, sizeof(*results));
    assert_non_null(results);
    atomic_bool stop = false;
    assert_int_equal(load_run(&options, mrd_clock_system(), &stop, results, NULL), MRD_OK);
    assert_int_equal(results->samples_failed, 96);
    assert_int_equal(results->samples_accepted, 0);
    assert_non_null(strstr(results->first_failure, "Connection refused"));
    free(results);
}

static void wrong_options_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *option;
        const char *value;
    } wrong[] = {
        {"--series",          "0"          },
        {"--series",          "-1"         },
        {"--series",          "12x"        },
        {"--rate",            "fast"       },
        {"--url",             "https://x/" },
        {"--url",             "http:///x"  },
        {"--interval",        "15"         },
        {"--shape",           "round"      },
        {"--connections",     "99999999999"},
        {"--churn",           "-0.1"       },
        {"--request-samples", "0"          },
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(wrong); i++) {
        char *arguments[] = {(char[]){"load"}, (char *)(uintptr_t)wrong[i].option,
                             (char *)(uintptr_t)wrong[i].value, NULL};
        struct load_options options;
        struct mrd_error err = {0};
        assert_int_equal(load_options_parse(3, arguments, 1800000000000, &options, &err),
                         MRD_E_INVALID);
        assert_non_null(strstr(err.text, wrong[i].option));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_samples_are_accepted_over_one_connection),
        cmocka_unit_test(refusals_and_failures_are_counted_and_not_sent_again_unless_asked),
        cmocka_unit_test(with_retry_everything_but_a_refusal_arrives),
        cmocka_unit_test(a_server_that_closes_after_each_answer_is_connected_to_again),
        cmocka_unit_test(the_open_loop_sends_no_faster_than_asked),
        cmocka_unit_test(the_tenant_is_named_in_a_header),
        cmocka_unit_test(a_peer_that_is_not_there_is_a_failure_of_every_request),
        cmocka_unit_test(wrong_options_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
