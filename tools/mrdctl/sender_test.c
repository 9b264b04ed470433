/* The sender against a server of ours that answers as it is told: what is sent again, what ends it, what is believed. */
#include "mrdctl/sender.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/arena.h"
#include "codec/snappy_block.h"
#include "http/server.h"
#include "wire/remote_write_v2.h"

enum { ANSWERS_MAX = 8, BODY_BYTES_MAX = 1 << 20 };

struct answer {
    unsigned status;
    const char *samples;     /* the header; NULL: none */
    const char *retry_after; /* likewise */
    const char *text;
};

static struct {
    struct mrd_http_server *server;
    pthread_mutex_t lock; /* guards what follows */
    struct answer answers[ANSWERS_MAX];
    size_t answer_count;
    size_t asked;
    char tenant[64];
    char authorization[64];
    size_t samples_seen; /* in the last body */
} played = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- the server ---- */

static size_t samples_in(struct mrd_bytes body)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf plain = {0};
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("test", BODY_BYTES_MAX);
    struct mrd_rw2_walk walk;
    struct mrd_rw_series series;
    size_t count = 1;
    size_t total = 0;
    mrd_assert(mrd_snappy_decode(body, BODY_BYTES_MAX, &plain, NULL) == MRD_OK);
    mrd_assert(mrd_rw2_walk_init(&walk, mrd_buf_view(&plain), arena, 0, NULL) == MRD_OK);
    while (mrd_rw2_walk_next(&walk, &series, 1, &count, NULL) == MRD_OK && count == 1) {
        total += series.sample_count;
    }
    return total;
}

static void keep(struct mrd_bytes text, char out[64])
{
    (void)snprintf(out, 64, "%.*s", MRD_FMT(text));
}

static void on_push(void *context, struct mrd_http_request *request)
{
    (void)context;
    pthread_mutex_lock(&played.lock);
    mrd_assert(played.answer_count > 0);
    const struct answer answer = played.answers[MRD_MIN(played.asked, played.answer_count - 1)];
    played.asked++;
    played.samples_seen = samples_in(mrd_http_body(request));
    keep(mrd_http_header(request, "X-Scope-OrgID"), played.tenant);
    keep(mrd_http_header(request, "Authorization"), played.authorization);
    pthread_mutex_unlock(&played.lock);
    if (answer.samples != NULL) {
        mrd_http_header_set(request, "X-Prometheus-Remote-Write-Samples-Written", answer.samples);
        mrd_http_header_set(request, "X-Prometheus-Remote-Write-Histograms-Written", "0");
    }
    if (answer.retry_after != NULL) {
        mrd_http_header_set(request, "Retry-After", answer.retry_after);
    }
    mrd_http_reply_text(request, answer.status, "%s", answer.text == NULL ? "" : answer.text);
}

static int start(void **state)
{
    (void)state;
    const struct mrd_http_config config = {.listen = "127.0.0.1:0"};
    const struct mrd_http_route route = {
        .methods = MRD_HTTP_POST, .path = "/api/v1/push", .handler = on_push};
    mrd_assert(mrd_http_server_create(&config, &played.server, NULL) == MRD_OK);
    mrd_http_route_add(played.server, &route);
    mrd_assert(mrd_http_server_start(played.server, NULL) == MRD_OK);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    mrd_http_server_destroy(&played.server);
    return 0;
}

/* ---- the sender ---- */

struct outcome {
    enum mrd_status status;
    struct mrd_error err;
    uint64_t written;
    uint64_t refused;
    size_t asked;
    size_t samples_seen; /* by the server, as the rest */
    char tenant[64];
    char authorization[64];
};

static void plan(const struct answer *answers, size_t count)
{
    pthread_mutex_lock(&played.lock);
    memcpy(played.answers, answers, count * sizeof(*answers));
    played.answer_count = count;
    played.asked = 0;
    pthread_mutex_unlock(&played.lock);
}

