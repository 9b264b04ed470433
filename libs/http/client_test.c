/* The client against our own server. */
#include "http/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/server.h"

static struct mrd_http_server *server;
static char base[64];

static void on_echo(void *context, struct mrd_http_request *request)
{
    (void)context;
    struct mrd_buf text = {0};
    mrd_buf_printf(&text, "%d %.*s %.*s", (int)mrd_http_method_of(request),
                   MRD_FMT(mrd_http_header(request, "X-Word")), MRD_FMT(mrd_http_body(request)));
    mrd_http_header_set(request, "X-Answer", "42");
    mrd_http_reply(request, 200, &text);
}

static void on_refuse(void *context, struct mrd_http_request *request)
{
    (void)context;
    mrd_http_reply_text(request, 429, "%0100d", 7);
}

static void on_secret(void *context, struct mrd_http_request *request)
{
    (void)context;
    mrd_http_reply_text(request, 200, "%.*s", MRD_FMT(mrd_http_header(request, "Authorization")));
}

static void on_elsewhere(void *context, struct mrd_http_request *request)
{
    (void)context;
    mrd_http_header_set(request, "Location", "/echo");
    mrd_http_reply_text(request, 302, "there");
}

/* A reply of pieces, the last of which breaks it off. */
static ssize_t pull(void *context, uint8_t *out, size_t size_max)
{
    int *left = context;
    if (*left == 0) {
        return -1;
    }
    (*left)--;
    memset(out, 'x', MRD_MIN(size_max, (size_t)1000));
    return (ssize_t)MRD_MIN(size_max, (size_t)1000);
}

static void release_nothing(void *context) { (void)context; }

static void on_broken(void *context, struct mrd_http_request *request)
{
    (void)context;
    static int pieces;
    pieces = 3;
    const struct mrd_http_stream stream = {
        .pull = pull, .release = release_nothing, .context = &pieces};
    mrd_http_reply_stream(request, 200, &stream);
}

static int start(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        mrd_http_handler *handler;
    } routes[] = {
        {"/echo",      on_echo     },
        {"/refuse",    on_refuse   },
        {"/secret",    on_secret   },
        {"/elsewhere", on_elsewhere},
        {"/broken",    on_broken   },
    };
    const struct mrd_http_config config = {.listen = "127.0.0.1:0"};
    mrd_assert(mrd_http_server_create(&config, &server, NULL) == MRD_OK);
    for (size_t i = 0; i < MRD_ARRAY_LEN(routes); i++) {
        const struct mrd_http_route route = {.methods = MRD_HTTP_GET | MRD_HTTP_POST,
                                             .path = routes[i].path,
                                             .handler = routes[i].handler};
        mrd_http_route_add(server, &route);
    }
    mrd_assert(mrd_http_server_start(server, NULL) == MRD_OK);
    (void)snprintf(base, sizeof(base), "http://127.0.0.1:%u", mrd_http_server_port(server));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    mrd_http_server_destroy(&server);
    return 0;
}

static struct mrd_http_client *client_make(size_t reply_max, const char *user)
{
    struct mrd_http_client *client = NULL;
    const struct mrd_http_client_options options = {
        .user_agent = "test",
        .user = user,
        .password = "open sesame",
        .connect_timeout_ms = 60000,
        .stall_timeout_ms = 60000,
        .reply_bytes_max = reply_max,
    };
    assert_int_equal(mrd_http_client_create(&options, &client, NULL), MRD_OK);
    return client;
}

/* Sends to a path; the URL lives as long as the answer's error text needs it. */
static enum mrd_status ask(struct mrd_http_client *client, const char *method, const char *path,
                           const struct mrd_http_call *more, struct mrd_http_answer *out,
                           struct mrd_error *err)
{
    char url[128];
    struct mrd_http_call call = more == NULL ? (struct mrd_http_call){0} : *more;
    (void)snprintf(url, sizeof(url), "%s%s", base, path);
    call.method = method;
    call.url = url;
    return mrd_http_client_send(client, &call, out, err);
}

static void assert_text(struct mrd_bytes got, const char *want)
{
    if (!mrd_bytes_equal(got, mrd_bytes_of(want))) {
        fail_msg("%.*s", MRD_FMT(got));
    }
}

static void calls_follow_each_other_on_a_connection(void **state)
{
    (void)state;
    struct mrd_http_client *client = client_make(1000, NULL);
    struct mrd_http_answer answer;
    const struct mrd_http_call post = {.headers = {"X-Word: a"}, .body = MRD_BYTES("body")};
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(ask(client, "POST", "/echo", &post, &answer, NULL), MRD_OK);
        assert_int_equal(answer.status, 200);
        assert_text(answer.body, "2 a body");
        assert_string_equal(mrd_http_client_header(client, "x-answer"), "42");
        assert_null(mrd_http_client_header(client, "X-Other"));
        assert_int_equal(ask(client, "GET", "/echo", NULL, &answer, NULL), MRD_OK);
        assert_text(answer.body, "1  ");
    }
    mrd_http_client_destroy(&client);
}