static void look(struct outcome *out)
{
    pthread_mutex_lock(&played.lock);
    out->asked = played.asked;
    out->samples_seen = played.samples_seen;
    memcpy(out->tenant, played.tenant, sizeof(out->tenant));
    memcpy(out->authorization, played.authorization, sizeof(out->authorization));
    pthread_mutex_unlock(&played.lock);
}

/* Sends three samples to a server that answers so, the last answer for ever. */
static struct outcome send_three(const struct answer *answers, size_t count,
                                 mrd_time_ms patience_ms, bool keep_going)
{
    struct outcome outcome = {0};
    char url[64];
    mrd_auto(ctl_connection_close)
    struct ctl_connection connection = {0};
    mrd_auto(ctl_sender_fini)
    struct ctl_sender sender = {.connection = &connection,
                                .samples_max = 100,
                                .bytes_max = 10000,
                                .patience_ms = patience_ms,
                                .keep_going = keep_going};
    const struct mrd_label label = {MRD_BYTES("__name__"), MRD_BYTES("up")};
    const struct mrd_labels labels = {&label, 1};
    plan(answers, count);
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/", mrd_http_server_port(played.server));
    ctl_sender_init(&sender);
    const struct ctl_connection_options options = {.url = url, .tenant = "farm-7"};
    mrd_assert(ctl_connection_open(&connection, &options, NULL) == MRD_OK);
    for (mrd_time_ms i = 1; i <= 3; i++) {
        mrd_assert(ctl_sender_sample(&sender, labels, (struct mrd_sample){i, 1}, 0, NULL) ==
                   MRD_OK);
    }
    ctl_sender_end(&sender);
    assert_false(ctl_sender_is_empty(&sender));
    outcome.status = ctl_sender_flush(&sender, &outcome.err);
    outcome.written = sender.written.samples;
    outcome.refused = sender.refused;
    look(&outcome);
    return outcome;
}

#define SEND(patience_ms, keep_going, ...)                                                         \
    send_three((const struct answer[]){__VA_ARGS__},                                               \
               sizeof((const struct answer[]){__VA_ARGS__}) / sizeof(struct answer), patience_ms,  \
               keep_going)

enum { PATIENCE_MS = 120000 };

/* ---- tests ---- */

static void what_is_taken_is_counted(void **state)
{
    (void)state;
    const struct outcome got = SEND(PATIENCE_MS, false, {.status = 204, .samples = "3"});
    assert_int_equal(got.status, MRD_OK);
    assert_int_equal(got.written, 3);
    assert_int_equal(got.refused, 0);
    assert_int_equal(got.asked, 1);
    assert_int_equal(got.samples_seen, 3);
    assert_string_equal(got.tenant, "farm-7");
    assert_string_equal(got.authorization, "");
}

static void what_cannot_be_taken_now_is_sent_again(void **state)
{
    (void)state;
    const struct outcome got =
        SEND(PATIENCE_MS, false, {.status = 503, .samples = "0", .retry_after = "1"},
             {.status = 429, .samples = "0"}, {.status = 204, .samples = "3"});
    assert_int_equal(got.status, MRD_OK);
    assert_int_equal(got.written, 3);
    assert_int_equal(got.asked, 3);
    assert_int_equal(got.samples_seen, 3);
}

static void patience_ends(void **state)
{
    (void)state;
    const struct outcome got =
        SEND(0, false, {.status = 503, .retry_after = "3600", .text = "the log is full"});
    assert_int_equal(got.status, MRD_E_UNAVAILABLE);
    assert_int_equal(got.asked, 1);
    assert_int_equal(got.written, 0);
    assert_non_null(strstr(got.err.text, "the log is full"));
}

static void a_part_that_is_refused_is_counted_and_the_rest_goes_on(void **state)
{
    (void)state;
    const struct outcome got =
        SEND(PATIENCE_MS, false, {.status = 400, .samples = "2", .text = "1 future"});
    assert_int_equal(got.status, MRD_OK);
    assert_int_equal(got.written, 2);
    assert_int_equal(got.refused, 1);
    assert_int_equal(got.asked, 1);
}