static void a_refusal_is_an_answer_whose_text_is_cut(void **state)
{
    (void)state;
    struct mrd_http_client *client = client_make(10, NULL);
    struct mrd_http_answer answer;
    struct mrd_error err;
    assert_int_equal(ask(client, "POST", "/refuse", NULL, &answer, &err), MRD_OK);
    assert_int_equal(answer.status, 429);
    assert_text(answer.body, "0000000000");
    const struct mrd_http_call large = {.body = MRD_BYTES("more than ten bytes")};
    assert_int_equal(ask(client, "POST", "/echo", &large, &answer, &err), MRD_E_LIMIT);
    mrd_http_client_destroy(&client);
}

static void a_redirect_is_not_followed(void **state)
{
    (void)state;
    struct mrd_http_client *client = client_make(1000, NULL);
    struct mrd_http_answer answer;
    assert_int_equal(ask(client, "POST", "/elsewhere", NULL, &answer, NULL), MRD_OK);
    assert_int_equal(answer.status, 302);
    mrd_http_client_destroy(&client);
}

static void user_and_password_go_as_basic_authentication(void **state)
{
    (void)state;
    struct mrd_http_client *client = client_make(1000, "Aladdin");
    struct mrd_http_answer answer;
    assert_int_equal(ask(client, "GET", "/secret", NULL, &answer, NULL), MRD_OK);
    assert_text(answer.body, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="); /* RFC 7617's example */
    mrd_http_client_destroy(&client);
}

/* ---- sinks ---- */

static enum mrd_status count_bytes(void *context, struct mrd_bytes bytes, struct mrd_error *err)
{
    (void)err;
    *(size_t *)context += bytes.size;
    return MRD_OK;
}

static enum mrd_status refuse_bytes(void *context, struct mrd_bytes bytes, struct mrd_error *err)
{
    (void)context;
    (void)bytes;
    return mrd_fail(err, MRD_E_CORRUPT, "not these");
}

static void a_sink_gets_the_body_of_a_success_only(void **state)
{
    (void)state;
    struct mrd_http_client *client = client_make(1000, NULL);
    struct mrd_http_answer answer;
    struct mrd_error err;
    size_t count = 0;
    struct mrd_http_call call = {.sink = count_bytes, .sink_context = &count};
    assert_int_equal(ask(client, "POST", "/echo", &call, &answer, NULL), MRD_OK);
    assert_int_equal(count, 3);
    assert_int_equal(answer.body.size, 0);
    assert_int_equal(ask(client, "POST", "/refuse", &call, &answer, NULL), MRD_OK);
    assert_int_equal(count, 3);
    assert_int_equal(answer.body.size, 100);
    call.sink = refuse_bytes;
    assert_int_equal(ask(client, "POST", "/echo", &call, &answer, &err), MRD_E_CORRUPT);
    assert_non_null(strstr(err.text, "not these"));
    mrd_http_client_destroy(&client);
}

static void an_answer_that_breaks_off_is_none(void **state)
{
    (void)state;
    struct mrd_http_client *client = client_make(10000, NULL);
    struct mrd_http_answer answer;
    struct mrd_error err;
    assert_int_equal(ask(client, "GET", "/broken", NULL, &answer, &err), MRD_E_UNAVAILABLE);
    assert_int_equal(ask(client, "GET", "/echo", NULL, &answer, &err), MRD_OK); /* goes on */
    mrd_http_client_destroy(&client);
}

static void what_is_no_url_is_invalid_and_nobody_there_is_unavailable(void **state)
{
    (void)state;
    struct mrd_http_client *client = client_make(1000, NULL);
    struct mrd_http_answer answer;
    struct mrd_error err;
    struct mrd_http_call call = {.method = "GET", .url = "ftp://127.0.0.1/"};
    assert_int_equal(mrd_http_client_send(client, &call, &answer, &err), MRD_E_INVALID);
    call.url = "http://127.0.0.1:1/";
    assert_int_equal(mrd_http_client_send(client, &call, &answer, &err), MRD_E_UNAVAILABLE);
    mrd_http_client_destroy(&client);
}

static void without_its_certificates_nothing_is_sent(void **state)
{
    (void)state;
    char url[64];
    struct mrd_http_client *client = NULL;
    struct mrd_http_answer answer;
    struct mrd_error err;
    const struct mrd_http_client_options options = {
        .user_agent = "test",
        .ca_file = "/nowhere/ca.pem",
        .connect_timeout_ms = 60000,
        .stall_timeout_ms = 60000,
        .reply_bytes_max = 1000,
    };
    (void)snprintf(url, sizeof(url), "https://127.0.0.1:%u/echo", mrd_http_server_port(server));
    const struct mrd_http_call call = {.method = "GET", .url = url};
    assert_int_equal(mrd_http_client_create(&options, &client, NULL), MRD_OK);
    assert_int_equal(mrd_http_client_send(client, &call, &answer, &err), MRD_E_DENIED);
    assert_non_null(strstr(err.text, "/nowhere/ca.pem"));
    mrd_http_client_destroy(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_follow_each_other_on_a_connection),
        cmocka_unit_test(a_refusal_is_an_answer_whose_text_is_cut),
        cmocka_unit_test(a_redirect_is_not_followed),
        cmocka_unit_test(user_and_password_go_as_basic_authentication),
        cmocka_unit_test(a_sink_gets_the_body_of_a_success_only),
        cmocka_unit_test(an_answer_that_breaks_off_is_none),
        cmocka_unit_test(what_is_no_url_is_invalid_and_nobody_there_is_unavailable),
        cmocka_unit_test(without_its_certificates_nothing_is_sent),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