static void a_request_refused_as_a_whole_ends_it_unless_told_otherwise(void **state)
{
    (void)state;
    struct outcome got =
        SEND(PATIENCE_MS, false, {.status = 400, .samples = "0", .text = "3 labels"});
    assert_int_equal(got.status, MRD_E_INVALID);
    assert_non_null(strstr(got.err.text, "3 labels"));
    got = SEND(PATIENCE_MS, true, {.status = 400, .samples = "0", .text = "3 labels"});
    assert_int_equal(got.status, MRD_OK);
    assert_int_equal(got.refused, 3);
}

static void an_answer_that_does_not_fit_is_not_believed(void **state)
{
    (void)state;
    assert_int_equal(SEND(PATIENCE_MS, false, {.status = 204}).status, MRD_E_INVALID);
    assert_int_equal(SEND(PATIENCE_MS, false, {.status = 204, .samples = "2"}).status,
                     MRD_E_CORRUPT);
    assert_int_equal(SEND(PATIENCE_MS, false, {.status = 204, .samples = "-3"}).status,
                     MRD_E_INVALID);
    assert_int_equal(SEND(PATIENCE_MS, false, {.status = 400, .samples = "4"}).status,
                     MRD_E_CORRUPT);
}

static void other_refusals_end_it_at_once(void **state)
{
    (void)state;
    static const unsigned statuses[] = {301, 400, 401, 403, 404, 413, 415};
    for (size_t i = 0; i < MRD_ARRAY_LEN(statuses); i++) {
        const struct outcome got = SEND(PATIENCE_MS, true, {.status = statuses[i], .text = "no"});
        assert_int_equal(got.status,
                         statuses[i] == 401 || statuses[i] == 403 ? MRD_E_DENIED : MRD_E_INVALID);
        assert_int_equal(got.asked, 1);
    }
}

static void a_token_of_the_environment_goes_along(void **state)
{
    (void)state;
    assert_int_equal(setenv("MRDCTL_TOKEN", "let-me-in", 1), 0);
    const struct outcome got = SEND(PATIENCE_MS, false, {.status = 204, .samples = "3"});
    assert_int_equal(unsetenv("MRDCTL_TOKEN"), 0);
    assert_int_equal(got.status, MRD_OK);
    assert_string_equal(got.authorization, "Bearer let-me-in");
}

static void a_full_request_is_sent_by_itself(void **state)
{
    (void)state;
    char url[64];
    struct ctl_connection connection = {0};
    struct ctl_sender sender = {
        .connection = &connection, .samples_max = 2, .bytes_max = 10000, .patience_ms = 0};
    const struct mrd_label label = {MRD_BYTES("__name__"), MRD_BYTES("up")};
    struct outcome seen = {0};
    plan(&(struct answer){.status = 204, .samples = "2"}, 1);
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u", mrd_http_server_port(played.server));
    ctl_sender_init(&sender);
    assert_int_equal(
        ctl_connection_open(&connection, &(struct ctl_connection_options){.url = url}, NULL),
        MRD_OK);
    for (mrd_time_ms i = 1; i <= 5; i++) {
        assert_int_equal(ctl_sender_sample(&sender, (struct mrd_labels){&label, 1},
                                           (struct mrd_sample){i, 1}, 0, NULL),
                         MRD_OK);
    }
    look(&seen);
    assert_int_equal(seen.asked, 2);
    assert_int_equal(sender.written.samples, 4);
    assert_string_equal(seen.tenant, "");
    ctl_sender_fini(&sender);
    ctl_connection_close(&connection);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken_is_counted),
        cmocka_unit_test(what_cannot_be_taken_now_is_sent_again),
        cmocka_unit_test(patience_ends),
        cmocka_unit_test(a_part_that_is_refused_is_counted_and_the_rest_goes_on),
        cmocka_unit_test(a_request_refused_as_a_whole_ends_it_unless_told_otherwise),
        cmocka_unit_test(an_answer_that_does_not_fit_is_not_believed),
        cmocka_unit_test(other_refusals_end_it_at_once),
        cmocka_unit_test(a_token_of_the_environment_goes_along),
        cmocka_unit_test(a_full_request_is_sent_by_itself),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
